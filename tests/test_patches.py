"""Cutting and reordering patches, against plain numpy slicing."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given
from hypothesis import strategies as st

from shuffle_to_learn.patches import as_images, cut, reorder
from shuffle_to_learn.views import View

SEED = np.array([5, 6])


def numbered(batch: int, height: int, width: int, channels: int = 1) -> np.ndarray:
    """Pictures in which every pixel has another value."""
    shape = (batch, height, width, channels)
    return np.arange(np.prod(shape), dtype=np.float32).reshape(shape)


def sliced(x: np.ndarray, rows: int, columns: int) -> np.ndarray:
    """Patches row by row, each by its own slice."""
    h, w = x.shape[1] // rows, x.shape[2] // columns
    parts = [
        x[:, r * h : (r + 1) * h, c * w : (c + 1) * w] for r in range(rows) for c in range(columns)
    ]
    return np.stack(parts, axis=1)


def test_frequency_10_is_ten_bands_from_low_to_high() -> None:
    x = numbered(2, 80, 60)
    patches = cut(tf.constant(x), View.parse("frequency-10")).numpy()
    assert patches.shape == (2, 10, 8, 60, 1)
    for k in range(10):
        assert np.array_equal(patches[:, k], x[:, 8 * k : 8 * k + 8])


def test_time_10_is_ten_spans_from_first_to_last() -> None:
    x = numbered(2, 80, 60)
    patches = cut(tf.constant(x), View.parse("time-10")).numpy()
    assert patches.shape == (2, 10, 80, 6, 1)
    for k in range(10):
        assert np.array_equal(patches[:, k], x[:, :, 6 * k : 6 * k + 6])


def test_grid_3x4_is_read_row_by_row() -> None:
    x = numbered(2, 9, 8, 3)
    patches = cut(tf.constant(x), View.parse("grid-3x4")).numpy()
    assert patches.shape == (2, 12, 3, 2, 3)
    assert np.array_equal(patches[:, 0], x[:, 0:3, 0:2])
    assert np.array_equal(patches[:, 1], x[:, 0:3, 2:4])
    assert np.array_equal(patches[:, 4], x[:, 3:6, 0:2])
    assert np.array_equal(patches[:, 11], x[:, 6:9, 6:8])


@given(*[st.integers(1, 4)] * 4, st.integers(1, 3))
def test_patches_in_their_own_order_are_the_picture(rows, columns, h, w, channels) -> None:
    x = numbered(2, rows * h, columns * w, channels)
    patches = cut(tf.constant(x), View("any", rows, columns))
    assert np.array_equal(patches, sliced(x, rows, columns))
    identity = np.tile(np.arange(rows * columns), (2, 1))
    same = reorder(patches, tf.constant(identity)).numpy()
    picture = same.reshape(2, rows, columns, h, w, channels).transpose(0, 1, 3, 2, 4, 5)
    assert np.array_equal(picture.reshape(x.shape), x)


def test_reorder_puts_patch_orders_k_at_place_k() -> None:
    x = numbered(2, 4, 1).reshape(2, 4)
    orders = np.array([[2, 0, 3, 1], [0, 3, 2, 1]])
    shuffled = reorder(tf.constant(x), tf.constant(orders)).numpy()
    assert shuffled.tolist() == [[2, 0, 3, 1], [4, 7, 6, 5]]
    back = reorder(tf.constant(shuffled), tf.constant(np.argsort(orders))).numpy()
    assert np.array_equal(back, x)


@pytest.mark.parametrize(("gap", "top"), [(1, 0), (2, 1), (3, 1), (4, 2)])
def test_without_a_seed_patches_are_centred(gap: int, top: int) -> None:
    x = numbered(2, 80, 60)
    patches = cut(tf.constant(x), View.parse("frequency-10"), gap).numpy()
    assert np.array_equal(patches, sliced(x, 10, 1)[:, :, top : top + 8 - gap])
    grid = cut(tf.constant(x), View.parse("grid-10x6"), gap).numpy()
    middle = slice(top, top + 8 - gap), slice(top, top + 10 - gap)
    assert np.array_equal(grid, sliced(x, 10, 6)[:, :, middle[0], middle[1]])


@pytest.mark.parametrize("view", ["frequency-4", "time-3", "grid-4x3"])
def test_jittered_patches_are_whole_and_lie_in_their_cells(view: str) -> None:
    gap, parsed = 2, View.parse(view)
    x = numbered(50, 24, 15, 2)
    patches = cut(tf.constant(x), parsed, gap, SEED).numpy()
    cells = sliced(x, parsed.rows, parsed.columns)
    height, width = parsed.tile_size((24, 15), gap)
    assert patches.shape == (50, parsed.patches, height, width, 2)
    places = set()
    for patch, cell in zip(
        patches.reshape(-1, height, width, 2), cells.reshape(-1, *cells.shape[2:]), strict=True
    ):
        (top,), (left,), _ = np.nonzero(cell == patch[0, 0, 0])
        places.add((int(top), int(left)))
        assert np.array_equal(patch, cell[top : top + height, left : left + width])
    tops = range(gap + 1 if parsed.rows > 1 else 1)
    lefts = range(gap + 1 if parsed.columns > 1 else 1)
    assert places == {(top, left) for top in tops for left in lefts}


def test_each_patch_jitters_by_itself_and_the_seed_decides() -> None:
    x = np.tile(np.arange(24.0, dtype=np.float32)[None, :, None, None], (40, 1, 2, 1))
    view = View.parse("frequency-4")
    first, again, other = (
        cut(tf.constant(x), view, 3, tf.constant(seed)).numpy()[:, :, 0, 0, 0] % 6
        for seed in ([1, 2], [1, 2], [1, 3])
    )
    assert np.array_equal(first, again)
    assert not np.array_equal(first, other)
    assert (first.std(axis=0) > 0).all()  # over examples
    assert (first.std(axis=1) > 0).mean() > 0.8  # over patches
    assert np.abs(np.corrcoef(first.T) - np.eye(4)).max() < 0.5


def test_rows_and_columns_jitter_apart() -> None:
    x = numbered(200, 8, 8)
    patches = cut(tf.constant(x), View.parse("grid-2x2"), 2, SEED).numpy()
    corner = patches[:, 0, 0, 0, 0] - 64 * np.arange(200)
    assert len(set(zip(corner // 8, corner % 8, strict=True))) == 9


def test_half_precision_stays_and_unknown_batches_are_cut() -> None:
    x = numbered(3, 8, 6).astype(np.float16)

    @tf.function(input_signature=[tf.TensorSpec([None, 8, 6, 1], tf.float16)])
    def compiled(inputs):
        return cut(inputs, View.parse("grid-2x3"), 1, SEED)

    assert compiled(x).dtype == tf.float16
    assert compiled(x).shape == (3, 6, 3, 1, 1)


def test_images_are_float32_with_channels() -> None:
    x = numbered(2, 4, 3)
    for given_ in (x[..., 0].astype(np.float16), x):
        image = as_images(tf.constant(given_))
        assert image.dtype == tf.float32
        assert np.array_equal(image, x)


def test_a_slicing_that_does_not_divide_is_refused() -> None:
    with pytest.raises(ValueError, match="cuts 80 rows of pixels into 7 parts"):
        cut(tf.zeros([1, 80, 60, 1]), View.parse("frequency-7"))
