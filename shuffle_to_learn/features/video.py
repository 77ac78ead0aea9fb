"""Clips as arrays: frames sampled uniformly from video files (mp4, webm, avi)."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

# Silences FFmpeg, as exceptions report all errors. OpenCV reads it once, when FFmpeg is first used.
os.environ.setdefault("OPENCV_FFMPEG_LOGLEVEL", "-8")

import cv2
import numpy as np

from shuffle_to_learn.features.squares import square, with_channels
from shuffle_to_learn.slicing import sampled


class ClipError(ValueError):
    """The frames of a file cannot be read; the message says why in a few words."""


def read_clip(path: str | Path, frames: int, size: int, *, skip: int = 0) -> np.ndarray:
    """Sample frames uniformly from a video and crop each to the square in its middle.

    The length of a video is the number of frames that can be decoded. The number in the header is
    only a guess: one pass over the file counts its frames and keeps those to be sampled by the
    guess, and if the guess was wrong (rarely) a second pass decodes the file again. So the memory
    used does not depend on the length of the clip. Frames are turned as the file says; one of
    another size than the first is scaled to the first's.

    Args:
        path: of the file.
        frames: number of frames to sample, see :func:`shuffle_to_learn.slicing.sampled`.
        size: side of the result in pixels; a smaller square is enlarged.
        skip: number of frames at the start that are never sampled. A lossy codec does not predict
            the first frame from others, so it looks different, which would reveal its place.

    Returns:
        uint8, shape (frames, size, size, 3), RGB.

    Raises:
        ClipError: the file is ``missing``, ``empty``, ``truncated``, ``unreadable``, or has
            ``no video``, ``no frames`` or too few.
    """
    path = Path(path)
    _check_whole(path)
    clip = np.empty((frames, size, size, 3), np.uint8)
    with _opened(path) as name:
        guess, count = _decode(name, clip, skip, None)
        if count < frames + skip:
            raise ClipError(f"{count} frames, fewer than {frames + skip}")
        if guess != count:
            _, again = _decode(name, clip, skip, count)
            if again != count:
                raise ClipError("unreadable: other frames when read again")
    return clip


@contextmanager
def _opened(path: Path) -> Iterator[str]:
    """A file's name for OpenCV: absolute, for FFmpeg takes ``a:b`` for an address, and text."""
    try:
        name = str(path.absolute())
        name.encode()
    except UnicodeEncodeError:
        with path.open("rb") as file:
            yield f"/dev/fd/{file.fileno()}"
    else:
        yield name


def without_background(clip: np.ndarray) -> np.ndarray:
    """Subtract a clip's median frame, its background where things move, and add mid-grey.

    The median does not depend on the order of the frames, so it reveals nothing about the order.

    Args:
        clip: uint8, shape (frames, height, width, channels).

    Returns:
        uint8, the same shape: the difference from the median plus 128, clipped to [0, 255].
    """
    difference = clip.astype(np.float32) - np.median(clip, axis=0).astype(np.float32)
    return np.clip(np.rint(difference + 128), 0, 255).astype(np.uint8)


def read_frames(
    path: str | Path, count: int, size: int, skip: int, channels: str, background: str
) -> np.ndarray | str:
    """Read a clip by :func:`read_clip`, or return why that failed.

    Args:
        path: of the file.
        count: number of frames to sample.
        size: side of the result in pixels.
        skip: number of frames at the start that are never sampled.
        channels: ``rgb`` or ``grey``.
        background: ``keep``, or ``subtract`` for :func:`without_background`.

    Returns:
        uint8, shape (count, size, size, 3 or 1); or the message of the :class:`ClipError`.
    """
    try:
        clip = with_channels(read_clip(path, count, size, skip=skip), channels)
    except ClipError as error:
        return str(error)
    return without_background(clip) if background == "subtract" else clip


