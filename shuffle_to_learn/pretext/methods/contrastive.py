"""Contrastive learning: which two crops are of one input. A reference that orders no patches."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, ClassVar

from annotated_types import Ge

if TYPE_CHECKING:
    import tensorflow as tf


@dataclass(frozen=True)
class Contrastive:
    """NT-Xent: for each crop, the other crop of its input is told from all others of the batch.

    The scores are a projection of the embedding; the cosines of two, divided by the temperature,
    are the logits. The patches of a crop are in order.

    Source: Chen et al. 2020 (SimCLR), arXiv 2002.05709, section 2.1; the crops of a spectrogram:
    Saeed et al. 2021 (COLA), arXiv 2010.10915.
    """

    n: int
    temperature: Annotated[float, Ge(1e-3)] = 0.1
    trained: ClassVar[bool] = True
    ordering: ClassVar[bool] = False
    all_orders: ClassVar[bool] = False
    crops: ClassVar[int] = 2

    @property
    def outputs(self) -> int:
        return 64

    @property
    def scale(self) -> float:
        return 1.0

    def crop(self, inputs: tf.Tensor, seed: tf.Tensor) -> tf.Tensor:
        from shuffle_to_learn.pretext.crops import random_crops

        return random_crops(inputs, self.crops, seed)

    def sample(self, batch: int | tf.Tensor, seed: tf.Tensor) -> tf.Tensor:
        import tensorflow as tf

        return tf.tile(tf.range(self.n)[None], [batch, 1])

    def loss(self, orders: tf.Tensor, scores: tf.Tensor, seed: tf.Tensor) -> tf.Tensor:
        import tensorflow as tf

        directions = tf.math.l2_normalize(scores, axis=-1)
        cosines = tf.matmul(directions, directions, transpose_b=True)
        logits = cosines / self.temperature
        # No crop is told from itself.
        itself = tf.fill(tf.shape(logits)[:1], logits.dtype.min)
        logits = tf.linalg.set_diag(logits, itself)
        partners = tf.bitwise.bitwise_xor(tf.range(tf.shape(scores)[0]), 1)
        return tf.nn.sparse_softmax_cross_entropy_with_logits(labels=partners, logits=logits)
