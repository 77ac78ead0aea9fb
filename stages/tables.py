"""The paper's tables of methods: Table 1 (audio), Table 3 (video) and Table 4 (images).

Reads results/scores.csv and results/pretext.csv, and writes to results/tables, for each modality
that the params file has, table1, table3 or table4:

  .csv   tidy: one row a view, method and measure, with mean, 95 % interval, the paired difference
         from the best, and the marks
  .md    for a README
  .tex   for a paper: \\input it; needs the package booktabs
  .html  a fragment, which the page shows

Where the paper's example count is not among the params file's, the nearest one stands in, and the
caption says so. Intervals: shuffle_to_learn/statistics.py.
"""

from __future__ import annotations

import re
import textwrap
from collections.abc import Sequence
from typing import Any

import pandas as pd

from shuffle_to_learn.statistics import compare
from shuffle_to_learn.views import View
from stages.common import parser, run, write_csv, write_text
from stages.gathered import nearest, read_pretext, read_scores, tables_by_method
from stages.params import Params, load_params
from stages.style import (
    MEASURES,
    MODALITIES,
    TABLES,
    caution,
    count,
    dataset_label,
    looks,
    render,
    view_label,
)

COLUMNS = [
    "view",
    "method",
    "task",
    "metric",
    "n_examples",
    "mean",
    "ci_low",
    "ci_high",
    "difference",
    "difference_low",
    "difference_high",
    "n_seeds",
    "n_replicates",
    "best",
    "indistinguishable",
]


def shown(params: Params, modality: str) -> list[int]:
    """The example counts of the table of a modality: the paper's, or the nearest that were run."""
    run = params.study(modality).downstream.n_examples
    return list(dict.fromkeys(nearest(run, wanted) for wanted in TABLES[modality].examples))


def measures(params: Params, modality: str) -> list[tuple[str, str, int | None]]:
    """The (task, metric, examples) that are the columns of the table; a pretext has no examples."""
    study = params.study(modality)
    columns: list[tuple[str, str, int | None]] = [
        (task, metric, examples)
        for task in study.metrics
        if task in study.downstream.tasks
        for metric in study.metrics[task]
        for examples in shown(params, modality)
    ]
    return [*columns, ("pretext", "partial_ranks", None)]


def summarise(
    params: Params, modality: str, scores: pd.DataFrame, pretext: pd.DataFrame
) -> pd.DataFrame:
    """The tidy table."""
    study = params.study(modality)
    rows: list[dict[str, Any]] = []
    for view in study.views:
        for task, metric, examples in measures(params, modality):
            own: dict[str, Any] = {"modality": modality, "view": view, "metric": metric}
            if task == "pretext":
                tables = tables_by_method(pretext, looks(study.methods), **own)
            else:
                own |= {"task": task, "n_examples": examples}
                tables = tables_by_method(scores, looks(study.methods), **own)
            better = MEASURES[task, metric].higher_is_better
            for method, result in compare(tables, higher_is_better=better).items():
                seeds, replicates = tables[method].shape
                values = (
                    *(view, method, task, metric, examples),
                    *result.score,
                    *result.difference,
                    *(seeds, replicates, result.best, result.indistinguishable),
                )
                rows.append(dict(zip(COLUMNS, values, strict=True)))
    table = pd.DataFrame(rows, columns=COLUMNS).astype({"n_examples": "Int64"})
    # More digits than the data have would only differ from one machine to another.
    return table.round(8)


