"""Position classification: for each patch, a classification of the place that it came from."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from shuffle_to_learn.pretext.methods.base import RankingMethod

if TYPE_CHECKING:
    import tensorflow as tf


@dataclass(frozen=True)
class PositionClassification(RankingMethod):
    """Each patch's place in order, as one of n classes: the cross-entropy, averaged over patches.

    The scores are n logits for each patch. The ranks are the assignment of patches to places whose
    logits have the greatest sum, so no two are alike.

    Source: Zhai et al. 2022 (MP3), arXiv 2207.07611; Chen et al. 2023 (Jigsaw-ViT), arXiv
    2207.11971; Wang et al. 2023 (DropPos), arXiv 2309.03576; here no patch is masked. The
    assignment: Crouse 2016, "On implementing 2D rectangular assignment algorithms".
    """

    @property
    def outputs(self) -> int:
        return self.n * self.n

    def loss(self, orders: tf.Tensor, scores: tf.Tensor, seed: tf.Tensor) -> tf.Tensor:
        import tensorflow as tf

        entropies = tf.nn.sparse_softmax_cross_entropy_with_logits(
            labels=orders, logits=self._by_patch(scores)
        )
        return tf.reduce_mean(entropies, axis=-1)

    def predict(self, scores: tf.Tensor) -> tf.Tensor:
        import tensorflow as tf

        logits = self._by_patch(scores)
        places = tf.numpy_function(_assigned, [logits], tf.int32, stateful=False)
        return tf.ensure_shape(places, logits.shape[:-1]) + 1

    def among(self, scores: tf.Tensor, orders: np.ndarray) -> tf.Tensor:
        """The order whose places have logits of the largest sum."""
        import tensorflow as tf

        places = tf.reshape(tf.one_hot(orders, self.n), [-1, self.outputs])
        sums = tf.matmul(scores, places, transpose_b=True)
        return tf.argmax(sums, axis=-1, output_type=tf.int32)

    def _by_patch(self, scores: tf.Tensor) -> tf.Tensor:
        """The logits of each patch, shape (batch, n, n)."""
        import tensorflow as tf

        return tf.reshape(scores, [-1, self.n, self.n])


def _assigned(logits: np.ndarray) -> np.ndarray:
    """The place of each patch, 0-based, int32, shape (batch, n)."""
    from scipy.optimize import linear_sum_assignment

    known = np.nan_to_num(logits)  # a training that diverges is stopped by its loss
    places = [linear_sum_assignment(example, maximize=True)[1] for example in known]
    return np.array(places, np.int32).reshape(logits.shape[:-1])
