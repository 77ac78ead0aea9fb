"""The embedded dataset `scenes`: glyphs in rooms and landscapes, in the schema of TFDS's ``voc``.

A scene is a floor seen by a camera, in a room or under a sky. So a part of the picture shows where
in the picture it belongs: by the horizon or the edges of the walls, by lines that run to a
vanishing point, by the light and by the size of the objects. The materials of the surfaces and the
glyphs of the objects are drawn from disjoint pools for training, validation and test. As in
photographs, the kind of place and the objects in it are related (:data:`HABITS`): furniture stands
in rooms, aircraft fly outdoors, and a building is larger than a fruit. Only TFDS imports
TensorFlow, not the processes that render scenes.
"""

from __future__ import annotations

import io
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Executor
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from functools import lru_cache, partial
from typing import Any, NamedTuple

import cv2
import numpy as np
import tensorflow_datasets as tfds
from threadpoolctl import threadpool_limits

from shuffle_to_learn.datasets import builder, glyphs
from shuffle_to_learn.datasets.builder import Rendered

LABELS = tuple(glyphs.CLASSES)
POSES = ("frontal", "rear", "left", "right", "unspecified")
SPLITS = ("pretrain", "pretrain_valid", "train", "valid", "test")
_PARTS = {"pretrain": 0, "pretrain_valid": 0, "train": 0, "valid": 1, "test": 2}

_Pool = Mapping[str, Sequence[str]]


class Habit(NamedTuple):
    """Where the things of a class are found.

    Attributes:
        indoors: share of the things that are in rooms.
        size: usual height of a thing; the camera's height above the floor is 1.
        flies: whether a thing may be above the floor.
    """

    indoors: float
    size: float
    flies: bool = False


HABITS = {
    "aircraft": Habit(0.02, 1.1, flies=True),
    "bird": Habit(0.30, 0.7, flies=True),
    "boat": Habit(0.03, 1.2),
    "bug": Habit(0.50, 0.6, flies=True),
    "building": Habit(0.02, 1.6),
    "bus_or_train": Habit(0.03, 1.4),
    "car": Habit(0.05, 1.1),
    "drink": Habit(0.92, 0.7),
    "electronics": Habit(0.96, 0.8),
    "farm_animal": Habit(0.05, 1.1),
    "fruit": Habit(0.85, 0.6),
    "furniture": Habit(0.95, 1.3),
    "instrument": Habit(0.90, 0.9),
    "person": Habit(0.60, 1.3),
    "pet": Habit(0.80, 0.8),
    "plant": Habit(0.60, 1.0),
    "sea_animal": Habit(0.60, 0.8),
    "sweets": Habit(0.92, 0.6),
    "vegetable": Habit(0.80, 0.6),
    "wild_animal": Habit(0.10, 1.2),
}
"""The habit of each class. The mean share indoors is 1/2, and half of the places are rooms, so all
classes are equally frequent."""
_INDOORS = np.array([HABITS[label].indoors for label in LABELS])
_OUTDOORS = 1 - _INDOORS
_INDOORS, _OUTDOORS = _INDOORS / _INDOORS.sum(), _OUTDOORS / _OUTDOORS.sum()
_PATTERNS = ("plain", "stripes", "checks", "boards")
_NOISE = 128  # pixels along the side of a texture's tile
_HIDDEN = 0.2  # an object is left out of the picture if a smaller share of it is visible
_COVERED = 0.5  # an object is difficult if a smaller share of it is visible,
_SMALL = 0.02  # or if its box is a smaller share of the picture
_WHOLE = 0.9  # an object is truncated if a smaller share of its box is visible


@dataclass(frozen=True)
class Settings:
    """How scenes are drawn and stored.

    Attributes:
        size: pixels along the side of the picture, which is square.
        objects: the largest number of objects in a scene.
        shadow: share of the light that a shadow takes, 0 to 1.
        quality: JPEG quality of the file, 1 to 100.
        materials: number of materials for surfaces.
        shares: share of the glyphs and materials for training, validation and test.
    """

    size: int = 160
    objects: int = 3
    shadow: float = 0.5
    quality: int = 90
    materials: int = 240
    shares: tuple[float, float, float] = (0.5, 0.2, 0.3)


