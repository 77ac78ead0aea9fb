"""Losses of scores against ranks 1..n: functions with one value an example, and Keras losses.

Half types are computed in float32, and so are their losses.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Sequence
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from shuffle_to_learn.ranking.checks import (
    Epsilon,
    as_floating,
    as_mask,
    as_rows,
    at_least_one,
    kept,
    mean,
    permutation_set,
    takes_lists,
    to_last,
    widened,
)
from shuffle_to_learn.ranking.correlations import expected_kendall, soft_spearman
from shuffle_to_learn.ranking.correlations import kendall_tau as kendall_tau
from shuffle_to_learn.ranking.keras_parts import WithEpsilon, as_lists, kept_settings
from shuffle_to_learn.ranking.perturbed import (
    ALL_PAIRS_UP_TO,
    EXPONENTIAL_REACH,
    NORMAL_REACH,
    Ascending,
    known_noise,
    normal_cdf,
    normal_density,
    over_pairs,
    perturb,
    perturbed_rank,
)
from shuffle_to_learn.ranking.projection import known_regularization, soft_rank
from shuffle_to_learn.ranking.scores import matched, of_scores
from shuffle_to_learn.ranking.sorting import rank, row_offsets


@takes_lists("number")
def fast_soft_ranking(
    ranks: tf.Tensor,
    scores: tf.Tensor,
    epsilon: Epsilon = 1.0,
    *,
    ties: str | None = None,
    mask: tf.Tensor | None = None,
    axis: int = -1,
) -> tf.Tensor:
    """Half the squared distance between the soft ranks of the scores and the true ranks.

    Args:
        ranks: true ranks 1..n, shape (..., n).
        scores: floating, shape (..., n). Both may be RaggedTensors.
        epsilon: regularisation strength of :func:`shuffle_to_learn.ranking.soft_rank`; at 0 the
            gradient is 0.
        ties: None takes the true ranks as they are. ``"average"`` takes any values, such as grades
            of relevance, as their ranks, equal ones averaged.
        mask: boolean, broadcast to the shape of scores: False for what is no value of the list. It
            has no part in the loss, whatever its rank and its score.
        axis: along which scores are ranked.

    Returns:
        float32 or float64, shape (...), at least 0; NaN where scores are not finite, 0 for a list
        without values.

    Raises:
        TypeError, ValueError: as soft_rank, and where the shapes differ.

    Source: Shuffle to Learn, section 2.3; Blondel et al. 2020.
    """
    ranks, scores, mask = matched(ranks, scores, mask, axis, ties)
    error = soft_rank(scores, epsilon, mask=mask) - ranks
    return 0.5 * tf.reduce_sum(tf.square(kept(error, mask)), axis=-1)


@takes_lists("number")
def perturbed_fenchel_young(
    ranks: tf.Tensor,
    scores: tf.Tensor,
    epsilon: Epsilon = 0.1,
    num_samples: int | None = 10,
    seed: tf.Tensor | tuple[int, int] | None = None,
    *,
    noise: str = "normal",
    ties: str | None = None,
    mask: tf.Tensor | None = None,
    axis: int = -1,
) -> tf.Tensor:
    """The Fenchel-Young loss of perturbed ranking.

    Its value is the mean, over the draws of Z, of the maximum of <s + epsilon Z, y - ranks> over
    all permutations y. It is 0 only where every draw is ranked right. Its gradient is the perturbed
    rank of the same draws less the true rank. With num_samples None the loss is the expectation in
    closed form: the sum of E[(s_i - s_j + epsilon (Z_i - Z_j))^+] over the pairs with
    ranks_i < ranks_j.

    Args:
        ranks: true ranks, a permutation of 1..n, shape (..., n).
        scores: floating, shape (..., n). Both may be RaggedTensors.
        epsilon: scale of the noise (of normal noise, its standard deviation), >= 0: a number or a
            tensor, one value for all or one for each list. At 0 the loss is the maximum without
            noise, and its gradient the rank with averaged ties less the true rank.
        num_samples: number of draws; None for the expectation.
        seed: a stateless seed of two integers; None draws a fresh one.
        noise: ``"normal"``, or ``"gumbel"``: with num_samples None, that is :func:`rank_net`.
        ties, mask, axis: as in :func:`fast_soft_ranking`.

    Returns:
        float32 or float64, shape (...), at least 0; NaN where scores are not finite, 0 for a list
        without values.

    Raises:
        TypeError, ValueError: as perturbed_rank, and where the shapes differ.

    Source: Berthet et al. 2020, section 4; Shuffle to Learn, section 2.3. (There the ranks are
    multiplied by s alone, not by s + epsilon Z. That value is equal in expectation, but can fall
    below 0.)
    """
    at_least_one(num_samples)
    if known_noise(noise) == "gumbel" and num_samples is None:
        return rank_net(ranks, scores, epsilon, ties=ties, mask=mask, axis=axis)
    ranks, scores, mask = matched(ranks, scores, mask, axis, ties)
    dtype = scores.dtype

    def loss(
        ranks: tf.Tensor, scores: tf.Tensor, epsilon: float, mask: tf.Tensor | None
    ) -> tf.Tensor:
        # The standard deviation of the noise in a difference of two scores.
        deviation = epsilon * math.sqrt(2.0)

        def hinge(difference: tf.Tensor) -> tf.Tensor:
            z = difference / deviation
            return deviation * (z * normal_cdf(z) + normal_density(z))  # E[(z + Z)^+]

        def expected_rank(scores: tf.Tensor) -> tf.Tensor:
            return perturbed_rank(scores, epsilon, None, mask=mask)

        if num_samples is None:
            reach = NORMAL_REACH * epsilon
            return _over_misplaced(ranks, scores, hinge, reach, expected_rank, mask, ties)
        # Scores are centred, since rounding far from 0 would take the noise away.
        centred = scores - tf.stop_gradient(mean(scores, mask))
        noisy = perturb(centred, epsilon, num_samples, seed, dtype, noise)
        error = tf.cast(rank(noisy, mask=mask), scores.dtype) - ranks
        return tf.reduce_mean(tf.reduce_sum(noisy * kept(error, mask), axis=-1), axis=0)

    return of_scores(
        loss, ranks, scores, epsilon, mask, hard=functools.partial(_hard_fenchel_young, ties=ties)
    )


@takes_lists("number")
def rank_net(
    ranks: tf.Tensor,
    scores: tf.Tensor,
    epsilon: Epsilon = 1.0,
    *,
    ties: str | None = None,
    mask: tf.Tensor | None = None,
    axis: int = -1,
) -> tf.Tensor:
    """RankNet: the logistic loss of each pair, summed over the pairs, times epsilon.

    Its value is the sum of epsilon log(1 + exp((s_i - s_j) / epsilon)) over the pairs with
    ranks_i < ranks_j. Its gradient is a soft rank, 1 plus the logistic function of
    (s_i - s_j) / epsilon summed over j != i, less the true rank. So it is the Fenchel-Young loss of
    ranking under Gumbel noise, as the exact :func:`perturbed_fenchel_young` is under normal noise:
    the difference of two Gumbel variables is logistic.

    Args:
        ranks: true ranks, a permutation of 1..n, shape (..., n).
        scores: floating, shape (..., n). Both may be RaggedTensors.
        epsilon: scale of the logistic function, >= 0, as in :func:`perturbed_fenchel_young`.
        ties, mask, axis: as in :func:`fast_soft_ranking`.

    Returns:
        float32 or float64, shape (...), at least 0; NaN where scores are not finite, 0 for a list
        without values.

    Raises:
        TypeError: where scores are not floating.
        ValueError: as perturbed_fenchel_young.

    Source: Burges et al. 2005, "Learning to rank using gradient descent" (there epsilon is 1,
    and the chance that a pair is in its true order can be below 1: here it is 1).
    """
    ranks, scores, mask = matched(ranks, scores, mask, axis, ties)

    def loss(
        ranks: tf.Tensor, scores: tf.Tensor, epsilon: float, mask: tf.Tensor | None
    ) -> tf.Tensor:
        def soft_ranks(scores: tf.Tensor) -> tf.Tensor:
            return perturbed_rank(scores, epsilon, None, noise="gumbel", mask=mask)

        def hinge(difference: tf.Tensor) -> tf.Tensor:
            return epsilon * tf.nn.softplus(difference / epsilon)

        reach = EXPONENTIAL_REACH * epsilon
        return _over_misplaced(ranks, scores, hinge, reach, soft_ranks, mask, ties)

    return of_scores(
        loss, ranks, scores, epsilon, mask, hard=functools.partial(_hard_fenchel_young, ties=ties)
    )


@takes_lists("number")
def list_mle(
    ranks: tf.Tensor,
    scores: tf.Tensor,
    epsilon: Epsilon = 1.0,
    *,
    ties: str | None = None,
    mask: tf.Tensor | None = None,
    axis: int = -1,
) -> tf.Tensor:
    """ListMLE: minus the log-likelihood of the true order under the Plackett-Luce model.

    The model draws rank n first, with probabilities softmax(scores / epsilon), then rank n - 1
    among what is left, and so on. It is the distribution of the ranks of scores with Gumbel noise
    of scale epsilon.

    Args:
        ranks: true ranks, a permutation of 1..n, shape (..., n).
        scores: floating, shape (..., n). Both may be RaggedTensors.
        epsilon: unit of the scores, > 0: a number or a tensor, one value for all or one for each
            list.
        ties, mask, axis: as in :func:`fast_soft_ranking`.

    Returns:
        float32 or float64, shape (...), at least 0; NaN where scores are not finite, 0 for a list
        without values.

    Raises:
        TypeError: where scores are not floating.
        ValueError: where epsilon is not above 0, n is 0 or unknown, the shapes differ, or epsilon,
            the mask or the axis is not one for the scores.

    Source: Xia et al. 2008, "Listwise approach to learning to rank: theory and algorithm"
    (there epsilon is 1); with ties, Breslow 1974, "Covariance analysis of censored survival data":
    each of equal ranks is drawn among all of them.
    """
    ranks, scores, mask = matched(ranks, scores, mask, axis, ties)
    as_rows(scores)

    def loss(
        ranks: tf.Tensor, scores: tf.Tensor, epsilon: float, mask: tf.Tensor | None
    ) -> tf.Tensor:
        dims = scores.shape.rank - 1
        if mask is not None:
            ranks = tf.where(mask, ranks, math.inf)
        place = tf.argsort(ranks, axis=-1)
        ordered = tf.gather(scores, place, axis=-1, batch_dims=dims) / epsilon
        # The chance of each rank among itself and all lower ranks, with ties all that are equal.
        lower = tf.math.cumulative_logsumexp(ordered, axis=-1)
        if ties is not None:
            lower = _last_of_equal(lower, tf.gather(ranks, place, axis=-1, batch_dims=dims))
        chances = lower - ordered
        if mask is not None:
            chances = tf.where(tf.gather(mask, place, axis=-1, batch_dims=dims), chances, 0)
        return tf.reduce_sum(chances, axis=-1)

    return of_scores(loss, ranks, scores, epsilon, mask, degree=0)


@takes_lists("number")
def rank_mean_squared_error(
    ranks: tf.Tensor,
    scores: tf.Tensor,
    *,
    ties: str | None = None,
    mask: tf.Tensor | None = None,
    axis: int = -1,
) -> tf.Tensor:
    """Mean squared error of the scores taken as ranks.

    Args:
        ranks: true ranks 1..n, shape (..., n).
        scores: floating, shape (..., n). Both may be RaggedTensors.
        ties, mask, axis: as in :func:`fast_soft_ranking`.

    Returns:
        float32 or float64, shape (...), at least 0; 0 for a list without values.

    Raises:
        TypeError, ValueError: where scores are not floating or the shapes differ.

    Source: Shuffle to Learn, section 3.
    """
    ranks, scores, mask = matched(ranks, scores, mask, axis, ties)
    return mean(tf.square(kept(scores - ranks, mask)), mask)[..., 0]


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


@takes_lists("number")
def partial_ranks(
    ranks: tf.Tensor, predicted: tf.Tensor, *, mask: tf.Tensor | None = None, axis: int = -1
) -> tf.Tensor:
    """The share of patches whose predicted rank is right; by chance 1/n.

    Args:
        ranks: true ranks 1..n, shape (..., n).
        predicted: predicted ranks, the same shape. Both may be RaggedTensors.
        mask, axis: as in :func:`fast_soft_ranking`.

    Returns:
        float32, shape (...), in [0, 1]; 0 for a list without values.

    Raises:
        ValueError: where the shapes differ.

    Source: Shuffle to Learn, section 4 ("partial ranks").
    """
    ranks, predicted = _both_as_integers(to_last(ranks, axis), to_last(predicted, axis))
    mask = as_mask(to_last(mask, axis), predicted)
    right = tf.equal(ranks, predicted)
    return mean(tf.cast(kept(right, mask), tf.float32), mask)[..., 0]


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


def _hard_fenchel_young(
    ranks: tf.Tensor, scores: tf.Tensor, mask: tf.Tensor | None, ties: str | None
) -> tf.Tensor:
    """The sum of (s_i - s_j)^+ over ranks_i < ranks_j; its gradient is a rank less the true one."""

    def average_rank(scores: tf.Tensor) -> tf.Tensor:
        return tf.cast(rank(scores, ties="average", mask=mask), scores.dtype)

    return _over_misplaced(ranks, scores, tf.identity, 0.0, average_rank, mask, ties)


def _last_of_equal(rising: tf.Tensor, ordered: tf.Tensor) -> tf.Tensor:
    """Rising values, each that of the last place with the same ordered value; shape (..., n)."""
    n = ordered.shape[-1]
    rows = tf.reshape(ordered, [-1, n])
    new = tf.pad(tf.cast(tf.not_equal(rows[:, 1:], rows[:, :-1]), tf.int32), [[0, 0], [1, 0]])
    block = tf.cumsum(new, axis=-1) + row_offsets(rows)
    last = tf.math.unsorted_segment_max(
        tf.reshape(rising, [-1]), tf.reshape(block, [-1]), tf.size(block)
    )
    return tf.reshape(tf.gather(last, block), tf.shape(rising))


def _over_misplaced(
    ranks: tf.Tensor,
    scores: tf.Tensor,
    hinge: Callable[[tf.Tensor], tf.Tensor],
    reach: float,
    soft_ranks: Callable[[tf.Tensor], tf.Tensor],
    mask: tf.Tensor | None,
    ties: str | None,
) -> tf.Tensor:
    """The sum of a soft hinge(s_i - s_j) over the pairs with ranks_i < ranks_j.

    Args:
        ranks: true ranks, shape (..., n).
        scores: float32 or float64, shape (..., n).
        hinge: elementwise, at least 0 up to rounding; hinge(d) - hinge(-d) is d.
        reach: where d is larger, hinge(-d) is 0.
        soft_ranks: of scores; less the true ranks they are the gradient.
        mask: boolean, shape (..., n), or None.
        ties: where it is not None, half of each hinge of a pair with equal ranks is in the sum,
            too: the loss of ranks of which either is higher half of the time.
    """
    _, n = as_rows(scores)
    sums = _sum_of_all_pairs if n <= ALL_PAIRS_UP_TO else _sum_of_near_pairs

    @tf.custom_gradient
    def total(scores: tf.Tensor) -> tuple[tf.Tensor, Callable[[tf.Tensor], tf.Tensor]]:
        def vjp(upstream: tf.Tensor) -> tf.Tensor:
            return upstream[..., None] * kept(soft_ranks(scores) - ranks, mask)

        def rows(x: tf.Tensor) -> tf.Tensor:
            return tf.reshape(tf.stop_gradient(x), [-1, n])

        chosen = None if mask is None else rows(mask)
        value = sums(rows(ranks), rows(scores), chosen, hinge, reach, ties)
        return tf.reshape(value, tf.shape(scores)[:-1]), vjp

    return tf.ensure_shape(total(scores), scores.shape[:-1])


def _sum_of_all_pairs(
    ranks: tf.Tensor,
    scores: tf.Tensor,
    mask: tf.Tensor | None,
    hinge: Callable[[tf.Tensor], tf.Tensor],
    reach: float,
    ties: str | None,
) -> tf.Tensor:
    """The sum of :func:`_over_misplaced` of rows, pair by pair; shape (batch)."""
    # No comparison with NaN holds: a pair with a masked value is not in the sum.
    compared = ranks if mask is None else tf.where(mask, ranks, math.nan)

    def part(difference: tf.Tensor, rank_difference: tf.Tensor) -> tf.Tensor:
        most = tf.maximum(hinge(difference), 0)
        equal = 0 if ties is None else tf.where(tf.equal(rank_difference, 0), 0.5 * most, 0)
        return tf.where(rank_difference < 0, most, equal)

    value = tf.reduce_sum(over_pairs(part, scores, compared), axis=-1)
    if ties is None:
        return value
    # Less the pairs of a value with itself.
    size = tf.cast(scores.shape[-1], scores.dtype)
    if mask is not None:
        size = tf.reduce_sum(tf.cast(mask, scores.dtype), axis=-1)
    return tf.maximum(value - 0.5 * size * hinge(tf.zeros([], scores.dtype)), 0)


def _sum_of_near_pairs(
    ranks: tf.Tensor,
    scores: tf.Tensor,
    mask: tf.Tensor | None,
    hinge: Callable[[tf.Tensor], tf.Tensor],
    reach: float,
    ties: str | None,
) -> tf.Tensor:
    """As :func:`_sum_of_all_pairs`, by a sort, and pair by pair only where pairs are near.

    hinge(d) is d^+ + hinge(-|d|). The sum of (s_i - s_j)^+ over the pairs with ranks_i < ranks_j is
    the sum of s_i (r_i - p_i), where r are the ranks of the scores, and p the true ranks, equal
    ones in the order of their scores. With ties, p are the true ranks, equal ones averaged. What is
    left is 0 but for near pairs.
    """
    ascending = Ascending(scores, mask)
    wide = tf.cast(scores, tf.float64)  # the terms of the sum are larger than itself
    wide = ascending.ordered(kept(wide - mean(wide, mask), mask))
    true = ascending.ordered(ranks)
    there = None if mask is None else ascending.ordered(mask)
    if ties is None:
        true = Ascending(true, there).place + 1  # rank's scatter is refused by XLA here
    place = tf.range(1, scores.shape[-1] + 1, dtype=tf.float64)
    far = tf.reduce_sum(kept(wide * (place - tf.cast(true, tf.float64)), there), axis=-1)
    far = tf.cast(tf.maximum(far, 0), scores.dtype)
    if not reach:
        return far

    def part(difference: tf.Tensor, rank_difference: tf.Tensor) -> tf.Tensor:
        least = tf.maximum(hinge(difference), 0)  # of two scores in their order: at most 0
        return least if ties else tf.where(tf.not_equal(rank_difference, 0), least, 0)

    near, _ = ascending.over_near_pairs(part, reach, scores, ranks)
    return far + tf.reduce_sum(kept(near, mask), axis=-1)


class _Loss(keras.losses.Loss):
    """A Keras loss of scores against ranks whose settings are saved with the model."""

    _settings: tuple[str, ...] = ()

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), **kept_settings(self, self._settings)}


class _ListLoss(_Loss):
    """A loss of lists, which may be padded.

    Args:
        ties: as in :func:`fast_soft_ranking`.
        mask_zero: whether a true rank of 0 says that there is no value.
        reduction, name, dtype: as in ``keras.losses.Loss``.

    Call arguments:
        y_true: ranks 1..n, shape (batch, ..., n).
        y_pred: scores, the same shape, or with a further axis of length 1. Its Keras mask, shape
            (batch, ..., n), is that of :func:`fast_soft_ranking`.
    """

    def __init__(self, ties: str | None = None, mask_zero: bool = False, **options: Any) -> None:
        super().__init__(**options)
        self.ties = ties
        self.mask_zero = mask_zero

    def __call__(self, y_true: Any, y_pred: Any, sample_weight: Any = None) -> tf.Tensor:
        mask = getattr(y_pred, "_keras_mask", None)
        # Keras would weigh the losses of the examples by the mask.
        scores = y_pred if mask is None else (y_pred, mask)
        return super().__call__(y_true, scores, sample_weight)

    def call(self, y_true: tf.Tensor, y_pred: Any) -> tf.Tensor:
        scores, mask = y_pred if isinstance(y_pred, tuple) else (y_pred, None)
        return self._of_lists(*as_lists(y_true, scores, mask, self.mask_zero))

    def _of_lists(self, ranks: tf.Tensor, scores: tf.Tensor, mask: tf.Tensor | None) -> tf.Tensor:
        raise NotImplementedError

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "ties": self.ties, "mask_zero": self.mask_zero}


@keras.saving.register_keras_serializable("shuffle_to_learn")
class FastSoftRanking(WithEpsilon, _ListLoss):
    """:func:`fast_soft_ranking` as a Keras loss.

    Args:
        epsilon: regularisation strength, >= 0; a ``keras.Variable`` may be changed in training.
        ties: as in fast_soft_ranking.
        mask_zero: whether a true rank of 0 says that there is no value.
        reduction, name, dtype: as in ``keras.losses.Loss``.

    Call arguments:
        y_true: ranks 1..n, shape (batch, ..., n).
        y_pred: scores, the same shape, or with a further axis of length 1. Its Keras mask, shape
            (batch, ..., n), is that of :func:`fast_soft_ranking`.
    """

    _settings = ("epsilon",)

    def __init__(
        self, epsilon: Epsilon = 1.0, name: str = "fast_soft_ranking", **options: Any
    ) -> None:
        super().__init__(name=name, **options)
        self._set_epsilon(epsilon)

    def _of_lists(self, ranks: tf.Tensor, scores: tf.Tensor, mask: tf.Tensor | None) -> tf.Tensor:
        return fast_soft_ranking(ranks, scores, self.epsilon, ties=self.ties, mask=mask)


@keras.saving.register_keras_serializable("shuffle_to_learn")
class PerturbedFenchelYoung(WithEpsilon, _ListLoss):
    """:func:`perturbed_fenchel_young` as a Keras loss.

    Args:
        epsilon: standard deviation of the noise, as in :class:`FastSoftRanking`.
        num_samples: number of draws; None for the expectation in closed form.
        seed: integer that makes every run draw the same; each call within a run draws anew.
        noise: ``"normal"`` or ``"gumbel"``.
        ties, mask_zero, reduction, name, dtype: as in FastSoftRanking.

    Call arguments:
        y_true, y_pred: as of FastSoftRanking.
    """

    _settings = ("epsilon", "num_samples", "seed", "noise")

    def __init__(
        self,
        epsilon: Epsilon = 0.1,
        num_samples: int | None = 10,
        seed: int | None = None,
        name: str = "perturbed_fenchel_young",
        noise: str = "normal",
        **options: Any,
    ) -> None:
        super().__init__(name=name, **options)
        self._set_epsilon(epsilon)
        self.num_samples = at_least_one(num_samples)
        self.seed = seed
        self.noise = known_noise(noise)
        self._seeds = keras.random.SeedGenerator(seed)

    def _of_lists(self, ranks: tf.Tensor, scores: tf.Tensor, mask: tf.Tensor | None) -> tf.Tensor:
        seed = None if self.num_samples is None else self._seeds.next()
        return perturbed_fenchel_young(
            ranks,
            scores,
            self.epsilon,
            self.num_samples,
            seed,
            noise=self.noise,
            ties=self.ties,
            mask=mask,
        )


@keras.saving.register_keras_serializable("shuffle_to_learn")
class RankNet(WithEpsilon, _ListLoss):
    """:func:`rank_net` as a Keras loss.

    Args:
        epsilon: scale of the logistic function, as in :class:`FastSoftRanking`.
        ties, mask_zero, reduction, name, dtype: as in FastSoftRanking.

    Call arguments:
        y_true, y_pred: as of FastSoftRanking.
    """

    _settings = ("epsilon",)

    def __init__(self, epsilon: Epsilon = 1.0, name: str = "rank_net", **options: Any) -> None:
        super().__init__(name=name, **options)
        self._set_epsilon(epsilon)

    def _of_lists(self, ranks: tf.Tensor, scores: tf.Tensor, mask: tf.Tensor | None) -> tf.Tensor:
        return rank_net(ranks, scores, self.epsilon, ties=self.ties, mask=mask)


@keras.saving.register_keras_serializable("shuffle_to_learn")
class ListMLE(WithEpsilon, _ListLoss):
    """:func:`list_mle` as a Keras loss.

    Args:
        epsilon: unit of the scores, > 0; a ``keras.Variable`` may be changed in training.
        ties, mask_zero, reduction, name, dtype: as in :class:`FastSoftRanking`.

    Call arguments:
        y_true, y_pred: as of FastSoftRanking.
    """

    _settings = ("epsilon",)
    _may_be_zero = False

    def __init__(self, epsilon: Epsilon = 1.0, name: str = "list_mle", **options: Any) -> None:
        super().__init__(name=name, **options)
        self._set_epsilon(epsilon)

    def _of_lists(self, ranks: tf.Tensor, scores: tf.Tensor, mask: tf.Tensor | None) -> tf.Tensor:
        return list_mle(ranks, scores, self.epsilon, ties=self.ties, mask=mask)


@keras.saving.register_keras_serializable("shuffle_to_learn")
class SoftSpearman(WithEpsilon, _ListLoss):
    """:func:`soft_spearman` as a Keras loss.

    Args:
        epsilon: regularisation strength, as in :class:`FastSoftRanking`.
        regularization: ``"l2"`` or ``"kl"``.
        mask_zero, reduction, name, dtype: as in FastSoftRanking.

    Call arguments:
        y_true, y_pred: as of FastSoftRanking. Equal true ranks are averaged.
    """

    _settings = ("epsilon", "regularization")

    def __init__(
        self,
        epsilon: Epsilon = 1.0,
        regularization: str = "l2",
        name: str = "soft_spearman",
        **options: Any,
    ) -> None:
        super().__init__(name=name, **options)
        self._set_epsilon(epsilon)
        self.regularization = known_regularization(regularization)

    def _of_lists(self, ranks: tf.Tensor, scores: tf.Tensor, mask: tf.Tensor | None) -> tf.Tensor:
        return soft_spearman(
            ranks, scores, self.epsilon, regularization=self.regularization, mask=mask
        )


@keras.saving.register_keras_serializable("shuffle_to_learn")
class ExpectedKendall(WithEpsilon, _ListLoss):
    """:func:`expected_kendall` as a Keras loss.

    Args:
        epsilon: standard deviation of the noise, as in :class:`FastSoftRanking`.
        mask_zero, reduction, name, dtype: as in FastSoftRanking.

    Call arguments:
        y_true, y_pred: as of FastSoftRanking. Pairs with equal true ranks count for nothing.
    """

    _settings = ("epsilon",)

    def __init__(
        self, epsilon: Epsilon = 1.0, name: str = "expected_kendall", **options: Any
    ) -> None:
        super().__init__(name=name, **options)
        self._set_epsilon(epsilon)

    def _of_lists(self, ranks: tf.Tensor, scores: tf.Tensor, mask: tf.Tensor | None) -> tf.Tensor:
        return expected_kendall(ranks, scores, self.epsilon, mask=mask)


@keras.saving.register_keras_serializable("shuffle_to_learn")
class RankMeanSquaredError(_ListLoss):
    """:func:`rank_mean_squared_error` as a Keras loss.

    Args:
        ties, mask_zero, reduction, name, dtype: as in :class:`FastSoftRanking`.

    Call arguments:
        y_true, y_pred: as of FastSoftRanking.
    """

    def __init__(self, name: str = "rank_mean_squared_error", **options: Any) -> None:
        super().__init__(name=name, **options)

    def _of_lists(self, ranks: tf.Tensor, scores: tf.Tensor, mask: tf.Tensor | None) -> tf.Tensor:
        return rank_mean_squared_error(ranks, scores, ties=self.ties, mask=mask)


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
