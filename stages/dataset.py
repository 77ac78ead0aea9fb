"""Write an embedded dataset as a prepared TFDS dataset, with a manifest of what is in it.

  notes    notes of the soundfont that ships in pretty_midi, after NSynth's protocol, less what is
           silent, clipped, out of tune or the same as another instrument's note
  motions  clips of moving things, labelled as in Something-Something, as mp4 and webm files
  scenes   composed pictures of 20 kinds of things, labelled as in VOC, as JPEG files

Writes, below the data folder of the params file,

  <dataset>/tfds               read it with tfds.load("<dataset>", data_dir=".../tfds")
  <dataset>/manifest.parquet   one row an example: its split and labels; of notes one a candidate,
                               with the reason where it is left out
"""

from __future__ import annotations

import sys
import tempfile
from collections import Counter
from concurrent.futures.process import BrokenProcessPool
from contextlib import redirect_stdout
from functools import partial
from typing import Any

from stages import common
from stages.errors import InputError
from stages.params import Params, load_params
from stages.paths import SPLITS
from stages.runtime import start_tensorflow


def main(arguments: list[str] | None = None) -> None:
    args = common.parser(__doc__, "dataset").parse_args(arguments)
    params = load_params(args.params)
    makers = {"notes": _notes, "motions": _motions, "scenes": _scenes}
    if args.dataset not in makers:
        known = ", ".join(makers)
        raise InputError(f"unknown dataset {args.dataset!r}: the embedded datasets are: {known}")
    if getattr(params, args.dataset) is None:
        raise InputError(f"{args.params} has no section {args.dataset}")
    count = common.threads(params.threads.dataset)
    start_tensorflow(count)
    try:
        makers[args.dataset](params, count)
    except FileNotFoundError as error:
        if error.errno is not None:
            raise
        raise InputError(str(error)) from None  # a package's data that is not installed
    except BrokenProcessPool:
        raise InputError(
            "a process that renders was killed: give the machine more memory"
        ) from None


def _notes(params: Params, count: int) -> None:
    from shuffle_to_learn import notes as library
    from shuffle_to_learn import soundfont

    settings = params.notes
    soundfont.soundfont()  # its absence is better told now than by a worker
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
        _write(params, "notes", partial(library.Notes, notes=notes, pool=pool))
    manifest = [
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
    ]
    _describe(params, "notes", manifest)
    reasons = Counter(note.reason.split()[0] for note in notes if note.reason)
    kept = [note for note in notes if note.split]
    instruments = len({note.instrument for note in kept})
    rejected = ", ".join(f"{reason} {number}" for reason, number in sorted(reasons.items()))
    print(
        f"notes: kept {len(kept)} of {len(notes)} notes, {instruments} instruments; "
        f"rejected: {rejected or 'none'}",
        file=sys.stderr,
    )


def _motions(params: Params, count: int) -> None:
    from shuffle_to_learn import motions as library

    settings = params.motions
    clips = library.plan(
        {split: getattr(settings, split) for split in SPLITS},
        glyph_shares=dict(zip(SPLITS, settings.shares, strict=True)),
        textures=settings.textures,
        webm_share=settings.webm_share,
        frames=(settings.frames_min, settings.frames_max),
        seed=settings.seed,
    )
    with library.workers(count) as pool:
        _write(
            params,
            "motions",
            partial(library.Motions, clips=clips, size=settings.size, pool=pool),
        )
    manifest = [
        {
            "id": clip.id,
            "label": clip.motion.label,
            "small": clip.things[0],
            "large": clip.things[1],
            "texture": clip.texture,
            "frames": clip.frames,
            "video": clip.video,
            "split": clip.split,
            "kept": True,
            "reason": "",
        }
        for clip in clips
    ]
    _describe(params, "motions", manifest)
    print(f"motions: {len(clips)} clips of {len(library.MOTIONS)} labels", file=sys.stderr)


def _scenes(params: Params, count: int) -> None:
    from shuffle_to_learn import scenes as library

    settings = params.scenes
    counts = {split: getattr(settings, split) for split in library.SPLITS}
    own = library.Settings(
        size=settings.size,
        objects=settings.objects,
        materials=settings.materials,
        shares=settings.shares,
    )
    with library.workers(count) as pool:
        plan = library.Plan(counts, settings.seed, own)
        _write(params, "scenes", partial(library.Scenes, plan=plan, pool=pool))
    manifest = [
        {
            "id": f"{scene.id}.jpg",
            "drawn": sorted({thing.label for thing in scene.things}),  # some may be hidden
            "room": scene.place.room is not None,
            "split": split,
            "kept": True,
            "reason": "",
        }
        for split, number in counts.items()
        for scene in library.draw(split, number, seed=settings.seed, settings=own)
    ]
    _describe(params, "scenes", manifest)
    print(f"scenes: {sum(counts.values())} pictures", file=sys.stderr)


def _write(params: Params, name: str, builder: Any) -> None:
    """Write a dataset by a builder that lacks its folder and a function to show progress."""
    import tensorflow as tf
    import tensorflow_datasets as tfds
    from absl import logging

    logging.set_verbosity(logging.ERROR)
    tfds.disable_progress_bar()
    with (
        common.atomic(params.layout.dataset(name)) as folder,
        tempfile.TemporaryDirectory() as downloads,  # stays empty
        redirect_stdout(None),  # it speaks of downloads
    ):
        try:
            builder(data_dir=folder, track=common.progress).download_and_prepare(
                download_dir=downloads,
                download_config=tfds.download.DownloadConfig(try_download_gcs=False),
            )
        except RuntimeError as error:
            # What TensorFlow cannot write (a full disk) TFDS raises anew, as another type.
            if not isinstance(error.__cause__, tf.errors.OpError):
                raise
            reason = error.__cause__.message.splitlines()[0]
            raise InputError(f"could not write the dataset: {reason}") from error


def _describe(params: Params, name: str, manifest: list[dict]) -> None:
    import pandas as pd

    with common.atomic(params.layout.manifest(name)) as temporary:
        pd.DataFrame(manifest).to_parquet(temporary, index=False)


if __name__ == "__main__":
    common.run(main)
