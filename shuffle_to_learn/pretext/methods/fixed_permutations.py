"""Fixed permutations: classify which permutation of a set was applied."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Annotated, ClassVar

import numpy as np
from annotated_types import Ge, Le

from shuffle_to_learn.pretext.permutations import max_hamming_permutations

if TYPE_CHECKING:
    import tensorflow as tf


@dataclass(frozen=True)
class FixedPermutations:
    """Noroozi & Favaro 2016: classify which of a fixed set of permutations was applied.

    The scores are logits over the set, so ``score_spread`` is a spread of logits.
    """

    n: int
    permutations: Annotated[int, Ge(2), Le(10_000)] = 100
    seed: int = field(default=0, kw_only=True)
    trained: ClassVar[bool] = True
    ordering: ClassVar[bool] = True
    all_orders: ClassVar[bool] = False
    crops: ClassVar[int] = 1

    @cached_property
    def _set(self) -> np.ndarray:
        return max_hamming_permutations(self.n, self.permutations, self.seed)

    @property
    def outputs(self) -> int:
        return len(self._set)  # made here: ValueError where there are fewer permutations

    @property
    def scale(self) -> float:
        return 1.0

    def sample(self, batch: int | tf.Tensor, seed: tf.Tensor) -> tf.Tensor:
        import tensorflow as tf

        labels = tf.random.stateless_uniform(
            [batch], seed, minval=0, maxval=self.permutations, dtype=tf.int32
        )
        return tf.gather(tf.constant(self._set), labels)

    def loss(self, orders: tf.Tensor, scores: tf.Tensor, seed: tf.Tensor) -> tf.Tensor:
        from shuffle_to_learn.ranking import losses

        return losses.permutation_cross_entropy(orders + 1, scores, self._set + 1)

    def predict(self, scores: tf.Tensor) -> tf.Tensor:
        import tensorflow as tf

        return tf.gather(tf.constant(self._set), tf.argmax(scores, axis=-1)) + 1

    def among(self, scores: tf.Tensor, orders: np.ndarray) -> tf.Tensor:
        """The order with the largest logit.

        Raises:
            ValueError: where one is not of the method's own set.
        """
        import tensorflow as tf

        own = (np.asarray(orders)[:, None] == self._set).all(axis=-1)
        if not own.any(axis=1).all():
            raise ValueError("an order is not one of the fixed permutations")
        logits = tf.gather(scores, own.argmax(axis=1), axis=-1)
        return tf.argmax(logits, axis=-1, output_type=tf.int32)
