"""Params files that start from others, and values that are refused before any work."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from conftest import ROOT
from hypothesis import given
from hypothesis import strategies as st

from shuffle_to_learn.features.spectrogram import log_mel
from study.errors import InputError
from study.loading import _upon, load_params, merged

DEFAULT = ROOT / "params.yaml"


def preset(folder: Path, content: dict[str, Any] | str, base: str = str(DEFAULT)) -> Path:
    path = folder / "mine.yaml"
    text = content if isinstance(content, str) else yaml.safe_dump(content)
    path.write_text(f"base: {base}\n{text}")
    return path


def test_mappings_are_merged_lists_and_values_replaced(tmp_path: Path) -> None:
    changes = {"audio": {"seeds": [0, 1, 2, 9], "pretrain": {"epochs": 3}}, "video": None}
    found, base = merged(preset(tmp_path, changes)), merged(DEFAULT)
    assert found["audio"]["seeds"] == [0, 1, 2, 9]
    assert found["audio"]["pretrain"] == base["audio"]["pretrain"] | {"epochs": 3}
    assert "video" not in found and "base" not in found
    assert found["images"] == base["images"]
    params = load_params(tmp_path / "mine.yaml")
    assert list(params.studies) == ["audio", "images"]


def test_a_base_has_a_base_and_paths_start_from_each_file(tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    below = preset(tmp_path, {"audio": {"seeds": [1, 2], "shown": "mse"}})
    path = preset(tmp_path / "folder", {"audio": {"seeds": [3]}}, f"../{below.name}")
    assert merged(path)["audio"]["seeds"] == [3]
    assert merged(path)["audio"]["shown"] == "mse"


def test_the_tasks_of_a_folder_are_replaced_whole(tmp_path: Path) -> None:
    """Their keys are columns of a labels.csv, and so the user's own."""
    changes = {"audio": {"downstream": {"tasks": {"species": "class"}}}}
    path = preset(tmp_path, changes, str(ROOT / "presets/folder.yaml"))
    assert merged(path)["audio"]["downstream"]["tasks"] == {"species": "class"}


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"audoi": {}}, "audoi: unknown key (misspelt?): {base} has none of the name"),
        ({"audio": {"pretrain": {"epoch": 3}}}, "audio.pretrain.epoch: unknown key (misspelt?)"),
        ({"audio": {"method": {"mse": {"epsilon": 1.0}}}}, "audio.method.mse.epsilon: unknown key"),
        ({"audio": {"views": ["time-10"]}}, "audio.views: is called slicings now: {base} has none"),
        ({"audio": {"seeds": None}}, "audio.seeds: Input should be a valid list"),
        ({"audio": {"pretrain": 3}}, "audio.pretrain: Input should be"),
        ({"audio": None, "video": None, "images": None}, "missing: at least one of audio"),
        ({"notes": None}, "notes: missing: it is the dataset of audio"),
    ],
)
def test_a_wrong_preset_is_one_line_that_names_the_key(tmp_path: Path, changes, said) -> None:
    path = preset(tmp_path, changes)
    with pytest.raises(InputError) as stopped:
        load_params(path)
    line = str(stopped.value)
    assert line.startswith(f"{path}: ") and len(line.splitlines()) == 1
    assert said.format(base=DEFAULT) in line


@pytest.mark.parametrize(
    ("base", "said"),
    [
        ("none.yaml", "base: {folder}/none.yaml does not exist"),
        ("mine.yaml", "base: mine.yaml starts from this file itself"),
        ("[a, b]", "base: name a params file, relative to this one"),
        ("''", "base: name a params file"),
    ],
)
def test_a_base_that_is_none_is_refused(tmp_path: Path, base: str, said: str) -> None:
    with pytest.raises(InputError, match="mine") as stopped:
        merged(preset(tmp_path, "", base))
    assert said.format(folder=tmp_path) in str(stopped.value)


def test_bases_in_a_circle_are_refused(tmp_path: Path) -> None:
    preset(tmp_path, "", "other.yaml")
    (tmp_path / "other.yaml").write_text("base: mine.yaml\n")
    with pytest.raises(InputError, match="starts from this file itself"):
        merged(tmp_path / "mine.yaml")


values = st.one_of(st.integers(), st.text(max_size=3), st.lists(st.integers(), max_size=2))
trees = st.recursive(
    values, lambda below: st.dictionaries(st.sampled_from("abcd"), below, max_size=3), max_leaves=8
)


