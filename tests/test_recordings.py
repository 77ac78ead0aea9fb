"""Recordings as the world writes them: headers that lie, joined files, odd rates and channels."""

from __future__ import annotations

import struct
import tracemalloc
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import soundfile

from shuffle_to_learn.features import recordings
from shuffle_to_learn.features.recordings import Recording, RecordingError

RATE = 16_000


def sound(seconds: float = 5.0, rate: int = RATE, seed: int = 0) -> np.ndarray:
    """Tones that rise, with some noise: no two moments are alike."""
    t = np.arange(round(seconds * rate)) / rate
    noise = np.random.default_rng(seed).normal(size=len(t))
    return 0.3 * np.sin(2 * np.pi * (200 + 100 * t) * t) + 0.02 * noise


def written(path: Path, samples: np.ndarray, rate: int = RATE, **options: str | float) -> bytes:
    """A file by libsndfile, in blocks: long ones of Vorbis end the process."""
    channels = 1 if samples.ndim == 1 else samples.shape[1]
    with soundfile.SoundFile(path, "w", rate, channels, **options) as file:
        for start in range(0, len(samples), 4096):
            file.write(samples[start : start + 4096])
    return path.read_bytes()


def decoded(path: Path) -> np.ndarray:
    """The mean of the channels by soundfile's own reading, for files that are in order."""
    return soundfile.read(path, dtype="float32", always_2d=True)[0].mean(axis=1)


def read(path: Path) -> np.ndarray:
    """All of a recording, read in windows of odd length."""
    recording = Recording(path)
    length, fault = recording.length()
    assert not fault
    parts = [recording.read(start, 7777) for start in range(0, length, 7777)]
    assert sum(map(len, parts)) == length
    assert len(recording.read(length, 10)) == 0
    return np.concatenate(parts)


KINDS = {
    "pcm 16": (".wav", {}),
    "pcm 24": (".wav", {"subtype": "PCM_24"}),
    "float": (".wav", {"subtype": "FLOAT"}),
    "mu-law": (".wav", {"subtype": "ULAW"}),
    "rf64": (".wav", {"format": "RF64"}),
    "ima adpcm": (".wav", {"subtype": "IMA_ADPCM"}),
    "ms adpcm": (".wav", {"subtype": "MS_ADPCM"}),
    "gsm": (".wav", {"subtype": "GSM610"}),
    "g721": (".wav", {"subtype": "G721_32"}),
    "nms adpcm": (".wav", {"subtype": "NMS_ADPCM_24"}),
    "flac": (".flac", {}),
    "vorbis": (".ogg", {}),
    "opus": (".ogg", {"format": "OGG", "subtype": "OPUS"}),
    "mp3, constant": (".mp3", {"bitrate_mode": "CONSTANT"}),
    "mp3, variable": (".mp3", {"bitrate_mode": "VARIABLE"}),
}


@pytest.mark.parametrize("kind", KINDS)
def test_a_file_in_order_is_what_libsndfile_reads_and_any_window_is_a_part_of_it(
    tmp_path: Path, kind: str
) -> None:
    suffix, options = KINDS[kind]
    path = tmp_path / f"a{suffix}"
    written(path, sound(), **options)
    seeks = soundfile.SoundFile(path).seekable()  # what cannot, soundfile does not read whole
    right = decoded(path) if seeks else None
    whole = read(path)
    if right is not None:
        np.testing.assert_array_equal(whole, right)
    assert np.corrcoef(whole[: 4 * RATE], sound()[: 4 * RATE])[0, 1] > 0.9
    recording = Recording(path)
    for start in (0, 30_000, 50_001, 50_000, 1234, 79_000):
        np.testing.assert_array_equal(recording.read(start, 5000), whole[start : start + 5000])


def with_total(flac: bytes, total: int) -> bytes:
    """A FLAC whose header gives another number of samples (36 bits)."""
    return (
        flac[:21]
        + bytes([flac[21] & 0xF0 | total >> 32])
        + struct.pack(">I", total & 2**32 - 1)
        + flac[26:]
    )


