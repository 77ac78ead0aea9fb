"""Hard ranks, and the permutations that sort rows: inverting and applying them."""

from __future__ import annotations

import math

import numpy as np
import tensorflow as tf

from shuffle_to_learn.ranking.checks import as_rows

# Up to this many values, ranks come from all pairs. Beyond, sorting mostly takes less time
# (benchmarks/ranking.md), and the pairs would take O(n^2) memory.
PAIRS_UP_TO = 32


def rank(values: tf.Tensor) -> tf.Tensor:
    """Ranks 1..n in ascending order: the largest value has rank n.

    Args:
        values: floating or integer, shape (..., n), n >= 1.

    Returns:
        int32, shape (..., n); equal values are ranked in order of position, NaN counts as infinity.

    Raises:
        TypeError: where values are neither floating nor integer.
        ValueError: where the number of values is 0 or not known when the graph is built.
    """
    values = tf.convert_to_tensor(values)
    if not (values.dtype.is_floating or values.dtype.is_integer):
        raise TypeError(f"values must be floating or integer, not {values.dtype.name}")
    rows, n = as_rows(values)
    if rows.dtype.is_floating:
        rows = tf.where(tf.math.is_nan(rows), tf.constant(math.inf, rows.dtype), rows)
    if n <= PAIRS_UP_TO:
        result = places_by_pairs(rows) + 1
    else:
        result = inverse(tf.argsort(rows, axis=-1, stable=True)) + 1
    return tf.reshape(result, tf.shape(values))


def places_by_pairs(rows: tf.Tensor) -> tf.Tensor:
    """The 0-based place of each value in ascending order, from all pairs.

    Args:
        rows: floating or integer, shape (batch, n).

    Returns:
        int32, shape (batch, n); equal values are placed in order of position.
    """
    n = rows.shape[-1]
    value, other = rows[:, None, :], rows[:, :, None]
    earlier = tf.constant(np.tri(n, k=-1, dtype=bool).T)
    before = (other < value) | (earlier & tf.equal(other, value))
    return tf.reduce_sum(tf.cast(before, tf.int32), axis=1)


def inverse(order: tf.Tensor) -> tf.Tensor:
    """The inverse of each row's permutation; int32, shape (batch, n)."""
    return inverse_flat(order) - row_offsets(order)


def inverse_flat(order: tf.Tensor) -> tf.Tensor:
    """As :func:`inverse`, as indices into all rows laid end to end."""
    flat = tf.reshape(order + row_offsets(order), [-1])
    return tf.reshape(tf.math.invert_permutation(flat), tf.shape(order))


def row_offsets(rows: tf.Tensor) -> tf.Tensor:
    """The index of each row's start in all rows laid end to end; int32, shape (batch, 1)."""
    batch, n = tf.shape(rows)[0], tf.shape(rows)[1]
    return tf.range(batch)[:, None] * n


def take_flat(rows: tf.Tensor, index: tf.Tensor) -> tf.Tensor:
    """The values at indices into all rows laid end to end; faster than a gather row by row."""
    return tf.gather(tf.reshape(rows, [-1]), index)
