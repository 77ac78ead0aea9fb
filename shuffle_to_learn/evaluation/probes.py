"""Classifiers on a frozen embedding: many MLPs trained side by side, or nearest neighbours."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from itertools import pairwise

import keras
import numpy as np
import tensorflow as tf

# Standardised inputs are clipped to so many deviations: a unit that hardly fires in the n examples
# has a tiny deviation, and one query on which it does fire would swamp a mean squared error.
CLIP = 5.0


@dataclass(frozen=True)
class Settings:
    """How every probe is trained.

    Attributes:
        hidden: units of each layer before the last: two make a 3-layer MLP, none a linear probe.
        learning_rate: AdamW's.
        weight_decay: AdamW's, decoupled.
        dropout: on the hidden units, in [0, 1).
        batch_size: examples a step, drawn with replacement.
        steps: at most so many.
        evaluate_every: steps between two looks at the validation part.
        patience: looks after which training ends where no probe on as many examples improved.
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
    """The n examples of a replicate; a larger n of the same replicate contains a smaller one.

    Args:
        pool: number of examples to draw from.
        n: how many, at most ``pool``.
        replicate: which draw.
        seed: of all draws; not the encoder's, so that every encoder is given the same examples.

    Returns:
        int64 indices, shape (n,).

    Raises:
        ValueError: where n is larger than the pool.
    """
    if n > pool:
        raise ValueError(f"cannot draw {n} examples from the {pool} that there are")
    rng = np.random.Generator(np.random.Philox(key=[seed, replicate]))
    return rng.permutation(pool)[:n]


def split_validation(subset: np.ndarray, share: float) -> tuple[np.ndarray, np.ndarray]:
    """The part of a subset to fit on and the part to stop on (its last ``share``, at least 1)."""
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
    """Fit an MLP on each subset of the examples and predict the queries with each.

    Subsets of one size are fitted side by side; those of other sizes change nothing for them.
    Inputs (and a real-valued target) are standardised by the mean and deviation of the subset, and
    inputs clipped to 5 deviations.
    The weights kept are those with the lowest loss on the subset's validation part.

    Args:
        embeddings: float, shape (N, d); may be memory-mapped: only rows in a subset are read.
        targets: shape (N,): class numbers, or real values where ``classes`` is None; or shape
            (N, C): whether each of C categories is there, 0 or 1.
        subsets: M index arrays into the examples, of any sizes.
        queries: float, shape (T, d).
        classes: number of classes (cross-entropy), or None: squared error, and of C categories
            the mean of their cross-entropies.
        validation_share: share of each subset that is held out to choose the weights.
        settings: the same for all probes.
        seed: of weights, batches and dropout.
        progress: goes around the iteration over the sizes of the subsets, to show progress.

    Returns:
        shape (M, T): the predicted class (int64) or value (float32) of each query; of categories
        shape (M, T, C): the log-odds of each (float32).

    Source: Shuffle to Learn, section 4 (a 3-layer MLP on the frozen embedding, for images a
    linear classifier).
    """
    sizes = np.array([len(subset) for subset in subsets])
    predictions: dict[int, np.ndarray] = {}
    for size in progress(np.unique(sizes)):
        places = np.flatnonzero(sizes == size)
        alike = np.stack([subsets[place] for place in places])
        predicted = _predict_side_by_side(
            embeddings,
            np.asarray(targets),
            alike,
            queries,
            classes,
            validation_share,
            settings,
            seed,
        )
        predictions.update(zip(places, predicted, strict=True))
    return np.stack([predictions[place] for place in range(len(subsets))])


