"""Targets of classifiers: kinds, encoding, losses, decoding; and early stopping."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np
import tensorflow as tf


@dataclass(frozen=True)
class Target:
    """How the targets of a task are encoded for :func:`example_losses`, and outputs decoded.

    Attributes:
        kind: ``class`` for class numbers, ``value`` for real values, ``categories`` for whether
            each of C categories is there, 0 or 1.
        outputs: number of outputs of the network: the classes, 1 for a value, or C.
        mean: subtracted from real values; a number, or shape (M, 1) for M networks side by side.
        deviation: real values less their mean are divided by it; a number, or shape (M, 1).
    """

    kind: Literal["class", "value", "categories"]
    outputs: int
    mean: Any = 0.0
    deviation: Any = 1.0

    @classmethod
    def from_labels(cls, targets: np.ndarray, classes: int | None) -> Target:
        """The kind that targets of shape (N,) or (N, C) have; real values are not standardised.

        Args:
            targets: class numbers, real values, or categories.
            classes: number of classes, or None for real values and for categories.
        """
        if targets.ndim == 2:
            return cls("categories", targets.shape[1])
        return cls("value", 1) if classes is None else cls("class", classes)

    @property
    def dtype(self) -> type[np.number]:
        """The dtype of encoded targets."""
        return np.int32 if self.kind == "class" else np.float32

    def standardised(self, mean: Any, deviation: Any) -> Target:
        """The same target, with real values standardised by ``mean`` and ``deviation``."""
        return replace(self, mean=mean, deviation=deviation)

    def encode(self, values: np.ndarray | tf.Tensor) -> tf.Tensor:
        """Targets as :func:`example_losses` takes them, of :attr:`dtype` and the same shape."""
        if self.kind == "value":
            values = (values - self.mean) / self.deviation
        return tf.cast(values, self.dtype)

    def decode(self, results: Any) -> Any:
        """The answers that a network's results stand for.

        Args:
            results: an array or a tensor, shape (..., outputs).

        Returns:
            Class numbers (int64) or real values of shape (...), or log-odds of shape (..., C).
        """
        if self.kind == "class":
            return tf.argmax(results, axis=-1)
        if self.kind == "value":
            return results[..., 0] * self.deviation + self.mean
        return results


def example_losses(result: tf.Tensor, wanted: tf.Tensor) -> tf.Tensor:
    """One loss for each example.

    Args:
        result: float32, shape (..., outputs).
        wanted: encoded targets, by which the loss is chosen. Integers of shape (...) are class
            numbers: cross-entropy. Reals of shape (...) are values: squared error. 0 and 1 of shape
            (..., outputs) are categories: the mean over the outputs of their cross-entropies.

    Returns:
        float32, shape (...).
    """
    if wanted.dtype.is_integer:
        return tf.nn.sparse_softmax_cross_entropy_with_logits(labels=wanted, logits=result)
    if len(wanted.shape) == len(result.shape):
        each = tf.nn.sigmoid_cross_entropy_with_logits(labels=wanted, logits=result)
        return tf.reduce_mean(each, axis=-1)
    return tf.square(result[..., 0] - wanted)


class EarlyStopping:
    """Counts the looks at the validation part since the last improvement.

    Args:
        patience: looks without an improvement after which training stops.
    """

    def __init__(self, patience: int) -> None:
        self._patience = patience
        self._stale = 0

    def stops(self, improved: bool) -> bool:
        """Whether training stops after a look; to be called once for each look."""
        self._stale = 0 if improved else self._stale + 1
        return self._stale >= self._patience
