import pickle
import subprocess
import sys
from pathlib import Path

import librosa
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shuffle_to_learn.features.spectrogram import LogMel, log_mel

RATE = 16_000
DEFAULT = dict(
    sample_rate=RATE,
    n_fft=2048,
    hop_length=1024,
    frames=60,
    n_mels=80,
    f_min=20.0,
    f_max=8000.0,
    reference="peak",
    dynamic_range=80.0,
)


def sine(frequency, amplitude=1.0, samples=64_000):
    t = np.arange(samples) / RATE
    return (amplitude * np.sin(2 * np.pi * frequency * t)).astype(np.float32)


def noise(seed=0, samples=64_000):
    return np.random.default_rng(seed).normal(scale=0.1, size=samples).astype(np.float32)


def test_agrees_with_librosa():
    fade = np.exp(-np.arange(64_000) / 5_000).astype(np.float32)
    audio = noise() * fade
    mel = librosa.feature.melspectrogram(
        y=audio, sr=RATE, n_fft=2048, hop_length=1024, n_mels=80, fmin=20.0, fmax=8000.0
    )[:, :60]
    decibels = librosa.power_to_db(mel, ref=np.max, amin=1e-20, top_db=80.0)
    image = log_mel(audio, **DEFAULT)
    assert image.shape == (80, 60)
    assert image.dtype == np.float32
    np.testing.assert_allclose(image, 1 + decibels / 80, atol=1e-5)
    assert image.max() == 1
    assert image.min() == 0


@pytest.mark.parametrize("frequency", [100, 440, 1000, 3000, 7000])
def test_a_sine_lies_in_the_band_that_librosa_names(frequency):
    image = log_mel(sine(frequency), **DEFAULT)
    edges = librosa.mel_frequencies(n_mels=82, fmin=20.0, fmax=8000.0)
    band = int(image[:, 30].argmax())
    assert edges[band] < frequency < edges[band + 2]


def test_low_frequencies_come_first():
    low, high = (log_mel(sine(f), **DEFAULT)[:, 30].argmax() for f in (200, 4000))
    assert low < high


@pytest.mark.parametrize("gain", [1e-3, 0.25, 8.0])
def test_peak_reference_ignores_the_level(gain):
    np.testing.assert_allclose(
        log_mel(noise() * np.float32(gain), **DEFAULT), log_mel(noise(), **DEFAULT), atol=1e-4
    )


def test_absolute_reference_is_full_scale():
    absolute = DEFAULT | {"reference": "absolute"}
    # 20 dB are a quarter of the range.
    loud, soft = (log_mel(sine(440, a), **absolute).max() for a in (1.0, 0.1))
    assert loud - soft == pytest.approx(0.25, abs=1e-3)
    # At half of full scale (-6.02 dB) the lowest bands, which weigh it most, come near and no band
    # comes above.
    quiet = absolute | {"dynamic_range": 200.0}
    frequencies = np.geomspace(60, 7900, 60)
    top = max(log_mel(sine(f, 0.5), **quiet)[:, 5:55].max() for f in frequencies)
    assert -1.5 < (top - 1) * 200 + 6.02 < 0.01


def test_dynamic_range_is_the_floor():
    two = sine(500) + sine(5000, 10**-2.5)  # 50 dB apart, before the mel bands' weights
    row = int(log_mel(sine(5000), **DEFAULT)[:, 30].argmax())
    assert log_mel(two, **DEFAULT | {"dynamic_range": 40.0})[row, 30] == 0
    assert log_mel(two, **DEFAULT | {"dynamic_range": 100.0})[row, 30] > 0.3


def test_silence_is_floor():
    for reference in ("peak", "absolute"):
        image = log_mel(np.zeros(64_000, np.float32), **DEFAULT | {"reference": reference})
        assert (image == 0).all()


