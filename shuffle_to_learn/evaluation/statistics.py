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

Two methods are compared by the same interval of their difference, cell by cell: what a seed or a
draw of examples does to both of them cancels.

What few seeds can and cannot say
---------------------------------
The bootstrap sees no seed but those that were run. From **2 seeds** it cannot reach beyond the two
seeds' own averages, other than by what the replicates add: where seeds differ by more than
replicates do, the interval holds the true mean only when that lies between the two averages, which
is a coin toss (0.5), not 0.95. With S seeds the bound is 1 - 2^(1-S): 0.75 for 3, 0.94 for 5.
:func:`seed_coverage` gives it. Equally, where there is no difference between two methods at all,
2 seeds agree on the sign of one half of the time.

Replicates are bounded alike. Measured coverage of the nominal 95 % interval (2,000 simulated tables
each, normal data, 5 replicates; the standard deviations are those of a seed's effect, of a
replicate's effect and of a cell's own noise):

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
evidence about another seed. Take 5 seeds and 5 replicates at the least, better 10 of each, before
reading it as anything like a 95 % interval.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple, TypeVar

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
Key = TypeVar("Key")

LEVEL = 0.95
RESAMPLES = 9999  # 2.5 % of one more than this is a whole number: the limits are order statistics
SEED = 0


class Interval(NamedTuple):
    """A mean and the limits of its interval; they are NaN where a single value gives none."""

    mean: float
    low: float
    high: float

    def covers(self, value: float) -> bool:
        """Whether the interval does not exclude ``value``; an interval that is none never does."""
        return not (value < self.low or value > self.high)


class Comparison(NamedTuple):
    """One method beside the best of its column."""

    score: Interval
    difference: Interval  # this method less the best, paired
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
        values: seeds x replicates. One row or one column makes it the ordinary bootstrap of the
            other; a single value has no interval.
        level: of the interval.
        resamples: how many; ``(resamples + 1) * (1 - level) / 2`` should be a whole number.
        seed: the same seed and shape give the same resamples, whatever the values.

    Raises:
        ValueError: for a table that is empty, not two-dimensional or holds no finite numbers.
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
    """The mean of ``first`` less that of ``second`` with its interval, each resampled by itself.

    For two tables whose seeds and draws have nothing to do with each other; they may differ in
    shape. Where both are single values, there is no interval.

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
    """The mean of ``first - second`` with its interval, by the same resamples for both.

    Cell (s, r) of both tables is of the same seed and the same draw of examples. Exactly
    antisymmetric: exchanging the two exchanges the limits and their signs.

    Raises:
        ValueError: as :func:`crossed_interval`, and where the two tables differ in shape.
    """
    one, other = _table(first), _table(second)
    if one.shape != other.shape:
        raise ValueError(f"tables of shapes {one.shape} and {other.shape} cannot be paired")
    return crossed_interval(one - other, level=level, resamples=resamples, seed=seed)


def compare(
    tables: Mapping[Key, npt.ArrayLike], *, higher_is_better: bool
) -> dict[Key, Comparison]:
    """Every method's interval, the best by its mean, and which others may be as good.

    The best is picked by looking at the scores, and no correction is made for the number of
    methods: a method called distinguishable may be so by that choice alone, the more methods the
    likelier. Of equal means the first is the best.
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

    The interval is Fisher's, on the inverse hyperbolic tangent, with the standard error
    sqrt((1 + r^2 / 2) / (n - 3)); pairs are taken for independent.

    Args:
        first: n values, at least 4.
        second: as many.
        level: of the interval.

    Returns:
        The correlation in [-1, 1]; NaN, and no interval, where all values of a list are equal. Of
        -1 and 1, where the formula has no width, the limits are those of the middle between it and
        the next value that it can take.

    Raises:
        ValueError: where the lists differ in length or have fewer than 4 values.

    Source: D. G. Bonett and T. A. Wright, "Sample size requirements for estimating Pearson, Kendall
    and Spearman correlations", Psychometrika 65 (2000).
    """
    from scipy import stats  # a second that only this takes

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
    """How often an interval from so many seeds holds the true mean, at most, by the seeds alone.

    A percentile bootstrap of the mean stays between the least and the greatest value. Of ``seeds``
    values from a symmetric distribution all lie on one side of its centre with probability
    2^(1 - seeds), and then the interval misses it. Replicates widen the interval and can lift the
    coverage above this where they vary more than the seeds do.
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
    """The mean with the order statistics of its resamples for limits."""
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
