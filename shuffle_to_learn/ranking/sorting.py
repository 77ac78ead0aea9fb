"""Hard ranks, and inverting and applying the permutations that sort rows."""

from __future__ import annotations

import math

import numpy as np
import tensorflow as tf

from shuffle_to_learn.ranking.checks import as_rows

# Up to so many values sorting compares all pairs; beyond, other algorithms mostly take less time
# (benchmarks/ranking.md), and memory for the pairs would grow as n^2.
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
    """How many others each value comes after in ascending order, from all pairs; int32."""
    n = rows.shape[-1]
    mine, other = rows[:, None, :], rows[:, :, None]
    first = tf.constant(np.tri(n, k=-1, dtype=bool).T)
    before = (other < mine) | (first & tf.equal(other, mine))
    return tf.reduce_sum(tf.cast(before, tf.int32), axis=1)


def inverse(order: tf.Tensor) -> tf.Tensor:
    """The inverse of each row's permutation; int32, shape (batch, n)."""
    return inverse_flat(order) - row_offsets(order)


def inverse_flat(order: tf.Tensor) -> tf.Tensor:
    """As :func:`inverse`, as places in all rows laid end to end."""
    flat = tf.reshape(order + row_offsets(order), [-1])
    return tf.reshape(tf.math.invert_permutation(flat), tf.shape(order))


def row_offsets(rows: tf.Tensor) -> tf.Tensor:
    """Where each row starts once the rows are laid end to end; int32, shape (batch, 1)."""
    batch, n = tf.shape(rows)[0], tf.shape(rows)[1]
    return tf.range(batch)[:, None] * n


def take_flat(rows: tf.Tensor, place: tf.Tensor) -> tf.Tensor:
    """Values at places in all rows laid end to end; takes less time than by the row."""
    return tf.gather(tf.reshape(rows, [-1]), place)
