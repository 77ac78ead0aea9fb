"""The embedded dataset `motions`: clips of moving things, labelled as in Something-Something.

Every clip shows two things, a small one and a large one in front of it. The picture wraps round: a
thing that leaves on one side comes in on the other. So the place of a thing says nothing about its
motion, and only the order of the frames tells the label. Things slow down by friction and fall by
gravity, which gives time a direction. TensorFlow is never imported where clips are rendered: the
functions run in worker processes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Executor
from contextlib import AbstractContextManager
from dataclasses import dataclass
from functools import cache, lru_cache, partial
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import tensorflow_datasets as tfds

from shuffle_to_learn.datasets import builder, glyphs
from shuffle_to_learn.datasets.builder import Rendered
from shuffle_to_learn.stderr import stderr_aside

SPLITS = ("train", "valid", "test")

FRAMES_PER_SECOND = 12.0
SMALL, LARGE = 0, 1
X, Y, SIDE, ANGLE = range(4)

_DRAW, _RENDER, _TEXTURE, _SPLIT = range(4)  # part of the seed: the use of a random number
_CODECS = {".mp4": "mp4v", ".webm": "VP80"}


@dataclass(frozen=True)
class Scene:
    """The random numbers of a clip, drawn alike for every label. Lengths are in picture widths.

    Attributes:
        sides: side of the small and of the large thing.
        angles: angle of the small and of the large thing, in degrees clockwise.
        mover: the thing that moves, in motions where only one moves: ``SMALL`` or ``LARGE``.
        travel: how far the mover goes.
        growth: the factor by which the mover grows, in motions towards the camera.
        grown: the mover's side in ``sides`` is ``growth**grown`` times its side in the middle of
            such a motion; within [-0.5, 0.5].
        turn: the angle by which the mover turns, in degrees.
        slowing: loss of speed by friction: the speed falls from 1 + slowing to 1 - slowing times
            the mean speed.
        direction: direction of the line through two things, in radians.
        slant: how far two things are off a level line.
        gap: distance between two things before one touches the other.
        approach: by how much the distance between two things changes.
        landing: when a fall ends, as a share of the clip.
        bounce: the share of its speed that a thing keeps when it bounces.
        offset: from the mover to a thing that takes no part in the motion, when the mover has gone
            the share ``meeting`` of its way.
        meeting: see ``offset``.
        origin: where the motion takes place on the picture, x and y.
    """

    sides: np.ndarray
    angles: np.ndarray
    mover: int
    travel: float
    growth: float
    grown: float
    turn: float
    slowing: float
    direction: float
    slant: float
    gap: float
    approach: float
    landing: float
    bounce: float
    offset: np.ndarray
    meeting: float
    origin: np.ndarray

    @classmethod
    def draw(cls, rng: np.random.Generator) -> Scene:
        mover = int(rng.integers(2))
        growth, grown = rng.uniform(1.5, 1.7), rng.uniform(-0.5, 0.5)
        sides = rng.uniform(0.15, 0.24) * np.array([1, rng.uniform(1.5, 1.8)])
        # In every clip, so that a large or small side does not tell motions to or from the camera.
        sides[mover] *= growth**grown
        # A bystander is as near the mover as a thing that takes part, and in a similar direction.
        level, upright = rng.integers(0, 2, 2), 0.5 + rng.integers(0, 2)
        bearing = rng.choice([*rng.uniform(0, 2, 2), *level, upright])
        distance, slant = rng.uniform(0, 0.5), rng.uniform(-0.04, 0.04)
        towards = np.array([np.cos(np.pi * bearing), np.sin(np.pi * bearing)])
        return cls(
            sides=sides,
            angles=rng.uniform(0, 360, 2),
            mover=mover,
            travel=rng.uniform(0.35, 0.6),
            growth=growth,
            grown=grown,
            turn=rng.uniform(100, 200),
            slowing=rng.uniform(0.5, 0.8),
            direction=rng.uniform(0, 2 * np.pi),
            slant=slant,
            gap=rng.uniform(0.08, 0.2),
            approach=rng.uniform(0.2, 0.3),
            landing=rng.uniform(0.6, 0.85),
            bounce=rng.uniform(0.5, 0.65),
            offset=distance * towards + slant * np.array([-towards[1], towards[0]]),
            meeting=rng.uniform(),
            origin=rng.uniform(0, 1, 2),
        )

    @property
    def contact(self) -> float:
        """The distance between the centres of two things that touch: glyphs are roughly round."""
        return 0.45 * float(self.sides.sum())

    def slowed(self, time: np.ndarray) -> np.ndarray:
        """The share of the way that a thing under friction has gone at times within [0, 1]."""
        return time + self.slowing * time * (1 - time)


def _none(share: Any) -> Any:
    return 0 * share


def _line(scene: Scene, share: np.ndarray, start: float, end: float) -> np.ndarray:
    way = np.array([np.cos(scene.direction), np.sin(scene.direction)])
    return (start + (end - start) * share)[:, None] * way


def _level(scene: Scene, x: np.ndarray) -> np.ndarray:
    return np.stack([x, np.broadcast_to(scene.slant, x.shape)], 1)


def _by_roles(scene: Scene, mover: np.ndarray, other: np.ndarray) -> np.ndarray:
    """States (frames, 2, 4) of a mover and another thing, with their sides and angles constant."""
    place = np.empty((len(mover), 2, 2))
    place[:, scene.mover], place[:, 1 - scene.mover] = mover, other
    return _states(scene, place)


def _states(scene: Scene, place: np.ndarray) -> np.ndarray:
    states = np.empty((len(place), 2, 4))
    states[..., :2], states[..., SIDE], states[..., ANGLE] = place, scene.sides, scene.angles
    return states


def _one_moves(
    scene: Scene, share: np.ndarray, x: Callable[..., Any] = _none, y: Callable[..., Any] = _none
) -> np.ndarray:
    def way(share: Any) -> np.ndarray:
        return np.stack([x(share), y(share)], -1)

    other = way(scene.meeting) + scene.offset
    return _by_roles(scene, way(share), np.broadcast_to(other, (len(share), 2)))


def _right(scene: Scene, share: np.ndarray) -> np.ndarray:
    return _one_moves(scene, share, x=lambda share: scene.travel * share)


def _up(scene: Scene, share: np.ndarray) -> np.ndarray:
    return _one_moves(scene, share, y=lambda share: -scene.travel * share)


def _nearer(scene: Scene, share: np.ndarray) -> np.ndarray:
    states = _one_moves(scene, share)
    states[:, scene.mover, SIDE] *= scene.growth ** (share - 0.5 - scene.grown)
    return states


def _clockwise(scene: Scene, share: np.ndarray) -> np.ndarray:
    states = _one_moves(scene, share)
    states[:, scene.mover, ANGLE] += scene.turn * share
    return states


def _cover(scene: Scene, share: np.ndarray) -> np.ndarray:
    way = _line(scene, share, scene.contact + scene.gap / 2, abs(scene.slant))
    return _states(scene, np.stack([0 * way, way], 1))


def _meet(scene: Scene, share: np.ndarray) -> np.ndarray:
    half = _line(scene, share, (scene.contact + scene.approach) / 2, scene.contact / 2)
    return _by_roles(scene, half, -half)


def _behind(scene: Scene, share: np.ndarray) -> np.ndarray:
    way = np.stack([scene.slant + 0 * share, (scene.contact + scene.gap) * (share - 1)], 1)
    return _states(scene, np.stack([way, 0 * way], 1))


def _push(scene: Scene, share: np.ndarray) -> np.ndarray:
    x = (scene.gap + scene.travel) * share
    return _by_roles(
        scene, np.stack([x, 0 * x], 1), _level(scene, scene.contact + np.maximum(x, scene.gap))
    )


def _hit(scene: Scene, time: np.ndarray) -> np.ndarray:
    blow = 1 - scene.landing  # as long after the start as a landing is before the end
    x = scene.gap * np.minimum(time / blow, 1)
    slide = scene.approach * scene.slowed(np.clip((time - blow) / (1 - blow), 0, 1))
    return _by_roles(
        scene, np.stack([x, 0 * x], 1), _level(scene, scene.contact + scene.gap + slide)
    )


def _bounce(scene: Scene, time: np.ndarray) -> np.ndarray:
    keep = scene.bounce
    fall = 1 / (1 + 2 * keep + 2 * keep**2)  # so that a fall and two bounces fill the clip

    def y(time: Any) -> np.ndarray:
        height = 1 - (time / fall) ** 2
        start = fall
        for speed in (keep, keep**2):
            z = (time - start) / (2 * fall * speed)
            height = np.where(z >= 0, speed**2 * 4 * z * (1 - z), height)
            start += 2 * fall * speed
        return -scene.travel * np.maximum(height, 0)

    return _one_moves(scene, time, y=y)


def _lift_and_drop(scene: Scene, time: np.ndarray) -> np.ndarray:
    fall = 0.2
    top = scene.landing - fall

    def y(time: Any) -> np.ndarray:
        height = np.where(time < top, time / top, 1 - ((time - top) / fall) ** 2)
        return -scene.travel * np.maximum(height, 0)

    return _one_moves(scene, time, y=y)


def _fall(scene: Scene, time: np.ndarray) -> np.ndarray:
    return np.minimum(time / scene.landing, 1) ** 2


@dataclass(frozen=True)
class Motion:
    """A class of clips: how the two things move.

    Attributes:
        template: the label's text in Something-Something, with ``[something]`` for each thing.
        path: maps a scene and shares of the way (frames,) to states (frames, 2, 4).
        timing: maps a scene and times within [0, 1] to shares of the way.
        reverse: the path is followed from its end to its start.
        mirror: the path is followed with left and right exchanged.
    """

    template: str
    path: Callable[[Scene, np.ndarray], np.ndarray]
    timing: Callable[[Scene, np.ndarray], np.ndarray] = Scene.slowed
    reverse: bool = False
    mirror: bool = False

    @property
    def label(self) -> str:
        """The name of the class: ``Moving something up``."""
        return self.template.replace("[something]", "something")

    def states(self, scene: Scene, times: np.ndarray) -> np.ndarray:
        """The positions, sides and angles of both things over time.

        Args:
            scene: the random numbers of the clip.
            times: shape (times,), within [0, 1].

        Returns:
            float64, shape (times, 2, 4): for the small and the large thing the x and y of the
            centre (x to the right, y down; the picture repeats with period 1 both ways) and the
            side, in picture widths, and the angle in degrees clockwise.
        """
        share = self.timing(scene, times)
        states = self.path(scene, 1 - share if self.reverse else share)
        if self.mirror:
            states[..., X] *= -1
        states[..., :2] += scene.origin
        return states


def _as_it_is(scene: Scene, time: np.ndarray) -> np.ndarray:
    return time


MOTIONS = (
    Motion("Moving [something] from left to right", _right),
    Motion("Moving [something] from right to left", _right, reverse=True),
    Motion("Moving [something] up", _up),
    Motion("Moving [something] down", _up, reverse=True),
    Motion("Moving [something] towards the camera", _nearer),
    Motion("Moving [something] away from the camera", _nearer, reverse=True),
    Motion("Turning [something] clockwise", _clockwise),
    Motion("Turning [something] counter-clockwise", _clockwise, reverse=True),
    Motion("Covering [something] with [something]", _cover),
    Motion("Uncovering [something]", _cover, reverse=True),
    Motion("Moving [something] and [something] closer to each other", _meet),
    Motion("Moving [something] and [something] away from each other", _meet, reverse=True),
    Motion("Pushing [something] from left to right", _push),
    Motion("Pushing [something] from right to left", _push, mirror=True),
    Motion("Dropping [something] behind [something]", _behind, _fall),
    Motion("Pulling [something] from behind of [something]", _behind, reverse=True),
    Motion("Hitting [something] so that it slides to the right", _hit, _as_it_is),
    Motion("Hitting [something] so that it slides to the left", _hit, _as_it_is, mirror=True),
    Motion("Letting [something] fall and bounce", _bounce, _as_it_is),
    Motion("Lifting [something] up, then letting it drop down", _lift_and_drop, _as_it_is),
)
LABELS = tuple(motion.label for motion in MOTIONS)


def one_way() -> tuple[str, ...]:
    """The labels of motions that are not another's reversal or mirror image.

    With these alone every label has an arrow of time: where things go tells an order from its
    reverse.
    """
    return tuple(motion.label for motion in MOTIONS if not (motion.reverse or motion.mirror))


@dataclass(frozen=True)
class Clip:
    """A clip to be rendered.

    Attributes:
        split: one of ``SPLITS``.
        index: number of the clip within the split.
        label: index of the clip's motion in :data:`MOTIONS`.
        things: the classes of the small and the large thing.
        pictures: the glyphs of the small and the large thing.
        texture: number of the background's texture.
        frames: number of frames.
        suffix: suffix of the file, ``.mp4`` or ``.webm``.
        seed: of the clip's random numbers, together with split and index.
    """

    split: str
    index: int
    label: int
    things: tuple[str, str]
    pictures: tuple[str, str]
    texture: int
    frames: int
    suffix: str
    seed: int

    @property
    def id(self) -> str:
        """The id in the dataset: ``train-00042``."""
        return f"{self.split}-{self.index:05d}"

    @property
    def video(self) -> str:
        """The path of the file below the dataset's folder."""
        return f"videos/{self.id}{self.suffix}"

    @property
    def motion(self) -> Motion:
        return MOTIONS[self.label]

    @property
    def placeholders(self) -> list[str]:
        """The class of every ``[something]`` in the label's template, in the template's order."""
        count = self.motion.template.count("[something]")
        path, mover = self.motion.path, self.scene().mover
        if path is _cover or path is _behind:
            roles = [SMALL, LARGE]
        elif path is _push or path is _hit:  # the thing that is pushed
            roles = [1 - mover]
        else:
            roles = [mover, 1 - mover]
        return [self.things[role] for role in roles[:count]]

    def scene(self) -> Scene:
        return Scene.draw(self.rng(_DRAW))

    def rng(self, use: int) -> np.random.Generator:
        return np.random.default_rng((self.seed, use, SPLITS.index(self.split), self.index))


