"""Files of TFDS read without TensorFlow, beside what TensorFlow writes and reads."""

from __future__ import annotations

import tempfile
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st

from study import records
from study.records import Chunk, DamagedError, Example


def example(**values: list) -> bytes:
    """A record, as TensorFlow writes it."""
    kinds = {bytes: "bytes_list", int: "int64_list", float: "float_list"}
    result = tf.train.Example()
    for name, own in values.items():
        feature = result.features.feature[name]
        if own:
            getattr(feature, kinds[type(own[0])]).value.extend(own)
    return result.SerializeToString()


def write(path: Path, contents: list[bytes]) -> Path:
    with tf.io.TFRecordWriter(str(path)) as file:
        for content in contents:
            file.write(content)
    return path


def ids(path: Path, rows: range, length: int, size: int) -> list[list[bytes]]:
    """The ids of each chunk's examples."""
    found = records.chunks(path, rows, length, "notes", size)
    return [[one["id"] for one in records.read(chunk)] for chunk in found]


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.binary(min_size=1, max_size=300), max_size=25),
    st.integers(0, 25),
    st.integers(0, 25),
    st.integers(1, 30),
)
def test_chunks_in_turn_are_the_rows(contents, first, last, size) -> None:
    first, last = sorted(min(number, len(contents)) for number in (first, last))
    with tempfile.TemporaryDirectory() as folder:
        path = write(Path(folder) / "file", [example(id=[content]) for content in contents])
        found = ids(path, range(first, last), len(contents), size)
    assert [one for chunk in found for one in chunk] == contents[first:last]
    assert all(len(chunk) == size for chunk in found[:-1])
    assert all(0 < len(chunk) <= size for chunk in found)


def test_whatever_byte_is_damaged(tmp_path: Path) -> None:
    """Every byte of a file, and every place where it may be broken off."""
    contents = [example(id=[b"one"], pitch=[3]), example(id=[b"two"])]
    path = write(tmp_path / "file", contents)
    whole = path.read_bytes()
    assert ids(path, range(2), 2, 1) == [[b"one"], [b"two"]]
    for place in range(len(whole)):
        for flip in (1, 128):
            damaged = bytearray(whole)
            damaged[place] ^= flip
            path.write_bytes(damaged)
            with pytest.raises(DamagedError):
                ids(path, range(2), 2, 1)
        path.write_bytes(whole[:place])
        with pytest.raises(DamagedError):
            ids(path, range(2), 2, 1)


def test_another_number_of_records_is_told(tmp_path: Path) -> None:
    contents = [example(id=[b"%d" % number]) for number in range(5)]
    path = write(tmp_path / "file", contents)
    for length in (0, 3, 4, 6):
        with pytest.raises(DamagedError, match=rf"^\(5 notes in place of {length}\)$"):
            ids(path, range(length), length, 2)
    assert ids(path, range(1, 3), 6, 2) == [[b"1", b"2"]]  # what follows is another job's


def test_values_are_those_that_tensorflow_reads() -> None:
    rng = np.random.default_rng(0)
    sound = rng.normal(size=64_000).astype(np.float32)
    written = example(
        id=[b"a", b"b"], pitch=[-3, 2**40], audio=sound.tolist(), labels=[], **{"a/b": [1]}
    )
    own, theirs = Example(written), tf.train.Example.FromString(written).features.feature
    assert list(own.values("id")) == list(theirs["id"].bytes_list.value) == [b"a", b"b"]
    assert list(own.values("pitch")) == list(theirs["pitch"].int64_list.value)
    assert np.array_equal(np.array(own.values("audio"), np.float32), sound)
    assert (own["id"], own["pitch"], own["a/b"]) == (b"a", -3, 1)
    for name in ("labels", "absent"):
        assert len(own.values(name)) == 0
        with pytest.raises(DamagedError, match=rf"^\(no {name}\)$"):
            own[name]
    with pytest.raises(DamagedError):
        Example(written[:-1])


def test_a_chunk_of_a_file_that_is_gone(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        list(records.read(Chunk(tmp_path / "none", 0, 1)))
