"""The mean area under the ROC curve, which pictures are scored by, and draws of labelled inputs."""

from __future__ import annotations

from dataclasses import replace
from itertools import product
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from conftest import SIZES, TinyStudy
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import rankdata
from sklearn.metrics import roc_auc_score

from stages import downstream
from study.loading import load_params
from study.paths import LAYERS
from study.tasks import Task, mean_auc, read_tasks, seed_of

LEVELS = st.integers(-3, 3).map(float)  # few, so that there are ties


@given(st.data(), st.integers(1, 12), st.integers(1, 5))
def test_the_mean_auc_is_that_of_the_categories_that_have_one(
    data, rows: int, columns: int
) -> None:
    """Compared with scikit-learn, one category at a time, and with the rank-sum statistic."""

    def table(values):
        return np.array(
            data.draw(st.lists(values, min_size=rows * columns, max_size=rows * columns))
        ).reshape(rows, columns)

    scores, present = table(LEVELS), table(st.integers(0, 1)).astype(np.int8)
    told = [c for c in range(columns) if 0 < present[:, c].sum() < rows]
    if not told:
        return
    each = [roc_auc_score(present[:, c], scores[:, c]) for c in told]
    assert mean_auc(scores, present) == pytest.approx(np.mean(each))
    for c, area in zip(told, each, strict=True):
        positives = present[:, c].sum()
        ranks = rankdata(scores[:, c])[present[:, c] == 1].sum()
        won = ranks - positives * (positives + 1) / 2
        assert area == pytest.approx(won / (positives * (rows - positives)))
    reverse = mean_auc(-scores, present)
    assert reverse == pytest.approx(1 - np.mean(each))


def test_a_mean_auc_of_float32_and_of_one_category() -> None:
    present = np.array([[0, 1, 0], [1, 1, 0], [1, 1, 0]], np.int8)
    scores = np.array([[0.1, 9, 9], [0.2, 8, 9], [0.3, 7, 9]], np.float32)
    assert mean_auc(scores, present) == 1.0
    assert mean_auc(-scores, present) == 0.0


def test_every_seed_has_its_own_draws(tmp_path: Path, monkeypatch) -> None:
    """By the stages: draw r of seed s is the same of every method."""
    study = TinyStudy(tmp_path)
    for seed in (0, 1):
        for method in ("random", "mse"):
            for split, layer in product(("train", "test"), LAYERS):
                key = replace(study.encoder(method), seed=seed)
                path = study.layout.embeddings(key, split, layer)
                path.parent.mkdir(parents=True, exist_ok=True)
                np.save(path, np.random.default_rng(0).random((SIZES[split], 8), np.float32))
    drawn: list[tuple] = []
    subsets = Task.subsets

    def told(task: Task, runs: list, seed: int) -> list:
        found = subsets(task, runs, seed)
        drawn.append((task.name, *zip(runs, map(tuple, found), strict=True)))
        return found

    monkeypatch.setattr(Task, "subsets", told)
    of = {}
    for seed in (0, 1):
        for method in ("random", "mse"):
            drawn.clear()
            arguments = study.arguments(method)
            arguments[arguments.index("--seed") + 1] = str(seed)
            downstream.main(arguments)
            of[seed, method] = list(drawn)
    assert of[0, "random"] == of[0, "mse"] != of[1, "random"] == of[1, "mse"]
    for name, *draws in of[0, "mse"]:
        others = dict(next(o for n, *o in of[1, "mse"] if n == name and len(o) == len(draws)))
        assert all(set(rows) != set(others[run]) for run, rows in draws)


def test_the_seed_of_draws_is_a_seed_of_every_library() -> None:
    found = {
        seed_of(SimpleNamespace(downstream=SimpleNamespace(seed=seed)), upstream)
        for seed in range(20)
        for upstream in range(20)
    }
    assert len(found) == 400 and all(0 <= seed < 2**31 for seed in found)


def test_a_pitch_is_asked_for_as_a_number_and_as_classes(tiny_study) -> None:
    """Of one column; a note of NSynth may lack it; a pitch that no training note has is lost."""
    path = tiny_study.layout.labels("notes", "test")
    labels = pd.read_parquet(path).astype({"pitch": float})
    labels.loc[0, "pitch"], labels.loc[1, "pitch"] = np.nan, 7
    labels.to_parquet(path)
    tasks = {task.name: task for task in read_tasks(load_params(tiny_study.params), "audio")}
    number, classes = tasks["pitch"], tasks["pitch_class"]
    pitches = pd.read_parquet(tiny_study.layout.labels("notes", "train"))["pitch"].to_numpy()
    assert np.array_equal(number.targets, pitches) and number.outputs is None
    assert np.array_equal(classes.classes, np.unique(pitches))
    assert np.array_equal(classes.classes[classes.targets], pitches)
    assert classes.scored_on.tolist() == number.scored_on.tolist() == list(range(1, 40))
    best = np.searchsorted(classes.classes, classes.wanted).clip(max=classes.outputs - 1)
    there = np.isin(classes.wanted, pitches)
    assert not there[0] and there.sum() > 20
    assert dict(classes.scored(best)) == {"accuracy": there.mean()}
    near = number.wanted + 0.4  # within half a semitone: no more than an error of the number
    assert dict(number.scored(near)) == {"mse": pytest.approx(0.16)}
