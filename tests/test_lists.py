"""Padded lists, RaggedTensors, other axes, an epsilon that is a tensor: against the list alone."""

from __future__ import annotations

import keras
import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy.stats import rankdata

from shuffle_to_learn import ranking
from shuffle_to_learn.ranking import layers, losses, metrics

RNG = np.random.default_rng(0)

# An operator gives m values for a list of m, or m x m: by value and place, or the other way.
OPERATORS = {
    "rank": (lambda x, **o: ranking.rank(x, **o), "values"),
    "average rank": (lambda x, **o: ranking.rank(x, ties="average", **o), "values"),
    "soft": (lambda x, e=0.4, **o: ranking.soft_rank(x, e, **o), "values"),
    "exact": (lambda x, e=0.4, **o: ranking.perturbed_rank(x, e, None, **o), "values"),
    "Laplace": (lambda x, e=0.4, **o: ranking.lap_sum_rank(x, e, **o), "values"),
    "Sinkhorn": (lambda x, e=0.4, **o: ranking.sinkhorn_rank(x, e, 3, **o), "values"),
    "plan": (lambda x, e=0.4, **o: ranking.soft_permutation(x, e, 3, **o), "value x place"),
    "network": (lambda x, e=0.4, **o: ranking.sorting_network(x, e, **o), "value x place"),
    "NeuralSort": (lambda x, e=0.4, **o: ranking.neural_sort(x, e, **o), "place x value"),
}
SMOOTH = {name: OPERATORS[name] for name in OPERATORS if "rank" not in name}
operators = pytest.mark.parametrize("name", OPERATORS)
smooth = pytest.mark.parametrize("name", SMOOTH)


def kept(kind: str, mask: np.ndarray) -> np.ndarray:
    """Which entries of the result of a padded list are those of the list alone."""
    first = np.arange(len(mask)) < mask.sum()
    return {
        "values": mask,
        "places": first,
        "value x place": mask[:, None] & first,
        "place x value": first[:, None] & mask,
    }[kind]


def with_slope(operator, x: np.ndarray, dtype=tf.float64, **options):
    """The result, and the gradient of its sum with weights that are no multiples of a row's."""
    values = tf.constant(x, dtype)
    with tf.GradientTape() as tape:
        tape.watch(values)
        y = operator(values, **options)
        weights = tf.cast(tf.sqrt(1.0 + tf.range(tf.size(y), dtype=tf.float32)), y.dtype)
        weighted = tf.reduce_sum(y * tf.reshape(weights, tf.shape(y)))
    slope = tape.gradient(weighted, values)
    return y.numpy(), slope


def slope_alone(operator, x: np.ndarray, kind: str, mask: np.ndarray) -> np.ndarray:
    """The gradient that the list alone has where its entries have the padded list's weights."""
    entries = kept(kind, mask)
    weights = np.sqrt(1.0 + np.arange(entries.size, dtype=np.float32)).reshape(entries.shape)
    values = tf.constant(x[mask])
    with tf.GradientTape() as tape:
        tape.watch(values)
        y = operator(values)
        weighted = tf.reduce_sum(y * weights[entries].reshape(y.shape))
    return tape.gradient(weighted, values).numpy()


lists = st.integers(1, 7).flatmap(
    lambda n: st.tuples(
        arrays(np.float64, n, elements=st.floats(-9, 9, allow_subnormal=False)),
        arrays(np.bool_, n),
        st.sampled_from([0.0, np.nan, np.inf, -np.inf, 1e30, -1e30]),
    )
)


@operators
@given(case=lists)
def test_a_masked_list_is_the_list_without_what_is_masked(name: str, case) -> None:
    x, mask, padding = case
    operator, kind = OPERATORS[name]
    padded = np.where(mask, x, padding)
    result = operator(tf.constant(padded), mask=tf.constant(mask)).numpy()
    entries = kept(kind, mask)
    assert not result[~entries].any()
    if mask.any():
        alone = operator(tf.constant(x[mask])).numpy()
        assert np.allclose(result[entries], alone.ravel(), atol=1e-9)


