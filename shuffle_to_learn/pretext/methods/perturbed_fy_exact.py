"""Perturbed Fenchel-Young, exact: the expectation over the noise in closed form."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated

from annotated_types import Ge

from shuffle_to_learn.pretext.methods.base import RankingMethod

if TYPE_CHECKING:
    import tensorflow as tf


@dataclass(frozen=True)
class ExactPerturbedFenchelYoung(RankingMethod):
    """Berthet et al. 2020, with the expectation in closed form in place of a mean of samples."""

    epsilon: Annotated[float, Ge(1e-37)] = 1.0

    @property
    def scale(self) -> float:
        return self.epsilon

    def loss(self, orders: tf.Tensor, scores: tf.Tensor, seed: tf.Tensor) -> tf.Tensor:
        from shuffle_to_learn.ranking import losses

        return losses.perturbed_fenchel_young(orders + 1, scores, self.epsilon, num_samples=None)
