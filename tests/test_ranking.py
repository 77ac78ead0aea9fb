"""Ranks, soft ranks and perturbed ranks against definitions that share no code with them."""

from __future__ import annotations

import itertools
import time

import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from memory import peak
from scipy.optimize import isotonic_regression
from scipy.stats import laplace, logistic, norm, rankdata

from shuffle_to_learn.ranking import (
    isotonic,
    lap_sum_rank,
    perturbed,
    perturbed_rank,
    rank,
    soft_rank,
    sorting_network,
)
from shuffle_to_learn.ranking.sorting_network import sorting_network_logits

RNG = np.random.default_rng(0)
epsilons = st.sampled_from([0.05, 0.3, 1.0, 4.0])


def vectors(low: int = 2, high: int = 12) -> st.SearchStrategy[np.ndarray]:
    """Values of very different spread, with ties; TensorFlow takes subnormal ones for 0."""
    value = st.one_of(st.floats(-20, 20, allow_subnormal=False), st.integers(-3, 3).map(float))
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


# Ways to run an operator


def in_blocks(x: tf.Tensor) -> tf.Tensor:
    return soft_rank(x, 2.0 / (x.shape[-1] or 1) if x.shape.rank else 1.0)


def with_gradient(operator):
    def both(x: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        with tf.GradientTape() as tape:
            tape.watch(x)
            y = operator(x)
            weighted = tf.reduce_sum(y * tf.cast(tf.range(1, x.shape[-1] + 1), x.dtype))
        return y, tape.gradient(weighted, x)

    return both


def in_graph(operator, x):
    return tf.function(operator)(x)


def under_xla(operator, x):
    return tf.function(operator, jit_compile=True)(x)


def of_unknown_batch(operator, x):
    spec = tf.TensorSpec([None, x.shape[-1]], x.dtype)
    return tf.function(operator, input_signature=[spec])(x)


def in_a_data_set(operator, x):
    (result,) = tf.data.Dataset.from_tensors(x).map(operator)
    return result


def vectorised(operator, x):
    return tf.vectorized_map(operator, x)


MODES = [in_graph, under_xla, of_unknown_batch, in_a_data_set, vectorised]


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


@given(vectors(), epsilons)
def test_both_algorithms_of_soft_rank_agree(x: np.ndarray, epsilon: float) -> None:
    """Sorted and pooled as for many values, and by pairs as for few."""

    def both(x: tf.Tensor) -> tuple[np.ndarray, np.ndarray]:
        with tf.GradientTape() as tape:
            tape.watch(x)
            ranks = soft_rank(x, epsilon)
            weighted = tf.reduce_sum(ranks * np.arange(1.0, len(x) + 1))
        return ranks.numpy(), tape.gradient(weighted, x).numpy()

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(isotonic, "_on", lambda tensors, cpu, gpu, xla: xla(*tensors))
        by_pairs, gradient_by_pairs = both(tf.constant(x))
    ranks, gradient = both(tf.constant(x))
    assert np.allclose(ranks, by_pairs, atol=1e-9)
    gaps = np.abs(np.subtract.outer(x, x))[~np.eye(len(x), dtype=bool)] / epsilon
    if np.abs(gaps - np.round(gaps)).min() > 1e-6:  # else it may be where there is no gradient
        assert np.allclose(gradient, gradient_by_pairs, atol=1e-9)


def test_published_values_of_soft_rank() -> None:
    """The examples in the README of fast-soft-sort (google-research)."""
    values = tf.constant([[5.0, 1.0, 2.0], [2.0, 1.0, 5.0]], tf.float64)
    assert np.allclose(soft_rank(values, 2.0), [[3.0, 1.25, 1.75], [1.75, 1.25, 3.0]])
    assert np.allclose(soft_rank(values, 1.0), [[3.0, 1.0, 2.0], [2.0, 1.0, 3.0]])


def one_block(z: np.ndarray) -> bool:
    """Whether scipy's fit is one number."""
    fit = -np.sort(-z) - np.sort(projection(z))[::-1]
    return np.ptp(fit) < 1e-9 * (1 + np.abs(fit).max())


@given(vectors(high=40), st.floats(0.1, 2.0))
def test_one_block_is_seen_without_a_sort_only_where_it_is_one(
    x: np.ndarray, spread: float
) -> None:
    z = x * spread * len(x) / max(np.ptp(x), 1e-9)
    if isotonic._is_one_block(tf.constant(z[None]))[0]:
        assert one_block(z)


@pytest.mark.parametrize("n", [2, 3, 40, 1000])
def test_one_block_is_seen_up_to_half_as_wide_as_the_ranks(n: int) -> None:
    two = np.repeat([0.0, n / 2], [n // 2, n - n // 2])  # halves as far apart as one block can be
    assert one_block(two)
    assert isotonic._is_one_block(tf.constant(two[None] * 0.999))[0]
    assert not isotonic._is_one_block(tf.constant(two[None] * 1.01))[0]
    assert not one_block(two * 1.01)


def test_one_block_is_seen_in_normal_values_almost_as_wide_as_the_ranks() -> None:
    z = np.random.default_rng(0).normal(size=(1, 1000)) * 1000 / 8.5
    assert np.ptp(z) > 800 and one_block(z[0])
    assert isotonic._is_one_block(tf.constant(z))[0]


def hard_cases(n: int) -> np.ndarray:
    """Rows whose fit is pooled again and again, or is all in one block, or in none."""
    rng = np.random.default_rng(n)
    ties = np.maximum(rng.normal(size=n), 0)
    steps = np.cumsum(np.where(np.arange(n) < n // 2, 1.01, 0.0))
    waves = np.cumsum(1 + 0.99 * np.sin(np.linspace(0, 20, n)))
    walk = np.cumsum(rng.exponential(size=n) * np.exp(np.cumsum(rng.normal(0, 0.1, n))))
    wide = np.exp(rng.normal(0, 5, n))
    return np.stack([rng.normal(size=n), ties, steps, waves, walk, wide, np.zeros(n)])


@pytest.mark.parametrize("n", [100, 1000])
@pytest.mark.parametrize("epsilon", [1e-4, 1e-3, 3e-3, 1e-2])
def test_soft_rank_gradient_of_many_values_is_that_of_scipys_blocks(n: int, epsilon: float) -> None:
    rng = np.random.default_rng(n)
    x = np.stack([rng.normal(size=n), rng.exponential(size=n), rng.uniform(size=n) ** 2])
    upstream = rng.normal(size=x.shape)
    with tf.GradientTape() as tape:
        values = tf.constant(x)
        tape.watch(values)
        ranks = soft_rank(values, epsilon)
    gradient = tape.gradient(ranks, values, upstream)
    for row, u, p, g in zip(x, upstream, ranks.numpy(), gradient.numpy(), strict=True):
        order, w = np.argsort(-row), np.arange(n, 0, -1.0)
        fit = isotonic_regression(row[order] / epsilon - w, increasing=False)
        assert np.allclose(p[order], row[order] / epsilon - fit.x, atol=1e-8)
        size = np.diff(fit.blocks)
        mean = np.repeat(np.add.reduceat(u[order], fit.blocks[:-1]) / size, size)
        assert np.allclose(g[order], (u[order] - mean) / epsilon, atol=1e-9 / epsilon)


def hard_fits() -> np.ndarray:
    """Rows in which pooling goes on for long, or starts anew, or has equal means."""
    n, rng = 150, np.random.default_rng(0)
    falling = -np.arange(float(n))
    return np.stack(
        [
            *np.cumsum(rng.normal(size=(4, n)), axis=-1),
            np.append(falling[1:], 1e6),  # back through all
            falling + np.square(falling) / n,  # one by one
            np.tile([1.0, 2.0, 3.0, 0.0, 1.0, 2.0], n // 6),  # equal means
            -falling,
            falling,
            np.repeat([3.0, 1.0, 2.0], n // 3),
            np.exp(rng.normal(0, 9, n)),
            np.ones(n),
        ]
    )


@pytest.mark.parametrize("y", [hard_fits(), np.ones([2, 1]), np.ones([0, 40])], ids=np.shape)
def test_both_ways_of_pooling_are_scipys(y: np.ndarray) -> None:
    """TensorFlow's kernel, in a plain graph, and merged halves, under XLA."""
    for jit in (False, True):
        function = tf.function(isotonic._isotonic_regression, jit_compile=jit)
        fit, block = function(tf.constant(y))
        assert fit.shape == block.shape == y.shape
        for row, found in zip(y, fit.numpy(), strict=True):
            wanted = isotonic_regression(row, increasing=False).x
            assert np.allclose(found, wanted, rtol=1e-11, atol=1e-11 * np.abs(row).max())
        steps = np.diff(block)
        assert ((steps == 0) | (steps == 1)).all()
        assert (np.diff(fit)[steps == 0] == 0).all()


@pytest.mark.parametrize("n", [10, 40])
def test_what_xla_compiles_is_not_what_runs_otherwise(n: int) -> None:
    """And however a function is called: also where it was traced before, in a plain graph."""
    x = tf.constant(np.random.default_rng(0).normal(size=(3, n)))

    def kernels(function) -> set[str]:
        graph = function.get_concrete_function(x).graph.as_graph_def()
        return {n.op for f in graph.library.function for n in f.node_def}

    plain = tf.function(in_blocks)
    expected = plain(x)
    assert "IsotonicRegression" in kernels(plain)
    compiled = tf.function(lambda x: plain(x) + 1, jit_compile=True)
    assert np.allclose(compiled(x), expected + 1)
    around = tf.function(lambda x: compiled(x) + 1)
    assert np.allclose(around(x), expected + 2)


@pytest.mark.parametrize("n", [10, 40])
def test_what_is_not_the_case_is_skipped_at_once(n: int) -> None:
    """TensorFlow skips each operation of a branch by itself, unless a call holds them together."""
    x = tf.constant(np.random.default_rng(0).normal(size=(3, n)))
    graph = tf.function(in_blocks).get_concrete_function(x).graph.as_graph_def()
    functions = {f.signature.name: f for f in graph.library.function}
    nodes = [*graph.node, *(node for f in functions.values() for node in f.node_def)]
    cases = [node for node in nodes if node.op in ("Case", "StatelessCase")]
    assert cases
    for case in cases:
        default = functions[case.attr["branches"].list.func[-1].name]
        (call,) = (node for node in default.node_def if node.op not in ("Identity", "NoOp"))
        assert call.op.endswith("PartitionedCall")
        assert functions[call.attr["f"].func.name].attr["_noinline"].b


@pytest.mark.parametrize("jit", [False, True])
@pytest.mark.parametrize("epsilon", [0.05, 5.0])
def test_few_values_are_mapped_in_any_graph(epsilon: float, jit: bool) -> None:
    """With their gradient: only the one way of computing that is taken is mapped."""
    x = tf.constant(np.random.default_rng(0).normal(size=(6, 4, 10)))
    both = with_gradient(lambda x: soft_rank(x, epsilon))

    def once(x: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        return tf.vectorized_map(both, x)

    for mapped in (once, lambda x: tf.vectorized_map(once, x)):
        for found, expected in zip(tf.function(mapped, jit_compile=jit)(x), both(x), strict=True):
            assert np.allclose(found, expected)


@pytest.mark.parametrize("n", [10, 400])
def test_xla_does_not_run_the_network_to_compile_the_ranks(n: int) -> None:
    """Its interpreter would take minutes for the products, asked for by a case in the graph."""
    x = tf.constant(np.random.default_rng(0).normal(size=(400, 400)), tf.float32)

    def trained(x: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        with tf.GradientTape() as tape:
            tape.watch(x)
            scores = tf.gather(tf.nn.relu(x @ x) @ x, tf.argsort(x[:, 0]))[:, :n] / 1000
            loss = tf.reduce_sum(soft_rank(scores) ** 2)
        return loss, tf.reduce_mean(tape.gradient(loss, x))

    start = time.monotonic()
    found = tf.function(trained, jit_compile=True)(x)
    assert time.monotonic() - start < 30
    assert np.allclose(found, trained(x), rtol=1e-3)


@pytest.mark.parametrize("n", [10, 40])
def test_a_saved_function_runs_in_a_plain_graph_and_under_xla(n: int, tmp_path) -> None:
    x = tf.constant(np.random.default_rng(0).normal(size=(3, n)))
    module = tf.Module()
    module.ranks = tf.function(in_blocks, input_signature=[tf.TensorSpec([None, n], x.dtype)])
    tf.saved_model.save(module, str(tmp_path))
    again = tf.saved_model.load(str(tmp_path))
    for run in (again.ranks, tf.function(again.ranks, jit_compile=True)):
        assert np.allclose(run(x), in_blocks(x))


@pytest.mark.parametrize("epsilon", [0.01, 1.0, 100.0])
@pytest.mark.parametrize("n", [33, 257, 1000])
def test_soft_rank_of_many_values_is_scipys_projection(n: int, epsilon: float) -> None:
    x = hard_cases(n)
    expected = [projection(row / epsilon) for row in x]
    assert np.allclose(soft_rank(tf.constant(x), epsilon), expected, atol=1e-6)
    single = x.astype(np.float32)
    expected = [projection(row / epsilon) for row in single.astype(np.float64)]
    assert np.allclose(soft_rank(tf.constant(single), epsilon), expected, rtol=1e-6, atol=1e-4)


@pytest.mark.parametrize("n", [33, 257, 1000])
def test_soft_rank_of_many_values_tends_to_the_rank(n: int) -> None:
    """And where values are equal, to their mean rank."""
    x = hard_cases(n)
    assert np.allclose(soft_rank(tf.constant(x), 1e-12), rankdata(x, axis=-1), atol=1e-6)


def test_soft_rank_of_10000_values_within_memory() -> None:
    x = tf.constant(np.concatenate([hard_cases(10_000), hard_cases(10_000) * 30]), tf.float32)
    with peak() as taken:
        with tf.GradientTape() as tape:
            tape.watch(x)
            p = soft_rank(x, 0.1)
        gradient = tape.gradient(p, x, RNG.normal(size=x.shape).astype(np.float32))
    assert 0 < taken.kilobytes < 500_000  # all pairs would take 4,000,000
    expected = [projection(row / 0.1) for row in x.numpy().astype(np.float64)]
    assert np.allclose(p, expected, rtol=1e-6, atol=1e-3)
    assert np.isfinite(gradient).all()
    assert np.abs(tf.reduce_sum(gradient, -1)).max() < 0.05  # an offset changes nothing


@pytest.mark.parametrize(("offset", "scale"), [(1e4, 1.0), (-1e4, 1.0), (0.0, 1e4), (1e4, 1e4)])
@pytest.mark.parametrize("n", [10, 100])
def test_soft_rank_keeps_its_accuracy_far_out(n: int, offset: float, scale: float) -> None:
    x = np.random.default_rng(n).normal(offset, scale, (20, n)).astype(np.float32)
    for epsilon in (1.0, scale):
        exact = [projection(row / epsilon) for row in x.astype(np.float64)]
        assert np.allclose(soft_rank(tf.constant(x), epsilon), exact, rtol=3e-7, atol=1e-5)


@pytest.mark.parametrize("epsilon", [0.01, 10.0])
@pytest.mark.parametrize("n", [10, 100])
def test_soft_rank_in_float64_is_free_of_an_offset(n: int, epsilon: float) -> None:
    x = np.random.default_rng(n).integers(-1000, 1000, (20, n)) / 1024  # exact with the offset
    exact = [projection(row / epsilon) for row in x]
    assert np.allclose(soft_rank(tf.constant(x + 2.0**40), epsilon), exact, rtol=0, atol=1e-9)


@pytest.mark.parametrize("n", [12, 40])
def test_soft_rank_has_second_derivatives(n: int) -> None:
    x = np.random.default_rng(n).normal(size=n) * 2

    def gradient(v: np.ndarray) -> np.ndarray:
        v = tf.constant(v)
        with tf.GradientTape() as tape:
            tape.watch(v)
            y = tf.reduce_sum(soft_rank(v, 0.5) ** 3)
        return tape.gradient(y, v).numpy()

    v = tf.constant(x)
    with tf.GradientTape() as outer:
        outer.watch(v)
        with tf.GradientTape() as inner:
            inner.watch(v)
            y = tf.reduce_sum(soft_rank(v, 0.5) ** 3)
        first = inner.gradient(y, v)
    second = outer.jacobian(first, v).numpy()
    h = 1e-6 * np.eye(n)
    numeric = [(gradient(x + d) - gradient(x - d)) / 2e-6 for d in h]
    assert np.abs(second).max() > 1
    assert np.allclose(second, numeric, atol=1e-4)


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


@given(vectors(), epsilons, st.randoms(use_true_random=False))
def test_exact_perturbed_rank_is_equivariant_and_keeps_the_order(x, epsilon, random) -> None:
    p = perturbed_rank(tf.constant(x), epsilon, None).numpy()
    order = np.array(random.sample(range(len(x)), len(x)))
    assert np.allclose(perturbed_rank(tf.constant(x[order]), epsilon, None), p[order], atol=1e-9)
    assert np.allclose(perturbed_rank(tf.constant(x + 7.5), epsilon, None), p, atol=1e-9)
    assert (np.diff(p[np.argsort(x, kind="stable")]) >= -1e-9).all()


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


# The distribution function of the noise in a difference of two values, and its derivative.
NOISES = {
    "normal": (
        lambda d: norm.cdf(d / np.sqrt(2)),
        lambda d: norm.pdf(d / np.sqrt(2)) / np.sqrt(2),
        lambda x, e, **o: perturbed_rank(x, e, None, **o),
    ),
    "gumbel": (
        logistic.cdf,
        logistic.pdf,
        lambda x, e, **o: perturbed_rank(x, e, None, noise="gumbel", **o),
    ),
    "Laplace": (laplace.cdf, laplace.pdf, lap_sum_rank),
}


def by_all_pairs(noise: str, x: np.ndarray, epsilon: float, upstream: np.ndarray):
    """Expected ranks and the gradient of one list, by scipy's distribution of each difference."""
    chance, density, _ = NOISES[noise]
    difference = np.subtract.outer(x, x) / epsilon
    slope = density(difference) / epsilon
    gradient = slope.sum(1) * upstream - slope @ upstream
    return 0.5 + chance(difference).sum(1), gradient


def lists_with_ties(n: int) -> np.ndarray:
    x = np.random.default_rng(n).normal(size=(3, n)) * [[0.01], [1.0], [100.0]]
    x[1] = np.round(x[1], 1)
    return x


@pytest.mark.parametrize("epsilon", [1e-4, 0.01, 1.0, 300.0])
@pytest.mark.parametrize("n", [257, 1000])
@pytest.mark.parametrize("noise", NOISES)
def test_exact_ranks_of_many_values_are_those_of_all_pairs(noise, n: int, epsilon: float) -> None:
    x, rng = lists_with_ties(n), np.random.default_rng(1)
    upstream, mask = rng.normal(size=x.shape), rng.random(x.shape) < [[1.0], [0.7], [0.05]]
    for there in (None, mask):
        values = tf.constant(x if there is None else np.where(there, x, np.nan))
        with tf.GradientTape() as tape:
            tape.watch(values)
            found = NOISES[noise][2](values, epsilon, mask=there)
        slope = tape.gradient(found, values, upstream).numpy()
        for i, row in enumerate(x):
            kept = slice(None) if there is None else there[i]
            ranks, gradient = by_all_pairs(noise, row[kept], epsilon, upstream[i][kept])
            assert np.allclose(found[i].numpy()[kept], ranks, rtol=0, atol=1e-6)
            assert np.allclose(slope[i][kept], gradient, rtol=1e-7, atol=1e-9 / epsilon)
        if there is not None:
            assert not found.numpy()[~there].any() and not slope[~there].any()
        single = NOISES[noise][2](tf.cast(values, tf.float32), epsilon, mask=there)
        again = NOISES[noise][2](
            tf.cast(tf.cast(values, tf.float32), tf.float64), epsilon, mask=there
        )
        assert np.allclose(single, again, rtol=1e-6, atol=1e-4)


@pytest.mark.parametrize("mode", MODES)
def test_exact_ranks_of_many_values_in_every_way_to_run(mode) -> None:
    both = with_gradient(lambda x: perturbed_rank(x, 0.02, None))
    x = tf.constant(lists_with_ties(290))
    for result, expected in zip(mode(both, x), both(x), strict=True):
        assert np.abs(expected).max() > 1
        assert np.allclose(result, expected, atol=1e-9)


def test_exact_ranks_of_many_values_have_second_derivatives() -> None:
    x = tf.constant(np.random.default_rng(5).normal(size=260))

    def slope(x: tf.Tensor) -> tf.Tensor:
        return with_gradient(lambda x: perturbed_rank(x, 0.3, None) ** 2)(x)[1]

    with tf.GradientTape() as tape:
        tape.watch(x)
        weighted = tf.reduce_sum(slope(x) * np.linspace(-1, 1, 260))
    found, move = tape.gradient(weighted, x).numpy(), np.zeros(260)
    for i in (0, 100, 259):
        move[:] = 0
        move[i] = 1e-6
        two = [tf.reduce_sum(slope(x + d) * np.linspace(-1, 1, 260)) for d in (move, -move)]
        assert found[i] == pytest.approx(float(two[0] - two[1]) / 2e-6, rel=1e-5)


def test_only_near_pairs_are_compared() -> None:
    """Each of 10,000 values is compared with the some hundred next to it."""
    looks = []

    def chance(difference: tf.Tensor) -> tf.Tensor:
        looks.append(tf.size(difference))
        return tf.sigmoid(difference)

    x = np.random.default_rng(0).permutation(10_000).astype(np.float32)
    mask = x % 3 > 0  # what is masked is near nothing
    for there in (None, mask[None]):
        looks.clear()
        rows = tf.constant(x[None])
        found = perturbed.rank_by_chances(rows, chance, chance, 60.0, there)
        assert sum(looks) < 10_000 * 150
    assert np.allclose(found[0][mask], rankdata(x[mask]), atol=0.5)


def test_exact_ranks_of_10000_values_within_memory() -> None:
    x = tf.constant(np.random.default_rng(0).normal(size=(2, 10_000)), tf.float32)
    for epsilon in (1e-4, 0.05):
        with peak() as taken:
            with tf.GradientTape() as tape:
                tape.watch(x)
                p = perturbed_rank(x, epsilon, None)
            gradient = tape.gradient(p, x, x)
        assert taken.kilobytes < 100_000  # all pairs would take 800,000
        some = np.arange(0, 10_000, 997)
        wide = x.numpy()[0].astype(float)
        chances = norm.cdf(np.subtract.outer(wide[some], wide) / (epsilon * np.sqrt(2)))
        assert np.allclose(p.numpy()[0, some], 0.5 + chances.sum(1), rtol=1e-6)
        assert np.isfinite(gradient).all()


def test_sampled_perturbed_rank_follows_its_seed() -> None:
    t = tf.zeros([2, 3, 4])
    first, again, other = (perturbed_rank(t, 1.0, 5, seed=s) for s in ((3, 4), (3, 4), (3, 5)))
    assert first.shape == (2, 3, 4)
    assert np.array_equal(first, again)
    assert not np.array_equal(first, other)
    assert np.allclose(tf.reduce_sum(first, -1), 10.0)
    assert len({tuple(row) for row in first.numpy().reshape(-1, 4)}) > 1  # rows have own noise


def test_exact_perturbed_rank_has_second_derivatives() -> None:
    t = np.array([0.0, 0.1, 0.5, -0.3, 0.15])
    weights = np.arange(1.0, 6) ** 2

    def gradient(v: tf.Tensor) -> tf.Tensor:
        with tf.GradientTape() as tape:
            tape.watch(v)
            y = tf.reduce_sum(weights * perturbed_rank(v, 0.2, None))
        return tape.gradient(y, v)

    numeric = slopes(lambda v: np.stack([gradient(tf.constant(row)) for row in v]), t)
    assert np.allclose(jacobian(gradient, t), numeric, atol=1e-5)
    assert np.abs(numeric).max() > 1


def test_exact_perturbed_rank_of_many_values() -> None:
    x = RNG.normal(size=(2, 700))  # in two parts, the second not full
    upstream = RNG.normal(size=(2, 700))
    with tf.GradientTape() as tape:
        t = tf.constant(x)
        tape.watch(t)
        p = perturbed_rank(t, 0.3, None)
    gradient = tape.gradient(p, t, tf.constant(upstream)).numpy()
    assert np.allclose(p, [expected_rank(row, 0.3) for row in x], atol=1e-9)
    scale = 0.3 * np.sqrt(2)
    for row, up, found in zip(x, upstream, gradient, strict=True):
        density = norm.pdf((row[:, None] - row) / scale) / scale
        assert np.allclose((density * (up[:, None] - up)).sum(1), found, atol=1e-8)


def test_exact_perturbed_rank_of_10000_values_within_memory() -> None:
    x = tf.constant(RNG.normal(size=(2, 10_000)), tf.float32)
    with peak() as taken:
        p = perturbed_rank(x, 0.1, None).numpy()
    assert taken.kilobytes < 300_000  # all pairs would take 800,000
    assert np.allclose(p.sum(axis=-1), 10_000 * 10_001 / 2, rtol=1e-6)
    some = RNG.choice(10_000, 5)
    for row, found in zip(x.numpy().astype(float), p, strict=True):
        beaten = norm.cdf((row[some, None] - row) / (0.1 * np.sqrt(2)))
        assert np.allclose(0.5 + beaten.sum(axis=1), found[some], rtol=1e-5)


def test_sampled_perturbed_rank_gradient_is_right_on_average() -> None:
    t = tf.constant([0.0, 0.1, 0.5, -0.3, 0.15], tf.float64)
    weights = tf.constant([1.0, -2.0, 3.0, 0.5, 0.0], tf.float64)

    def gradient(samples: int | None) -> np.ndarray:
        with tf.GradientTape() as tape:
            tape.watch(t)
            y = tf.reduce_sum(weights * perturbed_rank(t, 0.2, samples, seed=(7, 8)))
        return tape.gradient(y, t).numpy()

    exact = gradient(None)
    assert np.abs(exact).max() > 1
    assert np.allclose(gradient(400_000), exact, atol=0.12)  # deviation of the mean: about 0.03


# lap_sum_rank


@given(vectors(), epsilons)
def test_lap_sum_rank_is_its_formula(x: np.ndarray, epsilon: float) -> None:
    p = lap_sum_rank(tf.constant(x), epsilon).numpy()
    expected = 0.5 + laplace.cdf((x[:, None] - x[None]) / epsilon).sum(axis=1)
    assert np.allclose(p, expected, rtol=0, atol=1e-9)
    assert p.sum() == pytest.approx(len(x) * (len(x) + 1) / 2)
    single = lap_sum_rank(tf.constant(x, tf.float32), epsilon)
    assert np.allclose(single, expected, atol=1e-3)


@given(vectors(), epsilons, st.randoms(use_true_random=False))
def test_lap_sum_rank_is_equivariant_and_keeps_the_order(x, epsilon, random) -> None:
    p = lap_sum_rank(tf.constant(x), epsilon).numpy()
    order = np.array(random.sample(range(len(x)), len(x)))
    assert np.allclose(lap_sum_rank(tf.constant(x[order]), epsilon), p[order], atol=1e-9)
    assert np.allclose(lap_sum_rank(tf.constant(x + 7.5), epsilon), p, atol=1e-9)
    assert np.allclose(lap_sum_rank(tf.constant(-x), epsilon), len(x) + 1 - p, atol=1e-9)
    assert (np.diff(p[np.argsort(x, kind="stable")]) >= -1e-9).all()


def test_published_values_of_lap_sum_rank() -> None:
    """gmum/LapSum, rank/cpu/soft_rank.cpp, compiled: it counts from 0, and wants sorted values.

    forward_wrapper and derivative_jvp of the values, [1, 4, 9, 16, 25] and alpha 0.7, in double.
    """
    x = tf.constant([-1.0, -0.2, 0.3, 0.9, 2.0], tf.float64)
    ranks = [0.277520324263, 1.210771299319, 1.933437915083, 2.754687447585, 3.823583013750]
    slope = [-2.521270573841, -3.493080261448, -0.488971635160, 3.276884548895, 3.226437921553]
    with tf.GradientTape() as tape:
        tape.watch(x)
        p = lap_sum_rank(x, 0.7)
    assert np.allclose(p - 1, ranks, rtol=0, atol=1e-11)
    squares = tf.constant([1.0, 4.0, 9.0, 16.0, 25.0], tf.float64)
    assert np.allclose(tape.gradient(p, x, squares), slope, rtol=0, atol=1e-11)


@pytest.mark.parametrize("dtype", [tf.float32, tf.float64])
def test_lap_sum_rank_has_its_limits(dtype: tf.DType) -> None:
    x = tf.constant([[0.1, 0.5, 0.3, 2.0, -1.0], [3e4, 3.0, -2e4, 1.0, 2.0]], dtype)
    for epsilon in (1e-3, 1e-10, 1e-30):
        assert np.array_equal(lap_sum_rank(x, epsilon), rank(x))
    assert np.allclose(lap_sum_rank(x, 1e12), 3.0, atol=1e-6)


@pytest.mark.parametrize("epsilon", [0.1, 1.0])
def test_lap_sum_rank_gradient_is_its_slope(epsilon: float) -> None:
    x = np.array([0.0, 0.1, 0.5, -0.3, 0.15])
    numeric = slopes(lambda v: lap_sum_rank(tf.constant(v), epsilon).numpy(), x, 1e-6)
    assert np.allclose(jacobian(lambda v: lap_sum_rank(v, epsilon), x), numeric, atol=1e-7)


# sorting_network

# By diffsort 0.2.0: DiffSortNet("odd_even", n, steepness=2, distribution="cauchy") of these values
# in double, and the slope of <P (1..n), (1, 4, ..., n^2)>. (The network is that of n values.)
DIFFSORT = {
    4: (
        [0.3, -1.0, 2.0, 0.9],
        [
            [0.19886486, 0.572426462, 0.206684434, 0.022024245],
            [0.779947985, 0.171499778, 0.045637491, 0.002914746],
            [0.00287721, 0.052842637, 0.196144458, 0.748135695],
            [0.018309945, 0.203231123, 0.551533617, 0.226925315],
        ],
        [-3.5133227104040157, 0.20886894286673408, -1.1049468478638678, 4.409400615401149],
    ),
    5: (
        [0.3, -1.0, 2.0, 0.9, -0.2],
        [
            [0.220654535, 0.302086909, 0.310548756, 0.147925539, 0.018784262],
            [0.660895747, 0.215973722, 0.090184071, 0.030460502, 0.002485958],
            [0.010659277, 0.039742418, 0.075518946, 0.183641056, 0.690438303],
            [0.036185437, 0.102989727, 0.196613975, 0.462440565, 0.201770296],
            [0.071605004, 0.339207225, 0.327134253, 0.175532338, 0.08652118],
        ],
        [
            -17.822695544181926,
            -1.717968651492161,
            -2.449536985852105,
            2.215101834754324,
            19.775099346771867,
        ],
    ),
}


@pytest.mark.parametrize("n", DIFFSORT)
def test_published_values_of_the_sorting_network(n: int) -> None:
    values, matrix, slope = DIFFSORT[n]
    x = tf.constant(values, tf.float64)
    places = np.arange(1.0, n + 1)
    with tf.GradientTape() as tape:
        tape.watch(x)
        p = sorting_network(x, 0.5)
        weighted = tf.reduce_sum(tf.linalg.matvec(p, places) * places**2)
    assert np.allclose(p, matrix, rtol=0, atol=1e-9)
    assert np.allclose(tape.gradient(weighted, x), slope, rtol=1e-9)


@given(vectors(1, 9), epsilons)
def test_the_sorting_network_is_doubly_stochastic(x: np.ndarray, epsilon: float) -> None:
    p = sorting_network(tf.constant(x), epsilon).numpy()
    assert (p > 0).all()
    assert np.allclose(p.sum(axis=0), 1) and np.allclose(p.sum(axis=1), 1)
    assert np.allclose(sorting_network(tf.constant(x + 7.5), epsilon), p, atol=1e-9)
    single = sorting_network(tf.constant(x, tf.float32), epsilon).numpy()
    assert np.allclose(single, p, atol=1e-3)


@given(vectors(2, 7), epsilons)
def test_the_sorted_values_of_the_network_rise_with_every_value(x, epsilon: float) -> None:
    """The theorem of Petersen et al. for Cauchy's distribution."""

    def ordered(v: tf.Tensor) -> tf.Tensor:
        return tf.linalg.matvec(sorting_network(v, epsilon), v, transpose_a=True)

    slope = jacobian(ordered, x)
    assert slope.min() >= -1e-8
    assert np.allclose(slope.sum(axis=0), 1)  # an offset is added to each


@pytest.mark.parametrize("n", [1, 2, 5, 8])
def test_the_sorting_network_tends_to_the_permutation_matrix(n: int) -> None:
    x = np.random.default_rng(n).permuted(np.tile(np.arange(n), (30, 1)), axis=1).astype(float)
    for values in (tf.constant(x), tf.constant(x, tf.float32)):
        p = sorting_network(values, 1e-8).numpy()
        assert np.allclose(p, np.eye(n)[x.astype(int)], atol=1e-5)


def test_the_logits_of_the_sorting_network_are_finite_where_the_matrix_is_0() -> None:
    x = np.random.default_rng(0).normal(size=(20, 12))
    for scale in (1e4, 1e12, 1e30):
        values = tf.constant(scale * x, tf.float32)
        with tf.GradientTape() as tape:
            tape.watch(values)
            logits = sorting_network_logits(values, 1.0)
        slope = tape.gradient(logits, values)
        assert np.isfinite(logits).all() and np.isfinite(slope).all()
        assert np.allclose(tf.reduce_sum(sorting_network(values, 1.0), axis=-1), 1, atol=1e-5)
    assert (sorting_network(values, 1.0).numpy() == 0).any()


@pytest.mark.parametrize("operator", [lap_sum_rank, sorting_network])
@pytest.mark.parametrize("wrong", [-1.0, float("nan"), float("inf")])
def test_an_epsilon_that_is_below_0_is_refused(operator, wrong: float) -> None:
    with pytest.raises(ValueError, match="epsilon must be above 0"):
        operator(tf.zeros([3]), wrong)


# What they take, and how they are run


def by_network(x: tf.Tensor) -> tf.Tensor:
    """Soft ranks: the means of the rows of the sorting network's matrix."""
    p = sorting_network(x, 0.4)
    return tf.linalg.matvec(p, tf.cast(tf.range(1, p.shape[-1] + 1), p.dtype))


def in_network_order(x: tf.Tensor) -> tf.Tensor:
    """An entry for each value of the network's matrix, with no sum that a half type would round."""
    return sorting_network(x, 0.4)[..., 1]


OPERATORS = {
    "rank": rank,
    "soft": lambda x: soft_rank(x, 0.4),
    "in blocks": in_blocks,
    "exact": lambda x: perturbed_rank(x, 0.4, None),
    "sampled": lambda x: perturbed_rank(x, 0.4, 5, seed=(1, 2)),
    "Laplace": lambda x: lap_sum_rank(x, 0.4),
    "network": by_network,
}
SMOOTH = {name: OPERATORS[name] for name in OPERATORS if name != "rank"}
operators = pytest.mark.parametrize("operator", OPERATORS.values(), ids=OPERATORS)
smooth = pytest.mark.parametrize("operator", SMOOTH.values(), ids=SMOOTH)


def rows_of_different_spread(n: int) -> np.ndarray:
    """Of soft ranks, some rows are in one block and others are not."""
    return np.random.default_rng(n).normal(size=(4, n)) * [[0.01], [1.0], [1.0], [3.0]]


@pytest.mark.parametrize("n", [1, 6, 40])
@pytest.mark.parametrize("mode", MODES)
@operators
def test_every_way_to_run_gives_the_same(operator, mode, n: int) -> None:
    x = tf.constant(rows_of_different_spread(n))
    expected, result = operator(x), mode(operator, x)
    if mode is vectorised and operator is OPERATORS["sampled"]:
        expected = [operator(row) for row in x]  # each row draws from the seed by itself
    assert result.dtype == (tf.int32 if operator is rank else x.dtype)
    assert np.allclose(result, expected, atol=1e-9)


@pytest.mark.parametrize("n", [6, 40])
@pytest.mark.parametrize("mode", [in_graph, under_xla, of_unknown_batch, vectorised])
@smooth
def test_every_way_to_run_has_the_same_gradient(operator, mode, n: int) -> None:
    x, both = tf.constant(rows_of_different_spread(n)), with_gradient(operator)
    # Mapped over rows, each draws from the seed by itself.
    expected = np.stack([both(row)[1] for row in x]) if mode is vectorised else both(x)[1]
    _, result = mode(both, x)
    assert np.abs(expected).max() > 0.1
    assert np.allclose(result, expected, atol=1e-8)


@pytest.mark.parametrize("shape", [(5,), (2, 3, 5), (0, 5), (2, 1, 1, 1), (0, 40)])
@operators
def test_any_leading_shape(operator, shape: tuple[int, ...]) -> None:
    x = RNG.normal(size=shape)
    result = operator(tf.constant(x))
    assert result.shape == shape
    if operator is OPERATORS["sampled"]:
        return  # other rows have other noise
    rows = [operator(tf.constant(row)) for row in x.reshape(-1, shape[-1])]
    assert np.allclose(np.reshape(result, (-1, shape[-1])), np.reshape(rows, (-1, shape[-1])))
    traced = tf.function(operator).get_concrete_function(tf.TensorSpec([None, *shape], tf.float32))
    assert traced.output_shapes.as_list()[1:] == list(shape)


@pytest.mark.parametrize("dtype", [tf.float16, tf.bfloat16])
@pytest.mark.parametrize("n", [6, 40])
@smooth
def test_half_types_are_computed_in_float32(operator, dtype: tf.DType, n: int) -> None:
    if operator is by_network:
        operator = in_network_order
    x = tf.constant(np.random.default_rng(n).normal(size=(3, n)), dtype)
    ranks, gradient = with_gradient(operator)(x)
    wide, wide_gradient = with_gradient(operator)(tf.cast(x, tf.float32))
    assert ranks.dtype == gradient.dtype == dtype
    assert np.array_equal(ranks, tf.cast(wide, dtype))
    assert np.allclose(tf.cast(gradient, tf.float32), wide_gradient, rtol=0.05, atol=0.05)


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("n", [1, 5, 9, 50])
@smooth
def test_a_row_that_is_not_finite_is_nan_and_no_other(operator, n: int, bad: float) -> None:
    rng = np.random.default_rng(n)
    for _ in range(5):
        x = rng.normal(size=(3, n))
        expected, wanted = with_gradient(operator)(tf.constant(x))
        x[1, rng.choice(n, rng.integers(1, n + 1), replace=False)] = bad
        result, gradient = with_gradient(operator)(tf.constant(x))
        assert np.isnan(result[1]).all()
        assert np.allclose(result.numpy()[[0, 2]], expected.numpy()[[0, 2]])
        assert not gradient[1].numpy().any()
        assert np.allclose(gradient.numpy()[[0, 2]], wanted.numpy()[[0, 2]])


@pytest.mark.parametrize("n", [5, 50])
def test_rank_of_infinities_and_nan(n: int) -> None:
    x = np.random.default_rng(n).normal(size=n)
    x[[0, 1, 2, 3]] = np.nan, np.inf, -np.inf, np.inf
    as_infinity = np.where(np.isnan(x), np.inf, x)
    assert np.array_equal(rank(tf.constant(x)), rankdata(as_infinity, "ordinal"))


@given(vectors(2, 6))
def test_rank_is_the_permutation_of_greatest_product(x: np.ndarray) -> None:
    corners = np.array(list(itertools.permutations(range(1, len(x) + 1))))
    assert (corners @ x).max() == pytest.approx(x @ rank(tf.constant(x)).numpy())


@smooth
def test_integers_are_refused(operator) -> None:
    with pytest.raises(TypeError, match="floating, not int32: cast them first"):
        operator(tf.constant([3, 1, 2]))


def test_rank_takes_numbers_only() -> None:
    with pytest.raises(TypeError, match="floating or integer, not bool"):
        rank(tf.constant([True, False]))


@pytest.mark.parametrize("seed", [3, (1,), (1, 2, 3), (1.0, 2.0)])
def test_a_seed_is_two_integers(seed) -> None:
    with pytest.raises(ValueError, match="a seed is two integers"):
        perturbed_rank(tf.zeros([3]), 1.0, 5, seed=seed)


@pytest.mark.parametrize("offset", [1e6, 1e8])
def test_sampled_perturbed_ranks_keep_their_noise_far_out(offset: float) -> None:
    near = perturbed_rank(tf.zeros([4]), 0.1, 50, seed=(1, 2))
    far = perturbed_rank(tf.fill([4], offset), 0.1, 50, seed=(1, 2))
    assert np.array_equal(near, far)


def test_exact_perturbed_ranks_of_a_large_batch_within_memory() -> None:
    x = tf.constant(RNG.normal(size=(512, 600)), tf.float32)
    with peak() as taken:
        with tf.GradientTape() as tape:
            tape.watch(x)
            p = perturbed_rank(x, 0.3, None)
        tape.gradient(p, x, x)
    assert 0 < taken.kilobytes < 300_000  # all pairs would take 740,000


def test_what_measures_memory_sees_a_block_that_takes_it() -> None:
    """Also after one that took more."""
    for megabytes in (400, 200):
        with peak() as taken:
            np.ones(megabytes * 2**17).sum()
        assert 0.9 < taken.kilobytes / (megabytes * 1024) < 1.3


@operators
def test_values_without_an_axis_of_known_length_are_refused(operator) -> None:
    for wrong in (tf.constant(1.0), tf.zeros([3, 0])):
        with pytest.raises(ValueError, match="at least 1 value whose length is known"):
            operator(wrong)
    for spec in (tf.TensorSpec([3, None], tf.float32), tf.TensorSpec(None, tf.float32)):
        with pytest.raises(ValueError, match="known when the graph is built"):
            tf.function(operator).get_concrete_function(spec)


@pytest.mark.parametrize("samples", [0, -3])
def test_the_number_of_samples_must_be_positive(samples: int) -> None:
    with pytest.raises(ValueError, match="num_samples must be at least 1"):
        perturbed_rank(tf.zeros([3]), 1.0, samples)
    with pytest.raises(TypeError, match="integer"):
        perturbed_rank(tf.zeros([3]), 1.0, float(samples))


@pytest.mark.parametrize("epsilon", [-1.0, 1e-40, float("nan"), float("inf")])
@pytest.mark.parametrize("function", [soft_rank, perturbed_rank])
def test_epsilon_must_not_be_negative(function, epsilon: float) -> None:
    with pytest.raises(ValueError, match="epsilon must be above 0"):
        function(tf.zeros([3]), epsilon)