def caption(params: Params, modality: str) -> list[str]:
    """What the table shows and how to read it, as sentences in groups."""
    study = params.study(modality)
    down, seeds = study.downstream, len(study.seeds)
    layers = len(down.hidden) + 1
    probe = "a linear classifier" if layers == 1 else f"a {layers}-layer MLP"
    what = f"{MODALITIES[modality]}, {dataset_label(study.dataset)}: frozen embeddings scored by"
    examples = _and(shown(params, modality))
    what += f" {probe} with {examples} labelled examples on the {down.evaluate_on} split."
    what += _stand_ins(down.n_examples, TABLES[modality].examples)
    shown_measures = [MEASURES[task, metric] for task, metric, _ in measures(params, modality)]
    units = {m.label: m.unit for m in shown_measures if m.unit}
    what += "".join(f" {label} is in {unit}." for label, unit in units.items())
    if any("auc" in study.metrics[task] for task in down.tasks):
        what += (
            " Mean AUC: the area under the ROC curve, averaged over the categories that some inputs"
            " of the split have and some have not (chance: 0.5)."
        )
    chances = dict.fromkeys(f"{1 / View.parse(view).patches:.3f}" for view in study.views)
    what += (
        " Partial ranks: the share of patches put in their right place on held-out inputs, the"
        f" pretext task (chance: {', '.join(chances)})."
    )
    if "fixed_permutations" in study.methods:
        orders = study.method.fixed_permutations.permutations
        what += (
            f" Fixed permutations have theirs on their own {orders} orders, the others on all that"
            " there are: an easier task, not a better answer."
        )
    how = (
        f"Mean over {count(seeds, 'upstream seed')} and {count(down.replicates, 'draw')} of"
        " examples (partial ranks: seeds alone), with a 95 % bootstrap interval over both. Bold:"
        " best mean of its column. †: not told apart from the best, as the interval of the paired"
        " difference holds 0."
    )
    return [what, how, caution(seeds)]


def _stand_ins(run: Sequence[int], wanted: Sequence[int]) -> str:
    """What stands in for those of the paper's counts that were not run, as a sentence."""
    missing = [n for n in wanted if n not in run]
    if not missing:
        return ""
    near = list(dict.fromkeys(nearest(run, n) for n in missing))
    paper = "count" if len(missing) == 1 else "counts"
    were, are = "was" if len(missing) == 1 else "were", "is" if len(near) == 1 else "are"
    return (
        f" The paper's {paper} of {_and(missing)} examples {were} not run; {_and(near)} {are} the"
        f" nearest that {'was' if len(near) == 1 else 'were'}."
    )


def _and(numbers: Sequence[int]) -> str:
    return " and ".join(map(str, numbers))


def cells(table: pd.DataFrame) -> list[dict[str, Any]]:
    """One block a view: its name, column labels, and rows of formatted cells."""
    blocks = []
    several = table.groupby(["task", "metric"])["n_examples"].nunique().max() > 1
    for view, rows in table.groupby("view", sort=False):
        by_key = {(row.method, _column(row)): row for row in rows.itertuples()}
        columns = list(dict.fromkeys(column for _, column in by_key))
        methods = looks(list(dict.fromkeys(rows["method"])))
        blocks.append(
            {
                "view": view_label(str(view)),
                "columns": [_heading(*column, several) for column in columns],
                "rows": [
                    {
                        "label": look.label,
                        "cells": [_cell(by_key[method, column]) for column in columns],
                    }
                    for method, look in methods.items()
                ],
            }
        )
    return blocks


def _column(row: Any) -> tuple[str, str, int | None]:
    return row.task, row.metric, None if pd.isna(row.n_examples) else int(row.n_examples)


def _heading(task: str, metric: str, examples: int | None, several: bool) -> dict[str, str]:
    measure = MEASURES[task, metric]
    note = f", {examples} examples" if several and examples else ""
    return {"label": measure.label + note, "arrow": "↑" if measure.higher_is_better else "↓"}


def _cell(row: Any) -> dict[str, Any]:
    places = MEASURES[row.task, row.metric].decimals
    known = pd.notna(row.ci_low)
    return {
        "mean": f"{row.mean:.{places}f}",
        "interval": f"[{row.ci_low:.{places}f}, {row.ci_high:.{places}f}]" if known else "",
        "best": bool(row.best),
        "unsure": bool(row.indistinguishable),
    }


def markdown(blocks: list[dict[str, Any]], sentences: list[str], number: int) -> str:
    """The table for a README."""
    lines = [f"**Table {number}.** " + " ".join(filter(None, map(_md, sentences))), ""]
    for block in blocks:
        if len(blocks) > 1:
            lines += [f"*{_md(block['view'])}*", ""]
        heads = [f"{_md(c['label'])} {c['arrow']}" for c in block["columns"]]
        lines.append(f"| Method | {' | '.join(heads)} |")
        lines.append("|---" * (len(heads) + 1) + "|")
        for row in block["rows"]:
            texts = [_md_cell(cell) for cell in row["cells"]]
            lines.append(f"| {_md(row['label'])} | {' | '.join(texts)} |")
        lines.append("")
    return "\n".join(lines)