@smooth
@pytest.mark.parametrize("padding", [0.0, np.nan, 1e30])
def test_the_gradient_of_a_masked_list_is_that_of_the_list_alone(name: str, padding: float) -> None:
    operator, kind = OPERATORS[name]
    x = np.random.default_rng(1).normal(size=(4, 6))
    mask = np.array([[1, 1, 1, 1, 1, 1], [0, 1, 1, 0, 1, 1], [0, 0, 0, 1, 0, 0], [0] * 6], bool)
    for row, there in zip(x, mask, strict=True):
        padded = np.where(there, row, padding)
        _, slope = with_slope(operator, padded, mask=tf.constant(there))
        assert not slope.numpy()[~there].any()
        if there.any():
            assert np.allclose(slope.numpy()[there], slope_alone(operator, row, kind, there))
    assert np.abs(with_slope(operator, x[0])[1]).max() > 1e-3


@pytest.mark.parametrize("n", [6, 40])
@pytest.mark.parametrize("jit", [False, True])
@operators
def test_masks_in_graphs(name: str, jit: bool, n: int) -> None:
    operator, _ = OPERATORS[name]
    if n > 6 and name not in ("rank", "average rank", "soft"):
        return  # the same code at every n
    rng = np.random.default_rng(n)
    x, mask = tf.constant(rng.normal(size=(3, n))), tf.constant(rng.random((3, n)) < 0.6)

    def both(x: tf.Tensor, mask: tf.Tensor):
        with tf.GradientTape() as tape:
            tape.watch(x)
            y = operator(x, mask=mask)
            weighted = tf.reduce_sum(tf.cast(y, x.dtype) ** 2)
        return y, tape.gradient(weighted, x, unconnected_gradients="zero")

    expected, slope = both(x, mask)
    result, found = tf.function(both, jit_compile=jit)(x, mask)
    assert np.allclose(result, expected, atol=1e-9)
    assert np.allclose(found, slope, atol=1e-8)


@pytest.mark.parametrize("n", [40, 300])
def test_masks_of_many_values(n: int) -> None:
    rng = np.random.default_rng(n)
    x, mask = rng.normal(size=(3, n)) * [[0.01], [1], [100]], rng.random((3, n)) < 0.7
    for name in ("rank", "average rank", "soft", "exact", "Laplace"):
        operator, _ = OPERATORS[name]
        result = operator(tf.constant(np.where(mask, x, np.nan)), mask=mask).numpy()
        for row, there, found in zip(x, mask, result, strict=True):
            assert np.allclose(found[there], operator(tf.constant(row[there])), atol=1e-8)
            assert not found[~there].any()


def test_a_value_that_is_not_finite_counts_where_it_is_not_masked() -> None:
    x, mask = (
        tf.constant([[1.0, np.nan, 2.0], [1.0, np.nan, 2.0]]),
        [[True, False, True], [True] * 3],
    )
    assert np.array_equal(
        ranking.soft_rank(x, 0.1, mask=mask), [[1, 0, 2], [np.nan] * 3], equal_nan=True
    )


@pytest.mark.parametrize("dtype", [tf.float16, tf.bfloat16, tf.float32])
@smooth
def test_masks_in_other_types(name: str, dtype: tf.DType) -> None:
    operator, _ = SMOOTH[name]
    x, mask = RNG.integers(-8, 8, (3, 5)) / 4, RNG.random((3, 5)) < 0.6
    result = operator(tf.constant(x, dtype), mask=mask)
    assert result.dtype == dtype
    assert np.allclose(tf.cast(result, tf.float64), operator(tf.constant(x), mask=mask), atol=0.02)


