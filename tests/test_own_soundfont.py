"""A soundfont of one's own is an input of the dataset under both runners."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from dags import dvc_jobs, snakemake_jobs
from tiny_soundfont import Preset, soundfont, write
from tiny_study import Study, ran

from study.errors import InputError
from study.loading import load_params
from study.names import dataset_about
from study.params import Params

ROOT = Path(__file__).resolve().parent.parent
MANIFEST = "data/tiny/notes/manifest.parquet"


def study_with(folder: Path, *fonts: str) -> Study:
    study = Study(folder, declared=True)
    study.change("params.yaml", "notes.soundfonts", list(fonts))
    study.call(sys.executable, "-m", "tools.dvc_yaml")
    return study


def test_both_runners_declare_it_and_rerun_when_it_changes(tmp_path: Path) -> None:
    write(tmp_path / "own.sf2", [Preset(0, 0, "Piano")])
    write(tmp_path / "moved.sf2", [Preset(0, 0, "Piano")])
    study = study_with(tmp_path, "own.sf2", "TimGM6mb")
    found = [jobs(tmp_path) for jobs in (snakemake_jobs, dvc_jobs)]
    assert found[0] == found[1]
    for job in found[0]:
        assert ("own.sf2" in job.inputs) == (job.option("dataset") == "notes") or (
            job.stage != "dataset"
        )
        assert "TimGM6mb" not in job.inputs

    for other in ("video", "images"):  # from here on they take the runners' time alone
        study.change("params.yaml", other, None)
    study.call(sys.executable, "-m", "tools.dvc_yaml")

    def snakemake(*options: str) -> set[str]:
        return study.snakemake(*options, MANIFEST)

    def dvc(*options: str) -> set[str]:
        return study.dvc(*options, "dataset-audio")

    for number, runner in enumerate((snakemake, dvc)):
        assert runner() == {"dataset notes"}
        assert runner() == set()
        louder = [Preset(0, 0, "Piano", (1.0, 0.1 * (number + 1)))]
        write(tmp_path / "own.sf2", louder)
        assert runner() == {"dataset notes"}
    study.change("params.yaml", "notes.soundfonts", ["moved.sf2", "TimGM6mb"])
    study.call(sys.executable, "-m", "tools.dvc_yaml")
    assert snakemake() == dvc() == {"dataset notes"}
    study.change("params.yaml", "notes.velocities", 2)
    assert snakemake() == dvc() == {"dataset notes"}


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (None, "own.sf2 does not exist (make soundfonts fetches one)"),
        (b"nothing", "own.sf2 is no soundfont (.sf2 or .sf3)"),
        (soundfont([Preset(128, 0, "Kit")]), "own.sf2 has no melodic presets"),
    ],
)
def test_what_is_wrong_with_it_is_said_before_any_job(tmp_path, content, said) -> None:
    font = tmp_path / "own.sf2"
    if content is not None:
        font.write_bytes(content)
    own = {
        "base": str(ROOT / "presets/tiny.yaml"),
        "paths": {"data": str(tmp_path / "data"), "results": str(tmp_path / "results")},
        "notes": {"soundfonts": [str(font)]},
    }
    path = tmp_path / "own.yaml"
    path.write_text(yaml.safe_dump(own))
    done = subprocess.run(
        [sys.executable, "-m", "snakemake", "--cores", "1", "--nolock"],
        cwd=ROOT,
        env={**os.environ, "PARAMS": str(path)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode != 0
    line = done.stderr.splitlines()[-1]
    assert line.startswith(f"error: {path}: notes.soundfonts: ") and said in line
    assert "Traceback" not in done.stderr and ran(done.stdout + done.stderr) == set()
    assert not (tmp_path / "data").exists()


@pytest.mark.parametrize(
    ("fonts", "said"),
    [
        ([], "notes.soundfonts: List should have at least 1 item"),
        (["a.sf2", "a.sf2"], "notes.soundfonts: lists an entry twice"),
        (["~/a.sf2"], "notes.soundfonts: name a file, without ~, or TimGM6mb"),
        ([""], "notes.soundfonts: name a file, without ~, or TimGM6mb"),
    ],
)
def test_settings_that_name_no_soundfont(tmp_path: Path, fonts: list[str], said: str) -> None:
    path = tmp_path / "own.yaml"
    own = {"base": str(ROOT / "params.yaml"), "notes": {"soundfonts": fonts}}
    path.write_text(yaml.safe_dump(own))
    with pytest.raises(InputError) as told:
        load_params(path)
    assert said in str(told.value)


def test_the_files_of_a_dataset() -> None:
    default = load_params(ROOT / "params.yaml")
    assert default.files_of("notes") == default.files_of("scenes") == []
    own = load_params(ROOT / "presets/folder.yaml")
    assert own.files_of("folder") == []  # a list stands for its files
    content = default.model_dump()
    content["notes"]["soundfonts"] = ["b.sf3", "TimGM6mb", "a.sf2"]
    assert Params.model_validate(content).files_of("notes") == ["b.sf3", "a.sf2"]


def test_the_page_names_the_soundfonts() -> None:
    content = load_params(ROOT / "params.yaml").model_dump()
    assert "Notes of the soundfont TimGM6mb, rendered" in dataset_about(
        Params.model_validate(content), "notes"
    )
    content["notes"]["soundfonts"] = ["data/b.sf3", "TimGM6mb"]
    changed = Params.model_validate(content)
    assert "Notes of the soundfonts b.sf3 and TimGM6mb, rendered" in dataset_about(changed, "notes")
    assert "soundfont" not in dataset_about(changed, "motions")
