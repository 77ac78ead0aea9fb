"""Classifiers on a frozen embedding: an MLP for each draw of examples, or nearest neighbours."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from threadpoolctl import threadpool_limits

from shuffle_to_learn.evaluation.perceptron import AdamW, Perceptron
from shuffle_to_learn.evaluation.targets import EarlyStopping, Target

# Standardised inputs are clipped to this many deviations: a unit that hardly fires in the n
# examples has a tiny deviation, and one query on which it does fire would swamp a mean squared
# error.
CLIP = 5.0

_PREDICTED = 250  # queries at a time
MEMORY = 2**30
"""Bytes of inputs, float32, that the probes which are fitted together may have."""


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
    threads: int = 1,
    progress: Callable[[Iterable[int]], Iterable[int]] = iter,
) -> np.ndarray:
    """Fit an MLP on each subset of the examples and predict the queries with each MLP.

    Subsets of one size are fitted side by side, as many at a time as :data:`MEMORY` has room for:
    nothing but the end of their training is common. Others do not affect them. Inputs (and
    real-valued targets) are standardised by the mean and deviation of the subset, and inputs are
    clipped to 5 deviations. Features that are constant in the subset are left out. Each MLP keeps
    the weights with the lowest loss on the validation part of its subset.

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
        threads: how many MLPs are fitted at a time, each on one core; they change no result.
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
    predictions: dict[int, np.ndarray] = {}
    # BLAS has one thread: another number of threads would sum products in another order.
    with threadpool_limits(1), ThreadPoolExecutor(threads) as pool:
        for size in progress(sorted({len(subset) for subset in subsets})):
            places = [place for place, subset in enumerate(subsets) if len(subset) == size]
            together = max(1, MEMORY // (4 * size * embeddings.shape[1]))
            for first in range(0, len(places), together):
                group = range(first, min(first + together, len(places)))
                probes = [
                    _Probe(
                        np.asarray(embeddings[subsets[places[number]]], np.float32),
                        targets[subsets[places[number]]],
                        classes,
                        validation_share,
                        settings,
                        np.random.Generator(
                            np.random.Philox(np.random.SeedSequence([seed, number]))
                        ),
                    )
                    for number in group
                ]
                stopping = EarlyStopping(settings.patience)
                for _ in range(settings.steps // settings.evaluate_every):
                    improved = list(pool.map(_Probe.train, probes))
                    if stopping.stops(any(improved)):
                        break
                answers = pool.map(lambda probe: probe.predict(queries), probes)
                answered = zip(group, answers, strict=True)
                predictions.update((places[number], answer) for number, answer in answered)
                del probes  # before those of the next group are made
    return np.stack([predictions[place] for place in range(len(subsets))])


class _Scale(NamedTuple):
    """The mean and the deviation of each feature of some examples, and whether it varies."""

    mean: np.ndarray
    deviation: np.ndarray
    varies: np.ndarray

    @classmethod
    @np.errstate(all="ignore")
    def of(cls, x: np.ndarray) -> _Scale:
        mean, deviation = x.mean(0), x.std(0)
        varies = ~(deviation <= 1e-6)  # not a number is told by the loss
        # A feature that is constant is 0 when standardised: it carries no information.
        return cls(mean, np.where(varies, deviation, np.float32(1)), varies)

    @np.errstate(all="ignore")
    def standardise(self, x: np.ndarray) -> np.ndarray:
        """Rows of shape (T, d), standardised and clipped, in float32."""
        z = np.subtract(x, self.mean, dtype=np.float32)
        z /= self.deviation
        return np.clip(z, -CLIP, CLIP, out=z)


class _Probe:
    """An MLP on one subset of the examples, with its best weights so far.

    Args:
        inputs: of the subset, float32, shape (n, d).
        wanted: their targets, shape (n,) or (n, C).
        classes, validation_share, settings: as in :func:`predict_with_probes`.
        rng: of weights, batches and dropout.
    """

    def __init__(
        self,
        inputs: np.ndarray,
        wanted: np.ndarray,
        classes: int | None,
        validation_share: float,
        settings: Settings,
        rng: np.random.Generator,
    ) -> None:
        self._target = Target.from_labels(wanted, classes)
        if self._target.kind == "value":
            mean, deviation, _ = _Scale.of(wanted)
            self._target = self._target.standardised(float(mean), float(deviation))
        self._scale = _Scale.of(inputs)
        examples = self._features(inputs), self._target.encode(wanted)
        parts = [split_validation(part, validation_share) for part in examples]
        self._fit, self._held = zip(*parts, strict=True)
        sizes = (examples[0].shape[1], *settings.hidden, self._target.outputs)
        self._network = Perceptron(sizes, settings.dropout, rng)
        self._optimizer = AdamW(self._network, settings.learning_rate, settings.weight_decay)
        self._best, self._best_loss = self._network.parameters.copy(), np.inf
        self._settings, self._rng = settings, rng

    @np.errstate(all="ignore")  # a loss that is not finite is told at the end
    def train(self) -> bool:
        """Train up to the next look at the validation part; whether its loss fell there."""
        inputs, wanted = self._fit
        for _ in range(self._settings.evaluate_every):
            rows = self._rng.integers(len(inputs), size=self._settings.batch_size)
            self._network.differentiate(inputs[rows], wanted[rows], self._target)
            self._optimizer.step()
        inputs, wanted = self._held
        loss = self._target.losses(self._network.results(inputs), wanted).mean()
        better = bool(loss < self._best_loss)
        if better:
            self._best[:], self._best_loss = self._network.parameters, loss
        return better

    def predict(self, queries: np.ndarray) -> np.ndarray:
        """The answers of the best weights, shape (T,) or (T, C)."""
        if not np.isfinite(self._best_loss):
            raise FloatingPointError("a probe never reached a finite validation loss")
        self._network.parameters[:] = self._best
        chunks = (queries[s : s + _PREDICTED] for s in range(0, len(queries), _PREDICTED))
        results = [self._network.results(self._features(chunk)) for chunk in chunks]
        return self._target.decode(np.concatenate(results))

    def _features(self, inputs: np.ndarray) -> np.ndarray:
        """The standardised features that vary in the subset; in many a subset a tenth do not."""
        standardised = self._scale.standardise(inputs)
        return np.compress(self._scale.varies, standardised, axis=1)  # rows stay contiguous


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
    Discrimination", section 3.4, with the weights that scikit-learn calls distance.
    """
    predictions = []
    with threadpool_limits(1):
        for subset in progress(subsets):
            rows = np.sort(subset)
            inputs = np.asarray(embeddings[rows], np.float32)
            scale, targets_there = _Scale.of(inputs), targets[rows]
            directions = _directions(scale.standardise(inputs))
            answers = []
            for s in range(0, len(queries), _PREDICTED):
                asked = _directions(scale.standardise(queries[s : s + _PREDICTED]))
                nearest, weights = _nearest(1 - asked @ directions.T, min(neighbors, len(rows)))
                found = targets_there[nearest]
                if classes is not None and found.ndim == 2:
                    votes = weights[..., None] * (found[..., None] == np.arange(classes))
                    answers.append(votes.sum(axis=1).argmax(axis=1))
                else:
                    answers.append(np.einsum("tk,tk...->t...", weights, found))
            predictions.append(np.concatenate(answers))
    return np.stack(predictions)


def _directions(x: np.ndarray) -> np.ndarray:
    """Rows of length 1; a row of zeros stays."""
    length = np.linalg.norm(x, axis=1, keepdims=True)
    return x / np.where(length > 0, length, 1)


def _nearest(distances: np.ndarray, neighbors: int) -> tuple[np.ndarray, np.ndarray]:
    """The nearest neighbours of each query by (T, n) distances, and the shares of their weights.

    Neighbours at no distance, where there are any, share the weight among themselves.

    Returns:
        Two arrays of shape (T, neighbors).
    """
    nearest = np.argpartition(distances, neighbors - 1, axis=1)[:, :neighbors]
    distance = np.take_along_axis(distances, nearest, axis=1).astype(np.float64)
    same = distance <= 0  # rounding gives some that are below
    weights = np.where(same.any(axis=1, keepdims=True), same, 1 / np.where(same, 1, distance))
    return nearest, weights / weights.sum(axis=1, keepdims=True)
