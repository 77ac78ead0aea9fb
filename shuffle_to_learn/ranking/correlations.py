"""Rank correlations: as metrics, and soft or expected ones as losses."""

from __future__ import annotations

import math
from collections.abc import Callable

import tensorflow as tf

from shuffle_to_learn.ranking.checks import (
    Epsilon,
    as_rows,
    kept,
    mean,
    takes_lists,
)
from shuffle_to_learn.ranking.perturbed import normal_density, over_pairs
from shuffle_to_learn.ranking.projection import soft_rank
from shuffle_to_learn.ranking.scores import compared, matched, of_scores
from shuffle_to_learn.ranking.sorting import rank


@takes_lists("number")
def spearman_rho(
    ranks: tf.Tensor, predicted: tf.Tensor, *, mask: tf.Tensor | None = None, axis: int = -1
) -> tf.Tensor:
    """Spearman's rank correlation: Pearson's correlation of the ranks, equal ones averaged.

    Args:
        ranks: true ranks, or any values in their order, shape (..., n).
        predicted: predicted ranks, or scores, the same shape. Both may be RaggedTensors.
        mask, axis: as in :func:`shuffle_to_learn.ranking.fast_soft_ranking`.

    Returns:
        float32 or float64 (where predicted is), shape (...), in [-1, 1]; by chance 0. 0 where all
        values of a side are equal.

    Raises:
        ValueError: where the shapes differ, or n is 0 or unknown.

    Source: Spearman 1904, "The proof and measurement of association between two things".
    """
    *pair, mask = compared(ranks, predicted, mask, axis)
    true, guess = (rank(x, ties="average", mask=mask) for x in pair)
    return _correlation(tf.cast(true, guess.dtype), guess, mask)


@takes_lists("number")
def soft_spearman(
    ranks: tf.Tensor,
    scores: tf.Tensor,
    epsilon: Epsilon = 1.0,
    *,
    regularization: str = "l2",
    mask: tf.Tensor | None = None,
    axis: int = -1,
) -> tf.Tensor:
    """1 less Pearson's correlation of the true ranks, equal ones averaged, and soft ranks.

    Args:
        ranks: true ranks, or any values in their order, shape (..., n).
        scores: floating, shape (..., n). Both may be RaggedTensors.
        epsilon, regularization: of :func:`shuffle_to_learn.ranking.soft_rank`. At epsilon 0 the
            loss is 1 - :func:`spearman_rho`, and its gradient 0.
        mask, axis: as in :func:`shuffle_to_learn.ranking.fast_soft_ranking`.

    Returns:
        float32 or float64, shape (...), in [0, 2]; NaN where scores are not finite. 1, without a
        gradient, where all values of a side are equal.

    Raises:
        TypeError, ValueError: as soft_rank, and where the shapes differ.

    Source: Blondel et al. 2020, section 6 (there for label ranking).
    """
    ranks, scores, mask = matched(ranks, scores, mask, axis, "average")
    soft = soft_rank(scores, epsilon, regularization=regularization, mask=mask)
    return 1 - _correlation(ranks, soft, mask)


def _correlation(x: tf.Tensor, y: tf.Tensor, mask: tf.Tensor | None) -> tf.Tensor:
    """Pearson's correlation over the last axis; 0 where a side does not vary."""
    x, y = (kept(part - mean(part, mask), mask) for part in (x, y))
    product, *squares = (tf.reduce_sum(a * b, axis=-1) for a, b in ((x, y), (x, x), (y, y)))
    size = squares[0] * squares[1]
    # Averaged ranks are multiples of a half, and so are the means of several.
    varies = size > 1e-12
    result = product * tf.math.rsqrt(tf.where(varies, size, 1))
    return tf.where(tf.math.is_nan(size), size, tf.where(varies, result, 0))


@takes_lists("number")
def kendall_tau(
    ranks: tf.Tensor, predicted: tf.Tensor, *, mask: tf.Tensor | None = None, axis: int = -1
) -> tf.Tensor:
    """Kendall's rank correlation: the share of pairs in the right order less that of the others.

    Args:
        ranks: true ranks, or any values in their order, shape (..., n).
        predicted: predicted ranks, or scores, the same shape. Both may be RaggedTensors.
        mask, axis: as in :func:`shuffle_to_learn.ranking.fast_soft_ranking`.

    Returns:
        float32, shape (...), in [-1, 1]; by chance 0. Pairs that are equal on one side count for
        nothing, and the shares are of the geometric mean of the numbers of pairs that are not equal
        (tau-b). 0 for a list without a pair that is not equal.

    Raises:
        ValueError: where the shapes differ, or n is 0 or unknown.

    Source: Kendall 1938, "A new measure of rank correlation"; 1945, "The treatment of ties in
    ranking problems".
    """
    *pair, mask = compared(ranks, predicted, mask, axis)
    true, guess = (
        tf.cast(x[..., :, None] > x[..., None, :], tf.int32)
        - tf.cast(x[..., :, None] < x[..., None, :], tf.int32)
        for x in pair
    )
    if mask is not None:
        both = mask[..., :, None] & mask[..., None, :]
        true, guess = kept(true, both), kept(guess, both)
    agreement, untied, other = (
        tf.reduce_sum(x * y, axis=[-2, -1])
        for x, y in ((true, guess), (true, true), (guess, guess))
    )
    pairs = max(pair[0].shape[-1] * (pair[0].shape[-1] - 1), 1)
    untied_mean = tf.sqrt(tf.cast(untied, tf.float64) * tf.cast(other, tf.float64))
    share = tf.cast(tf.math.divide_no_nan(tf.constant(pairs, tf.float64), untied_mean), tf.float32)
    return tf.cast(agreement, tf.float32) / pairs * share  # exactly 1 where nothing is equal


