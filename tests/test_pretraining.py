"""Training, evaluating, stopping and going on."""

from __future__ import annotations

import math
import subprocess
import sys
from itertools import combinations
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf
from scipy.stats import kendalltau

from shuffle_to_learn.models.cfn import build_cfn
from shuffle_to_learn.patches import cut, reorder, shift_channels, some_grey
from shuffle_to_learn.pretext.methods import METHODS, MeanSquaredError
from shuffle_to_learn.pretext.permutations import max_hamming_permutations
from shuffle_to_learn.pretext.pretraining import Pretraining
from shuffle_to_learn.ranking import losses
from shuffle_to_learn.slicing import Slicing

ROOT = Path(__file__).parent.parent
SLICING = Slicing.parse("frequency-4")
SMALL = {"width": 0.05, "tile_features": 8, "joined_features": 32}
SETTINGS = {
    "fixed_permutations": {"permutations": 8},
    "fast_soft_ranking": {"epsilon": 1.0},
    "perturbed_fy": {"epsilon": 1.0},
}
FIXED = max_hamming_permutations(4, 8)
"""The orders of the fixed permutations."""
TRAINED = [name for name in METHODS if name not in ("random", "contrastive")]


def pictures(count: int, seed: int = 0) -> np.ndarray:
    """Pictures of four bands, each with its own brightness and stripes: easy to tell apart."""
    rng = np.random.default_rng(seed)
    bands = np.repeat([0.0, 1.0, 2.0, 3.0], 4)[:, None] + 0.1 * rng.normal(size=(count, 16, 6))
    return bands.astype(np.float16)


TRAIN, HELD_OUT = pictures(128), pictures(50, 1)


def coloured(count: int, seed: int = 0) -> np.ndarray:
    """Bytes: pictures of 14 x 14 pixels in four quarters, told apart in grey as well; a remainder
    of two pixels for three rows."""
    rng = np.random.default_rng(seed)
    colours = np.array([[10, 20, 30], [40, 90, 120], [120, 100, 200], [250, 230, 160]])
    quarters = np.repeat(np.repeat(colours.reshape(2, 2, 3), 7, axis=0), 7, axis=1)
    return np.clip(quarters + rng.normal(0, 8, (count, 14, 14, 3)), 0, 255).astype(np.uint8)


def filmed(count: int, seed: int = 0) -> np.ndarray:
    """Bytes: clips of 9 frames that brighten, of which 4 are sampled."""
    rng = np.random.default_rng(seed)
    bright = np.linspace(10, 240, 9)[:, None, None, None]
    return np.clip(bright + rng.normal(0, 8, (count, 9, 8, 6, 1)), 0, 255).astype(np.uint8)


BYTES = {"grid-2x2": coloured, "frames-4": filmed}


def make(
    name: str = "mse",
    *,
    cfn: dict | None = None,
    method=None,
    slicing: Slicing = SLICING,
    shape: tuple[int, ...] = (16, 6),
    **options,
) -> Pretraining:
    method = method or METHODS[name](4, **SETTINGS.get(name, {}))
    size = slicing.tile_shape(shape, options.get("gap", 0))
    model = build_cfn(4, size, method.outputs, **SMALL | (cfn or {}))
    return Pretraining(
        model, method, slicing, **{"learning_rate": 3e-3, "epochs": 8, "batch_size": 16} | options
    )


def make_for_bytes(slicing: str, **options) -> Pretraining:
    return make(slicing=Slicing.parse(slicing), shape=BYTES[slicing](1).shape[1:], **options)


def same(a: dict[str, np.ndarray], b: dict[str, np.ndarray]) -> bool:
    return a.keys() == b.keys() and all(a[k].tobytes() == b[k].tobytes() for k in a)


