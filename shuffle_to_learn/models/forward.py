"""Running a CFN: the function of the Keras model, with fewer multiplications and passes.

The model stays as :func:`shuffle_to_learn.models.cfn.build_cfn` made it, so that a saved one loads
wherever Keras does; its variables are used in place.
"""

from __future__ import annotations

from collections.abc import Sequence

import keras
import numpy as np
import tensorflow as tf

from shuffle_to_learn.models.alexnet import padding


def forward(
    model: keras.Model, patches: tf.Tensor, *, layer: str = "scores", training: bool = False
) -> tf.Tensor:
    """What a layer of a CFN puts out: ``model``'s own function up to rounding.

    :func:`forward_layers` of one layer.
    """
    return forward_layers(model, patches, [layer], training=training)[0]


def forward_layers(
    model: keras.Model, patches: tf.Tensor, layers: Sequence[str], *, training: bool = False
) -> list[tf.Tensor]:
    """What some layers of a CFN put out, in one pass up to the last of them.

    Args:
        model: a CFN, see :func:`shuffle_to_learn.models.cfn.build_cfn`.
        patches: floating, shape (batch, n, height, width, channels).
        layers: of ``scores``, ``joined`` and ``tiles``.
        training: whether batch normalisation takes the moments of this batch, and counts them in.

    Returns:
        Each layer's output, shape (batch, features).

    Raises:
        ValueError: where the model has no such layer.
    """
    for layer in layers:
        model.get_layer(layer)
    x, found = patches, {}
    # The shorter side comes last: there a convolution can be a product with a band matrix.
    turned = False
    for operation in model.operations:
        match operation:
            case keras.layers.InputLayer():
                continue
            case keras.layers.Conv2D():
                if operation.name == "conv1" and x.shape[1] < x.shape[2]:
                    x, turned = tf.transpose(x, [0, 2, 1, 3]), True
                x = _convolve(operation, x, turned)
            case keras.layers.BatchNormalization():
                x = _normalise(operation, x, training)
            case keras.layers.Flatten() if turned:
                x = operation(tf.transpose(x, [0, 2, 1, 3]))
            case _:
                x = operation(x)
        if operation.name in layers:
            found[operation.name] = x
            if len(found) == len(layers):
                break
    return [found[layer] for layer in layers]


