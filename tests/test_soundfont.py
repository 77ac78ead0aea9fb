import subprocess
import sys
from pathlib import Path

import librosa
import numpy as np
import pytest
import tinysoundfont
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.signal import resample_poly
from tiny_soundfont import Preset, wave, write

from shuffle_to_learn.datasets import soundfont
from shuffle_to_learn.datasets.instruments import SoundfontError, melodic
from shuffle_to_learn.datasets.soundfont import SAMPLE_RATE, SAMPLES, VELOCITIES, Note, Renderer

INSTRUMENTS = melodic()
PLAYED = {i.program: i for i in INSTRUMENTS}
PIANO, REED_ORGAN, STRINGS, SQUARE, SAW, PAD = (PLAYED[p] for p in (0, 20, 48, 80, 81, 88))


@pytest.fixture(scope="module")
def renderer():
    return Renderer()


def tone(frequency, harmonics=(1,), phase=0.0):
    t = np.arange(SAMPLES) / SAMPLE_RATE
    return sum(
        np.cos(2 * np.pi * frequency * h * t + phase * h) / len(harmonics) for h in harmonics
    )


def level(audio, frequency, width=30.0):
    """Power near a frequency, by a plain Fourier transform of the second second."""
    power = np.abs(np.fft.rfft(audio[SAMPLE_RATE : 2 * SAMPLE_RATE] * np.hanning(SAMPLE_RATE))) ** 2
    bins = np.fft.rfftfreq(SAMPLE_RATE, 1 / SAMPLE_RATE)
    return power[np.abs(bins - frequency) < width].sum()


def test_a_note_does_not_depend_on_those_before(renderer):
    notes = [(PAD, 40, 127), (PIANO, 60, 100), (STRINGS, 72, 50), (PAD, 40, 127), (SQUARE, 108, 25)]
    notes += [(i, 30 + 7 * n, 75) for n, i in enumerate(INSTRUMENTS[::11])]
    after_others = [renderer.note(*note) for note in notes]
    for note, audio in zip(notes, after_others, strict=True):
        np.testing.assert_array_equal(Renderer().note(*note), audio)


@pytest.mark.parametrize("note", [(PIANO, 60, 100), (SQUARE, 108, 127), (PAD, 21, 25)])
def test_a_note_is_what_scipys_decimator_makes_of_the_channels(renderer, note):
    audio = renderer.note(*note)
    stereo = np.frombuffer(renderer._buffer, np.float32).reshape(-1, 2)
    expected = np.rint(resample_poly(stereo.mean(axis=1), 1, 2) * 32768) / 32768
    np.testing.assert_array_equal(audio, np.clip(expected, -1, 32767 / 32768))
    assert not np.signbit(audio[audio == 0]).any()


@settings(deadline=None)
@given(st.integers(1, 400), st.integers(0, 2**31 - 1))
def test_half_the_rate(samples, seed):
    stereo = np.random.default_rng(seed).normal(size=(2 * samples, 2)).astype(np.float32)
    expected = resample_poly(stereo.astype(np.float64).mean(axis=1), 1, 2)
    assert soundfont.mono(stereo).dtype == np.float32
    np.testing.assert_allclose(soundfont.mono(stereo), expected, atol=2e-6)


def test_what_is_written_is_what_was_auditioned():
    """A note is rendered for the checks and again for the file: the same samples."""
    soundfont.start_worker()
    candidates = [Note(PLAYED[i], 60, 100) for i in (0, 40, 80)]
    notes, _ = soundfont.listen(candidates, 0.98)
    for note in notes:
        audio = soundfont.render(note)
        assert soundfont.peak_db(audio) == note.peak
        assert soundfont.pitch(audio) == (note.heard, note.clarity)
        np.testing.assert_array_equal(audio, soundfont.render(note))


def test_format(renderer):
    audio = renderer.note(PIANO, 60, 100)
    assert audio.shape == (4 * 16_000,)
    assert audio.dtype == np.float32
    steps = audio.astype(np.float64) * 32768
    assert (steps == np.rint(steps)).all()
    assert 0.01 < np.abs(audio).max() < 1


@pytest.mark.parametrize("program", [0, 20, 40, 56, 71, 73])
@pytest.mark.parametrize("pitch", [45, 57, 69, 81])
def test_notes_sound_at_their_pitch(renderer, program, pitch):
    audio = renderer.note(PLAYED[program], pitch, 100)
    yin = librosa.yin(audio[2000:24000], fmin=40, fmax=2000, sr=SAMPLE_RATE)
    assert np.median(librosa.hz_to_midi(yin)) == pytest.approx(pitch, abs=0.3)
    heard, clarity = soundfont.pitch(audio)
    assert heard == pytest.approx(pitch, abs=0.3)
    assert clarity > 0.8


