"""Let a study go on that was broken off: make study does it first.

Snakemake locks a study's files while it runs. After a kill, a power cut or a lost session the lock
is left behind, and no run starts. Removes a lock that no living process here holds. Refuses where
the same study is at work already, or where a job of a run that was killed still writes.
"""

from __future__ import annotations

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


def at_work(folder: Path) -> Iterator[tuple[psutil.Process, list[str], str]]:
    """The user's other processes in a folder: process, command line and params file."""
    own = {os.getpid(), *(parent.pid for parent in psutil.Process().parents())}
    for process in psutil.process_iter():
        try:
            if process.pid not in own and Path(process.cwd()).resolve() == folder:
                yield process, process.cmdline(), process.environ().get("PARAMS", "params.yaml")
        except (psutil.Error, OSError):
            continue  # another user's, or ended meanwhile


def main() -> None:
    here, host, params = Path.cwd().resolve(), socket.gethostname(), os.environ.get("PARAMS")
    runs, jobs = [], []
    for process, words, of in at_work(here):
        if any(Path(word).name == "snakemake" for word in words[:3]):
            runs.append((process.pid, of))
        elif any(word.startswith("stages.") for word in words[:3]):
            jobs.append((process.pid, next(word for word in words if word.startswith("stages."))))
    for pid, of in runs:
        if of == (params or "params.yaml"):
            raise InputError(f"this study is at work already (process {pid}): wait, or stop it")
    locked = any((FOLDER / "locks").glob("*"))
    if locked and not runs:
        before = HOST.read_text(encoding="utf-8").strip() if HOST.exists() else host
        if before != host:
            raise InputError(
                f"a run on the machine {before} has locked this folder: if it is over, "
                "snakemake --unlock"
            )
        for pid, stage in jobs:
            raise InputError(
                f"a job of a run that was killed is still at work ({stage}, process {pid}): wait "
                f"until it ends, or stop it (kill {pid})"
            )
        shutil.rmtree(FOLDER / "locks")
        print("the run before was broken off: its lock is removed", file=sys.stderr)
    if not runs:
        write_text(HOST, host)


if __name__ == "__main__":
    cli.run(main)
