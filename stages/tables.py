"""The paper's tables, and those of other classifiers on the same encoders.

Reads results/scores.csv and results/pretext.csv, and writes to results/tables, of the modalities
that the params file has,

  table1, table5, table6    audio at 1000, 500 and 5000 labelled examples
  table2                    audio, by slicing: slicings of as many patches, in rows
  table3, table4            video and images
  tablea1, a2, a3           each modality, by other classifiers than the study's own

and to results/metrics.json the means of the first table of each modality; and of each table

  .csv   tidy: one row a slicing, method, classifier and measure, with mean, 95 % interval, the
         paired difference from the best of its column, how many seeds agree with it, its
         sign-flip p and Student's p adjusted for the number of methods (Holm), and the marks
  .md    for a README
  .tex   for a paper: \\input it; needs the package booktabs
  .html  a fragment, which the page shows

Where the paper's example count is not among the params file's, the nearest one stands in, and the
caption says so. Intervals: shuffle_to_learn/evaluation/statistics.py.
"""

from __future__ import annotations

import re
import textwrap
from typing import Any, NamedTuple
from urllib.parse import urlencode

import pandas as pd

from shuffle_to_learn.evaluation.statistics import compare
from shuffle_to_learn.slicing import Slicing
from study import cli
from study.files import write_csv, write_json, write_text
from study.names import (
    CLASSIFIERS,
    MODALITIES,
    SUMMARISED,
    caution,
    count,
    dataset_label,
    looks,
    measure_of,
    render,
    slicing_label,
)
from study.outputs import Table, tables
from study.params import Params, Study, orders_patches
from study.paths import WHOLE, slicing_of
from study.results import (
    PRETEXT_METRICS,
    Design,
    design_of,
    end_to_end_name,
    nearest,
    read_pretext,
    read_scores,
    seed_values,
    shared_design,
)

NO_VALUE = "\N{EN DASH}"
COLUMNS = [
    "slicing",
    "method",
    "classifier",
    "task",
    "metric",
    "n_examples",
    "mean",
    "ci_low",
    "ci_high",
    "difference",
    "difference_low",
    "difference_high",
    "agree",
    "sign_flip_p",
    "holm_p",
    "best",
    "indistinguishable",
    "n_seeds",
    "n_replicates",
]


def shown(params: Params, plan: Table) -> list[int]:
    """The example counts of a table: the paper's, or the nearest that all its rows have."""
    study = params.study(plan.modality)
    parts = [design(study, rows) for rows in blocks(study, plan)]
    run = shared_design(parts).counts if parts else []
    return list(dict.fromkeys(nearest(run, wanted) for wanted in plan.examples)) if run else []


def measures(params: Params, plan: Table) -> list[tuple[str, str, int | None]]:
    """The (task, metric, examples) that are the columns of the table; a pretext has no examples."""
    study = params.study(plan.modality)
    columns: list[tuple[str, str, int | None]] = [
        (task, metric, examples)
        for task in study.metrics
        if task in study.downstream.tasks
        for metric in study.metrics[task]
        for examples in shown(params, plan)
    ]
    if plan.blocks != "classifier":
        columns += [("pretext", metric, None) for metric in PRETEXT_METRICS]
    return columns


class Row(NamedTuple):
    """What a row of a table is of."""

    slicing: str
    method: str
    classifier: str


def blocks(study: Study, plan: Table) -> list[list[Row]]:
    """The rows of each block of a table."""
    probe, others = study.downstream.probe, study.downstream.others
    methods, without = list(looks(study.methods)), list(looks(study.compared(WHOLE)[0]))
    if plan.blocks == "slicing":
        shown = [*without, *methods]
        return [[Row(slicing, method, probe) for method in shown] for slicing in study.slicings]
    slicing = study.slicings[0]
    if plan.blocks == "classifier":
        names = [*study.on_layers, *others.probes, "end_to_end"]
        fitted = {
            m: [n for s in study.seeds for n in study.classifiers(slicing_of(m, slicing), m, s)]
            for m in [*without, *methods]
        }
        found = [[Row(slicing, m, name) for m in fitted if name in fitted[m]] for name in names]
        return [rows for rows in found if rows]
    patches = Slicing.parse(slicing).patches
    alike = [other for other in study.all_slicings if Slicing.parse(other).patches == patches]
    run = [m for m in methods if all(m in study.compared(other)[0] for other in alike)]
    return [[Row(other, method, probe) for other in alike] for method in run]


