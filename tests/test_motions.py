from dataclasses import replace
from functools import cache
from pathlib import Path

import cv2
import numpy as np
import pytest
import tensorflow_datasets as tfds
from hypothesis import given
from hypothesis import strategies as st

from shuffle_to_learn.datasets import glyphs, motions
from shuffle_to_learn.datasets.motions import LABELS, LARGE, MOTIONS, SMALL, Motions, Scene
from shuffle_to_learn.features.video import read_clip

SHARES = {"train": 0.6, "valid": 0.15, "test": 0.25}
SIZE = 128


def progress(items, *, total, label, unit):
    return items


def plan(train=0, valid=0, test=0, **settings):
    counts = {"train": train, "valid": valid, "test": test}
    defaults = dict(glyph_shares=SHARES, textures=20, webm_share=0.2, frames=(24, 30), seed=0)
    return motions.plan(counts, **(defaults | settings))


def test_labels_are_balanced_and_their_templates_filled():
    assert len(set(LABELS)) == len(LABELS) >= 16
    clips = plan(train=60)
    assert np.bincount([clip.label for clip in clips]).tolist() == [3] * len(LABELS)
    for clip in clips:
        template = clip.motion.template
        assert template.count("[something]") == len(clip.placeholders)
        assert template.replace("[something]", "something") == LABELS[clip.label]
        assert set(clip.placeholders) <= set(clip.things)
        assert 24 <= clip.frames <= 30
    assert {clip.suffix for clip in clips} == {".mp4", ".webm"}
    assert len({clip.video for clip in clips}) == 60


def test_splits_share_no_picture_and_no_texture():
    clips = plan(train=200, valid=100, test=100)
    for what in (lambda clip: set(clip.pictures), lambda clip: {clip.texture}):
        used = {
            split: set().union(*(what(c) for c in clips if c.split == split)) for split in SHARES
        }
        assert not used["train"] & used["test"]
        assert not used["train"] & used["valid"]
        assert not used["valid"] & used["test"]
    for clip in clips:
        for thing, picture in zip(clip.things, clip.pictures, strict=True):
            assert picture in glyphs.CLASSES[thing]


def test_textures_for_every_split_or_none():
    with pytest.raises(ValueError, match="2 textures are too few"):
        plan(textures=2)


def test_a_clip_does_not_depend_on_how_many_there_are():
    assert plan(train=5, test=3) == [*plan(train=50)[:5], *plan(test=9)[:3]]
    assert plan(train=5, seed=1)[0] != plan(train=5)[0]


def test_the_same_seed_gives_the_same_pictures():
    clip = plan(train=1)[0]
    film = motions.render(clip, SIZE)
    assert film.shape == (clip.frames, SIZE, SIZE, 3)
    assert film.dtype == np.uint8
    np.testing.assert_array_equal(film, motions.render(clip, SIZE))
    other = motions.render(replace(clip, seed=1), SIZE)
    assert len(other) == len(film)
    assert (other != film).mean() > 0.5


def plainly(clip, size):
    """The pictures of a clip, drawn thing by thing and pixel by pixel, the channels together."""
    states = clip.motion.states(clip.scene(), np.linspace(0, 1, clip.frames))
    rng = clip.rng(motions._RENDER)
    things = [motions._levels(name, rng) for name in clip.pictures]
    ground = np.roll(motions.texture(clip.texture, size), rng.integers(0, size, 2), (0, 1))
    light = motions._light(size, rng)[..., None]
    shake, flicker = rng.normal(0, 0.7, (len(states), 2)), rng.normal(1, 0.015, len(states))
    film = []
    for pair, shift, gain in zip(states, shake, flicker, strict=True):
        move = np.array([[1, 0, shift[0]], [0, 1, shift[1]]])
        canvas = cv2.warpAffine(ground, move, (size, size), borderMode=cv2.BORDER_WRAP)
        for levels, (x, y, side, angle) in zip(things, pair, strict=True):
            picture = next(p for p in levels[::-1] if len(p) >= side * size or p is levels[0])
            reach = int(np.ceil(side * size * 0.71)) + 4
            centre = np.array([x, y]) * size + shift
            corner = np.floor(centre).astype(int) - reach
            cos, sin = np.cos(np.deg2rad(angle)), np.sin(np.deg2rad(angle))
            turn = side * size / len(picture) * np.array([[cos, -sin], [sin, cos]])
            offset = centre - corner - turn @ np.full(2, (len(picture) - 1) / 2)
            patch = cv2.warpAffine(picture, np.column_stack([turn, offset]), (2 * reach, 2 * reach))
            shadow = cv2.blur(np.roll(patch[..., 3], (2, 2), (0, 1)), (5, 5))[..., None]
            rows, columns = ((start + np.arange(2 * reach)) % size for start in corner[::-1])
            under = canvas[np.ix_(rows, columns)] * (1 - 0.35 * shadow) * (1 - patch[..., 3:])
            canvas[np.ix_(rows, columns)] = under + patch[..., :3]
        film.append(np.clip(np.rint(canvas * (light * gain)), 0, 255).astype(np.uint8))
    return np.stack(film)


