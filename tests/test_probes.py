"""Many small MLPs: each as if it were alone, none told what it must not know."""

from __future__ import annotations

import warnings
from dataclasses import replace
from functools import cache

import numpy as np
import pytest
from scipy.special import expit, softmax
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LinearRegression, LogisticRegression
from sklearn.metrics import log_loss, roc_auc_score
from sklearn.neighbors import KNeighborsClassifier, KNeighborsRegressor
from sklearn.neural_network import MLPClassifier, MLPRegressor
from threadpoolctl import threadpool_limits

from shuffle_to_learn.evaluation import probes
from shuffle_to_learn.evaluation.perceptron import AdamW
from shuffle_to_learn.evaluation.probes import (
    Settings,
    draw_subset,
    predict_with_neighbors,
    predict_with_probes,
    split_validation,
)

RNG = np.random.default_rng(0)
POOL, QUERIES, D, CLASSES = 400, 300, 6, 3
X = RNG.normal(size=(POOL + QUERIES, D)).astype(np.float32) * [1, 10, 0.1, 1, 1, 1] + 3
CENTRED = (X - 3) / [1, 10, 0.1, 1, 1, 1]
LABELS = np.argmax(CENTRED[:, :CLASSES], axis=1)
VALUES = 60 + 10 * CENTRED[:, 0] * CENTRED[:, 1] + 5 * CENTRED[:, 2]
PRESENT = np.stack(  # three categories that a line tells apart, and one that it does not
    [
        CENTRED[:, 0] + CENTRED[:, 1] > 0.3,
        CENTRED[:, 1] - CENTRED[:, 2] + 0.5 * np.sin(np.arange(len(X))) > 1,
        CENTRED[:, 3] < -0.8,
        CENTRED[:, 4] * CENTRED[:, 5] > 0,
    ],
    axis=1,
).astype(np.int8)
POOL_X, QUERY_X = X[:POOL], X[POOL:]
PAIR = (np.arange(50), np.arange(30, 80))
FAST = Settings(
    hidden=(8, 8), steps=20, evaluate_every=10, patience=100, batch_size=16, dropout=0.1
)
REAL = Settings(hidden=(32, 32), steps=600, evaluate_every=20, patience=10, weight_decay=1e-3)
LINEAR = Settings(hidden=(), steps=1500, evaluate_every=50, patience=30, learning_rate=0.02)
LINEAR = replace(LINEAR, weight_decay=0.0, batch_size=256)
TARGETS = {"class": (LABELS, CLASSES), "value": (VALUES, None), "categories": (PRESENT, None)}
every_kind = pytest.mark.parametrize("kind", TARGETS)


def fit(kind: str, subsets=PAIR, settings: Settings = FAST, **changes) -> np.ndarray:
    """The predictions of probes, for this file's examples but for the changes."""
    targets, classes = TARGETS[kind]
    given = {"embeddings": POOL_X, "targets": targets[:POOL], "queries": QUERY_X} | changes
    return predict_with_probes(subsets=list(subsets), classes=classes, settings=settings, **given)


@cache
def plain(kind: str) -> np.ndarray:
    return fit(kind)


def score(kind: str, predicted: np.ndarray) -> float:
    """Accuracy (of categories, the mean of theirs), or the share of variance explained."""
    wanted = TARGETS[kind][0][POOL:]
    if kind == "categories":
        return float(np.mean((predicted > 0) == wanted))
    if kind == "class":
        return float(np.mean(predicted == wanted))
    return float(1 - np.mean((predicted - wanted) ** 2) / wanted.var())


# one probe and another


@every_kind
def test_a_probe_does_not_depend_on_its_companions(kind: str) -> None:
    targets = TARGETS[kind][0][:POOL].copy()
    targets[110:] = targets[110:][::-1]
    changed = fit(kind, [PAIR[0], np.arange(200, 250)], targets=targets)
    assert np.array_equal(changed[0], plain(kind)[0])
    assert not np.array_equal(changed[1], plain(kind)[1])


@every_kind
def test_the_first_of_two_probes_is_the_one_alone(kind: str) -> None:
    """Its random numbers are its own."""
    assert np.array_equal(fit(kind, PAIR[:1])[0], plain(kind)[0])


