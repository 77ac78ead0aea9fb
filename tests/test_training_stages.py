"""The stages pretrain, embed and downstream on a study of seconds: outputs, restarts, mistakes."""

from __future__ import annotations

import io
import json
import re
import resource
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from types import ModuleType

import keras
import numpy as np
import pandas as pd
import pytest
from conftest import DATASETS, ROOT, SIZES, SLICINGS, TinyStudy
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import rankdata
from sklearn.metrics import roc_auc_score
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tensorboard.util.tensor_util import make_ndarray

from shuffle_to_learn.pretext.pretraining import Pretraining
from stages import downstream, embed, end_to_end, pretrain
from study.tasks import mean_auc

STAGES = (pretrain, embed, downstream, end_to_end)
SPLITS = tuple(SIZES)
IDENTITY = ("modality", "dataset", "slicing", "method", "upstream_seed")
every_stage = pytest.mark.parametrize("stage", STAGES, ids=lambda stage: stage.__name__)


@pytest.fixture(scope="module")
def done(tmp_path_factory: pytest.TempPathFactory) -> TinyStudy:
    """A study carried through; only to be read."""
    study = TinyStudy(tmp_path_factory.mktemp("done"))
    for stage in STAGES:
        study.run(stage)
    return study


@pytest.fixture(scope="module")
def outputs(done: TinyStudy) -> dict[str, bytes]:
    return made(done)


def made(study: TinyStudy) -> dict[str, bytes]:
    """What the stages wrote."""
    given = ("params.yaml", f"data/{study.dataset}/")
    return {name: x for name, x in study.files().items() if not name.startswith(given)}


def provide(study: TinyStudy, outputs: dict[str, bytes], *kinds: str) -> None:
    """Puts outputs of another run of the same study in place."""
    for name, content in outputs.items():
        if name.split("/")[1] in kinds:
            path = study.folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content)


def assert_matches(line: str, pattern: str) -> None:
    assert re.search(pattern, line), line


def settings(section: str, modality: str = "audio", **values) -> Callable[[dict], None]:
    return lambda content: content[modality][section].update(values)


# what is written


def test_the_outputs_are_those_of_the_design(outputs: dict[str, bytes]) -> None:
    e = "audio/frequency-5/mse"
    assert sorted(outputs) == [
        f"data/answers/{e}/0.csv",
        *(f"data/embeddings/{e}/0/{split}.npy" for split in ("test", "train", "valid")),
        f"data/encoders/{e}/0/cfn.keras",
        f"data/history/{e}/0.csv",
        f"data/pretext/{e}/0.json",
        f"data/scores/{e}/0-end-to-end.csv",
        f"data/scores/{e}/0.csv",
    ]


def test_the_history_has_every_epoch(done: TinyStudy) -> None:
    history = pd.read_csv(done.layout.history(done.encoder()))
    trained = ["learning_rate", "loss", "partial_ranks", "score_spread", "zero_gradients"]
    held_out = ["valid_loss", "valid_partial_ranks", "valid_score_spread"]
    assert list(history.columns) == ["epoch", *trained, *held_out]
    assert list(history["epoch"]) == [0, 1, 2, 3]  # 0 is the untrained network, held out only
    assert history.loc[0, trained].isna().all()
    assert history.loc[1:].notna().all(axis=None)
    assert history["valid_loss"].iloc[-1] < history["valid_loss"].iloc[0]
    assert (history["zero_gradients"].iloc[1:] == 0).all()  # of the squared error
    spread = history["valid_score_spread"]
    assert spread.iloc[0] < 0.5  # the untrained network scores every patch about alike
    assert 1 < spread.iloc[-1] < 4  # of ranks 1 to 5


def test_tensorboard_has_what_the_history_has(done: TinyStudy) -> None:
    board = EventAccumulator(str(done.layout.tensorboard(done.encoder()))).Reload()
    history = pd.read_csv(done.layout.history(done.encoder())).loc[1:]
    assert set(board.Tags()["tensors"]) == set(history.columns)
    for name in history.columns:
        events = board.Tensors(name)
        assert [event.step for event in events] == [1, 2, 3]
        values = [make_ndarray(event.tensor_proto) for event in events]
        assert np.allclose(values, history[name])


def test_the_pretext_scores_are_the_last_epochs(done: TinyStudy) -> None:
    history = pd.read_csv(done.layout.history(done.encoder()))
    pretext = json.loads(done.layout.pretext(done.encoder()).read_text())
    metrics = pretext.pop("metrics")
    assert metrics["partial_ranks"] == pytest.approx(history["valid_partial_ranks"].iloc[-1])
    assert metrics["loss"] == pytest.approx(history["valid_loss"].iloc[-1])
    assert set(metrics) == {"partial_ranks", "loss"}
    assert list(pretext.items()) == [
        ("modality", "audio"),
        ("dataset", "notes"),
        ("slicing", "frequency-5"),
        ("method", "mse"),
        ("upstream_seed", 0),
    ]


