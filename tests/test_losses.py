"""The losses against their definitions, written out in numpy."""

from __future__ import annotations

import itertools

import keras
import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from memory import peak
from scipy.special import log_expit, logsumexp
from scipy.stats import kendalltau, norm, rankdata

from shuffle_to_learn.ranking import losses, perturbed_rank, rank, soft_rank
from shuffle_to_learn.ranking.perturbed import perturb

RNG = np.random.default_rng(0)
RANKS = np.array([[1, 2, 3, 4, 5], [5, 1, 4, 2, 3], [2, 1, 3, 5, 4]])
SCORES = RNG.normal(3, 2, RANKS.shape)

LOSSES = {
    "mse": losses.rank_mean_squared_error,
    "soft": lambda y, s: losses.fast_soft_ranking(y, s, 0.7),
    "perturbed": lambda y, s: losses.perturbed_fenchel_young(y, s, 0.7, 50, (1, 2)),
    "exact": lambda y, s: losses.perturbed_fenchel_young(y, s, 0.7, None),
    "rank_net": lambda y, s: losses.rank_net(y, s, 0.7),
    "list_mle": lambda y, s: losses.list_mle(y, s, 0.7),
}
FIRM = {key: LOSSES[key] for key in ("mse", "soft")}


def gradient(loss, scores: np.ndarray) -> np.ndarray:
    x = tf.constant(scores)
    with tf.GradientTape() as tape:
        tape.watch(x)
        value = tf.reduce_sum(loss(tf.constant(RANKS), x))
    return tape.gradient(value, x).numpy()


def slopes(loss, scores: np.ndarray, h: float = 1e-5) -> np.ndarray:
    result = np.empty_like(scores)
    for k in range(scores.shape[1]):
        move = h * np.eye(scores.shape[1])[k]
        result[:, k] = (loss(RANKS, tf.constant(scores + move)) - loss(RANKS, scores - move)) / (
            2 * h
        )
    return result


@pytest.mark.parametrize("loss", LOSSES.values(), ids=LOSSES)
def test_gradient_is_the_slope(loss) -> None:
    assert np.allclose(gradient(loss, SCORES), slopes(loss, SCORES), atol=1e-6)


@pytest.mark.parametrize("loss", LOSSES.values(), ids=LOSSES)
@pytest.mark.parametrize("dtype", [tf.float32, tf.float64])
def test_one_value_an_example_whatever_the_shape(loss, dtype: tf.DType) -> None:
    ranks, scores = RANKS[None].repeat(2, 0), tf.constant(SCORES[None].repeat(2, 0), dtype)
    value = loss(tf.constant(ranks, tf.int32), scores)
    assert value.shape == (2, 3)
    assert value.dtype == dtype


@pytest.mark.parametrize("loss", FIRM.values(), ids=FIRM)
def test_only_the_right_ranks_have_loss_0(loss) -> None:
    guesses = np.array(list(itertools.permutations(range(1, 6))), float)
    # Far apart where soft ranks should be hard; for mse the ranks themselves.
    scores = guesses if loss is losses.rank_mean_squared_error else 100 * guesses
    for truth in RANKS:
        values = loss(np.tile(truth, (120, 1)), tf.constant(scores)).numpy()
        assert np.array_equal(guesses[values.argmin()], truth)
        assert values.min() == pytest.approx(0, abs=1e-9)
        assert np.sort(values)[1] > 0.1


def test_mse_is_the_mean_of_squares() -> None:
    expected = ((SCORES - RANKS) ** 2).mean(axis=1)
    assert np.allclose(losses.rank_mean_squared_error(RANKS, tf.constant(SCORES)), expected)


def test_fast_soft_ranking_is_half_the_squared_distance() -> None:
    soft = soft_rank(tf.constant(SCORES), 0.7).numpy()
    expected = ((soft - RANKS) ** 2).sum(axis=1) / 2
    assert np.allclose(losses.fast_soft_ranking(RANKS, tf.constant(SCORES), 0.7), expected)


