"""Rank correlations, ties and Gumbel noise against scipy, brute force and draws."""

from __future__ import annotations

import itertools

import keras
import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy.special import expit, logsumexp
from scipy.stats import kendalltau, rankdata, spearmanr

from shuffle_to_learn.ranking import losses, metrics, perturbed_rank, rank, soft_rank
from shuffle_to_learn.ranking.correlations import (
    expected_kendall,
    kendall_tau,
    soft_spearman,
    spearman_rho,
)

RNG = np.random.default_rng(0)
pairs = st.integers(2, 9).flatmap(lambda n: arrays(np.float64, (2, n), elements=st.integers(-3, 3)))


def slopes(loss, scores: np.ndarray, h: float = 1e-6) -> np.ndarray:
    """Central differences of a loss of one list."""
    moves = h * np.eye(len(scores))
    return np.array([(loss(scores + d) - loss(scores - d)) / (2 * h) for d in moves])


def gradient(loss, scores: np.ndarray) -> np.ndarray:
    x = tf.constant(scores)
    with tf.GradientTape() as tape:
        tape.watch(x)
        value = loss(x)
    return tape.gradient(value, x).numpy()


@given(pairs)
def test_correlations_are_those_of_scipy(pair: np.ndarray) -> None:
    for found, scipys in (
        (spearman_rho(*map(tf.constant, pair)), spearmanr),
        (kendall_tau(*map(tf.constant, pair)), kendalltau),
    ):
        if np.ptp(pair, axis=1).all():
            assert np.allclose(found, scipys(*pair).statistic, atol=1e-6)
        else:
            assert found == 0


@pytest.mark.parametrize("correlation", [spearman_rho, kendall_tau])
def test_both_sides_of_a_correlation_have_one_shape(correlation) -> None:
    for wrong in ([2, 4], [1, 3], [3], [2, 3, 1], []):
        for sides in ((wrong, [2, 3]), ([2, 3], wrong)):
            with pytest.raises(ValueError, match=r"ranks of shape .* for ranks of shape"):
                correlation(*(tf.zeros(shape) for shape in sides))
    lists = [tf.ragged.constant(x) for x in ([[1.0, 2.0], [3.0]], [[1.0, 2.0], [3.0, 4.0]])]
    with pytest.raises(ValueError, match=r"lists of lengths \[2 1\] for lists of lengths \[2 2\]"):
        correlation(*lists)
    spec = tf.RaggedTensorSpec([None, None], tf.float32)
    in_graph = tf.function(correlation, input_signature=[spec, spec])
    with pytest.raises(tf.errors.InvalidArgumentError, match="lists of different lengths"):
        in_graph(*lists)
    assert np.allclose(in_graph(lists[0], lists[0])[:1], 1)
    # What one side knows holds for both.
    half_known = [tf.TensorSpec(shape, tf.float32) for shape in ([None, None], [2, 3])]
    for specs in (half_known, half_known[::-1]):
        x = tf.constant([[1.0, 2.0, 3.0], [3.0, 1.0, 2.0]])
        assert np.allclose(tf.function(correlation, input_signature=specs)(x, x), 1)


@given(pairs, st.sampled_from([0.1, 1.0]), st.sampled_from(["l2", "kl"]))
def test_soft_spearman_is_the_correlation_of_soft_ranks(pair, epsilon: float, kind: str) -> None:
    y, s = pair
    soft = soft_rank(tf.constant(s), epsilon, regularization=kind).numpy()
    found = soft_spearman(tf.constant(y), tf.constant(s), epsilon, regularization=kind).numpy()
    if np.ptp(y) and np.ptp(soft) > 1e-3:
        assert np.allclose(found, 1 - np.corrcoef(rankdata(y), soft)[0, 1], atol=1e-6)
    hard = soft_spearman(tf.constant(y), tf.constant(s), 0.0, regularization=kind)
    assert np.allclose(hard, 1 - spearman_rho(tf.constant(y), tf.constant(s)), atol=1e-6)
    assert np.isfinite(gradient(lambda x: soft_spearman(y, x, epsilon), s)).all()


