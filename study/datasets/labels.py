"""The labels of a folder: labels.csv, or the directory that each file is in."""

from __future__ import annotations

from pathlib import Path

from shuffle_to_learn.datasets.folder import assign
from study.errors import InputError
from study.paths import SPLITS
from study.sections import Folder

LABELS = "labels.csv"


def directory(file: str) -> str:
    """The folder that a file is in, below the one of the dataset."""
    return file.rpartition("/")[0]


def read_labels(folder: Path, names: list[str]) -> dict[str, dict[str, str]]:
    """The labels of files: those of labels.csv, or the folder that each is in."""
    path = folder / LABELS
    if not path.exists():
        return {name: {"directory": directory(name)} for name in names}
    import pandas as pd

    try:
        table = pd.read_csv(path, dtype=str, keep_default_na=False, encoding="utf-8-sig")
    except (ValueError, UnicodeError) as error:
        raise InputError(f"{path}: {' '.join(str(error).split())}") from None
    if "file" not in table:
        raise InputError(f"{path} has no column file: it names each file, relative to {folder}")
    table["file"] = table["file"].str.replace("\\", "/").str.removeprefix("./")
    twice = table["file"][table["file"].duplicated()]
    if len(twice):
        raise InputError(f"{path} has {twice.iloc[0]} twice")
    missing = sorted(set(table["file"]) - set(names))
    if missing:
        raise InputError(
            f"{path} names {len(missing)} files that are not in {folder} or of another kind; the "
            f"first is {missing[0]}"
        )
    rows = table.set_index("file").to_dict("index")
    return {name: {"directory": directory(name), **row} for name, row in rows.items()}


def split_files(
    settings: Folder, folder: Path, labels: dict[str, dict[str, str]]
) -> dict[str, str]:
    """The split of each labelled file: its column of labels.csv, or drawn."""
    where, column, labelled = folder / LABELS, settings.group, sorted(labels)
    if column and any(column not in labels[name] for name in labelled):
        raise InputError(f"folder.group: {where} has no column {column}")
    if labelled and "split" in labels[labelled[0]]:  # a column, so in every row
        splits = {name: labels[name]["split"] for name in labelled}
        for name, split in splits.items():
            if split not in SPLITS:
                raise InputError(
                    f"{where}: the split of {name} is {split!r}: use train, valid or test"
                )
        if absent := [split for split in SPLITS if split not in splits.values()]:
            raise InputError(f"{where}: no file is in the split {absent[0]}")
        return splits
    groups = [(labels[name][column] if column else "") or name for name in labelled]
    try:
        drawn = assign(
            groups,
            valid_share=settings.valid_share,
            test_share=settings.test_share,
            seed=settings.seed,
        )
    except ValueError as error:
        what = f"groups of {column}" if column else "labelled files"
        raise InputError(f"{folder}: {what}: {error}") from None
    return dict(zip(labelled, drawn, strict=True))
