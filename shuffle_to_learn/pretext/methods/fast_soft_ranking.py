"""Fast Soft Ranking: soft ranks by projection onto the permutahedron."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated

from annotated_types import Ge

from shuffle_to_learn.pretext.methods.base import RankingMethod

if TYPE_CHECKING:
    import tensorflow as tf


@dataclass(frozen=True)
class FastSoftRanking(RankingMethod):
    """Blondel et al. 2020: half the squared distance between soft ranks and true ranks."""

    epsilon: Annotated[float, Ge(1e-37)] = 1.0

    @property
    def scale(self) -> float:
        return self.epsilon

    def loss(self, orders: tf.Tensor, scores: tf.Tensor, seed: tf.Tensor) -> tf.Tensor:
        from shuffle_to_learn.ranking import losses

        return losses.fast_soft_ranking(orders + 1, scores, self.epsilon)