@dataclass(frozen=True)
class Material:
    """The material of a surface. Colours are hue, saturation and value, each 0 to 1."""

    seed: int
    pattern: str
    period: float
    contrast: float
    roughness: float
    colour: tuple[float, float, float]
    second: tuple[float, float, float]


@dataclass(frozen=True)
class Place:
    """A room or a landscape, seen from a height of 1; the focal length is the picture's width.

    Attributes:
        horizon: position of the horizon, as a share of the picture from the top.
        centre: position of the vanishing point, as a share of the picture from the left.
        room: distances to the left, right and back wall and up to the ceiling; None outdoors.
        materials: of the floor, the walls, and the ceiling or sky.
        hills: height of the hills, as a share of the picture.
        light: direction of the light, from -1 (from the left) to 1 (from the right).
        brightness: factor for the whole picture, about 1.
    """

    horizon: float
    centre: float
    room: tuple[float, float, float, float] | None
    materials: tuple[Material, Material, Material]
    hills: float
    light: float
    brightness: float


@dataclass(frozen=True)
class Thing:
    """An object in a scene.

    Attributes:
        label: class of the object.
        glyph: a name from :data:`shuffle_to_learn.datasets.glyphs.CLASSES`.
        x: position of the object, as a share of the picture from the left.
        depth: position of its foot on the floor, as a share of the picture below the horizon: the
            greater, the nearer.
        lift: height above the floor, as a share of the picture.
        height: as a share of the picture.
        mirrored: whether left and right are exchanged.
        angle: in degrees, by which the object is turned.
        colour: a shift of the hue (in turns), and factors for saturation and value.
    """

    label: str
    glyph: str
    x: float
    depth: float
    lift: float
    height: float
    mirrored: bool
    angle: float
    colour: tuple[float, float, float]


@dataclass(frozen=True)
class Scene:
    """A place and the objects in it, the nearest first."""

    id: str
    place: Place
    things: tuple[Thing, ...]


@dataclass(frozen=True)
class Seen:
    """An object's visible part; its box (top, left, bottom, right) in shares of the picture."""

    label: str
    bbox: tuple[float, float, float, float]
    is_truncated: bool
    is_difficult: bool


# ---------------------------------------------------------------------------------------- drawing


def draw(split: str, count: int, *, seed: int, settings: Settings | None = None) -> Iterator[Scene]:
    """Draw the first ``count`` scenes of a split.

    A scene depends on the seed, its split, its number and the settings, but not on the count.

    Raises:
        ValueError: the shares are not positive or do not add up to 1, or there are too few
            materials for them.
    """
    settings = settings or Settings()
    part = _PARTS[split]
    pool = glyphs.split(settings.shares, seed)[part]
    materials = _materials(settings, seed)[part]
    for number in range(count):
        rng = np.random.default_rng((seed, SPLITS.index(split), number))
        place = _draw_place(rng, materials)
        things = [
            _draw_thing(rng, place, pool) for _ in range(rng.integers(1, settings.objects + 1))
        ]
        things.sort(key=lambda thing: -thing.depth)
        yield Scene(f"{split}_{number:06d}", place, tuple(things))


def _materials(settings: Settings, seed: int) -> list[list[Material]]:
    rng = np.random.default_rng((seed, len(SPLITS)))
    bounds = np.cumsum(settings.shares)[:-1] * settings.materials
    parts = np.split(np.arange(settings.materials), bounds.round().astype(int))
    if min(map(len, parts)) < 3:  # floor, wall and ceiling
        raise ValueError(f"materials: {settings.materials} are too few for {settings.shares}")
    return [[_draw_material(rng, int(number)) for number in numbers] for numbers in parts]