@pytest.mark.parametrize("n", [2, 10, 100])
def test_fast_soft_ranking_of_a_small_spread_is_the_squared_error_of_centred_scores(n: int) -> None:
    rng = np.random.default_rng(n)
    ranks = rng.permuted(np.tile(np.arange(1.0, n + 1), (20, 1)), axis=1)
    scores = rng.uniform(0, 0.3 * n / 2, (20, n))  # at epsilon 0.3
    centred = (scores - scores.mean(axis=1, keepdims=True)) / 0.3 + (n + 1) / 2
    found = losses.fast_soft_ranking(ranks, tf.constant(scores), epsilon=0.3)
    assert np.allclose(found, 0.5 * np.square(centred - ranks).sum(axis=1))


def test_perturbed_fenchel_young_maximises_over_all_permutations() -> None:
    noisy = perturb(tf.constant(SCORES), 0.7, 50, (1, 2)).numpy()
    corners = np.array(list(itertools.permutations(range(1, 6))))
    best = np.max(noisy @ corners.T, axis=-1).mean(axis=0)
    expected = best - (noisy.mean(axis=0) * RANKS).sum(axis=1)
    assert np.allclose(LOSSES["perturbed"](RANKS, tf.constant(SCORES)), expected)


def test_perturbed_fenchel_young_gradient_is_expected_rank_less_rank() -> None:
    expected = perturbed_rank(tf.constant(SCORES), 0.7, 50, (1, 2)).numpy() - RANKS
    assert np.allclose(gradient(LOSSES["perturbed"], SCORES), expected)


def closed_form(ranks: np.ndarray, scores: np.ndarray, epsilon: float) -> np.ndarray:
    """F(t) - <t, y>, F(t) = <t, E rank> + eps / sqrt 2 * sum of phi(differences)."""
    z = (scores[:, :, None] - scores[:, None]) / (epsilon * np.sqrt(2))
    expected = 0.5 + norm.cdf(z).sum(axis=-1)
    off_diagonal = norm.pdf(z) * (1 - np.eye(scores.shape[1]))
    value = (scores * expected).sum(1) + epsilon / np.sqrt(2) * off_diagonal.sum((1, 2))
    return value - (scores * ranks).sum(1)


def test_perturbed_fenchel_young_tends_to_its_closed_form() -> None:
    epsilon, draws = 0.7, 100_000
    exact = closed_form(RANKS, SCORES, epsilon)
    sampled = losses.perturbed_fenchel_young(RANKS, tf.constant(SCORES), epsilon, draws, (5, 6))
    # The deviation of <Z, ranks> bounds that of a draw, from above by about 2.
    assert np.allclose(sampled, exact, atol=4 * epsilon * np.sqrt(55 / draws))


@pytest.mark.parametrize("n", [5, 600])
@pytest.mark.parametrize("epsilon", [0.05, 1.0, 20.0])
def test_exact_perturbed_fenchel_young_is_its_closed_form(n: int, epsilon: float) -> None:
    rng = np.random.default_rng(n)
    ranks, scores = (
        rng.permuted(np.tile(np.arange(1, n + 1), (3, 1)), axis=1),
        rng.normal(0, 2, (3, n)),
    )
    value = losses.perturbed_fenchel_young(ranks, tf.constant(scores), epsilon, None)
    assert np.allclose(value, closed_form(ranks, scores, epsilon), rtol=1e-8)
    with tf.GradientTape() as tape:
        t = tf.constant(scores)
        tape.watch(t)
        value = losses.perturbed_fenchel_young(ranks, t, epsilon, None)
    expected = perturbed_rank(tf.constant(scores), epsilon, None) - ranks
    assert np.allclose(tape.gradient(value, t), expected)


