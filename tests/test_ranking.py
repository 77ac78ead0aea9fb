"""Ranks, soft ranks and perturbed ranks against definitions that share no code with them."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy.optimize import isotonic_regression
from scipy.stats import norm, rankdata

from shuffle_to_learn.ranking import perturbed_rank, rank, soft_rank

RNG = np.random.default_rng(0)
epsilons = st.sampled_from([0.05, 0.3, 1.0, 4.0])


def vectors(low: int = 2, high: int = 12) -> st.SearchStrategy[np.ndarray]:
    """Values of very different spread, with ties."""
    value = st.one_of(st.floats(-20, 20), st.integers(-3, 3).map(float))
    return st.integers(low, high).flatmap(lambda n: arrays(np.float64, n, elements=value))


def projection(z: np.ndarray) -> np.ndarray:
    """The projection onto the permutahedron by scipy's pool-adjacent-violators."""
    order = np.argsort(-z)
    s, w = z[order], np.arange(len(z), 0, -1.0)
    result = np.empty_like(z)
    result[order] = s - isotonic_regression(s - w, increasing=False).x
    return result


def slopes(function, at: np.ndarray, h: float = 1e-5) -> np.ndarray:
    """Central differences: row i is the derivative of function(at) along i."""
    moves = h * np.eye(len(at))
    return (function(at + moves) - function(at - moves)) / (2 * h)


def jacobian(function, at: np.ndarray) -> np.ndarray:
    """Row i is the derivative of function(at) along i, by the gradient under test."""
    x = tf.constant(at)
    with tf.GradientTape() as tape:
        tape.watch(x)
        y = function(x)
    return tape.jacobian(y, x).numpy().T


# rank


@given(vectors())
def test_rank_is_ascending_and_ties_go_by_position(x: np.ndarray) -> None:
    assert np.array_equal(rank(tf.constant(x)), rankdata(x, "ordinal"))


@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.int32])
def test_rank_of_a_batch_is_that_of_its_rows(dtype: type) -> None:
    x = RNG.integers(-4, 5, (3, 2, 6)).astype(dtype)
    result = rank(tf.constant(x))
    assert result.dtype == tf.int32
    assert np.array_equal(result, rankdata(x, "ordinal", axis=-1))


# soft_rank


@given(vectors(), epsilons)
def test_soft_rank_is_scipys_projection(x: np.ndarray, epsilon: float) -> None:
    expected = projection(x / epsilon)
    assert np.allclose(soft_rank(tf.constant(x), epsilon), expected, atol=1e-9)
    single = soft_rank(tf.constant(x, tf.float32), epsilon)
    assert single.dtype == tf.float32
    assert np.allclose(single, expected, atol=1e-3)


@given(vectors(high=5), epsilons)
def test_soft_rank_is_the_nearest_point_of_the_permutahedron(x: np.ndarray, epsilon: float) -> None:
    """By the variational inequality over all n! corners, and by majorisation for membership."""
    n, z = len(x), x / epsilon
    p = soft_rank(tf.constant(x), epsilon).numpy()
    corners = np.array(list(itertools.permutations(range(1, n + 1))))
    assert ((corners - p) @ (z - p)).max() <= 1e-8 * (1 + np.abs(z).max())
    assert (np.cumsum(-np.sort(-p)) <= np.cumsum(np.arange(n, 0, -1)) + 1e-9).all()
    assert p.sum() == pytest.approx(n * (n + 1) / 2)


@given(vectors(), epsilons, st.randoms(use_true_random=False))
def test_soft_rank_is_equivariant_and_keeps_the_order(x, epsilon, random) -> None:
    p = soft_rank(tf.constant(x), epsilon).numpy()
    order = np.array(random.sample(range(len(x)), len(x)))
    assert np.allclose(soft_rank(tf.constant(x[order]), epsilon), p[order], atol=1e-9)
    assert np.allclose(soft_rank(tf.constant(x + 7.5), epsilon), p, atol=1e-9)
    by_value = np.argsort(x, kind="stable")
    assert (np.diff(p[by_value]) >= -1e-9).all()


def test_equal_values_have_equal_soft_ranks() -> None:
    p = soft_rank(tf.constant([0.3, -1.0, 0.3, 5.0], tf.float64), 0.1).numpy()
    assert np.allclose(p, [2.5, 1.0, 2.5, 4.0])


@pytest.mark.parametrize("dtype", [tf.float32, tf.float64])
@pytest.mark.parametrize("epsilon", [1e-3, 1e-6, 1e-10, 1e-30])
def test_soft_rank_tends_to_rank(dtype: tf.DType, epsilon: float) -> None:
    x = tf.constant([[0.1, 0.5, 0.3, 2.0, -1.0], [3e4, 3.0, -2e4, 1.0, 2.0]], dtype)
    assert np.allclose(soft_rank(x, epsilon), rank(x), atol=1e-4)


@pytest.mark.parametrize("dtype", [tf.float32, tf.float64])
def test_soft_rank_tends_to_the_mean_rank(dtype: tf.DType) -> None:
    x = tf.constant([0.1, 0.5, 0.3, 2.0, -1.0], dtype)
    assert np.allclose(soft_rank(x, 1e8), 3.0, atol=1e-5)


def test_one_far_value_leaves_the_others_exact() -> None:
    x = np.array([1e6, 0.0, 0.5, 1.2, 2.9])
    single = soft_rank(tf.constant(x, tf.float32), 1.0)
    assert np.allclose(single, projection(x), atol=1e-4)


