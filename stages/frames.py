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

from shuffle_to_learn.features.video import read_frames
from study import cli, clips
from study.extraction import Extraction, Job, extract, open_job, text_labels
from study.records import Example


def main(arguments: list[str] | None = None) -> None:
    job = open_job(__doc__, "frames", arguments)
    extract(job, how(job))


def how(job: Job) -> Extraction:
    """How a clip becomes its frames."""
    names = None if job.of_folder else job.source.labelled.names("label")
    return Extraction(
        content=partial(clips.path, videos=clips.videos(job.source, job.study, job.downloaded)),
        transform=partial(read_frames, **job.study.features.model_dump(exclude={"max_rejected"})),
        labels=partial(_labels, names=names) if names else text_labels,
        dtype="|u1",
    )


def _labels(example: Example, names: list[str]) -> dict:
    """A clip's labels, as numbers and as names."""
    return {
        "id": example["id"].decode(),
        "action": int(example["label"]),
        "action_name": names[example["label"]],
    }


if __name__ == "__main__":
    cli.run(main)
