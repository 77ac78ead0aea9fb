"""Join the shards of a dataset's features.

Reads what the stages spectrograms, frames or pictures wrote, a shard each. Writes, below the data
folder of the params file, for each split,

  <dataset>/features/<split>.npy       the features of all shards, one after the other
  <dataset>/features/<split>.parquet   the labels, a row an input; of a folder of your own the ids
                                       alone, as <split>-ids.parquet
  <dataset>/features/rejected.csv      the inputs left out (damaged, too short, ...) and why

Stops where more inputs of a split are left out than the params file allows (max_rejected). Removes
shards that the params file does not have any more.
"""

from __future__ import annotations

import shutil
import sys
from contextlib import ExitStack
from pathlib import Path

import pandas as pd

from study import cli
from study.errors import InputError
from study.files import atomic, check_disk, growing_array, need, read_array, read_table, reading
from study.params import Study

CHUNK = 1024  # inputs in memory at a time: of the default pictures 48 MiB


def main(arguments: list[str] | None = None) -> None:
    args, params = cli.open_stage(__doc__, "dataset", arguments=arguments)
    _, study = params.of_dataset(args.dataset)
    layout = params.layout

    def shards(file: str) -> list[Path]:
        paths = [layout.shard(args.dataset, number, file) for number in study.shards]
        return [need(path, study.extraction) for path in paths]

    listed = []
    for path in shards("rejected.csv"):
        with reading(path, study.extraction):  # an id of digits stays as it is
            listed.append(pd.read_csv(path, dtype=str, keep_default_na=False))
    found = pd.concat(listed)
    rejected = pd.concat([found[found["split"] == split] for split in study.splits])
    kept = 0
    arrays = [path for split in study.splits for path in shards(f"{split}.npy")]
    size = sum(path.stat().st_size for path in arrays)
    check_disk(layout.rejected(args.dataset).parent, size, f"{args.dataset}: features")
    with ExitStack() as outputs:  # all splits or none
        for split in study.splits:
            features, labels = (
                outputs.enter_context(atomic(path(args.dataset, split)))
                for path in (layout.features, layout.ids)
            )
            rows = _join_labels(shards(f"{split}.parquet"), labels, study)
            kept += rows
            _check(split, rows, rejected[rejected["split"] == split], study)
            _join_features(shards(f"{split}.npy"), features, study)
        path = layout.rejected(args.dataset)
        rejected.to_csv(outputs.enter_context(atomic(path)), index=False)
    current = {str(number) for number in study.shards}
    for folder in layout.shards(args.dataset).iterdir():
        if folder.name not in current:
            shutil.rmtree(folder)
    print(
        f"{args.dataset}: features of {kept} of {kept + len(rejected)} {study.unit}; "
        f"rejected: {len(rejected)}" + (f", see {path}" if len(rejected) else ""),
        file=sys.stderr,
    )


def _check(split: str, kept: int, rejected: pd.DataFrame, study: Study) -> None:
    """Refuse a split of which too much was left out."""
    left_out, count = len(rejected), kept + len(rejected)
    allowed = study.max_rejected
    if left_out and (left_out / count > allowed or not kept):
        share = f"{100 * allowed:g}% may be" if allowed else "none may be"
        raise InputError(
            f"{split}: {left_out} of {count} {study.unit} cannot be used, {share} "
            f"(max_rejected); the first is {rejected['id'].iloc[0]}: {rejected['reason'].iloc[0]}"
        )


def _join_labels(parts: list[Path], path: Path, study: Study) -> int:
    """Write the labels of all shards; how many rows there are."""
    tables = [read_table(part, study.extraction) for part in parts]
    # A label that is unknown in a whole shard has no type there.
    known = [table.dropna(axis="columns", how="all") for table in tables if len(table)]
    columns = dict.fromkeys(column for table in tables for column in table.columns)
    joined = pd.concat(known, ignore_index=True) if known else tables[0]
    joined.reindex(columns=list(columns)).to_parquet(path, index=False)
    return sum(map(len, tables))


def _join_features(parts: list[Path], path: Path, study: Study) -> None:
    """Write the features of all shards."""
    arrays = [read_array(part, study.extraction) for part in parts]
    for part, array in zip(parts, arrays, strict=True):
        if array.shape[1:] != study.shape:
            raise InputError(
                f"{part} holds {study.unit} of {array.shape[1:]}, the params file asks for "
                f"{study.shape}: run the stage {study.extraction} again"
            )
    with growing_array(path, arrays[0].dtype.str, study.shape) as add:
        for part, array in zip(parts, arrays, strict=True):
            for start in range(0, len(array), CHUNK):  # mapped anew: what was read is let go
                add(read_array(part, study.extraction)[start : start + CHUNK])


if __name__ == "__main__":
    cli.run(main)