@pytest.mark.parametrize("samples", [None, 1, 10])
@pytest.mark.parametrize("offset", [0.0, 1e4])
@pytest.mark.parametrize("spread", [0.01, 1.0, 100.0])
def test_perturbed_fenchel_young_is_never_negative(samples, offset: float, spread: float) -> None:
    """In float32, also where the ranks are right and the loss all but 0."""
    ranks = RNG.permuted(np.tile(np.arange(1, 9), (500, 1)), axis=1)
    scores = offset + spread * (ranks + RNG.normal(0, 0.3, ranks.shape))
    single = tf.constant(scores, tf.float32)
    value = losses.perturbed_fenchel_young(ranks, single, 1.0, samples, seed=(1, 2))
    assert np.isfinite(value).all()
    assert value.numpy().min() >= (0 if samples is None else -1e-3 * max(1, spread))


def test_exact_perturbed_fenchel_young_knows_when_all_is_right() -> None:
    ranks = np.array([[3, 1, 2, 4]])
    loss = losses.perturbed_fenchel_young(ranks, tf.constant(100.0 * ranks), 1.0, None)
    assert loss.numpy() == pytest.approx(0, abs=1e-12)


# RankNet and ListMLE

PAIRWISE = {key: LOSSES[key] for key in ("rank_net", "list_mle")}
pairwise = pytest.mark.parametrize("loss", PAIRWISE.values(), ids=PAIRWISE)


@pytest.mark.parametrize("ties", [None, "average"])
@pytest.mark.parametrize("epsilon", [0.0, 1e-4, 0.05, 20.0])
@pytest.mark.parametrize("noise", ["normal", "gumbel"])
def test_pairwise_losses_of_many_scores_are_those_of_all_pairs(noise, epsilon, ties) -> None:
    """True ranks are a permutation, or grades that many share."""
    n, rng = 300, np.random.default_rng(0)
    scores = rng.normal(size=(4, n)) * [[1.0], [100.0], [1.0], [1.0]] + [[0], [0], [1e4], [0]]
    scores[3] = np.round(scores[3], 1)
    ranks = np.stack(
        [
            rng.permutation(n) + 1,
            rng.integers(0, 5, n),
            scores[2].argsort().argsort() + 1,
            rng.integers(0, 50, n),
        ]
    )
    mask = rng.random(scores.shape) < 0.8

    def hinge(d: np.ndarray) -> np.ndarray:
        if not epsilon:
            return np.maximum(d, 0)
        if noise == "gumbel":
            return epsilon * np.logaddexp(0, d / epsilon)
        z = d / (epsilon * np.sqrt(2))
        return epsilon * np.sqrt(2) * (z * norm.cdf(z) + norm.pdf(z))

    for there in (None, mask):
        values = tf.constant(scores)
        with tf.GradientTape() as tape:
            tape.watch(values)
            found = losses.perturbed_fenchel_young(
                ranks, values, epsilon, None, noise=noise, ties=ties, mask=there
            )
        slope, found = tape.gradient(found, values).numpy(), found.numpy()
        for i in range(4):
            kept = slice(None) if there is None else there[i]
            s, y = scores[i][kept], ranks[i][kept]
            lower, equal = (f(y[:, None], y[None]) for f in (np.less, np.equal))
            np.fill_diagonal(equal, False)
            weight = lower + (0.5 * equal if ties else 0)
            most = weight * hinge(np.subtract.outer(s, s))
            assert found[i] == pytest.approx(most.sum(), rel=1e-9, abs=1e-9)
            if epsilon and ties:
                assert slope[i].sum() == pytest.approx(0, abs=1e-7)
    single = losses.perturbed_fenchel_young(
        ranks, tf.constant(scores, tf.float32), epsilon, None, noise=noise, ties=ties
    )
    wide = tf.cast(tf.constant(scores, tf.float32), tf.float64)
    assert np.allclose(
        single,
        losses.perturbed_fenchel_young(ranks, wide, epsilon, None, noise=noise, ties=ties),
        rtol=1e-5,
    )


