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
from typing import Any

from shuffle_to_learn.features.pictures import read_picture
from study import cli
from study.extraction import Extraction, extract, folder_labels, open_job


def main(arguments: list[str] | None = None) -> None:
    job = open_job(__doc__, "pictures", arguments)
    import tensorflow_datasets as tfds

    features = job.source.builder.info.features
    how = Extraction(
        content=lambda example: example["image"],
        transform=partial(read_picture, **job.study.features.model_dump(exclude={"max_rejected"})),
        labels=folder_labels
        if job.of_folder
        else partial(_labels, names=features["labels"].feature),
        dtype="|u1",
        decoders={"image": tfds.decode.SkipDecoding()},  # TensorFlow's knows no EXIF, no CMYK
    )
    extract(job, how)


def _labels(example: dict, names: Any) -> dict:
    """A picture's labels, as numbers and as names."""
    # ImageNet's pictures, which are pretrained on, have another label, which is not used.
    labels = sorted(int(label) for label in example.get("labels", ()))
    name = example["image/filename" if "image/filename" in example else "file_name"]
    return {
        "id": name.decode(),
        "objects": labels,
        "objects_names": [names.int2str(label) for label in labels],
    }


if __name__ == "__main__":
    cli.run(main)
