"""A verdict on every claim of the paper: results/claims.csv.

Reads study/resources/claims.yaml, which has each claim as a comparison with a threshold, and
results/scores.csv and results/pretext.csv. Writes one row a claim:

  claim, source, statement
  effect, ci_low, ci_high   positive where the claim's first side is better, in the unit of the
                            metric, with a 95 % interval over seeds
  verdict, verdict_all      supported, contradicted, inconclusive, too_few_seeds or not_run: of the
                            claim alone, and held to 5 % among all claims together (Holm)
  p, sign_flip_p            that the effect is the threshold: Student's, and the exact sign-flip's
  n_seeds, agree            seeds, and those of them on the effect's side of the threshold
  seeds_to_decide           how many seeds would bring the interval off the threshold, if effect and
                            spread are what they seem; empty above 1,000
  note                      what the verdict waits for

then the kind of claim, what was compared with what, the threshold, of how many examples and
draws, and of which scores. The statistics: shuffle_to_learn/evaluation/statistics.py.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any, Literal, NamedTuple, Self

import numpy as np
import pandas as pd
import yaml
from pydantic import Field, TypeAdapter, ValidationError, model_validator

from shuffle_to_learn.evaluation.statistics import (
    FEWEST_SEEDS,
    LEVEL,
    Interval,
    agreement,
    holm,
    seed_interval,
    seeds_to_decide,
    sign_flip_p,
    spearman_interval,
    student_p,
)
from study import cli
from study.errors import InputError
from study.files import write_csv
from study.names import RESOURCES, measure_of
from study.params import Params, orders_patches
from study.paths import slicing_of
from study.results import (
    Design,
    designs,
    nearest,
    read_pretext,
    read_scores,
    seed_values,
    shared_design,
    under_names,
)
from study.sections import Section

FILE = RESOURCES / "claims.yaml"
COLUMNS = ["claim", "source", "statement", "effect", "ci_low", "ci_high", "verdict", "verdict_all"]
COLUMNS += ["p", "sign_flip_p", "n_seeds", "agree", "seeds_to_decide", "note"]
COLUMNS += ["modality", "kind", "comparison", "threshold", "n_examples", "n_replicates"]
COLUMNS += ["task", "metric", "slicings"]
COUNTS = ("n_seeds", "agree", "seeds_to_decide", "n_replicates")
NUMBERS = ("effect", "ci_low", "ci_high", "p", "sign_flip_p")


class Claim(Section):
    """One claim of the paper; see the head of claims.yaml."""

    claim: str
    source: str
    statement: str
    kind: Literal["methods", "shrinks", "slicings", "studies", "chance", "correlation"]
    modality: Literal["audio", "video", "images"]
    task: str
    control: str = ""
    n_examples: Annotated[list[int], Field(min_length=1, max_length=2)]
    first: Annotated[list[str], Field(min_length=1)]
    second: Annotated[list[str], Field(default_factory=list)]
    slicings: Annotated[list[str], Field(default_factory=list)]
    chance: Annotated[dict[str, float], Field(default_factory=dict)]
    more_than: float | None = None
    less_than: float | None = None
    note: str = ""

    @property
    def threshold(self) -> float:
        """What the effect is held against."""
        found = self.more_than if self.more_than is not None else self.less_than
        assert found is not None
        return found

    @model_validator(mode="after")
    def _complete(self) -> Self:
        if (self.more_than is None) == (self.less_than is None):
            raise ValueError("give more_than or less_than")
        if len(self.n_examples) != (2 if self.kind == "shrinks" else 1):
            raise ValueError("n_examples: two of a claim that shrinks, one of the others")
        sliced = self.kind in ("slicings", "studies")
        if not sliced and bool(self.second) != (self.kind in ("methods", "shrinks")):
            raise ValueError("second: of the kinds methods and shrinks, and needed there")
        if sliced and len(self.slicings) != 2:
            raise ValueError("slicings: two of the kinds slicings and studies")
        if (self.kind == "studies" and not self.control) or (self.control and not sliced):
            raise ValueError("control: of the kinds slicings and studies, and needed in the last")
        if bool(self.chance) != (self.kind == "chance"):
            raise ValueError("chance: of the kind chance, and needed there")
        return self


class Missing(Exception):
    """What a claim needs and the study has not."""


def read_claims(path: Path = FILE) -> list[Claim]:
    """The claims, checked."""
    try:
        claims = TypeAdapter(list[Claim]).validate_python(yaml.safe_load(path.read_text()))
    except (ValidationError, yaml.YAMLError) as error:
        raise InputError(f"{path}: {' '.join(str(error).split())}") from None
    names = [claim.claim for claim in claims]
    if twice := {name for name in names if names.count(name) > 1}:
        raise InputError(f"{path}: {sorted(twice)[0]} is given twice")
    return claims


class Effect(NamedTuple):
    """What a claim's comparison gives.

    Attributes:
        interval: of the effect.
        comparison: what was compared with what.
        values: the effect by seed and draw, shape (seeds, draws); of a correlation the seeds'
            pseudo-values, on the scale that ``scale`` leads to.
        scale: from effects to values.
    """

    interval: Interval
    comparison: str
    values: np.ndarray
    scale: Callable[[float], float] = float


class Data(NamedTuple):
    """What a claim is judged by.

    Attributes:
        claim: the claim.
        metric: the main metric of its task.
        control: that of its control task in this study; empty where it has none.
        chance: of a claim of the kind chance, that of the study's dataset.
        slicings: those compared; the study's first where none is named.
        design: the seeds, numbers of examples and draws that all sides have.
        n_examples: the numbers of examples that stand for those of the claim.
        scores: every score of the study.
        pretext: every pretext metric.
    """

    claim: Claim
    metric: str
    control: str
    chance: float
    slicings: list[str]
    design: Design
    n_examples: list[int]
    scores: pd.DataFrame
    pretext: pd.DataFrame

    @property
    def sign(self) -> int:
        """1 where a higher score is better, -1 where a lower one is."""
        return 1 if measure_of(self.claim.task, self.metric).higher_is_better else -1

    def table(self, methods: list[str], slicing: int = 0, n: int = 0) -> np.ndarray:
        """The methods' mean score, the greater the better: seeds x draws."""
        fixed: dict[str, Any] = {
            "modality": self.claim.modality,
            "n_examples": self.n_examples[n],
            "task": self.claim.task,
            "metric": self.metric,
        }
        tables = []
        for method in methods:
            who = {"method": method, "slicing": slicing_of(method, self.slicings[slicing])}
            tables.append(seed_values(self.scores, self.design, **fixed, **who))
        return self.sign * np.mean(tables, axis=0)


