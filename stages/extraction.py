"""What the extraction stages share: a dataset's examples in, features and labels out."""

from __future__ import annotations

import sys
import warnings
from collections.abc import Callable, Iterator
from concurrent.futures.process import BrokenProcessPool
from contextlib import ExitStack
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple

from stages import common
from stages.errors import InputError
from stages.paths import Paths

CHUNK = 64  # examples a worker in memory at a time: of audio 16 MiB


class Extraction(NamedTuple):
    """How an example becomes features.

    Attributes:
        content: what of an example goes to a worker.
        transform: a worker's part; returns an array, or in a few words why there is none.
        labels: the row of an example in the table of labels; its ``id`` comes first.
        shape: of an array.
        dtype: as numpy writes it.
        unit: what is counted.
        max_rejected: the share of a split's examples that may have no features.
        decoders: of the TFDS features that are read as they are stored.
    """

    content: Callable[[dict], Any]
    transform: Callable[[Any], Any]
    labels: Callable[[dict], dict]
    shape: tuple[int, ...]
    dtype: str
    unit: str
    max_rejected: float = 0.0
    decoders: Any = None


def open_dataset(folder: Path, splits: tuple[str, ...]) -> Any:
    """The TFDS builder of the one dataset in a folder, which has to have these splits."""
    import tensorflow_datasets as tfds
    from absl import logging

    logging.set_verbosity(logging.FATAL)
    infos = sorted(folder.glob("**/dataset_info.json"))
    if len(infos) != 1:
        raise InputError(
            f"{folder} does not hold one dataset_info.json: delete it and run the stage dataset"
        )
    with common.reading(infos[0].parent, "dataset"):
        builder = tfds.builder_from_directory(infos[0].parent)
        if missing := [split for split in splits if split not in builder.info.splits]:
            raise ValueError(f"no split {missing[0]}")
    return builder


def extract(
    builder: Any, splits: tuple[str, ...], how: Extraction, *, threads: int, layout: Paths
) -> None:
    """Write the features and labels of these splits, and what was rejected, all or none.

    Raises:
        InputError: where a split is damaged, or too many of its examples are.
    """
    import pandas as pd

    # joblib's word about the rest of its work, after an error of ours.
    warnings.filterwarnings("ignore", message=".*tasks have been successfully executed")
    dataset, rejected = builder.info.name, []
    with ExitStack() as outputs:
        for split in splits:
            features, labels = (
                outputs.enter_context(common.atomic(path(dataset, split)))
                for path in (layout.features, layout.labels)
            )
            count = builder.info.splits[split].num_examples
            try:
                own = _split(builder, split, how, threads, features, labels)
            except BrokenProcessPool:
                raise InputError(
                    f"{split}: a process that reads {how.unit} was killed: give the machine more "
                    f"memory, or fewer cores with threads"
                ) from None
            if own and (len(own) / count > how.max_rejected or len(own) == count):
                share = f"{100 * how.max_rejected:g}% may be" if how.max_rejected else "none may be"
                raise InputError(
                    f"{split}: {len(own)} of {count} {how.unit} cannot be used, {share} "
                    f"(max_rejected); the first is {own[0]['id']}: {own[0]['reason']}"
                )
            rejected += own
        table = pd.DataFrame(rejected, columns=["split", "id", "reason"])
        table.to_csv(outputs.enter_context(common.atomic(layout.rejected(dataset))), index=False)
    total = sum(builder.info.splits[split].num_examples for split in splits)
    print(
        f"{dataset}: features of {total - len(rejected)} of {total} {how.unit}; "
        f"rejected: {len(rejected)}" + (f", see {layout.rejected(dataset)}" if rejected else ""),
        file=sys.stderr,
    )


def _split(
    builder: Any, split: str, how: Extraction, threads: int, features: Path, labels: Path
) -> list[dict]:
    """Write one split; what was rejected and why."""
    import numpy as np
    import pandas as pd
    from joblib import Parallel, delayed

    examples = _examples(builder, split, how)
    rows: list[dict] = []
    work = delayed(how.transform)

    def results() -> Iterator[Any]:
        # A chunk at a time, since Parallel does not wait for whoever takes its results. Processes,
        # since librosa holds the interpreter for half of the time; they do not load TensorFlow.
        with Parallel(
            threads, return_as="generator", pre_dispatch="4*n_jobs", batch_size=16, max_nbytes=None
        ) as parallel:
            while chunk := list(islice(examples, CHUNK * threads)):
                rows.extend(how.labels(example) for example in chunk)
                yield from parallel(work(how.content(example)) for example in chunk)

    count = builder.info.splits[split].num_examples
    kept, rejected = [], []

    def header(number: int) -> dict:
        return {"descr": how.dtype, "fortran_order": False, "shape": (number, *how.shape)}

    # Written, not mapped: on a full disk a mapped file ends the process without a word.
    with features.open("wb") as file:
        np.lib.format.write_array_header_1_0(file, header(count))
        shown = common.progress(results(), total=count, label=split, unit=how.unit)
        for place, result in enumerate(shown):
            if isinstance(result, str):
                rejected.append({"split": split, "id": rows[place]["id"], "reason": result})
            else:
                kept.append(place)
                file.write(result.astype(how.dtype).tobytes())
        file.seek(0)  # numpy leaves room in a header for any number of rows
        np.lib.format.write_array_header_1_0(file, header(len(kept)))
    pd.DataFrame([rows[place] for place in kept]).to_parquet(labels, index=False)
    return rejected


def _examples(builder: Any, split: str, how: Extraction) -> Iterator[dict]:
    """A split's examples as numpy arrays, in the order of its files."""
    import tensorflow as tf
    import tensorflow_datasets as tfds

    config = tfds.ReadConfig(interleave_cycle_length=1, try_autocache=False)
    unreadable = tf.errors.OpError
    found = 0
    try:
        read = builder.as_dataset(split=split, read_config=config, decoders=how.decoders)
        for example in tfds.as_numpy(read):
            found += 1
            yield example
    except unreadable:
        found = -1
    if found != builder.info.splits[split].num_examples:
        raise InputError(
            f"{_damage(builder, split, how.unit)}: delete the dataset and run the stage dataset "
            "again"
        )


def _damage(builder: Any, split: str, unit: str) -> str:
    """Names the file of a split that cannot be read to its end."""
    import tensorflow as tf

    info = builder.info.splits[split]
    for path, length in zip(info.filepaths, info.shard_lengths, strict=True):
        if not Path(path).is_file():
            return f"{path} is missing"
        try:
            found = sum(1 for _ in tf.data.TFRecordDataset(str(path)))
        except tf.errors.OpError:
            return f"{path} is damaged"
        if found != length:
            return f"{path} is damaged ({found} {unit} in place of {length})"
    return f"the split {split} in {builder.data_dir} is damaged"