def _draw_material(rng: np.random.Generator, seed: int) -> Material:
    hue, saturation, value = rng.random(), rng.uniform(0.05, 0.6), rng.uniform(0.4, 0.95)
    second = (
        (hue + rng.normal(0, 0.06)) % 1,
        float(np.clip(saturation * rng.uniform(0.6, 1.4), 0, 1)),
        float(np.clip(value * rng.uniform(0.5, 1.1), 0, 1)),
    )
    return Material(
        seed=seed,
        pattern=str(rng.choice(_PATTERNS)),
        period=rng.uniform(0.25, 0.7),
        contrast=rng.uniform(0.4, 1),
        roughness=rng.uniform(0.03, 0.12),
        colour=(hue, saturation, value),
        second=second,
    )


def _draw_place(rng: np.random.Generator, materials: Sequence[Material]) -> Place:
    room = None
    if rng.random() < 0.5:
        room = (
            rng.uniform(0.7, 1.8),
            rng.uniform(0.7, 1.8),
            rng.uniform(2.2, 4.0),
            rng.uniform(0.7, 1.6),
        )
    floor, wall, above = rng.choice(len(materials), 3, replace=False)
    return Place(
        horizon=rng.uniform(0.28, 0.5),
        centre=rng.uniform(0.3, 0.7),
        room=room,
        materials=(materials[floor], materials[wall], materials[above]),
        hills=rng.uniform(0.0, 0.16),
        light=float(rng.choice((-1, 1))) * rng.uniform(0.3, 1),
        brightness=rng.uniform(0.75, 1.1),
    )


def _draw_thing(rng: np.random.Generator, place: Place, pool: _Pool) -> Thing:
    label = LABELS[rng.choice(len(LABELS), p=_INDOORS if place.room else _OUTDOORS)]
    habit = HABITS[label]
    wall = 1 / place.room[2] if place.room else 0.0
    depth = rng.uniform(max(wall + 0.04, 0.2), 1.02 - place.horizon)
    height = depth * habit.size * rng.uniform(0.85, 1.2)
    if habit.flies:
        lift = rng.uniform(0, 1) * max(0.0, place.horizon + depth - height)
    else:
        lift = 0.0
    return Thing(
        label=label,
        glyph=pool[label][int(rng.integers(len(pool[label])))],
        x=rng.uniform(0.1, 0.9),
        depth=depth,
        lift=lift,
        height=height,
        mirrored=bool(rng.random() < 0.5),
        angle=rng.normal(0, 5),
        colour=(rng.normal(0, 0.03), rng.uniform(0.6, 1.1), rng.uniform(0.75, 1.1)),
    )


# -------------------------------------------------------------------------------------- rendering


def render(scene: Scene, settings: Settings | None = None) -> tuple[np.ndarray, list[Seen]]:
    """Render a scene.

    Returns:
        The picture, uint8 (size, size, 3) in RGB, and the objects that are visible in it, in the
        order of the scene (the nearest first). An object that nearer objects hide almost completely
        is left out of both.
    """
    settings = settings or Settings()
    size = settings.size
    # Colours are planes, (3, size, size): numpy is slow where a pixel's channels lie side by side.
    light = np.ones((size, size), np.float32)  # the light that shadows leave on the ground
    front = np.zeros((3, size, size), np.float32)  # the objects, premultiplied by their alpha
    cover = np.zeros((size, size), np.float32)  # the objects' alpha
    seen: list[Seen] = []
    for thing in scene.things:
        sprite = _sprite(thing, scene.place, size)
        alpha = cv2.extractChannel(sprite, 3)
        patch, inside = _overlap(thing, scene.place, len(alpha), size)
        free = 1 - cover[inside]
        visible = alpha[patch] * free
        solid = np.zeros((size, size), bool)
        solid[inside] = visible > 0.5
        share = float(visible.sum() / max(alpha.sum(), 1e-6))
        if share < _HIDDEN or not solid.any():
            continue
        *colours, _ = cv2.split(sprite[patch])
        for plane, colour in zip(front, colours, strict=True):
            plane[inside] += colour * free
        cover[inside] += visible
        light *= 1 - settings.shadow * _shadow(thing, scene.place, size)
        top, left, bottom, right = _box(solid)
        area = (bottom - top) * (right - left)
        whole = _box(alpha > 0.5)
        seen.append(
            Seen(
                label=thing.label,
                bbox=(top / size, left / size, bottom / size, right / size),
                is_truncated=area < _WHOLE * (whole[2] - whole[0]) * (whole[3] - whole[1]),
                is_difficult=share < _COVERED or area < _SMALL * size**2,
            )
        )
    picture = _background(scene.place, size)
    picture *= light
    picture *= 1 - cover
    picture += front
    picture *= scene.place.brightness * _vignette(size)
    picture *= 255
    levels = np.clip(np.rint(picture, out=picture), 0, 255, out=picture).astype(np.uint8)
    return cv2.merge(list(levels)), seen


