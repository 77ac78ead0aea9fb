"""LapSum: soft ranks from the Laplace distribution."""

from __future__ import annotations

import tensorflow as tf

from shuffle_to_learn.ranking.checks import Epsilon, in_rows, takes_lists
from shuffle_to_learn.ranking.perturbed import EXPONENTIAL_REACH, rank_by_chances
from shuffle_to_learn.ranking.sorting import average_ranks


@takes_lists("values")
def lap_sum_rank(
    values: tf.Tensor,
    epsilon: Epsilon = 1.0,
    *,
    mask: tf.Tensor | None = None,
    descending: bool = False,
    axis: int = -1,
) -> tf.Tensor:
    """Soft ranks: 1 + sum over j != i of F((values_i - values_j) / epsilon), F Laplace's.

    Args:
        values: floating, shape (..., n), n >= 1 and known when the graph is built; or a
            RaggedTensor.
        epsilon: scale of the Laplace distribution, >= 0, as in
            :func:`shuffle_to_learn.ranking.soft_rank`.
        mask, descending, axis: as in soft_rank.

    Returns:
        The same dtype (half types are computed in float32) and shape, each row in [1, n] with sum
        n (n + 1) / 2, in the order of the values. A row with a value that is not finite is NaN, its
        gradient 0. Memory is O(n) a row; time as of exact
        :func:`shuffle_to_learn.ranking.perturbed_rank` under Gumbel noise.

    Raises:
        TypeError: where values are not floating.
        ValueError: as soft_rank.

    Source: Struski et al. 2025, "LapSum: one method to differentiate them all" (arXiv 2503.06242).
    The published code (gmum/LapSum) counts from 0, and takes O(n log n) time forward and O(n^2)
    backward.
    """

    def expected(rows: tf.Tensor, epsilon: float, mask: tf.Tensor | None) -> tf.Tensor:
        def chance(difference: tf.Tensor) -> tf.Tensor:
            # By expm1, exact also where the difference is next to 0.
            return 0.5 - 0.5 * tf.sign(difference) * tf.math.expm1(-tf.abs(difference) / epsilon)

        def density(difference: tf.Tensor) -> tf.Tensor:
            return tf.exp(-tf.abs(difference) / epsilon) * (0.5 / epsilon)

        return rank_by_chances(rows, chance, density, EXPONENTIAL_REACH * epsilon, mask)

    return in_rows(
        expected,
        values,
        epsilon,
        hard=average_ranks,
        mask=mask,
        descending=descending,
        axis=axis,
    )
