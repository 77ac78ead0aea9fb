"""Expected ranks under Gaussian noise: from samples, and in closed form."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import tensorflow as tf

from shuffle_to_learn.ranking.checks import at_least_one, in_rows, positive
from shuffle_to_learn.ranking.sorting import rank

# A sum over all pairs is taken in parts of about this many pairs.
_PAIRS_AT_ONCE = 2**22
# The batch size that the parts are cut for where a graph does not know it.
_ASSUMED_BATCH = 64
_SQRT2 = math.sqrt(2.0)


def perturbed_rank(
    values: tf.Tensor,
    epsilon: float = 0.1,
    num_samples: int | None = 10,
    seed: tf.Tensor | tuple[int, int] | None = None,
) -> tf.Tensor:
    """Expected ranks under Gaussian noise: E[rank(values + epsilon Z)].

    Args:
        values: floating, shape (..., n), n >= 1 and known when the graph is built.
        epsilon: standard deviation of the noise, > 0.
        num_samples: how many draws to average; None gives the exact expectation in closed form,
            1 + sum over j != i of Phi((t_i - t_j) / (epsilon sqrt 2)).
        seed: two integers (a stateless seed); None draws a fresh one.

    Returns:
        The same dtype (half types are computed in float32) and shape, each row in [1, n] with sum
        n (n + 1) / 2. A row with a value that is not finite is NaN. Exact ranks have an exact
        gradient. The gradient of sampled ranks is the score-function estimator on the same draws:
        unbiased, but noisy (the Fenchel-Young loss does without it). Memory is O(n) a row and draw;
        exact ranks take O(n^2) time.

    Raises:
        TypeError: where values are not floating.
        ValueError: where epsilon is not above 0, num_samples below 1, or n is 0 or unknown.

    Source: Berthet et al. 2020, "Learning with differentiable perturbed optimizers", section 3;
    in closed form, a rank is 1 plus the probabilities of exceeding each of the other values.
    """
    epsilon = positive(epsilon)

    def expected(rows: tf.Tensor, n: int) -> tf.Tensor:
        if num_samples is None:
            scale = 1.0 / (epsilon * _SQRT2)
            return rank_by_chances(
                rows,
                lambda d: normal_cdf(scale * d),
                lambda d: scale * normal_density(scale * d),
            )
        return _mean_rank(rows, epsilon, num_samples, seed)

    return in_rows(expected, values)


def perturb(
    values: tf.Tensor,
    epsilon: float,
    num_samples: int,
    seed: tf.Tensor | tuple[int, int] | None = None,
) -> tf.Tensor:
    """``values + epsilon Z`` for ``num_samples`` independent standard normal Z.

    Returns:
        The dtype of values, shape (num_samples, ..., n).

    Raises:
        ValueError: where num_samples is below 1, or the seed is not two integers.
    """
    return values + epsilon * gaussian_noise(values, num_samples, seed)


def over_pairs(function: Callable[..., tf.Tensor], *rows: tf.Tensor) -> tf.Tensor:
    """Sum over j of function(a_i - a_j, b_i - b_j, ...) for rows a, b, ...

    Args:
        function: elementwise; takes one tensor of differences for each of ``rows``.
        rows: tensors of one floating dtype, each of shape (batch, n), n known.

    Returns:
        The sums, the same dtype, shape (batch, n). For large n, memory is O(n) a row (in a graph of
        unknown batch size: up to a batch of about 64).
    """
    n = rows[0].shape[-1]

    def sums(*part: tf.Tensor) -> tf.Tensor:
        differences = (p[:, :, None] - r[:, None, :] for p, r in zip(part, rows, strict=True))
        return tf.reduce_sum(function(*differences), axis=-1)

    size = max(1, _PAIRS_AT_ONCE // (n * (rows[0].shape[0] or _ASSUMED_BATCH)))
    if n <= size:
        return sums(*rows)

    def sums_at(index: tf.Tensor) -> tf.Tensor:
        return tf.transpose(sums(*(tf.gather(r, index, axis=1) for r in rows)))

    # The last part is filled up with the last index, and its surplus sums are cut off below.
    parts = np.minimum(np.arange(-(-n // size) * size), n - 1).reshape(-1, size)
    result = tf.map_fn(
        sums_at, tf.constant(parts), fn_output_signature=rows[0].dtype, parallel_iterations=1
    )
    return tf.transpose(tf.reshape(result, [parts.size, -1])[:n])


def rank_by_chances(
    rows: tf.Tensor,
    chance: Callable[[tf.Tensor], tf.Tensor],
    density: Callable[[tf.Tensor], tf.Tensor],
) -> tf.Tensor:
    """1 plus the sum over j != i of chance(s_i - s_j), with its exact gradient.

    Args:
        rows: the values s, float32 or float64, shape (batch, n).
        chance: the distribution function of the noise in a difference, symmetric about 0.
        density: its derivative.

    Returns:
        The same dtype and shape, each row in [1, n] with sum n (n + 1) / 2.
    """

    @tf.custom_gradient
    def expected(rows: tf.Tensor) -> tuple[tf.Tensor, Callable[[tf.Tensor], tf.Tensor]]:
        def vjp(upstream: tf.Tensor) -> tf.Tensor:
            return over_pairs(lambda d, u: density(d) * u, rows, upstream)

        # The sum includes 1/2, the chance for j = i. Another 1/2 makes this the 1 of the formula.
        constant = tf.stop_gradient(rows)  # else an eager tape would keep all pairs
        return over_pairs(chance, constant) + 0.5, vjp

    return expected(rows)


def normal_cdf(z: tf.Tensor) -> tf.Tensor:
    """The standard normal distribution function Phi, accurate in the lower tail."""
    return 0.5 * tf.math.erfc(-z / _SQRT2)


def normal_density(z: tf.Tensor) -> tf.Tensor:
    """The standard normal density."""
    return tf.exp(-0.5 * tf.square(z)) / math.sqrt(2.0 * math.pi)


def gaussian_noise(
    values: tf.Tensor, num_samples: int, seed: tf.Tensor | tuple[int, int] | None
) -> tf.Tensor:
    """Independent standard normal draws; arguments, result and errors as in :func:`perturb`."""
    at_least_one(num_samples)
    shape = tf.concat([[num_samples], tf.shape(values)], axis=0)
    if seed is None:
        noise = tf.random.normal(shape, dtype=values.dtype)
    else:
        pair = tf.convert_to_tensor(seed)
        if pair.shape != (2,) or not pair.dtype.is_integer:
            raise ValueError(f"a seed is two integers, not {pair.dtype.name} of shape {pair.shape}")
        # The algorithm is named, so that XLA draws the same numbers.
        noise = tf.random.stateless_normal(shape, pair, dtype=values.dtype, alg="philox")
    return tf.ensure_shape(noise, [num_samples, *values.shape])


def _mean_rank(
    rows: tf.Tensor, epsilon: float, num_samples: int, seed: tf.Tensor | tuple[int, int] | None
) -> tf.Tensor:
    """The mean of sampled ranks, with the score-function estimator as its gradient."""

    @tf.custom_gradient
    def mean(rows: tf.Tensor) -> tuple[tf.Tensor, Callable[[tf.Tensor], tf.Tensor]]:
        noise = gaussian_noise(rows, num_samples, seed)
        # Values are centred, since rounding far from 0 would take the noise away.
        centred = rows - tf.reduce_mean(rows, axis=-1, keepdims=True)
        ranks = tf.cast(rank(centred + epsilon * noise), rows.dtype)
        # The baseline lowers the variance of the estimator. It is unbiased with and without it.
        baseline = tf.cast(rank(rows), rows.dtype)

        def vjp(upstream: tf.Tensor) -> tf.Tensor:
            weight = tf.reduce_sum((ranks - baseline) * upstream, axis=-1, keepdims=True)
            return tf.reduce_mean(weight * noise, axis=0) / epsilon

        return tf.reduce_mean(ranks, axis=0), vjp

    return mean(rows)
