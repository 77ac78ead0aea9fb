"""The stages pretrain, embed, downstream and end_to_end: their outputs, and their help."""

from __future__ import annotations

import json
import subprocess
import sys
from itertools import product
from pathlib import Path

import keras
import numpy as np
import pandas as pd
import pytest
from conftest import ROOT, SIZES, SLICINGS, TinyStudy
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tensorboard.util.tensor_util import make_ndarray
from trained_study import STAGES, made, names_of_outputs, settings

from shuffle_to_learn.pretext.methods import METHODS
from shuffle_to_learn.pretext.permutations import max_hamming_permutations
from shuffle_to_learn.pretext.pretraining import Pretraining
from shuffle_to_learn.slicing import Slicing
from stages import embed, examples, pretrain
from study.errors import InputError
from tools import reorder


def test_the_outputs_are_those_of_the_design(outputs: dict[str, bytes]) -> None:
    assert sorted(outputs) == names_of_outputs("audio/frequency-5/mse")


def test_the_history_has_every_epoch(done: TinyStudy) -> None:
    history = pd.read_csv(done.layout.history(done.encoder()))
    trained = ["learning_rate", "loss", "partial_ranks", "score_spread", "zero_gradients"]
    held_out = ["valid_loss", "valid_partial_ranks", "valid_kendall_tau", "valid_score_spread"]
    assert list(history.columns) == ["epoch", *trained, *held_out]
    assert list(history["epoch"]) == [0, 1, 2, 3]  # 0 is the untrained network, held out only
    assert history.loc[0, trained].isna().all()
    assert history.loc[1:].notna().all(axis=None)
    assert history["valid_loss"].iloc[-1] < history["valid_loss"].iloc[0]
    assert (history["zero_gradients"].iloc[1:] == 0).all()  # the squared error has none
    spread = history["valid_score_spread"]
    assert spread.iloc[0] < 0.5  # the untrained network scores every patch about alike
    assert 1 < spread.iloc[-1] < 4  # the ranks are 1 to 5


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
    assert metrics["kendall_tau"] == pytest.approx(history["valid_kendall_tau"].iloc[-1])
    assert metrics["loss"] == pytest.approx(history["valid_loss"].iloc[-1])
    assert set(metrics) == {"partial_ranks", "kendall_tau", "fixed_set", "loss"}
    model, slicing = keras.saving.load_model(done.layout.model(done.encoder())), "frequency-5"
    again = Pretraining(model, METHODS["mse"](5), Slicing.parse(slicing), epochs=0)
    valid = np.load(done.layout.features("notes", "valid"))
    assert metrics["fixed_set"] == again.told_among(valid, max_hamming_permutations(5, 10))
    assert list(pretext.items()) == [
        ("modality", "audio"),
        ("dataset", "notes"),
        ("slicing", "frequency-5"),
        ("method", "mse"),
        ("upstream_seed", 0),
    ]


def test_the_embeddings_are_the_frozen_layers_of_patches_in_order(done: TinyStudy) -> None:
    model = keras.saving.load_model(done.layout.model(done.encoder()))
    widths, counts = {"joined": 16, "tiles": 5 * 8}, {"train": 80, "valid": 30, "test": 40}
    for (layer, width), (split, count) in product(widths.items(), counts.items()):
        embeddings = np.load(done.layout.embeddings(done.encoder(), split, layer))
        assert embeddings.dtype == np.float16
        assert embeddings.shape == (count, width)
        features = np.load(done.layout.features("notes", split)).astype(np.float32)
        whole = keras.Model(model.input, model.get_layer(layer).output)
        expected = whole(features.reshape(count, 5, 4, 12, 1))  # bands from low to high
        assert np.allclose(embeddings, expected, rtol=2**-10, atol=1e-5)


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
            "pitch": ["mse"],
            "pitch_class": ["accuracy"],
        }.items()
        for metric in names
    }
    both = {(t, n, r, m) for t, m in metrics for n in (12, 60) for r in (0, 1)}
    wanted = {("mlp", *row) for row in both}
    wanted |= {(name, *row) for name in ("knn", "mlp-tiles") for row in both if row[1] == 60}
    assert set(scores[run].itertuples(index=False, name=None)) == wanted
    assert len(scores) == len(wanted)
    accuracy = scores.query("metric == 'accuracy'")
    assert accuracy["value"].between(0, 1).all()
    keys = ["classifier", "task", "metric"]
    with_60 = scores.query("n_examples == 60").groupby(keys)["value"].mean()
    for classifier in ("mlp", "knn", "mlp-tiles"):
        assert with_60[classifier, "instrument", "accuracy"] > 0.4  # chance: 0.25
        # guessing the mean gives 133, guessing 0 gives 3700
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