def _predict_side_by_side(
    embeddings: np.ndarray,
    targets: np.ndarray,
    subsets: np.ndarray,
    queries: np.ndarray,
    classes: int | None,
    validation_share: float,
    settings: Settings,
    seed: int,
) -> np.ndarray:
    """What :func:`predict_with_probes` does with subsets of one size: shape (M, n)."""
    used, local = np.unique(subsets, return_inverse=True)
    local = local.reshape(subsets.shape).astype(np.int32)
    x = tf.constant(np.asarray(embeddings[used], np.float32))
    y = targets[used]
    parts = [split_validation(rows, validation_share) for rows in local]
    fit, held = (tf.constant(np.stack(part)) for part in zip(*parts, strict=True))

    mean, deviation = _moments(x, local)
    categories = y.ndim == 2
    real = classes is None and not categories
    wanted = tf.constant(y, tf.int32 if classes and not categories else tf.float32)
    if real:
        y_mean, y_deviation = _moments(wanted[:, None], local)

    probes, d = len(subsets), x.shape[1]
    outputs = y.shape[1] if categories else classes or 1
    layers = list(pairwise((d, *settings.hidden, outputs)))
    weights = []
    for layer, (fan_in, fan_out) in enumerate(layers):
        initial = tf.random.stateless_truncated_normal([probes, fan_in, fan_out], [seed, layer])
        weights.append(keras.Variable(initial * np.float32(np.sqrt(2 / fan_in))))
        weights.append(keras.Variable(tf.zeros([probes, 1, fan_out])))
    best = [tf.Variable(w.value) for w in weights]
    best_loss = tf.Variable(tf.fill([probes], np.float32(np.inf)))
    optimizer = keras.optimizers.AdamW(settings.learning_rate, weight_decay=settings.weight_decay)
    optimizer.exclude_from_weight_decay(var_list=weights[1::2])
    optimizer.build(weights)

    def forward(parameters, inputs, dropout_seed=None):
        h = tf.clip_by_value((inputs - mean) / deviation, -CLIP, CLIP)
        for layer in range(len(layers)):
            h = tf.matmul(h, parameters[2 * layer]) + parameters[2 * layer + 1]
            if layer < len(layers) - 1:
                h = tf.nn.relu(h)
                if dropout_seed is not None and settings.dropout:
                    h = tf.nn.experimental.stateless_dropout(
                        h, settings.dropout, dropout_seed + layer
                    )
        return h

    def losses(result, rows):
        """One loss an example: shape (probes, rows)."""
        y = tf.gather(wanted, rows)
        return example_losses(result, (y - y_mean[..., 0]) / y_deviation[..., 0] if real else y)

    @tf.function
    def train(first_step):
        for offset in tf.range(settings.evaluate_every):
            seeds = tf.random.split(tf.stack([seed, first_step + offset]), 2)
            uniform = tf.random.stateless_uniform([probes, settings.batch_size], seeds[0])
            place = tf.cast(uniform * fit.shape[1], tf.int32)  # below: uniform < 1 - 2**-24
            rows = tf.gather(fit, place, batch_dims=1)
            with tf.GradientTape() as tape:
                result = forward([w.value for w in weights], tf.gather(x, rows), seeds[1])
                # A sum over probes: each probe's gradient is that of its own mean loss.
                loss = tf.reduce_sum(tf.reduce_mean(losses(result, rows), axis=1))
            gradients = tape.gradient(loss, [w.value for w in weights])
            optimizer.apply(gradients, weights)
        result = forward([w.value for w in weights], tf.gather(x, held))
        validation = tf.reduce_mean(losses(result, held), axis=1)
        better = validation < best_loss
        best_loss.assign(tf.where(better, validation, best_loss))
        for kept, weight in zip(best, weights, strict=True):
            kept.assign(tf.where(better[:, None, None], weight.value, kept))
        return tf.reduce_any(better)

    stale = 0
    for look in range(settings.steps // settings.evaluate_every):
        improved = bool(train(tf.constant(look * settings.evaluate_every)))
        stale = 0 if improved else stale + 1
        if stale >= settings.patience:
            break
    if not np.isfinite(best_loss.numpy()).all():
        raise FloatingPointError("a probe never reached a finite validation loss")

    @tf.function(reduce_retracing=True)
    def predict(inputs):
        result = forward(best, inputs[None])
        if real:
            return (result * y_deviation + y_mean)[..., 0]
        return result if categories else tf.argmax(result, axis=-1)

    chunks = [
        predict(tf.constant(np.asarray(queries[start : start + 250], np.float32))).numpy()
        for start in range(0, len(queries), 250)
    ]
    return np.concatenate(chunks, axis=1)


def example_losses(result: tf.Tensor, wanted: tf.Tensor) -> tf.Tensor:
    """One loss an example.

    Args:
        result: float32, shape (..., outputs).
        wanted: integers of shape (...): class numbers, for the cross-entropy; or reals of the same
            shape, for the squared error; or 0 and 1 of shape (..., outputs), for the mean over the
            outputs of their cross-entropies.

    Returns:
        float32, shape (...).
    """
    if wanted.dtype.is_integer:
        return tf.nn.sparse_softmax_cross_entropy_with_logits(labels=wanted, logits=result)
    if len(wanted.shape) == len(result.shape):
        each = tf.nn.sigmoid_cross_entropy_with_logits(labels=wanted, logits=result)
        return tf.reduce_mean(each, axis=-1)
    return tf.square(result[..., 0] - wanted)


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

    Inputs are standardised by the mean and deviation of the subset, and clipped to 5 deviations, as
    for :func:`predict_with_probes`. A neighbour counts as much as it is near.

    Args:
        embeddings, targets, subsets, queries, classes: as :func:`predict_with_probes` has them.
        neighbors: at most so many.
        progress: goes around the iteration over the subsets, to show progress.

    Returns:
        As :func:`predict_with_probes`; of categories, the share of the neighbours that have each.

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
    """Mean and deviation of each subset's rows: two tensors of shape (M, 1, d)."""
    parts = [tf.gather(x, rows) for rows in subsets]
    means = [tf.reduce_mean(part, 0) for part in parts]
    deviation = tf.stack([tf.math.reduce_std(part, 0) for part in parts])[:, None]
    # A feature that is constant in the subset says nothing: leave it at 0.
    return tf.stack(means)[:, None], tf.where(deviation > 1e-6, deviation, 1.0)
