"""How fast this machine is: by the jobs that ran here, or else measured.

A study's folder of benchmarks has, beside the times that Snakemake writes, a file that says which
work each job was and on which machine (:data:`FILE`). Files of another machine count for nothing.
"""

from __future__ import annotations

import csv
import json
import os
import platform
import time
from bisect import bisect_left
from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import cache
from itertools import accumulate
from pathlib import Path
from statistics import median
from typing import Any, NamedTuple

from study import graph
from study.files import write_json
from study.work import Work

FILE = "pace.json"
TENSORFLOW = "study/tensorflow.py"
PLAIN = "python"
"""The start of a job that does not start TensorFlow."""

LIKE = {"end_to_end": "pretrain", "embed": "pretrain"}
"""Stages whose multiply-adds take what those of another take: that one is measured."""


@cache
def machine() -> str:
    """What tells this machine from one of another speed."""
    facts = dict.fromkeys(("model name", "cpu family", "model", "stepping", "cache size"), "")
    info = Path("/proc/cpuinfo")
    for line in info.read_text().splitlines() if info.exists() else ():
        key, _, value = line.partition(":")
        if key.strip() in facts:
            facts[key.strip()] = value.strip()
    gpus = sorted(path.name for path in Path("/proc/driver/nvidia/gpus").glob("*"))
    said = [platform.machine(), platform.processor(), *facts.values(), f"{os.cpu_count()} cores"]
    return ", ".join([word for word in said if word] + [f"GPU {name}" for name in gpus])


class Ran(NamedTuple):
    """A job that ran here: what it did, on how many threads, and how long it took."""

    work: Work
    threads: int
    seconds: float


class Pace(NamedTuple):
    """Seconds of one core a unit of work.

    Attributes:
        seconds: the pace.
        alike: how much of the kind is the same, up to the length of the kind.
        jobs: how many jobs it is the median of; 0: it was measured.
    """

    seconds: float
    alike: int
    jobs: int


@dataclass
class Folder:
    """What a study's folder of benchmarks says of this machine.

    Attributes:
        path: the folder.
        planned: by the name of its benchmark file, when a job was started and what it is.
        ran: the same of jobs that ended, with their seconds.
        measured: by kind, seconds before its first unit (``first``) and of one more (``each``);
            by :data:`PLAIN` and :data:`TENSORFLOW`, how long their start takes.
    """

    path: Path
    planned: dict[str, list[Any]] = field(default_factory=dict)
    ran: dict[str, list[Any]] = field(default_factory=dict)
    measured: dict[str, dict[str, float]] = field(default_factory=dict)

    @classmethod
    def read(cls, path: Path) -> Folder:
        """A folder's records; none where its file is absent, damaged or of another machine."""
        folder = cls(path)
        try:
            content = json.loads((path / FILE).read_text(encoding="utf-8"))
            if content.pop("machine") == machine():
                folder = cls(path, **content)
        except (OSError, ValueError, TypeError, KeyError, AttributeError):
            return folder
        for name in list(folder.planned):
            since, *what = folder.planned[name]
            seconds = _seconds(path / name, since)
            if seconds is not None:
                folder.ran[name] = [*what, seconds]
                del folder.planned[name]
        return folder

    def plan(self, jobs: Iterable[tuple[str, Work, int]]) -> None:
        """Say what the jobs that start now are: name of the benchmark file, work and threads."""
        now = time.time()
        for name, work, threads in jobs:
            if name:
                self.planned[name] = [now, list(work.kind), work.amount, threads]

    def write(self) -> None:
        content = {"planned": self.planned, "ran": self.ran, "measured": self.measured}
        write_json(self.path / FILE, {"machine": machine(), **content})


def _seconds(path: Path, since: float) -> float | None:
    """The time in a benchmark file that was written since; None where there is none."""
    try:
        if path.stat().st_mtime < since:
            return None
        with path.open(encoding="utf-8") as file:
            seconds = [float(row["s"]) for row in csv.DictReader(file, delimiter="\t")]
    except (OSError, ValueError, TypeError, KeyError):
        return None
    return median(seconds) if seconds and min(seconds) > 0 else None


