"""Pictures as squares of one size, in colour or grey."""

from __future__ import annotations

import cv2
import numpy as np


def square(picture: np.ndarray, size: int) -> np.ndarray:
    """Crop the square in the middle of a picture and resize it, by averaging where it shrinks.

    Args:
        picture: uint8, shape (height, width, 3).
        size: pixels along the side of the result.

    Returns:
        uint8, shape (size, size, 3).
    """
    height, width = picture.shape[:2]
    side = min(height, width)
    top, left = (height - side) // 2, (width - side) // 2
    middle = picture[top : top + side, left : left + side]
    if side == size:
        return middle
    interpolation = cv2.INTER_AREA if side > size else cv2.INTER_LINEAR
    return cv2.resize(middle, (size, size), interpolation=interpolation)


def with_channels(pictures: np.ndarray, channels: str) -> np.ndarray:
    """RGB pictures unchanged (``rgb``) or as their luminance (``grey``).

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
