"""Turn a dataset's video files into frames, sampled uniformly, and tables of labels.

Reads a shard of the TFDS dataset that the stage dataset wrote and the video files in its folder.
Writes, below the data folder of the params file, for each of the splits train, valid and test, in
the order of the dataset's files,

  <dataset>/shards/<shard>/<split>.npy       uint8, (clips, frames, height, width, channels)
  <dataset>/shards/<shard>/<split>.parquet   the labels, a row a clip
  <dataset>/shards/<shard>/rejected.csv      the clips left out (damaged, too short, ...) and why
"""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from stages import common
from stages.extraction import Extraction, extract, own_labels
from stages.params import PUBLIC, load_params
from stages.paths import downloaded
from stages.runtime import start_tensorflow
from stages.sources import open_dataset

if TYPE_CHECKING:
    import numpy as np


def main(arguments: list[str] | None = None) -> None:
    args = common.parser(__doc__, "dataset", "shard").parse_args(arguments)
    params = load_params(args.params)
    study = params.study_of(args.dataset, "frames")
    folder = common.need(params.layout.dataset(args.dataset), "dataset")
    threads = common.threads(params.threads.frames)
    start_tensorflow(threads)

    source = open_dataset(folder, args.dataset, study.splits)
    builder = source.builder
    own = args.dataset == "folder"
    videos = Path(study.source if own else builder.data_path)
    if args.dataset in PUBLIC:
        videos = downloaded(getattr(params, args.dataset).data_dir, args.dataset)
    settings = study.frames
    how = Extraction(
        content=lambda example: videos / example["video"].decode(),
        transform=partial(
            read,
            frames=settings.count,
            size=settings.size,
            skip=settings.skip,
            channels=settings.channels,
            background=settings.background,
        ),
        labels=own_labels if own else partial(_labels, names=builder.info.features["label"]),
        dtype="|u1",
    )
    extract(source, study, how, number=args.shard, threads=threads, layout=params.layout)


def read(
    path: Path, frames: int, size: int, skip: int, channels: str, background: str
) -> np.ndarray | str:
    """A clip's frames, or why there are none; in a process of its own, without TensorFlow."""
    from shuffle_to_learn.squares import with_channels
    from shuffle_to_learn.video import ClipError, read_clip, without_background

    try:
        clip = with_channels(read_clip(path, frames, size, skip=skip), channels)
    except ClipError as error:
        return str(error)
    return without_background(clip) if background == "subtract" else clip


def _labels(example: dict, names: Any) -> dict:
    return {
        "id": example["id"].decode(),
        "action": int(example["label"]),
        "action_name": names.int2str(int(example["label"])),
    }


if __name__ == "__main__":
    common.run(main)
