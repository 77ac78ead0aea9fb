"""Differentiable ranking: ranks 1..n, ascending, over the last axis.

The operators take any leading shape, run eagerly, in graphs and under XLA, and compute in float64
what is summed up, so that neither a large offset nor a large scale costs accuracy.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from operator import index

import numpy as np
import tensorflow as tf

# Up to so many values sorting compares all pairs; beyond, other algorithms mostly take less time
# (benchmarks/ranking.md), and memory for the pairs would grow as n^2.
_PAIRS = 32
# A quick pass of the fit looks 2^_NEAR points ahead.
_NEAR = 4
# Sums over all pairs are taken in parts of about so many, for a batch of this size if unknown.
_PAIRS_AT_ONCE = 2**22
_BATCH = 64
_SQRT2 = math.sqrt(2.0)


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
    if n <= _PAIRS:
        result = _beaten(rows) + 1
    else:
        result = _inverse(tf.argsort(rows, axis=-1, stable=True)) + 1
    return tf.reshape(result, tf.shape(values))


def soft_rank(values: tf.Tensor, epsilon: float = 1.0) -> tf.Tensor:
    """Soft ranks: the projection of ``values / epsilon`` onto the permutahedron of (1..n).

    Args:
        values: floating, shape (..., n), n >= 1 and known when the graph is built.
        epsilon: regularisation strength, > 0; towards 0 the result is :func:`rank`, towards
            infinity every rank is (n + 1) / 2.

    Returns:
        The same dtype (half types are computed in float32) and shape; exact up to rounding, each
        row in [1, n] with sum n (n + 1) / 2. A row with a value that is not finite is NaN, its
        gradient 0. The gradient is the closed-form vector-Jacobian product, the mean over each
        block of the isotonic regression taken off; it is piecewise constant in the values. For
        large n time is O(n log n) for the sort and for each of the few passes of the fit, memory
        O(n).

    Raises:
        TypeError: where values are not floating.
        ValueError: where epsilon is not above 0, or n is 0 or unknown.

    Source: Blondel et al. 2020, "Fast differentiable sorting and ranking", sections 4 and 5
    (quadratic regularisation, ascending).
    """
    epsilon = positive(epsilon)

    def project(rows: tf.Tensor, n: int) -> tf.Tensor:
        return _project(rows, n, epsilon)

    return _in_rows(project, values)


def perturbed_rank(
    values: tf.Tensor,
    epsilon: float = 0.1,
    num_samples: int | None = 10,
    seed: tf.Tensor | tuple[int, int] | None = None,
) -> tf.Tensor:
    """Expected ranks under Gaussian noise: E[rank(values + epsilon Z)].

    Args:
        values: floating, shape (..., n), n >= 1 and known when the graph is built.
        epsilon: standard deviation of the noise, > 0.
        num_samples: how many draws to average; None gives the exact expectation in closed form,
            1 + sum over j != i of Phi((t_i - t_j) / (epsilon sqrt 2)).
        seed: two integers (a stateless seed); None draws a fresh one.

    Returns:
        The same dtype (half types are computed in float32) and shape, each row in [1, n] with sum
        n (n + 1) / 2. A row with a value that is not finite is NaN. The gradient of the exact
        ranks is exact, that of the sampled ones the score-function estimate from the same draws,
        without bias but noisy (the Fenchel-Young loss needs none). Memory is O(n) a row and draw;
        the exact ranks take O(n^2) time.

    Raises:
        TypeError: where values are not floating.
        ValueError: where epsilon is not above 0, num_samples below 1, or n is 0 or unknown.

    Source: Berthet et al. 2020, "Learning with differentiable perturbed optimizers", section 3;
    the closed form is the sum of the chances to beat each of the others.
    """
    epsilon = positive(epsilon)

    def expected(rows: tf.Tensor, n: int) -> tf.Tensor:
        if num_samples is None:
            return _expected_rank(rows, epsilon)
        return _mean_rank(rows, epsilon, num_samples, seed)

    return _in_rows(expected, values)


def perturb(
    values: tf.Tensor,
    epsilon: float,
    num_samples: int,
    seed: tf.Tensor | tuple[int, int] | None = None,
) -> tf.Tensor:
    """``values + epsilon Z`` for ``num_samples`` independent standard normal Z.

    Returns:
        The dtype of values, shape (num_samples, ..., n).

    Raises:
        ValueError: where num_samples is below 1, or the seed is not two integers.
    """
    return values + epsilon * _noise(values, num_samples, seed)


def over_pairs(function: Callable[..., tf.Tensor], *rows: tf.Tensor) -> tf.Tensor:
    """Sum over j of function(a_i - a_j, b_i - b_j, ...) for rows a, b, ...

    Args:
        function: elementwise, of as many differences as there are rows.
        rows: floating, each of shape (batch, n), n known.

    Returns:
        What function returns, shape (batch, n). Memory is O(n) a row where n is large (graphs of
        unknown batch size: for a batch of some 64).
    """
    n = rows[0].shape[-1]

    def sums(*some: tf.Tensor) -> tf.Tensor:
        differences = (s[:, :, None] - r[:, None, :] for s, r in zip(some, rows, strict=True))
        return tf.reduce_sum(function(*differences), axis=-1)

    part = max(1, _PAIRS_AT_ONCE // (n * (rows[0].shape[0] or _BATCH)))
    if n <= part:
        return sums(*rows)

    def of_part(index: tf.Tensor) -> tf.Tensor:
        return tf.transpose(sums(*(tf.gather(r, index, axis=1) for r in rows)))

    parts = np.minimum(np.arange(-(-n // part) * part), n - 1).reshape(-1, part)
    result = tf.map_fn(
        of_part, tf.constant(parts), fn_output_signature=rows[0].dtype, parallel_iterations=1
    )
    return tf.transpose(tf.reshape(result, [parts.size, -1])[:n])


def positive(epsilon: float) -> float:
    """Epsilon as a float; ValueError where it is not above 0, also in float32, and finite."""
    epsilon = float(epsilon)
    if not 1e-37 <= epsilon < math.inf:
        raise ValueError(f"epsilon must be above 0 (1e-37 at least) and finite, not {epsilon}")
    return epsilon


def at_least_one(num_samples: int | None) -> int | None:
    """The number of samples, or None; ValueError below 1, TypeError where it is no integer."""
    if num_samples is not None and index(num_samples) < 1:
        raise ValueError(f"num_samples must be at least 1, or None, not {num_samples}")
    return num_samples


def permutation_set(permutations: Sequence[Sequence[int]]) -> list[list[int]]:
    """Permutations of 1..n as lists; ValueError where one is none, or is there twice."""
    rows = [[int(x) for x in row] for row in permutations]
    if not rows or any(sorted(row) != list(range(1, len(rows[0]) + 1)) for row in rows):
        raise ValueError("permutations must be lists of the ranks 1..n, each rank once")
    if len({tuple(row) for row in rows}) < len(rows):
        raise ValueError("a permutation is given twice")
    return rows


def _floating(values: tf.Tensor) -> tf.Tensor:
    values = tf.convert_to_tensor(values)
    if not values.dtype.is_floating:
        raise TypeError(f"values must be floating, not {values.dtype.name}: cast them first")
    return values


def _wide(dtype: tf.DType) -> tf.DType:
    return dtype if dtype in (tf.float32, tf.float64) else tf.float32


def as_rows(values: tf.Tensor) -> tuple[tf.Tensor, int]:
    """Values with all leading axes made one, and how many there are in a row.

    Raises:
        ValueError: where that is 0, or not known when the graph is built.
    """
    n = values.shape[-1] if values.shape.rank else None
    if not n:
        raise ValueError(
            "values need a last axis of at least 1 value whose length is known when the graph is "
            f"built, not shape {values.shape}"
        )
    return tf.reshape(values, [-1, n]), n


def _in_rows(function: Callable[[tf.Tensor, int], tf.Tensor], values: tf.Tensor) -> tf.Tensor:
    """Apply a function of rows of a wide dtype; NaN for a row that is not finite throughout."""
    values = _floating(values)
    rows, n = as_rows(values)
    rows = tf.cast(rows, _wide(values.dtype))
    finite = tf.reduce_all(tf.math.is_finite(rows), axis=-1, keepdims=True)

    # Of the rows that are not finite only the gradient needs care; replacing them first would be
    # done again for each pair by XLA.
    @tf.custom_gradient
    def guarded(rows: tf.Tensor) -> tuple[tf.Tensor, Callable[[tf.Tensor], tf.Tensor]]:
        return rows, lambda upstream: tf.where(finite, upstream, 0)

    result = function(guarded(rows), n)
    result = tf.where(finite, result, tf.constant(math.nan, rows.dtype))
    result = tf.reshape(tf.cast(result, values.dtype), tf.shape(values))
    return tf.ensure_shape(result, values.shape)


# Sorting


def _beaten(rows: tf.Tensor) -> tf.Tensor:
    """How many others each value comes after in ascending order, from all pairs; int32."""
    n = rows.shape[-1]
    mine, other = rows[:, None, :], rows[:, :, None]
    first = tf.constant(np.tri(n, k=-1, dtype=bool).T)
    before = (other < mine) | (first & tf.equal(other, mine))
    return tf.reduce_sum(tf.cast(before, tf.int32), axis=1)


def _inverse(order: tf.Tensor) -> tf.Tensor:
    """The inverse of each row's permutation; int32, shape (batch, n)."""
    return _inverse_in_all(order) - _offsets(order)


