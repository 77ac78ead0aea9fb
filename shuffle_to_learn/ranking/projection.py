"""Soft ranks: the projection of scaled values onto the permutahedron."""

from __future__ import annotations

from collections.abc import Callable

import tensorflow as tf

from shuffle_to_learn.ranking.checks import in_rows, positive
from shuffle_to_learn.ranking.isotonic import fit_by_majorant, fit_by_pairs
from shuffle_to_learn.ranking.sorting import PAIRS_UP_TO


def soft_rank(values: tf.Tensor, epsilon: float = 1.0) -> tf.Tensor:
    """Soft ranks: the projection of ``values / epsilon`` onto the permutahedron of (1..n).

    Args:
        values: floating, shape (..., n), n >= 1 and known when the graph is built.
        epsilon: regularisation strength, > 0; towards 0 the result is :func:`rank`, towards
            infinity every rank is (n + 1) / 2.

    Returns:
        The same dtype (half types are computed in float32) and shape; exact up to rounding, each
        row in [1, n] with sum n (n + 1) / 2. A row with a value that is not finite is NaN, its
        gradient 0. The gradient is the closed-form vector-Jacobian product: the upstream gradient
        less its mean over each block of the isotonic regression, over epsilon. It is piecewise
        constant in the values. For large n the sort and each of the few passes of the isotonic
        regression take O(n log n) time, and memory is O(n).

    Raises:
        TypeError: where values are not floating.
        ValueError: where epsilon is not above 0, or n is 0 or unknown.

    Source: Blondel et al. 2020, "Fast differentiable sorting and ranking", sections 4 and 5
    (quadratic regularisation, ascending).
    """
    epsilon = positive(epsilon)

    def project(rows: tf.Tensor, n: int) -> tf.Tensor:
        return _project(rows, n, epsilon)

    return in_rows(project, values)


def _project(rows: tf.Tensor, n: int, epsilon: float) -> tf.Tensor:
    """The projection of rows / epsilon onto the permutahedron, shape (batch, n)."""
    fit = fit_by_pairs if n <= PAIRS_UP_TO else fit_by_majorant

    @tf.custom_gradient
    def project(rows: tf.Tensor) -> tuple[tf.Tensor, Callable[[tf.Tensor], tf.Tensor]]:
        # The vector-Jacobian product needs the blocks alone. Without stop_gradient an eager tape
        # would keep every step of the fit.
        result, block_mean = fit(tf.stop_gradient(rows), epsilon)

        def vjp(upstream: tf.Tensor) -> tf.Tensor:
            return (upstream - block_mean(upstream)) / epsilon

        return result, vjp

    return project(rows)
