"""The files that TFDS writes (TFRecord), read without TensorFlow, which takes seconds to start.

Source: https://www.tensorflow.org/tutorials/load_data/tfrecord#tfrecords_format_details. A record
is the length of its content (8 bytes, little-endian), a checksum of those 8 bytes, the content, and
a checksum of the content. A checksum is a CRC-32C, rotated by 15 bits and increased by a constant.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

HEAD, TAIL = 12, 4  # bytes before and after the content of a record


class DamagedError(ValueError):
    """A file is not what was written; the message adds in brackets what is known of it."""


class Chunk(NamedTuple):
    """Records that follow one another in a file.

    Attributes:
        path: the file.
        offset: where the first record begins, in bytes.
        records: how many there are.
    """

    path: Path
    offset: int
    records: int


class Example:
    """The values of a record's features, by TFDS's names (``instrument/label``).

    Args:
        record: the content of a record: a ``tf.train.Example``.

    Raises:
        DamagedError: the record is no example, or has not the feature that is asked for.
    """

    def __init__(self, record: bytes) -> None:
        from google.protobuf.message import DecodeError
        from tensorflow_datasets.proto import tf_example_pb2

        try:
            self._features = tf_example_pb2.Example.FromString(record).features.feature
        except DecodeError as error:
            raise DamagedError from error

    def values(self, name: str) -> Sequence[Any]:
        """All values of a feature; none where it is absent."""
        if name not in self._features:
            return ()
        feature = self._features[name]
        kind = feature.WhichOneof("kind")
        return getattr(feature, kind).value if kind else ()

    def __getitem__(self, name: str) -> Any:
        """The one value of a feature, or its first."""
        values = self.values(name)
        if not values:
            raise DamagedError(f"(no {name})")
        return values[0]


def chunks(path: Path, rows: range, length: int, unit: str, size: int) -> Iterator[Chunk]:
    """Where the records of a file lie, by the heads of the records alone.

    Args:
        path: the file.
        rows: which of its records.
        length: how many it has.
        unit: the word for them.
        size: records in a chunk, at most.

    Raises:
        DamagedError: the file is broken off before the last of these records, or has another
            number of records.
    """
    found = waiting = first = 0
    for found, offset in enumerate(_offsets(path), 1):
        if found - 1 not in rows:
            continue
        first = first if waiting else offset
        waiting += 1
        if waiting == size or found == rows.stop:
            yield Chunk(path, first, waiting)
            waiting = 0
        if found == rows.stop < length:
            return
    if found != length:
        raise DamagedError(f"({found} {unit} in place of {length})")


def read(chunk: Chunk) -> Iterator[Example]:
    """The examples of a chunk.

    Raises:
        DamagedError: a checksum does not agree.
    """
    with chunk.path.open("rb") as file:
        file.seek(chunk.offset)
        for _ in range(chunk.records):
            length = _length(file.read(HEAD))
            content = file.read(length)
            _check(content, file.read(TAIL))
            yield Example(content)


def _offsets(path: Path) -> Iterator[int]:
    """Where each record of a file begins."""
    with path.open("rb", buffering=0) as file:
        end = os.fstat(file.fileno()).st_size
        offset = 0
        while offset < end:
            after = offset + HEAD + _length(os.pread(file.fileno(), HEAD, offset)) + TAIL
            if after > end:
                raise DamagedError
            yield offset
            offset = after


def _length(head: bytes) -> int:
    _check(head[:8], head[8:])
    return int.from_bytes(head[:8], "little")


def _check(content: bytes, checksum: bytes) -> None:
    import google_crc32c

    crc = google_crc32c.value(content)
    masked = ((crc >> 15 | crc << 17) + 0xA282EAD8) & 0xFFFFFFFF
    if masked != int.from_bytes(checksum, "little") or len(checksum) != TAIL:
        raise DamagedError
