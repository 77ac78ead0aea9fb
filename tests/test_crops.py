"""Random crops of spectrograms, pictures and clips."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf

from shuffle_to_learn.pretext.crops import AREA, RATIO, WINDOW, random_crops

SEED = (3, 4)
SHAPES = {"spectrogram": (12, 40), "picture": (30, 40, 3), "clip": (20, 30, 24, 1)}


def ramp(shape: tuple[int, ...], axis: int, count: int = 300) -> np.ndarray:
    """Inputs whose values run from 0 to 1 along one axis: a crop shows where it was taken."""
    along = np.linspace(0, 1, shape[axis]).reshape(
        [-1 if a == axis else 1 for a in range(len(shape))]
    )
    return np.broadcast_to(along, (count, *shape)).astype(np.float32)


def taken(shape: tuple[int, ...], axis: int) -> tuple[np.ndarray, np.ndarray]:
    """Where each crop starts and ends along an axis, from 0 to 1; the crop is even in between."""
    crops = random_crops(tf.constant(ramp(shape, axis)), 2, SEED).numpy()
    assert crops.shape[: 1 + len(shape)] == (600, *shape)
    lines = np.moveaxis(crops, 1 + axis, -1)
    lines = lines.reshape(600, -1, shape[axis])
    assert np.allclose(lines, lines[:, :1], atol=1e-6)  # the same along every other axis
    line = lines[:, 0]
    return line[:, 0], line[:, -1]


def test_a_window_of_a_spectrogram_is_along_time_alone() -> None:
    low, high = taken(SHAPES["spectrogram"], 0)
    assert np.allclose(low, 0) and np.allclose(high, 1)  # the bands stay in place
    start, end = taken(SHAPES["spectrogram"], 1)
    lengths = end - start
    assert (start >= 0).all() and (end <= 1 + 1e-6).all()
    assert WINDOW[0] - 1e-5 <= lengths.min() < 0.55 and 0.85 < lengths.max() <= WINDOW[1] + 1e-5
    assert start.min() < 0.02 and end.max() > 0.98
    assert len(np.unique(np.round(start, 4))) > 500  # each its own


def test_a_crop_of_a_picture_has_its_area_and_ratio() -> None:
    (top, bottom), (left, right) = (taken(SHAPES["picture"], axis) for axis in (0, 1))
    high, wide = bottom - top, right - left
    assert min(top.min(), left.min()) >= 0 and max(bottom.max(), right.max()) <= 1 + 1e-6
    assert (high * wide).min() < 0.35 and (high * wide).max() > 0.9
    assert (high * wide).min() > 0.99 * AREA[0] and (high * wide).max() <= AREA[1] + 1e-5
    inside = (high < 0.999) & (wide < 0.999)
    ratios = wide[inside] / high[inside]
    assert 1 / RATIO - 1e-3 < ratios.min() < 0.8 and 1.25 < ratios.max() < RATIO + 1e-3
    assert (bottom > top).all() and (right > left).all()  # none is flipped


def test_a_crop_of_a_clip_is_one_place_and_a_window_of_whole_frames() -> None:
    shape = SHAPES["clip"]
    for axis in (1, 2):
        start, end = taken(shape, axis)  # which sees that all frames have one place
        assert (end > start).all() and start.max() > 0.2
    crops = random_crops(tf.constant(ramp(shape, 0, 100)), 2, SEED).numpy()[:, :, 0, 0, 0] * 19
    assert np.allclose(crops, np.round(crops), atol=1e-4)  # no frame is a mixture
    assert (np.diff(crops, axis=1) > -1e-4).all()  # none runs backwards
    lengths = (crops[:, -1] - crops[:, 0]) / 19
    assert 0.44 < lengths.min() < 0.6 and 0.8 < lengths.max() < 0.96


@pytest.mark.parametrize("kind", SHAPES)
def test_crops_of_an_input_follow_one_another_and_the_seed_decides(kind: str) -> None:
    shape = SHAPES[kind]
    inputs = tf.constant(np.arange(5).reshape(-1, *[1] * len(shape)) * np.ones((5, *shape)) / 4)
    crops = random_crops(inputs, 2, SEED).numpy()
    assert crops.dtype == np.float32
    assert np.allclose(crops.reshape(10, -1).mean(axis=1), np.repeat(np.arange(5), 2) / 4)
    noise = tf.random.stateless_uniform((5, *shape), SEED)
    first, again, other = (random_crops(noise, 2, seed).numpy() for seed in (SEED, SEED, (3, 5)))
    assert np.array_equal(first, again) and not np.array_equal(first, other)
    assert not np.array_equal(first[0], first[1])
    bytes_ = tf.cast(noise * 255, tf.uint8)
    as_floats = random_crops(tf.cast(bytes_, tf.float32) / 255, 2, SEED)
    assert np.allclose(random_crops(bytes_, 2, SEED), as_floats, atol=1e-6)
    traced = tf.function(lambda x: random_crops(x, 2, SEED))
    assert np.allclose(traced(noise), first, atol=1e-6)
