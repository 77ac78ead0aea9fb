"""Soft sorting, top-k and quantiles, and ranks by entropy, against scipy, numpy and bisection."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy.optimize import isotonic_regression, minimize
from scipy.special import logsumexp
from scipy.stats import rankdata

from shuffle_to_learn.ranking import (
    blocks,
    quantile,
    soft_quantile,
    soft_rank,
    soft_sort,
    soft_top_k,
    sort,
    top_k,
)

RNG = np.random.default_rng(0)
epsilons = st.sampled_from([0.02, 0.3, 1.0, 7.0])
vectors = st.integers(1, 9).flatmap(
    lambda n: arrays(
        np.float64,
        n,
        elements=st.one_of(
            st.floats(-20, 20, allow_subnormal=False), st.integers(-3, 3).map(float)
        ),
    )
)


def sorted_by_scipy(x: np.ndarray, epsilon: float) -> np.ndarray:
    """The projection of (n..1) / epsilon onto the permutahedron of x, ascending."""
    z, w = np.arange(len(x), 0, -1.0) / epsilon, np.sort(x)[::-1]
    return (z - isotonic_regression(z - w, increasing=False).x)[::-1]


def capped(z: np.ndarray, k: int) -> np.ndarray:
    """The point of [0, 1]^n with sum k that is the nearest to z, by bisection for the shift."""
    low, high = z.min() - 2, z.max() + 1
    for _ in range(200):
        middle = (low + high) / 2
        low, high = (middle, high) if np.clip(z - middle, 0, 1).sum() > k else (low, middle)
    return np.clip(z - high, 0, 1)


def by_entropy(x: np.ndarray) -> np.ndarray:
    """exp(x - v), v the isotonic optimum under KL: by scipy's weighted isotonic regression."""
    order = np.argsort(-x)
    w = np.arange(len(x), 0, -1.0)
    s = x[order] - x.max()
    fit = isotonic_regression(np.exp(s) / w, weights=w, increasing=False).x
    result = np.empty_like(x)
    result[order] = np.exp(s) / fit
    return result


OPERATORS = {
    "sort": lambda x, e=0.7, **o: soft_sort(x, e, **o),
    "top-k": lambda x, e=0.7, **o: soft_top_k(x, 2, e, **o),
    "quantile": lambda x, e=0.7, **o: soft_quantile(x, [0.2, 0.5, 0.9], e, **o),
    "entropy": lambda x, e=0.7, **o: soft_rank(x, e, regularization="kl", **o),
    "hard sort": lambda x, **o: sort(x, **o),
}
operators = pytest.mark.parametrize("operator", OPERATORS.values(), ids=OPERATORS)


def gradient(operator, x: np.ndarray, upstream: np.ndarray, **options) -> np.ndarray:
    values = tf.constant(x)
    with tf.GradientTape() as tape:
        tape.watch(values)
        y = operator(values, **options)
    return tape.gradient(y, values, tf.constant(upstream)).numpy()


@given(vectors, epsilons)
def test_soft_sort_is_scipys_projection(x: np.ndarray, epsilon: float) -> None:
    found = soft_sort(tf.constant(x), epsilon).numpy()
    assert np.allclose(found, sorted_by_scipy(x, epsilon), atol=1e-8)
    falling = soft_sort(tf.constant(x), epsilon, descending=True).numpy()
    assert np.allclose(falling[::-1], found, atol=1e-8)
    assert found.sum() == pytest.approx(x.sum(), abs=1e-7)
    assert (np.diff(found) >= -1e-8).all()


@given(vectors, epsilons, st.integers(1, 9))
def test_soft_top_k_is_the_nearest_point_of_the_capped_simplex(x, epsilon: float, k: int) -> None:
    k = min(k, len(x))
    found = soft_top_k(tf.constant(x), k, epsilon).numpy()
    assert np.allclose(found, capped(x / epsilon, k), atol=1e-7)
    least = soft_top_k(tf.constant(x), k, epsilon, descending=True)
    assert np.allclose(least, capped(-x / epsilon, k), atol=1e-7)
    assert found.sum() == pytest.approx(k)


@given(vectors, epsilons)
def test_ranks_by_entropy_are_scipys_isotonic_regression(x: np.ndarray, epsilon: float) -> None:
    x = x / 4  # or exp is 0 in the oracle
    found = soft_rank(tf.constant(x), epsilon, regularization="kl").numpy()
    if np.ptp(x) / epsilon < 500:
        assert np.allclose(found, by_entropy(x / epsilon), rtol=1e-7)
    n = len(x)
    assert found.sum() == pytest.approx(n * (n + 1) / 2)
    assert (np.cumsum(-np.sort(-found)) <= np.cumsum(np.arange(n, 0, -1)) + 1e-7).all()


