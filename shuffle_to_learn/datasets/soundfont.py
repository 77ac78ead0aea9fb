"""Render notes of soundfonts after NSynth's protocol, and check the audio.

NSynth (Engel et al. 2017): 16 kHz, mono, 4 s; the note is held for 3 s and released for 1 s; five
velocities. TensorFlow is never imported here: the functions run in worker processes.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import tinysoundfont
from scipy.fft import irfft, rfft
from threadpoolctl import threadpool_limits

from shuffle_to_learn.datasets.instruments import Instrument, SoundfontError, path_of

SAMPLE_RATE = 16_000
HELD = 3  # seconds
RELEASED = 1
SAMPLES = (HELD + RELEASED) * SAMPLE_RATE
VELOCITIES = (25, 50, 75, 100, 127)
PITCH_MIN, PITCH_MAX = 21, 108

_OVERSAMPLING = 2  # the synthesiser's filters become unstable when run at 16 kHz
_FLUSH = 64  # stereo frames per call while the voices of the last note fade out
_STEP = 1 / 32768  # NSynth's WAV files have 16 bits


class Renderer:
    """Synthesisers of soundfonts; a note does not depend on the notes rendered before it.

    A soundfont is loaded with its first note.
    """

    def __init__(self) -> None:
        self._synths: dict[str, tinysoundfont.Synth] = {}
        self._buffer = bytearray(SAMPLES * _OVERSAMPLING * 2 * 4)  # stereo float32

    def _at(self, instrument: Instrument) -> tinysoundfont.Synth:
        """The synthesiser of an instrument's soundfont, with the instrument on channel 0."""
        path = path_of(instrument.font)
        try:
            synth = self._synths.get(instrument.font)
            if synth is None:
                synth = tinysoundfont.Synth(samplerate=_OVERSAMPLING * SAMPLE_RATE)
                synth.sfload(str(path))
                self._synths[instrument.font] = synth
            (font,) = synth.soundfonts
            synth.program_select(0, font, instrument.bank, instrument.program)
        except RuntimeError:  # all that it says is that it could not
            raise SoundfontError(f"{path} is damaged: it cannot be loaded") from None
        return synth

    def note(self, instrument: Instrument, pitch: int, velocity: int) -> np.ndarray:
        """Render one note.

        Args:
            instrument: a preset of a soundfont.
            pitch: MIDI number, 0..127.
            velocity: 1..127. It changes only the loudness of most instruments.

        Returns:
            float32, shape (64000,): the mean of both channels at 16 kHz, in multiples of 1/32768
            within [-1, 1). The note is held for the first 3 s.

        Raises:
            SoundfontError: the instrument's soundfont cannot be loaded.
        """
        synth = self._at(instrument)
        (voices,) = synth.soundfonts.values()
        held = memoryview(self._buffer)[: HELD * SAMPLE_RATE * _OVERSAMPLING * 8]
        released = memoryview(self._buffer)[len(held) :]
        synth.noteon(0, pitch, velocity)
        synth.generate(len(held) // 8, held)
        synth.noteoff(0, pitch)
        synth.generate(len(released) // 8, released)
        # After a reset the voices fade out over some frames: without this loop, the next note would
        # begin with them.
        voices.reset()
        while np.frombuffer(synth.generate(_FLUSH), np.float32).any():
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


def candidates(
    instruments: Iterable[Instrument], pitches: Sequence[int], seed: int, velocities: int = 1
) -> list[Note]:
    """Every instrument at every pitch, each at velocities drawn from :data:`VELOCITIES`.

    A draw depends only on the seed, the instrument's number and the pitch, not on the other
    candidates; the first velocities of a draw of many are those of a draw of few.

    Args:
        instruments: those that play.
        pitches: MIDI numbers.
        seed: of the draws.
        velocities: how many each note has, 1..5.
    """
    return [
        Note(instrument, pitch, velocity)
        for instrument in instruments
        for pitch in pitches
        for velocity in _drawn((seed, instrument.number, pitch), velocities)
    ]


def _drawn(seed: tuple[int, ...], count: int) -> list[int]:
    draw = np.random.default_rng(seed)
    first = int(draw.choice(VELOCITIES))
    others = draw.permutation([velocity for velocity in VELOCITIES if velocity != first])
    return [first, *others.tolist()][:count]


_renderer: Renderer | None = None


def start_worker() -> None:
    """Start a worker process; the functions below need it."""
    global _renderer
    threadpool_limits(1)  # there is a worker for each core
    _renderer = Renderer()


def render(note: Note) -> np.ndarray:
    """The samples of a note, float32, shape (SAMPLES,), full scale [-1, 1]."""
    if _renderer is None:
        raise RuntimeError("call start_worker first")
    return _renderer.note(note.instrument, note.pitch, note.velocity)


def sounds(notes: Iterable[Note], silent: float) -> bool:
    """Whether one of the notes, which are tried in turn, has a peak of at least so many dBFS."""
    return any(peak_db(render(note)) >= silent for note in notes)


def listen(notes: list[Note], same: float) -> tuple[list[Note], list[tuple[int, int]]]:
    """Render notes of one pitch and measure them.

    Returns:
        The notes with ``peak``, ``heard`` and ``clarity`` filled in, and with the reason
        ``clipped`` if they are; and the pairs of places whose notes are :func:`alike`.
    """
    rendered = np.empty((len(notes), SAMPLES), np.float32)
    for note, audio in zip(notes, rendered, strict=True):
        audio[:] = render(note)
        note.peak = peak_db(audio)
        note.heard, note.clarity = pitch(audio)
        note.reason = "clipped" if clipped(audio) else ""
    return notes, alike(rendered, same)
