"""What the three embedded datasets look like: python docs/images/contact_sheets.py

Renders some notes, clips and scenes of params.yaml straight from the library, with no prepared
dataset, and writes notes.png, motions.png and scenes.png beside this file (or into the folder that
the first argument names), the same bytes every time. Takes less than a minute.
"""

from __future__ import annotations

import io
import sys
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import cv2
import matplotlib
import numpy as np
import yaml

matplotlib.use("agg")

import matplotlib.pyplot as plt
from PIL import Image, ImageDraw, ImageFont

sys.path.insert(0, str(Path(__file__).parents[2]))

from shuffle_to_learn.datasets import motions, notes, scenes, soundfont
from shuffle_to_learn.datasets.instruments import melodic, spread
from shuffle_to_learn.features.spectrogram import log_mel
from shuffle_to_learn.features.video import read_clip
from study.drawing import rc

PARAMS = Path(__file__).parents[2] / "params.yaml"

NOTES = 12
PITCHES = (48, 55, 60, 67, 72)  # heard of every instrument; one of them is shown
CHOICE = 20  # clips of a label, of which one is shown
SAMPLED, SHOWN = 20, (0, 4, 8, 11, 15, 19)  # frames
FRAME_SIZE = 72
ROWS = {"train": 3, "test": 2}  # of scenes
COLUMNS = 6
GAP = 6  # pixels between pictures
INK, GRID = "#222222", "#ffffff"


class Sheet:
    """A white picture that grows downwards, with pictures and text on it pixel by pixel."""

    def __init__(self, width: int) -> None:
        self._image = Image.new("RGB", (width, 4000), "white")
        self._draw = ImageDraw.Draw(self._image)
        folder = Path(matplotlib.get_data_path()) / "fonts/ttf"
        self._fonts = {
            bold: str(folder / f"DejaVuSans{'-Bold' if bold else ''}.ttf") for bold in (False, True)
        }
        self.bottom = GAP

    def text(self, text: str, left: int, top: int, *, size: int = 12, bold: bool = False) -> None:
        font = ImageFont.truetype(self._fonts[bold], size)
        self._draw.text((left, top), text, INK, font)

    def picture(self, picture: np.ndarray, left: int, top: int) -> None:
        self._image.paste(Image.fromarray(picture), (left, top))

    def line(self, ends: Sequence[float]) -> None:
        self._draw.line(list(ends), GRID, 2)

    def save(self, path: Path) -> None:
        save(self._image.crop((0, 0, self._image.width, self.bottom)), path)


def save(image: Image.Image, path: Path) -> None:
    """With 6 bits a channel, which cannot be told from 8 and takes two thirds of the bytes."""
    pixels = np.asarray(image.convert("RGB")).astype(int)
    rounded = np.minimum(4 * np.rint(pixels / 4), 255).astype(np.uint8)
    Image.fromarray(rounded).save(path, optimize=True)


def plain(items: Iterable[Any], **_: Any) -> Iterator[Any]:
    yield from items


def shares(section: dict[str, Any]) -> tuple[float, float, float]:
    """Of the things and surfaces that training, validation and test have."""
    valid, test = section["valid_share"], section["test_share"]
    return 1 - valid - test, valid, test


def draw_notes(params: dict[str, Any], path: Path) -> None:
    """Log-mel spectrograms: an instrument of each family, and a second one of the first."""
    settings = params["audio"]["spectrograms"]
    candidates = soundfont.candidates(melodic(), PITCHES, params["notes"]["seed"])
    with notes.workers(1) as pool:  # not every instrument passes
        heard = notes.audition(candidates, notes.Checks(), pool=pool, progress=plain)
    instruments = spread(NOTES, {note.instrument for note in heard if not note.reason})
    renderer = soundfont.Renderer()
    with matplotlib.rc_context({**rc(), "axes.grid": False, "savefig.dpi": 110}):
        figure, axes = plt.subplots(3, 4, figsize=(9, 6.6), sharex=True, sharey=True)
        for place, (instrument, axis) in enumerate(zip(instruments, axes.flat, strict=True)):
            good = [note for note in heard if note.instrument == instrument and not note.reason]
            note = good[place % len(good)]
            audio = renderer.note(instrument, note.pitch, note.velocity)
            image = log_mel(audio, sample_rate=soundfont.SAMPLE_RATE, **settings)
            axis.imshow(image, origin="lower", aspect="auto", cmap="magma", vmin=0, vmax=1)
            axis.set_title(f"{instrument.family}: {instrument.name}\n{note.id}", fontsize=7.5)
        seconds = np.arange(4)
        axis.set_xticks(seconds * soundfont.SAMPLE_RATE / settings["hop_length"], seconds)
        for axis in axes[-1]:
            axis.set_xlabel("seconds")
        for axis in axes[:, 0]:
            axis.set_ylabel("mel band")
        content = io.BytesIO()
        figure.savefig(content)
        plt.close(figure)
    save(Image.open(content), path)


