"""ListMLE: the likelihood of the true order."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from shuffle_to_learn.pretext.methods.base import SoftRankingMethod

if TYPE_CHECKING:
    import tensorflow as tf


@dataclass(frozen=True)
class ListMLE(SoftRankingMethod):
    """Xia et al. 2008: the likelihood of the true order, drawn patch by patch from the last."""

    def loss(self, orders: tf.Tensor, scores: tf.Tensor, seed: tf.Tensor) -> tf.Tensor:
        from shuffle_to_learn.ranking import losses

        return losses.list_mle(orders + 1, scores, self.epsilon)
