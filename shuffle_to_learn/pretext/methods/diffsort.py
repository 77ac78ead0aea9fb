"""DiffSort: a differentiable sorting network."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from shuffle_to_learn.pretext.methods.base import SoftRankingMethod

if TYPE_CHECKING:
    import tensorflow as tf


@dataclass(frozen=True)
class DiffSort(SoftRankingMethod):
    """Petersen et al. 2022: an odd-even network's soft permutation against the true permutation.

    The loss is the cross-entropy, averaged over the rows: that of NeuralSort here, from which this
    method differs in the relaxation alone. (The published code averages the binary cross-entropies
    of all entries.)
    """

    def loss(self, orders: tf.Tensor, scores: tf.Tensor, seed: tf.Tensor) -> tf.Tensor:
        import tensorflow as tf

        from shuffle_to_learn.ranking.sorting_network import sorting_network_logits

        entropies = tf.nn.sparse_softmax_cross_entropy_with_logits(
            labels=orders, logits=sorting_network_logits(scores, self.epsilon)
        )
        return tf.reduce_mean(entropies, axis=-1)
