"""Shuffling some inputs and predicting the ranks that undo the shuffle."""

from __future__ import annotations

import keras
import numpy as np
import tensorflow as tf

from shuffle_to_learn.models.forward import forward
from shuffle_to_learn.patches import as_images, cut, reorder, with_channels
from shuffle_to_learn.pretext.methods.base import Method
from shuffle_to_learn.slicing import Slicing


def put_back(
    model: keras.Model,
    method: Method,
    inputs: np.ndarray,
    slicing: Slicing,
    *,
    gap: int = 0,
    orders: np.ndarray | None = None,
    seed: int = 0,
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Shuffle the patches of inputs and predict their ranks.

    Args:
        model: a CFN that was trained by the method.
        method: samples the orders and predicts ranks from the network's scores.
        inputs: shape (N, height, width[, channels]) or (N, frames, height, width, channels).
        slicing: as in pretraining.
        gap: as in pretraining; patches are centred in their cells.
        orders: the shuffles, 0-based, shape (N, n); if None, such as the method was trained on.
        seed: decides the shuffles, where no orders are given.

    Returns:
        The patches in order, float32, shape (N, n, height, width, channels); the orders, 0-based
        (place k of the shuffled sequence holds patch ``orders[:, k]``), and the predicted ranks
        1..n of the places, both int32, shape (N, n).
    """
    patches = as_images(cut(with_channels(tf.constant(inputs)), slicing, gap))
    if orders is None:
        orders = method.sample(len(inputs), tf.constant([0, seed])).numpy()
    predicted = method.predict(forward(model, reorder(patches, orders)))
    return patches.numpy(), orders, predicted.numpy()
