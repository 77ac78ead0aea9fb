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
from study.params import Params, Study
from study.paths import NO_NETWORK, WHOLE, EncoderKey
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
        gain: what the best pretrained method is better by than the best of the rivals, paired by
            seed; None where the study has no rival.
        seeds: of all of these.
        decimals: of the measure.
        rival: the best of what it is set against.
    """

    modality: str
    measure: str
    n_examples: int
    means: dict[str, float]
    pretrained: int
    gain: Interval | None
    seeds: int
    decimals: int
    rival: str | None = None

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
    task = _main_task(study)
    if task is None:
        return None
    wide = _paired(params, modality, task, scores)
    if wide.empty:
        return None
    wanted = next(table.examples[0] for table in TABLES if table.modality == modality)
    n = nearest(sorted(set(wide.index.get_level_values("n_examples"))), wanted)
    return _worth_at(params, modality, task, wide, n, NO_NETWORK)


def paid(params: Params, modality: str, task: str, scores: pd.DataFrame) -> list[Worth]:
    """Whether pretraining paid at each number of labels: against the random encoder, too.

    Args:
        params: the study.
        modality: which of its modalities.
        task: which of its tasks.
        scores: as :func:`study.results.under_names` gives them.
    """
    wide = _paired(params, modality, task, scores)
    counts = sorted(set(wide.index.get_level_values("n_examples")))
    against = (*NO_NETWORK, "random")
    return [_worth_at(params, modality, task, wide, n, against) for n in counts]


def _main_task(study: Study) -> str | None:
    """The first task of a modality that a study has."""
    return next((task for task in study.metrics if task in study.downstream.tasks), None)


def _paired(params: Params, modality: str, task: str, scores: pd.DataFrame) -> pd.DataFrame:
    """Scores of the study's first slicing and without a network, a column a method.

    A row is a number of examples, a seed and a draw that all methods have. No row, where no method
    is pretrained.
    """
    study = params.study(modality)
    pretrained = _pretrained(study)
    found = scores[(scores["modality"] == modality) & (scores["task"] == task)]
    found = found[found["metric"] == study.metrics[task][0]]
    trained = (found["slicing"] == study.slicings[0]) & found["method"].isin(
        [*pretrained, "random"]
    )
    found = found[trained | ((found["slicing"] == WHOLE) & found["method"].isin(NO_NETWORK))]
    others = [m for m in (*NO_NETWORK, "random") if m in set(found["method"])]
    cells = ["n_examples", "upstream_seed", "replicate"]
    wide = found.pivot(index=cells, columns="method", values="value")
    wide = wide.reindex(columns=[*pretrained, *others]).dropna()
    return wide if pretrained else wide[:0]


def _pretrained(study: Study) -> list[str]:
    """The methods of a study's own slicings that train."""
    return [m for m in study.compared(study.slicings[0])[0] if m not in ("random", *NO_NETWORK)]


def _worth_at(
    params: Params, modality: str, task: str, wide: pd.DataFrame, n: int, against: Sequence[str]
) -> Worth:
    study = params.study(modality)
    measure = measure_of(task, study.metrics[task][0])
    sign = 1 if measure.higher_is_better else -1
    pretrained = _pretrained(study)
    others = [str(method) for method in wide if method not in pretrained]
    by_seed = wide.loc[[n]].groupby(level="upstream_seed").mean()
    means = pd.Series(by_seed.mean())
    best = max(pretrained, key=lambda method: sign * means[method])
    rivals = [method for method in others if method in against]
    rival, gain = None, None
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
        rival,
    )


def worth_of_all(params: Params, scores: pd.DataFrame) -> list[Worth]:
    """Whether pretraining was worth it, of every modality that says something on it."""
    found = (worth(params, modality, scores) for modality in params.studies)
    return [one for one in found if one is not None]


