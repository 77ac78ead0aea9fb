"""Starting a study again after one that was killed."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from conftest import ROOT

SLEEP = "import time\ntime.sleep(120)\n"


@pytest.fixture
def locked(tmp_path: Path) -> Path:
    """A folder that a run of Snakemake has locked."""
    (tmp_path / ".snakemake/locks").mkdir(parents=True)
    (tmp_path / ".snakemake/locks/0.input.lock").write_text("data/x\n")
    return tmp_path


def unlock(folder: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    kept = {key: value for key, value in os.environ.items() if key != "PARAMS"}
    return subprocess.run(
        [sys.executable, "-m", "tools.unlock"],
        cwd=folder,
        env=kept | {"PYTHONPATH": str(ROOT)} | environment,
        capture_output=True,
        text=True,
        check=False,
    )


def is_locked(folder: Path) -> bool:
    return (folder / ".snakemake/locks/0.input.lock").exists()


@pytest.fixture
def at_work(locked: Path) -> Iterator[object]:
    """Starts a program in the locked folder: a run of Snakemake, or a job that it started."""
    running = []

    def start(name: str, **environment: str) -> int:
        path = locked / name.replace(".", "/")
        path = path if name == "snakemake" else path.with_suffix(".py")
        path.parent.mkdir(exist_ok=True)
        path.write_text(SLEEP)
        command = [str(path)] if name == "snakemake" else ["-m", name]
        kept = {key: value for key, value in os.environ.items() if key != "PARAMS"}
        process = subprocess.Popen([sys.executable, *command], cwd=locked, env=kept | environment)
        running.append(process)
        time.sleep(0.5)  # its command line is there
        return process.pid

    yield start
    for process in running:
        process.kill()
        process.wait()


def test_a_folder_that_is_not_locked_is_left_as_it_is(tmp_path: Path) -> None:
    done = unlock(tmp_path)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_a_lock_that_no_process_holds_is_removed_and_told(locked: Path) -> None:
    done = unlock(locked)
    assert done.returncode == 0 and not is_locked(locked)
    assert done.stderr == "the run before was broken off: its lock is removed\n"
    assert unlock(locked).stderr == ""


def test_a_run_that_is_at_work_keeps_its_lock_and_is_alone(locked: Path, at_work) -> None:
    pid = at_work("snakemake")
    done = unlock(locked)
    assert done.returncode == 1 and is_locked(locked)
    assert (
        done.stderr == f"error: this study is at work already (process {pid}): wait, or stop it\n"
    )
    done = unlock(locked, PARAMS="presets/smoke.yaml")  # Snakemake locks each file by itself
    assert done.returncode == 0 and is_locked(locked)


def test_a_job_that_outlived_its_run_has_no_second_writer(locked: Path, at_work) -> None:
    pid = at_work("stages.pretrain")
    done = unlock(locked)
    assert done.returncode == 1 and is_locked(locked)
    assert f"still at work (stages.pretrain, process {pid})" in done.stderr
    assert len(done.stderr.splitlines()) == 1


def test_another_machines_lock_stays(locked: Path) -> None:
    (locked / ".snakemake/host").write_text("elsewhere")
    done = unlock(locked)
    assert done.returncode == 1 and is_locked(locked)
    assert "a run on the machine elsewhere has locked this folder" in done.stderr