class Recorder(MeanSquaredError):
    """Writes down the orders that it samples and the scores that it is given."""

    def __init__(self, n: int) -> None:
        super().__init__(n)
        object.__setattr__(self, "seen", [])
        object.__setattr__(self, "scores", [])

    def sample(self, batch, seed):
        orders = super().sample(batch, seed)
        tf.py_function(lambda o: self.seen.append(o.numpy()), [orders], [])
        return orders

    def loss(self, orders, scores, seed):
        tf.py_function(lambda s: self.scores.append(s.numpy()), [scores], [])
        return super().loss(orders, scores, seed)


class InHalves(Recorder):
    """Measures scores in units of 0.5."""

    scale = 0.5


class FirstScore(MeanSquaredError):
    """Minimises the first score alone: the other three of an example have no gradient."""

    def loss(self, orders, scores, seed):
        return tf.square(scores[:, 0])


class Asked:
    """Inputs that write down which rows were asked for."""

    def __init__(self, inputs: np.ndarray) -> None:
        self.inputs, self.rows = inputs, []

    def __len__(self) -> int:
        return len(self.inputs)

    def __getitem__(self, rows) -> np.ndarray:
        self.rows.append(rows)
        return self.inputs[rows]


@pytest.mark.parametrize("name", TRAINED)
def test_every_method_learns_an_easy_task(name: str) -> None:
    training = make(name)
    before = training.evaluate(HELD_OUT)
    epochs = [training.run_epoch(TRAIN) for _ in range(8)]
    after = training.evaluate(HELD_OUT)
    assert before["partial_ranks"] < 0.5  # by chance 0.25
    assert epochs[-1]["partial_ranks"] > 0.7
    assert training.told_among(HELD_OUT, FIXED) > 0.8  # by chance 0.125
    if training.method.all_orders:
        assert after["partial_ranks"] > 0.7
        assert after["kendall_tau"] > 0.6
    else:  # it answers with one of its 8 orders of 24
        assert 0.3 < after["partial_ranks"] < 0.8
    assert after["loss"] < 0.7 * before["loss"]
    assert epochs[-1]["loss"] < epochs[0]["loss"]


@pytest.mark.parametrize("slicing", BYTES)
def test_pictures_and_clips_of_bytes_are_learned_from(slicing: str) -> None:
    train, held_out = BYTES[slicing](128), BYTES[slicing](50, 1)
    training = make_for_bytes(slicing, learning_rate=1e-2)
    before = training.evaluate(held_out)
    for _ in range(8):
        last = training.run_epoch(train)
    after = training.evaluate(held_out)
    assert before["partial_ranks"] < 0.5  # by chance 0.25
    assert after["partial_ranks"] > 0.7
    assert last["partial_ranks"] > 0.7
    assert after["loss"] < 0.7 * before["loss"]


@pytest.mark.parametrize("slicing", BYTES)
def test_bytes_are_shares_of_255(slicing: str) -> None:
    """They give what the floats give, but for the rounding of a division in a graph."""
    inputs = BYTES[slicing](32)
    records = []
    for x in (inputs, inputs.astype(np.float32) / np.float32(255)):
        training = make_for_bytes(slicing)
        records.append([training.evaluate(x), training.run_epoch(x), training.evaluate(x)])
    for mine, right in zip(*records, strict=True):
        assert mine == pytest.approx(right, rel=1e-3)


def striped(count: int, seed: int = 0) -> np.ndarray:
    """Spectrograms whose bands have levels of their own, that last."""
    levels = np.random.default_rng(seed).normal(size=(count, 16, 1))
    return np.repeat(levels, 6, axis=2).astype(np.float16)


