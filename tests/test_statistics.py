"""The bootstrap of crossed tables, against known answers."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import stats

from shuffle_to_learn.evaluation.statistics import (
    Interval,
    compare,
    crossed_interval,
    paired_difference,
    seed_coverage,
)


def crossed(
    random: np.random.Generator, seeds: int, replicates: int, sd: tuple[float, float, float]
) -> np.ndarray:
    """A table of mean 0 with the standard deviations of its seeds, replicates and cells."""
    return (
        sd[0] * random.normal(size=(seeds, 1))
        + sd[1] * random.normal(size=(1, replicates))
        + sd[2] * random.normal(size=(seeds, replicates))
    )


@pytest.mark.parametrize("shape", [(12, 1), (1, 12)])
def test_one_level_agrees_with_scipy(shape: tuple[int, int]) -> None:
    values = np.random.default_rng(3).gamma(2.0, size=12)
    ours = crossed_interval(values.reshape(shape), resamples=99999)
    theirs = stats.bootstrap(
        (values,), np.mean, n_resamples=99999, method="percentile", rng=np.random.default_rng(4)
    ).confidence_interval
    assert ours.mean == pytest.approx(values.mean())
    # two runs of 99,999 resamples differ by about a hundredth of the standard error
    error = values.std() / math.sqrt(12)
    assert ours.low == pytest.approx(theirs.low, abs=0.04 * error)
    assert ours.high == pytest.approx(theirs.high, abs=0.04 * error)


def test_paired_difference_agrees_with_scipy() -> None:
    random = np.random.default_rng(5)
    first = random.normal(size=10)
    second = first + random.normal(0.3, 0.2, size=10)
    ours = paired_difference(first[:, None], second[:, None], resamples=99999)
    theirs = stats.bootstrap(
        (first, second),
        lambda x, y, axis: (x - y).mean(axis=axis),
        paired=True,
        vectorized=True,
        n_resamples=99999,
        method="percentile",
        rng=np.random.default_rng(6),
    ).confidence_interval
    assert ours.low == pytest.approx(theirs.low, abs=0.005)
    assert ours.high == pytest.approx(theirs.high, abs=0.005)


def test_two_by_two_has_the_limits_that_enumeration_gives() -> None:
    """All 16 resamples are alike likely; 1 in 16 is more than 2.5 %, so the limits are extremes."""
    interval = crossed_interval([[0.0, 1.0], [4.0, 7.0]])
    assert interval == Interval(3.0, 0.0, 7.0)


@pytest.mark.parametrize(
    ("seeds", "replicates", "sd", "low", "high"),
    [
        (30, 30, (1.0, 1.0, 1.0), 0.92, 0.98),  # large enough: the nominal level
        (2, 5, (1.0, 0.0, 0.01), 0.45, 0.57),  # two seeds: a coin toss, as documented
        (2, 5, (1.0, 0.0, 0.3), 0.55, 0.67),  # the first cell of the documented table
        (10, 5, (1.0, 0.0, 0.3), 0.88, 0.95),  # its last row
    ],
)
def test_coverage_on_simulated_crossed_tables(
    seeds: int, replicates: int, sd: tuple[float, float, float], low: float, high: float
) -> None:
    random = np.random.default_rng(1)
    tables = [crossed(random, seeds, replicates, sd) for _ in range(500)]
    hits = [
        crossed_interval(table, resamples=399, seed=i).covers(0) for i, table in enumerate(tables)
    ]
    assert low <= np.mean(hits) <= high


def test_ignoring_the_crossing_would_be_too_sure() -> None:
    """Seeds shared by all replicates: resampling cells as if independent misses most of it."""
    table = crossed(np.random.default_rng(2), 10, 10, (1.0, 0.0, 0.1))
    ours = crossed_interval(table)
    naive = crossed_interval(table.reshape(-1, 1))
    assert ours.high - ours.low > 2 * (naive.high - naive.low)


def test_pairing_takes_out_what_is_shared() -> None:
    random = np.random.default_rng(7)
    shared = crossed(random, 4, 5, (1.0, 1.0, 0.0))
    first, second = (shared + 0.01 * random.normal(size=(4, 5)) for _ in range(2))
    second += 0.1
    difference = paired_difference(second, first)
    assert difference.mean == pytest.approx(0.1, abs=0.01)
    assert 0.05 < difference.low < difference.high < 0.15
    assert crossed_interval(first).high - crossed_interval(first).low > 0.5


def test_paired_differences_are_exactly_antisymmetric() -> None:
    random = np.random.default_rng(8)
    for shape in ((2, 5), (3, 7), (5, 1), (1, 4)):
        first, second = random.normal(size=shape), random.normal(size=shape)
        one, other = paired_difference(first, second), paired_difference(second, first)
        assert one == Interval(-other.mean, -other.high, -other.low)


def test_deterministic_and_the_seed_matters() -> None:
    table = crossed(np.random.default_rng(9), 5, 6, (1.0, 1.0, 1.0))
    assert crossed_interval(table) == crossed_interval(table.copy())
    assert crossed_interval(table) != crossed_interval(table, seed=1)


def test_a_single_value_has_no_interval() -> None:
    interval = crossed_interval([[0.5]])
    assert interval.mean == 0.5
    assert math.isnan(interval.low) and math.isnan(interval.high)
    assert interval.covers(123.0)


def test_equal_values_have_an_interval_of_no_width() -> None:
    assert crossed_interval(np.full((2, 3), 0.25)) == Interval(0.25, 0.25, 0.25)


def test_compare_marks_the_best_and_what_may_be_as_good() -> None:
    random = np.random.default_rng(10)
    shared = crossed(random, 5, 5, (0.1, 0.1, 0.0))
    better = shared + 0.2 + 0.01 * random.normal(size=(5, 5))
    tables = {
        "worse": shared,
        "better": better,
        "as good": better + 0.05 * (np.arange(25).reshape(5, 5) % 2 - 0.5),
    }
    tables["as good"] -= tables["as good"].mean() - better.mean() + 1e-4
    result = compare(tables, higher_is_better=True)
    assert [key for key, value in result.items() if value.best] == ["better"]
    assert [key for key, value in result.items() if value.indistinguishable] == ["as good"]
    assert result["worse"].difference.mean == pytest.approx(-0.2, abs=0.01)
    assert result["better"].difference == Interval(0.0, 0.0, 0.0)
    lowest = compare(tables, higher_is_better=False)
    assert [key for key, value in lowest.items() if value.best] == ["worse"]


def test_compare_claims_nothing_from_single_values() -> None:
    result = compare({"a": [[1.0]], "b": [[2.0]]}, higher_is_better=True)
    assert result["b"].best and result["a"].indistinguishable


def test_seed_coverage() -> None:
    assert [seed_coverage(n) for n in (1, 2, 3, 5)] == [0.0, 0.5, 0.75, 0.9375]
    with pytest.raises(ValueError):
        seed_coverage(0)


@pytest.mark.parametrize(
    "table", [[1.0, 2.0], [[]], [[1.0, math.nan]], [[math.inf]], np.zeros((2, 2, 2))]
)
def test_refuses_what_is_no_table(table: object) -> None:
    with pytest.raises(ValueError):
        crossed_interval(table)  # type: ignore[arg-type]


def test_refuses_mismatched_pairs_and_too_few_resamples() -> None:
    with pytest.raises(ValueError, match="cannot be paired"):
        paired_difference(np.zeros((2, 3)), np.zeros((3, 2)))
    with pytest.raises(ValueError, match="resamples"):
        crossed_interval(np.zeros((2, 3)), resamples=10)
