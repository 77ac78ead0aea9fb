"""What the Keras losses, layers and metrics share: settings, an epsilon, padded lists."""

from __future__ import annotations

from typing import Any, ClassVar

import keras
import tensorflow as tf

from shuffle_to_learn.ranking.checks import Epsilon, positive


def kept_settings(owner: Any, names: tuple[str, ...]) -> dict[str, Any]:
    """Settings as they are saved with a model; a variable as its value under ``variable``."""
    settings = {name: getattr(owner, name) for name in names}
    return {
        name: {"variable": float(value)} if isinstance(value, keras.Variable) else value
        for name, value in settings.items()
    }


class WithEpsilon:
    """A Keras object with an ``epsilon``: a number that stays as it is, or a ``keras.Variable``."""

    _may_be_zero: ClassVar[bool] = True

    def _set_epsilon(self, epsilon: Any) -> None:
        if isinstance(epsilon, dict):  # saved by kept_settings
            epsilon = keras.Variable(epsilon["variable"], trainable=False)
        positive(epsilon, self._may_be_zero)
        self._epsilon = epsilon if isinstance(epsilon, keras.Variable) else float(epsilon)

    @property
    def epsilon(self) -> Epsilon:
        """The number, or the variable."""
        return self._epsilon

    @epsilon.setter
    def epsilon(self, value: float) -> None:
        if not isinstance(self._epsilon, keras.Variable):
            raise AttributeError(
                "a compiled model keeps the epsilon that it was built with: make epsilon a "
                "keras.Variable(..., trainable=False), which may be changed"
            )
        positive(value, self._may_be_zero)
        self._epsilon.assign(value)


def as_lists(
    y_true: tf.Tensor, y_pred: tf.Tensor, mask: tf.Tensor | None, mask_zero: bool
) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor | None]:
    """Ranks and scores of one shape, (batch, ..., n), and their mask.

    Args:
        y_true: ranks, shape (batch, ..., n).
        y_pred: scores, the same shape, or with a further axis of length 1.
        mask: the Keras mask of the scores, shape (batch, ..., n), or None.
        mask_zero: whether a true rank of 0 says that there is no value.
    """
    rank = y_true.shape.rank
    if rank and y_pred.shape.rank == rank + 1 and y_pred.shape[-1] == 1:
        y_pred = tf.squeeze(y_pred, axis=-1)
    mask = fitting(mask, y_pred)
    if mask_zero:
        there = tf.not_equal(y_true, 0)
        mask = there if mask is None else there & mask
    return y_true, y_pred, mask


def fitting(mask: tf.Tensor | None, values: tf.Tensor) -> tf.Tensor | None:
    """A Keras mask as one for the values: one without their last axis is for all along it."""
    if mask is None:
        return None
    mask = tf.cast(mask, tf.bool)
    return mask[..., None] if mask.shape.rank == values.shape.rank - 1 else mask