def test_held_for_three_seconds_then_released(renderer):
    audio = renderer.note(REED_ORGAN, 60, 100)
    loudness = [
        np.sqrt(np.mean(audio[int(a * SAMPLE_RATE) : int(b * SAMPLE_RATE)] ** 2))
        for a, b in ((0.5, 1.0), (2.5, 3.0), (3.5, 4.0))
    ]
    assert loudness[1] == pytest.approx(loudness[0], rel=0.3)
    assert loudness[2] < 0.01 * loudness[1]


def test_velocity_makes_it_louder(renderer):
    soft, loud = (renderer.note(PIANO, 60, v).astype(np.float64) for v in (25, 127))
    assert 2 < np.linalg.norm(loud) / np.linalg.norm(soft) < 10
    assert soft @ loud > 0.999 * np.linalg.norm(soft) * np.linalg.norm(loud)


def test_decimation_folds_nothing_back(renderer):
    """The third harmonic of the highest saw (12.6 kHz) would fold back to 3.4 kHz."""
    audio = renderer.note(SAW, 103, 127)
    fundamental = 440 * 2 ** ((103 - 69) / 12)
    folded = SAMPLE_RATE - 3 * fundamental
    assert 10 * np.log10(level(audio, folded) / level(audio, fundamental)) < -40


@pytest.mark.parametrize("number", range(21, 109))
def test_pitch_of_pure_and_rich_tones(number):
    frequency = 440 * 2 ** ((number - 69) / 12)
    harmonics = [h for h in range(1, 9) if h * frequency < SAMPLE_RATE / 2]
    for parts in ([1], harmonics):
        heard, clarity = soundfont.pitch(tone(frequency, parts, phase=1.0))
        assert heard == pytest.approx(number, abs=0.1)
        assert clarity > 0.95


def test_pitch_hears_a_missing_fundamental_and_an_octave():
    assert soundfont.pitch(tone(55.0, (2, 3, 4, 5, 6)))[0] == pytest.approx(33, abs=0.1)
    assert soundfont.pitch(tone(110.0, (2, 4, 6)))[0] == pytest.approx(57, abs=0.1)


def test_noise_and_silence_have_no_pitch():
    noise = np.random.default_rng(0).normal(size=SAMPLES)
    assert soundfont.pitch(noise)[1] < 0.5
    heard, clarity = soundfont.pitch(np.zeros(SAMPLES, np.float32))
    assert np.isnan(heard)
    assert clarity == 0


def test_levels():
    assert soundfont.peak_db(np.array([0.1, -0.5])) == pytest.approx(-6.02, abs=0.01)
    assert soundfont.peak_db(np.zeros(4)) == -np.inf
    assert not soundfont.clipped(np.array([0.9, -0.9]))
    assert soundfont.clipped(np.array([32767 / 32768]))
    assert soundfont.clipped(np.array([-1.0]))


def test_alike_ignores_level_and_sign_but_not_content():
    rng = np.random.default_rng(1)
    a, b = rng.normal(size=(2, 5000)).astype(np.float32)
    noisy = a + 0.05 * b  # correlation 0.99875
    assert soundfont.alike(np.stack([a, b, -0.1 * a, noisy]), 0.99) == [(0, 2), (0, 3), (2, 3)]
    assert soundfont.alike(np.stack([a, noisy]), 0.9999) == []
    assert soundfont.alike(np.zeros((3, 100), np.float32), 0.5) == []


@settings(deadline=None)
@given(st.integers(0, 2**31 - 1), st.floats(0.1, 0.9))
def test_alike_is_a_correlation(seed, threshold):
    rng = np.random.default_rng(seed)
    notes = rng.normal(size=(3, 500))[rng.integers(0, 3, 8)] + rng.normal(size=(8, 500))
    notes = (notes * 10 ** rng.uniform(-4, 0, (8, 1))).astype(np.float32)
    notes[rng.integers(8)] = 0
    products = [[abs(np.vdot(a, b)) for b in notes.astype(float)] for a in notes.astype(float)]
    norms = np.linalg.norm(notes.astype(float), axis=1)
    near, pairs = 0, []
    for i in range(8):
        for j in range(i + 1, 8):
            correlation = products[i][j] / (norms[i] * norms[j] or np.inf)
            near += abs(correlation - threshold) < 1e-5
            pairs += [(i, j)] if correlation >= threshold else []
    assert near or soundfont.alike(notes, threshold) == pairs


def test_velocities_are_drawn_for_each_note_alone():
    few = soundfont.candidates(INSTRUMENTS[5:6], range(60, 70), seed=3)
    many = soundfont.candidates(INSTRUMENTS, range(21, 109), seed=3)
    by_id = {note.id for note in many}
    assert {note.id for note in few} <= by_id
    assert len(by_id) == len(many) == 111 * 88
    counts = np.unique([note.velocity for note in many], return_counts=True)
    assert tuple(counts[0]) == VELOCITIES
    assert (np.abs(counts[1] / len(many) - 0.2) < 0.02).all()
    other = soundfont.candidates(INSTRUMENTS, range(21, 109), seed=4)
    assert np.mean([a.velocity == b.velocity for a, b in zip(many, other, strict=True)]) < 0.3


