"""Fit what follows a target in order, not in value: Spearman's correlation as a loss.

    python -m examples.spearman

The target is an exponential of a hidden score, so a few values are huge. Least squares serves
those. The loss of a batch is 1 less Spearman's correlation, with soft ranks for the scores: it has
no use for the values. Here in a training loop of one's own.
"""

from __future__ import annotations

import keras
import numpy as np
import tensorflow as tf

from shuffle_to_learn import soft_spearman, spearman_rho


def data(examples: int, features: int = 20) -> tuple[np.ndarray, np.ndarray]:
    """Features, float32, shape (examples, features), and targets above 0, shape (examples,)."""
    rng = np.random.default_rng(0)
    x = rng.normal(size=(examples, features))
    score = x @ np.linspace(-1, 1, features) + rng.normal(size=examples)
    return x.astype(np.float32), np.exp(2 * score).astype(np.float32)


def squared_error(targets: tf.Tensor, scores: tf.Tensor) -> tf.Tensor:
    """The mean squared error of a batch, a number."""
    return tf.reduce_mean(tf.square(targets - scores))


def spearman_loss(targets: tf.Tensor, scores: tf.Tensor) -> tf.Tensor:
    """1 less the soft correlation of a batch, which is one list; a number.

    Epsilon goes with the spread of the scores: the order tells nothing of their scale.
    """
    epsilon = tf.stop_gradient(tf.math.reduce_std(scores)) / 10
    return soft_spearman(targets, scores, epsilon)


def trained(loss, x: np.ndarray, y: np.ndarray) -> keras.Model:
    """A linear model, trained by a loss of batches."""
    keras.utils.set_random_seed(1)
    model = keras.Sequential([keras.layers.Input(x.shape[1:]), keras.layers.Dense(1)])
    optimizer = keras.optimizers.Adam(0.02)
    optimizer.build(model.trainable_variables)

    @tf.function
    def step(x: tf.Tensor, y: tf.Tensor) -> None:
        with tf.GradientTape() as tape:
            value = loss(y, model(x)[:, 0])
        variables = model.trainable_variables
        optimizer.apply(tape.gradient(value, variables), variables)

    batches = tf.data.Dataset.from_tensor_slices((x, y)).shuffle(len(x), seed=0)
    for batch in batches.batch(100, drop_remainder=True).repeat(10):
        step(*batch)
    return model


def main() -> dict[str, float]:
    """Train by both losses; print and return Spearman's correlation on 2,000 new examples."""
    x, y = data(4000)
    found = {}
    for loss in (squared_error, spearman_loss):
        scores = trained(loss, x[2000:], y[2000:])(x[:2000])[:, 0]
        found[loss.__name__] = float(spearman_rho(y[:2000], scores))
        print(f"{loss.__name__:15} rho {found[loss.__name__]:.3f}")
    return found


if __name__ == "__main__":
    main()
