"""How fast inputs become features, beside plain loops that read one file after the other.

    python -m benchmarks.extraction [--notes 900] [--clips 400] [--pictures 3000] [--workers 2]

Writes small embedded datasets by the stage dataset, then times, on the same inputs and in turns,

* notes: the stage spectrograms, beside librosa in a loop over wav files;
* clips: the stage frames, beside the readers of benchmarks/decoding.py (PyAV, in an environment of
  its own, and read_clip) in a loop over the same files, the same frames, all in colour;
* pictures: the stage pictures, beside cv2.imdecode and Pillow in a loop over files.

Every plain loop is one process with one thread, and saves what it has made; so does the stage, by
its workers. Rates are by the clock. What is said of a core is by the processor's time, of all
processes together, which a machine that does something else meanwhile changes less. Medians of the
rounds.

How fast notes are rendered is timed as well. Writes benchmarks/extraction.md; takes some minutes.
"""

from __future__ import annotations

import argparse
import io
import multiprocessing
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from benchmarks import decoding, ranking
from stages import frames, pictures, spectrograms
from study import cli, records
from study.extraction import Extraction, Job, open_job, start_workers, write
from study.loading import load_params

PARAMS = Path(__file__).parent.parent / "params.yaml"
OUTPUT = Path(__file__).with_suffix(".md")
STAGES = {"notes": spectrograms, "motions": frames, "scenes": pictures}
UNIT = {"notes": "notes", "motions": "clips", "scenes": "pictures"}

Rate = tuple[float, float]  # inputs a second, and milliseconds of processor time an input
Loop = Callable[[], None]


# Time


def processor_seconds(*others: int) -> float:
    """What this process, the workers that it has and other processes have used."""
    ticks = 0
    for process in (os.getpid(), *(p.pid for p in multiprocessing.active_children()), *others):
        fields = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()
        ticks += int(fields[11]) + int(fields[12])
    return ticks / os.sysconf("SC_CLK_TCK")


def timed(count: int, work: Loop, *others: int) -> Rate:
    before, start = processor_seconds(*others), time.perf_counter()
    work()
    seconds = time.perf_counter() - start
    return count / seconds, 1e3 * (processor_seconds(*others) - before) / count


# The datasets


