"""The video files behind the inputs of a video study. Workers import this: nothing heavy."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from shuffle_to_learn.datasets.tree import located
from shuffle_to_learn.features.video import read_frames
from study.errors import InputError
from study.files import need
from study.paths import downloaded
from study.records import Example
from study.sources import Shard, Source, open_dataset

if TYPE_CHECKING:
    from study.params import Params, Study

CHUNK = 64  # examples that are read at a time


def videos(source: Source, study: Study, by_hand: Path | None) -> Path:
    """The folder that the paths in a dataset start from.

    Args:
        source: the dataset.
        study: whose inputs they are.
        by_hand: of a public dataset the folder that a person filled.
    """
    if study.dataset == "folder":
        return Path(study.source)
    return by_hand or source.labelled.folder


def path(example: Example, videos: Path) -> Path:
    """The file of a clip."""
    return located(videos, example["video"].decode())


def watch(params: Params, split: str, rows: Sequence[int], size: int) -> np.ndarray:
    """Clips of the video study as a person sees them: in colour and with their background.

    Args:
        params: the study.
        split: of the clips.
        rows: which of the split's features they have.
        size: side of the pictures, in pixels.

    Returns:
        uint8, shape (rows, frames, size, size, 3): the frames that the features were made of.

    Raises:
        InputError: a file cannot be read.
    """
    import pandas as pd

    from study.params import PUBLIC

    study = params.study("video")
    where = need(params.layout.dataset(study.dataset), "dataset")
    ids = pd.read_parquet(need(params.layout.ids(study.dataset, split), "join"))["id"]
    wanted = list(ids.iloc[list(rows)])
    source = open_dataset(where, study.dataset, study.splits)
    by_hand = None
    if study.dataset in PUBLIC:
        by_hand = downloaded(getattr(params, study.dataset).data_dir, study.dataset)
    folder = videos(source, study, by_hand)
    files = {
        example["id"].decode(): path(example, folder)
        for span in source.spans(split, Shard(0, 1), study.unit, CHUNK)
        for example, _ in span.examples()
        if example["id"].decode() in wanted
    }
    settings = study.features.model_dump(include={"count", "skip"})
    films = []
    for name in wanted:
        film = read_frames(files[name], **settings, size=size, channels="rgb", background="keep")
        if isinstance(film, str):
            raise InputError(f"{files[name]}: {film}")
        films.append(film)
    return np.stack(films)
