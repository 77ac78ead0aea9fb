"""What a run of Snakemake says, in a terminal of its own."""

from __future__ import annotations

import fcntl
import os
import pty
import signal
import struct
import subprocess
import sys
import termios
import time
from pathlib import Path

import pytest
from conftest import ROOT

from study.telling import reason

SNAKEFILE = """
import sys
from snakemake.logging import logger
sys.path.insert(0, "ROOT")
from study.telling import Running, Teller

TELLER = Teller(Path("index.html"), sys.stderr.isatty())
TELLER.follow(logger)

onstart:
    TELLER.start({
        workflow.dag.jobid(job): Running(job.rule.name, 2.0)
        for job in workflow.dag.needrun_jobs() if job.rule.name != "all"
    })
onsuccess:
    TELLER.end(good=True)
onerror:
    TELLER.end(good=False)

rule all:
    default_target: True
    input: "index.html"
rule first:
    output: "first.txt"
    log: "first.log"
    shell: "(COMMAND) > {log} 2>&1 && touch {output}"
rule site:
    input: "first.txt"
    output: "index.html"
    shell: "touch {output}"
"""


def run(folder: Path, command: str, terminal: bool = True, *, interrupt: str = "") -> list[str]:
    """The lines that a run leaves on the screen, as what a job does a command.

    In a terminal; Ctrl-C comes when the screen shows what ``interrupt`` says.
    """
    text = SNAKEFILE.replace("ROOT", str(ROOT)).replace("COMMAND", command)
    (folder / "Snakefile").write_text(text)
    words = [sys.executable, "-m", "snakemake", "--cores", "1"]
    if not terminal:
        done = subprocess.run(words, cwd=folder, capture_output=True, text=True, check=False)
        return done.stderr.splitlines()
    pid, screen = pty.fork()
    if pid == 0:
        os.chdir(folder)
        os.execv(sys.executable, words)
    fcntl.ioctl(screen, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 80, 0, 0))
    seen = b""
    try:
        while piece := os.read(screen, 4096):
            seen += piece
            if interrupt and interrupt.encode() in seen:
                time.sleep(0.5)
                os.write(screen, b"\x03")
                interrupt = ""
    except OSError:  # the other side of the terminal is closed
        pass
    finally:
        os.close(screen)
        try:
            os.kill(pid, signal.SIGKILL)
        except ProcessLookupError:
            pass
        os.waitpid(pid, 0)
    # What a bar has written over is no more to be seen.
    lines = seen.decode().replace("\r\n", "\n").removesuffix("\n").split("\n")
    return [line.rpartition("\r")[2] for line in lines]


def test_a_good_run_is_a_bar_and_where_the_results_are(tmp_path: Path) -> None:
    said = run(tmp_path, "echo noise")
    assert said[-1].strip() == "2 of 2 jobs done; results: index.html"
    assert len([line for line in said if line.strip()]) == 1, said
    assert [line for line in run(tmp_path, "echo noise") if line.strip()] == [
        "nothing to do; results: index.html"
    ]


def test_a_failure_is_the_stage_the_reason_and_what_shows_more(tmp_path: Path) -> None:
    said = run(tmp_path, "echo working; echo error: no such bird; false")
    text = "\n".join(line.strip() for line in said if line.strip())
    assert text.startswith(
        "failed: first\nerror: no such bird\nall that it said: cat first.log\nby itself: "
    ), text
    assert said[-1].startswith("stopped: 0 of 2 jobs done, 1 failed; when that is mended")
    assert "WorkflowError" not in text and "Traceback" not in text


def test_ctrl_c_is_no_failure(tmp_path: Path) -> None:
    said = run(tmp_path, "sleep 60", interrupt="(first)")
    assert said[-1].strip() == "interrupted: 0 of 2 jobs done; the same command goes on from there"
    assert not any("failed" in line for line in said)


def test_elsewhere_snakemakes_own_lines_stay(tmp_path: Path) -> None:
    text = "\n".join(run(tmp_path, "echo error: no such bird; false", terminal=False))
    assert "rule first:" in text and "Error in rule first" in text
    assert text.index("failed: first\n  error: no such bird") > text.index("Error in rule first")


@pytest.mark.parametrize(
    ("log", "told"),
    [
        ("step 1\nerror: a is wrong\n", "error: a is wrong"),
        ("Traceback\n  x\nnumpy.linalg.LinAlgError: Singular\n", "numpy.linalg.LinAlgError: Si"),
        ("step 1\nstep 2\n", "it was killed, or ended without a reason: the last it said is step"),
        ("", "it was killed, or ended without a reason and said nothing"),
    ],
)
def test_the_reason_is_the_last_word_of_the_log(tmp_path: Path, log: str, told: str) -> None:
    (tmp_path / "log").write_text(log)
    assert reason(tmp_path / "log").startswith(told)
    assert reason(tmp_path / "none").endswith("said nothing")