@pytest.mark.parametrize("total", [0, 1, 30_000, 80_001, 2**36 - 1])
def test_the_length_in_the_header_of_a_flac_does_not_matter(tmp_path: Path, total: int) -> None:
    path = tmp_path / "a.flac"
    flac = written(path, sound())
    right = decoded(path)
    path.write_bytes(with_total(flac, total))
    np.testing.assert_array_equal(read(path), right)


def test_a_flac_behind_a_tag(tmp_path: Path) -> None:
    path = tmp_path / "a.flac"
    flac = written(path, sound())
    right = decoded(path)
    path.write_bytes(b"ID3\4\0\0\0\0\2\0" + bytes(256) + with_total(flac, 0))
    np.testing.assert_array_equal(read(path), right)


@pytest.mark.parametrize("total", [0, None])
@pytest.mark.parametrize("damage", ["cut", "noise"])
def test_what_is_before_the_damage_of_a_flac_is_read_and_the_damage_told(
    tmp_path: Path, damage: str, total: int | None
) -> None:
    path = tmp_path / "a.flac"
    flac = written(path, sound())
    right = decoded(path)
    if total is not None:
        flac = with_total(flac, total)
    middle = len(flac) // 2
    noise = np.random.default_rng(0).bytes(400) + flac[middle + 400 :]
    path.write_bytes(flac[:middle] + (noise if damage == "noise" else b""))
    recording = Recording(path)
    length, fault = recording.length()
    assert fault.startswith("unreadable: ")
    assert 0.3 * len(right) < length < 0.6 * len(right)
    np.testing.assert_array_equal(recording.read(0, length), right[:length])
    np.testing.assert_array_equal(recording.read(length - 500, 400), right[length - 500 :][:400])


def chunks(wav: bytes) -> int:
    """Where the content of the chunk data begins."""
    return wav.index(b"data") + 8


def sized(wav: bytes, riff: int, data: int) -> bytes:
    start = chunks(wav)
    head = wav[:4] + struct.pack("<I", riff) + wav[8 : start - 4]
    return head + struct.pack("<I", data) + wav[start:]


DIED: dict[str, Callable[[bytes], bytes]] = {
    "zeros": lambda wav: sized(wav, 0, 0),
    "zero, the file right": lambda wav: sized(wav, len(wav) - 8, 0),
    "ones": lambda wav: sized(wav, 2**32 - 1, 2**32 - 1),
    "an old size": lambda wav: sized(wav, 30_036, 30_000),
    "too much": lambda wav: sized(wav, 10**9, 10**9),
    "chunks before": lambda wav: sized(
        wav[: chunks(wav) - 8] + b"LIST\5\0\0\0INFO\0\0" + wav[chunks(wav) - 8 :], 0, 0
    ),
}


@pytest.mark.parametrize("subtype", ["PCM_16", "PCM_24", "FLOAT", "ULAW", "MS_ADPCM", "GSM610"])
@pytest.mark.parametrize("what", DIED)
def test_a_wav_of_a_recorder_that_died(tmp_path: Path, what: str, subtype: str) -> None:
    path = tmp_path / "a.wav"
    rng = np.random.default_rng(0)
    wav = written(path, sound() + 0.01 * rng.normal(size=5 * RATE), subtype=subtype)
    right = read(path)
    path.write_bytes(DIED[what](wav))
    found = read(path)
    assert abs(len(found) - len(right)) <= 640  # a compressed one has whole blocks
    shorter = min(len(found), len(right))
    np.testing.assert_array_equal(found[:shorter], right[:shorter])


@pytest.mark.parametrize("after", [b"", b"LIST\4\0\0\0INFO", b"\0" * 6, b"id3 \2\0\0\0ab", b"xy"])
def test_what_follows_the_sound_is_none(tmp_path: Path, after: bytes) -> None:
    path = tmp_path / "a.wav"
    wav = written(path, sound())
    path.write_bytes(wav + after)
    assert len(read(path)) == 5 * RATE


