"""Sinkhorn ranking: ranks by entropic optimal transport."""

from __future__ import annotations

import functools

import tensorflow as tf

from shuffle_to_learn.ranking.checks import UNREACHED, Epsilon, count, in_rows, mean, takes_lists
from shuffle_to_learn.ranking.sorting import average_ranks, hard_permutation


@takes_lists("matrix")
def soft_permutation(
    values: tf.Tensor,
    epsilon: Epsilon = 1.0,
    iterations: int = 20,
    *,
    mask: tf.Tensor | None = None,
    descending: bool = False,
    axis: int = -1,
) -> tf.Tensor:
    """The Sinkhorn operator on values_i target_j / epsilon, targets 1..n.

    Args:
        values: floating, shape (..., n), n >= 1 and known when the graph is built; or a
            RaggedTensor.
        epsilon: entropic regularisation >= 0, as in :func:`shuffle_to_learn.ranking.soft_rank`;
            towards 0 the fixed point is the permutation matrix of the ranks, which is the result at
            0 (values that are equal share their ranks), towards infinity every entry is 1/n.
        iterations: how often the columns and then the rows are normalised, at least 1. The number
            needed grows with the spread of the values over epsilon.
        mask, descending: as in soft_rank. The row of what is masked is 0.
        axis: of the values; the matrices are the last two axes of the result.

    Returns:
        The same dtype (half types are computed in float32), shape (..., n, n): row i is the
        distribution of value i over the ranks 1..n. Rows sum to 1, columns only at the fixed point.
        A row of values with one that is not finite has NaN alone, its gradient 0.

    Raises:
        TypeError: where values are not floating.
        ValueError: as soft_rank, and where iterations is below 1.

    Source: Mena et al. 2018, "Learning latent permutations with Gumbel-Sinkhorn networks"
    (arXiv 1802.08665), section 2. The fixed point is the same with squared costs
    (values_i - target_j)^2 / 2 in place of the products: the transport plan of Cuturi et al. 2019.
    """
    return in_rows(
        functools.partial(_plan, iterations=_at_least_1(iterations)),
        values,
        epsilon,
        hard=hard_permutation,
        mask=mask,
        descending=descending,
        axis=axis,
    )


@takes_lists("values")
def sinkhorn_rank(
    values: tf.Tensor,
    epsilon: Epsilon = 1.0,
    iterations: int = 20,
    *,
    mask: tf.Tensor | None = None,
    descending: bool = False,
    axis: int = -1,
) -> tf.Tensor:
    """Soft ranks: the mean of 1..n under each row of :func:`soft_permutation`.

    Args:
        values: floating, shape (..., n), n >= 1 and known when the graph is built; or a
            RaggedTensor.
        epsilon: entropic regularisation >= 0, as in :func:`shuffle_to_learn.ranking.soft_rank`;
            towards 0 the fixed point is that limit, towards infinity every rank is (n + 1) / 2.
        iterations: see :func:`soft_permutation`.
        mask, descending, axis: as in soft_rank.

    Returns:
        The same dtype (half types are computed in float32) and shape, in [1, n], in the order of
        the values; differentiable. A row with a value that is not finite is NaN, its gradient 0.

    Raises:
        TypeError, ValueError: as soft_permutation.

    Source: Cuturi et al. 2019, "Differentiable ranks and sorting using optimal transport"
    (arXiv 1905.11885), section 3 (Sinkhorn ranking), for n targets.
    """
    iterations = _at_least_1(iterations)

    def mean_rank(rows: tf.Tensor, epsilon: float, mask: tf.Tensor | None) -> tf.Tensor:
        p = _plan(rows, epsilon, mask, iterations)
        return tf.linalg.matvec(p, tf.cast(tf.range(1, tf.shape(p)[-1] + 1), p.dtype))

    return in_rows(
        mean_rank,
        values,
        epsilon,
        hard=average_ranks,
        mask=mask,
        descending=descending,
        axis=axis,
    )


def _at_least_1(iterations: int) -> int:
    if iterations < 1:
        raise ValueError(f"iterations must be at least 1, not {iterations}")
    return iterations


def _plan(rows: tf.Tensor, epsilon: float, mask: tf.Tensor | None, iterations: int) -> tf.Tensor:
    """The matrix of each row, shape (batch, n, n)."""
    n = tf.shape(rows)[-1]
    size = n if mask is None else count(mask, tf.int32)
    # Values and targets are centred: an offset of the values goes before it costs precision, and
    # negated values have reversed ranks after any number of iterations.
    rows -= mean(rows, mask)
    targets = tf.cast(tf.range(1, n + 1), rows.dtype) - tf.cast(size + 1, rows.dtype) / 2
    # The first matrix has a row for each rank and a column for each value. The softmax normalises
    # the last axis: over the values in the first iteration, over the ranks in the last.
    log_p = targets[..., :, None] * rows[:, None, :] / epsilon
    if mask is not None:
        there = (tf.range(n) < size)[:, :, None] & mask[:, None, :]
    for _ in range(2 * iterations):
        if mask is not None:
            log_p = tf.where(there, log_p, UNREACHED)
            there = tf.linalg.matrix_transpose(there)
        log_p = tf.linalg.matrix_transpose(tf.nn.log_softmax(log_p))
    return tf.linalg.matrix_transpose(tf.exp(log_p))
