"""Let a study go on that was broken off: make study and make dvc do it first.

Both runners lock a study's files while they run. After a kill, a power cut or a lost session a lock
is left behind, and no run starts. Removes a lock that no living process here holds. Refuses where
the same study is at work already, or where a job of a run that was killed still writes.
"""

from __future__ import annotations

import argparse
import os
import shutil
import socket
import sys
from collections.abc import Iterator
from pathlib import Path

import psutil

from study import cli
from study.errors import InputError
from study.files import write_text

FOLDER = Path(".snakemake")
HOST = FOLDER / "host"
"""Which machine started a study here last: another one's processes are not seen from here."""


FREE = b'{"read": {}, "write": {}}'
"""What DVC's list of who reads and writes what holds after a run that ended by itself."""


def at_work(folder: Path) -> Iterator[tuple[psutil.Process, list[str], str]]:
    """The user's other processes in a folder: process, command line and params file."""
    own = {os.getpid(), *(parent.pid for parent in psutil.Process().parents())}
    for process in psutil.process_iter():
        try:
            if process.pid not in own and Path(process.cwd()).resolve() == folder:
                yield process, process.cmdline(), process.environ().get("PARAMS", "params.yaml")
        except (psutil.Error, OSError):
            continue  # another user's, or ended meanwhile


def check_host(host: Path, unlock: str) -> None:
    """Refuse to take away the lock of a run that may live on another machine."""
    here = socket.gethostname()
    before = host.read_text(encoding="utf-8").strip() if host.exists() else here
    if before != here:
        raise InputError(
            f"a run on the machine {before} has locked this folder: if it is over, {unlock}"
        )


def check_jobs(jobs: list[tuple[int, str]]) -> None:
    """Refuse a second writer beside a job that outlived its run."""
    for pid, stage in jobs:
        raise InputError(
            f"a job of a run that was killed is still at work ({stage}, process {pid}): wait "
            f"until it ends, or stop it (kill {pid})"
        )


def snakemake(runs: list[tuple[int, str]], jobs: list[tuple[int, str]]) -> None:
    """Before Snakemake: refuse a second run of a study, and take the lock of a dead one away."""
    for pid, of in runs:
        if of == os.environ.get("PARAMS", "params.yaml"):
            raise InputError(f"this study is at work already (process {pid}): wait, or stop it")
    if runs:
        return
    if any((FOLDER / "locks").glob("*")):
        check_host(HOST, "snakemake --unlock")
        check_jobs(jobs)
        shutil.rmtree(FOLDER / "locks")
        print("the run before was broken off: its lock is removed", file=sys.stderr)
    write_text(HOST, socket.gethostname())


def dvc(runs: list[tuple[int, str]], jobs: list[tuple[int, str]]) -> None:
    """Before DVC, whose own lock ends with its process: what else a dead run leaves behind.

    These are jobs that live on, the list of who reads and writes what, whose processes DVC knows by
    numbers that others may have by now, and a dvc.lock of which a part is missing, without which
    DVC takes results from its cache.
    """
    for pid, _ in runs:
        raise InputError(f"DVC is at work here already (process {pid}): wait, or stop it")
    busy, host = Path(".dvc/tmp/rwlock"), Path(".dvc/tmp/host")
    check_jobs(jobs)
    if busy.exists() and busy.read_bytes() != FREE:
        check_host(host, f"remove {busy}")
        busy.unlink()
        print("the run before was broken off: its locks are removed", file=sys.stderr)
    for path in (Path("dvc.lock"), *Path("pipelines").glob("*/dvc.lock")):
        if path.exists() and not is_whole(path):
            path.unlink()
            print(f"{path} was written in part and is removed: DVC has a cache", file=sys.stderr)
    write_text(host, socket.gethostname())


def is_whole(lock: Path) -> bool:
    """Whether DVC can read a dvc.lock."""
    from dvc.schema import COMPILED_LOCKFILE_SCHEMA
    from dvc.utils.serialize import load_yaml

    try:
        COMPILED_LOCKFILE_SCHEMA(load_yaml(lock))
    except Exception:  # whatever its reader and its schema raise
        return False
    return True


RUNNERS = {"snakemake": snakemake, "dvc": dvc}


def main() -> None:
    options = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    options.add_argument("runner", nargs="?", choices=RUNNERS, default="snakemake")
    runner = options.parse_args().runner
    runs, jobs = [], []
    for process, words, of in at_work(Path.cwd().resolve()):
        if "daemon" in words:  # DVC looks for its own updates in one
            continue
        if any(Path(word).name == runner for word in words[:3]):
            runs.append((process.pid, of))
        elif (stage := stage_of(words)) and not is_below_a_run(process):
            jobs.append((process.pid, stage))
    RUNNERS[runner](runs, jobs)


def stage_of(words: list[str]) -> str:
    """The stage that a command line runs; empty where it runs none."""
    return next((word for word in words[:3] if word.startswith("stages.")), "")


def is_below_a_run(process: psutil.Process) -> bool:
    """Whether a runner that lives has started a process."""
    try:
        above = [Path(word).name for one in process.parents() for word in one.cmdline()[:3]]
    except psutil.Error:
        return False
    return any(name in RUNNERS for name in above)


if __name__ == "__main__":
    cli.run(main)