@pytest.mark.parametrize("size", [64, 97])
def test_the_fast_way_draws_what_the_plain_way_draws(size):
    for clip in plan(train=20):
        difference = motions.render(clip, size) != plainly(clip, size)
        # The numbers are rounded alike, but for the last bit of a matrix.
        assert difference.mean() < 1e-5


@given(st.integers(-300, 300), st.integers(0, 200), st.integers(1, 100))
def test_a_stretch_on_a_circle(start, length, size):
    places = np.full(length, -1)
    for inside, on_circle in motions._wrapped(start, length, size):
        places[inside] = np.arange(size)[on_circle]
    assert places.tolist() == [(start + i) % size for i in range(length)]


def test_a_texture_has_no_seam_and_is_the_same_at_every_size():
    for number in range(6):
        ground = motions.texture(number, SIZE)
        steps = np.abs(np.diff(ground, axis=0, append=ground[:1])).mean((1, 2))
        assert steps[-1] < 1.5 * steps.max()
        small = motions.texture(number, 64)
        assert np.abs(ground[::2, ::2] - small).mean() < 2


# Each thing is a disc of two colours, which are found again in the pictures.
HALVES = {SMALL: ((255, 0, 0), (255, 255, 0)), LARGE: ((0, 0, 255), (0, 255, 255))}


def _disc(name):
    y, x = np.mgrid[:72, :72] - 35.5
    picture = np.zeros((72, 72, 4), np.uint8)
    first, second = HALVES[int(name)]
    picture[..., :3] = np.where((x < 0)[..., None], first, second)
    picture[..., 3] = np.where(np.hypot(x, y) < 36, 255, 0)
    return picture


class Seen:
    """What is seen of both things in the frames of a clip.

    Attributes:
        found: (frames, 2, 2): the centres, in picture widths; nan where hidden.
        place: the same, unwrapped, for things that are never hidden.
        area: (frames, 2), as a share of the picture.
        angle: (frames, 2), in degrees clockwise, unwrapped.
    """

    def __init__(self, film):
        colour = film.astype(float)
        middle, swing = (colour.max(-1) + colour.min(-1)) / 2, np.ptp(colour, -1)
        bright = (colour > middle[..., None]) & (swing > 90)[..., None]
        r, g, b = np.moveaxis(bright, -1, 0)
        halves = {SMALL: (r & ~g & ~b, r & g & ~b), LARGE: (b & ~g & ~r, b & g & ~r)}
        place, angle, area = [], [], []
        for thing in (SMALL, LARGE):
            centres = [np.array([self._centre(mask) for mask in half]) for half in halves[thing]]
            whole = halves[thing][0] | halves[thing][1]
            area.append(whole.mean((1, 2)))
            place.append(np.array([self._centre(mask) for mask in whole]))
            apart = (centres[1] - centres[0] + 0.5) % 1 - 0.5
            angle.append(np.unwrap(np.arctan2(apart[:, 1], apart[:, 0])))
        self.found = np.stack(place, 1)
        self.place = np.unwrap(self.found, period=1, axis=0)
        self.area = np.stack(area, 1)
        self.angle = np.rad2deg(np.stack(angle, 1))

    @staticmethod
    def _centre(mask):
        if mask.sum() < 5:
            return np.full(2, np.nan)
        turns = np.argwhere(mask)[:, ::-1] / len(mask)
        return np.angle(np.exp(2j * np.pi * turns).mean(0)) / (2 * np.pi)

    @property
    def way(self):
        """How far each thing has come (frames, 2, 2)."""
        return self.place - self.place[:1]

    @property
    def distance(self):
        apart = (self.place[:, SMALL] - self.place[:, LARGE] + 0.5) % 1 - 0.5
        return np.hypot(*apart.T)