def test_ranks_by_entropy_are_the_nearest_in_divergence() -> None:
    """By scipy's minimisation over all mixtures of the corners."""
    x = np.array([0.3, -0.4, 0.9])
    corners = np.array(list(itertools.permutations([1.0, 2, 3])))

    def divergence(logits: np.ndarray) -> float:
        y = np.exp(logits - logsumexp(logits)) @ corners
        return float((y * (np.log(y) - x) - y).sum())

    best = minimize(divergence, np.zeros(6), tol=1e-12).x
    expected = np.exp(best - logsumexp(best)) @ corners
    found = soft_rank(tf.constant(x), 1.0, regularization="kl")
    assert np.allclose(found, expected, atol=1e-4)


@pytest.mark.parametrize("size", [1e3, 1e6, 1e30])
def test_ranks_by_entropy_of_large_values(size: float) -> None:
    """exp(size) is infinite."""
    ties = np.array([[3.0, 1.0, 2.0, 2.0], [-1.0, 5.0, 0.0, 0.5]])
    for dtype in (tf.float32, tf.float64):
        x = tf.constant(size * ties, dtype)
        with tf.GradientTape() as tape:
            tape.watch(x)
            found = soft_rank(x, 1.0, regularization="kl")
        assert np.allclose(found, rankdata(ties, axis=-1), atol=1e-5)
        assert np.isfinite(tape.gradient(found, x)).all()
    near = RNG.normal(size=(3, 6))
    far = soft_rank(tf.constant(near + 700.0), 1.0, regularization="kl")
    assert np.allclose(far, soft_rank(tf.constant(near), 1.0, regularization="kl"), atol=1e-9)
    assert np.allclose(soft_rank(tf.constant(near), 1e8, regularization="kl"), 3.5, atol=1e-6)


def test_published_values_of_soft_sort() -> None:
    """The examples in the README of fast-soft-sort (google-research)."""
    values = tf.constant([[5.0, 1.0, 2.0], [2.0, 1.0, 5.0]], tf.float64)
    assert np.allclose(soft_sort(values, 1.0), [[5 / 3, 8 / 3, 11 / 3]] * 2)
    assert np.allclose(soft_sort(values, 0.1), [[1, 2, 5]] * 2)


