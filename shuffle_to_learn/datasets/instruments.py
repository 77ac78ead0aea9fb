"""The melodic presets of soundfonts, with NSynth's classes, as their files list them.

A preset is an instrument of a soundfont: it has a bank, a program (0..127) and a name. Nothing is
played here: a file's list of presets is read without its samples.
"""

from __future__ import annotations

import importlib.util
import re
import struct
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

PACKAGED = "TimGM6mb"
"""The soundfont that the package ``pretty_midi`` installs; it has no path of its own."""

FAMILIES = (
    "bass",
    "brass",
    "flute",
    "guitar",
    "keyboard",
    "mallet",
    "organ",
    "reed",
    "string",
    "synth_lead",
    "vocal",
)
"""NSynth's."""
OTHER = "other"
"""The family of a preset of which neither name nor number tells one; NSynth has none like it."""
SOURCES = ("acoustic", "electronic", "synthetic")

PERCUSSION = "percussion"
"""What names tell of presets without a pitch, drums and sound effects; they are left out."""
_DRUMS = 128  # the bank that holds drum kits, in every soundfont


class SoundfontError(ValueError):
    """A file that is no soundfont, or that no notes can be rendered from; the message names it."""


@dataclass(frozen=True)
class Instrument:
    """A melodic preset of a soundfont, with NSynth's classes.

    Attributes:
        font: the soundfont: :data:`PACKAGED`, or a path.
        place: of the soundfont among those of the dataset, from 0.
        bank: the preset's bank.
        program: its number in the bank, 0..127.
        name: what the soundfont calls it.
        family: one of :data:`FAMILIES`, or :data:`OTHER`.
        source: one of :data:`SOURCES`.
    """

    font: str
    place: int
    bank: int
    program: int
    name: str
    family: str
    source: str

    @property
    def number(self) -> int:
        """A number of its own: the program in the first soundfont's bank 0, larger elsewhere."""
        return (self.place << 23) + (self.bank << 7) + self.program

    @property
    def label(self) -> str:
        """The name in the dataset, in NSynth's form, unique: ``keyboard_acoustic_000``.

        A bank other than 0 and a soundfont after the first are named, too:
        ``guitar_acoustic_024_bank_8_font_2``.
        """
        bank = f"_bank_{self.bank}" if self.bank else ""
        font = f"_font_{self.place + 1}" if self.place else ""
        return f"{self.family}_{self.source}_{self.program:03d}{bank}{font}"


# The melodic programs of General MIDI. Left out are timpani (47) and orchestra hit (55), which are
# percussive, the group of percussive programs (112-119, except the pitched steel drums) and the
# sound effects (120-127). Families and sources are our reading of NSynth's classes: plucked strings
# are guitars, pads are synth leads, and a program that imitates no acoustic or electronic
# instrument is synthetic.
GENERAL_MIDI: dict[int, tuple[str, str]] = {
    int(entry.split(" ", 1)[0]): (family, source)
    for family, source, programs in (
        (
            "keyboard",
            "acoustic",
            "0 Acoustic Grand Piano,1 Bright Acoustic Piano,3 Honky-tonk Piano,6 Harpsichord",
        ),
        (
            "keyboard",
            "electronic",
            "2 Electric Grand Piano,4 Electric Piano 1,5 Electric Piano 2,7 Clavinet",
        ),
        (
            "mallet",
            "acoustic",
            "8 Celesta,9 Glockenspiel,10 Music Box,11 Vibraphone,12 Marimba,13 Xylophone,"
            "14 Tubular Bells,15 Dulcimer,108 Kalimba,114 Steel Drums",
        ),
        ("organ", "electronic", "16 Drawbar Organ,17 Percussive Organ,18 Rock Organ"),
        ("organ", "acoustic", "19 Church Organ,20 Reed Organ,21 Accordion,23 Tango Accordion"),
        (
            "guitar",
            "acoustic",
            "24 Acoustic Guitar (nylon),25 Acoustic Guitar (steel),46 Orchestral Harp,104 Sitar,"
            "105 Banjo,106 Shamisen,107 Koto",
        ),
        (
            "guitar",
            "electronic",
            "26 Electric Guitar (jazz),27 Electric Guitar (clean),28 Electric Guitar (muted),"
            "29 Overdriven Guitar,30 Distortion Guitar,31 Guitar Harmonics",
        ),
        ("bass", "acoustic", "32 Acoustic Bass"),
        (
            "bass",
            "electronic",
            "33 Electric Bass (finger),34 Electric Bass (pick),35 Fretless Bass,36 Slap Bass 1,"
            "37 Slap Bass 2",
        ),
        ("bass", "synthetic", "38 Synth Bass 1,39 Synth Bass 2"),
        (
            "string",
            "acoustic",
            "40 Violin,41 Viola,42 Cello,43 Contrabass,44 Tremolo Strings,45 Pizzicato Strings,"
            "48 String Ensemble 1,49 String Ensemble 2,110 Fiddle",
        ),
        ("string", "synthetic", "50 Synth Strings 1,51 Synth Strings 2"),
        ("vocal", "acoustic", "52 Choir Aahs,53 Voice Oohs"),
        ("vocal", "synthetic", "54 Synth Voice"),
        (
            "brass",
            "acoustic",
            "56 Trumpet,57 Trombone,58 Tuba,59 Muted Trumpet,60 French Horn,61 Brass Section",
        ),
        ("brass", "synthetic", "62 Synth Brass 1,63 Synth Brass 2"),
        (
            "reed",
            "acoustic",
            "22 Harmonica,64 Soprano Sax,65 Alto Sax,66 Tenor Sax,67 Baritone Sax,68 Oboe,"
            "69 English Horn,70 Bassoon,71 Clarinet,109 Bagpipe,111 Shanai",
        ),
        (
            "flute",
            "acoustic",
            "72 Piccolo,73 Flute,74 Recorder,75 Pan Flute,76 Blown Bottle,77 Shakuhachi,"
            "78 Whistle,79 Ocarina",
        ),
        (
            "synth_lead",
            "synthetic",
            "80 Lead 1 (square),81 Lead 2 (sawtooth),82 Lead 3 (calliope),83 Lead 4 (chiff),"
            "84 Lead 5 (charang),85 Lead 6 (voice),86 Lead 7 (fifths),87 Lead 8 (bass + lead),"
            "88 Pad 1 (new age),89 Pad 2 (warm),90 Pad 3 (polysynth),91 Pad 4 (choir),"
            "92 Pad 5 (bowed),93 Pad 6 (metallic),94 Pad 7 (halo),95 Pad 8 (sweep),96 FX 1 (rain),"
            "97 FX 2 (soundtrack),98 FX 3 (crystal),99 FX 4 (atmosphere),100 FX 5 (brightness),"
            "101 FX 6 (goblins),102 FX 7 (echoes),103 FX 8 (sci-fi)",
        ),
    )
    for entry in programs.split(",")
}
"""Family and source of each melodic program of General MIDI."""