TOGETHER = ("over", "behind", "and something", "Pushing", "Hitting")


@cache
def scenes(label):
    """Three clips of a label in which a thing that only stands by hides nothing."""
    clips = [clip for clip in plan(train=1000) if clip.label == LABELS.index(label)]
    if not any(word in label for word in TOGETHER):
        clips = [clip for clip in clips if _clear(clip)]
    assert len(clips) >= 3
    return clips[:3]


def _clear(clip):
    states = clip.motion.states(clip.scene(), np.linspace(0, 1, 20))
    apart = (states[:, SMALL, :2] - states[:, LARGE, :2] + 0.5) % 1 - 0.5
    return (np.hypot(*apart.T) > 0.55 * states[..., 2].sum(1)).all()


@pytest.fixture
def seen(monkeypatch):
    """Clips of a label, each with what is seen in its pictures."""
    monkeypatch.setattr(glyphs, "picture", lambda name: _disc(name))
    monkeypatch.setattr(motions, "texture", lambda _, size: np.full((size, size, 3), 128, "f4"))

    def look(label):
        for clip in scenes(label):
            discs = replace(clip, pictures=(str(SMALL), str(LARGE)))
            scene = clip.scene()
            yield scene, scene.mover, 1 - scene.mover, Seen(motions.render(discs, SIZE))

    return look


STILL = 0.06  # the camera shakes


@pytest.mark.parametrize(
    ("label", "axis", "sign"),
    [
        ("Moving something from left to right", 0, 1),
        ("Moving something from right to left", 0, -1),
        ("Moving something up", 1, -1),
        ("Moving something down", 1, 1),
    ],
)
def test_moving(seen, label, axis, sign):
    for _, mover, other, slicing in seen(label):
        assert sign * slicing.way[-1, mover, axis] > 0.3
        assert np.abs(slicing.way[:, mover, 1 - axis]).max() < STILL
        assert np.abs(slicing.way[:, other]).max() < STILL
        # It slows down, which gives time its direction.
        middle = len(slicing.way) // 2
        assert slicing.way[middle, mover, axis] / slicing.way[-1, mover, axis] > 0.55


@pytest.mark.parametrize(
    ("label", "sign"),
    [
        ("Moving something towards the camera", 1),
        ("Moving something away from the camera", -1),
    ],
)
def test_nearer(seen, label, sign):
    for _, mover, other, slicing in seen(label):
        growth = np.log(slicing.area[-1] / slicing.area[0])
        assert sign * growth[mover] > 2 * np.log(1.4)
        assert abs(growth[other]) < 0.15
        assert np.abs(slicing.way).max() < STILL


@pytest.mark.parametrize(
    ("label", "sign"),
    [("Turning something clockwise", 1), ("Turning something counter-clockwise", -1)],
)
def test_turning(seen, label, sign):
    for _, mover, other, slicing in seen(label):
        turn = slicing.angle[-1] - slicing.angle[0]
        assert 90 < sign * turn[mover] < 210
        assert abs(turn[other]) < 10
        assert np.abs(slicing.way).max() < STILL


@pytest.mark.parametrize(
    ("label", "step", "mover"),
    [
        ("Covering something with something", 1, LARGE),
        ("Uncovering something", -1, LARGE),
        ("Dropping something behind something", 1, SMALL),
        ("Pulling something from behind of something", -1, SMALL),
    ],
)
def test_hiding(seen, label, step, mover):
    for _, _, _, slicing in seen(label):
        area = slicing.area[::step, SMALL]
        assert area[0] > 0.01
        assert area[-1] < 0.1 * area[0]
        whole = slicing.area[:, 1 - mover] > 0.95 * slicing.area[:, 1 - mover].max()
        still = slicing.found[whole, 1 - mover]
        assert len(still) >= 3
        assert np.abs((still - still[0] + 0.5) % 1 - 0.5).max() < STILL
        if mover == SMALL:  # from above
            open_slicing = slicing.found[::step][0]
            apart = open_slicing[LARGE, 1] - open_slicing[SMALL, 1]
            assert (apart + 0.5) % 1 - 0.5 > 0.15


