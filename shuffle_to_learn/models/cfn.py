"""The context-free network (CFN): an AlexNet shared by all patches, then two joint layers."""

from __future__ import annotations

import keras
from keras import ops

from shuffle_to_learn.models.alexnet import convolutions


def build_cfn(
    patches: int,
    tile_shape: tuple[int, int, int],
    outputs: int,
    *,
    width: float = 1.0,
    tile_features: int = 512,
    joined_features: int = 4096,
    batch_normalization: bool = False,
    tile_normalization: bool = False,
    precision: str = "float32",
    seed: int = 0,
) -> keras.Model:
    """A CFN of plain Keras layers, so that it loads wherever Keras does.

    Args:
        patches: n, the number of patches.
        tile_shape: height, width and channels of a patch.
        outputs: n for scores, or the number of permutations to classify.
        width: factor on AlexNet's numbers of channels.
        tile_features: size of the shared fully connected layer over one patch.
        joined_features: size of the first layer over all patches, whose output is the embedding.
        batch_normalization: normalise after each convolution.
        tile_normalization: give each patch mean 0 and variance 1 first, against low-level
            shortcuts.
        precision: ``float32`` or ``mixed_bfloat16``; the outputs are float32.
        seed: decides the weights; the same seed gives the same weights.

    Returns:
        A model from (batch, n, height, width, channels) to (batch, outputs), with layers named
        ``tiles`` (the features of all patches) and ``joined`` (the embedding).

    Source: Noroozi & Favaro 2016, figure 3, without local response normalisation and dropout,
    and with SAME padding, since a patch can be thinner than a kernel.
    """
    seeds = iter(range(1000 * seed, 1000 * seed + 1000))

    def options(initializer=keras.initializers.HeNormal, dtype=precision):
        return {"kernel_initializer": initializer(seed=next(seeds)), "dtype": dtype}

    inputs = keras.Input((patches, *tile_shape), name="patches")
    x = ops.reshape(inputs, (-1, *tile_shape))
    if tile_normalization:
        x = keras.layers.LayerNormalization(
            axis=(-3, -2, -1), center=False, scale=False, name="tile_normalization"
        )(x)
    for index, (channels, kernel, stride, pooled) in enumerate(convolutions(width), start=1):
        x = keras.layers.Conv2D(
            channels,
            kernel,
            strides=stride,
            padding="same",
            name=f"conv{index}",
            **options(),
        )(x)
        if batch_normalization:
            x = keras.layers.BatchNormalization(name=f"norm{index}", dtype=precision)(x)
        x = keras.layers.ReLU(name=f"relu{index}", dtype=precision)(x)
        if pooled:
            x = keras.layers.MaxPooling2D(
                3, 2, padding="same", name=f"pool{index}", dtype=precision
            )(x)
    x = keras.layers.Flatten(dtype=precision)(x)
    x = keras.layers.Dense(tile_features, activation="relu", name="tile", **options())(x)
    x = keras.layers.Reshape((patches * tile_features,), name="tiles", dtype=precision)(
        ops.reshape(x, (-1, patches, tile_features))
    )
    x = keras.layers.Dense(joined_features, activation="relu", name="joined", **options())(x)
    scores = keras.layers.Dense(
        outputs, name="scores", **options(keras.initializers.GlorotUniform, "float32")
    )(x)
    return keras.Model(inputs, scores, name="cfn")
