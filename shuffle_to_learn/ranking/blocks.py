"""The blocks of an isotonic regression, by pooling adjacent violators, many at once.

The regression v_1 >= ... >= v_n of sorted values is constant on blocks of neighbours, and so are
the projections onto permutahedra that follow from it (Blondel et al. 2020, section 5). Here the
blocks alone are found. They do not change with the values, but for a set of measure 0: the closed
form of a projection, given its blocks, has the gradient of the projection.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import tensorflow as tf

from shuffle_to_learn.ranking.sorting import row_offsets, segments


def pooled(
    level: Callable[[tf.Tensor], tf.Tensor], rows: tf.Tensor, size: tf.Tensor | None
) -> tf.Tensor:
    """The blocks of places where the levels of single places do not fall.

    Each round pools every run of neighbouring blocks whose levels do not fall. In which order
    neighbours are pooled makes no difference to the blocks in the end.

    Args:
        level: of the block of each place, the value that the regression has there, in any unit;
            that of two pooled blocks has to be between theirs.
        rows: any, shape (batch, n).
        size: how many places of each row are pooled, int32, shape (batch, 1); None for n. Each
            other place is a block.

    Returns:
        The number of each place's block, counted over the rows laid end to end, n a row; int32,
        shape (batch, n).
    """
    place, offsets = tf.range(rows.shape[-1]), row_offsets(rows)
    alone = tf.zeros_like(rows, tf.int32) + place
    alone = tf.equal(alone, 0) if size is None else tf.equal(alone, 0) | (alone >= size)

    def blocks(starts: tf.Tensor) -> tf.Tensor:
        return tf.cumsum(tf.cast(starts, tf.int32), axis=-1) - 1 + offsets

    def pool(starts: tf.Tensor, _: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        levels = level(blocks(starts))
        falls = tf.concat([alone[:, :1], levels[:, 1:] < levels[:, :-1]], axis=1)
        left = starts & (falls | alone)
        return left, tf.reduce_any(left != starts)

    starts, _ = tf.while_loop(
        lambda _, pooling: pooling, pool, (tf.ones_like(alone), tf.constant(True))
    )
    return blocks(starts)


def falling(
    rows: tf.Tensor, mask: tf.Tensor | None
) -> tuple[tf.Tensor, tf.Tensor | None, tf.Tensor]:
    """Rows in descending order, masked values last.

    Args:
        rows: floating, shape (batch, n); 0 where masked.
        mask: boolean, the same shape, or None.

    Returns:
        The sorted values, shape (batch, n); how many are not masked, int32, shape (batch, 1), or
        None for n; the place of each value, int32, shape (batch, n).
    """
    keys, size = tf.stop_gradient(rows), None
    if mask is not None:
        keys = tf.where(mask, keys, -math.inf)
        size = tf.reduce_sum(tf.cast(mask, tf.int32), axis=-1, keepdims=True)
    order = tf.argsort(keys, axis=-1, direction="DESCENDING", stable=True)
    # Not the inverse by a scatter: XLA has none for a batch size that changes, as in Keras's fit.
    return tf.gather(rows, order, batch_dims=1), size, tf.argsort(order, axis=-1)


def bounded_falls(ordered: tf.Tensor, most: float) -> tf.Tensor:
    """Values in descending order from 0, neighbours at most so far apart as given; a constant."""
    constant = tf.stop_gradient(ordered)
    gaps = tf.minimum(constant[:, :-1] - constant[:, 1:], tf.constant(most, ordered.dtype))
    return tf.pad(tf.cumsum(-gaps, axis=-1), [[0, 0], [1, 0]])


def block_sum(values: tf.Tensor, block: tf.Tensor) -> tf.Tensor:
    """The sum over each place's block; the shape of values."""
    flat = tf.reshape(values, [-1]), tf.reshape(block, [-1])
    return tf.gather(tf.math.unsorted_segment_sum(*flat, segments(values)), block)


def block_mean(values: tf.Tensor, block: tf.Tensor) -> tf.Tensor:
    """The mean over each place's block; the shape of values."""
    number, size = tf.reshape(block, [-1]), segments(values)
    total = tf.math.unsorted_segment_sum(tf.reshape(values, [-1]), number, size)
    count = tf.math.unsorted_segment_sum(tf.ones_like(number, values.dtype), number, size)
    return tf.gather(tf.math.divide_no_nan(total, count), block)


def block_most(values: tf.Tensor, block: tf.Tensor) -> tf.Tensor:
    """The largest value of each place's block, a constant; the shape of values."""
    flat = tf.reshape(tf.stop_gradient(values), [-1]), tf.reshape(block, [-1])
    return tf.gather(tf.math.unsorted_segment_max(*flat, segments(values)), block)


def block_logsumexp(values: tf.Tensor, block: tf.Tensor) -> tf.Tensor:
    """The logarithm of the sum of exp(values) over each place's block; the shape of values."""
    most = block_most(values, block)
    return most + tf.math.log(block_sum(tf.exp(values - most), block))