def _md(text: str) -> str:
    return re.sub(r"([\\`*_{}\[\]<>|#])", r"\\\1", text)


def _md_cell(cell: dict[str, Any]) -> str:
    mean = f"**{cell['mean']}**" if cell["best"] else cell["mean"]
    return f"{mean}{'†' if cell['unsure'] else ''} {cell['interval']}".rstrip()


def latex(blocks: list[dict[str, Any]], sentences: list[str], number: int) -> str:
    """The table for a paper: one floating table, whose blocks are the views."""
    width = len(blocks[0]["columns"])
    text = " ".join(filter(None, map(_tex, sentences)))
    lines = [
        "% Made by the stage tables. Needs \\usepackage{booktabs}.",
        "\\begin{table}",
        "\\centering",
        f"\\caption{{{text}}}",
        f"\\label{{tab:table{number}}}",
        "\\smallskip",
        "\\small",
        "\\setlength{\\tabcolsep}{3pt}",
        f"\\begin{{tabular}}{{@{{}}l{'c' * width}@{{}}}}",
        "\\toprule",
    ]
    for i, block in enumerate(blocks):
        if i:
            lines.append("\\midrule")
        if len(blocks) > 1:
            lines.append(f"\\multicolumn{{{width + 1}}}{{@{{}}l}}{{{_tex(block['view'])}}} \\\\")
        first, second = zip(*(_split(column) for column in block["columns"]), strict=True)
        lines.append(f" & {' & '.join(first)} \\\\")
        lines.append(f"Method & {' & '.join(second)} \\\\")
        lines.append("\\midrule")
        for row in block["rows"]:
            means = [_tex_mean(cell) for cell in row["cells"]]
            name = textwrap.wrap(row["label"], 18, break_on_hyphens=False, break_long_words=False)
            lines.append(f"{_tex(name[0])} & {' & '.join(means)} \\\\")
            below = [f"\\scriptsize {cell['interval']}".rstrip() for cell in row["cells"]]
            lines.append(f"{_tex(' '.join(name[1:]))} & {' & '.join(below)} \\\\")
    lines += ["\\bottomrule", "\\end{tabular}", "\\end{table}", ""]
    return "\n".join(lines)


def _split(column: dict[str, str]) -> tuple[str, str]:
    """A column's heading on two lines."""
    label = column["label"]
    first, _, second = label.partition(", " if ", " in label else " ")
    arrow = "$\\uparrow$" if column["arrow"] == "↑" else "$\\downarrow$"
    return _tex(first), f"{_tex(second)} {arrow}".strip()


def _tex_mean(cell: dict[str, Any]) -> str:
    mean = f"\\textbf{{{cell['mean']}}}" if cell["best"] else cell["mean"]
    # Of no width, so that marks do not shift the figures of a column.
    return mean + ("\\rlap{$^\\dagger$}" if cell["unsure"] else "")


TEX = {
    "\\": r"\textbackslash{}",
    "{": r"\{",
    "}": r"\}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "†": r"$^\dagger$",
    "²": r"$^2$",
} | {c: f"\\{c}" for c in "&%$#_"}


def _tex(text: str) -> str:
    return "".join(TEX.get(c, c) for c in text)


def html(blocks: list[dict[str, Any]], sentences: list[str], number: int) -> str:
    """The fragment for the page."""
    sentences = list(filter(None, sentences))
    return render("table.html.j2", blocks=blocks, sentences=sentences, number=number)


def main(arguments: list[str] | None = None) -> None:
    params = load_params(parser(__doc__).parse_args(arguments).params)
    scores, pretext = read_scores(params), read_pretext(params)
    for modality in params.studies:
        plan = TABLES[modality]
        table = summarise(params, modality, scores, pretext)
        shown = cells(table), caption(params, modality), plan.number
        write_csv(params.layout.table(plan.name, "csv"), table)
        for suffix, form in (("md", markdown), ("tex", latex), ("html", html)):
            write_text(params.layout.table(plan.name, suffix), form(*shown))


if __name__ == "__main__":
    run(main)