def test_the_embeddings_are_the_frozen_layers_of_patches_in_order(done: TinyStudy) -> None:
    model = keras.saving.load_model(done.layout.model(done.encoder()))
    joined = keras.Model(model.input, model.get_layer("joined").output)
    for split, count in {"train": 80, "valid": 30, "test": 40}.items():
        embeddings = np.load(done.layout.embeddings(done.encoder(), split))
        assert embeddings.dtype == np.float32
        assert embeddings.shape == (count, 16)
        features = np.load(done.layout.features("notes", split)).astype(np.float32)
        expected = joined(features.reshape(count, 5, 4, 12, 1))  # bands from low to high
        assert np.allclose(embeddings, expected, atol=1e-5)


def test_the_scores_are_tidy(done: TinyStudy) -> None:
    scores = pd.read_csv(done.layout.scores(done.encoder()))
    identity = ["modality", "dataset", "slicing", "method", "upstream_seed"]
    run = ["classifier", "task", "n_examples", "replicate", "metric"]
    assert list(scores.columns) == [*identity, *run, "value"]
    assert (scores[identity] == ["audio", "notes", "frequency-5", "mse", 0]).all(axis=None)
    metrics = {
        (task, metric)
        for task, names in {
            "instrument": ["accuracy"],
            "family": ["accuracy"],
            "pitch": ["mse", "accuracy"],
        }.items()
        for metric in names
    }
    both = {(t, n, r, m) for t, m in metrics for n in (12, 60) for r in (0, 1)}
    wanted = {("mlp", *row) for row in both} | {("knn", *row) for row in both if row[1] == 60}
    assert set(scores[run].itertuples(index=False, name=None)) == wanted
    assert len(scores) == len(wanted)
    accuracy = scores.query("metric == 'accuracy'")
    assert accuracy["value"].between(0, 1).all()
    keys = ["classifier", "task", "metric"]
    with_60 = scores.query("n_examples == 60").groupby(keys)["value"].mean()
    for classifier in ("mlp", "knn"):
        assert with_60[classifier, "instrument", "accuracy"] > 0.4  # by chance 0.25
        # of guessing the mean: 133, of guessing 0: 3700
        assert with_60[classifier, "pitch", "mse"] < 200
    trained = pd.read_csv(done.layout.end_to_end(done.encoder()))
    wanted = {("end_to_end", *row) for row in both if row[2] == 0}
    assert set(trained[run].itertuples(index=False, name=None)) == wanted
    assert len(trained) == len(wanted) and list(trained.columns) == list(scores.columns)
    with_60 = trained.query("n_examples == 60").groupby(["task", "metric"])["value"].mean()
    assert with_60["instrument", "accuracy"] > 0.4


def test_the_same_again_gives_the_same_bytes(tiny_study, outputs) -> None:
    for stage in STAGES:
        tiny_study.run(stage)
    assert made(tiny_study) == outputs


@pytest.mark.parametrize("method", ["random", "fixed_permutations"])
def test_a_method_has_its_length_and_its_outputs(tiny_study: TinyStudy, method: str) -> None:
    tiny_study.run(pretrain, method)
    history = pd.read_csv(tiny_study.layout.history(tiny_study.encoder(method)))
    assert len(history) == (1 if method == "random" else 4)
    pretext = json.loads(tiny_study.layout.pretext(tiny_study.encoder(method)).read_text())
    assert pretext["method"] == method
    model = keras.saving.load_model(tiny_study.layout.model(tiny_study.encoder(method)))
    assert model.output_shape == (None, 10 if method == "fixed_permutations" else 5)


def test_settings_reach_the_network_the_embedding_and_the_scores(tiny_study: TinyStudy) -> None:
    def change(content: dict) -> None:
        pretraining = {"gap": 1, "batch_normalization": True, "tile_normalization": True}
        settings("pretrain", precision="mixed_bfloat16", epochs=1, **pretraining)(content)
        settings("embed", layer="tiles")(content)
        others = {"probes": [], "n_examples": [], "neighbors": 5}
        settings("downstream", tasks=["family"], evaluate_on="valid", n_examples=[20])(content)
        settings("downstream", others=others)(content)
        settings("end_to_end", n_examples=[20])(content)

    tiny_study.change(change)
    for stage in STAGES:
        tiny_study.run(stage, slicing="grid-5x3")
    layout, encoder = tiny_study.layout, tiny_study.encoder(slicing="grid-5x3")
    model = keras.saving.load_model(layout.model(encoder))
    assert model.input_shape == (None, 15, 3, 3, 1)
    assert model.get_layer("norm1")
    assert model.get_layer("tile_normalization")
    assert model.get_layer("conv1").compute_dtype == "bfloat16"
    assert np.load(layout.embeddings(encoder, "valid")).shape == (30, 15 * 8)
    scores = pd.read_csv(layout.scores(encoder))
    assert list(scores["task"]) == ["family"] * 2
    correct = scores["value"] * 30  # of the 30 inputs held out
    assert np.allclose(correct, correct.round())


# video and images

OTHERS = {"video": ("frames", ("train", "valid")), "images": ("pictures", SPLITS[3:])}
other_modalities = pytest.mark.parametrize("modality", OTHERS)


@pytest.fixture(scope="module")
def carried(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], TinyStudy]:
    """A study of a modality carried through; only to be read."""

    @cache
    def carry(modality: str) -> TinyStudy:
        study = TinyStudy(tmp_path_factory.mktemp(modality), modality=modality)
        for stage in STAGES:
            study.run(stage)
        return study

    return carry