@every_kind
def test_threads_change_nothing(kind: str) -> None:
    """Nor does the number of threads that the caller's BLAS has."""
    wide = np.random.default_rng(3).normal(size=(POOL, 1024)).astype(np.float32)
    settings = replace(FAST, hidden=(128, 128), batch_size=128, patience=1)
    subsets = [draw_subset(POOL, 300, r) for r in range(3)]
    found = []
    for threads in (1, 2, 4):
        with threadpool_limits(threads):
            given = {"embeddings": wide, "queries": wide, "threads": threads}
            found.append(fit(kind, subsets, settings, **given).tobytes())
    assert len(set(found)) == 1


@every_kind
def test_probes_on_other_numbers_of_examples_change_nothing(kind: str) -> None:
    first, second = PAIR
    mixed = fit(kind, [np.arange(200, 290), first, np.arange(7), second])
    assert np.array_equal(mixed[[1, 3]], plain(kind))


@every_kind
def test_more_examples_score_better(kind: str) -> None:
    subsets = [draw_subset(POOL, n, r) for n in (30, 300) for r in range(5)]
    scores = [score(kind, p) for p in fit(kind, subsets, REAL)]
    few, many = np.array(scores).reshape(2, 5)
    assert many.mean() > few.mean() + 0.05
    assert many.min() > 0.7
    assert len(set(scores)) > 5


@every_kind
def test_probes_learn_as_well_as_scikit_learns(kind: str) -> None:
    subset = draw_subset(POOL, 300, 0)
    mine = score(kind, fit(kind, [subset], REAL)[0])
    sklearn = MLPRegressor if kind == "value" else MLPClassifier
    network = sklearn(
        hidden_layer_sizes=(32, 32), max_iter=600, learning_rate_init=3e-3, random_state=0
    )
    y, deviation, mean = TARGETS[kind][0][:POOL][subset], 1.0, 0.0
    if kind == "value":
        deviation, mean = y.std(), y.mean()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        network.fit(standard(subset), (y - mean) / deviation if kind == "value" else y)
    predicted = network.predict(standard(subset, QUERY_X))
    if kind == "value":
        predicted = predicted * deviation + mean
    theirs = score(kind, predicted - 0.5 if kind == "categories" else predicted)
    assert theirs > 0.7
    assert mine > theirs - 0.08


def standard(subset: np.ndarray, x: np.ndarray = POOL_X) -> np.ndarray:
    """Standardised and clipped by the moments of a subset: the subset, or the queries."""
    own = POOL_X[subset]
    rows = own if x is POOL_X else x
    return np.clip((rows - own.mean(axis=0)) / own.std(axis=0), -5, 5)


# without hidden layers


def fitted(subset: np.ndarray) -> np.ndarray:
    """The part that a probe is fitted on, standardised by the whole subset as a probe does it."""
    return standard(subset)[: len(split_validation(subset, 0.2)[0])]


def test_without_hidden_layers_classes_are_those_of_logistic_regression() -> None:
    subset = draw_subset(POOL, 400, 0)
    to_fit, _ = split_validation(subset, 0.2)
    theirs = LogisticRegression(C=np.inf, max_iter=2000).fit(fitted(subset), LABELS[to_fit])
    mine = fit("class", [subset], LINEAR)[0]
    expected = theirs.predict(standard(subset, QUERY_X))
    assert np.mean(mine == expected) > 0.97
    assert score("class", mine) > 0.95


def test_without_hidden_layers_values_are_linear() -> None:
    """Against least squares, and by the definition of a line: its second differences are 0."""
    subset = draw_subset(POOL, 400, 0)
    to_fit, _ = split_validation(subset, 0.2)
    line = 3 * CENTRED[:, 2] - 2 * CENTRED[:, 4] + 0.1 * np.cos(np.arange(len(X)))
    theirs = LinearRegression().fit(fitted(subset), line[to_fit])
    steps = POOL_X[subset].mean(axis=0) + np.linspace(-1, 1, 5)[:, None] * [0.5, 5, 0.05, 1, 1, 1]
    queries = np.concatenate([QUERY_X, steps])
    mine = fit("value", [subset], LINEAR, targets=line[:POOL], queries=queries)[0]
    expected = theirs.predict(standard(subset, queries))
    assert np.abs(mine - expected).max() < 0.05 * line.std()
    assert np.abs(np.diff(mine[-5:], 2)).max() < 1e-4
    assert np.abs(np.diff(mine[-5:])).min() > 0.1


