"""The files below a folder, by names that can be written down."""

from __future__ import annotations

import os
import re
import unicodedata
from collections import deque
from collections.abc import Iterator
from pathlib import Path


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
