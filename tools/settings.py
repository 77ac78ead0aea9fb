"""Print every setting of a study: make settings [PARAMS=...]."""

from __future__ import annotations

import yaml

from study import cli
from study.loading import load_params, merged


def main() -> None:
    options = cli.tool_parser(__doc__)
    file = options.parse_args().params
    load_params(file)  # what is wrong is told, not printed
    print(yaml.safe_dump(merged(file), sort_keys=False, default_flow_style=None, width=100), end="")


if __name__ == "__main__":
    cli.run(main)
