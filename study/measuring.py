"""Measuring this machine's pace: the thing itself, in a small way.

As many processes as there are cores, side by side as the jobs of a study are, each with a share of
the kinds of work. Each process starts TensorFlow, which is measured, too.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np

from shuffle_to_learn.slicing import Slicing
from study.cli import LIBRARIES
from study.pace import LIKE, PLAIN, TENSORFLOW, Folder, Paces
from study.params import Params, Study
from study.paths import WHOLE
from study.work import CLASSES, Job, Work, multiply_adds_of, probe, probed, steps_taken, work

ROOT = Path(__file__).resolve().parent.parent
SECONDS = 10.0
"""After so long, beside TensorFlow's start, only first kinds of a stage and modality are begun."""
MEMORY = 2**31  # bytes that there have to be for a process
LARGE = 2 * 10**9  # multiply-adds of a batch that is measured, at most, if it has more than one
STAGES = ("dataset", "spectrograms", "frames", "pictures", "pretrain", "downstream")
"""What is measured; the other stages are taken for like these, or for short."""
Measurement = tuple[float, float]  # seconds before the first unit, and of a unit


def unknown(params: Params, jobs: Iterable[Job], paces: Paces) -> list[tuple[Job, Work]]:
    """A job of each kind that can be measured and of which nothing is known.

    First one of each stage and modality, since others can be judged by it: the kind that there is
    most to do of. The amount of work is that of all the jobs of the kind.
    """
    kinds: dict[tuple[str, ...], tuple[Job, Work]] = {}
    for job in jobs:
        what = work(params, job)
        if paces.knows(what):
            continue
        stage = LIKE.get(what.stage, what.stage)
        if stage in STAGES:
            kind = (stage, *what.kind[1:])
            others = kinds[kind][1].amount if kind in kinds else 0.0
            kinds[kind] = job._replace(rule=stage), Work(kind, others + what.amount)
    found = sorted(kinds.values(), key=lambda one: (STAGES.index(one[1].stage), -one[1].amount))
    return sorted(found, key=lambda one: not _first(one, found))


def _first(one: tuple[Job, Work], found: list[tuple[Job, Work]]) -> bool:
    """Whether a kind is the first of its stage and modality."""
    return one is next(other for other in found if other[1].kind[:2] == one[1].kind[:2])


