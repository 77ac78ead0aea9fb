"""The registry of methods: what they sample, minimise and predict."""

from __future__ import annotations

import importlib.util
import itertools
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf
import yaml
from conftest import ROOT
from scipy.special import expit, log_softmax, logsumexp
from scipy.stats import chisquare, norm

from shuffle_to_learn import ranking
from shuffle_to_learn.patches import reorder
from shuffle_to_learn.pretext.methods import METHODS, FixedPermutations
from shuffle_to_learn.pretext.permutations import max_hamming_permutations
from shuffle_to_learn.ranking import (
    lap_sum_rank,
    losses,
    neural_sort,
    sinkhorn_rank,
    soft_permutation,
    sorting_network,
)
from study.sections import Methods, method_section

SEED = np.array([3, 4])
N = 4
SETTINGS = {"fixed_permutations": {"permutations": 12}}
DOCUMENTED = "list_net"  # the example of docs/adding-a-method.md
BLOCKS = re.findall(
    r"^```(\w*)\n(.*?)^```$", (ROOT / "docs/adding-a-method.md").read_text(), re.M | re.S
)


def block(language: str, holds: str) -> str:
    """The one code block of the page in a language that holds a text."""
    (found,) = (text for own, text in BLOCKS if own == language and holds in text)
    return found


@pytest.fixture
def name(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch) -> str:
    """The name of a method; the documented one is put into the registry as the page says."""
    if request.param == DOCUMENTED:
        module_name = f"shuffle_to_learn.pretext.methods.{DOCUMENTED}"
        path = tmp_path / f"{DOCUMENTED}.py"
        path.write_text(block("python", "class "))
        spec = importlib.util.spec_from_file_location(module_name, path)
        module = importlib.util.module_from_spec(spec)
        monkeypatch.setitem(sys.modules, module_name, module)
        spec.loader.exec_module(module)
        entry, cls = re.search(r'"(\w+)": (\w+)', block("python", '": ')).groups()
        monkeypatch.setitem(METHODS, entry, getattr(module, cls))
    return request.param


every_method = pytest.mark.parametrize("name", [*METHODS, DOCUMENTED], indirect=True)
ORDERING = [name for name in METHODS if name != "contrastive"]
every_ordering = pytest.mark.parametrize("name", [*ORDERING, DOCUMENTED], indirect=True)


def make(name: str, n: int = N):
    return METHODS[name](n, **SETTINGS.get(name, {}))


def perfect(method, orders: np.ndarray) -> np.ndarray:
    """The scores of a network that knows: true ranks, or certainty about places or the order."""
    if method.outputs == method.n:
        return orders + 1.0
    if method.outputs == method.n**2:
        return 50.0 * np.eye(method.n)[orders].reshape(len(orders), -1)
    rows = max_hamming_permutations(method.n, method.permutations)
    return 50.0 * (orders[:, None] == rows).all(axis=-1)


def test_the_registry_is_light() -> None:
    """Settings are checked against it by stages that do without TensorFlow."""
    code = """
import sys
from shuffle_to_learn.pretext.methods import METHODS
from study.loading import load_params
load_params("params.yaml")
print([METHODS[name](5).n for name in METHODS], "tensorflow" in sys.modules, "keras" in sys.modules)
"""
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == f"{[5] * len(METHODS)} False False"


def test_the_params_file_has_every_methods_settings_and_no_others() -> None:
    sections = {
        name: set(method_section(name, METHODS[name]).model_fields) for name in Methods.model_fields
    }
    assert sections == {
        "random": set(),
        "fixed_permutations": {"learning_rate", "permutations"},
        "position_classification": {"learning_rate"},
        "contrastive": {"learning_rate", "temperature"},
        "mse": {"learning_rate"},
        "fast_soft_ranking": {"learning_rate", "epsilon"},
        "perturbed_fy": {"learning_rate", "epsilon", "num_samples"},
        "perturbed_fy_exact": {"learning_rate", "epsilon"},
        "sinkhorn": {"learning_rate", "epsilon", "iterations"},
        "neural_sort": {"learning_rate", "temperature"},
        "rank_net": {"learning_rate", "epsilon"},
        "list_mle": {"learning_rate", "epsilon"},
        "diffsort": {"learning_rate", "epsilon"},
        "lap_sum": {"learning_rate", "epsilon"},
    }
    assert set(METHODS) == set(sections)


