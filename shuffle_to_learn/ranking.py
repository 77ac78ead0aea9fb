"""Differentiable ranking: ranks 1..n, ascending, over the last axis."""

from __future__ import annotations

import math

import tensorflow as tf

_SQRT2 = math.sqrt(2.0)


def rank(values: tf.Tensor) -> tf.Tensor:
    """Ranks 1..n in ascending order: the largest value has rank n.

    Args:
        values: floating or integer, shape (..., n).

    Returns:
        int32, shape (..., n); equal values are ranked in order of position.
    """
    order = tf.argsort(values, axis=-1, stable=True)
    return tf.argsort(order, axis=-1) + 1


def soft_rank(values: tf.Tensor, epsilon: float = 1.0) -> tf.Tensor:
    """Soft ranks: the projection of ``values / epsilon`` onto the permutahedron of (1..n).

    Args:
        values: float32 or float64, shape (..., n).
        epsilon: regularisation strength > 0; towards 0 the result is :func:`rank`, towards
            infinity every rank is (n + 1) / 2.

    Returns:
        The same dtype and shape; each row sums to n (n + 1) / 2. Differentiable: the
        vector-Jacobian product averages over the blocks of the isotonic regression. Memory is
        O(batch x n^2).

    Raises:
        ValueError: where epsilon is not above 0.

    Source: Blondel et al. 2020, "Fast differentiable sorting and ranking", section 4 (quadratic
    regularisation). The isotonic regression is evaluated by its min-max formula.
    """
    if not epsilon > 0:
        raise ValueError(f"epsilon must be above 0, not {epsilon}")

    @tf.custom_gradient
    def project(theta):
        # Descending: s is sorted, w = (n, ..., 1), and s - v is the projection of s, where v
        # solves min ||v - (s - w)||^2 subject to v_1 >= ... >= v_n.
        n = tf.shape(theta)[-1]
        order = tf.argsort(theta, axis=-1, direction="DESCENDING", stable=True)
        s = tf.gather(theta, order, batch_dims=theta.shape.rank - 1)
        # Neighbours more than n / 2 apart are in different blocks, where the distance between them
        # does not matter: bounded, it leaves the sums below their precision at any epsilon.
        gaps = tf.minimum(s[..., :-1] - s[..., 1:], tf.cast(n, theta.dtype))
        s = tf.concat([tf.zeros_like(s[..., :1]), -tf.cumsum(gaps, axis=-1)], axis=-1)
        y = s - tf.cast(tf.range(n, 0, -1), theta.dtype)
        v, block = _isotonic_decreasing(y)
        back = tf.argsort(order, axis=-1)
        result = tf.gather(s - v, back, batch_dims=theta.shape.rank - 1)

        def grad(upstream):
            g = tf.gather(upstream, order, batch_dims=theta.shape.rank - 1)
            mean = _block_mean(g, block)
            return tf.gather(g - mean, back, batch_dims=theta.shape.rank - 1)

        return result, grad

    values = tf.convert_to_tensor(values)
    return project(values / tf.cast(epsilon, values.dtype))