@pytest.mark.parametrize("n", [1, 5, 60, 700])
def test_the_vector_jacobian_products_are_those_of_scipys_blocks(n: int) -> None:
    rng = np.random.default_rng(n)
    x, upstream, epsilon = rng.normal(size=n) * 3, rng.normal(size=n), n / 12
    # Sorting: the mean of upstream over a block goes to each of its values.
    z, order = np.arange(n, 0, -1.0) / epsilon, np.argsort(-x)
    edges = isotonic_regression(z - x[order], increasing=False).blocks
    size = np.diff(edges)
    mean = np.repeat(np.add.reduceat(upstream[::-1], edges[:-1]) / size, size)
    wanted = np.empty(n)
    wanted[order] = mean
    found = gradient(lambda v: soft_sort(v, epsilon), x, upstream)
    assert np.allclose(found, wanted, atol=1e-9)
    assert n < 60 or 1 < len(size) < n
    # The choice: upstream less its mean over what is neither 0 nor 1.
    k, epsilon = max(n // 3, 1), 1.5
    inside = (capped(x / epsilon, k) > 1e-9) & (capped(x / epsilon, k) < 1 - 1e-9)
    wanted = np.where(inside, upstream - upstream[inside].sum() / max(inside.sum(), 1), 0) / epsilon
    found = gradient(lambda v: soft_top_k(v, k, epsilon), x, upstream)
    assert np.allclose(found, wanted, atol=1e-9)


@operators
def test_the_gradient_is_the_slope(operator) -> None:
    x = np.random.default_rng(4).normal(size=6)
    upstream = RNG.normal(size=operator(tf.constant(x)).shape)
    numeric = [
        ((operator(tf.constant(x + d)) - operator(tf.constant(x - d))).numpy() * upstream).sum()
        / 2e-6
        for d in 1e-6 * np.eye(6)
    ]
    assert np.abs(numeric).max() > 0.1
    assert np.allclose(gradient(operator, x, upstream), numeric, atol=1e-6)


def test_ranks_by_entropy_have_second_derivatives() -> None:
    x = np.random.default_rng(4).normal(size=5)

    def slope(v: tf.Tensor) -> tf.Tensor:
        with tf.GradientTape() as tape:
            tape.watch(v)
            y = tf.reduce_sum(soft_rank(v, 1.5, regularization="kl") ** 2)
        return tape.gradient(y, v)

    v = tf.constant(x)
    with tf.GradientTape() as tape:
        tape.watch(v)
        first = slope(v)
    second = tape.jacobian(first, v).numpy()
    numeric = [
        (slope(tf.constant(x + d)) - slope(tf.constant(x - d))) / 2e-5 for d in 1e-5 * np.eye(5)
    ]
    assert np.abs(numeric).max() > 0.1
    assert np.allclose(second, numeric, atol=1e-4)


@pytest.mark.parametrize("q", [0.0, 0.5, 1.0, [0.1, 0.33], [[0.2], [0.8]]])
def test_hard_quantiles_are_those_of_numpy(q) -> None:
    x = RNG.normal(size=(3, 4, 7))
    wanted = np.moveaxis(np.quantile(x, q, axis=1), range(np.ndim(q)), range(-np.ndim(q), 0))
    assert np.allclose(quantile(tf.constant(x), q, axis=1), wanted)
    assert quantile(tf.constant(x, tf.float32), q).dtype == tf.float32
    slope = gradient(lambda v: quantile(v, 0.25), x[0, 0], np.array(1.0))
    assert np.allclose(np.sort(slope), [0, 0, 0, 0, 0, 0.5, 0.5])
    for wrong in (-0.1, 1.1, np.nan):
        with pytest.raises(ValueError, match="q must be in"):
            quantile(tf.constant(x), wrong)


def test_hard_choice_and_sorting_are_those_of_numpy() -> None:
    x = RNG.integers(-3, 3, (20, 6))
    chosen = top_k(tf.constant(x), 2).numpy()
    assert chosen.dtype == bool and (chosen.sum(axis=1) == 2).all()
    for row, there in zip(x, chosen, strict=True):
        assert np.array_equal(np.sort(row[there]), np.sort(row)[-2:])
    least = top_k(tf.constant(x), 2, descending=True).numpy()
    for row, there in zip(x, least, strict=True):
        assert np.array_equal(np.sort(row[there]), np.sort(row)[:2])
    real = x + RNG.normal(size=x.shape)
    assert np.array_equal(sort(tf.constant(real)), np.sort(real))
    assert np.array_equal(sort(tf.constant(real), descending=True), -np.sort(-real))
    assert np.array_equal(top_k(tf.constant(real), 2), soft_top_k(tf.constant(real), 2, 0.0) == 1)
    shared = soft_top_k(tf.constant([1.0, 2.0, 2.0, 2.0, 3.0]), 3, 0.0)
    assert np.allclose(shared, [0, 2 / 3, 2 / 3, 2 / 3, 1])
    assert np.allclose(shared, soft_top_k(tf.constant([1.0, 2.0, 2.0, 2.0, 3.0]), 3, 1e-6))


@pytest.mark.parametrize("wrong", [0, 7])
@pytest.mark.parametrize("choose", [soft_top_k, top_k])
def test_k_is_from_1_to_n(choose, wrong: int) -> None:
    with pytest.raises(ValueError, match="k must be"):
        choose(tf.zeros([2, 6]), wrong)
    with pytest.raises(TypeError):
        choose(tf.zeros([2, 6]), 2.0)


@pytest.mark.parametrize("epsilon", [0.7, 0.0])
@pytest.mark.parametrize("name", ["sort", "top-k", "quantile", "entropy"])
def test_masked_lists_are_the_lists_alone(name: str, epsilon: float) -> None:
    operator = OPERATORS[name]
    x = RNG.normal(size=(4, 6))
    mask = np.array([[1] * 6, [0, 1, 1, 0, 1, 1], [0, 0, 0, 1, 0, 0], [0] * 6], bool)
    padded = tf.constant(np.where(mask, x, np.nan))
    upstream = RNG.normal(size=operator(padded, mask=mask).shape)
    result = operator(padded, epsilon, mask=mask).numpy()
    slope = gradient(lambda v: operator(v, epsilon, mask=mask), padded.numpy(), upstream)
    assert not slope[~mask].any()
    for row, there, found, up, g in zip(x, mask, result, upstream, slope, strict=True):
        places = np.arange(6) < there.sum() if name == "sort" else there
        if name == "quantile":
            places = np.full(3, there.any())
        assert not found[~places].any()
        if not there.any() or (name == "top-k" and there.sum() < 2):
            assert name == "top-k" or not found.any()
            continue
        alone = tf.constant(row[there])
        assert np.allclose(found[places], operator(alone, epsilon), atol=1e-9)
        own = gradient(lambda v: operator(v, epsilon), row[there], up[places])
        assert np.allclose(g[there], own, atol=1e-9)
    assert soft_top_k(padded, 2, epsilon, mask=mask).numpy()[2].tolist() == [0, 0, 0, 1, 0, 0]
    assert top_k(padded, 2, mask=mask).numpy().sum(axis=1).tolist() == [2, 2, 1, 0]
    lists = tf.ragged.boolean_mask(padded, mask)
    ragged = operator(lists, epsilon)
    if name == "quantile":
        assert np.allclose(ragged, result)
    else:
        places = np.arange(6) < mask.sum(axis=1)[:, None] if name == "sort" else mask
        assert np.allclose(ragged.flat_values, result[places])


@operators
def test_every_way_to_run_gives_the_same(operator) -> None:
    for n in (3, 40):
        x = np.random.default_rng(n).normal(size=(4, n)) * [[0.01], [1], [1], [30]]
        values = tf.constant(x)

        def both(values: tf.Tensor):
            with tf.GradientTape() as tape:
                tape.watch(values)
                y = operator(values)
                weighted = tf.reduce_sum(y**2)
            return y, tape.gradient(weighted, values)

        expected = both(values)
        spec = [tf.TensorSpec([None, n], tf.float64)]
        ways = [
            tf.function(both)(values),
            tf.function(both, jit_compile=True)(values),
            tf.function(both, input_signature=spec)(values),
            tf.vectorized_map(both, values),
        ]
        for way in ways:
            for found, wanted in zip(way, expected, strict=True):
                assert np.allclose(found, wanted, atol=1e-8)


@operators
def test_shapes_types_and_what_is_not_finite(operator) -> None:
    x = RNG.normal(size=(2, 3, 5))
    assert np.allclose(operator(tf.constant(x))[1, 2], operator(tf.constant(x[1, 2])))
    for dtype in (tf.float16, tf.bfloat16, tf.float32):
        half = tf.constant(x, dtype)
        assert operator(half).dtype == dtype
        wide = operator(tf.cast(half, tf.float64))
        assert np.allclose(tf.cast(operator(half), tf.float64), wide, rtol=0.01, atol=0.01)
    if operator is not OPERATORS["top-k"]:
        assert operator(tf.constant([[2.5]])).shape[0] == 1
    x[0, 1, 2] = np.nan
    result = operator(tf.constant(x)).numpy()
    assert np.isnan(result[0, 1]).all() and np.isfinite(result[1]).all()
    slope = gradient(operator, x, np.ones(result.shape))
    assert np.isfinite(slope).all() and not slope[0, 1].any()
    with pytest.raises(TypeError, match="floating"):
        operator(tf.constant([3, 1, 2]))
    for spec in (tf.TensorSpec([3, None], tf.float32), tf.TensorSpec(None, tf.float32)):
        with pytest.raises(ValueError, match="known when the graph is built"):
            tf.function(operator).get_concrete_function(spec)


@pytest.mark.parametrize("name", ["sort", "top-k", "quantile", "entropy"])
def test_an_epsilon_a_row_with_its_gradient(name: str) -> None:
    operator = OPERATORS[name]
    x, values = RNG.normal(size=(4, 6)), np.array([0.3, 0.0, 5.0, 1.1])
    epsilon = tf.constant(values)
    with tf.GradientTape() as tape:
        tape.watch(epsilon)
        result = operator(tf.constant(x), epsilon)
        upstream = RNG.normal(size=result.shape)
        weighted = tf.reduce_sum(result * upstream)
    slope = tape.gradient(weighted, epsilon).numpy()
    for row, e, found, up, g in zip(x, values, result, upstream, slope, strict=True):
        assert np.allclose(found, operator(tf.constant(row), float(e)), atol=1e-9)
        if e:
            ends = [operator(tf.constant(row), e + h).numpy() for h in (1e-6, -1e-6)]
            assert np.allclose(((ends[0] - ends[1]) * up).sum() / 2e-6, g, atol=1e-6)
    with pytest.raises(ValueError, match="above 0"):
        operator(tf.constant(x), -1.0)


def test_an_offset_or_a_scale_costs_no_precision() -> None:
    x = RNG.integers(-1000, 1000, (5, 30)) / 1024
    for name in ("sort", "top-k", "entropy"):
        operator, far = OPERATORS[name], 2.0**30
        moved = operator(tf.constant(x + far)).numpy() - (far if name == "sort" else 0)
        assert np.allclose(moved, operator(tf.constant(x)), atol=1e-6)
    huge = soft_top_k(tf.constant([1e30, 1e30, 3.0, -1e30], tf.float32), 2, 1.0)
    assert huge.numpy().tolist() == [1, 1, 0, 0]


@given(arrays(np.float64, st.integers(1, 40), elements=st.floats(-5, 5)))
def test_blocks_are_those_of_scipy(y: np.ndarray) -> None:
    fit = isotonic_regression(y, increasing=False)
    wanted = np.repeat(
        np.add.reduceat(y, fit.blocks[:-1]) / np.diff(fit.blocks), np.diff(fit.blocks)
    )
    rows = tf.constant(np.stack([y, y[::-1]]))
    block = blocks.pooled(lambda block: blocks.block_mean(rows, block), rows, None)
    assert np.allclose(blocks.block_mean(rows, block)[0], wanted, atol=1e-9)
    assert block.numpy()[1].min() >= len(y)
