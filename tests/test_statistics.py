"""Intervals and tests over seeds, against scipy, brute force and simulation."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from shuffle_to_learn.evaluation.statistics import (
    Interval,
    agreement,
    compare,
    holm,
    independent_difference,
    paired_difference,
    seed_interval,
    seeds_to_decide,
    sign_flip_p,
    spearman_interval,
    student_p,
)

LAWS = {
    "normal": lambda random, size: random.normal(size=size),
    "heavy": lambda random, size: random.standard_t(3, size=size) / math.sqrt(3),
    "skewed": lambda random, size: random.exponential(size=size) - 1,
}
SPREADS = [(1.0, 0.0, 0.3), (1.0, 1.0, 0.3), (0.3, 1.0, 0.3), (0.0, 0.0, 1.0)]
tables = st.integers(2, 7).flatmap(
    lambda seeds: st.integers(1, 4).flatmap(
        lambda draws: st.lists(
            st.lists(st.floats(-100, 100), min_size=draws, max_size=draws),
            min_size=seeds,
            max_size=seeds,
        )
    )
)


def study(random: np.random.Generator, law: str, seeds: int, spread: tuple) -> np.ndarray:
    """A table of mean 0: effects of seeds, of each seed's own draws, and noise in the cells."""
    draw = LAWS[law]
    parts = draw(random, (seeds, 1)), draw(random, (seeds, 3)), draw(random, (seeds, 3))
    return sum(deviation * part for deviation, part in zip(spread, parts, strict=True))


@pytest.mark.parametrize("seeds", [3, 6, 10])
@pytest.mark.parametrize("spread", SPREADS)
@pytest.mark.parametrize("law", LAWS)
def test_intervals_cover(law: str, spread: tuple, seeds: int) -> None:
    """Of differences for every law; of a method's own score but for a law as skewed as this."""
    random = np.random.default_rng(0)
    both = [[study(random, law, seeds, spread) for _ in range(2)] for _ in range(1500)]
    # 1,500 studies have a standard error of 0.0056 at 0.95.
    assert np.mean([paired_difference(a, b).covers(0) for a, b in both]) > 0.93
    alone = np.mean([seed_interval(a).covers(0) for a, _ in both])
    assert alone > (0.87 if law == "skewed" else 0.93)


def test_draws_that_all_seeds_share_would_not_cover() -> None:
    """Why each seed has its own draws: seeds that share them are too sure, however many."""
    random = np.random.default_rng(1)
    hits = [
        seed_interval(0.3 * random.normal(size=(10, 3)) + random.normal(size=(1, 3))).covers(0)
        for _ in range(500)
    ]
    assert np.mean(hits) < 0.5


@pytest.mark.parametrize("level", [0.8, 0.95, 0.99])
def test_the_interval_and_p_are_scipys(level: float) -> None:
    values = np.random.default_rng(3).gamma(2.0, size=(7, 3))
    result = stats.ttest_1samp(values.mean(axis=1), 1.5)
    theirs = result.confidence_interval(level)
    assert seed_interval(values, level=level)[1:] == pytest.approx(tuple(theirs))
    assert student_p(values, 1.5) == pytest.approx(result.pvalue)


def test_a_paired_difference_is_scipys() -> None:
    random = np.random.default_rng(5)
    first, second = random.normal(size=(6, 1)), random.normal(0.3, 0.2, size=(6, 1))
    theirs = stats.ttest_rel(first[:, 0], second[:, 0]).confidence_interval()
    assert paired_difference(first, second)[1:] == pytest.approx(tuple(theirs))


def test_an_independent_difference_is_scipys() -> None:
    random = np.random.default_rng(6)
    first, second = random.normal(size=(6, 3)), random.normal(0.3, 3, size=(4, 5))
    result = stats.ttest_ind(first.mean(axis=1), second.mean(axis=1), equal_var=False)
    found = independent_difference(first, second)
    assert found[1:] == pytest.approx(tuple(result.confidence_interval()))
    assert found.mean == pytest.approx(first.mean() - second.mean())
    assert math.isnan(independent_difference(first[:1], second).low)
    assert independent_difference([[1.0], [1.0]], [[0.5], [0.5]]) == Interval(0.5, 0.5, 0.5)


