"""Use trained encoders and results: shuffle-to-learn COMMAND --help says what a command takes.

The same programs are python -m tools.NAME in a clone. Settings are those of params.yaml in the
folder that this is called in; --params or the environment variable PARAMS names another file.
"""

from __future__ import annotations

import argparse
import ast
import sys
from importlib import import_module
from pathlib import Path

from study import cli

COMMANDS = {
    "embed": "embed_files",
    "reorder": "reorder",
    "compare": "compare",
    "check": "check",
    "estimate": "estimate",
    "settings": "settings",
    "browse": "browse",
}
"""What each command is called, and its module in tools."""


def about(module: str) -> str:
    """The first sentence of a tool's docstring, read without loading what the tool needs."""
    source = Path(__file__).with_name(f"{module}.py").read_text(encoding="utf-8")
    first = (ast.get_docstring(ast.parse(source)) or "").partition("\n")[0]
    return first.partition(": ")[0].rstrip(".")


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(
        prog="shuffle-to-learn",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    commands = parser.add_subparsers(dest="command", metavar="COMMAND", required=True)
    for name, module in COMMANDS.items():
        commands.add_parser(name, help=about(module), add_help=False)
    words = sys.argv[1:] if arguments is None else arguments
    command = parser.parse_args(words[:1]).command
    sys.argv = [f"{parser.prog} {command}", *words[1:]]  # its usage names the command
    import_module(f"tools.{COMMANDS[command]}").main()


if __name__ == "__main__":
    cli.run(main)
