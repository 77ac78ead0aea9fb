"""A differentiable sorting network: odd-even transposition sort with soft swaps."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import tensorflow as tf

from shuffle_to_learn.ranking.checks import UNREACHED, Epsilon, count, in_rows, takes_lists

# Differences of values, in epsilons, are bounded by this: its arc tangent is above 0 in float32.
_FAR = 1e30
# An epsilon of which all differences of float64 values are far.
_LIMIT = 1e-270


@takes_lists("matrix")
def sorting_network(
    values: tf.Tensor,
    epsilon: Epsilon = 1.0,
    *,
    mask: tf.Tensor | None = None,
    descending: bool = False,
    axis: int = -1,
) -> tf.Tensor:
    """The soft permutation matrix of an odd-even sorting network with Cauchy's distribution.

    The network compares neighbours in n layers. With probability F((b - a) / epsilon) the values a
    and b stay in their places, else they swap; both go on as their expectations.

    Args:
        values: floating, shape (..., n), n >= 1 and known when the graph is built; or a
            RaggedTensor.
        epsilon: scale of the Cauchy distribution (1 / steepness in the published code), >= 0, as in
            :func:`shuffle_to_learn.ranking.soft_rank`; at 0 the result is the permutation matrix of
            :func:`shuffle_to_learn.ranking.rank` (where no values are equal).
        mask, descending: as in soft_rank. The row of what is masked is 0.
        axis: of the values; the matrices are the last two axes of the result.

    Returns:
        The same dtype (half types are computed in float32), shape (..., n, n): row i is the
        distribution of value i over the ranks 1..n. Rows and columns sum to 1. A row of values with
        one that is not finite has NaN alone, its gradient 0. The matrix depends on the order of the
        values. It takes O(n^3) time, and with its gradient as much memory.

    Raises:
        TypeError: where values are not floating.
        ValueError: as soft_rank.

    Source: Petersen et al. 2022, "Monotonic differentiable sorting networks" (arXiv 2203.09630):
    Cauchy's is a distribution with which every sorted value rises with every input. (They show it
    for the sorted values, not for the matrix.)
    """

    def matrix(rows: tf.Tensor, epsilon: float, mask: tf.Tensor | None) -> tf.Tensor:
        return tf.exp(_logits(rows, epsilon, mask))

    def hard(rows: tf.Tensor, mask: tf.Tensor | None) -> tf.Tensor:
        return matrix(tf.cast(rows, tf.float64), _LIMIT, mask)

    return in_rows(matrix, values, epsilon, hard=hard, mask=mask, descending=descending, axis=axis)


def sorting_network_logits(values: tf.Tensor, epsilon: float) -> tf.Tensor:
    """The logarithm of :func:`sorting_network`, finite where the matrix itself is 0 by rounding."""
    return in_rows(_logits, values, epsilon)


def _logits(rows: tf.Tensor, epsilon: float, mask: tf.Tensor | None) -> tf.Tensor:
    """The logarithm of the matrix of each row, shape (batch, n, n)."""
    n = rows.shape[-1]
    size = None
    if mask is not None:  # the network is that of the others, side by side
        size = count(mask, tf.int32)
        order = tf.argsort(tf.cast(~mask, tf.int32), axis=-1, stable=True)
        rows = tf.gather(rows, order, batch_dims=1)
    # An offset would cost precision; in the matrix it changes nothing.
    x = rows - tf.reduce_mean(rows, axis=-1, keepdims=True)
    log_p = tf.where(tf.eye(n, dtype=tf.bool), tf.constant(0, x.dtype), UNREACHED)
    log_p += 0 * x[..., None]  # a matrix for each row; of one value the gradient is 0, not None

    def two_layers(
        layer: tf.Tensor, x: tf.Tensor, log_p: tf.Tensor
    ) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
        x, log_p = _compare(x, log_p, epsilon, 0, layer, size)
        return layer + 2, *_compare(x, log_p, epsilon, 1, layer + 1, size)

    # A loop, since XLA takes minutes over 20 layers in a row.
    layer, x, log_p = tf.while_loop(
        lambda *_: True, two_layers, (tf.constant(0), x, log_p), maximum_iterations=n // 2
    )
    if n % 2:
        log_p = _compare(x, log_p, epsilon, 0, layer, size)[1]
    if mask is None:
        return log_p
    place = tf.maximum(tf.cumsum(tf.cast(mask, tf.int32), axis=-1) - 1, 0)
    return tf.gather(log_p, place, batch_dims=1)


def _compare(
    x: tf.Tensor,
    log_p: tf.Tensor,
    epsilon: float,
    first: int,
    layer: tf.Tensor,
    size: tf.Tensor | None,
) -> tuple[tf.Tensor, tf.Tensor]:
    """One layer: soft swaps of neighbours.

    Args:
        x: the values in their places, shape (batch, n).
        log_p: the logarithm of the matrix up to here, shape (batch, n, n).
        epsilon: scale of the Cauchy distribution, > 0.
        first: the place of the first value that is compared, 0 or 1.
        layer: the number of the layer, from 0.
        size: how many values each network compares, in as many layers, int32, shape (batch, 1); or
            None for n.

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
    new_x, new_log_p = (
        stay * x + swap * other,
        most + tf.math.log(tf.exp(a - most) + tf.exp(b - most)),
    )
    if size is None:
        return new_x, new_log_p
    compared = (np.maximum(partner, np.arange(n)) < size) & (layer < size)
    return tf.where(compared, new_x, x), tf.where(compared[:, None, :], new_log_p, log_p)
