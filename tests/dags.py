"""The study's jobs as each runner sees them: command, inputs, outputs and parameters."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import yaml


@dataclass(frozen=True)
class Job:
    """One job; paths are relative to the study's folder."""

    command: str
    inputs: frozenset[str]
    outputs: frozenset[str]
    params: tuple[tuple[str, str], ...]  # key, value as YAML


def _params(found: dict) -> tuple[tuple[str, str], ...]:
    return tuple(sorted((key, yaml.safe_dump(value)) for key, value in found.items()))


def snakemake_jobs(folder: Path) -> set[Job]:
    """The jobs of the Snakefile, targets without a command left out."""
    from snakemake.api import SnakemakeApi
    from snakemake.settings.types import DAGSettings, OutputSettings, Quietness, ResourceSettings

    with SnakemakeApi(OutputSettings(quiet={Quietness.ALL})) as api:
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
                command=job.shellcmd.split(" 2>&1 ")[0],
                inputs=frozenset(str(path) for path in job.input),
                outputs=frozenset(str(path) for path in job.output),
                params=_params(job.params.settings),
            )
            for job in jobs
        }


def dvc_jobs(folder: Path) -> set[Job]:
    """The jobs of dvc.yaml; a folder that no stage writes stands for what is written into it."""
    from dvc.dependency import ParamsDependency
    from dvc.repo import Repo

    stages = Repo(str(folder)).index.stages
    written = {out.def_path for stage in stages for out in stage.outs}

    def files(path: str) -> set[str]:
        return {path} if path in written else {o for o in written if Path(path) in Path(o).parents}

    jobs = set()
    for stage in stages:
        inputs: set[str] = set()
        params: dict = {}
        for dependency in stage.deps:
            if isinstance(dependency, ParamsDependency):
                params |= {key: dependency.read_params()[key] for key in dependency.params}
            else:
                inputs |= files(dependency.def_path) or {dependency.def_path}
        outputs = frozenset(out.def_path for out in stage.outs)
        jobs.add(Job(" ".join(stage.cmd.split()), frozenset(inputs), outputs, _params(params)))
    return jobs
