"""The dataset folder: recordings cut into windows, clips or pictures of a user's own."""

from __future__ import annotations

import sys
from concurrent.futures import Executor
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import pandas as pd

from shuffle_to_learn.datasets import folder as library
from shuffle_to_learn.datasets import tree
from study.cli import progress
from study.datasets import listing
from study.datasets.labels import directory
from study.datasets.writing import describe, write
from study.errors import InputError
from study.params import Params, Study
from study.paths import SPLITS
from study.sections import Folder
from study.tasks import faults

NAMED = 5  # classes that are told by name


class Found(NamedTuple):
    """What a folder holds, by names, headers and labels.csv.

    Attributes:
        modality: of the files that count.
        folder: where they are.
        items: the inputs; those that cannot be read have a reason.
        labels: the texts of each file that has labels, by column.
        others: how many files of other kinds there are, by suffix.
        lengths: the sample rate in Hz and the length in seconds of each recording that can be read.
    """

    modality: str
    folder: Path
    items: list[library.Item]
    labels: dict[str, dict[str, str]]
    others: dict[str, int]
    lengths: dict[str, tuple[int, float]]

    @property
    def files(self) -> int:
        """The number of files that count."""
        return len({item.file for item in self.items})

    def tables(self) -> dict[str, pd.DataFrame]:
        """The labels of the inputs of each split that can be read, a row an input."""
        rows = [
            {
                **self.labels.get(item.file, {}),
                "id": item.id,
                "labelled": item.file in self.labels,
                "split": item.split,
            }
            for item in self.items
            if not item.reason
        ]
        table = pd.DataFrame(rows, columns=None if rows else ["id", "labelled", "split"])
        return {split: table[table["split"] == split].reset_index(drop=True) for split in SPLITS}

    def faults(self, params: Params) -> list[str]:
        """All that keeps the study from being run, and what to do about each."""
        assert params.folder is not None
        reasons = {item.id: item.reason for item in self.items if item.reason}
        try:
            _check_rejected(self.items, reasons, params.folder, self.folder)
        except InputError as error:
            return [str(error)]
        return faults(params, self.modality, self.tables())

    def uneven(self, task: str) -> list[str]:
        """The classes of a task that some split has no file of."""
        of: dict[str, set[str]] = {}
        for item in self.items:
            label = self.labels.get(item.file, {}).get(task, "")
            if label and not item.reason:
                of.setdefault(label, set()).add(item.split)
        return sorted(label for label, splits in of.items() if len(splits) < len(SPLITS))

    def remarks(self, study: Study) -> list[str]:
        """What is no fault and still to be known: files passed over, classes that a split lacks."""
        lines = []
        if self.others:
            counts = (f"{suffix}: {count}" for suffix, count in sorted(self.others.items()))
            lines.append(f"files of other kinds are not read ({', '.join(counts)})")
        for task, metrics in study.metrics.items():
            if "accuracy" in metrics and (few := self.uneven(task)):
                names = ", ".join(few[:NAMED]) + (", ..." if len(few) > NAMED else "")
                lines.append(f"{task}: {len(few)} classes are not in every split ({names})")
        return lines


def listed(faults: list[str]) -> str:
    """Faults as one text: a line where there is one, else a line each."""
    if len(faults) == 1:
        return faults[0]
    return "\n  ".join([f"{len(faults)} things are to be mended first:", *faults])


def look(params: Params, pool: Executor) -> Found:
    """Look through the files that the stage listing has listed: headers and labels, no contents.

    Raises:
        InputError: where there is no such folder.
    """
    modality, _, folder = listing.folder_of(params)
    assert params.folder is not None
    found = listing.read(params)
    files = zip(found.files["file"], found.files["split"], strict=True)
    items = [library.Item(file, file, split) for file, split in files]
    lengths: dict[str, tuple[int, float]] = {}
    if modality == "audio":
        items, lengths = _windows(items, folder, params.folder.seconds, pool)
    rows = found.labels.to_dict("records")
    labels = {row["file"]: {str(k): v for k, v in row.items() if k != "file"} for row in rows}
    return Found(modality, folder, items, labels, tree.others(folder, modality), lengths)


def make(params: Params, name: str, threads: int) -> None:
    """Cut recordings into windows, and write dataset and manifest.

    The labels decide nothing here; what is wrong with them is told before hours of training.

    Raises:
        InputError: where the tasks cannot be scored, or too much cannot be read.
    """
    modality, study = params.of_dataset(name)
    settings = params.folder
    assert settings is not None
    with library.workers(threads) as pool:
        found = look(params, pool)
        items, folder = found.items, found.folder
        if wrong := found.faults(params):
            raise InputError(listed(wrong))
        reasons = {item.id: item.reason for item in items if item.reason}

        def check_again(builder: Any, _: Path) -> None:
            reasons.update(builder.rejected)
            _check_rejected(items, reasons, settings, folder)

        builder = partial(
            library.Folder,
            folder=folder,
            items=[item for item in items if not item.reason],
            modality=modality,
            seconds=settings.seconds,
            sample_rate=settings.sample_rate,
            pool=pool,
        )
        write(params, name, builder, check_again)
    manifest = [
        {
            "id": item.id,
            "file": item.file,
            "directory": directory(item.file),
            "start": item.start,
            "split": split,
            "kept": item.id not in reasons,
            "reason": reasons.get(item.id, ""),
        }
        for split in study.splits
        for item in items
        if item.split == library.DRAWN_FROM[split]
    ]
    describe(params, name, manifest)
    print(
        f"folder: {len(items) - len(reasons)} inputs of {found.files} files, "
        f"{len(found.labels)} of them labelled; left out: {len(reasons)}"
        + (f", see {params.layout.manifest(name)}" if reasons else ""),
        file=sys.stderr,
    )
    for line in found.remarks(study):
        print(f"folder: {line}", file=sys.stderr)


def _windows(
    items: list[library.Item], folder: Path, seconds: float, pool: Executor
) -> tuple[list[library.Item], dict[str, tuple[int, float]]]:
    """The windows of recordings, in their order; the rate and length of those that can be read."""
    survey = partial(library.surveyed, folder=folder, seconds=seconds)
    surveys = zip(items, pool.map(survey, items, chunksize=16), strict=True)
    cut: list[library.Item] = []
    lengths = {}
    for item, found in progress(surveys, total=len(items), label="reading", unit="recordings"):
        if isinstance(found, str):  # its decoder ended the process
            cut.append(replace(item, reason=found))
            continue
        cut += library.windows(item, found)
        if found.starts:
            lengths[item.file] = found.rate, found.seconds
    return cut, lengths


def _check_rejected(
    items: list[library.Item], reasons: dict[str, str], settings: Folder, folder: Path
) -> None:
    """Refuse a folder of which too much, or all of a split, cannot be read."""
    if len(reasons) > settings.max_rejected * len(items):
        first = min(reasons)
        raise InputError(
            f"{folder}: {len(reasons)} of {len(items)} inputs cannot be read, "
            f"{100 * settings.max_rejected:g}% may be (folder.max_rejected); the first is "
            f"{first}: {reasons[first]}"
        )
    left = {item.split for item in items if item.id not in reasons}
    if absent := [split for split in SPLITS if split not in left]:
        raise InputError(f"{folder}: no file of the split {absent[0]} can be read")