def plan(
    counts: Mapping[str, int],
    *,
    glyph_shares: Mapping[str, float],
    textures: int,
    webm_share: float,
    frames: tuple[int, int],
    seed: int,
    labels: Sequence[str] = LABELS,
) -> list[Clip]:
    """Plan the clips of a dataset: labels balanced, no glyph and no texture in two splits.

    Args:
        counts: number of clips in each split.
        glyph_shares: share of the glyphs and of the textures in each split; they add up to 1.
        textures: number of textures, at least one for each split.
        webm_share: share of the clips that are webm files, at random; the others are mp4 files.
        frames: the smallest and the largest number of frames in a clip.
        seed: of the draws. A clip depends on the seed, its split and its index, but not on the
            number of clips.
        labels: those that clips have, some of :data:`LABELS`.

    Returns:
        The clips, split by split.

    Raises:
        ValueError: a split has no texture.
    """
    shares = [glyph_shares[split] for split in SPLITS]
    ends = np.rint(np.cumsum(shares) * textures).astype(int)
    numbers = np.random.default_rng((seed, _SPLIT)).permutation(textures)
    clips = []
    for split, parts, split_textures in zip(
        SPLITS, glyphs.split(shares, seed), np.split(numbers, ends[:-1]), strict=True
    ):
        if not len(split_textures):
            raise ValueError(f"{textures} textures are too few: {split} has none")
        for index in range(counts[split]):
            rng = np.random.default_rng((seed, _SPLIT, SPLITS.index(split), index))
            small, large = (str(name) for name in rng.choice(list(parts), 2, replace=False))
            clips.append(
                Clip(
                    split=split,
                    index=index,
                    label=LABELS.index(labels[index % len(labels)]),
                    things=(small, large),
                    pictures=(str(rng.choice(parts[small])), str(rng.choice(parts[large]))),
                    texture=int(rng.choice(split_textures)),
                    frames=int(rng.integers(frames[0], frames[1] + 1)),
                    suffix=".webm" if rng.uniform() < webm_share else ".mp4",
                    seed=seed,
                )
            )
    return clips


