"""Perturbed Fenchel-Young, exact: the expectation over the noise in closed form."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from shuffle_to_learn.pretext.methods.base import SoftRankingMethod

if TYPE_CHECKING:
    import tensorflow as tf


@dataclass(frozen=True)
class ExactPerturbedFenchelYoung(SoftRankingMethod):
    """Berthet et al. 2020, with the expectation in closed form in place of a mean of samples."""

    def loss(self, orders: tf.Tensor, scores: tf.Tensor, seed: tf.Tensor) -> tf.Tensor:
        from shuffle_to_learn.ranking import losses

        return losses.perturbed_fenchel_young(orders + 1, scores, self.epsilon, num_samples=None)
