"""How fast notes are rendered and turned into spectrograms, beside a plain loop over files.

    python -m benchmarks.extraction [--notes 600] [--workers 2]

Renders some hundred notes, then times, on the same notes and in the same run, (a) librosa on one
file after the other in one process and (b) the stage spectrograms, in turns; prints the table and
writes it to benchmarks/extraction.md. Rates are medians over the rounds.
"""

from __future__ import annotations

import argparse
import io
import os
import platform
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import redirect_stderr, redirect_stdout
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np

from stages import spectrograms
from study.extraction import Extraction, extract
from study.loading import load_params
from study.paths import Paths
from study.sources import open_dataset
from study.tensorflow import start_tensorflow

ROUNDS = 3
PARAMS = Path(__file__).parent.parent / "params.yaml"
OUTPUT = Path(__file__).with_suffix(".md")


def rate(count: int, work: Callable[[], Any]) -> float:
    start = time.perf_counter()
    work()
    return count / (time.perf_counter() - start)


def plain(items: Any, **_: Any) -> Iterator[Any]:
    yield from items


def one_file_at_a_time(folder: Path, settings: Any) -> None:
    """What one would write in a notebook: the same images, by librosa's own functions."""
    import librosa

    for path in sorted(folder.glob("*.wav")):
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


def measure(notes: int, workers: int, folder: Path) -> list[tuple[str, float, str]]:
    start_tensorflow(workers)
    import soundfile
    import tensorflow_datasets as tfds
    from absl import logging

    from shuffle_to_learn.datasets import notes as library
    from shuffle_to_learn.datasets import soundfont
    from shuffle_to_learn.features.spectrogram import log_mel

    logging.set_verbosity(logging.ERROR)
    tfds.disable_progress_bar()
    settings = load_params(PARAMS).audio.spectrograms
    pitches = range(40, 70)
    chosen = soundfont.candidates(soundfont.spread(-(-notes // len(pitches))), pitches, seed=0)
    chosen = chosen[:notes]
    for i, note in enumerate(chosen):  # all of them in one split, but for the two that TFDS wants
        note.split = {0: "valid", 1: "test"}.get(i, "train")
    count = len(chosen) - 2

    renderer = soundfont.Renderer()
    files = folder / "files"
    files.mkdir()
    audio = [renderer.note(n.instrument.program, n.pitch, n.velocity) for n in chosen[2:]]
    for note, samples in zip(chosen[2:], audio, strict=True):
        soundfile.write(files / f"{note.id}.wav", samples, soundfont.SAMPLE_RATE, "PCM_16")

    def render() -> None:
        for note in chosen[2:]:
            renderer.note(note.instrument.program, note.pitch, note.velocity)

    rates: dict[str, list[float]] = {}
    with library.workers(workers) as pool:
        list(pool.map(soundfont.compressed, chosen[:workers]))  # the workers are up
        for turn in range(ROUNDS):
            builder = library.Notes(
                data_dir=folder / f"tfds{turn}", notes=chosen, pool=pool, progress=plain
            )
            with redirect_stdout(None):
                write = partial(builder.download_and_prepare, download_dir=folder / "downloads")
                rates.setdefault("write", []).append(rate(len(chosen), write))
            rates.setdefault("render", []).append(rate(count, render))

    study = load_params(PARAMS).study("audio")
    source = open_dataset(folder / "tfds0", "notes", study.splits)
    transform = partial(log_mel, sample_rate=soundfont.SAMPLE_RATE, **settings.model_dump())
    how = Extraction(
        content=lambda example: example["audio"],
        transform=transform,
        labels=spectrograms._labels(source.builder),
        dtype="<f2",
    )
    layout = Paths(folder / "data", folder / "results")

    def stage() -> None:
        with redirect_stderr(io.StringIO()):
            extract(source, study, how, number=0, threads=workers, layout=layout)

    def transform_alone() -> None:
        for samples in audio:
            transform(samples)

    rates["cold"] = [rate(len(chosen), stage)]
    one_file_at_a_time(files, settings)  # librosa compiles and loads at its first use
    for _ in range(ROUNDS):
        baseline = partial(one_file_at_a_time, files, settings)
        rates.setdefault("baseline", []).append(rate(count, baseline))
        rates.setdefault("stage", []).append(rate(len(chosen), stage))
        rates.setdefault("log_mel", []).append(rate(count, transform_alone))

    median = {name: statistics.median(values) for name, values in rates.items()}
    processes = f"{workers} worker{'s' if workers > 1 else ''}"
    unit = median["baseline"]
    return [
        (what, value, f"{value / unit:.2f}" if "spectrograms" in what or "same" in what else "")
        for what, value in (
            ("render a note, one process", median["render"]),
            (f"render, compress and write the TFDS dataset, {processes}", median["write"]),
            ("spectrograms: librosa, one file at a time, one process", unit),
            ("spectrograms: `log_mel` of audio in memory, one process", median["log_mel"]),
            (f"spectrograms: the stage, from TFDS to features, {processes}", median["stage"]),
            (f"the same, with the start of its {processes}", median["cold"]),
        )
    ]


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--notes", type=int, default=600)
    parser.add_argument("--workers", type=int, default=len(os.sched_getaffinity(0)))
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        rows = measure(args.notes, args.workers, Path(folder))
    libraries = ("librosa", "numpy", "scipy", "tinysoundfont", "tensorflow", "tensorflow-datasets")
    lines = [
        "# Rendering and spectrograms",
        "",
        f"`python -m benchmarks.extraction --notes {args.notes} --workers {args.workers}`",
        "",
        "| what | notes/s | beside the plain loop |",
        "|---|---:|---:|",
        *(f"| {what} | {value:.0f} | {ratio} |" for what, value, ratio in rows),
        "",
        f"Medians of {ROUNDS} rounds in turns (the start: once), {args.notes} notes of 4 s at "
        "16 kHz, the settings of `params.yaml`.",
        f"{len(os.sched_getaffinity(0))} cores ({platform.machine()}), load average at the end "
        f"{os.getloadavg()[0]:.1f}; Python {platform.python_version()}, "
        + ", ".join(f"{name} {version(name)}" for name in libraries)
        + ".",
    ]
    print("\n".join(lines))
    OUTPUT.write_text("\n".join(lines) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