NAMES: tuple[tuple[str, str, str], ...] = (
    ("organ", "acoustic", r"(church|pipe|reed) ?organ|accord|bandoneon|harmonium|concertina"),
    ("organ", "electronic", r"organ|hammond|drawbar"),
    ("mallet", "acoustic", r"steel ?(drum|pan)"),
    (
        PERCUSSION,
        "",
        r"drum|kit\b|perc|cymbal|snare|toms?\b|conga|bongo|clap|timpani|taiko|castanet|agogo|"
        r"(wood|temple) ?block|metronome|tambourine|maraca|shaker|orch\w* hit|gun|applause|"
        r"helicopter|telephone|\w* ?noise|sea ?shore|bird|effect|sfx",
    ),
    (
        "synth_lead",
        "synthetic",
        r"lead|pad\b|saw|square|sine|sweep|poly ?synth|fx\b|charang|calliope|fantasia",
    ),
    (
        "reed",
        "acoustic",
        r"clarinet|oboe|bassoon|sax|english horn|cor anglais|harmonica|bagpipe|sh[ae]nai|duduk",
    ),
    ("brass", "acoustic", r"trumpet|trombone|tuba|horn|brass|cornet|fl[uü]gel|euphonium"),
    (
        "flute",
        "acoustic",
        r"flute|piccolo|recorder|ocarina|whistle|shakuhachi|bottle|pan ?pipe",
    ),
    (
        "mallet",
        "acoustic",
        r"glock|marimba|xylo|vibra|vibes|celest|bell|chime|music ?box|dulcimer|kalimba",
    ),
    ("keyboard", "electronic", r"e(lectric)?[. ]*(piano|grand)|ep\b|rhodes|wurli|clavi?net"),
    ("keyboard", "acoustic", r"piano|harpsi|clavi|grand|honky"),
    ("vocal", "acoustic", r"choir|chorus|voices?|vox|vocal|[ao]+hs?\b"),
    (
        "guitar",
        "electronic",
        r"(electric|jazz|clean|(palm )?mute|overdr|distort|feedback|funk)\w* guitar",
    ),
    (
        "guitar",
        "acoustic",
        r"guitar|banjo|harp\b|sitar|koto|shamisen|mandolin|ukulele|lute|oud\b",
    ),
    (
        "string",
        "acoustic",
        r"violin|viola|cell[oi]|contrabass|double bass|basses|string|fiddle|pizz|trem",
    ),
    ("bass", "acoustic", r"(acoustic|upright) bass"),
    ("bass", "electronic", r"bass"),
)
"""Family, source, and the beginnings of words that tell them in a name; the first match holds."""
_NAMED = [(family, source, re.compile(rf"\b(?:{words})", re.I)) for family, source, words in NAMES]
_SYNTHETIC = re.compile(r"\bsyn", re.I)


def named(name: str) -> tuple[str, str] | None:
    """Family and source that a preset's name tells, by :data:`NAMES`; None where it tells none."""
    name = re.sub("(?<=[a-z])(?=[A-Z])", " ", name)  # SoloTrumpet
    for family, source, words in _NAMED:
        if words.search(name):
            return family, "synthetic" if _SYNTHETIC.search(name) else source
    return None


