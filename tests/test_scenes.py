import itertools
from dataclasses import replace

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from shuffle_to_learn.datasets import glyphs, scenes
from shuffle_to_learn.datasets.scenes import Plan, Scene, Settings, Thing

SETTINGS = Settings(size=96, materials=40)
COUNTS = {"pretrain": 3, "pretrain_valid": 2, "train": 3, "valid": 2, "test": 3}


def progress(items, *, total, label, unit):
    return items


class Here:
    """Stands for the pool: everything happens in this process."""

    def map(self, function, items, chunksize=1):
        return map(function, items)


def drawn(split="train", count=40, seed=0, settings=SETTINGS):
    return list(scenes.draw(split, count, seed=seed, settings=settings))


def alone(thing, place=None):
    place = place or drawn(count=1)[0].place
    return Scene("alone", replace(place, room=None, horizon=0.4, brightness=1.0), (thing,))


def thing(**changes):
    upright = Thing(
        label="fruit",
        glyph="1f34a",
        x=0.5,
        depth=0.4,
        lift=0.0,
        height=0.4,
        mirrored=False,
        angle=0.0,
        colour=(0.0, 1.0, 1.0),
    )
    return replace(upright, **changes)


def test_features_are_vocs(tmp_path):
    from tensorflow_datasets.object_detection import voc

    theirs = voc.Voc(config="2012", data_dir=tmp_path).info.features
    ours = scenes.features()
    assert list(ours) == list(theirs)
    assert list(ours["objects"].feature) == list(theirs["objects"].feature)
    assert ours.shape == theirs.shape
    assert ours.dtype == theirs.dtype

    def kinds(features):
        return [type(f) for f in (*features.values(), *features["objects"].feature.values())]

    assert kinds(ours) == kinds(theirs)
    assert ours["objects"]["pose"].names == theirs["objects"]["pose"].names
    assert ours["labels"].num_classes == theirs["labels"].num_classes == 20


@pytest.mark.parametrize("split", scenes.SPLITS)
def test_a_scene_depends_on_its_number_and_seed(split):
    first = drawn(split, 5)
    assert first == drawn(split, 8)[:5]
    assert first != drawn(split, 5, seed=1)
    assert len({scene.id for scene in first}) == 5
    assert len({scene.place for scene in first}) == 5


def test_splits_share_neither_glyphs_nor_materials():
    used = {}
    for split in scenes.SPLITS:
        many = drawn(split, 300)
        used[split] = (
            {thing.glyph for scene in many for thing in scene.things},
            {material for scene in many for material in scene.place.materials},
        )
        for one in itertools.chain.from_iterable(scene.things for scene in many):
            assert one.glyph in glyphs.CLASSES[one.label]
    for first, second in itertools.combinations(("train", "valid", "test"), 2):
        for ours, theirs in zip(used[first], used[second], strict=True):
            assert not ours & theirs
    for pretrain in ("pretrain", "pretrain_valid"):
        for other in ("valid", "test"):
            for ours, theirs in zip(used[pretrain], used[other], strict=True):
                assert not ours & theirs
        assert used[pretrain][1] == used["train"][1]
    # Not the same scenes twice.
    assert not {s.place for s in drawn("pretrain")} & {s.place for s in drawn("train")}


def test_labels_and_numbers_of_objects_are_even():
    many = drawn(count=2000)
    sizes = np.bincount([len(scene.things) for scene in many], minlength=4)
    np.testing.assert_allclose(sizes / len(many), [0, 1 / 3, 1 / 3, 1 / 3], atol=0.05)
    labels = [thing.label for scene in many for thing in scene.things]
    shares = [labels.count(label) / len(labels) for label in scenes.LABELS]
    np.testing.assert_allclose(shares, 1 / 20, atol=0.015)
    # The nearest first.
    for scene in many:
        depths = [thing.depth for thing in scene.things]
        assert depths == sorted(depths, reverse=True)


def test_things_are_where_their_class_is_met():
    assert tuple(scenes.HABITS) == scenes.LABELS
    assert sum(habit.indoors for habit in scenes.HABITS.values()) == pytest.approx(10)
    met = [(s.place.room is not None, t) for s in drawn(count=4000) for t in s.things]
    for label, habit in scenes.HABITS.items():
        own = [(inside, thing) for inside, thing in met if thing.label == label]
        inside = np.mean([inside for inside, _ in own])
        error = np.sqrt(habit.indoors * (1 - habit.indoors) / len(own))
        assert abs(inside - habit.indoors) < 4 * error + 0.005, label
        heights = [thing.height / thing.depth for _, thing in own]
        assert 0.85 * habit.size <= min(heights) and max(heights) <= 1.2 * habit.size
        assert any(thing.lift for _, thing in own) == habit.flies


