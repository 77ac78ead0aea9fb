"""Differentiable ranking as Keras layers."""

from __future__ import annotations

from typing import Any

import keras
import tensorflow as tf

from shuffle_to_learn.ranking.checks import at_least_one, positive
from shuffle_to_learn.ranking.perturbed import perturbed_rank
from shuffle_to_learn.ranking.projection import soft_rank


class _RankLayer(keras.layers.Layer):
    """A layer without weights whose outputs have the shape of its inputs."""

    _settings: tuple[str, ...] = ()

    def compute_output_shape(self, input_shape: tuple[int | None, ...]) -> tuple[int | None, ...]:
        return input_shape

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), **{name: getattr(self, name) for name in self._settings}}


@keras.saving.register_keras_serializable("shuffle_to_learn")
class SoftRank(_RankLayer):
    """Soft ranks of the last axis, see :func:`shuffle_to_learn.ranking.soft_rank`.

    Args:
        epsilon: regularisation strength, > 0.

    Call arguments:
        inputs: floating, shape (batch, ..., n).

    Returns:
        Ranks in [1, n], the same shape, in the layer's compute dtype. (bfloat16
        rounds ranks above 256 and float16 above 2048: give such a layer ``dtype="float32"``.)
    """

    _settings = ("epsilon",)

    def __init__(self, epsilon: float = 1.0, **options: Any) -> None:
        super().__init__(**options)
        self.epsilon = positive(epsilon)

    def call(self, inputs: tf.Tensor) -> tf.Tensor:
        return soft_rank(inputs, self.epsilon)


@keras.saving.register_keras_serializable("shuffle_to_learn")
class PerturbedRank(_RankLayer):
    """Perturbed ranks of the last axis, see :func:`shuffle_to_learn.ranking.perturbed_rank`.

    Args:
        epsilon: standard deviation of the noise, > 0.
        num_samples: number of draws; None for the expectation in closed form.
        seed: integer that makes every run draw the same; each call within a run draws anew.

    Call arguments:
        inputs: floating, shape (batch, ..., n).

    Returns:
        Ranks in [1, n], the same shape and dtype rule as :class:`SoftRank`.
    """

    _settings = ("epsilon", "num_samples", "seed")

    def __init__(
        self,
        epsilon: float = 0.1,
        num_samples: int | None = 10,
        seed: int | None = None,
        **options: Any,
    ) -> None:
        super().__init__(**options)
        self.epsilon = positive(epsilon)
        self.num_samples = at_least_one(num_samples)
        self.seed = seed
        self._seeds = keras.random.SeedGenerator(seed)

    def call(self, inputs: tf.Tensor) -> tf.Tensor:
        seed = None if self.num_samples is None else self._seeds.next()
        return perturbed_rank(inputs, self.epsilon, self.num_samples, seed)
