"""Pretraining that goes on from an exported network: what it takes over, and what is refused."""

from __future__ import annotations

import json
import shutil
import sys
import zipfile
from pathlib import Path

import numpy as np
import pytest
import yaml
from conftest import ROOT, TinyStudy
from dags import dvc_jobs, dvc_project, snakemake_jobs
from tiny_study import Study, jobs
from trained_study import assert_matches, settings

from stages import pretrain
from study import exported
from study.loading import load_params
from tools import dvc_yaml


def model_of(study: TinyStudy, method: str = "mse") -> Path:
    return study.layout.model(study.encoder(method))


def weights(path: Path) -> dict[str, list[np.ndarray]]:
    import keras

    model = keras.saving.load_model(path, compile=False)
    return {layer.name: layer.get_weights() for layer in model.layers if layer.weights}


def same(one: dict, other: dict, *but: str) -> bool:
    assert one.keys() == other.keys()
    return all(
        np.array_equal(a, b)
        for name in one.keys() - set(but)
        for a, b in zip(one[name], other[name], strict=True)
    )


@pytest.fixture(scope="module")
def exported_network(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A network of another study, by the method mse."""
    study = TinyStudy(tmp_path_factory.mktemp("before"))
    study.run(pretrain)
    target = tmp_path_factory.mktemp("exported") / "cfn.keras"
    shutil.copy(model_of(study), target)
    return target


def started(folder: Path, start: Path | str, **pretraining) -> TinyStudy:
    return TinyStudy(folder, settings("pretrain", start_from=str(start), **pretraining))


def first_epoch(study: TinyStudy) -> list[float]:
    """What the network does on held-out inputs before it is trained here, and at the end."""
    lines = study.layout.history(study.encoder()).read_text().splitlines()
    place = lines[0].split(",").index("valid_partial_ranks")
    return [float(lines[number].split(",")[place]) for number in (1, -1)]


def test_pretraining_goes_on_where_the_network_was(
    tmp_path: Path, exported_network: Path, capsys
) -> None:
    before = TinyStudy(tmp_path / "a")
    before.run(pretrain)
    fresh, learned = first_epoch(before)
    study = started(tmp_path / "b", exported_network)
    study.run(pretrain)
    assert f"starts from {exported_network}\n" in capsys.readouterr().err
    assert first_epoch(study)[0] == learned != fresh  # same data: to the last digit
    again = started(tmp_path / "c", exported_network)
    again.run(pretrain)
    model = model_of(study).read_bytes()
    assert model == model_of(again).read_bytes()
    assert model != exported_network.read_bytes()


def test_another_method_has_a_last_layer_of_its_own(
    tmp_path: Path, exported_network: Path, monkeypatch, capsys
) -> None:
    kept = {}
    monkeypatch.setattr(
        pretrain,
        "run_epochs",
        lambda args, params, key, pretraining, *_: kept.update(model=pretraining.model) or 1 / 0,
    )
    study = started(tmp_path, exported_network)
    with pytest.raises(ZeroDivisionError):
        study.run(pretrain, "fixed_permutations")
    said = f"starts from {exported_network}, but for its last layer (5 outputs, not 10)"
    assert said in capsys.readouterr().err
    found = {layer.name: layer.get_weights() for layer in kept["model"].layers if layer.weights}
    given = weights(exported_network)
    assert same(found, given, "scores")
    assert found["scores"][0].shape == (16, 10) and given["scores"][0].shape == (16, 5)


def test_an_untrained_network_is_as_ever(tmp_path: Path, exported_network: Path, capsys) -> None:
    plain = TinyStudy(tmp_path / "a")
    plain.run(pretrain, "random")
    study = started(tmp_path / "b", exported_network)
    study.run(pretrain, "random")
    assert "starts from" not in capsys.readouterr().err
    assert model_of(study, "random").read_bytes() == model_of(plain, "random").read_bytes()


def test_a_checkpoint_is_of_its_start(tmp_path: Path, exported_network: Path) -> None:
    study = started(tmp_path, exported_network)
    params = load_params(study.params)
    before = pretrain._fingerprint(params, study.encoder())
    copied = tmp_path / "start.keras"
    shutil.copy(exported_network, copied)
    copied.write_bytes(copied.read_bytes() + b"\0")
    study.change(settings("pretrain", start_from=str(copied)))
    other = pretrain._fingerprint(load_params(study.params), study.encoder())
    copied.write_bytes(exported_network.read_bytes())
    assert (
        len({before, other, pretrain._fingerprint(load_params(study.params), study.encoder())}) == 3
    )


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"width": 0.1}, r"has convolutions of 5, 13, .*, and audio.pretrain.width asks for .* 10"),
        ({"tile_features": 9}, "has 8 features of a tile, and audio.pretrain.tile_features asks"),
        ({"joined_features": 8}, "has 16 features of all tiles, and audio.pretrain.joined_feat"),
        ({"batch_normalization": True}, "has no batch normalisation, and audio.pretrain.batch_n"),
        ({"tile_normalization": True}, "no tile normalisation, and audio.pretrain.tile_normal"),
        (
            {"gap": 1},
            r"patches of shape \(5, 4, 12, 1\), and slicing frequency-5 has \(5, 3, 12, 1\)",
        ),
    ],
)
def test_a_network_of_another_shape_is_refused(
    tmp_path: Path, exported_network: Path, change: dict, said: str
) -> None:
    study = started(tmp_path, exported_network, **change)
    line = study.refusal(pretrain)
    assert_matches(line, f"audio.pretrain.start_from: {exported_network} .*{said}")
    assert exported.faults(load_params(study.params)) == [line.removeprefix("error: ")]


def test_each_slicing_is_held_to_it(tmp_path: Path, exported_network: Path) -> None:
    study = started(tmp_path, exported_network)
    content = yaml.safe_load(study.params.read_text())
    content["audio"]["slicings"].append("time-4")
    study.params.write_text(yaml.safe_dump(content))
    (fault,) = exported.faults(load_params(study.params))
    assert_matches(fault, r"takes patches of shape \(5, .*, and slicing time-4 has \(4, 20, 3, 1\)")


def repacked(path: Path, target: Path, **changed: bytes | None) -> None:
    with zipfile.ZipFile(path) as source, zipfile.ZipFile(target, "w") as made:
        for name in source.namelist():
            content = changed.get(name.replace(".", "_"), source.read(name))
            if content is not None:
                made.writestr(name, content)


@pytest.mark.parametrize("kind", ["absent", "folder", "text", "half", "other", "weights", "own"])
def test_what_is_no_network_is_refused(tmp_path: Path, exported_network: Path, kind: str) -> None:
    start = tmp_path / "start.keras"
    content = exported_network.read_bytes()
    said = "is not a network of the stage pretrain"
    if kind == "absent":
        said = "does not exist"
    elif kind == "folder":
        start.mkdir()
        said = "is no file"
    elif kind == "text":
        start.write_text("cfn")
    elif kind == "half":
        start.write_bytes(content[: len(content) // 2])
    elif kind == "other":
        config = {"config": {"layers": [{"config": {"name": "dense"}}]}}
        repacked(exported_network, start, config_json=json.dumps(config).encode())
        said += r" \(no layer patches\)"
    elif kind == "weights":
        repacked(exported_network, start, model_weights_h5=b"x" * 100)
        said = "is damaged"
    study = TinyStudy(tmp_path)
    if kind == "own":
        start = model_of(study)
        start.parent.mkdir(parents=True)
        shutil.copy(exported_network, start)
        said = "is written by this study itself: copy it to another folder"
    study.change(settings("pretrain", start_from=str(start)))
    assert_matches(study.refusal(pretrain), f"audio.pretrain.start_from: {start} {said}")


def started_params(tmp_path: Path, start: Path) -> Path:
    file = tmp_path / "goes-on.yaml"
    content = {
        "base": str(ROOT / "presets/tiny.yaml"),
        "paths": {"data": "data/test-start", "results": "results/test-start"},
        "video": None,
        "images": None,
        "audio": {"pretrain": {"start_from": str(start)}},
    }
    file.write_text(yaml.safe_dump(content))
    return file


@pytest.fixture
def of_the_preset(tmp_path: Path) -> Path:
    """A network of presets/tiny.yaml's audio."""
    from shuffle_to_learn.models.cfn import build_cfn
    from shuffle_to_learn.slicing import Slicing
    from study.tensorflow import save_model

    study = load_params(ROOT / "presets/tiny.yaml").study("audio")
    slicing = Slicing.parse(study.slicings[0])
    tile = slicing.tile_shape(study.shape, study.pretrain.gap)
    path = tmp_path / "start" / "cfn.keras"
    save_model(path, build_cfn(slicing.patches, tile, slicing.patches, **study.pretrain.network))
    return path


def test_both_runners_watch_the_file(tmp_path: Path, of_the_preset: Path, monkeypatch) -> None:
    file = started_params(tmp_path, of_the_preset)
    by_snakemake = snakemake_jobs(ROOT, str(file))
    (tmp_path / "dvc").mkdir()
    monkeypatch.chdir(dvc_project(tmp_path / "dvc"))
    assert by_snakemake == dvc_jobs(tmp_path / "dvc", dvc_yaml.write(file))
    watching = {job.stage for job in by_snakemake if str(of_the_preset) in job.inputs}
    assert watching == {"pretrain"}


@pytest.mark.parametrize("kind", ["absent", "wide"])
def test_it_is_told_before_anything_is_run(
    tmp_path: Path, of_the_preset: Path, kind: str, monkeypatch, capsys
) -> None:
    file = started_params(tmp_path, of_the_preset)
    if kind == "absent":
        of_the_preset.unlink()
    else:
        content = yaml.safe_load(file.read_text())
        content["audio"]["pretrain"]["width"] = 0.5
        file.write_text(yaml.safe_dump(content))
    with pytest.raises(SystemExit) as stopped:
        snakemake_jobs(ROOT, str(file))
    assert_matches(str(stopped.value.code), f"audio.pretrain.start_from: {of_the_preset} ")
    monkeypatch.setenv("PARAMS", str(file))
    for tool in ("dvc_yaml", "check"):
        module = __import__(f"tools.{tool}", fromlist=["main"])
        monkeypatch.setattr("sys.argv", [tool])
        with pytest.raises(SystemExit) as stopped:
            module.cli.run(module.main)
        assert_matches(str(stopped.value.code), f"audio.pretrain.start_from: {of_the_preset} ")


@pytest.mark.long
def test_another_file_pretrains_again(tmp_path: Path, of_the_preset: Path) -> None:
    study = Study(tmp_path / "copy", declared=True)
    study.change("params.yaml", "audio.pretrain.start_from", str(of_the_preset))
    study.call(sys.executable, "-m", "tools.dvc_yaml")
    for run in (study.snakemake, study.dvc):
        run()
        assert run() == set()
        of_the_preset.touch()
        assert run() == set()
        of_the_preset.write_bytes(of_the_preset.read_bytes() + b"\0")
        again = run()
        trained = jobs({"pretrain", "embed"}, "audio", "perturbed_fy")
        assert trained <= again and not any("video" in job or "notes" in job for job in again)