@every_method
def test_no_setting_has_a_default_in_the_params_file(name: str) -> None:
    settings = method_section(name, METHODS[name]).model_fields
    assert all(field.is_required() for field in settings.values())
    assert ("learning_rate" in settings) == METHODS[name].trained == (name != "random")


@pytest.mark.parametrize("name", [DOCUMENTED], indirect=True)
def test_the_settings_and_commands_of_the_page_are_those_of_its_method(name: str) -> None:
    audio = yaml.safe_load(block("yaml", "method:"))["audio"]
    assert name in audio["methods"]
    section = method_section(name, METHODS[name]).model_validate(audio["method"][name])
    given = section.model_dump(exclude={"learning_rate"})
    assert METHODS[name](5, **given).scale == given["epsilon"]
    assert f"/{name}/0.csv" in block("", "snakemake")


@every_ordering
def test_ranking_with_perfect_scores_undoes_the_shuffle(name: str) -> None:
    method = make(name)
    pictures = np.random.default_rng(0).normal(size=(50, N, 3))
    orders = method.sample(50, SEED)
    shuffled = reorder(tf.constant(pictures), orders).numpy()
    assert not np.array_equal(shuffled, pictures)
    ranks = method.predict(tf.constant(perfect(method, orders.numpy()), tf.float32)).numpy()
    assert np.array_equal(ranks, orders + 1)
    restored = np.empty_like(shuffled)
    for example, places in enumerate(ranks - 1):
        restored[example, places] = shuffled[example]
    assert np.array_equal(restored, pictures)


@every_ordering
def test_perfect_scores_have_the_least_loss(name: str) -> None:
    method = make(name)
    orders = method.sample(50, SEED)
    right = tf.constant(perfect(method, orders.numpy()), tf.float32)
    wrong = tf.roll(right, 1, axis=0)
    moved = (orders.numpy() != np.roll(orders, 1, axis=0)).any(axis=1)
    better = method.loss(orders, right, SEED) < method.loss(orders, wrong, SEED)
    assert moved.sum() > 30
    assert better.numpy()[moved].mean() > 0.95  # the perturbed loss is noisy
    assert method.loss(orders, right, SEED).shape == (50,)


@every_method
def test_samples_are_permutations(name: str) -> None:
    method = make(name, 6)
    orders = method.sample(tf.constant(30), SEED)
    assert orders.dtype == tf.int32
    assert (np.sort(orders, axis=1) == np.arange(6)).all()


@pytest.mark.parametrize(
    "name", [*(n for n in ORDERING if n != "fixed_permutations"), DOCUMENTED], indirect=True
)
def test_all_permutations_are_equally_likely(name: str) -> None:
    assert make(name).all_orders
    orders = make(name).sample(24_000, SEED).numpy()
    rows, counts = np.unique(orders, axis=0, return_counts=True)
    assert len(rows) == 24
    assert chisquare(counts).pvalue > 0.001


def test_the_fixed_permutations_are_equally_likely() -> None:
    method = make("fixed_permutations")
    assert not method.all_orders
    rows, counts = np.unique(method.sample(12_000, SEED), axis=0, return_counts=True)
    assert {tuple(r) for r in rows} == {tuple(r) for r in max_hamming_permutations(N, 12)}
    assert chisquare(counts).pvalue > 0.001


@every_ordering
def test_the_seed_decides(name: str) -> None:
    method = make(name, 5)
    first, again, other, next_step = (
        method.sample(40, tf.constant(seed)).numpy() for seed in ([1, 2], [1, 2], [2, 2], [1, 3])
    )
    assert np.array_equal(first, again)
    assert not np.array_equal(first, other)
    assert not np.array_equal(first, next_step)
    assert len(np.unique(first, axis=0)) > 5  # each example has its own


