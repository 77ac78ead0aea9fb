"""Read a recording of any common format, whatever its header says of its length."""

from __future__ import annotations

import io
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from functools import lru_cache
from pathlib import Path
from typing import BinaryIO, NamedTuple

import numpy as np
import soundfile

from shuffle_to_learn.stderr import stderr_aside

BLOCK = 4096  # samples of each channel that are decoded at a time
HIGHEST_RATE = 10_000_000  # in Hz: a window at a forged rate would take all memory
LISTENED = 8  # channels among which one is chosen where their mean is silent
CANCELLED = 0.03  # of the power that the mean of independent channels has: they cancel out


class RecordingError(ValueError):
    """The sound of a file cannot be read; the message says why in a few words."""


class Recording:
    """The sound of a file as one channel.

    A file holds one stream, or several that follow one another (joined MP3 files, chained Ogg). The
    length in a header is not trusted: a stream has the samples that can be decoded. During decoding
    the stderr of the process is redirected: use processes, not threads.

    Args:
        path: of a file that libsndfile reads: WAV, FLAC, Ogg, MP3, ...

    Attributes:
        rate: samples a second.

    Raises:
        RecordingError: the file is empty, cannot be read, or its sample rate changes.
    """

    def __init__(self, path: str | Path) -> None:
        with _reasons(), stderr_aside():
            self._file = Path(path).open("rb")
            self._streams = _streams(self._file, Path(path).suffix.lower())
            rates = {_Stream(self._file, parts).samplerate for parts in self._streams}
            if len(rates) > 1:
                raise RecordingError(f"unreadable: sample rates of {sorted(rates)} Hz in one file")
            (self.rate,) = rates
            if self.rate > HIGHEST_RATE:
                raise RecordingError(f"unreadable: a sample rate of {self.rate} Hz")
            self._rewind()

    def length(self) -> tuple[int, str]:
        """How many samples can be decoded, and the fault that ended them, if one did."""
        with stderr_aside():
            try:
                if len(self._streams) == 1 and self._stream.is_whole():
                    return self._stream.frames, ""
                self._rewind()
                for _ in self._blocks():
                    pass
            except RecordingError as error:
                return self._at, str(error)
        return self._at, ""

    def read(self, first: int, count: int) -> np.ndarray:
        """Samples of the recording: the mean of the channels.

        Where the channels cancel out (two in opposite phase), one of the loudest of the first eight
        stands for all.

        Args:
            first: the first of them; reading on from where the last call ended is fast in all
                formats.
            count: how many.

        Returns:
            float32, shape (count,), or fewer where the recording ends.

        Raises:
            RecordingError: they cannot be decoded.
        """
        means, channels, power = [np.zeros(0, np.float32)], [], 0.0
        with stderr_aside():
            self._go_to(first)
            for block in self._blocks(count):
                means.append(block.mean(axis=1))
                if block.shape[1] > 1:
                    channels.append(block[:, :LISTENED].copy())
                    power += _power(block).sum() / block.shape[1] ** 2
        mean = np.concatenate(means)
        if power and _power(mean) < CANCELLED * power:
            return _loudest(channels)
        return mean

    def _rewind(self) -> None:
        self._number = 0
        self._stream = _Stream(self._file, self._streams[0])
        self._at = 0

    def _go_to(self, first: int) -> None:
        if len(self._streams) == 1 and self._stream.seeks:
            try:
                self._at = self._stream.seek(min(first, self._stream.frames))
            except soundfile.LibsndfileError:  # where the file is damaged
                self._rewind()
            else:
                return
        if first < self._at:
            self._rewind()
        for _ in self._blocks(first - self._at):
            pass

    def _blocks(self, count: int | None = None) -> Iterator[np.ndarray]:
        """Decode on: so many samples, or all; shape (samples, channels) each."""
        end = None if count is None else self._at + count
        while end is None or self._at < end:
            wanted = BLOCK if end is None else min(BLOCK, end - self._at)
            with _reasons():
                block = self._stream.read(wanted, dtype="float32", always_2d=True)
                self._stream.check()
            self._at += len(block)
            if len(block):
                yield block
            elif self._number + 1 < len(self._streams):
                self._number += 1
                self._stream = _Stream(self._file, self._streams[self._number])
            else:
                return


def _power(sound: np.ndarray) -> np.ndarray:
    """The sum of squares of each channel."""
    return np.square(sound, dtype=np.float64).sum(axis=0)