@pytest.mark.parametrize("n", [2, 6, 700])
@pytest.mark.parametrize("epsilon", [0.3, 2.0])
def test_expected_kendall_is_the_sum_of_the_chances(n: int, epsilon: float) -> None:
    rng = np.random.default_rng(n)
    y, s = rng.integers(0, 4, n).astype(float), rng.normal(size=n)
    y[:2] = 0, 1
    from scipy.stats import norm

    sign = np.sign(y[:, None] - y)
    chance = norm.cdf((s[:, None] - s) / (epsilon * np.sqrt(2)))
    tau = (sign * (2 * chance - 1)).sum() / np.sqrt((sign**2).sum() * n * (n - 1))
    assert np.allclose(expected_kendall(y, tf.constant(s), epsilon), 1 - tau)
    if n < 10:
        loss = lambda x: expected_kendall(y, tf.constant(x), epsilon).numpy()  # noqa: E731
        found = gradient(lambda x: expected_kendall(y, x, epsilon), s)
        assert np.allclose(found, slopes(loss, s), atol=1e-7)
        assert np.abs(found).max() > 1e-3


def test_expected_kendall_is_the_mean_of_taus_of_noisy_scores() -> None:
    y, s, epsilon = np.array([2, 1, 3, 3, 5]), RNG.normal(size=5), 0.8
    noisy = s + epsilon * np.random.default_rng(1).normal(size=(4000, 5))
    taus = np.array([kendalltau(y, row).statistic for row in noisy])
    error = 4 * taus.std() / np.sqrt(len(taus))
    assert abs(1 - taus.mean() - expected_kendall(y, tf.constant(s), epsilon)) < error
    near = expected_kendall(y, tf.constant(s), 1e-9)
    assert np.allclose(near, expected_kendall(y, tf.constant(s), 0.0))
    assert np.allclose(near, 1 - kendalltau(y, s).statistic)
    assert not gradient(lambda x: expected_kendall(y, x, 0.0), s).any()


CORRELATIONS = {
    "Spearman": lambda y, s, **o: spearman_rho(y, s, **o),
    "Kendall": lambda y, s, **o: kendall_tau(y, s, **o),
    "soft Spearman": lambda y, s, **o: soft_spearman(y, s, 0.5, **o),
    "expected Kendall": lambda y, s, **o: expected_kendall(y, s, 0.5, **o),
}


@pytest.mark.parametrize("jit", [False, True])
@pytest.mark.parametrize("name", CORRELATIONS)
def test_correlations_of_padded_lists_are_those_of_the_lists_alone(name: str, jit: bool) -> None:
    rng, function = np.random.default_rng(2), CORRELATIONS[name]
    y, s, mask = rng.integers(0, 4, (5, 7)), rng.normal(size=(5, 7)), rng.random((5, 7)) < 0.7
    y, s = np.where(mask, y, -9), np.where(mask, s, np.nan)

    def both(s: tf.Tensor):
        with tf.GradientTape() as tape:
            tape.watch(s)
            value = function(tf.constant(y), s, mask=tf.constant(mask))
            total = tf.reduce_sum(value)
        return value, tape.gradient(total, s, unconnected_gradients="zero")

    value, slope = tf.function(both, jit_compile=jit)(tf.constant(s))
    for k, there in enumerate(mask):
        alone = tf.constant(s[k, there])
        assert np.allclose(value[k], function(tf.constant(y[k, there]), alone))
        assert not slope.numpy()[k, ~there].any()
        if "ed" in name or "soft" in name:
            own = gradient(lambda x, k=k, there=there: function(y[k, there], x), s[k, there])
            assert np.allclose(slope.numpy()[k, there], own)
    swapped = function(tf.constant(y.T), tf.constant(s.T), mask=mask.T, axis=0)
    assert np.allclose(swapped, value)
    with pytest.raises(ValueError, match="ranks of shape"):
        function(tf.constant(y), tf.constant(s[:, :4]))


