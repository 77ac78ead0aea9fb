"""The base class of the embedded datasets: TFDS builders whose examples worker processes render."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Executor, ProcessPoolExecutor
from contextlib import contextmanager
from itertools import islice
from multiprocessing import get_context
from typing import Any, ClassVar, TypeVar

import numpy as np
import tensorflow_datasets as tfds
from tensorflow_datasets.core import shuffle

from shuffle_to_learn.datasets.memory import keeping_memory

# TFDS holds this much of a split in memory, by itself 1 GiB, before it sorts on the disk: what is
# written is the same.
shuffle.MAX_MEM_BUFFER_SIZE = 2**26

T = TypeVar("T")
Progress = Callable[..., Iterator[Any]]
"""A progress callback: takes an iterable, ``total``, ``label`` and ``unit``; yields the items."""


class Rendered(tfds.core.GeneratorBasedBuilder):
    """A builder that writes examples from a pool of workers, the same bytes at every run.

    ``UNIT`` is the word for its examples in a progress bar.

    Args:
        pool: renders the examples; needed to write the dataset, not to read it.
        progress: a progress callback; needed to write the dataset, not to read it.
    """

    UNIT: ClassVar[str]

    def __init__(
        self, *, pool: Executor | None = None, progress: Progress | None = None, **kwargs: Any
    ) -> None:
        self._pool = pool
        self._progress = progress
        super().__init__(**kwargs)

    def _rendered(
        self,
        function: Callable[[Any], T],
        items: Iterable[Any],
        *,
        total: int,
        split: str,
    ) -> Iterator[T]:
        """The results of ``function`` for the items, in their order, computed by the pool.

        Raises:
            ValueError: there is no pool or no progress callback.
        """
        if self._pool is None or self._progress is None:
            raise ValueError("to write the dataset, give it a pool and a progress function")
        results = bounded(self._pool, function, items)
        return self._progress(results, total=total, label=split, unit=self.UNIT)

    def _example_writer(self) -> tfds.core.ExampleWriter:
        return _SameBytes(file_format=self.info.file_format)


class _SameBytes(tfds.core.ExampleWriter):
    """Writes a record's features in the order of their names.

    The features are a map field of a protocol buffer. Protocol buffers leave the order of a map
    open, so TFDS's writer gives other bytes from run to run.
    """

    def write(self, path: Any, examples: Iterable[tuple[Any, bytes]]) -> Any:
        return super().write(path, ((key, _sorted(example)) for key, example in examples))


def _sorted(example: bytes) -> bytes:
    import tensorflow as tf

    return tf.train.Example.FromString(example).SerializeToString(deterministic=True)


def as_stored(sound: np.ndarray) -> np.ndarray:
    """A sound for an Audio feature in bytes: TFDS does not encode what such a feature is given."""
    return np.array(sound.tobytes(), dtype=object)


@contextmanager
def workers(
    count: int,
    start: Callable[..., Any],
    *arguments: Any,
    executor: Callable[..., Executor] = ProcessPoolExecutor,
) -> Iterator[Executor]:
    """Processes, each started by ``start(*arguments)``; open tasks are dropped at the end."""
    pool = executor(count, get_context("spawn"), start, arguments)
    with keeping_memory():
        try:
            yield pool
        finally:
            pool.shutdown(cancel_futures=True)


def bounded(pool: Executor, function: Callable[[Any], T], items: Iterable[Any]) -> Iterator[T]:
    """``pool.map`` with few results in memory at a time, however slow the reader is."""
    items = iter(items)
    while chunk := list(islice(items, 256)):
        yield from pool.map(function, chunk, chunksize=8)
