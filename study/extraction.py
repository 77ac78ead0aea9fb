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
from collections.abc import Callable, Iterable, Iterator, Set
from concurrent.futures import Future
from concurrent.futures.process import BrokenProcessPool
from contextlib import ExitStack, contextmanager
from itertools import cycle
from math import prod
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from shuffle_to_learn.datasets.memory import keeping_memory
from shuffle_to_learn.datasets.pool import KILLED, Pool
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
            left_out, count = _split(job, split, how.dtype, workers, features, labels)
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
    if shard.shards > 1:
        what += (
            f", in shard {shard.number} of {shard.shards} and as many in each of {others} to come"
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

    unit, killed = job.study.unit, 0
    kept: list[dict] = []
    rejected: list[dict] = []
    count = job.source.expected(split, job.shard)

    def results() -> Iterator[None]:
        nonlocal killed
        spans = job.source.spans(split, job.shard, unit, workers.at_once)
        for examples, made in workers.extracted(spans):
            add(made)
            for row, reason in examples:
                killed += reason == KILLED
                if killed > job.study.max_rejected * count:
                    raise InputError(
                        f"{split}: a process that reads {unit} was killed at {row['id']}: leave it "
                        f"out, or give the machine more memory, or fewer cores with threads"
                    )
                if reason is None:
                    kept.append(row)
                else:
                    rejected.append({"split": split, "id": row["id"], "reason": reason})
                yield

    with growing_array(features, dtype, job.study.shape) as add:
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

    def places(self) -> np.ndarray:
        """Which example of its span each slot is at; they lie behind the slots."""
        import numpy as np

        size = prod(self.shape) * np.dtype(self.dtype).itemsize
        return np.memmap(self.path, "<i8", "r+", offset=size, shape=self.shape[:1])


class Workers(NamedTuple):
    """Processes that extract.

    Attributes:
        pool: the processes.
        slots: their features, shape (slots, examples, *features).
        places: the example of its span that each slot is at.
    """

    pool: Pool
    slots: np.ndarray
    places: np.ndarray

    @property
    def at_once(self) -> int:
        """How many examples a span may have."""
        return self.slots.shape[1]

    def extracted(self, spans: Iterable[Span]) -> Iterator[tuple[Told, np.ndarray]]:
        """What is told of each span's examples, and their features, which the next overwrites."""
        count = len(self.slots)
        calls = zip(spans, cycle(range(count)), strict=False)
        found = self.pool.in_order(calls, self._submit, self._alone, count)
        for slot, told in zip(cycle(range(count)), found, strict=False):
            yield told, self.slots[slot, : sum(reason is None for _, reason in told)]

    def _alone(self, call: tuple[Span, int]) -> Told:
        """A span while no other is at work: what kills a process is the example it was at."""
        killed: set[int] = set()
        while True:
            slot = call[1]
            self.places[slot] = -1
            try:
                return self._submit(call, frozenset(killed)).result()
            except BrokenProcessPool:
                place = int(self.places[slot])
                if place < 0:  # before it read an example
                    raise InputError(
                        "the processes that read are killed as they start: give the machine more "
                        "memory, or fewer cores with threads"
                    ) from None
                killed.add(place)
                self.pool.restart()

    def _submit(self, call: tuple[Span, int], killed: Set[int] = frozenset()) -> Future[Told]:
        # Ctrl-C is the parent's alone, or every worker would write a traceback: a process that
        # starts now inherits what is blocked.
        before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
        try:
            return self.pool.submit(_extracted, *call, killed)
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
        file.write(bytes(8 * shape[0]))
        file.flush()
        memory = Memory(file.name, how.dtype, shape)
        context = multiprocessing.get_context("spawn")
        pool = Pool(job.threads, context, _start, (how, memory))
        try:
            yield Workers(pool, memory.slots(), memory.places())
        except BaseException:
            for worker in multiprocessing.active_children():
                worker.terminate()  # its work is not needed
            raise
        finally:
            pool.shutdown(cancel_futures=True)


_how: Extraction  # of a worker
_slots: np.ndarray
_places: np.ndarray


def _start(how: Extraction, memory: Memory) -> None:
    global _how, _slots, _places
    _how, _slots, _places = how, memory.slots(), memory.places()
    threading.Thread(target=_end_with_parent, args=(memory.path,), daemon=True).start()


def _end_with_parent(file: str) -> None:
    """A worker waits for work for ever where its parent was killed."""
    parent = multiprocessing.parent_process()
    assert parent is not None
    parent.join()
    Path(file).unlink(missing_ok=True)
    os._exit(1)


def _extracted(span: Span, slot: int, killed: Set[int]) -> Told:
    """Put the features of the examples into a slot, one after the other.

    Those at the places ``killed`` are known to end the process, and are told as such.
    """
    told: Told = []
    kept = 0
    with whole(span.chunk.path):
        for place, (example, untold) in enumerate(span.examples()):
            _places[slot] = place
            row = _how.labels(example) | dict.fromkeys(untold)
            result = KILLED if place in killed else _how.transform(_how.content(example))
            if isinstance(result, str):
                told.append((row, result))
                continue
            assert result.shape == _slots.shape[2:], f"{result.shape}, not {_slots.shape[2:]}"
            _slots[slot, kept] = result
            kept += 1
            told.append((row, None))
    return told
