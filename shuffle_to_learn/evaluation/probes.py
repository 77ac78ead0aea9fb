"""Classifiers on a frozen embedding: many MLPs trained side by side, or nearest neighbours."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from itertools import pairwise
from typing import NamedTuple

import keras
import numpy as np
import tensorflow as tf

from shuffle_to_learn.evaluation.targets import EarlyStopping, Target, example_losses

# Standardised inputs are clipped to this many deviations: a unit that hardly fires in the n
# examples has a tiny deviation, and one query on which it does fire would swamp a mean squared
# error.
CLIP = 5.0

_PREDICTED = 250  # queries at a time


@dataclass(frozen=True)
class Settings:
    """How every probe is trained.

    Attributes:
        hidden: units of each hidden layer: two layers make a 3-layer MLP, none a linear probe.
        learning_rate: of AdamW.
        weight_decay: of AdamW, decoupled.
        dropout: share of the hidden units that are dropped, in [0, 1).
        batch_size: examples per step, drawn with replacement.
        steps: the largest number of steps.
        evaluate_every: steps between two looks at the validation part.
        patience: training ends after this many looks in a row at which no probe improved, among the
            probes on equally many examples.
    """

    hidden: tuple[int, ...] = (128, 128)
    learning_rate: float = 1e-3
    weight_decay: float = 1e-4
    dropout: float = 0.0
    batch_size: int = 64
    steps: int = 500
    evaluate_every: int = 20
    patience: int = 8


def draw_subset(pool: int, n: int, replicate: int, seed: int = 0) -> np.ndarray:
    """Draw the n examples of a replicate; a larger n contains the examples of a smaller one.

    Args:
        pool: number of examples to draw from.
        n: number of examples drawn, at most ``pool``.
        replicate: number of the draw.
        seed: of all draws; independent of the encoder's, so all encoders get the same examples.

    Returns:
        int64 indices, shape (n,).

    Raises:
        ValueError: n is larger than the pool.
    """
    if n > pool:
        raise ValueError(f"cannot draw {n} examples from the {pool} that there are")
    rng = np.random.Generator(np.random.Philox(key=[seed, replicate]))
    return rng.permutation(pool)[:n]


def split_validation(subset: np.ndarray, share: float) -> tuple[np.ndarray, np.ndarray]:
    """Split a subset into a part to fit on and a validation part.

    The validation part is the last ``share`` of the subset, and at least one example.
    """
    held_out = min(len(subset) - 1, max(1, round(share * len(subset))))
    return subset[:-held_out], subset[-held_out:]


def predict_with_probes(
    embeddings: np.ndarray,
    targets: np.ndarray,
    subsets: list[np.ndarray],
    queries: np.ndarray,
    *,
    classes: int | None,
    validation_share: float = 0.2,
    settings: Settings = Settings(),
    seed: int = 0,
    progress: Callable[[Iterable[int]], Iterable[int]] = iter,
) -> np.ndarray:
    """Fit an MLP on each subset of the examples and predict the queries with each MLP.

    Subsets of one size are fitted side by side; subsets of other sizes do not affect them. Inputs
    (and real-valued targets) are standardised by the mean and deviation of the subset, and inputs
    are clipped to 5 deviations. Each MLP keeps the weights with the lowest loss on the validation
    part of its subset.

    Args:
        embeddings: float, shape (N, d); may be memory-mapped: only rows in a subset are read.
        targets: class numbers, shape (N,); or real values, shape (N,), where ``classes`` is None;
            or whether each of C categories is there, 0 or 1, shape (N, C).
        subsets: M index arrays into the examples, of any sizes.
        queries: float, shape (T, d).
        classes: number of classes, or None for real values and for categories. The loss is the
            cross-entropy for classes, the squared error for real values, and the mean of the C
            cross-entropies for categories.
        validation_share: share of each subset that is held out to choose the weights.
        settings: the same for all probes.
        seed: of weights, batches and dropout.
        progress: wraps the iteration over the sizes of the subsets, to show progress.

    Returns:
        The predicted class (int64) or value (float32) of each query, shape (M, T); for categories
        the log-odds of each category (float32), shape (M, T, C).

    Raises:
        FloatingPointError: the validation loss of a probe was never finite.

    Source: Shuffle to Learn, section 4 (a 3-layer MLP on the frozen embedding, for images a
    linear classifier).
    """
    targets = np.asarray(targets)
    sizes = np.array([len(subset) for subset in subsets])
    predictions: dict[int, np.ndarray] = {}
    for size in progress(np.unique(sizes)):
        places = np.flatnonzero(sizes == size)
        alike = np.stack([subsets[place] for place in places])
        examples = _gather_examples(embeddings, targets, alike, classes, validation_share)
        probes = _Probes(*_moments(examples.inputs, examples.rows), examples.target, settings, seed)
        _train(probes, examples, settings, seed)
        predictions.update(zip(places, probes.predict(queries), strict=True))
    return np.stack([predictions[place] for place in range(len(subsets))])


class _Examples(NamedTuple):
    """The labelled examples of M subsets of one size.

    Attributes:
        inputs: float32, shape (N, d): the examples that are in any of the subsets.
        wanted: their targets, shape (N,) or (N, C); real values are not yet standardised.
        target: encodes them; real values are standardised by the moments of each subset.
        rows: int32, shape (M, n): the rows of each subset.
        fit: the rows of each subset to fit on.
        held: the rows of each subset's validation part.
    """

    inputs: tf.Tensor
    wanted: tf.Tensor
    target: Target
    rows: np.ndarray
    fit: tf.Tensor
    held: tf.Tensor

    def draw(self, size: int, seed: tf.Tensor) -> tf.Tensor:
        """Draw a batch for each subset from its rows to fit on: shape (M, size)."""
        uniform = tf.random.stateless_uniform([len(self.rows), size], seed)
        place = tf.cast(uniform * self.fit.shape[1], tf.int32)  # below: uniform < 1 - 2**-24
        return tf.gather(self.fit, place, batch_dims=1)

    def losses(self, result: tf.Tensor, rows: tf.Tensor) -> tf.Tensor:
        """The loss of each example in ``rows``, shape (M, rows)."""
        return example_losses(result, self.target.encode(tf.gather(self.wanted, rows)))


def _gather_examples(
    embeddings: np.ndarray,
    targets: np.ndarray,
    subsets: np.ndarray,
    classes: int | None,
    validation_share: float,
) -> _Examples:
    """Read the examples of M subsets of one size, shape (M, n)."""
    used, rows = np.unique(subsets, return_inverse=True)
    rows = rows.reshape(subsets.shape).astype(np.int32)
    inputs = tf.constant(np.asarray(embeddings[used], np.float32))
    target = Target.from_labels(targets, classes)
    wanted = tf.constant(targets[used], target.dtype)
    if target.kind == "value":
        mean, deviation = _moments(wanted[:, None], rows)
        target = target.standardised(mean[..., 0], deviation[..., 0])
    parts = [split_validation(subset, validation_share) for subset in rows]
    fit, held = (tf.constant(np.stack(part)) for part in zip(*parts, strict=True))
    return _Examples(inputs, wanted, target, rows, fit, held)


class _Probes:
    """M perceptrons side by side: their weights, and the best weights so far.

    Args:
        mean, deviation: of the inputs in each subset, shape (M, 1, d).
        target: decodes the outputs.
        settings: hidden layers and dropout.
        seed: of the weights.
    """

    def __init__(
        self, mean: tf.Tensor, deviation: tf.Tensor, target: Target, settings: Settings, seed: int
    ) -> None:
        self._mean, self._deviation = mean, deviation
        self._target = target
        self._dropout = settings.dropout
        probes, _, d = mean.shape
        self._layers = list(pairwise((d, *settings.hidden, target.outputs)))
        self.weights: list[keras.Variable] = []
        for layer, (fan_in, fan_out) in enumerate(self._layers):
            shape = [probes, fan_in, fan_out]
            initial = tf.random.stateless_truncated_normal(shape, [seed, layer])
            self.weights.append(keras.Variable(initial * np.float32(np.sqrt(2 / fan_in))))
            self.weights.append(keras.Variable(tf.zeros([probes, 1, fan_out])))
        self._best = [tf.Variable(weight.value) for weight in self.weights]
        self._best_loss = tf.Variable(tf.fill([probes], np.float32(np.inf)))

    def forward(
        self, weights: list, inputs: tf.Tensor, dropout_seed: tf.Tensor | None = None
    ) -> tf.Tensor:
        """Results of shape (M, rows, outputs) for inputs of shape (M or 1, rows, d)."""
        h = tf.clip_by_value((inputs - self._mean) / self._deviation, -CLIP, CLIP)
        for layer in range(len(self._layers)):
            h = tf.matmul(h, weights[2 * layer]) + weights[2 * layer + 1]
            if layer < len(self._layers) - 1:
                h = tf.nn.relu(h)
                if dropout_seed is not None and self._dropout:
                    h = tf.nn.experimental.stateless_dropout(h, self._dropout, dropout_seed + layer)
        return h

    def keep_improved(self, losses: tf.Tensor) -> tf.Tensor:
        """Keep the weights of the probes whose validation loss fell; whether any did."""
        better = losses < self._best_loss
        self._best_loss.assign(tf.where(better, losses, self._best_loss))
        for best, weight in zip(self._best, self.weights, strict=True):
            best.assign(tf.where(better[:, None, None], weight.value, best))
        return tf.reduce_any(better)

    def all_finite(self) -> bool:
        """Whether every probe has had a finite validation loss."""
        return bool(np.isfinite(self._best_loss.numpy()).all())

    def predict(self, queries: np.ndarray) -> np.ndarray:
        """The answers of the best weights, shape (M, T) or (M, T, C)."""

        @tf.function(reduce_retracing=True)
        def predict(inputs):
            return self._target.decode(self.forward(self._best, inputs[None]))

        chunks = [
            predict(tf.constant(np.asarray(queries[s : s + _PREDICTED], np.float32))).numpy()
            for s in range(0, len(queries), _PREDICTED)
        ]
        return np.concatenate(chunks, axis=1)


def _train(probes: _Probes, examples: _Examples, settings: Settings, seed: int) -> None:
    """Train the probes until none improves any more; each keeps its best weights."""
    optimizer = keras.optimizers.AdamW(settings.learning_rate, weight_decay=settings.weight_decay)
    optimizer.exclude_from_weight_decay(var_list=probes.weights[1::2])
    optimizer.build(probes.weights)

    def forward(rows, dropout_seed=None):
        weights = [weight.value for weight in probes.weights]
        return probes.forward(weights, tf.gather(examples.inputs, rows), dropout_seed)

    @tf.function
    def train(first_step):
        for offset in tf.range(settings.evaluate_every):
            seeds = tf.random.split(tf.stack([seed, first_step + offset]), 2)
            rows = examples.draw(settings.batch_size, seeds[0])
            with tf.GradientTape() as tape:
                losses = examples.losses(forward(rows, seeds[1]), rows)
                # A sum over probes: each probe's gradient is the gradient of its own mean loss.
                loss = tf.reduce_sum(tf.reduce_mean(losses, axis=1))
            gradients = tape.gradient(loss, [weight.value for weight in probes.weights])
            optimizer.apply(gradients, probes.weights)
        losses = examples.losses(forward(examples.held), examples.held)
        return probes.keep_improved(tf.reduce_mean(losses, axis=1))

    stopping = EarlyStopping(settings.patience)
    for look in range(settings.steps // settings.evaluate_every):
        improved = bool(train(tf.constant(look * settings.evaluate_every)))
        if stopping.stops(improved):
            break
    if not probes.all_finite():
        raise FloatingPointError("a probe never reached a finite validation loss")


def predict_with_neighbors(
    embeddings: np.ndarray,
    targets: np.ndarray,
    subsets: list[np.ndarray],
    queries: np.ndarray,
    *,
    classes: int | None,
    neighbors: int = 5,
    progress: Callable[[Iterable[np.ndarray]], Iterable[np.ndarray]] = iter,
) -> np.ndarray:
    """Predict each query by its nearest neighbours in each subset, by cosine similarity.

    Inputs are standardised by the mean and deviation of the subset and clipped to 5 deviations, as
    in :func:`predict_with_probes`. A neighbour's weight is one over its distance.

    Args:
        embeddings, targets, subsets, queries, classes: as in :func:`predict_with_probes`.
        neighbors: number of neighbours; a smaller subset has no more than its examples.
        progress: wraps the iteration over the subsets, to show progress.

    Returns:
        As :func:`predict_with_probes`; for categories, the weighted share of the neighbours that
        have each category.

    Source: Wu et al. 2018, "Unsupervised Feature Learning via Non-Parametric Instance
    Discrimination", section 3.4, with scikit-learn's weights: one over the distance.
    """
    from sklearn.neighbors import KNeighborsClassifier, KNeighborsRegressor

    kind = KNeighborsClassifier if classes and np.ndim(targets) == 1 else KNeighborsRegressor
    predictions = []
    for subset in progress(subsets):
        x = np.asarray(embeddings[np.sort(subset)], np.float32)
        mean, deviation = x.mean(0), x.std(0)
        deviation = np.where(deviation > 1e-6, deviation, 1.0)
        model = kind(min(neighbors, len(subset)), weights="distance", metric="cosine")
        model.fit(np.clip((x - mean) / deviation, -CLIP, CLIP), targets[np.sort(subset)])
        z = (np.asarray(queries, np.float32) - mean) / deviation
        predictions.append(model.predict(np.clip(z, -CLIP, CLIP)))
    return np.stack(predictions)


def _moments(x: tf.Tensor, subsets: np.ndarray) -> tuple[tf.Tensor, tf.Tensor]:
    """The mean and deviation of each subset's rows: two tensors of shape (M, 1, d)."""
    parts = [tf.gather(x, rows) for rows in subsets]
    means = [tf.reduce_mean(part, 0) for part in parts]
    deviation = tf.stack([tf.math.reduce_std(part, 0) for part in parts])[:, None]
    # A feature that is constant in the subset is 0 when standardised: it carries no information.
    return tf.stack(means)[:, None], tf.where(deviation > 1e-6, deviation, 1.0)
