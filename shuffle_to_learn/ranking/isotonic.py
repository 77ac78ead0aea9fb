"""Isotonic regression: the projection onto the permutahedron, row by row.

Let s be the values of a row divided by epsilon, in descending order, and w = (n, ..., 1). The
projection of s onto the permutahedron of w is s - v, where v is the isotonic regression of s - w
under v_1 >= ... >= v_n (Blondel et al. 2020, section 5). v is constant on blocks of neighbours.
Sorted values are fitted by pooling adjacent violators: by TensorFlow's kernel. XLA has none: under
it few values are fitted by the min-max formula over all pairs, and many by merging halves.
"""

from __future__ import annotations

import contextlib
import functools
import math
from collections.abc import Callable
from typing import Any

import numpy as np
import tensorflow as tf

from shuffle_to_learn.ranking import blocks
from shuffle_to_learn.ranking.sorting import (
    PAIRS_UP_TO,
    places_by_pairs,
    put_flat,
    row_offsets,
    take_flat,
)

# Block averaging: replaces each value by the mean over its block of the isotonic regression. Values
# and means are in the order of the rows, shape (batch, n).
_BlockMean = Callable[[tf.Tensor], tf.Tensor]
_Regression = Callable[[tf.Tensor], tuple[tf.Tensor, tf.Tensor]]


def fit(rows: tf.Tensor, epsilon: float) -> tuple[tf.Tensor, _BlockMean]:
    """The projection onto the permutahedron.

    Args:
        rows: float32 or float64, shape (batch, n).
        epsilon: regularisation strength, > 0.

    Returns:
        The projection of rows / epsilon, the dtype and shape of rows, and the block averaging of
        its vector-Jacobian product.
    """
    way = _fit_few if rows.shape[-1] <= PAIRS_UP_TO else _fit_many
    result, block_mean = way(rows, epsilon)
    return tf.cast(result, rows.dtype), block_mean


def _fit_few(rows: tf.Tensor, epsilon: float) -> tuple[tf.Tensor, _BlockMean]:
    """As :func:`fit`, float64. No condition on the values: tf.vectorized_map refuses some."""
    result, block = _parts(
        _on(
            [rows],
            cpu=lambda rows: _by_pooling(rows, epsilon, _by_kernel),
            gpu=lambda rows: _by_pairs(rows, epsilon),
            xla=lambda rows: _by_pairs(rows, epsilon),
        )
    )

    def by_equality(values: tf.Tensor, block: tf.Tensor) -> tf.Tensor:
        same_block = tf.cast(tf.equal(block[:, :, None], block[:, None, :]), values.dtype)
        total = tf.reduce_sum(same_block * values[:, :, None], axis=1)
        return total / tf.reduce_sum(same_block, axis=1)

    def block_mean(values: tf.Tensor) -> tf.Tensor:
        return _on([values, block], cpu=_mean_by_number, gpu=by_equality, xla=by_equality)

    return result, block_mean


def _fit_many(rows: tf.Tensor, epsilon: float) -> tuple[tf.Tensor, _BlockMean]:
    """As :func:`fit`, float64. Where each row is one block, it is a shift: nothing is sorted."""
    one_block, centred = _one_block(rows, epsilon)

    def shift() -> tf.Tensor:
        return tf.complex(centred + 0.5 * (rows.shape[-1] + 1), tf.zeros_like(centred))

    result, block = _parts(
        tf.cond(one_block, shift, lambda: _by_pooling(rows, epsilon, _isotonic_regression))
    )

    def block_mean(values: tf.Tensor) -> tf.Tensor:
        def mean_of_row() -> tf.Tensor:
            return tf.zeros_like(values) + tf.reduce_mean(values, axis=-1, keepdims=True)

        return tf.cond(one_block, mean_of_row, lambda: _mean_by_number(values, block))

    return result, block_mean


