"""Log-mel spectrograms, without TensorFlow; librosa is imported only where it is needed."""

from __future__ import annotations

import warnings
from functools import lru_cache
from typing import Literal

import numpy as np


@lru_cache(maxsize=8)
def _filters(sample_rate: int, n_fft: int, n_mels: int, f_min: float, f_max: float) -> np.ndarray:
    import librosa

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # librosa warns of empty bands, which are an error below
        filters = librosa.filters.mel(
            sr=sample_rate, n_fft=n_fft, n_mels=n_mels, fmin=f_min, fmax=f_max
        )
    empty = int((filters.max(axis=1) == 0).sum())
    if empty:
        raise ValueError(
            f"{empty} of {n_mels} mel bands lie between two frequencies of a transform of {n_fft} "
            "samples: lower n_mels or raise n_fft"
        )
    return filters


def frame_count(samples: int, hop_length: int) -> int:
    """The number of frames of a spectrogram with centred frames, the first at sample 0."""
    return 1 + samples // hop_length


def log_mel(
    audio: np.ndarray,
    *,
    sample_rate: int,
    n_fft: int,
    hop_length: int,
    frames: int,
    n_mels: int,
    f_min: float,
    f_max: float,
    reference: Literal["peak", "absolute"],
    dynamic_range: float,
) -> np.ndarray:
    """The log-mel spectrogram of a sound, as an image with values in [0, 1].

    The power of the short-time Fourier transform (Hann window, centred frames, zeros beyond the
    ends) is summed in ``n_mels`` bands of Slaney's mel scale; each sum is divided by the width of
    its band.

    Args:
        audio: float, shape (samples,); full scale is [-1, 1].
        sample_rate: in Hz.
        n_fft: window length in samples.
        hop_length: samples from one frame to the next.
        frames: width of the image: the first of the 1 + samples // hop_length frames are kept.
        n_mels: height of the image.
        f_min: lowest frequency in Hz.
        f_max: highest frequency in Hz.
        reference: the power at 0 dB. ``peak``: the largest value in this sound's image.
            ``absolute``: the power of a sine at full scale in the band with the largest weight.
            (The weight of one of Slaney's bands falls with its width; the lowest bands are the
            narrowest.)
        dynamic_range: in dB; 0 dB becomes 1, ``-dynamic_range`` dB and less become 0, linearly.

    Returns:
        float32, shape (n_mels, frames); row 0 is the lowest band. The image of silence is all 0.

    Raises:
        ValueError: the audio has more than one channel or is too short for ``frames``, or a mel
            band contains no frequency of the transform.
    """
    import librosa

    if audio.ndim != 1:
        raise ValueError(f"expected audio of shape (samples,), not {audio.shape}")
    if (most := frame_count(len(audio), hop_length)) < frames:
        raise ValueError(
            f"{len(audio)} samples give {most} frames at a hop length of "
            f"{hop_length}, but {frames} are asked for: lower frames or hop_length"
        )
    samples = audio[: (frames - 1) * hop_length + n_fft // 2]  # no frame reaches beyond
    power = np.abs(librosa.stft(samples, n_fft=n_fft, hop_length=hop_length)[:, :frames]) ** 2
    filters = _filters(sample_rate, n_fft, n_mels, f_min, f_max)
    mel = filters @ power
    if reference == "peak":
        top = float(mel.max())
    else:  # 3/32 n_fft^2 is the power of a sine of amplitude 1 under a Hann window, over all bins
        top = float(filters.max()) * 3 / 32 * n_fft**2
    if top <= 0:
        return np.zeros((n_mels, frames), np.float32)
    decibels = 10 * np.log10(np.maximum(mel / top, 10 ** (-dynamic_range / 10)))
    return np.clip(1 + decibels / dynamic_range, 0, 1).astype(np.float32)