@given(st.integers(1, 5), st.integers(0, 2**31 - 1))
def test_more_velocities_keep_those_of_fewer(count, seed):
    def velocities(number):
        notes = soundfont.candidates(INSTRUMENTS[:2], [60, 61], seed, number)
        return {(n.instrument.label, n.pitch): [] for n in notes}, notes

    found, notes = velocities(count)
    for note in notes:
        found[note.instrument.label, note.pitch].append(note.velocity)
    assert len({note.id for note in notes}) == len(notes) == 4 * count
    assert all(set(v) <= set(VELOCITIES) for v in found.values())
    (_, once), (_, all_five) = velocities(1), velocities(5)
    assert [note.velocity for note in once] == [v[0] for v in found.values()]
    assert {note.id for note in notes} <= {note.id for note in all_five}


# Other soundfonts than the packaged one


@pytest.mark.parametrize("vorbis", [False, True])
def test_a_preset_of_any_bank_plays_its_own_wave(tmp_path: Path, vorbis: bool):
    """Both formats; the spectrum of each note is that of its preset, at its layer of velocity."""
    quiet, loud, other = (1.0, 0.0, 0.5), (0.2, 1.0, 0.0), (0.5, 0.5, 1.0)
    path = write(
        tmp_path / "a.sf",
        [Preset(0, 0, "Piano", quiet, loud), Preset(8, 0, "Mellow Piano", other)],
        vorbis=vorbis,
    )
    renderer = Renderer()
    first, second = melodic([str(path)])
    for instrument, velocity, harmonics in (
        (first, 25, quiet),
        (first, 100, loud),
        (second, 25, other),
    ):
        audio = renderer.note(instrument, 59, velocity).astype(np.float64)
        power = [level(audio, 246.94 * (h + 1)) for h in range(3)]
        shares, wanted = (np.square(x) / np.sum(np.square(x)) for x in (np.sqrt(power), harmonics))
        np.testing.assert_allclose(shares, wanted, atol=0.02)


def test_a_renderer_plays_several_soundfonts_apart(tmp_path: Path):
    path = write(tmp_path / "a.sf2", [Preset(0, 0, "Piano", (0.1, 1.0))])
    (own,) = melodic([str(path)])
    renderer = Renderer()
    mixed = [renderer.note(i, 60, 100) for i in (own, PIANO, own, STRINGS, own)]
    for audio, instrument in zip(mixed, (own, PIANO, own, STRINGS, own), strict=True):
        np.testing.assert_array_equal(Renderer().note(instrument, 60, 100), audio)


def test_a_note_of_another_bank_is_the_synthesisers(tmp_path: Path):
    """An oracle: the file that holds the one preset alone, at bank 0."""
    harmonics = (0.3, 1.0, 0.2)
    several = [Preset(0, 0, "Piano"), Preset(17, 5, "Piano", harmonics)]
    (*_, there) = melodic([str(write(tmp_path / "a.sf2", several))])
    (alone,) = melodic([str(write(tmp_path / "b.sf2", [Preset(0, 0, "Piano", harmonics)]))])
    assert there.bank == 17
    one, other = (Renderer().note(i, 72, 75) for i in (there, alone))
    np.testing.assert_allclose(one, other, atol=2 / 32768)
    assert np.abs(one).max() > 0.1


def test_samples_that_cannot_be_decoded_are_told(tmp_path: Path):
    path = write(tmp_path / "a.sf3", [Preset(0, 0, "Piano")], vorbis=True)
    path.write_bytes(path.read_bytes().replace(b"vorbis", b"norbis"))
    (instrument,) = melodic([str(path)])
    with pytest.raises(SoundfontError, match=f"^{path} is damaged: it cannot be loaded$"):
        Renderer().note(instrument, 60, 100)
    with pytest.raises(RuntimeError):
        tinysoundfont.Synth().sfload(str(path))


def test_one_note_that_sounds_is_enough(tmp_path: Path):
    path = write(
        tmp_path / "a.sf2",
        [Preset(0, 0, "Piano", (0.0,)), Preset(0, 1, "Piano 2", keys=(90, 91))],
    )
    soundfont.start_worker()
    for pitches, wanted in (([60, 61], False), ([60, 90], True)):
        notes = soundfont.candidates(melodic([str(path)]), pitches, seed=0)
        assert soundfont.sounds(notes, -60.0) is wanted
    assert not wave((0.0,)).any()


def test_workers_need_no_tensorflow():
    """What the worker processes import."""
    code = (
        "import sys, shuffle_to_learn.datasets.soundfont, shuffle_to_learn.features.spectrogram;"
        "sys.exit(any(m.split('.')[0] in ('tensorflow', 'tensorflow_datasets', 'pretty_midi')"
        " for m in sys.modules))"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
