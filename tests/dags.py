"""The study's jobs as each runner sees them: command, inputs, outputs and parameters."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
from collections.abc import Iterable
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import yaml

ROOT = Path(__file__).resolve().parent.parent
# No part of what a job is: how many cores it has, and where its settings were read.
OPTIONS = re.compile(r" --(threads|params) \S+")


@dataclass(frozen=True)
class Job:
    """One job; paths are relative to the study's folder."""

    command: str
    inputs: frozenset[str]
    outputs: frozenset[str]
    params: tuple[tuple[str, str], ...]  # key, value as YAML

    @property
    def stage(self) -> str:
        return self.command.split()[2].removeprefix("stages.")

    def option(self, name: str) -> str | None:
        """The value of an option of the command."""
        words = self.command.split()
        return words[words.index(f"--{name}") + 1] if f"--{name}" in words else None

    @property
    def code(self) -> set[str]:
        """The inputs that are files of the project."""
        return {path for path in self.inputs if (ROOT / path).is_file()}


def _params(found: dict) -> tuple[tuple[str, str], ...]:
    return tuple(sorted((key, yaml.safe_dump(value)) for key, value in found.items()))


@contextmanager
def params_file(name: str):
    """PARAMS as a person would set it; params.yaml is what is read without."""
    before = os.environ.pop("PARAMS", None)
    if name != "params.yaml":
        os.environ["PARAMS"] = name
    try:
        yield
    finally:
        os.environ.pop("PARAMS", None)
        if before is not None:
            os.environ["PARAMS"] = before


def snakemake_jobs(folder: Path, params: str = "params.yaml") -> set[Job]:
    """The jobs of the Snakefile, targets without a command left out."""
    from snakemake.api import SnakemakeApi
    from snakemake.settings.types import DAGSettings, OutputSettings, Quietness, ResourceSettings

    with params_file(params), SnakemakeApi(OutputSettings(quiet={Quietness.ALL})) as api:
        workflow_api = api.workflow(
            resource_settings=ResourceSettings(cores=1),
            snakefile=folder / "Snakefile",
            workdir=folder,
        )
        workflow_api.dag(DAGSettings(forceall=True))
        workflow = workflow_api._workflow
        workflow._prepare_dag(forceall=True, ignore_incomplete=True, lock_warn_only=True)
        workflow._build_dag()
        jobs = [job for job in workflow.dag.jobs if job.rule.shellcmd]
        return {
            Job(
                command=OPTIONS.sub("", job.shellcmd.split(" 2>&1 ")[0]),
                inputs=frozenset(str(path) for path in job.input),
                outputs=frozenset(str(path) for path in job.output),
                params=_params(dict(job.params).get("settings", {})),
            )
            for job in jobs
        }


def dvc_jobs(folder: Path, pipeline: str | Path = "dvc.yaml") -> set[Job]:
    """The jobs of a dvc.yaml.

    A folder that no stage writes stands for what is written into it.
    """
    from dvc.dependency import ParamsDependency
    from dvc.repo import Repo

    stages = Repo(str(folder)).stage.load_all(str((folder / pipeline).resolve()))
    written = {out.def_path for stage in stages for out in stage.outs}
    inside: dict[str, set[str]] = {}
    for out in written:
        for parent in Path(out).parents:
            inside.setdefault(str(parent), set()).add(out)

    jobs = set()
    for stage in stages:
        inputs: set[str] = set()
        params: dict = {}
        for dependency in stage.deps:
            if isinstance(dependency, ParamsDependency):
                params |= {key: dependency.read_params()[key] for key in dependency.params}
            else:
                path = dependency.def_path
                inputs |= {path} if path in written else inside.get(path, {path})
        command = OPTIONS.sub("", " ".join(stage.cmd.split()))
        outputs = frozenset(out.def_path for out in stage.outs)
        jobs.add(Job(command, frozenset(inputs), outputs, _params(params)))
    return jobs


def dvc_project(folder: Path) -> Path:
    """Params files and an empty DVC repository in a folder, to look at a dvc.yaml there."""
    subprocess.run(["git", "init", "--quiet"], cwd=folder, check=True)
    shutil.copytree(ROOT / ".dvc", folder / ".dvc", ignore=shutil.ignore_patterns("cache", "tmp"))
    shutil.copy(ROOT / "params.yaml", folder)
    shutil.copytree(ROOT / "presets", folder / "presets")
    return folder


def listed(jobs: Iterable[Job]) -> str:
    """Jobs by their commands, for tests/declared/sitecustomize.py."""
    return json.dumps(
        {
            job.command: {
                "inputs": sorted(job.inputs),
                "outputs": sorted(job.outputs),
                "params": job.params,
            }
            for job in jobs
        }
    )