@every_ordering
def test_following_the_gradient_leads_to_the_ranks(name: str) -> None:
    method = make(name)
    orders = method.sample(30, SEED)
    scores = tf.Variable(tf.random.stateless_normal([30, method.outputs], SEED) / 100)
    before = method.predict(scores)
    for step in range(200):
        with tf.GradientTape() as tape:
            loss = tf.reduce_sum(method.loss(orders, scores, tf.constant([step, 0])))
        scores.assign_sub(0.3 * tape.gradient(loss, scores))
    assert losses.partial_ranks(orders + 1, before).numpy().mean() < 0.5
    assert losses.partial_ranks(orders + 1, method.predict(scores)).numpy().mean() > 0.95


@every_ordering
def test_an_order_is_told_among_a_set(name: str) -> None:
    """By perfect scores; and by any scores it is that of a search through the whole set."""
    method, orders = make(name), max_hamming_permutations(N, 12)
    applied = np.random.default_rng(0).integers(12, size=40)
    right = tf.constant(perfect(method, orders[applied]), tf.float32)
    told = method.among(right, orders)
    assert told.dtype == tf.int32 and np.array_equal(told, applied)

    scores = np.random.default_rng(1).normal(size=(40, method.outputs)).astype(np.float32)
    if name == "fixed_permutations":
        expected = scores.argmax(axis=1)
    elif name == "position_classification":  # the likeliest of the set
        logs = log_softmax(scores.reshape(40, N, N), axis=-1)
        expected = [max(range(12), key=lambda m: x[range(N), orders[m]].sum()) for x in logs]
    else:  # the ranks nearest to the scores, wherever these are
        scores += 1000
        expected = np.square(scores[:, None] - 1000.0 - orders).sum(axis=-1).argmin(axis=1)
    assert np.array_equal(method.among(tf.constant(scores), orders), expected)
    assert len(set(expected)) > 3
    some = orders[[7, 2, 5]]
    assert (
        np.asarray(method.among(tf.constant(perfect(method, some), tf.float32), some)) == [0, 1, 2]
    ).all()


def test_fixed_permutations_know_no_other_orders() -> None:
    method = make("fixed_permutations")
    known = {tuple(order) for order in max_hamming_permutations(N, 12)}
    other = next(o for o in itertools.permutations(range(N)) if o not in known)
    with pytest.raises(ValueError, match="not one of the fixed permutations"):
        method.among(tf.zeros([2, 12]), np.array([other]))


def test_the_ranking_methods_use_their_own_settings() -> None:
    orders = np.array([[1, 0, 2], [2, 1, 0]], np.int32)
    scores = tf.constant([[0.1, 0.5, -1.0], [2.0, 0.0, 0.3]])
    soft = METHODS["fast_soft_ranking"](3, epsilon=0.3)
    assert np.array_equal(
        soft.loss(orders, scores, SEED), losses.fast_soft_ranking(orders + 1, scores, 0.3)
    )
    perturbed = METHODS["perturbed_fy"](3, epsilon=0.3, num_samples=7)
    assert np.array_equal(
        perturbed.loss(orders, scores, SEED),
        losses.perturbed_fenchel_young(orders + 1, scores, 0.3, 7, SEED),
    )
    sinkhorn = METHODS["sinkhorn"](3, epsilon=0.3, iterations=2)
    squared = np.square(sinkhorn_rank(scores, 0.3, 2) - (orders + 1))
    assert np.allclose(sinkhorn.loss(orders, scores, SEED), squared.sum(axis=1) / 2)
    for name, loss in (("rank_net", losses.rank_net), ("list_mle", losses.list_mle)):
        found = METHODS[name](3, epsilon=0.3).loss(orders, scores, SEED)
        assert np.array_equal(found, loss(orders + 1, scores, 0.3))
    laplace = METHODS["lap_sum"](3, epsilon=0.3)
    squared = np.square(lap_sum_rank(scores, 0.3) - (orders + 1))
    assert np.allclose(laplace.loss(orders, scores, SEED), squared.sum(axis=1) / 2)
    assert np.array_equal(
        METHODS["mse"](3).loss(orders, scores, SEED),
        losses.rank_mean_squared_error(orders + 1, scores),
    )


