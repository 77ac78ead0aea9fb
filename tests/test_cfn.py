"""The context-free network."""

from __future__ import annotations

from pathlib import Path

import keras
import numpy as np
import pytest

import shuffle_to_learn  # noqa: F401  (all that a saved CFN needs to load)
from shuffle_to_learn.models.cfn import build_cfn

N, TILE = 4, (6, 5, 1)
SMALL = {"width": 0.05, "tile_features": 7, "joined_features": 9}
X = np.random.default_rng(0).normal(size=(3, N, *TILE)).astype(np.float32)


def make(**options) -> keras.Model:
    return build_cfn(N, TILE, N, **SMALL | options)


def outputs(model: keras.Model, layer: str, x: np.ndarray = X) -> np.ndarray:
    part = keras.Model(model.input, model.get_layer(layer).output)
    return keras.ops.convert_to_numpy(part(x))


def weights(model: keras.Model) -> dict[str, np.ndarray]:
    return {v.path: v.numpy() for v in model.variables}


def test_layers_have_their_names_and_sizes() -> None:
    model = make()
    assert model(X).shape == (3, N)
    assert outputs(model, "tiles").shape == (3, N * 7)
    assert outputs(model, "joined").shape == (3, 9)
    assert (outputs(model, "joined") >= 0).all()
    assert build_cfn(N, TILE, 100, **SMALL)(X).shape == (3, 100)


def test_every_patch_passes_the_same_weights() -> None:
    model = make()
    tiles = outputs(model, "tiles").reshape(3, N, 7)
    assert tiles.std(axis=(0, 1)).max() > 0
    order = [2, 0, 3, 1]
    shuffled = outputs(model, "tiles", X[:, order]).reshape(3, N, 7)
    assert np.allclose(shuffled, tiles[:, order], atol=1e-6)
    twice = X.copy()
    twice[:, 3] = X[:, 0]
    changed = outputs(model, "tiles", twice).reshape(3, N, 7)
    assert np.allclose(changed[:, 3], changed[:, 0], atol=1e-6)
    assert np.allclose(changed[:, :3], tiles[:, :3], atol=1e-6)
    assert not np.allclose(changed[:, 3], tiles[:, 3], atol=1e-3)


def test_examples_do_not_touch_one_another() -> None:
    model = make()
    other = X.copy()
    other[1] = 0
    before, after = (keras.ops.convert_to_numpy(model(x)) for x in (X, other))
    assert np.allclose(after[[0, 2]], before[[0, 2]], atol=1e-6)
    assert not np.allclose(after[1], before[1], atol=1e-3)


def test_scores_depend_on_the_order_of_the_patches() -> None:
    model = make()
    assert not np.allclose(model(X), model(X[:, ::-1]), atol=1e-3)


@pytest.mark.parametrize(
    ("width", "channels"),
    [(1.0, [96, 256, 384, 384, 256]), (0.25, [24, 64, 96, 96, 64]), (1e-3, [1] * 5)],
)
def test_width_is_a_factor_on_alexnets_channels(width: float, channels: list[int]) -> None:
    model = build_cfn(2, (4, 4, 1), 2, width=width, tile_features=2, joined_features=2)
    kernels = [model.get_layer(f"conv{i}").kernel.shape for i in range(1, 6)]
    assert [k[-1] for k in kernels] == channels
    assert [k[0] for k in kernels] == [11, 5, 3, 3, 3]


def test_only_the_joined_layers_grow_with_the_number_of_patches() -> None:
    few, many = (build_cfn(n, TILE, n, **SMALL) for n in (2, 12))
    for name in ("conv1", "conv5", "tile"):
        assert few.get_layer(name).count_params() == many.get_layer(name).count_params()
    assert many.get_layer("joined").kernel.shape == (12 * 7, 9)


@pytest.mark.parametrize("seed", [0, 5, 2**31 - 1])
def test_the_seed_decides_the_weights(seed: int) -> None:
    first, again, other = (weights(make(seed=s)) for s in (seed, seed, seed ^ 1))
    assert first.keys() == again.keys()
    assert all(np.array_equal(first[key], again[key]) for key in first)
    kernels = [key for key in first if key.endswith("kernel")]
    assert len(kernels) == 8
    assert not any(np.array_equal(first[key], other[key]) for key in kernels)


def test_layers_of_one_size_have_weights_of_their_own() -> None:
    model = build_cfn(2, (4, 4, 1), 2, width=1e-3, tile_features=2, joined_features=2)
    assert model.get_layer("conv3").kernel.shape == model.get_layer("conv4").kernel.shape
    assert not np.array_equal(model.get_layer("conv3").kernel, model.get_layer("conv4").kernel)


def test_mixed_bfloat16_computes_in_it_and_keeps_float32() -> None:
    model = make(precision="mixed_bfloat16", batch_normalization=True)
    assert {str(v.dtype) for v in model.trainable_variables} == {"float32"}
    for name in ("conv1", "conv5", "tile", "joined"):
        assert model.get_layer(name).compute_dtype == "bfloat16"
    assert str(model.get_layer("joined").output.dtype) == "bfloat16"
    scores = model(X)
    assert scores.dtype == "float32"
    full = make(batch_normalization=True)(X)
    assert not np.array_equal(scores, full)
    assert np.allclose(scores, full, atol=0.1 * np.abs(full).max())


def test_batch_normalization_learns_from_a_batch() -> None:
    model = make(batch_normalization=True)
    before = weights(model)
    model(X, training=False)
    assert all(np.array_equal(before[k], v) for k, v in weights(model).items())
    model(X, training=True)
    changed = {k for k, v in weights(model).items() if not np.array_equal(before[k], v)}
    assert changed == {f"norm{i}/moving_{m}" for i in range(1, 6) for m in ("mean", "variance")}
    assert not any("norm" in key for key in weights(make()))


def test_tile_normalization_hides_brightness_and_contrast() -> None:
    x = 10 * X
    gain = np.array([1.0, 3.0, 0.7, 5.0], np.float32).reshape(1, N, 1, 1, 1)
    other = gain * x + np.array([0.0, 5.0, -3.0, 20.0], np.float32).reshape(1, N, 1, 1, 1)
    normalized, plain = make(tile_normalization=True), make()
    assert np.allclose(normalized(other), normalized(x), atol=1e-3)
    assert not np.allclose(plain(other), plain(x), atol=1e-1)
    assert len(normalized.trainable_variables) == len(plain.trainable_variables)


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"batch_normalization": True, "tile_normalization": True},
        {"precision": "mixed_bfloat16", "batch_normalization": True},
    ],
    ids=["plain", "normalized", "bfloat16"],
)
def test_a_saved_model_loads_with_keras_alone(tmp_path: Path, options: dict) -> None:
    model = make(**options)
    model(X, training=True)  # moves the statistics of batch normalisation
    model.save(tmp_path / "cfn.keras")
    loaded = keras.saving.load_model(tmp_path / "cfn.keras")
    assert np.array_equal(loaded(X), model(X))
    assert np.array_equal(outputs(loaded, "joined"), outputs(model, "joined"))


@pytest.mark.parametrize("tile", [(1, 1, 1), (8, 60, 1), (80, 6, 1), (5, 7, 3)])
def test_patches_may_be_thin(tile: tuple[int, int, int]) -> None:
    model = build_cfn(2, tile, 2, **SMALL)
    scores = np.asarray(model(np.ones((2, 2, *tile), np.float32)))
    assert scores.shape == (2, 2)
    assert np.isfinite(scores).all()
