"""Targets of classifiers: kinds, encoding, decoding, losses; and early stopping."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

import numpy as np


@dataclass(frozen=True)
class Target:
    """What a task asks for: how its targets are encoded, outputs decoded, and errors counted.

    Attributes:
        kind: ``class`` for class numbers, ``value`` for real values, ``categories`` for whether
            each of C categories is there, 0 or 1.
        outputs: number of outputs of the network: the classes, 1 for a value, or C.
        mean: subtracted from real values.
        deviation: real values less their mean are divided by it.
    """

    kind: Literal["class", "value", "categories"]
    outputs: int
    mean: float = 0.0
    deviation: float = 1.0

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

    def standardised(self, mean: float, deviation: float) -> Target:
        """The same target, with real values standardised by ``mean`` and ``deviation``."""
        return replace(self, mean=mean, deviation=deviation)

    def encode(self, values: np.ndarray) -> np.ndarray:
        """Targets as losses take them: int32 class numbers, or float32, of the same shape."""
        if self.kind == "class":
            return values.astype(np.int32)
        if self.kind == "value":
            values = (values - self.mean) / self.deviation
        return values.astype(np.float32)

    def decode(self, results: np.ndarray) -> np.ndarray:
        """The answers that a network's results stand for.

        Args:
            results: shape (..., outputs).

        Returns:
            Class numbers (int64) or real values of shape (...), or log-odds of shape (..., C).
        """
        if self.kind == "class":
            return results.argmax(axis=-1)
        if self.kind == "value":
            return results[..., 0] * self.deviation + self.mean
        return results

    def losses(self, results: np.ndarray, wanted: np.ndarray) -> np.ndarray:
        """One loss for each example.

        The cross-entropy for classes, the squared error for real values, and the mean of the C
        cross-entropies for categories.

        Args:
            results: floating, shape (T, outputs).
            wanted: encoded targets, shape (T,) or (T, C).

        Returns:
            The dtype of the results, shape (T,).
        """
        if self.kind == "class":
            shifted = results - results.max(axis=1, keepdims=True)
            return np.log(np.exp(shifted).sum(axis=1)) - shifted[np.arange(len(wanted)), wanted]
        if self.kind == "value":
            return np.square(results[:, 0] - wanted)
        each = np.maximum(results, 0) - results * wanted + np.log1p(np.exp(-np.abs(results)))
        return each.mean(axis=1)

    def slopes(self, results: np.ndarray, wanted: np.ndarray) -> np.ndarray:
        """The derivative of each example's loss by each of its results: shape (T, outputs).

        Args:
            results, wanted: as in :meth:`losses`.
        """
        if self.kind == "class":
            share = np.exp(results - results.max(axis=1, keepdims=True))
            share /= share.sum(axis=1, keepdims=True)
            share[np.arange(len(wanted)), wanted] -= 1
            return share
        if self.kind == "value":
            return 2 * (results - wanted[:, None])
        odds = np.exp(-np.abs(results))
        return (np.where(results < 0, odds, 1) / (1 + odds) - wanted) / self.outputs


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
