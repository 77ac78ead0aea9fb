"""Losses of scores against ranks 1..n: functions with one value an example, and Keras losses.

Half types are computed in float32, and so are their losses.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from shuffle_to_learn.ranking.checks import (
    as_floating,
    as_rows,
    at_least_one,
    in_rows,
    permutation_set,
    positive,
    widened,
)
from shuffle_to_learn.ranking.perturbed import (
    normal_cdf,
    normal_density,
    over_pairs,
    perturb,
    perturbed_rank,
    rank_by_chances,
)
from shuffle_to_learn.ranking.projection import soft_rank
from shuffle_to_learn.ranking.sorting import rank


def fast_soft_ranking(ranks: tf.Tensor, scores: tf.Tensor, epsilon: float = 1.0) -> tf.Tensor:
    """Half the squared distance between the soft ranks of the scores and the true ranks.

    Args:
        ranks: true ranks 1..n, shape (..., n).
        scores: floating, shape (..., n).
        epsilon: regularisation strength of :func:`shuffle_to_learn.ranking.soft_rank`.

    Returns:
        float32 or float64, shape (...), at least 0; NaN where scores are not finite.

    Raises:
        TypeError, ValueError: as soft_rank, and where the shapes differ.

    Source: Shuffle to Learn, section 2.3; Blondel et al. 2020.
    """
    ranks, scores = _matched(ranks, scores)
    error = soft_rank(scores, epsilon) - ranks
    return 0.5 * tf.reduce_sum(tf.square(error), axis=-1)


def perturbed_fenchel_young(
    ranks: tf.Tensor,
    scores: tf.Tensor,
    epsilon: float = 0.1,
    num_samples: int | None = 10,
    seed: tf.Tensor | tuple[int, int] | None = None,
) -> tf.Tensor:
    """The Fenchel-Young loss of Gaussian-perturbed ranking.

    Its value is the mean, over the draws of Z, of the maximum of <s + epsilon Z, y - ranks> over
    all permutations y. It is 0 only where every draw is ranked right. Its gradient is the perturbed
    rank of the same draws less the true rank. With num_samples None the loss is the expectation in
    closed form: the sum of E[(s_i - s_j + epsilon (Z_i - Z_j))^+] over the pairs with
    ranks_i < ranks_j.

    Args:
        ranks: true ranks, a permutation of 1..n, shape (..., n).
        scores: floating, shape (..., n).
        epsilon: standard deviation of the noise, > 0.
        num_samples: number of draws; None for the expectation.
        seed: a stateless seed of two integers; None draws a fresh one.

    Returns:
        float32 or float64, shape (...), at least 0; NaN where scores are not finite.

    Raises:
        TypeError, ValueError: as perturbed_rank, and where the shapes differ.

    Source: Berthet et al. 2020, section 4; Shuffle to Learn, section 2.3. (There the ranks are
    multiplied by s alone, not by s + epsilon Z. That value is equal in expectation, but can fall
    below 0.)
    """
    epsilon = positive(epsilon)
    ranks, scores = _matched(ranks, scores)
    # The standard deviation of the noise in a difference of two scores.
    deviation = epsilon * math.sqrt(2.0)

    def hinge(difference: tf.Tensor) -> tf.Tensor:
        z = difference / deviation
        return deviation * (z * normal_cdf(z) + normal_density(z))  # E[(z + Z)^+]

    def loss(scores: tf.Tensor) -> tf.Tensor:
        if num_samples is None:
            return _over_misplaced(ranks, scores, hinge, lambda s: perturbed_rank(s, epsilon, None))
        # Scores are centred, since rounding far from 0 would take the noise away.
        centred = scores - tf.stop_gradient(tf.reduce_mean(scores, axis=-1, keepdims=True))
        noisy = perturb(centred, epsilon, num_samples, seed)
        error = tf.cast(rank(noisy), scores.dtype) - ranks
        return tf.reduce_mean(tf.reduce_sum(noisy * error, axis=-1), axis=0)

    return _where_finite(loss, scores)


def rank_net(ranks: tf.Tensor, scores: tf.Tensor, epsilon: float = 1.0) -> tf.Tensor:
    """RankNet: the logistic loss of each pair, summed over the pairs, times epsilon.

    Its value is the sum of epsilon log(1 + exp((s_i - s_j) / epsilon)) over the pairs with
    ranks_i < ranks_j. Its gradient is a soft rank, 1 plus the logistic function of
    (s_i - s_j) / epsilon summed over j != i, less the true rank. So it is the Fenchel-Young loss of
    ranking under Gumbel noise, as the exact :func:`perturbed_fenchel_young` is under normal noise:
    the difference of two Gumbel variables is logistic.

    Args:
        ranks: true ranks, a permutation of 1..n, shape (..., n).
        scores: floating, shape (..., n).
        epsilon: scale of the logistic function, > 0.

    Returns:
        float32 or float64, shape (...), at least 0; NaN where scores are not finite.

    Raises:
        TypeError: where scores are not floating.
        ValueError: where epsilon is not above 0, n is 0 or unknown, or the shapes differ.

    Source: Burges et al. 2005, "Learning to rank using gradient descent" (there epsilon is 1,
    and the chance that a pair is in its true order can be below 1: here it is 1).
    """
    epsilon = positive(epsilon)
    ranks, scores = _matched(ranks, scores)

    def soft_ranks(scores: tf.Tensor) -> tf.Tensor:
        def chance(difference: tf.Tensor) -> tf.Tensor:
            return tf.sigmoid(difference / epsilon)

        def density(difference: tf.Tensor) -> tf.Tensor:
            return chance(difference) * chance(-difference) / epsilon

        return in_rows(lambda rows, n: rank_by_chances(rows, chance, density), scores)

    def loss(scores: tf.Tensor) -> tf.Tensor:
        return _over_misplaced(
            ranks, scores, lambda d: epsilon * tf.nn.softplus(d / epsilon), soft_ranks
        )

    return _where_finite(loss, scores)


def list_mle(ranks: tf.Tensor, scores: tf.Tensor, epsilon: float = 1.0) -> tf.Tensor:
    """ListMLE: minus the log-likelihood of the true order under the Plackett-Luce model.

    The model draws rank n first, with probabilities softmax(scores / epsilon), then rank n - 1
    among what is left, and so on. It is the distribution of the ranks of scores with Gumbel noise
    of scale epsilon.

    Args:
        ranks: true ranks, a permutation of 1..n, shape (..., n).
        scores: floating, shape (..., n).
        epsilon: unit of the scores, > 0.

    Returns:
        float32 or float64, shape (...), at least 0; NaN where scores are not finite.

    Raises:
        TypeError: where scores are not floating.
        ValueError: where epsilon is not above 0, n is 0 or unknown, or the shapes differ.

    Source: Xia et al. 2008, "Listwise approach to learning to rank: theory and algorithm"
    (there epsilon is 1).
    """
    epsilon = positive(epsilon)
    ranks, scores = _matched(ranks, scores)
    as_rows(scores)

    def loss(scores: tf.Tensor) -> tf.Tensor:
        place = tf.argsort(ranks, axis=-1)
        ordered = tf.gather(scores, place, axis=-1, batch_dims=scores.shape.rank - 1) / epsilon
        # The chance of each rank among itself and all lower ranks.
        return tf.reduce_sum(tf.math.cumulative_logsumexp(ordered, axis=-1) - ordered, axis=-1)

    return _where_finite(loss, scores)


def rank_mean_squared_error(ranks: tf.Tensor, scores: tf.Tensor) -> tf.Tensor:
    """Mean squared error of the scores taken as ranks.

    Args:
        ranks: true ranks 1..n, shape (..., n).
        scores: floating, shape (..., n).

    Returns:
        float32 or float64, shape (...), at least 0.

    Raises:
        TypeError, ValueError: where scores are not floating or the shapes differ.

    Source: Shuffle to Learn, section 3.
    """
    ranks, scores = _matched(ranks, scores)
    return tf.reduce_mean(tf.square(scores - ranks), axis=-1)


def permutation_cross_entropy(
    ranks: tf.Tensor, logits: tf.Tensor, permutations: Sequence[Sequence[int]] | np.ndarray
) -> tf.Tensor:
    """Cross-entropy of classifying which of a fixed set of permutations was applied.

    Args:
        ranks: true ranks 1..n, one of the permutations, shape (..., n).
        logits: floating, shape (..., number of permutations).
        permutations: the set, each a permutation of 1..n.

    Returns:
        float32 or float64, shape (...), at least 0; NaN where the ranks are not in the set.

    Raises:
        TypeError, ValueError: where logits are not floating, or not one for each permutation.

    Source: Noroozi & Favaro 2016; Shuffle to Learn, section 3.
    """
    logits = widened(as_floating(logits, "scores"))
    classes = tf.constant(permutations, tf.int32)
    if classes.shape.rank != 2 or logits.shape[-1] != classes.shape[0]:
        raise ValueError(
            f"logits of shape {logits.shape} are not one for each of {len(permutations)} "
            "permutations"
        )
    applied = tf.reduce_all(tf.equal(_as_integers(ranks)[..., None, :], classes), axis=-1)
    entropy = -tf.reduce_sum(tf.where(applied, tf.nn.log_softmax(logits), 0), axis=-1)
    return tf.where(tf.reduce_any(applied, axis=-1), entropy, tf.constant(math.nan, logits.dtype))


def partial_ranks(ranks: tf.Tensor, predicted: tf.Tensor) -> tf.Tensor:
    """The share of patches whose predicted rank is right; by chance 1/n.

    Args:
        ranks: true ranks 1..n, shape (..., n).
        predicted: predicted ranks, the same shape.

    Returns:
        float32, shape (...), in [0, 1].

    Raises:
        ValueError: where the shapes differ.

    Source: Shuffle to Learn, section 4 ("partial ranks").
    """
    ranks, predicted = _both_as_integers(ranks, predicted)
    right = tf.equal(ranks, predicted)
    return tf.reduce_mean(tf.cast(right, tf.float32), axis=-1)


def kendall_tau(ranks: tf.Tensor, predicted: tf.Tensor) -> tf.Tensor:
    """Kendall's rank correlation: the share of pairs in the right order less that of the others.

    Args:
        ranks: true ranks, a permutation of 1..n, n at least 2, shape (..., n).
        predicted: predicted ranks, a permutation, the same shape.

    Returns:
        float32, shape (...), in [-1, 1]; by chance 0.

    Raises:
        ValueError: where the shapes differ.

    Source: Kendall 1938, "A new measure of rank correlation" (tau, without ties).
    """
    ranks, predicted = _both_as_integers(ranks, predicted)
    signs = [tf.sign(x[..., :, None] - x[..., None, :]) for x in (ranks, predicted)]
    n = ranks.shape[-1]
    return tf.cast(tf.reduce_sum(signs[0] * signs[1], axis=[-2, -1]), tf.float32) / (n * (n - 1))


def _both_as_integers(ranks: tf.Tensor, predicted: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """Both as int32; ValueError where their shapes differ."""
    ranks, predicted = _as_integers(ranks), _as_integers(predicted)
    if not ranks.shape.is_compatible_with(predicted.shape):
        raise ValueError(f"ranks of shape {ranks.shape} for ranks of shape {predicted.shape}")
    return ranks, predicted


def _as_integers(ranks: tf.Tensor) -> tf.Tensor:
    """Ranks as int32, rounded."""
    ranks = tf.convert_to_tensor(ranks)
    return tf.cast(tf.round(ranks) if ranks.dtype.is_floating else ranks, tf.int32)


def _matched(ranks: tf.Tensor, scores: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """Ranks and scores in the dtype of the loss; ValueError where their shapes differ."""
    scores = widened(as_floating(scores, "scores"))
    ranks = tf.cast(ranks, scores.dtype)
    if not scores.shape.rank or not ranks.shape.is_compatible_with(scores.shape):
        raise ValueError(f"ranks of shape {ranks.shape} for scores of shape {scores.shape}")
    return ranks, scores


def _where_finite(loss: Callable[[tf.Tensor], tf.Tensor], scores: tf.Tensor) -> tf.Tensor:
    """A loss of the scores; NaN, without a gradient, where scores are not finite."""
    finite = tf.reduce_all(tf.math.is_finite(scores), axis=-1)
    value = loss(tf.where(finite[..., None], scores, 0))
    return tf.where(finite, value, tf.constant(math.nan, value.dtype))


def _over_misplaced(
    ranks: tf.Tensor,
    scores: tf.Tensor,
    hinge: Callable[[tf.Tensor], tf.Tensor],
    soft_ranks: Callable[[tf.Tensor], tf.Tensor],
) -> tf.Tensor:
    """The sum of a soft hinge(s_i - s_j) over the pairs with ranks_i < ranks_j.

    Args:
        ranks: true ranks, shape (..., n).
        scores: float32 or float64, shape (..., n).
        hinge: elementwise, at least 0 up to rounding.
        soft_ranks: of scores; less the true ranks they are the gradient.
    """
    _, n = as_rows(scores)

    def part(difference: tf.Tensor, rank_difference: tf.Tensor) -> tf.Tensor:
        return tf.where(rank_difference < 0, tf.maximum(hinge(difference), 0), 0)

    @tf.custom_gradient
    def total(scores: tf.Tensor) -> tuple[tf.Tensor, Callable[[tf.Tensor], tf.Tensor]]:
        def vjp(upstream: tf.Tensor) -> tf.Tensor:
            return upstream[..., None] * (soft_ranks(scores) - ranks)

        rows = (tf.reshape(tf.stop_gradient(x), [-1, n]) for x in (scores, ranks))
        value = tf.reduce_sum(over_pairs(part, *rows), axis=-1)
        return tf.reshape(value, tf.shape(scores)[:-1]), vjp

    return tf.ensure_shape(total(scores), scores.shape[:-1])


class _Loss(keras.losses.Loss):
    """A Keras loss of scores against ranks whose settings are saved with the model."""

    _settings: tuple[str, ...] = ()

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), **{name: getattr(self, name) for name in self._settings}}


@keras.saving.register_keras_serializable("shuffle_to_learn")
class FastSoftRanking(_Loss):
    """:func:`fast_soft_ranking` as a Keras loss.

    Args:
        epsilon: regularisation strength, > 0.
        reduction, name, dtype: as in ``keras.losses.Loss``.

    Call arguments:
        y_true: ranks 1..n, shape (batch, ..., n).
        y_pred: scores, the same shape.
    """

    _settings = ("epsilon",)

    def __init__(
        self, epsilon: float = 1.0, name: str = "fast_soft_ranking", **options: Any
    ) -> None:
        super().__init__(name=name, **options)
        self.epsilon = positive(epsilon)

    def call(self, y_true: tf.Tensor, y_pred: tf.Tensor) -> tf.Tensor:
        return fast_soft_ranking(y_true, y_pred, self.epsilon)


@keras.saving.register_keras_serializable("shuffle_to_learn")
class PerturbedFenchelYoung(_Loss):
    """:func:`perturbed_fenchel_young` as a Keras loss.

    Args:
        epsilon: standard deviation of the noise, > 0.
        num_samples: number of draws; None for the expectation in closed form.
        seed: integer that makes every run draw the same; each call within a run draws anew.
        reduction, name, dtype: as in ``keras.losses.Loss``.

    Call arguments:
        y_true: ranks 1..n, shape (batch, ..., n).
        y_pred: scores, the same shape.
    """

    _settings = ("epsilon", "num_samples", "seed")

    def __init__(
        self,
        epsilon: float = 0.1,
        num_samples: int | None = 10,
        seed: int | None = None,
        name: str = "perturbed_fenchel_young",
        **options: Any,
    ) -> None:
        super().__init__(name=name, **options)
        self.epsilon = positive(epsilon)
        self.num_samples = at_least_one(num_samples)
        self.seed = seed
        self._seeds = keras.random.SeedGenerator(seed)

    def call(self, y_true: tf.Tensor, y_pred: tf.Tensor) -> tf.Tensor:
        seed = None if self.num_samples is None else self._seeds.next()
        return perturbed_fenchel_young(y_true, y_pred, self.epsilon, self.num_samples, seed)


@keras.saving.register_keras_serializable("shuffle_to_learn")
class RankNet(_Loss):
    """:func:`rank_net` as a Keras loss.

    Args:
        epsilon: scale of the logistic function, > 0.
        reduction, name, dtype: as in ``keras.losses.Loss``.

    Call arguments:
        y_true: ranks 1..n, shape (batch, ..., n).
        y_pred: scores, the same shape.
    """

    _settings = ("epsilon",)

    def __init__(self, epsilon: float = 1.0, name: str = "rank_net", **options: Any) -> None:
        super().__init__(name=name, **options)
        self.epsilon = positive(epsilon)

    def call(self, y_true: tf.Tensor, y_pred: tf.Tensor) -> tf.Tensor:
        return rank_net(y_true, y_pred, self.epsilon)


@keras.saving.register_keras_serializable("shuffle_to_learn")
class ListMLE(_Loss):
    """:func:`list_mle` as a Keras loss.

    Args:
        epsilon: unit of the scores, > 0.
        reduction, name, dtype: as in ``keras.losses.Loss``.

    Call arguments:
        y_true: ranks 1..n, shape (batch, ..., n).
        y_pred: scores, the same shape.
    """

    _settings = ("epsilon",)

    def __init__(self, epsilon: float = 1.0, name: str = "list_mle", **options: Any) -> None:
        super().__init__(name=name, **options)
        self.epsilon = positive(epsilon)

    def call(self, y_true: tf.Tensor, y_pred: tf.Tensor) -> tf.Tensor:
        return list_mle(y_true, y_pred, self.epsilon)


@keras.saving.register_keras_serializable("shuffle_to_learn")
class RankMeanSquaredError(_Loss):
    """:func:`rank_mean_squared_error` as a Keras loss.

    Args:
        reduction, name, dtype: as in ``keras.losses.Loss``.

    Call arguments:
        y_true: ranks 1..n, shape (batch, ..., n).
        y_pred: scores, the same shape.
    """

    def __init__(self, name: str = "rank_mean_squared_error", **options: Any) -> None:
        super().__init__(name=name, **options)

    def call(self, y_true: tf.Tensor, y_pred: tf.Tensor) -> tf.Tensor:
        return rank_mean_squared_error(y_true, y_pred)


@keras.saving.register_keras_serializable("shuffle_to_learn")
class PermutationCrossEntropy(_Loss):
    """:func:`permutation_cross_entropy` as a Keras loss.

    Args:
        permutations: the set, each a permutation of 1..n.
        reduction, name, dtype: as in ``keras.losses.Loss``.

    Call arguments:
        y_true: ranks 1..n, one of the permutations, shape (batch, ..., n).
        y_pred: logits, shape (batch, ..., number of permutations).
    """

    _settings = ("permutations",)

    def __init__(
        self,
        permutations: Sequence[Sequence[int]],
        name: str = "permutation_cross_entropy",
        **options: Any,
    ) -> None:
        super().__init__(name=name, **options)
        self.permutations = permutation_set(permutations)

    def call(self, y_true: tf.Tensor, y_pred: tf.Tensor) -> tf.Tensor:
        return permutation_cross_entropy(y_true, y_pred, self.permutations)