def _inverse_in_all(order: tf.Tensor) -> tf.Tensor:
    """As :func:`_inverse`, as places in all rows laid end to end."""
    flat = tf.reshape(order + _offsets(order), [-1])
    return tf.reshape(tf.math.invert_permutation(flat), tf.shape(order))


def _offsets(rows: tf.Tensor) -> tf.Tensor:
    """Where each row starts once the rows are laid end to end; int32, shape (batch, 1)."""
    batch, n = tf.shape(rows)[0], tf.shape(rows)[1]
    return tf.range(batch)[:, None] * n


def _take(rows: tf.Tensor, place: tf.Tensor) -> tf.Tensor:
    """Values at places in all rows laid end to end; takes less time than by the row."""
    return tf.gather(tf.reshape(rows, [-1]), place)


# Soft ranks


def _project(rows: tf.Tensor, n: int, epsilon: float) -> tf.Tensor:
    """The projection of rows / epsilon onto the permutahedron, shape (batch, n)."""
    fit = _fit_by_pairs if n <= _PAIRS else _fit_at_length

    @tf.custom_gradient
    def project(rows: tf.Tensor) -> tuple[tf.Tensor, Callable[[tf.Tensor], tf.Tensor]]:
        # Eager tapes would keep each step, which only the product below is made of.
        result, block_mean = fit(tf.stop_gradient(rows), epsilon)

        def vjp(upstream: tf.Tensor) -> tf.Tensor:
            return (upstream - block_mean(upstream)) / epsilon

        return result, vjp

    return project(rows)


