"""Each runner reruns exactly what a change asks for.

What reruns is a property of the graph: here the stages write digests of what they declare
(tests/declared/sitecustomize.py). tests/test_real_runs.py runs both runners for real.
"""

from __future__ import annotations

import pytest
from tiny_study import CHANGES, EVERYTHING, RESULTS, Study


@pytest.fixture(scope="class")
def made(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Study:
    """A complete tiny study, made by the class's runner."""
    runner = request.cls.runner
    study = Study(tmp_path_factory.mktemp(runner), declared=True)
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

    def test_a_seed_that_is_added_runs_alone(self, made: Study) -> None:
        made.change("params.yaml", "video.seeds", [0, 1])
        added = {f"{stage} video perturbed_fy 1" for stage in ("pretrain", "embed", "downstream")}
        # Its examples are those of the first seed, but they declare the list.
        assert self.run(made) == added | RESULTS | {"examples video perturbed_fy"}
        assert self.run(made) == set()


class TestSnakemake(Exactness):
    runner = "snakemake"


class TestDvc(Exactness):
    runner = "dvc"
