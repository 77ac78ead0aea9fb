"""Cutting inputs into patches and putting patches in another order."""

from __future__ import annotations

import tensorflow as tf

from shuffle_to_learn.slicing import Slicing, sampled


def cut(
    inputs: tf.Tensor, slicing: Slicing, gap: int = 0, seed: tf.Tensor | None = None
) -> tf.Tensor:
    """The patches of each input: the cells of a grid, row by row, or the sampled frames of a clip.

    Args:
        inputs: shape (batch, height, width, channels), or (batch, frames, height, width, channels)
            for clips; all lengths but the batch known.
        slicing: the grid, or the number of frames.
        gap: how many pixels smaller a patch is than its cell, along each axis that is cut, or along
            both for frames. It keeps a network from matching the edges of neighbouring patches
            (Noroozi & Favaro 2016, section 4.2), or the places of things that stand still.
        seed: a stateless seed of two integers that places each patch at random in its cell; None
            centres each patch.

    Returns:
        The same dtype, shape (batch, n, tile height, tile width, channels).

    Raises:
        ValueError: where the inputs do not suit the slicing, see :meth:`Slicing.cell_size`.
    """
    shape = tuple(inputs.shape[1:])
    cell_height, cell_width = slicing.cell_size(shape)
    tile_height, tile_width, channels = slicing.tile_shape(shape, gap)
    if slicing.frames:
        cells = tf.gather(inputs, sampled(shape[0], slicing.frames), axis=1)
    else:
        rows, columns = slicing.covered(shape)
        grid = tf.reshape(
            inputs[:, rows, columns],
            [-1, slicing.rows, cell_height, slicing.columns, cell_width, channels],
        )
        cells = tf.reshape(
            tf.transpose(grid, [0, 1, 3, 2, 4, 5]),
            [-1, slicing.patches, cell_height, cell_width, channels],
        )
    for axis, cell, tile in ((2, cell_height, tile_height), (3, cell_width, tile_width)):
        slack = cell - tile
        if not slack:
            continue
        if seed is None:
            cells = tf.gather(cells, tf.range(slack // 2, slack // 2 + tile), axis=axis)
        else:
            start = tf.random.stateless_uniform(
                tf.shape(cells)[:2], seed + axis, minval=0, maxval=slack + 1, dtype=tf.int32
            )
            cells = tf.gather(cells, start[..., None] + tf.range(tile), axis=axis, batch_dims=2)
    return cells


def shift_channels(patches: tf.Tensor, pixels: int, seed: tf.Tensor) -> tf.Tensor:
    """The patches with each channel shifted at random along both axes.

    The shift keeps a network from telling places by a lens's chromatic aberration (Noroozi & Favaro
    2016, section 4.2). The edge of a channel is repeated where the shift leaves pixels empty.

    Args:
        patches: shape (batch, n, height, width, channels).
        pixels: the largest shift, in pixels.
        seed: a stateless seed of two integers.

    Returns:
        The shape and dtype of ``patches``.
    """
    shape = tf.shape(patches)
    channels = tf.transpose(patches, [0, 1, 4, 2, 3])
    for axis in (3, 4):
        length = patches.shape[axis - 1]
        shift = tf.random.stateless_uniform(
            tf.stack([shape[0], shape[1], shape[4]]),
            seed + axis,
            minval=-pixels,
            maxval=pixels + 1,
            dtype=tf.int32,
        )
        places = tf.clip_by_value(shift[..., None] + tf.range(length), 0, length - 1)
        channels = tf.gather(channels, places, axis=axis, batch_dims=3)
    return tf.transpose(channels, [0, 1, 3, 4, 2])


def some_grey(inputs: tf.Tensor, share: float, seed: tf.Tensor) -> tf.Tensor:
    """The inputs, with a share of them drawn at random and turned grey (to their luminance).

    Args:
        inputs: float, RGB: shape (batch, ..., 3).
        share: the probability of an input to turn grey, in [0, 1].
        seed: a stateless seed of two integers.

    Returns:
        The shape and dtype of ``inputs``.

    Source: Noroozi & Favaro 2016, section 4.2.
    """
    grey = tf.broadcast_to(tf.image.rgb_to_grayscale(inputs), tf.shape(inputs))
    drawn = tf.random.stateless_uniform(tf.shape(inputs)[:1], seed) < share
    return tf.where(tf.reshape(drawn, [-1] + [1] * (inputs.shape.rank - 1)), grey, inputs)


def reorder(patches: tf.Tensor, orders: tf.Tensor) -> tf.Tensor:
    """The patches with patch ``orders[:, k]`` at place k.

    Args:
        patches: shape (batch, n, ...).
        orders: 0-based permutations, integer, shape (batch, n).

    Returns:
        The shape and dtype of ``patches``.
    """
    return tf.gather(patches, orders, batch_dims=1)


def with_channels(inputs: tf.Tensor) -> tf.Tensor:
    """Inputs with a channel axis, in the dtype that they have.

    Inputs of shape (batch, height, width) are given one. The last of four or five axes is taken for
    the channels, so a clip has to come with a channel axis.
    """
    return inputs[..., None] if inputs.shape.rank == 3 else inputs


def as_images(inputs: tf.Tensor) -> tf.Tensor:
    """Inputs, or patches, as float32 with a channel axis; uint8 is scaled to [0, 1].

    Cutting and reordering give the same values before this as after it, and move fewer bytes.
    """
    scale = 255.0 if inputs.dtype == tf.uint8 else 1.0
    return tf.cast(with_channels(inputs), tf.float32) / scale
