"""Read a picture file of any common format as a square of a given size."""

from __future__ import annotations

import io
import re
import warnings

import cv2
import numpy as np
from PIL import Image, ImageOps

from shuffle_to_learn.features.squares import square, with_channels
from shuffle_to_learn.stderr import stderr_aside

BACKGROUND = (255, 255, 255)
"""The colour behind the transparent parts of a picture: white, as in a browser."""

# libjpeg's messages about a file that has lost some of its pixels. The message "extraneous bytes"
# is not among them: some cameras and editors leave such bytes in undamaged files.
_LOST = re.compile(rb"Corrupt JPEG data: (premature end of data segment|bad Huffman code)")


class ImageError(ValueError):
    """The content is not a picture, or is damaged; the message says why in a few words."""


def read_image(
    content: bytes, size: int, *, background: tuple[int, int, int] = BACKGROUND
) -> np.ndarray:
    """Read a picture and resize the square in its middle.

    Supported are JPEG (also grey, CMYK and rotated by EXIF) and all formats that Pillow reads: PNG,
    GIF and WebP (the first frame of an animation), TIFF, BMP, ...; grey, palettes, transparency, 1
    and 16 bits per channel. During decoding the stderr of the process is redirected: use processes,
    not threads.

    Args:
        content: the bytes of the file.
        size: pixels along the side of the result.
        background: red, green and blue, 0 to 255, behind transparent pixels.

    Returns:
        uint8 (size, size, 3) in RGB, upright.

    Raises:
        ImageError: the content is empty, in an unknown format, truncated or damaged (as far as the
            decoder notices: flipped bits may decode to another picture), or has 32 bits per
            channel.
    """
    if not content:
        raise ImageError("empty")
    # OpenCV reads JPEG files fast and correctly, CMYK and EXIF included. It reads the other formats
    # either with transparency or with EXIF rotation, not with both; it makes the transparent level
    # of a grey PNG opaque; and it multiplies the colours of a TIFF by alpha. So Pillow reads them.
    is_jpeg = content.startswith(b"\xff\xd8")
    picture = _jpeg(content) if is_jpeg else _other(content, background)
    return square(picture, size)


def _jpeg(content: bytes) -> np.ndarray:
    with stderr_aside() as complaints:
        try:
            stored = cv2.imdecode(np.frombuffer(content, np.uint8), cv2.IMREAD_COLOR_RGB)
        except cv2.error as error:  # larger than OpenCV's limit
            raise ImageError(f"JPEG: {error.err}") from error
        complaints.seek(0)
        lost = _LOST.search(complaints.read())
    if stored is None:
        whole = b"\xff\xd9" in content[-64:]  # the end of the picture
        raise ImageError("JPEG: damaged" if whole else "JPEG: truncated")
    if lost:
        raise ImageError(f"JPEG: {lost[1].decode()}")
    return stored


def _other(content: bytes, background: tuple[int, int, int]) -> np.ndarray:
    kind = "no picture"
    try:
        with stderr_aside(), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            with Image.open(io.BytesIO(content)) as stored:
                kind = stored.format or kind
                return _rgb(ImageOps.exif_transpose(stored), background)
    except Image.UnidentifiedImageError:
        raise ImageError(kind) from None
    # The exception depends on where the file is damaged: OSError, SyntaxError, struct.error,
    # ValueError, ...
    except Exception as error:
        raise ImageError(f"{kind}: {str(error) or type(error).__name__}") from error


def _rgb(picture: Image.Image, background: tuple[int, int, int]) -> np.ndarray:
    if picture.mode in ("I", "F"):
        raise ValueError("32 bits a channel")
    if picture.mode.startswith("I;16"):  # convert() would clip the values at 255
        scaled = (np.asarray(picture).astype(np.uint32) + 128) // 257
        return cv2.cvtColor(scaled.astype(np.uint8), cv2.COLOR_GRAY2RGB)
    if picture.has_transparency_data:
        opaque = Image.new("RGBA", picture.size, background)
        picture = Image.alpha_composite(opaque, picture.convert("RGBA"))
    return np.asarray(picture.convert("RGB"))


def read_picture(content: bytes, size: int, channels: str) -> np.ndarray | str:
    """Read a picture by :func:`read_image`, in colour or grey, or return why that failed.

    Args:
        content: the bytes of the file.
        size: pixels along the side of the result.
        channels: ``rgb`` or ``grey``.

    Returns:
        uint8, shape (size, size, 3 or 1); or the message of the :class:`ImageError`.
    """
    try:
        return with_channels(read_image(content, size), channels)
    except ImageError as error:
        return str(error)
