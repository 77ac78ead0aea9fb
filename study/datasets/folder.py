"""The dataset folder: recordings cut into windows, clips or pictures of a user's own."""

from __future__ import annotations

import sys
from concurrent.futures import Executor
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from shuffle_to_learn.datasets import folder as library
from study.cli import progress
from study.datasets.labels import directory, read_labels, split_files
from study.datasets.writing import describe, write
from study.errors import InputError
from study.files import need_folder
from study.params import Params
from study.paths import SPLITS
from study.sections import Folder


def make(params: Params, name: str, threads: int) -> None:
    """Find the files, cut recordings into windows, and write dataset and manifest.

    Raises:
        InputError: where the folder or its labels are wrong, or too much cannot be read.
    """
    modality, study = params.of_dataset(name)
    settings, folder = params.folder, need_folder(study.source, f"{modality}.source")
    assert settings is not None
    names = library.files(folder, modality)
    if not names:
        known = ", ".join(library.SUFFIXES[modality])
        raise InputError(f"{folder} holds no files of {modality} ({known})")
    labels = read_labels(folder, names)
    splits = split_files(settings, folder, labels)
    items = [
        library.Item(name, name, splits.get(name, "train"), labels.get(name, {}), name in labels)
        for name in names
    ]
    with library.workers(threads) as pool:
        if modality == "audio":
            items = _windows(items, folder, settings.seconds, pool)
        reasons = {item.id: item.reason for item in items if item.reason}
        _check_rejected(items, reasons, settings, folder)

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
            "labelled": item.labelled,
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
        f"folder: {len(items) - len(reasons)} inputs of {len(names)} files, {len(labels)} of them "
        f"labelled; left out: {len(reasons)}"
        + (f", see {params.layout.manifest(name)}" if reasons else ""),
        file=sys.stderr,
    )


def _windows(
    items: list[library.Item], folder: Path, seconds: float, pool: Executor
) -> list[library.Item]:
    """The windows of recordings, in their order."""
    cut = partial(library.windows, folder=folder, seconds=seconds)
    found = zip(items, pool.map(cut, items, chunksize=16), strict=True)
    shown = progress(found, total=len(items), label="reading", unit="recordings")
    return [
        window
        for item, cut in shown
        for window in ([replace(item, reason=cut)] if isinstance(cut, str) else cut)
    ]


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
