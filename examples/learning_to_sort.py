"""Learn to put hidden numbers in order: a score for each, trained on ranks alone.

python -m examples.learning_to_sort
"""

from __future__ import annotations

import keras
import numpy as np

from shuffle_to_learn import PartialRanks, PerturbedFenchelYoung, rank


def data(sets: int, n: int = 8) -> tuple[np.ndarray, np.ndarray]:
    """Sets of n numbers in [0, 1): 16 features of each, shape (sets, n, 16), and their ranks."""
    rng = np.random.default_rng(0)
    values = rng.uniform(size=(sets, n))
    features = np.sin(values[..., None] * rng.normal(0, 5, 16))
    return features, rank(values).numpy()


def main() -> float:
    """Train a network; print and return the share of ranks that are right in 1,000 new sets."""
    keras.utils.set_random_seed(0)
    features, ranks = data(3000)
    model = keras.Sequential(
        [
            keras.layers.Input(features.shape[1:]),
            keras.layers.Dense(64, "relu"),
            keras.layers.Dense(1),  # a score for each number, from its own features
            keras.layers.Flatten(),
        ]
    )
    loss = PerturbedFenchelYoung(epsilon=1.0, num_samples=None)
    model.compile("adam", loss, metrics=[PartialRanks()])
    model.fit(features[1000:], ranks[1000:], epochs=10, verbose=0)
    right = model.evaluate(features[:1000], ranks[:1000], verbose=0, return_dict=True)
    print(f"right ranks: {right['partial_ranks']:.4f} (by chance 0.125)")
    return right["partial_ranks"]


if __name__ == "__main__":
    main()
