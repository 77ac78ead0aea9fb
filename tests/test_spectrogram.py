import librosa
import numpy as np
import pytest

from shuffle_to_learn.features.spectrogram import log_mel

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
