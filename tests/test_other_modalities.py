"""The stages that train, on clips and on pictures."""

from __future__ import annotations

import json
from collections.abc import Callable

import keras
import numpy as np
import pandas as pd
import pytest
from conftest import DATASETS, SIZES, SLICINGS, TinyStudy
from sklearn.metrics import roc_auc_score
from trained_study import (
    IDENTITY,
    OTHERS,
    SPLITS,
    STAGES,
    made,
    names_of_outputs,
    other_modalities,
    provide,
    settings,
)

from stages import downstream, embed, end_to_end, pretrain


@other_modalities
def test_other_modalities_have_the_same_outputs(carried, modality: str) -> None:
    study = carried(modality)
    assert sorted(made(study)) == names_of_outputs(f"{modality}/{SLICINGS[modality]}/mse")
    history = pd.read_csv(study.layout.history(study.encoder()))
    assert list(history["epoch"]) == [0, 1, 2, 3]
    assert history["valid_loss"].iloc[-1] < history["valid_loss"].iloc[0]
    pretext = json.loads(study.layout.pretext(study.encoder()).read_text())
    identity = (modality, DATASETS[modality], SLICINGS[modality], "mse", 0)
    assert tuple(pretext[key] for key in IDENTITY) == identity
    scores = pd.read_csv(study.layout.scores(study.encoder()))
    columns = ["classifier", "task", "n_examples", "replicate", "metric", "value"]
    assert list(scores.columns) == [*IDENTITY, *columns]
    assert set(scores[list(IDENTITY)].itertuples(index=False, name=None)) == {identity}
    task, metric = {"video": ("action", "accuracy"), "images": ("objects", "auc")}[modality]
    assert set(zip(scores["task"], scores["metric"], strict=True)) == {(task, metric)}
    runs = list(zip(scores["n_examples"], scores["replicate"], strict=True))
    assert sorted(runs) == [(12, 0), (12, 1), (60, 0), (60, 1)]
    assert scores["value"].between(0, 1).all()
    with_60 = scores.query("n_examples == 60")["value"]
    assert with_60.mean() > {"video": 0.5, "images": 0.65}[modality]  # chance: 1/3, 1/2


@other_modalities
def test_other_modalities_give_the_same_bytes_again(tiny_other, carried, modality: str) -> None:
    for stage in STAGES:
        tiny_other.run(stage)
    assert made(tiny_other) == made(carried(modality))


def test_the_embeddings_of_clips_are_of_frames_in_order(carried) -> None:
    study = carried("video")
    assert_embedded(study, lambda x: x[:, [0, 2, 3, 5]])  # the middle frame of each quarter of 6


def test_the_embeddings_of_pictures_are_of_tiles_row_by_row(carried) -> None:
    """13 pixels are two cells of 6, from the first pixel on; a gap of 1 leaves tiles of 5."""
    study = carried("images")
    assert_embedded(
        study,
        lambda x: np.stack([x[:, r : r + 5, c : c + 5] for r in (0, 6) for c in (0, 6)], axis=1),
    )


def assert_embedded(study: TinyStudy, patches: Callable[[np.ndarray], np.ndarray]) -> None:
    model = keras.saving.load_model(study.layout.model(study.encoder()))
    joined = keras.Model(model.input, model.get_layer("joined").output)
    for split in ("train", "valid", "test"):
        embeddings = np.load(study.layout.embeddings(study.encoder(), split, "joined"))
        assert embeddings.dtype == np.float16
        assert embeddings.shape == (SIZES[split], 16)
        features = np.load(study.layout.features(study.dataset, split))
        assert features.dtype == np.uint8
        expected = joined(patches(features.astype(np.float32) / 255))
        assert np.allclose(embeddings, expected, rtol=2**-10, atol=1e-5)


@other_modalities
def test_other_modalities_read_their_own_splits(tiny_other, carried, modality: str) -> None:
    """A stage names a file that it needs and lacks, and the stage that makes the file."""
    _, upstream = OTHERS[modality]
    layout, dataset = tiny_other.layout, tiny_other.dataset
    needed = {
        pretrain: [layout.features(dataset, split) for split in upstream],
        embed: [layout.features(dataset, split) for split in ("train", "valid", "test")],
        downstream: [layout.labels(dataset, split) for split in ("train", "test")],
        end_to_end: [
            path(dataset, split)
            for split in ("train", "test")
            for path in (layout.labels, layout.features)
        ],
    }
    provide(tiny_other, made(carried(modality)), "encoders", "embeddings")
    for stage, paths in needed.items():
        for path in paths:
            content = path.read_bytes()
            path.unlink()
            line = tiny_other.refusal(stage)
            assert line == f"error: {path} does not exist: run the stage join first"
            path.write_bytes(content)
        others = [
            path
            for split in SPLITS
            for path in (layout.features(dataset, split), layout.labels(dataset, split))
            if path.exists() and path not in paths
        ]
        aside = {path: path.read_bytes() for path in others}
        for path in others:
            path.unlink()
        tiny_other.run(stage)
        for path, content in aside.items():
            path.write_bytes(content)