def judge(
    claim: Claim, params: Params, scores: pd.DataFrame, pretext: pd.DataFrame
) -> dict[str, Any]:
    """The row of a claim."""
    row: dict[str, Any] = dict.fromkeys(COLUMNS)
    given = ("claim", "source", "statement", "modality", "kind")
    row |= {key: getattr(claim, key) for key in given}
    sign = ">" if claim.more_than is not None else "<"
    row |= {"threshold": f"{sign} {claim.threshold:g}", "note": claim.note}
    try:
        data = gather(claim, params, scores, pretext)
        effect = KINDS[claim.kind](data)
    except Missing as missing:
        return row | {"verdict": "not_run", "comparison": f"needs {missing}"}
    center, values = effect.scale(claim.threshold), effect.values
    return row | {
        "task": claim.task,
        "metric": data.metric,
        "slicings": " and ".join(data.slicings),
        "effect": effect.interval.mean,
        "ci_low": effect.interval.low,
        "ci_high": effect.interval.high,
        "verdict": verdict(effect.interval, len(values), claim),
        "p": student_p(values, center),
        "sign_flip_p": sign_flip_p(values, center),
        "agree": agreement(values, center),
        "seeds_to_decide": seeds_to_decide(values, center),
        "comparison": effect.comparison,
        "n_examples": " and ".join(map(str, data.n_examples)),
        "n_seeds": len(values),
        "n_replicates": values.shape[1],
    }


def verdict(effect: Interval, seeds: int, claim: Claim) -> str:
    """By the side of the threshold that the whole interval lies on, from three seeds on."""
    if seeds < FEWEST_SEEDS:
        return "too_few_seeds"
    if effect.covers(claim.threshold):
        return "inconclusive"
    above = effect.mean > claim.threshold
    return "supported" if above == (claim.more_than is not None) else "contradicted"


def among_all(rows: list[dict[str, Any]]) -> None:
    """Add each claim's verdict among all: where Holm's p is too high, it is inconclusive."""
    decided = [row for row in rows if row["verdict"] not in ("too_few_seeds", "not_run")]
    adjusted = holm([row["p"] for row in decided])
    for row in rows:
        row["verdict_all"] = row["verdict"]
    for row, p in zip(decided, adjusted, strict=True):
        if p >= 1 - LEVEL:
            row["verdict_all"] = "inconclusive"


def gather(claim: Claim, params: Params, scores: pd.DataFrame, pretext: pd.DataFrame) -> Data:
    """What a claim is judged by.

    Raises:
        Missing: where the study has not all of it.
    """
    study = params.studies.get(claim.modality)
    if study is None:
        raise Missing(f"the modality {claim.modality}")
    beside = claim.control if claim.kind != "studies" else ""  # of another study
    for task in filter(None, (claim.task, beside)):
        if task not in study.downstream.tasks:
            raise Missing(f"the task {task}")
    if claim.chance and study.dataset not in claim.chance:
        raise Missing(f"a dataset whose chance is known: {', '.join(claim.chance)}")
    motions = params.motions if study.dataset == "motions" else None
    if claim.chance and motions is not None and not motions.reversals:
        raise Missing("motions.reversals: chance is known of all labels alone")
    slicings = claim.slicings or [study.slicings[0]]
    run = []
    for slicing in slicings:
        if slicing not in study.all_slicings:
            raise Missing(f"the slicing {slicing}")
        known = designs(study, slicing)
        for method in (*claim.first, *claim.second):
            if method not in known:
                raise Missing(f"the method {method} of the slicing {slicing}")
            run.append(known[method])
    design = shared_design(run)
    if not (design.seeds and design.counts):
        raise Missing("a seed and a number of examples that all of these have")
    examples = [nearest(design.counts, n) for n in claim.n_examples]
    if len(set(examples)) < len(examples):
        raise Missing("two numbers of examples")
    metric = study.metrics[claim.task][0]
    control = study.metrics[beside][0] if beside else ""
    chance = claim.chance.get(study.dataset, 0.0)
    return Data(claim, metric, control, chance, slicings, design, examples, scores, pretext)


