"""What the extraction stages share: a dataset's examples in, features and labels out."""

from __future__ import annotations

import json
import multiprocessing
import os
import signal
import sys
import tempfile
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import ExitStack, contextmanager
from math import prod
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from shuffle_to_learn.datasets.memory import keeping_memory
from study import cli
from study.errors import InputError
from study.files import atomic, check_disk, growing_array, need
from study.records import Example
from study.sources import Shard, Source, Span, open_dataset, whole

if TYPE_CHECKING:
    import numpy as np

    from study.params import Study
    from study.paths import Paths

CHUNK = 64  # examples that a worker reads at a time, at most
CHUNK_BYTES = 2**21  # and what their features take, unless one takes more
AHEAD = 3  # times so many for each worker, at work or done and not yet written


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
        """Whether the inputs are of files, with labels that are texts."""
        return self.study.of_files


class Extraction(NamedTuple):
    """How an example becomes features.

    Worker processes do it, so it has to go through pickle.

    Attributes:
        content: what of an example is transformed.
        transform: returns an array, or in a few words why there is none.
        labels: the row of an example in the table of labels; its ``id`` comes first.
        dtype: as numpy writes it.
    """

    content: Callable[[Example], Any]
    transform: Callable[[Any], Any]
    labels: Callable[[Example], dict]
    dtype: str


def open_job(description: str | None, stage: str, arguments: list[str] | None) -> Job:
    """Read the command line of an extraction stage and open the dataset.

    Raises:
        InputError: where the options or the params file are wrong, or the dataset is not there.
    """
    names = ("dataset", "shard", "threads")
    args, params = cli.open_stage(description, *names, arguments=arguments)
    study = params.extracted_by(args.dataset, stage)
    if args.shard not in study.shards:
        raise InputError(f"--shard {args.shard}: use one of the params file's: {study.shards}")
    folder = need(params.layout.dataset(args.dataset), "dataset")
    from study.params import PUBLIC
    from study.paths import downloaded

    by_hand = None
    if args.dataset in PUBLIC:
        by_hand = downloaded(getattr(params, args.dataset).data_dir, args.dataset)
    return Job(
        source=open_dataset(folder, args.dataset, study.splits),
        study=study,
        shard=Shard(args.shard, len(study.shards)),
        threads=cli.cores(args, getattr(params.threads, stage)),
        layout=params.layout,
        params_file=args.params,
        downloaded=by_hand,
    )


def text_labels(example: Example) -> dict:
    """The labels of a file, as texts, where the dataset has them; else the stage labels does."""
    labels = example.values("labels")
    told = {**json.loads(labels[0]), "labelled": True} if labels else {}
    return {"id": example["id"].decode(), **told}


def extract(job: Job, how: Extraction) -> None:
    """Write the features and labels of a shard of each split, and what was rejected, all or none.

    Raises:
        InputError: where a split is damaged, or the disk is too small.
    """
    with start_workers(job, how) as workers:
        write(job, how, workers)


def write(job: Job, how: Extraction, workers: Workers) -> None:
    """:func:`extract` by workers that are there.

    Raises:
        InputError: where a split is damaged, or the disk is too small.
    """
    import pandas as pd

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
                left_out, count = _split(job, split, how.dtype, workers, features, labels)
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
    job: Job, split: str, dtype: str, workers: Workers, features: Path, labels: Path
) -> tuple[list[dict], int]:
    """Write one split.

    Returns:
        What was rejected and why, and of how many examples.
    """
    import pandas as pd

    unit = job.study.unit
    kept, rejected = [], []

    def results() -> Iterator[None]:
        spans = job.source.spans(split, job.shard, unit, workers.at_once)
        for examples, made in workers.extracted(spans):
            add(made)
            for row, reason in examples:
                if reason is None:
                    kept.append(row)
                else:
                    rejected.append({"split": split, "id": row["id"], "reason": reason})
                yield

    with growing_array(features, dtype, job.study.shape) as add:
        count = job.source.expected(split, job.shard)
        deque(cli.progress(results(), total=count, label=split, unit=unit), maxlen=0)
    pd.DataFrame(kept).to_parquet(labels, index=False)
    return rejected, len(kept) + len(rejected)


