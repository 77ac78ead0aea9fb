"""Views: how one input becomes an ordered sequence of patches."""

from __future__ import annotations

import re
from dataclasses import dataclass

_GRID = re.compile(r"grid-([1-9]\d*)x([1-9]\d*)")
_BANDS = re.compile(r"(frequency|time)-([1-9]\d*)")


@dataclass(frozen=True)
class View:
    """A grid of ``rows`` x ``columns`` patches, read row by row (row-major).

    A spectrogram has frequency (low to high) along its rows and time along its columns, so
    ``frequency-10`` is 10 x 1 and ``time-10`` is 1 x 10.
    """

    name: str
    rows: int
    columns: int

    @classmethod
    def parse(cls, name: str) -> View:
        """The view called ``frequency-N``, ``time-N`` or ``grid-RxC``.

        Raises:
            ValueError: for any other name, and for a view of a single patch.
        """
        if match := _GRID.fullmatch(name):
            view = cls(name, int(match[1]), int(match[2]))
        elif match := _BANDS.fullmatch(name):
            count = int(match[2])
            view = cls(name, count, 1) if match[1] == "frequency" else cls(name, 1, count)
        else:
            raise ValueError(f"unknown view {name!r}: use frequency-N, time-N or grid-RxC")
        if view.patches < 2:
            raise ValueError(f"view {name!r} has one patch: there is nothing to shuffle")
        return view

    @property
    def patches(self) -> int:
        """The number of patches n."""
        return self.rows * self.columns

    def cell_size(self, size: tuple[int, int]) -> tuple[int, int]:
        """Height and width of one cell of an input of ``size`` (height, width), in pixels.

        Raises:
            ValueError: where the grid does not divide the input.
        """
        height, width = size
        for count, length, what in ((self.rows, height, "rows"), (self.columns, width, "columns")):
            if length % count:
                raise ValueError(
                    f"view {self.name} cuts {length} {what} of pixels into {count} parts, which "
                    f"does not divide: choose a number of parts that does"
                )
        return height // self.rows, width // self.columns

    def tile_size(self, size: tuple[int, int], gap: int = 0) -> tuple[int, int]:
        """Height and width of a patch: its cell less ``gap`` pixels along each axis that is cut.

        Raises:
            ValueError: where the grid does not divide the input or the gap leaves nothing.
        """
        height, width = self.cell_size(size)
        height -= gap if self.rows > 1 else 0
        width -= gap if self.columns > 1 else 0
        if height < 1 or width < 1:
            raise ValueError(f"a gap of {gap} pixels leaves nothing of a patch of view {self.name}")
        return height, width
