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

from shuffle_to_learn import public
from stages import common
from stages.errors import InputError
from stages.paths import Paths
from stages.sources import Source, read_examples

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


def own_labels(example: dict) -> dict:
    """The labels of a file of your own: a text a column, as labels.csv has them."""
    import json

    return {
        **json.loads(example["labels"]),
        "id": example["id"].decode(),
        "labelled": bool(example["labelled"]),
    }


def extract(
    source: Source, splits: tuple[str, ...], how: Extraction, *, threads: int, layout: Paths
) -> None:
    """Write the features and labels of these splits, and what was rejected, all or none.

    Raises:
        InputError: where a split is damaged, or too many of its examples are.
    """
    import pandas as pd

    # joblib's word about the rest of its work, after an error of ours.
    warnings.filterwarnings("ignore", message=".*tasks have been successfully executed")
    dataset, rejected, total = source.name, [], 0
    with ExitStack() as outputs:
        for split in splits:
            features, labels = (
                outputs.enter_context(common.atomic(path(dataset, split)))
                for path in (layout.features, layout.labels)
            )
            try:
                own, count = _split(source, split, how, threads, features, labels)
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
            total += count
        table = pd.DataFrame(rejected, columns=["split", "id", "reason"])
        table.to_csv(outputs.enter_context(common.atomic(layout.rejected(dataset))), index=False)
    print(
        f"{dataset}: features of {total - len(rejected)} of {total} {how.unit}; "
        f"rejected: {len(rejected)}" + (f", see {layout.rejected(dataset)}" if rejected else ""),
        file=sys.stderr,
    )


def _split(
    source: Source, split: str, how: Extraction, threads: int, features: Path, labels: Path
) -> tuple[list[dict], int]:
    """Write one split; what was rejected and why, and of how many examples."""
    import numpy as np
    import pandas as pd
    from joblib import Parallel, delayed

    examples = _examples(source, split, how)
    rows: list[dict] = []
    work = delayed(how.transform)

    def results() -> Iterator[Any]:
        # A chunk at a time, since Parallel does not wait for whoever takes its results. Processes,
        # since librosa holds the interpreter for half of the time; they do not load TensorFlow.
        with Parallel(
            threads, return_as="generator", pre_dispatch="4*n_jobs", batch_size=16, max_nbytes=None
        ) as parallel:
            while chunk := list(islice(examples, CHUNK * threads)):
                rows.extend(
                    how.labels(example) | dict.fromkeys(untold) for example, untold in chunk
                )
                yield from parallel(work(how.content(example)) for example, _ in chunk)

    count = source.expected(split)
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
    return rejected, len(rows)


def _examples(
    source: Source, split: str, how: Extraction
) -> Iterator[tuple[dict, tuple[str, ...]]]:
    """A split's examples as numpy arrays, in the order of its files, and the labels left out."""
    for builder, part in source.parts[split]:
        for example in read_examples(builder, part.split, how.unit, how.decoders):
            drawn = (part.low, part.high) != (0.0, 1.0)
            if drawn:
                at = public.place(example[public.IDS[part.dataset]], source.seed)
            if not drawn or part.low <= at < part.high:
                yield example, part.untold