def test_a_method_that_orders_no_patches_has_its_loss_alone(tiny_study: TinyStudy) -> None:
    tiny_study.run(pretrain, "contrastive")
    key = tiny_study.encoder("contrastive")
    history = pd.read_csv(tiny_study.layout.history(key))
    assert (
        history[["partial_ranks", "valid_partial_ranks", "valid_kendall_tau"]].isna().all(axis=None)
    )
    assert history["valid_loss"].notna().all() and list(history["epoch"]) == [0, 1, 2, 3]
    metrics = json.loads(tiny_study.layout.pretext(key).read_text())["metrics"]
    assert metrics == {"loss": pytest.approx(history["valid_loss"].iloc[-1])}
    assert keras.saving.load_model(tiny_study.layout.model(key)).output_shape == (None, 64)
    tiny_study.run(embed, "contrastive")
    assert np.load(tiny_study.layout.embeddings(key, "test", "joined")).shape == (40, 16)
    said = "contrastive puts no patches in order: there is nothing to show"
    model = str(tiny_study.layout.model(key))
    with pytest.raises(InputError, match=f"^{said}$"):
        reorder.main(["--params", str(tiny_study.params), "--model", model, "--input", "a.wav"])
    tiny_study.change(settings("pretrain", batch_size=15))
    line = tiny_study.refusal(pretrain, "contrastive")
    assert "audio.pretrain.batch_size: 15 is not 2 crops of each of some inputs" in line


def test_the_best_and_the_worst_network_are_shown(tiny_study: TinyStudy) -> None:
    """By what the pretext task says of them; the random encoder is no network that was trained."""
    given = {"random": 0.9, "mse": 0.3, "perturbed_fy": 0.5, "fixed_permutations": 0.2}

    def change(content: dict) -> None:
        content["audio"]["methods"] = [*given, "contrastive"]
        content["audio"]["method"]["contrastive"] = {"learning_rate": 0.001, "temperature": 0.1}

    tiny_study.change(change)
    options = ["--modality", "audio", "--params", str(tiny_study.params)]
    for method in given:
        tiny_study.run(pretrain, method)
        path = tiny_study.layout.pretext(tiny_study.encoder(method))
        said = json.loads(path.read_text())
        said["metrics"]["partial_ranks"] = given[method]
        path.write_text(json.dumps(said))
    examples.main(options)
    shown = pd.read_csv(tiny_study.layout.figure("reordered-audio", "csv"))
    assert list(shown["method"].unique()) == ["perturbed_fy", "fixed_permutations"]
    best, worst = (table.drop(columns="method") for _, table in shown.groupby("method", sort=False))
    shuffled = ["input", "place", "patch", "rank"]
    assert best[shuffled].to_numpy().tolist() == worst[shuffled].to_numpy().tolist()
    for _, ranks in shown.groupby(["method", "input"])["predicted_rank"]:
        assert sorted(ranks) == [1, 2, 3, 4, 5]
    damaged = tiny_study.layout.pretext(tiny_study.encoder("mse"))
    damaged.write_text("{}")
    with pytest.raises(InputError, match=r"mse/0\.json is damaged .*run the stage pretrain again"):
        examples.main(options)
    damaged.unlink()
    with pytest.raises(InputError, match=r"mse/0\.json does not exist: run the stage pretrain"):
        examples.main(options)


@pytest.mark.half
def test_settings_reach_the_network_the_embedding_and_the_scores(tiny_study: TinyStudy) -> None:
    def change(content: dict) -> None:
        pretraining = {"gap": 1, "batch_normalization": True, "tile_normalization": True}
        settings("pretrain", precision="mixed_bfloat16", epochs=1, **pretraining)(content)
        settings("embed", layer="tiles")(content)
        others = {"probes": [], "layers": [], "n_examples": [], "neighbors": 5}
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
    assert np.load(layout.embeddings(encoder, "valid", "tiles")).shape == (30, 15 * 8)
    scores = pd.read_csv(layout.scores(encoder))
    assert list(scores["task"]) == ["family"] * 2
    correct = scores["value"] * 30  # 30 inputs are held out
    assert np.allclose(correct, correct.round())


@pytest.mark.parametrize("modality", SLICINGS)
def test_probes_need_no_heavy_library(tmp_path: Path, modality: str) -> None:
    """A job of the smoke study would take longer to load one than to fit its probes."""
    study = TinyStudy(tmp_path, modality=modality)
    for split, layer in product(("train", "test"), ("joined", "tiles")):
        path = study.layout.embeddings(study.encoder(), split, layer)
        path.parent.mkdir(parents=True, exist_ok=True)
        np.save(path, np.random.default_rng(0).random((SIZES[split], 8), np.float32))
    code = """
import sys
from stages import downstream
downstream.main(sys.argv[1:])
assert not {"tensorflow", "keras", "sklearn", "scipy"} & set(sys.modules)
"""
    subprocess.run([sys.executable, "-c", code, *study.arguments()], cwd=ROOT, check=True)
    scores = pd.read_csv(study.layout.scores(study.encoder()))
    assert scores["value"].notna().all() and len(scores)
    assert study.layout.answers(study.encoder()).is_file()


def test_help_is_quick_and_names_the_options() -> None:
    """One process runs --help of every stage and must not load TensorFlow."""
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


def test_an_embedding_that_half_a_float_cannot_hold_is_one_line(tiny_study: TinyStudy) -> None:
    tiny_study.run(pretrain, "random")
    path = tiny_study.layout.model(tiny_study.encoder("random"))
    model = keras.saving.load_model(path)
    layer = model.get_layer("joined")
    layer.set_weights([1e9 * weights for weights in layer.get_weights()])
    model.save(path)
    line = tiny_study.refusal(embed, "random")
    assert str(path) in line and "too large to be of use" in line
