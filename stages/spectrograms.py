"""Turn a dataset's notes into log-mel spectrograms and tables of labels.

Reads the TFDS dataset that the stage dataset wrote. Writes, below the data folder of the params
file, for each of the splits train, valid and test, in the order of the dataset's files,

  <dataset>/features/<split>.npy       float16 in [0, 1], (notes, mel bands, frames)
  <dataset>/features/<split>.parquet   the labels, a row a note
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any

from stages import common
from stages.errors import InputError
from stages.params import load_params
from stages.paths import SPLITS, Paths
from stages.runtime import start_tensorflow

CHUNK = 64  # notes a worker in memory at a time: 16 MiB of audio


def main(arguments: list[str] | None = None) -> None:
    args = common.parser(__doc__, "dataset").parse_args(arguments)
    params = load_params(args.params)
    if args.dataset != params.audio.dataset:
        raise InputError(
            f"unknown dataset {args.dataset!r}: {args.params} has {params.audio.dataset}"
        )
    folder = common.need(params.layout.dataset(args.dataset), "dataset")
    threads = common.threads(params.threads.spectrograms)
    start_tensorflow(threads)
    import numpy as np

    from shuffle_to_learn.spectrogram import log_mel

    builder = open_dataset(folder)
    # joblib's word about the rest of its work, after an error of ours.
    warnings.filterwarnings("ignore", message=".*tasks have been successfully executed")
    audio = builder.info.features["audio"]
    settings = params.audio.spectrograms
    transform = partial(log_mel, sample_rate=audio.sample_rate, **settings.model_dump())
    try:  # the settings against the length of a note, before the work begins
        transform(np.zeros(audio.shape, np.float32))
    except ValueError as error:
        raise InputError(f"{args.params}: audio.spectrograms: {error}") from None
    for split in SPLITS:
        extract(
            builder,
            split,
            transform,
            shape=(settings.n_mels, settings.frames),
            threads=threads,
            layout=params.layout,
            dataset=args.dataset,
        )


def open_dataset(folder: Path) -> Any:
    """The TFDS builder of the one dataset in a folder."""
    import tensorflow_datasets as tfds
    from absl import logging

    logging.set_verbosity(logging.FATAL)
    infos = sorted(folder.glob("**/dataset_info.json"))
    if len(infos) != 1:
        raise InputError(
            f"{folder} does not hold one dataset_info.json: delete it and run the stage dataset"
        )
    with common.reading(infos[0].parent, "dataset"):
        builder = tfds.builder_from_directory(infos[0].parent)
        if missing := [split for split in SPLITS if split not in builder.info.splits]:
            raise ValueError(f"no split {missing[0]}")
    return builder


def _damage(builder: Any, split: str) -> str:
    """Names the file of a split that cannot be read to its end."""
    import tensorflow as tf

    info = builder.info.splits[split]
    for path, length in zip(info.filepaths, info.shard_lengths, strict=True):
        if not Path(path).is_file():
            return f"{path} is missing"
        try:
            found = sum(1 for _ in tf.data.TFRecordDataset(str(path)))
        except tf.errors.OpError:
            return f"{path} is damaged"
        if found != length:
            return f"{path} is damaged ({found} notes in place of {length})"
    return f"the split {split} in {builder.data_dir} is damaged"


def _examples(builder: Any, split: str) -> Iterator[dict]:
    """A split's examples as numpy arrays, in the order of its files."""
    import tensorflow as tf
    import tensorflow_datasets as tfds

    config = tfds.ReadConfig(interleave_cycle_length=1, try_autocache=False)
    unreadable = tf.errors.OpError
    found = 0
    try:
        for example in tfds.as_numpy(builder.as_dataset(split=split, read_config=config)):
            found += 1
            yield example
    except unreadable:
        found = -1
    if found != builder.info.splits[split].num_examples:
        raise InputError(
            f"{_damage(builder, split)}: delete the dataset and run the stage dataset again"
        )


def extract(
    builder: Any,
    split: str,
    transform: Callable,
    *,
    shape: tuple[int, int],
    threads: int,
    layout: Paths,
    dataset: str,
) -> None:
    """Write one split's spectrograms, of ``shape``, and labels."""
    import numpy as np
    import pandas as pd
    from joblib import Parallel, delayed

    instrument = builder.info.features["instrument"]
    examples = _examples(builder, split)
    rows: list[dict] = []

    def spectrograms() -> Iterator[np.ndarray]:
        # A chunk at a time, since Parallel does not wait for whoever takes its results. Processes,
        # since librosa holds the interpreter for half of the time; they do not load TensorFlow.
        with Parallel(
            threads, return_as="generator", pre_dispatch="4*n_jobs", batch_size=16, max_nbytes=None
        ) as parallel:
            while chunk := list(islice(examples, CHUNK * threads)):
                rows.extend(_labels(example, instrument) for example in chunk)
                yield from parallel(delayed(transform)(example["audio"]) for example in chunk)

    count = builder.info.splits[split].num_examples
    with (
        common.atomic(layout.labels(dataset, split)) as labels,
        common.atomic(layout.features(dataset, split)) as features,
    ):
        # Written, not mapped: on a full disk a mapped file ends the process without a word.
        with features.open("wb") as file:
            header = {"descr": "<f2", "fortran_order": False, "shape": (count, *shape)}
            np.lib.format.write_array_header_1_0(file, header)
            for image in common.progress(spectrograms(), total=count, label=split, unit="notes"):
                file.write(image.astype("<f2").tobytes())
        pd.DataFrame(rows).to_parquet(labels, index=False)


def _labels(example: dict, instrument: Any) -> dict:
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
