"""Isotonic regression: the projection onto the permutahedron, row by row."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import tensorflow as tf

from shuffle_to_learn.ranking.sorting import inverse_flat, places_by_pairs, row_offsets, take_flat

# A quick pass of the fit looks 2^_NEAR points ahead.
_NEAR = 4

# The mean of values, in their own order, over the block of the fit that each is in.
_BlockMean = Callable[[tf.Tensor], tf.Tensor]


def fit_by_pairs(rows: tf.Tensor, epsilon: float) -> tuple[tf.Tensor, _BlockMean]:
    """The projection by v_i = max over k >= i of min over j <= i of mean((s - w)_j..(s - w)_k).

    Returns:
        The projection, shape (batch, n), and what takes means over blocks.
    """
    n = rows.shape[-1]
    place = n - 1 - places_by_pairs(rows)
    # Of NaN, which share a place, one; their row is NaN in the end.
    order = tf.where(tf.equal(place[:, :, None], tf.range(n)), tf.range(n)[:, None], 0)
    order = tf.reduce_max(order, axis=1)
    s, sums = _sums_by_pairs(_gaps(take_flat(rows, order + row_offsets(order)), epsilon))
    start, end = np.arange(n)[:, None], np.arange(1, n + 1)[None]
    inside = start < end
    share = np.divide(1.0, end - start, where=inside, out=np.zeros(inside.shape))
    mean = (sums[:, None, 1:] - sums[:, :-1, None]) * share + np.where(inside, 0.0, np.inf)
    # The minimum over all j <= k, not i, is no larger, and equal where k ends a block.
    lowest = tf.reduce_min(mean, axis=1)
    index, place = tf.range(n)[:, None], place[:, None, :]
    fit = tf.reduce_max(tf.where(index >= place, lowest[:, :, None], -math.inf), axis=1)
    s = tf.reduce_sum(tf.where(tf.equal(index, place), s[:, :, None], 0), axis=1)

    def block_mean(values: tf.Tensor) -> tf.Tensor:
        # Within a block the fit is one number, copied.
        same = tf.cast(tf.equal(fit[:, :, None], fit[:, None, :]), values.dtype)
        return tf.reduce_sum(same * values[:, :, None], axis=1) / tf.reduce_sum(same, axis=1)

    return tf.cast(s - fit, rows.dtype), block_mean


def fit_by_majorant(rows: tf.Tensor, epsilon: float) -> tuple[tf.Tensor, _BlockMean]:
    """As :func:`fit_by_pairs`, for many values."""
    wide = tf.cast(rows, tf.float64)
    one_block, centred = _is_one_block((wide - wide[:, :1]) / epsilon)  # an offset costs precision

    def shift() -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
        middle = 0.5 * (rows.shape[-1] + 1)
        result = tf.cast(centred + middle, rows.dtype)
        return result, tf.zeros_like(rows, tf.int32), tf.zeros_like(rows)

    def sort() -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
        ordered, order = tf.math.top_k(rows, rows.shape[-1])
        place = inverse_flat(order)
        s, sums = _sums(_gaps(ordered, epsilon))
        chord, slope, length = _majorant(sums)
        result = tf.cast(s - take_flat(slope, chord), rows.dtype)
        return take_flat(result, place), take_flat(chord, place), tf.cast(length, rows.dtype)

    result, block, length = tf.cond(one_block, shift, sort)

    def block_mean(values: tf.Tensor) -> tf.Tensor:
        def of_all() -> tf.Tensor:
            return tf.zeros_like(values) + tf.reduce_mean(values, axis=-1, keepdims=True)

        def of_each() -> tf.Tensor:
            flat = tf.reshape(values, [-1])
            total = tf.math.unsorted_segment_sum(flat, tf.reshape(block, [-1]), tf.size(values))
            return tf.gather(total / tf.reshape(length, [-1]), block)

        return tf.cond(one_block, of_all, of_each)

    return result, block_mean


def _gaps(ordered: tf.Tensor, epsilon: float) -> tf.Tensor:
    """Gaps between neighbours over epsilon, bounded; float64, shape (batch, n - 1)."""
    ordered = tf.cast(ordered, tf.float64)
    # s - w rises by at most 1 a step, so neighbours more than n / 2 apart are in different blocks,
    # where the distance between them does not matter: bounded, it keeps the sums within precision
    # at any epsilon.
    return tf.minimum((ordered[:, :-1] - ordered[:, 1:]) / epsilon, 0.5 * ordered.shape[-1] + 1.0)


def _sums(gaps: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """The values s, the highest 0, with such gaps; 0 and the cumulative sums of s - w.

    Args:
        gaps: float64, shape (batch, n - 1).

    Returns:
        float64, of shapes (batch, n) and (batch, n + 1).
    """
    n = gaps.shape[-1] + 1
    s = tf.pad(tf.cumsum(-gaps, axis=-1), [[0, 0], [1, 0]])
    return s, tf.pad(tf.cumsum(s - tf.range(n, 0, -1, tf.float64), axis=-1), [[0, 0], [1, 0]])


def _sums_by_pairs(gaps: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """As :func:`_sums`, as one product."""
    n = gaps.shape[-1] + 1
    to_s = -np.tri(n, n - 1, -1).T
    to_sums = np.tri(n + 1, n, -1).T
    both = tf.matmul(gaps, tf.constant(np.concatenate([to_s, to_s @ to_sums], axis=1)))
    return both[:, :n], both[:, n:] - np.arange(n, 0, -1.0) @ to_sums


def _is_one_block(z: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """Whether the fit of each row is certainly one number, found without a sort; z less its mean.

    Moved to the mean rank, z is in the permutahedron if no k centred values have a mean m above
    (n - k) / 2 (Rado 1952). With their maximum a / 2 and minimum -b / 2, m <= a / 2, and
    m <= (n - k) / k * b / 2, and m^2 <= (n - k) / k * variance. So all is well for k <= n - a, for
    k >= b, and for k (n - k) >= 4 variance; the last, concave in k, holds between n - a and b if at
    both.

    Args:
        z: float64, shape (batch, n).

    Returns:
        A boolean, False where z is not finite; float64, shape (batch, n).
    """
    n = z.shape[-1]
    centred = z - tf.reduce_mean(z, axis=-1, keepdims=True)
    a, b = 2.0 * tf.reduce_max(centred, axis=-1), -2.0 * tf.reduce_min(centred, axis=-1)
    variance = tf.reduce_mean(tf.square(centred), axis=-1)
    between = 4.0 * variance <= tf.minimum(a * (n - a), b * (n - b))
    inside = (a <= n) & (b <= n) & ((a + b <= n) | between)
    return tf.reduce_all(inside), centred


def _majorant(sums: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
    """The least concave majorant of points (0, sums_0)..(n, sums_n), each row by itself.

    A point on or below the chord between two others is no corner of the majorant. All that one pass
    finds are dropped at once, and what is left is looked at again until it is concave: mostly once
    or twice. A pass takes O(n log n), and finds at least what two neighbours tell.

    Args:
        sums: float64, shape (batch, n + 1).

    Returns:
        The chord that each of the n steps belongs to, as its place among n of each row, all rows
        laid end to end, int32, shape (batch, n); the slope and the length of each chord, float64,
        shape (batch, n), and something else past a row's last.
    """
    shape, points = tf.shape(sums), sums.shape[-1]
    offsets, size = row_offsets(sums), tf.size(sums)
    # Past the last point of a row: further along, and below any chord.
    end, low = tf.constant(points, tf.float64), tf.constant(-math.inf, tf.float64)

    def drop(turn: tf.Tensor, number: tf.Tensor, x: tf.Tensor, y: tf.Tensor) -> list[tf.Tensor]:
        # Of what the first pass leaves, most is seen from nearby; what is not, by the third.
        far = tf.not_equal(turn, 1)
        right = _steepest(x, y, far)
        left = -_steepest(-x[:, ::-1], y[:, ::-1], far)[:, ::-1]
        kept = tf.logical_not(right >= left)
        # Where each point goes: the last that is kept, before it.
        place = tf.cumsum(tf.cast(kept, tf.int32), axis=-1) - 1 + offsets
        first = tf.math.unsorted_segment_min(tf.range(size), tf.reshape(place, [-1]), size)
        first = tf.reshape(tf.minimum(first, size), shape)  # no point: past the end
        x, y = (
            tf.gather(tf.concat([tf.reshape(rows, [-1]), [past]], axis=0), first)
            for rows, past in ((x, end), (y, low))
        )
        return [turn + 1, take_flat(place, number), x, y]

    def slopes(x: tf.Tensor, y: tf.Tensor) -> tf.Tensor:
        return (y[:, 1:] - y[:, :-1]) / (x[:, 1:] - x[:, :-1])

    def unfinished(*state: tf.Tensor) -> tf.Tensor:
        slope = slopes(*state[2:])
        return tf.reduce_any(slope[:, 1:] >= slope[:, :-1])

    index = tf.zeros_like(sums) + tf.range(points, dtype=tf.float64)
    start = [tf.constant(0), tf.reshape(tf.range(size), shape), index, sums]
    _, number, x, y = tf.while_loop(unfinished, drop, start, parallel_iterations=1)
    # One point a row more than chords.
    chord = number[:, :-1] - tf.range(shape[0])[:, None]
    return chord, slopes(x, y), x[:, 1:] - x[:, :-1]


def _steepest(x: tf.Tensor, y: tf.Tensor, far: tf.Tensor) -> tf.Tensor:
    """Of points in the order of x, the slope of a steep chord to one of the points after each.

    Each takes for its own, where the chord to it is steeper, what the next point has found, then
    what the second next, the fourth next and so on have up to then. Not always the steepest of all.

    Args:
        x, y: shape (batch, points); all x of points are below their number.
        far: whether to look at all points, or at the next 2^_NEAR.

    Returns:
        Slopes, shape (batch, points); -inf for the last point, not a number past it.
    """
    points = x.shape[-1]
    past_x, past_y = (tf.zeros_like(x) + tf.constant(past, x.dtype) for past in (points, -math.inf))

    def after(rows: tf.Tensor, by: int, past: tf.Tensor) -> tf.Tensor:
        # Not tf.pad: under vectorized_map it pads with 0, whatever it is told.
        return tf.concat([rows[:, by:], past[:, :by]], axis=1)

    def look(levels: range, slope: tf.Tensor, to_x: tf.Tensor, to_y: tf.Tensor) -> list[tf.Tensor]:
        for by in (2**level for level in levels):
            next_x, next_y = after(to_x, by, past_x), after(to_y, by, past_y)
            other = (next_y - y) / (next_x - x)
            steeper = other > slope
            to_x, to_y = tf.where(steeper, next_x, to_x), tf.where(steeper, next_y, to_y)
            slope = tf.where(steeper, other, slope)
        return [slope, to_x, to_y]

    to_x, to_y = after(x, 1, past_x), after(y, 1, past_y)
    found = look(range(_NEAR), (to_y - y) / (to_x - x), to_x, to_y)
    further = range(_NEAR, (points - 1).bit_length())
    return tf.cond(far, lambda: look(further, *found)[0], lambda: found[0])
