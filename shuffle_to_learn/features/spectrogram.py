"""Log-mel spectrograms, without TensorFlow; librosa is imported only where it is needed."""

from __future__ import annotations

import warnings
from functools import lru_cache
from typing import Literal

import numpy as np

AT_ONCE = 2**15  # samples transformed together: more would leave the processor's cache
BANDS_AT_ONCE = 8  # a product skips the frequencies that none of so many bands has a weight for


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


class LogMel:
    """Makes the log-mel spectrogram of a sound, as an image with values in [0, 1].

    The power of the short-time Fourier transform (Hann window, centred frames, zeros beyond the
    ends) is summed in ``n_mels`` bands of Slaney's mel scale; each sum is divided by the width of
    its band. An instance holds the weights of the bands: sent to another process, it spares it
    importing librosa, which takes a second.

    Args:
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

    Raises:
        ValueError: a mel band contains no frequency of the transform.
    """

    def __init__(
        self,
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
    ) -> None:
        filters = _filters(sample_rate, n_fft, n_mels, f_min, f_max)
        self._bands = []
        for first in range(0, n_mels, BANDS_AT_ONCE):
            weights = filters[first : first + BANDS_AT_ONCE]
            used = np.flatnonzero(weights.any(axis=0))
            low, high = int(used[0]), int(used[-1]) + 1
            columns = slice(first, first + len(weights))
            self._bands.append((columns, slice(low, high), weights[:, low:high].T.copy()))
        self._window = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(n_fft) / n_fft)
        self._hop_length = hop_length
        self._shape = frames, n_mels
        # 3/32 n_fft^2 is the power of a sine of amplitude 1 under a Hann window, over all bins
        self._top = None if reference == "peak" else float(filters.max()) * 3 / 32 * n_fft**2
        self._dynamic_range = dynamic_range

    def __call__(self, audio: np.ndarray) -> np.ndarray:
        """The image of a sound.

        Args:
            audio: float, shape (samples,); full scale is [-1, 1].

        Returns:
            float32, shape (n_mels, frames); row 0 is the lowest band. The image of silence is 0.

        Raises:
            ValueError: the audio has more than one channel, is too short for ``frames`` or holds
                values that are no numbers.
        """
        frames = self._shape[0]
        if audio.ndim != 1:
            raise ValueError(f"expected audio of shape (samples,), not {audio.shape}")
        if (most := frame_count(len(audio), self._hop_length)) < frames:
            raise ValueError(
                f"{len(audio)} samples give {most} frames at a hop length of "
                f"{self._hop_length}, but {frames} are asked for: lower frames or hop_length"
            )
        power = self._power(audio)
        mel = np.empty(self._shape, np.float32)
        for columns, frequencies, weights in self._bands:
            np.matmul(power[:, frequencies], weights, out=mel[:, columns])
        peak = float(mel.max())
        if not np.isfinite(peak):
            raise ValueError("the audio holds values that are no numbers")
        top = peak if self._top is None else self._top
        mel = mel.T
        if top <= 0:
            return np.zeros(mel.shape, np.float32)
        decibels = 10 * np.log10(np.maximum(mel / top, 10 ** (-self._dynamic_range / 10)))
        return np.clip(1 + decibels / self._dynamic_range, 0, 1).astype(np.float32)

    def _power(self, audio: np.ndarray) -> np.ndarray:
        """The power of each frame's frequencies, float32, shape (frames, 1 + n_fft // 2)."""
        import scipy.fft

        frames, n_fft = self._shape[0], len(self._window)
        # In double precision, as librosa: quiet frequencies beside loud ones are exact to float16.
        padded = np.zeros((frames - 1) * self._hop_length + n_fft)
        samples = audio[: len(padded) - n_fft // 2]  # no frame reaches beyond
        padded[n_fft // 2 : n_fft // 2 + len(samples)] = samples
        framed = np.lib.stride_tricks.sliding_window_view(padded, n_fft)[:: self._hop_length]
        power = np.empty((frames, n_fft // 2 + 1), np.float32)
        at_once = max(1, AT_ONCE // n_fft)
        for first in range(0, frames, at_once):
            some = slice(first, first + at_once)
            spectrum = scipy.fft.rfft(framed[some] * self._window, axis=1, overwrite_x=True)
            squares = spectrum.view(np.float64)
            squares *= squares
            np.add(spectrum.real, spectrum.imag, out=power[some], casting="same_kind")
        return power


@lru_cache(maxsize=8)
def _prepared(**settings: int | float | str) -> LogMel:
    return LogMel(**settings)  # type: ignore[arg-type]


def log_mel(audio: np.ndarray, **settings: int | float | str) -> np.ndarray:
    """The log-mel spectrogram of a sound: :class:`LogMel` of these settings, kept for the next."""
    return _prepared(**settings)(audio)
