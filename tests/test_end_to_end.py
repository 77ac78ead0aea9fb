"""Networks trained end to end: on their own examples alone, from the weights that were given."""

from __future__ import annotations

from dataclasses import replace

import keras
import numpy as np
import pytest
import tensorflow as tf
from scipy.special import log_softmax
from sklearn.metrics import log_loss, roc_auc_score

from shuffle_to_learn.evaluation.end_to_end import Settings, example_losses, predict_end_to_end
from shuffle_to_learn.evaluation.probes import draw_subset
from shuffle_to_learn.models.cfn import build_cfn
from shuffle_to_learn.slicing import Slicing

SLICING = Slicing.parse("grid-2x2")
RNG = np.random.default_rng(0)
POOL, QUERIES = 240, 120
# What is asked of a picture is how its quarters compare: the brightest, the share of the first in
# their sum, and which of them are bright.
QUARTERS = RNG.random((POOL + QUERIES, 4))
PICTURES = QUARTERS.reshape(-1, 2, 2).repeat(4, axis=1).repeat(4, axis=2)
PICTURES = (PICTURES + 0.05 * RNG.normal(size=PICTURES.shape)).astype(np.float32)
TARGETS = {
    "class": (QUARTERS.argmax(axis=1), 4),
    "value": (50 + 10 * (QUARTERS[:, 0] - QUARTERS[:, 3]), None),
    "categories": ((QUARTERS > 0.6).astype(np.int8), None),
}
FAST = Settings(hidden=(8,), steps=4, evaluate_every=2, batch_size=8, dropout=0.2)
REAL = Settings(hidden=(16,), steps=300, evaluate_every=20, learning_rate=3e-3, patience=6)
every_kind = pytest.mark.parametrize("kind", TARGETS)
PAIR = [np.arange(40), np.arange(30, 90)]


@pytest.fixture(scope="module")
def plain() -> keras.Model:
    return build_cfn(4, (4, 4, 1), 4, width=0.05, tile_features=16, joined_features=32)


@pytest.fixture(scope="module")
def model() -> keras.Model:
    """With statistics that training changes, too."""
    return build_cfn(
        4, (4, 4, 1), 4, width=0.05, tile_features=8, joined_features=16, batch_normalization=True
    )


def fit(model: keras.Model, kind: str, subsets=PAIR, settings=FAST, **changes) -> np.ndarray:
    targets, classes = TARGETS[kind]
    given = {"inputs": PICTURES[:POOL], "targets": targets[:POOL], "queries": PICTURES[POOL:]}
    given |= {"subsets": subsets, "slicing": SLICING, "classes": classes, "settings": settings}
    return predict_end_to_end(model, **given | changes)


@every_kind
def test_it_learns_what_it_is_shown(plain: keras.Model, kind: str) -> None:
    predicted = fit(plain, kind, [draw_subset(POOL, 200, 0)], REAL)[0]
    wanted = TARGETS[kind][0][POOL:]
    if kind == "class":
        assert np.mean(predicted == wanted) > 0.8  # by chance 0.25
    elif kind == "value":
        assert np.mean((predicted - wanted) ** 2) < 0.2 * wanted.var()
    else:
        assert roc_auc_score(wanted, predicted, average="macro") > 0.9


@every_kind
def test_shapes_and_types(model: keras.Model, kind: str) -> None:
    predicted = fit(model, kind)
    shape = (2, QUERIES, 4) if kind == "categories" else (2, QUERIES)
    assert predicted.shape == shape
    assert np.issubdtype(predicted.dtype, np.integer if kind == "class" else np.floating)


@every_kind
def test_the_same_again_and_the_model_as_before(model: keras.Model, kind: str) -> None:
    before = [np.copy(w) for w in model.get_weights()]
    first = fit(model, kind)
    assert all(np.array_equal(a, b) for a, b in zip(before, model.get_weights(), strict=True))
    assert np.array_equal(first, fit(model, kind))


def test_each_network_starts_afresh(model: keras.Model) -> None:
    """What the network before it was shown makes no difference to the second."""
    alone = fit(model, "value", [PAIR[1][:15], PAIR[1]])
    assert np.array_equal(alone[1], fit(model, "value")[1])