# The workers: processes, since the interpreter's lock holds threads up. Each reads what it
# transforms. It leaves the features in memory that all share, and sends the labels alone.

Told = list[tuple[dict, str | None]]
"""Of examples: the labels, and why there are no features."""


class Memory(NamedTuple):
    """A file that all processes map: slots, each for the features of the examples of a span."""

    path: str
    dtype: str
    shape: tuple[int, ...]

    def slots(self) -> np.ndarray:
        import numpy as np

        return np.memmap(self.path, self.dtype, "r+", shape=self.shape)


class Workers(NamedTuple):
    """Processes that extract.

    Attributes:
        pool: the processes.
        slots: their features, shape (slots, examples, *features).
    """

    pool: ProcessPoolExecutor
    slots: np.ndarray

    @property
    def at_once(self) -> int:
        """How many examples a span may have."""
        return self.slots.shape[1]

    def extracted(self, spans: Iterable[Span]) -> Iterator[tuple[Told, np.ndarray]]:
        """What is told of each span's examples, and their features, which the next overwrites."""
        waiting: deque[Future[Told]] = deque()

        def first(slot: int) -> tuple[Told, np.ndarray]:
            told = waiting.popleft().result()
            return told, self.slots[slot, : sum(reason is None for _, reason in told)]

        count = 0
        for span in spans:
            slot = count % len(self.slots)
            if len(waiting) == len(self.slots):
                yield first(slot)
            waiting.append(self._submit(span, slot))
            count += 1
        while waiting:
            yield first((count - len(waiting)) % len(self.slots))

    def _submit(self, span: Span, slot: int) -> Future[Told]:
        # Ctrl-C is the parent's alone, or every worker would write a traceback: a process that
        # starts now inherits what is blocked.
        before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
        try:
            return self.pool.submit(_extracted, span, slot)
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, before)


@contextmanager
def start_workers(job: Job, how: Extraction) -> Iterator[Workers]:
    """A process for each of the job's threads; work that is open at the end is dropped."""
    import numpy as np

    # A worker is a core's work: its numerical libraries have one thread, whatever the number of
    # workers, so that this number changes no sum.
    cli.limit_threads(1)
    size = prod(job.study.shape) * np.dtype(how.dtype).itemsize
    at_once = max(1, min(CHUNK, CHUNK_BYTES // size))
    shape = (AHEAD * job.threads, at_once, *job.study.shape)
    with keeping_memory(), tempfile.NamedTemporaryFile(prefix="features-") as file:
        for _ in range(shape[0]):  # a disk that is full says so now: later it ends the process
            file.write(bytes(at_once * size))
        file.flush()
        memory = Memory(file.name, how.dtype, shape)
        context = multiprocessing.get_context("spawn")
        pool = ProcessPoolExecutor(job.threads, context, _start, (how, memory))
        try:
            yield Workers(pool, memory.slots())
        except BaseException:
            for worker in multiprocessing.active_children():
                worker.terminate()  # its work is not needed
            raise
        finally:
            pool.shutdown(cancel_futures=True)


_how: Extraction  # of a worker
_slots: np.ndarray


def _start(how: Extraction, memory: Memory) -> None:
    global _how, _slots
    _how, _slots = how, memory.slots()
    threading.Thread(target=_end_with_parent, args=(memory.path,), daemon=True).start()


def _end_with_parent(file: str) -> None:
    """A worker waits for work for ever where its parent was killed."""
    parent = multiprocessing.parent_process()
    assert parent is not None
    parent.join()
    Path(file).unlink(missing_ok=True)
    os._exit(1)


def _extracted(span: Span, slot: int) -> Told:
    """Put the features of the examples into a slot, one after the other."""
    told: Told = []
    kept = 0
    with whole(span.chunk.path):
        for example, untold in span.examples():
            row = _how.labels(example) | dict.fromkeys(untold)
            result = _how.transform(_how.content(example))
            if isinstance(result, str):
                told.append((row, result))
                continue
            assert result.shape == _slots.shape[2:], f"{result.shape}, not {_slots.shape[2:]}"
            _slots[slot, kept] = result
            kept += 1
            told.append((row, None))
    return told