def test_soft_rank_of_many_values_in_float32() -> None:
    x = RNG.normal(size=(4, 100))
    expected = [projection(row / 0.05) for row in x]
    assert np.allclose(soft_rank(tf.constant(x, tf.float32), 0.05), expected, atol=0.02)


def test_soft_rank_of_a_batch_is_that_of_its_rows_in_a_graph() -> None:
    x = RNG.normal(size=(2, 3, 6))

    @tf.function(input_signature=[tf.TensorSpec([None, None, 6], tf.float64)])
    def compiled(values):
        return soft_rank(values, 0.5)

    rows = np.array([[soft_rank(tf.constant(row), 0.5) for row in part] for part in x])
    assert np.allclose(compiled(x), rows, atol=1e-12)


@pytest.mark.parametrize("epsilon", [0.1, 0.5, 2.0])
@pytest.mark.parametrize("n", [2, 5, 9])
def test_soft_rank_gradient_is_its_slope(n: int, epsilon: float) -> None:
    x = np.random.default_rng(n).normal(size=n)
    numeric = slopes(lambda v: soft_rank(tf.constant(v), epsilon).numpy(), x)
    assert np.allclose(jacobian(lambda v: soft_rank(v, epsilon), x), numeric, atol=1e-7)


@pytest.mark.parametrize("epsilon", [0.02, 0.3, 3.0])
def test_soft_rank_gradient_in_float32_is_that_in_float64(epsilon: float) -> None:
    x = np.random.default_rng(3).normal(size=30)
    double, single = (
        jacobian(lambda v: soft_rank(v, epsilon), x.astype(dtype))
        for dtype in (np.float64, np.float32)
    )
    assert np.allclose(single, double, atol=1e-3)
    assert np.abs(double).max() > 0.1


def test_soft_rank_gradient_of_a_batch_keeps_its_rows_apart() -> None:
    x = tf.constant(RNG.normal(size=(3, 4)))
    with tf.GradientTape() as tape:
        tape.watch(x)
        first = tf.reduce_sum(soft_rank(x, 2.0)[0] * [1.0, 2.0, 3.0, 4.0])
    gradient = tape.gradient(first, x).numpy()
    assert np.abs(gradient[0]).max() > 0.1
    assert not gradient[1:].any()


def test_a_value_that_is_no_number_does_not_go_unseen() -> None:
    assert np.isnan(soft_rank(tf.constant([1.0, np.nan, 2.0]))).any()


# perturbed_rank


def expected_rank(t: np.ndarray, epsilon: float) -> np.ndarray:
    """1 + the chances that the others fall below, by scipy's normal distribution."""
    beaten = norm.cdf((t[:, None] - t[None]) / (epsilon * np.sqrt(2)))
    return 1 + beaten.sum(1) - 0.5


@given(vectors(), epsilons)
def test_exact_perturbed_rank_is_its_formula(x: np.ndarray, epsilon: float) -> None:
    p = perturbed_rank(tf.constant(x), epsilon, None).numpy()
    assert np.allclose(p, expected_rank(x, epsilon), atol=1e-9)
    assert p.sum() == pytest.approx(len(x) * (len(x) + 1) / 2)


def test_exact_perturbed_rank_is_the_mean_of_100000_ranks() -> None:
    t, epsilon, draws = np.array([0.0, 0.1, 0.5, -0.3, 0.15]), 0.2, 100_000
    exact = perturbed_rank(tf.constant(t), epsilon, None).numpy()
    noise = np.random.default_rng(1).normal(size=(draws, 5))
    ranks = rankdata(t + epsilon * noise, axis=-1)
    error = ranks.std(axis=0) / np.sqrt(draws)
    assert (np.abs(ranks.mean(axis=0) - exact) < 4 * error).all()
    sampled = perturbed_rank(tf.constant(t), epsilon, draws, seed=(1, 2)).numpy()
    assert (np.abs(sampled - exact) < 4 * error).all()


def test_exact_perturbed_rank_gradient_is_its_slope() -> None:
    t = np.array([0.0, 0.1, 0.5, -0.3, 0.15])
    numeric = slopes(lambda v: perturbed_rank(tf.constant(v), 0.2, None).numpy(), t)
    assert np.allclose(jacobian(lambda v: perturbed_rank(v, 0.2, None), t), numeric, atol=1e-8)


@pytest.mark.parametrize("samples", [None, 200])
def test_perturbed_rank_has_its_limits(samples: int | None) -> None:
    t = tf.constant([[0.3, -1.0, 2.0, 0.4]])
    near = perturbed_rank(t, 1e-6, samples, seed=(0, 0))
    assert np.allclose(near, rank(t))
    far = perturbed_rank(t, 1e6, samples, seed=(0, 0))
    assert np.allclose(far, 2.5, atol=1e-4 if samples is None else 0.5)


def test_sampled_perturbed_rank_follows_its_seed() -> None:
    t = tf.zeros([2, 3, 4])
    first, again, other = (perturbed_rank(t, 1.0, 5, seed=s) for s in ((3, 4), (3, 4), (3, 5)))
    assert first.shape == (2, 3, 4)
    assert np.array_equal(first, again)
    assert not np.array_equal(first, other)
    assert np.allclose(tf.reduce_sum(first, -1), 10.0)
    assert len({tuple(row) for row in first.numpy().reshape(-1, 4)}) > 1  # rows have own noise


@pytest.mark.parametrize("epsilon", [0.0, -1.0, float("nan")])
@pytest.mark.parametrize("function", [soft_rank, perturbed_rank])
def test_epsilon_must_be_positive(function, epsilon: float) -> None:
    with pytest.raises(ValueError, match="epsilon must be above 0"):
        function(tf.zeros([3]), epsilon)