def _background(place: Place, size: int) -> np.ndarray:
    """The picture without objects: float32 (3, size, size), about 0 to 1."""
    along = (np.arange(size, dtype=np.float32) + 0.5) / size
    u, v = np.meshgrid(along - place.centre, along - place.horizon)
    floor, wall, above = place.materials
    # Floors are below the horizon, ceilings and skies are above it.
    horizon = int(np.count_nonzero(v[:, 0] <= 0))
    high, low = slice(horizon), slice(horizon, None)
    # The distances of the floor (down) and of the ceiling or sky (up) along every pixel's ray.
    down = 1 / np.maximum(v, 1e-3)
    picture = np.empty((3, size, size), np.float32)
    if place.room is None:
        up = 1 / np.maximum(-v[high], 0.02)
        hue, saturation, value = above.colour
        zenith = _rgb((0.5 + 0.18 * hue, 0.25 + 0.5 * saturation, 0.55 + 0.4 * value))
        haze = _rgb((above.second[0], 0.15 * saturation, 0.7 + 0.25 * value))
        height = np.clip(-v[high] / place.horizon, 0, 1) ** 0.7
        clouds = np.maximum(_noise(above, 0.15 * u[high] * up, 0.15 * up), 0)
        clouds = 0.15 * clouds * height
        ridge = _noise(wall, along * 0.35, np.zeros_like(along))
        hill = -v[high] < place.hills * (1 + 0.6 * ridge)
        slope = 0.5 * _rgb(wall.colour) + 0.5 * haze
        fog = np.exp(-down[low] / 12)
        ground = _surface(floor, u[low] * down[low], down[low])
        for plane, far, top, hilly, near in zip(picture, haze, zenith, slope, ground, strict=True):
            sky = far + (top - far) * height + clouds
            plane[high] = np.where(hill, hilly, sky)
            plane[low] = far + (near - far) * fog
    else:
        to_left, to_right, to_back, to_ceiling = place.room
        up = to_ceiling / np.maximum(-v, 1e-3)
        left = to_left / np.maximum(-u, 1e-3)
        right = to_right / np.maximum(u, 1e-3)
        nearest = np.full_like(u, to_back)
        for distance in (down, up, left, right):
            np.minimum(nearest, distance, out=nearest)
        on_left, on_right = left == nearest, right == nearest
        # The wall on the side that the light comes from is in shade.
        shade = 1 + (0.15 * place.light - 0.15) * on_left - (0.15 * place.light + 0.15) * on_right
        x = u * nearest
        picture = _surface(wall, np.where(on_left | on_right, nearest, x), v * nearest)
        picture *= shade
        ceiling = 0.5 + 0.5 * _surface(above, x[high], nearest[high])
        np.copyto(picture[:, high], ceiling, where=(up == nearest)[high])
        ground = _surface(floor, x[low], nearest[low])
        np.copyto(picture[:, low], ground, where=(down == nearest)[low])
        picture *= np.exp(-0.06 * nearest)
    picture *= 1 + 0.3 * place.light * (along - 0.5)[None] - 0.25 * (along - 0.5)[:, None]
    return picture


