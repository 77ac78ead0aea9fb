"""MSE: regression of the ranks."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from shuffle_to_learn.pretext.methods.base import RankingMethod

if TYPE_CHECKING:
    import tensorflow as tf


@dataclass(frozen=True)
class MeanSquaredError(RankingMethod):
    """The mean squared error of the scores, taken as ranks."""

    def loss(self, orders: tf.Tensor, scores: tf.Tensor, seed: tf.Tensor) -> tf.Tensor:
        from shuffle_to_learn.ranking import losses

        return losses.rank_mean_squared_error(orders + 1, scores)
