"""Hard ranks, and the permutations that sort rows: inverting and applying them."""

from __future__ import annotations

import math

import numpy as np
import tensorflow as tf

from shuffle_to_learn.ranking.checks import (
    as_mask,
    as_rows,
    count,
    from_last,
    takes_lists,
    to_last,
)

# Up to this many values, ranks come from all pairs. Beyond, sorting mostly takes less time
# (benchmarks/ranking.md), and the pairs would take O(n^2) memory.
PAIRS_UP_TO = 32


@takes_lists("values")
def rank(
    values: tf.Tensor,
    *,
    ties: str = "ordinal",
    mask: tf.Tensor | None = None,
    descending: bool = False,
    axis: int = -1,
) -> tf.Tensor:
    """Ranks 1..n in ascending order: the largest value has rank n.

    Args:
        values: floating or integer, shape (..., n), n >= 1; or a RaggedTensor.
        ties: the ranks of equal values: ``"ordinal"``, in order of position; or ``"average"``, the
            mean of these for each, which may end in a half.
        mask: boolean, broadcast to the shape of values: False for what is no value of the list.
        descending: the largest value has rank 1.
        axis: along which values are ranked.

    Returns:
        int32, shape (..., n); of averaged ranks float32, or float64 for float64 values. NaN counts
        as infinity. What is masked has rank 0, and the others have the ranks of the list without
        it.

    Raises:
        TypeError: where values are neither floating nor integer.
        ValueError: where the number of values is 0 or not known when the graph is built; where
            ties is none of the above, or the mask or the axis is not one for the values.
    """
    if ties not in ("ordinal", "average"):
        raise ValueError(f"ties must be 'ordinal' or 'average', not {ties!r}")
    values = to_last(tf.convert_to_tensor(values), axis)
    if not (values.dtype.is_floating or values.dtype.is_integer):
        raise TypeError(f"values must be floating or integer, not {values.dtype.name}")
    mask = as_mask(to_last(mask, axis), values)
    rows, n = as_rows(values)
    if mask is not None:
        mask = tf.reshape(mask, [-1, n])
    if rows.dtype.is_floating:
        rows = tf.where(tf.math.is_nan(rows), tf.constant(math.inf, rows.dtype), rows)
    if descending:
        rows = negative(rows)
    if ties == "average":
        result = average_ranks(rows, mask)
        result = result if values.dtype == tf.float64 else tf.cast(result, tf.float32)
    else:
        result = _ordinal_ranks(rows, mask)
    return from_last(tf.reshape(result, tf.shape(values)), axis)


def _ordinal_ranks(rows: tf.Tensor, mask: tf.Tensor | None) -> tf.Tensor:
    """Ranks of rows by position where values are equal; int32, shape (batch, n), 0 where masked."""
    n = rows.shape[-1]
    if n <= PAIRS_UP_TO:
        if mask is None:
            return places_by_pairs(rows) + 1
        places = tf.reduce_sum(tf.cast(_before(rows) & mask[:, :, None], tf.int32), axis=1)
        return tf.where(mask, places + 1, 0)
    order = tf.argsort(rows, axis=-1, stable=True)
    if mask is None:
        return inverse(order) + 1
    counts = tf.cumsum(tf.gather(tf.cast(mask, tf.int32), order, batch_dims=1), axis=-1)
    return tf.where(mask, tf.gather(counts, inverse(order), batch_dims=1), 0)


def average_ranks(rows: tf.Tensor, mask: tf.Tensor | None) -> tf.Tensor:
    """Ranks of rows, the same for equal values; float64, shape (batch, n), 0 where masked."""
    n = rows.shape[-1] if mask is None else count(mask, tf.int32)
    # Both rank equal values by position: one up, one down.
    ends = _ordinal_ranks(rows, mask), n + 1 - _ordinal_ranks(negative(rows), mask)
    result = tf.cast(ends[0] + ends[1], tf.float64) / 2
    return result if mask is None else tf.where(mask, result, 0)


def hard_permutation(rows: tf.Tensor, mask: tf.Tensor | None) -> tf.Tensor:
    """Which values have which ranks; those that are equal share theirs evenly.

    Args:
        rows: floating, shape (batch, n).
        mask: boolean, the same shape, or None.

    Returns:
        float64, shape (batch, n, n): row i is the distribution of value i over the ranks 1..n.
    """
    value, other = rows[:, :, None], rows[:, None, :]
    counted = True if mask is None else mask[:, None, :]
    below, equal = (
        tf.reduce_sum(tf.cast(which & counted, tf.int32), axis=-1, keepdims=True)
        for which in (other < value, tf.equal(other, value))
    )
    place = tf.range(rows.shape[-1])
    taken = (below <= place) & (place < below + equal)
    return tf.cast(taken, tf.float64) / tf.cast(tf.maximum(equal, 1), tf.float64)


def negative(rows: tf.Tensor) -> tf.Tensor:
    """Floating or integer values of the opposite order."""
    return -rows if rows.dtype.is_floating else tf.bitwise.invert(rows)


def places_by_pairs(rows: tf.Tensor) -> tf.Tensor:
    """The 0-based place of each value in ascending order, from all pairs.

    Args:
        rows: floating or integer, shape (batch, n).

    Returns:
        int32, shape (batch, n); equal values are placed in order of position.
    """
    return tf.reduce_sum(tf.cast(_before(rows), tf.int32), axis=1)


def _before(rows: tf.Tensor) -> tf.Tensor:
    """Whether value j is placed before value i, at [:, j, i]; boolean, shape (batch, n, n)."""
    n = rows.shape[-1]
    value, other = rows[:, None, :], rows[:, :, None]
    earlier = tf.constant(np.tri(n, k=-1, dtype=bool).T)
    return (other < value) | (earlier & tf.equal(other, value))


def inverse(order: tf.Tensor) -> tf.Tensor:
    """The inverse of each row's permutation; int32, shape (batch, n)."""
    flat = tf.reshape(order + row_offsets(order), [-1])
    return tf.reshape(tf.math.invert_permutation(flat), tf.shape(order)) - row_offsets(order)


def row_offsets(rows: tf.Tensor) -> tf.Tensor:
    """The index of each row's start in all rows laid end to end; int32, shape (batch, 1)."""
    batch, n = tf.shape(rows)[0], tf.shape(rows)[1]
    return tf.range(batch)[:, None] * n


def take_flat(rows: tf.Tensor, index: tf.Tensor) -> tf.Tensor:
    """The values at indices into all rows laid end to end; faster than a gather row by row."""
    return tf.gather(tf.reshape(rows, [-1]), index)


def put_flat(rows: tf.Tensor, order: tf.Tensor) -> tf.Tensor:
    """The values of sorted rows back at where they were; faster than an inverse and a gather.

    Args:
        rows: any number type, shape (batch, n).
        order: of each place, where in its row its value was; int32, shape (batch, n).
    """
    flat, values = tf.reshape(order + row_offsets(order), [-1]), tf.reshape(rows, [-1])
    # Each segment but the last has one value; the last has none.
    sums = tf.math.unsorted_segment_sum(values, flat, segments(rows))
    return tf.reshape(sums[:-1], tf.shape(rows))


def segments(values: tf.Tensor) -> tf.Tensor:
    """As many segments as there are values, and one more.

    On a CPU TensorFlow shares segments out to several threads, and each of the shares reads all
    values. It counts on values / segments for each, rounded down: with more segments than values it
    shares nothing out, which takes less time.
    """
    return tf.size(values) + 1
