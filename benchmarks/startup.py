"""What share of a study's CPU time its jobs' start-up takes: python -m benchmarks.startup

Runs the study of a params file under Snakemake, from nothing, in folders of its own (data/startup
and results/startup, made anew). In every Python process of every job, benchmarks/timed counts the
CPU seconds of the interpreter's start, of imports whenever they come, of reading the params file
and of starting TensorFlow. What the system counts for all processes, less Snakemake's own and less
what the jobs' Python processes count, is their ending and the shells around them; it is counted as
start-up, too.

With --study FILE the jobs of another study, finished before, are taken with these means of a job:
its benchmark files say the CPU time, which Snakemake samples every 1 to 30 seconds, so that the
share is rather too high. Writes benchmarks/startup.md, where what is written by hand stays.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import shutil
import subprocess
import sys
import tempfile
from collections import defaultdict
from pathlib import Path

import pandas as pd
import yaml

from benchmarks.ranking import machine, read_page, table, write_page
from study import cli
from study.errors import InputError
from study.loading import load_params

PAGE = Path(__file__).with_suffix(".md")
TIMED = Path(__file__).parent / "timed"
FOLDERS = {"data": "data/startup", "results": "results/startup"}


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--params", type=Path, default=Path("presets/smoke.yaml"))
    parser.add_argument("--cores", type=int, default=1, help="default: 1")
    parser.add_argument("--study", type=Path, nargs="*", default=[], metavar="FILE")
    args = parser.parse_args()
    by_hand, where = read_page(PAGE, "What share of a study its start-up takes"), machine()
    of_others = {file: benchmarks(file) for file in args.study}  # before a run of minutes
    jobs, workers, snakemake, rest = run(args.params, args.cores)

    means = jobs.groupby("stage", sort=False)[["start", "total"]].mean()
    rows = [
        [
            stage,
            str(len(found)),
            f"{found['total'].sum():.1f}",
            f"{found['start'].sum():.1f}",
            f"{means.start[stage]:.2f}",
        ]
        for stage, found in jobs.groupby("stage", sort=False)
    ]
    count, total = len(jobs), jobs["total"].sum() + rest
    start = jobs["start"].sum() + workers + rest
    rows += [
        ["processes of these jobs", "", "", f"{workers:.1f}", f"{workers / count:.2f}"],
        ["ends of processes, shells", "", f"{rest:.1f}", f"{rest:.1f}", f"{rest / count:.2f}"],
        ["**all**", str(count), f"{total:.1f}", f"{start:.1f}", f"{start / count:.2f}"],
    ]
    header = ["stage", "jobs", "CPU s", "start-up, s", "of a job, s"]
    lines = [f"`{' '.join(['python -m benchmarks.startup', *sys.argv[1:]])}`", ""]
    lines += table(header, rows)
    lines += [
        "",
        f"Start-up takes {start / total:.1%} of the jobs' CPU time. Snakemake itself takes "
        f"{snakemake:.1f} s more.",
    ]
    for file, found in of_others.items():
        known = found[found["stage"].isin(means.index)]
        start = means.start.loc[known["stage"]].sum() + len(found) * (rest + workers) / count
        lines += [
            "",
            f"{file}: {len(found)} jobs, {found['cpu_time'].sum():,.0f} CPU s; start-up as above "
            f"{start:,.0f} s, {start / found['cpu_time'].sum():.1%}.",
        ]
    write_page(PAGE, by_hand, "\n".join([*lines, "", where]))
    print("\n".join(lines))


def run(params: Path, cores: int) -> tuple[pd.DataFrame, float, float, float]:
    """Run a study from nothing.

    Returns:
        Stage, CPU seconds before the work and in all, a row a job; the CPU seconds before the work
        of the processes that jobs start; those of Snakemake itself; those that no Python process
        has counted.
    """
    for folder in FOLDERS.values():
        shutil.rmtree(folder, ignore_errors=True)
    with tempfile.TemporaryDirectory(dir=".") as folder:
        file, counted = Path(folder) / "startup.yaml", Path(folder) / "counted"
        counted.mkdir()
        base = os.path.relpath(params, folder)
        file.write_text(yaml.safe_dump({"base": base, "paths": FOLDERS}))
        load_params(file)
        env = {"PARAMS": str(file), "PYTHONPATH": str(TIMED), "TIMED": str(counted.resolve())}
        command = ["snakemake", "--cores", str(cores), "--quiet", "all"]
        before = _of_children()
        subprocess.run(command, env={**os.environ, **env}, check=True)
        spent = _of_children() - before
        records = [json.loads(path.read_text()) for path in counted.glob("*.json")]
    jobs: dict[str, list] = defaultdict(list)
    snakemake = workers = 0.0
    for record in sorted(records, key=lambda record: record["words"]):
        words = record["words"]
        if words[1:2] == ["-m"] and words[2].startswith("stages."):
            jobs["stage"].append(words[2].partition(".")[2])
            jobs["start"].append(record["start"])
            jobs["total"].append(record["total"])
        elif Path(words[1]).name == "snakemake":
            snakemake += record["process"]
        else:
            workers += record["start"]  # their work is in their job's total
    if not jobs:
        raise InputError(f"{params}: no job was run")
    found = pd.DataFrame(jobs)
    rest = spent - snakemake - found["total"].sum()
    return found, workers, snakemake, rest


def _of_children() -> float:
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


def benchmarks(params: Path) -> pd.DataFrame:
    """Stage and ``cpu_time`` of the jobs of a finished study, as Snakemake has counted them."""
    folder = load_params(params).layout.data / "benchmarks"
    files = sorted(folder.rglob("*.tsv"))
    if not files:
        raise InputError(f"{folder} has no benchmark files: run {params} under Snakemake first")
    tables = [
        pd.read_csv(file, sep="\t").assign(stage=file.relative_to(folder).parts[0])
        for file in files
    ]
    found = pd.concat(tables, ignore_index=True)
    found["stage"] = found["stage"].str.removesuffix(".tsv")
    return found[["stage", "cpu_time"]].fillna(0.0)


if __name__ == "__main__":
    cli.run(main)