@pytest.fixture
def tiny_other(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, modality: str) -> TinyStudy:
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    return TinyStudy(tmp_path, modality=modality)


@other_modalities
def test_other_modalities_have_the_same_outputs(carried, modality: str) -> None:
    study = carried(modality)
    e = f"{modality}/{SLICINGS[modality]}/mse"
    assert sorted(made(study)) == [
        f"data/answers/{e}/0.csv",
        *(f"data/embeddings/{e}/0/{split}.npy" for split in ("test", "train", "valid")),
        f"data/encoders/{e}/0/cfn.keras",
        f"data/history/{e}/0.csv",
        f"data/pretext/{e}/0.json",
        f"data/scores/{e}/0-end-to-end.csv",
        f"data/scores/{e}/0.csv",
    ]
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
    assert with_60.mean() > {"video": 0.5, "images": 0.65}[modality]  # by chance 1/3, 1/2


@other_modalities
def test_other_modalities_give_the_same_bytes_again(tiny_other, carried, modality: str) -> None:
    for stage in STAGES:
        tiny_other.run(stage)
    assert made(tiny_other) == made(carried(modality))


def test_the_embeddings_of_clips_are_of_frames_in_order(carried) -> None:
    study = carried("video")
    assert_embedded(study, lambda x: x[:, [0, 2, 3, 5]])  # the middles of quarters of 6


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
        embeddings = np.load(study.layout.embeddings(study.encoder(), split))
        assert embeddings.dtype == np.float32
        assert embeddings.shape == (SIZES[split], 16)
        features = np.load(study.layout.features(study.dataset, split))
        assert features.dtype == np.uint8
        expected = joined(patches(features.astype(np.float32) / 255))
        assert np.allclose(embeddings, expected, atol=1e-5)


@other_modalities
def test_other_modalities_read_their_own_splits(tiny_other, carried, modality: str) -> None:
    """A file that a stage needs and has not is named, with the stage that makes it."""
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


# areas under curves

LEVELS = st.integers(-3, 3).map(float)  # few, so that there are ties


@given(st.data(), st.integers(1, 12), st.integers(1, 5))
def test_the_mean_auc_is_that_of_the_categories_that_have_one(
    data, rows: int, columns: int
) -> None:
    """Against scikit-learn, one category at a time, and against the rank-sum statistic."""

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


def relabel(study: TinyStudy, split: str, change: Callable[[list], list]) -> None:
    path = study.layout.labels("scenes", split)
    table = pd.read_parquet(path)
    table["objects"] = [change([int(label) for label in own]) for own in table["objects"]]
    table.to_parquet(path, index=False)


@pytest.mark.parametrize("modality", ["images"])
@pytest.mark.parametrize(
    "splits", [("test",), ("train", "test")], ids=["no object in test", "no object at all"]
)
def test_nothing_to_tell_apart_is_refused(tiny_other, carried, splits) -> None:
    provide(tiny_other, made(carried("images")), "embeddings")
    for split in splits:
        relabel(tiny_other, split, lambda own: [])
    assert tiny_other.refusal(downstream) == (
        f"error: {tiny_other.layout.labels('scenes', 'test')}: no category of objects is in some "
        "of the inputs and not in others: there is nothing to score"
    )


@pytest.mark.parametrize("modality", ["images"])
def test_every_object_in_every_picture_is_refused(tiny_other, carried) -> None:
    provide(tiny_other, made(carried("images")), "embeddings")
    relabel(tiny_other, "test", lambda own: [0, 1, 2])
    assert "there is nothing to score" in tiny_other.refusal(downstream)


@pytest.mark.parametrize("modality", ["images"])
def test_categories_without_an_area_are_left_out_and_told(tiny_other, carried, capsys) -> None:
    """Object 1 is nowhere in test, object 2 everywhere, 3 to 6 in one training picture alone."""
    provide(tiny_other, made(carried("images")), "embeddings")
    relabel(tiny_other, "test", lambda own: sorted({*own, 2} - {1}))
    first = iter([[3, 6]])
    relabel(tiny_other, "train", lambda own: next(first, own))
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
    """Each row is scikit-learn's area for the log-odds and labels of its own run."""
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
    wanted = np.array([[number in own for number in range(3)] for own in table["objects"]])
    trained = pd.read_parquet(tiny_other.layout.labels("scenes", "train"))
    expected = np.array([[number in own for number in range(3)] for own in trained["objects"]])
    assert np.array_equal(given_targets[0], expected)
    scores = pd.read_csv(tiny_other.layout.scores(tiny_other.encoder()))
    runs = [(12, 0), (12, 1), (60, 0), (60, 1)]
    assert list(zip(scores["n_examples"], scores["replicate"], strict=True)) == runs
    areas = [roc_auc_score(wanted, own, average="macro") for own in log_odds]
    assert np.allclose(scores["value"], areas)


# stopping and going on

KILLED = """
import os, signal, sys
import numpy as np
import stages.pretrain
savez, calls = np.savez, []
def kill_in_the_second(path, **arrays):
    calls.append(path)
    if len(calls) == 1:
        return savez(path, **arrays)
    path.write_bytes(b"half a checkpoint")
    os.kill(os.getpid(), signal.SIGKILL)
np.savez = kill_in_the_second
stages.pretrain.main(sys.argv[1:])
"""


