"""Turn a dataset's notes into log-mel spectrograms and tables of labels.

Reads a shard of the TFDS dataset that the stage dataset wrote. Writes, below the data folder of the
params file, for each of the splits train, valid and test, in the order of the dataset's files,

  <dataset>/shards/<shard>/<split>.npy       float16 in [0, 1], (notes, mel bands, frames)
  <dataset>/shards/<shard>/<split>.parquet   the labels, a row a note
  <dataset>/shards/<shard>/rejected.csv      the notes left out: none
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

from stages import common
from stages.errors import InputError
from stages.extraction import Extraction, extract, own_labels
from stages.params import load_params
from stages.runtime import start_tensorflow
from stages.sources import open_dataset


def main(arguments: list[str] | None = None) -> None:
    args = common.parser(__doc__, "dataset", "shard").parse_args(arguments)
    params = load_params(args.params)
    study = params.study_of(args.dataset, "spectrograms")
    folder = common.need(params.layout.dataset(args.dataset), "dataset")
    threads = common.threads(params.threads.spectrograms)
    start_tensorflow(threads)
    import numpy as np

    from shuffle_to_learn.spectrogram import log_mel

    source = open_dataset(folder, args.dataset, study.splits)
    builder = source.builder
    audio = builder.info.features["audio"]
    settings = study.spectrograms.model_dump()
    transform = partial(log_mel, sample_rate=audio.sample_rate, **settings)
    try:  # the settings against the length of a note, before the work begins
        transform(np.zeros(audio.shape, np.float32))
    except ValueError as error:
        raise InputError(f"{args.params}: audio.spectrograms: {error}") from None
    how = Extraction(
        content=lambda example: example["audio"],
        transform=transform,
        labels=own_labels if args.dataset == "folder" else _labels(builder),
        dtype="<f2",
    )
    extract(source, study, how, number=args.shard, threads=threads, layout=params.layout)


def _labels(builder: Any) -> Callable[[dict], dict]:
    return partial(_note, instrument=builder.info.features["instrument"])


def _note(example: dict, instrument: Any) -> dict:
    label, family, source = (
        int(example["instrument"][key]) for key in ("label", "family", "source")
    )
    return {
        "id": example["id"].decode(),
        "instrument": label,
        "instrument_name": instrument["label"].int2str(label),
        "family": family,
        "family_name": instrument["family"].int2str(family),
        "pitch": int(example["pitch"]),
        "velocity": int(example["velocity"]),
        "source": instrument["source"].int2str(source),
    }


if __name__ == "__main__":
    common.run(main)
