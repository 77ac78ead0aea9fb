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

# Up to so many values sorting compares all pairs; beyond, other algorithms take less time
# (benchmarks/ranking.md), and memory for the pairs would grow as n^2.
_PAIRS = 32
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
        large n time is O(n log n) for the sort and O(n) for each round of splitting, memory O(n).

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
    """Epsilon as a float; ValueError where it is not above 0 and finite."""
    epsilon = float(epsilon)
    if not 0 < epsilon < math.inf:
        raise ValueError(f"epsilon must be above 0 and finite, not {epsilon}")
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
    result = function(tf.where(finite, rows, 0), n)
    result = tf.where(finite, result, tf.constant(math.nan, rows.dtype))
    result = tf.reshape(tf.cast(result, values.dtype), tf.shape(values))
    return tf.ensure_shape(result, values.shape)


# Sorting


def _beaten(rows: tf.Tensor) -> tf.Tensor:
    """How many others each value comes after in ascending order, from all pairs; int32."""
    n = rows.shape[-1]
    mine, other = rows[:, None, :], rows[:, :, None]
    before = tf.where(np.tri(n, k=-1, dtype=bool).T, other <= mine, other < mine)
    return tf.reduce_sum(tf.cast(before, tf.int32), axis=1)


def _inverse(order: tf.Tensor) -> tf.Tensor:
    """The inverse of each row's permutation; int32, shape (batch, n)."""
    n = order.shape[-1]
    flat = tf.reshape(order + _offsets(order), [-1])
    return tf.reshape(tf.math.invert_permutation(flat), [-1, n]) - _offsets(order)


def _offsets(rows: tf.Tensor) -> tf.Tensor:
    """Where each row starts once the rows are laid end to end; int32, shape (batch, 1)."""
    batch, n = tf.shape(rows)[0], tf.shape(rows)[1]
    return tf.range(batch)[:, None] * n


def _take(rows: tf.Tensor, index: tf.Tensor) -> tf.Tensor:
    return tf.gather(rows, index, batch_dims=1)


