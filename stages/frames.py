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

from shuffle_to_learn.features.video import read_frames
from study import cli
from study.extraction import Extraction, Job, extract, folder_labels, open_job
from study.records import Example


def main(arguments: list[str] | None = None) -> None:
    job = open_job(__doc__, "frames", arguments)
    extract(job, how(job))


def how(job: Job) -> Extraction:
    """How a clip becomes its frames."""
    names = None if job.of_folder else job.source.labelled.names("label")
    return Extraction(
        content=partial(_path, videos=_videos(job)),
        transform=partial(read_frames, **job.study.features.model_dump(exclude={"max_rejected"})),
        labels=partial(_labels, names=names) if names else folder_labels,
        dtype="|u1",
    )


def _videos(job: Job) -> Path:
    """The folder that the paths in a dataset start from."""
    if job.of_folder:
        return Path(job.study.source)
    return job.downloaded or job.source.labelled.folder


def _path(example: Example, videos: Path) -> Path:
    return videos / example["video"].decode()


def _labels(example: Example, names: list[str]) -> dict:
    """A clip's labels, as numbers and as names."""
    return {
        "id": example["id"].decode(),
        "action": int(example["label"]),
        "action_name": names[example["label"]],
    }


if __name__ == "__main__":
    cli.run(main)
