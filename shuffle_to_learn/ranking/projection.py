"""Soft ranks: the projection of scaled values onto the permutahedron."""

from __future__ import annotations

import math
from collections.abc import Callable

import tensorflow as tf

from shuffle_to_learn.ranking.blocks import (
    block_logsumexp,
    block_most,
    block_sum,
    bounded_falls,
    falling,
    pooled,
)
from shuffle_to_learn.ranking.checks import Epsilon, in_rows, set_apart, takes_lists
from shuffle_to_learn.ranking.isotonic import fit
from shuffle_to_learn.ranking.sorting import average_ranks


@takes_lists("values")
def soft_rank(
    values: tf.Tensor,
    epsilon: Epsilon = 1.0,
    *,
    regularization: str = "l2",
    mask: tf.Tensor | None = None,
    descending: bool = False,
    axis: int = -1,
) -> tf.Tensor:
    """Soft ranks: the projection of ``values / epsilon`` onto the permutahedron of (1..n).

    Args:
        values: floating, shape (..., n), n >= 1 and known when the graph is built; or a
            RaggedTensor.
        epsilon: regularisation strength, >= 0: a number, or a tensor that is broadcast to the shape
            of values without the last axis, and has a gradient. At 0 the result is :func:`rank`
            with averaged ties, its gradient 0; towards infinity every rank is (n + 1) / 2.
        regularization: ``"l2"``, or ``"kl"`` for the point of the permutahedron that is the nearest
            to ``exp(values / epsilon)`` in Kullback-Leibler divergence.
        mask: boolean, broadcast to the shape of values: False for what is no value of the list. It
            has rank 0 and no gradient, and the others have the ranks of the list without it.
        descending: the largest value has rank 1.
        axis: along which values are ranked.

    Returns:
        The same dtype (half types are computed in float32) and shape; exact up to rounding, each
        row in [1, n] with sum n (n + 1) / 2. A row with a value that is not finite is NaN, its
        gradient 0. The gradient is the closed-form vector-Jacobian product: the upstream gradient
        less its mean over each block of the isotonic regression, over epsilon. It is piecewise
        constant in the values. For large n the sort takes O(n log n) time, and so does the isotonic
        regression, but O(n log^2 n) under XLA; memory is O(n). Under ``"kl"``, soft ranks
        are smooth within a block: each is its share of the sum of the block's ranks, by
        ``softmax(values / epsilon)``, for values of any size.

    Raises:
        TypeError: where values are not floating.
        ValueError: where epsilon is below 0, n is 0 or unknown, regularization is none of these, or
            epsilon, the mask or the axis is not one for the values.

    Source: Blondel et al. 2020, "Fast differentiable sorting and ranking", sections 4 and 5
    (quadratic and entropic regularisation, ascending; the latter is exp(P_E(values / epsilon,
    log w)), as in the authors' code).
    """
    return in_rows(
        _project if known_regularization(regularization) == "l2" else _project_by_entropy,
        values,
        epsilon,
        hard=average_ranks,
        mask=mask,
        descending=descending,
        axis=axis,
    )


def known_regularization(name: str) -> str:
    """The name of a regularisation; ValueError where there is none of that name."""
    if name not in ("l2", "kl"):
        raise ValueError(f"regularization must be 'l2' or 'kl', not {name!r}")
    return name


def _project(rows: tf.Tensor, epsilon: float, mask: tf.Tensor | None) -> tf.Tensor:
    """The projection of rows / epsilon onto the permutahedron, shape (batch, n)."""

    @tf.custom_gradient
    def project(rows: tf.Tensor) -> tuple[tf.Tensor, Callable[[tf.Tensor], tf.Tensor]]:
        # The vector-Jacobian product needs the blocks alone. Without stop_gradient an eager tape
        # would keep every step of the fit.
        result, block_mean = fit(tf.stop_gradient(rows), epsilon)

        def vjp(upstream: tf.Tensor) -> tf.Tensor:
            return (upstream - block_mean(upstream)) / epsilon

        return result, vjp

    return project(set_apart(rows, mask))


def _project_by_entropy(rows: tf.Tensor, epsilon: float, mask: tf.Tensor | None) -> tf.Tensor:
    """The point of the permutahedron nearest to exp(rows / epsilon) in KL, shape (batch, n)."""
    n = rows.shape[-1]
    ordered, size, place = falling(tf.cast(rows, tf.float64) / epsilon, mask)
    ranks = tf.cast(n if size is None else size, tf.float64) - tf.range(n, dtype=tf.float64)
    ranks = tf.zeros_like(ordered) + tf.maximum(ranks, 1)
    # Neighbours more than log n apart are in different blocks; how far does not matter.
    bounded = bounded_falls(ordered, math.log(n) + 1)

    def level(block: tf.Tensor) -> tf.Tensor:
        return block_logsumexp(bounded, block) - tf.math.log(block_sum(ranks, block))

    block = pooled(level, ordered, size)
    share = tf.exp(ordered - block_most(ordered, block))
    result = share / block_sum(share, block) * block_sum(ranks, block)
    return tf.gather(result, place, batch_dims=1)
