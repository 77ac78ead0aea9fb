"""Clips read with OpenCV beside PyAV: python benchmarks/decoding.py

Times shuffle_to_learn.features.video.read_clip, and two ways of doing the same with PyAV, on the
same files: frames sampled uniformly, the square in their middle, resized. The files are clips of
the embedded dataset motions as mp4 and webm, the same clips as avi (Motion JPEG), and wide webm
clips, as large as Something-Something's, which a clip that wraps round gives when it is laid side
by side.

Both run on one core with one thread, each in a process of its own, in turns: rounds in random
order, medians of the rounds. The files are in the page cache. PyAV lives in an environment of its
own, benchmarks/.peers/decoding, set up at the first run (0.4 GB).

Writes benchmarks/decoding.md, where what is written by hand stays. Takes about two minutes. A
machine that does nothing else meanwhile is needed for numbers that mean something.
"""

from __future__ import annotations

import argparse
import os
import random
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Callable
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np

sys.path.insert(0, str(Path(__file__).parent.parent))  # this file also runs in PyAV's environment

from benchmarks import ranking
from benchmarks.ranking import PeerError, Process, clock, machine, one_line, read_page, table

PAGE = Path(__file__).with_suffix(".md")
PEER = ranking.PEERS / "decoding"
PYAV = "av==18.1.0"
OPENCV = "opencv-python-headless"

FRAMES, SIZE = 20, 64
WIDE = (240, 426)
FILES = {  # a folder of clips: what is in it
    "mp4": "mp4 (MPEG-4), 128 x 128",
    "webm": "webm (VP8), 128 x 128",
    "avi": "avi (Motion JPEG), 128 x 128",
    "wide": f"webm (VP8), {WIDE[1]} x {WIDE[0]}",
}

Reader = Callable[[Path], np.ndarray]  # of a file: frames (FRAMES, SIZE, SIZE, 3)


# Readers


def with_read_clip() -> Reader:
    import cv2

    from shuffle_to_learn.features.video import read_clip

    cv2.setNumThreads(1)  # as the study's workers do
    return partial(read_clip, frames=FRAMES, size=SIZE)


def with_pyav(resize: str) -> Reader:
    """What one would write with PyAV: decode all frames, convert those that are sampled.

    Args:
        resize: ``OpenCV``: frames are converted whole and resized as read_clip does;
            ``FFmpeg``: they are converted and resized in one step, by FFmpeg, and then cropped.
    """
    import av
    import cv2

    cv2.setNumThreads(1)

    def shrunk(frame: Any) -> np.ndarray:
        scale = SIZE / min(frame.height, frame.width)
        height, width = round(frame.height * scale), round(frame.width * scale)
        small = frame.to_ndarray(format="rgb24", width=width, height=height, interpolation="AREA")
        top, left = (height - SIZE) // 2, (width - SIZE) // 2
        return small[top : top + SIZE, left : left + SIZE]

    def converted(frame: Any) -> np.ndarray:
        side = min(frame.height, frame.width)
        top, left = (frame.height - side) // 2, (frame.width - side) // 2
        square = frame.to_ndarray(format="rgb24")[top : top + side, left : left + side]
        return cv2.resize(square, (SIZE, SIZE), interpolation=cv2.INTER_AREA)

    convert = {"OpenCV": converted, "FFmpeg": shrunk}[resize]

    def read(path: Path) -> np.ndarray:
        with av.open(str(path)) as container:
            stream = container.streams.video[0]
            stream.thread_type = "NONE"
            stream.codec_context.thread_count = 1
            film = list(container.decode(stream))
        places = (2 * np.arange(FRAMES) + 1) * len(film) // (2 * FRAMES)
        return np.stack([convert(film[place]) for place in places])

    return read


