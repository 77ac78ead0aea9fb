"""Where the examples of a dataset are, and reading a part of them in order."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

from shuffle_to_learn.datasets import public
from shuffle_to_learn.datasets.public import Part
from study import records
from study.errors import InputError
from study.files import read_json, reading
from study.records import Chunk, DamagedError, Example


class Shard(NamedTuple):
    """One of equal parts of a dataset, which follow one another in the order of its files."""

    number: int
    shards: int


class Prepared(NamedTuple):
    """A dataset that TFDS wrote.

    Attributes:
        folder: its files.
        splits: TFDS's knowledge of each split: the files, and how many examples each has.
        features: what an example is, as TFDS's ``features.json`` says.
    """

    folder: Path
    splits: Any
    features: dict[str, Any]

    def names(self, feature: str) -> list[str]:
        """The names of a feature's classes (``instrument/label``): numbers, where TFDS has none."""
        path = self.folder / f"{feature.replace('/', '-')}.labels.txt"
        if path.is_file():
            lines = (line.strip() for line in path.read_text(encoding="utf-8").splitlines())
            return [line for line in lines if line]
        found: Any = {"featuresDict": {"features": self.features}}
        for name in feature.split("/"):
            found = found["featuresDict"]["features"][name]
        found = found["sequence"]["feature"] if "sequence" in found else found
        return [str(number) for number in range(int(found["classLabel"]["numClasses"]))]


class Span(NamedTuple):
    """Examples that follow one another in a file: what one process reads at a time.

    Attributes:
        chunk: where they are.
        part: the part of them that belongs to the split.
        seed: of the draw by ids.
    """

    chunk: Chunk
    part: Part
    seed: int

    def examples(self) -> Iterator[tuple[Example, tuple[str, ...]]]:
        """Those that belong to the split, and the labels left out.

        Raises:
            InputError: where the file is damaged, also by what is found out of an example
                while the iterator waits.
        """
        drawn = (self.part.low, self.part.high) != (0.0, 1.0)
        for example in records.read(self.chunk):
            if drawn:
                at = public.place(example[public.IDS[self.part.dataset]], self.seed)
            if not drawn or self.part.low <= at < self.part.high:
                yield example, self.part.untold


class Source(NamedTuple):
    """Where the examples of each split are.

    Attributes:
        name: of the dataset.
        parts: of each split the datasets of TFDS, with the part of their examples that is in it.
        seed: of the draw by ids.
    """

    name: str
    parts: dict[str, list[tuple[Prepared, Part]]]
    seed: int

    @property
    def labelled(self) -> Prepared:
        """The dataset of the labelled inputs."""
        return self.parts["train"][0][0]

    def ranges(self, split: str, shard: Shard) -> Iterator[tuple[Prepared, Part, range]]:
        """The range of each part's examples that a shard has; the shards in turn are the split."""
        counts = [p.splits[part.split].num_examples for p, part in self.parts[split]]
        first, last = (
            sum(counts) * number // shard.shards for number in (shard.number, shard.number + 1)
        )
        for (prepared, part), count in zip(self.parts[split], counts, strict=True):
            found = range(min(max(first, 0), count), min(max(last, 0), count))
            if found:
                yield prepared, part, found
            first, last = first - count, last - count

    def expected(self, split: str, shard: Shard) -> int:
        """About how many examples a shard of a split has; exactly, where none is drawn."""
        found = self.ranges(split, shard)
        return round(sum(len(rows) * (part.high - part.low) for _, part, rows in found))

    def spans(self, split: str, shard: Shard, unit: str, size: int) -> Iterator[Span]:
        """The examples of a shard of a split, ``size`` at most in each span, in the files' order.

        Raises:
            InputError: where a file is missing or damaged.
        """
        for prepared, part, rows in self.ranges(split, shard):
            info = prepared.splits[part.split]
            first = 0
            for path, length in zip(info.filepaths, info.shard_lengths, strict=True):
                own = range(max(rows.start - first, 0), min(rows.stop - first, length))
                first += length
                if own:
                    with whole(Path(path)):
                        for chunk in records.chunks(Path(path), own, length, unit, size):
                            yield Span(chunk, part, self.seed)


@contextmanager
def whole(path: Path) -> Iterator[None]:
    """Tell of a file of a dataset that is missing or damaged by :class:`InputError`."""
    try:
        yield
    except FileNotFoundError:
        problem = "is missing"
    except DamagedError as error:
        problem = f"is damaged {error}".rstrip()
    else:
        return
    raise InputError(f"{path} {problem}: delete the dataset and run the stage dataset again")


VERSION = re.compile(r"\d+\.\d+\.\d+")
POINTER = "public.json"
"""In the folder of a public dataset: where TFDS has it, and what is drawn from it."""


def open_dataset(folder: Path, dataset: str, splits: tuple[str, ...]) -> Source:
    """The dataset in a folder that the stage dataset wrote, which has to have these splits."""
    if (folder / POINTER).is_file():
        pointer = read_json(folder / POINTER, "dataset")
        parts = public.SPLITS[dataset](pointer["held_out_share"])
        datasets = {
            name: open_prepared(folder, Path(pointer["data_dir"]), name)
            for name in {part.dataset for drawn in parts.values() for part in drawn}
        }
        found = {split: [(datasets[p.dataset], p) for p in parts[split]] for split in splits}
        return Source(dataset, found, pointer["seed"])
    prepared = _open(folder, "delete it and run the stage dataset")
    with reading(folder, "dataset"):
        if missing := [split for split in splits if split not in prepared.splits]:
            raise ValueError(f"no split {missing[0]}")
    return Source(dataset, {s: [(prepared, Part(dataset, s))] for s in splits}, 0)


def open_prepared(folder: Path, data_dir: Path, name: str) -> Prepared:
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


def _open(folder: Path, otherwise: str) -> Prepared:
    # TFDS's builder_from_directory imports TensorFlow where a feature is Audio.
    from tensorflow_datasets.core import dataset_info

    infos = sorted(folder.glob("**/dataset_info.json"))
    if len(infos) != 1:
        raise InputError(f"{folder} does not hold one dataset_info.json: {otherwise}")
    folder = infos[0].parent
    with reading(folder, "dataset"):
        info = dataset_info.read_proto_from_builder_dir(folder)
        if info.file_format not in ("", "tfrecord"):
            raise ValueError(f"its files are {info.file_format}, not tfrecord")
        splits = dataset_info.get_split_dict_from_proto(info, folder, "tfrecord")
        features = json.loads((folder / "features.json").read_text(encoding="utf-8"))
        features = features["featuresDict"]["features"]
    return Prepared(folder, splits, features)
