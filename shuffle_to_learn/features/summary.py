"""What a line of NumPy says of an input: means and deviations, with no network."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from shuffle_to_learn.slicing import Slicing

BATCH = 250
"""Inputs at a time, so that no float copy of all is held."""


def of_bands(spectrograms: np.ndarray) -> np.ndarray:
    """The mean and the deviation of each band over time.

    Args:
        spectrograms: floating, shape (N, bands, frames).

    Returns:
        float32, shape (N, 2 bands): the means, then the deviations.
    """
    return _in_batches(spectrograms, lambda x: _moments(x, 2))


def of_pixels(clips: np.ndarray) -> np.ndarray:
    """The mean and the deviation of each pixel and channel over the frames.

    Args:
        clips: shape (N, frames, height, width, channels).

    Returns:
        float32, shape (N, 2 height width channels): the means, then the deviations.
    """
    return _in_batches(clips, lambda x: _moments(x, 1))


def of_tiles(pictures: np.ndarray, slicing: Slicing) -> np.ndarray:
    """The mean and the deviation of each colour in each tile.

    Args:
        pictures: shape (N, height, width, channels).
        slicing: a grid; pixels that it does not divide are cut off evenly at the sides.

    Returns:
        float32, shape (N, 2 tiles channels): the means, then the deviations.
    """
    height, width = slicing.cell_size(pictures.shape[1:])
    rows, columns = slicing.covered(pictures.shape[1:])
    cells = slicing.rows, height, slicing.columns, width, pictures.shape[3]
    return _in_batches(
        pictures[:, rows, columns], lambda x: _moments(x.reshape(len(x), *cells), (2, 4))
    )


def _moments(x: np.ndarray, axes: int | tuple[int, ...]) -> np.ndarray:
    x = x.astype(np.float32)
    return np.concatenate([m.reshape(len(x), -1) for m in (x.mean(axes), x.std(axes))], axis=1)


def _in_batches(x: np.ndarray, of: Callable[[np.ndarray], np.ndarray]) -> np.ndarray:
    return np.concatenate([of(x[start : start + BATCH]) for start in range(0, len(x), BATCH)])
