"""What embed_files and reorder share: a trained encoder, and features of a person's own files."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import NamedTuple

import numpy as np

from study import cli
from study.errors import InputError
from study.files import need
from study.params import Params, Recording
from study.paths import EncoderKey


def parser(description: str | None) -> argparse.ArgumentParser:
    """A command line with a trained encoder, and the settings that its features were made by."""
    result = cli.tool_parser(description, "the settings that the model was trained with")
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


class Input(NamedTuple):
    """An input in a file.

    Attributes:
        path: of the file.
        start: in seconds; 0 for a file that is one input.
        reason: why it cannot be read; empty if it can, or if that is not known yet.
    """

    path: Path
    start: float = 0.0
    reason: str = ""


class Reader(NamedTuple):
    """Makes features of files as a modality's dataset and extraction do, in any process.

    Attributes:
        modality: audio, video or images.
        settings: those of the extraction.
        recording: how recordings are read.
    """

    modality: str
    settings: dict
    recording: Recording

    def inputs(self, path: Path) -> list[Input]:
        """The inputs in a file: of a recording its windows, and what of it cannot be read."""
        if self.modality != "audio":
            return [Input(path)]
        from shuffle_to_learn.datasets.folder import survey

        starts, fault, end, _ = survey(path, self.recording.seconds)
        found = [Input(path, start) for start in starts]
        return [*found, Input(path, end, fault)] if fault else found

    def features(self, of: Input) -> np.ndarray | str:
        """The features of an input, or why it has none."""
        if of.reason:
            return of.reason
        if self.modality == "audio":
            from shuffle_to_learn.datasets.folder import read_window
            from shuffle_to_learn.features.spectrogram import log_mel

            rate, seconds = self.recording
            window = read_window(of.path, of.start, seconds, rate)
            if isinstance(window, str):
                return window
            return log_mel(window, sample_rate=rate, **self.settings)
        if self.modality == "video":
            from shuffle_to_learn.features.video import read_frames

            return read_frames(of.path, **self.settings)
        from shuffle_to_learn.features.pictures import read_picture

        try:
            return read_picture(of.path.read_bytes(), **self.settings)
        except OSError as error:
            return f"unreadable: {error.strerror}"


def reader(params: Params, modality: str) -> Reader:
    """What makes features of files for a modality's networks."""
    settings = params.study(modality).features.model_dump(exclude={"max_rejected"})
    return Reader(modality, settings, params.recording)
