"""Losses between scores and ranks 1..n; each returns one value an example."""

from __future__ import annotations

import tensorflow as tf

from shuffle_to_learn import ranking


def fast_soft_ranking(ranks: tf.Tensor, scores: tf.Tensor, epsilon: float = 1.0) -> tf.Tensor:
    """Half the squared distance between the soft ranks of the scores and the true ranks.

    Args:
        ranks: true ranks 1..n, shape (..., n).
        scores: float, shape (..., n).
        epsilon: regularisation strength of :func:`shuffle_to_learn.ranking.soft_rank`.

    Returns:
        float, shape (...), at least 0.

    Source: Shuffle to Learn, section 2.3; Blondel et al. 2020.
    """
    error = ranking.soft_rank(scores, epsilon) - tf.cast(ranks, scores.dtype)
    return 0.5 * tf.reduce_sum(tf.square(error), axis=-1)


def perturbed_fenchel_young(
    ranks: tf.Tensor,
    scores: tf.Tensor,
    epsilon: float = 0.1,
    num_samples: int = 10,
    seed: tf.Tensor | tuple[int, int] | None = None,
) -> tf.Tensor:
    """The Fenchel-Young loss of Gaussian-perturbed ranking.

    Its value is mean over the draws of max over permutations y of <scores + epsilon Z, y>, less
    <scores, ranks>; its gradient is the perturbed rank less the true one. (With the draws of one
    call the value can fall below 0 by the mean of epsilon <Z, ranks>, whose expectation is 0.)

    Args:
        ranks: true ranks 1..n, shape (..., n).
        scores: float, shape (..., n).
        epsilon: standard deviation of the noise, > 0.
        num_samples: number of draws.
        seed: a stateless seed of two integers; None draws a fresh one.

    Returns:
        float, shape (...).

    Source: Berthet et al. 2020, section 4; Shuffle to Learn, section 2.3.
    """
    noisy = ranking.perturb(scores, epsilon, num_samples, seed)
    weights = tf.cast(tf.range(1, tf.shape(scores)[-1] + 1), scores.dtype)
    largest = tf.reduce_sum(tf.sort(noisy, axis=-1) * weights, axis=-1)
    target = tf.reduce_sum(scores * tf.cast(ranks, scores.dtype), axis=-1)
    return tf.reduce_mean(largest, axis=0) - target


def rank_mean_squared_error(ranks: tf.Tensor, scores: tf.Tensor) -> tf.Tensor:
    """Mean squared error of the scores taken as ranks.

    Args:
        ranks: true ranks 1..n, shape (..., n).
        scores: float, shape (..., n).

    Returns:
        float, shape (...), at least 0.

    Source: Shuffle to Learn, section 3.
    """
    return tf.reduce_mean(tf.square(scores - tf.cast(ranks, scores.dtype)), axis=-1)


def partial_ranks(ranks: tf.Tensor, predicted: tf.Tensor) -> tf.Tensor:
    """The share of patches whose predicted rank is right; by chance 1/n.

    Args:
        ranks: true ranks 1..n, shape (..., n).
        predicted: predicted ranks, the same shape.

    Returns:
        float32, shape (...), in [0, 1].

    Source: Shuffle to Learn, section 4 ("partial ranks").
    """
    right = tf.equal(tf.cast(ranks, tf.int32), tf.cast(predicted, tf.int32))
    return tf.reduce_mean(tf.cast(right, tf.float32), axis=-1)
