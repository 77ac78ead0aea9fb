"""Render notes of a General MIDI soundfont after NSynth's protocol, and check the audio.

NSynth (Engel et al. 2017): 16 kHz, mono, 4 s; the note is held for 3 s and released for 1 s; five
velocities. The soundfont is ``TimGM6mb.sf2``, which the package ``pretty_midi`` installs.
TensorFlow is never imported here: the functions run in worker processes.
"""

from __future__ import annotations

import importlib.util
import zlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import tinysoundfont
from scipy.fft import irfft, rfft
from threadpoolctl import threadpool_limits

SAMPLE_RATE = 16_000
HELD = 3  # seconds
RELEASED = 1
SAMPLES = (HELD + RELEASED) * SAMPLE_RATE
VELOCITIES = (25, 50, 75, 100, 127)
PITCH_MIN, PITCH_MAX = 21, 108

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
SOURCES = ("acoustic", "electronic", "synthetic")

_OVERSAMPLING = 2  # the synthesiser's filters become unstable when run at 16 kHz
_FLUSH = 64  # stereo frames per call while the voices of the last note fade out
_STEP = 1 / 32768  # NSynth's WAV files have 16 bits


@dataclass(frozen=True)
class Instrument:
    """A melodic General MIDI program, with NSynth's classes.

    Attributes:
        program: number of the program, from 0.
        name: General MIDI's name of the program.
        family: one of :data:`FAMILIES`.
        source: one of :data:`SOURCES`.
    """

    program: int
    name: str
    family: str
    source: str

    @property
    def label(self) -> str:
        """The name in the dataset, in NSynth's form: ``keyboard_acoustic_000``."""
        return f"{self.family}_{self.source}_{self.program:03d}"


# The melodic programs of General MIDI. Left out are timpani (47) and orchestra hit (55), which are
# percussive, the group of percussive programs (112-119, except the pitched steel drums) and the
# sound effects (120-127). Families and sources are our reading of NSynth's classes: plucked strings
# are guitars, pads are synth leads, and a program that imitates no acoustic or electronic
# instrument is synthetic.
INSTRUMENTS = tuple(
    Instrument(int(program), name, family, source)
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
    for program, name in (entry.split(" ", 1) for entry in programs.split(","))
)


def soundfont() -> Path:
    """The path of ``TimGM6mb.sf2``, found without importing ``pretty_midi``, which installs it.

    Raises:
        FileNotFoundError: ``pretty_midi`` is not installed or has no such file.
    """
    spec = importlib.util.find_spec("pretty_midi")
    if spec is not None and spec.origin is not None:
        path = Path(spec.origin).parent / "TimGM6mb.sf2"
        if path.is_file():
            return path
    raise FileNotFoundError("TimGM6mb.sf2 is not there: install the package pretty_midi")