def test_longer_is_cut_shorter_refused():
    whole = log_mel(noise(), **DEFAULT | {"reference": "absolute"})
    cut = log_mel(noise(), **DEFAULT | {"reference": "absolute", "frames": 20})
    np.testing.assert_allclose(cut, whole[:, :20], atol=1e-5)
    assert log_mel(noise(), **DEFAULT | {"frames": 63}).shape == (80, 63)
    with pytest.raises(ValueError, match="63 frames at a hop length of 1024, but 64"):
        log_mel(noise(), **DEFAULT | {"frames": 64})


def test_refuses_other_shapes_and_empty_bands():
    with pytest.raises(ValueError, match="samples"):
        log_mel(np.zeros((2, 64_000), np.float32), **DEFAULT)
    with pytest.raises(ValueError, match="lower n_mels or raise n_fft"):
        log_mel(noise(), **DEFAULT | {"n_fft": 128})


def by_librosa(audio, asked):
    """The image as librosa's own functions make it, one after the other, in double precision."""
    power = np.abs(
        librosa.stft(audio.astype(float), n_fft=asked["n_fft"], hop_length=asked["hop_length"])
    )
    filters = librosa.filters.mel(
        sr=asked["sample_rate"],
        n_fft=asked["n_fft"],
        n_mels=asked["n_mels"],
        fmin=asked["f_min"],
        fmax=asked["f_max"],
        dtype=np.float64,
    )
    mel = filters @ power[:, : asked["frames"]] ** 2
    decibels = 10 * np.log10(np.maximum(mel / mel.max(), 10 ** (-asked["dynamic_range"] / 10)))
    return 1 + decibels / asked["dynamic_range"]


@settings(max_examples=40, deadline=None)
@given(
    st.integers(0, 2**32 - 1),
    st.sampled_from([(2048, 1024, 60), (1024, 160, 200), (512, 512, 40), (400, 160, 33)]),
    st.integers(0, 3_000),
    st.floats(-6, 0),
)
def test_an_image_is_librosas_but_for_rounding(seed, lengths, cut, loudness):
    """Decaying partials over 120 dB and noise: also what is quiet beside what is loud."""
    n_fft, hop_length, frames = lengths
    rng = np.random.default_rng(seed)
    t = np.arange(64_000 - cut) / RATE
    audio = rng.normal(scale=1e-5, size=t.shape)
    for level in range(6):
        wave = np.sin(2 * np.pi * rng.uniform(40, 7900) * t + rng.uniform(0, 6))
        audio += 10.0 ** (loudness - level) * wave * np.exp(-rng.uniform(0, 4) * t)
    audio = audio.astype(np.float32)
    changes = {"n_fft": n_fft, "hop_length": hop_length, "frames": frames, "n_mels": 20}
    asked = DEFAULT | changes
    own = log_mel(audio, **asked).astype(np.float16)
    expected = by_librosa(audio, asked).clip(0, 1).astype(np.float16)
    apart = np.abs(own.view(np.int16).astype(int) - expected.view(np.int16))
    # Near the floor a float16 is finer than float32 arithmetic on values near 1.
    assert np.abs(own.astype(float) - expected)[apart > 1].max(initial=0) < 1e-6
    assert np.mean(apart > 0) < 0.02


def test_another_process_needs_no_librosa():
    made = LogMel(**DEFAULT)
    program = (
        "import pickle, sys\n"
        "made, audio = pickle.load(sys.stdin.buffer)\n"
        "image = made(audio)\n"
        "assert not {'librosa', 'numba', 'scipy.signal', 'tensorflow'} & set(sys.modules)\n"
        "sys.stdout.buffer.write(image.tobytes())\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program],
        input=pickle.dumps((made, noise())),
        capture_output=True,
        check=True,
        cwd=Path(__file__).parent.parent,
    )
    assert done.stdout == log_mel(noise(), **DEFAULT).tobytes()


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_values_that_are_no_numbers_are_refused(value):
    audio = noise()
    audio[30_000] = value
    with pytest.raises(ValueError, match="no numbers"):
        log_mel(audio, **DEFAULT)