@every_kind
def test_only_the_subset_is_seen(model: keras.Model, kind: str) -> None:
    targets, _ = TARGETS[kind]
    inputs, changed = PICTURES[:POOL].copy(), targets[:POOL].copy()
    outside = np.setdiff1d(np.arange(POOL), np.concatenate(PAIR))
    inputs[outside], changed[outside] = np.nan, changed[0]
    assert np.array_equal(fit(model, kind), fit(model, kind, inputs=inputs, targets=changed))


def test_the_order_of_a_memory_map_is_no_matter(model: keras.Model, tmp_path) -> None:
    np.save(tmp_path / "x.npy", PICTURES[:POOL])
    mapped = np.load(tmp_path / "x.npy", mmap_mode="r")
    subsets = [RNG.permutation(POOL)[:50]]
    assert np.array_equal(fit(model, "class", subsets), fit(model, "class", subsets, inputs=mapped))


def test_pretrained_weights_are_where_it_starts(model: keras.Model) -> None:
    """Without a step worth the name, a head of 0 hidden layers sees the model's own embedding."""
    still = replace(FAST, hidden=(), learning_rate=1e-12, dropout=0.0)
    other = build_cfn(4, (4, 4, 1), 4, width=0.05, tile_features=8, joined_features=16, seed=7)
    first, second = (fit(m, "value", settings=still) for m in (model, other))
    assert not np.allclose(first, second)
    assert np.array_equal(second, fit(other, "value", settings=still))


def test_the_weights_kept_are_the_best_on_the_validation_part(plain: keras.Model) -> None:
    """With labels of noise a network that goes on too long is worse than one that stops."""
    noise = np.random.default_rng(1).normal(size=POOL)
    given = {"targets": noise, "subsets": [np.arange(30)], "validation_share": 0.4}
    given["queries"] = PICTURES[:30]
    looks = [20, 60, 120, 200]
    errors = []
    for steps in looks:  # one look each, at its end
        once = replace(REAL, steps=steps, evaluate_every=steps, learning_rate=3e-3)
        errors.append(fit(plain, "value", settings=once, **given)[0][18:] - noise[18:30])
    often = replace(REAL, steps=200, evaluate_every=20, patience=100, learning_rate=3e-3)
    kept = fit(plain, "value", settings=often, **given)[0][18:] - noise[18:30]
    losses = [np.mean(error**2) for error in errors]
    assert losses[-1] > min(losses)
    assert np.mean(kept**2) <= min(losses) * 1.0001


def test_a_rate_that_diverges_is_told(model: keras.Model) -> None:
    before = [variable.numpy() for variable in model.variables]
    with pytest.raises(FloatingPointError, match="finite validation loss"):
        fit(model, "value", settings=replace(FAST, learning_rate=1e30))
    for variable, value in zip(model.variables, before, strict=True):
        assert np.array_equal(variable, value)  # the model is as it was


@pytest.mark.parametrize("shape", [(7,), (3, 5)])
def test_losses_are_those_of_scipy_and_scikit_learn(shape: tuple[int, ...]) -> None:
    result = RNG.normal(size=(*shape, 4)).astype(np.float32)
    labels = RNG.integers(0, 4, shape)
    expected = -np.take_along_axis(log_softmax(result, -1), labels[..., None], -1)[..., 0]
    given = tf.constant(labels, tf.int32)
    assert np.allclose(example_losses(tf.constant(result), given), expected, atol=1e-6)
    there = RNG.integers(0, 2, (*shape, 4))
    rows = zip(there.reshape(-1, 4), result.reshape(-1, 4), strict=True)
    expected = [
        log_loss(own, 1 / (1 + np.exp(-odds.astype(float))), labels=[0, 1]) for own, odds in rows
    ]
    found = example_losses(tf.constant(result), tf.constant(there, tf.float32))
    assert np.allclose(found, np.reshape(expected, shape), atol=1e-5)
    values = RNG.normal(size=shape)
    found = example_losses(tf.constant(result[..., :1]), tf.constant(values, tf.float32))
    assert np.allclose(found, (result[..., 0] - values) ** 2, atol=1e-5)
