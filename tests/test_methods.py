"""The registry of methods: what they sample, minimise and predict."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import tensorflow as tf
from scipy.special import log_softmax
from scipy.stats import chisquare

from shuffle_to_learn import losses
from shuffle_to_learn.methods import METHODS, FixedPermutations
from shuffle_to_learn.patches import reorder
from shuffle_to_learn.permutations import max_hamming_permutations
from stages.params import Methods

SEED = np.array([3, 4])
N = 4
SETTINGS = {"fixed_permutations": {"permutations": 12}}
every_method = pytest.mark.parametrize("name", METHODS)


def make(name: str, n: int = N):
    return METHODS[name](n, **SETTINGS.get(name, {}))


def perfect(method, orders: np.ndarray) -> np.ndarray:
    """The scores of a network that knows: true ranks, or certainty about the permutation."""
    if method.outputs == method.n:
        return orders + 1.0
    rows = max_hamming_permutations(method.n, method.permutations)
    return 50.0 * (orders[:, None] == rows).all(axis=-1)


def test_the_params_file_knows_every_method() -> None:
    assert set(METHODS) == set(Methods.model_fields)


@every_method
def test_the_settings_of_the_params_file_are_the_methods(name: str) -> None:
    given = set(Methods.model_fields[name].annotation.model_fields) - {"learning_rate"}
    taken = set(METHODS[name].__dataclass_fields__) - {"n", "seed"}
    assert given == taken


@every_method
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


@every_method
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


@pytest.mark.parametrize("name", [name for name in METHODS if name != "fixed_permutations"])
def test_all_permutations_are_equally_likely(name: str) -> None:
    orders = make(name).sample(24_000, SEED).numpy()
    rows, counts = np.unique(orders, axis=0, return_counts=True)
    assert len(rows) == 24
    assert chisquare(counts).pvalue > 0.001


def test_the_fixed_permutations_are_equally_likely() -> None:
    method = make("fixed_permutations")
    rows, counts = np.unique(method.sample(12_000, SEED), axis=0, return_counts=True)
    assert {tuple(r) for r in rows} == {tuple(r) for r in max_hamming_permutations(N, 12)}
    assert chisquare(counts).pvalue > 0.001


@every_method
def test_the_seed_decides(name: str) -> None:
    method = make(name, 5)
    first, again, other, next_step = (
        method.sample(40, tf.constant(seed)).numpy() for seed in ([1, 2], [1, 2], [2, 2], [1, 3])
    )
    assert np.array_equal(first, again)
    assert not np.array_equal(first, other)
    assert not np.array_equal(first, next_step)
    assert len(np.unique(first, axis=0)) > 5  # each example has its own


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
    assert np.array_equal(
        METHODS["mse"](3).loss(orders, scores, SEED),
        losses.rank_mean_squared_error(orders + 1, scores),
    )


def test_fixed_permutations_is_cross_entropy() -> None:
    method = make("fixed_permutations")
    rows = max_hamming_permutations(N, 12)
    labels = np.array([3, 0, 11, 3])
    scores = np.random.default_rng(0).normal(size=(4, 12)).astype(np.float32)
    expected = -log_softmax(scores, axis=1)[np.arange(4), labels]
    assert np.allclose(method.loss(tf.constant(rows[labels]), tf.constant(scores), SEED), expected)


def test_outputs_are_one_a_patch_or_one_a_permutation() -> None:
    assert {name: make(name).outputs for name in METHODS} == {
        name: 12 if name == "fixed_permutations" else N for name in METHODS
    }


def test_more_permutations_than_there_are_is_refused_before_training() -> None:
    with pytest.raises(ValueError, match="100 distinct permutations of 4 elements do not exist"):
        _ = FixedPermutations(4, 100).outputs


def test_brute_force_expectation_of_chance() -> None:
    """Scores that know nothing get 1/n of the ranks, for all permutations together."""
    orders = np.array(list(itertools.permutations(range(N))), np.int32)
    ranks = make("mse").predict(tf.zeros([24, N]))
    assert losses.partial_ranks(orders + 1, ranks).numpy().mean() == pytest.approx(1 / N)
