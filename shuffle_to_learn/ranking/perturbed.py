"""Expected ranks under normal and Gumbel noise: from samples, and in closed form."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import tensorflow as tf

from shuffle_to_learn.ranking.checks import (
    Epsilon,
    as_floating,
    asking_for_a_seed,
    at_least_one,
    in_rows,
    mean,
    set_apart,
    takes_lists,
    widened,
)
from shuffle_to_learn.ranking.sorting import average_ranks, rank

# A sum over all pairs is taken in parts of about this many pairs.
_PAIRS_AT_ONCE = 2**22
# The batch size that the parts are cut for where a graph does not know it.
_ASSUMED_BATCH = 64
_SQRT2 = math.sqrt(2.0)
# Beyond this many values, sums over pairs are sums over the pairs that interact.
ALL_PAIRS_UP_TO = 256
# So many neighbours in the order are compared at once.
_TILE = 16
# Pairs further apart than this many epsilons do not interact: the tails of the noise in their
# difference are below 1e-25. A sum of them does not reach the last digit of a float64.
NORMAL_REACH, EXPONENTIAL_REACH = 15.0, 60.0


@takes_lists("values")
def perturbed_rank(
    values: tf.Tensor,
    epsilon: Epsilon = 0.1,
    num_samples: int | None = 10,
    seed: tf.Tensor | tuple[int, int] | None = None,
    *,
    noise: str = "normal",
    mask: tf.Tensor | None = None,
    descending: bool = False,
    axis: int = -1,
) -> tf.Tensor:
    """Expected ranks under noise: E[rank(values + epsilon Z)].

    Args:
        values: floating, shape (..., n), n >= 1 and known when the graph is built; or a
            RaggedTensor.
        epsilon: scale of the noise (of normal noise, its standard deviation), >= 0, as in
            :func:`shuffle_to_learn.ranking.soft_rank`.
        num_samples: how many draws to average; None gives the exact expectation in closed form,
            1 + sum over j != i of Phi((t_i - t_j) / (epsilon sqrt 2)). Under Gumbel noise, Phi is
            the logistic function of (t_i - t_j) / epsilon.
        seed: two integers (a stateless seed); None draws a fresh one, which deterministic
            operations refuse unless tf.random.set_seed was called.
        noise: ``"normal"`` or ``"gumbel"``. Ranks under Gumbel noise have the Plackett-Luce
            distribution: see :func:`shuffle_to_learn.ranking.list_mle`.
        mask, descending, axis: as in soft_rank. Draws depend on the length that lists are padded
            to: from one seed, a list alone gets others.

    Returns:
        The same dtype (half types are computed in float32) and shape, each row in [1, n] with sum
        n (n + 1) / 2. A row with a value that is not finite is NaN. Exact ranks have an exact
        gradient. The gradient of sampled ranks is the score-function estimator on the same draws:
        unbiased, but noisy (the Fenchel-Young loss does without it). Memory is O(n) a row and draw.
        For large n, exact ranks take a sort and O(n) time for each place that values within 15
        epsilons (60 under Gumbel noise) are apart: pairs further apart do not interact.

    Raises:
        TypeError: where values are not floating.
        ValueError: as soft_rank, and where num_samples is below 1, the noise is none of these, or
            operations are deterministic and there is no seed.

    Source: Berthet et al. 2020, "Learning with differentiable perturbed optimizers", section 3;
    in closed form, a rank is 1 plus the probabilities of exceeding each of the other values.
    """
    at_least_one(num_samples)
    values = as_floating(values)
    known_noise(noise)
    dtype = widened(values).dtype

    def expected(rows: tf.Tensor, epsilon: float, mask: tf.Tensor | None) -> tf.Tensor:
        if num_samples is not None:
            drawn = draws(tf.cast(rows, dtype), num_samples, seed, noise)
            return _mean_rank(rows, epsilon, tf.cast(drawn, rows.dtype), noise, mask)
        if noise == "gumbel":
            return _logistic_rank(rows, epsilon, mask)
        scale = 1.0 / (epsilon * _SQRT2)
        return rank_by_chances(
            rows,
            lambda d: normal_cdf(scale * d),
            lambda d: scale * normal_density(scale * d),
            NORMAL_REACH * epsilon,
            mask,
        )

    return in_rows(
        expected,
        values,
        epsilon,
        hard=average_ranks,
        mask=mask,
        descending=descending,
        axis=axis,
    )


def perturb(
    values: tf.Tensor,
    epsilon: float,
    num_samples: int,
    seed: tf.Tensor | tuple[int, int] | None = None,
    drawn: tf.DType | None = None,
    noise: str = "normal",
) -> tf.Tensor:
    """``values + epsilon Z`` for ``num_samples`` independent standard normal or Gumbel Z.

    Args:
        values: float32 or float64, shape (..., n).
        epsilon: scale of the noise.
        num_samples: number of draws.
        seed: a stateless seed of two integers; None draws a fresh one.
        drawn: the dtype in which noise is drawn, by default that of the values: from one seed, each
            dtype has its own noise.
        noise: ``"normal"`` or ``"gumbel"``.

    Returns:
        The dtype of values, shape (num_samples, ..., n).

    Raises:
        ValueError: where num_samples is below 1, or the seed is not two integers.
    """
    drawn_noise = draws(tf.cast(values, drawn or values.dtype), num_samples, seed, noise)
    return values + epsilon * tf.cast(drawn_noise, values.dtype)


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


class Ascending:
    """Rows in ascending order, for sums over the pairs of values that are near each other.

    Args:
        rows: float32 or float64, shape (batch, n).
        mask: boolean, the same shape, or None. What is masked comes last, and is in no pair.
    """

    def __init__(self, rows: tf.Tensor, mask: tf.Tensor | None) -> None:
        keys = tf.stop_gradient(rows)
        if mask is not None:
            keys = tf.where(mask, keys, tf.constant(math.inf, keys.dtype))
        self._order = tf.argsort(keys, axis=-1, stable=True)
        self._keys = self.ordered(keys)
        # Not the inverse by a scatter: XLA has none for a batch size that changes.
        self.place = tf.argsort(self._order, axis=-1)

    def ordered(self, rows: tf.Tensor) -> tf.Tensor:
        """Rows in this order, shape (batch, n)."""
        return tf.gather(rows, self._order, batch_dims=1)

    def over_near_pairs(
        self, function: Callable[..., tf.Tensor], reach: float, *rows: tf.Tensor
    ) -> tuple[tf.Tensor, tf.Tensor]:
        """Sums of function(a_i - a_j, b_i - b_j, ...) over the pairs where j comes after i.

        The order is cut into tiles. Each tile is compared with itself, the next, the one after
        that, ..., as long as any two are near: O(n) memory, and O(n) time for each place that near
        values are apart.

        Args:
            function: elementwise; 0, up to rounding, where values are further apart than reach.
            reach: in the unit of the values.
            rows: a, b, ..., each of shape (batch, n), not in this order.

        Returns:
            For each i the sum over the j that come after it, and for each j the sum over the i that
            come before it; not in this order, shape (batch, n).
        """
        n = self._keys.shape[-1]
        count = -(-n // _TILE)
        tiles = tf.range(count)

        def tiled(x: tf.Tensor, fill: float) -> tf.Tensor:
            """In tiles, and a tile of what fills up the last one."""
            # Not tf.pad: under vectorized_map it pads with 0, whatever value it is given.
            more = tf.zeros_like(x[:, :1]) + tf.constant(fill, x.dtype, [(count + 1) * _TILE - n])
            return tf.reshape(tf.concat([x, more], axis=1), [-1, count + 1, _TILE])

        keys = tiled(self._keys, math.inf)
        rows = tuple(tiled(self.ordered(r), 0) for r in rows)
        later = tf.constant(np.tri(_TILE, k=-1, dtype=bool).T)

        def shifted(x: tf.Tensor, by: tf.Tensor) -> tf.Tensor:
            index = tiles + by
            return tf.gather(x, tf.where((index < 0) | (index > count), count, index), axis=1)

        def step(
            by: tf.Tensor, _: tf.Tensor, after: tf.Tensor, before: tf.Tensor
        ) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor, tf.Tensor]:
            pairs = (r[:, :count, :, None] - shifted(r, by)[:, :, None, :] for r in rows)
            counted = tf.math.is_finite(shifted(keys, by))[:, :, None, :] & (later | (by > 0))
            part = tf.where(counted, function(*pairs), 0)
            sums = tf.reduce_sum(part, axis=2)
            sums = tf.concat([sums, tf.zeros_like(sums[:, :1])], axis=1)
            # The distance of two tiles without values is NaN: they are not near.
            distance = shifted(keys, by + 1)[:, :, 0] - keys[:, :count, -1]
            return (
                by + 1,
                tf.reduce_any(distance <= reach),
                after + tf.reduce_sum(part, axis=3),
                before + shifted(sums, -by),
            )

        none = tf.zeros_like(rows[0][:, :count])
        _, _, *sums = tf.while_loop(
            lambda by, near, after, before: near,
            step,
            (tf.constant(0), tf.constant(True), none, none),
            maximum_iterations=count,
            parallel_iterations=1,
        )
        after, before = (
            tf.gather(tf.reshape(x, [-1, count * _TILE]), self.place, batch_dims=1) for x in sums
        )
        return after, before


def rank_by_chances(
    rows: tf.Tensor,
    chance: Callable[[tf.Tensor], tf.Tensor],
    density: Callable[[tf.Tensor], tf.Tensor],
    reach: float,
    mask: tf.Tensor | None,
) -> tf.Tensor:
    """1 plus the sum over j != i of chance(s_i - s_j), with its exact gradient.

    Args:
        rows: the values s, float32 or float64, shape (batch, n); 0 where masked.
        chance: the distribution function of the noise in a difference, symmetric about 0.
        density: its derivative.
        reach: how far apart values are whose chance is 0 or 1.
        mask: boolean, the same shape, or None.

    Returns:
        The same dtype and shape, each row in [1, n] with sum n (n + 1) / 2.
    """
    if rows.shape[-1] <= ALL_PAIRS_UP_TO:
        return _rank_by_all_pairs(set_apart(rows, mask), chance, density)

    @tf.custom_gradient
    def expected(rows: tf.Tensor) -> tuple[tf.Tensor, Callable[[tf.Tensor], tf.Tensor]]:
        constant = tf.stop_gradient(rows)  # else an eager tape would keep all pairs
        ascending = Ascending(constant, mask)

        def vjp(upstream: tf.Tensor) -> tf.Tensor:
            after, before = ascending.over_near_pairs(
                lambda d, u: density(d) * u, reach, rows, upstream
            )
            return after - before

        # The hard rank, and the chances that noise turns a pair round: one up for each value that
        # is above, one down for each that is below.
        after, before = ascending.over_near_pairs(chance, reach, constant)
        return tf.cast(ascending.place + 1, rows.dtype) + (after - before), vjp

    return expected(rows)


def _rank_by_all_pairs(
    rows: tf.Tensor,
    chance: Callable[[tf.Tensor], tf.Tensor],
    density: Callable[[tf.Tensor], tf.Tensor],
) -> tf.Tensor:
    """As :func:`rank_by_chances`, pair by pair."""

    @tf.custom_gradient
    def expected(rows: tf.Tensor) -> tuple[tf.Tensor, Callable[[tf.Tensor], tf.Tensor]]:
        def vjp(upstream: tf.Tensor) -> tf.Tensor:
            return over_pairs(lambda d, u: density(d) * u, rows, upstream)

        # The sum includes 1/2, the chance for j = i. Another 1/2 makes this the 1 of the formula.
        constant = tf.stop_gradient(rows)  # else an eager tape would keep all pairs
        return over_pairs(chance, constant) + 0.5, vjp

    return expected(rows)


def _logistic_rank(rows: tf.Tensor, epsilon: float, mask: tf.Tensor | None) -> tf.Tensor:
    """1 plus the sum over j != i of the logistic function of (s_i - s_j) / epsilon."""

    def chance(difference: tf.Tensor) -> tf.Tensor:
        return tf.sigmoid(difference / epsilon)

    def density(difference: tf.Tensor) -> tf.Tensor:
        return chance(difference) * chance(-difference) / epsilon

    return rank_by_chances(rows, chance, density, EXPONENTIAL_REACH * epsilon, mask)


def normal_cdf(z: tf.Tensor) -> tf.Tensor:
    """The standard normal distribution function Phi, accurate in the lower tail."""
    return 0.5 * tf.math.erfc(-z / _SQRT2)


def normal_density(z: tf.Tensor) -> tf.Tensor:
    """The standard normal density."""
    return tf.exp(-0.5 * tf.square(z)) / math.sqrt(2.0 * math.pi)


def known_noise(noise: str) -> str:
    """The name of a noise; ValueError where there is none of that name."""
    if noise not in ("normal", "gumbel"):
        raise ValueError(f"noise must be 'normal' or 'gumbel', not {noise!r}")
    return noise


def draws(
    values: tf.Tensor,
    num_samples: int,
    seed: tf.Tensor | tuple[int, int] | None,
    noise: str = "normal",
) -> tf.Tensor:
    """Independent standard draws; arguments, result and errors as in :func:`perturb`."""
    at_least_one(num_samples)
    shape = tf.concat([[num_samples], tf.shape(values)], axis=0)
    least = {"minval": values.dtype.as_numpy_dtype(np.finfo(values.dtype.as_numpy_dtype).tiny)}
    if seed is None:
        with asking_for_a_seed():
            if noise == "gumbel":
                drawn = tf.random.uniform(shape, dtype=values.dtype, **least)
            else:
                drawn = tf.random.normal(shape, dtype=values.dtype)
    else:
        pair = tf.convert_to_tensor(seed)
        if pair.shape != (2,) or not pair.dtype.is_integer:
            raise ValueError(f"a seed is two integers, not {pair.dtype.name} of shape {pair.shape}")
        # The algorithm is named, so that XLA draws the same numbers.
        options = {"dtype": values.dtype, "alg": "philox"}
        if noise == "gumbel":
            drawn = tf.random.stateless_uniform(shape, pair, **options, **least)
        else:
            drawn = tf.random.stateless_normal(shape, pair, **options)
    if noise == "gumbel":
        drawn = -tf.math.log(-tf.math.log(drawn))
    return tf.ensure_shape(drawn, [num_samples, *values.shape])


def _mean_rank(
    rows: tf.Tensor, epsilon: float, drawn: tf.Tensor, noise: str, mask: tf.Tensor | None
) -> tf.Tensor:
    """The mean of sampled ranks, with the score-function estimator as its gradient."""
    # Minus the derivative of the logarithm of the density of the noise.
    score = 1 - tf.exp(-drawn) if noise == "gumbel" else drawn

    @tf.custom_gradient
    def mean_rank(rows: tf.Tensor) -> tuple[tf.Tensor, Callable[[tf.Tensor], tf.Tensor]]:
        # Values are centred, since rounding far from 0 would take the noise away.
        ranks = tf.cast(rank(rows - mean(rows, mask) + epsilon * drawn, mask=mask), rows.dtype)
        # The baseline lowers the variance of the estimator. It is unbiased with and without it.
        baseline = tf.cast(rank(rows, mask=mask), rows.dtype)

        def vjp(upstream: tf.Tensor) -> tf.Tensor:
            weight = tf.reduce_sum((ranks - baseline) * upstream, axis=-1, keepdims=True)
            return tf.reduce_mean(weight * score, axis=0) / epsilon

        return tf.reduce_mean(ranks, axis=0), vjp

    return mean_rank(rows)
