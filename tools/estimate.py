"""Say how long a study takes here, and how much disk: make estimate PARAMS=my.yaml.

Goes by the jobs that ran here before, of this study or of another below data/. Kinds of work that
did not run here are measured, for some seconds each and with the params file's own settings; what
is measured is kept with the study's benchmarks. Data need not be there: inputs are made up, of the
right sizes.
"""

from __future__ import annotations

import os
import sys
from collections import Counter

from study import cli, measuring
from study.announce import duration
from study.errors import InputError
from study.loading import load_params
from study.pace import Paces, folders
from study.params import Params
from study.work import Job, disk, jobs, work

GIB = 2**30


def table(params: Params, paces: Paces, cores: int) -> list[str]:
    """A line a stage: jobs, hours of one core, and what the pace rests on."""
    every = list(jobs(params))
    lines = [f"{'stage':<14}{'jobs':>6}{'core hours':>12}   by"]
    for stage in dict.fromkeys(job.rule for job in every):
        its = [job for job in every if job.rule == stage]
        sources = Counter(source(paces, params, job) for job in its)
        by = ", ".join(sources)
        _, seconds = duration(params, its, cores, paces)
        lines.append(f"{stage:<14}{len(its):>6}{seconds / 3600:>12.2f}   {by}")
    on_cores, seconds = duration(params, every, cores, paces)
    lines.append(f"{'in all':<14}{len(every):>6}{seconds / 3600:>12.2f}   of one core")
    lines.append(f"{'':<20}{on_cores / 3600:>12.2f}   hours on {cores} cores")
    return lines


def source(paces: Paces, params: Params, job: Job) -> str:
    """What the pace of a job rests on."""
    what = work(params, job)
    if not what.amount:
        ran = sum(known.work.stage == what.stage for known in paces.ran)
        return "jobs that ran here" if ran else "the start of a job"
    pace = paces.pace(what)
    assert pace is not None
    by = "jobs that ran here" if pace.jobs else "measured"
    return by if pace.alike == len(what.kind) else f"{by}, of others of {what.kind[0]}"


def main(arguments: list[str] | None = None) -> None:
    options = cli.tool_parser(__doc__)
    args = options.parse_args(arguments)
    params = load_params(args.params)
    known = folders(params.layout.data)
    wanted = measuring.unknown(params, jobs(params), Paces(known))
    if wanted:
        print(f"measuring {len(wanted)} kinds of work, a minute or some", file=sys.stderr)
        try:
            measuring.measure(params, wanted, known[0], seconds=float("inf"))
        except RuntimeError as error:
            raise InputError(f"measuring failed: {error}") from error
    cores = os.cpu_count() or 1
    print(f"{args.params}, on {cores} cores")
    print("\n".join(table(params, Paces(known), cores)))
    sizes: Counter[str] = Counter()
    for job in jobs(params):
        sizes.update(disk(params, job))
    for what, size in sizes.items():
        print(f"{what:<32}{size / GIB:>8.1f} GiB")


if __name__ == "__main__":
    cli.run(main)
