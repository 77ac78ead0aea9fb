"""Sinkhorn ranking: ranks by entropic optimal transport."""

from __future__ import annotations

import tensorflow as tf


def soft_permutation(values: tf.Tensor, epsilon: float = 1.0, iterations: int = 20) -> tf.Tensor:
    """The Sinkhorn operator on values_i target_j / epsilon, targets 1..n.

    Args:
        values: float32 or float64, shape (..., n).
        epsilon: entropic regularisation > 0; towards 0 the fixed point is the permutation matrix of
            the ranks, towards infinity every entry is 1/n.
        iterations: how often the columns and then the rows are normalised, at least 1. The number
            needed grows with the spread of the values over epsilon.

    Returns:
        The same dtype, shape (..., n, n): row i is the distribution of value i over the ranks
        1..n. Rows sum to 1, columns only at the fixed point.

    Raises:
        ValueError: where epsilon is not above 0 or iterations is below 1.

    Source: Mena et al. 2018, "Learning latent permutations with Gumbel-Sinkhorn networks"
    (arXiv 1802.08665), section 2. The fixed point is the same with squared costs
    (values_i - target_j)^2 / 2 in place of the products: the transport plan of Cuturi et al. 2019.
    """
    if not epsilon > 0:
        raise ValueError(f"epsilon must be above 0, not {epsilon}")
    if iterations < 1:
        raise ValueError(f"iterations must be at least 1, not {iterations}")
    values = tf.convert_to_tensor(values)
    n = tf.shape(values)[-1]
    # Values and targets are centred: an offset of the values goes before it costs precision, and
    # negated values have reversed ranks after any number of iterations.
    values -= tf.reduce_mean(values, axis=-1, keepdims=True)
    targets = tf.cast(tf.range(1, n + 1), values.dtype) - tf.cast(n + 1, values.dtype) / 2
    # The first matrix has a row for each rank and a column for each value. The softmax normalises
    # the last axis: over the values in the first iteration, over the ranks in the last.
    log_p = targets[:, None] * values[..., None, :] / epsilon
    for _ in range(2 * iterations):
        log_p = tf.linalg.matrix_transpose(tf.nn.log_softmax(log_p))
    return tf.linalg.matrix_transpose(tf.exp(log_p))


def sinkhorn_rank(values: tf.Tensor, epsilon: float = 1.0, iterations: int = 20) -> tf.Tensor:
    """Soft ranks: the mean of 1..n under each row of :func:`soft_permutation`.

    Args:
        values: float32 or float64, shape (..., n).
        epsilon: entropic regularisation > 0; towards 0 the fixed point is
            :func:`shuffle_to_learn.ranking.rank`, towards infinity every rank is (n + 1) / 2.
        iterations: see :func:`soft_permutation`.

    Returns:
        The same dtype and shape, in [1, n], in the order of the values; differentiable.

    Raises:
        ValueError: where epsilon is not above 0 or iterations is below 1.

    Source: Cuturi et al. 2019, "Differentiable ranks and sorting using optimal transport"
    (arXiv 1905.11885), section 3 (Sinkhorn ranking), for n targets.
    """
    p = soft_permutation(values, epsilon, iterations)
    return tf.linalg.matvec(p, tf.cast(tf.range(1, tf.shape(p)[-1] + 1), p.dtype))
