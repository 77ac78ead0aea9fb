"""The gathered results of a study: what is expected of them, and reading them whole."""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from stages.common import read_table
from stages.errors import InputError
from stages.params import Params
from stages.paths import Encoder

IDENTITY = ["modality", "dataset", "view", "method", "upstream_seed"]
SCORES = [*IDENTITY, "task", "n_examples", "replicate", "metric", "value"]
PRETEXT = [*IDENTITY, "metric", "value"]


def identity(params: Params, e: Encoder) -> tuple[str, str, str, str, int]:
    """The values of the columns :data:`IDENTITY` of one encoder."""
    return e.modality, params.study(e.modality).dataset, e.view, e.method, e.seed


def check_scores(
    table: pd.DataFrame, params: Params, encoders: Sequence[Encoder], path: Path, made_by: str
) -> pd.DataFrame:
    """The downstream scores of these encoders in the order of the params file.

    Raises:
        InputError: unless there is exactly one finite value for every score that it asks for.
    """
    expected = []
    for e in encoders:
        study = params.study(e.modality)
        expected += [
            (*identity(params, e), task, n, replicate, metric)
            for task in study.downstream.tasks
            for n in study.downstream.n_examples
            for replicate in range(study.downstream.replicates)
            for metric in study.metrics[task]
        ]
    table = _clean(table, SCORES, path, made_by)
    unasked = sorted(set(_keys(table)) - set(expected), key=str)
    if unasked:
        raise InputError(
            f"{path} holds {_rows(unasked, SCORES)} that the params file does not ask for: "
            f"run the stage {made_by} again"
        )
    return _in_order(table, expected, path, made_by)


def check_pretext(
    table: pd.DataFrame, params: Params, encoders: Sequence[Encoder], path: Path, made_by: str
) -> pd.DataFrame:
    """The held-out pretext metrics of these encoders; each must have its partial ranks.

    Raises:
        InputError: where that is not so, or a value is not finite.
    """
    table = _clean(table, PRETEXT, path, made_by)
    present = _keys(table)
    expected = []
    for e in encoders:
        metrics = [key[-1] for key in present if key[:-1] == identity(params, e)]
        expected += [(*identity(params, e), m) for m in dict.fromkeys(["partial_ranks", *metrics])]
    unasked = sorted(set(present) - set(expected), key=str)
    if unasked:
        raise InputError(
            f"{path} holds {_rows(unasked, PRETEXT)} that the params file does not ask for: "
            f"run the stage {made_by} again"
        )
    return _in_order(table, expected, path, made_by)


def nearest(counts: Sequence[int], wanted: int) -> int:
    """The example count nearest to the one wanted; of two as near, the greater."""
    return min(counts, key=lambda n: (abs(n - wanted), -n))


def read_scores(params: Params) -> pd.DataFrame:
    """``scores.csv``, checked to be that of this params file."""
    path = params.layout.all_scores
    return check_scores(read_table(path, "scores"), params, params.encoders(), path, "scores")


def read_pretext(params: Params) -> pd.DataFrame:
    """``pretext.csv``, checked to be that of this params file."""
    path = params.layout.all_pretext
    return check_pretext(read_table(path, "scores"), params, params.encoders(), path, "scores")


def tables_by_method(
    table: pd.DataFrame, methods: Iterable[str], **fixed: Hashable
) -> dict[str, np.ndarray]:
    """Seeds x replicates of every method, of the rows that have the fixed values.

    Both axes keep the order of the gathered files, so that equal places pair. The pretext metrics
    have no replicates: one column.
    """
    for column, value in fixed.items():
        table = table[table[column] == value]
    result = {}
    for method in methods:
        rows = table[table["method"] == method]
        seeds = rows["upstream_seed"].nunique()
        result[method] = rows["value"].to_numpy(dtype=np.float64).reshape(seeds, -1)
    return result


def _clean(table: pd.DataFrame, columns: list[str], path: Path, made_by: str) -> pd.DataFrame:
    if list(table.columns) != columns:
        raise InputError(
            f"{path} has the columns {', '.join(map(str, table.columns))} instead of "
            f"{', '.join(columns)}: run the stage {made_by} again"
        )
    values = pd.to_numeric(table["value"], errors="coerce")
    bad = table.index[~np.isfinite(values.to_numpy(dtype=np.float64))]
    if len(bad):
        raise InputError(
            f"{path}, line {bad[0] + 2}: the value {table.at[bad[0], 'value']!s} is not a finite "
            f"number"
        )
    table = table.assign(value=values.astype(np.float64))
    twice = table.index[table.duplicated(columns[:-1])]
    if len(twice):
        raise InputError(
            f"{path}, line {twice[0] + 2}: the same score as on a line above: "
            f"run the stage {made_by} again"
        )
    return table


def _keys(table: pd.DataFrame) -> list[tuple]:
    return list(table.iloc[:, :-1].itertuples(index=False, name=None))


def _in_order(table: pd.DataFrame, expected: list[tuple], path: Path, made_by: str) -> pd.DataFrame:
    values = dict(zip(_keys(table), table["value"], strict=True))
    missing = [key for key in expected if key not in values]
    if missing:
        raise InputError(
            f"{path} lacks {_rows(missing, list(table.columns))} that the params file asks for: "
            f"run the stage {made_by} again"
        )
    rows = [(*key, values[key]) for key in expected]
    return pd.DataFrame(rows, columns=list(table.columns))


def _rows(keys: list[tuple], columns: list[str]) -> str:
    names = columns[:-1]
    first = ", ".join(f"{name} {value}" for name, value in zip(names, keys[0], strict=True))
    return f"a score ({first})" if len(keys) == 1 else f"{len(keys)} scores (first: {first})"
