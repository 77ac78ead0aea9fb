"""The study on a real Slurm of one node, started for the test."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path

import pytest
import yaml
from tiny_study import Study, ran

os.environ["PATH"] += ":/usr/sbin"  # where daemons are, which not everyone looks for
CONF = Path("/etc/slurm/slurm.conf")  # inside a job no variable can name another
OURS = "ClusterName=shuffle-to-learn-test"
NEEDED = ("munged", "slurmctld", "slurmd", "sbatch", "squeue", "scancel", "sinfo")
SETTINGS = f"""{OURS}
SlurmctldHost=localhost(127.0.0.1)
SlurmUser=root
SlurmdUser=root
AuthType=auth/munge
StateSaveLocation=@DIR@/state
SlurmdSpoolDir=@DIR@/spool
SlurmctldPidFile=@DIR@/slurmctld.pid
SlurmdPidFile=@DIR@/slurmd.pid
SlurmctldLogFile=@DIR@/slurmctld.log
SlurmdLogFile=@DIR@/slurmd.log
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core
JobAcctGatherType=jobacct_gather/none
AccountingStorageType=accounting_storage/none
MpiDefault=none
ReturnToService=2
NodeName=localhost NodeAddr=127.0.0.1 NodeHostname=@HOST@ CPUs=2 RealMemory=@MIB@ State=UNKNOWN
PartitionName=all Nodes=ALL Default=YES MaxTime=INFINITE State=UP
"""


def missing() -> str:
    """What this machine lacks, in a word."""
    if lacks := [name for name in NEEDED if not shutil.which(name)]:
        return f"needs Slurm and MUNGE: no {lacks[0]}"
    if find_spec("snakemake_executor_plugin_slurm") is None:
        return "needs Snakemake's plugin: make slurm"
    if os.geteuid():
        return "needs root, to start a Slurm"
    if CONF.exists() and OURS not in CONF.read_text():
        return f"this machine has a Slurm of its own: {CONF}"
    return ""


pytestmark = [pytest.mark.long, pytest.mark.skipif(bool(missing()), reason=missing())]


def wait_for(what: str, found, seconds: float = 60.0, step: float = 0.3):
    """What the function finds, once it finds anything."""
    end = time.monotonic() + seconds
    while not (value := found()):
        assert time.monotonic() < end, f"no {what} within {seconds:g} s"
        time.sleep(step)
    return value


def say(*command: str) -> str:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    return done.stdout if done.returncode == 0 else ""


@pytest.fixture(scope="module")
def slurm(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    folder = tmp_path_factory.mktemp("slurm")
    for name in ("state", "spool"):
        (folder / name).mkdir()
    started = []
    try:
        CONF.parent.mkdir(exist_ok=True)
        mib = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") // 2**20
        text = SETTINGS
        for name, value in {
            "DIR": folder,
            "HOST": socket.gethostname(),
            "MIB": mib * 9 // 10,
        }.items():
            text = text.replace(f"@{name}@", str(value))
        CONF.write_text(text)
        if not say("pgrep", "-x", "munged"):
            run = Path("/run/munge")
            run.mkdir(exist_ok=True)
            shutil.chown(run, "munge")
            as_munge = ["setpriv", "--reuid=munge", "--regid=munge", "--clear-groups"]
            munged = subprocess.Popen([*as_munge, "munged", "-F"], stderr=subprocess.DEVNULL)
            started.append(munged)
            wait_for("munge", lambda: say("munge", "-n"))
        started.append(subprocess.Popen(["slurmctld", "-D"], stderr=subprocess.DEVNULL))
        started.append(subprocess.Popen(["slurmd", "-D"], stderr=subprocess.DEVNULL))
        wait_for("idle node", lambda: "idle" in say("sinfo", "-h", "-o", "%t"))
        yield
    finally:
        say("scancel", "--user=root")
        for process in reversed(started):
            process.terminate()
            process.wait(30)
        CONF.unlink(missing_ok=True)


def test_a_study_on_slurm_with_a_job_killed_and_retried(slurm: None, tmp_path: Path) -> None:
    study = Study(tmp_path, "smoke")
    planned = ran(study.call("snakemake", "-n", "audio"))
    profile = tmp_path / "profiles/slurm/config.yaml"
    settings = yaml.safe_load(profile.read_text())
    # This machine's size and haste; no accounting.
    settings["set-threads"] = dict.fromkeys(settings["set-threads"], 2)
    settings["slurm-no-account"] = True
    settings["slurm-status-command"] = "squeue"
    settings["slurm-init-seconds-before-status-checks"] = 2
    settings["latency-wait"] = 10
    profile.write_text(yaml.safe_dump(settings))
    log = tmp_path / "said.txt"
    with log.open("w") as said:
        running = subprocess.Popen(
            [sys.executable, "-m", "snakemake", "audio", "--profile", "profiles/slurm"],
            cwd=tmp_path,
            stdout=said,
            stderr=subprocess.STDOUT,
        )
    try:

        def training() -> str | None:
            assert running.poll() is None, log.read_text()
            jobs = say("squeue", "-h", "-t", "RUNNING", "-o", "%i %k")
            return next((line.split()[0] for line in jobs.splitlines() if "pretrain" in line), None)

        killed = wait_for("running pretraining", training, 300)
        time.sleep(3)
        say("scancel", killed)
        assert running.wait(1500) == 0, log.read_text()
    finally:
        running.kill()
    text = log.read_text()
    assert f"SLURM-job '{killed}' failed, SLURM status is: 'CANCELLED'" in text
    assert "Trying to restart job" in text
    assert ran(text) == planned
    assert "Nothing to be done" in study.call("snakemake", "--cores", "2", "audio")
    assert not list((tmp_path / "data").rglob("*.tmp*"))