@pytest.mark.parametrize("seeds", range(1, 9))
def test_the_sign_flip_test_is_scipys(seeds: int) -> None:
    values = np.random.default_rng(seeds).normal(0.7, size=seeds)
    if seeds == 1:
        assert sign_flip_p(values[:, None]) == 1
        return
    theirs = stats.permutation_test(
        (values,), np.mean, permutation_type="samples", n_resamples=np.inf
    ).pvalue
    assert sign_flip_p(values[:, None]) == pytest.approx(theirs)


def test_the_sign_flip_test_needs_six_seeds_for_five_percent() -> None:
    assert sign_flip_p(np.ones((5, 2))) == 2 / 32
    assert sign_flip_p(np.ones((6, 2))) == 2 / 64
    assert sign_flip_p(np.ones((6, 2)), center=1) == 1
    many = np.random.default_rng(0).normal(0.4, size=(25, 1))  # sampled: beside Student's p
    assert sign_flip_p(many) == pytest.approx(student_p(many), rel=0.2)


def test_holm_of_the_example_by_hand() -> None:
    """0.01, 0.04, 0.03, 0.005 by 4, 3, 2, 1 in their order, never falling."""
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert holm([]) == []


@given(st.lists(st.floats(0, 1), min_size=1, max_size=8))
def test_holm_rejects_what_the_closed_test_by_bonferroni_rejects(p: list[float]) -> None:
    """A hypothesis is rejected where Bonferroni rejects every intersection that it is in."""
    for place, adjusted in enumerate(holm(p)):
        worst = 0.0
        for size in range(1, len(p) + 1):
            for group in itertools.combinations(range(len(p)), size):
                if place in group:
                    worst = max(worst, min(1.0, size * min(p[i] for i in group)))
        assert adjusted == pytest.approx(worst)


@given(tables, st.floats(-10, 10))
def test_p_and_interval_agree(table: list, center: float) -> None:
    interval, p = seed_interval(table), student_p(table, center)
    width = interval.high - interval.low
    edge = min(abs(center - interval.low), abs(center - interval.high))
    if edge > 1e-9 * (1 + width + abs(interval.mean)):
        assert interval.covers(center) == (p >= 0.05)


@given(tables)
def test_a_difference_is_antisymmetric_and_zero_of_itself(table: list) -> None:
    first = np.asarray(table)
    second = np.roll(first, 1, axis=0)
    one, other = paired_difference(first, second), paired_difference(second, first)
    assert one == Interval(-other.mean, -other.high, -other.low)
    assert paired_difference(first, first) == Interval(0, 0, 0)
    assert 0 <= agreement(table) <= len(table)


def test_draws_are_averaged_within_their_seed() -> None:
    values = np.random.default_rng(2).normal(size=(5, 4))
    assert seed_interval(values) == seed_interval(values.mean(axis=1, keepdims=True))
    assert agreement([[3, -1], [1, 1], [-2, 1]]) == 2


@pytest.mark.parametrize("apart", [0.3, 1.0, 2.0])
def test_as_many_seeds_as_would_decide(apart: float) -> None:
    """So many seeds of the same mean and spread leave 0 out, and one less do not."""

    def alike(seeds: int) -> np.ndarray:
        values = np.linspace(-1, 1, seeds)
        return (apart + values / values.std(ddof=1))[:, None]

    needed = seeds_to_decide(alike(6))
    assert needed is not None and not seed_interval(alike(needed)).covers(0)
    assert seed_interval(alike(needed - 1)).covers(0)
    assert seeds_to_decide(alike(6), center=apart) is None
    assert seeds_to_decide([[1.0, 2.0]]) is None


def test_pairing_takes_out_what_is_shared() -> None:
    random = np.random.default_rng(7)
    shared = random.normal(size=(4, 1)) + random.normal(size=(4, 5))
    first, second = (shared + 0.01 * random.normal(size=(4, 5)) for _ in range(2))
    difference = paired_difference(second + 0.1, first)
    assert 0.05 < difference.low < 0.1 < difference.high < 0.15
    assert seed_interval(first).high - seed_interval(first).low > 0.5


def test_a_single_seed_has_no_interval() -> None:
    interval = seed_interval([[0.5, 0.7]])
    assert interval.mean == pytest.approx(0.6)
    assert math.isnan(interval.low) and math.isnan(interval.high)
    assert interval.covers(123.0) and student_p([[0.5, 0.7]]) == 1