def _surface(material: Material, x: np.ndarray, z: np.ndarray) -> np.ndarray:
    """The colours of a surface at the points (x, z), the channels first.

    Detail fades with the distance ``z``.
    """
    sharp = 8 / (1 + np.abs(z))
    across, along = np.sin(np.pi * x / material.period), np.sin(np.pi * z / material.period)
    if material.pattern == "stripes":
        mix = 0.5 + 0.5 * np.tanh(sharp * across)
    elif material.pattern == "checks":
        mix = 0.5 + 0.5 * np.tanh(sharp * across * along)
    elif material.pattern == "boards":
        joints = np.sin(np.pi * z / (3 * material.period))
        mix = np.exp(-sharp * np.minimum(np.abs(across), 3 * np.abs(joints)))
    else:
        mix = np.full_like(x, 0.5)
    mix = (mix - 0.5) * material.contrast * np.minimum(1, sharp / 2) + 0.5
    colour, second = _rgb(material.colour), _rgb(material.second)
    grain = 1 + material.roughness * _noise(material, x, z) * np.minimum(1, sharp / 2)
    planes = np.multiply.outer(second - colour, mix)
    planes += colour[:, None, None]
    planes *= grain
    return planes


def _noise(material: Material, x: np.ndarray, z: np.ndarray) -> np.ndarray:
    x, z = np.broadcast_arrays(np.atleast_2d(x), np.atleast_2d(z))
    # np.mod(a, 2), exactly, in a thirtieth of its time.
    column, row = (0.5 * _NOISE * (a - 2 * np.floor(a / 2)) for a in (x, z))
    tile = _tile(material.seed)
    return cv2.remap(tile, column, row, cv2.INTER_LINEAR, borderMode=cv2.BORDER_WRAP)


@lru_cache(maxsize=256)
def _tile(seed: int) -> np.ndarray:
    """A tile of 1/f noise with variance 1 that repeats without a seam."""
    rng = np.random.default_rng((seed, 1))
    frequency = np.hypot(np.fft.fftfreq(_NOISE)[:, None], np.fft.rfftfreq(_NOISE)[None])
    frequency[0, 0] = np.inf
    spectrum = np.fft.rfft2(rng.standard_normal((_NOISE, _NOISE)))
    noise = np.fft.irfft2(spectrum / frequency ** rng.uniform(0.7, 1.5), s=(_NOISE, _NOISE))
    return (noise / noise.std()).astype(np.float32)


@lru_cache(maxsize=4)
def _vignette(size: int) -> np.ndarray:
    along = (np.arange(size, dtype=np.float32) + 0.5) / size - 0.5
    return 1.05 - 0.5 * (along[:, None] ** 2 + along[None] ** 2)


def _rgb(colour: tuple[float, float, float]) -> np.ndarray:
    hue, saturation, value = colour
    pixel = np.array([[[360 * (hue % 1), saturation, value]]], np.float32)
    return cv2.cvtColor(pixel, cv2.COLOR_HSV2RGB)[0, 0]


@lru_cache(maxsize=512)
def _glyph(name: str) -> np.ndarray:
    """A glyph's hue (in degrees), saturation, value and alpha: float32 (4, 72, 72)."""
    glyph = glyphs.picture(name).astype(np.float32) / 255
    colours = cv2.cvtColor(np.ascontiguousarray(glyph[..., :3]), cv2.COLOR_RGB2HSV)
    return np.stack([*cv2.split(colours), glyph[..., 3]])


