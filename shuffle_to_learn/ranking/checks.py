"""What all ranking operators share: checks of arguments, rows, masks, lists, epsilon as a tensor.

Lists of different length are rows with a mask. An operator computes with masked values as 0, and
puts them apart by :func:`set_apart` where it compares values.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from operator import index
from typing import Any, TypeAlias, TypeVar

import keras
import numpy as np
import tensorflow as tf

# How far above all others masked values are put, in epsilons: normal, logistic and Laplace tails
# are 0 there, in float64, too. Soft ranks need n of them.
_APART = 2000.0
# Values over a tensor epsilon are bounded by this: their squares are finite.
_FAR = 1e150
# The logarithm of an entry of a matrix that is 0, below that of any other. Minus infinity would
# give a gradient of NaN.
UNREACHED = -1e9
# Lists of unknown length are padded to the first of these that is enough.
_WIDTHS = (32, 256, 2048, 16384)

_Operator = TypeVar("_Operator", bound=Callable[..., Any])
Epsilon: TypeAlias = float | tf.Tensor
"""A number, or a tensor: one value for all, or one for each list."""


def positive(epsilon: Epsilon, or_zero: bool = False, name: str = "epsilon") -> Epsilon:
    """Epsilon as a float, or as a tensor if it is a tensor, an array or a variable.

    Raises:
        ValueError: where it is known and not finite, or not above 0 in float32, except where
            ``or_zero`` allows 0.
    """
    if isinstance(epsilon, keras.Variable):
        epsilon = epsilon.value
    if tf.is_tensor(epsilon) or np.ndim(epsilon):
        epsilon = tf.convert_to_tensor(epsilon)
        known = tf.get_static_value(epsilon)
    else:
        epsilon = known = float(epsilon)
    if known is not None and not np.all(allowed(np.asarray(known, float), or_zero)):
        raise ValueError(
            f"{name} must be above 0 (1e-37 at least) and finite{', or 0' * or_zero}, not {known}"
        )
    return epsilon


def allowed(epsilon: Any, or_zero: bool) -> Any:
    """Where an epsilon, an array or a tensor, may be what it is."""
    inside = (epsilon >= 1e-37) & (epsilon < math.inf)
    return inside | (epsilon == 0) if or_zero else inside


def at_least_one(num_samples: int | None) -> int | None:
    """The number of samples, or None; ValueError below 1, TypeError where it is no integer."""
    if num_samples is not None and index(num_samples) < 1:
        raise ValueError(f"num_samples must be at least 1, or None, not {num_samples}")
    return num_samples


@contextmanager
def asking_for_a_seed() -> Iterator[None]:
    """Say how to give a seed where TensorFlow refuses to draw without one.

    Raises:
        ValueError: where operations are deterministic and tf.random.set_seed was not called.
    """
    try:
        yield
    except RuntimeError as refused:
        if "determinism" not in str(refused):
            raise
        raise ValueError(
            "operations are deterministic (enable_op_determinism), so draws need a seed: give seed "
            "two integers, new ones for new draws, or call tf.random.set_seed once; or take "
            "num_samples=None, which draws nothing"
        ) from refused


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


def as_mask(mask: tf.Tensor | None, values: tf.Tensor) -> tf.Tensor | None:
    """A mask as booleans of the shape of the values, or None.

    Raises:
        ValueError: where the mask cannot be broadcast to the values.
    """
    if mask is None:
        return None
    mask = tf.cast(mask, tf.bool)
    try:
        fits = tf.broadcast_static_shape(mask.shape, values.shape).is_compatible_with(values.shape)
    except ValueError:
        fits = False
    if not fits:
        raise ValueError(f"a mask of shape {mask.shape} for values of shape {values.shape}")
    return tf.ensure_shape(tf.broadcast_to(mask, tf.shape(values)), values.shape)


def count(mask: tf.Tensor, dtype: tf.DType) -> tf.Tensor:
    """How many values of a list are not masked, at least 1; the last axis is kept."""
    return tf.maximum(tf.reduce_sum(tf.cast(mask, dtype), axis=-1, keepdims=True), 1)


def mean(values: tf.Tensor, mask: tf.Tensor | None) -> tf.Tensor:
    """The mean over the last axis, which is kept; masked values are 0 and not counted."""
    if mask is None:
        return tf.reduce_mean(values, axis=-1, keepdims=True)
    return tf.reduce_sum(values, axis=-1, keepdims=True) / count(mask, values.dtype)


def kept(values: tf.Tensor, mask: tf.Tensor | None) -> tf.Tensor:
    """Values, 0 (or False) where masked."""
    return values if mask is None else tf.where(mask, values, tf.zeros([], values.dtype))


def set_apart(rows: tf.Tensor, mask: tf.Tensor | None) -> tf.Tensor:
    """Rows whose masked values are so far above the others that these do not notice them.

    Ranks, soft and perturbed, of the others are then those of the short list alone.

    Args:
        rows: values over epsilon, float64, shape (batch, n).
        mask: boolean, the same shape, or None.
    """
    if mask is None:
        return rows
    top = tf.reduce_max(tf.where(mask, tf.stop_gradient(rows), -_FAR), axis=-1, keepdims=True)
    return tf.where(mask, rows, top + tf.abs(top) + (_APART + rows.shape[-1]))


def over_epsilon(values: tf.Tensor, epsilon: Epsilon, mask: tf.Tensor | None) -> tf.Tensor:
    """Values over epsilon, less an offset of each list, for an epsilon of 1 in what follows.

    Args:
        values: floating, shape (..., n); where masked, 0.
        epsilon: a number or a tensor; each 0 counts as 1.
        mask: boolean, the shape of values, or None.

    Returns:
        float64, the shape of values; differentiable in values and in epsilon.
    """
    wide = tf.cast(values, tf.float64)
    epsilon = in_dtype(epsilon, tf.float64)
    epsilon = tf.where(epsilon > 0, epsilon, 1)
    # Less the value next to 0: an offset costs precision, and small values keep their differences.
    size = tf.abs(wide) if mask is None else tf.where(mask, tf.abs(wide), math.inf)
    offset = tf.gather(wide, tf.argmin(size, axis=-1)[..., None], axis=-1, batch_dims=-1)
    scaled = (wide - tf.stop_gradient(offset)) / (
        epsilon[..., None] if epsilon.shape.rank else epsilon
    )
    scaled = tf.clip_by_value(scaled, -_FAR, _FAR)
    return scaled if mask is None else tf.where(mask, scaled, 0)


def in_dtype(epsilon: Epsilon, dtype: tf.DType) -> tf.Tensor:
    """A number or a tensor as a tensor of that dtype (tf.cast takes a number for a float32)."""
    return tf.cast(epsilon, dtype) if tf.is_tensor(epsilon) else tf.constant(epsilon, dtype)


def to_last(values: Any, axis: int) -> Any:
    """A tensor with an axis moved to the end; None is None."""
    if values is None or axis == -1:
        return values
    values = tf.convert_to_tensor(values)
    return tf.transpose(values, _order(values.shape.rank, axis))


def from_last(values: tf.Tensor, axis: int) -> tf.Tensor:
    """Values with the last axis moved to where :func:`to_last` took it from."""
    if axis == -1:
        return values
    return tf.transpose(values, np.argsort(_order(values.shape.rank, axis)))


def _order(rank: int | None, axis: int) -> list[int]:
    """The order of axes with one moved to the end."""
    if rank is None or not -rank <= axis < rank:
        raise ValueError(f"values of rank {rank} have no axis {axis}")
    order = list(range(rank))
    order.append(order.pop(axis))
    return order


def in_rows(
    function: Callable[[tf.Tensor, float, tf.Tensor | None], tf.Tensor],
    values: tf.Tensor,
    epsilon: Epsilon,
    *,
    hard: Callable[[tf.Tensor, tf.Tensor | None], tf.Tensor] | None = None,
    mask: tf.Tensor | None = None,
    descending: bool = False,
    axis: int = -1,
    by_place: bool = False,
    by_ratio: bool = True,
) -> tf.Tensor:
    """Apply a function to values as rows, and give the result the values' dtype and leading axes.

    Args:
        function: takes float32 or float64 rows, shape (batch, n), an epsilon above 0, and the mask
            of the rows, boolean, or None; returns the same shape, or one with further axes after
            these. Masked values are 0. See ``by_ratio``.
        values: floating, shape (..., n).
        epsilon: for the function.
        hard: the limit of the function at epsilon 0, of the rows and the mask; None where there is
            none.
        mask: see :func:`as_mask`.
        descending: apply the function to the negative values.
        axis: the axis of the values that is n long; it is moved to the end for the function.
        by_place: whether entry i of a result belongs to place i of the order, not to value i.
        by_ratio: whether the function depends on the rows over epsilon alone. Where there is a mask
            or epsilon is a tensor, it is then given float64 rows and an epsilon of 1. If not, it
            takes any epsilon from 0, and a tensor as float64, shape (batch, 1).

    Returns:
        The dtype of values, their shape, and the further axes (then ``axis`` stays at the end). A
        row with a value, or an epsilon, that is not finite is NaN, its gradient 0. What is masked
        is 0, and so is its gradient.

    Raises:
        TypeError: where values are not floating.
        ValueError: where n is 0, or not known when the graph is built; where epsilon, the mask or
            the axis is not one for the values.
    """
    or_zero = hard is not None or not by_ratio
    epsilon = positive(epsilon, or_zero)
    values = to_last(as_floating(values), axis)
    mask = as_mask(to_last(mask, axis), values)
    rows, n = as_rows(values)
    rows = widened(rows)
    dtype = rows.dtype
    finite = tf.math.is_finite(rows)
    if mask is not None:
        mask = tf.reshape(mask, [-1, n])
        finite |= ~mask
        rows = tf.where(mask, rows, 0)
    finite = tf.reduce_all(finite, axis=-1, keepdims=True)
    if not isinstance(epsilon, float):
        epsilon = tf.reshape(tf.broadcast_to(epsilon, tf.shape(values)[:-1]), [-1])
        finite &= allowed(epsilon, or_zero)[:, None]

    # A row that is not finite needs a guard for its gradient alone, since its result becomes NaN
    # below. Finite stand-ins for such rows would cost more: XLA would put them in again for each
    # pair of values.
    @tf.custom_gradient
    def guarded(rows: tf.Tensor) -> tuple[tf.Tensor, Callable[[tf.Tensor], tf.Tensor]]:
        return rows, lambda upstream: tf.where(finite, upstream, 0)

    rows = guarded(rows)
    if descending:
        rows = -rows
    if not by_ratio:
        if not isinstance(epsilon, float):
            epsilon = tf.cast(epsilon, tf.float64)[:, None]
        result = function(tf.where(finite, rows, 0), epsilon, mask)
    elif mask is None and isinstance(epsilon, float) and epsilon:
        result = function(rows, epsilon, None)
    else:
        rows = tf.where(finite, rows, 0)  # or the gradient in an epsilon for all would be NaN
        result = _scaled(function, hard, rows, epsilon, mask)
    further = result.shape[2:]

    def spread(row_or_value: tf.Tensor) -> tf.Tensor:
        return tf.reshape(row_or_value, [-1, row_or_value.shape[1]] + [1] * (result.shape.rank - 2))

    result = tf.where(spread(finite), result, tf.constant(math.nan, result.dtype))
    if mask is not None:
        kept = tf.range(n) < count(mask, tf.int32) if by_place else mask
        result = tf.where(spread(kept & tf.reduce_any(mask, -1, keepdims=True)), result, 0)
    shape = tf.concat([tf.shape(values), tf.constant(further.as_list(), tf.int32)], axis=0)
    result = tf.reshape(tf.cast(tf.cast(result, dtype), values.dtype), shape)
    result = tf.ensure_shape(result, values.shape.concatenate(further))
    return result if further.rank else from_last(result, axis)


def _scaled(
    function: Callable[[tf.Tensor, float, tf.Tensor | None], tf.Tensor],
    hard: Callable[[tf.Tensor, tf.Tensor | None], tf.Tensor] | None,
    rows: tf.Tensor,
    epsilon: Epsilon,
    mask: tf.Tensor | None,
) -> tf.Tensor:
    """A function of rows over epsilon, and its limit where epsilon is 0; see :func:`in_rows`."""

    @tf.custom_gradient
    def limit(rows: tf.Tensor) -> tuple[tf.Tensor, Callable[[tf.Tensor], tf.Tensor]]:
        assert hard is not None
        return tf.cast(hard(rows, mask), tf.float64), lambda upstream: tf.zeros_like(rows)

    if isinstance(epsilon, float):
        if not epsilon:
            return limit(rows)
        return function(over_epsilon(rows, epsilon, mask), 1.0, mask)
    result = function(over_epsilon(rows, epsilon, mask), 1.0, mask)
    if hard is None:
        return result
    none = tf.reshape(epsilon <= 0, [-1] + [1] * (result.shape.rank - 1))
    return tf.where(none, limit(rows), result)


def takes_lists(returns: str) -> Callable[[_Operator], _Operator]:
    """Let the first arguments of an operator be a tf.RaggedTensor, as values with a mask are.

    Args:
        returns: what the operator returns of each list: ``"values"``, one for each of its values;
            ``"matrix"``, n of these; or ``"number"``.
    """

    def decorate(operator: _Operator) -> _Operator:
        @functools.wraps(operator)
        def either(*arguments: Any, **options: Any) -> Any:
            if not any(isinstance(x, tf.RaggedTensor) for x in arguments):
                return operator(*arguments, **options)
            if options.pop("mask", None) is not None or options.pop("axis", -1) != -1:
                raise ValueError("a RaggedTensor has its lists on the last axis, and needs no mask")
            return _of_lists(operator, returns, arguments, options)

        return either  # type: ignore[return-value]

    return decorate


def _of_lists(
    operator: _Operator, returns: str, arguments: Sequence[Any], options: dict[str, Any]
) -> Any:
    """An operator of lists: of padded rows, with a mask, and packed into lists again."""
    first = next(x for x in arguments if isinstance(x, tf.RaggedTensor))
    if first.flat_values.shape.rank > 1:
        raise ValueError("the lists of a RaggedTensor are its last axis, which is of one length")
    if first.ragged_rank > 1:
        inner = [x.values if isinstance(x, tf.RaggedTensor) else x for x in arguments]
        return first.with_values(_of_lists(operator, returns, inner, options))
    lengths = tf.cast(first.row_lengths(), tf.int32)
    lengths = _of_one_length(lengths, [x for x in arguments if isinstance(x, tf.RaggedTensor)])

    def padded_to(width: int) -> tf.Tensor:
        rows = [
            x.to_tensor(shape=[None, width]) if isinstance(x, tf.RaggedTensor) else x
            for x in arguments
        ]
        mask = tf.sequence_mask(lengths, width)
        result = operator(*rows, mask=mask, **options)
        if returns == "number":
            return result
        result = tf.boolean_mask(result, mask)
        if returns == "matrix":
            return tf.boolean_mask(result, tf.sequence_mask(tf.repeat(lengths, lengths), width))
        return result

    longest = tf.reduce_max(tf.concat([lengths, [1]], axis=0))
    width = tf.get_static_value(longest)
    if width is not None:
        result = padded_to(int(width))
    else:
        which = tf.searchsorted(tf.constant(_WIDTHS), longest[None])[0]
        with tf.control_dependencies(
            [tf.debugging.assert_less_equal(longest, _WIDTHS[-1], "a list is too long")]
        ):
            which = tf.identity(which)
        result = tf.switch_case(which, [functools.partial(padded_to, width) for width in _WIDTHS])
    if returns == "number":
        return result
    if returns == "matrix":
        lengths = tf.cast(tf.repeat(lengths, lengths), first.row_splits.dtype)
        result = tf.RaggedTensor.from_row_lengths(result, lengths)
    return first.with_values(result)


def _of_one_length(lengths: tf.Tensor, ragged: Sequence[tf.RaggedTensor]) -> tf.Tensor:
    """The lengths of lists; an error where another RaggedTensor's are not the same."""
    checks = []
    for other in ragged[1:]:
        others = tf.cast(other.row_lengths(), tf.int32)
        known = [tf.get_static_value(x) for x in (lengths, others)]
        if all(x is not None for x in known) and not np.array_equal(*known):
            raise ValueError(f"lists of lengths {known[0]} for lists of lengths {known[1]}")
        checks.append(tf.debugging.assert_equal(lengths, others, "lists of different lengths"))
    with tf.control_dependencies(checks if not tf.executing_eagerly() else []):
        return tf.identity(lengths)
