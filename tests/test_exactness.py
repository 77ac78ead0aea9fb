"""Both runners, really run on a tiny study: each reruns exactly what a change asks for."""

from __future__ import annotations

from pathlib import Path

import pytest
from tiny_study import CHANGES, EVERYTHING, Study


@pytest.fixture(scope="class")
def made(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Study:
    """A complete tiny study, made by the class's runner."""
    runner = request.cls.runner
    study = Study(tmp_path_factory.mktemp(runner))
    assert getattr(study, runner)() == EVERYTHING
    return study


class Exactness:
    """One study, changed again and again; a class is one unit for pytest-xdist."""

    runner: str

    def run(self, study: Study) -> set[str]:
        return getattr(study, self.runner)()

    def test_nothing_changed_reruns_nothing(self, made: Study) -> None:
        assert self.run(made) == set()

    @pytest.mark.parametrize(
        ("file", "at", "new", "wanted"),
        [change[1:] for change in CHANGES],
        ids=[change[0] for change in CHANGES],
    )
    def test_a_change_reruns_exactly_what_depends_on_it(self, made, file, at, new, wanted) -> None:
        made.change(file, at, new)
        assert self.run(made) == wanted
        assert self.run(made) == set()


class TestSnakemake(Exactness):
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


class TestDvc(Exactness):
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
        """By way of a remote, from a study that is complete (after the test before)."""
        made.call("dvc", "remote", "add", "--default", "storage", str(tmp_path / "storage"))
        made.call("git", "add", "--all")
        made.call(
            "git", "-c", "user.name=a", "-c", "user.email=a@b", "commit", "--quiet", "-m", "a"
        )
        made.call("dvc", "push")
        clone = made.clone(tmp_path / "clone")
        assert not (clone.folder / "data").exists()
        clone.call("dvc", "pull")
        assert clone.dvc() == set()
        assert "Snakemake has adopted" in clone.adopt()
        assert clone.snakemake() == set()
        name = "results/tiny/index.html"
        assert (clone.folder / name).read_bytes() == (made.folder / name).read_bytes()