def _descending(rows: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """Each row from high to low, and the place of each value in that order."""
    n = rows.shape[-1]
    if n > _PAIRS:
        ordered, order = tf.math.top_k(rows, n)
        return ordered, _inverse(order)
    place = n - 1 - _beaten(rows)
    here = tf.equal(place[:, :, None], tf.range(n))
    order = tf.reduce_sum(tf.where(here, tf.range(n)[:, None], 0), axis=1)
    return _take(rows, order), place


# Soft ranks


def _project(rows: tf.Tensor, n: int, epsilon: float) -> tf.Tensor:
    """The projection of rows / epsilon onto the permutahedron, shape (batch, n)."""

    @tf.custom_gradient
    def project(rows: tf.Tensor) -> tuple[tf.Tensor, Callable[[tf.Tensor], tf.Tensor]]:
        # With the values s from high to low and w = (n, ..., 1) the projection is s - v, where v
        # solves min ||v - (s - w)||^2 subject to v_1 >= ... >= v_n: the slopes of the least
        # concave majorant of the cumulative sums of s - w.
        # Eager tapes would keep each step, which only the product below is made of.
        ordered, place = _descending(tf.stop_gradient(rows))
        ordered = tf.cast(ordered, tf.float64)
        # s - w rises by at most 1 a step, so neighbours more than n / 2 apart are in different
        # blocks, where the distance between them does not matter: bounded, it keeps the sums
        # within precision at any epsilon.
        gaps = tf.minimum((ordered[:, :-1] - ordered[:, 1:]) / epsilon, 0.5 * n + 1.0)
        s = tf.pad(_cumulative(-gaps), [[0, 0], [1, 0]])
        sums = tf.pad(_cumulative(s - tf.range(n, 0, -1, tf.float64)), [[0, 0], [1, 0]])
        few = n <= _PAIRS
        slope, *block = _fit_by_pairs(sums) if few else _fit_by_chords(sums)
        in_order = tf.stack([s - slope, *block], axis=-1)
        result, *block = tf.unstack(_take(in_order, place), axis=-1)
        block_mean = _mean_by_pairs if few else _mean_by_sums

        def vjp(upstream: tf.Tensor) -> tf.Tensor:
            return (upstream - block_mean(upstream, *block)) / epsilon

        result = tf.cast(result, rows.dtype)
        return result, vjp

    return project(rows)


def _cumulative(rows: tf.Tensor) -> tf.Tensor:
    """Cumulative sums of each row."""
    n = rows.shape[-1]
    if n > _PAIRS:
        return tf.cumsum(rows, axis=-1)
    return tf.matmul(rows, tf.constant(np.tri(n).T, rows.dtype))


def _fit_by_pairs(sums: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """The decreasing fit v_i = max over k >= i of min over j <= i of mean(y_j..y_k).

    Args:
        sums: 0 and the cumulative sums of y, float64, shape (batch, n + 1).

    Returns:
        The fit, and what :func:`_mean_by_pairs` takes, each of shape (batch, n).
    """
    n = sums.shape[-1] - 1
    start, end = np.arange(n)[:, None], np.arange(1, n + 1)[None]
    inside = start < end
    share = np.divide(1.0, end - start, where=inside, out=np.zeros(inside.shape))
    mean = (sums[:, None, 1:] - sums[:, :-1, None]) * share + np.where(inside, 0.0, np.inf)
    # The minimum over all j <= k, not i, is no larger, and equal where k ends a block.
    lowest = tf.reduce_min(mean, axis=1)
    fit = tf.reduce_max(lowest[:, :, None] + np.where(np.tri(n), 0.0, -np.inf), axis=1)
    return fit, fit


def _mean_by_pairs(values: tf.Tensor, fit: tf.Tensor) -> tf.Tensor:
    """The mean of the values in the block of each; within a block the fit is one number, copied."""
    same = tf.cast(tf.equal(fit[:, :, None], fit[:, None, :]), values.dtype)
    return tf.reduce_sum(same * values[:, :, None], axis=1) / tf.reduce_sum(same, axis=1)


def _fit_by_chords(sums: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
    """As :func:`_fit_by_pairs`, for many values and :func:`_mean_by_sums`."""
    slope, begin, length = _majorant(sums)
    return slope, begin, 1.0 / length


def _mean_by_sums(values: tf.Tensor, begin: tf.Tensor, share: tf.Tensor) -> tf.Tensor:
    """The mean of the values in the block of each, a block known by where it begins."""
    block = tf.reshape(tf.cast(begin, tf.int32) + _offsets(begin), [-1])
    total = tf.math.unsorted_segment_sum(tf.reshape(values, [-1]), block, tf.size(values))
    return tf.reshape(tf.gather(total, block), tf.shape(values)) * tf.cast(share, values.dtype)


def _majorant(sums: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
    """The least concave majorant of points (0, sums_0)..(n, sums_n), each row by itself.

    From the chord over all points, chords are split at the point furthest above, which is a corner
    of the majorant (quickhull, Eddy 1977), until no point is above.

    Args:
        sums: float64, shape (batch, n + 1).

    Returns:
        For each of the n steps the slope, begin and length of the chord that it belongs to, each
        float64, shape (batch, n).
    """
    points = sums.shape[-1]
    n = points - 1
    index = tf.range(points, dtype=tf.float64)[None]
    flat, offsets = tf.reshape(sums, [-1]), _offsets(sums)
    size = tf.size(flat)
    tolerance = 1e-13 * (1.0 + tf.reduce_max(tf.abs(sums), axis=1, keepdims=True))

    def excess(chord: tf.Tensor) -> tf.Tensor:
        begin, height, slope, _ = tf.unstack(chord, axis=-1)
        return sums - height - slope * (index - begin)

    def unfinished(chord: tf.Tensor) -> tf.Tensor:
        return tf.reduce_any(excess(chord) > tolerance)

    def split(chord: tf.Tensor) -> tf.Tensor:
        above = excess(chord)
        begin = chord[..., 0]
        block = tf.reshape(tf.cast(begin, tf.int32) + offsets, [-1])
        highest = tf.math.unsorted_segment_max(tf.reshape(above, [-1]), block, size)
        furthest = tf.equal(above, tf.reshape(tf.gather(highest, block), tf.shape(above)))
        corner = tf.equal(begin, index) | (furthest & (above > tolerance)) | tf.equal(index, n)
        # All corners of all rows in one list, and of each point the corner at or before it.
        number = tf.cumsum(tf.reshape(tf.cast(corner, tf.int32), [-1])) - 1
        at = tf.math.unsorted_segment_min(tf.range(size), number, size)
        at = tf.minimum(at, size - 1)  # past the end of the list
        height = tf.gather(flat, at)
        place = tf.cast(at % points, tf.float64)
        length = tf.maximum(tf.roll(place, -1, 0) - place, 1.0)  # 1 at the end of a row
        slope = (tf.roll(height, -1, 0) - height) / length
        table = tf.stack([place, height, slope, length], axis=-1)
        return tf.reshape(tf.gather(table, number), tf.shape(chord))

    first, last = sums[:, :1], sums[:, -1:]
    zero = tf.zeros_like(sums)
    whole = tf.stack([zero, zero + first, zero + (last - first) / n, zero + n], axis=-1)
    # The last point is a chord of its own, of length 1 and without a step.
    (chord,) = tf.while_loop(unfinished, lambda c: (split(c),), (whole,), parallel_iterations=1)
    begin, _, slope, length = tf.unstack(chord[:, :-1], axis=-1)
    return slope, begin, length


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