@cache
def starts_tensorflow(stage: str) -> bool:
    """Whether a stage starts TensorFlow, by what it imports."""
    code = [file for file in graph.code(stage) if file.endswith(".py")]
    return any(TENSORFLOW in graph.imports(file) for file in code)


class Paces:
    """The machine's pace, from the folders of benchmarks of one or more studies."""

    def __init__(self, folders: Iterable[Folder]) -> None:
        self.ran: list[Ran] = []
        self.starts: dict[str, list[float]] = {}
        self.measured: dict[tuple[str, ...], list[dict[str, float]]] = {}
        for folder in folders:
            for kind, amount, threads, seconds in folder.ran.values():
                self.ran.append(Ran(Work(tuple(kind), amount), threads, seconds))
            for name, found in folder.measured.items():
                if name in (PLAIN, TENSORFLOW):
                    self.starts.setdefault(name, []).append(found["each"])
                else:
                    self.measured.setdefault(tuple(json.loads(name)), []).append(found)

    def start(self, stage: str) -> float | None:
        """Seconds before a job of a stage does its first work; None where nothing is known.

        No job of the stage took less. With nothing measured it is what the shortest job took of
        those that start the same.
        """
        own = [ran.seconds for ran in self.ran if ran.work.stage == stage]
        heavy = starts_tensorflow(stage)
        started = self.starts.get(TENSORFLOW if heavy else PLAIN)
        if started is None:
            alike = {ran.work.stage for ran in self.ran}
            alike = {name for name in alike if starts_tensorflow(name) == heavy}
            own = [ran.seconds for ran in self.ran if ran.work.stage in alike]
            return min(own, default=None)
        first = [
            found["first"]
            for kind, all_ in self.measured.items()
            for found in all_
            if kind[0] == stage
        ]
        return min([median(started) + (median(first) if first else 0.0), *own])

    def pace(self, work: Work) -> Pace | None:
        """Seconds a unit, of what is most alike: jobs that ran first, then what was measured.

        A job says something of the pace where it took twice as long as a start, or else of
        no more than twice its work; and the more the more it had to do.
        """
        kind = work.kind
        start = self.start(kind[0]) or 0.0
        # What a dataset is made of differs, and so does its unit: none goes by another.
        for alike in range(len(kind), int(kind[0] == "dataset"), -1):
            found = [
                (max(ran.seconds - start, 0.0) * ran.threads / ran.work.amount, ran.work.amount)
                for ran in self.ran
                if ran.work.kind[:alike] == kind[:alike]
                and ran.work.amount > 0
                and (ran.seconds > 2 * start or work.amount <= 2 * ran.work.amount)
            ]
            if found:
                return Pace(_middle(found), alike, len(found))
            stage = LIKE.get(kind[0], kind[0])
            measured = [
                known["each"]
                for other, all_ in self.measured.items()
                for known in all_
                if other[:alike] == (stage, *kind[1:alike])
            ]
            if measured:
                return Pace(median(measured), alike, 0)
        return None

    def seconds(self, work: Work, threads: int) -> float | None:
        """How long a job takes; None where nothing is known of it."""
        start = self.start(work.stage)
        if not work.amount:
            alike = [ran.seconds for ran in self.ran if ran.work.stage == work.stage]
            return median(alike) if alike else start
        pace = self.pace(work)
        if start is None or pace is None:
            return None
        return start + pace.seconds * work.amount / threads

    def knows(self, work: Work) -> bool:
        """Whether a job of the same kind ran here or was measured."""
        if self.start(work.stage) is None:
            return False
        if not work.amount:
            return True
        pace = self.pace(work)
        return pace is not None and pace.alike == len(work.kind)


def _middle(weighted: list[tuple[float, float]]) -> float:
    """The median of values with weights."""
    ordered = sorted(weighted)
    sums = list(accumulate(weight for _, weight in ordered))
    return ordered[bisect_left(sums, sums[-1] / 2)][0]


def folders(data: Path) -> list[Folder]:
    """The folder of benchmarks of a study, first, and those of the project's other studies."""
    own, root = data / "benchmarks", Path("data")
    others = [root / "benchmarks", *sorted(root.glob("*/benchmarks"))]
    others = [path for path in others if path.resolve() != own.resolve()]
    return [Folder.read(path) for path in (own, *others)]
