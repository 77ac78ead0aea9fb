"""What the embedded datasets share: builders whose examples worker processes render."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Executor
from itertools import islice
from typing import Any, TypeVar

import tensorflow_datasets as tfds

T = TypeVar("T")
Track = Callable[..., Iterator[Any]]
"""Shows progress: called with an iterable, ``total``, ``label`` and ``unit``; yields its items."""


class Rendered(tfds.core.GeneratorBasedBuilder):
    """A builder that writes what a pool of workers renders, the same bytes at every run.

    Args:
        pool: renders; needed to write the dataset, not to read it.
        track: shows progress; needed to write the dataset, not to read it.
    """

    def __init__(
        self, *, pool: Executor | None = None, track: Track | None = None, **kwargs: Any
    ) -> None:
        self._pool = pool
        self._track = track
        super().__init__(**kwargs)

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


def bounded(pool: Executor, function: Callable[[Any], T], items: Iterable[Any]) -> Iterator[T]:
    """``pool.map`` that holds few results at a time, however slow the reader is."""
    items = iter(items)
    while chunk := list(islice(items, 256)):
        yield from pool.map(function, chunk, chunksize=8)
