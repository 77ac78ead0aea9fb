"""RankNet: for each pair of patches, which one comes first."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from shuffle_to_learn.pretext.methods.base import SoftRankingMethod

if TYPE_CHECKING:
    import tensorflow as tf


@dataclass(frozen=True)
class RankNet(SoftRankingMethod):
    """Burges et al. 2005: logistic regression on the order of each pair of patches."""

    def loss(self, orders: tf.Tensor, scores: tf.Tensor, seed: tf.Tensor) -> tf.Tensor:
        from shuffle_to_learn.ranking import losses

        return losses.rank_net(orders + 1, scores, self.epsilon)
