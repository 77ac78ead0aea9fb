"""Starting a study again after one that was killed."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from conftest import ROOT
from dags import dvc_jobs
from tiny_study import EVERYTHING, Study, ran

RUNNERS = ("snakemake", "dvc")
SLEEP = "import time\ntime.sleep(120)\n"


@pytest.fixture
def locked(tmp_path: Path) -> Path:
    """A folder that a run of Snakemake has locked."""
    (tmp_path / ".snakemake/locks").mkdir(parents=True)
    (tmp_path / ".snakemake/locks/0.input.lock").write_text("data/x\n")
    return tmp_path


def unlock(folder: Path, *words: str, **environment: str) -> subprocess.CompletedProcess[str]:
    kept = {key: value for key, value in os.environ.items() if key != "PARAMS"}
    return subprocess.run(
        [sys.executable, "-m", "tools.unlock", *words],
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
        path = path if name in RUNNERS else path.with_suffix(".py")
        path.parent.mkdir(exist_ok=True)
        path.write_text(SLEEP)
        command = [str(path)] if name in RUNNERS else ["-m", name]
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


def busy(folder: Path, pid: int = 1) -> Path:
    """DVC's list of who writes what, as a run leaves it that is killed; process 1 always lives."""
    path = folder / ".dvc/tmp/rwlock"
    path.parent.mkdir(parents=True, exist_ok=True)
    writes = {str(folder / "data/x"): {"pid": pid, "cmd": "dvc repro"}}
    path.write_text(json.dumps({"read": {}, "write": writes}))
    return path


@pytest.mark.parametrize("content", ["list", "half"])
def test_what_a_dead_run_of_dvc_holds_is_freed(tmp_path: Path, content: str) -> None:
    """Also where its number is another process's by now, and where the list is cut off."""
    path = busy(tmp_path)
    if content == "half":
        path.write_bytes(path.read_bytes()[:20])
    done = unlock(tmp_path, "dvc")
    assert done.returncode == 0 and not path.exists()
    assert done.stderr == "the run before was broken off: its locks are removed\n"
    assert unlock(tmp_path, "dvc").stderr == ""


def test_dvc_that_is_at_work_is_alone(tmp_path: Path, at_work) -> None:
    path = busy(tmp_path, at_work("dvc"))
    done = unlock(tmp_path, "dvc")
    assert done.returncode == 1 and path.exists()
    assert done.stderr.startswith("error: DVC is at work here already (process ")
    assert len(done.stderr.splitlines()) == 1


def test_a_job_that_outlived_dvc_has_no_second_writer(tmp_path: Path, at_work) -> None:
    pid = at_work("stages.pretrain")
    done = unlock(tmp_path, "dvc")
    assert done.returncode == 1
    assert f"still at work (stages.pretrain, process {pid})" in done.stderr


def test_a_job_of_snakemake_is_no_hindrance_to_dvc(tmp_path: Path) -> None:
    (tmp_path / "stages").mkdir()
    (tmp_path / "stages/pretrain.py").write_text(SLEEP)
    run = tmp_path / "snakemake"
    start = f"subprocess.run([{sys.executable!r}, '-m', 'stages.pretrain'])"
    run.write_text(f"import subprocess\n{start}\n")
    process = subprocess.Popen([sys.executable, str(run)], cwd=tmp_path, start_new_session=True)
    try:
        time.sleep(1)
        assert unlock(tmp_path, "dvc").stderr == ""
    finally:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def test_another_machines_run_of_dvc_stays(tmp_path: Path) -> None:
    path = busy(tmp_path)
    (tmp_path / ".dvc/tmp/host").write_text("elsewhere")
    done = unlock(tmp_path, "dvc")
    assert done.returncode == 1 and path.exists()
    assert "a run on the machine elsewhere has locked this folder" in done.stderr
    path.unlink()  # it ended
    assert unlock(tmp_path, "dvc").returncode == 0


WHOLE = """\
schema: '2.0'
stages:
  a:
    cmd: python -m a
    outs:
    - path: x
      md5: d41d8cd98f00b204e9800998ecf8427e
"""


@pytest.mark.parametrize(
    "cut", ["", "sche", "2.", "stages:", "  a:", "    cm", "    outs:", "- pa"]
)
def test_a_dvc_lock_that_is_cut_off_goes(tmp_path: Path, cut: str) -> None:
    """Empty: DVC itself empties it before it writes. What can be read DVC compares by itself."""
    paths = (tmp_path / "dvc.lock", tmp_path / "pipelines/smoke/dvc.lock")
    for path, content in zip(paths, (WHOLE, WHOLE[: WHOLE.index(cut) + len(cut)]), strict=True):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content)
    done = unlock(tmp_path, "dvc")
    assert done.returncode == 0
    assert [path.exists() for path in paths] == [True, False]
    assert done.stderr.startswith("pipelines/smoke/dvc.lock was written in part and is removed")


@pytest.mark.long
def test_dvc_goes_on_after_kills_at_any_moment_to_the_same_bytes(tmp_path: Path) -> None:
    """Whole sessions are killed; each start is that of make dvc, with nothing by hand between."""

    def made(study: Study) -> dict[str, bytes]:
        files = (path for name in ("data", "results") for path in (study.folder / name).rglob("*"))
        return {
            str(path.relative_to(study.folder)): path.read_bytes()
            for path in files
            if path.is_file()
        }

    # Both copies at once: what the jobs write are digests of the code, too.
    whole, study = (Study(tmp_path / name, declared=True) for name in ("whole", "killed"))
    assert whole.dvc() == EVERYTHING
    study._list(dvc_jobs(study.folder))
    environment = {k: v for k, v in os.environ.items() if k != "PARAMS"}
    environment |= {"PYTHONPATH": str(ROOT / "tests/declared"), "JOBS": str(study._jobs)}
    environment |= {"PYTHONUNBUFFERED": "1"}
    rng = random.Random(0)
    for kill in range(6):
        study.call(sys.executable, "-m", "tools.unlock", "dvc")
        process = subprocess.Popen(
            ["dvc", "repro"],
            cwd=study.folder,
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )
        assert process.stdout is not None
        started = 0
        for line in process.stdout:
            started += line.startswith("Running stage")
            if started > kill:
                break
        time.sleep(rng.uniform(0, 0.5))
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        process.stdout.close()
    study.call(sys.executable, "-m", "tools.unlock", "dvc")
    last = ran(study.call("dvc", "repro"))
    assert last < EVERYTHING  # what was whole is not made again
    assert made(study) == made(whole)
    assert study.dvc() == set()