def _parts(both: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """The real and the imaginary part.

    As one complex number two values are one output, and move at once, in half the time.
    """
    return tf.math.real(both), tf.math.imag(both)


def _mean_by_number(values: tf.Tensor, block: tf.Tensor) -> tf.Tensor:
    """The mean over each value's block, by the blocks' numbers, float64."""
    return blocks.block_mean(values, tf.cast(block, tf.int32))


def _on(
    tensors: list[tf.Tensor],
    *,
    cpu: Callable[..., tf.Tensor],
    gpu: Callable[..., tf.Tensor],
    xla: Callable[..., tf.Tensor],
) -> tf.Tensor:
    """A function of tensors, by where it runs: on a CPU, on a GPU, or where XLA compiles the graph.

    Whether XLA compiles a graph is not known when it is traced: a function traced before may be
    called in one that XLA compiles. ``DeviceIndex`` is one past its list where XLA compiles it, and
    XLA then compiles no other branch (docs/decisions/0018). Each has one output: of more,
    tf.vectorized_map makes an error. The functions must capture no other tensor.
    """

    def hidden(x: tf.Tensor) -> tf.Tensor:
        # XLA asks of what goes into a case whether it is a constant, and may run, slowly, the whole
        # network before it to find out. It does not ask beyond a sum over segments. This one, over
        # one segment of one tensor, changes nothing.
        return tf.squeeze(tf.math.unsorted_segment_sum(tf.expand_dims(x, 0), [0], 1), 0)

    def apart(branch: Callable[..., tf.Tensor]) -> Callable[..., tf.Tensor]:
        # One operation in the graph: where it is not the case, one is skipped, not all of them.
        if tf.executing_eagerly():
            return branch
        attributes = {"_noinline": True}
        return tf.function(branch, autograph=False, experimental_attributes=attributes)

    tensors = [hidden(x) for x in tensors]
    device = tf.raw_ops.DeviceIndex(device_names=["CPU", "GPU"])
    branches = [functools.partial(branch, *tensors) for branch in (cpu, apart(gpu), apart(xla))]
    return tf.switch_case(device, branches[:2], default=branches[2])


def _stay_one_device() -> None:
    """Let tf.vectorized_map ask for the device once, not once a row.

    It takes whatever is not a pure function for different in each row, and would then compute all
    cases, with those rows for which it is their device: none, for all but one. TensorFlow has no
    public way to tell it more. Where this one is gone, soft ranks are slower there, or refused.
    """
    try:
        from tensorflow.python.ops.parallel_for.pfor import RegisterPFor, wrap
    except ImportError:
        return
    with contextlib.suppress(AssertionError, KeyError):  # it is registered already

        @RegisterPFor("DeviceIndex")
        def convert(mapped: Any) -> Any:
            names = mapped.get_attr("device_names")
            return wrap(tf.raw_ops.DeviceIndex(device_names=names), False)


_stay_one_device()


def _by_pairs(rows: tf.Tensor, epsilon: float) -> tf.Tensor:
    """As :func:`_by_pooling`, by the min-max formula, for few values.

    The formula is v_i = max over k >= i of min over j <= i of mean((s - w)_j..(s - w)_k). A block
    has v as its number, which is exact: all its values have copies of one v.
    """
    n = rows.shape[-1]
    place = n - 1 - places_by_pairs(rows)
    # Several NaN share a place, and the maximum picks one of them. Their row is NaN in the end.
    order = tf.where(tf.equal(place[:, :, None], tf.range(n)), tf.range(n)[:, None], 0)
    order = tf.reduce_max(order, axis=1)
    gaps = _gaps(take_flat(rows, order + row_offsets(order)), epsilon)
    s, sums = _cumulative_sums_by_product(gaps)
    start, end = np.arange(n)[:, None], np.arange(1, n + 1)[None]
    valid = start < end
    reciprocal = np.divide(1.0, end - start, where=valid, out=np.zeros(valid.shape))
    mean = (sums[:, None, 1:] - sums[:, :-1, None]) * reciprocal + np.where(valid, 0.0, np.inf)
    # The formula takes the minimum over j <= i. The minimum over all j <= k is no larger, and equal
    # where k ends a block. The maximum over k is reached at such a k.
    lowest = tf.reduce_min(mean, axis=1)
    index, place = tf.range(n)[:, None], place[:, None, :]
    fit = tf.reduce_max(tf.where(index >= place, lowest[:, :, None], -math.inf), axis=1)
    s = tf.reduce_sum(tf.where(tf.equal(index, place), s[:, :, None], 0), axis=1)
    return tf.complex(s - fit, fit)


def _by_pooling(rows: tf.Tensor, epsilon: float, regression: _Regression) -> tf.Tensor:
    """The projection, and the number of each value's block, by fitting sorted rows.

    Args:
        rows: float32 or float64, shape (batch, n).
        epsilon: regularisation strength, > 0.
        regression: as :func:`_isotonic_regression`.

    Returns:
        complex128, shape (batch, n), in the order of the rows: the projection of rows / epsilon,
        and as the imaginary part the number of each value's block, counted over the rows laid end
        to end, n a row.
    """
    n = rows.shape[-1]
    ordered, order = tf.math.top_k(rows, n)
    s = _from_the_largest(ordered, epsilon)
    fit, block = regression(s - np.arange(n, 0, -1.0))
    block += tf.cast(row_offsets(rows), block.dtype)
    return put_flat(tf.complex(s - fit, block), order)


def _isotonic_regression(y: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """The isotonic regression v_1 >= ... >= v_n of each row, and its blocks.

    Args:
        y: float64, shape (batch, n).

    Returns:
        v, and the number of each place's block, from 0 in each row; float64, shape (batch, n).
    """

    def by_kernel(y: tf.Tensor) -> tf.Tensor:
        return tf.complex(*_by_kernel(y))

    return _parts(_on([y], cpu=by_kernel, gpu=by_kernel, xla=lambda y: tf.complex(*_by_merging(y))))


def _by_kernel(y: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """As :func:`_isotonic_regression`: TensorFlow's own, for which XLA has no kernel."""
    fit, block = tf.raw_ops.IsotonicRegression(input=y, output_dtype=y.dtype)
    return fit, tf.cast(block, y.dtype)


def _by_merging(y: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """As :func:`_isotonic_regression`, for XLA."""
    fit = _merged(y)
    # All values of a block have copies of one number as their fit, so equality is exact.
    new = tf.pad(tf.cast(fit[:, 1:] < fit[:, :-1], y.dtype), [[0, 0], [1, 0]])
    return fit, tf.cumsum(new, axis=-1)


def _merged(y: tf.Tensor) -> tf.Tensor:
    """The isotonic regression of each row, by merging those of halves, of their halves, ...

    Which adjacent violators are pooled first makes no difference to pooling. So the two halves of a
    row may be pooled first, each by itself, and then what violates the order where they meet
    (Kearsley, Tapia & Trosset 1996, "An approach to parallelizing isotonic regression").
    """
    n = y.shape[-1]
    size = 1 << (n - 1).bit_length()
    # What fills up a row is below all else, and so is pooled with nothing.
    fill = tf.reduce_min(y, axis=-1, keepdims=True) - tf.ones([size - n], y.dtype)
    fit, length = tf.concat([y, fill], axis=-1), 1
    while length < size:
        fit = _merge(tf.reshape(fit, [-1, 2, length]))
        length *= 2
    return tf.reshape(fit, [-1, size])[:, :n]


def _merge(halves: tf.Tensor) -> tf.Tensor:
    """Two descending halves pooled into one descending row.

    Both descend, so they violate the order only where they meet. There one block grows, with the
    mean m in the end, until what is left of it is at least m, and what is right of it at most m.
    So it has the left values below m and the right values above m, and m is their mean:

        lack(m) = sum of (m - l)^+ over the left l - sum of (r - m)^+ over the right r = 0 .

    lack does not fall in m, and rises where anything is pooled. So a left value is below m where
    its lack is below 0, and a right value is above m where its lack is above 0. The values of a
    half descend, and so do their lacks: where lack changes its sign is found by bisection, and m
    itself is not needed.

    Args:
        halves: float64, shape (pieces, 2, length), length a power of 2.

    Returns:
        float64, the same shape. All values of a block are copies of one number.
    """
    left, right = halves[:, :1], halves[:, 1:]
    length = halves.shape[-1]

    def bisect(step: tf.Tensor, passed: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        level = tf.gather(halves, passed + (step - 1), batch_dims=2)
        lack = tf.reduce_sum(tf.nn.relu(level - left), axis=-1, keepdims=True)
        lack -= tf.reduce_sum(tf.nn.relu(right - level), axis=-1, keepdims=True)
        before = tf.concat([lack[:, :1] >= 0, lack[:, 1:] > 0], axis=1)
        return tf.maximum(step // 2, 1), passed + step * tf.cast(before, tf.int32)

    # How many values of each half come before the change: all that are known to.
    _, passed = tf.while_loop(
        lambda step, passed: True,
        bisect,
        (tf.constant(max(length // 2, 1)), tf.zeros_like(halves[:, :, :1], tf.int32)),
        maximum_iterations=length.bit_length(),
        parallel_iterations=1,
    )
    # Pooled is the end of the left half, and the start of the right half.
    pooled = tf.equal(tf.range(length) < passed, [[False], [True]])
    share = tf.cast(pooled, halves.dtype)
    mean = tf.reduce_sum(halves * share, axis=[1, 2], keepdims=True)
    mean /= tf.maximum(tf.reduce_sum(share, axis=[1, 2], keepdims=True), 1)
    return tf.where(pooled, mean, halves)


def _from_the_largest(ordered: tf.Tensor, epsilon: float) -> tf.Tensor:
    """s less its first value: an offset of s cancels in s - v.

    Args:
        ordered: values in descending order, shape (batch, n).
        epsilon: regularisation strength, > 0.

    Returns:
        float64, shape (batch, n), from 0 down; as in :func:`_gaps` where values are far apart.
    """
    n = ordered.shape[-1]
    if n <= PAIRS_UP_TO:
        # As a product: TensorFlow shares even a short cumulative sum out to several threads.
        return tf.matmul(_gaps(ordered, epsilon), _to_s(n))

    def bounded() -> tf.Tensor:
        return tf.pad(tf.cumsum(-_gaps(ordered, epsilon), axis=-1), [[0, 0], [1, 0]])

    wide = tf.cast(ordered, tf.float64)
    s = (wide - wide[:, :1]) / epsilon
    return tf.cond(tf.reduce_all(s[:, -1] >= -n * _most(n)), lambda: s, bounded)


def _gaps(ordered: tf.Tensor, epsilon: float) -> tf.Tensor:
    """The gaps between neighbours over epsilon, bounded.

    Args:
        ordered: values in descending order, shape (batch, n).
        epsilon: regularisation strength, > 0.

    Returns:
        float64, shape (batch, n - 1), each at most n / 2 + 1.
    """
    ordered = tf.cast(ordered, tf.float64)
    # s - w rises by at most 1 from one value to the next, so neighbours more than n / 2 apart are
    # in different blocks. How far apart the blocks are does not change the projection. The bound
    # keeps the cumulative sums within float64's precision at any epsilon.
    return tf.minimum((ordered[:, :-1] - ordered[:, 1:]) / epsilon, _most(ordered.shape[-1]))


def _most(n: int) -> float:
    """The bound of a gap between neighbours among n values."""
    return 0.5 * n + 1.0


def _cumulative_sums_by_product(gaps: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """s, from 0 down, and the sums of s - w before each place, by one matrix product.

    Args:
        gaps: as of :func:`_gaps`, shape (batch, n - 1).

    Returns:
        float64, shape (batch, n) and (batch, n + 1).
    """
    n = gaps.shape[-1] + 1
    to_s = _to_s(n)
    to_sums = np.tri(n + 1, n, -1).T
    both = tf.matmul(gaps, tf.constant(np.concatenate([to_s, to_s @ to_sums], axis=1)))
    return both[:, :n], both[:, n:] - np.arange(n, 0, -1.0) @ to_sums


def _to_s(n: int) -> np.ndarray:
    """The matrix that takes gaps between neighbours to s, from 0 down; shape (n - 1, n)."""
    return -np.tri(n, n - 1, -1).T


def _one_block(rows: tf.Tensor, epsilon: float) -> tuple[tf.Tensor, tf.Tensor]:
    """Whether the isotonic regression of each row is certainly one block, told without a sort.

    Args:
        rows: float32 or float64, shape (batch, n).
        epsilon: regularisation strength, > 0.

    Returns:
        A scalar boolean, False where a row is not finite; where it is True, rows / epsilon less the
        mean of each, float64, shape (batch, n).
    """
    wide = tf.cast(rows, tf.float64)
    spread = tf.reduce_max(rows, axis=-1) - tf.reduce_min(rows, axis=-1)
    # Values that are spread over more than n epsilons are several blocks: then no more is computed.
    return tf.cond(
        tf.reduce_any(spread > rows.shape[-1] * epsilon),
        lambda: (tf.constant(False), wide),
        lambda: _is_one_block((wide - wide[:, :1]) / epsilon),  # an offset costs precision
    )


def _is_one_block(z: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """As :func:`_one_block`, of rows z over epsilon.

    A row is one block where z, moved to the mean rank, lies in the permutahedron. That is the case
    where no k centred values have a mean m above (n - k) / 2 (Rado 1952). Let a / 2 be the maximum
    of the centred values and -b / 2 their minimum. Three bounds on m show it for different k:

    * m <= a / 2, which is enough for k <= n - a;
    * m <= (n - k) / k * b / 2, which is enough for k >= b;
    * m^2 <= (n - k) / k * variance, which is enough where k (n - k) >= 4 variance. Since k (n - k)
      is concave in k, this holds for all k from n - a to b if it holds at these two.

    Args:
        z: float64, shape (batch, n).

    Returns:
        A scalar boolean, False where z is not finite; z less the mean of its row, float64, shape
        (batch, n).
    """
    n = z.shape[-1]
    centred = z - tf.reduce_mean(z, axis=-1, keepdims=True)
    a, b = 2.0 * tf.reduce_max(centred, axis=-1), -2.0 * tf.reduce_min(centred, axis=-1)
    variance = tf.reduce_mean(tf.square(centred), axis=-1)
    between = 4.0 * variance <= tf.minimum(a * (n - a), b * (n - b))
    inside = (a <= n) & (b <= n) & ((a + b <= n) | between)
    return tf.reduce_all(inside), centred