def _loudest(blocks: Sequence[np.ndarray]) -> np.ndarray:
    """The first channel that is not much quieter than the loudest: the same in every window."""
    if len({block.shape[1] for block in blocks}) > 1:  # joined streams
        return np.concatenate([_loudest([block]) for block in blocks])
    channels = np.concatenate(blocks)
    power = _power(channels)
    return channels[:, (power >= power.max() / 2).argmax()]


@contextmanager
def _reasons() -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise RecordingError(f"unreadable: {error.strerror}") from None
    except (soundfile.LibsndfileError, RuntimeError) as error:
        text = getattr(error, "error_string", "") or str(error)
        text = text.removeprefix("Error : ").strip().rstrip(".")
        raise RecordingError(f"unreadable: {text}") from None


Part = range | bytes
"""A part of a stream: where it lies in the file, or bytes that stand for others."""


class _Spliced(io.RawIOBase):
    """Parts of a file as a file; an error of the system is kept, for libsndfile knows of none."""

    def __init__(self, file: BinaryIO, parts: Sequence[Part]) -> None:
        self._file = file
        self._parts = [part for part in parts if len(part)]
        self._at = 0
        self._length = sum(map(len, self._parts))
        self.error: OSError | None = None

    def tell(self) -> int:
        return self._at

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        self._at = max(0, offset + (0, self._at, self._length)[whence])
        return self._at

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]
        done, start = 0, 0
        for part in self._parts:
            inside = self._at - start
            if 0 <= inside < len(part) and done < len(buffer):
                content = self._content(part[inside : inside + len(buffer) - done])
                buffer[done : done + len(content)] = content
                done += len(content)
                self._at += len(content)
            start += len(part)
        return done

    def read(self, size: int = -1) -> bytes:
        raise NotImplementedError  # libsndfile asks for readinto

    def _content(self, part: Part) -> bytes:
        if isinstance(part, bytes):
            return part
        try:
            self._file.seek(part.start)
            return self._file.read(len(part))
        except OSError as error:
            self.error = error
            return b""


class _Stream(soundfile.SoundFile):
    """A stream that is read on: soundfile would go to where it is after each read, which some
    formats cannot, nor some files whose length is wrong."""

    def __init__(self, file: BinaryIO, parts: Sequence[Part]) -> None:
        self._spliced = _Spliced(file, parts)
        super().__init__(self._spliced)
        if self.format == "MP3":  # as soundfile.read does: the last bit is another without
            with suppress(soundfile.LibsndfileError):
                self.seek(0)

    def seekable(self) -> bool:
        return False

    def check(self) -> None:
        """Raise what the system said."""
        if self._spliced.error:
            raise self._spliced.error

    @property
    def seeks(self) -> bool:
        """Whether it goes to a sample exactly: libsndfile's MP3 and Ogg give other sound there."""
        return super().seekable() and self.format not in ("MP3", "OGG")

    def is_whole(self) -> bool:
        """Whether it has as many samples as its header says: one width each, the last is there."""
        widths = ("PCM", "FLOAT", "DOUBLE", "ULAW", "ALAW")
        if self.format == "FLAC" or not (self.seeks and self.subtype.startswith(widths)):
            return False
        if not self.frames:
            return True
        try:
            self.seek(self.frames - 1)
            return len(self.read(1, always_2d=True)) == 1
        except soundfile.LibsndfileError:
            return False


# What is wrong in a header is mended as libsndfile reads it: it reads no further than a header
# says, and of several streams the first alone.


def _streams(file: BinaryIO, suffix: str) -> list[list[Part]]:
    """The parts of each stream."""
    length = file.seek(0, io.SEEK_END)
    if not length:
        raise RecordingError("empty")
    start = _after_tags(file, 0)
    head = _bytes(file, start, 12)
    if head.startswith(b"OggS"):
        return [[link] for link in _links(file, length)]
    if head.startswith(b"fLaC"):
        return [_flac(file, start, length)]
    if head[:4] in (b"RIFF", b"RF64") and head[8:] == b"WAVE":
        return [_wav(file, start, length)]
    if suffix == ".mp3" or head[:1] == b"\xff":
        return _mp3(file, length) or [[range(length)]]
    return [[range(length)]]


def _bytes(file: BinaryIO, start: int, count: int) -> bytes:
    file.seek(start)
    return file.read(count)


