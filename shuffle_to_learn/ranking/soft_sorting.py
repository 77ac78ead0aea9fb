"""Sorting, the choice of the largest values and quantiles: soft, by projection, and hard."""

from __future__ import annotations

from operator import index

import tensorflow as tf

from shuffle_to_learn.ranking.blocks import (
    block_mean,
    block_most,
    bounded_falls,
    falling,
    pooled,
)
from shuffle_to_learn.ranking.checks import (
    Epsilon,
    as_floating,
    as_mask,
    count,
    in_rows,
    takes_lists,
    to_last,
)
from shuffle_to_learn.ranking.sorting import rank


@takes_lists("values")
def soft_sort(
    values: tf.Tensor,
    epsilon: Epsilon = 1.0,
    *,
    mask: tf.Tensor | None = None,
    descending: bool = False,
    axis: int = -1,
) -> tf.Tensor:
    """Softly sorted values: the projection of ``(1..n) / epsilon`` onto their permutahedron.

    Args:
        values: floating, shape (..., n), n >= 1 and known when the graph is built; or a
            RaggedTensor.
        epsilon: regularisation strength, >= 0: a number, or a tensor that is broadcast to the shape
            of values without the last axis, and has a gradient. At 0 the values are sorted, and the
            gradient is that of :func:`sort`; towards infinity each is the mean.
        mask: boolean, broadcast to the shape of values: False for what is no value of the list. A
            list with m values that are not masked has them at places 1..m, and 0 after them.
        descending: the largest value comes first.
        axis: along which values are sorted.

    Returns:
        The same dtype (half types are computed in float32) and shape, ascending along the axis; the
        sum is that of the values. A row with a value that is not finite is NaN, its gradient 0. The
        vector-Jacobian product is in closed form: the upstream gradient's mean over each block of
        the isotonic regression, taken back to the values' places. For large n each of mostly few
        rounds takes O(n) time, and memory is O(n).

    Raises:
        TypeError: where values are not floating.
        ValueError: where epsilon is below 0, n is 0 or unknown, or epsilon, the mask or the axis is
            not one for the values.

    Source: Blondel et al. 2020, "Fast differentiable sorting and ranking", section 4 (quadratic
    regularisation).
    """
    sign = 1 if descending else -1

    def project(rows: tf.Tensor, epsilon: Epsilon, mask: tf.Tensor | None) -> tf.Tensor:
        wide = sign * tf.cast(rows, tf.float64)
        ordered, size, _ = falling(wide, mask)
        n = rows.shape[-1] if size is None else tf.cast(size, tf.float64)
        target = tf.zeros_like(wide) + n - tf.range(rows.shape[-1], dtype=tf.float64)
        constant = tf.stop_gradient(ordered)
        free = target - epsilon * (constant - constant[:, :1])  # an offset costs precision
        block = pooled(lambda block: block_mean(free, block), rows, size)
        spread = target - block_mean(target, block)
        most = block_most(ordered, block)
        mean = most + block_mean(ordered - most, block)  # of a block of one the value itself
        return sign * (mean + tf.math.divide_no_nan(spread, epsilon))

    return in_rows(project, values, epsilon, by_ratio=False, mask=mask, axis=axis, by_place=True)


@takes_lists("values")
def sort(
    values: tf.Tensor,
    *,
    mask: tf.Tensor | None = None,
    descending: bool = False,
    axis: int = -1,
) -> tf.Tensor:
    """Sorted values, with their gradient: :func:`soft_sort` at epsilon 0.

    Args:
        values, mask, descending, axis: as in soft_sort.

    Returns:
        The same dtype and shape. A row with a value that is not finite is NaN, its gradient 0.

    Raises:
        TypeError, ValueError: as soft_sort.
    """
    return soft_sort(values, 0.0, mask=mask, descending=descending, axis=axis)


@takes_lists("values")
def soft_top_k(
    values: tf.Tensor,
    k: int,
    epsilon: Epsilon = 1.0,
    *,
    mask: tf.Tensor | None = None,
    descending: bool = False,
    axis: int = -1,
) -> tf.Tensor:
    """How far each value is among the k largest: the nearest point to ``values / epsilon`` that
    sums to k and lies in [0, 1]^n.

    Args:
        values: floating, shape (..., n), n >= 1 and known when the graph is built; or a
            RaggedTensor.
        k: at least 1, and at most n where there is no mask. A list with fewer values that are not
            masked has all of them chosen.
        epsilon: regularisation strength, >= 0, as in :func:`shuffle_to_learn.ranking.soft_rank`. At
            0 the k largest are 1 and the others 0, equal values share what is left for them, and
            the gradient is 0; towards infinity each is k / n.
        mask: as in soft_rank; what is masked is 0.
        descending: the k smallest.
        axis: along which values are compared.

    Returns:
        The same dtype (half types are computed in float32) and shape, in [0, 1] up to rounding. A
        row with a value that is not finite is NaN, its gradient 0. The vector-Jacobian product is
        in closed form: the upstream gradient less its mean over the values that are neither 0 nor
        1, over epsilon, and 0 for the others.

    Raises:
        TypeError: where values are not floating, or k is no integer.
        ValueError: as soft_rank, and where k is below 1, or above n without a mask.

    Source: Blondel et al. 2020: the projection onto the permutahedron of (1, .., 1, 0, .., 0), with
    k ones. Amos et al. 2019, "The limited multi-label projection layer" (arXiv 1906.08707), has
    the same set, with the entropy in place of the square.
    """
    if index(k) < 1:
        raise ValueError(f"k must be at least 1, not {k}")

    def least(rows: tf.Tensor, mask: tf.Tensor | None) -> tf.Tensor:
        n = rows.shape[-1]
        if mask is None and k > n:
            raise ValueError(f"k must be at most the number of values, {n}, not {k}")
        return tf.constant(k) if mask is None else tf.minimum(count(mask, tf.int32), k)

    def project(rows: tf.Tensor, epsilon: float, mask: tf.Tensor | None) -> tf.Tensor:
        wide = tf.cast(rows, tf.float64) / epsilon
        ordered, size, place = falling(wide, mask)
        chosen = tf.cast(tf.range(rows.shape[-1]) < least(rows, mask), tf.float64)
        chosen += tf.zeros_like(wide)
        # Neighbours more than 1 apart are in different blocks; how far does not matter.
        free = bounded_falls(ordered, 2) - chosen
        block = pooled(lambda block: block_mean(free, block), rows, size)
        less = ordered - block_most(ordered, block)
        result = block_mean(chosen, block) + less - block_mean(less, block)
        return tf.gather(result, place, batch_dims=1)

    def hard(rows: tf.Tensor, mask: tf.Tensor | None) -> tf.Tensor:
        counted = True if mask is None else mask[:, None, :]
        above, equal = (
            tf.reduce_sum(tf.cast(which & counted, tf.int32), axis=-1)
            for which in (
                rows[:, None, :] > rows[:, :, None],
                tf.equal(rows[:, None, :], rows[:, :, None]),
            )
        )
        share = tf.cast(least(rows, mask) - above, tf.float64) / tf.cast(
            tf.maximum(equal, 1), tf.float64
        )
        return tf.clip_by_value(share, 0, 1)

    return in_rows(project, values, epsilon, hard=hard, mask=mask, descending=descending, axis=axis)


