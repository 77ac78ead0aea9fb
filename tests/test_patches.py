"""Cutting and reordering patches, against plain numpy slicing."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given
from hypothesis import strategies as st

from shuffle_to_learn.patches import as_images, cut, reorder, shift_channels, some_grey
from shuffle_to_learn.slicing import Slicing, sampled

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
    patches = cut(tf.constant(x), Slicing.parse("frequency-10")).numpy()
    assert patches.shape == (2, 10, 8, 60, 1)
    for k in range(10):
        assert np.array_equal(patches[:, k], x[:, 8 * k : 8 * k + 8])


def test_time_10_is_ten_spans_from_first_to_last() -> None:
    x = numbered(2, 80, 60)
    patches = cut(tf.constant(x), Slicing.parse("time-10")).numpy()
    assert patches.shape == (2, 10, 80, 6, 1)
    for k in range(10):
        assert np.array_equal(patches[:, k], x[:, :, 6 * k : 6 * k + 6])


def test_grid_3x4_is_read_row_by_row() -> None:
    x = numbered(2, 9, 8, 3)
    patches = cut(tf.constant(x), Slicing.parse("grid-3x4")).numpy()
    assert patches.shape == (2, 12, 3, 2, 3)
    assert np.array_equal(patches[:, 0], x[:, 0:3, 0:2])
    assert np.array_equal(patches[:, 1], x[:, 0:3, 2:4])
    assert np.array_equal(patches[:, 4], x[:, 3:6, 0:2])
    assert np.array_equal(patches[:, 11], x[:, 6:9, 6:8])


@given(*[st.integers(1, 4)] * 4, st.integers(1, 3))
def test_patches_in_their_own_order_are_the_picture(rows, columns, h, w, channels) -> None:
    x = numbered(2, rows * h, columns * w, channels)
    patches = cut(tf.constant(x), Slicing("any", rows, columns))
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
    patches = cut(tf.constant(x), Slicing.parse("frequency-10"), gap).numpy()
    assert np.array_equal(patches, sliced(x, 10, 1)[:, :, top : top + 8 - gap])
    grid = cut(tf.constant(x), Slicing.parse("grid-10x6"), gap).numpy()
    middle = slice(top, top + 8 - gap), slice(top, top + 10 - gap)
    assert np.array_equal(grid, sliced(x, 10, 6)[:, :, middle[0], middle[1]])


@pytest.mark.parametrize("slicing", ["frequency-4", "time-3", "grid-4x3"])
def test_jittered_patches_are_whole_and_lie_in_their_cells(slicing: str) -> None:
    gap, parsed = 2, Slicing.parse(slicing)
    x = numbered(50, 24, 15, 2)
    patches = cut(tf.constant(x), parsed, gap, SEED).numpy()
    cells = sliced(x, parsed.rows, parsed.columns)
    height, width, _ = parsed.tile_shape((24, 15, 2), gap)
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
    slicing = Slicing.parse("frequency-4")
    first, again, other = (
        cut(tf.constant(x), slicing, 3, tf.constant(seed)).numpy()[:, :, 0, 0, 0] % 6
        for seed in ([1, 2], [1, 2], [1, 3])
    )
    assert np.array_equal(first, again)
    assert not np.array_equal(first, other)
    assert (first.std(axis=0) > 0).all()  # over examples
    assert (first.std(axis=1) > 0).mean() > 0.8  # over patches
    assert np.abs(np.corrcoef(first.T) - np.eye(4)).max() < 0.5


def test_rows_and_columns_jitter_apart() -> None:
    x = numbered(200, 8, 8)
    patches = cut(tf.constant(x), Slicing.parse("grid-2x2"), 2, SEED).numpy()
    corner = patches[:, 0, 0, 0, 0] - 64 * np.arange(200)
    assert len(set(zip(corner // 8, corner % 8, strict=True))) == 9


def test_half_precision_stays_and_unknown_batches_are_cut() -> None:
    x = numbered(3, 8, 6).astype(np.float16)

    @tf.function(input_signature=[tf.TensorSpec([None, 8, 6, 1], tf.float16)])
    def compiled(inputs):
        return cut(inputs, Slicing.parse("grid-2x3"), 1, SEED)

    assert compiled(x).dtype == tf.float16
    assert compiled(x).shape == (3, 6, 3, 1, 1)


def test_images_are_float32_with_channels() -> None:
    x = numbered(2, 4, 3)
    for given_ in (x[..., 0].astype(np.float16), x):
        image = as_images(tf.constant(given_))
        assert image.dtype == tf.float32
        assert np.array_equal(image, x)


def test_bytes_become_shares_of_one() -> None:
    values = np.arange(256, dtype=np.uint8).reshape(1, 16, 16)
    for shape in ((1, 16, 16), (1, 16, 16, 1), (4, 8, 8, 1), (2, 4, 4, 8, 1), (1, 2, 4, 8, 4)):
        images = as_images(tf.constant(values.reshape(shape)))
        assert images.dtype == tf.float32
        assert images.shape == (shape if len(shape) > 3 else (*shape, 1))
        expected = (np.arange(256) / 255).astype(np.float32)
        assert np.array_equal(images.numpy().ravel(), expected)


# a remainder


@given(*[st.integers(1, 5)] * 2, st.integers(5, 23), st.integers(5, 23), st.integers(1, 3))
def test_a_remainder_is_cut_off_evenly(rows, columns, height, width, channels) -> None:
    x = numbered(2, height, width, channels)
    patches = cut(tf.constant(x), Slicing("any", rows, columns)).numpy()
    h, w = patches.shape[2:4]
    picture = patches.reshape(2, rows, columns, h, w, channels).transpose(0, 1, 3, 2, 4, 5)
    picture = picture.reshape(2, rows * h, columns * w, channels)
    place = np.argwhere(x[0, ..., 0] == picture[0, 0, 0, 0])[0]
    left_over = np.array([height - rows * h, width - columns * w])
    assert (left_over < [rows, columns]).all()
    assert (np.abs(left_over - 2 * place) <= 1).all()  # as much before as after, or a pixel less
    middle = x[:, place[0] :, place[1] :][:, : rows * h, : columns * w]
    assert np.array_equal(picture, middle)


@pytest.mark.parametrize("gap", [0, 6])
def test_nine_tiles_of_a_picture_of_bytes(gap: int) -> None:
    """128 is 3 x 42 and 2 more: a row of pixels and a column go at each side."""
    x = np.random.default_rng(0).integers(0, 256, (2, 128, 128, 3), np.uint8)
    patches = cut(tf.constant(x), Slicing.parse("grid-3x3"), gap).numpy()
    assert patches.dtype == np.uint8
    assert patches.shape == (2, 9, 42 - gap, 42 - gap, 3)
    same = reorder(tf.constant(patches), tf.constant(np.tile(np.arange(9), (2, 1)))).numpy()
    for k in range(9):
        top, left = (1 + 42 * (k // 3) + gap // 2, 1 + 42 * (k % 3) + gap // 2)
        own = x[:, top : top + 42 - gap, left : left + 42 - gap]
        assert np.array_equal(same[:, k], own)


def test_a_seed_jitters_within_cells_of_what_is_left() -> None:
    x = np.zeros((300, 11, 11, 2), np.float32)
    x[..., 0], x[..., 1] = np.mgrid[:11, :11]
    patches = cut(tf.constant(x), Slicing.parse("grid-3x3"), 2, SEED).numpy()
    assert patches.shape == (300, 9, 1, 1, 2)
    for k in range(9):
        corner = 1 + 3 * np.array([k // 3, k % 3])  # 11 is 3 x 3 and a pixel at each side
        places = patches[:, k, 0, 0] - corner
        assert {tuple(p) for p in places} == {(a, b) for a in range(3) for b in range(3)}


# frames


@given(st.integers(2, 12), st.integers(2, 30), st.integers(1, 3))
def test_frames_are_sampled_uniformly(frames: int, count: int, channels: int) -> None:
    slicing = Slicing("any", frames=frames)
    x = numbered(2 * count, 3, 2, channels).reshape(2, count, 3, 2, channels)
    if count < frames:
        with pytest.raises(ValueError, match=f"more frames than the {count} of a clip"):
            cut(tf.constant(x), slicing)
        return
    patches = cut(tf.constant(x), slicing).numpy()
    assert patches.shape == (2, frames, 3, 2, channels)
    middles = [int((k + 0.5) * count / frames + 1e-9) for k in range(frames)]
    assert np.array_equal(patches, x[:, middles])
    if count == frames:
        assert np.array_equal(patches, x)


def test_frames_stay_bytes_and_unknown_batches_are_cut() -> None:
    x = np.random.default_rng(0).integers(0, 256, (3, 20, 8, 8, 1), np.uint8)

    @tf.function(input_signature=[tf.TensorSpec([None, 20, 8, 8, 1], tf.uint8)])
    def compiled(inputs):
        return cut(inputs, Slicing.parse("frames-10"))

    patches = compiled(x).numpy()
    assert patches.dtype == np.uint8
    assert np.array_equal(patches, x[:, 1::2])


@pytest.mark.parametrize(("gap", "edge"), [(1, 0), (2, 1), (5, 2)])
def test_without_a_seed_frames_are_centred(gap: int, edge: int) -> None:
    x = numbered(2 * 6, 9, 8, 2).reshape(2, 6, 9, 8, 2)
    patches = cut(tf.constant(x), Slicing.parse("frames-3"), gap).numpy()
    own = x[:, [1, 3, 5], edge : edge + 9 - gap, edge : edge + 8 - gap]
    assert np.array_equal(patches, own)


def test_each_frame_jitters_by_itself_along_both_axes() -> None:
    clips, gap, slicing = 120, 2, Slicing.parse("frames-4")
    x = np.zeros((clips, 8, 7, 5, 2), np.float32)
    x[..., 0], x[..., 1] = np.mgrid[:7, :5]
    x += 100 * np.arange(8)[:, None, None, None]
    first, again, other = (
        cut(tf.constant(x), slicing, gap, tf.constant(seed)).numpy()
        for seed in ([1, 2], [1, 2], [1, 3])
    )
    assert np.array_equal(first, again)
    assert not np.array_equal(first, other)
    assert first.shape == (clips, 4, 5, 3, 2)
    frames, corner = np.divmod(first[:, :, 0, 0].astype(int), 100)
    assert (frames == sampled(8, 4)[:, None]).all()
    whole = corner[:, :, None, None] + np.stack(np.mgrid[:5, :3], -1)
    assert np.array_equal(first % 100, whole)
    for k in range(4):
        assert {tuple(c) for c in corner[:, k]} == {(a, b) for a in range(3) for b in range(3)}
    apart = np.corrcoef(corner.reshape(clips, -1).T)  # of 4 frames, both axes
    assert np.abs(apart - np.eye(8)).max() < 0.4


def test_the_wrong_kind_of_input_is_refused() -> None:
    with pytest.raises(ValueError, match="frames-4 is of clips"):
        cut(tf.zeros([1, 80, 60, 1]), Slicing.parse("frames-4"))
    with pytest.raises(ValueError, match="frequency-4 is of single pictures"):
        cut(tf.zeros([1, 5, 80, 60, 1]), Slicing.parse("frequency-4"))
    with pytest.raises(ValueError, match="frequency-81 has more parts than the 80 x 60 pixels"):
        cut(tf.zeros([1, 80, 60, 1]), Slicing.parse("frequency-81"))


# colours


def shifted(x: np.ndarray, down: int, right: int) -> np.ndarray:
    """Patches in which every pixel is the one ``down`` below and ``right`` of it, by numpy."""
    reach = max(abs(down), abs(right))
    padded = np.pad(x, [(0, 0), (0, 0), (reach, reach), (reach, reach), (0, 0)], mode="edge")
    height, width = x.shape[2:4]
    return padded[:, :, reach + down :, reach + right :][:, :, :height, :width]


@pytest.mark.parametrize("pixels", [1, 2])
def test_each_channel_of_each_patch_is_shifted_apart(pixels: int) -> None:
    x = np.random.default_rng(0).normal(size=(400, 3, 6, 5, 3)).astype(np.float32)
    result = shift_channels(tf.constant(x), pixels, SEED).numpy()
    assert result.shape == x.shape
    assert result.dtype == np.float32
    reach = range(-pixels, pixels + 1)
    shifts = np.array([(down, right) for down in reach for right in reach])
    same = np.stack([(result == shifted(x, *shift)).all(axis=(2, 3)) for shift in shifts])
    assert (same.sum(axis=0) == 1).all()  # one shift, within the limit, the edge repeated
    which = same.argmax(axis=0)  # (400, 3, 3)
    for patch, channel in np.ndindex(3, 3):
        assert len(np.unique(which[:, patch, channel])) == len(shifts)
    apart = np.corrcoef(shifts[which].reshape(400, -1).T)  # of patches, channels and axes
    assert np.abs(apart - np.eye(18)).max() < 0.25


def test_the_seed_decides_the_shifts_and_no_shift_changes_nothing() -> None:
    x = numbered(8, 6, 5, 3).reshape(4, 2, 6, 5, 3)
    first, again, other = (
        shift_channels(tf.constant(x), 2, tf.constant(seed)).numpy()
        for seed in ([1, 2], [1, 2], [1, 3])
    )
    assert np.array_equal(first, again)
    assert not np.array_equal(first, other)
    assert np.array_equal(shift_channels(tf.constant(x), 0, SEED), x)
    flat = np.ones_like(x) * [1, 2, 3]
    assert np.array_equal(shift_channels(tf.constant(flat), 2, SEED), flat)


def test_a_shift_larger_than_a_patch_repeats_its_edges() -> None:
    x = numbered(50, 2, 2, 3).reshape(50, 1, 2, 2, 3)
    result = shift_channels(tf.constant(x), 9, SEED).numpy()
    assert np.isin(result, x).all()
    assert np.array_equal(result % 3, x % 3)  # each channel's values are its own


def test_shifts_keep_the_dtype_and_take_unknown_batches() -> None:
    @tf.function(input_signature=[tf.TensorSpec([None, 2, 4, 4, 3], tf.float16)])
    def compiled(inputs):
        return shift_channels(inputs, 1, SEED)

    result = compiled(np.zeros((5, 2, 4, 4, 3), np.float16))
    assert result.dtype == tf.float16
    assert result.shape == (5, 2, 4, 4, 3)


@pytest.mark.parametrize("shape", [(400, 3, 2, 3), (400, 2, 3, 2, 3)], ids=["pictures", "clips"])
@pytest.mark.parametrize("share", [0.0, 0.3, 1.0])
def test_a_share_becomes_grey_and_the_rest_stays(shape: tuple[int, ...], share: float) -> None:
    x = np.random.default_rng(0).random(shape).astype(np.float32)
    result = some_grey(tf.constant(x), share, SEED).numpy()
    assert result.shape == x.shape
    assert result.dtype == np.float32
    others = tuple(range(1, len(shape)))
    same = (result == x).all(axis=others)
    luminance = x @ np.array([0.299, 0.587, 0.114])  # ITU-R BT.601
    grey = np.isclose(result, luminance[..., None], atol=1e-3).all(axis=others)
    assert (same ^ grey).all()
    assert (np.ptp(result[grey], axis=-1) == 0).all()
    deviation = np.sqrt(share * (1 - share) / 400)
    assert abs(grey.mean() - share) <= 4 * deviation


def test_the_seed_decides_which_become_grey() -> None:
    x = np.random.default_rng(0).random((100, 2, 2, 3)).astype(np.float32)
    first, again, other = (
        some_grey(tf.constant(x), 0.5, tf.constant(seed)).numpy()
        for seed in ([1, 2], [1, 2], [1, 3])
    )
    assert np.array_equal(first, again)
    assert not np.array_equal(first, other)