@pytest.mark.parametrize(
    ("label", "step"),
    [
        ("Moving something and something closer to each other", 1),
        ("Moving something and something away from each other", -1),
    ],
)
def test_meeting(seen, label, step):
    for scene, _, _, slicing in seen(label):
        distance = slicing.distance[::step]
        assert distance[-1] == pytest.approx(scene.contact, abs=0.03)
        assert distance[0] > distance[-1] + 0.15 or distance[0] > 0.4
        assert (np.hypot(*np.moveaxis(slicing.way, -1, 0))[-1] > 0.07).all()


@pytest.mark.parametrize(
    ("label", "sign"),
    [
        ("Pushing something from left to right", 1),
        ("Pushing something from right to left", -1),
    ],
)
def test_pushing(seen, label, sign):
    for scene, mover, other, slicing in seen(label):
        way = sign * slicing.way[..., 0]
        assert (way[-1] > 0.3).all()
        before = way[:, mover] < scene.gap - 0.03
        assert before.sum() >= 2
        assert np.abs(way[before, other]).max() < STILL
        assert way[-1, mover] - way[-1, other] == pytest.approx(scene.gap, abs=0.03)
        assert np.abs(slicing.way[..., 1]).max() < STILL


@pytest.mark.parametrize(
    ("label", "sign"),
    [
        ("Hitting something so that it slides to the right", 1),
        ("Hitting something so that it slides to the left", -1),
    ],
)
def test_hitting(seen, label, sign):
    for scene, mover, other, slicing in seen(label):
        way = sign * slicing.way[..., 0]
        assert way[-1, mover] == pytest.approx(scene.gap, abs=0.03)
        assert way[-1, other] == pytest.approx(scene.approach, abs=0.03)
        hit = np.argmax(way[:, other] > 0.03)
        assert way[hit, mover] == pytest.approx(scene.gap, abs=0.03)  # it stops there


def test_bouncing(seen):
    for _, mover, other, slicing in seen("Letting something fall and bounce"):
        down = slicing.way[:, mover, 1]
        floor = down[-1]
        assert floor > 0.3
        assert down.max() < floor + STILL
        first = np.argmax(down > 0.9 * floor)
        rebound = floor - down[first:].min()
        assert 0.1 * floor < rebound < 0.6 * floor
        assert np.abs(slicing.way[:, other]).max() < STILL


def test_lifting_and_dropping(seen):
    for _, mover, other, slicing in seen("Lifting something up, then letting it drop down"):
        height = -slicing.way[:, mover, 1]
        assert height.max() > 0.28
        assert abs(height[-1]) < STILL
        top = np.argmax(height)
        rest = top + np.argmax(height[top:] < STILL)
        assert rest - top < 0.75 * top  # it falls faster than it was lifted
        assert np.abs(slicing.way[:, other]).max() < STILL


def test_pairs_are_reversals_or_mirror_images():
    scene = Scene.draw(np.random.default_rng(0))
    times = np.linspace(0, 1, 9)
    reversals = mirrors = 0
    for first in MOTIONS:
        for second in MOTIONS:
            if first.path is not second.path or first.reverse or first.mirror or first is second:
                continue
            same = [replace(motion, timing=lambda _, time: time) for motion in (first, second)]
            here, there = (motion.states(scene, times) for motion in same)
            if second.reverse:
                reversals += 1
                np.testing.assert_allclose(here, there[::-1], atol=1e-12)
            else:
                mirrors += 1
                here, there = (states - [*scene.origin, 0, 0] for states in (here, there))
                np.testing.assert_allclose(here * [-1, 1, 1, 1], there, atol=1e-12)
    assert (reversals, mirrors) == (7, 2)


def test_places_and_angles_in_any_one_frame_are_alike_for_all_labels():
    draws = [Scene.draw(np.random.default_rng(seed)) for seed in range(800)]
    for motion in MOTIONS:
        states = np.stack([motion.states(scene, np.array([0.0, 0.5, 1.0])) for scene in draws])
        for values in (states[..., 0] % 1, states[..., 1] % 1, states[..., 3] / 360 % 1):
            # Kolmogorov and Smirnov's distance from uniform; 0.07 has a probability below 0.001.
            ranks = np.arange(len(draws))[:, None, None] / len(draws)
            assert np.abs(np.sort(values, 0) - ranks).max() < 0.07


