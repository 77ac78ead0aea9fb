"""Print every setting of a study: make settings [PARAMS=...]."""

from __future__ import annotations

import os
from pathlib import Path

import yaml

from study import cli
from study.loading import load_params, merged


def main() -> None:
    options = cli.parser(__doc__)
    options.set_defaults(params=Path(os.environ.get("PARAMS", "params.yaml")))
    file = options.parse_args().params
    load_params(file)  # what is wrong is told, not printed
    print(yaml.safe_dump(merged(file), sort_keys=False, default_flow_style=None, width=100), end="")


if __name__ == "__main__":
    cli.run(main)