def test_sampled_ranks_of_masked_lists() -> None:
    """Their noise is their own: with many draws they are the exact ranks, and so are gradients."""
    x, mask = RNG.normal(size=(2, 5)), np.array([[1, 0, 1, 1, 0], [1, 1, 1, 1, 1]], bool)
    for noise in ("normal", "gumbel"):
        found, slope = with_slope(
            lambda v, noise=noise, **o: ranking.perturbed_rank(
                v, 0.5, 100_000, (1, 2), noise=noise, **o
            ),
            x,
            mask=mask,
        )
        exact, wanted = with_slope(
            lambda v, noise=noise, **o: ranking.perturbed_rank(v, 0.5, None, noise=noise, **o),
            x,
            mask=mask,
        )
        assert np.allclose(found, exact, atol=0.02)
        assert np.allclose(slope, wanted, atol=0.15)
        assert not found[~mask].any() and not slope.numpy()[~mask].any()


@pytest.mark.parametrize(
    "wrong", [np.ones(4, bool), np.ones((2, 3, 5), bool), np.ones((3, 5), bool)]
)
def test_a_mask_has_the_shape_of_the_values(wrong: np.ndarray) -> None:
    for call in (ranking.soft_rank, ranking.rank):
        with pytest.raises(ValueError, match="a mask of shape"):
            call(tf.zeros([2, 5]), mask=wrong)
    assert ranking.soft_rank(tf.zeros([2, 5]), mask=np.ones(5, bool)).shape == (2, 5)


# RaggedTensors

LISTS = [[0.3, -1.0, 2.0, 0.9], [], [1.5], [0.2, 0.1]]


def ragged(rows=LISTS) -> tf.RaggedTensor:
    return tf.ragged.constant(rows, tf.float64, ragged_rank=1)


@operators
def test_lists_of_a_ragged_tensor_are_the_lists_alone(name: str) -> None:
    operator, kind = OPERATORS[name]
    result = operator(ragged())
    assert result.row_lengths().numpy().tolist() == [4, 0, 1, 2]
    for row, found in zip(LISTS, result, strict=True):
        if row:
            found = found if kind == "values" else found.to_tensor()
            assert np.allclose(found, operator(tf.constant(row, tf.float64)), atol=1e-9)


def test_ragged_tensors_in_graphs_have_gradients() -> None:
    values = ragged()

    def both(values: tf.RaggedTensor):
        with tf.GradientTape() as tape:
            tape.watch(values.flat_values)
            y = ranking.soft_rank(values, 0.4)
            weighted = tf.reduce_sum(y.flat_values**2)
        return y, tf.convert_to_tensor(tape.gradient(weighted, values.flat_values))

    expected, slope = both(values)
    spec = tf.RaggedTensorSpec([None, None], tf.float64, ragged_rank=1)
    result, found = tf.function(both, input_signature=[spec])(values)
    assert np.allclose(result.flat_values, expected.flat_values)
    assert np.allclose(found, slope) and np.abs(found).max() > 0.1
    (mapped,) = tf.data.Dataset.from_tensors(values).map(ranking.rank)
    assert mapped.to_list() == [[2, 1, 4, 3], [], [1], [2, 1]]


def test_ragged_tensors_of_more_axes() -> None:
    nested = tf.ragged.constant([[[3.0, 1.0], [2.0]], [], [[1.0, 2.0, 0.5]]])
    assert ranking.rank(nested).to_list() == [[[2, 1], [1]], [], [[2, 3, 1]]]
    found = losses.fast_soft_ranking(nested, nested, 0.1)
    assert found.to_list()[1] == [] and len(found.to_list()[0]) == 2
    with pytest.raises(ValueError, match="last axis"):
        ranking.rank(tf.RaggedTensor.from_row_lengths(tf.zeros([3, 2]), [1, 2]))
    with pytest.raises(ValueError, match="needs no mask"):
        ranking.rank(nested, axis=0)


# Order, axis, epsilon