def _sprite(thing: Thing, place: Place, size: int) -> np.ndarray:
    """The lit object: float32 (n, n, 4), premultiplied; see :func:`_canvas` for its foot."""
    hue, saturation, value, alpha = _glyph(thing.glyph)
    hue = hue + 360 * thing.colour[0]
    hue -= 360 * np.floor(hue / 360)
    saturation = np.minimum(saturation * thing.colour[1], 1)
    value = np.minimum(value * thing.colour[2], 1)
    colours = cv2.split(cv2.cvtColor(cv2.merge([hue, saturation, value]), cv2.COLOR_HSV2RGB))
    if thing.mirrored:
        colours, alpha = [colour[:, ::-1] for colour in colours], alpha[:, ::-1]
    along = np.linspace(-1, 1, glyphs.SIZE, dtype=np.float32)
    light = 1 + 0.3 * place.light * along[None] - 0.12 * along[:, None]
    colours = [np.clip(colour * light, 0, 1) * alpha for colour in colours]
    pixels = max(2, round(thing.height * size))
    shrinks = pixels < glyphs.SIZE
    sprite = cv2.resize(
        cv2.merge([*colours, np.ascontiguousarray(alpha)]),
        (pixels, pixels),
        interpolation=cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR,
    )
    side, foot = _canvas(pixels)
    turn = cv2.getRotationMatrix2D((pixels / 2, pixels), thing.angle, 1)
    turn[:, 2] += np.array([side / 2 - pixels / 2, foot - pixels])
    return cv2.warpAffine(sprite, turn, (side, side), flags=cv2.INTER_LINEAR)


def _canvas(pixels: int) -> tuple[int, int]:
    """The side of a canvas that a glyph can be turned in, and the row of its foot."""
    margin = pixels // 3 + 1
    return pixels + 2 * margin, pixels + margin


def _overlap(thing: Thing, place: Place, side: int, size: int) -> tuple[Any, Any]:
    """The part of the object's canvas that is inside the picture, and its place in the picture."""
    _, foot = _canvas(max(2, round(thing.height * size)))
    top = round((place.horizon + thing.depth - thing.lift) * size) - foot
    left = round(thing.x * size) - side // 2
    rows, columns = (
        slice(min(size, max(0, start)), min(size, max(0, start + side))) for start in (top, left)
    )
    patch = (
        slice(rows.start - top, rows.stop - top),
        slice(columns.start - left, columns.stop - left),
    )
    return patch, (rows, columns)


def _shadow(thing: Thing, place: Place, size: int) -> np.ndarray:
    """The darkness of the object's shadow on the floor: float32 (size, size), 0 to 1."""
    *_, alpha = _glyph(thing.glyph)
    scale = thing.height * size / glyphs.SIZE
    flip = -1 if thing.mirrored else 1
    foot = (thing.x * size, (place.horizon + thing.depth) * size)
    # The shadow of a high point falls far away from the light; the floor is seen at a slant.
    lean, flat = 0.7 * place.light, 0.35
    matrix = np.array([[flip, lean], [0, flat]]) * scale
    offset = np.array(foot) - matrix @ (glyphs.SIZE / 2, glyphs.SIZE)
    cast = cv2.warpAffine(alpha, np.column_stack([matrix, offset]), (size, size))
    # The higher the object is above the floor, the softer and fainter is its shadow.
    blur = size * (0.012 + 0.05 * thing.lift)
    return cv2.GaussianBlur(cast, (0, 0), blur) * (1 - 0.5 * min(1.0, thing.lift))


def _box(mask: np.ndarray) -> tuple[int, int, int, int]:
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    return int(rows[0]), int(columns[0]), int(rows[-1]) + 1, int(columns[-1]) + 1


# ---------------------------------------------------------------------------------------- dataset


def encoded(scene: Scene, settings: Settings) -> tuple[str, bytes, list[Seen]]:
    """Render a scene; return its id, the picture as a JPEG file, and the visible objects."""
    picture, seen = render(scene, settings)
    done, content = cv2.imencode(
        ".jpg",
        cv2.cvtColor(picture, cv2.COLOR_RGB2BGR),
        [cv2.IMWRITE_JPEG_QUALITY, settings.quality],
    )
    if not done:
        raise RuntimeError("OpenCV could not write a JPEG picture")
    return scene.id, content.tobytes(), seen


