"""Embedding inputs with a CFN whose weights are frozen."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence

import keras
import numpy as np
import tensorflow as tf

from shuffle_to_learn import patches
from shuffle_to_learn.models.forward import forward_layers
from shuffle_to_learn.slicing import Slicing

BATCH = 250
"""Inputs at a time."""


def embed(
    model: keras.Model,
    inputs: np.ndarray,
    slicing: Slicing,
    *,
    layer: str = "joined",
    gap: int = 0,
    batch_size: int = BATCH,
    progress: Callable[[Iterable[int]], Iterable[int]] = iter,
) -> np.ndarray:
    """The embeddings of inputs, with their patches in the original order.

    Args:
        model: a CFN.
        inputs: shape (N, height, width[, channels]) or (N, frames, height, width, channels).
        slicing: as in pretraining.
        layer: ``joined`` (the paper's) or ``tiles``.
        gap: as in pretraining; patches are centred in their cells.
        batch_size: inputs at a time.
        progress: a progress callback, wrapped around the iteration over the batches.

    Returns:
        float32, shape (N, features).

    Source: Shuffle to Learn, section 4.1.
    """
    batches = embed_batches(
        model, inputs, slicing, [layer], gap=gap, batch_size=batch_size, progress=progress
    )
    return np.concatenate([embedded for (embedded,) in batches])


def embed_batches(
    model: keras.Model,
    inputs: np.ndarray,
    slicing: Slicing,
    layers: Sequence[str],
    *,
    gap: int = 0,
    batch_size: int = BATCH,
    progress: Callable[[Iterable[int]], Iterable[int]] = iter,
) -> Iterator[list[np.ndarray]]:
    """As :func:`embed`, a batch at a time and for several layers: in one pass, one array a layer.

    The other arguments are those of :func:`embed`.
    """

    @tf.function(reduce_retracing=True)
    def embedding(batch: tf.Tensor) -> list[tf.Tensor]:
        x = patches.as_images(patches.cut(patches.with_channels(batch), slicing, gap))
        return [tf.cast(y, tf.float32) for y in forward_layers(model, x, layers)]

    for start in progress(range(0, len(inputs), batch_size)):
        embedded = embedding(tf.constant(inputs[start : start + batch_size]))
        yield [layer.numpy() for layer in embedded]
