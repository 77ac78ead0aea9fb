"""The paper's datasets as TFDS prepared them: a pointer to where they are, nothing is copied."""

from __future__ import annotations

import json
import sys
from functools import partial
from pathlib import Path

from shuffle_to_learn.datasets import public
from shuffle_to_learn.datasets.something_something import SomethingSomethingV2
from study.datasets.writing import describe, write
from study.errors import InputError
from study.files import atomic, write_text
from study.params import Params
from study.paths import downloaded
from study.sections import Public
from study.sources import POINTER, open_dataset, open_prepared

NEEDED = ("labels/labels.json", "labels/train.json", "labels/validation.json")
VIDEOS = "20bn-something-something-v2"


def make(params: Params, name: str, threads: int) -> None:
    """Write the pointer, of Something-Something a dataset of the videos' paths, and the manifest.

    The manifest has a row for each part of a split. It says nothing of single examples, since no
    record is read here: ImageNet alone would be 144 GB.

    Raises:
        InputError: where what TFDS or a person was to prepare is not there.
    """
    settings = getattr(params, name)
    _, study = params.of_dataset(name)
    folder = params.layout.dataset(name)
    pointer = json.dumps(settings.model_dump(), indent=2)
    if name == "something_something_v2":
        _write_paths(params, settings, pointer)
    else:
        parts = public.SPLITS[name](settings.held_out_share)
        for dataset in {part.dataset: None for split in parts.values() for part in split}:
            open_prepared(folder, Path(settings.data_dir), dataset)
        with atomic(folder) as temporary:
            temporary.mkdir()
            write_text(temporary / POINTER, pointer)
    source = open_dataset(folder, name, study.splits)
    manifest = [
        {
            "dataset": part.dataset,
            "of_split": part.split,
            "low": part.low,
            "high": part.high,
            "examples": prepared.splits[part.split].num_examples,
            "split": split,
        }
        for split in study.splits
        for prepared, part in source.parts[split]
    ]
    describe(params, name, manifest)
    print(f"{name}: as TFDS has it in {settings.data_dir}", file=sys.stderr)


def _write_paths(params: Params, settings: Public, pointer: str) -> None:
    """Write the dataset of Something-Something, for which TFDS has no loader."""
    name = "something_something_v2"
    folder = downloaded(settings.data_dir, name)
    how = public.PREPARE[name].format(settings.data_dir)
    for file in NEEDED:
        if not (folder / file).is_file():
            raise InputError(f"{folder / file} does not exist: {how}")
    if not (folder / VIDEOS).is_dir():
        raise InputError(f"{folder / VIDEOS} does not exist: {how}")
    write(
        params,
        name,
        partial(SomethingSomethingV2, folder=folder),
        lambda _, written: write_text(written / POINTER, pointer),
    )
