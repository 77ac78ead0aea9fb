"""A differentiable sorting network: odd-even transposition sort with soft swaps."""

from __future__ import annotations

import math

import tensorflow as tf

from shuffle_to_learn.ranking.checks import in_rows, positive

# The logarithm of an entry that no path has reached yet, below that of any entry in the end. Minus
# infinity would give a gradient of NaN.
_UNREACHED = -1e9


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
    return tf.exp(sorting_network_logits(values, epsilon))


def sorting_network_logits(values: tf.Tensor, epsilon: float) -> tf.Tensor:
    """The logarithm of :func:`sorting_network`, finite where the matrix itself is 0 by rounding."""
    epsilon = positive(epsilon)

    def logits(rows: tf.Tensor, n: int) -> tf.Tensor:
        # An offset would cost precision; in the matrix it changes nothing.
        x = (rows - tf.reduce_mean(rows, axis=-1, keepdims=True)) / epsilon
        log_p = tf.where(tf.eye(n, dtype=tf.bool), tf.constant(0, x.dtype), _UNREACHED)
        log_p = tf.zeros_like(x)[..., None] + log_p
        for layer in range(n):
            first, pairs = layer % 2, (n - layer % 2) // 2
            if pairs:
                x, log_p = _compare(x, log_p, first, pairs)
        return log_p

    return in_rows(logits, values)


def _compare(x: tf.Tensor, log_p: tf.Tensor, first: int, pairs: int) -> tuple[tf.Tensor, tf.Tensor]:
    """One layer: soft swaps of neighbours.

    Args:
        x: values over epsilon, shape (batch, n).
        log_p: the matrix up to here, shape (batch, n, n).
        first: the place of the first value that is compared, 0 or 1.
        pairs: how many pairs there are.

    Returns:
        Both after the layer.
    """

    def split(t: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        end = first + 2 * pairs
        return t[..., first:end:2], t[..., first + 1 : end : 2]

    def join(before: tf.Tensor, low: tf.Tensor, high: tf.Tensor) -> tf.Tensor:
        both = tf.stack([low, high], axis=-1)
        both = tf.reshape(both, tf.concat([tf.shape(low)[:-1], [2 * pairs]], axis=0))
        end = first + 2 * pairs
        return tf.concat([before[..., :first], both, before[..., end:]], axis=-1)

    a, b = split(x)
    # 1/2 + atan(b - a) / pi, accurate in both tails.
    stay = tf.atan2(tf.ones_like(a), a - b) / math.pi
    swap = tf.atan2(tf.ones_like(a), b - a) / math.pi
    x = join(x, stay * a + swap * b, swap * a + stay * b)
    log_a, log_b = split(log_p)
    log_stay, log_swap = tf.math.log(stay)[..., None, :], tf.math.log(swap)[..., None, :]
    low = _log_sum(log_stay + log_a, log_swap + log_b)
    high = _log_sum(log_swap + log_a, log_stay + log_b)
    return x, join(log_p, low, high)


def _log_sum(a: tf.Tensor, b: tf.Tensor) -> tf.Tensor:
    """log(exp(a) + exp(b))."""
    return tf.reduce_logsumexp(tf.stack([a, b]), axis=0)