def measure(
    params: Params, wanted: list[tuple[Job, Work]], folder: Folder, seconds: float = SECONDS
) -> None:
    """Measure kinds of work, and keep what was found in a folder of benchmarks.

    Args:
        params: the study.
        wanted: a job of each kind, from :func:`unknown`.
        folder: takes what is found; it is written.
        seconds: when they are over, only a first kind of each stage and modality is begun.

    Raises:
        RuntimeError: where a process fails; the message is the last that it said.
    """
    many = min(os.cpu_count() or 1, max(1, _memory() // MEMORY))
    jobs = [
        [job.rule, dict(job.wildcards), list(what.kind), _first((job, what), wanted)]
        for job, what in wanted
    ]
    # With fewer kinds than processes some are measured by several.
    shares = [jobs[place::many] or [jobs[place % len(jobs)]] for place in range(many)]
    found = _answers(params, shares, seconds)
    # Libraries that were not read for long are read from the disk: a job's start is a second one.
    found |= _answers(params, [[]] * many, seconds)
    for name, several in found.items():
        first, each = (median(values) for values in zip(*several, strict=True))
        folder.measured[name] = {"first": first, "each": each}
    folder.write()


def _answers(
    params: Params, shares: list[list[Any]], seconds: float
) -> dict[str, list[Measurement]]:
    """What a process for each share measures, side by side.

    Raises:
        RuntimeError: where a process fails; the message is the last that it said.
    """
    question = {
        "params": params.model_dump(exclude_none=True),
        "seconds": seconds,
        "began": time.time(),
    }
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "TF_FORCE_GPU_ALLOW_GROWTH": "true"}
    environment |= dict.fromkeys(LIBRARIES, "1")
    started = []
    try:
        for share in shares:
            with tempfile.TemporaryFile("w+") as file:
                json.dump({**question, "jobs": share}, file)
                file.seek(0)
                process = subprocess.Popen(
                    [sys.executable, "-m", "study.measuring"],
                    stdin=file,
                    stdout=subprocess.PIPE,
                    stderr=subprocess.PIPE,
                    text=True,
                    env=environment,
                )
            started.append(process)
        found: dict[str, list[Measurement]] = {}
        for process in started:
            said, complaints = process.communicate()
            if process.returncode:
                lines = complaints.strip().splitlines() or [f"status {process.returncode}"]
                raise RuntimeError(lines[-1])
            for name, measurement in json.loads(said.splitlines()[-1]):
                found.setdefault(name, []).append(measurement)
        return found
    finally:
        for process in started:
            if process.poll() is None:
                process.kill()
                process.wait()


def _memory() -> int:
    try:
        return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (ValueError, OSError):
        return MEMORY  # not told by this system


# In a process that measures


class Watch:
    """A progress callback that times each item and ends once there was time for some."""

    def __init__(self, seconds: float) -> None:
        self.seconds, self.times = seconds, [time.perf_counter()]

    def __call__(self, items: Iterable[Any], **_: Any) -> Iterator[Any]:
        for item in items:
            yield item
            self.times.append(time.perf_counter())
            if len(self.times) > 3 and self.times[-1] - self.times[0] > self.seconds:
                return

    def measured(self, units: float) -> Measurement:
        """Seconds of items of so many units each: the first, which compiles, beyond the others."""
        first, *others = np.diff(self.times)
        each = median(others)
        return max(float(first) - each, 0.0), each / units


def timed(function: Callable[[], Any], seconds: float, units: float = 1) -> Measurement:
    """The same of calls of a function."""
    watch = Watch(seconds)
    for _ in watch(range(10**6)):
        function()
    return watch.measured(units)


def rendering(params: Params, study: Study, seconds: float) -> Measurement:
    """How long a candidate note takes, a pixel of a clip or scene, or a file of a folder."""
    settings = getattr(params, study.dataset)
    if study.dataset == "notes":
        from shuffle_to_learn.datasets import soundfont
        from shuffle_to_learn.datasets.instruments import spread
        from study.soundfonts import instruments

        pitch = (settings.pitch_min + settings.pitch_max) // 2
        notes = soundfont.candidates(spread(4, instruments(settings)), [pitch], settings.seed)
        soundfont.start_worker()

        def render() -> None:
            soundfont.listen(notes, 0.9)
            for note in notes:
                soundfont.render(note)

        return timed(render, seconds, len(notes))
    if study.dataset == "motions":
        from shuffle_to_learn.datasets import motions

        shares = dict(zip(("train", "valid", "test"), settings.shares, strict=True))
        clips = motions.plan(
            {"train": 12, "valid": 0, "test": 0},
            glyph_shares=shares,
            textures=settings.textures,
            webm_share=settings.webm_share,
            frames=(settings.frames_min, settings.frames_max),
            seed=settings.seed,
        )
        pixels = settings.size**2 * sum(clip.frames for clip in clips) / len(clips)
        with tempfile.TemporaryDirectory() as folder:
            (Path(folder) / clips[0].video).parent.mkdir(parents=True, exist_ok=True)
            watch = Watch(seconds)
            for clip in watch(clips * 100):
                motions.write(clip, Path(folder), settings.size)
        return watch.measured(pixels)
    if study.dataset == "scenes":
        from shuffle_to_learn.datasets import scenes

        look = scenes.Settings(
            size=settings.size,
            objects=settings.objects,
            materials=settings.materials,
            shares=settings.shares,
        )
        watch = Watch(seconds)
        for scene in watch(scenes.draw("train", 10**6, seed=settings.seed, settings=look)):
            scenes.encoded(scene, look)
        return watch.measured(settings.size**2)
    return extraction(params, study, seconds)  # a file is read once to see whether it can be


def extraction(params: Params, study: Study, seconds: float) -> Measurement:
    """How long an input takes, from what is stored to features."""
    rng = np.random.default_rng(0)
    settings = study.features.model_dump(exclude={"max_rejected"})
    if study.extraction == "spectrograms":
        from shuffle_to_learn.features.spectrogram import log_mel

        recording = params.recording
        sound = rng.normal(size=recording.samples).astype(np.float32)
        rate = recording.sample_rate
        return timed(lambda: log_mel(sound, sample_rate=rate, **settings), seconds)
    import cv2

    cv2.setNumThreads(1)
    dataset = getattr(params, study.dataset)
    picture = cv2.resize(rng.integers(0, 255, (30, 40, 3)).astype(np.uint8), (500, 375))
    if hasattr(dataset, "size"):
        picture = cv2.resize(picture, (dataset.size, dataset.size))
    if study.extraction == "pictures":
        from shuffle_to_learn.features.pictures import read_picture

        content = cv2.imencode(".jpg", picture)[1].tobytes()
        return timed(lambda: read_picture(content, **settings), seconds)
    from shuffle_to_learn.datasets.motions import encode
    from shuffle_to_learn.features.video import read_frames

    small = picture if hasattr(dataset, "size") else cv2.resize(picture, (320, 240))
    frames = getattr(dataset, "frames_max", 48)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / ("a.mp4" if hasattr(dataset, "size") else "a.webm")
        encode(np.stack([np.roll(small, 4 * place, axis=1) for place in range(frames)]), path)
        return timed(lambda: read_frames(path, **settings), seconds)


def network(study: Study, slicing: Slicing, seconds: float) -> Measurement:
    """How long a multiply-add of a network takes in training."""
    from shuffle_to_learn.models.cfn import build_cfn
    from shuffle_to_learn.pretext.methods import METHODS
    from shuffle_to_learn.pretext.pretraining import Pretraining

    settings, cost = study.pretrain, multiply_adds_of(study, slicing)
    method = METHODS["mse"](slicing.patches)
    tile = slicing.tile_shape(study.shape, settings.gap)
    model = build_cfn(slicing.patches, tile, method.outputs, seed=0, **settings.network)
    batch = int(np.clip(LARGE // cost.forward, 1, settings.batch_size))
    one = np.random.default_rng(0).integers(0, 255, (1, *study.shape)).astype(np.uint8)
    if study.extraction == "spectrograms":
        one = (one / 255).astype(np.float16)
    x = np.broadcast_to(one, (1000 * batch, *study.shape))
    watch = Watch(seconds)
    training = Pretraining(model, method, slicing, gap=settings.gap, epochs=1, batch_size=batch)
    training.run_epoch(x, watch)
    first, each = watch.measured(batch * cost.training)
    start = time.perf_counter()
    training.evaluate(x[:batch], batch)
    return first + time.perf_counter() - start, each


def probing(study: Study, features: int) -> Measurement:
    """How long a multiply-add of the study's probe takes, in a fit of half the expected steps."""
    from shuffle_to_learn.evaluation.probes import Settings, predict_with_probes

    down = study.downstream
    fit = down.model_dump(include=set(Settings.__dataclass_fields__) - {"hidden"})
    looks = max(1, round(steps_taken(down) / down.evaluate_every / 2))
    fit |= {"steps": looks * down.evaluate_every, "patience": looks + 1}
    settings = Settings(hidden=tuple(down.hidden) if down.probe == "mlp" else (), **fit)
    n, queries = min(down.n_examples), 250
    rng = np.random.default_rng(0)
    x = rng.normal(size=(n, features)).astype(np.float32)
    y, asked = np.arange(n) % CLASSES, np.resize(x, (queries, features))
    subsets = [rng.permutation(n) for _ in range(down.replicates)]

    start = time.perf_counter()
    predict_with_probes(x, y, subsets, asked, classes=CLASSES, settings=settings)
    took = time.perf_counter() - start
    # As `probe` counts it, of as many steps as were taken.
    counted = down.model_copy(update=fit)
    told = study.model_copy(update={"downstream": counted})
    return 0.0, took / (down.replicates * probe(told, features, n, queries, down.probe))


def _measure_one(params: Params, job: Job, seconds: float) -> Measurement:
    for modality, study in params.studies.items():
        told = (job.wildcards.get("modality"), job.wildcards.get("dataset"), job.rule)
        if modality == told[0] or study.dataset == told[1] or study.extraction == told[2]:
            break
    if job.rule == "dataset":
        return rendering(params, study, seconds)
    if job.rule == study.extraction:
        return extraction(params, study, seconds)
    slicing = job.wildcards.get("slicing", WHOLE)
    if job.rule == "downstream":
        return probing(study, probed(study, slicing, job.wildcards["method"]))
    return network(study, Slicing.parse(slicing), seconds)


def main() -> None:
    with os.fdopen(os.dup(1), "w") as answer:
        os.dup2(2, 1)  # what libraries print is no answer
        json.dump(_answer(json.load(sys.stdin)), answer)


def _answer(question: dict[str, Any]) -> list[tuple[str, Measurement]]:
    """What was measured: by :data:`PLAIN`, :data:`TENSORFLOW` or a kind of work."""
    import pandas  # noqa: F401  # the start of a stage that reads tables

    from study.tensorflow import start_tensorflow

    params = Params.model_validate(question["params"])
    found: list[tuple[str, Measurement]] = []
    found.append((PLAIN, (0.0, time.time() - question["began"])))
    start_tensorflow(1)
    found.append((TENSORFLOW, (0.0, time.time() - question["began"])))
    end, left = time.monotonic() + question["seconds"], len(question["jobs"])
    for rule, wildcards, kind, needed in question["jobs"]:
        remaining = max(0.0, end - time.monotonic())
        if remaining or needed:
            # The most of a share is compiling; no more than some items are needed.
            seconds = min(remaining / left / 2, 2.0)
            measured = _measure_one(params, Job(rule, wildcards), seconds)
            found.append((json.dumps(kind), measured))
        left -= 1
    return found


if __name__ == "__main__":
    main()
