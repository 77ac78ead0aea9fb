"""A differentiable sorting network: odd-even transposition sort with soft swaps."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import tensorflow as tf

from shuffle_to_learn.ranking.checks import in_rows, positive

# The logarithm of an entry that no path has reached yet, below that of any entry in the end. Minus
# infinity would give a gradient of NaN.
_UNREACHED = -1e9
# Differences of values, in epsilons, are bounded by this: its arc tangent is above 0 in float32.
_FAR = 1e30


def sorting_network(values: tf.Tensor, epsilon: float = 1.0) -> tf.Tensor:
    """The soft permutation matrix of an odd-even sorting network with Cauchy's distribution.

    The network compares neighbours in n layers. With probability F((b - a) / epsilon) the values a
    and b stay in their places, else they swap; both go on as their expectations.

    Args:
        values: floating, shape (..., n), n >= 1 and known when the graph is built.
        epsilon: scale of the Cauchy distribution, > 0 (1 / steepness in the published code);
            towards 0 the result is the permutation matrix of
            :func:`shuffle_to_learn.ranking.rank` (where no values are equal).

    Returns:
        The same dtype (half types are computed in float32), shape (..., n, n): row i is the
        distribution of value i over the ranks 1..n. Rows and columns sum to 1. A row of values with
        one that is not finite has NaN alone, its gradient 0. The matrix depends on the order of the
        values. It takes O(n^3) time, and with its gradient as much memory.

    Raises:
        TypeError: where values are not floating.
        ValueError: where epsilon is not above 0, or n is 0 or unknown.

    Source: Petersen et al. 2022, "Monotonic differentiable sorting networks" (arXiv 2203.09630):
    Cauchy's is a distribution with which every sorted value rises with every input. (They show it
    for the sorted values, not for the matrix.)
    """
    epsilon = positive(epsilon)
    return in_rows(lambda rows, n: tf.exp(_logits(rows, n, epsilon)), values)


def sorting_network_logits(values: tf.Tensor, epsilon: float) -> tf.Tensor:
    """The logarithm of :func:`sorting_network`, finite where the matrix itself is 0 by rounding."""
    epsilon = positive(epsilon)
    return in_rows(lambda rows, n: _logits(rows, n, epsilon), values)


def _logits(rows: tf.Tensor, n: int, epsilon: float) -> tf.Tensor:
    """The logarithm of the matrix of each row, shape (batch, n, n)."""
    # An offset would cost precision; in the matrix it changes nothing.
    x = rows - tf.reduce_mean(rows, axis=-1, keepdims=True)
    log_p = tf.where(tf.eye(n, dtype=tf.bool), tf.constant(0, x.dtype), _UNREACHED)
    log_p += 0 * x[..., None]  # a matrix for each row; of one value the gradient is 0, not None

    def two_layers(x: tf.Tensor, log_p: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        return _compare(*_compare(x, log_p, epsilon, 0), epsilon, 1)

    # A loop, since XLA takes minutes over 20 layers in a row.
    x, log_p = tf.while_loop(lambda *_: True, two_layers, (x, log_p), maximum_iterations=n // 2)
    return _compare(x, log_p, epsilon, 0)[1] if n % 2 else log_p


def _compare(
    x: tf.Tensor, log_p: tf.Tensor, epsilon: float, first: int
) -> tuple[tf.Tensor, tf.Tensor]:
    """One layer: soft swaps of neighbours.

    Args:
        x: the values in their places, shape (batch, n).
        log_p: the logarithm of the matrix up to here, shape (batch, n, n).
        epsilon: scale of the Cauchy distribution, > 0.
        first: the place of the first value that is compared, 0 or 1.

    Returns:
        Both after the layer.
    """
    n = x.shape[-1]
    partner = np.arange(n)
    low = np.arange(first, n - 1, 2)
    partner[low], partner[low + 1] = low + 1, low  # a place without a partner is its own

    @tf.custom_gradient
    def of_partner(t: tf.Tensor) -> tuple[tf.Tensor, Callable[[tf.Tensor], tf.Tensor]]:
        return tf.gather(t, partner, axis=-1), of_partner  # an exchange is its own transpose

    other = of_partner(x)
    lead = (other - x) / epsilon * (partner - np.arange(n))
    lead = tf.clip_by_value(lead, -_FAR, _FAR)
    # 1/2 + atan(lead) / pi and 1 less that, accurate in both tails.
    stay = tf.atan2(tf.ones_like(x), -lead) / math.pi
    swap = tf.atan2(tf.ones_like(x), lead) / math.pi
    log_stay, log_swap = tf.math.log(stay)[..., None, :], tf.math.log(swap)[..., None, :]
    a, b = log_stay + log_p, log_swap + of_partner(log_p)
    most = tf.stop_gradient(tf.maximum(a, b))
    return stay * x + swap * other, most + tf.math.log(tf.exp(a - most) + tf.exp(b - most))
