"""Print every setting of a study, those of its preset and of what it starts from: make settings."""

from __future__ import annotations

import argparse
import os

import yaml

from study import cli
from study.loading import load_params, merged


def main() -> None:
    argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    ).parse_args()
    file = os.environ.get("PARAMS", "params.yaml")
    load_params(file)  # what is wrong is told, not printed
    print(yaml.safe_dump(merged(file), sort_keys=False, default_flow_style=None, width=100), end="")


if __name__ == "__main__":
    cli.run(main)
