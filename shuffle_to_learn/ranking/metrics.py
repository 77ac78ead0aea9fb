"""The share of right ranks as a Keras metric."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import keras
import tensorflow as tf

from shuffle_to_learn.ranking.checks import permutation_set
from shuffle_to_learn.ranking.losses import partial_ranks
from shuffle_to_learn.ranking.sorting import rank


@keras.saving.register_keras_serializable("shuffle_to_learn")
class PartialRanks(keras.metrics.MeanMetricWrapper):
    """The share of patches whose predicted rank is right; by chance 1/n.

    Args:
        permutations: the set that the network classifies, each a permutation of 1..n; None where
            the network puts out scores, whose ranks are then the predicted ranks.
        name, dtype: as in ``keras.metrics.Metric``.

    Call arguments:
        y_true: ranks 1..n, shape (batch, ..., n).
        y_pred: scores, the same shape, or logits, shape (batch, ..., number of permutations).

    Source: Shuffle to Learn, section 4 ("partial ranks").
    """

    def __init__(
        self,
        permutations: Sequence[Sequence[int]] | None = None,
        name: str = "partial_ranks",
        dtype: Any = None,
    ) -> None:
        super().__init__(self._share_right, name=name, dtype=dtype)
        self.permutations = None if permutations is None else permutation_set(permutations)
        self._direction = "up"

    def _share_right(self, y_true: tf.Tensor, y_pred: tf.Tensor) -> tf.Tensor:
        if self.permutations is None:
            predicted = rank(y_pred)
        else:
            predicted = tf.gather(tf.constant(self.permutations), tf.argmax(y_pred, axis=-1))
        return partial_ranks(y_true, predicted)

    def get_config(self) -> dict[str, Any]:
        return {"name": self.name, "dtype": self.dtype, "permutations": self.permutations}