def _convolve(layer: keras.layers.Conv2D, x: tf.Tensor, turned: bool) -> tf.Tensor:
    """A convolution with SAME padding; ``turned``: height and width have changed places."""
    x, kernel, bias = (tf.cast(t, layer.compute_dtype) for t in (x, layer.kernel, layer.bias))
    if turned:
        kernel = tf.transpose(kernel, [1, 0, 2, 3])
    strides = list(layer.strides)
    for axis in (0, 1):
        kernel = _trimmed(kernel, axis, x.shape[1 + axis], strides[axis])
    height, width, channels = x.shape[1:]
    rows, columns, _, filters = kernel.shape
    out = -(-width // strides[1])
    if width < columns:
        # All places of the width are channels of one place, which a band matrix maps to the
        # output's: fewer multiplications than with padding.
        bands = tf.constant(_bands(width, columns, strides[1]), x.dtype)
        kernel = tf.einsum("hkcd,kwo->hwcod", kernel, bands)
        # The height comes last now, since oneDNN's kernels go along the last axis.
        kernel = tf.reshape(kernel, [1, rows, width * channels, out * filters])
        bias = tf.tile(bias, [out])
        x = tf.reshape(x, [-1, 1, height, width * channels])
        strides = [1, strides[0]]
    x, kernel, strides = _space_to_depth(x, kernel, strides)
    y = tf.nn.bias_add(tf.nn.conv2d(x, kernel, strides, "SAME"), bias)
    return tf.reshape(y, [-1, -(-height // layer.strides[0]), out, filters])


def _trimmed(kernel: tf.Tensor, axis: int, length: int, stride: int) -> tf.Tensor:
    """The kernel without those of its ends that meet nothing but padding."""
    size = kernel.shape[axis]
    before = padding(length, size, stride)
    last = (-(-length // stride) - 1) * stride  # from the first window to the last
    first, end = max(0, before - last), min(size, before + length)
    if padding(length, end - first, stride) != before - first:
        return kernel  # SAME padding would put the rest elsewhere
    return kernel[first:end] if axis == 0 else kernel[:, first:end]


def _bands(length: int, kernel: int, stride: int) -> np.ndarray:
    """Which weight of a kernel lies between a place of the input and a place of the output.

    Returns:
        0 or 1, float32, shape (kernel, length, output length).
    """
    weight, place, out = np.ogrid[:kernel, :length, : -(-length // stride)]
    between = place == out * stride + weight - padding(length, kernel, stride)
    return between.astype(np.float32)


def _space_to_depth(
    x: tf.Tensor, kernel: tf.Tensor, strides: list[int]
) -> tuple[tf.Tensor, tf.Tensor, list[int]]:
    """A strided convolution as one of stride 1 over more channels, where SAME padding allows it."""
    blocks, surplus = [], []
    for length, size, stride in zip(x.shape[1:3], kernel.shape[:2], strides, strict=True):
        before, taps = padding(length, size, stride), -(-size // stride)
        if length % stride or before != stride * padding(length // stride, taps, 1):
            return x, kernel, strides
        blocks.append(stride)
        surplus.append(taps * stride - size)
    if blocks == [1, 1]:
        return x, kernel, strides
    kernel = tf.pad(kernel, [[0, surplus[0]], [0, surplus[1]], [0, 0], [0, 0]])
    return _blocks(x, 1, blocks), _blocks(kernel, 0, blocks), [1, 1]


def _blocks(x: tf.Tensor, axis: int, blocks: list[int]) -> tf.Tensor:
    """Blocks of two axes, ``axis`` and the next, moved into the one after them, the channels."""
    shape = [-1 if size is None else size for size in x.shape]
    (rows, columns), (height, width) = blocks, shape[axis : axis + 2]
    before, (channels, *after) = shape[:axis], shape[axis + 2 :]
    if rows > 1 and width > 1:  # else the memory is in the right order as it is
        x = tf.reshape(
            x, [*before, height // rows, rows, width // columns, columns, channels, *after]
        )
        places = list(range(x.shape.rank))
        places[axis + 1 : axis + 3] = [axis + 2, axis + 1]
        x = tf.transpose(x, places)
    inner = [height // rows, width // columns, rows * columns * channels]
    return tf.reshape(x, [*before, *inner, *after])


def _normalise(layer: keras.layers.BatchNormalization, x: tf.Tensor, training: bool) -> tf.Tensor:
    """Batch normalisation of the channels, in float32."""
    height, width, channels = x.shape[1:]
    # A row for many channels at once: the few channels of a place do not fill a vector register.
    rows = tf.reshape(tf.cast(x, tf.float32), [-1, width * channels])
    gamma, beta = layer.gamma.value, layer.beta.value
    if training:
        rows, mean, variance = _standardised(rows, gamma, beta, layer.epsilon)
        for moving, new in ((layer.moving_mean, mean), (layer.moving_variance, variance)):
            moving.assign(moving * layer.momentum + new * (1.0 - layer.momentum))
    else:
        scale = gamma * tf.math.rsqrt(layer.moving_variance.value + layer.epsilon)
        shift = beta - layer.moving_mean.value * scale
        rows = rows * tf.tile(scale, [width]) + tf.tile(shift, [width])
    return tf.cast(tf.reshape(rows, [-1, height, width, channels]), layer.compute_dtype)


def _standardised(
    rows: tf.Tensor, gamma: tf.Tensor, beta: tf.Tensor, epsilon: float
) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
    """Channels with the mean beta and the deviation gamma, and the moments that they had.

    Args:
        rows: float32, shape (rows, k channels).
        gamma, beta: shape (channels,).
        epsilon: added to the variance.

    Source: Ioffe & Szegedy 2015, "Batch normalization", algorithm 1 and section 3 (gradients).
    """
    channels = gamma.shape[0]
    repeats = rows.shape[1] // channels

    def mean(x: tf.Tensor) -> tf.Tensor:
        return tf.reduce_mean(tf.reshape(tf.reduce_mean(x, 0), [repeats, channels]), 0)

    def wide(x: tf.Tensor) -> tf.Tensor:
        return tf.tile(x, [repeats])

    @tf.custom_gradient
    def standardised(rows, gamma, beta):
        centre = mean(rows)
        centred = rows - wide(centre)
        variance = mean(tf.square(centred))
        inverse = tf.math.rsqrt(variance + epsilon)

        def vjp(upstream, *_):
            total, along = mean(upstream), mean(upstream * centred)
            slope = gamma * inverse
            pull = slope * along * tf.square(inverse)
            count = tf.cast(tf.size(rows) // channels, tf.float32)
            gradient = wide(slope) * upstream - wide(pull) * centred - wide(slope * total)
            return gradient, count * along * inverse, count * total

        result = centred * wide(gamma * inverse) + wide(beta)
        return (result, centre, variance), vjp

    return standardised(rows, gamma, beta)
