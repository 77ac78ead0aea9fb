"""NeuralSort: a relaxation of the permutation matrix that sorts."""

from __future__ import annotations

import tensorflow as tf

from shuffle_to_learn.ranking.checks import (
    UNREACHED,
    Epsilon,
    count,
    in_rows,
    mean,
    positive,
    takes_lists,
)
from shuffle_to_learn.ranking.sorting import hard_permutation


@takes_lists("matrix")
def neural_sort(
    values: tf.Tensor,
    temperature: Epsilon = 1.0,
    *,
    mask: tf.Tensor | None = None,
    descending: bool = True,
    axis: int = -1,
) -> tf.Tensor:
    """The relaxed permutation matrix that sorts the values, in descending order by default.

    Args:
        values: floating, shape (..., n), n >= 1 and known when the graph is built; or a
            RaggedTensor.
        temperature: >= 0, a number or a tensor as epsilon in
            :func:`shuffle_to_learn.ranking.soft_rank`; at 0 the result is the permutation matrix
            (values that are equal share their places), its gradient 0, towards infinity every entry
            is 1/n.
        mask: as in soft_rank. A list with m values that are not masked has rows 1..m; its other
            rows, and the columns of what is masked, are 0.
        descending: False for row i to be the i-th smallest.
        axis: of the values; the matrices are the last two axes of the result.

    Returns:
        The same dtype (half types are computed in float32), shape (..., n, n): row i is a
        distribution over which value is the i-th largest. Rows sum to 1, columns need not.
        Differentiable where no values are equal. A row of values with one that is not finite has
        NaN alone, its gradient 0.

    Raises:
        TypeError: where values are not floating.
        ValueError: as soft_rank.

    Source: Grover et al. 2019, "Stochastic optimization of sorting networks via continuous
    relaxations" (arXiv 1903.08850), section 4.
    """

    def sorting(rows: tf.Tensor, epsilon: float, mask: tf.Tensor | None) -> tf.Tensor:
        return tf.nn.softmax(_logits(rows, epsilon, mask))

    def hard(rows: tf.Tensor, mask: tf.Tensor | None) -> tf.Tensor:
        return tf.linalg.matrix_transpose(hard_permutation(-rows, mask))

    return in_rows(
        sorting,
        values,
        positive(temperature, True, "temperature"),
        hard=hard,
        mask=mask,
        descending=not descending,
        axis=axis,
        by_place=True,
    )


def neural_sort_logits(values: tf.Tensor, temperature: float) -> tf.Tensor:
    """The logits of :func:`neural_sort`, shape (..., n, n)."""
    return in_rows(_logits, values, positive(temperature, name="temperature"))


def _logits(rows: tf.Tensor, temperature: float, mask: tf.Tensor | None) -> tf.Tensor:
    """The logits of each row, shape (batch, n, n).

    Row i = 1..n is ((n + 1 - 2i) s - A_s 1) / temperature, where A_s[i, j] = |s_i - s_j|.
    """
    n = tf.shape(rows)[-1]
    size = n if mask is None else count(mask, tf.int32)
    # An offset of the values adds a constant to each row of logits, which the softmax ignores.
    # Centring takes the offset off before it costs precision.
    rows -= mean(rows, mask)
    distance = tf.abs(rows[..., :, None] - rows[..., None, :])
    if mask is not None:
        distance = tf.where(mask[:, None, :], distance, 0)
    distance = tf.reduce_sum(distance, axis=-1)
    factors = tf.cast(size + 1 - 2 * tf.range(1, n + 1), rows.dtype)
    logits = (factors[..., :, None] * rows[..., None, :] - distance[..., None, :]) / temperature
    return logits if mask is None else tf.where(mask[:, None, :], logits, UNREACHED)
