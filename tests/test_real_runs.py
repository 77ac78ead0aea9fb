"""Both runners, really run on a tiny study, and what one hands over to the other."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest
from dags import snakemake_jobs
from tiny_study import EVERYTHING, REAL, RESULTS, Study

from study.graph import PLUMBING, _reached

pytestmark = pytest.mark.long

# Written at the end of every job: which of the project's files it has loaded.
RECORD = """
import atexit, json, os, sys
if sys.orig_argv[2:3] and sys.orig_argv[2].startswith("stages."):
    def record():
        root = os.getcwd() + "/"
        files = {getattr(m, "__file__", None) or "" for m in list(sys.modules.values())}
        loaded = sorted(f[len(root):] for f in files if f.startswith(root))
        with open(os.environ["LOADED"], "a") as file:
            file.write(json.dumps([sys.orig_argv[1:], loaded]) + chr(10))
    atexit.register(record)
"""


AT_THE_DOOR = {
    f"shuffle_to_learn/ranking/{name}.py" for name in ("layers", "metrics", "soft_sorting")
}
"""Loaded with the package of the ranking operators, and used by no stage."""


@pytest.fixture(scope="class")
def made(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Study:
    """A complete tiny study, made by the class's runner."""
    runner = request.cls.runner
    study = Study(tmp_path_factory.mktemp(runner))
    assert getattr(study, runner)() == EVERYTHING
    return study


class Real:
    """One study; a class is one unit for pytest-xdist."""

    runner: str

    def run(self, study: Study) -> set[str]:
        return getattr(study, self.runner)()

    def test_nothing_changed_reruns_nothing(self, made: Study) -> None:
        assert self.run(made) == set()

    @pytest.mark.parametrize(
        ("file", "at", "new", "wanted"),
        [change[1:] for change in REAL],
        ids=[change[0] for change in REAL],
    )
    def test_a_change_reruns_exactly_what_depends_on_it(self, made, file, at, new, wanted) -> None:
        made.change(file, at, new)
        assert self.run(made) == wanted
        assert self.run(made) == set()


class TestSnakemake(Real):
    runner = "snakemake"

    def test_dvc_takes_over_after_a_check(self, made: Study) -> None:
        assert "DVC has adopted" in made.adopt()
        assert made.dvc() == set()
        assert made.snakemake() == set()
        assert "nothing to adopt" in made.adopt()
        # What is on disk is no longer what the parameters ask for: neither runner may adopt it.
        made.change("params.yaml", "audio.spectrograms.hop_length", 4095)
        with pytest.raises(AssertionError, match="neither runner finds the study complete"):
            made.adopt()


class TestDvc(Real):
    runner = "dvc"

    def test_reverting_restores_from_the_cache_and_snakemake_takes_over(self, made: Study) -> None:
        scores = made.folder / "results/tiny/scores.csv"
        changed = scores.read_bytes()
        made.restore()
        assert made.dvc() == set()
        assert scores.read_bytes() != changed
        assert "Snakemake has adopted" in made.adopt()
        assert made.snakemake() == set()
        assert made.dvc() == set()

    def test_another_number_of_shards_makes_the_same_features(self, made: Study) -> None:
        """So nothing is trained again (after the test before, from a complete study)."""
        made.change("params.yaml", "audio.shards", [0, 1, 2])
        spectrograms = {f"spectrograms notes {shard}" for shard in range(3)}
        assert made.dvc() == {*spectrograms, "join notes", "site"}
        folder = made.folder / "data/tiny/notes/shards"
        assert {path.name for path in folder.iterdir()} == {"0", "1", "2"}
        made.restore()
        assert made.dvc() <= {"join notes"}
        assert {path.name for path in folder.iterdir()} == {"0", "1"}
        assert made.dvc() == set()

    def test_a_clone_that_pulls_finds_nothing_to_run(self, made: Study, tmp_path: Path) -> None:
        """By way of a remote; also after a method and a seed were there and are gone again."""
        made.change("params.yaml", "video.seeds", [0, 1])
        made.change("params.yaml", "images.methods", ["perturbed_fy", "mse"])
        added = made.dvc()
        assert {"downstream video perturbed_fy 1", "downstream images mse"} <= added
        made.restore()
        assert made.dvc() <= RESULTS
        left = [
            path
            for path in (made.folder / "data/tiny").rglob("*1.csv")
            if "shards" not in path.parts
        ]
        assert not [path for path in left if {"scores", "history", "answers"} & set(path.parts)]
        assert made.dvc() == set()
        made.call("dvc", "remote", "add", "--default", "storage", str(tmp_path / "storage"))
        made.commit()
        made.call("dvc", "push")
        made.assert_pulled_by(tmp_path / "clone")


def test_a_preset_without_a_modality_under_both_runners(tmp_path: Path) -> None:
    """PARAMS under Snakemake and under DVC: the same scores, and what one made the other adopts.

    The modules that each job really loads are among its declared inputs, or plumbing.
    """
    study = Study(tmp_path / "study")
    (study.folder / "presets/sound.yaml").write_text(
        "base: tiny.yaml\npaths: {data: data/sound, results: results/sound}\n"
        "video: null\nimages: null\n"
    )
    (tmp_path / "site").mkdir()
    (tmp_path / "site/sitecustomize.py").write_text(RECORD)
    loaded = tmp_path / "loaded"
    recorded = {"PYTHONPATH": str(tmp_path / "site"), "LOADED": str(loaded)}
    chosen = {"PARAMS": "presets/sound.yaml"}
    study.call("snakemake", "--cores", "2", **chosen, **recorded)
    scores = study.folder / "results/sound/scores.csv"
    first = scores.read_bytes()
    assert b"video" not in first

    jobs = {job.command: job for job in snakemake_jobs(study.folder, "presets/sound.yaml")}
    plumbing = PLUMBING | _reached(frozenset(PLUMBING))  # with what it imports itself
    seen = set()
    for line in loaded.read_text().splitlines():
        words, files = json.loads(line)
        command = " ".join(["python", *words]).partition(" --threads")[0].partition(" --params")[0]
        names = {file for file in files if not file.endswith("__init__.py")}
        assert not names - jobs[command].code - plumbing - AT_THE_DOOR, command
        seen.add(jobs[command].stage)
    assert seen == {job.stage for job in jobs.values()}

    assert "DVC has adopted" in study.call(sys.executable, "-m", "tools.adopt", **chosen)
    pipeline = "pipelines/sound/dvc.yaml"
    assert "up to date" in study.call("dvc", "repro", pipeline, **chosen)
    scores.unlink()
    for path in (study.folder / "data/sound").rglob("*.csv"):
        path.unlink()
    said = study.call("dvc", "repro", "--force", pipeline, **chosen)
    assert "python -m stages.pretrain" in said and "video" not in said
    assert scores.read_bytes() == first
