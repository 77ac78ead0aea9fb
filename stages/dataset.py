"""Write an embedded dataset as a prepared TFDS dataset, with a manifest of its candidates.

Renders the notes of the soundfont that ships in pretty_midi, after NSynth's protocol; leaves out
what is silent, clipped, out of tune or the same as another instrument's note; and draws the rest
into train, valid and test. Writes, below the data folder of the params file,

  <dataset>/tfds               read it with tfds.load("<dataset>", data_dir=".../tfds")
  <dataset>/manifest.parquet   one row a candidate: its split, or the reason why it has none
"""

from __future__ import annotations

import sys
import tempfile
from collections import Counter
from concurrent.futures.process import BrokenProcessPool
from contextlib import redirect_stdout

from stages import common
from stages.errors import InputError
from stages.params import Params, load_params
from stages.runtime import start_tensorflow


def main(arguments: list[str] | None = None) -> None:
    args = common.parser(__doc__, "dataset").parse_args(arguments)
    params = load_params(args.params)
    if args.dataset != "notes":
        raise InputError(f"unknown dataset {args.dataset!r}: the embedded datasets are: notes")
    try:
        _notes(params)
    except BrokenProcessPool:
        raise InputError(
            "a process that renders was killed: give the machine more memory"
        ) from None


def _notes(params: Params) -> None:
    count = common.threads(params.threads.dataset)
    start_tensorflow(count)
    import pandas as pd
    import tensorflow as tf
    import tensorflow_datasets as tfds
    from absl import logging

    from shuffle_to_learn import notes as library
    from shuffle_to_learn import soundfont

    logging.set_verbosity(logging.ERROR)
    tfds.disable_progress_bar()
    settings = params.notes
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
            raise InputError(
                "notes: no instrument has enough good notes (see pitch_min, pitch_max, pitch_step)"
            )
        with (
            common.atomic(params.layout.dataset("notes")) as folder,
            tempfile.TemporaryDirectory() as downloads,  # stays empty
            redirect_stdout(None),  # it speaks of downloads
        ):
            builder = library.Notes(data_dir=folder, notes=notes, pool=pool, track=common.progress)
            try:
                builder.download_and_prepare(
                    download_dir=downloads,
                    download_config=tfds.download.DownloadConfig(try_download_gcs=False),
                )
            except RuntimeError as error:
                # What TensorFlow cannot write (a full disk) TFDS raises anew, as another type.
                if not isinstance(error.__cause__, tf.errors.OpError):
                    raise
                reason = error.__cause__.message.splitlines()[0]
                raise InputError(f"could not write the dataset: {reason}") from error
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
