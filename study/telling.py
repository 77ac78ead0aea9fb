"""What a run of Snakemake says: a bar in a terminal, and how it ended, in a user's words.

Snakemake tells what happens by records of its logger. Its own long lines go to its log file, below
.snakemake/log, and to the screen where that is no terminal; what a job says goes to the job's log.
"""

from __future__ import annotations

import logging
import re
import sys
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

REASON = re.compile(r"(error: |interrupted|[A-Za-z_.]*(Error|Exception|Interrupt|Exit)\b)")
"""How the line of a log begins that says why a program ended."""


BEFORE = ("Building DAG", "Using shell", "Nothing to be done", "Assuming unrestricted")
"""How the lines begin that Snakemake says before a run."""


class Running(NamedTuple):
    """A job of a run.

    Attributes:
        name: its stage.
        seconds: roughly how long it takes, for the bar.
    """

    name: str
    seconds: float


def reason(log: Path) -> str:
    """Why a job failed, by the last lines of its log."""
    text = log.read_text(encoding="utf-8", errors="replace") if log.exists() else ""
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    if lines and REASON.match(lines[-1]):
        return lines[-1]
    last = f": the last it said is {lines[-1]}" if lines else " and said nothing"
    return f"it was killed, or ended without a reason{last}"


class Teller(logging.Handler):
    """Follows a run by the records of Snakemake's logger.

    Args:
        results: where the run's page is, to be named at its end.
        terminal: whether to draw a bar in place of Snakemake's lines.
    """

    def __init__(self, results: Path, terminal: bool) -> None:
        super().__init__()
        self.results = results
        self.terminal = terminal
        self.jobs: Mapping[int, Running] = {}
        self.now: dict[int, str] = {}
        self.begun = self.interrupted = False
        self.done = 0
        self.failed: list[str] = []
        self._bar: Any = None
        self._over = threading.Event()

    def follow(self, logger: logging.Logger) -> None:
        """Listen to a logger, and hide from its screen what this says in its place."""
        for handler in logger.handlers:
            if isinstance(handler, logging.StreamHandler) and handler.stream is sys.stderr:
                handler.addFilter(lambda record: not self.hides(record))
        logger.addHandler(self)

    def hides(self, record: logging.LogRecord) -> bool:
        """Whether a line of Snakemake's is left to its log file, as this says it or a bar does."""
        if not self.terminal:
            return False
        event = getattr(record, "event", None)
        if record.levelno >= logging.WARNING:
            if event == "error":  # of a job, or of the run as a job has failed
                return bool(self.failed) or getattr(record, "exception", "") == "RuleException"
            over = str(record.msg).startswith("Exiting because a job execution failed")
            return event == "job_error" or over
        # What is no event and no part of a run is what other commands say: --report, --unlock.
        return event is not None or self.begun or str(record.msg).startswith(BEFORE)

    def start(self, jobs: Mapping[int, Running]) -> None:
        """A run begins, of these jobs by their number."""
        self.jobs, self.begun = jobs, True
        if not self.terminal or not jobs:
            return
        from tqdm import tqdm

        self._bar = tqdm(
            total=sum(job.seconds for job in jobs.values()),
            bar_format="{percentage:3.0f}% |{bar:20}| {desc}, {elapsed}, {remaining} left",
            smoothing=0,
            desc=f"0 of {len(jobs)} jobs",
            leave=False,
            dynamic_ncols=True,
        )
        threading.Thread(target=self._tick, daemon=True).start()

    def _tick(self) -> None:
        """Let the clock go on while jobs take long."""
        while not self._over.wait(1):
            self.acquire()
            self._draw()
            self.release()

    def _draw(self) -> None:
        if self._bar is None:
            return
        names = ", ".join(dict.fromkeys(self.now.values()))
        failed = f", {len(self.failed)} failed" if self.failed else ""
        now = f" ({names})" if names else ""
        self._bar.set_description_str(f"{self.done} of {len(self.jobs)} jobs{failed}{now}")

    def emit(self, record: logging.LogRecord) -> None:
        """A record of Snakemake's logger."""
        said = vars(record)
        event = said.get("event")
        if event is None and str(record.msg).startswith("Nothing to be done"):
            self.say(f"nothing to do; {self.where()}")
        elif event is None and str(record.msg).startswith("Terminating processes on user request"):
            self.interrupted = True
        elif event == "job_info" and said["jobid"] in self.jobs:
            self.now[said["jobid"]] = said["rule_name"]
        elif event == "job_finished" and said["job_id"] in self.jobs:
            self.now.pop(said["job_id"], None)
            self.done += 1
            if self._bar is not None:
                self._bar.update(self.jobs[said["job_id"]].seconds)
        elif event == "job_error":
            self.now.pop(said["jobid"], None)
            self.failed.append(failure(said))
        else:
            return
        self._draw()

    def say(self, line: str) -> None:
        """A line of this run's, above the bar."""
        print(line, file=sys.stderr, flush=True)

    def where(self) -> str:
        """Where the results are, if there are any."""
        return f"results: {self.results}" if self.results.exists() else "no page of results yet"

    def end(self, good: bool) -> None:
        """The run is over."""
        self._over.set()
        if self._bar is not None:
            self._bar.close()
            self._bar = None
        done = f"{self.done} of {len(self.jobs)} jobs done"
        if good:
            self.say(f"{done}; {self.where()}")
        elif self.interrupted:
            self.say(f"interrupted: {done}; the same command goes on from there")
        else:
            for text in self.failed:
                self.say(text)
            count = f"{done}, {len(self.failed)} failed"
            self.say(f"stopped: {count}; when that is mended, the same command goes on from there")


def failure(said: Mapping[str, Any]) -> str:
    """What is told of a job that failed: its stage, the reason, and commands that show more.

    Args:
        said: what Snakemake's record of it holds.
    """
    command = " ".join(str(said["shellcmd"] or "").partition(" 2>&1 |")[0].split())
    lines = [f"failed: {said['rule_name']}"]
    for log in said["log"][:1]:
        lines += [f"  {reason(Path(log))}", f"  all that it said: cat {log}"]
    if command:
        lines.append(f"  by itself: {command}")
    return "\n".join(lines)