# With the values s from high to low and w = (n, ..., 1) the projection is s - v, where v solves
# min ||v - (s - w)||^2 subject to v_1 >= ... >= v_n: the slopes of the least concave majorant of
# the cumulative sums of s - w. Its blocks are where v is one number, the chords of the majorant.


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


# The mean of values, in their own order, over the block of the fit that each is in.
_BlockMean = Callable[[tf.Tensor], tf.Tensor]


def _fit_by_pairs(rows: tf.Tensor, epsilon: float) -> tuple[tf.Tensor, _BlockMean]:
    """The projection by v_i = max over k >= i of min over j <= i of mean((s - w)_j..(s - w)_k).

    Returns:
        The projection, shape (batch, n), and what takes means over blocks.
    """
    n = rows.shape[-1]
    place = n - 1 - _beaten(rows)
    # Of NaN, which share a place, one; their row is NaN in the end.
    order = tf.where(tf.equal(place[:, :, None], tf.range(n)), tf.range(n)[:, None], 0)
    order = tf.reduce_max(order, axis=1)
    s, sums = _sums_by_pairs(_gaps(_take(rows, order + _offsets(order)), epsilon))
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


def _fit_at_length(rows: tf.Tensor, epsilon: float) -> tuple[tf.Tensor, _BlockMean]:
    """As :func:`_fit_by_pairs`, for many values."""
    wide = tf.cast(rows, tf.float64)
    one_block, centred = _is_one_block((wide - wide[:, :1]) / epsilon)  # an offset costs precision

    def shift() -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
        middle = 0.5 * (rows.shape[-1] + 1)
        result = tf.cast(centred + middle, rows.dtype)
        return result, tf.zeros_like(rows, tf.int32), tf.zeros_like(rows)

    def sort() -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
        ordered, order = tf.math.top_k(rows, rows.shape[-1])
        place = _inverse_in_all(order)
        s, sums = _sums(_gaps(ordered, epsilon))
        chord, slope, length = _majorant(sums)
        result = tf.cast(s - _take(slope, chord), rows.dtype)
        return _take(result, place), _take(chord, place), tf.cast(length, rows.dtype)

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
    offsets, size = _offsets(sums), tf.size(sums)
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
        return [turn + 1, _take(place, number), x, y]

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


