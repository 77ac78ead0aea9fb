"""The embedded dataset notes: a soundfont's notes after NSynth's protocol."""

from __future__ import annotations

import sys
from collections import Counter
from functools import partial

from shuffle_to_learn.datasets import notes as library
from shuffle_to_learn.datasets import soundfont
from study.cli import progress
from study.datasets.writing import describe, write
from study.errors import InputError
from study.params import Params


def make(params: Params, name: str, threads: int) -> None:
    """Render the notes, leave out what fails a check, and write dataset and manifest.

    Raises:
        InputError: where no instrument has enough good notes.
        FileNotFoundError: where the soundfont is not installed.
    """
    settings = params.notes
    assert settings is not None
    soundfont.soundfont()  # its absence is better told now than by a worker
    candidates = soundfont.candidates(
        soundfont.spread(settings.instruments),
        range(settings.pitch_min, settings.pitch_max + 1, settings.pitch_step),
        settings.seed,
    )
    with library.workers(threads) as pool:
        notes = library.audition(candidates, library.Checks(), pool=pool, progress=progress)
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
    instruments = len({note.instrument for note in kept})
    rejected = ", ".join(f"{reason} {number}" for reason, number in sorted(reasons.items()))
    print(
        f"notes: kept {len(kept)} of {len(notes)} notes, {instruments} instruments; "
        f"rejected: {rejected or 'none'}",
        file=sys.stderr,
    )


def _row(note: library.Note) -> dict:
    """A note's row of the manifest."""
    return {
        "id": note.id,
        "instrument": note.instrument.label,
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