@pytest.mark.parametrize("slicing", ["frequency-4", *BYTES])
def test_crops_are_told_apart(slicing: str) -> None:
    """Of inputs that each have levels of their own: bands, colours, the brightness of a clip."""

    def inputs(count: int, seed: int) -> np.ndarray:
        if slicing == "frequency-4":
            return striped(count, seed)
        shape = BYTES[slicing](1).shape[1:]
        levels = np.random.default_rng(seed).integers(10, 245, (count, shape[-1]))
        levels = levels.reshape(count, *[1] * (len(shape) - 1), -1)
        return np.broadcast_to(levels, (count, *shape)).astype(np.uint8)

    train, held_out = inputs(128, 0), inputs(50, 1)
    training = make("contrastive", slicing=Slicing.parse(slicing), shape=train.shape[1:])
    before = training.evaluate(held_out)
    records = [training.run_epoch(train) for _ in range(8)]
    assert set(before) == {"loss"}
    assert set(records[0]) == {"loss", "zero_gradients", "learning_rate"}
    assert records[-1]["loss"] < 0.9 * records[0]["loss"]
    after = training.evaluate(held_out)
    assert after["loss"] < (0.3 if slicing == "frequency-4" else 0.9) * before["loss"]
    assert training.evaluate(held_out) == after


def test_crops_take_the_network_as_long_as_whole_inputs() -> None:
    """A step has half the inputs, an epoch as many steps; all inputs are seen in the end."""
    asked, steps = Asked(TRAIN), []
    training = make("contrastive")
    for _ in range(6):
        training.run_epoch(asked, lambda steps_of: (steps.append(s) or s for s in steps_of))
    assert len(steps) == 6 * len(TRAIN) // 16
    assert {len(rows) for rows in asked.rows} == {8}
    assert len(set(np.concatenate(asked.rows))) > 0.9 * len(TRAIN)
    first = np.concatenate(asked.rows[:8])
    assert len(set(first)) == len(first) == 64


def test_held_out_crops_are_told_apart_among_as_many_as_in_training() -> None:
    training = make("contrastive")
    _, scores = watched(training)
    found = training.evaluate(HELD_OUT)["loss"]
    assert [len(rows) for rows in scores] == [16] * 6  # 48 of the 50 inputs
    each = [training.method.loss(None, tf.constant(rows), None) for rows in scores]
    assert found == pytest.approx(np.mean(each), rel=1e-6)


def test_crops_that_no_whole_inputs_make_are_refused() -> None:
    with pytest.raises(ValueError, match="15 is no whole number of inputs of 2 crops each"):
        make("contrastive", batch_size=15)


ALL_AT_ONCE = {
    "cfn": {"batch_normalization": True, "precision": "mixed_bfloat16"},
    "gap": 2,
    "schedule": "cosine",
    "warmup_epochs": 1.5,
}


@pytest.mark.parametrize(
    ("name", "options", "inputs"),
    [
        ("perturbed_fy", {}, (TRAIN, HELD_OUT)),
        ("fixed_permutations", ALL_AT_ONCE, (TRAIN, HELD_OUT)),
        ("contrastive", {"gap": 2}, (TRAIN, HELD_OUT)),
        (
            "perturbed_fy",
            {"gap": 2, "channel_shift": 1, "grey_share": 0.4, "slicing": Slicing.parse("grid-2x2")},
            (coloured(128), coloured(50, 1)),
        ),
    ],
    ids=[
        "plain",
        "batch normalisation, bfloat16, gap, cosine, warmup",
        "contrastive",
        "gap, colours, bytes",
    ],
)
def test_a_restored_training_goes_on_bit_by_bit(tmp_path, name, options: dict, inputs) -> None:
    train, held_out = inputs
    options = options | {"epochs": 3, "shape": train.shape[1:]}
    whole, resumed = make(name, **options), make(name, **options)
    records = [whole.run_epoch(train)]
    np.savez(tmp_path / "state.npz", **whole.state())
    records += [whole.run_epoch(train), whole.run_epoch(train)]

    resumed.run_epoch(held_out)  # whatever it was before is gone
    with np.load(tmp_path / "state.npz") as state:
        resumed.restore(dict(state))
    assert resumed.epoch == 1
    assert [resumed.run_epoch(train), resumed.run_epoch(train)] == records[1:]
    assert same(resumed.state(), whole.state())
    assert resumed.evaluate(held_out) == whole.evaluate(held_out)
    assert records[2]["loss"] < records[0]["loss"]


