"""Each runner reruns exactly what a change asks for.

What reruns is a property of the graph: here the stages write digests of what they declare
(tests/declared/sitecustomize.py). tests/test_real_runs.py runs both runners for real.
"""

from __future__ import annotations

import sys

import pytest
from tiny_study import CHANGES, EVERYTHING, RESULTS, TOGETHER, Study

ADDED = {f"{stage} video perturbed_fy 1" for stage in ("pretrain", "embed", "downstream")}
ADDED |= {"downstream video raw 1", "downstream video summary 1"}
ADDED |= RESULTS | {"examples video"}  # the examples declare the list of seeds


@pytest.fixture(scope="class")
def made(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Study:
    """A complete tiny study, made by the class's runner."""
    runner = request.cls.runner
    study = Study(tmp_path_factory.mktemp(runner), declared=True)
    assert getattr(study, runner)() == EVERYTHING
    return study


class TestSnakemake:
    """One study, changed again and again; a class is one unit for pytest-xdist."""

    runner = "snakemake"

    def test_nothing_changed_reruns_nothing(self, made: Study) -> None:
        assert made.snakemake() == set()

    @pytest.mark.parametrize(
        ("file", "at", "new", "wanted"),
        [change[1:] for change in CHANGES],
        ids=[change[0] for change in CHANGES],
    )
    def test_a_change_reruns_exactly_what_depends_on_it(self, made, file, at, new, wanted) -> None:
        made.change(file, at, new)
        assert made.snakemake() == wanted

    def test_a_seed_that_is_added_runs_alone(self, made: Study) -> None:
        made.change("params.yaml", "video.seeds", [0, 1])
        assert made.snakemake() == ADDED
        assert made.snakemake() == set()

    def test_no_look_for_jobs_plans_another(self, made: Study) -> None:
        """Each such chain goes on to the end of a run: hundreds of them take much of a core."""
        program = (
            "import atexit\n"
            "from snakemake.cli import main\n"
            "from snakemake.scheduling.job_scheduler import JobScheduler\n"
            "planned = []\n"
            "JobScheduler._schedule_reevalutation = lambda self, delay: planned.append(delay)\n"
            "atexit.register(lambda: print('planned', len(planned)))\n"
            "main(['--cores', '2', '--forcerun', 'site'])\n"
        )
        said = made.call(sys.executable, "-c", program)
        assert "stages.site" in said and "planned 0" in said


class TestDvc:
    """The same changes, some at once: DVC takes half a second for each stage that it runs."""

    runner = "dvc"

    def test_nothing_changed_reruns_nothing(self, made: Study) -> None:
        assert made.dvc() == set()

    @pytest.mark.parametrize(
        "numbers", TOGETHER, ids=[" and ".join(CHANGES[n][0] for n in pair) for pair in TOGETHER]
    )
    def test_changes_rerun_exactly_what_depends_on_them(self, made: Study, numbers) -> None:
        for number in numbers:
            made.change(*CHANGES[number][1:4])
        assert made.dvc() == set().union(*(CHANGES[number][4] for number in numbers))

    def test_a_seed_that_is_added_runs_alone(self, made: Study) -> None:
        made.change("params.yaml", "video.seeds", [0, 1])
        assert made.dvc() == ADDED


def test_every_change_is_made_under_both() -> None:
    assert sorted(number for pair in TOGETHER for number in pair) == list(range(len(CHANGES)))
