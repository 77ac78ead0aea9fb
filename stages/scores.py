"""Gather the scores of every encoder of the study.

Reads the scores (CSV) of the stages downstream and end_to_end and the pretext metrics (JSON) of
exactly the encoders that the params file asks for, checks that each is complete, and writes them as
two tidy tables:

  results/scores.csv   one row a trained classifier and metric: modality, dataset, view, method,
                       upstream_seed, classifier, task, n_examples, replicate, metric, value
  results/pretext.csv  one row an encoder and metric: modality, dataset, view, method,
                       upstream_seed, metric, value

Tables, figures and the page are made from these two files.
"""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pandas as pd

from stages.common import parser, read_json, read_table, run, write_csv
from stages.errors import InputError
from stages.gathered import (
    IDENTITY,
    PRETEXT,
    check_pretext,
    check_scores,
    identity,
)
from stages.params import Params, load_params
from stages.paths import Encoder


def encoder_scores(params: Params, e: Encoder) -> pd.DataFrame:
    """The checked scores of one encoder."""
    names = params.classifiers(e)
    stages = {"downstream": params.layout.scores(e), "end_to_end": params.layout.end_to_end(e)}
    parts = []
    for stage, path in stages.items():
        if own := [name for name in names if (name == "end_to_end") == (stage == "end_to_end")]:
            parts.append(check_scores(read_table(path, stage), params, {e: own}, path, stage))
    return pd.concat(parts, ignore_index=True)


def pretext_scores(params: Params, e: Encoder) -> pd.DataFrame:
    """The checked pretext metrics of one encoder, one row a metric."""
    path = params.layout.pretext(e)
    content = read_json(path, "pretrain")
    who = identity(params, e)
    if not isinstance(content, dict) or not isinstance(content.get("metrics"), dict):
        raise InputError(f"{path} holds no metrics: run the stage pretrain again")
    for column, value in zip(IDENTITY, who, strict=True):
        if content.get(column) != value:
            raise InputError(
                f"{path} is of {column} {content.get(column)!r}, not {value!r}: "
                f"run the stage pretrain again"
            )
    rows = [
        (*who, metric, _number(value, path, metric)) for metric, value in content["metrics"].items()
    ]
    return check_pretext(pd.DataFrame(rows, columns=PRETEXT), params, [e], path, "pretrain")


def _number(value: Any, path: Path, metric: str) -> float:
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not math.isfinite(value):
        raise InputError(f"{path}: the metric {metric} is {value}, not a finite number")
    return float(value)


def main(arguments: list[str] | None = None) -> None:
    params = load_params(parser(__doc__).parse_args(arguments).params)
    encoders = params.encoders()
    # Read everything before anything is written: both files are of one state of the study.
    scores = pd.concat([encoder_scores(params, e) for e in encoders], ignore_index=True)
    pretext = pd.concat([pretext_scores(params, e) for e in encoders], ignore_index=True)
    write_csv(params.layout.all_scores, scores)
    write_csv(params.layout.all_pretext, pretext)


if __name__ == "__main__":
    run(main)