def _isotonic_decreasing(y: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """Least-squares fit v_1 >= ... >= v_n to y, and which neighbours share a block.

    v_i = min over j <= i of max over k >= i of mean(y_j..y_k), for a decreasing fit.
    """
    n = tf.shape(y)[-1]
    total = tf.cumsum(y, axis=-1)
    before = total - y
    i = tf.range(n)
    length = tf.cast(i[None, :] - i[:, None] + 1, y.dtype)  # (j, k)
    mean = (total[..., None, :] - before[..., :, None]) / tf.where(length > 0, length, 1)
    mean = tf.where(length > 0, mean, y.dtype.min)
    # max over k >= i of mean[j, k]: a running maximum from the right.
    best = _running_maximum_from_right(mean)
    best = tf.where(i[:, None] <= i[None, :], best, y.dtype.max)  # j <= i
    v = tf.reduce_min(best, axis=-2)
    # Two neighbours are in one block where the fit is flat; the tolerance absorbs the rounding of
    # the cumulative sums.
    scale = 1.0 + tf.reduce_max(tf.abs(y), axis=-1, keepdims=True)
    tolerance = tf.cast(64.0, y.dtype) * tf.cast(_machine_epsilon(y.dtype), y.dtype) * scale
    starts = tf.concat(
        [tf.ones_like(v[..., :1], tf.bool), v[..., :-1] - v[..., 1:] > tolerance], -1
    )
    block = tf.cumsum(tf.cast(starts, tf.int32), axis=-1)
    return v, block


def _running_maximum_from_right(x: tf.Tensor) -> tf.Tensor:
    """Maximum of x[..., k:] for each k, by doubling (n is static where it is known)."""
    n = x.shape[-1]
    if n is None:
        raise ValueError("the number of values must be known when the graph is built")
    shift = 1
    while shift < n:
        padding = tf.fill(tf.concat([tf.shape(x)[:-1], [shift]], 0), x.dtype.min)
        x = tf.maximum(x, tf.concat([x[..., shift:], padding], -1))
        shift *= 2
    return x


def _machine_epsilon(dtype: tf.DType) -> float:
    return 2.0**-52 if dtype == tf.float64 else 2.0**-23


def _block_mean(g: tf.Tensor, block: tf.Tensor) -> tf.Tensor:
    same = tf.cast(block[..., :, None] == block[..., None, :], g.dtype)
    return tf.linalg.matvec(same, g) / tf.reduce_sum(same, axis=-1)


def perturbed_rank(
    values: tf.Tensor,
    epsilon: float = 0.1,
    num_samples: int | None = 10,
    seed: tf.Tensor | tuple[int, int] | None = None,
) -> tf.Tensor:
    """Expected ranks under Gaussian noise: E[rank(values + epsilon Z)].

    Args:
        values: float32 or float64, shape (..., n).
        epsilon: standard deviation of the noise, > 0.
        num_samples: how many draws to average; None gives the exact expectation in closed form,
            1 + sum over j != i of Phi((t_i - t_j) / (epsilon sqrt 2)), which is differentiable.
        seed: two integers (a stateless seed); None draws a fresh one.

    Returns:
        The same dtype and shape. The sampled version has no gradient of its own: use
        :func:`shuffle_to_learn.losses.perturbed_fenchel_young`.

    Raises:
        ValueError: where epsilon is not above 0.

    Source: Berthet et al. 2020, "Learning with differentiable perturbed optimizers".
    """
    if not epsilon > 0:
        raise ValueError(f"epsilon must be above 0, not {epsilon}")
    values = tf.convert_to_tensor(values)
    if num_samples is None:
        z = (values[..., :, None] - values[..., None, :]) / tf.cast(epsilon * _SQRT2, values.dtype)
        # The diagonal contributes Phi(0) = 1/2.
        phi = 0.5 * (1.0 + tf.math.erf(z / tf.cast(_SQRT2, values.dtype)))
        return tf.reduce_sum(phi, axis=-1) + 0.5
    noisy = perturb(values, epsilon, num_samples, seed)
    return tf.reduce_mean(tf.cast(rank(noisy), values.dtype), axis=0)


def perturb(
    values: tf.Tensor,
    epsilon: float,
    num_samples: int,
    seed: tf.Tensor | tuple[int, int] | None = None,
) -> tf.Tensor:
    """``values + epsilon Z`` for ``num_samples`` independent standard normal Z.

    Returns:
        The dtype of values, shape (num_samples, ..., n).
    """
    shape = tf.concat([[num_samples], tf.shape(values)], axis=0)
    if seed is None:
        noise = tf.random.normal(shape, dtype=values.dtype)
    else:
        noise = tf.random.stateless_normal(shape, seed, dtype=values.dtype)
    noise = tf.ensure_shape(noise, [num_samples, *values.shape])
    return values + tf.cast(epsilon, values.dtype) * noise
