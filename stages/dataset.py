"""Write an embedded dataset as a prepared TFDS dataset, with a manifest of its candidates.

Renders the notes of the soundfont that ships in pretty_midi, after NSynth's protocol; leaves out
what is silent, clipped, out of tune or the same as another instrument's note; and draws the rest
into train, valid and test. Writes, below the data folder of the params file,

  <dataset>/tfds               read it with tfds.load("<dataset>", data_dir=".../tfds")
  <dataset>/manifest.parquet   one row a candidate: its split, or the reason why it has none
"""

from __future__ import annotations

import os
import sys
from collections import Counter

from stages import common
from stages.errors import InputError
from stages.params import Params, load_params


def main(arguments: list[str] | None = None) -> None:
    args = common.parser(__doc__, "dataset").parse_args(arguments)
    params = load_params(args.params)
    if args.dataset != "notes":
        raise InputError(f"unknown dataset {args.dataset!r}: the embedded datasets are: notes")
    _notes(params)


def _notes(params: Params) -> None:
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    import pandas as pd
    import tensorflow_datasets as tfds

    from shuffle_to_learn import notes as library
    from shuffle_to_learn import soundfont

    settings = params.notes
    tfds.disable_progress_bar()
    count = common.threads(params.threads.dataset)
    try:
        soundfont.soundfont()
    except FileNotFoundError as error:
        raise InputError(str(error)) from None
    candidates = soundfont.candidates(
        soundfont.spread(settings.instruments),
        range(settings.pitch_min, settings.pitch_max + 1, settings.pitch_step),
        settings.seed,
    )
    with library.workers(count) as pool:
        notes = library.audition(candidates, library.Checks(), pool=pool, track=common.progress)
        library.assign(
            notes,
            valid_share=settings.valid_share,
            test_share=settings.test_share,
            seed=settings.seed,
        )
        if not any(note.split for note in notes):
            raise InputError("no instrument has enough good notes: widen the pitches under notes")
        with common.atomic(params.layout.dataset("notes")) as folder:
            builder = library.Notes(
                data_dir=folder, notes=notes, pool=pool, track=common.progress
            )
            builder.download_and_prepare(
                download_config=tfds.download.DownloadConfig(try_download_gcs=False)
            )
    manifest = pd.DataFrame(
        {
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
        for note in notes
    )
    with common.atomic(params.layout.manifest("notes")) as temporary:
        manifest.to_parquet(temporary, index=False)
    reasons = Counter(note.reason.split()[0] for note in notes if note.reason)
    kept = [note for note in notes if note.split]
    instruments = len({note.instrument for note in kept})
    rejected = ", ".join(f"{reason} {number}" for reason, number in sorted(reasons.items()))
    print(
        f"notes: kept {len(kept)} of {len(notes)} notes, {instruments} instruments; "
        f"rejected: {rejected or 'none'}",
        file=sys.stderr,
    )


if __name__ == "__main__":
    common.run(main)
