"""What embed_files and reorder share: a trained encoder, and features of files of your own."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from pathlib import Path

import numpy as np

from shuffle_to_learn.views import View
from stages import common, frames, images
from stages.errors import InputError
from stages.params import Params
from stages.paths import Encoder

NOTES = (16_000, 4.0)  # Hz and seconds, of the embedded dataset


def parser(description: str | None) -> argparse.ArgumentParser:
    """A command line with a trained encoder, and settings that its features were made by."""
    result = argparse.ArgumentParser(
        description=description, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    result.add_argument(
        "--model",
        type=Path,
        required=True,
        help="a cfn.keras of the stage pretrain, whose folders say what it is: "
        ".../<modality>/<view>/<method>/<seed>/cfn.keras",
    )
    for name in ("modality", "view", "method"):
        result.add_argument(f"--{name}", help="where the model's folders do not say it")
    result.add_argument(
        "--params",
        type=Path,
        default=Path("params.yaml"),
        metavar="FILE",
        help="the settings that the model was trained with (default: params.yaml)",
    )
    return result


def encoder_of(args: argparse.Namespace, params: Params) -> Encoder:
    """What a model is, by the options or else by the folders that it lies in."""
    common.need(args.model, "pretrain")
    folders = args.model.resolve().parts[-5:-1]
    told = dict(zip(("modality", "view", "method", "seed"), folders, strict=False))
    for name in ("modality", "view", "method"):
        told[name] = getattr(args, name) or told.get(name, "")
    seed = told.get("seed", "")
    try:
        return params.encoder(
            told["modality"], told["view"], told["method"], int(seed) if seed.isdigit() else 0
        )
    except InputError as error:
        raise InputError(
            f"{error} (by the folders of {args.model}: where they do not say what it is, give "
            "--modality, --view and --method)"
        ) from None


def patches_shape(params: Params, e: Encoder) -> tuple[int, ...]:
    """Of the network's inputs."""
    study, view = params.study(e.modality), View.parse(e.view)
    return view.patches, *view.tile_shape(study.shape, study.pretrain.gap)


Reader = Callable[[Path], Iterable[tuple[float, np.ndarray | str]]]
"""Of a file each input: the second that it starts at, and its features or why there are none."""


def reader(params: Params, modality: str) -> Reader:
    """What makes features of files as a modality's dataset and extraction do."""
    return {"audio": _windows, "video": _clip, "images": _picture}[modality](params)


def _windows(params: Params) -> Reader:
    from shuffle_to_learn.folder import read_window, window_starts
    from shuffle_to_learn.spectrogram import log_mel

    study = params.studies["audio"]
    own = params.folder if study.dataset == "folder" else None
    rate, seconds = (own.sample_rate, own.seconds) if own else NOTES
    settings = getattr(study, study.extraction).model_dump()
    transform = partial(log_mel, sample_rate=rate, **settings)

    def read(path: Path) -> Iterator[tuple[float, np.ndarray | str]]:
        starts = window_starts(path, seconds)
        if isinstance(starts, str):
            yield 0.0, starts
            return
        for start in starts:
            window = read_window(path, start, seconds, rate)
            yield start, window if isinstance(window, str) else transform(window)

    return read


def _clip(params: Params) -> Reader:
    own = params.study("video").model_dump()["frames"]
    own["frames"] = own.pop("count")
    own.pop("max_rejected")
    return lambda path: [(0.0, frames.read(path, **own))]


def _picture(params: Params) -> Reader:
    own = params.study("images").model_dump()["images"]
    own.pop("max_rejected")
    return lambda path: [(0.0, images.read(path.read_bytes(), **own))]
