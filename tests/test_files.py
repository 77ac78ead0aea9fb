"""Files of a folder as windows, clips and pictures, whole, damaged and deadly."""

from __future__ import annotations

import os
import signal
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import soundfile

from shuffle_to_learn.datasets import folder as library
from shuffle_to_learn.datasets import tree
from shuffle_to_learn.datasets.folder import Item, read_window, windows
from shuffle_to_learn.datasets.pool import KILLED

RATE = 8000


def sound(seconds: float) -> np.ndarray:
    t = np.arange(round(seconds * RATE)) / RATE
    return 0.3 * np.sin(2 * np.pi * (200 + 50 * t) * t)


def test_what_is_whole_of_a_damaged_recording_is_kept_and_the_rest_named(tmp_path: Path) -> None:
    path = tmp_path / "a.flac"
    soundfile.write(path, sound(10) + 0.01 * np.random.default_rng(0).normal(size=10 * RATE), RATE)
    whole = [read_window(path, start, 1.0, RATE) for start in range(10)]
    content = path.read_bytes()
    path.write_bytes(content[: len(content) // 2])
    found = windows(Item("a.flac", "a.flac", "train"), library.survey(path, 1.0))
    *kept, lost = found
    assert 3 <= len(kept) <= 5
    assert [item.id for item in kept] == [f"a.flac@{start}" for start in range(len(kept))]
    assert not any(item.reason for item in kept)
    assert lost.reason == "unreadable: flac decoder lost sync"
    assert lost.id == f"a.flac@{lost.start:.10g}" and lost.start >= len(kept) - 0.5
    for item, right in zip(kept[:-1], whole, strict=False):
        np.testing.assert_array_equal(read_window(path, item.start, 1.0, RATE), right)


def test_a_flac_without_a_length_has_as_many_windows_as_sound(tmp_path: Path) -> None:
    path = tmp_path / "a.flac"
    soundfile.write(path, sound(10), RATE)
    content = bytearray(path.read_bytes())
    content[21] &= 0xF0
    content[22:26] = bytes(4)
    path.write_bytes(content)
    assert library.survey(path, 2.0).starts == [0.0, 2.0, 4.0, 6.0, 8.0]


@pytest.mark.parametrize("suffix", ["mp3", "ogg"])
def test_windows_in_any_order_are_parts_of_the_whole(tmp_path: Path, suffix: str) -> None:
    """libsndfile's seek in these formats gives other sound, up to the full scale."""
    path = tmp_path / f"a.{suffix}"
    samples = sound(20) + 0.1 * np.random.default_rng(0).normal(size=20 * RATE)
    soundfile.write(path, samples, RATE)
    right, _ = soundfile.read(path, dtype="float32")
    for start in (3, 17, 4, 5, 11, 0):
        window = read_window(path, start, 1.0, RATE)
        np.testing.assert_array_equal(window, right[start * RATE :][:RATE])


def test_a_file_that_is_written_again_is_read_again(tmp_path: Path) -> None:
    path = tmp_path / "a.wav"
    for seconds in (1, 3):
        soundfile.write(path, sound(seconds), RATE)
        assert len(library.survey(path, 1.0).starts) == seconds


@pytest.mark.parametrize("rate", [1, 1_000_000])
def test_odd_rates_become_the_rate_asked_for(tmp_path: Path, rate: int) -> None:
    path = tmp_path / "a.wav"
    soundfile.write(path, np.full(3 * rate, 0.25), rate, subtype="FLOAT")
    assert library.survey(path, 1.0).starts == [0.0, 1.0, 2.0]
    window = read_window(path, 1.0, 1.0, RATE)
    assert window.shape == (RATE,)
    middle = window[RATE // 4 : RATE // 2]
    assert np.abs(middle - 0.25).max() < (0.2 if rate == 1 else 0.001)  # of one sample it rings


OTHER_FORMATS = [
    ("aif", "AIFF", "PCM_16"),
    ("aiff", "AIFF", "PCM_24"),
    ("aifc", "AIFF", "FLOAT"),
    ("aifc", "AIFF", "IMA_ADPCM"),
    ("au", "AU", "ULAW"),
    ("au", "AU", "G721_32"),
    ("caf", "CAF", "PCM_16"),
    ("caf", "CAF", "ALAC_16"),
    ("w64", "W64", "PCM_16"),
    ("rf64", "RF64", "PCM_16"),
    ("oga", "OGG", "VORBIS"),
    ("opus", "OGG", "OPUS"),
]


@pytest.mark.parametrize(("suffix", "kind", "subtype"), OTHER_FORMATS)
def test_other_formats_are_recordings_too(
    tmp_path: Path, suffix: str, kind: str, subtype: str
) -> None:
    path = tmp_path / f"A.{suffix.upper()}"
    channels = 1 if subtype in ("IMA_ADPCM", "G721_32") else 2
    samples = np.stack(channels * [sound(5)], axis=1)
    soundfile.write(path, samples, RATE, format=kind, subtype=subtype)
    assert tree.files(tmp_path, "audio") == [path.name]
    right, rate = soundfile.read(path, dtype="float32", always_2d=True)
    found = library.survey(path, 1.0)
    assert (found.starts, found.fault, found.rate) == ([0.0, 1.0, 2.0, 3.0, 4.0], "", rate)
    for start in (3, 0, 4, 1):  # where a format cannot seek, from the begin
        window = read_window(path, start, 1.0, rate)
        wanted = right.mean(axis=1)[start * rate :][:rate]
        np.testing.assert_allclose(window[: len(wanted)], wanted, atol=1e-6)


@pytest.mark.parametrize(("suffix", "kind", "subtype"), OTHER_FORMATS)
def test_of_half_a_file_of_any_format_half_is_kept_or_it_is_named(
    tmp_path: Path, suffix: str, kind: str, subtype: str
) -> None:
    path = tmp_path / f"a.{suffix}"
    noisy = sound(8) + 0.05 * np.random.default_rng(0).normal(size=8 * RATE)
    soundfile.write(path, noisy, RATE, format=kind, subtype=subtype)
    content = path.read_bytes()
    path.write_bytes(content[: len(content) // 2])
    found = library.survey(path, 1.0)
    assert (3 <= len(found.starts) <= 5) or found.fault
    for start in found.starts:
        assert isinstance(read_window(path, start, 1.0, RATE), np.ndarray)


def deadly(item: Item, folder: Path) -> np.ndarray | str:
    """Reads a window of a recording in a process that some recordings kill."""
    if item.file.startswith("deadly"):
        os.kill(os.getpid(), signal.SIGKILL)
    return library._window(item, folder, 1.0, RATE)


def test_a_recording_that_kills_its_reader_is_named(tmp_path: Path) -> None:
    items = []
    for number in range(20):
        name = f"{'deadly' if number in (3, 4, 19) else 'good'}{number}.wav"
        soundfile.write(tmp_path / name, sound(1), RATE)
        items.append(Item(name, name, "train"))
    right = read_window(tmp_path / "good0.wav", 0.0, 1.0, RATE)
    with library.workers(1) as pool:
        found = list(pool.map(partial(deadly, folder=tmp_path), items))
    for item, content in zip(items, found, strict=True):
        if item.file.startswith("deadly"):
            assert isinstance(content, str)
            assert content == KILLED
        else:
            np.testing.assert_array_equal(content, right)


def test_a_folder_that_cannot_be_written_to_is_read(tmp_path: Path) -> None:
    source = tmp_path / "source"
    source.mkdir()
    soundfile.write(source / "a.wav", sound(2), RATE)
    source.chmod(0o555)
    try:
        assert tree.files(source, "audio") == ["a.wav"]
        assert (
            len(windows(Item("a.wav", "a.wav", "train"), library.survey(source / "a.wav", 1.0)))
            == 2
        )
        assert [path.name for path in source.iterdir()] == ["a.wav"]
    finally:
        source.chmod(0o755)
