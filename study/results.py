"""The gathered results of a study: what is expected of them, and reading them whole."""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import pandas as pd

from study.errors import InputError
from study.files import read_table
from study.params import Params, Study, orders_patches
from study.paths import WHOLE, EncoderKey

IDENTITY = ["modality", "dataset", "slicing", "method", "upstream_seed"]
SCORES = [*IDENTITY, "classifier", "task", "n_examples", "replicate", "metric", "value"]
PRETEXT = [*IDENTITY, "metric", "value"]
PRETEXT_METRICS = ("partial_ranks", "kendall_tau", "fixed_set")
"""What every network that orders patches is measured by, as the tables show it."""


def identity(params: Params, key: EncoderKey) -> tuple[str | int, ...]:
    """The values of the columns :data:`IDENTITY` of one encoder."""
    return tuple(params.identity(key).values())


def check_scores(
    table: pd.DataFrame,
    params: Params,
    encoders: Mapping[EncoderKey, Sequence[str]],
    path: Path,
    made_by: str,
) -> pd.DataFrame:
    """The scores of these encoders' classifiers in the order of the params file.

    Raises:
        InputError: unless there is exactly one finite value for every score that it asks for.
    """
    expected = []
    for key, names in encoders.items():
        study = params.study(key.modality)
        expected += [
            (*identity(params, key), classifier, task, n, replicate, metric)
            for classifier in names
            for counts, replicates in [study.draws(key.slicing, classifier)]
            for task in study.downstream.tasks
            for n in counts
            for replicate in range(replicates)
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
    table: pd.DataFrame, params: Params, encoders: Sequence[EncoderKey], path: Path, made_by: str
) -> pd.DataFrame:
    """The held-out pretext metrics of these encoders; each must have those of the tables.

    Raises:
        InputError: where that is not so, or a value is not finite.
    """
    table = _clean(table, PRETEXT, path, made_by)
    present = _keys(table)
    expected = []
    for key in encoders:
        who = identity(params, key)
        metrics = [row[-1] for row in present if row[:-1] == who]
        needed = PRETEXT_METRICS if orders_patches(key.method) else ("loss",)
        expected += [(*who, metric) for metric in dict.fromkeys([*needed, *metrics])]
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
    encoders = {key: params.classifiers(key) for key in params.scored_keys()}
    return check_scores(read_table(path, "scores"), params, encoders, path, "scores")


def end_to_end_name(method: str) -> str:
    """What an encoder of this method, trained end to end, is called."""
    return "supervised" if method == "random" else f"{method}_fine_tuned"


class Design(NamedTuple):
    """What some rows of scores have in common."""

    seeds: list[int]
    counts: list[int]
    replicates: int


def design_of(study: Study, slicing: str, classifier: str) -> Design:
    """What a classifier was run with on the encoders of a slicing."""
    seeds = study.end_to_end.seeds if classifier == "end_to_end" else study.compared(slicing)[1]
    return Design(seeds, *study.draws(slicing, classifier))


def designs(study: Study, slicing: str) -> dict[str, Design]:
    """What was run on a slicing: the design of each name that :func:`under_names` gives.

    What has no network is beside each of the study's slicings, see
    :func:`study.paths.slicing_of`.
    """
    probed = design_of(study, slicing, study.downstream.probe)
    beside = study.compared(WHOLE)[0] if slicing in study.slicings else []
    result = dict.fromkeys([*beside, *study.compared(slicing)[0]], probed)
    trained = study.end_to_end
    if slicing in study.slicings and trained.seeds and trained.n_examples:
        names = map(end_to_end_name, trained.methods)
        result |= dict.fromkeys(names, design_of(study, slicing, "end_to_end"))
    return result


def shared_design(designs: Iterable[Design]) -> Design:
    """The seeds, numbers of examples and draws that all of these have."""
    first, *rest = designs
    for design in rest:
        first = Design(
            [seed for seed in first.seeds if seed in design.seeds],
            [n for n in first.counts if n in design.counts],
            min(first.replicates, design.replicates),
        )
    return first


def under_names(params: Params, scores: pd.DataFrame) -> pd.DataFrame:
    """The scores by the study's main probe, and below them those of training end to end.

    The latter have :func:`end_to_end_name` in the column ``method``. The column ``classifier``
    stays.
    """
    parts = []
    for modality, study in params.studies.items():
        found = scores[scores["modality"] == modality]
        trained = found[found["classifier"] == "end_to_end"]
        parts.append(found[found["classifier"] == study.downstream.probe])
        parts.append(trained.assign(method=trained["method"].map(end_to_end_name)))
    return pd.concat(parts, ignore_index=True)


def read_pretext(params: Params) -> pd.DataFrame:
    """``pretext.csv``, checked to be that of this params file."""
    path = params.layout.all_pretext
    return check_pretext(read_table(path, "scores"), params, params.encoder_keys(), path, "scores")


def seed_values(table: pd.DataFrame, design: Design, **fixed: Hashable) -> npt.NDArray[np.float64]:
    """The scores of a design: seeds x replicates.

    Args:
        table: scores, or pretext metrics, which have no replicates: one column.
        design: the seeds and the number of replicates.
        fixed: columns and the values that the rows have in them.

    Raises:
        ValueError: unless there is one row for each seed and replicate: a key is missing in
            ``fixed``, or a score in the table.
    """
    for column, value in fixed.items():
        table = table[table[column] == value]
    draws = list(range(design.replicates))
    if "replicate" not in table:
        table, draws = table.assign(replicate=0), [0]
    table = table[table["upstream_seed"].isin(design.seeds) & table["replicate"].isin(draws)]
    cells = ["upstream_seed", "replicate"]
    if (twice := table.duplicated(cells, keep=False)).any():
        varied = [c for c in table.columns if c not in (*cells, "value") and table[c].nunique() > 1]
        raise ValueError(f"{twice.sum()} rows share a seed and a replicate: {varied} differ")
    wide = table.pivot(index="upstream_seed", columns="replicate", values="value")
    values = wide.reindex(index=design.seeds, columns=draws).to_numpy(np.float64)
    if np.isnan(values).any():
        raise ValueError(f"{np.isnan(values).sum()} scores are missing of {fixed}")
    return values


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
