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

ORIENTATION = 0x0112  # EXIF's tag

BITS = (8, 10, 12, 14, 16)
"""How many of 16 bits a picture may use: the largest value of so many is white."""

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
    and 16 bits per channel. Where a picture of 16 bits has values of 8, 10, 12 or 14 bits alone, as
    cameras and scanners write them, it is as light as if it had no more. During decoding the stderr
    of the process is redirected: use processes, not threads.

    Args:
        content: the bytes of the file.
        size: pixels along the side of the result.
        background: red, green and blue, 0 to 255, behind transparent pixels.

    Returns:
        uint8 (size, size, 3) in RGB, upright.

    Raises:
        ImageError: the content is empty, in an unknown format, truncated or damaged (as far as the
            decoder notices: flipped bits may decode to another picture), has 32 bits per channel,
            or more than twice ``PIL.Image.MAX_IMAGE_PIXELS``, which takes all memory.
    """
    if not content:
        raise ImageError("empty")
    # OpenCV reads JPEG files fast and correctly, CMYK and EXIF included. It reads the other formats
    # either with transparency or with EXIF rotation, not with both; it makes the transparent level
    # of a grey PNG opaque; and it multiplies the colours of a TIFF by alpha. So Pillow reads them.
    is_jpeg = content.startswith(b"\xff\xd8")
    picture = _jpeg(content) if is_jpeg else _other(content, background)
    return square(picture, size)


_END = b"\xff\xd9"  # of a JPEG


def _jpeg(content: bytes) -> np.ndarray:
    pixels, most = _jpeg_pixels(content), 2 * (Image.MAX_IMAGE_PIXELS or 2**30)
    if pixels > most:
        raise ImageError(f"too large: {pixels} pixels, more than {most}")
    whole = _END in content[-64:]
    stored, lost = _decoded(content)
    if stored is None and not whole:  # all may be there but the end
        stored, lost = _decoded(content + _END)
        if lost:
            raise ImageError("JPEG: truncated")
    if stored is None:
        raise ImageError("JPEG: damaged" if whole else "JPEG: truncated")
    if lost:
        raise ImageError(f"JPEG: {lost}")
    return stored


def _decoded(content: bytes) -> tuple[np.ndarray | None, str]:
    """A JPEG's pixels, if there are any, and what libjpeg says of lost ones."""
    with stderr_aside() as complaints:
        try:
            stored = cv2.imdecode(np.frombuffer(content, np.uint8), cv2.IMREAD_COLOR_RGB)
        except cv2.error as error:  # larger than OpenCV's limit
            raise ImageError(f"JPEG: {error.err}") from error
        complaints.seek(0)
        lost = _LOST.search(complaints.read())
    return stored, lost[1].decode() if lost else ""


def _jpeg_pixels(content: bytes) -> int:
    """Width times height, by the first header of a frame; 0 where there is none.

    Source: ITU-T T.81, B.1 and B.2.2.
    """
    place = 2
    while place + 9 <= len(content):
        marker, length = content[place : place + 2], content[place + 2 : place + 4]
        if marker[0] != 0xFF:
            return 0
        if marker[1] == 0xFF:  # a byte that fills up
            place += 1
        elif 0xC0 <= marker[1] <= 0xCF and marker[1] not in (0xC4, 0xC8, 0xCC):
            height, width = (content[place + at : place + at + 2] for at in (5, 7))
            return int.from_bytes(height, "big") * int.from_bytes(width, "big")
        else:
            place += 2 + int.from_bytes(length, "big")
    return 0


def _other(content: bytes, background: tuple[int, int, int]) -> np.ndarray:
    kind = "no picture"
    try:
        with stderr_aside(), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            with Image.open(io.BytesIO(content)) as stored:
                kind = stored.format or kind
                deep = _deep(stored, content)
                return _rgb(ImageOps.exif_transpose(deep or stored), background)
    except Image.UnidentifiedImageError:
        raise ImageError(kind) from None
    except Image.DecompressionBombError as error:
        raise ImageError(f"too large: {str(error).partition(',')[0]}") from None
    # The exception depends on where the file is damaged: OSError, SyntaxError, struct.error,
    # ValueError, ...
    except Exception as error:
        raise ImageError(f"{kind}: {str(error) or type(error).__name__}") from error


def _rgb(picture: Image.Image, background: tuple[int, int, int]) -> np.ndarray:
    if picture.mode in ("I", "F"):
        raise ValueError("32 bits a channel")
    if picture.mode.startswith("I;16"):  # convert() would clip the values at 255
        values = np.asarray(picture)
        return cv2.cvtColor(_to_bytes(values, _bits(values)), cv2.COLOR_GRAY2RGB)
    if picture.has_transparency_data:
        opaque = Image.new("RGBA", picture.size, background)
        picture = Image.alpha_composite(opaque, picture.convert("RGBA"))
    return np.asarray(picture.convert("RGB"))


def _bits(values: np.ndarray) -> int:
    """How many bits values of 16 bits use."""
    largest = int(values.max(initial=0))
    return next(bits for bits in BITS if largest < 2**bits)


def _to_bytes(values: np.ndarray, bits: int) -> np.ndarray:
    top = 2**bits - 1
    return ((values.astype(np.uint32) * 255 + top // 2) // top).astype(np.uint8)


def _deep(picture: Image.Image, content: bytes) -> Image.Image | None:
    """A picture in colour of 16 bits a channel that uses fewer; Pillow keeps the upper 8 alone.

    Returns:
        The picture with 8 bits a channel; None for any other.
    """
    is_deep = any(";16" in str(tile[3]) for tile in getattr(picture, "tile", ()))
    # OpenCV multiplies the colours of a TIFF by alpha, and knows of no transparent colour.
    is_read = picture.mode == "RGB" or (picture.mode == "RGBA" and picture.format == "PNG")
    if not (is_deep and is_read) or "transparency" in picture.info:
        return None
    values = cv2.imdecode(np.frombuffer(content, np.uint8), cv2.IMREAD_UNCHANGED)
    if values is None or values.dtype != np.uint16 or values.shape[2:] != (len(picture.mode),):
        return None
    colours, alpha = values[..., 2::-1], values[..., 3:]
    if (bits := _bits(colours)) == BITS[-1]:
        return None
    result = Image.fromarray(np.dstack([_to_bytes(colours, bits), _to_bytes(alpha, BITS[-1])]))
    result.getexif()[ORIENTATION] = picture.getexif().get(ORIENTATION, 1)
    return result


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