def design(study: Study, rows: list[Row]) -> Design:
    """The seeds, numbers of examples and draws that all these rows have."""
    return shared_design(design_of(study, slicing, classifier) for slicing, _, classifier in rows)


def summarise(
    params: Params, plan: Table, scores: pd.DataFrame, pretext: pd.DataFrame
) -> pd.DataFrame:
    """The tidy table."""
    study = params.study(plan.modality)
    found: list[dict[str, Any]] = []
    for rows in blocks(study, plan):
        run = design(study, rows)
        for task, metric, examples in measures(params, plan):
            values = {}
            for row in rows:
                if task == "pretext" and not orders_patches(row.method):
                    continue  # an empty cell
                fixed: dict[str, Any] = {"modality": plan.modality, "metric": metric}
                fixed |= {"slicing": slicing_of(row.method, row.slicing), "method": row.method}
                if task != "pretext":
                    fixed |= {"classifier": row.classifier, "task": task, "n_examples": examples}
                source = pretext if task == "pretext" else scores
                values[row] = seed_values(source, run, **fixed)
            if not values:
                continue
            better = measure_of(task, metric).higher_is_better
            for row, result in compare(values, higher_is_better=better).items():
                cells = (
                    *(*row, task, metric, examples),
                    *result.score,
                    *result.difference,
                    *result[2:],
                    *values[row].shape,
                )
                found.append(dict(zip(COLUMNS, cells, strict=True)))
    table = pd.DataFrame(found, columns=COLUMNS).astype({"n_examples": "Int64"})
    # More digits than the data have would only differ from one machine to another.
    return table.round(8)


def caption(params: Params, plan: Table) -> list[str]:
    """What the table shows and how to read it, as paragraphs."""
    study = params.study(plan.modality)
    down = study.downstream
    layers = len(down.hidden) + 1 if down.probe == "mlp" else 1
    rows = blocks(study, plan)
    run = [design(study, block) for block in rows]
    least = min((len(part.seeds) for part in run), default=len(study.seeds))
    slicings = [Slicing.parse(row.slicing) for block in rows for row in block]
    shown_measures = [measure_of(task, metric) for task, metric, _ in measures(params, plan)]
    orders = list(dict.fromkeys(study.fixed_orders(slicing) for slicing in slicings))
    missing = [n for n in plan.examples if n not in down.n_examples]
    text = render(
        "caption.txt.j2",
        blocks=plan.blocks,
        modality=MODALITIES[plan.modality],
        dataset=dataset_label(study.dataset),
        without=[look.label for look in looks(study.compared(WHOLE)[0]).values()],
        summarised=SUMMARISED[study.summarised],
        probe={1: "a linear classifier"}.get(layers, f"a {layers}-layer MLP"),
        examples=shown(params, plan),
        split=down.evaluate_on,
        missing=missing,
        nearest=list(dict.fromkeys(nearest(down.n_examples, n) for n in missing)),
        units={measure.label: measure.unit for measure in shown_measures if measure.unit},
        auc=any("auc" in study.metrics[task] for task in down.tasks),
        chances=list(dict.fromkeys(f"{1 / slicing.patches:.3f}" for slicing in slicings)),
        orders=orders,
        told_by_chance=[f"{1 / count:.3f}" for count in orders],
        seeds=count(least, "upstream seed"),
        draws=count(min((part.replicates for part in run), default=0), "draw"),
        caution=caution(least),
    )
    return [" ".join(paragraph.split()) for paragraph in text.split("\n\n")]


