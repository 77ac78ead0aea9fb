"""The pretraining methods: what is shuffled how, what the network puts out, what is minimised.

A method is one class and one entry in :data:`METHODS`.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from typing import Protocol

import numpy as np
import tensorflow as tf

from shuffle_to_learn import losses, ranking
from shuffle_to_learn.permutations import max_hamming_permutations


class Method(Protocol):
    """What pretraining needs of a method.

    ``orders`` are 0-based permutations, int32, shape (batch, n): place k of the shuffled sequence
    holds patch ``orders[:, k]``, so its true ranks are ``orders + 1``. Seeds are stateless, two
    integers.
    """

    n: int

    @property
    def outputs(self) -> int:
        """The size of the network's last layer."""

    def sample(self, batch: int | tf.Tensor, seed: tf.Tensor) -> tf.Tensor:
        """A fresh order for each example."""

    def loss(self, orders: tf.Tensor, scores: tf.Tensor, seed: tf.Tensor) -> tf.Tensor:
        """One value an example, shape (batch,)."""

    def predict(self, scores: tf.Tensor) -> tf.Tensor:
        """Predicted ranks 1..n, int32, shape (batch, n)."""


@dataclass(frozen=True)
class _Ranking:
    """A method that uses all n! permutations and puts out one score a patch."""

    n: int

    @property
    def outputs(self) -> int:
        return self.n

    def sample(self, batch: int | tf.Tensor, seed: tf.Tensor) -> tf.Tensor:
        return tf.argsort(tf.random.stateless_uniform([batch, self.n], seed), axis=-1)

    def predict(self, scores: tf.Tensor) -> tf.Tensor:
        return ranking.rank(scores)


@dataclass(frozen=True)
class MeanSquaredError(_Ranking):
    """Regress the ranks."""

    def loss(self, orders: tf.Tensor, scores: tf.Tensor, seed: tf.Tensor) -> tf.Tensor:
        return losses.rank_mean_squared_error(orders + 1, scores)


@dataclass(frozen=True)
class FastSoftRanking(_Ranking):
    """Blondel et al. 2020: soft ranks against the true ones."""

    epsilon: float = 1.0

    def loss(self, orders: tf.Tensor, scores: tf.Tensor, seed: tf.Tensor) -> tf.Tensor:
        return losses.fast_soft_ranking(orders + 1, scores, self.epsilon)


@dataclass(frozen=True)
class PerturbedFenchelYoung(_Ranking):
    """Berthet et al. 2020: the Fenchel-Young loss of Gaussian-perturbed ranking."""

    epsilon: float = 0.1
    num_samples: int = 10

    def loss(self, orders: tf.Tensor, scores: tf.Tensor, seed: tf.Tensor) -> tf.Tensor:
        return losses.perturbed_fenchel_young(
            orders + 1, scores, self.epsilon, self.num_samples, seed
        )


@dataclass(frozen=True)
class Random(MeanSquaredError):
    """The untrained encoder; its outputs are read as scores all the same, for comparison."""


@dataclass(frozen=True)
class FixedPermutations:
    """Noroozi & Favaro 2016: classify which of a fixed set of permutations was applied."""

    n: int
    permutations: int = 100
    seed: int = field(default=0, kw_only=True)

    @cached_property
    def _set(self) -> np.ndarray:
        return max_hamming_permutations(self.n, self.permutations, self.seed)

    @property
    def outputs(self) -> int:
        return len(self._set)  # made here: ValueError where there are not so many

    def _labels(self, batch: int | tf.Tensor, seed: tf.Tensor) -> tf.Tensor:
        return tf.random.stateless_uniform(
            [batch], seed, minval=0, maxval=self.permutations, dtype=tf.int32
        )

    def sample(self, batch: int | tf.Tensor, seed: tf.Tensor) -> tf.Tensor:
        return tf.gather(tf.constant(self._set), self._labels(batch, seed))

    def loss(self, orders: tf.Tensor, scores: tf.Tensor, seed: tf.Tensor) -> tf.Tensor:
        matches = tf.reduce_all(orders[:, None, :] == tf.constant(self._set)[None], axis=-1)
        labels = tf.argmax(matches, axis=-1)
        return tf.nn.sparse_softmax_cross_entropy_with_logits(labels=labels, logits=scores)

    def predict(self, scores: tf.Tensor) -> tf.Tensor:
        return tf.gather(tf.constant(self._set), tf.argmax(scores, axis=-1)) + 1


METHODS: dict[str, type] = {
    "random": Random,
    "fixed_permutations": FixedPermutations,
    "mse": MeanSquaredError,
    "fast_soft_ranking": FastSoftRanking,
    "perturbed_fy": PerturbedFenchelYoung,
}
