"""Say what a study would do with its data, before anything is run: make check PARAMS=my.yaml.

It reads names, headers and labels of a folder of your own, and says what a study would do with
them: files by kind, sample rates and lengths, what is left out and why, the labels of each split.
It says of every study how many jobs there are, and roughly how long they take and how much disk.
Ends with what is to be mended, if anything is, and exit status 1. Makes no features and no network.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np
import pandas as pd

from shuffle_to_learn.datasets import folder as library
from study import cli, exported
from study.announce import summary
from study.datasets import listing
from study.datasets.folder import Found, listed, look
from study.errors import InputError
from study.loading import load_params
from study.params import Params, Study

NAMED = 5  # files left out that are named
CLASSES = 20  # that are counted one by one


def counted(names: Iterable[str]) -> str:
    """How often each name is there: ``.wav 12, .mp3 3``."""
    return ", ".join(f"{name} {count:,}" for name, count in Counter(names).most_common())


def recordings(found: Found, seconds: float) -> Iterator[str]:
    """The sample rates of recordings, and their lengths, as far as they can be decoded."""
    if found.lengths:
        rates, lengths = zip(*found.lengths.values(), strict=True)
        low, middle, high = np.quantile(lengths, [0, 0.5, 1])
        yield f"sample rates: {counted(f'{rate} Hz' for rate in rates)}"
        yield f"lengths: {low:.2f} to {high:.2f} s, half of them below {middle:.2f} s"
    kept = sum(not item.reason for item in found.items)
    yield f"windows of {seconds:g} s: {kept:,}"


def labels(study: Study, tables: dict[str, pd.DataFrame]) -> Iterator[str]:
    """The labels of each task in each split."""
    for task, (metric, *_) in study.metrics.items():
        told = {
            split: table[task].fillna("").str.strip().loc[lambda texts: texts != ""]
            for split, table in tables.items()
            if task in table
        }
        if not told:
            continue
        sizes = ", ".join(f"{len(texts):,} in {split}" for split, texts in told.items())
        yield f"{task}: {sizes}"
        if metric == "mse":
            continue
        if metric == "auc":
            told = {split: texts.str.split(r"\s*;\s*").explode() for split, texts in told.items()}
        counts = pd.DataFrame({split: texts.value_counts() for split, texts in told.items()})
        counts = counts.fillna(0).astype(int).rename_axis(None)
        counts = counts.loc[counts.sum(axis=1).sort_values(ascending=False, kind="stable").index]
        yield from (f"  {line}" for line in counts[:CLASSES].to_string().splitlines())
        if len(counts) > CLASSES:
            yield f"  and {len(counts) - CLASSES} more"


def report(params: Params, found: Found) -> Iterator[str]:
    """What a folder holds, a line each."""
    study = params.study(found.modality)
    files = list(dict.fromkeys(item.file for item in found.items))
    kinds = counted(Path(file).suffix.lower() for file in files)
    yield f"{found.folder}: {len(files):,} files ({kinds}), {len(found.labels):,} with labels"
    if found.modality == "audio":
        assert params.folder is not None
        yield from recordings(found, params.folder.seconds)
    yield f"splits: {counted(item.split for item in found.items if not item.reason)}"
    bad = [item for item in found.items if item.reason]
    yield f"left out: {len(bad):,}"
    yield from (f"  {item.id}: {item.reason}" for item in bad[:NAMED])
    if len(bad) > NAMED:
        yield f"  and {len(bad) - NAMED:,} more"
    yield from labels(study, found.tables())
    yield from found.remarks(study)


def main(arguments: list[str] | None = None) -> None:
    options = cli.tool_parser(__doc__)
    args = options.parse_args(arguments)
    params = load_params(args.params)
    wrong = exported.faults(params)
    if any(study.dataset == "folder" for study in params.studies.values()):
        listing.refresh(params)
        with library.workers(os.cpu_count() or 1) as pool:
            found = look(params, pool)
        print("\n".join(report(params, found)), flush=True)
        wrong += found.faults(params)
    print(summary(params, args.params), flush=True)
    if wrong:
        raise InputError(listed(wrong))


if __name__ == "__main__":
    cli.run(main)