def sentence(claims: pd.DataFrame, gains: Sequence[Worth]) -> str:
    """What was found, in one sentence."""
    ours = claims["source"].map(section_of) == OURS
    parts = [_verdicts(claims[~ours], "the paper's")]
    # Our own are of several studies. Which were not run here, the claims themselves say.
    if (tried := ours & (claims["verdict"] != "not_run")).any():
        parts.append(_verdicts(claims[tried], "our own"))
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


PAID = {
    "was worth it": "paid",
    "was not worth it": "did not pay",
    "cannot be told": "may have paid or not",
}


def paid_sentence(of: Sequence[Worth]) -> str:
    """Whether pretraining paid at each number of labels, in one sentence.

    Args:
        of: what :func:`paid` gives for a task, not empty.
    """
    parts = []
    for verdict, word in PAID.items():
        where = [_at(one) for one in of if one.verdict == verdict]
        if where:
            parts.append(f"{word} with {listed(where)}")
    first = of[0]
    best = "the pretrained method"
    if first.pretrained > 1:
        best = f"the best of {first.pretrained} pretrained methods"
    return (
        f"{first.measure[:1].upper()}{first.measure[1:]}: pretraining {listed(parts)}. In "
        f"brackets: by how much {best} is ahead of the best of what needs no pretraining, with the "
        f"95 % interval over {count(first.seeds, 'seed')}."
    )


def _at(one: Worth) -> str:
    labels = f"{one.n_examples:,} labels"
    if one.gain is None or one.rival is None:
        return f"{labels} (nothing to set it against)"
    best = next(iter(one.means))
    names = looks([best, one.rival])
    ahead = with_interval(one.gain, one.decimals)
    return f"{labels} ({names[best].label}, {ahead} over {_within(names[one.rival].label)})"


class Choice(NamedTuple):
    """Which network and layer to embed other files with.

    Attributes:
        key: the encoder of the first seed.
        layer: of it.
        measure: what it was chosen by.
        n_examples: with how many labelled examples.
        mean: its score, over all seeds and draws.
        among: how many pairs of encoder and layer there were.
        decimals: of the measure.
    """

    key: EncoderKey
    layer: str
    measure: str
    n_examples: int
    mean: float
    among: int
    decimals: int


def to_embed(params: Params, modality: str, scores: pd.DataFrame) -> Choice | None:
    """The pretrained network and layer whose probe scored best on the first task.

    Every slicing, method and layer that the study's own probe was fitted on counts, at the largest
    number of labelled examples that all of them have. None where no network is pretrained, or
    nothing is scored.

    Args:
        params: the study.
        modality: which of its modalities.
        scores: as :func:`study.results.read_scores` gives them.
    """
    study = params.study(modality)
    task = _main_task(study)
    if task is None:
        return None
    metric = study.metrics[task][0]
    measure = measure_of(task, metric)
    found = scores[(scores["modality"] == modality) & (scores["task"] == task)]
    found = found[(found["metric"] == metric) & (found["slicing"] != WHOLE)]
    found = found[(found["method"] != "random")]
    found = found[found["classifier"].isin([study.downstream.probe, *study.on_layers])]
    who = ["slicing", "method", "classifier"]
    by_seed = found.groupby([*who, "n_examples", "upstream_seed"], sort=False)["value"].mean()
    wide = by_seed.groupby(level=[*who, "n_examples"], sort=False).mean().unstack().dropna(axis=1)
    if wide.empty or not len(wide.columns):
        return None
    n = max(wide.columns)
    means = wide[n]
    place = means.argmax() if measure.higher_is_better else means.argmin()
    slicing, method, classifier = (means.index.get_level_values(i)[int(place)] for i in range(3))
    return Choice(
        EncoderKey(modality, slicing, method, study.compared(slicing)[1][0]),
        study.layer(classifier),
        _within(measure.label),
        int(n),
        float(means.iloc[place]),
        len(means),
        measure.decimals,
    )


def _within(label: str) -> str:
    """A label as it stands within a sentence."""
    return label[:1].lower() + label[1:]


def listed(words: Sequence[str]) -> str:
    """``a, b and c``."""
    return " and ".join(filter(None, [", ".join(words[:-1]), words[-1]]))
