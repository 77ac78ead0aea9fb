"""What a folder of your own holds: its files by content, their splits, and their labels.

Both lists are written only where they would differ. So what depends on a list of files runs again
when a file's content, its name or its split changes, and not when a label is corrected, a file is
touched, or something else lies in the folder.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any, NamedTuple

import pandas as pd

from shuffle_to_learn.datasets import tree
from shuffle_to_learn.datasets.tree import located
from study.cli import progress
from study.datasets.labels import read_labels, split_files
from study.errors import InputError
from study.files import need_folder, read_table, write_text
from study.params import Params, Study
from study.paths import Paths

MANY = 2**28  # bytes; where more are to be read, progress is shown


class Listed(NamedTuple):
    """The lists of a folder.

    Attributes:
        files: the file, its split and the digest of its content.
        labels: the file and its columns of labels.csv; none where a file has no labels.
    """

    files: pd.DataFrame
    labels: pd.DataFrame


def folder_of(params: Params) -> tuple[str, Study, Path]:
    """The modality that has a folder, its study and the folder.

    Raises:
        InputError: where there is no such folder.
    """
    modality, study = params.of_dataset("folder")
    return modality, study, need_folder(study.source, f"{modality}.source")


def refresh(params: Params) -> None:
    """Write the lists of the folder anew, where they would differ.

    Raises:
        InputError: where there is no such folder, no file in it, or labels.csv is wrong.
    """
    modality, study, folder = folder_of(params)
    settings, layout = params.folder, params.layout
    assert settings is not None
    names = tree.files(folder, modality)
    if not names:
        known = ", ".join(tree.SUFFIXES[modality])
        raise InputError(f"{folder} holds no files of {modality} ({known})")
    labels = read_labels(folder, names)
    splits = split_files(settings, folder, labels, study.stratified)
    digests = _digests(layout, folder, names)
    files = [(name, splits.get(name, "train"), digests[name]) for name in names]
    _write(layout.files, pd.DataFrame(files, columns=["file", "split", "digest"]))
    rows = [{"file": name, **labels[name]} for name in names if name in labels]
    _write(layout.given_labels, pd.DataFrame(rows, columns=None if rows else ["file"]))


def read(params: Params) -> Listed:
    """The lists of the folder, as they were written last."""
    layout = params.layout
    parts = (read_table(path, "listing", text=True) for path in (layout.files, layout.given_labels))
    return Listed(*parts)


def _write(path: Path, table: pd.DataFrame) -> None:
    text = table.to_csv(index=False)
    if not path.exists() or path.read_bytes() != text.encode():
        write_text(path, text)


def _digests(layout: Paths, folder: Path, names: list[str]) -> dict[str, str]:
    """The digest of each file's content; one that has not been touched is not read again."""
    before: dict[str, list] = {}
    if layout.digests.exists():
        try:
            before = json.loads(layout.digests.read_text(encoding="utf-8"))
        except ValueError:
            pass  # it saves time, no more
    now: dict[str, list[Any]] = {}
    for name in names:
        info = located(folder, name).stat()
        now[name] = [str(folder.resolve()), info.st_size, info.st_mtime_ns]
    fresh = [name for name in names if before.get(name, [])[:3] != now[name]]
    size = sum(now[name][1] for name in fresh)
    told: Iterable[str] = fresh
    if size > MANY:
        told = progress(fresh, total=len(fresh), label="listing", unit="files")
    found = {name: _digest(located(folder, name)) for name in told}
    kept = {name: [*now[name], found.get(name) or before[name][3]] for name in names}
    if kept != before:
        write_text(layout.digests, json.dumps(kept))
    return {name: entry[3] for name, entry in kept.items()}


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, lambda: hashlib.blake2b(digest_size=16)).hexdigest()
