"""Intervals and tests for scores of networks trained from several seeds.

Seed s decides all that is random in one run of a method: the network's first weights, the order of
the inputs, the shuffles, and the labelled examples that the classifiers are fitted on. Replicate r
of seed s is a draw of its own, a function of (s, r), the same for every method. So a method's
scores are a table, seeds x draws, whose rows are independent of each other and alike in law
(X. Bouthillier et al., "Accounting for Variance in Machine Learning Benchmarks", MLSys 2021,
section 4: let all sources of variation differ between runs).

The statistic of a seed is the mean over its draws. A mean of S such numbers has the interval
mean +- t sd / sqrt(S), with t of Student's distribution with S - 1 degrees of freedom. Two methods
are compared by the differences seed by seed: what a seed or a draw does to both cancels.

How often the nominal 95 % interval holds the true mean (20,000 simulated tables each, 3 draws a
seed, seeds beside draws as three spreads: of a seed's effect, of a draw's and of a cell's noise)
is in docs/decisions/0006-intervals-over-seeds.md; tests/test_statistics.py simulates it again.
Student's interval is exact for normal data and mildly wide or narrow for others: it needs no
number of draws, and more draws only make it narrower.

One seed has no interval. With two, t is 12.7: the interval is honest and says next to nothing.
The exact sign-flip test cannot reach a two-sided p of 0.05 with fewer than 6 seeds (2 / 2**6).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple, TypeVar

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
Key = TypeVar("Key")

LEVEL = 0.95
FEWEST_SEEDS = 3  # for a verdict
MOST_SEEDS = 1000  # a number of seeds above this is not given


class Interval(NamedTuple):
    """A mean and the limits of its interval; the limits are NaN where there is no interval."""

    mean: float
    low: float
    high: float

    def covers(self, value: float) -> bool:
        """Whether the interval does not exclude ``value``; limits of NaN exclude no value."""
        return not (value < self.low or value > self.high)


class Comparison(NamedTuple):
    """One method compared with the best method of its column."""

    score: Interval
    difference: Interval  # this method minus the best, paired
    agree: int  # seeds in which the best is the better of the two
    sign_flip_p: float  # of the difference; NaN for the best
    holm_p: float  # Student's p of the difference, adjusted for the number of methods
    best: bool
    indistinguishable: bool  # not the best, but holm_p leaves open that it is as good


def seed_means(values: npt.ArrayLike) -> Floats:
    """The mean over its draws of each seed.

    Args:
        values: scores, shape (seeds, draws).

    Raises:
        ValueError: the table is empty, not two-dimensional or holds a number that is not finite.
    """
    table = np.asarray(values, dtype=np.float64)
    if table.ndim != 2 or not table.size:
        raise ValueError(f"expected seeds x draws, got an array of shape {table.shape}")
    if not np.isfinite(table).all():
        raise ValueError("a score is not a finite number")
    means: Floats = table.mean(axis=1)
    return means


def seed_interval(values: npt.ArrayLike, *, level: float = LEVEL) -> Interval:
    """The mean of a table of scores with Student's interval over its seeds.

    Args:
        values: shape (seeds, draws). A single seed has no interval.
        level: confidence level, in (0, 1).

    Raises:
        ValueError: as :func:`seed_means`.
    """
    means = seed_means(values)
    mean = float(means.mean())
    if len(means) == 1:
        return Interval(mean, float("nan"), float("nan"))
    half = _student(len(means) - 1, level) * float(means.std(ddof=1)) / np.sqrt(len(means))
    return Interval(mean, mean - half, mean + half)


def paired_difference(
    first: npt.ArrayLike, second: npt.ArrayLike, *, level: float = LEVEL
) -> Interval:
    """The mean of ``first - second`` with its interval: cell by cell of the same seed and draw.

    Raises:
        ValueError: as :func:`seed_means`, and if the two tables differ in shape.
    """
    return seed_interval(_differences(first, second), level=level)


def independent_difference(
    first: npt.ArrayLike, second: npt.ArrayLike, *, level: float = LEVEL
) -> Interval:
    """The mean of ``first`` minus the mean of ``second``, whose seeds are unrelated.

    Welch's interval, with the degrees of freedom of Welch and Satterthwaite. The tables may differ
    in shape. Where one has a single seed there is no interval.

    Raises:
        ValueError: as :func:`seed_means`.

    Source: B. L. Welch, "The generalization of Student's problem when several different population
    variances are involved", Biometrika 34 (1947).
    """
    one, other = seed_means(first), seed_means(second)
    mean = float(one.mean() - other.mean())
    if min(len(one), len(other)) == 1:
        return Interval(mean, float("nan"), float("nan"))
    parts = np.array([side.var(ddof=1) / len(side) for side in (one, other)])
    if not parts.sum():
        return Interval(mean, mean, mean)
    degrees = parts.sum() ** 2 / (parts**2 / [len(one) - 1, len(other) - 1]).sum()
    half = _student(float(degrees), level) * float(np.sqrt(parts.sum()))
    return Interval(mean, mean - half, mean + half)


def agreement(values: npt.ArrayLike, center: float = 0.0) -> int:
    """How many seeds lie on the side of ``center`` that the mean over all lies on.

    Args:
        values: shape (seeds, draws).
        center: the value in question.

    Raises:
        ValueError: as :func:`seed_means`.
    """
    apart = seed_means(values) - center
    return int((apart * np.sign(apart.mean()) > 0).sum())


def sign_flip_p(values: npt.ArrayLike, center: float = 0.0) -> float:
    """The exact two-sided p of the sign-flip test that the seeds' means are symmetric at a centre.

    It is the share of all 2**S ways to give the S differences from the centre a sign whose mean is
    at least as far from 0 as that of the data. It assumes symmetry and no more.

    Args:
        values: shape (seeds, draws); at most 20 seeds are gone through, of more a fixed sample of
            2**20 ways, which holds that of the data.
        center: the value in question.

    Raises:
        ValueError: as :func:`seed_means`.

    Source: R. A. Fisher, "The Design of Experiments" (1935), section 21.
    """
    apart = seed_means(values) - center
    seeds = len(apart)
    if seeds <= 20:
        ways = 2 * (np.arange(2**seeds)[:, None] >> np.arange(seeds) & 1) - 1
    else:
        ways = np.random.default_rng(0).choice([-1, 1], size=(2**20, seeds))
        ways[0] = 1
    sums = np.abs(ways @ apart)
    far = abs(apart.sum())
    return float(np.mean(sums >= far - 1e-12 * max(1.0, far)))  # equal sums differ by rounding


def student_p(values: npt.ArrayLike, center: float = 0.0) -> float:
    """Student's two-sided p that the mean of the seeds is ``center``; 1 of a single seed.

    It is below 1 - level exactly where :func:`seed_interval` of that level leaves ``center`` out.

    Raises:
        ValueError: as :func:`seed_means`.
    """
    means = seed_means(values)
    apart = float(means.mean()) - center
    if len(means) == 1:
        return 1.0
    error = float(means.std(ddof=1)) / np.sqrt(len(means))
    if not error:
        return float(apart == 0)
    from scipy.special import stdtr

    return float(2 * stdtr(len(means) - 1, -abs(apart) / error))


def holm(p: Sequence[float]) -> list[float]:
    """p values adjusted for their number: all below a level hold together at that level.

    Source: S. Holm, "A simple sequentially rejective multiple test procedure", Scandinavian Journal
    of Statistics 6 (1979).
    """
    order = np.argsort(p, kind="stable")
    factors = np.arange(len(p), 0, -1)
    adjusted = np.empty(len(p))
    adjusted[order] = np.minimum(np.maximum.accumulate(factors * np.asarray(p)[order]), 1)
    return adjusted.tolist()


def seeds_to_decide(
    values: npt.ArrayLike, center: float = 0.0, *, level: float = LEVEL
) -> int | None:
    """The least number of seeds whose interval would leave ``center`` out, at the spread seen.

    For planning: it takes mean and deviation of the seeds for the true ones.

    Args:
        values: shape (seeds, draws).
        center: the value in question.
        level: of the interval.

    Returns:
        At least 2; None of a single seed, or where it would be more than 1,000.

    Raises:
        ValueError: as :func:`seed_means`.
    """
    means = seed_means(values)
    if len(means) == 1:
        return None
    apart, deviation = abs(float(means.mean()) - center), float(means.std(ddof=1))
    for seeds in range(2, MOST_SEEDS + 1):
        if _student(seeds - 1, level) * deviation < apart * np.sqrt(seeds):
            return seeds
    return None


def compare(
    tables: Mapping[Key, npt.ArrayLike], *, higher_is_better: bool, level: float = LEVEL
) -> dict[Key, Comparison]:
    """Compare every method with the best one: its interval, and whether it may be as good.

    The best method is the one with the best mean, the first where means are equal. A method is told
    apart from it where Student's p of their paired difference, adjusted by Holm for the number of
    methods compared with the best, is below 1 - level. The best is chosen from the same scores,
    which this does not undo: of methods that are all alike, the best one is best by chance.

    Args:
        tables: each method's scores, of the same shape (seeds, draws).
        higher_is_better: which end is best.
        level: of the intervals, and of all comparisons together.
    """
    scores = {key: seed_interval(table, level=level) for key, table in tables.items()}
    pick = max if higher_is_better else min
    best = pick(scores, key=lambda key: scores[key].mean)
    others = [key for key in tables if key != best]
    apart = {key: _differences(tables[key], tables[best]) for key in tables}
    adjusted = dict(zip(others, holm([student_p(apart[key]) for key in others]), strict=True))
    result = {}
    for key in tables:
        found = key in adjusted
        result[key] = Comparison(
            scores[key],
            seed_interval(apart[key], level=level),
            agreement(apart[key]) if found else 0,
            sign_flip_p(apart[key]) if found else float("nan"),
            adjusted.get(key, float("nan")),
            not found,
            found and adjusted[key] >= 1 - level,
        )
    return result


def spearman_interval(
    first: npt.ArrayLike, second: npt.ArrayLike, *, level: float = LEVEL
) -> tuple[Interval, Floats]:
    """Spearman's rank correlation of two values of networks, with an interval over their seeds.

    Networks of one seed have their draws and more in common, so the seeds are the independent
    parts: the interval is that of the jackknife that leaves one seed out at a time, on the scale
    of Fisher's transformation (inverse hyperbolic tangent), with Student's t of S - 1 degrees.

    Args:
        first: shape (seeds, methods); at least 3 seeds and 2 methods.
        second: the same shape.
        level: confidence level, in (0, 1).

    Returns:
        The correlation in [-1, 1] with its interval, and each seed's pseudo-value on the
        transformed scale, shape (seeds,). NaN, without an interval, where all values of a table are
        equal, or are so without one of the seeds.

    Raises:
        ValueError: the tables differ in shape or are too small.

    Source: J. W. Tukey, "Bias and confidence in not-quite large samples", Annals of Mathematical
    Statistics 29 (1958); R. G. Miller, "The jackknife - a review", Biometrika 61 (1974), section 4.
    """
    one, other = np.asarray(first, np.float64), np.asarray(second, np.float64)
    if one.shape != other.shape or one.ndim != 2 or one.shape[0] < 3 or one.shape[1] < 2:
        raise ValueError("two tables of as many seeds and methods, at least 3 x 2, are needed")
    seeds = len(one)
    left = [np.arange(seeds) != s for s in range(seeds)]
    whole = _transformed(one, other)
    pseudo = np.array(
        [seeds * whole - (seeds - 1) * _transformed(one[rows], other[rows]) for rows in left]
    )
    mean, nan = float(np.tanh(whole)), float("nan")
    if not np.isfinite(pseudo).all():
        return Interval(mean, nan, nan), pseudo
    half = _student(seeds - 1, level) * pseudo.std(ddof=1) / np.sqrt(seeds)
    return Interval(mean, float(np.tanh(whole - half)), float(np.tanh(whole + half))), pseudo


def _transformed(one: Floats, other: Floats) -> float:
    """Fisher's transformation of Spearman's correlation, of one that is not quite -1 or 1."""
    from scipy import stats  # takes a second to import, and only this needs it

    n = one.size
    if len(set(one.flat)) == 1 or len(set(other.flat)) == 1:
        return float("nan")
    r = float(stats.spearmanr(one.ravel(), other.ravel()).statistic)
    # Half way to the nearest value that a correlation of n pairs can take: 1 has no transform.
    nearest = 1 - 3 / (n * (n**2 - 1))
    return float(np.arctanh(np.clip(r, -nearest, nearest)))


def _differences(first: npt.ArrayLike, second: npt.ArrayLike) -> Floats:
    one, other = np.asarray(first, np.float64), np.asarray(second, np.float64)
    if one.shape != other.shape:
        raise ValueError(f"tables of shapes {one.shape} and {other.shape} cannot be paired")
    return one - other


def _student(degrees: float, level: float) -> float:
    from scipy.special import stdtrit

    return float(stdtrit(degrees, 0.5 + level / 2))