def path_of(font: str) -> Path:
    """The file of a soundfont; :data:`PACKAGED` is found without importing ``pretty_midi``.

    Raises:
        FileNotFoundError: ``pretty_midi`` is not installed or has no such file.
    """
    if font != PACKAGED:
        return Path(font)
    spec = importlib.util.find_spec("pretty_midi")
    if spec is not None and spec.origin is not None:
        path = Path(spec.origin).parent / f"{PACKAGED}.sf2"
        if path.is_file():
            return path
    raise FileNotFoundError(f"{PACKAGED}.sf2 is not there: install the package pretty_midi")


def presets(path: Path) -> list[tuple[int, int, str]]:
    """The presets that a soundfont lists.

    Source: SoundFont Technical Specification 2.04, sections 4.1 (RIFF) and 7.2 (sub-chunk phdr).

    Args:
        path: an ``.sf2`` or ``.sf3`` file; its samples are not read.

    Returns:
        Bank, program and name of each, sorted; a place that two presets have is the first one's.

    Raises:
        SoundfontError: it is another kind of file, or damaged.
        OSError: it cannot be opened.
    """
    size = path.stat().st_size
    with path.open("rb") as file:
        kind, length, form = struct.unpack("<4sI4s", file.read(12).ljust(12, b"\0"))
        if (kind, form) != (b"RIFF", b"sfbk"):
            raise SoundfontError(f"{path} is no soundfont (.sf2 or .sf3)")
        if size < 8 + length:
            raise SoundfontError(f"{path} is cut off: it has {size} of {8 + length} bytes")
        while len(head := file.read(8)) == 8:
            kind, length = struct.unpack("<4sI", head)
            if kind == b"LIST":
                if file.read(4) == b"pdta":
                    continue  # into it
                length -= 4
            if kind == b"phdr":
                table = file.read(length)
                break
            file.seek(length + length % 2, 1)
        else:
            raise SoundfontError(f"{path} is damaged: it has no list of presets")
    record = struct.Struct("<20sHH14x")
    if len(table) < length or length % record.size or not length:
        raise SoundfontError(f"{path} is damaged: its list of presets is cut off")
    found: dict[tuple[int, int], str] = {}
    for name, program, bank in list(record.iter_unpack(table))[:-1]:  # the last one ends the list
        text = name.partition(b"\0")[0].decode("latin-1").strip()
        found.setdefault((bank, program), text)
    return [(bank, program, name) for (bank, program), name in sorted(found.items())]


def melodic(fonts: Sequence[str] = (PACKAGED,)) -> list[Instrument]:
    """The presets of soundfonts that play notes, from all banks: no drum kits and no sound effects.

    Families are General MIDI's by program, unless a bank's names say otherwise: fewer than half of
    those that tell a family tell General MIDI's. Then they are those that the names tell.

    Args:
        fonts: each :data:`PACKAGED` or a path.

    Returns:
        The instruments, sorted by their numbers.

    Raises:
        SoundfontError: a file is no soundfont, or has no such preset.
        OSError: a file cannot be opened.
    """
    result = []
    for place, font in enumerate(fonts):
        path = path_of(font)
        banks: dict[int, list[tuple[int, str]]] = defaultdict(list)
        for bank, program, name in presets(path):
            if bank != _DRUMS and program < 128 and bank < 2**14:  # what MIDI can ask for
                banks[bank].append((program, name))
        found = [
            Instrument(font, place, bank, program, name, *classes)
            for bank, members in banks.items()
            for (program, name), classes in zip(members, _classes(members), strict=True)
            if classes[0] != PERCUSSION
        ]
        if not found:
            raise SoundfontError(f"{path} has no melodic presets, only drums or sound effects")
        result += found
    return result


def _classes(members: Sequence[tuple[int, str]]) -> list[tuple[str, str]]:
    """Family and source of each preset of a bank, given by program and name."""
    by_number = [GENERAL_MIDI.get(program, (PERCUSSION, "")) for program, _ in members]
    by_name = [named(name) for _, name in members]
    told = [(a[0], b[0]) for a, b in zip(by_number, by_name, strict=True) if b]
    if 2 * sum(a == b for a, b in told) >= len(told):
        return by_number
    return [classes or (OTHER, SOURCES[-1]) for classes in by_name]


def spread(count: int, instruments: Iterable[Instrument]) -> list[Instrument]:
    """At most ``count`` of the instruments, chosen from the families in turn, sorted by number."""
    families: dict[str, list[Instrument]] = {}
    for instrument in sorted(instruments, key=lambda i: i.number):
        families.setdefault(instrument.family, []).append(instrument)
    ranked = sorted(
        (place, instrument.family, instrument.number, instrument)
        for members in families.values()
        for place, instrument in enumerate(members)
    )
    return sorted((entry[-1] for entry in ranked[:count]), key=lambda i: i.number)
