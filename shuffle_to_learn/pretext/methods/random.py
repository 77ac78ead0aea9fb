"""Random: the untrained encoder."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from shuffle_to_learn.pretext.methods.base import RankingMethod

if TYPE_CHECKING:
    import tensorflow as tf


@dataclass(frozen=True)
class Random(RankingMethod):
    """The untrained encoder; for comparison its outputs are read as scores all the same."""

    trained: ClassVar[bool] = False

    def loss(self, orders: tf.Tensor, scores: tf.Tensor, seed: tf.Tensor) -> tf.Tensor:
        from shuffle_to_learn.ranking import losses

        return losses.rank_mean_squared_error(orders + 1, scores)