@takes_lists("number")
def expected_kendall(
    ranks: tf.Tensor,
    scores: tf.Tensor,
    epsilon: Epsilon = 1.0,
    *,
    mask: tf.Tensor | None = None,
    axis: int = -1,
) -> tf.Tensor:
    """1 less the expectation of Kendall's tau where scores have normal noise, in closed form.

    A pair is in its true order with the chance Phi(d / (epsilon sqrt 2)), where d is the score of
    the value with the higher rank less that of the other.

    Args:
        ranks: true ranks, or any values in their order, shape (..., n).
        scores: floating, shape (..., n). Both may be RaggedTensors.
        epsilon: standard deviation of the noise, >= 0: a number or a tensor, one value for all or
            one for each list. At 0 the loss is 1 - :func:`kendall_tau`, and its gradient 0.
        mask, axis: as in :func:`shuffle_to_learn.ranking.fast_soft_ranking`.

    Returns:
        float32 or float64, shape (...), in [0, 2]; NaN where scores are not finite, 1 for a list
        without a pair of different ranks. Pairs with equal ranks count as in kendall_tau. Memory is
        O(n) a list; all pairs take O(n^2) time.

    Raises:
        TypeError: where scores are not floating.
        ValueError: where epsilon is below 0, n is 0 or unknown, the shapes differ, or epsilon, the
            mask or the axis is not one for the scores.
    """
    ranks, scores, mask = matched(ranks, scores, mask, axis, None)
    _, n = as_rows(scores)

    def loss(
        ranks: tf.Tensor, scores: tf.Tensor, epsilon: float, mask: tf.Tensor | None
    ) -> tf.Tensor:
        # No comparison with NaN holds: a pair with a masked value is in no sum.
        true = tf.reshape(ranks if mask is None else tf.where(mask, ranks, math.nan), [-1, n])

        def order(difference: tf.Tensor) -> tf.Tensor:
            below = tf.where(difference < 0, tf.constant(-1, difference.dtype), 0)
            return tf.where(difference > 0, tf.constant(1, difference.dtype), below)

        @tf.custom_gradient
        def agreement(rows: tf.Tensor) -> tuple[tf.Tensor, Callable[[tf.Tensor], tf.Tensor]]:
            def vjp(upstream: tf.Tensor) -> tf.Tensor:
                def slope(true: tf.Tensor, difference: tf.Tensor) -> tf.Tensor:
                    deviation = epsilon * math.sqrt(2.0)
                    return order(true) * normal_density(difference / deviation) * 4 / deviation

                return upstream[:, None] * over_pairs(slope, true, rows)

            def sign(true: tf.Tensor, difference: tf.Tensor) -> tf.Tensor:
                return order(true) * tf.math.erf(difference / (2 * epsilon))  # 2 Phi - 1

            return tf.reduce_sum(over_pairs(sign, true, tf.stop_gradient(rows)), axis=-1), vjp

        untied = tf.reduce_sum(over_pairs(lambda d: tf.square(order(d)), true), axis=-1)
        size = tf.cast(n, scores.dtype)
        if mask is not None:
            size = tf.reduce_sum(tf.cast(tf.reshape(mask, [-1, n]), scores.dtype), axis=-1)
        pairs = tf.sqrt(untied * size * (size - 1))
        total = agreement(tf.reshape(scores, [-1, n]))
        tau = tf.where(pairs > 0, total / tf.where(pairs > 0, pairs, 1), 0)
        return tf.reshape(1 - tau, tf.shape(scores)[:-1])

    def hard(ranks: tf.Tensor, scores: tf.Tensor, mask: tf.Tensor | None) -> tf.Tensor:
        tau = tf.cast(kendall_tau(ranks, scores, mask=mask), scores.dtype)
        return 1 - tau + 0 * tf.reduce_sum(scores, axis=-1)  # a gradient of 0, not None

    return of_scores(loss, ranks, scores, epsilon, mask, hard=hard, degree=0)
