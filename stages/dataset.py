"""Write a dataset as a prepared TFDS dataset, with a manifest of what is in it.

  notes    notes of the soundfont that ships in pretty_midi, after NSynth's protocol, less what is
           silent, clipped, out of tune or the same as another instrument's note
  motions  clips of moving things, labelled as in Something-Something, as mp4 and webm files
  scenes   composed pictures of 20 kinds of things, labelled as in VOC, as JPEG files
  folder   files of your own: recordings cut into windows, clips or pictures, with a labels.csv
  nsynth_full, nsynth_gansynth_subset, imagenet_voc, something_something_v2
           the paper's, as TFDS prepared them in the params file's data_dir: nothing is copied

Writes, below the data folder of the params file,

  <dataset>/tfds               read it with tfds.load("<dataset>", data_dir=".../tfds")
  <dataset>/manifest.parquet   one row an example: its split and labels; of notes one a candidate,
                               with the reason where it is left out; of a folder one a file or
                               window
"""

from __future__ import annotations

import sys
import tempfile
from collections import Counter
from collections.abc import Callable
from concurrent.futures.process import BrokenProcessPool
from contextlib import redirect_stdout
from functools import partial
from pathlib import Path
from typing import Any

from stages import common
from stages.errors import InputError
from stages.params import PUBLIC, Params, load_params
from stages.paths import SPLITS, downloaded
from stages.runtime import start_tensorflow


def main(arguments: list[str] | None = None) -> None:
    args = common.parser(__doc__, "dataset").parse_args(arguments)
    params = load_params(args.params)
    makers = {"notes": _notes, "motions": _motions, "scenes": _scenes, "folder": _folder}
    makers |= {name: partial(_public, name) for name in PUBLIC}
    if args.dataset not in makers:
        known = ", ".join(makers)
        raise InputError(f"unknown dataset {args.dataset!r}: use one of {known}")
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


def _folder(params: Params, count: int) -> None:
    from shuffle_to_learn import folder as library

    modality, study = params.own_folder()
    settings, folder = params.folder, common.need_folder(study.source, f"{modality}.source")
    names = library.files(folder, modality)
    if not names:
        known = ", ".join(library.SUFFIXES[modality])
        raise InputError(f"{folder} holds no files of {modality} ({known})")
    labels = read_labels(folder, names)
    splits = split_files(settings, folder, labels)
    items = [
        library.Item(name, name, splits.get(name, "train"), labels.get(name, {}), name in labels)
        for name in names
    ]
    with library.workers(count) as pool:
        if modality == "audio":
            cut = partial(library.windows, folder=folder, seconds=settings.seconds)
            found = pool.map(cut, items, chunksize=16)
            shown = common.progress(found, total=len(items), label="reading", unit="files")
            items = [window for own in shown for window in own]
        reasons = {item.id: item.reason for item in items if item.reason}

        def check() -> None:
            if len(reasons) > settings.max_rejected * len(items):
                first = min(reasons)
                raise InputError(
                    f"{folder}: {len(reasons)} of {len(items)} inputs cannot be read, "
                    f"{100 * settings.max_rejected:g}% may be (folder.max_rejected); the first is "
                    f"{first}: {reasons[first]}"
                )
            left = {item.split for item in items if item.id not in reasons}
            if absent := [split for split in SPLITS if split not in left]:
                raise InputError(f"{folder}: no file of the split {absent[0]} can be read")

        def check_again(builder: Any, _: Path) -> None:
            reasons.update(builder.rejected)
            check()

        check()
        builder = partial(
            library.Folder,
            folder=folder,
            items=[item for item in items if not item.reason],
            modality=modality,
            seconds=settings.seconds,
            sample_rate=settings.sample_rate,
            pool=pool,
        )
        _write(params, "folder", builder, check_again)
    manifest = [
        {
            "id": item.id,
            "file": item.file,
            "directory": directory(item.file),
            "start": item.start,
            "labelled": item.labelled,
            "split": split,
            "kept": item.id not in reasons,
            "reason": reasons.get(item.id, ""),
        }
        for split in study.splits
        for item in items
        if item.split == library.DRAWN_FROM[split]
    ]
    _describe(params, "folder", manifest)
    print(
        f"folder: {len(items) - len(reasons)} inputs of {len(names)} files, {len(labels)} of them "
        f"labelled; left out: {len(reasons)}"
        + (f", see {params.layout.manifest('folder')}" if reasons else ""),
        file=sys.stderr,
    )