OURS, THEIRS = "this project", "PyAV"
READERS: dict[str, tuple[str, Callable[[], Reader]]] = {
    "`read_clip`": (OURS, with_read_clip),
    "PyAV, resized by OpenCV": (THEIRS, partial(with_pyav, "OpenCV")),
    "PyAV, resized by FFmpeg": (THEIRS, partial(with_pyav, "FFmpeg")),
}
PACKAGES = {OURS: (OPENCV, "numpy"), THEIRS: ("av",)}


# The processes


def serve(process: str) -> None:
    """Answer the questions of the process that measures."""
    replies = ranking.reply_stream()
    readers: dict[str, Reader] = {}

    def answer(what: str, reader: str = "", folder: str = "") -> Any:
        if what == "versions":
            return {name: version(name) for name in PACKAGES[process]}
        if reader not in readers:
            readers[reader] = READERS[reader][1]()
        read, paths = readers[reader], sorted(Path(folder).iterdir())
        if what == "clips":
            file = Path(folder).with_suffix(f".{process.replace(' ', '-')}.npy")
            np.save(file, np.stack([read(path) for path in paths]))
            return str(file)
        return clock(lambda _: [read(path) for path in paths], 1) / len(paths)

    ranking.respond(answer, replies)


def set_up(folder: Path) -> str | None:
    """Install PyAV into an environment; why it did not install."""
    python = str(folder / "bin/python")
    pip = [python, "-m", "pip", "--disable-pip-version-check", "install", "--quiet"]
    steps = [[*pip, PYAV, *(f"{name}=={version(name)}" for name in PACKAGES[OURS])]]
    if not Path(python).exists():
        print(f"PyAV in {folder}: the first time this takes a minute", file=sys.stderr)
        steps.insert(0, [sys.executable, "-m", "venv", str(folder)])
    for step in steps:
        done = subprocess.run(step, capture_output=True, text=True)
        if done.returncode:
            sys.stderr.write(done.stdout + done.stderr)
            said = [line for line in (done.stdout + done.stderr).splitlines() if line.strip()]
            return f"did not install: {one_line((said or [''])[-1])}"
    return None


def processes(peer: Path | None) -> dict[str, Process]:
    failed = set_up(PEER) if peer is None else None
    python, environment = (peer or PEER).absolute() / "bin/python", dict(os.environ)
    return {
        OURS: Process(OURS, Path(sys.executable), environment, script=__file__),
        THEIRS: Process(THEIRS, python, environment, failed, script=__file__),
    }


# The files


def write_files(folder: Path, clips: int) -> None:
    """The same clips in each folder of FILES; the wide ones are rendered larger."""
    from shuffle_to_learn.datasets import motions

    plan = motions.plan(
        {"train": clips, "valid": 0, "test": 0},
        glyph_shares={"train": 0.6, "valid": 0.15, "test": 0.25},
        textures=200,
        webm_share=0,
        frames=(24, 30),
        seed=0,
    )
    for name in FILES:
        (folder / name).mkdir()
    for clip in plan:
        film = motions.render(clip, 128)
        for suffix in ("mp4", "webm"):  # what the dataset is made of
            motions.encode(film, folder / suffix / f"{clip.id}.{suffix}")
        encode_avi(film, folder / "avi" / f"{clip.id}.avi")
        film = motions.render(clip, WIDE[0])
        film = np.concatenate([film, film], axis=2)[:, :, : WIDE[1]]
        motions.encode(film, folder / "wide" / f"{clip.id}.webm")


def encode_avi(film: np.ndarray, path: Path) -> None:
    import cv2

    codec, (height, width) = cv2.VideoWriter.fourcc(*"MJPG"), film.shape[1:3]
    writer = cv2.VideoWriter(str(path), cv2.CAP_FFMPEG, codec, 12, (width, height))
    if not writer.isOpened():
        raise SystemExit("error: OpenCV cannot write avi files here")
    for frame in film:
        writer.write(cv2.cvtColor(frame, cv2.COLOR_RGB2BGR))
    writer.release()


# The run