def _after_tags(file: BinaryIO, start: int) -> int:
    """Where the ID3v2 tags that begin here end."""
    while (head := _bytes(file, start, 10))[:3] == b"ID3" and len(head) == 10:
        size = 0
        for byte in head[6:]:
            size = size << 7 | byte & 0x7F
        start += 10 + size + 10 * (head[5] >> 4 & 1)
    return start


def _flac(file: BinaryIO, start: int, length: int) -> list[Part]:
    """A stream of unknown length, so that all of it is read.

    Source: RFC 9639, section 8.2: the number of samples is the last 36 bits of bytes 18 to 25.
    """
    place = start + 21
    unknown = bytes([*(byte & 0xF0 for byte in _bytes(file, place, 1)), 0, 0, 0, 0])
    return [range(place), unknown, range(place + len(unknown), length)]


def _wav(file: BinaryIO, start: int, length: int) -> list[Part]:
    """A recorder that died leaves a size of 0 or an old one, a size above 4 GiB has lost its upper
    bits: there is no chunk where the sound should end, so that it goes on to the end of the file.

    Source: EBU Tech 3306: a file RF64 has its sizes in a chunk ds64.
    """
    chunks, told, place = start + 12, 0, start + 12
    while _is_chunk(head := _bytes(file, place, 24)) and head[:4] != b"data":
        size = int.from_bytes(head[4:8], "little")
        place += 8 + size + size % 2
        if head[:4] == b"ds64":
            chunks, told = place, int.from_bytes(head[16:], "little")
    if head[:4] != b"data":
        return [range(length)]
    size = int.from_bytes(head[4:8], "little")
    size = told if size == 2**32 - 1 and chunks > start + 12 else size
    end = place + 8 + size + size % 2
    after = _bytes(file, end, 8)
    fits = end + 8 + int.from_bytes(after[4:], "little") <= length + 1
    if len(after) < 8 or (_is_chunk(after) and fits) or (size and not any(after)):
        return [range(length)]
    true = length - place - 8
    if chunks == start + 12 and true < 2**32 - 1:
        return [range(place + 4), true.to_bytes(4, "little"), range(place + 8, length)]
    sizes = (length + 28, true, 0)  # of the file, of the sound; how many samples
    rf64 = b"RF64" + b"\xff" * 4 + b"WAVEds64" + (28).to_bytes(4, "little")
    rf64 += b"".join(size.to_bytes(8, "little") for size in sizes) + bytes(4)
    return [rf64, range(chunks, place + 4), b"\xff" * 4, range(place + 8, length)]


def _is_chunk(head: bytes) -> bool:
    return len(head) >= 8 and all(32 <= byte < 127 for byte in head[:4])


_FIRST_PAGE = re.compile(rb"OggS\0[\2\3\6\7]")


def _links(file: BinaryIO, length: int) -> list[range]:
    """The links of a chain, each a stream of its own.

    Source: RFC 3533, sections 4 and 6: all first pages of a link come before its other pages.
    """
    starts, expected = [0], 0
    for page in _found(file, _FIRST_PAGE, 6):
        if page != expected and page > 0:
            starts.append(page)
        head = _bytes(file, page, 27 + 255)
        expected = page + 27 + head[26] + sum(head[27 : 27 + head[26]]) if len(head) > 27 else page
    return [range(a, b) for a, b in zip(starts, [*starts[1:], length], strict=True)]


def _found(file: BinaryIO, pattern: re.Pattern[bytes], width: int, place: int = 0) -> Iterator[int]:
    """The places of a pattern of some width in a file, from a place on."""
    kept = b""
    while content := _bytes(file, place + len(kept), 2**16):
        content = kept + content
        for match in pattern.finditer(content):
            yield place + match.start()
        kept = content[1 - width :]
        place += len(content) - len(kept)


class _Frame(NamedTuple):
    """What the header of an MP3 frame says.

    Attributes:
        length: of the frame, in bytes.
        samples: of each channel.
        kind: what does not change in a stream.
        tag: where the encoder's header is, if the frame holds one.
    """

    length: int
    samples: int
    kind: tuple[int, int, int, bool]
    tag: int


_KILOBITS = {
    True: (0, 32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320),  # MPEG 1
    False: (0, 8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160),  # MPEG 2 and 2.5
}
_RATES = {3: (44100, 48000, 32000), 2: (22050, 24000, 16000), 0: (11025, 12000, 8000)}