def draw_motions(params: dict[str, Any], path: Path) -> None:
    """A training clip of each label: frames in order, as they are read from its file."""
    settings = params["motions"]
    labels = len(motions.LABELS)
    clips = motions.plan(
        {"train": CHOICE * labels, "valid": 0, "test": 0},
        glyph_shares=dict(zip(motions.SPLITS, shares(settings), strict=True)),
        textures=settings["textures"],
        webm_share=settings["webm_share"],
        frames=(settings["frames_min"], settings["frames_max"]),
        seed=settings["seed"],
    )
    shown = [easiest(clips[label::labels]) for label in range(labels)]
    strip, title = len(SHOWN) * (FRAME_SIZE + 2), 18
    sheet = Sheet(2 * strip + 5 * GAP)
    half = labels // 2
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "videos").mkdir()
        for place, clip in enumerate(shown):
            motions.write(clip, Path(folder), settings["size"])
            film = read_clip(Path(folder) / clip.video, SAMPLED, FRAME_SIZE)
            left = 2 * GAP + place // half * (strip + GAP)
            top = GAP + place % half * (FRAME_SIZE + title + GAP)
            sheet.text(clip.motion.label, left, top)
            for i, frame in enumerate(film[list(SHOWN)]):
                sheet.picture(frame, left + i * (FRAME_SIZE + 2), top + title)
            sheet.bottom = max(sheet.bottom, top + title + FRAME_SIZE + GAP)
    sheet.save(path)


def easiest(clips: Sequence[motions.Clip]) -> motions.Clip:
    """The first in which nothing crosses an edge, or else the least: hard to follow on paper."""
    return next((clip for clip in clips if margin(clip) > 0), max(clips, key=margin))


def margin(clip: motions.Clip) -> float:
    """How far inside the picture both things stay, negative where one crosses an edge.

    Where they are never apart, the one may hide what the other does: minus infinity.
    """
    scene = clip.scene()
    states = clip.motion.states(scene, np.linspace(0, 1, SAMPLED))
    states[..., :2] -= np.floor(states[0, :, :2])
    centre, half = states[..., :2], states[..., motions.SIDE, None] / 2
    if np.linalg.norm(centre[:, 0] - centre[:, 1], axis=1).max() < scene.contact:
        return -np.inf
    return float(np.minimum(centre - half, 1 - centre - half).min())


def draw_scenes(params: dict[str, Any], path: Path) -> None:
    """Scenes for training and for testing, as they are read from their files."""
    section = params["scenes"]
    settings = scenes.Settings(
        size=section["size"],
        objects=section["objects"],
        materials=section["materials"],
        shares=shares(section),
    )
    size, caption = settings.size, 32
    sheet = Sheet(COLUMNS * (size + GAP) + GAP)
    for split, rows in ROWS.items():
        about = "; over the first, the 3 x 3 patches" if split == "train" else ""
        sheet.text(f"{split}{about}", GAP, sheet.bottom, size=14, bold=True)
        sheet.bottom += 22
        drawn = scenes.draw(split, rows * COLUMNS, seed=section["seed"], settings=settings)
        for place, scene in enumerate(drawn):
            left = GAP + place % COLUMNS * (size + GAP)
            top = sheet.bottom + place // COLUMNS * (size + caption + GAP)
            _, content, seen = scenes.encoded(scene, settings)
            picture = cv2.imdecode(np.frombuffer(content, np.uint8), cv2.IMREAD_COLOR_RGB)
            sheet.picture(picture, left, top)
            labels = sorted({one.label for one in seen})
            sheet.text(lines(labels), left, top + size + 2, size=10)
            if split == "train" and place == 0:
                for cut in (size / 3, 2 * size / 3):
                    sheet.line((left + cut, top, left + cut, top + size - 1))
                    sheet.line((left, top + cut, left + size - 1, top + cut))
        sheet.bottom += rows * (size + caption + GAP)
    sheet.save(path)


def lines(labels: Sequence[str], most: int = 25) -> str:
    """Labels with commas between them, in lines of at most so many letters."""
    text = ""
    for label in labels:
        last = text.rpartition("\n")[2]
        between = "\n" if len(last) + len(label) + 2 > most else " "
        text += f",{between}{label}" if text else label
    return text


def main() -> None:
    folder = Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).parent
    params = yaml.safe_load(PARAMS.read_text(encoding="utf-8"))
    draw_notes(params, folder / "notes.png")
    draw_motions(params, folder / "motions.png")
    draw_scenes(params, folder / "scenes.png")


if __name__ == "__main__":
    main()