def measure(found: dict[str, Process], folder: Path, rounds: int) -> dict[str, ranking.Cell]:
    """Seconds a clip of each reader, in random order in each round; the first does not count."""
    cells: dict[str, ranking.Cell] = {name: [] for name in READERS}
    rng = random.Random(0)
    for turn in range(rounds + 1):
        for name in rng.sample(list(READERS), len(READERS)):
            cell = cells[name]
            if isinstance(cell, str):
                continue
            try:
                ask = found[READERS[name][0]].ask
                seconds = ask(what="round", reader=name, folder=str(folder))
            except PeerError as error:
                cells[name] = str(error)
            else:
                cell += [seconds] if turn else []
    return cells


def row(found: dict[str, Process], folder: Path, cells: dict[str, ranking.Cell]) -> list[str]:
    ours, *theirs = cells.values()
    shown = [
        cell if isinstance(cell, str) else f"{1 / statistics.median(cell):.0f}"
        for cell in cells.values()
    ]
    timed = [statistics.median(cell) for cell in theirs if not isinstance(cell, str)]
    compared = timed and not isinstance(ours, str)
    ratio = f"{min(timed) / statistics.median(ours):.2f}" if compared else ""
    return [FILES[folder.name], *shown, ratio, *differences(found, folder)]


def differences(found: dict[str, Process], folder: Path) -> list[str]:
    """The largest between what read_clip gives and PyAV resized by OpenCV."""
    clips = []
    for name in list(READERS)[:2]:
        try:
            file = found[READERS[name][0]].ask(what="clips", reader=name, folder=str(folder))
        except PeerError:
            return [""]
        clips.append(np.load(file).astype(np.int16))
    return [f"{np.abs(clips[0] - clips[1]).max()}"]


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--clips", type=int, default=100, help="default: 100")
    parser.add_argument("--rounds", type=int, default=9, help="default: 9")
    parser.add_argument(
        "--peer",
        type=Path,
        metavar="FOLDER",
        help="a virtual environment with PyAV, NumPy and OpenCV, used as it is in place of "
        "benchmarks/.peers/decoding",
    )
    parser.add_argument("--serve", choices=PACKAGES, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.serve:
        serve(args.serve)
        return
    if args.clips < 1 or args.rounds < 1:
        parser.error("--clips and --rounds want at least 1")
    if args.peer and not (args.peer / "bin/python").exists():
        parser.error(f"--peer {args.peer}: is no virtual environment")
    by_hand, where = read_page(PAGE, "Clips read with OpenCV beside PyAV"), machine()
    found = processes(args.peer)
    rows, every = [], []
    with tempfile.TemporaryDirectory() as folder:
        write_files(Path(folder), args.clips)
        if hasattr(os, "sched_setaffinity"):  # for both processes, which start now
            os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:1])
        for name in FILES:
            print(FILES[name], file=sys.stderr)
            cells = measure(found, Path(folder) / name, args.rounds)
            every += cells.values()
            rows.append(row(found, Path(folder) / name, cells))
    told: dict[str, str] = {}
    for process in found.values():
        try:
            told |= process.ask(what="versions")
        except PeerError:
            continue  # its cells say why
        finally:
            process.close()
    header = ["file", *READERS, "`read_clip` beside the faster PyAV", "difference"]
    lines = [
        f"`python benchmarks/decoding.py --clips {args.clips} --rounds {args.rounds}`",
        "",
        *table(header, rows),
        "",
        f"Clips a second, medians of {args.rounds} rounds; {args.clips} clips of 24 to 30 frames, "
        f"{FRAMES} of them sampled, {SIZE} x {SIZE} RGB.",
        "The difference is the largest between a value of `read_clip` and of PyAV resized by "
        "OpenCV, out of 255.",
        ranking.spread(every),
        f"One core, one thread each; {where}, "
        + ", ".join(f"{name} {number}" for name, number in sorted(told.items()))
        + ".",
    ]
    print("\n".join(lines))
    ranking.write_page(PAGE, by_hand, "\n".join(lines))


if __name__ == "__main__":
    main()
