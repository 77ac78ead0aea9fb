"""The perceptron of the probes and its optimizer, against TensorFlow and Keras."""

from __future__ import annotations

from itertools import pairwise

import keras
import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import kstest, truncnorm

from shuffle_to_learn.evaluation import perceptron
from shuffle_to_learn.evaluation.end_to_end import example_losses
from shuffle_to_learn.evaluation.perceptron import AdamW, Perceptron
from shuffle_to_learn.evaluation.targets import Target

KINDS = ("class", "value", "categories")


@st.composite
def networks(draw) -> tuple[Target, tuple[int, ...], int, int]:
    """A target, the sizes of a network's layers, a number of rows, and a seed."""
    kind = draw(st.sampled_from(KINDS))
    outputs = 1 if kind == "value" else draw(st.integers(1 + (kind == "class"), 6))
    hidden = draw(st.lists(st.integers(1, 7), max_size=3))
    sizes = (draw(st.integers(1, 8)), *hidden, outputs)
    return Target(kind, outputs), sizes, draw(st.integers(1, 9)), draw(st.integers(0, 2**32))


def drawn(target: Target, rng: np.random.Generator, rows: int) -> np.ndarray:
    """Encoded targets of random examples."""
    if target.kind == "class":
        return target.encode(rng.integers(target.outputs, size=rows))
    if target.kind == "value":
        return target.encode(rng.normal(size=rows))
    return target.encode(rng.integers(0, 2, (rows, target.outputs)))


def generator(seed: int) -> np.random.Generator:
    return np.random.Generator(np.random.Philox(seed))


# losses


