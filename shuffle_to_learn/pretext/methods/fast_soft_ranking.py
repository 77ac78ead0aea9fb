"""Fast Soft Ranking: soft ranks by projection onto the permutahedron."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from shuffle_to_learn.pretext.methods.base import SoftRankingMethod

if TYPE_CHECKING:
    import tensorflow as tf


@dataclass(frozen=True)
class FastSoftRanking(SoftRankingMethod):
    """Blondel et al. 2020: half the squared distance between soft ranks and true ranks."""

    def loss(self, orders: tf.Tensor, scores: tf.Tensor, seed: tf.Tensor) -> tf.Tensor:
        from shuffle_to_learn.ranking import losses

        return losses.fast_soft_ranking(orders + 1, scores, self.epsilon)