@lru_cache(maxsize=1024)
def _frame(head: bytes) -> _Frame | None:
    """What the four bytes at the begin of a frame of layer III say; None where they are no header.

    Source: ISO/IEC 11172-3, 2.4.1.3, and 13818-3, 2.4.1.
    """
    if len(head) < 4 or head[0] != 0xFF or head[1] & 0xE6 != 0xE2:
        return None
    version, kilobits, rate = head[1] >> 3 & 3, head[2] >> 4, head[2] >> 2 & 3
    if version == 1 or kilobits in (0, 15) or rate == 3:
        return None
    one, mono = version == 3, head[3] >> 6 == 3
    samples, hertz = (1152 if one else 576), _RATES[version][rate]
    length = samples * 125 * _KILOBITS[one][kilobits] // hertz + (head[2] >> 1 & 1)
    tag = 4 + ((17 if mono else 32) if one else (9 if mono else 17))
    return _Frame(length, samples, (version, rate, samples, mono), tag)


_ENCODERS = (b"Xing", b"Info", b"VBRI")


class _Piece(NamedTuple):
    """Frames of one kind behind an encoder's header, or without one.

    Attributes:
        place: of the first frame.
        first: what its header says.
        is_header: whether it holds an encoder's header and no sound.
        frames: how many hold sound.
    """

    place: int
    first: _Frame
    is_header: bool
    frames: int


def _mp3(file: BinaryIO, length: int) -> list[list[Part]]:
    """The streams of an MP3 file: each begins with an encoder's header, or is of another kind."""
    pieces: list[_Piece] = []
    for place, frame in _frames(file, length):
        tag = _bytes(file, place + 4, 44)
        is_header = tag[frame.tag - 4 :][:4] in _ENCODERS[:2] or tag[32:36] == _ENCODERS[2]
        if is_header or not pieces or frame.kind != pieces[-1].first.kind:
            pieces.append(_Piece(place, frame, is_header, 0))
        if not is_header:
            pieces[-1] = pieces[-1]._replace(frames=pieces[-1].frames + 1)
    pieces = [piece for piece in pieces if piece.frames]
    if not pieces:
        return []
    ends = [piece.place for piece in pieces[1:]] + [length]
    tags = _after_tags(file, 0)
    return [
        _counted(file, piece, range(0 if piece.place == tags else piece.place, end))
        for piece, end in zip(pieces, ends, strict=True)
    ]


def _counted(file: BinaryIO, piece: _Piece, span: range) -> list[Part]:
    """A stream that libsndfile takes for no shorter than its frames.

    It reads as many samples as an encoder's header says, or as the first frames' bit rate lets it
    expect. Where that is too few, a header of ours tells the number of frames.
    """
    first = piece.first
    if _Stream(file, [span]).frames >= (piece.frames - 3) * first.samples:  # some are padding
        return [span]
    head = bytearray(_bytes(file, piece.place, 4))
    head[1] |= 1  # no checksum
    head[2] = 9 << 4 | head[2] & 0x0C  # a bit rate that leaves room
    frame = _frame(bytes(head))
    assert frame is not None
    told = bytes(head).ljust(frame.tag, b"\0") + b"Info" + bytes([0, 0, 0, 1])
    told += piece.frames.to_bytes(4, "big")
    sound = piece.place + (first.length if piece.is_header else 0)
    return [told.ljust(frame.length, b"\0"), range(sound, span.stop)]


def _frames(file: BinaryIO, length: int) -> Iterator[tuple[int, _Frame]]:
    """The frames of layer III in a file and where they are, past all else."""
    place, kind = _after_tags(file, 0), None
    while place < length:
        frame = _frame(_bytes(file, place, 4))
        if frame is None or (frame.kind != kind and not _is_followed(file, place, frame)):
            tagged = _after_tags(file, place)
            place = tagged if tagged > place else _resumed(file, place + 1, length)
            kind = None
            continue
        if place + frame.length > length:
            return
        yield place, frame
        place, kind = place + frame.length, frame.kind


def _resumed(file: BinaryIO, place: int, length: int) -> int:
    """Where frames go on after bytes that are none."""
    for found in _found(file, re.compile(rb"\xff[\xe2\xe3\xf2\xf3\xfa\xfb]"), 2, place):
        frame = _frame(_bytes(file, found, 4))
        if frame is not None and _is_followed(file, found, frame):
            return found
    return length


def _is_followed(file: BinaryIO, place: int, frame: _Frame) -> bool:
    """Whether another frame of the kind begins where a frame ends, or the file ends there."""
    head = _bytes(file, place + frame.length, 4)
    after = _frame(head)
    return len(head) < 4 or (after is not None and after.kind == frame.kind)
