"""The benchmarks take too long to be run here; what they use of the project must be there."""

from __future__ import annotations

import ast
import subprocess
from importlib import import_module
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from benchmarks import scale, settings, sweep
from study.loading import merged
from study.params import Params

ROOT = Path(__file__).parent.parent


@pytest.mark.parametrize("path", sorted((ROOT / "benchmarks").glob("*.py")), ids=lambda p: p.stem)
def test_what_a_benchmark_imports_of_the_project_is_there(path: Path) -> None:
    """Also inside functions, where only a run of some minutes would tell."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] in (
            "benchmarks",
            "shuffle_to_learn",
            "stages",
            "study",
            "tools",
        ):
            for alias in node.names:
                module = import_module(node.module)
                if not hasattr(module, alias.name):
                    import_module(f"{node.module}.{alias.name}")


@pytest.mark.parametrize("name", ["length", "rates", "sound"])
def test_each_trial_of_a_sweep_is_of_a_study_and_made_once(name: str) -> None:
    """A misspelt setting would be told after hours; a trial that is known as another never runs."""
    planned = sweep.planned(name)
    assert len({trial.known for trial in planned}) == len(planned) > 10
    studies = {
        (trial.params, trial.settings): Params.model_validate(
            settings.with_settings(merged(ROOT / trial.params), trial.settings)
        )
        for trial in planned
    }
    for trial in planned:
        params = studies[trial.params, trial.settings]
        params.scored_key(trial.modality, trial.slicing, trial.method, trial.seed)


def test_a_sweeps_page_has_means_over_seeds_in_the_order_of_the_trials() -> None:
    columns = ["params", *settings.COLUMNS]

    def row(rate: str, method: str, seed: int, ranks: str, n: int, metric: str, mean: float):
        said = f"audio.method.{method}.learning_rate={rate}"
        told = ["p.yaml", said, "audio", "time-10", method, seed, "joined", 1, ranks, "", "pitch"]
        return dict(zip(columns, [*told, n, metric, mean, 0.0], strict=True))

    rows = [
        row("0.001", "mse", 0, "0.5", 1000, "accuracy", 0.25),
        row("0.001", "mse", 1, "0.25", 1000, "accuracy", 0.75),
        row("0.001", "mse", 0, "0.5", 1000, "mse", 30.0),
        row("0.001", "mse", 0, "0.5", 250, "accuracy", 0.9),
        row("0.0003", "mse", 0, "0.5", 1000, "accuracy", 0.125),
        row("0.0003", "contrastive", 0, "", 1000, "accuracy", 0.1),
    ]
    page = sweep.page("rates", pd.DataFrame(rows))
    *_, header, _, first, second, third = page.splitlines()
    cells = [line.strip("| ").split(" | ") for line in (header, first, second, third)]
    assert cells == [
        [*"slicing method set layer seeds".split(), "partial ranks", "pitch accuracy", "pitch mse"],
        ["time-10", "mse", "learning_rate=0.001", "joined", "2", "0.375", "0.500", "30.0"],
        ["time-10", "mse", "learning_rate=0.0003", "joined", "1", "0.500", "0.125", "-"],
        ["time-10", "contrastive", "learning_rate=0.0003", "joined", "1", "-", "0.100", "-"],
    ]


@pytest.mark.parametrize("name", ["length", "rates", "sound"])
def test_a_sweeps_page_is_of_its_table(name: str) -> None:
    rows = pd.read_csv(sweep.RESULTS / f"{name}.csv", keep_default_na=False)
    assert (sweep.RESULTS / f"{name}.md").read_text(encoding="utf-8") == sweep.page(name, rows)


def test_a_sweep_whose_trials_all_fail_says_so(tmp_path, monkeypatch, capsys) -> None:
    class Failing(sweep.Trial):
        def rows(self) -> pd.DataFrame:
            raise subprocess.CalledProcessError(1, "settings", stderr="no features")

    trial = Failing("p.yaml", "audio", "time-10", "mse", 0, (), False, ("joined",))
    monkeypatch.setattr(sweep, "RESULTS", tmp_path)
    monkeypatch.setattr(sweep, "planned", lambda name: [trial])
    monkeypatch.setattr("sys.argv", ["sweep", "rates"])
    with pytest.raises(SystemExit, match="error: 1 of 1 trials failed"):
        sweep.main()
    assert "no features" in capsys.readouterr().err


def test_a_commands_peak_memory_is_not_that_of_the_process_that_measures() -> None:
    held = np.ones(2**26)  # 512 MiB
    _, memory = scale.run("platform")
    assert 1 < memory < 100
    assert held.nbytes == 2**29


def test_a_command_that_fails_ends_the_measurement_with_what_it_said() -> None:
    with pytest.raises(SystemExit, match="No module named no_such_module"):
        scale.run("no_such_module")


@pytest.mark.parametrize("path", sorted((ROOT / "docs").rglob("*.svg")), ids=lambda p: p.stem)
def test_no_figure_shows_markup_for_a_number(path: Path) -> None:
    """Matplotlib's own ticks of a logarithmic axis are formulas, which are not parsed here."""
    assert "mathdefault" not in path.read_text(encoding="utf-8")