@operators
def test_descending_is_of_negative_values_and_axis_of_moved_ones(name: str) -> None:
    operator, kind = OPERATORS[name]
    x = RNG.normal(size=(2, 5, 3))
    other = {"descending": name != "NeuralSort"}
    both_ways = {"descending": True} if name == "NeuralSort" else {}
    found = operator(tf.constant(x), **other)
    assert np.allclose(found, operator(tf.constant(-x), **both_ways))
    moved = operator(tf.constant(np.moveaxis(x, 1, -1)))
    wanted = moved if kind != "values" else np.moveaxis(moved, -1, 1)
    for axis in (1, -2):
        assert np.allclose(operator(tf.constant(x), axis=axis), wanted)
    mask = RNG.random(x.shape) < 0.7
    moved = operator(tf.constant(np.moveaxis(x, 1, -1)), mask=np.moveaxis(mask, 1, -1))
    wanted = moved if kind != "values" else np.moveaxis(moved, -1, 1)
    assert np.allclose(operator(tf.constant(x), mask=mask, axis=1), wanted)
    with pytest.raises(ValueError, match="no axis 3"):
        operator(tf.constant(x), axis=3)


def test_descending_ranks_of_integers_and_infinities() -> None:
    small = np.iinfo(np.int8).min
    assert ranking.rank(tf.constant([small, 3, 0], tf.int8), descending=True).numpy().tolist() == [
        3,
        1,
        2,
    ]
    unsigned = tf.constant([0, 255, 7], tf.uint8)
    assert ranking.rank(unsigned, descending=True).numpy().tolist() == [3, 1, 2]
    x = tf.constant([np.inf, 1.0, -np.inf, np.nan])
    assert ranking.rank(x, descending=True).numpy().tolist() == [1, 3, 4, 2]


@pytest.mark.parametrize("n", [7, 50])
def test_averaged_ranks_are_those_of_scipy(n: int) -> None:
    x = np.random.default_rng(n).integers(0, 4, (20, n))
    for values in (tf.constant(x), tf.constant(x, tf.float32)):
        found = ranking.rank(values, ties="average")
        assert found.dtype == tf.float32
        assert np.array_equal(found, rankdata(x, axis=-1))
    assert ranking.rank(tf.constant(x, tf.float64), ties="average").dtype == tf.float64
    mask = RNG.random(x.shape) < 0.5
    found = ranking.rank(tf.constant(x), ties="average", mask=mask).numpy()
    for row, there, ranks in zip(x, mask, found, strict=True):
        assert np.array_equal(ranks[there], rankdata(row[there]))
    with pytest.raises(ValueError, match="ties must be"):
        ranking.rank(x, ties="first")


EPSILONS = np.array([0.1, 0.0, 3.0, 1e-6])


@smooth
def test_an_epsilon_a_row_and_one_for_all(name: str) -> None:
    operator, _ = SMOOTH[name]
    x = RNG.normal(size=(4, 5))
    found = operator(tf.constant(x), tf.constant(EPSILONS))
    for row, epsilon, result in zip(x, EPSILONS, found, strict=True):
        assert np.allclose(result, operator(tf.constant(row), float(epsilon)), atol=1e-8)
    for one in (tf.constant(0.7), tf.Variable(0.7), keras.Variable(0.7), np.full(4, 0.7)):
        assert np.allclose(operator(tf.constant(x), one), operator(tf.constant(x), 0.7), atol=1e-6)
    with pytest.raises(ValueError, match="above 0"):
        operator(tf.constant(x), tf.constant([1.0, 1.0, -1.0, 1.0]))
    unseen = tf.function(lambda e: operator(tf.constant(x), e))(tf.constant([1.0, 1.0, -1.0, 1.0]))
    assert np.isnan(unseen[2]).all() and np.isfinite(unseen.numpy()[[0, 1, 3]]).all()


@smooth
def test_the_gradient_in_epsilon_is_the_slope(name: str) -> None:
    operator, _ = SMOOTH[name]
    x = tf.constant(np.random.default_rng(3).normal(size=(2, 5)))
    epsilon = tf.constant([0.6, 2.0], tf.float64)
    weights = RNG.normal(size=operator(x).shape)

    def weighted(epsilon: tf.Tensor) -> tf.Tensor:
        return tf.reduce_sum(operator(x, epsilon) * weights)

    with tf.GradientTape() as tape:
        tape.watch(epsilon)
        value = weighted(epsilon)
    slope = tape.gradient(value, epsilon).numpy()
    numeric = [
        (weighted(epsilon + move) - weighted(epsilon - move)) / 2e-6 for move in 1e-6 * np.eye(2)
    ]
    assert np.allclose(slope, numeric, atol=1e-6)
    assert np.abs(slope).max() > 1e-3


