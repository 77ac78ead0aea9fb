"""Turn a dataset's notes into log-mel spectrograms and tables of labels.

Reads a shard of the TFDS dataset that the stage dataset wrote. Writes, below the data folder of the
params file, for each of the splits train, valid and test, in the order of the dataset's files,

  <dataset>/shards/<shard>/<split>.npy       float16 in [0, 1], (notes, mel bands, frames)
  <dataset>/shards/<shard>/<split>.parquet   the labels, a row a note
  <dataset>/shards/<shard>/rejected.csv      the notes left out: none
"""

from __future__ import annotations

from functools import partial
from typing import Any

from study import cli
from study.errors import InputError
from study.extraction import Extraction, extract, folder_labels, open_job


def main(arguments: list[str] | None = None) -> None:
    job = open_job(__doc__, "spectrograms", arguments)
    import numpy as np

    from shuffle_to_learn.features.spectrogram import log_mel

    features = job.source.builder.info.features
    audio = features["audio"]
    settings = job.study.features.model_dump()
    transform = partial(log_mel, sample_rate=audio.sample_rate, **settings)
    try:  # the settings against the length of a note, before the work begins
        transform(np.zeros(audio.shape, np.float32))
    except ValueError as error:
        raise InputError(f"{job.params_file}: audio.spectrograms: {error}") from None
    how = Extraction(
        content=lambda example: example["audio"],
        transform=transform,
        labels=folder_labels
        if job.of_folder
        else partial(_labels, instrument=features["instrument"]),
        dtype="<f2",
    )
    extract(job, how)


def _labels(example: dict, instrument: Any) -> dict:
    """A note's labels, as numbers and as names."""
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
    cli.run(main)