def _public(name: str, params: Params, count: int) -> None:
    """A pointer to what TFDS prepared; of Something-Something a dataset of the videos' paths."""
    import json

    import tensorflow_datasets as tfds

    from shuffle_to_learn import public
    from shuffle_to_learn.something_something import SomethingSomethingV2
    from stages.sources import POINTER, open_dataset, open_prepared, read_examples

    settings = getattr(params, name)
    (study,) = (study for study in params.studies.values() if study.dataset == name)
    pointer = json.dumps(settings.model_dump(), indent=2)
    parts = public.SPLITS[name](settings.held_out_share)
    folder = downloaded(settings.data_dir, name)
    if name == "something_something_v2":
        how = public.PREPARE[name].format(settings.data_dir)
        for file in ("labels/labels.json", "labels/train.json", "labels/validation.json"):
            if not (folder / file).is_file():
                raise InputError(f"{folder / file} does not exist: {how}")
        if not (folder / "20bn-something-something-v2").is_dir():
            raise InputError(f"{folder}/20bn-something-something-v2 does not exist: {how}")
        _write(
            params,
            name,
            partial(SomethingSomethingV2, folder=folder),
            lambda _, written: common.write_text(written / POINTER, pointer),
        )
    else:
        for dataset in {part.dataset: None for of in parts.values() for part in of}:
            open_prepared(params.layout.dataset(name), Path(settings.data_dir), dataset)
        with common.atomic(params.layout.dataset(name)) as temporary:
            temporary.mkdir()
            common.write_text(temporary / POINTER, pointer)
    source = open_dataset(params.layout.dataset(name), name, study.splits)
    manifest = []
    for split in study.splits:
        for builder, part in source.parts[split]:
            known = set(builder.info.features) & DESCRIBED
            decoders = tfds.decode.PartialDecoding(dict.fromkeys(known, True))
            examples = read_examples(builder, part.split, "examples", decoders)
            total = builder.info.splits[part.split].num_examples
            label = f"{part.dataset}, {part.split}"
            for example in common.progress(examples, total=total, label=label, unit="examples"):
                id = example[public.IDS[part.dataset]]
                if part.low <= public.place(id, settings.seed) < part.high:
                    row = {"id": id.decode(), **_described(example, builder.info.features)}
                    manifest.append({**row, "split": split, "kept": True, "reason": ""})
    _describe(params, name, manifest)
    print(f"{name}: {len(manifest)} examples in {settings.data_dir}", file=sys.stderr)


DESCRIBED = {"id", "file_name", "image/filename", "instrument", "pitch", "label", "labels"}


def _described(example: dict, features: Any) -> dict[str, Any]:
    """What the manifest says of an example of a public dataset."""
    if "instrument" in example:
        own, names = example["instrument"], features["instrument"]
        return {key: names[key].int2str(int(own[key])) for key in ("family", "source")} | {
            "instrument": names["label"].int2str(int(own["label"])),
            "pitch": int(example["pitch"]),
        }
    if "labels" in example:
        names = features["labels"].feature
        return {"objects": [names.int2str(int(label)) for label in example["labels"]]}
    if "file_name" in example:
        return {"objects": []}
    return {"label": features["label"].int2str(int(example["label"]))}


LABELS = "labels.csv"


def directory(file: str) -> str:
    """The folder that a file is in, below the one of the dataset."""
    return file.rpartition("/")[0]


def read_labels(folder: Path, names: list[str]) -> dict[str, dict[str, str]]:
    """The labels of files: those of labels.csv, or the folder that each is in."""
    path = folder / LABELS
    if not path.exists():
        return {name: {"directory": directory(name)} for name in names}
    import pandas as pd

    try:
        table = pd.read_csv(path, dtype=str, keep_default_na=False, encoding="utf-8-sig")
    except (ValueError, UnicodeError) as error:
        raise InputError(f"{path}: {' '.join(str(error).split())}") from None
    if "file" not in table:
        raise InputError(f"{path} has no column file: it names each file, relative to {folder}")
    table["file"] = table["file"].str.replace("\\", "/").str.removeprefix("./")
    twice = table["file"][table["file"].duplicated()]
    if len(twice):
        raise InputError(f"{path} has {twice.iloc[0]} twice")
    missing = sorted(set(table["file"]) - set(names))
    if missing:
        raise InputError(
            f"{path} names {len(missing)} files that are not in {folder} or of another kind; the "
            f"first is {missing[0]}"
        )
    rows = table.set_index("file").to_dict("index")
    return {name: {"directory": directory(name), **row} for name, row in rows.items()}


def split_files(settings: Any, folder: Path, labels: dict[str, dict[str, str]]) -> dict[str, str]:
    """The split of each labelled file: its column of labels.csv, or drawn."""
    from shuffle_to_learn.folder import assign

    where, column, labelled = folder / LABELS, settings.group, sorted(labels)
    if column and any(column not in labels[name] for name in labelled):
        raise InputError(f"folder.group: {where} has no column {column}")
    if labelled and "split" in labels[labelled[0]]:  # a column, so in every row
        splits = {name: labels[name]["split"] for name in labelled}
        for name, split in splits.items():
            if split not in SPLITS:
                raise InputError(
                    f"{where}: the split of {name} is {split!r}: use train, valid or test"
                )
        if absent := [split for split in SPLITS if split not in splits.values()]:
            raise InputError(f"{where}: no file is in the split {absent[0]}")
        return splits
    groups = [(labels[name][column] if column else "") or name for name in labelled]
    try:
        drawn = assign(
            groups,
            valid_share=settings.valid_share,
            test_share=settings.test_share,
            seed=settings.seed,
        )
    except ValueError as error:
        what = f"groups of {column}" if column else "labelled files"
        raise InputError(f"{folder}: {what}: {error}") from None
    return dict(zip(labelled, drawn, strict=True))


def _write(
    params: Params,
    name: str,
    make: Callable[..., Any],
    finish: Callable[[Any, Path], None] = lambda builder, folder: None,
) -> None:
    """Write a dataset by a builder that lacks its folder and a function to show progress.

    ``finish`` has the last word on the builder and the folder: what it raises leaves nothing.
    """
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
            builder = make(data_dir=folder, track=common.progress)
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
        finish(builder, folder)


def _describe(params: Params, name: str, manifest: list[dict]) -> None:
    import pandas as pd

    with common.atomic(params.layout.manifest(name)) as temporary:
        pd.DataFrame(manifest).to_parquet(temporary, index=False)


if __name__ == "__main__":
    common.run(main)