@pytest.mark.parametrize("name", ["mse", "contrastive"])
def test_the_seed_decides_the_training(name: str) -> None:
    first, again, other = (make(name, epochs=1, seed=seed) for seed in (1, 1, 2))
    records = [training.run_epoch(TRAIN) for training in (first, again, other)]
    assert same(first.state(), again.state())
    assert records[0] == records[1] != records[2]
    assert not same(first.state(), other.state())


def test_each_example_and_step_has_a_fresh_permutation() -> None:
    recorder = Recorder(4)
    training = make(method=recorder)
    for _ in range(2):
        training.run_epoch(TRAIN)
    steps = np.array(recorder.seen)
    assert steps.shape == (16, 16, 4)  # 2 epochs of 8 steps, 16 examples
    assert len({step.tobytes() for step in steps}) == 16
    assert len(np.unique(steps.reshape(-1, 4), axis=0)) == 24
    assert all(len(np.unique(step, axis=0)) > 4 for step in steps)


def test_the_seed_decides_the_permutations() -> None:
    orders = []
    for seed in (0, 1):
        recorder = Recorder(4)
        make(method=recorder, seed=seed).run_epoch(TRAIN[:16])
        orders.append(recorder.seen[0])
    assert not np.array_equal(*orders)


def test_patches_jitter_in_training_only(monkeypatch: pytest.MonkeyPatch) -> None:
    seen = []

    def watch(inputs, slicing, gap, seed=None):
        seen.append((gap, seed is not None))
        return cut(inputs, slicing, gap, seed)

    monkeypatch.setattr("shuffle_to_learn.patches.cut", watch)
    training = make(gap=2)
    training.evaluate(HELD_OUT)
    assert seen == [(2, False)]
    training.run_epoch(TRAIN)
    assert set(seen[1:]) == {(2, True)}


AUGMENTATIONS = {"channel_shift": 1, "grey_share": 0.5}


def test_colours_change_in_training_only() -> None:
    """Evaluated they are as they are; trained on, each kind of change is another training."""
    inputs = coloured(32)
    plain = make_for_bytes("grid-2x2")
    before, record = plain.evaluate(inputs), plain.run_epoch(inputs)
    states = [plain.state()]
    for name, value in AUGMENTATIONS.items():
        changed = make_for_bytes("grid-2x2", **{name: value})
        assert changed.evaluate(inputs) == before
        assert changed.run_epoch(inputs) != record
        states.append(changed.state())
        # The same network is evaluated alike, whatever it was trained with.
        plain.restore(changed.state())
        assert plain.evaluate(inputs) == changed.evaluate(inputs)
    assert not any(same(a, b) for a, b in combinations(states, 2))


def test_changes_of_colour_are_fresh_at_each_step(monkeypatch: pytest.MonkeyPatch) -> None:
    """What the network is trained on: grey before it is cut, whole inputs; then patches' shifts."""
    seen = {}

    def watch(name: str, function):
        def watched(x, amount, seed):
            result = function(x, amount, seed)
            kept = seen.setdefault(name, [])
            tf.py_function(lambda *a: kept.append([v.numpy() for v in a]), [seed, x, result], [])
            return result

        monkeypatch.setattr(f"shuffle_to_learn.patches.{function.__name__}", watched)

    watch("grey", some_grey)
    watch("shift", shift_channels)
    training = make_for_bytes("grid-2x2", **AUGMENTATIONS)
    training.evaluate(coloured(20))
    assert not seen
    for _ in range(2):
        training.run_epoch(coloured(32))
    assert [len(calls) for calls in seen.values()] == [4, 4]
    seeds = {tuple(seed) for calls in seen.values() for seed, _, _ in calls}
    assert len(seeds) == 8
    for _, whole, result in seen["grey"]:
        assert whole.shape == (16, 14, 14, 3)
        grey = (np.ptp(result, axis=-1) == 0).all(axis=(1, 2))
        assert 0 < grey.sum() < 16
    for _, patches, result in seen["shift"]:
        assert patches.shape == (16, 4, 7, 7, 3)
        assert 0 < (patches != result).mean() < 1