@pytest.mark.parametrize("hidden", [(), (5,), (8, 4, 3)])
@every_kind
def test_any_number_of_hidden_layers(kind: str, hidden: tuple[int, ...]) -> None:
    result = fit(kind, settings=replace(FAST, hidden=hidden))
    assert result.shape[:2] == (2, QUERIES)
    assert result.shape[2:] == ((4,) if kind == "categories" else ())
    assert np.isfinite(result).all()
    assert not np.array_equal(result, plain(kind))


# several labels


def aucs(scores: np.ndarray) -> np.ndarray:
    return roc_auc_score(PRESENT[POOL:], scores, average=None)


def test_the_log_odds_of_categories() -> None:
    for subsets in (PAIR, PAIR[:1]):
        result = fit("categories", subsets)
        assert result.shape == (len(subsets), QUERIES, 4)
        assert result.dtype == np.float32
        assert (result < 0).any() and (result > 0).any()


def test_categories_are_those_of_one_logistic_regression_each() -> None:
    subset = draw_subset(POOL, 400, 0)
    to_fit, _ = split_validation(subset, 0.2)
    mine = fit("categories", [subset], LINEAR)[0]
    each = [LogisticRegression(C=np.inf).fit(fitted(subset), PRESENT[to_fit, c]) for c in range(4)]
    theirs = np.stack([one.decision_function(standard(subset, QUERY_X)) for one in each], axis=1)
    assert np.abs(aucs(mine) - aucs(theirs)).max() < 0.02
    assert (aucs(mine)[:3] > 0.85).all()
    assert abs(aucs(mine)[3] - 0.5) < 0.15  # no line tells it: the others have not leaked in
    # The second is not told apart without error, so that its best log-odds are finite.
    assert np.corrcoef(mine[:, 1], theirs[:, 1])[0, 1] > 0.99
    assert np.abs(mine[:, 1] - theirs[:, 1]).mean() < 0.3 * np.abs(theirs[:, 1]).mean()


def test_hidden_layers_tell_what_a_line_does_not() -> None:
    subsets = [draw_subset(POOL, 400, r) for r in range(2)]
    for scores in fit("categories", subsets, REAL):
        assert (aucs(scores) > 0.8).all()


def test_a_category_does_not_change_the_others_of_a_linear_probe() -> None:
    """Its weights are its own, and so are Adam's steps; only the choice of weights is common."""
    one_look = replace(LINEAR, steps=50)
    targets = PRESENT[:POOL].copy()
    targets[:, 3] = 1 - targets[:, 0]
    changed = fit("categories", settings=one_look, targets=targets)
    before = fit("categories", settings=one_look)
    assert np.allclose(changed[..., :3], before[..., :3], atol=1e-5)
    assert not np.allclose(changed[..., 3], before[..., 3], atol=0.1)


def test_categories_in_none_or_all_of_the_examples_are_no_obstacle() -> None:
    targets = PRESENT[:POOL].copy()
    targets[:, 0], targets[:, 2] = 0, 1
    result = fit("categories", targets=targets, settings=replace(LINEAR, steps=300))
    assert np.isfinite(result).all()
    assert (result[..., 0] < 0).mean() > 0.95
    assert (result[..., 2] > 0).mean() > 0.95


# what a probe may not know


@every_kind
def test_a_query_changes_its_own_prediction_only(kind: str) -> None:
    order = np.random.default_rng(1).permutation(QUERIES)
    queries = QUERY_X[order]
    queries[7] = -queries[7]
    after, before = fit(kind, queries=queries), plain(kind)[:, order]
    rest = np.arange(QUERIES) != 7
    assert np.allclose(after[:, rest], before[:, rest], rtol=1e-5, atol=1e-6)
    if kind != "class":
        assert not np.isclose(after[:, 7], before[:, 7], rtol=1e-5, atol=1e-6).any()


@every_kind
def test_rows_outside_every_subset_change_nothing(kind: str) -> None:
    embeddings, targets = POOL_X.copy(), TARGETS[kind][0][:POOL].copy()
    embeddings[110:], targets[110:] = 1e6, 0
    assert np.array_equal(fit(kind, embeddings=embeddings, targets=targets), plain(kind))


