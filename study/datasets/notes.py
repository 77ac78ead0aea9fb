"""The embedded dataset notes: notes of soundfonts after NSynth's protocol."""

from __future__ import annotations

import sys
from collections import Counter
from concurrent.futures import Executor
from concurrent.futures.process import BrokenProcessPool
from functools import partial
from itertools import groupby
from pathlib import Path

from shuffle_to_learn.datasets import notes as library
from shuffle_to_learn.datasets import soundfont
from shuffle_to_learn.datasets.instruments import SoundfontError, path_of
from shuffle_to_learn.datasets.soundfont import Note
from study.cli import progress
from study.datasets.writing import describe, write
from study.errors import InputError
from study.params import Params
from study.soundfonts import instruments

MIDDLE_C = 60


def make(params: Params, name: str, threads: int) -> None:
    """Render the notes, leave out what fails a check, and write dataset and manifest.

    Raises:
        InputError: where a soundfont is missing, damaged or silent, or no instrument has enough
            good notes.
        FileNotFoundError: where the package with TimGM6mb is not installed.
    """
    settings = params.notes
    assert settings is not None
    candidates = soundfont.candidates(
        instruments(settings),
        range(settings.pitch_min, settings.pitch_max + 1, settings.pitch_step),
        settings.seed,
        settings.velocities,
    )
    checks = library.Checks()
    with library.workers(threads) as pool:
        _try(candidates, checks.silent, pool)
        notes = library.audition(candidates, checks, pool=pool, progress=progress)
        library.assign(
            notes,
            valid_share=settings.valid_share,
            test_share=settings.test_share,
            seed=settings.seed,
        )
        if not any(note.split for note in notes):
            raise InputError(
                "notes: no instrument has enough good notes (see pitch_min, pitch_max, pitch_step)"
            )
        write(params, name, partial(library.Notes, notes=notes, pool=pool))
    describe(params, name, [_row(note) for note in notes])
    reasons = Counter(note.reason.split()[0] for note in notes if note.reason)
    kept = [note for note in notes if note.split]
    number = len({note.instrument for note in kept})
    rejected = ", ".join(f"{reason} {count}" for reason, count in sorted(reasons.items()))
    print(
        f"notes: kept {len(kept)} of {len(notes)} notes, {number} instruments; "
        f"rejected: {rejected or 'none'}",
        file=sys.stderr,
    )


def _try(notes: list[Note], silent: float, pool: Executor) -> None:
    """Load every soundfont, and tell of one of which no note is heard before all are rendered."""
    for font, members in groupby(notes, lambda note: note.instrument.font):
        path = path_of(font)
        # The middle of the keyboard first: there most instruments sound.
        tried = sorted(members, key=lambda note: abs(note.pitch - MIDDLE_C))
        try:
            if not pool.submit(soundfont.sounds, tried, silent).result():
                raise InputError(f"notes.soundfonts: {path} plays silence")
        except SoundfontError as error:
            raise InputError(f"notes.soundfonts: {error}") from None
        except BrokenProcessPool:
            raise InputError(
                f"notes.soundfonts: {path} ends the process that loads it: it is damaged, or needs "
                "more memory"
            ) from None


def _row(note: Note) -> dict:
    """A note's row of the manifest."""
    return {
        "id": note.id,
        "instrument": note.instrument.label,
        "soundfont": Path(note.instrument.font).name,
        "bank": note.instrument.bank,
        "program": note.instrument.program,
        "name": note.instrument.name,
        "family": note.instrument.family,
        "source": note.instrument.source,
        "pitch": note.pitch,
        "velocity": note.velocity,
        "split": note.split,
        "kept": not note.reason,
        "reason": note.reason,
        "peak_dbfs": note.peak,
        "heard_pitch": note.heard,
        "clarity": note.clarity,
    }