def render(clip: Clip, size: int, states: np.ndarray | None = None) -> np.ndarray:
    """Render the pictures of a clip.

    Args:
        clip: from :func:`plan`.
        size: side of the picture in pixels.
        states: states of the things that replace the motion's, see :meth:`Motion.states`.

    Returns:
        uint8, shape (frames, size, size, 3), RGB.
    """
    if states is None:
        states = clip.motion.states(clip.scene(), np.linspace(0, 1, clip.frames))
    rng = clip.rng(_RENDER)
    things = [_levels(name, rng) for name in clip.pictures]
    ground = np.roll(texture(clip.texture, size), rng.integers(0, size, 2), (0, 1))
    # OpenCV moves pictures of four channels faster than those of three.
    ground = cv2.cvtColor(ground, cv2.COLOR_RGB2RGBA)
    light = cv2.merge([_light(size, rng).astype(np.float64)] * 3)
    lit = np.empty_like(light)
    # A hand-held camera: a lossy codec renders a still background better and better from one key
    # frame to the next, which would reveal the order of the frames.
    shake = rng.normal(0, 0.7, (len(states), 2))
    flicker = rng.normal(1, 0.015, len(states))
    drawn = [_Drawn(thing, states[:, i], shake, size) for i, thing in enumerate(things)]
    film = np.empty((len(states), size, size, 3), np.uint8)
    for number, (frame, shift, gain) in enumerate(zip(film, shake, flicker, strict=True)):
        move = np.array([[1, 0, shift[0]], [0, 1, shift[1]]])
        moved = cv2.warpAffine(ground, move, (size, size), borderMode=cv2.BORDER_WRAP)
        canvas = cv2.cvtColor(moved, cv2.COLOR_RGBA2RGB)
        for thing in drawn:
            thing.paste(canvas, number)
        np.multiply(light, gain, out=lit)
        cv2.multiply(canvas, lit, frame, dtype=cv2.CV_8U)  # rounds, and clips to 0..255
    return film


