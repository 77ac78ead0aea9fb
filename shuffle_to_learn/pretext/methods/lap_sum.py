"""LapSum: soft ranks from the Laplace distribution."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from shuffle_to_learn.pretext.methods.base import SoftRankingMethod

if TYPE_CHECKING:
    import tensorflow as tf


@dataclass(frozen=True)
class LapSum(SoftRankingMethod):
    """Struski et al. 2025: half the squared distance between LapSum's ranks and true ranks.

    It differs from Fast Soft Ranking in the ranking operator alone.
    """

    def loss(self, orders: tf.Tensor, scores: tf.Tensor, seed: tf.Tensor) -> tf.Tensor:
        import tensorflow as tf

        from shuffle_to_learn.ranking.lap_sum import lap_sum_rank

        error = lap_sum_rank(scores, self.epsilon) - tf.cast(orders + 1, scores.dtype)
        return 0.5 * tf.reduce_sum(tf.square(error), axis=-1)