def test_scores_are_measured_in_epsilon() -> None:
    assert {name: make(name).scale for name in METHODS} == {
        "random": 1,
        "fixed_permutations": 1,
        "position_classification": 1,
        "contrastive": 1,
        "mse": 1,
        "fast_soft_ranking": METHODS["fast_soft_ranking"].epsilon,
        "perturbed_fy": METHODS["perturbed_fy"].epsilon,
        "perturbed_fy_exact": METHODS["perturbed_fy_exact"].epsilon,
        "sinkhorn": METHODS["sinkhorn"].epsilon,
        "neural_sort": METHODS["neural_sort"].temperature,
        "rank_net": METHODS["rank_net"].epsilon,
        "list_mle": METHODS["list_mle"].epsilon,
        "diffsort": METHODS["diffsort"].epsilon,
        "lap_sum": METHODS["lap_sum"].epsilon,
    }
    assert METHODS["sinkhorn"](4, epsilon=0.25).scale == 0.25
    assert METHODS["neural_sort"](4, temperature=3.0).scale == 3.0
    for name in ("rank_net", "list_mle", "diffsort", "lap_sum"):
        assert METHODS[name](4, epsilon=0.25).scale == 0.25


def test_the_exact_perturbed_loss_is_the_closed_form() -> None:
    """<t, E[ranks]> + epsilon / sqrt 2 sum phi(d / (epsilon sqrt 2)) - <t, y>, d = t_i - t_j."""
    epsilon = 0.7
    rng = np.random.default_rng(0)
    t = rng.normal(size=(6, N))
    orders = np.argsort(rng.random((6, N)), axis=1).astype(np.int32)
    off = ~np.eye(N, dtype=bool)
    d = (t[:, :, None] - t[:, None, :]) / (epsilon * np.sqrt(2))
    ranks = 1 + (norm.cdf(d) * off).sum(axis=2)
    expected = (t * (ranks - orders - 1)).sum(axis=1)
    expected += epsilon / np.sqrt(2) * (norm.pdf(d) * off).sum(axis=(1, 2))
    method = METHODS["perturbed_fy_exact"](N, epsilon=epsilon)
    found = method.loss(tf.constant(orders), tf.constant(t), SEED)
    assert np.allclose(found, expected, rtol=1e-9, atol=1e-12)
    assert np.array_equal(found, method.loss(orders, tf.constant(t), SEED + 1))  # no draws


def test_fixed_permutations_is_cross_entropy() -> None:
    method = make("fixed_permutations")
    rows = max_hamming_permutations(N, 12)
    labels = np.array([3, 0, 11, 3])
    scores = np.random.default_rng(0).normal(size=(4, 12)).astype(np.float32)
    expected = -log_softmax(scores, axis=1)[np.arange(4), labels]
    assert np.allclose(method.loss(tf.constant(rows[labels]), tf.constant(scores), SEED), expected)


def test_outputs_are_one_a_patch_or_one_a_class() -> None:
    classes = {"fixed_permutations": 12, "position_classification": N * N, "contrastive": 64}
    assert {name: make(name).outputs for name in METHODS} == {
        name: classes.get(name, N) for name in METHODS
    }


def test_more_permutations_than_there_are_is_refused_before_training() -> None:
    with pytest.raises(ValueError, match="100 distinct permutations of 4 elements do not exist"):
        _ = FixedPermutations(4, 100).outputs


def test_brute_force_expectation_of_chance() -> None:
    """Scores that know nothing get 1/n of the ranks, for all permutations together."""
    orders = np.array(list(itertools.permutations(range(N))), np.int32)
    ranks = make("mse").predict(tf.zeros([24, N]))
    assert losses.partial_ranks(orders + 1, ranks).numpy().mean() == pytest.approx(1 / N)


# Position classification


def places(*shape: int, seed: int = 0) -> np.ndarray:
    """Logits of networks that know little: shape (batch, n, n)."""
    return np.random.default_rng(seed).normal(size=shape).astype(np.float32)


def test_the_loss_of_places_is_cross_entropy_over_patches() -> None:
    method = make("position_classification", 5)
    logits, orders = places(7, 5, 5), method.sample(7, SEED)
    rows = log_softmax(logits, axis=-1)
    expected = -np.take_along_axis(rows, orders.numpy()[..., None], axis=-1).mean(axis=(1, 2))
    scores = tf.constant(logits.reshape(7, 25))
    assert np.allclose(method.loss(orders, scores, SEED), expected, rtol=1e-5)
    assert np.allclose(method.loss(orders, tf.zeros([7, 25]), SEED), np.log(5))


