"""Real runs of a tiny study: a copy of the repository, changes to it, and what must rerun."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parent.parent
RESULTS = {"scores", "tables", "figures", "site"}
ENCODER = {"pretrain", "embed", "downstream"}
COMMAND = re.compile(r"python -m stages\.(\w+)((?: --(?:dataset|modality|view|method|seed) \S+)*)")


class Study:
    """A copy of the repository whose params.yaml is the tiny preset."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        tracked = _git("ls-files", "--cached", "--others", "--exclude-standard", "-z").split("\0")
        for name in filter(None, tracked):
            if (ROOT / name).exists():
                (folder / name).parent.mkdir(parents=True, exist_ok=True)
                shutil.copy2(ROOT / name, folder / name)
        shutil.copy2(ROOT / "presets/tiny.yaml", folder / "params.yaml")
        subprocess.run(["git", "init", "--quiet"], cwd=folder, check=True)

    def change(self, old: str, new: str, file: str = "params.yaml") -> None:
        path = self.folder / file
        text = path.read_text()
        assert text.count(old) == 1, f"{old!r} is in {file} {text.count(old)} times"
        path.write_text(text.replace(old, new))

    def snakemake(self, *options: str) -> set[str]:
        return ran(self._call("snakemake", "--cores", "2", *options))

    def dvc(self) -> set[str]:
        return ran(self._call("dvc", "repro"))

    def adopt(self) -> str:
        return self._call(sys.executable, "-m", "workflow.adopt")

    def _call(self, *command: str) -> str:
        done = subprocess.run(
            command, cwd=self.folder, capture_output=True, text=True, timeout=900, check=False
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout + done.stderr


def _git(*arguments: str) -> str:
    return subprocess.run(
        ["git", *arguments], cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout


def ran(output: str) -> set[str]:
    """The jobs that a runner announced, as 'stage' or 'stage method'."""
    jobs = set()
    for line in output.splitlines():
        if line.startswith(("Shell command: ", "> ")) and (match := COMMAND.search(line)):
            method = re.search(r"--method (\S+)", match[2])
            jobs.add(f"{match[1]} {method[1]}" if method else match[1])
    return jobs


def jobs(stages: set[str], *methods: str) -> set[str]:
    return {f"{stage} {method}" for stage in stages for method in methods}


EVERYTHING = {"dataset", "spectrograms"} | jobs(ENCODER, "random", "perturbed_fy") | RESULTS

# (what changes, file, old text, new text, the jobs that must run)
CHANGES = [
    (
        "one method's learning rate",
        "params.yaml",
        "perturbed_fy:\n      learning_rate: 1.0e-4",
        "perturbed_fy:\n      learning_rate: 2.0e-4",
        jobs(ENCODER, "perturbed_fy") | RESULTS,
    ),
    (
        "a downstream setting",
        "params.yaml",
        "    hidden: ",
        "    hidden: 1",
        jobs({"downstream"}, "random", "perturbed_fy") | RESULTS,
    ),
    (
        "a source file of one stage",
        "stages/tables.py",
        "(partial ranks: seeds alone)",
        "(partial ranks: over seeds alone)",
        {"tables", "site"},
    ),
    (
        "the source file of one method",
        "shuffle_to_learn/methods/perturbed_fy.py",
        "scores, self.epsilon,",
        "scores, 2 * self.epsilon,",
        jobs(ENCODER, "perturbed_fy") | RESULTS,
    ),
    (
        "a spectrogram setting",
        "params.yaml",
        "    f_min: ",
        "    f_min: 1",
        EVERYTHING - {"dataset"},
    ),
]