def test_an_epoch_takes_each_input_once_in_a_new_order() -> None:
    asked = Asked(TRAIN[:70])
    training = make()
    for _ in range(2):
        training.run_epoch(asked)
    assert len(asked.rows) == 8  # 4 steps of 16 an epoch; 6 inputs are left out
    first, second = np.array(asked.rows).reshape(2, -1)
    assert len(set(first)) == len(set(second)) == 64
    assert not np.array_equal(first, second)
    assert set(first) != set(second)


def test_evaluation_is_the_same_at_every_call_and_weighs_examples_alike() -> None:
    recorder = Recorder(4)
    training = make(method=recorder, cfn={"batch_normalization": True})
    first = training.evaluate(HELD_OUT, batch_size=20)
    before, orders = training.state(), np.concatenate(recorder.seen)
    recorder.seen.clear()
    assert training.evaluate(HELD_OUT, batch_size=20) == first
    assert same(training.state(), before)
    assert np.array_equal(orders, np.concatenate(recorder.seen))
    assert len(np.unique(orders, axis=0)) > 15

    x = cut(tf.constant(HELD_OUT.astype(np.float32)[..., None]), SLICING)
    scores = training.model(reorder(x, tf.constant(orders)))
    loss = losses.rank_mean_squared_error(orders + 1, scores)
    right = losses.partial_ranks(orders + 1, recorder.predict(scores))
    assert first["loss"] == pytest.approx(float(np.mean(loss)), rel=1e-5)
    assert first["partial_ranks"] == pytest.approx(float(np.mean(right)), rel=1e-5)
    ranks = zip(orders + 1, recorder.predict(scores).numpy(), strict=True)
    tau = np.mean([kendalltau(*pair).statistic for pair in ranks])
    assert first["kendall_tau"] == pytest.approx(tau, abs=1e-6)


def watched(training: Pretraining) -> tuple[list[np.ndarray], list[np.ndarray]]:
    """The orders that held-out inputs are shuffled by from now on, and the scores."""
    orders, scores, inner = [], [], training._shuffled_scores

    def watch(inputs, by):
        orders.append(np.asarray(by))
        scores.append(inner(inputs, by).numpy())
        return scores[-1]

    training._shuffled_scores = watch
    return orders, scores


def test_partial_ranks_are_over_all_orders_for_every_method() -> None:
    """Those that other methods are asked for, too; the loss is on the method's own orders."""
    inputs = pictures(120, 2)
    fixed, other = make("fixed_permutations"), make("mse")
    fixed.run_epoch(TRAIN)
    orders, scores = watched(fixed)
    record = fixed.evaluate(inputs)
    own, every = orders
    known = {tuple(order) for order in FIXED}
    assert {tuple(order) for order in own} == known
    assert len({tuple(order) for order in every}) == 24
    answers = FIXED[scores[1].argmax(axis=1)]
    assert record["partial_ranks"] == pytest.approx((answers == every).mean(), abs=1e-6)
    loss = fixed.method.loss(tf.constant(own), tf.constant(scores[0]), None)
    assert record["loss"] == pytest.approx(float(np.mean(loss)), rel=1e-5)

    orders, _ = watched(other)
    other.evaluate(inputs)
    (same_orders,) = orders  # one pass is enough
    assert np.array_equal(same_orders, every)


def test_the_share_told_among_a_set_is_that_of_a_search() -> None:
    shuffles = []
    for name in ("mse", "position_classification", "fixed_permutations"):
        training = make(name)
        for _ in range(3):
            training.run_epoch(TRAIN)
        orders, scores = watched(training)
        found = training.told_among(HELD_OUT, FIXED, batch_size=20)
        applied, rows = np.concatenate(orders), np.concatenate(scores)
        if name == "mse":
            sums = rows @ (FIXED + 1).T
        elif name == "fixed_permutations":
            sums = rows
        else:
            sums = np.array([[x[range(4), o].sum() for o in FIXED] for x in rows.reshape(-1, 4, 4)])
        right = (FIXED[sums.argmax(axis=1)] == applied).all(axis=1)
        assert found == right.mean() and right.any()
        assert training.told_among(HELD_OUT, FIXED, batch_size=20) == found
        shuffles.append(applied)
    assert {tuple(order) for order in shuffles[0]} == {tuple(order) for order in FIXED}
    assert all(np.array_equal(shuffles[0], other) for other in shuffles[1:])


