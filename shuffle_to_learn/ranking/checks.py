"""Checks of arguments, and the reshaping of values to rows, for all ranking operators."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from operator import index

import tensorflow as tf


def positive(epsilon: float) -> float:
    """Epsilon as a float; ValueError where it is not finite, or not above 0 in float32."""
    epsilon = float(epsilon)
    if not 1e-37 <= epsilon < math.inf:
        raise ValueError(f"epsilon must be above 0 (1e-37 at least) and finite, not {epsilon}")
    return epsilon


def at_least_one(num_samples: int | None) -> int | None:
    """The number of samples, or None; ValueError below 1, TypeError where it is no integer."""
    if num_samples is not None and index(num_samples) < 1:
        raise ValueError(f"num_samples must be at least 1, or None, not {num_samples}")
    return num_samples


def permutation_set(permutations: Sequence[Sequence[int]]) -> list[list[int]]:
    """Permutations of 1..n as lists; ValueError where a row is no permutation, or is repeated."""
    rows = [[int(x) for x in row] for row in permutations]
    if not rows or any(sorted(row) != list(range(1, len(rows[0]) + 1)) for row in rows):
        raise ValueError("permutations must be lists of the ranks 1..n, each rank once")
    if len({tuple(row) for row in rows}) < len(rows):
        raise ValueError("a permutation is given twice")
    return rows


def as_floating(values: tf.Tensor, name: str = "values") -> tf.Tensor:
    """Values as a tensor; TypeError, which calls them ``name``, where they are not floating."""
    values = tf.convert_to_tensor(values)
    if not values.dtype.is_floating:
        raise TypeError(f"{name} must be floating, not {values.dtype.name}: cast them first")
    return values


def widened(values: tf.Tensor) -> tf.Tensor:
    """Floating values in the dtype that they are computed in: float64, or float32 for all else."""
    return values if values.dtype == tf.float64 else tf.cast(values, tf.float32)


def as_rows(values: tf.Tensor) -> tuple[tf.Tensor, int]:
    """Values with all leading axes made one, and the length n of a row.

    Raises:
        ValueError: where n is 0, or not known when the graph is built.
    """
    n = values.shape[-1] if values.shape.rank else None
    if not n:
        raise ValueError(
            "values need a last axis of at least 1 value whose length is known when the graph is "
            f"built, not shape {values.shape}"
        )
    return tf.reshape(values, [-1, n]), n


def in_rows(function: Callable[[tf.Tensor, int], tf.Tensor], values: tf.Tensor) -> tf.Tensor:
    """Apply a function to values as rows, and give the result the values' dtype and leading axes.

    Args:
        function: takes float32 or float64 rows, shape (batch, n), and n; returns the same shape, or
            one with further axes after these.
        values: floating, shape (..., n).

    Returns:
        The dtype of values, shape (..., n) and the further axes. A row with a value that is not
        finite is NaN, its gradient 0.

    Raises:
        TypeError: where values are not floating.
        ValueError: where n is 0, or not known when the graph is built.
    """
    values = as_floating(values)
    rows, n = as_rows(values)
    rows = widened(rows)
    finite = tf.reduce_all(tf.math.is_finite(rows), axis=-1, keepdims=True)

    # A row that is not finite needs a guard for its gradient alone, since its result becomes NaN
    # below. Finite stand-ins for such rows would cost more: XLA would put them in again for each
    # pair of values.
    @tf.custom_gradient
    def guarded(rows: tf.Tensor) -> tuple[tf.Tensor, Callable[[tf.Tensor], tf.Tensor]]:
        return rows, lambda upstream: tf.where(finite, upstream, 0)

    result = function(guarded(rows), n)
    further = result.shape[2:]
    whole = tf.reshape(finite, [-1] + [1] * (result.shape.rank - 1))
    result = tf.where(whole, result, tf.constant(math.nan, rows.dtype))
    shape = tf.concat([tf.shape(values), tf.constant(further.as_list(), tf.int32)], axis=0)
    result = tf.reshape(tf.cast(result, values.dtype), shape)
    return tf.ensure_shape(result, values.shape.concatenate(further))