@smooth
def test_a_list_that_is_not_finite_spoils_no_gradient_in_an_epsilon_for_all(name: str) -> None:
    operator, _ = SMOOTH[name]
    x = np.random.default_rng(3).normal(size=(3, 4))
    wanted = []
    for rows in (x[[0, 2]], np.where(np.arange(3)[:, None] == 1, np.nan, x)):
        epsilon = tf.constant(0.6, tf.float64)
        with tf.GradientTape() as tape:
            tape.watch(epsilon)
            y = operator(tf.constant(rows), epsilon)
            weighted = tf.reduce_sum(tf.where(tf.math.is_nan(y), 0, y) ** 2)
        wanted.append(tape.gradient(weighted, epsilon))
    assert np.allclose(*wanted) and np.isfinite(wanted).all()


@smooth
def test_at_epsilon_0_values_that_are_equal_share_their_ranks(name: str) -> None:
    operator, kind = SMOOTH[name]
    x = np.array([[0.3, -1.0, 0.3, 5.0], [2.0, 1.0, 4.0, 3.0]])
    result, slope = with_slope(lambda v: operator(v, 0.0), x)
    assert not slope.numpy().any()
    if kind == "values":
        assert np.array_equal(result, [[2.5, 1, 2.5, 4], [2, 1, 4, 3]])
    else:
        by_value = result if kind == "value x place" else result.swapaxes(1, 2)[:, :, ::-1]
        assert np.allclose(by_value[1], np.eye(4)[[1, 0, 3, 2]])
        assert np.allclose(by_value[0], np.eye(4)[[1, 0, 1, 3]] / 2 + np.eye(4)[[2, 0, 2, 3]] / 2)
    near = operator(tf.constant(x), 1e-9)
    if name not in ("Sinkhorn", "plan"):  # these have as many iterations as they are given
        assert np.allclose(near[1], result[1], atol=1e-6)
    if name not in ("Sinkhorn", "plan", "network"):  # on the way, equal values become unequal
        assert np.allclose(near, result, atol=1e-6)


# Losses and metrics

LOSSES = {
    "mse": lambda y, s, e=0.7, **o: losses.rank_mean_squared_error(y, s, **o),
    "soft": lambda y, s, e=0.7, **o: losses.fast_soft_ranking(y, s, e, **o),
    "exact": lambda y, s, e=0.7, **o: losses.perturbed_fenchel_young(y, s, e, None, **o),
    "rank_net": lambda y, s, e=0.7, **o: losses.rank_net(y, s, e, **o),
    "list_mle": lambda y, s, e=0.7, **o: losses.list_mle(y, s, e, **o),
}
METRICS = {
    "partial ranks": lambda y, s, **o: losses.partial_ranks(y, ranking.rank(s, **o), **o),
    "Kendall": lambda y, s, **o: losses.kendall_tau(y, s, **o),
}