@pytest.mark.parametrize("part", ["to fit on", "to stop on"])
def test_only_the_part_to_fit_on_is_fitted_on(part: str) -> None:
    """With one look at the validation part there is nothing to choose by it either."""
    subset = np.random.default_rng(2).permutation(POOL)[:60]
    to_fit, to_stop = split_validation(subset, 0.2)
    one_look = replace(FAST, steps=20, evaluate_every=20)
    targets = LABELS[:POOL].copy()
    rows = to_fit if part == "to fit on" else to_stop
    targets[rows] = (targets[rows] + 1) % CLASSES
    same = fit("class", [subset], one_look, targets=targets) == fit("class", [subset], one_look)
    assert same.all() == (part == "to stop on")


def test_the_validation_part_chooses_the_weights() -> None:
    """Where the labels to stop on are wrong, the start is as good as it gets."""
    subset = np.arange(200)
    _, held_out = split_validation(subset, 0.5)
    targets = LABELS[:POOL].copy()
    targets[held_out] = (targets[held_out] + 1) % CLASSES
    long = replace(REAL, steps=300, evaluate_every=5, patience=100)
    right = score("class", fit("class", [subset], long, validation_share=0.5)[0])
    misled = score("class", fit("class", [subset], long, validation_share=0.5, targets=targets)[0])
    assert right > 0.8
    assert misled < right - 0.3


def test_validation_is_the_last_share_and_at_least_one() -> None:
    fit_part, held_out = split_validation(np.arange(10), 0.2)
    assert fit_part.tolist() == list(range(8))
    assert held_out.tolist() == [8, 9]
    assert [len(p) for p in split_validation(np.arange(2), 0.01)] == [1, 1]
    assert [len(p) for p in split_validation(np.arange(5), 0.99)] == [1, 4]


# scales


@every_kind
def test_the_scale_of_inputs_does_not_matter(kind: str) -> None:
    scale, shift = np.float32(2.0) ** np.arange(-3, 3), np.float32(4.0)
    moved = fit(kind, embeddings=POOL_X * scale + shift, queries=QUERY_X * scale + shift)
    assert np.isclose(moved, plain(kind), rtol=1e-2).mean() > 0.98


def test_the_scale_of_values_carries_over() -> None:
    moved = fit("value", targets=1000 * VALUES[:POOL] - 7)
    assert np.allclose(moved, 1000 * plain("value") - 7, rtol=1e-3)


def test_a_query_far_out_is_clipped_to_five_deviations() -> None:
    subset = np.arange(50)
    queries = np.tile(POOL_X[subset].mean(axis=0), (3, 1))
    queries[1, 0] += 5.001 * POOL_X[subset, 0].std()
    queries[2, 0] += 1e9
    near, edge, far = fit("value", [subset], queries=queries)[0]
    assert edge == far != near


@every_kind
def test_a_constant_feature_is_left_out(kind: str) -> None:
    """As if it were not there, even where it varies among the queries; of all there are none."""
    constant = POOL_X.copy()
    constant[:50, [1, 4]] = 7.0
    found = fit(kind, PAIR[:1], embeddings=constant)
    rest = [0, 2, 3, 5]
    assert np.array_equal(
        found, fit(kind, PAIR[:1], embeddings=POOL_X[:, rest], queries=QUERY_X[:, rest])
    )
    nothing = fit(kind, PAIR[:1], embeddings=np.full_like(POOL_X, 7.0))
    assert np.isfinite(nothing).all()
    assert (nothing == nothing[:, :1]).all()


# draws


def test_a_larger_draw_contains_a_smaller_one() -> None:
    draws = [draw_subset(1000, n, replicate=3, seed=7) for n in (10, 100, 1000)]
    assert np.array_equal(draws[1][:10], draws[0])
    assert np.array_equal(draws[2][:100], draws[1])
    assert sorted(draws[2]) == list(range(1000))


def test_draws_differ_by_replicate_and_seed_and_repeat() -> None:
    draws = {(r, s): draw_subset(1000, 20, r, s).tobytes() for r in range(5) for s in range(3)}
    assert len(set(draws.values())) == 15
    assert draw_subset(1000, 20, 2, 1).tobytes() == draws[2, 1]


