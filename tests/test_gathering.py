"""Scores as tables of seeds and draws, and the files that they are gathered from."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import yaml
from conftest import tiny_content

from stages.scores import remove_others
from study.loading import load_params
from study.results import Design, seed_values

ROWS = [
    {"classifier": c, "upstream_seed": s, "replicate": r, "task": "pitch", "value": v + 10 * s + r}
    for c, v in (("mlp", 0.0), ("knn", 0.5))
    for s in (0, 1, 2)
    for r in (0, 1, 2)
]
TABLE = pd.DataFrame(ROWS)


@pytest.mark.parametrize("shuffled", [False, True])
def test_values_are_by_seed_and_draw_whatever_the_order_of_the_rows(shuffled: bool) -> None:
    table = TABLE.sample(frac=1, random_state=0) if shuffled else TABLE
    found = seed_values(table, Design([2, 0], [10], 2), classifier="knn", task="pitch")
    assert np.array_equal(found, [[20.5, 21.5], [0.5, 1.5]])


def test_a_key_that_is_forgotten_is_no_mixture() -> None:
    with pytest.raises(ValueError, match=r"share a seed and a replicate: \['classifier'\] differ"):
        seed_values(TABLE, Design([0, 1], [10], 2), task="pitch")


@pytest.mark.parametrize(("seeds", "replicates"), [([0, 7], 2), ([0, 1], 4)])
def test_scores_that_are_missing_are_no_smaller_table(seeds: list[int], replicates: int) -> None:
    with pytest.raises(ValueError, match="scores are missing"):
        seed_values(TABLE, Design(seeds, [10], replicates), classifier="mlp")


def test_pretext_metrics_have_one_column() -> None:
    table = pd.DataFrame({"method": "mse", "upstream_seed": [1, 0], "value": [0.2, 0.1]})
    found = seed_values(table, Design([0, 1], [10], 5), method="mse")
    assert np.array_equal(found, [[0.1], [0.2]])


def test_what_no_encoder_of_the_study_made_is_removed_and_told(tmp_path: Path, capsys) -> None:
    """DVC takes the folders for inputs, so what lies in one and is made by none must go."""
    path = tmp_path / "params.yaml"
    content = tiny_content(tmp_path)
    content["audio"] |= {"methods": ["random", "mse"], "seeds": [0, 1]}
    path.write_text(yaml.safe_dump(content))
    before = load_params(path)
    paths, files = before.layout, set()
    for key in before.encoder_keys():
        files |= {paths.scores(key), paths.answers(key), paths.pretext(key), paths.history(key)}
        files |= {paths.model(key), paths.embeddings(key, "train", "tiles"), paths.end_to_end(key)}
    elsewhere = {paths.data / "scores/notes.txt", paths.data / "logs/a/b/c/0.log"}
    for file in files | elsewhere:
        file.parent.mkdir(parents=True, exist_ok=True)
        file.touch()

    content["audio"]["seeds"] = [0]
    content["video"]["methods"].remove("perturbed_fy")
    content["video"]["shown"] = "random"
    path.write_text(yaml.safe_dump(content))
    params = load_params(path)
    remove_others(params)
    kept = {file for file in files if file.exists()}
    for key in before.encoder_keys():
        asked = key in params.encoder_keys()
        for file in (paths.scores, paths.answers, paths.pretext, paths.history):
            assert (file(key) in kept) == asked, file(key)
        assert (paths.end_to_end(key) in kept) == (key in params.trained_end_to_end())
        assert {paths.model(key), paths.embeddings(key, "train", "tiles")} <= kept  # hours of work
    assert all(file.exists() for file in elsewhere)
    said = capsys.readouterr().err.splitlines()
    assert len(said) == len(files - kept) and all(line.startswith("removed ") for line in said)
    remove_others(params)
    assert capsys.readouterr().err == ""
