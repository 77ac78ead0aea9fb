"""The protocol of a pretraining method, and the base classes of the ranking methods."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, ClassVar, Protocol

import numpy as np
from annotated_types import Ge

if TYPE_CHECKING:  # the params file is checked against the methods without TensorFlow
    import tensorflow as tf


class Method(Protocol):
    """A pretraining method: a frozen dataclass with these members.

    The settings of a method are its fields after ``n``, except keyword-only fields. Each is
    annotated with the type and range that the params file is checked against.

    ``orders`` are 0-based permutations, int32, shape (batch, n): place k of the shuffled sequence
    holds patch ``orders[:, k]``, so its true ranks are ``orders + 1``. ``scores`` are float32,
    shape (batch, ``outputs``). Seeds are stateless, two integers.
    """

    n: int
    trained: ClassVar[bool]
    """Whether the method trains the network; if so, its settings come with a learning rate."""
    ordering: ClassVar[bool]
    """Whether the method puts patches in order; if not, it has neither ``predict`` nor ``among``,
    and ``sample`` leaves patches in order."""
    all_orders: ClassVar[bool]
    """Whether ``sample`` draws from all n! permutations, each as likely as another."""
    crops: ClassVar[int]
    """How many crops of each input the network is given; 1: the input as it is."""

    @property
    def outputs(self) -> int:
        """The size of the network's last layer."""

    @property
    def scale(self) -> float:
        """The unit of the scores, above 0: a spread of many units saturates the loss."""

    def crop(self, inputs: tf.Tensor, seed: tf.Tensor) -> tf.Tensor:
        """The crops of each input one after another, where there are several; else not called."""

    def sample(self, batch: int | tf.Tensor, seed: tf.Tensor) -> tf.Tensor:
        """A fresh order for each example, shape (batch, n)."""

    def loss(self, orders: tf.Tensor, scores: tf.Tensor, seed: tf.Tensor) -> tf.Tensor:
        """One value an example, shape (batch,)."""

    def predict(self, scores: tf.Tensor) -> tf.Tensor:
        """Predicted ranks 1..n, int32, shape (batch, n)."""

    def among(self, scores: tf.Tensor, orders: np.ndarray) -> tf.Tensor:
        """Which of a set of orders was applied: its row, int32, shape (batch,).

        Args:
            scores: the network's.
            orders: the set, shape (m, n).
        """


@dataclass(frozen=True)
class RankingMethod:
    """A method that draws from all n! permutations and ranks one score a patch.

    Subclasses add the loss.
    """

    n: int
    trained: ClassVar[bool] = True
    ordering: ClassVar[bool] = True
    all_orders: ClassVar[bool] = True
    crops: ClassVar[int] = 1

    @property
    def outputs(self) -> int:
        return self.n

    @property
    def scale(self) -> float:
        return 1.0

    def sample(self, batch: int | tf.Tensor, seed: tf.Tensor) -> tf.Tensor:
        from shuffle_to_learn.pretext.permutations import random_permutations

        return random_permutations(batch, self.n, seed)

    def predict(self, scores: tf.Tensor) -> tf.Tensor:
        from shuffle_to_learn.ranking.sorting import rank

        return rank(scores)

    def among(self, scores: tf.Tensor, orders: np.ndarray) -> tf.Tensor:
        """The order whose ranks have the largest inner product with the scores."""
        import tensorflow as tf

        centred = scores - tf.reduce_mean(scores, axis=-1, keepdims=True)  # far from 0 it rounds
        products = tf.matmul(centred, tf.constant(orders, scores.dtype), transpose_b=True)
        return tf.argmax(products, axis=-1, output_type=tf.int32)


@dataclass(frozen=True)
class SoftRankingMethod(RankingMethod):
    """A ranking method whose loss is smooth over score differences of about ``epsilon``."""

    epsilon: Annotated[float, Ge(1e-37)] = 1.0

    @property
    def scale(self) -> float:
        return self.epsilon