def test_what_is_listed_is_what_is_drawn():
    # The oracle: taking a thing away changes the picture in its box, and only there.
    settings = replace(SETTINGS, shadow=0.0)
    listed = left_out = 0
    for scene in drawn(count=60):
        picture, seen = scenes.render(scene, settings)
        assert seen
        left = list(seen)
        for place, one in enumerate(scene.things):
            rest = scene.things[:place] + scene.things[place + 1 :]
            # A nearer one gone, others may come out from behind it: compare with those there are.
            without, others = scenes.render(replace(scene, things=rest), settings)
            changed = np.abs(picture.astype(int) - without).max(axis=-1)
            if not changed.any():
                left_out += 1
                assert others == seen
                continue
            listed += 1
            mine = left.pop(0)
            assert mine.label == one.label
            if place == len(scene.things) - 1:  # the farthest: nothing comes out from behind
                rows, columns = box(mine, settings.size)
                outside = changed.copy()
                outside[rows, columns] = 0
                # Beyond the box is only the soft edge, at most half covered and a pixel or two.
                assert (outside > 0).sum() < 0.02 * changed.size
        assert not left
    assert listed > 100
    assert left_out


def box(one, size):
    top, left, bottom, right = (round(size * edge) for edge in one.bbox)
    return slice(top, bottom), slice(left, right)


@pytest.mark.parametrize("glyph", ["1f34a", "1f34c", "1f992"])
@pytest.mark.parametrize("mirrored", [False, True])
def test_boxes_are_tight(glyph, mirrored):
    # Measured on the glyph itself: its opaque rows and columns, at the scale of the picture.
    size, height = 288, 144
    one = thing(glyph=glyph, mirrored=mirrored, height=height / size)
    _, (seen,) = scenes.render(alone(one), Settings(size=size))
    opaque = glyphs.picture(glyph)[..., 3] > 127
    if mirrored:
        opaque = opaque[:, ::-1]
    rows, columns = np.flatnonzero(opaque.any(axis=1)), np.flatnonzero(opaque.any(axis=0))
    scale = height / glyphs.SIZE
    foot, middle = round((0.4 + one.depth) * size), size / 2
    right = [
        foot - height + scale * rows[0],
        middle - height / 2 + scale * columns[0],
        foot - height + scale * (rows[-1] + 1),
        middle - height / 2 + scale * (columns[-1] + 1),
    ]
    np.testing.assert_allclose(np.array(seen.bbox) * size, right, atol=2)
    assert not seen.is_truncated
    assert not seen.is_difficult


def test_truncated_and_difficult():
    def seen(*things):
        scene = replace(alone(things[0]), things=things)
        return scenes.render(scene, Settings())[1]

    (out,) = seen(thing(x=0.0))
    assert out.is_truncated
    assert out.bbox[1] == 0
    (small,) = seen(thing(height=0.1, depth=0.1))
    assert small.is_difficult
    assert not small.is_truncated
    # Behind another one: a little, mostly, entirely.
    near = thing(glyph="1fa9f", label="furniture", height=0.5)
    far = thing(depth=0.35)
    _, a_little = seen(near, replace(far, x=0.82))
    assert not a_little.is_difficult
    _, mostly = seen(near, replace(far, x=0.65))
    assert mostly.is_difficult
    assert mostly.is_truncated
    assert len(seen(near, replace(far, x=0.5))) == 1


def test_things_outside_the_picture_are_left_out():
    for x in (-3.0, 3.0):
        picture, seen = scenes.render(alone(thing(x=x)), SETTINGS)
        assert seen == []
        nothing, _ = scenes.render(replace(alone(thing()), things=()), SETTINGS)
        np.testing.assert_array_equal(picture, nothing)


def test_shadows_darken_the_ground_only():
    scene = alone(thing(x=0.3))
    dark, seen = scenes.render(scene, SETTINGS)
    light, same = scenes.render(scene, replace(SETTINGS, shadow=0.0))
    assert seen == same
    assert (dark <= light).all()
    assert (dark < light).any()
    horizon = int(0.4 * SETTINGS.size)
    np.testing.assert_array_equal(dark[: horizon - 8], light[: horizon - 8])


def test_files_are_what_is_rendered_and_the_same_again():
    for scene in drawn(count=5):
        picture, seen = scenes.render(scene, SETTINGS)
        id, content, same = scenes.encoded(scene, SETTINGS)
        assert (id, same) == (scene.id, seen)
        assert scenes.encoded(scene, SETTINGS)[1] == content
        stored = cv2.imdecode(np.frombuffer(content, np.uint8), cv2.IMREAD_COLOR)[..., ::-1]
        assert stored.shape == picture.shape
        assert np.abs(stored.astype(int) - picture).mean() < 6


