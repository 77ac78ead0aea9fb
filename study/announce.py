"""What is said when a run starts: how many jobs, how long, and how much disk."""

from __future__ import annotations

import os
import sys
from collections import defaultdict
from collections.abc import Iterable
from pathlib import Path

from study import measuring
from study.pace import Paces, folders
from study.params import Params
from study.work import Job, disk, modality_of, work
from study.work import jobs as all_jobs

FEW = 2
"""A run with no more jobs of kinds that are not known is not held up to measure them."""


def duration(params: Params, jobs: Iterable[Job], cores: int, paces: Paces) -> tuple[float, float]:
    """Seconds on so many cores, and the core seconds, of the jobs whose time is known.

    A job occupies all its threads from its start to its end. No run is shorter than the longest
    jobs of the stages of one modality and the results, one after the other.
    """
    total = 0.0
    longest: dict[str | None, dict[str, float]] = defaultdict(dict)
    for job in jobs:
        threads = min(job.threads, cores)
        seconds = paces.seconds(work(params, job), threads) or 0.0
        total += threads * seconds
        stages = longest[modality_of(params, job)]
        stages[job.rule] = max(stages.get(job.rule, 0.0), seconds)
    results = sum(longest.pop(None, {}).values())
    chains = [sum(stages.values()) for stages in longest.values()]
    return max(total / cores, max(chains, default=0.0) + results), total


def announcement(params: Params, jobs: Iterable[Job], cores: int | None, paces: Paces) -> str:
    """How many jobs there are, roughly how long they take on so many cores, and how much disk.

    Args:
        params: the study.
        jobs: those to run, without targets.
        cores: None on a cluster.
        paces: of this machine.
    """
    jobs = list(jobs)
    number = f"{len(jobs)} job{'s' * (len(jobs) != 1)} to run"
    strange = [job for job in jobs if paces.seconds(work(params, job), 1) is None]
    if len(strange) == len(jobs):
        long = "how long is not known here: make estimate measures it"
    else:
        on_cores, in_all = duration(params, jobs, cores or 1, paces)
        minutes = (in_all if cores is None else on_cores) / 60
        long = f"roughly {minutes:.0f} min" if minutes >= 1 else "roughly a minute"
        if cores is None:
            long += " of one core's work here"
        else:
            long += f" on {cores} core{'s' * (cores != 1)}"
        if strange:
            names = ", ".join(dict.fromkeys(job.rule for job in strange))
            long += f" and what is not known here ({names}): make estimate measures it"
    gib = sum(sum(disk(params, job).values()) for job in jobs) / 2**30
    size = f"; {gib:.1f} GiB of features, networks and embeddings" if gib >= 0.05 else ""
    return f"{number}, {long}{size}"


def summary(params: Params, file: str | Path) -> str:
    """What all of a study would take on this machine, in a line."""
    paces = Paces(folders(params.layout.data))
    said = announcement(params, all_jobs(params), os.cpu_count() or 1, paces)
    return f"{subject(params, file)}: {said}"


def subject(params: Params, file: str | Path) -> str:
    """What a study is of: its params file, and the data of each modality."""
    data = ", ".join(f"{name} on {study.dataset}" for name, study in params.studies.items())
    return f"{file}, {data}"


def announce(
    params: Params, jobs: Iterable[Job], cores: int | None, file: str | Path = "params.yaml"
) -> list[float]:
    """Say on stderr what is about to run, and keep what its jobs are, to learn from their times.

    Measures first where more than some jobs are of kinds of which nothing is known here.

    Args:
        params: the study.
        jobs: those to run; targets are no jobs.
        cores: None on a cluster, whose jobs say nothing of this machine.
        file: the params file.

    Returns:
        Roughly the core seconds of each job, 0 for a target and 1 where nothing is known.
    """
    every, targets = list(jobs), ("all", *params.studies)
    jobs = [job for job in every if job.rule not in targets]
    if not jobs:
        return [0.0] * len(every)
    known = folders(params.layout.data)
    paces = Paces(known)
    strange = [job for job in jobs if not paces.knows(work(params, job))]
    wanted = measuring.unknown(params, strange, paces)
    if wanted and len(strange) > FEW:
        print("measuring how fast this machine is, half a minute", file=sys.stderr)
        try:
            measuring.measure(params, wanted, known[0])
        except RuntimeError as error:
            print(f"measuring failed: {error}", file=sys.stderr)
        paces = Paces(known)
    print(f"{subject(params, file)}: {announcement(params, jobs, cores, paces)}", file=sys.stderr)
    if cores is not None:
        known[0].plan((job.record, work(params, job), min(job.threads, cores)) for job in jobs)
        known[0].write()

    def cost(job: Job) -> float:
        if job.rule in targets:
            return 0.0
        threads = min(job.threads, cores or 1)
        return threads * (paces.seconds(work(params, job), threads) or 1.0)

    return [cost(job) for job in every]
