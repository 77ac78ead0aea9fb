"""Running a CFN with fewer multiplications: Keras's own layers and optimizer are the oracles."""

from __future__ import annotations

import keras
import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st

from shuffle_to_learn.models.adam import Adam
from shuffle_to_learn.models.cfn import build_cfn
from shuffle_to_learn.models.forward import _convolve, forward, forward_layers

SIDES = st.integers(1, 26)


@given(
    height=SIDES,
    width=SIDES,
    channels=st.integers(1, 3),
    kernel=st.sampled_from([1, 2, 3, 4, 5, 11]),
    stride=st.sampled_from([1, 2, 3]),
    turned=st.booleans(),
)
@settings(max_examples=150, deadline=None)
def test_a_convolution_and_its_gradients_are_keras_own(
    height: int, width: int, channels: int, kernel: int, stride: int, turned: bool
) -> None:
    """In float64, so that only another function could differ."""
    rng = np.random.default_rng([height, width, channels, kernel, stride])
    layer = keras.layers.Conv2D(2, kernel, strides=stride, padding="same", dtype="float64")
    x = tf.constant(rng.normal(size=(2, height, width, channels)))
    layer.build(x.shape)
    layer.bias.assign(rng.normal(size=2))
    variables = [layer.kernel.value, layer.bias.value]
    pull = tf.constant(rng.normal(size=layer.compute_output_shape(x.shape)))

    def ours() -> tf.Tensor:
        if not turned:
            return _convolve(layer, x, False)
        return tf.transpose(_convolve(layer, tf.transpose(x, [0, 2, 1, 3]), True), [0, 2, 1, 3])

    results = []
    for run in (lambda: layer(x), ours):
        with tf.GradientTape() as tape:
            tape.watch(x)
            y = run()
        results.append([y, *tape.gradient(y, [x, *variables], pull)])
    for expected, got in zip(*results, strict=True):
        assert got.shape == expected.shape
        assert np.allclose(got, expected, rtol=1e-10, atol=1e-10)


def difference(a: list[np.ndarray], b: list[np.ndarray]) -> float:
    """The largest distance of two arrays beside the length of all."""
    scale = np.sqrt(sum(np.square(x).sum() for x in a))
    return max(float(np.linalg.norm(x - y)) for x, y in zip(a, b, strict=True)) / scale


TILES = [(8, 60, 1), (80, 6, 1), (16, 30, 1), (2, 60, 1), (24, 24, 1), (32, 32, 3), (7, 9, 3)]


@pytest.mark.parametrize("tile", TILES, ids=str)
@pytest.mark.parametrize("normalised", [False, True], ids=["plain", "normalised"])
@pytest.mark.parametrize("training", [False, True], ids=["frozen", "training"])
def test_a_network_runs_as_keras_runs_it(
    tile: tuple[int, int, int], normalised: bool, training: bool
) -> None:
    """Outputs of all layers, gradients by all weights and the moving moments."""
    sizes = {"width": 0.05, "tile_features": 16, "joined_features": 32}
    model = build_cfn(
        3, tile, 3, **sizes, batch_normalization=normalised, tile_normalization=normalised
    )
    rng = np.random.default_rng(0)
    x = tf.constant(rng.normal(size=(16, 3, *tile)), tf.float32)
    pull = tf.constant(rng.normal(size=(16, 3)), tf.float32)
    start = [v.numpy() for v in model.variables]
    outputs, gradients, states = [], [], []
    for run in (model, lambda x, training: forward(model, x, training=training)):
        for variable, value in zip(model.variables, start, strict=True):
            variable.assign(value)
        with tf.GradientTape() as tape:
            scores = run(x, training=training)
        found = tape.gradient(scores, model.trainable_variables, pull)
        outputs.append(scores.numpy())
        gradients.append(
            [
                np.zeros(v.shape) if g is None else g.numpy()
                for g, v in zip(found, model.trainable_variables, strict=True)
            ]
        )
        states.append([v.numpy() for v in model.non_trainable_variables])
    assert difference(*([o] for o in outputs)) < 1e-5
    # Where two values of a pool are equal but for rounding, either may take the gradient.
    assert difference(*gradients) < 5e-3
    assert not states[0] or difference(*states) < 1e-5
    layers = ["joined", "tiles"]  # both in one pass, in whatever order
    for layer, got in zip(layers, forward_layers(model, x, layers), strict=True):
        part = keras.Model(model.input, model.get_layer(layer).output)
        assert difference([part(x, training=False).numpy()], [got.numpy()]) < 1e-5
        assert np.array_equal(forward(model, x, layer=layer), got)


def test_a_layer_that_is_not_there_is_refused() -> None:
    model = build_cfn(2, (4, 4, 1), 2, width=0.01, tile_features=2, joined_features=2)
    with pytest.raises(ValueError, match="nowhere"):
        forward(model, tf.zeros([1, 2, 4, 4, 1]), layer="nowhere")


def test_no_weight_that_data_does_not_reach_is_trained() -> None:
    """A kernel of 3 x 3 over a height of 1 learns in its middle row alone, as under Keras."""
    model = build_cfn(2, (4, 30, 1), 2, width=0.05, tile_features=4, joined_features=4)
    with tf.GradientTape() as tape:
        scores = forward(model, tf.random.stateless_normal([8, 2, 4, 30, 1], [0, 0]))
    gradient = tape.gradient(scores, model.get_layer("conv5").kernel.value).numpy()
    assert gradient[1].any() and not gradient[0].any() and not gradient[2].any()


@given(
    rate=st.floats(1e-5, 1e-1),
    scale=st.sampled_from([1e-6, 1.0, 1e4]),
    steps=st.integers(1, 12),
    seed=st.integers(0, 100),
)
@settings(max_examples=25, deadline=None)
def test_adam_takes_the_steps_of_keras_own(
    rate: float, scale: float, steps: int, seed: int
) -> None:
    rng = np.random.default_rng(seed)
    values = [rng.normal(size=(3, 4)).astype(np.float32), rng.normal(size=5).astype(np.float32)]
    found = []
    for optimizer in (keras.optimizers.Adam(rate), Adam(rate)):
        variables = [keras.Variable(value) for value in values]
        optimizer.build(variables)
        draws = np.random.default_rng(seed)
        for _ in range(steps):
            gradients = [
                tf.constant((scale * draws.normal(size=v.shape)).astype(np.float32))
                for v in variables
            ]
            optimizer.apply_gradients(zip(gradients, variables, strict=True))
        found.append([v.numpy() for v in (*variables, *optimizer.variables)])
    for expected, got in zip(*found, strict=True):
        assert np.allclose(got, expected, rtol=1e-4, atol=1e-3 * rate)