class Renderer:
    """A synthesiser with the soundfont; a note does not depend on the notes rendered before it."""

    def __init__(self) -> None:
        self._synth = tinysoundfont.Synth(samplerate=_OVERSAMPLING * SAMPLE_RATE)
        self._font = self._synth.sfload(str(soundfont()))
        self._buffer = bytearray(SAMPLES * _OVERSAMPLING * 2 * 4)  # stereo float32

    def note(self, program: int, pitch: int, velocity: int) -> np.ndarray:
        """Render one note.

        Args:
            program: General MIDI program, 0..127.
            pitch: MIDI number, 0..127.
            velocity: 1..127. It changes only the loudness of most instruments.

        Returns:
            float32, shape (64000,): the mean of both channels at 16 kHz, in multiples of 1/32768
            within [-1, 1). The note is held for the first 3 s.
        """
        held = memoryview(self._buffer)[: HELD * SAMPLE_RATE * _OVERSAMPLING * 8]
        released = memoryview(self._buffer)[len(held) :]
        self._synth.program_select(0, self._font, 0, program)
        self._synth.noteon(0, pitch, velocity)
        self._synth.generate(len(held) // 8, held)
        self._synth.noteoff(0, pitch)
        self._synth.generate(len(released) // 8, released)
        # After a reset the voices fade out over some frames: without this loop, the next note would
        # begin with them.
        self._synth.soundfonts[self._font].reset()
        while np.frombuffer(self._synth.generate(_FLUSH), np.float32).any():
            pass
        stereo = np.frombuffer(self._buffer, np.float32).reshape(-1, 2)
        steps = mono(stereo)
        steps /= _STEP
        np.clip(np.rint(steps, out=steps), -32768, 32767, out=steps)
        steps += 0.0  # no negative zeros, which 16 bits do not have
        return np.multiply(steps, _STEP, out=steps)


_REACH = 19  # samples on either side of a sample that the low-pass sees
# A sinc under a Kaiser window. It cuts off at half the band, so every second tap is 0, and only the
# others are applied.
_TAPS = np.sinc(np.arange(-_REACH - 1, _REACH + 2) / _OVERSAMPLING) * np.kaiser(2 * _REACH + 3, 5)
_TAPS = (_TAPS / _TAPS.sum())[1:-1].astype(np.float32)


def mono(stereo: np.ndarray) -> np.ndarray:
    """The mean of two channels at half the sample rate, after a low-pass.

    The filter is that of ``scipy.signal.resample_poly``, which takes three times as long: it
    multiplies by the zeros, too.

    Args:
        stereo: float32, shape (2 * samples, 2).

    Returns:
        float32, shape (samples,).
    """
    samples = len(stereo) // 2
    margin = _REACH // 2 + 1
    # The even and the odd samples apart, so that a tap meets its samples side by side.
    phases = np.zeros((2, samples + 2 * margin), np.float32)
    inside = phases[:, margin : margin + samples]
    for phase, channels in zip(inside, stereo.reshape(samples, 2, 2).swapaxes(0, 1), strict=True):
        np.add(channels[:, 0], channels[:, 1], out=phase)
    phases /= 2
    result, term = np.zeros((2, samples), np.float32)
    for offset, tap in zip(range(-_REACH, _REACH + 1), _TAPS, strict=True):
        if offset % 2 or not offset:
            start = margin + offset // 2
            result += np.multiply(phases[offset % 2, start : start + samples], tap, out=term)
    return result


def peak_db(audio: np.ndarray) -> float:
    """The level of the largest sample in dBFS (a sample of 1 has 0 dBFS); -inf for silence."""
    peak = float(np.abs(audio).max())
    return 20 * float(np.log10(peak)) if peak > 0 else float("-inf")


def clipped(audio: np.ndarray) -> bool:
    """Whether a sample reaches an end of the 16-bit range."""
    return bool(audio.max() >= 1 - _STEP or audio.min() <= -1)


def pitch(
    audio: np.ndarray, *, start: int = 2000, length: int = 4096, key: float = 0.9
) -> tuple[float, float]:
    """Detect the pitch of a note by McLeod and Wyvill's method (2005).

    The method finds the period of the sound: the first peak of the normalised autocorrelation that
    reaches ``key`` times the highest peak. It does not know the pitch that the note should have, so
    a note that sounds an octave too high is found to be so. The fundamental may be weak or missing,
    as in the lowest notes. A sound with several pitches (a fifth, a detuned chorus, an inharmonic
    bell) has a pitch only if it is periodic.

    Args:
        audio: shape (samples,), at 16 kHz.
        start: first sample used, just after the attack: the sound of many instruments drifts or
            fades later.
        length: number of samples used.
        key: share of the highest peak that the chosen peak reaches, in (0, 1].

    Returns:
        The MIDI number (a fraction; nan if the sound has no period) and the clarity: 1 for a sound
        that repeats exactly, 0 for a sound that does not repeat.
    """
    x = audio[start : start + length].astype(np.float64)
    x -= x.mean()
    n = len(x)
    lags = n // 4  # the lowest pitch has four periods in the window
    # The highest notes have a period of 4 samples: a longer inverse transform gives finer lags.
    up = 4
    power = np.abs(rfft(x, 2 * n)) ** 2
    correlation = irfft(power, 2 * n * up)[: lags * up] * up
    energy = np.concatenate([[0.0], np.cumsum(x**2)])
    overlap = energy[n] - energy[: lags + 1] + energy[n - lags :][::-1]
    lag = np.arange(lags * up) / up
    norm = np.interp(lag, np.arange(lags + 1), overlap)
    nsdf = 2 * correlation / np.maximum(norm, 1e-12)
    below = np.flatnonzero(nsdf < 0)
    if not len(below):
        return float("nan"), 0.0
    y = nsdf[below[0] :]
    peaks = 1 + np.flatnonzero((y[1:-1] > y[:-2]) & (y[1:-1] >= y[2:]) & (y[1:-1] > 0))
    if not len(peaks):
        return float("nan"), 0.0
    i = peaks[y[peaks] >= key * y[peaks].max()][0]
    left, middle, right = y[i - 1 : i + 2]
    shift = 0.5 * (left - right) / (left - 2 * middle + right)
    period = (below[0] + i + shift) / up
    return 69 + 12 * float(np.log2(SAMPLE_RATE / period / 440)), float(middle)


def alike(notes: np.ndarray, threshold: float) -> list[tuple[int, int]]:
    """The pairs of notes that sound alike, whatever their levels.

    The notes of this synthesiser begin at the same sample, so none is shifted.

    Args:
        notes: shape (N, samples).
        threshold: two notes are alike if their normalised correlation is at least this in absolute
            value; a silent note is like no other.

    Returns:
        Pairs of rows (i, j), i < j.
    """
    products = notes @ notes.T
    norms = np.sqrt(np.diag(products))
    scale = np.multiply.outer(norms, norms)
    same = (np.abs(products) >= threshold * scale) & (scale > 0)
    first, second = np.nonzero(np.triu(same, k=1))
    return list(zip(first.tolist(), second.tolist(), strict=True))


def spread(count: int, instruments: Iterable[Instrument] = INSTRUMENTS) -> list[Instrument]:
    """At most ``count`` of the instruments, chosen from the families in turn, sorted by program."""
    families: dict[str, list[Instrument]] = {}
    for instrument in sorted(instruments, key=lambda i: i.program):
        families.setdefault(instrument.family, []).append(instrument)
    ranked = sorted(
        (place, instrument.family, instrument.program, instrument)
        for members in families.values()
        for place, instrument in enumerate(members)
    )
    return sorted((entry[-1] for entry in ranked[:count]), key=lambda i: i.program)


@dataclass
class Note:
    """A note to be rendered, and the results of rendering it.

    Attributes:
        instrument: the instrument that plays the note.
        pitch: MIDI number.
        velocity: one of :data:`VELOCITIES`.
        peak: the level in dBFS (see :func:`peak_db`), nan until the note is rendered.
        heard: the MIDI number that :func:`pitch` finds in the audio, nan if it finds none.
        clarity: how periodic the audio is, see :func:`pitch`.
        split: the split that the note is in, empty if it is in none.
        reason: why the note is left out, empty if it is not.
    """

    instrument: Instrument
    pitch: int
    velocity: int
    peak: float = float("nan")
    heard: float = float("nan")
    clarity: float = float("nan")
    split: str = ""
    reason: str = ""

    @property
    def id(self) -> str:
        """The id in the dataset, in NSynth's form: ``keyboard_acoustic_000-060-100``."""
        return f"{self.instrument.label}-{self.pitch:03d}-{self.velocity:03d}"


def candidates(instruments: Iterable[Instrument], pitches: Sequence[int], seed: int) -> list[Note]:
    """Every instrument at every pitch, each at a velocity drawn from :data:`VELOCITIES`.

    A draw depends only on the seed, the program and the pitch, not on the other candidates.
    """
    return [
        Note(instrument, pitch, int(draw.choice(VELOCITIES)))
        for instrument in instruments
        for pitch in pitches
        for draw in [np.random.default_rng((seed, instrument.program, pitch))]
    ]


_renderer: Renderer | None = None


def start_worker() -> None:
    """Load the soundfont in a worker process; the functions below need it."""
    global _renderer
    threadpool_limits(1)  # there is a worker for each core
    _renderer = Renderer()


def _render(note: Note) -> np.ndarray:
    if _renderer is None:
        raise RuntimeError("call start_worker first")
    return _renderer.note(note.instrument.program, note.pitch, note.velocity)


def listen(notes: list[Note], same: float) -> tuple[list[Note], list[tuple[int, int]]]:
    """Render notes of one pitch and measure them.

    Returns:
        The notes with ``peak``, ``heard`` and ``clarity`` filled in, and with the reason
        ``clipped`` if they are; and the pairs of places whose notes are :func:`alike`.
    """
    rendered = np.empty((len(notes), SAMPLES), np.float32)
    for note, audio in zip(notes, rendered, strict=True):
        audio[:] = _render(note)
        note.peak = peak_db(audio)
        note.heard, note.clarity = pitch(audio)
        note.reason = "clipped" if clipped(audio) else ""
    return notes, alike(rendered, same)


def compressed(note: Note) -> tuple[Note, bytes]:
    """Render a note; return it with its samples as bytes, compressed by zlib.

    Runs of equal bytes alone are sought: that takes 2 ms per note and leaves 49 % of the size.
    Level 1 would take 4 ms and leave 45 %, level 6 30 ms and 39 %.
    """
    compressor = zlib.compressobj(1, strategy=zlib.Z_RLE)
    return note, compressor.compress(_render(note).tobytes()) + compressor.flush()