@pytest.mark.parametrize(
    ("schedule", "warmup", "factors"),
    [
        ("constant", 0.0, [1, 1, 1, 1]),
        ("constant", 2.0, [0.5, 1, 1, 1]),
        ("cosine", 0.0, [0.5 * (1 + math.cos(math.pi * s / 32)) for s in (7, 15, 23, 31)]),
        (
            "cosine",
            4.0,
            [k / 4 * 0.5 * (1 + math.cos(math.pi * (8 * k - 1) / 32)) for k in (1, 2, 3, 4)],
        ),
    ],
)
def test_the_rate_follows_its_schedule(schedule, warmup, factors) -> None:
    training = make(learning_rate=0.01, schedule=schedule, warmup_epochs=warmup, epochs=4)
    training._train_step = lambda *_: tf.zeros(4)  # only the rate is looked at
    for factor in factors:
        record = training.run_epoch(TRAIN)
        assert record["learning_rate"] == pytest.approx(0.01 * factor)
        assert float(training.optimizer.learning_rate) == pytest.approx(0.01 * factor)


def test_the_rate_is_the_optimizers() -> None:
    still = make(learning_rate=0.0)
    before = still.state()
    still.run_epoch(TRAIN)
    variables = range(len(still.model.variables))
    assert all(
        np.array_equal(before[f"variable_{i}"], still.state()[f"variable_{i}"]) for i in variables
    )


def test_a_step_is_one_of_adam_on_the_mean_loss() -> None:
    recorder = Recorder(4)
    training, plain = make(method=recorder), make()
    record = training.run_epoch(TRAIN[:16])

    x, orders = (
        cut(tf.constant(TRAIN[:16].astype(np.float32)[..., None]), SLICING),
        recorder.seen[0],
    )
    with tf.GradientTape() as tape:
        scores = plain.model(reorder(x, tf.constant(orders)), training=True)
        loss = tf.reduce_mean(losses.rank_mean_squared_error(orders + 1, scores))
    variables = plain.model.trainable_variables
    plain.optimizer.apply_gradients(zip(tape.gradient(loss, variables), variables, strict=True))
    assert record["loss"] == pytest.approx(float(loss), rel=1e-5)
    for found, expected in zip(training.model.variables, plain.model.variables, strict=True):
        assert np.allclose(found, expected, atol=1e-5)


@pytest.mark.parametrize(("kind", "scale"), [(Recorder, 1.0), (InHalves, 0.5)])
def test_the_spread_is_that_of_the_scores_in_the_methods_scale(kind, scale: float) -> None:
    recorder = kind(4)
    training = make(method=recorder)
    record = training.run_epoch(TRAIN)
    trained = np.concatenate(recorder.scores)
    assert trained.shape == (128, 4)
    assert record["score_spread"] == pytest.approx(np.ptp(trained, axis=1).mean() / scale, 1e-5)

    recorder.scores.clear()
    record = training.evaluate(HELD_OUT, batch_size=20)  # the last batch is of 10
    held_out = np.concatenate(recorder.scores)
    assert held_out.shape == (50, 4)
    assert record["score_spread"] == pytest.approx(np.ptp(held_out, axis=1).mean() / scale, 1e-5)
    assert set(record) == {"loss", "score_spread", "partial_ranks", "kendall_tau"}


def test_the_share_of_zero_gradients_is_counted() -> None:
    assert make("mse").run_epoch(TRAIN)["zero_gradients"] == 0
    assert make(method=FirstScore(4)).run_epoch(TRAIN)["zero_gradients"] == 0.75