@pytest.mark.parametrize("after", [b"", b"LIST\4\0\0\0INFO"])
def test_a_wav_without_sound_is_empty(tmp_path: Path, after: bytes) -> None:
    path = tmp_path / "a.wav"
    path.write_bytes(written(path, np.zeros(0)) + after)
    assert Recording(path).length() == (0, "")


def test_an_rf64_that_a_recorder_left_without_sizes(tmp_path: Path) -> None:
    path = tmp_path / "a.wav"
    wav = bytearray(written(path, sound(), format="RF64"))
    right = decoded(path)
    place = wav.index(b"ds64") + 8
    wav[place : place + 24] = bytes(24)
    path.write_bytes(wav)
    np.testing.assert_array_equal(read(path), right)


def test_a_wav_of_more_than_four_gibibytes(tmp_path: Path) -> None:
    """Its size has lost the upper bits. The file is a hole, but for two places."""
    path = tmp_path / "a.wav"
    size = 5 * 2**30
    head = sized(written(path, np.zeros(0)), (size + 36) % 2**32, size % 2**32)
    with path.open("wb") as file:
        file.write(head)
        file.seek(len(head) + size % 2**32)
        file.write(b"\x91\x92\x93\x94")
        file.seek(len(head) + size - 2000)
        file.write(b"\0\x40" * 1000)
    tracemalloc.start()
    recording = Recording(path)
    assert recording.length() == (size // 2, "")
    np.testing.assert_array_equal(recording.read(size // 2 - 500, 1000), np.full(500, 0.5))
    assert tracemalloc.get_traced_memory()[1] < 2**22
    tracemalloc.stop()


# MP3


def frames(mp3: bytes) -> list[int]:
    """Where the frames of an MP3 by libsndfile begin: constant bit rate, no tags."""
    starts, place = [], 0
    rates = (0, 8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160)
    while place + 4 <= len(mp3):
        assert mp3[place] == 0xFF
        bits, pad = rates[mp3[place + 2] >> 4], mp3[place + 2] >> 1 & 1
        starts.append(place)
        place += 72_000 * bits // RATE + pad
    return starts


def speech(seconds: float = 20.0) -> np.ndarray:
    """Quiet first, then loud noise: of a variable bit rate the first frames tell little."""
    samples = 0.1 * sound(seconds)
    half = len(samples) // 2
    samples[half:] += 0.2 * np.random.default_rng(1).normal(size=len(samples) - half)
    return samples


@pytest.mark.parametrize("mode", ["CONSTANT", "VARIABLE", "AVERAGE"])
@pytest.mark.parametrize("channels", [1, 2])
def test_an_mp3_without_a_header_frame_has_all_of_its_sound(
    tmp_path: Path, mode: str, channels: int
) -> None:
    path = tmp_path / "a.mp3"
    samples = np.stack([speech()] * channels, axis=1)
    mp3 = written(path, samples, bitrate_mode=mode, compression_level=0.3)
    right = read(path)
    second = frames(mp3)[1]
    path.write_bytes(mp3[second:])
    found = read(path)
    # The encoder's delay is known no more.
    assert len(right) <= len(found) <= len(right) + 3 * 576 + 529
    lag = np.argmax(np.correlate(found[160_000:166_000], right[160_000:164_000], "valid"))
    assert np.abs(found[lag:][: len(right) - 4000] - right[: len(found) - lag][:-4000]).max() < 1e-4


def test_frames_are_counted_as_they_are(tmp_path: Path) -> None:
    path = tmp_path / "a.mp3"
    mp3 = written(path, sound(), bitrate_mode="VARIABLE")
    with path.open("rb") as file:
        found = [place for place, _ in recordings._frames(file, len(mp3))]
    assert found == frames(mp3)


CUTS = [0.1, 0.5, 0.9, 0.999]


@pytest.mark.parametrize("share", CUTS)
@pytest.mark.parametrize("suffix", ["mp3", "ogg"])
def test_what_is_there_of_a_file_that_is_cut_is_read(
    tmp_path: Path, suffix: str, share: float
) -> None:
    path = tmp_path / f"a.{suffix}"
    content = written(path, sound())
    right = decoded(path)
    path.write_bytes(content[: int(share * len(content))])
    if suffix == "ogg" and share == 0.1:  # before its second page
        with pytest.raises(RecordingError):
            Recording(path)
        return
    found = read(path)
    assert (share - 0.25) * len(right) < len(found) < (share + 0.1) * len(right)
    ends = 2000 if suffix == "mp3" else 0
    np.testing.assert_allclose(found[: len(found) - ends], right[: len(found) - ends], atol=1e-6)


def tag(size: int) -> bytes:
    return b"ID3\3\0\0" + bytes([0, 0, size >> 7, size & 127]) + b"\xff\xfb\x90\x64" * (size // 4)


JOINTS = {
    "nothing": b"",
    "a tag": tag(1000),
    "an old tag": b"TAG" + bytes(125),
    "noise": np.random.default_rng(3).bytes(3000),
}


@pytest.mark.parametrize("between", JOINTS)
@pytest.mark.parametrize("mode", ["CONSTANT", "VARIABLE"])
def test_joined_mp3_files_are_all_read(tmp_path: Path, mode: str, between: str) -> None:
    parts, path = [], tmp_path / "a.mp3"
    contents = []
    for seed in range(3):
        contents.append(written(path, sound(1 + seed, seed=seed), bitrate_mode=mode))
        parts.append(decoded(path))
    path.write_bytes(JOINTS[between].join(contents))
    np.testing.assert_allclose(read(path), np.concatenate(parts), atol=1e-6)


def test_an_mp3_behind_a_tag_and_before_one(tmp_path: Path) -> None:
    path = tmp_path / "a.mp3"
    mp3 = written(path, sound())
    right = decoded(path)
    path.write_bytes(tag(4000) + mp3 + b"TAG" + bytes(125))
    np.testing.assert_allclose(read(path), right, atol=1e-6)


@pytest.mark.parametrize("subtype", ["VORBIS", "OPUS"])
def test_all_links_of_an_ogg_chain_are_read(tmp_path: Path, subtype: str) -> None:
    path, contents, parts = tmp_path / "a.ogg", [], []
    for seed in range(3):
        own = sound(1 + seed, seed=seed)
        contents.append(written(path, own, format="OGG", subtype=subtype))
        parts.append(decoded(path))
    path.write_bytes(b"".join(contents))
    np.testing.assert_array_equal(read(path), np.concatenate(parts))
    # A window over a joint.
    start, right = len(parts[0]) - 100, np.concatenate(parts)
    np.testing.assert_array_equal(Recording(path).read(start, 200), right[start : start + 200])


def test_joined_files_of_other_channels_are_read_and_of_other_rates_named(tmp_path: Path) -> None:
    path = tmp_path / "a.ogg"
    mono = written(path, sound())
    first = decoded(path)
    stereo = written(path, np.stack([sound(2)] * 2, axis=1))
    second = decoded(path)
    other = written(path, sound(1, 8000), 8000)
    path.write_bytes(mono + stereo)
    np.testing.assert_array_equal(read(path), np.concatenate([first, second]))
    path.write_bytes(mono + other)
    with pytest.raises(RecordingError, match=r"sample rates of \[8000, 16000\] Hz in one file"):
        Recording(path)


# channels, rates, lengths


@pytest.mark.parametrize("suffix", ["wav", "flac", "ogg", "mp3"])
@pytest.mark.parametrize("louder", [0, 1])
def test_channels_in_opposite_phase_do_not_become_silence(
    tmp_path: Path, suffix: str, louder: int
) -> None:
    path = tmp_path / f"a.{suffix}"
    both = np.stack([sound(), -sound()], axis=1)
    both[:, louder] *= 1.02
    written(path, both)
    found = read(path)
    assert abs(np.corrcoef(found[:RATE], sound()[:RATE])[0, 1]) > 0.95
    assert np.std(found) > 0.9 * np.std(sound())


def test_channels_that_do_not_cancel_out_are_averaged(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    path = tmp_path / "a.wav"
    for channels in (2, 100):
        every = 0.1 * rng.normal(size=(20_000, channels))
        written(path, every, subtype="FLOAT")
        np.testing.assert_allclose(read(path), every.mean(axis=1), atol=1e-6)
    written(path, np.zeros((9000, 2)))
    assert not read(path).any()


@pytest.mark.parametrize("channels", [1, 2, 100, 1000])
def test_any_number_of_channels_in_bounded_memory(tmp_path: Path, channels: int) -> None:
    path = tmp_path / "a.wav"
    written(path, np.repeat(sound(2)[:, None], channels, axis=1))
    tracemalloc.start()
    found = Recording(path).read(0, 2 * RATE)
    assert tracemalloc.get_traced_memory()[1] < 2**22 + 3 * 8 * recordings.BLOCK * channels * 4
    tracemalloc.stop()
    np.testing.assert_allclose(found, sound(2), atol=2**-14)


@pytest.mark.parametrize("rate", [1, 7, 1_000_000])
def test_odd_sample_rates_are_read(tmp_path: Path, rate: int) -> None:
    path = tmp_path / "a.wav"
    written(path, sound(1, 20_000), rate)
    recording = Recording(path)
    assert recording.rate == rate
    assert len(read(path)) == 20_000


def test_a_forged_rate_is_named(tmp_path: Path) -> None:
    path = tmp_path / "a.wav"
    wav = bytearray(written(path, sound()))
    wav[24:28] = struct.pack("<I", 2**31 - 1)
    path.write_bytes(wav)
    with pytest.raises(RecordingError, match="a sample rate of 2147483647 Hz"):
        Recording(path)


@pytest.mark.parametrize("suffix", ["flac", "mp3", "ogg"])
def test_memory_does_not_grow_with_the_length(tmp_path: Path, suffix: str) -> None:
    path, peaks = tmp_path / f"a.{suffix}", []
    for seconds in (100, 400):
        written(path, np.resize(sound(), seconds * 8000), 8000)
        tracemalloc.start()
        recording = Recording(path)
        length, _ = recording.length()
        recording.read(length - 8000, 8000)
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    assert peaks[1] < peaks[0] + 30_000


@pytest.mark.parametrize("content", [b"", b"no sound", bytes(5000), b"OggS\0\2" + bytes(60)])
@pytest.mark.parametrize("suffix", ["wav", "flac", "ogg", "mp3"])
def test_no_sound(tmp_path: Path, suffix: str, content: bytes, capfd) -> None:
    path = tmp_path / f"a.{suffix}"
    path.write_bytes(content)
    with pytest.raises(RecordingError, match=r"^empty$|^unreadable: ."):
        assert Recording(path).length() == (0, "")
        raise RecordingError("empty")
    assert capfd.readouterr() == ("", "")


def test_no_file(tmp_path: Path) -> None:
    with pytest.raises(RecordingError, match=r"^unreadable: No such file"):
        Recording(tmp_path / "none.wav")
    with pytest.raises(RecordingError, match=r"^unreadable: Is a directory"):
        Recording(tmp_path)


def test_nothing_is_said_on_the_terminal(tmp_path: Path, capfd) -> None:
    path = tmp_path / "a.mp3"
    mp3 = written(path, speech(), bitrate_mode="VARIABLE")
    path.write_bytes(mp3[frames(mp3)[1] :][: len(mp3) // 2])
    capfd.readouterr()
    read(path)
    assert capfd.readouterr() == ("", "")
