"""The stage scores on a study whose answers are known."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest
from conftest import ROOT
from scored_study import change, encoder

from stages import claims, figures, scores, tables
from study import names
from study.errors import InputError
from study.loading import load_params
from study.results import read_scores


def test_scores_holds_every_row_once_in_the_order_of_the_params_file(study: Path) -> None:
    params = load_params(study)
    rows = pd.read_csv(params.layout.all_scores)
    audio, video, images = (params.study(name).downstream for name in names.MODALITIES)
    # 4 tasks of 1 metric
    assert dict(rows["modality"].value_counts()) == {
        # 5 methods x 3 seeds: 4 numbers of examples by the main probe, 1 by each of two others;
        # 2 more slicings x 2 methods x 1 seed: 1 number of examples;
        # end to end, 2 methods x 2 seeds: 2 numbers of examples, 2 draws
        "audio": 4 * (15 * (4 + 2) * audio.replicates + 4 * audio.replicates + 8 * 2),
        "video": 3 * 5 * 2 * len(video.n_examples) * video.replicates,
        "images": 5 * 2 * len(images.n_examples) * images.replicates,
    }
    assert not rows.duplicated(list(rows.columns[:-1])).any()
    assert list(dict.fromkeys(rows["modality"])) == ["audio", "video", "images"]
    for modality, part in rows.groupby("modality"):
        assert list(dict.fromkeys(part["method"])) == params.study(modality).methods
        assert list(dict.fromkeys(part["slicing"])) == params.study(modality).all_slicings
    encoders = [params.encoder_keys(modality) for modality in ("audio", "video", "images")]
    for e in (encoders[0][0], encoders[0][7], *(keys[-1] for keys in encoders)):
        same = rows[list(rows.columns[:5])] == [
            e.modality,
            params.study(e.modality).dataset,
            e.slicing,
            e.method,
            e.seed,
        ]
        original = pd.read_csv(params.layout.scores(e))
        if "end_to_end" in params.classifiers(e):
            original = pd.concat([original, pd.read_csv(params.layout.end_to_end(e))])
            original = original.reset_index(drop=True)
        pd.testing.assert_frame_equal(rows[same.all(axis=1)].reset_index(drop=True), original)
    pretext = pd.read_csv(params.layout.all_pretext)
    assert dict(pretext["modality"].value_counts()) == {"audio": 76, "video": 120, "images": 40}
    assert list(pretext.columns)[-3:] == ["upstream_seed", "metric", "value"]


@pytest.mark.parametrize(("modality", "seeds"), [("audio", [0, 2]), ("video", [1])])
def test_scores_takes_exactly_the_encoders_asked_for(
    fresh: Path, modality: str, seeds: list[int]
) -> None:
    """The scores of a seed that is no longer listed stay on disk and are not gathered."""
    change(fresh, modality, seeds=seeds)
    scores.main(["--params", str(fresh)])
    rows = pd.read_csv(load_params(fresh).layout.all_scores)
    assert set(rows[rows["modality"] == modality]["upstream_seed"]) == set(seeds)


def damage_scores(table: pd.DataFrame, how: str) -> pd.DataFrame:
    if how == "duplicate":
        return pd.concat([table, table.iloc[[3]]])
    if how == "missing":
        return table.drop(index=5)
    if how == "a task missing":
        return table[table["task"] != "pitch"]
    if how == "not finite":
        return table.assign(value=table["value"].where(table.index != 4))
    if how == "another encoder":
        return table.assign(method="mse")
    if how == "another modality":
        return table.assign(modality="video")
    if how == "another metric":
        return table.assign(metric="accuracy")
    if how == "a count too many":
        return pd.concat([table, table[table["n_examples"] == 100].assign(n_examples=50)])
    return table.rename(columns={"value": "score"})


@pytest.mark.parametrize(
    ("modality", "how", "message"),
    [
        ("audio", "duplicate", r"line 18: the same score as on a line above"),
        ("audio", "missing", r"lacks a score \(.*replicate 1.*\) that the params file asks for"),
        ("audio", "a task missing", r"lacks 8 scores \(first: .*task pitch.*\)"),
        ("audio", "not finite", r"line 6: the value nan is not a finite number"),
        ("audio", "another encoder", r"holds 16 scores \(first: .*method mse.*\) .* not ask for"),
        ("audio", "a count too many", r"holds 8 scores \(first: .*n_examples 50.*\) .* not ask"),
        ("audio", "columns", r"has the columns .*score instead of .*value"),
        ("video", "duplicate", r"line 8: the same score as on a line above"),
        ("video", "missing", r"lacks a score \(.*replicate 2.*\) that the params file asks for"),
        ("images", "another modality", r"holds 6 scores \(first: modality video.*\) .* not ask"),
        ("images", "another metric", r"holds 6 scores \(first: .*metric accuracy\) .* not ask for"),
    ],
)
def test_scores_refuses_damaged_scores(fresh: Path, modality: str, how: str, message: str) -> None:
    params = load_params(fresh)
    path = params.layout.scores(encoder(fresh, modality, 4))
    damage_scores(pd.read_csv(path), how).to_csv(path, index=False)
    with pytest.raises(InputError, match=message) as error:
        scores.main(["--params", str(fresh)])
    assert str(path) in str(error.value) and "\n" not in str(error.value)
    assert not params.layout.all_scores.exists()


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"metrics": {"loss": 1.0}}, "lacks 3 scores .*metric partial_ranks"),
        ({"metrics": {"partial_ranks": 0.4, "fixed_set": 0.1}}, "lacks a score .*kendall_tau"),
        ({"metrics": {"partial_ranks": float("nan")}}, "partial_ranks is nan, not a finite number"),
        ({"metrics": {"partial_ranks": "0.4"}}, "not a finite number"),
        ({"metrics": None}, "holds no metrics"),
        ({"upstream_seed": 9}, "is of upstream_seed 9, not 1"),
        ({"modality": "text"}, "is of modality 'text', not 'audio'"),
    ],
)
def test_scores_refuses_damaged_pretext(fresh: Path, changed: dict, message: str) -> None:
    path = load_params(fresh).layout.pretext(encoder(fresh, "audio", 1))
    path.write_text(json.dumps(json.loads(path.read_text()) | changed))
    with pytest.raises(InputError, match=message) as error:
        scores.main(["--params", str(fresh)])
    assert str(path) in str(error.value)


@pytest.mark.parametrize("kind", ["scores", "pretext"])
@pytest.mark.parametrize("modality", names.MODALITIES)
def test_scores_names_a_missing_file(fresh: Path, modality: str, kind: str) -> None:
    path = getattr(load_params(fresh).layout, kind)(encoder(fresh, modality, 2))
    path.unlink()
    with pytest.raises(InputError, match="run the stage") as error:
        scores.main(["--params", str(fresh)])
    assert str(path) in str(error.value)


def test_a_mistake_ends_in_one_line_and_a_status(fresh: Path) -> None:
    path = load_params(fresh).layout.scores(encoder(fresh, "audio", 0))
    path.unlink()
    done = subprocess.run(
        [sys.executable, "-m", "stages.scores", "--params", str(fresh)],
        cwd=ROOT,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 1
    assert done.stderr == f"error: {path} does not exist: run the stage downstream first\n"


def test_stale_scores_are_refused(fresh: Path) -> None:
    scores.main(["--params", str(fresh)])
    change(fresh, "images", replicates=5)
    for stage in (tables, claims, figures):
        with pytest.raises(InputError, match=r"scores\.csv lacks .* run the stage scores again"):
            stage.main(["--params", str(fresh)])
    with pytest.raises(InputError):
        read_scores(load_params(fresh))