@pytest.mark.parametrize("n", [2, 4, 6])
def test_places_are_those_of_the_best_of_all_assignments(n: int) -> None:
    """A permutation, and none has a greater sum of logits; in a graph as outside of one."""
    method, logits = make("position_classification", n), places(40, n, n)
    scores = tf.constant(logits.reshape(40, n * n))
    ranks = method.predict(scores).numpy()
    assert ranks.dtype == np.int32
    assert (np.sort(ranks, axis=1) == np.arange(1, n + 1)).all()
    orders = np.array(list(itertools.permutations(range(n))))
    sums = logits[:, np.arange(n), orders].sum(axis=-1)
    assert np.array_equal(ranks - 1, orders[sums.argmax(axis=1)])
    traced = tf.function(method.predict, input_signature=[tf.TensorSpec([None, n * n])])
    assert np.array_equal(traced(scores), ranks)
    assert traced.get_concrete_function().output_shapes == (None, n)
    assert not np.array_equal(ranks - 1, logits.argmax(axis=2))  # two patches may like a place
    assert traced(tf.zeros([0, n * n])).shape == (0, n)


def test_places_of_logits_that_are_no_numbers_are_a_permutation() -> None:
    """The loss ends such a training, not the assignment."""
    method, logits = make("position_classification", 3), places(4, 9)
    logits[0, 2], logits[1, 0], logits[2, 4], logits[3] = np.nan, np.inf, -np.inf, np.nan
    assert (np.sort(method.predict(tf.constant(logits)), axis=1) == [1, 2, 3]).all()


# The contrastive reference


def nt_xent_in_numpy(z: np.ndarray, temperature: float) -> np.ndarray:
    """Equation 1 of SimCLR, crop by crop."""
    cosines = z @ z.T / np.outer(np.linalg.norm(z, axis=1), np.linalg.norm(z, axis=1))
    losses = []
    for i in range(len(z)):
        j = i + 1 if i % 2 == 0 else i - 1
        others = [k for k in range(len(z)) if k != i]
        losses.append(logsumexp(cosines[i, others] / temperature) - cosines[i, j] / temperature)
    return np.array(losses)


@pytest.mark.parametrize("temperature", [0.01, 0.1, 2.0])
def test_the_contrastive_loss_is_that_of_numpy(temperature: float) -> None:
    method = METHODS["contrastive"](N, temperature=temperature)
    z = values(12, 64).astype(np.float32)
    orders = method.sample(12, SEED)
    assert np.array_equal(orders, np.tile(np.arange(N), (12, 1)))  # nothing is shuffled
    found = method.loss(orders, tf.constant(z), SEED).numpy()
    assert np.allclose(found, nt_xent_in_numpy(z.astype(float), temperature), rtol=1e-4, atol=1e-4)
    longer = z * np.arange(1, 13, dtype=np.float32)[:, None]
    assert np.allclose(method.loss(orders, tf.constant(longer), SEED), found, atol=1e-3)
    alike = np.repeat(
        np.eye(6, 64, dtype=np.float32), 2, axis=0
    )  # crops of one input, and only they
    best = np.log1p(10 * np.exp(-1 / temperature))
    assert np.allclose(method.loss(orders, tf.constant(alike), SEED), best, atol=1e-5)


def test_a_method_orders_patches_or_has_nothing_to_predict_with() -> None:
    for name, method in METHODS.items():
        has = [hasattr(method, part) for part in ("predict", "among")]
        assert has == [method.ordering] * 2 == [name in ORDERING] * 2
        assert (method.crops > 1) == hasattr(method, "crop")


# Sinkhorn ranking


def values(*shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=shape)


def sinkhorn_in_numpy(v: np.ndarray, epsilon: float, iterations: int) -> np.ndarray:
    """One soft permutation: columns, then rows, in log space."""
    targets = np.arange(1, len(v) + 1)
    log_p = np.outer(v - v.mean(), targets - targets.mean()) / epsilon
    for _ in range(iterations):
        for j in range(len(v)):
            log_p[:, j] -= logsumexp(log_p[:, j])
        for i in range(len(v)):
            log_p[i] -= logsumexp(log_p[i])
    return np.exp(log_p)