def cells(table: pd.DataFrame, plan: Table) -> list[dict[str, Any]]:
    """One block a slicing, classifier or method: its name, column labels, and rows of cells."""
    result = []
    several = table.groupby(["task", "metric"])["n_examples"].nunique().max() > 1
    by = "slicing" if plan.blocks == "method" else "method"
    columns = list(dict.fromkeys(_column(row) for row in table.itertuples()))
    for name, rows in table.groupby(plan.blocks, sort=False):
        by_key = {(getattr(row, by), _column(row)): row for row in rows.itertuples()}
        keys = list(dict.fromkeys(rows[by]))
        if by == "slicing":
            labels = {slicing: slicing_label(slicing) for slicing in keys}
        elif name == "end_to_end":
            labels = {m: looks([n := end_to_end_name(m)])[n].label for m in keys}
        else:
            labels = {method: look.label for method, look in looks(keys).items()}
        result.append(
            {
                "name": _block_label(plan, str(name), rows),
                "row": "Slicing" if by == "slicing" else "Method",
                "columns": [_heading(*column, several) for column in columns],
                "rows": [
                    {
                        "label": label,
                        "cells": [_cell(by_key.get((key, c)), plan.modality) for c in columns],
                    }
                    for key, label in labels.items()
                ],
            }
        )
    if plan.blocks == "slicing" and len(result) == 1:
        result[0]["name"] = ""
    return result


def _block_label(plan: Table, name: str, rows: pd.DataFrame) -> str:
    if plan.blocks == "method":
        return looks([name])[name].label
    if plan.blocks == "slicing":
        return slicing_label(name)
    run = count(rows["n_seeds"].iloc[0], "seed"), count(rows["n_replicates"].iloc[0], "draw")
    return f"{CLASSIFIERS[name]}, {' x '.join(run)}"


def _column(row: Any) -> tuple[str, str, int | None]:
    return row.task, row.metric, None if pd.isna(row.n_examples) else int(row.n_examples)


def _heading(task: str, metric: str, examples: int | None, several: bool) -> dict[str, str]:
    measure = measure_of(task, metric)
    note = f", {examples} examples" if several and examples else ""
    better = "higher" if measure.higher_is_better else "lower"
    return {
        "label": measure.label + note,
        "arrow": "↑" if measure.higher_is_better else "↓",
        "about": f"{measure.about}; {better} is better",
    }


def _cell(row: Any, modality: str) -> dict[str, Any]:
    """A cell as it is shown, and the rows of the page of all scores that it is the mean of.

    None, of what has no such value, is shown as a dash.
    """
    if row is None:
        empty = dict.fromkeys(("interval", "beside", "rows"), "")
        return {"mean": NO_VALUE, "best": False, "unsure": False, **empty}
    places = measure_of(row.task, row.metric).decimals
    known = pd.notna(row.ci_low)
    kind = "pretext" if row.task == "pretext" else "scores"
    of: dict[str, Any] = {"modality": modality, "slicing": slicing_of(row.method, row.slicing)}
    of |= {"method": row.method, "metric": row.metric}
    if kind == "scores":
        of |= {"classifier": row.classifier, "task": row.task, "n_examples": int(row.n_examples)}
    return {
        "mean": f"{row.mean:.{places}f}",
        "interval": f"[{row.ci_low:.{places}f}, {row.ci_high:.{places}f}]" if known else "1 seed",
        "beside": beside_best(row),
        "best": bool(row.best),
        "unsure": bool(row.indistinguishable),
        "rows": urlencode({"table": kind, **of}),
    }


def beside_best(row: Any) -> str:
    """How a score compares with the best of its column, in words; of the best itself nothing."""
    if row.best or row.n_seeds == 1:
        return ""
    return (
        f"the best is better in {row.agree} of {row.n_seeds} seeds; "
        f"p = {row.sign_flip_p:.3f} by sign-flips, {row.holm_p:.3f} by Student's t with Holm"
    )