@lru_cache(maxsize=512)
def _glyph(name: str) -> np.ndarray:
    return glyphs.picture(name)


def _levels(name: str, rng: np.random.Generator) -> list[np.ndarray]:
    """An image pyramid of a glyph, largest first, with varied colours and premultiplied alpha."""
    *colours, alpha = cv2.split(_glyph(name).astype(np.float32))
    mirrored = rng.integers(2)
    alpha /= 255
    # Plane by plane: numpy is slow where a pixel's channels lie side by side.
    for plane, factor in zip(colours, rng.uniform(0.8, 1.1, 3).astype(np.float32), strict=True):
        np.clip(plane * factor, 0, 255, out=plane)
        np.multiply(plane, alpha, out=plane)
    picture = cv2.merge([*colours, alpha])
    levels = [cv2.flip(picture, 1) if mirrored else picture]
    while levels[-1].shape[0] > 20:
        half = levels[-1].shape[0] // 2
        levels.append(cv2.resize(levels[-1], (half, half), interpolation=cv2.INTER_AREA))
    return levels


class _Drawn:
    """A thing and its shadow in every frame of a clip, on a canvas that wraps round.

    Args:
        levels: the thing, from :func:`_levels`.
        states: its states, shape (frames, 4).
        shake: by how many pixels the camera is off, shape (frames, 2).
        size: side of the canvas in pixels.
    """

    def __init__(
        self, levels: list[np.ndarray], states: np.ndarray, shake: np.ndarray, size: int
    ) -> None:
        sides = states[:, SIDE] * size
        centres = states[:, [X, Y]] * size + shake
        # Half a diagonal, and room for the shadow.
        self._reach = (np.ceil(sides * 0.71).astype(int) + 4).tolist()
        corners = np.floor(centres).astype(int) - np.array(self._reach)[:, None]
        self._corners = corners.tolist()
        self._pictures = [
            next(p for p in reversed(levels) if len(p) >= side or p is levels[0]) for side in sides
        ]
        pixels = np.array([len(picture) for picture in self._pictures])
        angles, scales = np.deg2rad(states[:, ANGLE]), sides / pixels
        cos, sin = np.cos(angles), np.sin(angles)
        turns = scales * np.array([[cos, -sin], [sin, cos]])
        middles = turns.sum(1) * ((pixels - 1) / 2)
        self._moves = np.concatenate([turns, ((centres - corners).T - middles)[:, None]], 1)

    def paste(self, canvas: np.ndarray, frame: int) -> None:
        """Draw the thing of a frame on a canvas, float32, shape (size, size, 3)."""
        side, size = 2 * self._reach[frame], len(canvas)
        patch = cv2.warpAffine(self._pictures[frame], self._moves[..., frame], (side, side))
        alpha = cv2.extractChannel(patch, 3)
        moved = cv2.copyMakeBorder(alpha, 2, 0, 2, 0, cv2.BORDER_WRAP)[:-2, :-2]
        shadow = cv2.blur(moved, (5, 5))
        # Of one shape: numpy is slow where it repeats a number along three channels.
        lit, clear = cv2.merge([1 - 0.35 * shadow] * 3), cv2.merge([1 - alpha] * 3)
        colour = cv2.cvtColor(patch, cv2.COLOR_RGBA2RGB)
        left, top = self._corners[frame]
        for inside, rows in _wrapped(top, side, size):
            for within, columns in _wrapped(left, side, size):
                part = canvas[rows, columns]
                part *= lit[inside, within]
                part *= clear[inside, within]
                part += colour[inside, within]


