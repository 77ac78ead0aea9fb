"""What the extraction stages share: a dataset's examples in, features and labels out."""

from __future__ import annotations

import json
import sys
import warnings
from collections.abc import Callable, Iterator
from concurrent.futures.process import BrokenProcessPool
from contextlib import ExitStack
from itertools import islice
from math import prod
from pathlib import Path
from typing import Any, NamedTuple

from study import cli
from study.errors import InputError
from study.files import atomic, check_disk, growing_array, need
from study.params import PUBLIC, Study
from study.paths import Paths, downloaded
from study.sources import Shard, Source, open_dataset
from study.tensorflow import start_tensorflow

CHUNK = 64  # examples a worker in memory at a time: of audio 16 MiB


class Job(NamedTuple):
    """What one job extracts, and from where.

    Attributes:
        source: the dataset.
        study: whose features they are.
        shard: which of equal parts of the dataset.
        threads: processes that work.
        layout: where the files go.
        params_file: which file said so.
        downloaded: of a public dataset the folder that a person filled by hand.
    """

    source: Source
    study: Study
    shard: Shard
    threads: int
    layout: Paths
    params_file: Path
    downloaded: Path | None

    @property
    def of_folder(self) -> bool:
        """Whether the inputs are files of a user's own."""
        return self.study.dataset == "folder"


class Extraction(NamedTuple):
    """How an example becomes features.

    Attributes:
        content: what of an example goes to a worker.
        transform: a worker's part; returns an array, or in a few words why there is none.
        labels: the row of an example in the table of labels; its ``id`` comes first.
        dtype: as numpy writes it.
        decoders: for the TFDS features that are read as they are stored.
    """

    content: Callable[[dict], Any]
    transform: Callable[[Any], Any]
    labels: Callable[[dict], dict]
    dtype: str
    decoders: Any = None


def open_job(description: str | None, stage: str, arguments: list[str] | None) -> Job:
    """Read the command line of an extraction stage, start TensorFlow and open the dataset.

    Raises:
        InputError: where the options or the params file are wrong, or the dataset is not there.
    """
    names = ("dataset", "shard", "threads")
    args, params = cli.open_stage(description, *names, arguments=arguments)
    study = params.extracted_by(args.dataset, stage)
    if args.shard not in study.shards:
        raise InputError(f"--shard {args.shard}: use one of the params file's: {study.shards}")
    folder = need(params.layout.dataset(args.dataset), "dataset")
    threads = cli.threads(args, getattr(params.threads, stage))
    start_tensorflow(threads)
    by_hand = None
    if args.dataset in PUBLIC:
        by_hand = downloaded(getattr(params, args.dataset).data_dir, args.dataset)
    return Job(
        source=open_dataset(folder, args.dataset, study.splits),
        study=study,
        shard=Shard(args.shard, len(study.shards)),
        threads=threads,
        layout=params.layout,
        params_file=args.params,
        downloaded=by_hand,
    )


def folder_labels(example: dict) -> dict:
    """The labels of a user's own file: a text a column, as labels.csv has them."""
    return {
        **json.loads(example["labels"]),
        "id": example["id"].decode(),
        "labelled": bool(example["labelled"]),
    }


def extract(job: Job, how: Extraction) -> None:
    """Write the features and labels of a shard of each split, and what was rejected, all or none.

    Raises:
        InputError: where a split is damaged, or the disk is too small.
    """
    import pandas as pd

    # joblib's word about the rest of its work, after an error of ours.
    warnings.filterwarnings("ignore", message=".*tasks have been successfully executed")
    name, study, number = job.source.name, job.study, job.shard.number
    rejected: list[dict] = []
    total = 0
    _check_disk(job, how)
    with ExitStack() as outputs:
        for split in study.splits:
            features, labels = (
                outputs.enter_context(atomic(job.layout.shard(name, number, f"{split}{suffix}")))
                for suffix in (".npy", ".parquet")
            )
            try:
                left_out, count = _split(job, split, how, features, labels)
            except BrokenProcessPool:
                raise InputError(
                    f"{split}: a process that reads {study.unit} was killed: give the machine more "
                    f"memory, or fewer cores with threads"
                ) from None
            rejected += left_out
            total += count
        table = pd.DataFrame(rejected, columns=["split", "id", "reason"])
        listed = outputs.enter_context(atomic(job.layout.shard(name, number, "rejected.csv")))
        table.to_csv(listed, index=False)
    print(
        f"{name}: features of {total - len(rejected)} of {total} {study.unit}; "
        f"rejected: {len(rejected)}",
        file=sys.stderr,
    )


def _check_disk(job: Job, how: Extraction) -> None:
    """Say how much disk the features take; there has to be enough for all shards yet to be made."""
    import numpy as np

    source, study, shard = job.source, job.study, job.shard
    count = sum(source.expected(split, shard) for split in study.splits)
    size = count * prod(study.shape) * np.dtype(how.dtype).itemsize
    listed = [job.layout.shard(source.name, n, "rejected.csv") for n in study.shards]
    others = sum(not path.exists() for path in listed) - (not listed[shard.number].exists())
    what = f"{source.name}: features of {count} {study.unit}"
    if shard.count > 1:
        what += (
            f", in shard {shard.number} of {shard.count} and as many in each of {others} to come"
        )
    check_disk(listed[shard.number].parent, (1 + others) * size, what)


def _split(
    job: Job, split: str, how: Extraction, features: Path, labels: Path
) -> tuple[list[dict], int]:
    """Write one split.

    Returns:
        What was rejected and why, and of how many examples.
    """
    import pandas as pd
    from joblib import Parallel, delayed

    study, workers = job.study, job.threads
    examples = job.source.examples(split, job.shard, study.unit, how.decoders)
    rows: list[dict] = []
    work = delayed(how.transform)

    def results() -> Iterator[Any]:
        # A chunk at a time, since Parallel does not wait for whoever takes its results. Processes,
        # since librosa holds the interpreter for half of the time; they do not load TensorFlow.
        with Parallel(
            workers, return_as="generator", pre_dispatch="4*n_jobs", batch_size=16, max_nbytes=None
        ) as parallel:
            while chunk := list(islice(examples, CHUNK * workers)):
                rows.extend(
                    how.labels(example) | dict.fromkeys(untold) for example, untold in chunk
                )
                yield from parallel(work(how.content(example)) for example, _ in chunk)

    count = job.source.expected(split, job.shard)
    kept, rejected = [], []
    with growing_array(features, how.dtype, study.shape) as add:
        shown = cli.progress(results(), total=count, label=split, unit=study.unit)
        for place, result in enumerate(shown):
            if isinstance(result, str):
                rejected.append({"split": split, "id": rows[place]["id"], "reason": result})
            else:
                kept.append(place)
                add(result)
    pd.DataFrame([rows[place] for place in kept]).to_parquet(labels, index=False)
    return rejected, len(rows)