@takes_lists("values")
def top_k(
    values: tf.Tensor,
    k: int,
    *,
    mask: tf.Tensor | None = None,
    descending: bool = False,
    axis: int = -1,
) -> tf.Tensor:
    """Which values are the k largest; of equal values the last, as in ``rank``. No gradient.

    Args:
        values: floating or integer, shape (..., n), n >= 1; or a RaggedTensor.
        k: at least 1, and at most n where there is no mask. A list with fewer values that are not
            masked has all of them chosen.
        mask: as in :func:`shuffle_to_learn.ranking.rank`; what is masked is not chosen.
        descending: the k smallest.
        axis: along which values are compared.

    Returns:
        Boolean, shape (..., n), with k True along the axis.

    Raises:
        TypeError: where values are neither floating nor integer, or k is no integer.
        ValueError: as rank, and where k is below 1, or above n without a mask.
    """
    ranks = rank(values, mask=mask, descending=descending, axis=axis)
    n = ranks.shape[axis]
    if index(k) < 1 or (mask is None and k > n):
        raise ValueError(f"k must be from 1 to the number of values, {n}, not {k}")
    if mask is None:
        return ranks > n - k
    return ranks > tf.maximum(tf.reduce_max(ranks, axis=axis, keepdims=True) - k, 0)


@takes_lists("number")
def soft_quantile(
    values: tf.Tensor,
    q: float | tf.Tensor,
    epsilon: Epsilon = 1.0,
    *,
    mask: tf.Tensor | None = None,
    axis: int = -1,
) -> tf.Tensor:
    """Quantiles of softly sorted values, linear between neighbours.

    Args:
        values: floating, shape (..., n), n >= 1 and known when the graph is built; or a
            RaggedTensor.
        q: in [0, 1], of any shape: 0 for the least value, 0.5 for the median.
        epsilon: regularisation strength of :func:`soft_sort`, >= 0.
        mask: as in soft_sort.
        axis: of the values.

    Returns:
        The dtype of values, shape (...) and the axes of q; NaN where values are not finite, 0 for a
        list without values.

    Raises:
        TypeError: where values are not floating.
        ValueError: as soft_sort, and where q is known and not in [0, 1].

    Source: Cuturi et al. 2019, section 3, with soft_sort in place of optimal transport; the rule
    between neighbours is number 7 of Hyndman & Fan 1996, as in NumPy.
    """
    values = to_last(as_floating(values), axis)
    mask = as_mask(to_last(mask, axis), values)
    ordered = soft_sort(tf.cast(values, tf.float64), epsilon, mask=mask)
    q = tf.convert_to_tensor(q, tf.float64) if not tf.is_tensor(q) else tf.cast(q, tf.float64)
    known = tf.get_static_value(q)
    if known is not None and not ((known >= 0) & (known <= 1)).all():
        raise ValueError(f"q must be in [0, 1], not {known}")
    n = values.shape[-1]
    last = tf.constant(n - 1.0, tf.float64)
    if mask is not None:
        last = count(mask, tf.float64) - 1
    wanted = tf.reshape(q, [-1, 1]) * last[..., None]  # places from 0
    weight = tf.nn.relu(1 - tf.abs(wanted - tf.range(n, dtype=tf.float64)))
    result = tf.reduce_sum(weight * ordered[..., None, :], axis=-1)
    shape = tf.concat([tf.shape(values)[:-1], tf.shape(q)], axis=0)
    result = tf.reshape(tf.cast(result, values.dtype), shape)
    return tf.ensure_shape(result, values.shape[:-1].concatenate(q.shape))


def quantile(
    values: tf.Tensor,
    q: float | tf.Tensor,
    *,
    mask: tf.Tensor | None = None,
    axis: int = -1,
) -> tf.Tensor:
    """Quantiles, linear between neighbours, with their gradient: :func:`soft_quantile` at 0.

    Args:
        values, q, mask, axis: as in soft_quantile.

    Returns:
        As soft_quantile.

    Raises:
        TypeError, ValueError: as soft_quantile.
    """
    return soft_quantile(values, q, 0.0, mask=mask, axis=axis)