@given(networks(), st.sampled_from([0.1, 1.0, 30.0, 300.0]))
def test_losses_and_slopes_are_those_of_tensorflow(given_network, scale: float) -> None:
    target, _, rows, seed = given_network
    rng = generator(seed)
    results = (scale * rng.normal(size=(rows, target.outputs))).astype(np.float32)
    wanted = drawn(target, rng, rows)
    given_results = tf.constant(results)
    with tf.GradientTape() as tape:
        tape.watch(given_results)
        losses = example_losses(given_results, tf.constant(wanted))
        loss = tf.reduce_sum(losses)
    assert np.allclose(target.losses(results, wanted), losses, rtol=1e-5, atol=1e-6)
    slopes = target.slopes(results, wanted)
    assert slopes.dtype == np.float32
    assert np.allclose(slopes, tape.gradient(loss, given_results), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("kind", KINDS)
def test_losses_of_results_far_out_are_finite(kind: str) -> None:
    """Also where an exponential of them is not."""
    target = Target(kind, 1 if kind == "value" else 3)
    results = np.float32([[1e4, -1e4, 0], [-1e4, 1e4, 1e4]])[:, : target.outputs]
    wanted = drawn(target, generator(0), 2)
    with np.errstate(over="raise", invalid="raise", divide="raise"):
        assert np.isfinite(target.losses(results, wanted)).all()
        assert np.isfinite(target.slopes(results, wanted)).all()


# gradients


def doubled(
    network: Perceptron, sizes: tuple[int, ...]
) -> tuple[list[tf.Variable], list[tf.Variable]]:
    """The network's weights and biases as variables in double precision."""
    shapes = list(pairwise(sizes))
    ends = np.cumsum([*(a * b for a, b in shapes), *sizes[1:]])
    pieces = [tf.constant(p, tf.float64) for p in np.split(network.parameters, ends[:-1])]
    weights = [tf.Variable(tf.reshape(p, s)) for p, s in zip(pieces, shapes, strict=False)]
    return weights, [tf.Variable(p) for p in pieces[len(shapes) :]]


def by_tensorflow(network, sizes, inputs, wanted, gates) -> tuple[np.ndarray, np.ndarray]:
    """Results and gradients in double precision; ``gates`` multiply what hidden layers pass on."""
    weights, biases = doubled(network, sizes)
    if wanted.dtype == np.float32:
        wanted = wanted.astype(np.float64)
    with tf.GradientTape() as tape:
        h = tf.constant(inputs, tf.float64)
        for number, (weight, bias) in enumerate(zip(weights, biases, strict=True)):
            h = h @ weight + bias
            if number < len(weights) - 1:
                h = tf.nn.relu(h) * (1.0 if gates is None else gates[number])
        loss = tf.reduce_mean(example_losses(h, tf.constant(wanted)))
    found = tape.gradient(loss, [*weights, *biases])
    return h.numpy(), np.concatenate([np.ravel(g) for g in found])


@settings(deadline=None)
@given(networks(), st.sampled_from([0.0, 0.3]))
def test_gradients_are_those_of_tensorflow(given_network, dropout: float) -> None:
    """For every target and depth; under dropout, with the same units dropped."""
    target, sizes, rows, seed = given_network
    network = Perceptron(sizes, dropout, generator(seed))
    rng = np.random.default_rng(seed)
    network.parameters += rng.normal(size=len(network.parameters)).astype(np.float32) / 4  # biases
    inputs, wanted = rng.normal(size=(rows, sizes[0])).astype(np.float32), drawn(target, rng, rows)
    gates = []
    gate = network._gate

    def recorded(h: np.ndarray) -> np.ndarray:
        gates.append(gate(h))
        return gates[-1]

    network._gate = recorded  # type: ignore[method-assign]
    network.differentiate(inputs, wanted, target)
    assert len(gates) == len(sizes) - 2
    results, gradients = by_tensorflow(network, sizes, inputs, wanted, gates)
    assert np.allclose(network.gradients, gradients, rtol=1e-3, atol=1e-5)
    if not dropout:
        assert all(np.isin(g, [0, 1]).all() for g in gates)
        assert np.allclose(network.results(inputs), results, rtol=1e-4, atol=1e-4)
        assert np.allclose(gradients, by_tensorflow(network, sizes, inputs, wanted, None)[1])


@pytest.mark.parametrize("dropout", [0.2, 0.5, 0.9])
def test_dropout_drops_its_share_and_keeps_the_mean(dropout: float) -> None:
    network = Perceptron((3, 5, 1), dropout, generator(1))
    h = np.random.default_rng(0).normal(size=(501, 301)).astype(np.float32)
    gate = network._gate(h)
    assert (gate[h <= 0] == 0).all()
    passed = gate[h > 0]
    assert np.allclose(np.unique(passed), [0, 1 / (1 - dropout)], rtol=1e-4)
    assert abs(passed.mean() - 1) < 5 * np.sqrt(dropout / (1 - dropout) / passed.size)
    assert not np.array_equal(gate, network._gate(h))


def test_first_weights_are_hes_cut_at_two_deviations() -> None:
    sizes = (400, 90, 30)
    network = Perceptron(sizes, 0.0, generator(3))
    assert network.weights == 400 * 90 + 90 * 30
    assert not network.parameters[network.weights :].any()
    for fan_in, start, end in ((400, 0, 36000), (90, 36000, network.weights)):
        weights = network.parameters[start:end] / np.sqrt(2 / fan_in)
        assert np.abs(weights).max() <= 2.0001
        assert kstest(weights, truncnorm(-2, 2).cdf).pvalue > 0.01
    assert not np.array_equal(network.parameters, Perceptron(sizes, 0.0, generator(4)).parameters)


# the optimizer


@settings(deadline=None)
@given(
    st.integers(0, 2**32),
    st.sampled_from([1e-4, 2e-3, 0.5]),
    st.sampled_from([0.0, 1e-2, 0.9]),
    st.sampled_from([1, 7, 10**6]),
)
def test_every_step_is_that_of_keras(seed: int, rate: float, decay: float, part: int) -> None:
    """Also of gradients that are 0 or tiny, and however the parameters are cut into parts."""
    sizes = (3, 4, 2)
    network = Perceptron(sizes, 0.0, generator(seed))
    variables = [keras.Variable(v) for v in np.split(network.parameters, [network.weights])]
    theirs = keras.optimizers.AdamW(rate, weight_decay=decay)
    theirs.exclude_from_weight_decay(var_list=variables[1:])
    theirs.build(variables)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(perceptron, "_PART", part)
        ours = AdamW(network, rate, decay)
    rng = np.random.default_rng(seed)
    scale = 10.0 ** rng.integers(-9, 2, network.parameters.shape)
    scale[::5] = 0
    for _ in range(12):
        gradients = (scale * rng.normal(size=scale.shape)).astype(np.float32)
        network.gradients[:] = gradients
        before = network.parameters.copy()
        ours.step()
        halves = np.split(gradients, [network.weights])
        theirs.apply([tf.constant(half) for half in halves], variables)
        expected = np.concatenate([v.numpy() for v in variables])
        assert np.allclose(network.parameters, expected, rtol=1e-5, atol=1e-4 * rate)
        moved = np.abs(expected - before).max()
        assert moved > 0.1 * rate
