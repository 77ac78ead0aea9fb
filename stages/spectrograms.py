"""Turn a dataset's notes into log-mel spectrograms and tables of labels.

Reads a shard of the TFDS dataset that the stage dataset wrote. Writes, below the data folder of the
params file, for each of the splits train, valid and test, in the order of the dataset's files,

  <dataset>/shards/<shard>/<split>.npy       float16 in [0, 1], (notes, mel bands, frames)
  <dataset>/shards/<shard>/<split>.parquet   the labels, a row a note
  <dataset>/shards/<shard>/rejected.csv      the notes left out: none
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from study import cli
from study.errors import InputError
from study.extraction import Extraction, Job, extract, open_job, text_labels
from study.records import DamagedError, Example

if TYPE_CHECKING:
    import numpy as np

LABELS = ("label", "family", "source")


def main(arguments: list[str] | None = None) -> None:
    job = open_job(__doc__, "spectrograms", arguments)
    extract(job, how(job))


def how(job: Job) -> Extraction:
    """How a note becomes its spectrogram; the settings are tried before the work begins."""
    import numpy as np

    from shuffle_to_learn.features.spectrogram import LogMel

    data = job.source.labelled
    audio = data.features["audio"]["audio"]
    (samples,) = (int(length) for length in audio["shape"]["dimensions"])
    try:  # the settings against the length of a note
        log_mel = LogMel(sample_rate=int(audio["sampleRate"]), **job.study.features.model_dump())
        log_mel(np.zeros(samples, np.float32))
    except ValueError as error:
        raise InputError(f"{job.params_file}: audio.spectrograms: {error}") from None
    names = None if job.of_folder else {key: data.names(f"instrument/{key}") for key in LABELS}
    return Extraction(
        content=partial(_audio, samples=samples),
        transform=log_mel,
        labels=partial(_labels, names=names) if names else text_labels,
        dtype="<f2",
    )


def _audio(example: Example, samples: int) -> np.ndarray:
    """A note's samples, float32; TFDS stores numbers, of the embedded datasets their bytes."""
    import numpy as np

    stored = example.values("audio")
    if len(stored) == 1:
        try:
            audio = np.frombuffer(stored[0], "<f4")
        except ValueError as error:
            raise DamagedError from error
    else:
        audio = np.array(stored, np.float32)
    if len(audio) != samples:
        raise DamagedError(f"({len(audio)} samples in place of {samples})")
    return audio


def _labels(example: Example, names: dict[str, list[str]]) -> dict:
    """A note's labels, as numbers and as names."""
    label, family, source = (int(example[f"instrument/{key}"]) for key in LABELS)
    return {
        "id": example["id"].decode(),
        "instrument": label,
        "instrument_name": names["label"][label],
        "family": family,
        "family_name": names["family"][family],
        "pitch": int(example["pitch"]),
        "velocity": int(example["velocity"]),
        "source": names["source"][source],
    }


if __name__ == "__main__":
    cli.run(main)
