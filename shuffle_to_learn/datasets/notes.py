"""The embedded dataset `notes`: notes of soundfonts, in the schema of NSynth."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import Executor
from contextlib import AbstractContextManager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow_datasets as tfds

from shuffle_to_learn.datasets import builder, soundfont
from shuffle_to_learn.datasets.builder import Progress, Rendered
from shuffle_to_learn.datasets.instruments import FAMILIES, OTHER, PACKAGED, SOURCES
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
        share: an instrument is in the dataset if at least this share of its pitches has a note that
            passes.
    """

    silent: float = -60.0
    clarity: float = 0.6
    tolerance: float = 0.5
    same: float = 0.98
    share: float = 0.75


def workers(count: int) -> AbstractContextManager[Executor]:
    """Worker processes that render notes, without TensorFlow."""
    return builder.workers(count, soundfont.start_worker)


def audition(
    notes: Sequence[Note], checks: Checks, *, pool: Executor, progress: Progress
) -> list[Note]:
    """Render every candidate once and decide which candidates are in the dataset.

    Instruments are judged in the order of their numbers. An instrument is left out as a whole if
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
        (an instrument with a lower number has the same note), ``velocity`` (the note is the same
        at a velocity before, but for its level) or ``instrument`` (the note passes, but notes of
        too few pitches of its instrument do).
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
    kept: dict[str, Note] = {}
    for members in _by_instrument(notes):
        good: dict[str, Note] = {}
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
                first = min(duplicates, key=lambda duplicate: duplicate.instrument.number)
                note.reason = f"duplicate of {first.instrument.label}"
            elif any(twin in good for twin in twins[note.id]):
                note.reason = "velocity"
            else:
                good[note.id] = note
        pitches, passed = ({note.pitch for note in some} for some in (members, good.values()))
        # An instrument has to be in every split.
        if len(passed) >= max(checks.share * len(pitches), len(SPLITS)):
            kept |= good
        else:
            for note in good.values():
                note.reason = "instrument"


def _by_instrument(notes: Iterable[Note]) -> list[list[Note]]:
    """The notes of each instrument, in their order, the instruments sorted by number."""
    members: dict[int, list[Note]] = defaultdict(list)
    for note in notes:
        members[note.instrument.number].append(note)
    return [members[number] for number in sorted(members)]


def assign(notes: Iterable[Note], *, valid_share: float, test_share: float, seed: int) -> None:
    """Draw a split (``train``, ``valid`` or ``test``) for each note that has no ``reason``.

    Each instrument is drawn separately, so that every instrument is in every split and each of its
    pitches, with all its velocities, in exactly one split.
    """
    for members in _by_instrument(note for note in notes if not note.reason):
        pitches = list(dict.fromkeys(note.pitch for note in members))
        # At least one pitch in each split; an instrument has at least three.
        valid = min(max(1, round(valid_share * len(pitches))), len(pitches) - 2)
        test = min(max(1, round(test_share * len(pitches))), len(pitches) - valid - 1)
        draw = np.random.default_rng((seed, members[0].instrument.number))
        order = [pitches[index] for index in draw.permutation(len(pitches))]
        held_out = dict.fromkeys(order[:valid], "valid")
        held_out |= dict.fromkeys(order[valid : valid + test], "test")
        for note in members:
            note.split = held_out.get(note.pitch, "train")


class Notes(Rendered):
    """Notes of soundfonts with the features of TFDS's ``nsynth``.

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
        instruments = [members[0].instrument for members in _by_instrument(self._notes)]
        families = {instrument.family for instrument in instruments}
        names = dict.fromkeys(Path(instrument.font).stem for instrument in instruments)
        packaged = list(names) in ([], [PACKAGED])
        fonts = (
            f"General MIDI soundfont {PACKAGED}" if packaged else f"soundfonts {', '.join(names)}"
        )
        return tfds.core.DatasetInfo(
            builder=self,
            description=(
                f"Notes of the {fonts}, rendered after NSynth's protocol "
                "(16 kHz, 4 s, held for 3 s) and with NSynth's features. Every instrument is in "
                "every split; each of its pitches is in one. This is not NSynth."
            ),
            features=features(
                [instrument.label for instrument in instruments],
                FAMILIES + (OTHER,) * (OTHER in families),
            ),
            homepage="https://github.com/craffel/pretty-midi" if packaged else None,
        )

    def _split_generators(self, dl_manager: Any) -> dict[str, Iterator[tuple[str, dict]]]:
        return {split: self._generate_examples(split) for split in SPLITS}

    def _generate_examples(self, split: str) -> Iterator[tuple[str, dict]]:
        notes = [note for note in self._notes if note.split == split]
        sounds = self._rendered(soundfont.render, notes, total=len(notes), split=split)
        for note, audio in zip(notes, sounds, strict=True):
            yield (
                note.id,
                {
                    "id": note.id,
                    "audio": builder.as_stored(audio),
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


def features(
    instruments: Sequence[str], families: Sequence[str] = FAMILIES
) -> tfds.features.FeaturesDict:
    """The features of TFDS's ``nsynth`` (as of 2.3.3), for these names of instruments."""
    return tfds.features.FeaturesDict(
        {
            "id": np.str_,
            "audio": tfds.features.Audio(
                shape=(soundfont.SAMPLES,),
                dtype=np.float32,
                sample_rate=soundfont.SAMPLE_RATE,
                encoding=tfds.features.Encoding.BYTES,
            ),
            "pitch": tfds.features.ClassLabel(num_classes=128),
            "velocity": tfds.features.ClassLabel(num_classes=128),
            "instrument": {
                "label": tfds.features.ClassLabel(names=instruments),
                "family": tfds.features.ClassLabel(names=families),
                "source": tfds.features.ClassLabel(names=SOURCES),
            },
            "qualities": dict.fromkeys(QUALITIES, np.bool_),
        }
    )
