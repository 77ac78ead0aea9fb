"""Log-mel spectrograms; TensorFlow is never imported here."""

from __future__ import annotations

from functools import lru_cache
from typing import Literal

import librosa
import numpy as np


@lru_cache(maxsize=8)
def _filters(
    sample_rate: int, n_fft: int, n_mels: int, f_min: float, f_max: float
) -> np.ndarray:
    return librosa.filters.mel(sr=sample_rate, n_fft=n_fft, n_mels=n_mels, fmin=f_min, fmax=f_max)


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
    ends) is summed in ``n_mels`` bands of Slaney's mel scale, each divided by its width.

    Args:
        audio: floats of shape (samples,), full scale is [-1, 1].
        sample_rate: in Hz.
        n_fft: window length in samples.
        hop_length: samples from a frame to the next.
        frames: width of the image; there are 1 + samples // hop_length frames, of which the last
            are cut.
        n_mels: height of the image.
        f_min: lowest frequency in Hz.
        f_max: highest frequency in Hz.
        reference: 0 dB is the largest value of this sound (``peak``) or the power of a sine at
            full scale (``absolute``), as it stands in the spectrum before the mel bands.
        dynamic_range: in dB; 0 dB becomes 1, ``-dynamic_range`` dB and less become 0, linearly.

    Returns:
        float32 of shape (n_mels, frames); row 0 is the lowest band. A silent sound is all 0.

    Raises:
        ValueError: where the audio is not one channel or is too short for ``frames``.
    """
    if audio.ndim != 1:
        raise ValueError(f"expected audio of shape (samples,), not {audio.shape}")
    if 1 + len(audio) // hop_length < frames:
        raise ValueError(
            f"{len(audio)} samples give {1 + len(audio) // hop_length} frames at a hop length of "
            f"{hop_length}, but {frames} are asked for: lower frames or hop_length"
        )
    samples = audio[: (frames - 1) * hop_length + n_fft // 2]  # the rest is beyond the last frame
    power = np.abs(librosa.stft(samples, n_fft=n_fft, hop_length=hop_length)[:, :frames]) ** 2
    mel = _filters(sample_rate, n_fft, n_mels, f_min, f_max) @ power
    # A full-scale sine's spectrum peaks at half the sum of the window.
    top = float(mel.max()) if reference == "peak" else (n_fft / 4) ** 2
    if top <= 0:
        return np.zeros((n_mels, frames), np.float32)
    floor = 10 ** (-dynamic_range / 10)
    decibels = 10 * np.log10(np.maximum(mel / top, floor))
    return np.clip(1 + decibels / dynamic_range, 0, 1).astype(np.float32)
