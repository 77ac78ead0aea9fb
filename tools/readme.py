"""Put the tables and verdicts of a finished study into README.md: python -m tools.readme.

Reads the results of params.yaml (or PARAMS) and writes what is between the two marks in README.md
anew, and the figures that it shows to docs/images.
"""

from __future__ import annotations

import argparse
import math
import os
import re
import shutil
from pathlib import Path

from study import cli
from study.errors import InputError
from study.files import need, read_table, write_text
from study.loading import load_params
from study.names import MODALITIES, dataset_label
from study.outputs import TABLES
from study.params import Params

ROOT = Path(__file__).parent.parent
START, END = "<!-- results: python -m tools.readme -->", "<!-- end of results -->"
# What a first reader wants; all others are on the page.
SHOWN = ("table1", "table2", "tablea1", "table3", "table4")
# The figure that follows a table.
FIGURES = {"table1": "figure3", "table2": "figure4", "table3": "video-frames"}


def results(params: Params) -> str:
    """The tables without their captions, and the verdicts, in Markdown."""
    parts = []
    for plan in sorted(TABLES, key=lambda plan: (*SHOWN, plan.name).index(plan.name)):
        if plan.name not in SHOWN or plan.modality not in params.studies:
            continue
        dataset = dataset_label(params.study(plan.modality).dataset)
        path = need(params.layout.table(plan.name, "md"), "tables")
        caption, _, table = path.read_text(encoding="utf-8").partition("\n\n")
        counts = re.search(r"with ([\d and]+) labelled examples", caption)
        of = f" {counts[1]} labelled examples." if counts else ""
        parts += [f"**{plan.title}. {MODALITIES[plan.modality]}, {dataset}.**{of}", table.strip()]
        if name := FIGURES.get(plan.name):
            parts.append(f"![{name}](docs/images/{name}.png)")
    claims = read_table(params.layout.claims, "claims")
    rows = ["| Claim of the paper | Verdict here | Effect |", "|---|---|---|"]
    for row in claims.itertuples():
        effect = ""
        if not math.isnan(row.effect):
            effect = f"{row.effect:+.3f} [{row.ci_low:+.3f}, {row.ci_high:+.3f}]"
        rows.append(f"| {row.statement} | {str(row.verdict).replace('_', ' ')} | {effect} |")
    return "\n\n".join([*parts, "\n".join(rows)])


def replaced(text: str, new: str) -> str:
    """The text with what is between the marks replaced."""
    head, start, rest = text.partition(START)
    _, end, tail = rest.partition(END)
    if not (start and end):
        raise InputError(f"README.md has not the marks {START} and {END}")
    return f"{head}{START}\n\n{new}\n\n{END}{tail}"


def main() -> None:
    argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    ).parse_args()
    params = load_params(os.environ.get("PARAMS", "params.yaml"))
    readme = ROOT / "README.md"
    text = replaced(readme.read_text(encoding="utf-8"), results(params))
    for plan in TABLES:
        if (name := FIGURES.get(plan.name)) and plan.modality in params.studies:
            figure = need(params.layout.figure(name, "png"), "figures")
            shutil.copyfile(figure, ROOT / "docs/images" / f"{name}.png")
    write_text(readme, text)


if __name__ == "__main__":
    cli.run(main)
