"""LapSum: soft ranks from the Laplace distribution."""

from __future__ import annotations

import tensorflow as tf

from shuffle_to_learn.ranking.checks import in_rows, positive
from shuffle_to_learn.ranking.perturbed import rank_by_chances


def lap_sum_rank(values: tf.Tensor, epsilon: float = 1.0) -> tf.Tensor:
    """Soft ranks: 1 + sum over j != i of F((values_i - values_j) / epsilon), F Laplace's.

    Args:
        values: floating, shape (..., n), n >= 1 and known when the graph is built.
        epsilon: scale of the Laplace distribution, > 0; towards 0 the result is
            :func:`shuffle_to_learn.ranking.rank`, towards infinity every rank is (n + 1) / 2.

    Returns:
        The same dtype (half types are computed in float32) and shape, each row in [1, n] with sum
        n (n + 1) / 2, in the order of the values. A row with a value that is not finite is NaN, its
        gradient 0. Memory is O(n) a row; all pairs take O(n^2) time.

    Raises:
        TypeError: where values are not floating.
        ValueError: where epsilon is not above 0, or n is 0 or unknown.

    Source: Struski et al. 2025, "LapSum: one method to differentiate them all" (arXiv 2503.06242).
    The published code (gmum/LapSum) counts from 0, and takes O(n log n) time forward and O(n^2)
    backward.
    """
    epsilon = positive(epsilon)

    def chance(difference: tf.Tensor) -> tf.Tensor:
        # By expm1, exact also where the difference is next to 0.
        return 0.5 - 0.5 * tf.sign(difference) * tf.math.expm1(-tf.abs(difference) / epsilon)

    def density(difference: tf.Tensor) -> tf.Tensor:
        return tf.exp(-tf.abs(difference) / epsilon) * (0.5 / epsilon)

    def expected(rows: tf.Tensor, n: int) -> tf.Tensor:
        return rank_by_chances(rows, chance, density)

    return in_rows(expected, values)
