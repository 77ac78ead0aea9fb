"""Real runs of a tiny study: a copy of the repository, changes to it, and what must rerun."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).parent.parent
RESULTS = {"scores", "tables", "claims", "figures", "site"}
ENCODER = {"pretrain", "embed", "downstream"}
COMMAND = re.compile(
    r"python -m stages\.(\w+)((?: --(?:dataset|shard|modality|slicing|method|seed) \S+)*)"
)
NAMED = re.compile(r"--(?:dataset|shard|modality|method) (\S+)")


class Study:
    """A copy of the repository whose params.yaml is a preset."""

    def __init__(self, folder: Path, preset: str = "tiny") -> None:
        self.folder = folder
        self.originals: dict[str, str] = {}
        tracked = _git("ls-files", "--cached", "--others", "--exclude-standard", "-z").split("\0")
        for name in filter(None, tracked):
            if (ROOT / name).exists():
                (folder / name).parent.mkdir(parents=True, exist_ok=True)
                shutil.copy2(ROOT / name, folder / name)
        shutil.copy2(ROOT / f"presets/{preset}.yaml", folder / "params.yaml")
        subprocess.run(["git", "init", "--quiet"], cwd=folder, check=True)

    def change(self, file: str, at: str, new: Any) -> None:
        """Change a text in a file, or of params.yaml the value at a key."""
        path = self.folder / file
        text = path.read_text()
        self.originals.setdefault(file, text)
        if file == "params.yaml":
            content = yaml.safe_load(text)
            section = content
            *parents, last = at.split(".")
            for parent in parents:
                section = section[parent]
            assert section[last] != new
            section[last] = new
            path.write_text(yaml.safe_dump(content, sort_keys=False))
        else:
            assert text.count(at) == 1, f"{at!r} is in {file} {text.count(at)} times"
            path.write_text(text.replace(at, new))

    def restore(self) -> None:
        """Take every change back."""
        for file, text in self.originals.items():
            (self.folder / file).write_text(text)

    def snakemake(self, *options: str) -> set[str]:
        return ran(self.call("snakemake", "--cores", "2", *options))

    def dvc(self) -> set[str]:
        return ran(self.call("dvc", "repro"))

    def clone(self, folder: Path) -> Study:
        """A clone of the copy by git."""
        self.call("git", "clone", "--quiet", str(self.folder), str(folder))
        other = object.__new__(Study)
        other.folder, other.originals = folder, {}
        return other

    def adopt(self) -> str:
        return self.call(sys.executable, "-m", "tools.adopt")

    def call(self, *command: str) -> str:
        done = subprocess.run(
            command, cwd=self.folder, capture_output=True, text=True, timeout=1800, check=False
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout + done.stderr


def _git(*arguments: str) -> str:
    return subprocess.run(
        ["git", *arguments], cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout


def ran(output: str) -> set[str]:
    """The jobs that a runner announced: the stage, and its dataset or its modality and method."""
    jobs = set()
    for line in output.splitlines():
        if line.startswith(("Shell command: ", "> ")) and (match := COMMAND.search(line)):
            jobs.add(" ".join([match[1], *NAMED.findall(match[2])]))
    return jobs


def jobs(stages: set[str], modality: str, *methods: str) -> set[str]:
    return {f"{stage} {modality} {method}" for stage in stages for method in methods}


TRAINED = ENCODER | {"examples"}  # what comes of the network whose examples are shown
AUDIO = jobs(ENCODER, "audio", "random") | jobs(TRAINED, "audio", "perturbed_fy")
AUDIO |= {"end_to_end audio random"}
VIDEO = jobs(TRAINED, "video", "perturbed_fy")
IMAGES = jobs(TRAINED, "images", "perturbed_fy")
DATA = {"dataset notes", "dataset motions", "dataset scenes"}
SPECTROGRAMS = {"spectrograms notes 0", "spectrograms notes 1", "join notes"}
DATA |= SPECTROGRAMS | {"frames motions 0", "join motions", "images scenes 0", "join scenes"}
EVERYTHING = DATA | AUDIO | VIDEO | IMAGES | RESULTS

# (what changes, file, its key or old text, new value or text, the jobs that must run)
CHANGES = [
    (
        "one method's learning rate",
        "params.yaml",
        "audio.method.perturbed_fy.learning_rate",
        2.0e-4,
        jobs(TRAINED, "audio", "perturbed_fy") | RESULTS,
    ),
    (
        "a downstream setting",
        "params.yaml",
        "audio.downstream.hidden",
        [17],
        jobs({"downstream"}, "audio", "random", "perturbed_fy")
        | {"end_to_end audio random"}
        | RESULTS,
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
        "shuffle_to_learn/pretext/methods/perturbed_fy.py",
        "scores, self.epsilon,",
        "scores, 2 * self.epsilon,",
        jobs(TRAINED, "audio", "perturbed_fy") | VIDEO | IMAGES | RESULTS,
    ),
    (
        "a spectrogram setting",
        "params.yaml",
        "audio.spectrograms.f_min",
        120.0,
        SPECTROGRAMS | AUDIO | RESULTS,
    ),
]