@pytest.mark.parametrize("epsilon", [0.05, 0.3, 5.0])
@pytest.mark.parametrize("iterations", [1, 3, 20])
def test_sinkhorn_is_that_of_numpy(epsilon: float, iterations: int) -> None:
    v = values(2, 3, 6)
    p = soft_permutation(v, epsilon, iterations).numpy()
    expected = [sinkhorn_in_numpy(row, epsilon, iterations) for row in v.reshape(6, 6)]
    assert np.allclose(p, np.reshape(expected, (2, 3, 6, 6)), rtol=1e-9, atol=1e-12)
    ranks = sinkhorn_rank(v, epsilon, iterations).numpy()
    assert np.allclose(ranks, p @ np.arange(1, 7), rtol=1e-12)
    assert np.allclose(sinkhorn_rank(v.astype(np.float32), epsilon, iterations), ranks, atol=1e-4)


def test_after_any_iterations_rows_sum_to_1_and_in_the_end_columns() -> None:
    v = values(20, 7)
    few, many = (soft_permutation(v, 0.5, iterations).numpy() for iterations in (1, 300))
    for p in (few, many):
        assert np.allclose(p.sum(axis=-1), 1)
        assert (p >= 0).all()
    assert not np.allclose(few.sum(axis=-2), 1, atol=0.01)
    assert np.allclose(many.sum(axis=-2), 1)


def test_the_fixed_point_is_entropic_optimal_transport_at_squared_cost() -> None:
    """The conditions of optimality: the marginals, and log P + cost / epsilon is f_i + g_j."""
    v, epsilon = values(7), 0.4
    p = soft_permutation(v, epsilon, 1000).numpy()
    assert np.allclose(p.sum(axis=0), 1) and np.allclose(p.sum(axis=1), 1)
    duals = np.log(p) + (v[:, None] - np.arange(1, 8)) ** 2 / 2 / epsilon
    separable = duals[:, :1] + duals[:1] - duals[0, 0]
    assert np.allclose(duals, separable, atol=1e-8)


def test_sinkhorn_of_two_has_a_closed_form() -> None:
    v = values(10, 2)
    second = expit((v[:, 0] - v[:, 1]) / (2 * 0.3))
    assert np.allclose(sinkhorn_rank(v, 0.3, 100), np.stack([1 + second, 2 - second], axis=1))


def test_sinkhorn_ranks_run_from_hard_ranks_to_their_mean() -> None:
    v = np.array([[0.3, -1.0, 2.0, 0.9, -0.2], [5.0, 4.0, 3.0, 2.0, 1.0]])
    assert np.allclose(sinkhorn_rank(v, 0.02, 1000), ranking.rank(v), atol=1e-3)
    assert np.allclose(sinkhorn_rank(v, 1e6), 3, atol=1e-4)
    between = sinkhorn_rank(v, 1.0).numpy()
    assert np.array_equal(ranking.rank(between), ranking.rank(v))  # in order on the way
    assert ((between > 1) & (between < 5)).all()


def test_sinkhorn_ranks_mind_neither_offset_nor_direction() -> None:
    v = np.round(values(5, 6) * 8).astype(np.float32) / 8  # exact in float32 beside 10,000
    ranks = sinkhorn_rank(v, 0.5, 4).numpy()
    assert np.allclose(sinkhorn_rank(v + 10_000, 0.5, 4), ranks, atol=1e-5)
    assert np.allclose(sinkhorn_rank(-v, 0.5, 4), 7 - ranks, atol=1e-5)
    assert np.isfinite(sinkhorn_rank(1e6 * v, 1e-3, 4)).all()


# NeuralSort


def neural_sort_in_numpy(s: np.ndarray, temperature: float) -> np.ndarray:
    """Equation by equation: row i is softmax[((n + 1 - 2 i) s - A 1) / temperature]."""
    n = len(s)
    a = np.abs(s[:, None] - s[None, :])
    return np.array(
        [
            np.exp(log_softmax(((n + 1 - 2 * i) * s - a @ np.ones(n)) / temperature))
            for i in range(1, n + 1)
        ]
    )


