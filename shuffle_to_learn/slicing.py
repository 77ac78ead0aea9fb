"""Slicings: how one input becomes an ordered sequence of patches."""

from __future__ import annotations

import re
from dataclasses import dataclass

import numpy as np

_GRID = re.compile(r"grid-([1-9]\d*)x([1-9]\d*)")
_PARTS = re.compile(r"(frequency|time|frames)-([1-9]\d*)")


@dataclass(frozen=True)
class Slicing:
    """A grid of ``rows`` x ``columns`` patches, read row by row (row-major), or frames of a clip.

    A spectrogram has frequency (low to high) along its rows and time along its columns, so
    ``frequency-10`` is 10 x 1 and ``time-10`` is 1 x 10. In ``frames-20`` the patches are 20 whole
    frames. ``frames`` is the number of frames, and 0 in a slicing of a picture or spectrogram.
    """

    name: str
    rows: int = 1
    columns: int = 1
    frames: int = 0

    @classmethod
    def parse(cls, name: str) -> Slicing:
        """The slicing called ``frequency-N``, ``time-N``, ``grid-RxC`` or ``frames-N``.

        Raises:
            ValueError: for any other name, and for a slicing of a single patch.
        """
        if match := _GRID.fullmatch(name):
            slicing = cls(name, rows=int(match[1]), columns=int(match[2]))
        elif match := _PARTS.fullmatch(name):
            axis = {"frequency": "rows", "time": "columns", "frames": "frames"}[match[1]]
            slicing = cls(name, **{axis: int(match[2])})
        else:
            raise ValueError(
                f"unknown slicing {name!r}: use frequency-N, time-N, grid-RxC or frames-N"
            )
        if slicing.patches < 2:
            raise ValueError(f"slicing {name!r} has one patch: there is nothing to shuffle")
        return slicing

    @property
    def patches(self) -> int:
        """The number of patches n."""
        return self.frames or self.rows * self.columns

    def cell_size(self, shape: tuple[int, ...]) -> tuple[int, int]:
        """Height and width of one cell of an input, in pixels.

        Where the grid does not divide the input, its cells are the largest that fit. The pixels
        left over, fewer than there are parts, are cut off evenly at the two sides.

        Args:
            shape: the shape of an input: (height, width) with or without channels after it, or
                (frames, height, width, channels) for a clip.

        Raises:
            ValueError: where the input has fewer frames or pixels than the slicing has parts, where
                a slicing of frames is given no clip, or where another slicing is given a clip.
        """
        if self.frames:
            if len(shape) != 4:
                raise ValueError(f"slicing {self.name} is of clips, and these are single pictures")
            if shape[0] < self.frames:
                raise ValueError(
                    f"slicing {self.name} has more frames than the {shape[0]} of a clip: ask for "
                    "fewer, or extract more"
                )
            return shape[1], shape[2]
        if len(shape) not in (2, 3):
            raise ValueError(f"slicing {self.name} is of single pictures: use frames-N for clips")
        height, width = shape[0] // self.rows, shape[1] // self.columns
        if not (height and width):
            raise ValueError(
                f"slicing {self.name} has more parts than the {shape[0]} x {shape[1]} pixels of an "
                "input: choose fewer"
            )
        return height, width

    def covered(self, shape: tuple[int, ...]) -> tuple[slice, slice]:
        """The rows and the columns of a picture that its cells cover.

        Args:
            shape: the shape of an input, see :meth:`cell_size`.

        Raises:
            ValueError: as :meth:`cell_size`.
        """
        height, width = self.cell_size(shape)
        used = self.rows * height, self.columns * width
        top, left = (shape[0] - used[0]) // 2, (shape[1] - used[1]) // 2
        return slice(top, top + used[0]), slice(left, left + used[1])

    def tile_shape(self, shape: tuple[int, ...], gap: int = 0) -> tuple[int, int, int]:
        """Height, width and channels of a patch: its cell less ``gap`` pixels.

        The gap is taken off along each axis that is cut, and along both axes of a frame.

        Args:
            shape: the shape of an input, see :meth:`cell_size`.
            gap: in pixels.

        Raises:
            ValueError: as :meth:`cell_size`, and where the gap leaves nothing.
        """
        height, width = self.cell_size(shape)
        height -= gap if self.rows > 1 or self.frames else 0
        width -= gap if self.columns > 1 or self.frames else 0
        if height < 1 or width < 1:
            raise ValueError(
                f"a gap of {gap} pixels leaves nothing of a patch of slicing {self.name}"
            )
        return height, width, shape[-1] if len(shape) > 2 else 1


def sampled(count: int, frames: int) -> np.ndarray:
    """The indices of ``frames`` frames sampled uniformly: the middles of equal parts of ``count``.

    Returns:
        int64, shape (frames,), ascending, all different if ``count >= frames``.
    """
    return (2 * np.arange(frames) + 1) * count // (2 * frames)