def test_metrics_and_losses_of_keras() -> None:
    y, s = RNG.integers(1, 6, (6, 5)), RNG.normal(size=(6, 5)).astype(np.float32)
    for metric, scipys in ((metrics.Spearman(), spearmanr), (metrics.Kendall(), kendalltau)):
        for part in (slice(4), slice(4, 6)):
            metric.update_state(y[part], s[part])
        wanted = np.mean([scipys(a, b).statistic for a, b in zip(y, s, strict=True)])
        assert float(metric.result()) == pytest.approx(wanted, rel=1e-5)
    padded = [np.pad(part, [[0, 2], [0, 3]]) for part in (y, s)]  # two lists without values
    for kind in (metrics.Spearman, metrics.Kendall, metrics.PartialRanks):
        alone, of_padded = kind(), kind(mask_zero=True)
        alone.update_state(y, s)
        of_padded.update_state(*padded)
        assert float(of_padded.result()) == pytest.approx(float(alone.result()), rel=1e-5)
        of_padded.reset_state()
        of_padded.update_state(*padded, sample_weight=np.eye(8)[2][:, None])  # the third alone
        alone.reset_state()
        alone.update_state(y[2:3], s[2:3])
        assert float(of_padded.result()) == pytest.approx(float(alone.result()), rel=1e-5)
    for loss, function in (
        (losses.SoftSpearman(0.5), soft_spearman),
        (losses.ExpectedKendall(0.5), expected_kendall),
    ):
        wanted = np.mean(function(y, tf.constant(s), 0.5))
        assert loss(y, s).numpy() == pytest.approx(wanted, rel=1e-5)


def test_spearman_as_a_loss_learns_the_order() -> None:
    keras.utils.set_random_seed(0)
    x = RNG.normal(size=(200, 6, 3)).astype(np.float32)
    y = rank(tf.constant(x @ [1.0, -2.0, 0.5]))
    model = keras.Sequential([keras.layers.Dense(1)])
    model.compile(
        keras.optimizers.Adam(0.05), losses.SoftSpearman(0.3), metrics=[metrics.Spearman()]
    )
    model.fit(x, y, epochs=5, verbose=0)
    assert model.evaluate(x, y, verbose=0, return_dict=True)["spearman"] > 0.97


# Ties

LOSSES = {
    "mse": losses.rank_mean_squared_error,
    "soft": lambda y, s, **o: losses.fast_soft_ranking(y, s, 0.7, **o),
    "exact": lambda y, s, **o: losses.perturbed_fenchel_young(y, s, 0.7, None, **o),
    "sampled": lambda y, s, **o: losses.perturbed_fenchel_young(y, s, 0.7, 5, (1, 2), **o),
    "rank_net": lambda y, s, **o: losses.rank_net(y, s, 0.7, **o),
    "list_mle": lambda y, s, **o: losses.list_mle(y, s, 0.7, **o),
}


@pytest.mark.parametrize("name", LOSSES)
@given(pair=pairs)
def test_with_averaged_ties_scores_do_not_drift(name: str, pair: np.ndarray) -> None:
    y, s = pair[0], pair[1] * 0.3 + np.arange(pair.shape[1]) * 0.01
    if name == "mse":
        s += (len(s) + 1) / 2 - s.mean()  # of scores that have the mean of ranks
    loss = LOSSES[name]
    assert gradient(lambda x: loss(y, x, ties="average"), s).sum() == pytest.approx(0, abs=1e-6)
    if name != "sampled":  # where equal targets stand makes no difference
        order = np.lexsort([-s, y])
        swapped = loss(y[order], tf.constant(s[order]), ties="average")
        assert np.allclose(loss(y, tf.constant(s), ties="average"), swapped)
    if len(set(y)) == len(y):
        plain = loss(rankdata(y), tf.constant(s))
        assert np.allclose(loss(y, tf.constant(s), ties="average"), plain)


@pytest.mark.parametrize("name", ["exact", "rank_net", "soft", "mse", "list_mle"])
def test_the_gradient_with_ties_is_the_slope(name: str) -> None:
    loss = LOSSES[name]
    y, s = np.array([0.0, 2, 2, 1, 1, 1]), np.random.default_rng(3).normal(size=6)
    found = gradient(lambda x: loss(y, x, ties="average"), s)
    numeric = slopes(lambda x: loss(y, tf.constant(x), ties="average").numpy(), s)
    assert np.allclose(found, numeric, atol=1e-6)
    mask = np.array([1, 1, 1, 0, 1, 1], bool)
    padded = loss(y, tf.constant(s), ties="average", mask=mask)
    assert np.allclose(padded, loss(y[mask], tf.constant(s[mask]), ties="average"))