def workers(count: int) -> AbstractContextManager[Executor]:
    """Worker processes that render scenes, without TensorFlow."""
    return builder.workers(count, _start_worker)


def _start_worker() -> None:
    cv2.setNumThreads(1)  # there is a worker for each core
    threadpool_limits(1)


@dataclass(frozen=True)
class Plan:
    """The plan of a dataset: the number of scenes in each split, the seed and the settings."""

    counts: Mapping[str, int]
    seed: int = 0
    settings: Settings = field(default_factory=Settings)


class Scenes(Rendered):
    """Rendered scenes with the features of TFDS's ``voc``, for pretraining and downstream tasks.

    To write the dataset, give the plan, a pool from :func:`workers` and a progress callback. A
    written dataset needs none of these and is read with ``tfds.load("scenes", data_dir=...)`` or
    ``tfds.builder_from_directory``.
    """

    VERSION = tfds.core.Version("1.0.0")
    UNIT = "scenes"

    def __init__(
        self,
        *,
        plan: Plan | None = None,
        **kwargs: Any,
    ) -> None:
        self._plan = plan
        super().__init__(**kwargs)

    def _info(self) -> tfds.core.DatasetInfo:
        return tfds.core.DatasetInfo(
            builder=self,
            description=(
                "Glyphs of 20 classes pasted into procedural rooms and landscapes, with the "
                "features of VOC. The splits train, valid and test share neither glyphs nor "
                "materials; pretrain and pretrain_valid have those of train. This is neither "
                f"ImageNet nor VOC. {glyphs.CREDIT}"
            ),
            features=features(),
            homepage="https://github.com/jdecked/twemoji",
        )

    def _split_generators(self, dl_manager: Any) -> dict[str, Iterator[tuple[str, dict]]]:
        if self._plan is None or self._pool is None or self._progress is None:
            raise ValueError("to write the dataset, give its plan, a pool and a progress function")
        return {
            split: self._generate_examples(split, self._plan)
            for split in SPLITS
            if self._plan.counts.get(split, 0)
        }

    def _generate_examples(self, split: str, plan: Plan) -> Iterator[tuple[str, dict]]:
        count = plan.counts[split]
        scenes = draw(split, count, seed=plan.seed, settings=plan.settings)
        to_file = partial(encoded, settings=plan.settings)
        for id, content, seen in self._rendered(to_file, scenes, total=count, split=split):
            yield id, example(id, content, seen)


def example(id: str, content: bytes, seen: Iterable[Seen]) -> dict[str, Any]:
    """A scene as an example of the dataset."""
    seen = list(seen)
    return {
        "image": io.BytesIO(content),
        "image/filename": f"{id}.jpg",
        "objects": [
            {
                "label": visible.label,
                "bbox": tfds.features.BBox(*visible.bbox),
                "pose": "unspecified",
                "is_truncated": visible.is_truncated,
                "is_difficult": visible.is_difficult,
            }
            for visible in seen
        ],
        "labels": sorted({visible.label for visible in seen}),
        "labels_no_difficult": sorted(
            {visible.label for visible in seen if not visible.is_difficult}
        ),
    }


def features() -> tfds.features.FeaturesDict:
    """The features of TFDS's ``voc`` (as of 5.0.0), with :data:`LABELS`."""
    label = tfds.features.ClassLabel(names=LABELS)
    return tfds.features.FeaturesDict(
        {
            "image": tfds.features.Image(),
            "image/filename": tfds.features.Text(),
            "objects": tfds.features.Sequence(
                {
                    "label": label,
                    "bbox": tfds.features.BBoxFeature(),
                    "pose": tfds.features.ClassLabel(names=POSES),
                    "is_truncated": np.bool_,
                    "is_difficult": np.bool_,
                }
            ),
            "labels": tfds.features.Sequence(label),
            "labels_no_difficult": tfds.features.Sequence(label),
        }
    )
