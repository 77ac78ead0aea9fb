"""Random crops of inputs, resized to the size that the inputs have."""

from __future__ import annotations

import math

import tensorflow as tf

from shuffle_to_learn.patches import as_images

WINDOW = (0.5, 0.9)
"""The share of an input's length along time that a window has."""
AREA = (0.3, 1.0)
"""The share of a picture's area that a crop has."""
RATIO = 4 / 3
"""How many times as wide as high, or as high as wide, a crop of a picture is at most."""


def random_crops(inputs: tf.Tensor, count: int, seed: tf.Tensor) -> tf.Tensor:
    """Several crops of each input, each at random.

    What the inputs are is told by their number of axes. Of a spectrogram (batch, bands, frames) a
    crop is a window along time. Its bands stay in place: where they are is what a pitch is. Of a
    picture (batch, height, width, channels) it is a rectangle. Of a clip (batch, frames, height,
    width, channels) it is one rectangle for all frames, and a window along time, from which as many
    frames are taken at equal distances.

    Args:
        inputs: float, or uint8 of 0 to 255; all lengths but the batch known.
        count: crops of an input.
        seed: a stateless seed of two integers.

    Returns:
        float32, the shape of the inputs with channels, ``count`` times as many; the crops of an
        input follow one another.

    Source: Saeed et al. 2021 (COLA), arXiv 2010.10915, section 3; Chen et al. 2020 (SimCLR), arXiv
    2002.05709, appendix A, with larger areas and no flips.
    """
    x = as_images(inputs)
    *_, height, width, channels = x.shape
    crops = count * tf.shape(x)[0]
    length, first, area, ratio, top, left = tf.unstack(
        tf.random.stateless_uniform([6, crops], seed)
    )
    length = WINDOW[0] + length * (WINDOW[1] - WINDOW[0])
    first *= 1 - length
    if inputs.shape.rank == 3:
        whole = tf.ones_like(length)
        boxes = tf.stack([0 * whole, first, whole, first + length], axis=1)
    else:
        area = AREA[0] + area * (AREA[1] - AREA[0])
        ratio = tf.exp((2 * ratio - 1) * math.log(RATIO))
        high, wide = (tf.minimum(tf.sqrt(x), 1.0) for x in (area / ratio, area * ratio))
        top, left = top * (1 - high), left * (1 - wide)
        boxes = tf.stack([top, left, top + high, left + wide], axis=1)
    places = tf.repeat(tf.range(tf.shape(x)[0]), count)
    if inputs.shape.rank == 5:
        frames = x.shape[1]
        at = first[:, None] + length[:, None] * tf.linspace(0.0, 1.0, frames)
        taken = tf.cast(tf.round(at * (frames - 1)), tf.int32)
        places = tf.reshape(places[:, None] * frames + taken, [-1])
        boxes = tf.repeat(boxes, frames, axis=0)
    images = tf.reshape(x, [-1, height, width, channels])
    resized = tf.image.crop_and_resize(images, boxes, places, (height, width))
    return tf.reshape(resized, [-1, *x.shape[1:]])
