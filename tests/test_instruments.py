"""The presets of soundfonts: what a file lists, and their classes."""

import tempfile
from pathlib import Path

import numpy as np
import pytest
import tinysoundfont
from hypothesis import example, given, settings
from hypothesis import strategies as st
from tiny_soundfont import Preset, chunk, soundfont, write

from shuffle_to_learn.datasets import instruments
from shuffle_to_learn.datasets.instruments import (
    FAMILIES,
    GENERAL_MIDI,
    OTHER,
    PACKAGED,
    PERCUSSION,
    SOURCES,
    Instrument,
    SoundfontError,
    melodic,
    named,
    path_of,
    presets,
    spread,
)

NOT_MELODIC = {47, 55, 112, 113, *range(115, 128)}
ORCHESTRA = [Preset(0, 40, "Violin"), Preset(0, 56, "Trumpet"), Preset(0, 73, "Flute")]
PLACES = st.tuples(st.integers(0, 130), st.integers(0, 127))
TEXT = st.text(
    st.characters(min_codepoint=33, max_codepoint=255, exclude_characters="\x7f\xa0\x85")
)


@pytest.fixture(scope="module")
def good() -> bytes:
    return soundfont(ORCHESTRA)


def told(content: bytes) -> str:
    """What is said of a file with this content."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "a.sf2"
        path.write_bytes(content)
        try:
            melodic([str(path)])
        except SoundfontError as error:
            assert str(error).startswith(str(path)) and "\n" not in str(error)
            return str(error).removeprefix(str(path)).strip()
    return ""


@settings(deadline=None, max_examples=20)
@given(
    st.dictionaries(PLACES, TEXT.map(lambda text: text[:20]), min_size=1, max_size=5), st.randoms()
)
def test_presets_are_those_that_were_written(names, random) -> None:
    written = [Preset(bank, program, name) for (bank, program), name in names.items()]
    random.shuffle(written)
    with tempfile.TemporaryDirectory() as folder:
        found = presets(write(Path(folder) / "a.sf2", written))
    assert found == sorted((p.bank, p.program, p.name) for p in written)


def test_presets_are_those_that_the_synthesiser_knows() -> None:
    synth = tinysoundfont.Synth()
    path = path_of(PACKAGED)
    font = synth.sfload(str(path))
    found = presets(path)
    assert len(found) == synth.soundfonts[font].get_preset_count() == 136
    for bank, program, name in found:
        assert synth.sfpreset_name(font, bank, program).strip() == name


def test_the_packaged_soundfont_has_general_midis_instruments() -> None:
    found = melodic()
    assert [i.program for i in found] == sorted(set(range(128)) - NOT_MELODIC)
    assert {i.bank for i in found} == {i.place for i in found} == {0}
    assert {i.program: (i.family, i.source) for i in found} == GENERAL_MIDI
    assert {i.family for i in found} == set(FAMILIES)
    assert {i.source for i in found} == set(SOURCES)
    assert {i.label for i in found} >= {"keyboard_acoustic_000", "reed_acoustic_111"}


def test_general_midis_programs_are_told_by_their_names() -> None:
    """Spot checks of the table against the names in the file."""
    names = {i.program: i.name for i in melodic()}
    for program, word in (
        (11, "Vibr"),
        (40, "Violin"),
        (57, "Trombone"),
        (68, "Oboe"),
        (104, "Sitar"),
    ):
        assert names[program].startswith(word)


@given(st.tuples(st.integers(0, 9), PLACES), st.tuples(st.integers(0, 9), PLACES))
@example((0, (1, 0)), (1, (0, 0)))
@example((0, (1, 0)), (0, (0, 127)))
def test_no_two_instruments_have_a_number_or_a_label(one, other) -> None:
    a, b = (
        Instrument("a", place, bank, program, "", "bass", "acoustic")
        for place, (bank, program) in (one, other)
    )
    assert (a.number == b.number) == (a.label == b.label) == (one == other)
    assert (a.number < b.number) == (one < other)


def test_all_banks_of_all_files_but_drums_and_effects(tmp_path: Path) -> None:
    first = write(
        tmp_path / "first.sf2",
        [
            *ORCHESTRA,
            Preset(8, 40, "Slow Violin"),
            Preset(8, 116, "Concert Bass Drum"),
            Preset(0, 122, "Sea Shore"),
            Preset(128, 0, "Standard"),
        ],
    )
    second = write(tmp_path / "second.sf3", ORCHESTRA[:1], vorbis=True)
    found = melodic([str(first), str(second), PACKAGED])
    assert [i.label for i in found[:5]] == [
        "string_acoustic_040",
        "brass_acoustic_056",
        "flute_acoustic_073",
        "string_acoustic_040_bank_8",
        "string_acoustic_040_font_2",
    ]
    assert len(found) == 5 + 111
    assert [i.font for i in found[3:6]] == [str(first), str(second), PACKAGED]
    assert len({i.label for i in found}) == len(found)


def test_another_order_is_told_by_names(tmp_path: Path) -> None:
    path = write(
        tmp_path / "a.sf2",
        [
            Preset(0, 0, "Alto Sax"),
            Preset(0, 1, "SoloTrumpet"),
            Preset(0, 2, "Bass Clarinet"),
            Preset(0, 3, "Zorblax"),
            Preset(0, 4, "Rock Kit"),
            Preset(0, 124, "Cello"),
            Preset(1, 48, "Zorblax"),  # of a bank whose names tell nothing, the number does
        ],
    )
    found = {(i.bank, i.program): i.family for i in melodic([str(path)])}
    assert found == {
        (0, 0): "reed",
        (0, 1): "brass",
        (0, 2): "reed",
        (0, 3): OTHER,
        (0, 124): "string",
        (1, 48): "string",
    }


@pytest.mark.parametrize(
    ("name", "family"),
    [
        ("Steel String Guitar", "guitar"),
        ("Steel Drums", "mallet"),
        ("Harpsichord", "keyboard"),
        ("Harp", "guitar"),
        ("Bassoon", "reed"),
        ("Bass & Lead", "synth_lead"),
        ("Fretless Bass", "bass"),
        ("Contrabass", "string"),
        ("Basses Tremolo", "string"),
        ("English Horn", "reed"),
        ("French Horns", "brass"),
        ("Perc. Organ Expr.", "organ"),
        ("Melodic Tom", PERCUSSION),
        ("Choir Aahs", "vocal"),
        ("Church Bell", "mallet"),
    ],
)
def test_names_with_words_of_several_families(name: str, family: str) -> None:
    found = named(name)
    assert found is not None and found[0] == family


def test_a_synthesised_one_is_synthetic() -> None:
    assert named("Synth Brass 1") == ("brass", "synthetic")
    assert named("Zorblax") is None


def test_spread_takes_from_every_family() -> None:
    found = melodic()
    assert {i.family for i in spread(11, found)} == set(FAMILIES)
    assert spread(1000, found) == found
    fewer, more = set(spread(20, found)), set(spread(40, found))
    assert len(fewer) == 20
    assert fewer < more


# What is no soundfont


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "is no soundfont (.sf2 or .sf3)"),
        (b"RIFF", "is no soundfont (.sf2 or .sf3)"),
        (chunk(b"RIFF", b"WAVE" + chunk(b"fmt ", bytes(16))), "is no soundfont (.sf2 or .sf3)"),
        (chunk(b"RIFF", b"sfbk"), "is damaged: it has no list of presets"),
        (soundfont([Preset(128, 0, "Standard")]), "has no melodic presets, only drums or sound"),
        (soundfont([Preset(0, 122, "Sea Shore")]), "has no melodic presets, only drums or sound"),
        (soundfont([]), "has no melodic presets"),
    ],
)
def test_what_is_no_soundfont_is_told_in_a_line(content: bytes, said: str) -> None:
    assert told(content).startswith(said)


@settings(deadline=None)
@given(st.data())
def test_a_file_that_is_cut_off_is_told(good, data) -> None:
    length = data.draw(st.integers(0, len(good) - 1))
    wanted = "is cut off: it has" if length >= 12 else "is no soundfont"
    assert told(good[:length]).startswith(wanted)


@settings(deadline=None)
@given(st.integers(0, 2**31 - 1))
def test_whatever_is_in_a_file_no_other_error_comes(good, seed) -> None:
    """Bytes of the lists and of the head changed at random, where the reader looks."""
    rng = np.random.default_rng(seed)
    content = bytearray(good)
    looked_at = np.r_[0:60, content.index(b"pdta") : len(content)]
    for place in rng.choice(looked_at, 5):
        content[place] = rng.integers(256)
    told(bytes(content))


def test_the_package_that_is_missing_is_named(monkeypatch) -> None:
    monkeypatch.setattr(instruments.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(FileNotFoundError, match="install the package pretty_midi"):
        path_of(PACKAGED)
