"""A verdict on every claim of the paper: results/claims.csv.

Reads stages/claims.yaml, which writes each claim down as a comparison with a threshold, and
results/scores.csv and results/pretext.csv. Writes one row a claim: claim, source, statement,
effect, ci_low, ci_high, verdict (supported, contradicted, inconclusive or not_run), then what was
compared with what, the threshold, of how many examples, seeds and draws, and of which scores. An
effect is positive where the claim's first side is better, in the unit of the metric; its 95 %
interval is paired, over seeds and draws (shuffle_to_learn/statistics.py).
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal, Self

import numpy as np
import pandas as pd
import yaml
from pydantic import Field, TypeAdapter, ValidationError, model_validator

from shuffle_to_learn.statistics import Interval, crossed_interval, spearman_interval
from stages.common import parser, run, write_csv
from stages.errors import InputError
from stages.gathered import (
    common,
    crossed_values,
    designs,
    nearest,
    read_pretext,
    read_scores,
    under_names,
)
from stages.params import Params, Section, load_params
from stages.style import measure_of

FILE = Path(__file__).with_suffix(".yaml")
COLUMNS = ["claim", "source", "statement", "effect", "ci_low", "ci_high", "verdict"]
COLUMNS += ["modality", "comparison", "threshold", "n_examples", "n_seeds", "n_replicates"]
COLUMNS += ["task", "metric", "views"]


class Claim(Section):
    """One claim of the paper; see the head of claims.yaml."""

    claim: str
    source: str
    statement: str
    kind: Literal["methods", "shrinks", "views", "chance", "correlation"]
    modality: Literal["audio", "video", "images"]
    task: str
    n_examples: Annotated[list[int], Field(min_length=1, max_length=2)]
    first: Annotated[list[str], Field(min_length=1)]
    second: Annotated[list[str], Field(default_factory=list)]
    views: Annotated[list[str], Field(default_factory=list)]
    chance: float | None = None
    more_than: float | None = None
    less_than: float | None = None

    @model_validator(mode="after")
    def _complete(self) -> Self:
        if (self.more_than is None) == (self.less_than is None):
            raise ValueError("give more_than or less_than")
        if len(self.n_examples) != (2 if self.kind == "shrinks" else 1):
            raise ValueError("n_examples: two of a claim that shrinks, one of the others")
        if bool(self.second) != (self.kind in ("methods", "shrinks")):
            raise ValueError("second: of the kinds methods and shrinks, and needed there")
        if self.kind == "views" and len(self.views) != 2:
            raise ValueError("views: two of the kind views")
        if (self.chance is None) == (self.kind == "chance"):
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


def judge(
    claim: Claim, params: Params, scores: pd.DataFrame, pretext: pd.DataFrame
) -> dict[str, Any]:
    """The row of a claim."""
    threshold = claim.more_than if claim.more_than is not None else claim.less_than
    row: dict[str, Any] = dict.fromkeys(COLUMNS)
    row |= {key: getattr(claim, key) for key in ("claim", "source", "statement", "modality")}
    row["threshold"] = f"{'>' if claim.more_than is not None else '<'} {threshold:g}"
    try:
        effect, comparison, examples, shape = _effect(claim, params, scores, pretext)
    except Missing as missing:
        return row | {"verdict": "not_run", "comparison": f"needs {missing}"}
    study = params.study(claim.modality)
    return row | {
        "task": claim.task,
        "metric": study.metrics[claim.task][0],
        "views": " and ".join(claim.views or study.views[:1]),
        "effect": effect.mean,
        "ci_low": effect.low,
        "ci_high": effect.high,
        "verdict": verdict(effect, claim),
        "comparison": comparison,
        "n_examples": " and ".join(map(str, examples)),
        "n_seeds": shape[0],
        "n_replicates": shape[1],
    }


def verdict(effect: Interval, claim: Claim) -> str:
    """By the side of the threshold that the whole interval lies on."""
    if np.isnan(effect.low):
        return "inconclusive"  # a single value has no interval
    sign, threshold = (1, claim.more_than) if claim.less_than is None else (-1, claim.less_than)
    low, high = sorted(sign * limit - sign * threshold for limit in (effect.low, effect.high))
    return "supported" if low > 0 else "contradicted" if high < 0 else "inconclusive"


def _effect(
    claim: Claim, params: Params, scores: pd.DataFrame, pretext: pd.DataFrame
) -> tuple[Interval, str, list[int], tuple[int, int]]:
    """The effect, what was compared, the example counts, and the numbers of seeds and draws."""
    study = params.studies.get(claim.modality)
    if study is None:
        raise Missing(f"the modality {claim.modality}")
    if claim.task not in study.downstream.tasks:
        raise Missing(f"the task {claim.task}")
    views = claim.views or [study.views[0]]
    run = []
    for view in views:
        if view not in study.all_views:
            raise Missing(f"the view {view}")
        known = designs(study, view)
        for method in (*claim.first, *claim.second):
            if method not in known:
                raise Missing(f"the method {method} of the view {view}")
            run.append(known[method])
    design = common(run)
    if not (design.seeds and design.counts):
        raise Missing("a seed and a number of examples that all of these have")
    metric = study.metrics[claim.task][0]
    better = 1 if measure_of(claim.task, metric).higher_is_better else -1
    examples = [nearest(design.counts, n) for n in claim.n_examples]
    if len(set(examples)) < len(examples):
        raise Missing("two numbers of examples")

    def table(methods: list[str], view: str, n: int) -> np.ndarray:
        """The methods' mean score, the greater the better: seeds x draws."""
        own: dict[str, Any] = {"modality": claim.modality, "view": view, "n_examples": n}
        own |= {"task": claim.task, "metric": metric}
        tables = [crossed_values(scores, design, **own, method=method) for method in methods]
        return better * np.mean(tables, axis=0)

    first, second = " and ".join(claim.first), " and ".join(claim.second)
    n = examples[0]
    if claim.kind == "correlation":
        ranks, values = [], []
        for method in claim.first:
            own = {"modality": claim.modality, "view": views[0]}
            own |= {"method": method, "metric": "partial_ranks"}
            ranks += crossed_values(pretext, design, **own).ravel().tolist()
            values += table([method], views[0], n).mean(axis=1).tolist()
        if len(ranks) < 5:
            raise Missing("five encoders at least")
        text = f"partial ranks with {metric} over {len(ranks)} encoders of {first}"
        return spearman_interval(ranks, values), text, examples, (len(design.seeds), 1)
    if claim.kind == "methods":
        values = table(claim.first, views[0], n) - table(claim.second, views[0], n)
        text = f"{first} less {second}"
    elif claim.kind == "shrinks":
        few, many = (
            table(claim.first, views[0], count) - table(claim.second, views[0], count)
            for count in examples
        )
        values, text = few - many, f"{first} less {second}, at {n} less at {examples[1]}"
    elif claim.kind == "views":
        values = table(claim.first, views[0], n) - table(claim.first, views[1], n)
        text = f"{views[0]} less {views[1]} of {first}"
    else:
        values = table(claim.first, views[0], n) - better * (claim.chance or 0.0)
        text = f"{first} less chance, {claim.chance:g}"
    return crossed_interval(values), f"{text} ({metric})", examples, values.shape


def main(arguments: list[str] | None = None) -> None:
    params = load_params(parser(__doc__).parse_args(arguments).params)
    scores, pretext = under_names(params, read_scores(params)), read_pretext(params)
    rows = [judge(claim, params, scores, pretext) for claim in read_claims()]
    table = pd.DataFrame(rows, columns=COLUMNS)
    counts = {"n_seeds": "Int64", "n_replicates": "Int64"}
    effects = dict.fromkeys(("effect", "ci_low", "ci_high"), "float64")
    write_csv(params.layout.claims, table.astype(counts | effects).round(8))


if __name__ == "__main__":
    run(main)