def test_the_fenchel_young_loss_of_averaged_ranks_is_that_of_its_formula() -> None:
    """E max over permutations p of <s + e Z, p - y>, with y the averaged ranks; by its draws."""
    y, s = np.array([1.0, 1, 3, 2]), RNG.normal(size=4)
    target = rankdata(y)
    noisy = s + 0.7 * np.random.default_rng(1).normal(size=(50_000, 4))
    corners = np.array(list(itertools.permutations(range(1, 5))))
    each = (noisy @ corners.T).max(axis=1) - noisy @ target
    found = losses.perturbed_fenchel_young(y, tf.constant(s), 0.7, None, ties="average")
    assert abs(each.mean() - found) < 4 * each.std() / np.sqrt(len(each))


def test_list_mle_with_ties_is_breslows_likelihood() -> None:
    y, s = np.array([1.0, 1, 3, 2, 2]), RNG.normal(size=5)
    wanted = sum(logsumexp(s[y <= y[i]]) - s[i] for i in range(5))
    assert np.allclose(losses.list_mle(y, tf.constant(s), ties="average"), wanted)


def test_ties_are_none_or_averaged() -> None:
    with pytest.raises(ValueError, match="ties must be"):
        losses.rank_net([1, 2], tf.zeros([2]), ties="min")
    loss = losses.RankNet(0.7, ties="average")
    y, s = np.array([[1, 2, 2.0]]), np.array([[0.3, 0.1, 0.2]], np.float32)
    assert np.allclose(loss(y, s), losses.rank_net(y, tf.constant(s), 0.7, ties="average"))
    assert type(loss).from_config(loss.get_config()).ties == "average"


# Gumbel noise


def test_ranks_under_gumbel_noise_are_the_mean_of_draws() -> None:
    t, epsilon, count = np.array([0.0, 0.1, 0.5, -0.3, 0.15]), 0.2, 100_000
    exact = perturbed_rank(tf.constant(t), epsilon, None, noise="gumbel").numpy()
    assert np.allclose(exact, 0.5 + expit((t[:, None] - t) / epsilon).sum(axis=1))
    ranks = rankdata(t + epsilon * np.random.default_rng(1).gumbel(size=(count, 5)), axis=-1)
    error = 4 * ranks.std(axis=0) / np.sqrt(count)
    assert (np.abs(ranks.mean(axis=0) - exact) < error).all()
    sampled = perturbed_rank(tf.constant(t), epsilon, count, (1, 2), noise="gumbel")
    assert (np.abs(sampled - exact) < error).all()


def test_gradients_under_gumbel_noise() -> None:
    t = np.array([0.0, 0.1, 0.5, -0.3, 0.15])
    weights = np.array([1.0, -2.0, 3.0, 0.5, 0.0])

    def weighted(x: tf.Tensor, samples: int | None) -> tf.Tensor:
        return tf.reduce_sum(weights * perturbed_rank(x, 0.2, samples, (7, 8), noise="gumbel"))

    exact = gradient(lambda x: weighted(x, None), t)
    assert np.allclose(exact, slopes(lambda x: weighted(tf.constant(x), None).numpy(), t))
    assert np.abs(exact).max() > 1
    assert np.allclose(gradient(lambda x: weighted(x, 400_000), t), exact, atol=0.15)


def test_the_fenchel_young_loss_under_gumbel_noise_is_rank_net() -> None:
    y, s = np.array([[2, 1, 4, 3]]), RNG.normal(size=(1, 4))
    exact = losses.perturbed_fenchel_young(y, tf.constant(s), 0.7, None, noise="gumbel")
    assert np.array_equal(exact, losses.rank_net(y, tf.constant(s), 0.7))
    sampled = losses.perturbed_fenchel_young(y, tf.constant(s), 0.7, 50_000, (1, 2), noise="gumbel")
    assert np.allclose(sampled, exact, atol=0.1)
    for call in (losses.perturbed_fenchel_young, losses.PerturbedFenchelYoung):
        with pytest.raises(ValueError, match="noise must be"):
            call(
                *((y, tf.constant(s)) if call is losses.perturbed_fenchel_young else ()), noise="t"
            )
