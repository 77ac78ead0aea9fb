"""Every public Keras class: kept with a model, at every precision, in every way to run."""

from __future__ import annotations

import inspect
import json
import subprocess
import sys
from pathlib import Path

import keras
import numpy as np
import pytest
import tensorflow as tf
from conftest import ROOT

from shuffle_to_learn import ranking
from shuffle_to_learn.ranking import layers, losses, metrics

RNG = np.random.default_rng(0)
N = 4
PERMUTATIONS = [[1, 2, 3, 4], [4, 3, 2, 1], [2, 4, 1, 3]]
RANKS = np.array(PERMUTATIONS)[RNG.integers(0, 3, 24)]
INPUTS = np.concatenate([RANKS + RNG.normal(0, 0.3, RANKS.shape), RNG.normal(size=(24, 2))], axis=1)

CASES = {
    "fast soft ranking": lambda: losses.FastSoftRanking(0.3),
    "exact Fenchel-Young": lambda: losses.PerturbedFenchelYoung(0.5, None),
    "Fenchel-Young": lambda: losses.PerturbedFenchelYoung(0.5, 7, seed=3),
    "RankNet": lambda: losses.RankNet(0.5),
    "ListMLE": lambda: losses.ListMLE(0.5),
    "soft Spearman": lambda: losses.SoftSpearman(0.5, "kl", mask_zero=True),
    "expected Kendall": lambda: losses.ExpectedKendall(0.5),
    "Gumbel Fenchel-Young": lambda: losses.PerturbedFenchelYoung(0.5, 7, seed=3, noise="gumbel"),
    "averaged ties": lambda: losses.RankNet(0.5, ties="average", mask_zero=True),
    "mse": lambda: losses.RankMeanSquaredError(reduction="sum_over_batch_size", name="squares"),
    "cross-entropy": lambda: losses.PermutationCrossEntropy(PERMUTATIONS),
    "soft rank": lambda: layers.SoftRank(0.3, name="soft"),
    "rank by entropy": lambda: layers.SoftRank(0.3, "kl"),
    "changing epsilon": lambda: layers.SoftRank(keras.Variable(0.3, trainable=False)),
    "exact rank": lambda: layers.PerturbedRank(0.5, None),
    "perturbed rank": lambda: layers.PerturbedRank(0.5, 7, seed=3),
    "partial ranks": lambda: metrics.PartialRanks(),
    "Spearman": lambda: metrics.Spearman(mask_zero=True),
    "Kendall": lambda: metrics.Kendall(),
    "partial ranks of classes": lambda: metrics.PartialRanks(PERMUTATIONS, name="right"),
}
every_class = pytest.mark.parametrize("case", CASES)


def copy(thing):
    """A new one by way of its serialised form, as JSON, which is what is kept with a model."""
    return keras.saving.deserialize_keras_object(
        json.loads(json.dumps(keras.saving.serialize_keras_object(thing)))
    )


def model_with(case: str, policy: str = "float32", **options) -> keras.Model:
    """A small network, compiled with the class that the case is of."""
    thing = CASES[case]()
    classifies = getattr(thing, "permutations", None) is not None
    keras.utils.set_random_seed(1)
    keras.config.set_dtype_policy(policy)
    try:
        steps = [keras.layers.Input([N + 2]), keras.layers.Dense(3 if classifies else N)]
        if isinstance(thing, keras.layers.Layer):
            steps.append(type(thing).from_config({**thing.get_config(), "dtype": policy}))
        network = keras.Sequential(steps)
    finally:
        keras.config.set_dtype_policy("float32")
    loss = losses.PermutationCrossEntropy(PERMUTATIONS) if classifies else "mse"
    network.compile(
        keras.optimizers.SGD(0.01),
        loss=thing if isinstance(thing, keras.losses.Loss) else loss,
        metrics=[thing] if isinstance(thing, keras.metrics.Metric) else [],
        **options,
    )
    return network


def test_every_public_class_is_here() -> None:
    public = {
        thing
        for module in (losses, layers, metrics)
        for name, thing in inspect.getmembers(module, inspect.isclass)
        if thing.__module__ == module.__name__ and not name.startswith("_")
    }
    assert public == {type(make()) for make in CASES.values()}


@every_class
def test_settings_survive_serialisation(case: str) -> None:
    thing = CASES[case]()
    again = copy(thing)
    assert type(again) is type(thing)
    assert again.get_config() == thing.get_config()
    assert again.name == thing.name
    registered = keras.saving.get_registered_name(type(thing))
    assert registered == f"shuffle_to_learn>{type(thing).__name__}"


@every_class
def test_a_saved_model_goes_on_as_it_was(case: str, tmp_path: Path) -> None:
    model = model_with(case)
    model.fit(INPUTS, RANKS, batch_size=8, verbose=0, shuffle=False)
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    if CASES[case]().get_config().get("num_samples") is None:
        assert np.array_equal(loaded.predict(INPUTS, verbose=0), model.predict(INPUTS, verbose=0))
        assert loaded.evaluate(INPUTS, RANKS, verbose=0, return_dict=True) == model.evaluate(
            INPUTS, RANKS, verbose=0, return_dict=True
        )
    else:  # its draws start again
        assert np.isfinite(loaded.predict(INPUTS, verbose=0)).all()
        assert np.isfinite(loaded.evaluate(INPUTS, RANKS, verbose=0))
    loaded.fit(INPUTS, RANKS, verbose=0)


