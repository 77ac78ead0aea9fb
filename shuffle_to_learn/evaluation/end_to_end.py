"""Train a CFN together with a classifier on its embedding, on few labelled inputs."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from itertools import pairwise
from typing import NamedTuple

import keras
import numpy as np
import tensorflow as tf

from shuffle_to_learn import patches
from shuffle_to_learn.evaluation.probes import split_validation
from shuffle_to_learn.evaluation.targets import EarlyStopping, Target
from shuffle_to_learn.models.adam import Adam
from shuffle_to_learn.models.forward import forward
from shuffle_to_learn.slicing import Slicing

_EVALUATED = 250  # inputs at a time, outside training


@dataclass(frozen=True)
class Settings:
    """How network and classifier are trained.

    Attributes:
        hidden: units of each layer between the embedding and the last layer.
        dropout: share of the hidden units that are dropped, in [0, 1).
        learning_rate: of Adam.
        batch_size: inputs per step, drawn with replacement.
        steps: the largest number of steps.
        evaluate_every: steps between two looks at the validation part.
        patience: training ends after this many looks in a row without an improvement.
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

    Every training starts from the model's weights: a random CFN gives the supervised baseline, a
    pretrained CFN is fine-tuned. The patches are in their original order. The classifier's inputs
    are standardised by the mean and deviation of the subset's embedding under the first weights.
    Each training keeps the weights with the lowest loss on the validation part of its subset.

    Args:
        model: a CFN; on return it has the weights that it came with.
        inputs: shape (N, height, width[, channels]) or (N, frames, height, width, channels); may
            be memory-mapped: only rows in a subset are read.
        targets: shape (N,) or (N, C), as in
            :func:`shuffle_to_learn.evaluation.probes.predict_with_probes`.
        subsets: M index arrays into the inputs, of any sizes.
        queries: T inputs.
        slicing: as in pretraining.
        classes: number of classes, or None for real values and for categories.
        layer: the embedding, ``joined`` or ``tiles``.
        gap: as in pretraining: patches are placed at random in training.
        validation_share: share of each subset that is held out to choose the weights.
        settings: the same for all subsets.
        seed: of the classifier's weights, batches, gaps and dropout.
        progress: wraps the iteration over the numbers of the subsets, to show progress.

    Returns:
        Shape (M, T) or (M, T, C), as in
        :func:`shuffle_to_learn.evaluation.probes.predict_with_probes`.

    Raises:
        FloatingPointError: the loss on a validation part was never finite.

    Source: Shuffle to Learn, section 4.1, figure 3 (the supervised network).
    """
    targets = np.asarray(targets)
    target = Target.from_labels(targets, classes)
    network = _Network(model, layer, target.outputs, slicing, gap, settings, seed)
    start = network.state()
    predictions = []
    try:
        for number in progress(range(len(subsets))):
            network.restore(start)
            subset = subsets[number]
            if target.kind == "value":
                target = target.standardised(*_moments(targets[subset]))
            fit, held = (
                _Part(_rows(inputs, rows), target.encode(targets[rows]))
                for rows in split_validation(subset, validation_share)
            )
            network.standardise(np.concatenate([fit.inputs, held.inputs]))
            _train(network, fit, held, settings, seed, number)
            predictions.append(target.decode(network.predict(queries)))
    finally:
        network.restore(start)
    return np.stack(predictions)


class _Part(NamedTuple):
    """Inputs and their encoded targets, in the same order."""

    inputs: np.ndarray
    targets: np.ndarray


class _Network:
    """An encoder, a classifier on its embedding, and the optimizer of both.

    Args:
        model: a CFN; its variables up to the embedding are trained in place.
        layer: the embedding.
        outputs: of the classifier.
        slicing, gap: how inputs are cut into patches.
        settings: hidden layers, dropout and learning rate.
        seed: of the classifier's weights.
    """

    def __init__(
        self,
        model: keras.Model,
        layer: str,
        outputs: int,
        slicing: Slicing,
        gap: int,
        settings: Settings,
        seed: int,
    ) -> None:
        encoder = keras.Model(model.input, model.get_layer(layer).output)
        self._model, self._layer, self._slicing, self._gap = model, layer, slicing, gap
        self._head = _head(encoder.output_shape[-1], outputs, settings.hidden, seed)
        self._dropout = settings.dropout
        self._shift = tf.Variable(tf.zeros(encoder.output_shape[1:]))
        self._scale = tf.Variable(1.0)
        self._trained = [*encoder.trainable_variables, *self._head]
        self._optimizer = Adam(settings.learning_rate)
        self._optimizer.build(self._trained)
        self._state = [*encoder.variables, *self._head, *self._optimizer.variables]

    def state(self) -> list[np.ndarray]:
        """A copy of all weights and of the optimizer's variables."""
        return [variable.numpy() for variable in self._state]

    def restore(self, state: list[np.ndarray]) -> None:
        """Go back to a copy from :meth:`state`."""
        for variable, value in zip(self._state, state, strict=True):
            variable.assign(value)

    def standardise(self, inputs: np.ndarray) -> None:
        """Shift and scale the classifier's inputs by the moments of these inputs' embedding."""
        embedding = _in_chunks(self._embed, inputs)
        self._shift.assign(embedding.mean(0))
        self._scale.assign(max(float(np.sqrt(embedding.var(0).mean())), 1e-6))

    def predict(self, inputs: np.ndarray) -> np.ndarray:
        """The classifier's results, shape (rows, outputs)."""
        return _in_chunks(self._results, inputs)

    @tf.function
    def step(self, batch, wanted, seed):
        """One step of the optimizer on a batch and its encoded targets."""
        seeds = tf.random.split(seed, 2)
        with tf.GradientTape() as tape:
            result = self._classify(self._encode(batch, True, seeds[0]), seeds[1])
            loss = tf.reduce_mean(example_losses(result, wanted))
        gradients = tape.gradient(loss, self._trained)
        self._optimizer.apply_gradients(zip(gradients, self._trained, strict=True))

    @tf.function(reduce_retracing=True)
    def _embed(self, batch):
        return self._encode(batch, False)

    @tf.function(reduce_retracing=True)
    def _results(self, batch):
        return self._classify(self._encode(batch, False))

    def _encode(self, batch, training, seed=None):
        x = patches.cut(patches.with_channels(batch), self._slicing, self._gap, seed)
        x = forward(self._model, patches.as_images(x), layer=self._layer, training=training)
        return tf.cast(x, tf.float32)

    def _classify(self, embedding, seed=None):
        h = (embedding - self._shift) / self._scale
        for place in range(0, len(self._head), 2):
            h = tf.matmul(h, self._head[place].value) + self._head[place + 1].value
            if place < len(self._head) - 2:
                h = tf.nn.relu(h)
                if seed is not None and self._dropout:
                    h = tf.nn.experimental.stateless_dropout(h, self._dropout, seed + place)
        return h


