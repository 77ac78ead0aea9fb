"""List what a folder of your own holds. Snakemake lists it at each start, DVC by this stage.

Reads the names and contents of the folder's files and its labels.csv. Writes, below the data folder
of the params file,

  folder/files.csv    each file with its split and a digest of its content
  folder/labels.csv   the labels of each file that has some, in one form
"""

from __future__ import annotations

from study import cli
from study.datasets.listing import refresh


def main(arguments: list[str] | None = None) -> None:
    _, params = cli.open_stage(__doc__, arguments=arguments)
    refresh(params)


if __name__ == "__main__":
    cli.run(main)
