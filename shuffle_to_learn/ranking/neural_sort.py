"""NeuralSort: a relaxation of the permutation matrix that sorts."""

from __future__ import annotations

import tensorflow as tf


def neural_sort(values: tf.Tensor, temperature: float = 1.0) -> tf.Tensor:
    """The relaxed permutation matrix that sorts the values in descending order.

    Args:
        values: float32 or float64, shape (..., n).
        temperature: > 0; towards 0 the result is the permutation matrix (where no values are
            equal), towards infinity every entry is 1/n.

    Returns:
        The same dtype, shape (..., n, n): row i is a distribution over which value is the
        i-th largest. Rows sum to 1, columns need not. Differentiable where no values are equal.

    Raises:
        ValueError: where the temperature is not above 0.

    Source: Grover et al. 2019, "Stochastic optimization of sorting networks via continuous
    relaxations" (arXiv 1903.08850), section 4.
    """
    return tf.nn.softmax(neural_sort_logits(values, temperature))


def neural_sort_logits(values: tf.Tensor, temperature: float) -> tf.Tensor:
    """The logits of :func:`neural_sort`, shape (..., n, n).

    Row i = 1..n is ((n + 1 - 2i) s - A_s 1) / temperature, where A_s[i, j] = |s_i - s_j|.
    """
    if not temperature > 0:
        raise ValueError(f"temperature must be above 0, not {temperature}")
    values = tf.convert_to_tensor(values)
    n = tf.shape(values)[-1]
    # An offset of the values adds a constant to each row of logits, which the softmax ignores.
    # Centring takes the offset off before it costs precision.
    values -= tf.reduce_mean(values, axis=-1, keepdims=True)
    distance = tf.reduce_sum(tf.abs(values[..., :, None] - values[..., None, :]), axis=-1)
    factors = tf.cast(n + 1 - 2 * tf.range(1, n + 1), values.dtype)
    return (factors[:, None] * values[..., None, :] - distance[..., None, :]) / temperature
