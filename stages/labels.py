"""Put the labels of a folder of your own beside the features.

Reads the lists of the stage listing, the manifest and the ids of the features. Writes, below the
data folder of the params file, for each split

  folder/features/<split>.parquet   id, labelled (whether there are labels) and a column a label
"""

from __future__ import annotations

from contextlib import ExitStack

from study import cli
from study.datasets import listing
from study.files import atomic, read_table


def main(arguments: list[str] | None = None) -> None:
    _, params = cli.open_stage(__doc__, arguments=arguments)
    _, study = params.of_dataset("folder")
    layout = params.layout
    manifest = read_table(layout.manifest("folder"), "dataset")
    files = dict(zip(manifest["id"], manifest["file"], strict=True))
    given = listing.read(params).labels.set_index("file")
    with ExitStack() as outputs:  # all splits or none
        for split in study.splits:
            table = read_table(layout.ids("folder", split), "join")
            own = table["id"].map(files)
            table["labelled"] = own.isin(given.index)
            table = table.join(given.reindex(own).set_axis(table.index))
            path = outputs.enter_context(atomic(layout.labels("folder", split)))
            table.to_parquet(path, index=False)


if __name__ == "__main__":
    cli.run(main)