def test_models_load_in_another_process_that_imports_the_modules(tmp_path: Path) -> None:
    for number, case in enumerate(CASES):
        model_with(case).save(tmp_path / f"{number}.keras")
    program = (
        "import sys, keras, numpy\n"
        "import shuffle_to_learn.ranking\n"
        "for path in sys.argv[1:]:\n"
        "    keras.saving.load_model(path).predict(numpy.zeros([1, 6]), verbose=0)\n"
    )
    subprocess.run(
        [sys.executable, "-c", program, *map(str, sorted(tmp_path.iterdir()))],
        cwd=ROOT,
        check=True,
        capture_output=True,
    )


WAYS = {
    "eager": {"run_eagerly": True},
    "graph": {"jit_compile": False},
    "XLA": {"jit_compile": True},
}


@pytest.mark.parametrize("policy", ["float32", "float64", "mixed_float16", "mixed_bfloat16"])
@pytest.mark.parametrize("way", WAYS)
@every_class
def test_training_at_every_precision_in_every_way(
    case: str, way: str, policy: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Keras refuses XLA where operations are deterministic, as in these tests.
    monkeypatch.setattr("keras.src.trainers.trainer.model_supports_jit", lambda model: True)
    model = model_with(case, policy, **WAYS[way])
    before = model.get_weights()
    assert model.jit_compile == (way == "XLA")
    # In float16 Keras skips the first steps, until it has found a scale for the loss.
    history = model.fit(INPUTS, RANKS, batch_size=8, epochs=3, verbose=0).history
    assert np.isfinite(list(history.values())).all()
    assert any((a != b).any() for a, b in zip(before, model.get_weights(), strict=True))
    assert np.isfinite(model.predict(INPUTS, verbose=0)).all()


@pytest.mark.parametrize("way", WAYS)
def test_what_keras_reports_is_what_the_operators_give(
    way: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("keras.src.trainers.trainer.model_supports_jit", lambda model: True)
    scores = tf.constant(RNG.normal(size=(24, N)), tf.float32)
    model = keras.Sequential([layers.SoftRank(0.3)])
    model.compile(loss=losses.FastSoftRanking(0.3), metrics=[metrics.PartialRanks()], **WAYS[way])
    found = model.evaluate(scores, RANKS, verbose=0, return_dict=True)
    soft = ranking.soft_rank(scores, 0.3)
    assert np.allclose(model.predict(scores, verbose=0), soft, atol=1e-5)
    loss = losses.fast_soft_ranking(RANKS, soft, 0.3)
    right = losses.partial_ranks(RANKS, ranking.rank(soft))
    assert found["loss"] == pytest.approx(np.mean(loss), rel=1e-5)
    assert found["partial_ranks"] == pytest.approx(np.mean(right), rel=1e-6)


def test_losses_reduce_as_in_keras() -> None:
    scores = tf.constant(RNG.normal(size=(24, N)), tf.float32)
    each = losses.fast_soft_ranking(RANKS, scores, 0.3).numpy()
    weights = RNG.uniform(size=24)
    loss = losses.FastSoftRanking(0.3)
    assert loss(RANKS, scores).numpy() == pytest.approx(each.mean(), rel=1e-6)
    assert loss(RANKS, scores, weights).numpy() == pytest.approx((each * weights).mean(), rel=1e-5)
    loss = losses.FastSoftRanking(0.3, reduction=None)
    assert np.allclose(loss(RANKS, scores), each)


def test_partial_ranks_of_classes_are_those_of_the_likeliest_permutation() -> None:
    logits = np.eye(3)[[0, 1, 1]] * 9
    metric = metrics.PartialRanks(PERMUTATIONS)
    metric.update_state(np.array(PERMUTATIONS), tf.constant(logits))
    # Right, right, and [4, 3, 2, 1] for [2, 4, 1, 3].
    assert float(metric.result()) == pytest.approx(2 / 3)


def test_draws_are_new_at_every_call_and_the_same_from_the_same_seed() -> None:
    for kind, call in (
        (losses.PerturbedFenchelYoung, lambda x: x(RANKS, tf.zeros([24, N]))),
        (layers.PerturbedRank, lambda x: x(tf.zeros([24, N]))),
    ):
        one, other = kind(1.0, 3, seed=5), kind(1.0, 3, seed=5)
        first, second = np.array(call(one)), np.array(call(one))
        assert not np.array_equal(first, second)
        assert np.array_equal(call(other), first)
        assert np.array_equal(call(other), second)


@pytest.mark.parametrize(
    "kind",
    [losses.FastSoftRanking, losses.RankNet, losses.ListMLE, layers.SoftRank, layers.PerturbedRank],
)
def test_wrong_settings_are_refused_at_once(kind) -> None:
    with pytest.raises(ValueError, match="epsilon must be above 0"):
        kind(-1.0)


@pytest.mark.parametrize("kind", [losses.PerturbedFenchelYoung, layers.PerturbedRank])
def test_no_samples_are_refused_at_once(kind) -> None:
    with pytest.raises(ValueError, match="num_samples must be at least 1"):
        kind(1.0, 0)


@pytest.mark.parametrize(
    ("permutations", "text"),
    [([[0, 1, 2]], "ranks 1..n"), ([[1, 2], [1, 2]], "twice"), ([], "ranks 1..n")],
)
@pytest.mark.parametrize("kind", [losses.PermutationCrossEntropy, metrics.PartialRanks])
def test_what_is_no_set_of_permutations_is_refused(kind, permutations, text: str) -> None:
    with pytest.raises(ValueError, match=text):
        kind(permutations)