def test_a_saturated_operator_shows() -> None:
    rates = {"learning_rate": 1e-4}
    wide = make(method=METHODS["fast_soft_ranking"](4, epsilon=1.0), **rates).run_epoch(TRAIN)
    narrow = make(method=METHODS["fast_soft_ranking"](4, epsilon=1e-5), **rates).run_epoch(TRAIN)
    assert narrow["zero_gradients"] > 0.99 > 0.01 > wide["zero_gradients"]
    assert narrow["score_spread"] > 1000 > 10 > wide["score_spread"]


def test_a_loss_that_is_no_number_ends_training() -> None:
    with pytest.raises(FloatingPointError, match="nan in epoch 1"):
        make(learning_rate=1e30).run_epoch(TRAIN)


def test_an_assignment_of_no_numbers_leaves_it_to_the_loss_to_end_training() -> None:
    with pytest.raises(FloatingPointError, match="nan in epoch 1"):
        make("position_classification").run_epoch(np.full_like(TRAIN, np.nan))


def test_a_batch_larger_than_the_inputs_is_refused() -> None:
    with pytest.raises(ValueError, match="a batch of 16 is larger than the 15 training inputs"):
        make().run_epoch(TRAIN[:15])


def test_the_state_of_another_network_is_refused() -> None:
    with pytest.raises(ValueError, match="another network"):
        make().restore(make(cfn={"batch_normalization": True}).state())


# several devices

DEVICES = """
import sys
import numpy as np
import tensorflow as tf

cpu = tf.config.list_physical_devices("CPU")[0]
tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * 4)
tf.config.experimental.enable_op_determinism()
from shuffle_to_learn.models.cfn import build_cfn
from shuffle_to_learn.pretext.methods import METHODS
from shuffle_to_learn.pretext.pretraining import Pretraining
from shuffle_to_learn.slicing import Slicing

out, count = sys.argv[1], int(sys.argv[2])
slicing = Slicing.parse("frequency-5")
method = METHODS["perturbed_fy_exact"](slicing.patches, epsilon=1.0)
devices = [f"CPU:{number}" for number in range(count)]
strategy = tf.distribute.MirroredStrategy(devices) if count > 1 else tf.distribute.get_strategy()
rng = np.random.default_rng(0)
x = (np.arange(20)[:, None] / 20 + rng.random((64, 20, 12)) / 5).astype(np.float32)
with strategy.scope():
    model = build_cfn(5, (4, 12, 1), 5, width=0.05, tile_features=8, joined_features=16)
training = Pretraining(
    model, method, slicing, learning_rate=3e-3, epochs=4, batch_size=16, seed=1, strategy=strategy,
    schedule="cosine",
)
records = [training.run_epoch(x) for _ in range(4)]
loss = [record["loss"] for record in records]
held_out = training.evaluate(x)
np.savez(out, *[np.asarray(w) for w in model.get_weights()], loss=loss, held=held_out["loss"])
"""


def test_several_devices_train_as_one_does(tmp_path: Path) -> None:
    found = {}
    for count in (1, 2, 4):
        out = tmp_path / f"{count}.npz"
        command = [sys.executable, "-c", DEVICES, str(out), str(count)]
        subprocess.run(command, cwd=ROOT, check=True, capture_output=True, timeout=300)
        with np.load(out) as archive:
            found[count] = dict(archive)
    one = found.pop(1)
    assert one["loss"][-1] < one["loss"][0]
    for other in found.values():
        assert other.keys() == one.keys()
        for name, value in one.items():
            assert np.allclose(other[name], value, rtol=1e-3, atol=1e-5), name


def test_devices_that_cannot_share_a_batch_evenly_are_refused() -> None:
    class Three:
        num_replicas_in_sync = 3

    with pytest.raises(ValueError, match="a batch of 16 cannot be shared evenly by 3 devices"):
        Pretraining(None, None, None, epochs=1, batch_size=16, strategy=Three())
