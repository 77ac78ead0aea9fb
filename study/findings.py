"""What a study found, in one sentence and in the words of its claims.

The page and README say it alike, from results/claims.csv and results/scores.csv.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import pandas as pd

from shuffle_to_learn.evaluation.statistics import FEWEST_SEEDS, Interval, seed_interval
from study.errors import InputError
from study.files import read_table
from study.names import MODALITIES, count, dataset_label, looks, measure_of
from study.outputs import TABLES
from study.params import Params
from study.paths import NO_NETWORK, WHOLE
from study.results import nearest

WORDS = {
    "supported": "supported",
    "contradicted": "contradicted",
    "inconclusive": "open",
    "too_few_seeds": "left with too few seeds for a verdict",
    "not_run": "not run",
}
"""Each verdict as the sentence has it."""
OURS = "Ours"
"""The source of a claim that is not the paper's."""
NEEDED: tuple[str, ...] = (
    *("claim", "source", "statement", "kind", "modality", "task", "metric", "threshold"),
    *("effect", "ci_low", "ci_high", "verdict", "verdict_all", "p", "sign_flip_p"),
    *("n_seeds", "agree", "seeds_to_decide", "comparison", "note"),
)


def read_verdicts(path: Path) -> pd.DataFrame:
    """``claims.csv``, checked: a row a claim.

    Raises:
        InputError: where it lacks a column or has a verdict of another version.
    """
    table = read_table(path, "claims")
    if missing := [column for column in NEEDED if column not in table.columns]:
        raise InputError(f"{path} has no column {missing[0]}: run the stage claims again")
    for verdict in (*table["verdict"], *table["verdict_all"]):
        if verdict not in WORDS:
            raise InputError(f"{path}: unknown verdict {verdict}: run the stage claims again")
    return table


def section_of(source: str) -> str:
    """The section of the paper that a claim is from, or :data:`OURS`."""
    return source.partition(",")[0]


def verdict_word(verdict: str) -> str:
    """A verdict as a table has it."""
    return verdict.replace("_", " ")


def signed(value: float, decimals: int = 3) -> str:
    """A number with its sign, and a minus that is as wide as a plus."""
    return f"{value:+.{decimals}f}".replace("-", "\N{MINUS SIGN}")


def with_interval(interval: Sequence[float], decimals: int = 3) -> str:
    """An effect with its interval, where it has one: ``+0.115 [+0.107, +0.124]``."""
    mean, low, high = interval
    limits = f" [{signed(low, decimals)}, {signed(high, decimals)}]" if low == low else ""
    return signed(mean, decimals) + limits


def p_value(p: float) -> str:
    """A p with three decimals."""
    return "< 0.001" if p < 0.001 else f"{p:.3f}"


def agreeing(row: Any) -> str:
    """How many seeds are on the effect's side of the threshold: ``5 of 6 seeds``."""
    return f"{int(row.agree)} of {count(int(row.n_seeds), 'seed')}"


def would_decide(row: Any) -> str:
    """What it would take to decide an open claim; empty where it is decided or was not run."""
    if row.verdict not in ("inconclusive", "too_few_seeds"):
        return ""
    if row.n_seeds == 1:  # of one seed there is no spread to go by
        return f"at least {FEWEST_SEEDS} seeds"
    if pd.isna(row.seeds_to_decide):
        return "more than 1,000 seeds"
    return f"about {count(max(FEWEST_SEEDS, int(row.seeds_to_decide)), 'seed')}"


class Worth(NamedTuple):
    """The best pretrained method of a modality beside the best that takes no network.

    Attributes:
        modality: which.
        measure: what is scored, with how many labelled examples.
        n_examples: labelled examples.
        means: of the best pretrained method, of the random encoder and of each row without a
            network, by method, the best pretrained first.
        pretrained: from how many methods the best was taken.
        gain: what the best pretrained method is better by, paired by seed; None where the study
            has no row without a network.
        seeds: of all of these.
        decimals: of the measure.
    """

    modality: str
    measure: str
    n_examples: int
    means: dict[str, float]
    pretrained: int
    gain: Interval | None
    seeds: int
    decimals: int

    @property
    def verdict(self) -> str:
        """``was worth it``, ``was not worth it`` or ``cannot be told``."""
        if self.gain is None or self.seeds < FEWEST_SEEDS or self.gain.covers(0):
            return "cannot be told"
        return "was worth it" if self.gain.mean > 0 else "was not worth it"


