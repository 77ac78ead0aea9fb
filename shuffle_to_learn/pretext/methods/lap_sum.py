"""LapSum: soft ranks from the Laplace distribution."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated

from annotated_types import Ge

from shuffle_to_learn.pretext.methods.base import RankingMethod

if TYPE_CHECKING:
    import tensorflow as tf


@dataclass(frozen=True)
class LapSum(RankingMethod):
    """Struski et al. 2025: half the squared distance between LapSum's ranks and true ranks.

    It differs from Fast Soft Ranking in the ranking operator alone.
    """

    epsilon: Annotated[float, Ge(1e-37)] = 1.0

    @property
    def scale(self) -> float:
        return self.epsilon

    def loss(self, orders: tf.Tensor, scores: tf.Tensor, seed: tf.Tensor) -> tf.Tensor:
        import tensorflow as tf

        from shuffle_to_learn.ranking.lap_sum import lap_sum_rank

        error = lap_sum_rank(scores, self.epsilon) - tf.cast(orders + 1, scores.dtype)
        return 0.5 * tf.reduce_sum(tf.square(error), axis=-1)
