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
from typing import Any

from shuffle_to_learn.features.video import read_frames
from study import cli
from study.extraction import Extraction, Job, extract, folder_labels, open_job


def main(arguments: list[str] | None = None) -> None:
    job = open_job(__doc__, "frames", arguments)
    videos = _videos(job)
    features = job.source.builder.info.features
    how = Extraction(
        content=lambda example: videos / example["video"].decode(),
        transform=partial(read_frames, **job.study.features.model_dump(exclude={"max_rejected"})),
        labels=folder_labels if job.of_folder else partial(_labels, names=features["label"]),
        dtype="|u1",
    )
    extract(job, how)


def _videos(job: Job) -> Path:
    """The folder that the paths in a dataset start from."""
    if job.of_folder:
        return Path(job.study.source)
    return job.downloaded or Path(job.source.builder.data_path)


def _labels(example: dict, names: Any) -> dict:
    """A clip's labels, as numbers and as names."""
    return {
        "id": example["id"].decode(),
        "action": int(example["label"]),
        "action_name": names.int2str(int(example["label"])),
    }


if __name__ == "__main__":
    cli.run(main)