def write_datasets(folder: Path, counts: dict[str, int], threads: int) -> Path:
    """The params file of a study of so many inputs, in the default's settings, and its datasets."""
    content = yaml.safe_load(PARAMS.read_text(encoding="utf-8"))
    content["paths"] = {"data": str(folder / "data"), "results": str(folder / "results")}
    instruments = -(-counts["notes"] // 30)
    content["notes"] |= {"instruments": instruments, "pitch_min": 40, "pitch_max": 69}
    few = {"valid": 8, "test": 8}
    content["motions"] |= few | {"train": counts["motions"] - 16}
    content["scenes"] |= few | {"pretrain": 40, "pretrain_valid": 8, "train": counts["scenes"] - 64}
    # As the readers of benchmarks/decoding.py give them.
    content["video"]["frames"] |= {"count": decoding.FRAMES, "size": decoding.SIZE, "skip": 0}
    content["video"]["frames"] |= {"channels": "rgb", "background": "keep"}
    for modality in ("audio", "video", "images"):  # no more labels than there are inputs
        content[modality]["downstream"]["n_examples"] = [10]
        content[modality]["downstream"]["others"]["n_examples"] = []
        content[modality]["ablation"] |= {"slicings": [], "n_examples": []}
        content[modality]["end_to_end"] |= {"methods": [], "n_examples": []}
    content["threads"] |= dict.fromkeys(("dataset", "spectrograms", "frames", "pictures"), threads)
    path = folder / "params.yaml"
    path.write_text(yaml.safe_dump(content, sort_keys=False), encoding="utf-8")
    for dataset in counts:
        command = [sys.executable, "-m", "stages.dataset", "--dataset", dataset]
        subprocess.run([*command, "--params", str(path)], check=True)
    return path


def contents(job: Job, how: Extraction) -> Iterator[tuple[str, Any]]:
    """The id of each input, and what its features are made of."""
    for split in job.study.splits:
        for span in job.source.spans(split, job.shard, job.study.unit, 64):
            for example in records.read(span.chunk):
                yield how.labels(example)["id"], how.content(example)


# The plain loops


def librosa_loop(files: Path, settings: Any) -> None:
    """What one would write in a notebook: the same images, by librosa's own functions."""
    import librosa

    for path in sorted(files.glob("*.wav")):
        audio, sample_rate = librosa.load(path, sr=None)
        mel = librosa.feature.melspectrogram(
            y=audio,
            sr=sample_rate,
            n_fft=settings.n_fft,
            hop_length=settings.hop_length,
            n_mels=settings.n_mels,
            fmin=settings.f_min,
            fmax=settings.f_max,
        )
        decibels = librosa.power_to_db(mel, ref=np.max, top_db=settings.dynamic_range)
        image = 1 + decibels[:, : settings.frames] / settings.dynamic_range
        np.save(path.with_suffix(".npy"), image.astype(np.float16))


def opencv(path: Path, size: int) -> np.ndarray:
    import cv2

    picture = cv2.imdecode(np.fromfile(path, np.uint8), cv2.IMREAD_COLOR_RGB)
    return cv2.resize(picture, (size, size), interpolation=cv2.INTER_AREA)


def pillow(path: Path, size: int) -> np.ndarray:
    from PIL import Image

    with Image.open(path) as picture:
        return np.asarray(picture.convert("RGB").resize((size, size), Image.Resampling.BOX))


def pictures_loop(read: Callable[[Path, int], np.ndarray], files: Path, size: int) -> None:
    made = np.stack([read(path, size) for path in sorted(files.glob("*.jpg"))])
    np.save(files / "pictures.npy", made)


# The run


def opened(dataset: str, params: Path) -> tuple[Job, Extraction]:
    stage = STAGES[dataset]
    name = stage.__name__.rpartition(".")[2]
    job = open_job(None, name, ["--dataset", dataset, "--shard", "0", "--params", str(params)])
    return job, stage.how(job)


@contextmanager
def stage_loop(job: Job, how: Extraction) -> Iterator[Loop]:
    """The stage, by workers that are up."""
    with start_workers(job, how) as workers, redirect_stderr(io.StringIO()):

        def loop() -> None:
            write(job, how, workers)

        loop()
        yield loop


def in_turns(count: int, loops: dict[str, tuple[Loop, list[int]]], rounds: int) -> dict[str, Rate]:
    """The medians of each loop; what it runs in beside this process is given with it."""
    found: dict[str, list[Rate]] = {name: [] for name in loops}
    for _ in range(rounds):
        for name, (loop, others) in loops.items():
            found[name].append(timed(count, loop, *others))
    return {
        name: (statistics.median(r for r, _ in own), statistics.median(c for _, c in own))
        for name, own in found.items()
    }


def started(dataset: str, params: Path, count: int) -> Rate:
    """The stage as a command, start and all."""
    stage = STAGES[dataset].__name__
    command = [sys.executable, "-m", stage, "--dataset", dataset, "--shard", "0"]
    before, start = os.times(), time.perf_counter()
    subprocess.run([*command, "--params", str(params)], check=True, stderr=subprocess.DEVNULL)
    seconds, after = time.perf_counter() - start, os.times()
    used = after.children_user + after.children_system
    used -= before.children_user + before.children_system
    return count / seconds, 1e3 * used / count


def measure(
    dataset: str, params: Path, folder: Path, rounds: int, peer: Path | None
) -> tuple[int, dict[str, Rate]]:
    """The number of inputs, and the rates: plain loops first, then the stage and its command."""
    job, how = opened(dataset, params)
    count = sum(job.source.expected(split, job.shard) for split in job.study.splits)
    (folder / dataset).mkdir()
    loops: dict[str, tuple[Loop, list[int]]] = {}
    if dataset == "notes":
        import soundfile

        for name, audio in contents(job, how):
            soundfile.write(folder / dataset / f"{name}.wav", audio, 16_000, "PCM_16")
        loop = partial(librosa_loop, folder / dataset, job.study.features)
        loop()  # librosa compiles and loads at its first use
        loops["librosa, a loop over wav files"] = loop, []
    elif dataset == "motions":
        for _, path in contents(job, how):
            (folder / dataset / path.name).symlink_to(path.absolute())
        found = decoding.processes(peer)
        for reader, (process, _) in decoding.READERS.items():
            serving = found[process]
            ask = partial(serving.ask, what="clips", reader=reader, folder=str(folder / dataset))
            ask()
            loops[f"{reader}, a loop over files"] = ask, [serving.running.pid]
    else:
        for name, content in contents(job, how):
            (folder / dataset / name).with_suffix(".jpg").write_bytes(content)
        size = job.study.features.size
        for name, read in (("`cv2.imdecode`", opencv), ("Pillow", pillow)):
            loop = partial(pictures_loop, read, folder / dataset, size)
            loops[f"{name}, a loop over files"] = loop, []
    with stage_loop(job, how) as stage:
        shown = f"the stage, {job.threads} worker{'s' if job.threads > 1 else ''}"
        loops[shown] = stage, []
        result = in_turns(count, loops, rounds)
    result["the same as a command, with its start"] = started(dataset, params, count)
    return count, result


def lines_of(dataset: str, count: int, rates: dict[str, Rate]) -> list[str]:
    """A table: every row beside the fastest plain loop."""
    plain = [rate for name, rate in rates.items() if "a loop over" in name]
    fastest, cheapest = max(rate for rate, _ in plain), min(cost for _, cost in plain)
    unit = UNIT[dataset]
    rows = [
        [name, f"{rate:,.0f}", f"{cost:.2f}", f"{rate / fastest:.2f}", f"{cheapest / cost:.2f}"]
        for name, (rate, cost) in rates.items()
    ]
    header = [f"{count} {unit}", f"{unit}/s", "CPU ms each", "beside the fastest loop", "per core"]
    return [*ranking.table(header, rows), ""]


def rendering(notes: int, threads: int, folder: Path, rounds: int) -> list[str]:
    """How fast notes are rendered, and written as a dataset."""
    import tensorflow_datasets as tfds
    from absl import logging

    from shuffle_to_learn.datasets import notes as library
    from shuffle_to_learn.datasets import soundfont
    from shuffle_to_learn.datasets.instruments import melodic, spread

    logging.set_verbosity(logging.ERROR)
    tfds.disable_progress_bar()
    pitches = range(40, 70)
    players = spread(-(-notes // len(pitches)), melodic())
    chosen = soundfont.candidates(players, pitches, seed=0)
    chosen = chosen[:notes]
    for i, note in enumerate(chosen):  # all of them in one split, but for the two that TFDS wants
        note.split = {0: "valid", 1: "test"}.get(i, "train")
    renderer = soundfont.Renderer()

    def render() -> None:
        for note in chosen:
            renderer.note(note.instrument, note.pitch, note.velocity)

    def plain(items: Any, **_: Any) -> Iterator[Any]:
        yield from items

    found: dict[str, list[float]] = {"one": [], "all": []}
    with library.workers(threads) as pool:
        list(pool.map(soundfont.render, chosen[:threads]))  # the workers are up
        for turn in range(rounds):
            builder = library.Notes(
                data_dir=folder / f"tfds{turn}", notes=chosen, pool=pool, progress=plain
            )
            make = partial(builder.download_and_prepare, download_dir=folder / "downloads")
            with redirect_stdout(None):
                found["all"].append(timed(len(chosen), make)[0])
            found["one"].append(timed(len(chosen), render)[0])
    one, every = (statistics.median(found[name]) for name in ("one", "all"))
    header = [f"{len(chosen)} notes", "notes/s"]
    several = f"rendered and written, {threads} workers"
    rows = [["rendered, one process", f"{one:.0f}"], [several, f"{every:.0f}"]]
    return [*ranking.table(header, rows), ""]


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--notes", type=int, default=900)
    parser.add_argument("--clips", type=int, default=400)
    parser.add_argument("--pictures", type=int, default=3000)
    parser.add_argument("--workers", type=int, default=len(os.sched_getaffinity(0)))
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument(
        "--peer", type=Path, metavar="FOLDER", help="an environment with PyAV: see decoding.py"
    )
    args = parser.parse_args()
    where = ranking.machine()
    cli.limit_threads(1)
    import cv2

    cv2.setNumThreads(1)
    counts = {"notes": args.notes, "motions": args.clips, "scenes": args.pictures}
    tables: list[str] = []
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        params = write_datasets(folder, counts, args.workers)
        for dataset in STAGES:
            print(dataset, file=sys.stderr)
            made = measure(dataset, params, folder, args.rounds, args.peer)
            tables += lines_of(dataset, *made)
        tables += rendering(args.notes, args.workers, folder, args.rounds)
    libraries = ("librosa", "numpy", "scipy", "opencv-python-headless", "pillow")
    libraries += ("google-crc32c", "tensorflow-datasets")
    lines = [
        "# Extraction and rendering",
        "",
        f"`python -m benchmarks.extraction --notes {args.notes} --clips {args.clips} "
        f"--pictures {args.pictures} --workers {args.workers} --rounds {args.rounds}`",
        "",
        *tables,
        f"Medians of {args.rounds} rounds in turns (the command: once). Each loop is one process "
        "with one thread. The stage reads TFDS's files and writes features and labels; its rates "
        "are of workers that are up. Per core: by the processor's time, all processes together.",
        "Notes of 4 s at 16 kHz, the settings of `params.yaml`. Clips of 24 to 32 frames, "
        f"{decoding.FRAMES} of them, {decoding.SIZE} x {decoding.SIZE} RGB. Pictures of 160 x 160 "
        f"as {load_params(PARAMS).images.pictures.size} x "
        f"{load_params(PARAMS).images.pictures.size} RGB.",
        f"{where}, " + ", ".join(f"{name} {version(name)}" for name in libraries) + ".",
    ]
    print("\n".join(lines))
    OUTPUT.write_text("\n".join(lines) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
