"""Embedding inputs with a CFN whose weights are frozen."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator

import keras
import numpy as np
import tensorflow as tf

from shuffle_to_learn import patches
from shuffle_to_learn.models.forward import forward
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
    return np.concatenate(
        list(
            embed_batches(
                model, inputs, slicing, layer, gap=gap, batch_size=batch_size, progress=progress
            )
        )
    )


def embed_batches(
    model: keras.Model,
    inputs: np.ndarray,
    slicing: Slicing,
    layer: str = "joined",
    *,
    gap: int = 0,
    batch_size: int = BATCH,
    progress: Callable[[Iterable[int]], Iterable[int]] = iter,
) -> Iterator[np.ndarray]:
    """As :func:`embed`, a batch at a time."""

    @tf.function(reduce_retracing=True)
    def embedding(batch: tf.Tensor) -> tf.Tensor:
        x = patches.as_images(patches.cut(patches.with_channels(batch), slicing, gap))
        return tf.cast(forward(model, x, layer=layer), tf.float32)

    for start in progress(range(0, len(inputs), batch_size)):
        yield embedding(tf.constant(inputs[start : start + batch_size])).numpy()
