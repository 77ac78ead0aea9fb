"""A pretraining method of one's own, tried on made-up inputs before it goes into the study.

python -m examples.add_a_method

The class is all that docs/adding-a-method.md puts into a file of shuffle_to_learn/pretext/methods.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import tensorflow as tf

from shuffle_to_learn.models.cfn import build_cfn
from shuffle_to_learn.pretext.methods.base import SoftRankingMethod
from shuffle_to_learn.pretext.pretraining import Pretraining
from shuffle_to_learn.slicing import Slicing


@dataclass(frozen=True)
class ListNet(SoftRankingMethod):
    """Cao et al. 2007: cross-entropy of the softmax of the scores with that of the true ranks."""

    def loss(self, orders: tf.Tensor, scores: tf.Tensor, seed: tf.Tensor) -> tf.Tensor:
        true = tf.nn.softmax(tf.cast(orders, scores.dtype))
        return tf.nn.softmax_cross_entropy_with_logits(true, scores / self.epsilon)


def inputs(count: int, seed: int) -> np.ndarray:
    """Skies that grow darker from top to bottom, and clouds; shape (count, 40, 40)."""
    rng = np.random.default_rng(seed)
    sky = np.linspace(1, 0, 40)[:, None] * rng.uniform(0.8, 1.2, (count, 1, 1))
    return (sky + 0.2 * rng.normal(size=(count, 40, 40))).astype(np.float32)


def main() -> float:
    """Pretrain; print and return the share of patches of new inputs that are put back right."""
    slicing = Slicing.parse("frequency-5")  # five bands
    model = build_cfn(
        slicing.patches, (8, 40, 1), 5, width=1 / 16, tile_features=32, joined_features=64
    )
    training = Pretraining(
        model, ListNet(n=slicing.patches), slicing, learning_rate=1e-3, epochs=4, batch_size=32
    )
    train, new = inputs(640, seed=0), inputs(256, seed=1)
    for epoch in range(training.epochs):
        loss = training.run_epoch(train)["loss"]
        right = training.evaluate(new)["partial_ranks"]
        print(f"epoch {epoch + 1}: loss {loss:.3f}, put back right {right:.3f} (by chance 0.2)")
    return right


if __name__ == "__main__":
    main()