def _wrapped(start: int, length: int, size: int) -> Iterator[tuple[slice, slice]]:
    """The parts of a stretch that lies on a circle: where each is in the stretch and the circle."""
    done, place = 0, start % size
    while done < length:
        step = min(size - place, length - done)
        yield slice(done, done + step), slice(place, place + step)
        done, place = done + step, 0


def _light(size: int, rng: np.random.Generator) -> np.ndarray:
    """Light that falls off to one side: float32, shape (size, size)."""
    angle = rng.uniform(0, 2 * np.pi)
    axis = np.linspace(-0.5, 0.5, size)
    slope = np.cos(angle) * axis[None] + np.sin(angle) * axis[:, None]
    return (1 + rng.uniform(0, 0.3) * slope).astype(np.float32)


@cache
def texture(number: int, size: int) -> np.ndarray:
    """Draw a background that repeats without a seam.

    It is noise with a 1/f spectrum, more or less streaked, with or without stripes, in three
    colours.

    Args:
        number: of the texture.
        size: side in pixels.

    Returns:
        float32, shape (size, size, 3), within [0, 255].
    """
    rng = np.random.default_rng((_TEXTURE, number))
    fy, fx = np.fft.fftfreq(size)[:, None], np.fft.fftfreq(size)[None]
    streak = rng.uniform(0.4, 2.5)
    radius = np.hypot(fy * streak, fx / streak)
    radius[0, 0] = np.inf
    # The number of waves does not depend on the size, so a texture looks the same at every size.
    waves = 16
    spectrum = np.zeros((size, size), complex)
    near = np.ix_(np.arange(-waves, waves), np.arange(-waves, waves))
    noise = rng.standard_normal((2 * waves, 2 * waves, 2)) @ (1, 1j)
    spectrum[near] = (noise / radius[near] ** rng.uniform(0.9, 1.8)) * (radius[near] < np.inf)
    field = np.fft.ifft2(spectrum).real
    field /= field.std()
    kx, ky = rng.integers(-5, 6, 2)
    y, x = np.mgrid[:size, :size] / size
    stripes = np.sin(2 * np.pi * (kx * x + ky * y) + 0.7 * field)
    value = 0.5 + 0.25 * field + rng.choice([0, rng.uniform(0.1, 0.3)]) * stripes
    colours = rng.uniform(70, 190) + rng.uniform(-45, 45, 3) + rng.uniform(-35, 35, (3, 3))
    painted = [np.interp(value, [0, 0.5, 1], channel) for channel in colours.T]
    return np.clip(np.stack(painted, -1), 0, 255).astype(np.float32)