def methods_effect(data: Data) -> Effect:
    """The first methods less the second ones."""
    first, second = data.claim.first, data.claim.second
    return _effect(
        data, data.table(first) - data.table(second), f"{_and(first)} less {_and(second)}"
    )


def shrinks_effect(data: Data) -> Effect:
    """How much less the first methods are ahead of the second ones with more examples."""
    first, second = data.claim.first, data.claim.second
    few, many = (data.table(first, n=n) - data.table(second, n=n) for n in (0, 1))
    at, less = data.n_examples
    text = f"{_and(first)} less {_and(second)}, at {at} less at {less}"
    return _effect(data, few - many, text)


def slicings_effect(data: Data) -> Effect:
    """The first slicing less the second one, of the same methods; less that on the control."""
    claim, (one, other) = data.claim, data.slicings
    values, text = sliced(data), f"{one} less {other} of {_and(claim.first)}"
    if claim.second:
        text += f" less {_and(claim.second)}"
    if claim.control:
        on_control = claim.model_copy(update={"task": claim.control})
        values = values - sliced(data._replace(claim=on_control, metric=data.control))
        text += f", on {claim.task} less on {claim.control}"
    return _effect(data, values, text)


def sliced(data: Data) -> np.ndarray:
    """The first slicing less the second one on the claim's task: seeds x draws."""
    first, second = data.claim.first, data.claim.second
    parts = [data.table(first, slicing=place) for place in (0, 1)]
    if second:
        parts = [part - data.table(second, slicing=place) for place, part in enumerate(parts)]
    return parts[0] - parts[1]


def studies_effect(data: Data) -> Effect:
    """None in one study.

    Raises:
        Missing: always: :mod:`tools.compare` has the two.
    """
    raise Missing(f"another study, of the task {data.claim.control}: make compare")


def chance_effect(data: Data) -> Effect:
    """The methods' score less chance."""
    first, chance = data.claim.first, data.chance
    values = data.table(first) - data.sign * chance
    return _effect(data, values, f"{_and(first)} less chance, {chance:g}")


def correlation_effect(data: Data) -> Effect:
    """Spearman's correlation of partial ranks with the score, over encoders.

    Raises:
        Missing: where there are fewer than three seeds or two methods, or one orders no patches.
    """
    claim, design = data.claim, data.design
    if len(design.seeds) < FEWEST_SEEDS or len(claim.first) < 2:
        raise Missing(f"{FEWEST_SEEDS} seeds at least")
    if bare := [method for method in claim.first if not orders_patches(method)]:
        raise Missing(f"partial ranks, and {bare[0]} has none")
    ranks, values = [], []
    for method in claim.first:
        fixed = {"modality": claim.modality, "slicing": data.slicings[0], "method": method}
        found = seed_values(data.pretext, design, **fixed, metric="partial_ranks")
        ranks.append(found[:, 0])
        values.append(data.table([method]).mean(axis=1))
    interval, pseudo = spearman_interval(np.transpose(ranks), np.transpose(values))
    if np.isnan(interval.low):
        raise Missing("partial ranks and scores that differ")
    encoders = np.size(ranks)
    text = f"partial ranks with {data.metric} over {encoders} encoders of {_and(claim.first)}"
    return Effect(interval, text, pseudo[:, None], np.arctanh)


KINDS: dict[str, Callable[[Data], Effect]] = {
    "methods": methods_effect,
    "shrinks": shrinks_effect,
    "slicings": slicings_effect,
    "studies": studies_effect,
    "chance": chance_effect,
    "correlation": correlation_effect,
}


def _effect(data: Data, values: np.ndarray, comparison: str) -> Effect:
    return Effect(seed_interval(values), f"{comparison} ({data.metric})", values)


def _and(names: list[str]) -> str:
    return " and ".join(names)


def main(arguments: list[str] | None = None) -> None:
    _, params = cli.open_stage(__doc__, arguments=arguments)
    scores, pretext = under_names(params, read_scores(params)), read_pretext(params)
    rows = [judge(claim, params, scores, pretext) for claim in read_claims()]
    among_all(rows)
    table = pd.DataFrame(rows, columns=COLUMNS)
    kinds = dict.fromkeys(COUNTS, "Int64") | dict.fromkeys(NUMBERS, "float64")
    write_csv(params.layout.claims, table.astype(kinds).round(8))


if __name__ == "__main__":
    cli.run(main)
