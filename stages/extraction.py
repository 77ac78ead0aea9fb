"""What the extraction stages share: a dataset's examples in, features and labels out."""

from __future__ import annotations

import sys
import warnings
from collections.abc import Callable, Iterator
from concurrent.futures.process import BrokenProcessPool
from contextlib import ExitStack
from itertools import islice
from math import prod
from pathlib import Path
from typing import Any, NamedTuple

from stages import common
from stages.errors import InputError
from stages.params import Study
from stages.paths import Paths
from stages.sources import Shard, Source

CHUNK = 64  # examples a worker in memory at a time: of audio 16 MiB


class Extraction(NamedTuple):
    """How an example becomes features.

    Attributes:
        content: what of an example goes to a worker.
        transform: a worker's part; returns an array, or in a few words why there is none.
        labels: the row of an example in the table of labels; its ``id`` comes first.
        dtype: as numpy writes it.
        decoders: of the TFDS features that are read as they are stored.
    """

    content: Callable[[dict], Any]
    transform: Callable[[Any], Any]
    labels: Callable[[dict], dict]
    dtype: str
    decoders: Any = None


def own_labels(example: dict) -> dict:
    """The labels of a file of your own: a text a column, as labels.csv has them."""
    import json

    return {
        **json.loads(example["labels"]),
        "id": example["id"].decode(),
        "labelled": bool(example["labelled"]),
    }


def extract(
    source: Source, study: Study, how: Extraction, *, number: int, threads: int, layout: Paths
) -> None:
    """Write the features and labels of a shard of each split, and what was rejected, all or none.

    Raises:
        InputError: where a split is damaged, or the disk is too small.
    """
    import pandas as pd

    # joblib's word about the rest of its work, after an error of ours.
    warnings.filterwarnings("ignore", message=".*tasks have been successfully executed")
    if number not in study.shards:
        raise InputError(f"--shard {number}: use one of the params file's: {study.shards}")
    shard, rejected, total = Shard(number, len(study.shards)), [], 0
    paths = [layout.shard(source.name, number, f"{split}.npy") for split in study.splits]
    _check_disk(source, study, how, shard, layout)
    with ExitStack() as outputs:
        for split, path in zip(study.splits, paths, strict=True):
            features, labels = (
                outputs.enter_context(common.atomic(path.with_suffix(suffix)))
                for suffix in (".npy", ".parquet")
            )
            try:
                own, count = _split(source, split, shard, study, how, threads, features, labels)
            except BrokenProcessPool:
                raise InputError(
                    f"{split}: a process that reads {study.unit} was killed: give the machine more "
                    f"memory, or fewer cores with threads"
                ) from None
            rejected += own
            total += count
        path = layout.shard(source.name, number, "rejected.csv")
        table = pd.DataFrame(rejected, columns=["split", "id", "reason"])
        table.to_csv(outputs.enter_context(common.atomic(path)), index=False)
    print(
        f"{source.name}: features of {total - len(rejected)} of {total} {study.unit}; "
        f"rejected: {len(rejected)}",
        file=sys.stderr,
    )


def _check_disk(source: Source, study: Study, how: Extraction, shard: Shard, layout: Paths) -> None:
    """Say how much disk the features take; there has to be enough for all shards yet to be made."""
    import numpy as np

    count = sum(source.expected(split, shard) for split in study.splits)
    size = count * prod(study.shape) * np.dtype(how.dtype).itemsize
    listed = [layout.shard(source.name, number, "rejected.csv") for number in study.shards]
    others = sum(not path.exists() for path in listed) - (not listed[shard.number].exists())
    what = f"{source.name}: features of {count} {study.unit}"
    if shard.count > 1:
        what += (
            f", in shard {shard.number} of {shard.count} and as many in each of {others} to come"
        )
    common.check_disk(listed[shard.number].parent, (1 + others) * size, what)


def _split(
    source: Source,
    split: str,
    shard: Shard,
    study: Study,
    how: Extraction,
    threads: int,
    features: Path,
    labels: Path,
) -> tuple[list[dict], int]:
    """Write one split; what was rejected and why, and of how many examples."""
    import pandas as pd
    from joblib import Parallel, delayed

    examples = source.examples(split, shard, study.unit, how.decoders)
    rows: list[dict] = []
    work = delayed(how.transform)

    def results() -> Iterator[Any]:
        # A chunk at a time, since Parallel does not wait for whoever takes its results. Processes,
        # since librosa holds the interpreter for half of the time; they do not load TensorFlow.
        with Parallel(
            threads, return_as="generator", pre_dispatch="4*n_jobs", batch_size=16, max_nbytes=None
        ) as parallel:
            while chunk := list(islice(examples, CHUNK * threads)):
                rows.extend(
                    how.labels(example) | dict.fromkeys(untold) for example, untold in chunk
                )
                yield from parallel(work(how.content(example)) for example, _ in chunk)

    count = source.expected(split, shard)
    kept, rejected = [], []
    with common.growing_array(features, how.dtype, study.shape) as add:
        shown = common.progress(results(), total=count, label=split, unit=study.unit)
        for place, result in enumerate(shown):
            if isinstance(result, str):
                rejected.append({"split": split, "id": rows[place]["id"], "reason": result})
            else:
                kept.append(place)
                add(result)
    pd.DataFrame([rows[place] for place in kept]).to_parquet(labels, index=False)
    return rejected, len(rows)
