"""Permutations of patches: sampling them, and the fixed set of earlier work."""

from __future__ import annotations

import itertools
import math
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:  # the fixed set is chosen without it
    import tensorflow as tf

ENUMERATE_UP_TO = 9
CANDIDATES = 100_000


def random_permutations(batch: int | tf.Tensor, n: int, seed: tf.Tensor) -> tf.Tensor:
    """Permutations drawn from all n!, each as likely as another.

    Args:
        batch: how many.
        n: number of elements.
        seed: a stateless seed of two integers.

    Returns:
        int32, shape (batch, n), 0-based.
    """
    import tensorflow as tf

    return tf.argsort(tf.random.stateless_uniform([batch, n], seed), axis=-1)


def max_hamming_permutations(n: int, count: int, seed: int = 0) -> np.ndarray:
    """A set of permutations far apart from one another, chosen greedily.

    The first permutation is random. Each further one has the greatest mean Hamming distance to the
    permutations chosen so far. Up to n = 9 the candidates are all n! permutations; beyond, a random
    pool of 100,000, or of 2 ``count`` if that is more.

    Args:
        n: number of elements, at least 2.
        count: size of the set, at most n!.
        seed: decides the first permutation, the pool and how ties are broken.

    Returns:
        int32, shape (count, n), 0-based, all rows distinct.

    Raises:
        ValueError: where n < 2 or there are fewer than ``count`` candidates.

    Source: Noroozi & Favaro 2016, "Unsupervised learning of visual representations by solving
    jigsaw puzzles", section 4.2 (maximal-Hamming variant).
    """
    if n < 2 or count < 1:
        raise ValueError(f"no set of {count} permutations of {n} elements")
    if count > math.factorial(n):
        raise ValueError(
            f"{count} distinct permutations of {n} elements do not exist: there are "
            f"{math.factorial(n)}"
        )
    rng = np.random.Generator(np.random.Philox(seed))
    if n <= ENUMERATE_UP_TO:
        pool = np.array(list(itertools.permutations(range(n))), dtype=np.int16)
        rng.shuffle(pool)  # argmax takes the first of equals, so this breaks ties at random
    else:
        pool = np.unique(
            np.argsort(rng.random((max(CANDIDATES, 2 * count), n)), axis=1).astype(np.int16), axis=0
        )
        if count > len(pool):
            raise ValueError(f"{count} of {n}! permutations are too many to sample: ask for fewer")
        rng.shuffle(pool)
    chosen = np.empty((count, n), dtype=np.int32)
    distance = np.zeros(len(pool), dtype=np.int64)
    pick = 0
    for k in range(count):
        chosen[k] = pool[pick]
        distance += (pool != pool[pick]).sum(axis=1)
        distance[pick] = -1_000_000_000  # never chosen again
        pick = int(np.argmax(distance))
    return chosen
