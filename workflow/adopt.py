"""Let one runner take over what the other has made: make adopt.

Snakemake and DVC each remember what they ran, not what the other did. This checks that one of them
finds every file on disk to be what params.yaml and the code ask for, and only then tells the other
so. It runs no stage; where neither runner finds the study complete, it changes nothing.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys

from stages import common
from stages.errors import InputError


def main() -> None:
    argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    ).parse_args()
    if os.environ.get("PARAMS", "params.yaml") != "params.yaml":
        raise InputError("DVC knows params.yaml alone: copy the preset there to use both runners")
    snakemake, dvc = snakemake_is_complete(), dvc_is_complete()
    if snakemake and dvc:
        print("both runners find the study complete: nothing to adopt")
    elif snakemake:
        _call("dvc", "commit", "--force", "--quiet")
        _confirm(dvc_is_complete(), "DVC")
    elif dvc:
        _call("snakemake", "--touch", "--forceall", "--cores", "1", "--quiet", "all")
        _confirm(snakemake_is_complete(), "Snakemake")
    else:
        raise InputError(
            "neither runner finds the study complete, so there is nothing to adopt: see "
            "'snakemake -n' and 'dvc status', and run one of them to its end first"
        )


def snakemake_is_complete() -> bool:
    """Whether Snakemake has made everything and finds it up to date."""
    said = _call("snakemake", "--dry-run", "--cores", "1")
    # Without its own records of a job Snakemake can only compare times: that is no check.
    return "Nothing to be done" in said and "missing provenance" not in said


def dvc_is_complete() -> bool:
    """Whether DVC finds every stage up to date, by content."""
    return _call("dvc", "status", "--json").strip() == "{}"


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
    common.run(main)
