"""What each stage costs as the data grows.

    python -m benchmarks.scale

Runs the stages of one encoder of each modality on a quarter of the default study's embedded data,
on as much as it has, and on four times that (of notes there are no more than it has: on an
eleventh, a third and all), with the default settings but for one epoch of pretraining. Writes
benchmarks/scale.csv, docs/images/scale.svg, and in docs/scale.md what is between its marks. Takes
about 16 minutes on two cores, which should have nothing else to do.
"""

from __future__ import annotations

import argparse
import os
import resource
import subprocess
import sys
import tempfile
import time
from math import prod
from pathlib import Path

import matplotlib

matplotlib.use("agg")

import matplotlib.pyplot as plt
import pandas as pd
import seaborn
import yaml
from matplotlib.lines import Line2D

from benchmarks.ranking import machine, read_page, write_page
from benchmarks.ranking import table as in_markdown
from study.drawing import rc, save
from study.loading import load_params
from study.measuring import extraction
from study.paths import SPLITS
from study.work import WIDTH, inputs

ROOT = Path(__file__).parent.parent
TIMES = (1, 4, 16)
NOTES = {1: 12, 4: 3, 16: 1}  # semitones from a note to the next
COUNTS = {
    "motions": ("train", "valid", "test"),
    "scenes": ("pretrain", "pretrain_valid", "train", "valid", "test"),
}
STAGES = ("dataset", "extraction", "join", "pretrain", "embed")
MARKERS = {"audio": "o", "video": "s", "images": "^"}
MIB = 2**20
BETWEEN = """
import resource, subprocess, sys
status = subprocess.call(sys.argv[1:])
print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss)
sys.exit(status)
"""
PAGE, CSV = ROOT / "docs/scale.md", ROOT / "benchmarks/scale.csv"
PAPER = ROOT / "presets/paper.yaml"


def content(folder: Path, times: int) -> dict:
    """The default study's settings on so many quarters of four of its data."""
    content = yaml.safe_load((ROOT / "params.yaml").read_text())
    content["paths"] = {"data": str(folder / "data"), "results": str(folder / "results")}
    content["notes"]["pitch_step"] = NOTES[times]
    for dataset, splits in COUNTS.items():
        for split in splits:
            content[dataset][split] = content[dataset][split] * times // 4
    for modality in ("audio", "video", "images"):
        content[modality]["pretrain"]["epochs"] = 1
        examples = [content[modality]["downstream"]["n_examples"][0]]
        content[modality]["downstream"]["n_examples"] = examples
        content[modality]["downstream"]["others"]["n_examples"] = []
        content[modality]["ablation"] = {key: [] for key in content[modality]["ablation"]}
        content[modality]["end_to_end"] |= {"methods": [], "seeds": [], "n_examples": []}
    return content


def run(*command: str) -> tuple[float, float]:
    """Seconds of a module as a command, and the peak memory of its largest process, in MiB."""
    start = time.perf_counter()
    # A process starts with the peak of the one that starts it, on Linux: a small one does.
    called = [sys.executable, "-c", BETWEEN, sys.executable, "-m", *command]
    done = subprocess.run(called, cwd=ROOT, capture_output=True, text=True)
    if done.returncode:
        sys.exit(done.stderr)
    return time.perf_counter() - start, int(done.stdout.splitlines()[-1]) / 1024


def size(path: Path) -> float:
    files = [path] if path.is_file() else [p for p in path.rglob("*") if p.is_file()]
    return sum(file.stat().st_size for file in files) / MIB


def measure(folder: Path, times: int) -> list[dict]:
    folder.mkdir()
    file = folder / "params.yaml"
    file.write_text(yaml.safe_dump(content(folder, times)))
    params, rows = load_params(file), []
    for modality, study in params.studies.items():
        slicing, dataset = study.slicings[0], study.dataset
        e = params.encoder_key(modality, slicing, "mse", 0)
        who = ["--modality", modality, "--slicing", slicing, "--method", "mse", "--seed", "0"]
        layout = params.layout
        for stage, options, written in (
            ("dataset", ["--dataset", dataset], layout.dataset(dataset)),
            (
                study.extraction,
                ["--dataset", dataset, "--shard", "0"],
                layout.shard(dataset, 0, "train.npy").parent,
            ),
            ("join", ["--dataset", dataset], layout.features(dataset, "train").parent),
            ("pretrain", who, layout.model(e)),
            ("embed", who, layout.embeddings(e, "train", "joined").parent.parent),
        ):
            seconds, memory = run(f"stages.{stage}", *options, "--params", str(file))
            inputs = sum(
                len(pd.read_parquet(layout.labels(dataset, split), columns=["id"]))
                for split in {"pretrain": study.upstream[:1], "embed": SPLITS}.get(
                    stage, study.splits
                )
                if layout.labels(dataset, split).exists()
            )
            rows.append(
                {
                    "modality": modality,
                    "times": times,
                    "stage": stage,
                    "inputs": inputs,
                    "seconds": round(seconds, 1),
                    "peak_mib": round(memory),
                    "written_mib": round(size(written), 1),
                }
            )
            print(rows[-1], file=sys.stderr, flush=True)
        for row in rows[-5:-3]:
            row["inputs"] = rows[-3]["inputs"]  # known once the features are joined
    return rows