def test_the_exact_loss_of_10000_scores_within_memory() -> None:
    rng = np.random.default_rng(0)
    scores = tf.constant(rng.normal(size=(2, 10_000)), tf.float32)
    ranks = rng.permuted(np.tile(np.arange(10_000) + 1, (2, 1)), axis=1)
    for jit in (False, True):

        @tf.function(jit_compile=jit)
        def both(scores: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
            with tf.GradientTape() as tape:
                tape.watch(scores)
                loss = losses.perturbed_fenchel_young(ranks, scores, 0.01, None)
            return loss, tape.gradient(loss, scores)

        both(scores)  # compiles
        with peak() as taken:
            loss, gradient = both(scores)
        assert taken.kilobytes < 100_000  # all pairs would take 800,000
        hard = [
            s @ (rankdata(s) - y) for s, y in zip(scores.numpy().astype(float), ranks, strict=True)
        ]
        assert np.allclose(loss, hard, rtol=1e-3)  # the noise is small
        assert np.allclose(gradient, perturbed_rank(scores, 0.01, None) - ranks, atol=1e-2)


def test_published_values_of_rank_net_and_list_mle() -> None:
    """rankNet (a mean over 10 pairs) and listMLE of allegro/allRank, in double."""
    ranks, scores = np.array([[2, 3, 5, 1, 4]]), tf.constant([[0.3, -1.0, 2.0, 0.9, -0.2]])
    scores = tf.cast(scores, tf.float64)
    assert losses.rank_net(ranks, scores).numpy() == pytest.approx(7.959188163689288, rel=1e-6)
    # allRank adds 1e-10 to the sums of which it takes the logarithm.
    assert losses.list_mle(ranks, scores).numpy() == pytest.approx(5.792311398626731, rel=1e-6)


@pytest.mark.parametrize("epsilon", [0.05, 1.0, 20.0])
@pytest.mark.parametrize("n", [2, 5, 600])
def test_rank_net_and_list_mle_are_their_formulas(n: int, epsilon: float) -> None:
    rng = np.random.default_rng(n)
    ranks = rng.permuted(np.tile(np.arange(1, n + 1), (3, 1)), axis=1)
    scores = rng.normal(0, 2, (3, n))
    pairs, orders = [], []
    for y, s in zip(ranks, scores / epsilon, strict=True):
        wrong = (s[:, None] - s)[y[:, None] < y]
        pairs.append(-epsilon * log_expit(-wrong).sum())
        ordered = s[np.argsort(y)]
        orders.append(sum(logsumexp(ordered[: k + 1]) - ordered[k] for k in range(n)))
    assert np.allclose(losses.rank_net(ranks, tf.constant(scores), epsilon), pairs)
    assert np.allclose(losses.list_mle(ranks, tf.constant(scores), epsilon), orders)


@pairwise
@given(data=st.data())
def test_pairwise_losses_mind_neither_offset_nor_place(loss, data) -> None:
    n = data.draw(st.integers(1, 8))
    scores = data.draw(arrays(np.float64, n, elements=st.floats(-50, 50)))
    ranks, order = (np.array(data.draw(st.permutations(range(n)))) for _ in range(2))
    value = loss(ranks + 1, tf.constant(scores)).numpy()
    assert value >= 0
    assert np.allclose(loss(ranks + 1, tf.constant(scores + 7.5)), value, atol=1e-9)
    assert np.allclose(loss(ranks[order] + 1, tf.constant(scores[order])), value, atol=1e-9)


@pairwise
def test_pairwise_losses_of_scores_far_apart_are_the_distance_that_is_wrong(loss) -> None:
    """0 where all is right, and finite in float32 where all is wrong."""
    ranks = RNG.permuted(np.tile(np.arange(1, 9), (50, 1)), axis=1)
    right = loss(ranks, tf.constant(1e4 * ranks, tf.float32)).numpy()
    assert np.allclose(right, 0)
    wrong = loss(ranks, tf.constant(-1e30 * ranks, tf.float32)).numpy()
    assert np.isfinite(wrong).all() and (wrong > 1e30).all()


@pytest.mark.parametrize("epsilon", [1e-3, 1e-6])
def test_without_noise_rank_net_is_the_fenchel_young_loss_of_hard_ranks(epsilon: float) -> None:
    corners = np.array(list(itertools.permutations(range(1, 6))))
    best = (SCORES @ corners.T).max(axis=1) - (SCORES * RANKS).sum(axis=1)
    assert np.allclose(losses.rank_net(RANKS, tf.constant(SCORES), epsilon), best, atol=0.01)


def gumbel_ranks(epsilon: float, draws: int) -> tuple[np.ndarray, np.ndarray]:
    """The scores with Gumbel noise, and their ranks; shape (draws, 3, 5)."""
    noise = np.random.default_rng(1).gumbel(size=(draws, *SCORES.shape))
    noisy = SCORES + epsilon * noise
    return noisy, rankdata(noisy, axis=-1)


def test_rank_net_is_the_fenchel_young_loss_under_gumbel_noise() -> None:
    epsilon, draws = 0.7, 100_000
    noisy, ranks = gumbel_ranks(epsilon, draws)
    each = (noisy * (ranks - RANKS)).sum(axis=-1)
    error = 4 * each.std(axis=0) / np.sqrt(draws)
    value = losses.rank_net(RANKS, tf.constant(SCORES), epsilon).numpy()
    assert (np.abs(each.mean(axis=0) - value) < error).all()
    slope = gradient(lambda y, s: losses.rank_net(y, s, epsilon), SCORES)
    error = 4 * ranks.std(axis=0) / np.sqrt(draws) + 1e-3
    assert (np.abs(ranks.mean(axis=0) - RANKS - slope) < error).all()


def test_list_mle_is_the_chance_of_the_ranks_under_gumbel_noise() -> None:
    epsilon, draws = 1.5, 100_000
    corners = np.array(list(itertools.permutations(range(1, 6))))
    scores = tf.constant(np.tile(SCORES[0], (len(corners), 1)))
    chances = np.exp(-losses.list_mle(corners, scores, epsilon).numpy())
    assert chances.sum() == pytest.approx(1)
    seen = gumbel_ranks(epsilon, draws)[1][:, 0]
    counts = (seen[:, None] == corners).all(axis=-1).sum(axis=0)
    likely = chances > 1e-3
    assert likely.sum() > 20
    error = 4 * np.sqrt(chances * (1 - chances) / draws)
    assert (np.abs(counts / draws - chances) < error)[likely].all()


@pytest.mark.parametrize("epsilon", [0.1, 1.0])
def test_rank_net_is_the_exact_perturbed_loss_with_a_logistic_for_the_normal(
    epsilon: float,
) -> None:
    """The normal distribution function is within 0.0095 of the logistic one of 1.702 z."""
    n = 8
    scores = RNG.normal(0, 1, (50, n))
    ranks = RNG.permuted(np.tile(np.arange(1, n + 1), (50, 1)), axis=1)
    logistic = epsilon * np.sqrt(2) / 1.702
    slopes = []
    for loss in (
        lambda s: losses.perturbed_fenchel_young(ranks, s, epsilon, None),
        lambda s: losses.rank_net(ranks, s, logistic),
    ):
        x = tf.constant(scores)
        with tf.GradientTape() as tape:
            tape.watch(x)
            value = loss(x)
        slopes.append(tape.gradient(value, x).numpy())
    apart = np.abs(slopes[0] - slopes[1])
    assert 1e-3 < apart.max() <= 0.0096 * (n - 1)
    assert np.abs(slopes[0]).max() > 4


@pytest.mark.parametrize("loss", [losses.rank_net, losses.list_mle])
def test_pairwise_losses_check_what_they_are_given(loss) -> None:
    for epsilon in (-0.1, -1.0, float("nan")):
        with pytest.raises(ValueError, match="epsilon must be above 0"):
            loss(RANKS, tf.constant(SCORES), epsilon)
    with pytest.raises(ValueError, match="at least 1 value"):
        loss(RANKS[:, :0], tf.constant(SCORES[:, :0]))


@pairwise
@pytest.mark.parametrize("jit", [False, True])
def test_pairwise_losses_in_graphs_have_gradients_of_both_orders(loss, jit: bool) -> None:
    @tf.function(jit_compile=jit, input_signature=[tf.TensorSpec([None, 5], tf.float64)])
    def both(x):
        with tf.GradientTape() as outer:
            outer.watch(x)
            with tf.GradientTape() as inner:
                inner.watch(x)
                value = loss(tf.constant(RANKS), x)
            first = inner.gradient(value, x)
            weighted = tf.reduce_sum(first * [1.0, 2.0, 4.0, 8.0, 16.0])
        return value, first, outer.gradient(weighted, x)

    value, first, second = both(tf.constant(SCORES))
    assert np.allclose(value, loss(RANKS, tf.constant(SCORES)))
    assert np.allclose(first, slopes(loss, SCORES), atol=1e-6)

    def weighted(scores: np.ndarray) -> np.ndarray:
        return gradient(loss, scores) @ 2.0 ** np.arange(5)

    for k, move in enumerate(1e-5 * np.eye(5)):
        numeric = (weighted(SCORES + move) - weighted(SCORES - move)) / 2e-5
        assert np.allclose(second[:, k], numeric, atol=1e-5)
    mapped = tf.vectorized_map(lambda row: loss(*row), (tf.constant(RANKS), tf.constant(SCORES)))
    assert np.allclose(mapped, value)


def test_permutation_cross_entropy_is_that_of_keras() -> None:
    scores = tf.constant(SCORES[:, :3])
    classes = np.array([2, 0, 1])
    value = losses.permutation_cross_entropy(RANKS[classes], scores, RANKS.tolist())
    expected = keras.losses.sparse_categorical_crossentropy(classes, scores, from_logits=True)
    assert np.allclose(value, expected)
    none = losses.permutation_cross_entropy(np.array([[5, 4, 3, 2, 1]]), scores[:1], RANKS.tolist())
    assert np.isnan(none).all()


def test_permutation_cross_entropy_needs_a_logit_a_permutation() -> None:
    with pytest.raises(ValueError, match="not one for each of 3 permutations"):
        losses.permutation_cross_entropy(RANKS, tf.constant(SCORES), RANKS.tolist())


@pytest.mark.parametrize("loss", LOSSES.values(), ids=LOSSES)
def test_shapes_that_differ_are_refused(loss) -> None:
    with pytest.raises(ValueError, match="ranks of shape"):
        loss(RANKS[:, :4], tf.constant(SCORES))


@pytest.mark.parametrize("loss", LOSSES.values(), ids=LOSSES)
def test_integer_scores_are_refused(loss) -> None:
    with pytest.raises(TypeError, match="floating"):
        loss(RANKS, tf.constant(RANKS))


@pytest.mark.parametrize("loss", LOSSES.values(), ids=LOSSES)
def test_losses_of_half_types_are_float32(loss) -> None:
    ranks = RNG.permuted(np.tile(np.arange(1, 101), (4, 1)), axis=1)
    scores = tf.constant(-ranks * 100.0, tf.float16)
    value = loss(ranks, scores)
    assert value.dtype == tf.float32
    assert np.isfinite(value).all()  # the largest float16 is 65504
    assert np.allclose(value, loss(ranks, tf.cast(scores, tf.float32)))


def test_perturbed_fenchel_young_follows_its_seed() -> None:
    first, again, other = (
        losses.perturbed_fenchel_young(RANKS, tf.constant(SCORES), 1.0, 3, seed)
        for seed in ((1, 2), (1, 2), (1, 3))
    )
    assert np.array_equal(first, again)
    assert not np.array_equal(first, other)


@pytest.mark.parametrize("samples", [None, 10])
def test_perturbed_fenchel_young_checks_what_it_is_given(samples: int | None) -> None:
    for epsilon in (-0.1, -1.0, float("nan")):
        with pytest.raises(ValueError, match="epsilon must be above 0"):
            losses.perturbed_fenchel_young(RANKS, tf.constant(SCORES), epsilon, samples, (1, 2))
    with pytest.raises(ValueError, match="at least 1 value"):
        none = tf.constant(SCORES[:, :0])
        losses.perturbed_fenchel_young(RANKS[:, :0], none, 1.0, samples, (1, 2))


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("loss", LOSSES.values(), ids=LOSSES)
def test_scores_that_are_not_finite_do_not_go_unseen(loss, bad: float) -> None:
    scores = SCORES.copy()
    scores[1, 2] = bad
    value = loss(RANKS, tf.constant(scores)).numpy()
    assert not np.isfinite(value[1])
    assert np.isfinite(value[[0, 2]]).all()


def test_partial_ranks_needs_one_shape_and_rounds() -> None:
    for wrong in (RANKS[0], RANKS[:, :1], RANKS[..., None]):
        with pytest.raises(ValueError, match="ranks of shape"):
            losses.partial_ranks(RANKS, wrong)
    assert np.allclose(losses.partial_ranks(RANKS, tf.constant(RANKS - 1e-4)), 1.0)


def test_partial_ranks_is_the_share_of_right_places() -> None:
    guess = np.array([[1, 2, 3, 5, 4], [1, 5, 4, 2, 3], [1, 2, 5, 4, 3]])
    result = losses.partial_ranks(tf.constant(RANKS), tf.constant(guess))
    assert np.allclose(result, [0.6, 0.6, 0.0])
    assert np.allclose(losses.partial_ranks(RANKS, rank(tf.constant(RANKS * 0.3))), 1.0)


@pytest.mark.parametrize("n", [2, 5, 20])
def test_kendall_tau_is_that_of_scipy(n: int) -> None:
    rng = np.random.default_rng(n)
    ranks, guess = rng.permuted(np.tile(np.arange(1, n + 1), (2, 30, 1)), axis=2)
    expected = [kendalltau(a, b).statistic for a, b in zip(ranks, guess, strict=True)]
    assert np.allclose(losses.kendall_tau(ranks, tf.constant(guess)), expected, atol=1e-6)
    assert np.allclose(losses.kendall_tau(ranks, ranks), 1)
    assert np.allclose(losses.kendall_tau(ranks, n + 1 - ranks), -1)
    with pytest.raises(ValueError, match="ranks of shape"):
        losses.kendall_tau(ranks, guess[0])


@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "float32", "float64", "int64"])
def test_cross_entropy_takes_ranks_of_any_type(dtype: str) -> None:
    """Ranks that went through a network or a mean are not whole to the last bit."""
    permutations = [[1, 2, 3], [3, 1, 2], [2, 3, 1]]
    logits = tf.constant([[0.3, -1.0, 2.0]])
    wanted = losses.permutation_cross_entropy(tf.constant([[3, 1, 2]]), logits, permutations)
    ranks = tf.cast(tf.constant([[3, 1, 2]]), dtype)
    assert losses.permutation_cross_entropy(ranks, logits, permutations) == wanted
    for off in (-2e-7, 2e-7, -0.4, 0.4):
        ranks = tf.constant([[3.0, 1.0, 2.0]]) + off
        assert losses.permutation_cross_entropy(ranks, logits, permutations) == wanted
