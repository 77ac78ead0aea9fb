"""Where the examples of a dataset are, and reading them in order."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

from shuffle_to_learn.datasets import public
from shuffle_to_learn.datasets.public import Part
from study.errors import InputError
from study.files import read_json, reading


class Shard(NamedTuple):
    """One of equal parts of a dataset, which follow one another in the order of its files."""

    number: int
    count: int


class Source(NamedTuple):
    """Where the examples of each split are.

    Attributes:
        name: of the dataset.
        parts: of each split the TFDS builders, with the part of their examples that is in it.
        seed: of the draw by ids.
    """

    name: str
    parts: dict[str, list[tuple[Any, Part]]]
    seed: int

    @property
    def builder(self) -> Any:
        """The builder of the labelled inputs."""
        return self.parts["train"][0][0]

    def ranges(self, split: str, shard: Shard) -> Iterator[tuple[Any, Part, range]]:
        """The range of each part's examples that a shard has; the shards in turn are the split."""
        counts = [b.info.splits[part.split].num_examples for b, part in self.parts[split]]
        first, last = (
            sum(counts) * number // shard.count for number in (shard.number, shard.number + 1)
        )
        for (builder, part), count in zip(self.parts[split], counts, strict=True):
            found = range(min(max(first, 0), count), min(max(last, 0), count))
            if found:
                yield builder, part, found
            first, last = first - count, last - count

    def expected(self, split: str, shard: Shard) -> int:
        """About how many examples a shard of a split has; exactly, where none is drawn."""
        found = self.ranges(split, shard)
        return round(sum(len(rows) * (part.high - part.low) for _, part, rows in found))

    def examples(
        self, split: str, shard: Shard, unit: str, decoders: Any = None
    ) -> Iterator[tuple[dict, tuple[str, ...]]]:
        """The examples in a shard of a split, in the order of the files, and labels left out."""
        for builder, part, rows in self.ranges(split, shard):
            for example in read_examples(builder, part.split, unit, decoders, rows):
                drawn = (part.low, part.high) != (0.0, 1.0)
                if drawn:
                    at = public.place(example[public.IDS[part.dataset]], self.seed)
                if not drawn or part.low <= at < part.high:
                    yield example, part.untold


VERSION = re.compile(r"\d+\.\d+\.\d+")
POINTER = "public.json"
"""In the folder of a public dataset: where TFDS has it, and what is drawn from it."""


def open_dataset(folder: Path, dataset: str, splits: tuple[str, ...]) -> Source:
    """The dataset in a folder that the stage dataset wrote, which has to have these splits."""
    if (folder / POINTER).is_file():
        pointer = read_json(folder / POINTER, "dataset")
        parts = public.SPLITS[dataset](pointer["held_out_share"])
        builders = {
            name: open_prepared(folder, Path(pointer["data_dir"]), name)
            for name in {part.dataset for drawn in parts.values() for part in drawn}
        }
        found = {split: [(builders[p.dataset], p) for p in parts[split]] for split in splits}
        return Source(dataset, found, pointer["seed"])
    builder = _open(folder, "delete it and run the stage dataset")
    with reading(folder, "dataset"):
        if missing := [split for split in splits if split not in builder.info.splits]:
            raise ValueError(f"no split {missing[0]}")
    return Source(dataset, {s: [(builder, Part(dataset, s))] for s in splits}, 0)


def open_prepared(folder: Path, data_dir: Path, name: str) -> Any:
    """The newest version of a public dataset that TFDS prepared, or that the stage dataset did."""
    if (folder / name).is_dir():
        return _open(folder, "run the stage dataset again")
    infos = data_dir.expanduser().glob(f"{name}/*/dataset_info.json")
    # TFDS leaves folders called incomplete.XXXX_1.0.0 behind where it was broken off.
    numbered = [path for path in infos if VERSION.fullmatch(path.parent.name)]
    versions = sorted(numbered, key=lambda path: [int(n) for n in path.parent.name.split(".")])
    how = public.PREPARE[name].format(data_dir, data_dir)
    if not versions:
        raise InputError(f"{data_dir / name} holds no dataset that TFDS prepared: {how}")
    return _open(versions[-1].parent, how)


def _open(folder: Path, otherwise: str) -> Any:
    import tensorflow_datasets as tfds
    from absl import logging

    logging.set_verbosity(logging.FATAL)
    infos = sorted(folder.glob("**/dataset_info.json"))
    if len(infos) != 1:
        raise InputError(f"{folder} does not hold one dataset_info.json: {otherwise}")
    with reading(infos[0].parent, "dataset"):
        return tfds.builder_from_directory(infos[0].parent)


def read_examples(
    builder: Any, split: str, unit: str, decoders: Any = None, rows: range | None = None
) -> Iterator[dict]:
    """The examples of a split of TFDS, or a range of them, in the order of its files.

    Raises:
        InputError: where a file is damaged.
    """
    import tensorflow as tf
    import tensorflow_datasets as tfds

    config = tfds.ReadConfig(interleave_cycle_length=1, try_autocache=False)
    unreadable = tf.errors.OpError
    found = 0
    expected = builder.info.splits[split].num_examples
    wanted = split
    if rows is not None and len(rows) != expected:
        wanted, expected = f"{split}[{rows.start}:{rows.stop}]", len(rows)
    try:
        read = builder.as_dataset(split=wanted, read_config=config, decoders=decoders)
        for example in tfds.as_numpy(read):
            found += 1
            yield example
    except unreadable:
        found = -1
    if found != expected:
        raise InputError(
            f"{_damage(builder, split, unit)}: delete the dataset and run the stage dataset again"
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
