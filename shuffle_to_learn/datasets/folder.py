"""A folder of your files as a dataset: recordings cut into windows, clips, or pictures."""

from __future__ import annotations

import io
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Executor
from contextlib import AbstractContextManager
from dataclasses import dataclass, field, replace
from functools import lru_cache, partial
from pathlib import Path
from typing import Any, ClassVar, NamedTuple

import cv2
import numpy as np
import tensorflow_datasets as tfds

from shuffle_to_learn.datasets import builder
from shuffle_to_learn.datasets.builder import Rendered
from shuffle_to_learn.datasets.pool import Pool
from shuffle_to_learn.datasets.tree import SPLITS, located
from shuffle_to_learn.features.recordings import Recording, RecordingError

DRAWN_FROM = {"pretrain": "train", "pretrain_valid": "valid"} | {split: split for split in SPLITS}
"""For each split of the dataset, the split of the items that are in it."""


@dataclass(frozen=True)
class Item:
    """An input: a file, or a window of a recording.

    Attributes:
        id: the file; where a recording has several windows, then ``@`` and the start in seconds.
        file: relative to the folder, with forward slashes.
        split: ``train``, ``valid`` or ``test``.
        labels: a text for each column, of a dataset that holds them.
        start: start of the window in seconds; 0 for a file.
        reason: why the file cannot be read; empty if it can, or if that is not known yet.
    """

    id: str
    file: str
    split: str
    labels: Mapping[str, str] = field(default_factory=dict)
    start: float = 0.0
    reason: str = ""


class Survey(NamedTuple):
    """What a recording holds, as far as it can be decoded.

    Attributes:
        starts: of its windows, in seconds.
        fault: why there are none or no more; empty where the recording ends there.
        seconds: how long it is.
        rate: its sample rate in Hz; 0 where it cannot be opened.
    """

    starts: list[float]
    fault: str
    seconds: float
    rate: int


def survey(path: Path, seconds: float) -> Survey:
    """The windows of a recording, as far as it can be decoded.

    Windows follow one another without a gap. The remainder at the end is a window, too, if it fills
    at least half of one, and so is a recording shorter than a window; such windows end in silence.

    Args:
        path: of the recording.
        seconds: length of a window.
    """
    try:
        recording = _opened(path)
        frames, fault = recording.length()
    except RecordingError as error:
        return Survey([], str(error), 0.0, 0)
    if not frames:
        return Survey([], fault or "empty", 0.0, recording.rate)
    end = frames / recording.rate
    starts = [seconds * n for n in range(max(1, int(end / seconds + 0.5)))]
    return Survey(starts, fault, end, recording.rate)


def surveyed(item: Item, folder: Path, seconds: float) -> Survey:
    """The survey of an item's recording."""
    return survey(located(folder, item.file), seconds)


def windows(item: Item, found: Survey) -> list[Item]:
    """The windows of a recording, and what cannot be read of it, with the reason."""
    if not found.starts:
        return [replace(item, reason=found.fault)]
    made = [replace(item, id=f"{item.id}@{start:.10g}", start=start) for start in found.starts]
    if found.fault:
        end = found.seconds
        made.append(replace(item, id=f"{item.id}@{end:.10g}", start=end, reason=found.fault))
    return made if len(made) > 1 else [item]


def read_window(path: Path, start: float, seconds: float, sample_rate: int) -> np.ndarray | str:
    """A window of a recording as one channel, or the reason why it cannot be read.

    Args:
        path: a WAV, FLAC, Ogg or MP3 file of any sample rate and number of channels.
        start: start of the window, in seconds.
        seconds: length of the window; beyond the end of the recording it is silence.
        sample_rate: of the result, in Hz; a recording at another rate is resampled (soxr).

    Returns:
        float32, shape (round(seconds * sample_rate),): see
        :meth:`shuffle_to_learn.features.recordings.Recording.read`.
    """
    import librosa

    try:
        recording = _opened(path)
        rate = recording.rate
        mono = recording.read(round(start * rate), max(1, round(seconds * rate)))
    except RecordingError as error:
        return str(error)
    if not len(mono):
        return "truncated"
    if not np.isfinite(mono).all():
        return "holds values that are no numbers"
    if rate != sample_rate:
        mono = librosa.resample(mono, orig_sr=rate, target_sr=sample_rate, res_type="soxr_hq")
    samples = round(seconds * sample_rate)
    return np.pad(mono[:samples], (0, max(0, samples - len(mono)))).astype(np.float32)


