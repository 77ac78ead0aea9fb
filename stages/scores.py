"""Gather the scores of every encoder of the study.

Reads the scores (CSV) of the stages downstream and end_to_end and the pretext metrics (JSON) of
exactly the encoders that the params file asks for, checks that each is complete, and writes them as
two tidy tables:

  results/scores.csv   one row a trained classifier and metric: modality, dataset, slicing, method,
                       upstream_seed, classifier, task, n_examples, replicate, metric, value
  results/pretext.csv  one row an encoder and metric: modality, dataset, slicing, method,
                       upstream_seed, metric, value

Tables, figures and the page are made from these two files.
"""

from __future__ import annotations

import math
import os
import sys
from itertools import product
from pathlib import Path
from typing import Any

import pandas as pd

from study import cli
from study.errors import InputError
from study.files import read_json, read_table, write_csv
from study.params import Params
from study.paths import EncoderKey
from study.results import (
    IDENTITY,
    PRETEXT,
    SCORES,
    check_pretext,
    check_scores,
    identity,
)


def encoder_scores(params: Params, key: EncoderKey) -> pd.DataFrame:
    """The checked scores of one encoder."""
    names = params.classifiers(key)
    stages = {"downstream": params.layout.scores(key), "end_to_end": params.layout.end_to_end(key)}
    parts = []
    for stage, path in stages.items():
        if wanted := [name for name in names if (name == "end_to_end") == (stage == "end_to_end")]:
            parts.append(check_scores(read_table(path, stage), params, {key: wanted}, path, stage))
    return pd.concat(parts, ignore_index=True)


def pretext_scores(params: Params, key: EncoderKey) -> pd.DataFrame:
    """The checked pretext metrics of one encoder, one row a metric."""
    path = params.layout.pretext(key)
    content = read_json(path, "pretrain")
    who = identity(params, key)
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
    return check_pretext(pd.DataFrame(rows, columns=PRETEXT), params, [key], path, "pretrain")


def _number(value: Any, path: Path, metric: str) -> float:
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not math.isfinite(value):
        raise InputError(f"{path}: the metric {metric} is {value}, not a finite number")
    return float(value)


def remove_others(params: Params) -> None:
    """Remove scores and curves of encoders that the params file does not list any more.

    DVC takes the folders of these files for inputs. What no stage makes would be in them here and
    not in a clone. The networks and embeddings stay, and DVC's cache has the files. Snakemake
    names its inputs one by one and has no cache: there nothing is removed.
    """
    asked, paths = listed_files(params), params.layout
    found = {path for folder in paths.gathered for path in folder.glob("*/*/*/*") if path.is_file()}
    for path in sorted(found - asked):
        path.unlink()
        print(f"removed {path}: the params file has no such encoder", file=sys.stderr)


def listed_files(params: Params) -> set[Path]:
    """The files of every encoder in the params file's lists, as DVC's stages have them.

    Also of an ablation that is not run, since it has no number of examples.
    """
    paths, files = params.layout, set()
    for modality, study in params.studies.items():
        for part, slicings in ((study, study.slicings), (study.ablation, study.ablation.slicings)):
            for names in product(slicings, part.methods, part.seeds):
                key = EncoderKey(modality, *names)
                files |= {paths.scores(key), paths.answers(key)}
                files |= {paths.pretext(key), paths.history(key)}
        for key in params.without_network(modality):
            files |= {paths.scores(key), paths.answers(key)}
        trained = study.end_to_end
        for names in product(study.slicings, trained.methods, trained.seeds):
            files.add(paths.end_to_end(EncoderKey(modality, *names)))
    return files


def main(arguments: list[str] | None = None) -> None:
    _, params = cli.open_stage(__doc__, arguments=arguments)
    # Read everything before anything is written: both files are of one state of the study.
    scored = [encoder_scores(params, key) for key in params.scored_keys()]
    none = pd.DataFrame(columns=SCORES)  # of a study without a task
    scores = pd.concat(scored, ignore_index=True) if scored else none
    trained = [pretext_scores(params, key) for key in params.encoder_keys()]
    pretext = pd.concat(trained, ignore_index=True)
    if "DVC_ROOT" in os.environ:  # set by DVC for its stages
        remove_others(params)
    write_csv(params.layout.all_scores, scores)
    write_csv(params.layout.all_pretext, pretext)


if __name__ == "__main__":
    cli.run(main)