def test_a_killed_pretraining_goes_on_to_the_same_bytes(tmp_path: Path, monkeypatch) -> None:
    """Killed within its second checkpoint; with batch normalisation, gap, cosine and warmup."""
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    change = settings(
        "pretrain", batch_normalization=True, gap=1, schedule="cosine", warmup_epochs=0.5
    )
    whole, killed = (TinyStudy(tmp_path / name, change) for name in ("whole", "killed"))
    whole.run(pretrain)

    def command(*start: str) -> subprocess.CompletedProcess:
        return subprocess.run(
            [sys.executable, *start, *killed.arguments()],
            cwd=ROOT,
            capture_output=True,
            text=True,
            check=False,
        )

    assert command("-c", KILLED).returncode == -9
    left = made(killed)
    folder = "data/checkpoints/audio/frequency-5/mse/0"
    assert sorted(left) == [f"{folder}/.state.tmp.npz", f"{folder}/state.npz"]
    resumed = command("-m", "stages.pretrain")
    assert resumed.returncode == 0
    said = resumed.stderr.splitlines()
    assert said[0].startswith("continuing after epoch 1 from ")
    assert all(line.startswith("pretrain audio frequency-5 mse 0") for line in said[1:])
    assert made(killed) == made(whole)


@pytest.fixture(scope="module")
def after_control_c(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a study whose pretraining was stopped in its second epoch."""
    run_epoch = Pretraining.run_epoch

    def stop_in_the_second(self, *args):
        if self.epoch == 1:
            raise KeyboardInterrupt
        return run_epoch(self, *args)

    study = TinyStudy(tmp_path_factory.mktemp("interrupted"))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Pretraining, "run_epoch", stop_in_the_second)
        with pytest.raises(SystemExit, match="interrupted"):
            study.run(pretrain)
    assert list(made(study)) == ["data/checkpoints/audio/frequency-5/mse/0/state.npz"]
    return study.folder


@pytest.fixture
def interrupted(after_control_c: Path, tmp_path: Path) -> TinyStudy:
    """A copy, with the times of its files, by which inputs are told from others."""
    return TinyStudy(shutil.copytree(after_control_c, tmp_path / "copy"))


def pretrained(outputs: dict[str, bytes]) -> dict[str, bytes]:
    return {
        k: v for k, v in outputs.items() if k.split("/")[1] in ("encoders", "history", "pretext")
    }


def test_an_interrupted_pretraining_goes_on(interrupted, outputs, capsys) -> None:
    interrupted.run(pretrain)
    assert "continuing after epoch 1" in capsys.readouterr().err
    assert made(interrupted) == pretrained(outputs)


def test_a_damaged_checkpoint_is_not_used(interrupted, outputs, capsys) -> None:
    path = interrupted.layout.checkpoint(interrupted.encoder()) / "state.npz"
    path.write_bytes(path.read_bytes()[:-100])
    interrupted.run(pretrain)
    said = capsys.readouterr().err
    assert f"{path} is damaged: starting again" in said
    assert "epoch 1/3" in said
    assert made(interrupted) == pretrained(outputs)


def test_whatever_the_damage(interrupted: TinyStudy, capsys) -> None:
    path = interrupted.layout.checkpoint(interrupted.encoder()) / "state.npz"
    whole = path.read_bytes()
    flipped = bytearray(whole)
    flipped[len(whole) // 2] ^= 255
    array, other = io.BytesIO(), io.BytesIO()
    np.save(array, np.zeros(3))
    np.savez(other, epoch=np.array(1))
    damaged = [whole[:1000], flipped, b"", b"PK\x03\x04", array.getvalue(), other.getvalue()]
    for content in damaged:
        path.write_bytes(content)
        assert pretrain._restore(path, "any", None) == []
        assert capsys.readouterr().err == f"{path} is damaged: starting again\n"


@pytest.mark.parametrize("what", ["settings", "inputs", "code"])
def test_a_checkpoint_of_something_else_is_not_used(
    interrupted, outputs, capsys, monkeypatch, what
):
    if what == "settings":
        interrupted.change(settings("pretrain", batch_size=8))
    elif what == "inputs":
        path = interrupted.layout.features("notes", "train")
        np.save(path, np.load(path)[::-1])
    else:
        monkeypatch.setattr(pretrain, "source_digest", lambda: "of other code")
    interrupted.run(pretrain)
    said = capsys.readouterr().err
    assert "state.npz is of other settings, inputs or code: starting again" in said
    assert "epoch 1/3" in said
    assert (made(interrupted) == pretrained(outputs)) == (what == "code")
    assert not any("checkpoints" in name for name in made(interrupted))


# mistakes


def test_a_mistake_is_one_line_on_stderr_and_status_1(tiny_study: TinyStudy) -> None:
    tiny_study.change(settings("pretrain", widht=1.0))
    result = subprocess.run(
        [sys.executable, "-m", "stages.pretrain", *tiny_study.arguments()],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.returncode == 1
    assert result.stdout == ""
    assert result.stderr == (
        f"error: {tiny_study.params}: audio.pretrain.widht: unknown key (misspelt?)\n"
    )


OTHER = {"probes": ["knn"], "n_examples": [60], "neighbors": 5}


@every_stage
@pytest.mark.parametrize(
    ("section", "values", "said"),
    [
        ("pretrain", {"epohcs": 3}, "audio.pretrain.epohcs: unknown key"),
        ("pretrain", {"width": -0.5}, "audio.pretrain.width: .*greater than 0 .*-0.5"),
        ("pretrain", {"gap": 4}, "a gap of 4 pixels leaves nothing .* frequency-5"),
        ("method", {"mse": {"learning_rate": "1e-4"}}, "audio.method.mse.learning_rate: .*1.0e-4"),
        ("method", {"sinkhorn": {"epsilon": 1.0}}, "audio.method.sinkhorn.iterations: missing"),
        (
            "method",
            {"neural_sort": {"temperature": 0}},
            "neural_sort.temperature: .*greater than 0",
        ),
        (
            "method",
            {"fast_soft_ranking": {"learning_rate": 0.1, "epsilon": 1e-40}},
            "fast_soft_ranking.epsilon: .*greater than or equal to 0.0*1 .given 1e-40",
        ),
        ("method", {"random": {"learning_rate": 0.1}}, "random.learning_rate: unknown key"),
        ("method", {"msee": {}}, "audio.method.msee: unknown key"),
        ("downstream", {"dropout": 1.0}, "audio.downstream.dropout: .*less than 1"),
        ("downstream", {"tasks": ["pitch", "tempo"]}, "audio.downstream: unknown task 'tempo': "),
        ("downstream", {"tasks": ["action"]}, "audio.downstream: unknown task 'action': choose "),
        ("downstream", {"probe": "svm"}, "audio.downstream.probe: .*given 'svm'"),
        ("downstream", {"probe": "linear", "others": OTHER | {"probes": ["linear"]}}, "already th"),
        ("downstream", {"others": OTHER | {"n_examples": [7]}}, "others.n_examples: 7 is not amon"),
        (
            "ablation",
            {"slicings": ["frequency-5"]},
            "audio.ablation: slicings: frequency-5 is already",
        ),
        ("ablation", {"slicings": ["bands-5"]}, "audio.ablation: unknown slicing 'bands-5'"),
        ("ablation", {"slicings": ["time-13"]}, "time-13 has more parts than the 20 x 12 pixels"),
        ("ablation", {"methods": ["sinkhorn"]}, "ablation.methods: sinkhorn is not among the st"),
        ("ablation", {"seeds": [7]}, "audio: ablation.seeds: 7 is not among the study's seeds"),
        ("ablation", {"n_examples": [7]}, "ablation.n_examples: 7 is not among the study's n_ex"),
        ("end_to_end", {"methods": ["sinkhorn"]}, "audio: end_to_end.methods: sinkhorn is not a"),
        ("end_to_end", {"replicates": 9}, "end_to_end.replicates: more than downstream.replic"),
        ("end_to_end", {"steps": 10}, "audio.end_to_end: steps is less than evaluate_every"),
        ("downstream", {"hidden": 16}, "audio.downstream.hidden: .*valid list .given 16"),
        ("downstream", {"hidden": [16, 0]}, "audio.downstream.hidden.1: .*greater than or equal"),
        ("pretrain", {"channel_shift": 1}, "audio: pretrain.channel_shift and grey_share are for"),
        ("pretrain", {"grey_share": 0.1}, "audio: pretrain.channel_shift and grey_share are for"),
        ("pretrain", {"grey_share": 1.1}, "audio.pretrain.grey_share: .*less than or equal to 1"),
        ("pretrain", {"channel_shift": -1}, "audio.pretrain.channel_shift: .*or equal to 0"),
        (
            "spectrograms",
            {"n_mels": 4},
            "frequency-5 has more parts than the 4 x 12 pixels of an input",
        ),
    ],
)
def test_a_wrong_setting_is_named(tiny_study, stage, section, values, said) -> None:
    tiny_study.change(settings(section, **values))
    line = tiny_study.refusal(stage)
    assert line.startswith(f"error: {tiny_study.params}: ")
    assert_matches(line, said)


@every_stage
def test_wrong_options_are_named(tiny_study: TinyStudy, stage) -> None:
    line = tiny_study.refusal(stage, method="perturbed_yf")
    assert line.startswith("error: --method perturbed_yf: unknown method, use one of random,")
    assert "error: --slicing bands-5: unknown slicing" in tiny_study.refusal(
        stage, slicing="bands-5"
    )
    line = tiny_study.refusal(stage, slicing="time-13")
    assert line.startswith(
        "error: --slicing time-13: slicing time-13 has more parts than the 20 x 12 "
    )
    line = tiny_study.refusal(stage, slicing="frames-4")
    assert line.startswith("error: --slicing frames-4: slicing frames-4 is of clips")


def test_methods_and_slicings_in_the_params_file_are_checked(tiny_study: TinyStudy) -> None:
    tiny_study.change(lambda content: content["audio"].update(methods=["mse", "msee"]))
    assert_matches(tiny_study.refusal(pretrain), r"audio\.methods: unknown method 'msee'")
    tiny_study.change(lambda content: content["audio"].update(slicings=["diagonal-5"]))
    assert_matches(tiny_study.refusal(pretrain), r"audio\.slicings: unknown slicing 'diagonal-5'")


def left_out(*sections: str) -> Callable[[dict], None]:
    def change(content: dict) -> None:
        for section in sections:
            del content[section]

    return change


def replaced(section: str, **values) -> Callable[[dict], None]:
    return lambda content: content[section].update(values)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (
            settings("downstream", "video", tasks=["instrument"]),
            "video.downstream: unknown task 'i",
        ),
        (
            settings("downstream", "images", tasks=["action"]),
            "images.downstream: unknown task 'act",
        ),
        (
            replaced("video", slicings=["diagonal-5"]),
            "video.slicings: unknown slicing 'diagonal-5'",
        ),
        (replaced("images", slicings=["grid-3"]), "images.slicings: unknown slicing 'grid-3'"),
        (
            replaced("video", slicings=["frames-4", "frames-7"]),
            "video: slicing frames-7 has more frames",
        ),
        (replaced("video", slicings=["grid-3x3"]), "video: slicing grid-3x3 is of single pictures"),
        (replaced("images", slicings=["frames-4"]), "images: slicing frames-4 is of clips"),
        (replaced("audio", slicings=["frames-4"]), "audio: slicing frames-4 is of clips"),
        (
            replaced("images", slicings=["grid-2x14"]),
            "images: slicing grid-2x14 has more parts than the 13",
        ),
        (
            settings("pretrain", "images", gap=6),
            "images: a gap of 6 pixels leaves nothing of a pat",
        ),
        (
            settings("pretrain", "video", grey_share=0.1),
            "video: pretrain.channel_shift and grey_share are for colours",
        ),
        (
            settings("pretrain", "video", channel_shift=1),
            "video: pretrain.channel_shift and grey_share are for colours",
        ),
        (
            replaced("motions", train=50),
            "video.downstream.n_examples: 60 is more than motions.train: 50",
        ),
        (
            replaced("scenes", pretrain=9),
            "images.pretrain.batch_size: 16 is more than scenes.pretrain: 9",
        ),
        (
            settings("frames", "video", count=30),
            "motions.frames_min: 24 is less than the 32 of video.frames.count and skip",
        ),
        (
            settings("pictures", "images", channels="grey"),
            "images: pretrain.channel_shift and grey_share are for colours",
        ),
        (settings("pictures", "images", channels="bgr"), "images.pictures.channels: .*given 'bgr'"),
        (settings("frames", "video", count=1), "video.frames.count: .*or equal to 2"),
        (settings("frames", "video", background="blur"), "video.frames.background: .*given 'blur'"),
        (settings("frames", "video", max_rejected=1.0), "video.frames.max_rejected: .*less than 1"),
        (replaced("video", dataset="notes"), "video.dataset: .*given 'notes'"),
        (replaced("video", frames=None), "video.frames: .*given None"),
        (replaced("video", spectrograms={}), "video.spectrograms: unknown key"),
        (left_out("motions"), "motions: missing: it is the dataset of video"),
        (left_out("scenes"), "scenes: missing: it is the dataset of images"),
        (left_out("notes"), "notes: missing: it is the dataset of audio"),
        (left_out("audio", "video", "images"), "missing: at least one of audio, video, images"),
        (
            replaced("motions", frames_min=40, frames_max=30),
            "motions: frames_min is above frames_m",
        ),
        (
            replaced("motions", textures=5),
            "motions: textures are too few for valid_share and test_s",
        ),
        (replaced("motions", test_share=0.8), "motions: valid_share and test_share leave nothing"),
        (
            replaced("scenes", materials=15),
            "scenes: materials are too few for valid_share and test",
        ),
    ],
)
def test_a_wrong_setting_of_any_modality_is_named(tiny_study: TinyStudy, change, said) -> None:
    tiny_study.change(change)
    line = tiny_study.refusal(pretrain)
    assert line.startswith(f"error: {tiny_study.params}: ")
    assert_matches(line, said)


def test_a_modality_that_is_not_run_is_named(tmp_path: Path) -> None:
    study = TinyStudy(tmp_path, left_out("video", "motions"), modality="video")
    for stage in STAGES:
        line = study.refusal(stage)
        assert line == "error: --modality video: the params file has no section video"
    study.modality = "vidoe"
    line = study.refusal(pretrain)
    assert line == "error: --modality vidoe: unknown, use one of audio, video, images"


def test_a_study_of_one_modality_needs_no_other(tmp_path: Path) -> None:
    study = TinyStudy(tmp_path, left_out("audio", "images", "notes", "scenes"), modality="video")
    study.run(pretrain, "random")
    assert study.layout.model(study.encoder("random")).exists()


def test_only_the_methods_that_are_run_need_settings(tiny_study: TinyStudy) -> None:
    def change(content: dict) -> None:
        content["audio"] |= {"methods": ["random"], "method": {"random": {}}, "shown": "random"}
        content["audio"]["end_to_end"]["methods"] = []

    tiny_study.change(change)
    tiny_study.run(pretrain, "random")
    line = tiny_study.refusal(pretrain, "sinkhorn")
    assert line == "error: audio.method.sinkhorn: missing: --method asks for the method"

    def list_more(content: dict) -> None:
        change(content)
        content["audio"]["methods"] = ["random", "sinkhorn", "mse"]

    tiny_study.change(list_more)
    assert tiny_study.refusal(pretrain, "random") == (
        f"error: {tiny_study.params}: audio.method.sinkhorn: missing: the method is in "
        "the list methods; audio.method.mse: missing: the method is in the list methods"
    )


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("\nthreads: {}\n", r"line \d+: the key 'threads' is given twice"),
        ("\nthreads: [1\n", "not valid YAML"),
        ("\n? [threads]\n: 1\n", r"line \d+: a key must be a word"),
        ("\nmodalities: [audio]\n", "modalities: unknown key"),
    ],
)
def test_a_params_file_that_is_broken_is_named(tiny_study: TinyStudy, text, said) -> None:
    whole = tiny_study.params.read_text()
    tiny_study.params.write_text(whole + text)
    line = tiny_study.refusal(pretrain)
    assert line.startswith(f"error: {tiny_study.params}")
    assert_matches(line, said)


def test_a_params_file_that_is_missing_is_named(tiny_study: TinyStudy) -> None:
    tiny_study.params.unlink()
    assert f"{tiny_study.params} does not exist" in tiny_study.refusal(pretrain)


def test_more_fixed_permutations_than_there_are_is_refused(tiny_study: TinyStudy) -> None:
    tiny_study.change(
        settings("method", fixed_permutations={"learning_rate": 0.1, "permutations": 121})
    )
    line = tiny_study.refusal(pretrain, "fixed_permutations")
    assert "audio.method.fixed_permutations: 121 distinct permutations of 5 elements do" in line


def test_more_than_there_is_to_train_on_is_refused(tiny_study, outputs) -> None:
    tiny_study.change(settings("pretrain", batch_size=81))
    assert "audio.pretrain.batch_size: 81 is more than the 80" in tiny_study.refusal(pretrain)
    provide(tiny_study, outputs, "embeddings")
    tiny_study.change(settings("downstream", n_examples=[12, 60, 81, 99]))
    line = tiny_study.refusal(downstream)
    assert "audio.downstream.n_examples: 99 is more than the 80 training inputs" in line


def test_a_rate_that_diverges_is_named(tiny_study: TinyStudy, monkeypatch) -> None:
    def diverge(*_):
        raise FloatingPointError("the loss is nan in epoch 1")

    monkeypatch.setattr(Pretraining, "run_epoch", diverge)
    line = tiny_study.refusal(pretrain)
    assert "the loss is nan in epoch 1" in line
    assert "lower audio.method.mse.learning_rate in" in line


def test_embeddings_that_are_no_numbers_are_named(tiny_study, outputs) -> None:
    provide(tiny_study, outputs, "embeddings")
    path = tiny_study.layout.embeddings(tiny_study.encoder(), "train")
    np.save(path, np.full_like(np.load(path), np.nan))
    line = tiny_study.refusal(downstream)
    assert "instrument of audio frequency-5 mse 0" in line
    assert str(path) in line


READS = {  # each file that a stage reads, and the stage that made it
    pretrain: [
        (lambda s: s.layout.features("notes", "train"), "join"),
        (lambda s: s.layout.features("notes", "valid"), "join"),
    ],
    embed: [
        (lambda s: s.layout.features("notes", "test"), "join"),
        (lambda s: s.layout.model(s.encoder()), "pretrain"),
    ],
    downstream: [
        (lambda s: s.layout.embeddings(s.encoder(), "train"), "embed"),
        (lambda s: s.layout.embeddings(s.encoder(), "test"), "embed"),
        (lambda s: s.layout.labels("notes", "train"), "join"),
        (lambda s: s.layout.labels("notes", "test"), "join"),
    ],
    end_to_end: [
        (lambda s: s.layout.model(s.encoder()), "pretrain"),
        (lambda s: s.layout.features("notes", "train"), "join"),
        (lambda s: s.layout.labels("notes", "test"), "join"),
    ],
}
GIVEN = {
    pretrain: (),
    embed: ("encoders",),
    downstream: ("embeddings",),
    end_to_end: ("encoders",),
}
OWN = {
    pretrain: r"(encoders|history|pretext)/.*",
    embed: r"embeddings/.*",
    downstream: r"(answers|scores)/.*/\d+\.csv",
    end_to_end: r"scores/.*-end-to-end\.csv",
}


def assert_recovers(study: TinyStudy, stage: ModuleType, outputs: dict[str, bytes]) -> None:
    study.run(stage)
    given = {k for k in outputs if k.split("/")[1] in GIVEN[stage]}
    wanted = given | {k for k in outputs if re.fullmatch(f"data/{OWN[stage]}", k)}
    assert made(study) == {k: outputs[k] for k in wanted}


@every_stage
def test_a_bad_input_is_named_and_its_repair_is_enough(tiny_study, outputs, stage) -> None:
    provide(tiny_study, outputs, *GIVEN[stage])
    for file, made_by in READS[stage]:
        path = file(tiny_study)
        whole = path.read_bytes()
        for size in (len(whole) - 1, len(whole) // 2, 60, 0):
            path.write_bytes(whole[:size])
            line = tiny_study.refusal(stage)
            assert line.startswith(f"error: {path} is damaged (")
            assert line.endswith(f"): delete it and run the stage {made_by} again")
        path.write_bytes(b"PK\x03\x04 and so on")
        assert f"{path} is damaged (" in tiny_study.refusal(stage)
        path.unlink()
        line = tiny_study.refusal(stage)
        assert line == f"error: {path} does not exist: run the stage {made_by} first"
        path.write_bytes(whole)
    assert_recovers(tiny_study, stage, outputs)


def test_features_of_other_settings_are_refused(tiny_study: TinyStudy) -> None:
    tiny_study.change(settings("spectrograms", n_mels=40))
    for stage in (pretrain, embed):
        line = tiny_study.refusal(stage)
        assert "holds spectrograms of (20, 12), the params file asks for (40, 12)" in line


def test_no_features_are_refused(tiny_study: TinyStudy) -> None:
    path = tiny_study.layout.features("notes", "valid")
    np.save(path, np.load(path)[:0])
    assert f"{path} is empty" in tiny_study.refusal(pretrain)


def test_a_network_of_another_slicing_is_refused(tiny_study, outputs) -> None:
    provide(tiny_study, outputs, "encoders")
    tiny_study.change(settings("pretrain", gap=1))
    for stage in (embed, end_to_end):
        line = tiny_study.refusal(stage)
        assert "takes patches of shape (5, 4, 12, 1), the params file asks for (5, 3, 12" in line


def test_labels_of_another_length_or_without_a_task_are_refused(tiny_study, outputs) -> None:
    provide(tiny_study, outputs, "embeddings", "encoders")
    path = tiny_study.layout.labels("notes", "test")
    labels = pd.read_parquet(path)
    labels.iloc[:-1].to_parquet(path)
    line = tiny_study.refusal(downstream)
    assert "test.npy has 40 rows and" in line
    assert f"{path} 39" in line
    line = tiny_study.refusal(end_to_end)
    assert f"test.npy has 40 rows and {path} 39: run the stages spectrograms and join again" in line
    labels.drop(columns="family").to_parquet(path)
    assert f"{path} has no column family" in tiny_study.refusal(downstream)


# a disk that is full


@contextmanager
def largest_file(size: int) -> Iterator[None]:
    """Writes beyond a size fail, as on a full disk; Python ignores the signal."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


@pytest.mark.parametrize(
    ("stage", "size", "file"),
    [
        (pretrain, 0, "data/tensorboard/audio/frequency-5/mse/0"),
        (pretrain, 20_000, "data/checkpoints/audio/frequency-5/mse/0/state.npz"),
        (embed, 0, "data/embeddings/audio/frequency-5/mse/0/train.npy"),
        (embed, 3000, "data/embeddings/audio/frequency-5/mse/0/train.npy"),
        (downstream, 500, "data/answers/audio/frequency-5/mse/0.csv"),
        (end_to_end, 500, "data/scores/audio/frequency-5/mse/0-end-to-end.csv"),
    ],
)
def test_a_full_disk_is_told_and_the_next_run_recovers(
    tiny_study, outputs, capsys, stage, size, file
) -> None:
    provide(tiny_study, outputs, *GIVEN[stage])
    with largest_file(size):  # what is captured by capsys is no file
        line = tiny_study.refusal(stage)
    assert line.startswith(f"error: could not write {tiny_study.folder / file}: ")
    assert_recovers(tiny_study, stage, outputs)


def test_a_full_disk_leaves_the_network_of_before(tiny_study: TinyStudy) -> None:
    tiny_study.run(pretrain, "random")
    path = tiny_study.layout.model(tiny_study.encoder("random"))
    before = path.read_bytes()
    tiny_study.change(settings("pretrain", tile_features=9))
    with largest_file(50_000):
        line = tiny_study.refusal(pretrain, "random")
    assert f"could not write {path}: " in line
    tiny_study.run(pretrain, "random")
    assert path.read_bytes() != before


# help


def test_help_is_quick_and_names_the_options() -> None:
    """All in one process, which must not have loaded TensorFlow at its end."""
    names = sorted(
        path.stem
        for path in (ROOT / "stages").glob("*.py")
        if '__name__ == "__main__"' in path.read_text()
    )
    assert {"pretrain", "embed", "downstream", "end_to_end", "tables", "site"} <= set(names)
    code = """
import contextlib, importlib, io, json, sys
said = {}
for name in sys.argv[1:]:
    text = io.StringIO()
    with contextlib.redirect_stdout(text), contextlib.suppress(SystemExit):
        importlib.import_module("stages." + name).main(["--help"])
        raise AssertionError(f"{name} --help ran on")
    said[name] = text.getvalue()
print(json.dumps({"said": said, "loaded": [m for m in sys.modules if "." not in m]}))
"""
    result = subprocess.run(
        [sys.executable, "-c", code, *names], cwd=ROOT, capture_output=True, text=True, check=True
    )
    answer = json.loads(result.stdout)
    assert not {"tensorflow", "keras", "tensorflow_datasets", "snakemake"} & set(answer["loaded"])
    for name, text in answer["said"].items():
        assert "--params FILE" in text, name
        assert len(text.splitlines()) > 8, name
    for name in ("pretrain", "embed", "downstream", "end_to_end"):
        for option in ("--modality", "--slicing", "--method", "--seed"):
            assert f"{option} " in answer["said"][name]


def test_help_ends_with_status_0() -> None:
    for stage in STAGES:
        with pytest.raises(SystemExit) as stopped:
            stage.main(["--help"])
        assert stopped.value.code == 0