def draw(table: pd.DataFrame) -> None:
    """Seconds and memory by inputs: a colour a stage, a marker a modality."""
    colours = dict(zip(STAGES, seaborn.color_palette("colorblind"), strict=False))
    with matplotlib.rc_context(rc()):
        figure, axes = plt.subplots(1, 2, figsize=(7.2, 3.2))
        for (modality, stage), rows in table.groupby(["modality", "stage"], sort=False):
            look = {"marker": MARKERS[modality], "color": colours.get(stage, colours["extraction"])}
            for axis, column in zip(axes, ("seconds", "peak_mib"), strict=True):
                axis.plot(rows["inputs"], rows[column], **look)
        for axis, title in zip(axes, ("seconds", "peak memory, MiB"), strict=True):
            axis.set(xscale="log", yscale="log", xlabel="inputs", title=title)
            for ticks in (axis.xaxis, axis.yaxis):
                ticks.set_major_formatter("{x:,g}")
        axes[1].set_ylim(bottom=100)
        lines = [Line2D([], [], color=colour, label=stage) for stage, colour in colours.items()]
        for modality, marker in MARKERS.items():
            lines.append(Line2D([], [], color="black", marker=marker, ls="", label=modality))
        figure.legend(handles=lines, loc="outside lower center", ncols=len(colours))
        save(figure, ROOT / "docs/images/scale.svg")


def words(found: pd.DataFrame, where: str) -> str:
    """The measurements, and what extraction of the public datasets comes to."""
    rows, public_rows = [], []
    for (modality, stage), measured in found.groupby(["modality", "stage"], sort=False):
        counts, seconds, memory, written = (
            [f"{value:,.0f}" if value >= 10 else f"{value:.1f}" for value in measured[column]]
            for column in ("inputs", "seconds", "peak_mib", "written_mib")
        )
        (less, more), (sooner, later) = measured["inputs"].iloc[1:], measured["seconds"].iloc[1:]
        each = (later - sooner) / (more - less)
        rows.append([f"{modality}: {stage}", *map(" / ".join, (counts, seconds, memory, written))])
        rows[-1].append(f"{1000 * each:.2g}")
    head = "stage | inputs | seconds | peak memory, MiB | written, MiB | ms an input".split(" | ")
    second = "dataset | inputs | shards | minutes | GiB, joined | MiB a shard".split(" | ")
    params = load_params(PAPER)
    for modality, study in params.studies.items():
        count = sum(inputs(params, modality).values())
        size = count * prod(study.shape) * WIDTH[modality]
        minutes = count * extraction(params, study, 2.0)[1] / (os.cpu_count() or 1) / 60
        shards = len(study.shards)
        public_rows.append(
            [
                study.dataset,
                f"{count:,}",
                f"{shards}",
                f"{minutes:,.0f}",
                f"{size / 2**30:.1f}",
                f"{size / shards / MIB:,.0f}",
            ]
        )
    return "\n".join(
        [
            "Each cell: of 1, 4 and 16 times the least data. The last column is of the step from 4 "
            "to 16 times, without what a job takes to start.",
            "",
            *in_markdown(head, rows),
            "",
            "Extraction with the settings of `presets/paper.yaml`, by what one input takes here "
            f"(as `make estimate` measures it), on {os.cpu_count()} cores:",
            "",
            *in_markdown(second, public_rows),
            "",
            f"{where}.",
        ]
    )


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.parse_args()
    by_hand, where = read_page(PAGE, "What it costs as data grows"), machine()
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        for times in TIMES:
            rows += measure(Path(folder) / str(times), times)
    table = pd.DataFrame(rows)
    table.to_csv(CSV, index=False, lineterminator="\n")
    draw(table)
    write_page(PAGE, by_hand, words(table, where))


if __name__ == "__main__":
    main()