def _opened(path: Path) -> Recording:
    """The recording at a path, kept open: its windows are read one after the other."""
    try:
        state = path.stat()
    except OSError as error:
        raise RecordingError(f"unreadable: {error.strerror}") from None
    return _kept(path, state.st_size, state.st_mtime_ns)


@lru_cache(maxsize=1)
def _kept(path: Path, size: int, changed: int) -> Recording:
    return Recording(path)


def workers(count: int) -> AbstractContextManager[Executor]:
    """Worker processes that read files; one that a file kills is replaced."""
    return builder.workers(count, cv2.setNumThreads, 1, executor=Pool)


class Folder(Rendered):
    """The files of a folder, without their labels: those can change when the files do not.

    A subclass whose labels cannot has ``LABELLED``: they are one text, JSON of column and value.

    To write the dataset, give the folder, its items, the modality, a pool from :func:`workers` and
    a progress callback; recordings also need the length of a window and the sample rate. A written
    dataset needs none of these and is read with ``tfds.builder_from_directory``.

    The dataset holds recordings as windows, pictures as the bytes of their files, and videos as
    their paths in the folder. The pictures of ``train`` and ``valid`` are also in the splits
    ``pretrain`` and ``pretrain_valid``.

    Attributes:
        rejected: windows of recordings and pictures that could not be read: the reason by id.
    """

    VERSION = tfds.core.Version("1.0.0")
    UNIT = "inputs"
    DESCRIPTION: ClassVar[str] = "Files of a folder."
    LABELLED: ClassVar[bool] = False

    def __init__(
        self,
        *,
        folder: Path | None = None,
        items: Sequence[Item] = (),
        modality: str = "images",
        seconds: float = 4.0,
        sample_rate: int = 16_000,
        **kwargs: Any,
    ) -> None:
        self._folder = folder
        self._items = items
        self._modality = modality
        self._seconds = seconds
        self._sample_rate = sample_rate
        self.rejected: dict[str, str] = {}
        super().__init__(**kwargs)

    def _info(self) -> tfds.core.DatasetInfo:
        content = {
            "audio": lambda: tfds.features.Audio(
                shape=(round(self._seconds * self._sample_rate),),
                dtype=np.float32,
                sample_rate=self._sample_rate,
                encoding=tfds.features.Encoding.BYTES,
            ),
            "video": tfds.features.Text,
            "images": tfds.features.Image,
        }[self._modality]()
        return tfds.core.DatasetInfo(
            builder=self,
            description=self.DESCRIPTION,
            features=tfds.features.FeaturesDict(
                {
                    "id": tfds.features.Text(),
                    CONTENT[self._modality]: content,
                    **({"labels": tfds.features.Text()} if self.LABELLED else {}),
                }
            ),
        )

    def _split_generators(self, dl_manager: Any) -> dict[str, Iterator[tuple[str, dict]]]:
        names = DRAWN_FROM if self._modality == "images" else SPLITS
        return {name: self._generate_examples(name, DRAWN_FROM[name]) for name in names}

    def _generate_examples(self, name: str, split: str) -> Iterator[tuple[str, dict]]:
        if self._folder is None:
            raise ValueError("to write the dataset, give it a folder and its items")
        items = [item for item in self._items if item.split == split]
        for item, content in zip(items, self._contents(items, name), strict=True):
            if isinstance(content, str) and self._modality != "video":
                self.rejected[item.id] = content
                continue
            yield (
                item.id,
                {
                    "id": item.id,
                    CONTENT[self._modality]: content,
                    **({"labels": json.dumps(item.labels)} if self.LABELLED else {}),
                },
            )

    def _contents(self, items: Sequence[Item], name: str) -> Iterable[Any]:
        if self._modality == "video":
            return [item.file for item in items]
        assert self._folder is not None
        if self._modality == "images":
            return (_content(located(self._folder, item.file)) for item in items)
        read = partial(
            _window, folder=self._folder, seconds=self._seconds, sample_rate=self._sample_rate
        )
        sounds = self._rendered(read, items, total=len(items), split=name)
        return (sound if isinstance(sound, str) else builder.as_stored(sound) for sound in sounds)


def _window(item: Item, folder: Path, seconds: float, sample_rate: int) -> np.ndarray | str:
    return read_window(located(folder, item.file), item.start, seconds, sample_rate)


def _content(path: Path) -> io.BytesIO | str:
    """The bytes of a file, or why they cannot be read."""
    try:
        return io.BytesIO(path.read_bytes())
    except OSError as error:
        return f"unreadable: {error.strerror}"


CONTENT = {"audio": "audio", "video": "video", "images": "image"}
"""The name of the feature that holds the inputs, for each modality."""
