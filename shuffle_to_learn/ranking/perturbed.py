"""Ranks under Gaussian noise: sampled, and their expectation in closed form."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import tensorflow as tf

from shuffle_to_learn.ranking.checks import at_least_one, in_rows, positive
from shuffle_to_learn.ranking.sorting import rank

# Sums over all pairs are taken in parts of about so many, for a batch of this size if unknown.
_PAIRS_AT_ONCE = 2**22
_BATCH = 64
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
        n (n + 1) / 2. A row with a value that is not finite is NaN. The gradient of the exact
        ranks is exact, that of the sampled ones the score-function estimate from the same draws,
        without bias but noisy (the Fenchel-Young loss needs none). Memory is O(n) a row and draw;
        the exact ranks take O(n^2) time.

    Raises:
        TypeError: where values are not floating.
        ValueError: where epsilon is not above 0, num_samples below 1, or n is 0 or unknown.

    Source: Berthet et al. 2020, "Learning with differentiable perturbed optimizers", section 3;
    the closed form is the sum of the chances to beat each of the others.
    """
    epsilon = positive(epsilon)

    def expected(rows: tf.Tensor, n: int) -> tf.Tensor:
        if num_samples is None:
            return _expected_rank(rows, epsilon)
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
        function: elementwise, of as many differences as there are rows.
        rows: floating, each of shape (batch, n), n known.

    Returns:
        What function returns, shape (batch, n). Memory is O(n) a row where n is large (graphs of
        unknown batch size: for a batch of some 64).
    """
    n = rows[0].shape[-1]

    def sums(*some: tf.Tensor) -> tf.Tensor:
        differences = (s[:, :, None] - r[:, None, :] for s, r in zip(some, rows, strict=True))
        return tf.reduce_sum(function(*differences), axis=-1)

    part = max(1, _PAIRS_AT_ONCE // (n * (rows[0].shape[0] or _BATCH)))
    if n <= part:
        return sums(*rows)

    def of_part(index: tf.Tensor) -> tf.Tensor:
        return tf.transpose(sums(*(tf.gather(r, index, axis=1) for r in rows)))

    parts = np.minimum(np.arange(-(-n // part) * part), n - 1).reshape(-1, part)
    result = tf.map_fn(
        of_part, tf.constant(parts), fn_output_signature=rows[0].dtype, parallel_iterations=1
    )
    return tf.transpose(tf.reshape(result, [parts.size, -1])[:n])


def normal_cdf(z: tf.Tensor) -> tf.Tensor:
    """The standard normal distribution function, accurate in the lower tail."""
    return 0.5 * tf.math.erfc(-z / _SQRT2)


def normal_density(z: tf.Tensor) -> tf.Tensor:
    """The standard normal density."""
    return tf.exp(-0.5 * tf.square(z)) / math.sqrt(2.0 * math.pi)


def gaussian_noise(
    values: tf.Tensor, num_samples: int, seed: tf.Tensor | tuple[int, int] | None
) -> tf.Tensor:
    at_least_one(num_samples)
    shape = tf.concat([[num_samples], tf.shape(values)], axis=0)
    if seed is None:
        noise = tf.random.normal(shape, dtype=values.dtype)
    else:
        pair = tf.convert_to_tensor(seed)
        if pair.shape != (2,) or not pair.dtype.is_integer:
            raise ValueError(f"a seed is two integers, not {pair.dtype.name} of shape {pair.shape}")
        # Named, so that XLA draws the same.
        noise = tf.random.stateless_normal(shape, pair, dtype=values.dtype, alg="philox")
    return tf.ensure_shape(noise, [num_samples, *values.shape])


def _mean_rank(
    rows: tf.Tensor, epsilon: float, num_samples: int, seed: tf.Tensor | tuple[int, int] | None
) -> tf.Tensor:
    @tf.custom_gradient
    def mean(rows: tf.Tensor) -> tuple[tf.Tensor, Callable[[tf.Tensor], tf.Tensor]]:
        noise = gaussian_noise(rows, num_samples, seed)
        # Centred, so that the noise is not rounded away far from 0.
        centred = rows - tf.reduce_mean(rows, axis=-1, keepdims=True)
        ranks = tf.cast(rank(centred + epsilon * noise), rows.dtype)
        # Without it the estimate is right on average, too, but varies more.
        baseline = tf.cast(rank(rows), rows.dtype)

        def vjp(upstream: tf.Tensor) -> tf.Tensor:
            weight = tf.reduce_sum((ranks - baseline) * upstream, axis=-1, keepdims=True)
            return tf.reduce_mean(weight * noise, axis=0) / epsilon

        return tf.reduce_mean(ranks, axis=0), vjp

    return mean(rows)


def _expected_rank(rows: tf.Tensor, epsilon: float) -> tf.Tensor:
    scale = 1.0 / (epsilon * _SQRT2)

    @tf.custom_gradient
    def expected(rows: tf.Tensor) -> tuple[tf.Tensor, Callable[[tf.Tensor], tf.Tensor]]:
        def vjp(upstream: tf.Tensor) -> tf.Tensor:
            return over_pairs(lambda d, u: scale * normal_density(scale * d) * u, rows, upstream)

        # A value beats itself with Phi(0) = 1/2.
        constant = tf.stop_gradient(rows)  # eager tapes would keep all pairs
        return over_pairs(lambda d: normal_cdf(scale * d), constant) + 0.5, vjp

    return expected(rows)