def test_an_example():
    seen = [
        scenes.Seen("fruit", (0.1, 0.2, 0.5, 0.6), False, True),
        scenes.Seen("boat", (0.0, 0.0, 0.4, 0.3), True, False),
        scenes.Seen("fruit", (0.5, 0.5, 1.0, 1.0), True, True),
    ]
    example = scenes.example("train_000007", b"file", seen)
    assert example["image"].read() == b"file"
    assert example["image/filename"] == "train_000007.jpg"
    assert [one["label"] for one in example["objects"]] == ["fruit", "boat", "fruit"]
    assert example["labels"] == ["boat", "fruit"]
    assert example["labels_no_difficult"] == ["boat"]


def written(folder, seed=0, pool=None):
    import tensorflow_datasets as tfds

    plan = Plan(COUNTS, seed, SETTINGS)
    builder = scenes.Scenes(data_dir=folder, plan=plan, pool=pool or Here(), progress=progress)
    builder.download_and_prepare(
        download_dir=folder / "downloads",
        download_config=tfds.download.DownloadConfig(try_download_gcs=False),
    )
    return {
        path.name: path.read_bytes()
        for path in sorted((folder / "scenes").rglob("*"))
        if path.is_file()
    }


def test_tfds_reads_back_what_was_drawn(tmp_path):
    import tensorflow_datasets as tfds

    files = written(tmp_path)
    assert files == written(tmp_path / "again")
    builder = tfds.builder("scenes", data_dir=tmp_path)
    assert {name: split.num_examples for name, split in builder.info.splits.items()} == COUNTS
    assert glyphs.CREDIT in " ".join(builder.info.description.split())
    for split, count in COUNTS.items():
        expected = {f"{scene.id}.jpg": scene for scene in drawn(split, count)}
        examples = list(tfds.as_numpy(builder.as_dataset(split=split)))
        assert {e["image/filename"].decode() for e in examples} == set(expected)
        for example in examples:
            scene = expected[example["image/filename"].decode()]
            picture, seen = scenes.render(scene, SETTINGS)
            assert np.abs(example["image"].astype(int) - picture).mean() < 6
            names = [scenes.LABELS[label] for label in example["objects"]["label"]]
            assert names == [one.label for one in seen]
            boxes = [one.bbox for one in seen]
            np.testing.assert_allclose(example["objects"]["bbox"], boxes, atol=1e-6)
            assert set(example["objects"]["pose"]) == {scenes.POSES.index("unspecified")}
            difficult = [one.is_difficult for one in seen]
            np.testing.assert_array_equal(example["objects"]["is_difficult"], difficult)
            truncated = [one.is_truncated for one in seen]
            np.testing.assert_array_equal(example["objects"]["is_truncated"], truncated)
            labels = {scenes.LABELS[label] for label in example["labels"]}
            assert labels == {one.label for one in seen}
            easy = {scenes.LABELS[label] for label in example["labels_no_difficult"]}
            assert easy == {one.label for one in seen if not one.is_difficult}


@pytest.mark.parametrize("count", [1, 2])
def test_any_number_of_workers_writes_the_same_bytes(tmp_path, count):
    with scenes.workers(count) as pool:
        there = written(tmp_path / "there", pool=pool)
    assert there == written(tmp_path / "here")


def test_the_builder_asks_for_what_it_needs(tmp_path):
    builder = scenes.Scenes(data_dir=tmp_path)
    with pytest.raises(ValueError, match="a pool and a progress function"):
        builder._split_generators(None)


@pytest.mark.parametrize("pattern", scenes._PATTERNS)
def test_a_part_of_a_surface_is_the_part_of_the_whole(pattern):
    """So only the part that is seen has to be drawn."""
    material = replace(drawn(count=1)[0].place.materials[0], pattern=pattern)
    x, z = np.random.default_rng(0).uniform(-20, 20, (2, 50, 61)).astype(np.float32)
    whole = scenes._surface(material, x, z)
    assert whole.shape == (3, 50, 61)
    for first in (1, 23, 49):
        part = scenes._surface(material, x[first:], z[first:])
        np.testing.assert_array_equal(part, whole[:, first:])


@given(hnp.arrays(np.float32, (1, 50), elements=st.floats(-2000, 2000, width=32)))
def test_noise_repeats_every_two(points):
    material = drawn(count=1)[0].place.materials[0]
    column, row = 64 * np.mod(points, 2), 64 * np.mod(-points, 2)
    tile = scenes._tile(material.seed)
    expected = cv2.remap(tile, column, row, cv2.INTER_LINEAR, borderMode=cv2.BORDER_WRAP)
    np.testing.assert_array_equal(scenes._noise(material, points, -points), expected)


def test_too_few_materials():
    with pytest.raises(ValueError, match="materials: 8 are too few"):
        drawn(settings=replace(SETTINGS, materials=8))


def test_workers_render_the_same_without_tensorflow():
    (scene,) = drawn(count=1)
    with scenes.workers(1) as pool:
        there = pool.submit(scenes.encoded, scene, SETTINGS).result()
        assert pool.submit(_loaded, "tensorflow").result() is False
    assert there == scenes.encoded(scene, SETTINGS)


def _loaded(name):
    import sys

    return name in sys.modules
