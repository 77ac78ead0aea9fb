"""The share of right ranks, and rank correlations, as Keras metrics."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import keras
import tensorflow as tf

from shuffle_to_learn.ranking.checks import permutation_set
from shuffle_to_learn.ranking.correlations import kendall_tau, spearman_rho
from shuffle_to_learn.ranking.keras_parts import as_lists
from shuffle_to_learn.ranking.losses import partial_ranks
from shuffle_to_learn.ranking.sorting import rank


class _ListMetric(keras.metrics.Mean):
    """The mean, over lists that may be padded, of a number that is the larger the better."""

    _direction = "up"

    def __init__(self, mask_zero: bool, name: str, dtype: Any) -> None:
        super().__init__(name=name, dtype=dtype)
        self.mask_zero = mask_zero

    def update_state(self, y_true: Any, y_pred: Any, sample_weight: Any = None) -> None:
        mask = getattr(y_pred, "_keras_mask", None)
        y_true, y_pred = tf.convert_to_tensor(y_true), tf.convert_to_tensor(y_pred)
        y_true, y_pred, mask = as_lists(y_true, y_pred, mask, self.mask_zero)
        if mask is not None:  # a list without values is not counted
            there = tf.cast(tf.reduce_any(mask, axis=-1), self.dtype)
            if sample_weight is not None:
                there *= tf.reshape(tf.cast(sample_weight, self.dtype), tf.shape(there))
            sample_weight = there
        super().update_state(self._of_lists(y_true, y_pred, mask), sample_weight)

    def _of_lists(self, ranks: tf.Tensor, scores: tf.Tensor, mask: tf.Tensor | None) -> tf.Tensor:
        raise NotImplementedError

    def get_config(self) -> dict[str, Any]:
        return {"name": self.name, "dtype": self.dtype, "mask_zero": self.mask_zero}


@keras.saving.register_keras_serializable("shuffle_to_learn")
class PartialRanks(_ListMetric):
    """The share of patches whose predicted rank is right; by chance 1/n.

    Args:
        permutations: the set that the network classifies, each a permutation of 1..n; None where
            the network puts out scores, whose ranks are then the predicted ranks.
        mask_zero: whether a true rank of 0 says that there is no value.
        name, dtype: as in ``keras.metrics.Metric``.

    Call arguments:
        y_true: ranks 1..n, shape (batch, ..., n).
        y_pred: scores, the same shape, or with a further axis of length 1; or logits, shape
            (batch, ..., number of permutations). The Keras mask of scores, shape (batch, ..., n),
            says which are no values.

    Source: Shuffle to Learn, section 4 ("partial ranks").
    """

    def __init__(
        self,
        permutations: Sequence[Sequence[int]] | None = None,
        name: str = "partial_ranks",
        dtype: Any = None,
        mask_zero: bool = False,
    ) -> None:
        super().__init__(mask_zero, name, dtype)
        self.permutations = None if permutations is None else permutation_set(permutations)

    def _of_lists(self, ranks: tf.Tensor, scores: tf.Tensor, mask: tf.Tensor | None) -> tf.Tensor:
        if self.permutations is None:
            return partial_ranks(ranks, rank(scores, mask=mask), mask=mask)
        predicted = tf.gather(tf.constant(self.permutations), tf.argmax(scores, axis=-1))
        return partial_ranks(ranks, predicted, mask=mask)

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "permutations": self.permutations}


@keras.saving.register_keras_serializable("shuffle_to_learn")
class Spearman(_ListMetric):
    """Spearman's rank correlation of scores with true ranks, the mean over lists.

    Args:
        mask_zero: whether a true rank of 0 says that there is no value.
        name, dtype: as in ``keras.metrics.Metric``.

    Call arguments:
        y_true: ranks, or any values in their order, shape (batch, ..., n).
        y_pred: scores, the same shape, or with a further axis of length 1, and their Keras mask.

    Source: :func:`shuffle_to_learn.ranking.spearman_rho`.
    """

    def __init__(self, name: str = "spearman", dtype: Any = None, mask_zero: bool = False) -> None:
        super().__init__(mask_zero, name, dtype)

    def _of_lists(self, ranks: tf.Tensor, scores: tf.Tensor, mask: tf.Tensor | None) -> tf.Tensor:
        return spearman_rho(ranks, scores, mask=mask)


@keras.saving.register_keras_serializable("shuffle_to_learn")
class Kendall(_ListMetric):
    """Kendall's rank correlation of scores with true ranks, the mean over lists.

    Args:
        mask_zero, name, dtype: as in :class:`Spearman`.

    Call arguments:
        y_true, y_pred: as of Spearman.

    Source: :func:`shuffle_to_learn.ranking.kendall_tau`.
    """

    def __init__(self, name: str = "kendall", dtype: Any = None, mask_zero: bool = False) -> None:
        super().__init__(mask_zero, name, dtype)

    def _of_lists(self, ranks: tf.Tensor, scores: tf.Tensor, mask: tf.Tensor | None) -> tf.Tensor:
        return kendall_tau(ranks, scores, mask=mask)