@pytest.mark.parametrize("temperature", [0.1, 1.0, 10.0])
def test_neural_sort_is_that_of_numpy(temperature: float) -> None:
    v = values(2, 3, 6)
    p = neural_sort(v, temperature).numpy()
    expected = [neural_sort_in_numpy(row, temperature) for row in v.reshape(6, 6)]
    assert np.allclose(p, np.reshape(expected, (2, 3, 6, 6)), rtol=1e-9, atol=1e-12)
    assert np.allclose(p.sum(axis=-1), 1)


def test_neural_sort_runs_from_sorting_to_nothing() -> None:
    v = values(10, 6)
    hard = neural_sort(v, 1e-4).numpy()
    assert np.allclose((hard @ v[..., None])[..., 0], np.sort(v, axis=1)[:, ::-1])
    assert np.allclose(hard, np.round(hard)) and np.allclose(hard.sum(axis=1), 1)
    assert np.allclose(neural_sort(v, 1e6), 1 / 6, atol=1e-4)


def test_the_loss_of_neural_sort_is_cross_entropy_with_the_true_sorting() -> None:
    orders = np.array([[1, 0, 3, 2], [3, 2, 1, 0], [2, 3, 0, 1]], np.int32)
    scores = values(3, 4)
    expected = []
    for order, row in zip(orders, scores, strict=True):
        true = np.zeros((4, 4))
        for patch, place in enumerate(order):
            true[3 - place, patch] = 1  # row 0: the patch of the highest rank
        expected.append(-(true * np.log(neural_sort_in_numpy(row, 0.7))).sum() / 4)
    method = METHODS["neural_sort"](4, temperature=0.7)
    assert np.allclose(method.loss(orders, tf.constant(scores), SEED), expected)
    far = method.loss(orders, tf.constant(1e4 * scores, tf.float32), SEED).numpy()
    assert np.isfinite(far).all() and (far > 1000).any()  # where the matrix itself is 0


# DiffSort


def test_the_loss_of_diffsort_is_cross_entropy_with_the_true_permutation() -> None:
    orders = np.array([[1, 0, 3, 2], [3, 2, 1, 0], [2, 3, 0, 1]], np.int32)
    scores = values(3, 4)
    method = METHODS["diffsort"](4, epsilon=0.7)
    matrices = sorting_network(scores, 0.7).numpy()
    expected = [
        -np.log(p[range(4), order]).mean() for p, order in zip(matrices, orders, strict=True)
    ]
    assert np.allclose(method.loss(orders, tf.constant(scores), SEED), expected)
    far = tf.constant(1e20 * scores, tf.float32)
    with tf.GradientTape() as tape:
        tape.watch(far)
        loss = method.loss(orders, far, SEED)
    assert np.isfinite(loss).all() and np.max(loss) > 40  # where the matrix itself is 0
    assert np.isfinite(tape.gradient(loss, far)).all()


# both


@pytest.mark.parametrize(
    "operator",
    [lambda x: sinkhorn_rank(x, 0.4, 5), lambda x: neural_sort(x, 0.4)],
    ids=["sinkhorn", "neural_sort"],
)
def test_gradients_are_those_of_finite_differences(operator) -> None:
    (found,), (expected,) = tf.test.compute_gradient(operator, [values(3, 5)], delta=1e-5)
    assert np.abs(expected).max() > 0.1
    assert np.allclose(found, expected, atol=1e-7)


@pytest.mark.parametrize("wrong", [-1.0, float("nan"), float("inf")])
def test_a_scale_that_is_below_0_is_refused(wrong: float) -> None:
    with pytest.raises(ValueError, match="epsilon must be above 0"):
        sinkhorn_rank(values(3), wrong)
    with pytest.raises(ValueError, match="temperature must be above 0"):
        neural_sort(values(3), wrong)


def test_no_iterations_are_refused() -> None:
    with pytest.raises(ValueError, match="iterations must be at least 1, not 0"):
        sinkhorn_rank(values(3), 1.0, 0)