def test_a_draw_larger_than_the_pool_is_refused() -> None:
    assert len(draw_subset(10, 10, 0)) == 10
    with pytest.raises(ValueError, match="cannot draw 11 examples from the 10"):
        draw_subset(10, 11, 0)


# the rest


def test_the_seed_decides() -> None:
    assert np.array_equal(fit("value", seed=0), plain("value"))
    other = fit("value", [np.arange(50)] * 2, seed=2**31 - 1)
    assert other.shape == (2, QUERIES)
    assert not np.array_equal(other[0], plain("value")[0])
    assert not np.array_equal(other[0], other[1])  # each has weights of its own


@every_kind
@pytest.mark.parametrize("patience", [1, 3])
def test_training_stops_as_a_plain_loop_does(monkeypatch, kind: str, patience: int) -> None:
    """All steps are recorded; the losses of the looks are found by scikit-learn."""
    recorded: list[list[np.ndarray]] = []

    class Recorded(AdamW):
        def __init__(self, network, *options) -> None:
            super().__init__(network, *options)
            self.network, self.steps = network, []
            recorded.append(self.steps)

        def step(self) -> None:
            super().step()
            self.steps.append(self.network.parameters.copy())

    monkeypatch.setattr(probes, "AdamW", Recorded)
    linear = replace(LINEAR, steps=4007, patience=patience, batch_size=16, learning_rate=0.05)
    linear = replace(linear, evaluate_every=20)
    subsets = [draw_subset(POOL, 60, r) for r in range(4)]
    predicted = fit(kind, subsets, linear)
    best, best_loss, stale = [None] * 4, [np.inf] * 4, 0
    for step in range(20, 4001, 20):
        stale += 1
        for number, subset in enumerate(subsets):
            parameters = recorded[number][step - 1]
            loss = held_out_loss(kind, subset, parameters)
            if loss < best_loss[number]:
                best[number], best_loss[number], stale = parameters, loss, 0
        if stale == patience:
            break
    assert step < 4000
    assert [len(steps) for steps in recorded] == [step] * 4
    for subset, parameters, prediction in zip(subsets, best, predicted, strict=True):
        expected = answers(kind, subset, parameters, QUERY_X)
        assert np.allclose(prediction, expected, rtol=1e-3, atol=1e-4)


def outputs_of(subset: np.ndarray, parameters: np.ndarray, x: np.ndarray) -> np.ndarray:
    outputs = len(parameters) // (D + 1)
    return (
        standard(subset, x) @ parameters[: D * outputs].reshape(D, -1) + parameters[D * outputs :]
    )


def answers(kind: str, subset: np.ndarray, parameters: np.ndarray, x: np.ndarray) -> np.ndarray:
    """What a linear probe of these parameters answers, in double precision."""
    result = outputs_of(subset, parameters, x)
    if kind == "value":
        return result[:, 0] * VALUES[subset].std() + VALUES[subset].mean()
    return result.argmax(1) if kind == "class" else result


def held_out_loss(kind: str, subset: np.ndarray, parameters: np.ndarray) -> float:
    """The loss of a linear probe of these parameters on the validation part."""
    _, held = split_validation(subset, 0.2)
    result = outputs_of(subset, parameters, POOL_X)[-len(held) :]
    wanted = TARGETS[kind][0][held]
    if kind == "class":
        return log_loss(wanted, softmax(result, axis=1), labels=range(CLASSES))
    if kind == "categories":
        odds = zip(wanted.T, expit(result).T, strict=True)
        return float(np.mean([log_loss(w, p, labels=[0, 1]) for w, p in odds]))
    return float(
        np.mean((result[:, 0] - (wanted - VALUES[subset].mean()) / VALUES[subset].std()) ** 2)
    )


@pytest.mark.parametrize("wrong", [np.nan, np.inf])
@every_kind
def test_a_loss_that_is_no_number_is_told(kind: str, wrong: float) -> None:
    """In one error, without a warning beside it."""
    bad = POOL_X.copy()
    bad[3] = wrong
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with pytest.raises(FloatingPointError, match="finite"):
            fit(kind, [np.arange(50)], embeddings=bad)