def markdown(blocks: list[dict[str, Any]], sentences: list[str], plan: Table) -> str:
    """The table for a README."""
    lines = [f"**{plan.title}.** " + " ".join(filter(None, map(_md, sentences))), ""]
    for block in blocks:
        if block["name"]:
            lines += [f"*{_md(block['name'])}*", ""]
        heads = [f"{_md(c['label'])} {c['arrow']}" for c in block["columns"]]
        lines.append(f"| {block['row']} | {' | '.join(heads)} |")
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


def latex(blocks: list[dict[str, Any]], sentences: list[str], plan: Table) -> str:
    """The table for a paper: one floating table."""
    width = len(blocks[0]["columns"]) if blocks else 1
    text = " ".join(filter(None, map(_tex, sentences)))
    lines = [
        "% Made by the stage tables. Needs \\usepackage{booktabs}.",
        "\\begin{table}",
        "\\centering",
        f"\\caption{{{text}}}",
        f"\\label{{tab:{plan.name}}}",
        "\\smallskip",
        "\\small",
        "\\setlength{\\tabcolsep}{3pt}",
        f"\\begin{{tabular}}{{@{{}}l{'c' * width}@{{}}}}",
        "\\toprule",
    ]
    for i, block in enumerate(blocks):
        if i:
            lines.append("\\midrule")
        if block["name"]:
            lines.append(f"\\multicolumn{{{width + 1}}}{{@{{}}l}}{{{_tex(block['name'])}}} \\\\")
        first, second = zip(*(_split(column) for column in block["columns"]), strict=True)
        lines.append(f" & {' & '.join(first)} \\\\")
        lines.append(f"{block['row']} & {' & '.join(second)} \\\\")
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
    mean = f"\\textbf{{{cell['mean']}}}" if cell["best"] else _tex(cell["mean"])
    # Without width, so that marks do not shift the figures of a column.
    return mean + ("\\rlap{$^\\dagger$}" if cell["unsure"] else "")


TEX = {
    "\\": r"\textbackslash{}",
    "{": r"\{",
    "}": r"\}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "†": r"$^\dagger$",
    NO_VALUE: "--",
    "²": r"$^2$",
} | {c: f"\\{c}" for c in "&%$#_"}


def _tex(text: str) -> str:
    return "".join(TEX.get(c, c) for c in text)


def headlines(table: pd.DataFrame) -> dict[str, Any]:
    """The means of a table by task, metric and method, of the first slicing: for dvc metrics."""
    first = table[table["slicing"] == table["slicing"].iloc[0]]
    result: dict[str, Any] = {}
    for row in first.itertuples():
        examples = "" if pd.isna(row.n_examples) else f" at {row.n_examples}"
        result.setdefault(f"{row.task} {row.metric}{examples}", {})[row.method] = row.mean
    return result


def html(blocks: list[dict[str, Any]], sentences: list[str], plan: Table) -> str:
    """The fragment for the page."""
    sentences = list(filter(None, sentences))
    return render("table.html.j2", blocks=blocks, sentences=sentences, plan=plan)


def main(arguments: list[str] | None = None) -> None:
    _, params = cli.open_stage(__doc__, arguments=arguments)
    scores, pretext = read_scores(params), read_pretext(params)
    metrics: dict[str, Any] = {}
    for plan in tables(params):
        table = summarise(params, plan, scores, pretext)
        shown = cells(table, plan), caption(params, plan), plan
        write_csv(params.layout.table(plan.name, "csv"), table)
        for suffix, form in (("md", markdown), ("tex", latex), ("html", html)):
            write_text(params.layout.table(plan.name, suffix), form(*shown))
        if plan.blocks == "slicing":
            metrics.setdefault(plan.modality, headlines(table))
    write_json(params.layout.metrics, metrics)


if __name__ == "__main__":
    cli.run(main)
