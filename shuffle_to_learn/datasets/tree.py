"""The files below a folder, by names that can be written down, and their splits.

Nothing heavy is imported: the runners look here each time they start.
"""

from __future__ import annotations

import os
import re
import unicodedata
from collections import Counter, deque
from collections.abc import Iterator, Sequence
from pathlib import Path, PurePosixPath

from shuffle_to_learn.datasets.public import place

SUFFIXES = {
    "audio": (
        *(".wav", ".flac", ".ogg", ".mp3", ".oga", ".opus", ".aif", ".aiff", ".aifc", ".au"),
        *(".caf", ".w64", ".rf64"),
    ),
    "video": (".mp4", ".webm", ".avi", ".mov", ".mkv"),
    "images": (".jpg", ".jpeg", ".png", ".gif", ".webp", ".tif", ".tiff", ".bmp"),
}
SPLITS = ("train", "valid", "test")


def walk(folder: Path) -> Iterator[str]:
    """The files in a folder and its subfolders, without hidden files and folders.

    Folders that are symbolic links are followed, each folder once: a link to one that is there
    anyway, or to one above, adds nothing.

    Yields:
        Paths relative to the folder, with forward slashes. What is no text or ends a line stands as
        in an address, ``%E9``: see :func:`located`.
    """
    seen: set[tuple[int, int]] = set()
    waiting = deque([folder])
    while waiting:
        top = waiting.popleft()
        for directory, folders, names in os.walk(top):
            state = os.stat(directory)
            if (state.st_dev, state.st_ino) in seen:
                folders.clear()
                continue
            seen.add((state.st_dev, state.st_ino))
            folders[:] = sorted(name for name in folders if not name.startswith("."))
            # After all true folders: a file keeps the name that it has without links.
            paths = [Path(directory, name) for name in folders]
            waiting.extend(path for path in paths if path.is_symlink())
            for path in (Path(directory, name) for name in names if not name.startswith(".")):
                if path.is_file():
                    yield text(path.relative_to(folder).as_posix())


def text(name: str) -> str:
    """A file's name as it can be written down; :func:`located` knows the file by it."""
    known = os.fsencode(name).decode("utf-8", "surrogateescape")
    return "".join(_escaped(sign) if _is_odd(sign) else sign for sign in known)


def _is_odd(sign: str) -> bool:
    return "\udc80" <= sign <= "\udcff" or unicodedata.category(sign) in ("Cc", "Zl", "Zp")


def _escaped(sign: str) -> str:
    return "".join(f"%{byte:02X}" for byte in sign.encode("utf-8", "surrogateescape"))


def located(folder: Path, file: str) -> Path:
    """Where a file of :func:`walk` is."""
    path = folder / file
    if "%" not in file or path.exists():
        return path
    name = re.sub(
        rb"%([0-9A-F]{2})", lambda found: bytes([int(found[1], 16)]), file.encode("utf-8")
    )
    return folder / os.fsdecode(name)


def files(folder: Path, modality: str) -> list[str]:
    """The files of a modality among those of :func:`walk`, sorted."""
    return sorted(name for name in walk(folder) if _suffix(name) in SUFFIXES[modality])


def others(folder: Path, modality: str) -> dict[str, int]:
    """How many files of other kinds a folder holds, by suffix; labels.csv and hidden ones apart."""
    return Counter(
        _suffix(name) or "without a suffix"
        for name in walk(folder)
        if _suffix(name) not in SUFFIXES[modality] and name != "labels.csv"
    )


def _suffix(name: str) -> str:
    return PurePosixPath(name).suffix.lower()


def assign(
    groups: Sequence[str],
    classes: Sequence[str],
    *,
    valid_share: float,
    test_share: float,
    seed: int,
) -> list[str]:
    """Draw a split for each file, the same split for all files of a group.

    A group's split goes by a hash of its name, so that it stays where it is when files come or go.
    Only where a split has no file of a class that has three groups or more is one moved: the class
    of few files is then drawn again.

    Args:
        groups: the group of each file.
        classes: the class of each file; empty where it has none.
        valid_share: share of the groups in ``valid``, about; it gets at least one.
        test_share: share of the groups in ``test``, about; it gets at least one.
        seed: of the draw.

    Returns:
        ``train``, ``valid`` or ``test`` for each file.

    Raises:
        ValueError: there are fewer than three groups.
    """
    if len(set(groups)) < len(SPLITS):
        raise ValueError(
            f"{len(set(groups))} to be drawn into train, valid and test: at least 3 are needed"
        )
    places = {group: place(group.encode(errors="surrogateescape"), seed) for group in set(groups)}
    ordered = sorted(places, key=lambda group: (places[group], group))
    split_of = {
        group: "test"
        if places[group] < test_share
        else "valid"
        if places[group] < test_share + valid_share
        else "train"
        for group in ordered
    }
    told = set(zip(groups, classes, strict=True))
    of_class = {name: {g for g, own in told if own == name} for name in {*classes} - {""}}
    together = [set(ordered), *(of_class[name] for name in sorted(of_class))]
    together = [members for members in together if len(members) >= len(SPLITS)]

    def can_go(group: str) -> bool:
        """Whether its split keeps another group of each set that it is in."""
        return all(
            any(split_of[other] == split_of[group] for other in members - {group})
            for members in together
            if group in members
        )

    for members in together:
        for split in SPLITS:
            if not any(split_of[group] == split for group in members):
                free = [group for group in ordered if group in members and can_go(group)]
                if free:  # train is at the end of the order, and gives first
                    split_of[free[-1]] = split
    return [split_of[group] for group in groups]
