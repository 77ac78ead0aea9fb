"""Recorded speech of two Debian packages: `words`, names of things, and `syllables` of Mandarin.

The recordings stay where the packages' files are; a dataset holds a window of each.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import replace
from hashlib import blake2b
from pathlib import Path

from shuffle_to_learn.datasets.folder import Folder, Item

LANGUAGES = ("be", "bg", "ca", "da", "el", "es", "fr", "ro", "ru")
"""The languages of which there are 300 recordings or more."""
CYRILLIC = ("be", "bg", "ru")
LETTERS = "АБВГДЕЖЗКЛМНОПРСТФЦЧШ"
"""The letters that 30 Cyrillic names or more begin with."""
LATIN = dict(
    zip(
        "ㄅㄆㄇㄈㄉㄊㄋㄌㄍㄎㄏㄐㄑㄒㄓㄔㄕㄖㄗㄘㄙㄚㄛㄜㄝㄞㄟㄠㄡㄢㄣㄤㄥㄦㄧㄨㄩ",
        "b p m f d t n l g k h j q x zh ch sh r z c s "
        "a o e ê ai ei ao ou an en ang eng er i u ü".split(),
        strict=True,
    )
)
"""The letters of Bopomofo, in their order, as Pinyin has each by itself."""
NONE = "none"
"""The initial of a syllable without one, and the final of one like *zhi*."""

_RECORDING = re.compile(r"(?P<thing>.+)_desc(?:_(?P<language>\w+))?(?:\.ogg)+")
_SYLLABLE = re.compile(r"(?P<initial>[ㄅ-ㄙ]?)(?P<final>[ㄚ-ㄩ]*)(?P<tone>[1-4]?)")
_NAME = re.compile(r"^([^=\s]+)\.utf8=(.*)$", re.MULTILINE)


def words(folder: Path) -> list[Item]:
    """The spoken names of things: `<category>/.../<thing>_desc_<language>.ogg`.

    The same recording is in the package under several things (an outlined and a filled letter): it
    is kept once. Things that share a recording, or a written name in a language, are one thing, so
    that no word is spoken in two splits.

    Args:
        folder: the package's folder ``stamps``.

    Returns:
        The recordings in the order of their names, with the labels ``language``, ``category``,
        ``first_letter`` (of Cyrillic names), ``thing`` and ``name`` (as it is written), empty where
        unknown; without a split. One that is the same as an earlier one has that as its ``reason``.
    """
    found: list[tuple[str, str, str]] = []
    names: dict[str, dict[str, str]] = {}
    for file in _below(folder):
        match = _RECORDING.fullmatch(file.rpartition("/")[2])
        if match:
            thing = file[: -len(match[0])] + match["thing"]
            names.setdefault(thing, _written(folder / f"{thing}.txt"))
            found.append((file, thing, match["language"] or "en"))
    first: dict[bytes, tuple[str, str]] = {}
    named: dict[tuple[str, str], str] = {}
    same: list[tuple[str, str]] = []
    items = []
    for file, thing, language in found:
        name = names[thing].get(language, "")
        digest = blake2b((folder / file).read_bytes()).digest()
        before, its_thing = first.setdefault(digest, (file, thing))
        same.append((thing, its_thing))
        if name:
            same.append((thing, named.setdefault((language, name.casefold().strip(" .")), thing)))
        told = {
            "language": language if language in LANGUAGES else "",
            "category": file.partition("/")[0],
            "first_letter": first_letter(name) if language in CYRILLIC else "",
            "name": name,
            "thing": thing,
        }
        reason = f"identical to {before}" if before != file else ""
        items.append(Item(file, file, "", told, reason=reason))
    one = _merged(same)
    return [replace(i, labels={**i.labels, "thing": one[i.labels["thing"]]}) for i in items]


def first_letter(name: str) -> str:
    """The first letter of a written name, past quotation marks; empty unless of :data:`LETTERS`."""
    letter = next((sign for sign in name if sign.isalnum()), "").upper()
    return letter if letter in LETTERS else ""


def syllables(folder: Path) -> list[Item]:
    """The syllables of Mandarin by two voices: `<Bopomofo><tone>/<voice>.ogg`.

    Args:
        folder: the package's folder ``ogg``. A first tone has no number there, and the neutral one
            has 1.

    Returns:
        The recordings in the order of their names, with the labels ``initial``, ``final``, ``tone``
        (empty where neutral), ``voice`` and ``syllable`` (without its tone); without a split.
    """
    items = []
    for file in _below(folder):
        name, _, recording = file.rpartition("/")
        match = _SYLLABLE.fullmatch(name)
        if match and name:
            told = {
                "initial": LATIN.get(match["initial"], NONE),
                "final": "".join(LATIN[letter] for letter in match["final"]) or NONE,
                "tone": {"": "1", "1": ""}.get(match["tone"], match["tone"]),
                "voice": recording.removesuffix(".ogg"),
                "syllable": match["initial"] + match["final"],
            }
            items.append(Item(file, file, "", told))
    return items


FINDERS = {"words": words, "syllables": syllables}
"""For each dataset the function that finds its recordings."""


class Words(Folder):
    """The recordings that :func:`words` finds."""

    LABELLED = True
    DESCRIPTION = "Names of things in nine languages, spoken by volunteers, of Tux Paint's stamps."


class Syllables(Folder):
    """The recordings that :func:`syllables` finds."""

    LABELLED = True
    DESCRIPTION = "Syllables of Mandarin by two voices, of the input method gcin."


BUILDERS = {"words": Words, "syllables": Syllables}


def _below(folder: Path) -> Iterator[str]:
    """The Ogg files of a folder, sorted, with forward slashes."""
    return iter(sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*.ogg")))


def _written(path: Path) -> dict[str, str]:
    """The names of a thing by language: the lines ``<language>.utf8=<name>`` below the English."""
    if not path.is_file():
        return {}
    text = path.read_text(encoding="utf-8", errors="replace")
    return {language: name.strip() for language, name in _NAME.findall(text)}


def _merged(pairs: Iterable[tuple[str, str]]) -> dict[str, str]:
    """For each name the first of all those that pairs lead to from it."""
    leads_to: dict[str, str] = {}

    def end(name: str) -> str:
        while leads_to.setdefault(name, name) != name:
            name = leads_to[name]
        return name

    for pair in pairs:
        first, second = sorted(map(end, pair))
        leads_to[second] = first
    return {name: end(name) for name in leads_to}
