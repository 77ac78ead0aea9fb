"""What embed_files and reorder share: a trained encoder, and features of a person's own files."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from pathlib import Path

import numpy as np

from study import cli
from study.errors import InputError
from study.files import need
from study.params import Params, Recording
from study.paths import EncoderKey


def parser(description: str | None) -> argparse.ArgumentParser:
    """A command line with a trained encoder, and the settings that its features were made by."""
    result = cli.parser(description, "the settings that the model was trained with")
    result.add_argument(
        "--model",
        type=Path,
        required=True,
        help="a cfn.keras of the stage pretrain, whose folders say what it is: "
        ".../<modality>/<slicing>/<method>/<seed>/cfn.keras",
    )
    for name in ("modality", "slicing", "method"):
        result.add_argument(f"--{name}", help="where the model's folders do not say it")
    return result


def encoder_key(args: argparse.Namespace, params: Params) -> EncoderKey:
    """Which encoder a model is, by the options or else by the folders that it lies in.

    Raises:
        InputError: where neither says so.
    """
    need(args.model, "pretrain")
    folders = args.model.resolve().parts[-5:-1]
    told = dict(zip(("modality", "slicing", "method", "seed"), folders, strict=False))
    for name in ("modality", "slicing", "method"):
        told[name] = getattr(args, name) or told.get(name, "")
    seed = told.get("seed", "")
    try:
        return params.encoder_key(
            told["modality"], told["slicing"], told["method"], int(seed) if seed.isdigit() else 0
        )
    except InputError as error:
        raise InputError(
            f"{error} (by the folders of {args.model}: where they do not say what it is, give "
            "--modality, --slicing and --method)"
        ) from None


Reader = Callable[[Path], Iterable[tuple[float, np.ndarray | str]]]
"""Yields a file's inputs: the second that each starts at, and its features or why it has none."""


def reader(params: Params, modality: str) -> Reader:
    """What makes features of files as a modality's dataset and extraction do."""
    settings = params.study(modality).features.model_dump(exclude={"max_rejected"})
    if modality == "audio":
        return partial(_windows, settings=settings, recording=params.recording)
    if modality == "video":
        from shuffle_to_learn.features.video import read_frames

        return lambda path: [(0.0, read_frames(path, **settings))]
    from shuffle_to_learn.features.pictures import read_picture

    return lambda path: [(0.0, read_picture(path.read_bytes(), **settings))]


def _windows(
    path: Path, settings: dict, recording: Recording
) -> Iterator[tuple[float, np.ndarray | str]]:
    """The windows of a recording as spectrograms."""
    from shuffle_to_learn.datasets.folder import read_window, window_starts
    from shuffle_to_learn.features.spectrogram import log_mel

    rate, seconds = recording
    starts = window_starts(path, seconds)
    if isinstance(starts, str):
        yield 0.0, starts
        return
    for start in starts:
        window = read_window(path, start, seconds, rate)
        if isinstance(window, str):
            yield start, window
        else:
            yield start, log_mel(window, sample_rate=rate, **settings)
