"""Set two studies beside each other: make compare A=results/smoke B=results.

Reads settings.yaml, claims.csv and scores.csv of two folders of results; prints the settings and
the verdicts that differ (of a claim alone, and among all claims), the verdicts on the claims that
take two studies (Welch's interval: their seeds are unrelated), and of every score that both have
the two means and their difference, B less A, with a 95 % interval. Where the labelled data and
their draws are the same, the difference is paired, seed by seed and draw by draw; where not, the
interval is that of two unrelated samples. --csv writes the scores to a file.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import yaml

from shuffle_to_learn.evaluation.statistics import independent_difference, paired_difference
from stages import claims
from study import cli
from study.errors import InputError
from study.files import need, read_table, reading, rows, write_csv
from study.findings import read_verdicts, verdict_word, with_interval
from study.params import Params
from study.results import SCORES, under_names
from study.sections import Threads

KEYS = ["modality", "slicing", "method", "classifier", "task", "metric", "n_examples"]
COLUMNS = [*KEYS, "a", "b", "difference", "ci_low", "ci_high", "paired"]


def read_settings(folder: Path) -> dict[str, Any]:
    """The settings that a folder of results was made with."""
    path = need(folder / "settings.yaml", "site")
    with reading(path, "site"):
        settings = yaml.safe_load(path.read_text(encoding="utf-8"))
        if not isinstance(settings, dict):
            raise ValueError("no settings")
        return settings


def read_scores(folder: Path) -> pd.DataFrame:
    """The scores of a folder of results."""
    path = folder / "scores.csv"
    table = read_table(path, "scores")
    if list(table.columns) != SCORES:
        raise InputError(f"{path} has not the columns of scores: run the stage scores again")
    twice = table.index[table.duplicated(SCORES[:-1])]
    if len(twice):
        raise InputError(f"{path}, line {twice[0] + 2}: the same score as on a line above")
    return table


def changed(a: dict[str, Any], b: dict[str, Any], above: str = "") -> Iterator[str]:
    """A line for every setting that differs, and one for a section that one study alone has."""
    for key in dict.fromkeys([*a, *b]):
        one, other = a.get(key), b.get(key)
        if isinstance(one, dict) and isinstance(other, dict):
            yield from changed(one, other, f"{above}{key}.")
        elif one is None and isinstance(other, dict):
            yield f"{above}{key}: in B alone"
        elif other is None and isinstance(one, dict):
            yield f"{above}{key}: in A alone"
        elif one != other:
            yield f"{above}{key}: {one}, {other}"


def verdicts(folder: Path) -> dict[str, tuple[str, str]]:
    """The verdict on each claim, alone and among all, in words."""
    table = read_verdicts(folder / "claims.csv")
    words = (table[column].map(verdict_word) for column in ("verdict", "verdict_all"))
    return dict(zip(table["claim"], zip(*words, strict=True), strict=True))


def turned(a: Path, b: Path) -> list[str]:
    """A line for every claim whose verdict differs between two folders of results."""
    if missing := [folder for folder in (a, b) if not (folder / "claims.csv").exists()]:
        return [f"cannot be told: {folder} has no claims.csv" for folder in missing]
    one, other = verdicts(a), verdicts(b)
    absent = ("not there", "not there")
    pairs = {c: (one.get(c, absent), other.get(c, absent)) for c in {**one, **other}}
    return [
        f"{claim}: alone {before[0]}, {after[0]}; among all {before[1]}, {after[1]}"
        for claim, (before, after) in pairs.items()
        if before != after
    ] or ["none"]


def between(a: Path, b: Path) -> list[str]:
    """A line for every claim of the kind studies whose two sides these folders have."""
    lines = []
    for claim in claims.read_claims():
        if claim.kind != "studies":
            continue
        for folder, other in ((a, b), (b, a)):
            sides = (on_task(claim, folder, claim.task), on_task(claim, other, claim.control))
            if any(side is None for side in sides):
                continue
            (own, more), (its, less) = (side for side in sides if side is not None)
            effect = independent_difference(more, less)
            found = claims.verdict(effect, min(len(more), len(less)), claim)
            lines.append(
                f"{claim.claim}: {with_interval(effect)}, {verdict_word(found)} "
                f"({claim.task} of {own}, {len(more)} seeds; {claim.control} of {its}, "
                f"{len(less)} seeds)"
            )
    return lines


def on_task(claim: claims.Claim, folder: Path, task: str) -> tuple[str, np.ndarray] | None:
    """The dataset, and by seed and draw what a claim's comparison gives on a task of a study.

    None where the study has not what it takes.
    """
    settings = read_settings(folder)
    if task not in settings.get(claim.modality, {}).get("downstream", {}).get("tasks", ()):
        return None
    # Where a study wrote, and on how many cores, is no part of its settings.
    elsewhere = {
        "paths": {"data": "data", "results": "results"},
        "threads": dict.fromkeys(Threads.model_fields, 1),
    }
    with reading(folder / "settings.yaml", "site"):
        params = Params.model_validate(elsewhere | settings)
    scores = under_names(params, read_scores(folder))
    alone = claim.model_copy(update={"kind": "slicings", "task": task, "control": ""})
    try:
        data = claims.gather(alone, params, scores, pretext=scores.iloc[:0])
    except claims.Missing:
        return None
    return params.study(claim.modality).dataset, claims.sliced(data)


def same_draws(a: dict[str, Any], b: dict[str, Any], modality: str) -> bool:
    """Whether replicate r is the same labelled examples in both studies."""

    def drawn(settings: dict[str, Any]) -> Any:
        study = settings[modality]
        extraction = [study.get(key) for key in ("spectrograms", "frames", "pictures")]
        down = [study["downstream"].get(key) for key in ("seed", "evaluate_on")]
        return settings.get(study["dataset"]), study["dataset"], extraction, down

    return drawn(a) == drawn(b)


def crossed(table: pd.DataFrame) -> pd.DataFrame:
    """Seeds x draws: the draws that all seeds have, which may be none."""
    wide = table.pivot(index="upstream_seed", columns="replicate", values="value")
    return wide.dropna(axis="columns")


def compared(
    a: tuple[dict[str, Any], pd.DataFrame], b: tuple[dict[str, Any], pd.DataFrame]
) -> pd.DataFrame:
    """One row for every score that both studies have."""
    groups = [dict(iter(scores.groupby(KEYS, sort=False))) for _, scores in (a, b)]
    found_in_both = []
    for key in (key for key in groups[0] if key in groups[1]):
        one, other = (crossed(group[key]) for group in groups)
        if one.empty or other.empty:
            name = ", ".join(map(str, key))
            raise InputError(f"{name}: the seeds of a study have no draw in common: run it again")
        paired = same_draws(a[0], b[0], str(key[0]))
        if paired:
            seeds = one.index.intersection(other.index)
            draws = one.columns.intersection(other.columns)
            paired = len(seeds) > 0 and len(draws) > 0
        if paired:
            one, other = (table.loc[seeds, draws] for table in (one, other))
            found = paired_difference(other.to_numpy(), one.to_numpy())
        else:
            found = independent_difference(other.to_numpy(), one.to_numpy())
        means = float(np.mean(one.to_numpy())), float(np.mean(other.to_numpy()))
        found_in_both.append((*key, *means, *found, paired))
    return pd.DataFrame(found_in_both, columns=COLUMNS).round(8)


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("a", type=Path, help="a folder of results, e.g. results/smoke")
    parser.add_argument("b", type=Path, help="another one")
    parser.add_argument("--csv", type=Path, metavar="FILE", help="write the scores there, too")
    options = parser.parse_args(arguments)
    folders = (options.a, options.b)
    a, b = ((read_settings(folder), read_scores(folder)) for folder in folders)
    print(f"A: {options.a}\nB: {options.b}\n\nSettings that differ (A, B)")
    for line in list(changed(a[0], b[0])) or ["none"]:
        print(f"  {line}")
    print("\nClaims whose verdict differs (A, B)")
    for line in turned(*folders):
        print(f"  {line}")
    if lines := between(*folders):
        print("\nClaims on two studies")
        for line in lines:
            print(f"  {line}")
    table = compared(a, b)
    print("\nScores, B less A with a 95 % interval; * where it does not hold 0")
    for row in rows(table):
        what = (
            f"{row.modality} {row.slicing} {row.method} ({row.classifier}), {row.task} {row.metric}"
        )
        clear = "*" if row.ci_low > 0 or row.ci_high < 0 else " "
        print(
            f"  {what} at {row.n_examples}: {row.a:.4g}, {row.b:.4g}; {row.difference:+.4g} "
            f"[{row.ci_low:+.4g}, {row.ci_high:+.4g}]{clear}{'' if row.paired else ' (not paired)'}"
        )
    one, other = (scores.groupby(KEYS).ngroups for _, scores in (a, b))
    print(f"\n{len(table)} scores are in both; A has {one}, B has {other}.")
    if options.csv:
        write_csv(options.csv, table)
        print(f"written to {options.csv}", file=sys.stderr)


if __name__ == "__main__":
    cli.run(main)
