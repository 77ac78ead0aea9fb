"""Differentiable ranking as Keras layers."""

from __future__ import annotations

from typing import Any

import keras
import tensorflow as tf

from shuffle_to_learn.ranking.checks import Epsilon, at_least_one
from shuffle_to_learn.ranking.keras_parts import WithEpsilon, fitting, kept_settings
from shuffle_to_learn.ranking.perturbed import known_noise, perturbed_rank
from shuffle_to_learn.ranking.projection import known_regularization, soft_rank


class _RankLayer(WithEpsilon, keras.layers.Layer):
    """A layer without weights whose outputs have the shape of its inputs, and their mask."""

    _settings: tuple[str, ...] = ()

    def __init__(self, epsilon: Epsilon, **options: Any) -> None:
        super().__init__(**options)
        self._set_epsilon(epsilon)
        self.supports_masking = True

    def compute_output_shape(self, input_shape: tuple[int | None, ...]) -> tuple[int | None, ...]:
        return input_shape

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), **kept_settings(self, self._settings)}


@keras.saving.register_keras_serializable("shuffle_to_learn")
class SoftRank(_RankLayer):
    """Soft ranks of the last axis, see :func:`shuffle_to_learn.ranking.soft_rank`.

    Args:
        epsilon: regularisation strength, >= 0; a ``keras.Variable`` may be changed in training.
        regularization: ``"l2"`` or ``"kl"``.

    Call arguments:
        inputs: floating, shape (batch, ..., n).
        mask: boolean, the same shape, see soft_rank; by default the Keras mask of the inputs.

    Returns:
        Ranks in [1, n], the same shape, in the layer's compute dtype. (bfloat16
        rounds ranks above 256 and float16 above 2048: give such a layer ``dtype="float32"``.)
    """

    _settings = ("epsilon", "regularization")

    def __init__(self, epsilon: Epsilon = 1.0, regularization: str = "l2", **options: Any) -> None:
        super().__init__(epsilon, **options)
        self.regularization = known_regularization(regularization)

    def call(self, inputs: tf.Tensor, mask: tf.Tensor | None = None) -> tf.Tensor:
        return soft_rank(
            inputs,
            self.epsilon,
            regularization=self.regularization,
            mask=fitting(mask, inputs),
        )


@keras.saving.register_keras_serializable("shuffle_to_learn")
class PerturbedRank(_RankLayer):
    """Perturbed ranks of the last axis, see :func:`shuffle_to_learn.ranking.perturbed_rank`.

    Args:
        epsilon: standard deviation of the noise, as in :class:`SoftRank`.
        num_samples: number of draws; None for the expectation in closed form.
        seed: integer that makes every run draw the same; each call within a run draws anew.
        noise: ``"normal"`` or ``"gumbel"``.

    Call arguments:
        inputs, mask: as of SoftRank.

    Returns:
        Ranks in [1, n], the same shape and dtype rule as :class:`SoftRank`.
    """

    _settings = ("epsilon", "num_samples", "seed", "noise")

    def __init__(
        self,
        epsilon: Epsilon = 0.1,
        num_samples: int | None = 10,
        seed: int | None = None,
        noise: str = "normal",
        **options: Any,
    ) -> None:
        super().__init__(epsilon, **options)
        self.num_samples = at_least_one(num_samples)
        self.seed = seed
        self.noise = known_noise(noise)
        self._seeds = keras.random.SeedGenerator(seed)

    def call(self, inputs: tf.Tensor, mask: tf.Tensor | None = None) -> tf.Tensor:
        seed = None if self.num_samples is None else self._seeds.next()
        return perturbed_rank(
            inputs,
            self.epsilon,
            self.num_samples,
            seed,
            noise=self.noise,
            mask=fitting(mask, inputs),
        )
