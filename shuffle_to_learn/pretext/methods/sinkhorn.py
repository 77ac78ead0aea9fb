"""Sinkhorn ranking: soft ranks by entropic optimal transport."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated

from annotated_types import Ge, Le

from shuffle_to_learn.pretext.methods.base import SoftRankingMethod

if TYPE_CHECKING:
    import tensorflow as tf


@dataclass(frozen=True)
class Sinkhorn(SoftRankingMethod):
    """Half the squared distance between Sinkhorn ranks and true ranks.

    It differs from Fast Soft Ranking in the ranking operator alone.
    """

    iterations: Annotated[int, Ge(1), Le(1000)] = 20

    def loss(self, orders: tf.Tensor, scores: tf.Tensor, seed: tf.Tensor) -> tf.Tensor:
        import tensorflow as tf

        from shuffle_to_learn.ranking.sinkhorn import sinkhorn_rank

        error = sinkhorn_rank(scores, self.epsilon, self.iterations)
        error -= tf.cast(orders + 1, scores.dtype)
        return 0.5 * tf.reduce_sum(tf.square(error), axis=-1)
