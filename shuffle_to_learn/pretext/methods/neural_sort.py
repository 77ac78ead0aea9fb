"""NeuralSort: a relaxation of the permutation matrix that sorts."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated

from annotated_types import Gt

from shuffle_to_learn.pretext.methods.base import RankingMethod

if TYPE_CHECKING:
    import tensorflow as tf


@dataclass(frozen=True)
class NeuralSort(RankingMethod):
    """Grover et al. 2019: the relaxed permutation matrix against the true permutation matrix.

    The loss is the cross-entropy, averaged over the rows (section 6.1).
    """

    temperature: Annotated[float, Gt(0)] = 1.0

    @property
    def scale(self) -> float:
        return self.temperature

    def loss(self, orders: tf.Tensor, scores: tf.Tensor, seed: tf.Tensor) -> tf.Tensor:
        import tensorflow as tf

        from shuffle_to_learn.ranking.neural_sort import neural_sort_logits

        entropies = tf.nn.sparse_softmax_cross_entropy_with_logits(
            labels=tf.argsort(orders, axis=-1, direction="DESCENDING"),  # place of i-th largest
            logits=neural_sort_logits(scores, self.temperature),
        )
        return tf.reduce_mean(entropies, axis=-1)
