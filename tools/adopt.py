"""Let one runner take over what the other has made: make adopt [PARAMS=...].

Snakemake and DVC each remember what they ran, not what the other did. This checks that one of them
finds every file on disk to be what the params file and the code ask for, and only then tells the
other so. It runs no stage; where neither runner finds the study complete, it changes nothing.
"""

from __future__ import annotations

import argparse
import subprocess
import sys

from stages.scores import remove_others
from study import cli
from study.errors import InputError
from study.loading import load_params
from tools import dvc_yaml


def main() -> None:
    argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    ).parse_args()
    pipeline = str(dvc_yaml.write(cli.params_file()))
    snakemake, dvc = snakemake_is_complete(), dvc_is_complete(pipeline)
    if snakemake and dvc:
        print("both runners find the study complete: nothing to adopt")
    elif snakemake:
        remove_others(load_params(cli.params_file()))  # as under DVC
        _call("dvc", "commit", "--force", "--quiet", pipeline)
        _confirm(dvc_is_complete(pipeline), "DVC")
    elif dvc:
        _call("snakemake", "--touch", "--forceall", "--cores", "1", "--quiet", "all")
        _confirm(snakemake_is_complete(), "Snakemake")
    else:
        raise InputError(
            "neither runner finds the study complete, so there is nothing to adopt: see "
            f"'snakemake -n' and 'dvc status {pipeline}', and run one of them to its end first"
        )


def snakemake_is_complete() -> bool:
    """Whether Snakemake has made everything and finds it up to date."""
    said = _call("snakemake", "--dry-run", "--cores", "1")
    # Without its own records of a job Snakemake can only compare times: that is no check.
    return "Nothing to be done" in said and "missing provenance" not in said


def dvc_is_complete(pipeline: str) -> bool:
    """Whether DVC finds every stage of a dvc.yaml up to date, by content."""
    return _call("dvc", "status", "--json", pipeline).strip() == "{}"


def _confirm(complete: bool, runner: str) -> None:
    if not complete:
        raise InputError(f"{runner} still finds stages to run: nothing was lost, run it")
    print(f"{runner} has adopted what is on disk")


def _call(*command: str) -> str:
    done = subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603
    if done.returncode:
        sys.stderr.write(done.stdout + done.stderr)
        raise InputError(f"{' '.join(command)} failed; its message is above")
    return done.stdout + done.stderr if command[0] == "snakemake" else done.stdout


if __name__ == "__main__":
    cli.run(main)