@every_kind
def test_a_rate_that_diverges_is_told(kind: str) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with pytest.raises(FloatingPointError, match="finite"):
            fit(kind, settings=replace(FAST, learning_rate=1e38))


# nearest neighbours


def by_hand(subset: np.ndarray, query: np.ndarray, neighbors: int) -> tuple[np.ndarray, np.ndarray]:
    """The neighbours of a query and their weights, as the definition has them."""
    x = POOL_X[subset]
    z = np.clip((x - x.mean(0)) / x.std(0), -5, 5)
    q = np.clip((query - x.mean(0)) / x.std(0), -5, 5)
    distance = 1 - z @ q / np.linalg.norm(z, axis=1) / np.linalg.norm(q)
    nearest = np.argsort(distance)[:neighbors]
    return subset[nearest], 1 / distance[nearest]


@every_kind
def test_neighbors_are_the_nearest_by_cosine(kind: str) -> None:
    targets, classes = TARGETS[kind]
    subsets = [RNG.permutation(POOL)[:60], np.arange(3)]  # of 3 examples no more than 3
    found = predict_with_neighbors(
        POOL_X, targets[:POOL], subsets, QUERY_X, classes=classes, neighbors=7
    )
    for subset, predictions in zip(subsets, found, strict=True):
        for query, prediction in zip(QUERY_X[:50], predictions, strict=False):
            rows, weights = by_hand(subset, query, 7)
            if kind == "class":
                votes = np.bincount(targets[rows], weights, minlength=classes)
                assert prediction == np.argmax(votes)
            else:
                expected = weights @ targets[rows] / weights.sum()
                assert np.allclose(prediction, expected, rtol=1e-3, atol=1e-3)


def test_neighbors_tell_what_can_be_told() -> None:
    found = predict_with_neighbors(
        POOL_X, LABELS[:POOL], [np.arange(300)], QUERY_X, classes=CLASSES
    )
    assert np.mean(found[0] == LABELS[POOL:]) > 0.7  # by chance 1/3


@every_kind
@pytest.mark.parametrize("neighbors", [1, 5, 60])
def test_neighbors_answer_as_scikit_learns(kind: str, neighbors: int) -> None:
    """Also queries that are among the examples, and that are far from all."""
    targets, classes = TARGETS[kind]
    subset = draw_subset(POOL, 60, 0)
    queries = np.concatenate([QUERY_X, POOL_X[subset[:20]], 100 * QUERY_X[:20]])
    found = predict_with_neighbors(
        POOL_X, targets[:POOL], [subset], queries, classes=classes, neighbors=neighbors
    )[0]
    sklearn = KNeighborsClassifier if kind == "class" else KNeighborsRegressor
    theirs = sklearn(neighbors, weights="distance", metric="cosine")
    theirs.fit(standard(subset).astype(np.float32), targets[subset])
    expected = theirs.predict(standard(subset, queries).astype(np.float32))
    if kind == "class":
        assert found.dtype == np.int64
        assert np.mean(found == expected) > 0.99
    else:
        assert found.shape == expected.shape
        own = np.arange(len(QUERY_X), len(QUERY_X) + 20)
        rest = np.setdiff1d(np.arange(len(queries)), own)
        assert np.allclose(found[rest], expected[rest], rtol=1e-3, atol=1e-3)
        assert np.allclose(found[own], targets[subset[:20]], atol=0.01 * np.ptp(targets))


def test_neighbors_at_no_distance_share_the_weight() -> None:
    tripled, values = np.repeat(POOL_X[:6], 3, axis=0), np.arange(18.0)
    found = predict_with_neighbors(
        tripled, values, [np.arange(18)], POOL_X[:6], classes=None, neighbors=4
    )
    assert np.allclose(found[0], values.reshape(6, 3).mean(axis=1), atol=0.01)


def test_a_row_of_zeros_has_neighbors_too() -> None:
    """A query at the mean has no direction: all are as far."""
    query = POOL_X[:50].mean(axis=0, keepdims=True)
    found = predict_with_neighbors(
        POOL_X, VALUES, [np.arange(50)], query, classes=None, neighbors=50
    )
    assert np.isfinite(found).all()
    constant = np.ones_like(POOL_X)
    found = predict_with_neighbors(constant, VALUES, [np.arange(50)], constant[:3], classes=None)
    assert np.isfinite(found).all()