@given(st.dictionaries(st.sampled_from("abcd"), trees, max_size=4), st.data())
def test_what_is_merged_has_each_change_and_all_else_of_the_base(base: dict, data) -> None:
    def part(tree: dict) -> dict:
        """Some of a tree's keys, with other values."""
        keys = data.draw(st.sets(st.sampled_from(sorted(tree)))) if tree else set()
        return {k: part(tree[k]) if isinstance(tree[k], dict) else data.draw(values) for k in keys}

    def check(result: dict, base: dict, changes: dict) -> None:
        assert list(result) == list(base)
        for key, value in result.items():
            if key not in changes:
                assert value == base[key]
            elif isinstance(base[key], dict):
                check(value, base[key], changes[key])
            else:
                assert value == changes[key]

    changes = part(base)
    check(_upon(base, changes, "", Path("a"), Path("b")), base, changes)


@pytest.mark.parametrize(
    ("data", "results", "said"),
    [
        ("data/x", "data/x", "paths: results: is the same folder as data"),
        ("data/x", "./data/../data/x", "paths: results: is the same folder as data"),
        ("", "results", "paths.data: name a folder"),
        ("data", " ", "paths.results: name a folder"),
        ("/", "results", "paths.data: holds the project"),
        (".", "results", "paths.data: holds the project"),
        ("data", "..", "paths.results: holds the project"),
        (str(ROOT.parent), "results", "paths.data: holds the project"),
        ("~/data", "results", "paths.data: write your home out"),
        ("stages/data", "results", "paths.data: lies in the project's folder stages"),
        ("examples", "results", "paths.data: lies in the project's folder examples"),
        ("data", "docs", "paths.results: lies in the project's folder docs"),
    ],
)
def test_folders_that_would_overwrite_something_are_refused(tmp_path, data, results, said) -> None:
    path = preset(tmp_path, {"paths": {"data": data, "results": results}})
    with pytest.raises(InputError) as stopped:
        load_params(path)
    assert said in str(stopped.value)


@pytest.mark.parametrize("data", ["data", "data/mine", "elsewhere", "../beside", "/tmp/somewhere"])
def test_other_folders_are_taken(tmp_path: Path, data: str) -> None:
    path = preset(tmp_path, {"paths": {"data": data, "results": f"{data}-results"}})
    assert load_params(path).layout.data == Path(data)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"frames": 1_000_000}, "frames: 1000000 is more than the 63 that 4 s have at hop_length"),
        ({"frames": 64}, "frames: 64 is more than the 63"),
        ({"hop_length": 2048}, "frames: 60 is more than the 32"),
    ],
)
def test_more_frames_than_a_recording_has_are_refused_before_it_is_rendered(
    tmp_path: Path, changes: dict, said: str
) -> None:
    with pytest.raises(InputError) as stopped:
        load_params(preset(tmp_path, {"audio": {"spectrograms": changes}}))
    assert f"audio.spectrograms.{said}" in str(stopped.value)


def test_frames_are_counted_as_the_spectrograms_have_them(tmp_path: Path) -> None:
    """The most that is taken is what a window gives, for a folder's windows, too."""
    for seconds, rate, hop in ((0.5, 8000, 128), (0.3, 22_050, 256), (4.0, 16_000, 1024)):
        samples = round(seconds * rate)
        most = 1 + samples // hop
        for frames in (most, most + 1):
            changes = {
                "folder": {"seconds": seconds, "sample_rate": rate},
                "audio": {
                    "source": "x",
                    "spectrograms": {"frames": frames, "hop_length": hop, "f_max": 4000.0},
                },
            }
            path = preset(tmp_path, changes, str(ROOT / "presets/folder.yaml"))
            settings = {"frames": frames, "hop_length": hop, "f_max": 4000.0}
            settings |= {"n_fft": 2048, "n_mels": 40, "f_min": 20.0, "dynamic_range": 80.0}
            silence = np.zeros(samples, np.float32)
            make = partial(log_mel, silence, sample_rate=rate, reference="peak", **settings)
            if frames == most:
                assert load_params(path).audio.shape[1] == make().shape[1]
            else:
                with pytest.raises(InputError, match="is more than the"):
                    load_params(path)
                with pytest.raises(ValueError, match="are asked for"):
                    make()


def test_the_command_prints_settings_that_are_a_params_file(tmp_path: Path, monkeypatch, capsys):
    from tools import settings

    monkeypatch.setenv("PARAMS", str(ROOT / "presets/smoke.yaml"))
    monkeypatch.setattr("sys.argv", ["settings"])
    settings.main()
    printed = tmp_path / "printed.yaml"
    printed.write_text(capsys.readouterr().out)
    assert load_params(printed) == load_params(ROOT / "presets/smoke.yaml")