def worth(params: Params, modality: str, scores: pd.DataFrame) -> Worth | None:
    """Whether pretraining was worth it on a modality's main task; None of a study without one.

    Args:
        params: the study.
        modality: which of its modalities.
        scores: as :func:`study.results.under_names` gives them.
    """
    study = params.study(modality)
    task = next((task for task in study.metrics if task in study.downstream.tasks), None)
    known = study.crossed(study.slicings[0])[0]
    pretrained = [method for method in known if method not in ("random", *NO_NETWORK)]
    if task is None or not pretrained:
        return None
    metric = study.metrics[task][0]
    measure = measure_of(task, metric)
    sign = 1 if measure.higher_is_better else -1
    found = scores[(scores["modality"] == modality) & (scores["task"] == task)]
    found = found[found["metric"] == metric]
    trained = (found["slicing"] == study.slicings[0]) & found["method"].isin(
        [*pretrained, "random"]
    )
    found = found[trained | ((found["slicing"] == WHOLE) & found["method"].isin(NO_NETWORK))]
    others = [m for m in (*NO_NETWORK, "random") if m in set(found["method"])]
    cells = ["n_examples", "upstream_seed", "replicate"]
    # Cells that all have: the comparison is paired.
    wide = found.pivot(index=cells, columns="method", values="value")
    wide = wide[[*pretrained, *others]].dropna()
    if wide.empty:
        return None
    wanted = next(table.examples[0] for table in TABLES if table.modality == modality)
    n = nearest(sorted(set(wide.index.get_level_values("n_examples"))), wanted)
    by_seed = wide.loc[[n]].groupby(level="upstream_seed").mean()
    means = pd.Series(by_seed.mean())
    best = max(pretrained, key=lambda method: sign * means[method])
    rivals = [method for method in others if method in NO_NETWORK]
    gain = None
    if rivals:
        rival = max(rivals, key=lambda method: sign * means[method])
        gain = seed_interval(sign * (by_seed[[best]].to_numpy() - by_seed[[rival]].to_numpy()))
    return Worth(
        modality,
        _within(measure.label),
        n,
        {method: float(means[method]) for method in (best, *others)},
        len(pretrained),
        gain,
        len(by_seed),
        measure.decimals,
    )


def worth_of_all(params: Params, scores: pd.DataFrame) -> list[Worth]:
    """Whether pretraining was worth it, of every modality that says something on it."""
    found = (worth(params, modality, scores) for modality in params.studies)
    return [one for one in found if one is not None]


def sentence(claims: pd.DataFrame, gains: Sequence[Worth]) -> str:
    """What was found, in one sentence."""
    ours = claims["source"].map(section_of) == OURS
    parts = [_verdicts(claims[~ours], "the paper's")]
    if ours.any():
        parts.append(_verdicts(claims[ours], "our own"))
    if gains:
        parts.append(_worth(gains))
    text = "; ".join(parts)
    return f"{text[:1].upper()}{text[1:]}."


def _verdicts(claims: pd.DataFrame, whose: str) -> str:
    number = claims["verdict"].value_counts()
    if set(claims["verdict"]) & {"supported", "contradicted", "inconclusive"}:
        shown = ["supported", "contradicted", "inconclusive"]
    else:
        shown = []
    shown += [v for v in WORDS if v not in shown and number.get(v, 0)]
    parts = [f"{number.get(verdict, 0)} {WORDS[verdict]}" for verdict in shown]
    first, _, rest = parts[0].partition(" ")
    be = "is" if first == "1" else "are"
    text = listed([f"{first} of {whose} {count(len(claims), 'claim')} {be} {rest}", *parts[1:]])
    if len(claims) == 1:
        text = f"{whose} claim is {WORDS[claims['verdict'].iloc[0]]}"
    among = claims["verdict_all"].value_counts()
    if any(among.get(v, 0) != number.get(v, 0) for v in ("supported", "contradicted")):
        text += f" (held to 5 % among all claims together, {among.get('supported', 0)} supported"
        text += f" and {among.get('contradicted', 0)} contradicted)"
    return text


def _worth(gains: Sequence[Worth]) -> str:
    if not any(one.gain for one in gains):
        return "whether pretraining was worth it cannot be told: no row is without a network"
    by_verdict: dict[str, list[str]] = {}
    for one in gains:
        numbers = f" ({one.measure} {with_interval(one.gain, one.decimals)})" if one.gain else ""
        where = f"{MODALITIES[one.modality].lower()}{numbers}"
        by_verdict.setdefault(one.verdict, []).append(where)
    told = [v for v in ("was worth it", "was not worth it") if v in by_verdict]
    parts = [f"{verdict} on {listed(by_verdict[verdict])}" for verdict in told]
    text = f"pretraining {listed(parts)}" if told else ""
    if untold := by_verdict.get("cannot be told"):
        start = ", and whether it was" if told else "whether pretraining was worth it"
        text += f"{start} cannot be told on {listed(untold)}"
    return f"against no network at all, {text}"


def lines(params: Params, gains: Iterable[Worth]) -> dict[str, str]:
    """The scores behind the sentence, a line a modality."""
    result = {}
    for one in gains:
        names = looks(list(one.means))
        best, *others = one.means
        words = {method: _within(names[method].label) for method in others}
        words |= {"random": "the same network untrained"}
        scores = [f"{one.means[m]:.{one.decimals}f} {words[m]}" for m in others]
        result[one.modality] = (
            f"{MODALITIES[one.modality]} ({dataset_label(params.study(one.modality).dataset)}), "
            f"{one.measure}, {one.n_examples:,} labelled examples, {count(one.seeds, 'seed')}: "
            f"{one.means[best]:.{one.decimals}f} {names[best].label}"
            f"{f', the best of {one.pretrained} pretrained methods' if one.pretrained > 1 else ''}"
            f"{''.join(f'; {score}' for score in scores)}."
        )
    return result


def _within(label: str) -> str:
    """A label as it stands within a sentence."""
    return label[:1].lower() + label[1:]


def listed(words: Sequence[str]) -> str:
    """``a, b and c``."""
    return " and ".join(filter(None, [", ".join(words[:-1]), words[-1]]))
