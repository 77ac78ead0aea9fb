"""Cutting inputs into patches and putting patches in another order."""

from __future__ import annotations

import tensorflow as tf

from shuffle_to_learn.views import View


def cut(inputs: tf.Tensor, view: View, gap: int = 0, seed: tf.Tensor | None = None) -> tf.Tensor:
    """The patches of each input, row by row.

    Args:
        inputs: shape (batch, height, width, channels); height and width known.
        view: the grid.
        gap: pixels that a patch is smaller than its cell, along each axis that is cut; keeps a
            network from matching the edges of neighbours (Noroozi & Favaro 2016, section 4.2).
        seed: a stateless seed of two integers that places each patch at random in its cell; None
            centres it.

    Returns:
        The same dtype, shape (batch, rows x columns, tile height, tile width, channels).
    """
    _, height, width, channels = inputs.shape
    cell_height, cell_width = view.cell_size((height, width))
    tile_height, tile_width = view.tile_size((height, width), gap)
    grid = tf.reshape(inputs, [-1, view.rows, cell_height, view.columns, cell_width, channels])
    cells = tf.reshape(
        tf.transpose(grid, [0, 1, 3, 2, 4, 5]),
        [-1, view.patches, cell_height, cell_width, channels],
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


def reorder(patches: tf.Tensor, orders: tf.Tensor) -> tf.Tensor:
    """The patches with patch ``orders[:, k]`` at place k.

    Args:
        patches: shape (batch, n, ...).
        orders: 0-based permutations, integer, shape (batch, n).

    Returns:
        The shape and dtype of ``patches``.
    """
    return tf.gather(patches, orders, batch_dims=1)


def as_images(inputs: tf.Tensor) -> tf.Tensor:
    """float32 of shape (batch, height, width, channels); a missing channel axis is added."""
    if inputs.shape.rank == 3:
        inputs = inputs[..., None]
    return tf.cast(inputs, tf.float32)
