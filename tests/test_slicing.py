"""Names of slicings, and the sizes of their patches."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shuffle_to_learn.slicing import Slicing


@pytest.mark.parametrize(
    ("name", "rows", "columns"),
    [("frequency-10", 10, 1), ("time-12", 1, 12), ("grid-3x4", 3, 4), ("grid-1x2", 1, 2)],
)
def test_names_say_rows_and_columns(name: str, rows: int, columns: int) -> None:
    assert Slicing.parse(name) == Slicing(name, rows, columns, frames=0)
    assert Slicing.parse(name).patches == rows * columns


@pytest.mark.parametrize(
    "name",
    [
        *("", "frequency", "frequency-", "frequency-0", "frequency-1.5", "time--3", "time-010"),
        *("grid-3", "grid-3x", "grid-0x3", "grid-3x3x3", "Time-10", " time-10", "time-10\n"),
        *("frames", "frames-", "frames-0", "frames-5x5", "frame-5", "frames-05", "frames--5"),
    ],
)
def test_other_names_are_refused(name: str) -> None:
    with pytest.raises(ValueError, match="unknown slicing"):
        Slicing.parse(name)


@pytest.mark.parametrize("name", ["frequency-1", "time-1", "grid-1x1", "frames-1"])
def test_one_patch_is_refused(name: str) -> None:
    with pytest.raises(ValueError, match="one patch"):
        Slicing.parse(name)


@given(st.integers(2, 240))
def test_frames_are_whole_frames(frames: int) -> None:
    slicing = Slicing.parse(f"frames-{frames}")
    assert slicing == Slicing(f"frames-{frames}", rows=1, columns=1, frames=frames)
    assert slicing.patches == frames


SHAPES = {"no channel axis": (), "grey": (1,), "rgb": (3,), "any": (7,)}
with_channels = pytest.mark.parametrize("channels", SHAPES.values(), ids=SHAPES.keys())


@with_channels
@given(*[st.integers(1, 9)] * 4)
def test_cells_tile_the_input(channels, rows: int, columns: int, height: int, width: int) -> None:
    slicing = Slicing("any", rows, columns)
    shape = (rows * height, columns * width, *channels)
    assert slicing.cell_size(shape) == (height, width)
    assert slicing.tile_shape(shape) == (height, width, *(channels or (1,)))


@with_channels
@given(*[st.integers(1, 9)] * 2, *[st.integers(1, 60)] * 2)
def test_cells_are_the_largest_that_fit(channels, rows, columns, height, width) -> None:
    slicing, shape = Slicing("any", rows, columns), (height, width, *channels)
    if height < rows or width < columns:
        for sizes in (slicing.cell_size, slicing.tile_shape):
            with pytest.raises(ValueError, match=f"more parts than the {height} x {width} pixels"):
                sizes(shape)
        return
    cell = slicing.cell_size(shape)
    assert cell == slicing.tile_shape(shape)[:2]
    for parts, side, whole in zip((rows, columns), cell, (height, width), strict=True):
        assert parts * side <= whole < parts * (side + 1)
        assert whole - parts * side < parts


@given(st.integers(2, 40), st.integers(2, 40), *[st.integers(1, 20)] * 2, st.sampled_from([1, 3]))
def test_a_frame_is_a_cell(frames: int, clip: int, height: int, width: int, channels: int) -> None:
    slicing, shape = Slicing.parse(f"frames-{frames}"), (clip, height, width, channels)
    if clip < frames:
        with pytest.raises(
            ValueError, match=f"{slicing.name} has more frames than the {clip} of a"
        ):
            slicing.tile_shape(shape)
    else:
        assert slicing.cell_size(shape) == (height, width)
        assert slicing.tile_shape(shape) == (height, width, channels)


@pytest.mark.parametrize("shape", [(80, 60), (80, 60, 3), (80,), (2, 20, 80, 60, 3)])
def test_a_slicing_of_frames_is_of_clips_alone(shape: tuple[int, ...]) -> None:
    for sizes in (Slicing.parse("frames-5").cell_size, Slicing.parse("frames-5").tile_shape):
        with pytest.raises(ValueError, match="slicing frames-5 is of clips"):
            sizes(shape)


@pytest.mark.parametrize("name", ["frequency-5", "time-5", "grid-5x5"])
@pytest.mark.parametrize("shape", [(20, 80, 60, 3), (20, 80, 60, 1), (80,)])
def test_other_slicings_are_of_pictures_alone(name: str, shape: tuple[int, ...]) -> None:
    for sizes in (Slicing.parse(name).cell_size, Slicing.parse(name).tile_shape):
        with pytest.raises(ValueError, match=f"slicing {name} is of single pictures"):
            sizes(shape)


@pytest.mark.parametrize(
    ("name", "cell"), [("frequency-7", (11, 60)), ("time-7", (80, 8)), ("grid-3x7", (26, 8))]
)
def test_a_slicing_that_does_not_divide_leaves_a_remainder(name: str, cell) -> None:
    assert Slicing.parse(name).cell_size((80, 60)) == cell
    assert Slicing.parse(name).tile_shape((80, 60)) == (*cell, 1)


@pytest.mark.parametrize("name", ["frequency-81", "time-61", "grid-81x2", "grid-2x61"])
def test_more_parts_than_pixels_are_refused_by_their_numbers(name: str) -> None:
    with pytest.raises(ValueError, match=f"slicing {name} has more parts than the 80 x 60 pixels"):
        Slicing.parse(name).tile_shape((80, 60))


@with_channels
def test_a_gap_is_taken_along_the_axes_that_are_cut(channels) -> None:
    shape, last = (80, 60, *channels), channels or (1,)
    assert Slicing.parse("frequency-10").tile_shape(shape, 3) == (5, 60, *last)
    assert Slicing.parse("time-10").tile_shape(shape, 3) == (80, 3, *last)
    assert Slicing.parse("grid-4x5").tile_shape(shape, 3) == (17, 9, *last)
    if channels:
        assert Slicing.parse("frames-4").tile_shape((6, *shape), 3) == (77, 57, *last)


@pytest.mark.parametrize(("name", "gap"), [("frequency-10", 8), ("time-10", 6), ("grid-4x10", 9)])
def test_a_gap_that_leaves_nothing_is_refused(name: str, gap: int) -> None:
    with pytest.raises(ValueError, match=f"gap of {gap} pixels leaves nothing .* {name}"):
        Slicing.parse(name).tile_shape((80, 60), gap)
    with pytest.raises(ValueError, match="leaves nothing"):
        Slicing.parse(name).tile_shape((80, 60), 100)


def test_a_gap_that_leaves_nothing_of_a_frame_is_refused() -> None:
    assert Slicing.parse("frames-4").tile_shape((4, 9, 6, 3), 5) == (4, 1, 3)
    with pytest.raises(ValueError, match=r"gap of 6 pixels leaves nothing .* frames-4"):
        Slicing.parse("frames-4").tile_shape((4, 9, 6, 3), 6)