@pytest.mark.parametrize("suffix", [".mp4", ".webm"])
def test_the_same_pictures_give_the_same_file(suffix, tmp_path, capfd):
    film = motions.render(plan(train=1)[0], SIZE)
    paths = [tmp_path / f"{i}{suffix}" for i in range(2)]
    for path in paths:
        motions.encode(film, path)
    assert paths[0].read_bytes() == paths[1].read_bytes()
    back = read_clip(paths[0], len(film), SIZE)
    errors = [cv2.PSNR(a, b) for a, b in zip(film, back, strict=True)]
    assert min(errors) > 24
    assert capfd.readouterr() == ("", "")


def test_a_place_that_cannot_be_written_is_an_error(tmp_path):
    with pytest.raises(RuntimeError, match="cannot write mp4v"):
        motions.encode(np.zeros((2, 64, 64, 3), np.uint8), tmp_path / "none" / "a.mp4")


def test_without_reversals_every_label_has_an_arrow_of_time(tmp_path):
    """No motion is another one's backwards or in a mirror; the other clips stay as they are."""
    labels = motions.one_way()
    clips = plan(train=2 * len(labels), valid=1, test=1, labels=labels)
    assert [clip.motion.label for clip in clips[:-2]] == 2 * list(labels)
    kept = [motion for motion in MOTIONS if motion.label in labels]
    assert len({(motion.path, motion.timing) for motion in kept}) == len(kept) == 11
    assert clips[0] == plan(train=1)[0]
    settings = dict(clips=clips, pool=Here(), progress=progress, size=64, labels=labels)
    builder = Motions(data_dir=tmp_path, **settings)
    builder.download_and_prepare()
    read = tfds.builder_from_directory(builder.data_path)
    assert read.info.features["label"].names == list(labels)
    examples = tfds.as_numpy(read.as_dataset(split="train"))
    told = {example["id"].decode(): labels[example["label"]] for example in examples}
    assert told == {clip.id: clip.motion.label for clip in clips[:-2]}


class Here:
    """Stands for a pool of processes."""

    def map(self, function, items, chunksize):
        return map(function, items)


def build(folder, clips, pool):
    builder = Motions(data_dir=folder, clips=clips, pool=pool, progress=progress, size=64)
    builder.download_and_prepare()
    return builder.data_path


def test_the_dataset_is_written_and_read(tmp_path):
    """The same bytes in this process, in one worker and in two."""
    clips = plan(train=4, valid=2, test=2)
    paths = [build(tmp_path / "here", clips, Here())]
    for count in (1, 2):
        with motions.workers(count) as pool:
            paths.append(build(tmp_path / str(count), clips, pool))
    files = [
        {p.relative_to(path).as_posix(): p.read_bytes() for p in path.rglob("*") if p.is_file()}
        for path in map(Path, paths)
    ]
    assert files[0] == files[1] == files[2]
    assert len([name for name in files[0] if name.startswith("videos/")]) == 8
    builder = tfds.builder_from_directory(paths[0])
    assert builder.info.features["label"].names == list(LABELS)
    by_id = {clip.id: clip for clip in clips}
    for split in SHARES:
        for example in tfds.as_numpy(builder.as_dataset(split=split)):
            clip = by_id.pop(example["id"].decode())
            assert clip.split == split
            assert example["label"] == clip.label
            assert example["template"].decode() == clip.motion.template
            assert [word.decode() for word in example["placeholders"]] == clip.placeholders
            video = builder.data_path / example["video"].decode()
            assert read_clip(video, clip.frames, 64).shape == (clip.frames, 64, 64, 3)
    assert not by_id


def test_the_builder_asks_for_what_it_needs(tmp_path):
    builder = Motions(data_dir=tmp_path, clips=plan(train=1))
    with pytest.raises(ValueError, match="a pool and a progress function"):
        next(iter(builder._generate_examples("train")))


def test_pools_write_the_same_files_without_tensorflow(tmp_path):
    (tmp_path / "videos").mkdir()
    clip = plan(train=1)[0]
    motions.encode(motions.render(clip, 64), tmp_path / f"here{clip.suffix}")
    with motions.workers(1) as pool:
        assert pool.submit(motions.write, clip, tmp_path, 64).result() == clip
        assert pool.submit(_loaded, "tensorflow").result() is False
    written = (tmp_path / clip.video).read_bytes()
    assert written == (tmp_path / f"here{clip.suffix}").read_bytes()


def _loaded(name):
    import sys

    return name in sys.modules
