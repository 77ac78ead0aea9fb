"""A CFN and a classifier on its embedding, trained together on few labelled inputs."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from itertools import pairwise

import keras
import numpy as np
import tensorflow as tf

from shuffle_to_learn import patches
from shuffle_to_learn.evaluation.probes import example_losses, split_validation
from shuffle_to_learn.slicing import Slicing

_EVALUATED = 250  # inputs at a time, where nothing is learned


@dataclass(frozen=True)
class Settings:
    """How network and classifier are trained.

    Attributes:
        hidden: units of each layer between the embedding and the last layer.
        dropout: on the hidden units, in [0, 1).
        learning_rate: Adam's.
        batch_size: inputs a step, drawn with replacement.
        steps: at most so many.
        evaluate_every: steps between two looks at the validation part.
        patience: looks without an improvement after which training ends.
    """

    hidden: tuple[int, ...] = (128, 128)
    dropout: float = 0.0
    learning_rate: float = 1e-3
    batch_size: int = 32
    steps: int = 400
    evaluate_every: int = 20
    patience: int = 5


def predict_end_to_end(
    model: keras.Model,
    inputs: np.ndarray,
    targets: np.ndarray,
    subsets: list[np.ndarray],
    queries: np.ndarray,
    *,
    slicing: Slicing,
    classes: int | None,
    layer: str = "joined",
    gap: int = 0,
    validation_share: float = 0.2,
    settings: Settings = Settings(),
    seed: int = 0,
    progress: Callable[[Iterable[int]], Iterable[int]] = iter,
) -> np.ndarray:
    """Train network and classifier on each subset of the inputs, and predict the queries with each.

    Every training starts from the model's weights: of a random CFN this is the supervised baseline,
    of a pretrained one it is fine-tuning. The patches are in their order. The embedding is shifted
    and scaled by what the first weights make of the subset, as a probe's inputs are. The weights
    kept are those with the lowest loss on the subset's validation part.

    Args:
        model: a CFN; its weights are as before in the end.
        inputs: shape (N, height, width[, channels]) or (N, frames, height, width, channels); may
            be memory-mapped: only rows in a subset are read.
        targets: shape (N,) or (N, C), as :func:`shuffle_to_learn.evaluation.probes.predict_with_probes` has
            them.
        subsets: M index arrays into the inputs, of any sizes.
        queries: inputs, T of them.
        slicing: as in pretraining.
        classes: number of classes, or None for real values and for categories.
        layer: the embedding, ``joined`` or ``tiles``.
        gap: as in pretraining: patches are placed at random in training.
        validation_share: share of each subset that is held out to choose the weights.
        settings: the same for all subsets.
        seed: of the classifier's weights, batches, gaps and dropout.
        progress: goes around the iteration over the numbers of the subsets, to show progress.

    Returns:
        Shape (M, T) or (M, T, C): as :func:`shuffle_to_learn.evaluation.probes.predict_with_probes`.

    Raises:
        FloatingPointError: where the loss on a validation part is never finite.

    Source: Shuffle to Learn, section 4.1, figure 3 (the supervised network).
    """
    targets = np.asarray(targets)
    real = classes is None and targets.ndim == 1
    outputs = targets.shape[1] if targets.ndim == 2 else classes or 1
    encoder = keras.Model(model.input, model.get_layer(layer).output)
    head = _head(encoder.output_shape[-1], outputs, settings.hidden, seed)
    shift, scale = tf.Variable(tf.zeros(encoder.output_shape[1:])), tf.Variable(1.0)
    trained = [*encoder.trainable_variables, *head]
    optimizer = keras.optimizers.Adam(settings.learning_rate)
    optimizer.build(trained)
    state = [*encoder.variables, *head, *optimizer.variables]
    start = [variable.numpy() for variable in state]

    def embedded(batch, training, seed=None):
        x = patches.cut(patches.as_images(batch), slicing, gap, seed)
        return tf.cast(encoder(x, training=training), tf.float32)

    def classified(embedding, seed=None):
        h = (embedding - shift) / scale
        for place in range(0, len(head), 2):
            h = tf.matmul(h, head[place].value) + head[place + 1].value
            if place < len(head) - 2:
                h = tf.nn.relu(h)
                if seed is not None and settings.dropout:
                    h = tf.nn.experimental.stateless_dropout(h, settings.dropout, seed + place)
        return h

    @tf.function
    def train(batch, wanted, seed):
        seeds = tf.random.split(seed, 2)
        with tf.GradientTape() as tape:
            result = classified(embedded(batch, True, seeds[0]), seeds[1])
            loss = tf.reduce_mean(example_losses(result, wanted))
        gradients = tape.gradient(loss, trained)
        optimizer.apply_gradients(zip(gradients, trained, strict=True))

    @tf.function(reduce_retracing=True)
    def embed(batch):
        return embedded(batch, False)

    @tf.function(reduce_retracing=True)
    def predict(batch):
        return classified(embedded(batch, False))

    def in_chunks(function, rows):
        starts = range(0, len(rows), _EVALUATED)
        return np.concatenate([function(rows[s : s + _EVALUATED]).numpy() for s in starts])

    predictions = []
    for number in progress(range(len(subsets))):
        fit, held = split_validation(subsets[number], validation_share)
        _assign(state, start)
        x, x_held = _rows(inputs, fit), _rows(inputs, held)
        embedding = in_chunks(embed, np.concatenate([x, x_held]))
        shift.assign(embedding.mean(0))
        scale.assign(max(float(np.sqrt(embedding.var(0).mean())), 1e-6))
        y, y_held = targets[fit], targets[held]
        if real:
            values = targets[subsets[number]]
            mean, deviation = values.mean(), max(values.std(), 1e-6)
            y, y_held = (y - mean) / deviation, (y_held - mean) / deviation
        kind = np.int32 if classes is not None and targets.ndim == 1 else np.float32
        y, y_held = y.astype(kind), tf.constant(y_held.astype(kind))

        rng = np.random.Generator(np.random.Philox(key=[seed, number]))
        best, best_loss, stale = None, np.inf, 0
        for step in range(1, settings.steps + 1):
            rows = rng.integers(len(fit), size=settings.batch_size)
            train(x[rows], y[rows], tf.constant([seed, settings.steps * number + step]))
            if step % settings.evaluate_every:
                continue
            loss = float(tf.reduce_mean(example_losses(in_chunks(predict, x_held), y_held)))
            stale = 0 if loss < best_loss else stale + 1
            if loss < best_loss:
                best, best_loss = [variable.numpy() for variable in state], loss
            if stale >= settings.patience:
                break
        if best is None:
            raise FloatingPointError("a network never reached a finite validation loss")
        _assign(state, best)
        result = in_chunks(predict, queries)
        if real:
            result = result[..., 0] * deviation + mean
        predictions.append(np.argmax(result, -1) if kind is np.int32 else result)
    _assign(state, start)
    return np.stack(predictions)


def _head(features: int, outputs: int, hidden: tuple[int, ...], seed: int) -> list[keras.Variable]:
    """Weights and biases of the layers after the embedding."""
    sizes = [features, *hidden, outputs]
    result = []
    for layer, (fan_in, fan_out) in enumerate(pairwise(sizes)):
        initial = tf.random.stateless_truncated_normal([fan_in, fan_out], [seed, layer])
        result.append(keras.Variable(initial * np.float32(np.sqrt(2 / fan_in))))
        result.append(keras.Variable(tf.zeros([1, fan_out])))
    return result


def _rows(inputs: np.ndarray, index: np.ndarray) -> np.ndarray:
    """Rows of an array that may be memory-mapped, read in the order that they lie in."""
    order = np.argsort(index)
    result = np.empty((len(index), *inputs.shape[1:]), inputs.dtype)
    result[order] = inputs[index[order]]
    return result


def _assign(variables: list, values: list[np.ndarray]) -> None:
    for variable, value in zip(variables, values, strict=True):
        variable.assign(value)