# Perturbed ranks


def _noise(
    values: tf.Tensor, num_samples: int, seed: tf.Tensor | tuple[int, int] | None
) -> tf.Tensor:
    at_least_one(num_samples)
    shape = tf.concat([[num_samples], tf.shape(values)], axis=0)
    if seed is None:
        noise = tf.random.normal(shape, dtype=values.dtype)
    else:
        pair = tf.convert_to_tensor(seed)
        if pair.shape != (2,) or not pair.dtype.is_integer:
            raise ValueError(f"a seed is two integers, not {pair.dtype.name} of shape {pair.shape}")
        # Named, so that XLA draws the same.
        noise = tf.random.stateless_normal(shape, pair, dtype=values.dtype, alg="philox")
    return tf.ensure_shape(noise, [num_samples, *values.shape])


def _mean_rank(
    rows: tf.Tensor, epsilon: float, num_samples: int, seed: tf.Tensor | tuple[int, int] | None
) -> tf.Tensor:
    @tf.custom_gradient
    def mean(rows: tf.Tensor) -> tuple[tf.Tensor, Callable[[tf.Tensor], tf.Tensor]]:
        noise = _noise(rows, num_samples, seed)
        # Centred, so that the noise is not rounded away far from 0.
        centred = rows - tf.reduce_mean(rows, axis=-1, keepdims=True)
        ranks = tf.cast(rank(centred + epsilon * noise), rows.dtype)
        # Without it the estimate is right on average, too, but varies more.
        baseline = tf.cast(rank(rows), rows.dtype)

        def vjp(upstream: tf.Tensor) -> tf.Tensor:
            weight = tf.reduce_sum((ranks - baseline) * upstream, axis=-1, keepdims=True)
            return tf.reduce_mean(weight * noise, axis=0) / epsilon

        return tf.reduce_mean(ranks, axis=0), vjp

    return mean(rows)


def _expected_rank(rows: tf.Tensor, epsilon: float) -> tf.Tensor:
    scale = 1.0 / (epsilon * _SQRT2)

    @tf.custom_gradient
    def expected(rows: tf.Tensor) -> tuple[tf.Tensor, Callable[[tf.Tensor], tf.Tensor]]:
        def vjp(upstream: tf.Tensor) -> tf.Tensor:
            return over_pairs(lambda d, u: scale * normal_density(scale * d) * u, rows, upstream)

        # A value beats itself with Phi(0) = 1/2.
        constant = tf.stop_gradient(rows)  # eager tapes would keep all pairs
        return over_pairs(lambda d: normal_cdf(scale * d), constant) + 0.5, vjp

    return expected(rows)


def normal_cdf(z: tf.Tensor) -> tf.Tensor:
    """The standard normal distribution function, accurate in the lower tail."""
    return 0.5 * tf.math.erfc(-z / _SQRT2)


def normal_density(z: tf.Tensor) -> tf.Tensor:
    """The standard normal density."""
    return tf.exp(-0.5 * tf.square(z)) / math.sqrt(2.0 * math.pi)
