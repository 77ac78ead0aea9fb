"""A tiny study in a copy of the repository: changes to it, and what must rerun."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import yaml
from dags import dvc_jobs, listed, snakemake_jobs

from study.loading import merged

ROOT = Path(__file__).resolve().parent.parent
DECLARED = ROOT / "tests/declared"
RESULTS = {"scores", "tables", "claims", "figures", "site"}
ENCODER = {"pretrain", "embed", "downstream"}
COMMAND = re.compile(
    r"python -m stages\.(\w+)((?: --(?:dataset|shard|modality|slicing|method|seed) \S+)*)"
)
NAMED = re.compile(r"--(?:dataset|shard|modality|method|seed) (\S+)")


class Study:
    """A copy of the repository whose params.yaml holds a preset's settings.

    Args:
        folder: of the copy.
        preset: whose settings they are.
        declared: whether the stages only write digests of what they declare
            (tests/declared/sitecustomize.py), in place of their work.
    """

    def __init__(self, folder: Path, preset: str = "tiny", *, declared: bool = False) -> None:
        self.folder, self.declared = folder, declared
        self.originals: dict[str, str] = {}
        tracked = _git("ls-files", "--cached", "--others", "--exclude-standard", "-z").split("\0")
        for name in filter(None, tracked):
            if name.startswith("pipelines/") or name == "dvc.lock":
                continue  # of studies that were run here
            if (ROOT / name).is_file():
                (folder / name).parent.mkdir(parents=True, exist_ok=True)
                shutil.copy2(ROOT / name, folder / name)
        content = merged(ROOT / f"presets/{preset}.yaml")
        (folder / "params.yaml").write_text(yaml.safe_dump(content, sort_keys=False))
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
        if self.declared:
            self._list(snakemake_jobs(self.folder))
        return ran(self.call("snakemake", "--cores", "2", *options))

    def dvc(self, *options: str) -> set[str]:
        if self.declared:
            self._list(dvc_jobs(self.folder))
        return ran(self.call("dvc", "repro", *options))

    def clone(self, folder: Path) -> Study:
        """A clone of the copy by git."""
        self.call("git", "clone", "--quiet", str(self.folder), str(folder))
        other = object.__new__(Study)
        other.folder, other.declared, other.originals = folder, self.declared, {}
        return other

    def assert_pulled_by(self, folder: Path) -> None:
        """A clone that pulls from the remote finds nothing to run, under both runners."""
        clone = self.clone(folder)
        assert not (clone.folder / "data").exists()
        clone.call("dvc", "pull")
        assert clone.dvc() == set()
        assert "Snakemake has adopted" in clone.adopt()
        assert clone.snakemake() == set()
        name = "results/tiny/index.html"
        assert (clone.folder / name).read_bytes() == (self.folder / name).read_bytes()

    def commit(self) -> None:
        self.call("git", "add", "--all")
        name = ("-c", "user.name=a", "-c", "user.email=a@b")
        self.call("git", *name, "commit", "--quiet", "--message", "a")

    def adopt(self) -> str:
        return self.call(sys.executable, "-m", "tools.adopt")

    def call(self, *command: str, **environment: str) -> str:
        variables = {k: v for k, v in os.environ.items() if k != "PARAMS"} | environment
        if self.declared:
            variables |= {"PYTHONPATH": str(DECLARED), "JOBS": str(self._jobs)}
        done = subprocess.run(
            command,
            cwd=self.folder,
            env=variables,
            capture_output=True,
            text=True,
            timeout=1800,
            check=False,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout + done.stderr

    @property
    def _jobs(self) -> Path:
        return self.folder / ".git/jobs.json"  # where no runner looks

    def _list(self, jobs: set) -> None:
        self._jobs.write_text(listed(jobs))


def _git(*arguments: str) -> str:
    return subprocess.run(
        ["git", *arguments], cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout


def ran(output: str) -> set[str]:
    """The jobs that a runner announced: the stage, and its dataset or its modality and method.

    A seed other than 0 is named, too.
    """
    jobs = set()
    for line in output.splitlines():
        if line.startswith(("Shell command: ", "> ")) and (match := COMMAND.search(line)):
            words = NAMED.findall(match[2])
            if "--seed" in match[2] and words[-1] == "0":
                words.pop()
            jobs.add(" ".join([match[1], *words]))
    return jobs


def jobs(stages: set[str], modality: str, *methods: str) -> set[str]:
    return {f"{stage} {modality} {method}" for stage in stages for method in methods}


def trained(modality: str) -> set[str]:
    """What comes of the network that is trained, and is shown."""
    return jobs(ENCODER, modality, "perturbed_fy") | {f"examples {modality}"}


AUDIO = jobs(ENCODER, "audio", "random") | trained("audio")
AUDIO |= {"end_to_end audio random"}
VIDEO = trained("video")
IMAGES = trained("images")
# What has no network depends on features and on the settings of the probes alone.
BARE = {m: jobs({"downstream"}, m, "raw", "summary") for m in ("audio", "video", "images")}
DATA = {"dataset notes", "dataset motions", "dataset scenes"}
SPECTROGRAMS = {"spectrograms notes 0", "spectrograms notes 1", "join notes"}
DATA |= SPECTROGRAMS | {"frames motions 0", "join motions", "pictures scenes 0", "join scenes"}
EVERYTHING = DATA | AUDIO | VIDEO | IMAGES | RESULTS | set().union(*BARE.values())

# (what changes, file, its key or old text, new value or text, the jobs that must run)
CHANGES = [
    (
        "one method's learning rate",
        "params.yaml",
        "audio.method.perturbed_fy.learning_rate",
        2.0e-4,
        trained("audio") | RESULTS,
    ),
    (
        "a downstream setting",
        "params.yaml",
        "audio.downstream.hidden",
        [17],
        jobs({"downstream"}, "audio", "random", "perturbed_fy")
        | BARE["audio"]
        | {"end_to_end audio random"}
        | RESULTS,
    ),
    (
        "a source file of one stage",
        "stages/tables.py",
        "More digits than the data have",
        "More places than the data have",
        {"tables", "site"},
    ),
    (
        "a template",
        "study/resources/caption.txt.j2",
        "(the pretext task: seeds alone)",
        "(the pretext task: over seeds alone)",
        {"tables", "site"},
    ),
    (
        "the source file of one method",
        "shuffle_to_learn/pretext/methods/perturbed_fy.py",
        "scores, self.epsilon,",
        "scores, 2 * self.epsilon,",
        trained("audio") | VIDEO | IMAGES | RESULTS,
    ),
    (
        "the source file of one dataset",
        "study/datasets/motions.py",
        'clips of {len(labels)} labels"',
        'clips, {len(labels)} labels"',
        {"dataset motions", "frames motions 0", "join motions"} | VIDEO | BARE["video"] | RESULTS,
    ),
    (
        "a setting that nothing reads but the check of the shards",
        "params.yaml",
        "video.frames.max_rejected",
        0.1,
        {"join motions"} | VIDEO | BARE["video"] | RESULTS,
    ),
    (
        "a spectrogram setting",
        "params.yaml",
        "audio.spectrograms.f_min",
        120.0,
        SPECTROGRAMS | AUDIO | BARE["audio"] | RESULTS,
    ),
    (
        "the layer that is the embedding: both are there",
        "params.yaml",
        "video.embed.layer",
        "tiles",
        {"downstream video perturbed_fy"} | RESULTS,
    ),
    (
        "a setting of the network",
        "params.yaml",
        "images.pretrain.epochs",
        3,
        IMAGES | RESULTS,
    ),
    ("the number of cores", "params.yaml", "threads.pretrain", 2, set()),
    (
        "what every stage reads settings by",
        "study/cli.py",
        "must be at least 1",
        "must be 1",
        set(),
    ),
]
REAL = CHANGES[0], CHANGES[3]
"""Those that are run for real, too: after each the results are other bytes."""
TOGETHER = ((0, 8), (1, 5, 9), (2, 10), (3, 11), (6, 7), (4,))
"""Changes that are made at once where each run takes long: none hides all of the other's jobs."""