def _decode(path: str, clip: np.ndarray, skip: int, count: int | None) -> tuple[int, int]:
    """Sample a file's frames into ``clip`` and count its frames.

    Args:
        count: the number of frames to assume; None for the number in the header.

    Returns:
        The number of frames assumed and the number decoded.
    """
    level = cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_SILENT)
    # One thread: there is a process for each core.
    capture = cv2.VideoCapture(path, cv2.CAP_FFMPEG, [cv2.CAP_PROP_N_THREADS, 1])
    try:
        if not capture.isOpened():
            raise ClipError("no video: sound alone" if _is_sound(path) else "unreadable")
        if count is None:
            count = max(int(capture.get(cv2.CAP_PROP_FRAME_COUNT)), 0)
        usable = count - skip
        places = (skip + sampled(usable, len(clip))).tolist() if usable >= len(clip) else []
        decoded = taken = 0
        while capture.grab():
            if taken < len(places) and decoded == places[taken]:
                readable, frame = capture.retrieve()
                if not readable:
                    raise ClipError(f"unreadable: frame {decoded}")
                picture = square(frame, clip.shape[1])
                clip[taken] = cv2.cvtColor(picture, cv2.COLOR_BGR2RGB)
                taken += 1
            decoded += 1
        if not decoded:
            codec = int(capture.get(cv2.CAP_PROP_FOURCC)).to_bytes(4, "little").decode("latin-1")
            raise ClipError(f"no frames: {codec} cannot be decoded here, H.264 can")
        return count, decoded
    except cv2.error as error:
        raise ClipError(f"unreadable: {error.err}") from None
    finally:
        capture.release()
        cv2.utils.logging.setLogLevel(level)


_SOUND = re.compile(rb"hdlr.{8}soun|strh.{4}auds|\x86[\x81-\x9f]A_|^RIFF.{4}WAVE", re.DOTALL)
_VIDEO = re.compile(rb"hdlr.{8}vide|strh.{4}vids|\x86[\x81-\x9f]V_", re.DOTALL)
_LOOKED_AT = 2**20  # bytes at either end of a file, where its tracks are listed


def _is_sound(path: str) -> bool:
    """Whether a file lists tracks of sound and none of video."""
    with open(path, "rb") as file:
        ends = file.read(_LOOKED_AT)
        file.seek(max(len(ends), file.seek(0, os.SEEK_END) - _LOOKED_AT))
        ends += file.read()
    return bool(_SOUND.search(ends)) and not _VIDEO.search(ends)


_OPEN = (0, 2**31 - 1, 2**32 - 1)
"""Sizes that a recorder writes into a RIFF file first, and leaves there where it dies."""

_BOXES = frozenset(
    b"ftyp moov mdat free skip wide moof mfra uuid meta sidx ssix styp prft emsg pdin udta".split()
)
"""The boxes of an MP4 file; what else follows them is none."""


def _check_whole(path: Path) -> None:
    """Compare the length that a container states with the file's.

    A decoder does not report a truncated file: it stops where the file ends.

    Raises:
        ClipError: the file is missing, empty, unreadable or truncated.
    """
    try:
        length = path.stat().st_size
        with path.open("rb") as file:
            head = file.read(64)
            if not head:
                raise ClipError("empty")
            if head[:4] == b"RIFF":
                size = int.from_bytes(head[4:8], "little")
                end = 0 if size in _OPEN else 8 + size
            elif head[4:8] == b"ftyp":
                end = 0
                boxes = set()
                while end + 8 <= length:
                    file.seek(end)
                    box = file.read(16)
                    step = int.from_bytes(box[:4], "big")
                    if step == 1:
                        step = int.from_bytes(box[8:16], "big")
                    if step == 0:  # up to the end of the file
                        step = length - end
                    if box[4:8] not in _BOXES and not 8 <= step <= length - end:
                        break
                    if step < 8:
                        raise ClipError("unreadable")
                    boxes.add(box[4:8])
                    end += step
                if b"moov" not in boxes and b"moof" not in boxes:
                    end = length + 1
            elif head[:4] == b"\x1a\x45\xdf\xa3":
                end = _matroska_end(head)
            else:
                return
    except OSError as error:
        raise ClipError(
            "missing" if isinstance(error, FileNotFoundError) else "unreadable"
        ) from None
    if end > length:
        raise ClipError("truncated")


def _matroska_end(head: bytes) -> int:
    """The end of a webm file's segment in bytes, by its header; 0 if the header leaves it open."""
    place = 4
    _, size, width = _number(head, place)
    place += width + size
    if head[place : place + 4] != b"\x18\x53\x80\x67":
        return 0
    place += 4
    is_open, size, width = _number(head, place)
    return 0 if is_open else place + width + size


def _number(head: bytes, place: int) -> tuple[bool, int, int]:
    """Read a length in Matroska's encoding: whether it is left open, its value, its bytes."""
    if place >= len(head) or not head[place]:
        return True, 0, 1
    width = 9 - head[place].bit_length()
    mask = (1 << 7 * width) - 1
    value = int.from_bytes(head[place : place + width], "big") & mask
    return value == mask, value, width
