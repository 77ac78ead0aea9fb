"""Pictures as squares of one size, in colour or grey."""

from __future__ import annotations

import cv2
import numpy as np


def square(picture: np.ndarray, size: int) -> np.ndarray:
    """The square in the middle of a picture, resized: averaged where it shrinks.

    Args:
        picture: uint8, shape (height, width, 3).
        size: pixels along the side.

    Returns:
        uint8, shape (size, size, 3).
    """
    height, width = picture.shape[:2]
    side = min(height, width)
    top, left = (height - side) // 2, (width - side) // 2
    middle = picture[top : top + side, left : left + side]
    if side == size:
        return middle
    how = cv2.INTER_AREA if side > size else cv2.INTER_LINEAR
    return cv2.resize(middle, (size, size), interpolation=how)


def with_channels(pictures: np.ndarray, channels: str) -> np.ndarray:
    """RGB pictures as they are (``rgb``) or their luminance (``grey``).

    Args:
        pictures: uint8, shape (..., height, width, 3).
        channels: ``rgb`` or ``grey``.

    Returns:
        uint8, shape (..., height, width, 3) or (..., height, width, 1).
    """
    if channels == "rgb":
        return pictures
    rows = np.ascontiguousarray(pictures).reshape(-1, *pictures.shape[-2:])
    return cv2.cvtColor(rows, cv2.COLOR_RGB2GRAY).reshape(*pictures.shape[:-1], 1)
