"""Intervals for scores from a crossed design: upstream seeds x downstream replicates.

Every method is pretrained with the same seeds, and replicate r of the downstream task is the same
draw of labelled examples for every method and seed. The scores of one method are therefore a
two-way table, seeds by replicates, and seeds and replicates are two crossed sources of chance.

The interval is the percentile interval of the bootstrap that resamples both at once, each with
replacement: draw rows (seeds), draw columns (replicates), take the mean of the table at their
crossings. This is the pigeonhole bootstrap (A. B. Owen, "The pigeonhole bootstrap", Annals of
Applied Statistics 1(2), 2007; P. McCullagh, "Resampling and exchangeable arrays", Bernoulli 6(2),
2000). The limits are order statistics of the resampled means (A. C. Davison and D. V. Hinkley,
"Bootstrap Methods and Their Application", 1997, section 5.3).

Two methods are compared by the same interval for the cell-by-cell difference of their tables: an
effect that a seed or a draw of examples has on both methods cancels.

What few seeds can and cannot say
---------------------------------
The bootstrap sees only the seeds that were run. With **2 seeds** the interval cannot reach beyond
the averages of the two seeds, except by the variation that the replicates add. Where seeds differ
by more than replicates do, the interval contains the true mean only if the mean lies between the
two averages, which is a coin toss (0.5), not 0.95. With S seeds the bound is 1 - 2^(1-S): 0.75 for
3, 0.94 for 5; :func:`seed_coverage` computes it. For the same reason, where two methods do not
differ at all, 2 seeds agree half of the time on the sign of a difference.

Replicates limit the coverage in the same way. The table shows the measured coverage of the nominal
95 % interval (2,000 simulated tables each, normal data, 5 replicates). The column heads give three
standard deviations: of a seed's effect, of a replicate's effect and of a cell's noise.

=====  ==================  ==================  ====================
seeds  1, 0, 0.3: seeds    1, 1, 0.3: both     0.3, 1, 0.3: draws
       matter most         matter alike        matter most
=====  ==================  ==================  ====================
2      0.61                0.77                0.85
3      0.77                0.85                0.86
5      0.86                0.90                0.87
10     0.92                0.88                0.86
=====  ==================  ==================  ====================

So an interval from 2 seeds describes the runs that were made and gives a direction; it is no
evidence about another seed. Use at least 5 seeds and 5 replicates, better 10 of each, before you
read it as anything like a 95 % interval.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple, TypeVar

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
Key = TypeVar("Key")

LEVEL = 0.95
RESAMPLES = 9999  # 2.5 % of (RESAMPLES + 1) is a whole number: the limits are order statistics
SEED = 0


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
    best: bool
    indistinguishable: bool  # not the best, but the difference may be 0


def crossed_interval(
    values: npt.ArrayLike,
    *,
    level: float = LEVEL,
    resamples: int = RESAMPLES,
    seed: int = SEED,
) -> Interval:
    """The mean of a table of scores with its bootstrap interval.

    Args:
        values: shape (seeds, replicates). With one row or one column this is the ordinary bootstrap
            over the other axis; a single value has no interval.
        level: confidence level, in (0, 1).
        resamples: number of resamples; ``(resamples + 1) * (1 - level) / 2`` should be a whole
            number.
        seed: the same seed and shape give the same resamples, whatever the values.

    Raises:
        ValueError: the table is empty, not two-dimensional or holds a number that is not finite.
    """
    table = _table(values)
    mean = float(table.mean())
    if table.size == 1:
        return Interval(mean, float("nan"), float("nan"))
    return _percentiles(mean, _resampled_means(table, resamples, seed), level)


def independent_difference(
    first: npt.ArrayLike,
    second: npt.ArrayLike,
    *,
    level: float = LEVEL,
    resamples: int = RESAMPLES,
    seed: int = SEED,
) -> Interval:
    """The mean of ``first`` minus the mean of ``second`` with its interval, resampled separately.

    This is for two tables whose seeds and draws are unrelated; the tables may differ in shape. Two
    single values have no interval.

    Raises:
        ValueError: as :func:`crossed_interval`.
    """
    one, other = _table(first), _table(second)
    mean = float(one.mean() - other.mean())
    if one.size == other.size == 1:
        return Interval(mean, float("nan"), float("nan"))
    means = _resampled_means(one, resamples, seed) - _resampled_means(other, resamples, seed + 1)
    return _percentiles(mean, means, level)


def paired_difference(
    first: npt.ArrayLike,
    second: npt.ArrayLike,
    *,
    level: float = LEVEL,
    resamples: int = RESAMPLES,
    seed: int = SEED,
) -> Interval:
    """The mean of ``first - second`` with its interval, from the same resamples for both tables.

    Cell (s, r) of both tables belongs to the same seed and the same draw of examples. The result is
    exactly antisymmetric: exchanging the tables exchanges the limits and changes their signs.

    Raises:
        ValueError: as :func:`crossed_interval`, and if the two tables differ in shape.
    """
    one, other = _table(first), _table(second)
    if one.shape != other.shape:
        raise ValueError(f"tables of shapes {one.shape} and {other.shape} cannot be paired")
    return crossed_interval(one - other, level=level, resamples=resamples, seed=seed)


def compare(
    tables: Mapping[Key, npt.ArrayLike], *, higher_is_better: bool
) -> dict[Key, Comparison]:
    """Compare every method with the best one: its interval, and whether it may be as good.

    The best method is the one with the best mean, the first where means are equal. It is chosen
    from the same scores, and no correction is made for the number of methods: a method may be
    called distinguishable because of that choice alone, and more likely so the more methods there
    are.
    """
    scores = {key: crossed_interval(table) for key, table in tables.items()}
    pick = max if higher_is_better else min
    best = pick(scores, key=lambda key: scores[key].mean)
    result = {}
    for key, table in tables.items():
        difference = paired_difference(table, tables[best])
        unsure = key != best and difference.covers(0.0)
        result[key] = Comparison(scores[key], difference, key == best, unsure)
    return result


def spearman_interval(
    first: npt.ArrayLike, second: npt.ArrayLike, *, level: float = LEVEL
) -> Interval:
    """Spearman's rank correlation of two lists of values with its interval.

    The interval uses Fisher's transformation (inverse hyperbolic tangent) and the standard error
    sqrt((1 + r^2 / 2) / (n - 3)). Pairs are assumed to be independent.

    Args:
        first: n values, at least 4.
        second: n values.
        level: confidence level, in (0, 1).

    Returns:
        The correlation in [-1, 1]; NaN, without an interval, if all values of a list are equal. For
        a correlation of -1 or 1 the formula has no width: the limits are then computed for the
        midpoint between it and the nearest other value that a correlation of n pairs can take.

    Raises:
        ValueError: the lists differ in length or have fewer than 4 values.

    Source: D. G. Bonett and T. A. Wright, "Sample size requirements for estimating Pearson, Kendall
    and Spearman correlations", Psychometrika 65 (2000).
    """
    from scipy import stats  # takes a second to import, and only this function needs it

    one, other = np.asarray(first, np.float64), np.asarray(second, np.float64)
    if one.shape != other.shape or one.ndim != 1 or len(one) < 4:
        raise ValueError("two lists of as many values, at least 4, are needed")
    if len(set(one)) == 1 or len(set(other)) == 1:
        return Interval(float("nan"), float("nan"), float("nan"))
    r = float(np.clip(stats.spearmanr(one, other).statistic, -1, 1))
    n = len(one)
    within = np.clip(r, -1 + 6 / (n * (n**2 - 1)), 1 - 6 / (n * (n**2 - 1)))
    half = stats.norm.ppf(0.5 + level / 2) * np.sqrt((1 + within**2 / 2) / (n - 3))
    low, high = np.tanh(np.arctanh(within) + np.array([-half, half]))
    return Interval(r, float(low), float(high))


def seed_coverage(seeds: int) -> float:
    """The largest coverage that an interval from this number of seeds has, by the seeds alone.

    A percentile bootstrap of the mean stays between the smallest and the largest value. All
    ``seeds`` values from a symmetric distribution lie on one side of its centre with probability
    2^(1 - seeds), and then the interval misses the centre. Replicates widen the interval: where
    they vary more than the seeds do, the coverage can exceed this bound.

    Args:
        seeds: number of seeds, at least 1.

    Returns:
        A probability, in [0, 1).

    Raises:
        ValueError: there is no seed.
    """
    if seeds < 1:
        raise ValueError("at least one seed")
    return 1.0 - 2.0 ** (1 - seeds)


def _table(values: npt.ArrayLike) -> Floats:
    table = np.asarray(values, dtype=np.float64)
    if table.ndim != 2 or not table.size:
        raise ValueError(f"expected seeds x replicates, got an array of shape {table.shape}")
    if not np.isfinite(table).all():
        raise ValueError("a score is not a finite number")
    return table


def _percentiles(mean: float, resampled: Floats, level: float) -> Interval:
    """The mean, with order statistics of the resampled means as limits."""
    resamples = len(resampled)
    tail = round((resamples + 1) * (1 - level) / 2)
    if not 1 <= tail <= resamples // 2:
        raise ValueError(f"{resamples} resamples cannot give an interval of level {level}")
    ordered = np.sort(resampled)
    return Interval(mean, float(ordered[tail - 1]), float(ordered[-tail]))


def _resampled_means(table: Floats, resamples: int, seed: int) -> Floats:
    rows, columns = table.shape
    random = np.random.default_rng(seed)
    chosen_rows = random.integers(rows, size=(resamples, rows))
    chosen_columns = random.integers(columns, size=(resamples, columns))
    means: Floats = table[chosen_rows[:, :, None], chosen_columns[:, None, :]].mean(axis=(1, 2))
    return means
