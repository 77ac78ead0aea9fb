"""The fixed set of permutations."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest

from shuffle_to_learn.pretext.permutations import max_hamming_permutations


def mean_distance(rows: np.ndarray) -> float:
    """Mean Hamming distance of all pairs."""
    apart = (rows[:, None] != rows[None]).sum(axis=-1)
    return float(apart.sum() / (len(rows) * (len(rows) - 1)))


@pytest.mark.parametrize(
    ("n", "count"), [(2, 2), (3, 6), (4, 24), (5, 30), (8, 100), (10, 100), (16, 50), (200, 5)]
)
def test_rows_are_distinct_permutations(n: int, count: int) -> None:
    rows = max_hamming_permutations(n, count)
    assert rows.shape == (count, n)
    assert rows.dtype == np.int32
    assert (np.sort(rows, axis=1) == np.arange(n)).all()
    assert len(np.unique(rows, axis=0)) == count


@pytest.mark.parametrize("n", [5, 10])
def test_rows_are_further_apart_than_random_ones(n: int) -> None:
    rng = np.random.default_rng(0)
    chosen = mean_distance(max_hamming_permutations(n, 20))
    for _ in range(50):
        assert chosen > mean_distance(rng.permuted(np.tile(np.arange(n), (20, 1)), axis=1))


def test_a_set_of_n_can_be_wholly_apart() -> None:
    assert mean_distance(max_hamming_permutations(4, 4)) == 4


@pytest.mark.parametrize("seed", range(5))
def test_each_choice_is_the_furthest_from_those_before(seed: int) -> None:
    rows = max_hamming_permutations(4, 24, seed)
    for k in range(1, 24):
        before = {tuple(row) for row in rows[:k]}
        distance = {
            p: sum((rows[:k] != p).sum(axis=1))
            for p in itertools.permutations(range(4))
            if p not in before
        }
        assert distance[tuple(rows[k])] == max(distance.values())


@pytest.mark.parametrize("n", [5, 10])
def test_the_seed_decides(n: int) -> None:
    first, again, other = (max_hamming_permutations(n, 10, seed) for seed in (0, 0, 1))
    assert np.array_equal(first, again)
    assert not np.array_equal(first, other)


def test_the_start_is_random() -> None:
    starts = {tuple(max_hamming_permutations(4, 1, seed)[0]) for seed in range(20)}
    assert len(starts) > 5


@pytest.mark.parametrize(("n", "count"), [(3, 7), (1, 1), (0, 1), (4, 0), (5, 121)])
def test_more_than_there_are_is_refused(n: int, count: int) -> None:
    with pytest.raises(ValueError, match=rf"{count}.*permutations of {n} elements"):
        max_hamming_permutations(n, count)


def test_more_than_the_sample_holds_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("shuffle_to_learn.pretext.permutations.ENUMERATE_UP_TO", 3)
    monkeypatch.setattr("shuffle_to_learn.pretext.permutations.CANDIDATES", 10)
    rows = max_hamming_permutations(4, 10)
    assert len(np.unique(rows, axis=0)) == 10
    with pytest.raises(ValueError, match="too many to sample"):
        max_hamming_permutations(4, math.factorial(4))
