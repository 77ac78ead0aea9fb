"""Turn a dataset's picture files into square pictures of one size, and tables of labels.

Reads a shard of the TFDS dataset that the stage dataset wrote. Writes, below the data folder of the
params file, for each of the splits pretrain, pretrain_valid, train, valid and test, in the order of
the dataset's files,

  <dataset>/shards/<shard>/<split>.npy       uint8, (pictures, height, width, channels)
  <dataset>/shards/<shard>/<split>.parquet   the labels, a row a picture
  <dataset>/shards/<shard>/rejected.csv      the pictures left out (damaged, ...) and why
"""

from __future__ import annotations

from functools import partial
from operator import itemgetter

from shuffle_to_learn.features.pictures import read_picture
from study import cli
from study.extraction import Extraction, Job, extract, open_job, text_labels
from study.records import Example


def main(arguments: list[str] | None = None) -> None:
    job = open_job(__doc__, "pictures", arguments)
    extract(job, how(job))


def how(job: Job) -> Extraction:
    """How a file becomes a square picture."""
    names = None if job.of_folder else job.source.labelled.names("labels")
    return Extraction(
        content=itemgetter("image"),
        transform=partial(read_picture, **job.study.features.model_dump(exclude={"max_rejected"})),
        labels=partial(_labels, names=names) if names else text_labels,
        dtype="|u1",
    )


def _labels(example: Example, names: list[str]) -> dict:
    """A picture's labels, as numbers and as names."""
    # ImageNet's pictures, which are pretrained on, have another label, which is not used.
    labels = sorted(example.values("labels"))
    name = example.values("image/filename") or example.values("file_name")
    return {
        "id": name[0].decode(),
        "objects": labels,
        "objects_names": [names[label] for label in labels],
    }


if __name__ == "__main__":
    cli.run(main)