@other_modalities
def test_other_modalities_features_of_other_settings(tiny_other, modality: str) -> None:
    made_by, upstream = OTHERS[modality]
    path = tiny_other.layout.features(tiny_other.dataset, upstream[0])
    shape = np.load(path).shape[1:]
    tiny_other.change(settings(made_by, modality, size=16))
    asked = (*shape[:-3], 16, 16, shape[-1])
    assert tiny_other.refusal(pretrain) == (
        f"error: {path} holds {made_by} of {shape}, the params file asks for {asked}: run the "
        f"stages {made_by} and join again"
    )


@pytest.mark.parametrize("modality", ["images"])
def test_what_a_grid_cuts_off_is_told(tiny_other, capsys) -> None:
    tiny_other.run(pretrain, "random")
    said = capsys.readouterr().err
    assert (
        "slicing grid-2x2 does not divide 13 x 13 pixels: the 12 x 12 in the middle are used\n"
        in said
    )
    tiny_other.change(settings("pretrain", "images", gap=0))
    tiny_other.run(pretrain, "random", slicing="grid-1x13")
    assert "does not divide" not in capsys.readouterr().err


def relabel(study: TinyStudy, split: str, change: Callable[[list], list]) -> None:
    path = study.layout.labels("scenes", split)
    table = pd.read_parquet(path)
    table["objects"] = [change([int(label) for label in labels]) for labels in table["objects"]]
    table.to_parquet(path, index=False)


@pytest.mark.parametrize("modality", ["images"])
@pytest.mark.parametrize(
    "splits", [("test",), ("train", "test")], ids=["no object in test", "no object at all"]
)
def test_nothing_to_tell_apart_is_refused(tiny_other, carried, splits) -> None:
    provide(tiny_other, made(carried("images")), "embeddings")
    for split in splits:
        relabel(tiny_other, split, lambda labels: [])
    assert tiny_other.refusal(downstream) == (
        f"error: {tiny_other.layout.labels('scenes', 'test')}: no category of objects is in some "
        "of the inputs and not in others: there is nothing to score"
    )


@pytest.mark.parametrize("modality", ["images"])
def test_every_object_in_every_picture_is_refused(tiny_other, carried) -> None:
    provide(tiny_other, made(carried("images")), "embeddings")
    relabel(tiny_other, "test", lambda labels: [0, 1, 2])
    assert "there is nothing to score" in tiny_other.refusal(downstream)


@pytest.mark.parametrize("modality", ["images"])
def test_categories_without_an_area_are_left_out_and_told(tiny_other, carried, capsys) -> None:
    """Object 1 is nowhere in test, object 2 everywhere, 3 to 6 in one training picture alone."""
    provide(tiny_other, made(carried("images")), "embeddings")
    relabel(tiny_other, "test", lambda labels: sorted({*labels, 2} - {1}))
    first = iter([[3, 6]])
    relabel(tiny_other, "train", lambda labels: next(first, labels))
    capsys.readouterr()
    tiny_other.run(downstream)
    assert (
        "objects: 6 of 7 categories are in none or all of the inputs of test: the mean AUC is over "
        "the others\n" in capsys.readouterr().err
    )
    scores = pd.read_csv(tiny_other.layout.scores(tiny_other.encoder()))
    assert scores["value"].between(0, 1).all()


@pytest.mark.parametrize("modality", ["images"])
def test_the_scores_are_the_areas_of_the_probes(tiny_other, carried, monkeypatch) -> None:
    """Each score is scikit-learn's area for the log-odds and labels of the same run."""
    provide(tiny_other, made(carried("images")), "embeddings")
    rng = np.random.default_rng(0)
    log_odds = rng.normal(size=(4, SIZES["test"], 3)).astype(np.float32)
    given_targets = []

    def predict(pool, targets, subsets, queries, **_):
        given_targets.append(targets)
        return log_odds

    monkeypatch.setattr("shuffle_to_learn.evaluation.probes.predict_with_probes", predict)
    tiny_other.run(downstream)
    table = pd.read_parquet(tiny_other.layout.labels("scenes", "test"))
    wanted = np.array([[number in labels for number in range(3)] for labels in table["objects"]])
    trained = pd.read_parquet(tiny_other.layout.labels("scenes", "train"))
    expected = np.array(
        [[number in labels for number in range(3)] for labels in trained["objects"]]
    )
    assert np.array_equal(given_targets[0], expected)
    scores = pd.read_csv(tiny_other.layout.scores(tiny_other.encoder()))
    runs = [(12, 0), (12, 1), (60, 0), (60, 1)]
    assert list(zip(scores["n_examples"], scores["replicate"], strict=True)) == runs
    areas = [roc_auc_score(wanted, odds, average="macro") for odds in log_odds]
    assert np.allclose(scores["value"], areas)