def _train(
    network: _Network, fit: _Part, held: _Part, settings: Settings, seed: int, number: int
) -> None:
    """Train until the loss on ``held`` stops falling; the network gets its best weights.

    Args:
        number: of the subset: every subset has its own random numbers.
    """
    rng = np.random.Generator(np.random.Philox(key=[seed, number]))
    wanted = tf.constant(held.targets)
    stopping = EarlyStopping(settings.patience)
    best, best_loss = None, np.inf
    for step in range(1, settings.steps + 1):
        rows = rng.integers(len(fit.inputs), size=settings.batch_size)
        step_seed = tf.constant([seed, settings.steps * number + step])
        network.step(fit.inputs[rows], fit.targets[rows], step_seed)
        if step % settings.evaluate_every:
            continue
        loss = float(tf.reduce_mean(example_losses(network.predict(held.inputs), wanted)))
        improved = loss < best_loss
        if improved:
            best, best_loss = network.state(), loss
        if stopping.stops(improved):
            break
    if best is None:
        raise FloatingPointError("a network never reached a finite validation loss")
    network.restore(best)


def example_losses(result: tf.Tensor, wanted: tf.Tensor) -> tf.Tensor:
    """One loss for each example.

    Args:
        result: float32, shape (..., outputs).
        wanted: encoded targets, by which the loss is chosen. Integers of shape (...) are class
            numbers: cross-entropy. Reals of shape (...) are values: squared error. 0 and 1 of shape
            (..., outputs) are categories: the mean over the outputs of their cross-entropies.

    Returns:
        float32, shape (...).
    """
    if wanted.dtype.is_integer:
        return tf.nn.sparse_softmax_cross_entropy_with_logits(labels=wanted, logits=result)
    if len(wanted.shape) == len(result.shape):
        each = tf.nn.sigmoid_cross_entropy_with_logits(labels=wanted, logits=result)
        return tf.reduce_mean(each, axis=-1)
    return tf.square(result[..., 0] - wanted)


def _moments(values: np.ndarray) -> tuple[float, float]:
    """The mean and deviation to standardise real values by."""
    return values.mean(), max(values.std(), 1e-6)


def _head(features: int, outputs: int, hidden: tuple[int, ...], seed: int) -> list[keras.Variable]:
    """Weights and biases of the layers after the embedding."""
    sizes = [features, *hidden, outputs]
    result = []
    for layer, (fan_in, fan_out) in enumerate(pairwise(sizes)):
        initial = tf.random.stateless_truncated_normal([fan_in, fan_out], [seed, layer])
        result.append(keras.Variable(initial * np.float32(np.sqrt(2 / fan_in))))
        result.append(keras.Variable(tf.zeros([1, fan_out])))
    return result


def _in_chunks(function: Callable[[np.ndarray], tf.Tensor], rows: np.ndarray) -> np.ndarray:
    """The results of a function for all rows, computed for few rows at a time."""
    starts = range(0, len(rows), _EVALUATED)
    return np.concatenate([function(rows[s : s + _EVALUATED]).numpy() for s in starts])


def _rows(inputs: np.ndarray, index: np.ndarray) -> np.ndarray:
    """Rows of an array that may be memory-mapped, read in ascending order."""
    order = np.argsort(index)
    result = np.empty((len(index), *inputs.shape[1:]), inputs.dtype)
    result[order] = inputs[index[order]]
    return result
