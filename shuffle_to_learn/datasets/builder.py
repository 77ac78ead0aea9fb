"""What the embedded datasets share: builders whose examples worker processes render."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Executor, ProcessPoolExecutor
from contextlib import contextmanager
from itertools import islice
from multiprocessing import get_context
from typing import Any, ClassVar, TypeVar

import tensorflow_datasets as tfds

T = TypeVar("T")
Progress = Callable[..., Iterator[Any]]
"""Shows progress: called with an iterable, ``total``, ``label`` and ``unit``; yields its items."""


class Rendered(tfds.core.GeneratorBasedBuilder):
    """A builder that writes what a pool of workers renders, the same bytes at every run.

    ``UNIT`` is what its examples are called.

    Args:
        pool: renders; needed to write the dataset, not to read it.
        progress: shows progress; needed to write the dataset, not to read it.
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
        """What the pool makes of the items, in their order.

        Raises:
            ValueError: there is no pool or nothing to show progress.
        """
        if self._pool is None or self._progress is None:
            raise ValueError("to write the dataset, give it a pool and a progress function")
        results = bounded(self._pool, function, items)
        return self._progress(results, total=total, label=split, unit=self.UNIT)

    def _example_writer(self) -> tfds.core.ExampleWriter:
        return _SameBytes(file_format=self.info.file_format)


class _SameBytes(tfds.core.ExampleWriter):
    """Writes a record's features in the order of their names; by itself it changes from run to run.

    (They are a map of protocol buffers, whose order is left open.)
    """

    def write(self, path: Any, examples: Iterable[tuple[Any, bytes]]) -> Any:
        return super().write(path, ((key, _sorted(example)) for key, example in examples))


def _sorted(example: bytes) -> bytes:
    import tensorflow as tf

    return tf.train.Example.FromString(example).SerializeToString(deterministic=True)


@contextmanager
def workers(count: int, start: Callable[..., Any], *arguments: Any) -> Iterator[Executor]:
    """Processes that render, each begun by ``start(*arguments)``; work left over is dropped."""
    pool = ProcessPoolExecutor(count, get_context("spawn"), start, arguments)
    try:
        yield pool
    finally:
        pool.shutdown(cancel_futures=True)


def bounded(pool: Executor, function: Callable[[Any], T], items: Iterable[Any]) -> Iterator[T]:
    """``pool.map`` that holds few results at a time, however slow the reader is."""
    items = iter(items)
    while chunk := list(islice(items, 256)):
        yield from pool.map(function, chunk, chunksize=8)