def encode(film: np.ndarray, path: Path) -> None:
    """Write pictures as a video file; the same pictures give the same bytes.

    Args:
        film: uint8, shape (frames, height, width, 3), RGB.
        path: the suffix, ``.mp4`` or ``.webm``, decides the format.

    Raises:
        RuntimeError: OpenCV has no such codec or cannot write the file.
    """
    height, width = film.shape[1:3]
    codec = cv2.VideoWriter.fourcc(*_CODECS[path.suffix])
    with stderr_aside():  # FFmpeg warns of every webm file that its container needs no codec tag
        writer = cv2.VideoWriter(
            str(path), cv2.CAP_FFMPEG, codec, FRAMES_PER_SECOND, (width, height)
        )
    if not writer.isOpened():
        raise RuntimeError(f"{path}: OpenCV cannot write {_CODECS[path.suffix]} videos here")
    for frame in film:
        writer.write(cv2.cvtColor(frame, cv2.COLOR_RGB2BGR))
    writer.release()
    if path.suffix == ".webm":
        _fix_identifiers(path)


def _fix_identifiers(path: Path) -> None:
    """Set the track's identifier in a webm file to 1; FFmpeg writes 8 random bytes."""
    content = bytearray(path.read_bytes())
    for element in (b"\x73\xc5\x88", b"\x63\xc5\x88"):  # of the track, and in its tags
        place = content.find(element, 0, 4096)
        if place >= 0:
            content[place + 3 : place + 11] = (1).to_bytes(8, "big")
    path.write_bytes(content)


