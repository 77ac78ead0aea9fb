"""RankNet: for each pair of patches, which one comes first."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated

from annotated_types import Ge

from shuffle_to_learn.pretext.methods.base import RankingMethod

if TYPE_CHECKING:
    import tensorflow as tf


@dataclass(frozen=True)
class RankNet(RankingMethod):
    """Burges et al. 2005: logistic regression on the order of each pair of patches."""

    epsilon: Annotated[float, Ge(1e-37)] = 1.0

    @property
    def scale(self) -> float:
        return self.epsilon

    def loss(self, orders: tf.Tensor, scores: tf.Tensor, seed: tf.Tensor) -> tf.Tensor:
        from shuffle_to_learn.ranking import losses

        return losses.rank_net(orders + 1, scores, self.epsilon)
