"""Learn to rank lists of different length by grades of relevance, padded, against ListMLE.

    python -m examples.padded_lists

A query has 3 to 12 documents, and each document a grade from 0 to 4, so there are ties. Lists are
padded with zeros, and the network masks what is padded. Each loss trains the same network.
"""

from __future__ import annotations

import keras
import numpy as np

from shuffle_to_learn import ExpectedKendall, FastSoftRanking, Kendall, ListMLE, RankNet

LENGTH, FEATURES = 12, 10


def data(lists: int) -> tuple[np.ndarray, np.ndarray]:
    """Padded lists of documents.

    Returns:
        Their features, shape (lists, 12, 10), and their grades plus 1, shape (lists, 12); 0 where
        there is no document.
    """
    rng = np.random.default_rng(0)
    features = rng.normal(size=(lists, LENGTH, FEATURES))
    worth = np.tanh(features[..., 0] * features[..., 1]) + features[..., 2]
    noisy = worth + rng.normal(0, 0.3, worth.shape)
    grades = np.digitize(noisy, [-1.0, 0.0, 0.7, 1.5])
    there = np.arange(LENGTH) < rng.integers(3, LENGTH + 1, size=(lists, 1))
    return features * there[..., None], (grades + 1) * there


def network() -> keras.Model:
    """A score for each document, shape (batch, 12, 1), with the mask of what is padded."""
    return keras.Sequential(
        [
            keras.layers.Input((LENGTH, FEATURES)),
            keras.layers.Masking(),
            keras.layers.Dense(32, "relu"),
            keras.layers.Dense(1),
        ]
    )


def main() -> dict[str, float]:
    """Train a network by each loss; print and return Kendall's tau on 1,000 new lists."""
    features, grades = data(3000)
    found = {}
    for loss in (
        FastSoftRanking(ties="average"),
        RankNet(ties="average"),
        ExpectedKendall(),
        ListMLE(ties="average"),
    ):
        keras.utils.set_random_seed(0)
        model = network()
        model.compile(keras.optimizers.Adam(0.005), loss, metrics=[Kendall()])
        model.fit(features[1000:], grades[1000:], epochs=10, verbose=0)
        scores = model.evaluate(features[:1000], grades[:1000], verbose=0, return_dict=True)
        found[loss.name] = scores["kendall"]
        print(f"{loss.name:20} tau {scores['kendall']:.3f}")
    return found


if __name__ == "__main__":
    main()
