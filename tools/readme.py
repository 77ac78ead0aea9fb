"""Put a finished study into README.md and docs/results.md: python -m tools.readme.

Reads the results of params.yaml (or PARAMS) and writes what is between the two marks of each file
anew: in README.md what was found, the plot of the claims and the first table; in docs/results.md
the verdicts and all other tables. Both name the run. The figures that they show go to docs/images.
A study of recorded speech goes to docs/speech.md in their place, and that of
presets/instruments.yaml to docs/instruments.md, between marks of its own.
"""

from __future__ import annotations

import argparse
import re
import shutil
from pathlib import Path

from study import cli, findings
from study.errors import InputError
from study.files import need, rows, write_text
from study.loading import load_params
from study.names import MODALITIES, count, dataset_label
from study.outputs import CLAIMS, tables
from study.params import SPEECH, Params
from study.results import read_scores, under_names
from tools import compare

ROOT = Path(__file__).parent.parent
START, END = "<!-- results: python -m tools.readme -->", "<!-- end of results -->"
OWN_START = START.replace("results", "results on {}")
INSTRUMENTS = "instruments"  # presets/instruments.yaml
# The figure that follows a table, and what it shows.
FIGURES = {
    "table1": ("figure3", "Scores against labelled examples, audio"),
    "table2": ("figure4", "Scores against the number of frequency bands"),
    "table3": ("video-frames", "Scores against the number of frames of a clip"),
    "table4": ("images-examples", "Scores against labelled examples, images"),
}


def first(params: Params) -> str:
    """What README shows: what was found, the plot of the claims and the first table."""
    verdicts = findings.read_verdicts(params.layout.claims)
    gains = findings.worth_of_all(params, under_names(params, read_scores(params)))
    plan = tables(params)[0]
    caption, _, table = _table(params, plan.name).partition("\n\n")
    dataset = dataset_label(params.study(plan.modality).dataset)
    counts = re.search(r"with ([\d and]+) labelled examples", caption)
    of = f" {counts[1]} labelled examples." if counts else ""
    parts = [
        f"**{findings.sentence(verdicts, gains)}**",
        "\n".join(f"* {line}" for line in findings.lines(params, gains).values()),
        "![The claims: effects, intervals, thresholds and verdicts, by section of the paper]"
        f"(docs/images/{CLAIMS}.png)",
        f"**{plan.title}. {MODALITIES[plan.modality]}, {dataset}.**{of}",
        table.strip(),
        _figure(plan.name, "docs/images"),
        "The verdicts one by one and the other tables: [docs/results.md](docs/results.md). "
        + run(params),
    ]
    return "\n\n".join(filter(None, parts))


def others(params: Params) -> str:
    """What docs/results.md shows: the run, the verdicts and the tables but the first."""
    parts = [run(params), "## The claims", _claims(params), "## The tables"]
    for plan in tables(params)[1:]:
        text = _table(params, plan.name).strip()
        if "\n|---" in text:  # else a caption alone: nothing of it was run
            parts += [text, _figure(plan.name, "images")]
    return "\n\n".join(filter(None, parts))


def own_page(params: Params) -> tuple[Path, str] | None:
    """The page of a study that has one of its own, and how the page calls the study."""
    if "audio" in params.studies and (dataset := params.study("audio").dataset) in SPEECH:
        return ROOT / "docs/speech.md", dataset
    if params.layout.results.name == INSTRUMENTS:
        return ROOT / f"docs/{INSTRUMENTS}.md", INSTRUMENTS
    return None


def beside_the_default(params: Params, name: str) -> str:
    """What a page of its own shows of a study: the run, its verdicts, two tables, a picture."""
    home = load_params(ROOT / "params.yaml").layout.results
    own, there = params.layout.results, (home / "settings.yaml").is_file()
    beside = (
        compare.between(home, own) if there else [f"The claims on both studies: {home} is empty"]
    )
    parts = [
        run(params),
        _claims(params, run_alone=True),
        "\n".join(f"* {line}" for line in beside),
        *(_table(params, plan.name).strip() for plan in tables(params)[:2]),
        f"![Sounds in order, shuffled, and put back](images/reordered-{name}.png)",
    ]
    return "\n\n".join(filter(None, parts))


def run(params: Params) -> str:
    """Which run the results are of, in a sentence or two."""
    page = need(params.layout.site, "site").read_text(encoding="utf-8")
    found = re.search(r'<span id="commit">([^<]*)</span>', page)
    if not found:
        raise InputError(f"{params.layout.site} names no commit: run the stage site again")
    seeds = [
        f"{MODALITIES[modality].lower()} {count(len(study.seeds), 'upstream seed')} "
        f"({', '.join(map(str, study.seeds))}) and {count(study.downstream.replicates, 'draw')}"
        for modality, study in params.studies.items()
    ]
    return f"From one run, at commit {found[1]}: {'; '.join(seeds)}."


def _table(params: Params, name: str) -> str:
    return need(params.layout.table(name, "md"), "tables").read_text(encoding="utf-8")


def _figure(table: str, folder: str) -> str:
    if table not in FIGURES:
        return ""
    name, about = FIGURES[table]
    return f"![{about}]({folder}/{name}.png)"


def _claims(params: Params, *, run_alone: bool = False) -> str:
    lines = [
        "| Claim | Alone | Among all | Effect | Claimed | p | Agree | Would decide |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for row in rows(findings.read_verdicts(params.layout.claims)):
        if run_alone and row.verdict == "not_run":
            continue
        note = f" *{row.note}*" if isinstance(row.note, str) else ""
        cells = [f"{row.statement}{note} ({row.source})"]
        cells += [findings.verdict_word(word) for word in (row.verdict, row.verdict_all)]
        if row.effect == row.effect:
            effect = findings.with_interval((row.effect, row.ci_low, row.ci_high))
            known = row.ci_low == row.ci_low
            cells += [effect, row.threshold, findings.p_value(row.p) if known else "1 seed"]
            cells += [findings.agreeing(row), findings.would_decide(row)]
        else:
            cells += [""] * 5
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def replaced(path: Path, new: str, mark: str = START) -> str:
    """The text of a file with what is between the marks replaced."""
    head, start, rest = path.read_text(encoding="utf-8").partition(mark)
    _, end, tail = rest.partition(END)
    if not (start and end):
        raise InputError(f"{path} has not the marks {mark} and {END}")
    return f"{head}{mark}\n\n{new}\n\n{END}{tail}"


def main() -> None:
    argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    ).parse_args()
    params = load_params(cli.params_file())
    if page := own_page(params):
        path, name = page
        text = replaced(path, beside_the_default(params, name), OWN_START.format(name))
        figure = need(params.layout.figure("reordered-audio", "png"), "examples")
        shutil.copyfile(figure, ROOT / f"docs/images/reordered-{name}.png")
        write_text(path, text)
        return
    # Read everything before anything is written: both files are of one run.
    files = {ROOT / "README.md": first(params), ROOT / "docs/results.md": others(params)}
    texts = {path: replaced(path, new) for path, new in files.items()}
    names = [FIGURES[plan.name][0] for plan in tables(params) if plan.name in FIGURES]
    figures = [need(params.layout.figure(name, "png"), "figures") for name in (CLAIMS, *names)]
    for modality in params.studies:  # README opens with them
        figures.append(need(params.layout.figure(f"reordered-{modality}", "png"), "examples"))
    for figure in figures:
        shutil.copyfile(figure, ROOT / "docs/images" / figure.name)
    for path, text in texts.items():
        write_text(path, text)


if __name__ == "__main__":
    cli.run(main)
