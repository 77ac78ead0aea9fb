"""Perturbed Fenchel-Young: ranking under Gaussian noise, by samples."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated

from annotated_types import Ge, Le

from shuffle_to_learn.pretext.methods.base import SoftRankingMethod

if TYPE_CHECKING:
    import tensorflow as tf


@dataclass(frozen=True)
class PerturbedFenchelYoung(SoftRankingMethod):
    """Berthet et al. 2020: the Fenchel-Young loss of Gaussian-perturbed ranking."""

    num_samples: Annotated[int, Ge(1), Le(100_000)] = 10

    def loss(self, orders: tf.Tensor, scores: tf.Tensor, seed: tf.Tensor) -> tf.Tensor:
        from shuffle_to_learn.ranking import losses

        return losses.perturbed_fenchel_young(
            orders + 1, scores, self.epsilon, self.num_samples, seed
        )
