"""Names of views, and the sizes of their patches."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shuffle_to_learn.views import View


@pytest.mark.parametrize(
    ("name", "rows", "columns"),
    [("frequency-10", 10, 1), ("time-12", 1, 12), ("grid-3x4", 3, 4), ("grid-1x2", 1, 2)],
)
def test_names_say_rows_and_columns(name: str, rows: int, columns: int) -> None:
    assert View.parse(name) == View(name, rows, columns)
    assert View.parse(name).patches == rows * columns


@pytest.mark.parametrize(
    "name",
    [
        *("", "frequency", "frequency-", "frequency-0", "frequency-1.5", "time--3", "time-010"),
        *("grid-3", "grid-3x", "grid-0x3", "grid-3x3x3", "Time-10", " time-10", "time-10\n"),
    ],
)
def test_other_names_are_refused(name: str) -> None:
    with pytest.raises(ValueError, match="unknown view"):
        View.parse(name)


@pytest.mark.parametrize("name", ["frequency-1", "time-1", "grid-1x1"])
def test_one_patch_is_refused(name: str) -> None:
    with pytest.raises(ValueError, match="one patch"):
        View.parse(name)


@given(*[st.integers(1, 9)] * 4)
def test_cells_tile_the_input(rows: int, columns: int, height: int, width: int) -> None:
    view = View("any", rows, columns)
    size = (rows * height, columns * width)
    assert view.cell_size(size) == view.tile_size(size) == (height, width)


@pytest.mark.parametrize(
    ("name", "numbers"),
    [("frequency-7", "80 rows.*7"), ("time-7", "60 columns.*7"), ("grid-2x7", "60 columns.*7")],
)
def test_a_slicing_that_does_not_divide_is_refused_by_its_numbers(name, numbers) -> None:
    with pytest.raises(ValueError, match=f"{name} cuts {numbers} parts"):
        View.parse(name).tile_size((80, 60))


def test_a_gap_is_taken_along_the_axes_that_are_cut() -> None:
    assert View.parse("frequency-10").tile_size((80, 60), 3) == (5, 60)
    assert View.parse("time-10").tile_size((80, 60), 3) == (80, 3)
    assert View.parse("grid-4x5").tile_size((80, 60), 3) == (17, 9)


@pytest.mark.parametrize(("name", "gap"), [("frequency-10", 8), ("time-10", 6), ("grid-4x10", 9)])
def test_a_gap_that_leaves_nothing_is_refused(name: str, gap: int) -> None:
    with pytest.raises(ValueError, match=f"gap of {gap} pixels leaves nothing .* {name}"):
        View.parse(name).tile_size((80, 60), gap)
    with pytest.raises(ValueError, match="leaves nothing"):
        View.parse(name).tile_size((80, 60), 100)
