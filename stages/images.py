"""Turn a dataset's picture files into square pictures of one size, and tables of labels.

Reads a shard of the TFDS dataset that the stage dataset wrote. Writes, below the data folder of the
params file, for each of the splits pretrain, pretrain_valid, train, valid and test, in the order of
the dataset's files,

  <dataset>/shards/<shard>/<split>.npy       uint8, (pictures, height, width, channels)
  <dataset>/shards/<shard>/<split>.parquet   the labels, a row a picture
  <dataset>/shards/<shard>/rejected.csv      the pictures left out (damaged, ...) and why
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any

from stages import common
from stages.extraction import Extraction, extract, own_labels
from stages.params import load_params
from stages.runtime import start_tensorflow
from stages.sources import open_dataset

if TYPE_CHECKING:
    import numpy as np


def main(arguments: list[str] | None = None) -> None:
    args = common.parser(__doc__, "dataset", "shard").parse_args(arguments)
    params = load_params(args.params)
    study = params.study_of(args.dataset, "images")
    folder = common.need(params.layout.dataset(args.dataset), "dataset")
    threads = common.threads(params.threads.images)
    start_tensorflow(threads)
    import tensorflow_datasets as tfds

    source = open_dataset(folder, args.dataset, study.splits)
    builder = source.builder
    settings = study.images
    how = Extraction(
        content=lambda example: example["image"],
        transform=partial(read, size=settings.size, channels=settings.channels),
        labels=own_labels if args.dataset == "folder" else _labels(builder),
        dtype="|u1",
        decoders={"image": tfds.decode.SkipDecoding()},  # TensorFlow's knows no EXIF, no CMYK
    )
    extract(source, study, how, number=args.shard, threads=threads, layout=params.layout)


def read(content: bytes, size: int, channels: str) -> np.ndarray | str:
    """A picture, or why there is none; in a process of its own, without TensorFlow."""
    from shuffle_to_learn.images import ImageError, read_image
    from shuffle_to_learn.squares import with_channels

    try:
        return with_channels(read_image(content, size), channels)
    except ImageError as error:
        return str(error)


def _labels(builder: Any) -> Callable[[dict], dict]:
    return partial(_picture, names=builder.info.features["labels"].feature)


def _picture(example: dict, names: Any) -> dict:
    # ImageNet's, which are pretrained on, have another label, which is not used.
    labels = sorted(int(label) for label in example.get("labels", ()))
    name = example["image/filename" if "image/filename" in example else "file_name"]
    return {
        "id": name.decode(),
        "objects": labels,
        "objects_names": [names.int2str(label) for label in labels],
    }


if __name__ == "__main__":
    common.run(main)