def test_equal_values_have_an_interval_of_no_width() -> None:
    assert seed_interval(np.full((2, 3), 0.25)) == Interval(0.25, 0.25, 0.25)
    assert (student_p(np.ones((3, 1))), student_p(np.ones((3, 1)), 1.0)) == (0, 1)


def test_compare_marks_the_best_and_what_may_be_as_good() -> None:
    random = np.random.default_rng(10)
    shared = 0.1 * random.normal(size=(5, 5))
    better = shared + 0.2 + 0.01 * random.normal(size=(5, 5))
    tables = {"worse": shared, "better": better, "as good": better.copy()}
    tables["as good"] += np.array([1, -1, 1, -1, -0.1])[:, None] * 0.02
    result = compare(tables, higher_is_better=True)
    assert [key for key, value in result.items() if value.best] == ["better"]
    assert [key for key, value in result.items() if value.indistinguishable] == ["as good"]
    assert result["worse"].difference.mean == pytest.approx(-0.2, abs=0.01)
    assert (result["worse"].agree, result["worse"].sign_flip_p) == (5, 2 / 32)
    assert result["better"].difference == Interval(0.0, 0.0, 0.0)
    lowest = compare(tables, higher_is_better=False)
    assert [key for key, value in lowest.items() if value.best] == ["worse"]


def test_compare_allows_for_the_number_of_methods() -> None:
    """Methods that are all alike, beside a best one that is none of them: few are told apart."""
    random = np.random.default_rng(11)
    alone = together = 0
    for _ in range(300):
        tables = {str(m): random.normal(size=(6, 1)) for m in range(7)}
        found = compare(tables, higher_is_better=True)
        p = {key: student_p(t - tables["0"]) for key, t in tables.items() if key != "0"}
        alone += min(p.values()) < 0.05
        together += min(holm(list(p.values()))) < 0.05
        best = next(key for key, value in found.items() if value.best)
        apart = [key for key in tables if key != best]
        raw = [student_p(tables[key] - tables[best]) for key in apart]
        assert [found[key].holm_p for key in apart] == holm(raw)
    assert together < 0.08 * 300 < alone


def test_compare_claims_nothing_from_one_seed() -> None:
    result = compare({"a": [[1.0, 1.1]], "b": [[2.0, 2.1]]}, higher_is_better=True)
    assert result["b"].best and result["a"].indistinguishable


def test_spearman_is_scipys_and_covers() -> None:
    random = np.random.default_rng(12)

    def study(seeds: int) -> tuple[np.ndarray, np.ndarray]:
        shared = 0.5 * random.normal(size=(seeds, 1))
        x = np.array([-1, 0, 1]) + random.normal(size=(seeds, 3)) + shared
        return x, 0.5 * x + random.normal(size=(seeds, 3)) + shared

    x, y = study(6)
    assert spearman_interval(x, y)[0].mean == pytest.approx(
        stats.spearmanr(x.ravel(), y.ravel()).statistic
    )
    many = study(50_000)
    true = stats.spearmanr(many[0].ravel(), many[1].ravel()).statistic
    for seeds in (3, 6):
        found = [spearman_interval(*study(seeds))[0].covers(true) for _ in range(250)]
        assert np.mean(found) > 0.92


def test_spearman_at_its_ends() -> None:
    rising = np.arange(12.0).reshape(4, 3)
    up, _ = spearman_interval(rising, rising**3)
    down, _ = spearman_interval(rising, -rising)
    assert up.mean == -down.mean and 0.98 < up.mean < 1
    assert math.isnan(spearman_interval(np.ones((4, 3)), rising)[0].mean)
    with pytest.raises(ValueError, match="3 x 2"):
        spearman_interval(rising[:2], rising[:2])


@pytest.mark.parametrize(
    "table", [[1.0, 2.0], [[]], [[1.0, math.nan]], [[math.inf]], np.zeros((2, 2, 2))]
)
def test_refuses_what_is_no_table(table: object) -> None:
    for function in (seed_interval, student_p, sign_flip_p, agreement, seeds_to_decide):
        with pytest.raises(ValueError):
            function(table)  # type: ignore[arg-type, operator]


def test_refuses_mismatched_pairs() -> None:
    with pytest.raises(ValueError, match="cannot be paired"):
        paired_difference(np.zeros((2, 3)), np.zeros((3, 2)))
