"""Isotonic regression: the projection onto the permutahedron, row by row.

Let s be the values of a row divided by epsilon, in descending order, and w = (n, ..., 1). The
projection of s onto the permutahedron of w is s - v, where v is the isotonic regression of s - w
under v_1 >= ... >= v_n (Blondel et al. 2020, section 5). v is constant on blocks of neighbours.
Two algorithms compute it: the min-max formula over all pairs for few values, and the slopes of the
least concave majorant of the cumulative sums of s - w for many.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import tensorflow as tf

from shuffle_to_learn.ranking.sorting import inverse_flat, places_by_pairs, row_offsets, take_flat

# A quick pass of pointer doubling stops after this many doublings: 2^_NEAR_LEVELS points ahead.
_NEAR_LEVELS = 4

# Block averaging: replaces each value by the mean over its block of the isotonic regression. Values
# and means are in the order of the rows, shape (batch, n).
_BlockMean = Callable[[tf.Tensor], tf.Tensor]


def fit_by_pairs(rows: tf.Tensor, epsilon: float) -> tuple[tf.Tensor, _BlockMean]:
    """The projection onto the permutahedron by the min-max formula, for few values.

    The formula is v_i = max over k >= i of min over j <= i of mean((s - w)_j..(s - w)_k).

    Args:
        rows: float32 or float64, shape (batch, n).
        epsilon: regularisation strength, > 0.

    Returns:
        The projection of rows / epsilon, the dtype and shape of rows, and the block averaging of
        its vector-Jacobian product.
    """
    n = rows.shape[-1]
    place = n - 1 - places_by_pairs(rows)
    # Several NaN share a place, and the maximum picks one of them. Their row is NaN in the end.
    order = tf.where(tf.equal(place[:, :, None], tf.range(n)), tf.range(n)[:, None], 0)
    order = tf.reduce_max(order, axis=1)
    gaps = _gaps(take_flat(rows, order + row_offsets(order)), epsilon)
    s, sums = _cumulative_sums_by_product(gaps)
    start, end = np.arange(n)[:, None], np.arange(1, n + 1)[None]
    valid = start < end
    reciprocal = np.divide(1.0, end - start, where=valid, out=np.zeros(valid.shape))
    mean = (sums[:, None, 1:] - sums[:, :-1, None]) * reciprocal + np.where(valid, 0.0, np.inf)
    # The formula takes the minimum over j <= i. The minimum over all j <= k is no larger, and equal
    # where k ends a block. The maximum over k is reached at such a k.
    lowest = tf.reduce_min(mean, axis=1)
    index, place = tf.range(n)[:, None], place[:, None, :]
    fit = tf.reduce_max(tf.where(index >= place, lowest[:, :, None], -math.inf), axis=1)
    s = tf.reduce_sum(tf.where(tf.equal(index, place), s[:, :, None], 0), axis=1)

    def block_mean(values: tf.Tensor) -> tf.Tensor:
        # All values of a block have copies of one number as their fit, so equality is exact.
        same_block = tf.cast(tf.equal(fit[:, :, None], fit[:, None, :]), values.dtype)
        total = tf.reduce_sum(same_block * values[:, :, None], axis=1)
        return total / tf.reduce_sum(same_block, axis=1)

    return tf.cast(s - fit, rows.dtype), block_mean


def fit_by_majorant(rows: tf.Tensor, epsilon: float) -> tuple[tf.Tensor, _BlockMean]:
    """As :func:`fit_by_pairs`, by the least concave majorant, for many values.

    Where every row is certainly one block, the projection is a shift, and nothing is sorted.
    """
    wide = tf.cast(rows, tf.float64)
    one_block, centred = _is_one_block((wide - wide[:, :1]) / epsilon)  # an offset costs precision

    def shift() -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
        mean_rank = 0.5 * (rows.shape[-1] + 1)
        result = tf.cast(centred + mean_rank, rows.dtype)
        return result, tf.zeros_like(rows, tf.int32), tf.zeros_like(rows)

    def sort() -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
        ordered, order = tf.math.top_k(rows, rows.shape[-1])
        place = inverse_flat(order)
        s, sums = _cumulative_sums(_gaps(ordered, epsilon))
        chord, slope, length = _least_concave_majorant(sums)
        result = tf.cast(s - take_flat(slope, chord), rows.dtype)
        return take_flat(result, place), take_flat(chord, place), tf.cast(length, rows.dtype)

    result, block, length = tf.cond(one_block, shift, sort)

    def block_mean(values: tf.Tensor) -> tf.Tensor:
        def mean_of_row() -> tf.Tensor:
            return tf.zeros_like(values) + tf.reduce_mean(values, axis=-1, keepdims=True)

        def mean_of_block() -> tf.Tensor:
            flat = tf.reshape(values, [-1])
            total = tf.math.unsorted_segment_sum(flat, tf.reshape(block, [-1]), tf.size(values))
            return tf.gather(total / tf.reshape(length, [-1]), block)

        return tf.cond(one_block, mean_of_row, mean_of_block)

    return result, block_mean


def _gaps(ordered: tf.Tensor, epsilon: float) -> tf.Tensor:
    """The gaps between neighbours over epsilon, bounded.

    Args:
        ordered: values in descending order, shape (batch, n).
        epsilon: regularisation strength, > 0.

    Returns:
        float64, shape (batch, n - 1), each at most n / 2 + 1.
    """
    ordered = tf.cast(ordered, tf.float64)
    # s - w rises by at most 1 from one value to the next, so neighbours more than n / 2 apart are
    # in different blocks. How far apart the blocks are does not change the projection. The bound
    # keeps the cumulative sums within float64's precision at any epsilon.
    return tf.minimum((ordered[:, :-1] - ordered[:, 1:]) / epsilon, 0.5 * ordered.shape[-1] + 1.0)


def _cumulative_sums(gaps: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """The values s that have these gaps, and the cumulative sums of s - w.

    s starts at 0, since an offset of s cancels in s - v.

    Args:
        gaps: float64, shape (batch, n - 1).

    Returns:
        s, float64, shape (batch, n), descending from 0; the cumulative sums, float64, shape
        (batch, n + 1), starting with the empty sum 0.
    """
    n = gaps.shape[-1] + 1
    s = tf.pad(tf.cumsum(-gaps, axis=-1), [[0, 0], [1, 0]])
    return s, tf.pad(tf.cumsum(s - tf.range(n, 0, -1, tf.float64), axis=-1), [[0, 0], [1, 0]])


def _cumulative_sums_by_product(gaps: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """As :func:`_cumulative_sums`, by one matrix product."""
    n = gaps.shape[-1] + 1
    to_s = -np.tri(n, n - 1, -1).T
    to_sums = np.tri(n + 1, n, -1).T
    both = tf.matmul(gaps, tf.constant(np.concatenate([to_s, to_s @ to_sums], axis=1)))
    return both[:, :n], both[:, n:] - np.arange(n, 0, -1.0) @ to_sums


def _is_one_block(z: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """Whether the isotonic regression of each row is certainly one block, told without a sort.

    It is one block where z, moved to the mean rank, lies in the permutahedron. That is the case
    where no k centred values have a mean m above (n - k) / 2 (Rado 1952). Let a / 2 be the maximum
    of the centred values and -b / 2 their minimum. Three bounds on m show it for different k:

    * m <= a / 2, which is enough for k <= n - a;
    * m <= (n - k) / k * b / 2, which is enough for k >= b;
    * m^2 <= (n - k) / k * variance, which is enough where k (n - k) >= 4 variance. Since k (n - k)
      is concave in k, this holds for all k from n - a to b if it holds at these two.

    Args:
        z: float64, shape (batch, n).

    Returns:
        A scalar boolean, False where z is not finite; z less the mean of its row, float64, shape
        (batch, n).
    """
    n = z.shape[-1]
    centred = z - tf.reduce_mean(z, axis=-1, keepdims=True)
    a, b = 2.0 * tf.reduce_max(centred, axis=-1), -2.0 * tf.reduce_min(centred, axis=-1)
    variance = tf.reduce_mean(tf.square(centred), axis=-1)
    between = 4.0 * variance <= tf.minimum(a * (n - a), b * (n - b))
    inside = (a <= n) & (b <= n) & ((a + b <= n) | between)
    return tf.reduce_all(inside), centred


def _least_concave_majorant(sums: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
    """The least concave majorant of the points (0, sums_0)..(n, sums_n) of each row.

    A point on or below the chord between two other points is no corner of the majorant. A pass
    finds such points by pointer doubling, in O(n log n), and drops them all at once. It drops at
    least every point on or below the chord between its two neighbours. Passes repeat until the
    points that are left are concave, which mostly takes one or two.

    Args:
        sums: float64, shape (batch, n + 1).

    Returns:
        For each of the n steps the index of its chord, int32, shape (batch, n), counted over the
        rows laid end to end, n chords a row; the slope and the length of each chord, float64, shape
        (batch, n), meaningless past the last chord of a row.
    """
    shape, points = tf.shape(sums), sums.shape[-1]
    offsets, size = row_offsets(sums), tf.size(sums)
    # After its last kept point a row is filled with a point past all others and below any chord.
    past_x, past_y = tf.constant(points, tf.float64), tf.constant(-math.inf, tf.float64)

    def drop(passes: tf.Tensor, corner: tf.Tensor, x: tf.Tensor, y: tf.Tensor) -> list[tf.Tensor]:
        # The first pass looks all the way. Most points that it misses can be told from nearby, so
        # the second pass looks near. The third and later passes look all the way again.
        far = tf.not_equal(passes, 1)
        right = _steep_chord(x, y, far)
        left = -_steep_chord(-x[:, ::-1], y[:, ::-1], far)[:, ::-1]
        kept = tf.logical_not(right >= left)
        # The new index of each point, or for a dropped point that of the last kept before it.
        place = tf.cumsum(tf.cast(kept, tf.int32), axis=-1) - 1 + offsets
        first = tf.math.unsorted_segment_min(tf.range(size), tf.reshape(place, [-1]), size)
        first = tf.reshape(tf.minimum(first, size), shape)  # size, the point past the end, if none
        x, y = (
            tf.gather(tf.concat([tf.reshape(rows, [-1]), [past]], axis=0), first)
            for rows, past in ((x, past_x), (y, past_y))
        )
        return [passes + 1, take_flat(place, corner), x, y]

    def slopes(x: tf.Tensor, y: tf.Tensor) -> tf.Tensor:
        return (y[:, 1:] - y[:, :-1]) / (x[:, 1:] - x[:, :-1])

    def unfinished(*state: tf.Tensor) -> tf.Tensor:
        slope = slopes(*state[2:])
        return tf.reduce_any(slope[:, 1:] >= slope[:, :-1])

    index = tf.zeros_like(sums) + tf.range(points, dtype=tf.float64)
    start = [tf.constant(0), tf.reshape(tf.range(size), shape), index, sums]
    _, corner, x, y = tf.while_loop(unfinished, drop, start, parallel_iterations=1)
    # A row has one point more than it has chords.
    chord = corner[:, :-1] - tf.range(shape[0])[:, None]
    return chord, slopes(x, y), x[:, 1:] - x[:, :-1]


def _steep_chord(x: tf.Tensor, y: tf.Tensor, far: tf.Tensor) -> tf.Tensor:
    """The slope of a steep chord from each point to a later point, by pointer doubling.

    Each point keeps a target, the end of its steepest chord so far, at first the next point. It
    tries the targets of the points 1, 2, 4, ... ahead in turn, and takes over a target where the
    chord to it is steeper. The result is not always the steepest chord of all.

    Args:
        x: shape (batch, points), ascending in each row and below ``points``.
        y: shape (batch, points).
        far: boolean: look ahead to all later points, or to the next 2^_NEAR_LEVELS only.

    Returns:
        Slopes, shape (batch, points); -inf for the last point of a row, NaN past it.
    """
    points = x.shape[-1]
    past_x, past_y = (tf.zeros_like(x) + tf.constant(past, x.dtype) for past in (points, -math.inf))

    def ahead(rows: tf.Tensor, by: int, past: tf.Tensor) -> tf.Tensor:
        # Not tf.pad: under vectorized_map it pads with 0, whatever value it is given.
        return tf.concat([rows[:, by:], past[:, :by]], axis=1)

    def look_ahead(
        levels: range, slope: tf.Tensor, to_x: tf.Tensor, to_y: tf.Tensor
    ) -> list[tf.Tensor]:
        for by in (2**level for level in levels):
            next_x, next_y = ahead(to_x, by, past_x), ahead(to_y, by, past_y)
            next_slope = (next_y - y) / (next_x - x)
            steeper = next_slope > slope
            to_x, to_y = tf.where(steeper, next_x, to_x), tf.where(steeper, next_y, to_y)
            slope = tf.where(steeper, next_slope, slope)
        return [slope, to_x, to_y]

    to_x, to_y = ahead(x, 1, past_x), ahead(y, 1, past_y)
    near = look_ahead(range(_NEAR_LEVELS), (to_y - y) / (to_x - x), to_x, to_y)
    further = range(_NEAR_LEVELS, (points - 1).bit_length())
    return tf.cond(far, lambda: look_ahead(further, *near)[0], lambda: near[0])
