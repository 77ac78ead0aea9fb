"""The embedded dataset `notes`: notes of a General MIDI soundfont, in the schema of NSynth."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import Executor
from contextlib import AbstractContextManager
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import tensorflow_datasets as tfds

from shuffle_to_learn.datasets import builder, soundfont
from shuffle_to_learn.datasets.builder import Progress, Rendered
from shuffle_to_learn.datasets.soundfont import Note

QUALITIES = (
    "bright",
    "dark",
    "distortion",
    "fast_decay",
    "long_release",
    "multiphonic",
    "nonlinear_env",
    "percussive",
    "reverb",
    "tempo-synced",
)
SPLITS = ("train", "valid", "test")


@dataclass(frozen=True)
class Checks:
    """The conditions that a note and an instrument must meet to be in the dataset.

    Attributes:
        silent: a note is silent if its peak is below this level, in dBFS.
        clarity: a note has no pitch if its clarity (periodicity, 0 to 1) is below this.
        tolerance: the largest difference between the pitch heard and the MIDI number, in semitones.
        same: two notes are duplicates if their normalised correlation is at least this.
        share: an instrument is in the dataset if at least this share of its notes passes.
    """

    silent: float = -60.0
    clarity: float = 0.6
    tolerance: float = 0.5
    same: float = 0.98
    share: float = 0.75


def workers(count: int) -> AbstractContextManager[Executor]:
    """Worker processes with the soundfont loaded, without TensorFlow."""
    return builder.workers(count, soundfont.start_worker)


def audition(
    notes: Sequence[Note], checks: Checks, *, pool: Executor, progress: Progress
) -> list[Note]:
    """Render every candidate once and decide which candidates are in the dataset.

    Instruments are judged in the order of their programs. An instrument is left out as a whole if
    too few of its notes pass; a later instrument is then no duplicate of it.

    Args:
        notes: from :func:`shuffle_to_learn.datasets.soundfont.candidates`.
        checks: the thresholds.
        pool: from :func:`workers`.
        progress: a progress callback.

    Returns:
        The notes, in the order given, with ``peak``, ``heard``, ``clarity`` and ``reason`` filled
        in. The reason is empty for a note that is in the dataset. Otherwise it is ``silent``,
        ``clipped``, ``pitch`` (no pitch or a wrong pitch is heard), ``duplicate of <instrument>``
        (an instrument with a lower program has the same note) or ``instrument`` (the note passes,
        but too few notes of its instrument do).
    """
    by_pitch: dict[int, list[Note]] = defaultdict(list)
    for note in notes:
        by_pitch[note.pitch].append(note)
    heard: dict[str, Note] = {}
    twins: dict[str, list[str]] = defaultdict(list)
    measured = pool.map(partial(soundfont.listen, same=checks.same), by_pitch.values())
    for group, pairs in progress(measured, total=len(by_pitch), label="listening", unit="pitches"):
        heard.update((note.id, note) for note in group)
        for first, second in pairs:
            twins[group[first].id].append(group[second].id)
            twins[group[second].id].append(group[first].id)
    result = [heard[note.id] for note in notes]
    _judge(result, twins, checks)
    return result


def _judge(notes: Sequence[Note], twins: dict[str, list[str]], checks: Checks) -> None:
    by_program: dict[int, list[Note]] = defaultdict(list)
    for note in notes:
        by_program[note.instrument.program].append(note)
    kept: dict[str, Note] = {}
    for _, members in sorted(by_program.items()):
        for note in members:
            if note.peak < checks.silent:
                note.reason = "silent"
            elif note.reason:  # clipped
                pass
            elif not (
                note.clarity >= checks.clarity and abs(note.heard - note.pitch) <= checks.tolerance
            ):
                note.reason = "pitch"
            elif duplicates := [kept[twin] for twin in twins[note.id] if twin in kept]:
                first = min(duplicates, key=lambda duplicate: duplicate.instrument.program)
                note.reason = f"duplicate of {first.instrument.label}"
        good = [note for note in members if not note.reason]
        # An instrument has to be in every split.
        if len(good) >= max(checks.share * len(members), len(SPLITS)):
            kept.update((note.id, note) for note in good)
        else:
            for note in good:
                note.reason = "instrument"


def assign(notes: Iterable[Note], *, valid_share: float, test_share: float, seed: int) -> None:
    """Draw a split (``train``, ``valid`` or ``test``) for each note that has no ``reason``.

    Each instrument is drawn separately, so that every instrument is in every split and each of its
    pitches in exactly one split.
    """
    by_program: dict[int, list[Note]] = defaultdict(list)
    for note in notes:
        if not note.reason:
            by_program[note.instrument.program].append(note)
    for program, members in by_program.items():
        # At least one note in each split; an instrument has at least three.
        valid = min(max(1, round(valid_share * len(members))), len(members) - 2)
        test = min(max(1, round(test_share * len(members))), len(members) - valid - 1)
        order = np.random.default_rng((seed, program)).permutation(len(members))
        for place, index in enumerate(order):
            held_out = "valid" if place < valid else "test"
            members[index].split = held_out if place < valid + test else "train"


class Notes(Rendered):
    """Notes of a General MIDI soundfont with the features of TFDS's ``nsynth``.

    To write the dataset, give the notes (each with its split), a pool from :func:`workers` and a
    progress callback. A written dataset needs none of these and is read with
    ``tfds.load("notes", data_dir=...)`` or ``tfds.builder_from_directory``.
    """

    VERSION = tfds.core.Version("1.0.0")
    UNIT = "notes"

    def __init__(
        self,
        *,
        notes: Sequence[Note] = (),
        **kwargs: Any,
    ) -> None:
        self._notes = [note for note in notes if note.split]
        super().__init__(**kwargs)

    def _info(self) -> tfds.core.DatasetInfo:
        programs = {note.instrument.program: note.instrument.label for note in self._notes}
        labels = [label for _, label in sorted(programs.items())]
        return tfds.core.DatasetInfo(
            builder=self,
            description=(
                "Notes of the General MIDI soundfont TimGM6mb, rendered after NSynth's protocol "
                "(16 kHz, 4 s, held for 3 s) and with NSynth's features. Every instrument is in "
                "every split; each of its pitches is in one. This is not NSynth."
            ),
            features=features(labels),
            homepage="https://github.com/craffel/pretty-midi",
        )

    def _split_generators(self, dl_manager: Any) -> dict[str, Iterator[tuple[str, dict]]]:
        return {split: self._generate_examples(split) for split in SPLITS}

    def _generate_examples(self, split: str) -> Iterator[tuple[str, dict]]:
        notes = [note for note in self._notes if note.split == split]
        for note, audio in self._rendered(
            soundfont.compressed, notes, total=len(notes), split=split
        ):
            yield (
                note.id,
                {
                    "id": note.id,
                    # TFDS does not compress an array of objects, so the workers can compress the
                    # audio.
                    "audio": np.array(audio, dtype=object),
                    "pitch": note.pitch,
                    "velocity": note.velocity,
                    "instrument": {
                        "label": note.instrument.label,
                        "family": note.instrument.family,
                        "source": note.instrument.source,
                    },
                    "qualities": dict.fromkeys(QUALITIES, False),
                },
            )


def features(instruments: Sequence[str]) -> tfds.features.FeaturesDict:
    """The features of TFDS's ``nsynth`` (as of 2.3.3), for these names of instruments."""
    return tfds.features.FeaturesDict(
        {
            "id": np.str_,
            "audio": tfds.features.Audio(
                shape=(soundfont.SAMPLES,),
                dtype=np.float32,
                sample_rate=soundfont.SAMPLE_RATE,
                encoding=tfds.features.Encoding.ZLIB,
            ),
            "pitch": tfds.features.ClassLabel(num_classes=128),
            "velocity": tfds.features.ClassLabel(num_classes=128),
            "instrument": {
                "label": tfds.features.ClassLabel(names=instruments),
                "family": tfds.features.ClassLabel(names=soundfont.FAMILIES),
                "source": tfds.features.ClassLabel(names=soundfont.SOURCES),
            },
            "qualities": dict.fromkeys(QUALITIES, np.bool_),
        }
    )
