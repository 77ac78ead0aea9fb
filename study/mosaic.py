"""Inputs in order, shuffled and put back, as pictures of their patches."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import matplotlib.pyplot as plt
import numpy as np

from shuffle_to_learn.slicing import Slicing
from study.errors import InputError
from study.params import orders_patches

if TYPE_CHECKING:
    from matplotlib.figure import Figure

SIDE = 32  # pixels that a patch has at least along its shorter side, enlarged where it has fewer
FRAME = 2  # pixels; there are as many around it
WRONG = (0.84, 0.15, 0.16)


def need_order(method: str) -> None:
    """Make sure that a method puts patches in order.

    Raises:
        InputError: where it does not.
    """
    if not orders_patches(method):
        raise InputError(f"{method} puts no patches in order: there is nothing to show")


def mosaic(patches: np.ndarray, slicing: Slicing, wrong: np.ndarray) -> np.ndarray:
    """The patches at the places of a slicing, in red frames where they are wrong.

    Args:
        patches: of 0 to 1, shape (n, height, width, channels of 1 or 3).
        slicing: the grid; frames are one row.
        wrong: bool, shape (n,).

    Returns:
        RGB, shape (height, width, 3).
    """
    times = -(-SIDE // min(patches.shape[1:3]))
    patches = patches.repeat(times, axis=1).repeat(times, axis=2)
    n, height, width, _ = patches.shape
    rows, columns = (1, n) if slicing.frames else (slicing.rows, slicing.columns)
    framed = np.ones((n, height + 4 * FRAME, width + 4 * FRAME, 3))
    framed[wrong, FRAME:-FRAME, FRAME:-FRAME] = WRONG
    framed[:, 2 * FRAME : -2 * FRAME, 2 * FRAME : -2 * FRAME] = patches
    grid = framed.reshape(rows, columns, *framed.shape[1:]).transpose(0, 2, 1, 3, 4)
    return grid.reshape(rows * framed.shape[1], columns * framed.shape[2], 3)


def colours(modality: str, patches: np.ndarray) -> np.ndarray:
    """Patches to look at, RGB of 0 to 1: a spectrogram in the colours of loudness."""
    if modality != "audio":
        return np.clip(patches, 0, 1)
    low, high = patches.min(), patches.max()
    scaled = (patches[..., 0] - low) / max(high - low, 1e-6)
    return plt.get_cmap("magma")(scaled)[..., :3]


def draw(
    seen: np.ndarray,
    orders: np.ndarray,
    answers: Mapping[str, np.ndarray],
    slicing: Slicing,
    modality: str,
) -> Figure:
    """One input a row: in order, shuffled, put back; of long rows of patches, as many rows.

    Args:
        seen: patches from :func:`colours`, shape (inputs, n, height, width, channels).
        orders: 0-based, shape (inputs, n): place k of the shuffled sequence holds ``orders[:, k]``.
        answers: by a title, the places in the order that a network predicts, 0-based, shape
            (inputs, n).
        slicing: of the inputs.
        modality: spectrograms have low frequencies below.
    """
    origin = "lower" if modality == "audio" else "upper"
    count, n = orders.shape
    none = np.zeros(n, bool)
    titles, pictures = [], []
    for i, (patches, order) in enumerate(zip(seen, orders, strict=True)):
        titles += ["in order", "shuffled"]
        pictures += [mosaic(patches, slicing, none), mosaic(patches[order], slicing, none)]
        for title, places in answers.items():
            reordered = order[places[i]]
            wrong = reordered != np.arange(n)
            titles.append(f"{title}: {n - wrong.sum()} of {n} right")
            pictures.append(mosaic(patches[reordered], slicing, wrong))
    height, width = pictures[0].shape[:2]
    each = 2 + len(answers)
    long = width > 3 * height
    grid = (each * count, 1) if long else (count, each)
    size = (7.2, 1 + each * count * (0.25 + 7 * height / width)) if long else None
    size = size or (2.4 * each, 1 + count * (0.3 + min(2.4 * height / width, 3.2)))
    figure, axes = plt.subplots(*grid, figsize=size, squeeze=False)
    for axis, title, picture in zip(axes.flat, titles, pictures, strict=True):
        axis.imshow(picture, origin=origin, interpolation="nearest", aspect="equal")
        axis.set_title(title, loc="left", fontsize="small")
        axis.axis("off")
    return figure