def padded_lists() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Ranks and scores with rubbish where they are masked."""
    rng = np.random.default_rng(5)
    mask = rng.random((5, 6)) < 0.6
    mask[0], mask[1] = True, False
    scores = rng.normal(size=mask.shape)
    ranks = rng.integers(-3, 9, mask.shape).astype(float)
    for row, there in zip(ranks, mask, strict=True):
        row[there] = rng.permutation(there.sum()) + 1
    return ranks, np.where(mask, scores, np.nan), mask


@pytest.mark.parametrize("name", [*LOSSES, *METRICS])
def test_a_loss_of_padded_lists_is_that_of_the_lists_alone(name: str) -> None:
    loss = (LOSSES | METRICS)[name]
    ranks, scores, mask = padded_lists()

    def both(scores: tf.Tensor):
        with tf.GradientTape() as tape:
            tape.watch(scores)
            value = loss(tf.constant(ranks), scores, mask=tf.constant(mask))
            total = tf.reduce_sum(value)
        return value, tape.gradient(total, scores, unconnected_gradients="zero")

    value, slope = both(tf.constant(scores))
    assert not slope.numpy()[~mask].any()
    for y, s, there, found, g in zip(ranks, scores, mask, value, slope.numpy(), strict=True):
        if not there.any():
            assert found == 0
            continue
        with tf.GradientTape() as tape:
            alone = tf.constant(s[there])
            tape.watch(alone)
            wanted = loss(tf.constant(y[there]), alone)
        assert np.allclose(found, wanted)
        if name in LOSSES:
            assert np.allclose(g[there], tape.gradient(wanted, alone))
    for jit in (False, True):
        again, slope_again = tf.function(both, jit_compile=jit)(tf.constant(scores))
        assert np.allclose(again, value) and np.allclose(slope_again, slope)
    pair = [tf.ragged.boolean_mask(tf.constant(part), mask) for part in (ranks, scores)]
    assert np.allclose(loss(*pair), value)
    swapped = loss(tf.constant(ranks.T), tf.constant(scores.T), mask=mask.T, axis=0)
    assert np.allclose(swapped, value)


@pytest.mark.parametrize("name", LOSSES)
def test_a_loss_takes_an_epsilon_a_row(name: str) -> None:
    rng = np.random.default_rng(6)
    scores = rng.normal(size=(4, 5))
    ranks = rng.permuted(np.tile(np.arange(1.0, 6), (4, 1)), axis=1)
    epsilons = np.where(EPSILONS, EPSILONS, 0.3 if name == "list_mle" else 0)
    with tf.GradientTape() as tape:
        x, epsilon = tf.constant(scores), tf.constant(epsilons)
        tape.watch([x, epsilon])
        value = LOSSES[name](ranks, x, epsilon)
    slope, in_epsilon = tape.gradient(value, [x, epsilon], unconnected_gradients="zero")
    for k in range(4):
        with tf.GradientTape() as tape:
            row = tf.constant(scores[k])
            tape.watch(row)
            wanted = LOSSES[name](ranks[k], row, float(epsilons[k]))
        assert np.allclose(value[k], wanted, atol=1e-6)
        assert np.allclose(slope[k], tape.gradient(wanted, row), atol=1e-6)
    if name != "mse":
        ends = [LOSSES[name](ranks[2], tf.constant(scores[2]), 3.0 + h) for h in (-1e-5, 1e-5)]
        assert np.allclose(in_epsilon[2], (ends[1] - ends[0]) / 2e-5, atol=1e-6)


def test_at_epsilon_0_the_fenchel_young_loss_is_the_distance_that_is_wrong() -> None:
    scores, ranks = tf.constant([[1.0, 3.0, 2.0]]), [[1, 2, 3]]
    for loss in (LOSSES["exact"], LOSSES["rank_net"]):
        with tf.GradientTape() as tape:
            tape.watch(scores)
            value = loss(ranks, scores, 0.0)
        assert value.numpy().tolist() == [1.0]
        assert tape.gradient(value, scores).numpy().tolist() == [[0.0, 1.0, -1.0]]
    with pytest.raises(ValueError, match="epsilon must be above 0"):
        losses.list_mle(ranks, scores, 0.0)


KERAS = {
    "soft": lambda **o: losses.FastSoftRanking(0.7, **o),
    "exact": lambda **o: losses.PerturbedFenchelYoung(0.7, None, **o),
    "rank_net": lambda **o: losses.RankNet(0.7, **o),
    "list_mle": lambda **o: losses.ListMLE(0.7, **o),
    "mse": lambda **o: losses.RankMeanSquaredError(**o),
}


@pytest.mark.parametrize("name", KERAS)
def test_two_padded_zeros_change_no_keras_loss(name: str) -> None:
    ranks, scores = np.array([[2.0, 1.0, 3.0]]), np.array([[0.2, 0.5, -0.1]], np.float32)
    alone = KERAS[name]()(ranks, scores)
    zeros = [np.pad(part, [[0, 0], [0, 2]]) for part in (ranks, scores)]
    assert np.allclose(KERAS[name](mask_zero=True)(*zeros), alone, rtol=1e-6)
    masked = tf.constant(zeros[1])
    masked._keras_mask = tf.constant([[True, True, True, False, False]])
    assert np.allclose(KERAS[name]()(zeros[0], masked), alone, rtol=1e-6)
    column = tf.constant(zeros[1][..., None])  # as a Dense(1) puts them out
    column._keras_mask = masked._keras_mask
    assert np.allclose(KERAS[name]()(zeros[0], column), alone, rtol=1e-6)
    assert not np.allclose(KERAS[name]()(*zeros), alone, rtol=1e-3)  # there they are values


def masked_model(loss, **options) -> keras.Model:
    """Scores of padded lists of features, by a layer that looks at a value at a time."""
    keras.utils.set_random_seed(0)
    model = keras.Sequential(
        [keras.layers.Input([6, 3]), keras.layers.Masking(), keras.layers.Dense(1)]
    )
    model.compile(keras.optimizers.SGD(0.1), loss, metrics=[metrics.PartialRanks()], **options)
    return model


@pytest.mark.parametrize("way", ["eager", "graph"])
def test_a_model_with_a_mask_learns_from_the_values_alone(way: str) -> None:
    ranks, _, mask = padded_lists()
    features = RNG.normal(size=(5, 6, 3)) * mask[..., None]
    model = masked_model(losses.FastSoftRanking(0.7), run_eagerly=way == "eager")
    scores = model(features)
    value = losses.fast_soft_ranking(ranks, tf.squeeze(scores, -1), 0.7, mask=mask)
    right = METRICS["partial ranks"](ranks, tf.squeeze(scores, -1), mask=mask)
    found = model.evaluate(features, ranks, verbose=0, return_dict=True)
    assert found["loss"] == pytest.approx(np.mean(value), rel=1e-5)
    assert found["partial_ranks"] == pytest.approx(np.mean(right.numpy()[mask.any(1)]), rel=1e-5)
    other = np.where(mask, ranks, 77.0)
    assert model.evaluate(features, other, verbose=0, return_dict=True) == found


def test_layers_obey_a_mask() -> None:
    x, mask = RNG.normal(size=(3, 5)).astype(np.float32), RNG.random((3, 5)) < 0.6
    assert np.allclose(
        layers.SoftRank(0.4)(x, mask=mask), ranking.soft_rank(x, 0.4, mask=mask), atol=1e-5
    )
    assert np.allclose(
        layers.PerturbedRank(0.4, None)(x, mask=mask),
        ranking.perturbed_rank(x, 0.4, None, mask=mask),
        atol=1e-5,
    )


def test_epsilon_follows_a_schedule_in_a_compiled_fit(tmp_path) -> None:
    """A number is fixed, and says so; a variable is saved with its value."""
    epsilon = keras.Variable(5.0, trainable=False)
    loss = losses.FastSoftRanking(epsilon)
    model = keras.Sequential(
        [keras.layers.Input([4]), layers.SoftRank(keras.Variable(1.0, trainable=False))]
    )
    model.compile("sgd", loss)
    x, ranks = RNG.normal(size=(8, 4)).astype(np.float32), np.tile([1.0, 2, 3, 4], (8, 1))
    for value in (5.0, 0.5, 0.05):
        loss.epsilon = value
        model.layers[0].epsilon = value
        soft = ranking.soft_rank(x, value)
        wanted = np.mean(losses.fast_soft_ranking(ranks, soft, value))
        assert model.evaluate(x, ranks, verbose=0) == pytest.approx(wanted, rel=1e-4)
    model.save(tmp_path / "model.keras")
    again = keras.saving.load_model(tmp_path / "model.keras")
    assert again.evaluate(x, ranks, verbose=0) == pytest.approx(wanted, rel=1e-4)
    assert float(again.loss.epsilon) == pytest.approx(0.05)
    for fixed in (losses.RankNet(1.0), layers.SoftRank(1.0)):
        with pytest.raises(AttributeError, match=r"keras\.Variable"):
            fixed.epsilon = 0.5
