"""Turn a dataset's notes into log-mel spectrograms and tables of labels.

Reads the TFDS dataset that the stage dataset wrote. Writes, below the data folder of the params
file, for each of the splits train, valid and test,

  <dataset>/features/<split>.npy       float16 in [0, 1], (notes, mel bands, frames)
  <dataset>/features/<split>.parquet   the labels, in the same order
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from itertools import islice
from typing import Any

from stages import common
from stages.errors import InputError
from stages.params import Params, load_params
from stages.paths import SPLITS

_CHUNK = 512  # notes in memory at a time: 128 MiB of audio


def main(arguments: list[str] | None = None) -> None:
    args = common.parser(__doc__, "dataset").parse_args(arguments)
    params = load_params(args.params)
    if args.dataset != params.audio.dataset:
        raise InputError(f"unknown dataset {args.dataset!r}: {args.params} uses {params.audio.dataset}")
    folder = common.need(params.layout.dataset(args.dataset), "dataset")
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    import tensorflow_datasets as tfds

    infos = sorted(folder.glob("**/dataset_info.json"))
    if len(infos) != 1:
        raise InputError(f"{folder} does not hold one TFDS dataset: run the stage dataset again")
    builder = tfds.builder_from_directory(infos[0].parent)
    for split in SPLITS:
        _extract(builder, params, args.dataset, split)


def _extract(builder: Any, params: Params, dataset: str, split: str) -> None:
    import numpy as np
    import pandas as pd
    import tensorflow_datasets as tfds
    from joblib import Parallel, delayed

    from shuffle_to_learn.spectrogram import log_mel

    settings = params.audio.spectrograms
    count = builder.info.splits[split].num_examples
    names = {key: builder.info.features["instrument"][key] for key in ("label", "family", "source")}
    config = tfds.ReadConfig(interleave_cycle_length=1, try_autocache=False)
    examples = iter(tfds.as_numpy(builder.as_dataset(split=split, read_config=config)))
    rows: list[dict] = []

    def audio(chunk: list[dict]) -> Iterator[Any]:
        for example in chunk:
            instrument = example["instrument"]
            rows.append(
                {
                    "id": example["id"].decode(),
                    "instrument": int(instrument["label"]),
                    "instrument_name": names["label"].int2str(int(instrument["label"])),
                    "family": int(instrument["family"]),
                    "family_name": names["family"].int2str(int(instrument["family"])),
                    "pitch": int(example["pitch"]),
                    "velocity": int(example["velocity"]),
                    "source": names["source"].int2str(int(instrument["source"])),
                }
            )
            yield delayed(log_mel)(
                example["audio"],
                sample_rate=builder.info.features["audio"].sample_rate,
                **settings.model_dump(),
            )

    def spectrograms(parallel: Parallel) -> Iterator[np.ndarray]:
        while chunk := list(islice(examples, _CHUNK)):
            yield from parallel(audio(chunk))

    with common.atomic(params.layout.features(dataset, split)) as temporary:
        out = np.lib.format.open_memmap(
            temporary, "w+", np.float16, (count, settings.n_mels, settings.frames)
        )
        threads = common.threads(params.threads.spectrograms)
        with Parallel(
            threads, return_as="generator", pre_dispatch="2*n_jobs", batch_size=8, max_nbytes=None
        ) as parallel:
            results = spectrograms(parallel)
            for i, image in enumerate(
                common.progress(results, total=count, label=split, unit="notes")
            ):
                out[i] = image
        out.flush()
        del out
    with common.atomic(params.layout.labels(dataset, split)) as temporary:
        pd.DataFrame(rows).to_parquet(temporary, index=False)


if __name__ == "__main__":
    common.run(main)