def workers(count: int) -> AbstractContextManager[Executor]:
    """Worker processes that render clips, without TensorFlow."""
    return builder.workers(count, cv2.setNumThreads, 1)


def write(clip: Clip, folder: Path, size: int) -> Clip:
    """Render a clip to its file below ``folder``."""
    encode(render(clip, size), folder / clip.video)
    return clip


class Motions(Rendered):
    """Clips of moving things, as video files in the dataset's folder.

    To write the dataset, give the clips, the labels that they are of, the size of their pictures, a
    pool from :func:`workers` and a progress callback. A written dataset needs none of these and is
    read with ``tfds.builder_from_directory``. The feature ``video`` is the file's path below
    ``builder.data_path``.
    """

    VERSION = tfds.core.Version("1.0.0")
    UNIT = "clips"

    def __init__(
        self,
        *,
        clips: Sequence[Clip] = (),
        size: int = 128,
        labels: Sequence[str] = LABELS,
        **kwargs: Any,
    ) -> None:
        self._clips = clips
        self._size = size
        self._labels = labels
        super().__init__(**kwargs)

    def _info(self) -> tfds.core.DatasetInfo:
        return tfds.core.DatasetInfo(
            builder=self,
            description=(
                "Rendered clips of two drawn things on a texture, with labels that are in the "
                "order of the frames, as in Something-Something. No thing and no texture is in "
                f"two splits. This is not Something-Something. {glyphs.CREDIT}"
            ),
            features=features(self._labels),
            homepage="https://github.com/jdecked/twemoji",
        )

    def _split_generators(self, dl_manager: Any) -> dict[str, Iterator[tuple[str, dict]]]:
        return {split: self._generate_examples(split) for split in SPLITS}

    def _generate_examples(self, split: str) -> Iterator[tuple[str, dict]]:
        # TFDS writes to a folder with a temporary name and renames it at the end, videos included.
        folder = Path(self.data_path)
        clips = [clip for clip in self._clips if clip.split == split]
        to_file = partial(write, folder=folder, size=self._size)
        written = self._rendered(to_file, clips, total=len(clips), split=split)
        (folder / "videos").mkdir(exist_ok=True)
        for clip in written:
            yield (
                clip.id,
                {
                    "id": clip.id,
                    "video": clip.video,
                    "label": clip.motion.label,
                    "template": clip.motion.template,
                    "placeholders": clip.placeholders,
                },
            )


def features(labels: Sequence[str]) -> tfds.features.FeaturesDict:
    """The features of a clip: id, path of the video, label, and its template and words."""
    return tfds.features.FeaturesDict(
        {
            "id": tfds.features.Text(),
            "video": tfds.features.Text(),
            "label": tfds.features.ClassLabel(names=labels),
            "template": tfds.features.Text(),
            "placeholders": tfds.features.Sequence(tfds.features.Text()),
        }
    )
