"""Rows without a network: features and their summaries under the probes, in tables and figures."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from conftest import SLICINGS, TinyStudy
from scored_study import drawn, make_study, plan, run_all, table, text
from sklearn.neighbors import KNeighborsClassifier

from shuffle_to_learn.evaluation import probes
from shuffle_to_learn.features.summary import BATCH, of_bands, of_pixels, of_tiles
from shuffle_to_learn.slicing import Slicing
from stages import downstream, embed, end_to_end, pretrain, tables
from study.loading import load_params
from study.paths import EncoderKey
from study.tasks import seed_of

BARE = ["raw", "summary"]


def test_a_summary_is_the_mean_and_deviation_of_each_band_pixel_or_tile() -> None:
    """Entry by entry, over more than a batch."""
    rng = np.random.default_rng(0)
    count = BATCH + 3
    x = rng.normal(size=(count, 4, 6)).astype(np.float16)
    found = of_bands(x)
    assert found.shape == (count, 8) and found.dtype == np.float32
    one = x[-1, 2].astype(np.float64)
    assert found[-1, [2, 6]] == pytest.approx([one.mean(), one.std()], abs=1e-4)

    clips = rng.integers(0, 256, (count, 5, 3, 2, 3)).astype(np.uint8)
    found = of_pixels(clips)
    assert found.shape == (count, 2 * 3 * 2 * 3)
    one, place = clips[-1, :, 1, 0, 2].astype(np.float64), (1 * 2 + 0) * 3 + 2
    assert found[-1, [place, 18 + place]] == pytest.approx([one.mean(), one.std()], abs=1e-3)

    pictures = rng.integers(0, 256, (count, 8, 11, 3)).astype(np.uint8)
    found = of_tiles(pictures, Slicing.parse("grid-2x3"))  # tiles of 4 x 3 from the column 1 on
    assert found.shape == (count, 2 * 6 * 3)
    one, place = pictures[-1, 4:, 4:7, 1].astype(np.float64), (1 * 3 + 1) * 3 + 1
    assert found[-1, [place, 18 + place]] == pytest.approx([one.mean(), one.std()], abs=1e-3)


@pytest.mark.parametrize("modality", SLICINGS)
@pytest.mark.parametrize("method", BARE)
def test_the_probes_are_fitted_on_features(tmp_path: Path, modality: str, method: str) -> None:
    study = TinyStudy(tmp_path, modality=modality)
    study.run(downstream, method, "whole")
    key = EncoderKey(modality, "whole", method, 0)
    scores = pd.read_csv(study.layout.scores(key))
    names = ["modality", "slicing", "method", "upstream_seed"]
    assert (scores[names] == [modality, "whole", method, 0]).all(axis=None)
    params = load_params(study.params)
    assert list(dict.fromkeys(scores["classifier"])) == params.classifiers(key)
    assert "mlp-tiles" not in set(scores["classifier"])
    assert study.layout.answers(key).is_file()
    if modality != "audio":
        return
    # scikit-learn on the same draws of the features, standardised: the probe knn
    task, rows = "instrument", scores.query("task == 'instrument' and classifier == 'knn'")
    x = {
        s: np.load(study.layout.features("notes", s)).astype(np.float32) for s in ("train", "test")
    }
    if method == "summary":
        x = {s: np.concatenate([v.mean(2), v.std(2)], axis=1) for s, v in x.items()}
    x = {s: v.reshape(len(v), -1) for s, v in x.items()}
    y = {s: pd.read_parquet(study.layout.labels("notes", s))[task].to_numpy() for s in x}
    drawn_by = seed_of(load_params(study.params).studies["audio"], 0)
    for row in rows.itertuples():
        drawn_rows = probes.draw_subset(80, row.n_examples, row.replicate, drawn_by)
        mean, deviation = x["train"][drawn_rows].mean(0), x["train"][drawn_rows].std(0)
        z = {s: np.clip((v - mean) / deviation, -5, 5) for s, v in x.items()}
        model = KNeighborsClassifier(5, weights="distance", metric="cosine")
        model.fit(z["train"][drawn_rows], y["train"][drawn_rows])
        assert row.value == pytest.approx(model.score(z["test"], y["test"]), abs=0.026)


def test_they_have_no_network_and_no_slicing(tiny_study: TinyStudy) -> None:
    for stage in (pretrain, embed, end_to_end):
        line = tiny_study.refusal(stage, "raw", "whole")
        assert "--method raw: unknown method" in line
    line = tiny_study.refusal(downstream, "summary", "frequency-5")
    assert "--slicing frequency-5: without a network there is only whole" in line
    tiny_study.layout.features("notes", "test").unlink()
    assert "run the stage join first" in tiny_study.refusal(downstream, "raw", "whole")


def test_probes_that_memory_has_no_room_for_are_fitted_after_each_other(monkeypatch) -> None:
    """Where each trains to its end, that changes nothing."""
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(60, 7)).astype(np.float32), rng.integers(0, 3, 60)
    subsets = [rng.permutation(60)[:n] for n in (30, 30, 20, 30)]
    settings = probes.Settings(steps=60, evaluate_every=20, patience=10)
    fitted: list[int] = []

    def predict() -> np.ndarray:
        return probes.predict_with_probes(x, y, subsets, x, classes=3, settings=settings)

    together = predict()
    train = probes._Probe.train

    def counted(probe) -> bool:
        fitted.append(id(probe))
        return train(probe)

    monkeypatch.setattr(probes._Probe, "train", counted)
    monkeypatch.setattr(probes, "MEMORY", 2 * 4 * 30 * 7)  # two of 30
    assert np.array_equal(predict(), together)
    thirty = fitted[3:]  # after those of 20 examples
    assert len(set(thirty[:6])) == 2 and len(set(thirty[6:])) == 1


def test_they_lead_each_block_and_have_no_pretext(tmp_path: Path) -> None:
    video = {"slicings": ["frames-20", "frames-5"], "no_network": BARE, "n_examples": [100, 3000]}
    params = make_study(tmp_path, video=video, without=["audio", "images"])
    run_all(params)
    rows = table(params, 3)
    for slicing in ("frames-20", "frames-5"):
        own = rows[rows["slicing"] == slicing]
        scored = own[own["task"] == "action"]
        assert list(scored["method"])[:3] == ["raw", "summary", "random"]
        assert not set(own[own["task"] == "pretext"]["method"]) & set(BARE)
        raw = pd.read_csv(load_params(params).layout.all_scores)
        raw = raw.query("slicing == 'whole' and method == 'raw' and n_examples == 3000")
        assert scored["mean"].iloc[0] == pytest.approx(raw["value"].mean(), abs=1e-7)
    first, *_ = tables.cells(rows, plan(3))
    scored, pretext, *_ = first["rows"][0]["cells"]
    assert first["rows"][0]["label"] == "The features themselves"
    assert "slicing=whole" in scored["rows"] and "method=raw" in scored["rows"]
    assert pretext["mean"] == tables.NO_VALUE and not (pretext["best"] or pretext["unsure"])
    assert f"| {tables.NO_VALUE} |" in text(params, "tables/table3.md")
    assert "& -- \\\\" in text(params, "tables/table3.tex")
    assert 'browse.html#"' not in text(params, "tables/table3.html")
    words = text(params, "tables/table3.md")
    assert "or as the mean and deviation of each pixel over the frames, and no network" in words
    lines = drawn(params, "video-examples").groupby(["slicing", "method"]).size()
    assert lines["frames-5", "summary"] == lines["frames-20", "raw"] == 2
    pretext = pd.read_csv(load_params(params).layout.all_pretext)
    assert not set(pretext["method"]) & set(BARE)


@pytest.mark.parametrize(
    ("names", "said"),
    [
        (["raw", "pixels"], r"audio\.no_network\.1: .*given 'pixels'"),
        (["raw", "raw"], r"audio\.no_network: lists an entry twice"),
    ],
)
def test_a_wrong_list_is_told(tiny_study: TinyStudy, names: list[str], said: str) -> None:
    tiny_study.change(lambda content: content["audio"].update(no_network=names))
    assert re.search(said, tiny_study.refusal(downstream))
