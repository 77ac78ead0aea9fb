"""Ranks and scores of one shape, and losses of them: checks, masks, and epsilon as a tensor."""

from __future__ import annotations

import math
from collections.abc import Callable

import tensorflow as tf

from shuffle_to_learn.ranking.checks import (
    Epsilon,
    allowed,
    as_floating,
    as_mask,
    as_rows,
    in_dtype,
    kept,
    over_epsilon,
    positive,
    to_last,
    widened,
)
from shuffle_to_learn.ranking.sorting import rank


def matched(
    ranks: tf.Tensor, scores: tf.Tensor, mask: tf.Tensor | None, axis: int, ties: str | None
) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor | None]:
    """Ranks and scores in the dtype of the loss, 0 where masked, and the mask; axis moved last.

    Raises:
        ValueError: where their shapes differ, or ties is none of the known.
    """
    if ties not in (None, "average"):
        raise ValueError(f"ties must be None or 'average', not {ties!r}")
    scores = widened(as_floating(scores, "scores"))
    ranks = tf.cast(ranks, scores.dtype)
    if not scores.shape.rank or not ranks.shape.is_compatible_with(scores.shape):
        raise ValueError(f"ranks of shape {ranks.shape} for scores of shape {scores.shape}")
    ranks, scores, mask = (to_last(x, axis) for x in (ranks, scores, mask))
    mask = as_mask(mask, scores)
    if ties:
        ranks = tf.cast(rank(ranks, ties=ties, mask=mask), scores.dtype)
    return kept(ranks, mask), kept(scores, mask), mask


def compared(
    ranks: tf.Tensor, predicted: tf.Tensor, mask: tf.Tensor | None, axis: int
) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor | None]:
    """Both sides of a correlation, of one shape, and the mask; axis moved last.

    Raises:
        ValueError: where their shapes differ, or n is 0 or not known when the graph is built.
    """
    pair = [tf.convert_to_tensor(x) for x in (ranks, predicted)]
    if not pair[0].shape.is_compatible_with(pair[1].shape):
        raise ValueError(f"ranks of shape {pair[0].shape} for ranks of shape {pair[1].shape}")
    shape = pair[0].shape.merge_with(pair[1].shape)
    ranks, predicted = (to_last(tf.ensure_shape(x, shape), axis) for x in pair)
    as_rows(predicted)
    return ranks, predicted, as_mask(to_last(mask, axis), predicted)


def of_scores(
    loss: Callable[[tf.Tensor, tf.Tensor, float, tf.Tensor | None], tf.Tensor],
    ranks: tf.Tensor,
    scores: tf.Tensor,
    epsilon: Epsilon,
    mask: tf.Tensor | None,
    hard: Callable[[tf.Tensor, tf.Tensor, tf.Tensor | None], tf.Tensor] | None = None,
    degree: int = 1,
) -> tf.Tensor:
    """A loss of the scores; NaN, without a gradient, where scores or epsilon are not finite.

    Args:
        loss: of ranks, scores, an epsilon above 0 and the mask. Scores and epsilon times c have the
            loss times c^degree. With a mask or a tensor epsilon, scores are float64 and epsilon 1.
        ranks, scores, mask: see :func:`matched`.
        epsilon: for the loss.
        hard: the limit of the loss at epsilon 0, of ranks, scores and mask; None where there is
            none.
        degree: 0 or 1.
    """
    epsilon = positive(epsilon, hard is not None)
    finite = tf.reduce_all(tf.math.is_finite(scores), axis=-1)
    if not isinstance(epsilon, float):
        finite &= allowed(epsilon, hard is not None)
    scores = tf.where(finite[..., None], scores, 0)
    if hard is not None and isinstance(epsilon, float) and not epsilon:
        value = hard(ranks, scores, mask)
    elif mask is None and isinstance(epsilon, float):
        value = loss(ranks, scores, epsilon, None)
    else:
        wide = over_epsilon(scores, epsilon, mask)
        value = loss(tf.cast(ranks, wide.dtype), wide, 1.0, mask)
        value = tf.cast(value, scores.dtype)
        if degree:
            value *= in_dtype(epsilon, scores.dtype)
        if not isinstance(epsilon, float) and hard is not None:
            value = tf.where(epsilon > 0, value, hard(ranks, scores, mask))
    return tf.where(finite, value, tf.constant(math.nan, value.dtype))
