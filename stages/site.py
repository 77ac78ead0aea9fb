"""The page of the study: one self-contained HTML file, results/index.html.

Shows what was run and on which data, Table 1, Figure 3, the pretext learning curves, every
setting, the versions of the packages and the git commit. Reads the outputs of tables and figures
and the dataset's manifest. It asks nothing of any network, so it opens from a disk; its downloads
are links to the files beside it.
"""

from __future__ import annotations

import os
import platform
import re
import subprocess
from importlib import metadata
from pathlib import Path
from typing import Any

import pandas as pd
import yaml
from markupsafe import Markup

from stages.common import need, parser, read_table, run, write_text
from stages.errors import InputError
from stages.params import Params, load_params
from stages.paths import SPLITS
from stages.style import count, dataset_about, dataset_label, looks, render, view_label

ROOT = Path(__file__).parent.parent

PACKAGES = (
    "tensorflow",
    "keras",
    "tensorflow-datasets",
    "librosa",
    "tinysoundfont",
    "pretty_midi",
    "numpy",
    "scipy",
    "pandas",
    "pyarrow",
    "matplotlib",
    "seaborn",
    "snakemake",
    "dvc",
)

# What, the stage that makes it, and its files below results/.
DOWNLOADS = (
    ("Table 1", "tables", ("tables/table1.csv", "tables/table1.md", "tables/table1.tex")),
    ("Figure 3", "figures", ("figures/figure3.csv", "figures/figure3.svg", "figures/figure3.png")),
    (
        "Pretext curves",
        "figures",
        ("figures/pretext.csv", "figures/pretext.svg", "figures/pretext.png"),
    ),
    ("All scores", "scores", ("scores.csv", "pretext.csv")),
)

# The first word of a reason in the manifest, in words for a reader.
REASONS = {
    "silent": "silent",
    "clipped": "clipped",
    "pitch": "not heard at its pitch",
    "duplicate": "the same as another instrument's note",
    "instrument": "too few good notes of its instrument",
}

ALT = {
    "figure3": "Line charts, one a task: each method's score against the number of labelled "
    "examples. The numbers are in figures/figure3.csv.",
    "pretext": "Line chart: each method's partial ranks on held-out inputs by epoch. The numbers "
    "are in figures/pretext.csv.",
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
        # DVC writes its lock file while the study runs; that is no change of the study.
        changed = git("status", "--porcelain", "--", ".", ":(exclude)dvc.lock")
    except (OSError, subprocess.CalledProcessError):
        return "unknown: not run from a git checkout"
    return f"{head}, with uncommitted changes" if changed else head


def notes(params: Params) -> dict[str, Any]:
    """How many notes the dataset keeps and why it rejects others, from its manifest."""
    path = params.layout.manifest(params.audio.dataset)
    table = read_table(path, "dataset")
    for column in ("kept", "reason", "split", "instrument", "family"):
        if column not in table.columns:
            raise InputError(f"{path} has no column {column}: run the stage dataset again")
    kept = table[table["kept"].astype(bool)]
    rejected = table.loc[~table["kept"].astype(bool), "reason"].astype(str)
    reasons = rejected.map(lambda reason: REASONS.get(reason.partition(" ")[0], reason))
    return {
        "total": len(table),
        "kept": len(kept),
        "instruments": kept["instrument"].nunique(),
        # Most frequent first, then by name: value_counts leaves the order of equals open.
        "rejected": sorted(reasons.value_counts().items(), key=lambda item: (-item[1], item[0])),
        "splits": _counts(kept, "split", SPLITS),
        "families": _counts(kept, "family", sorted(kept["family"].astype(str).unique())),
    }


def _counts(kept: pd.DataFrame, column: str, names: Any) -> list[tuple[str, int, int]]:
    """(name, notes, instruments) of every value of a column."""
    rows = []
    for name in names:
        own = kept[kept[column].astype(str) == name]
        rows.append((name, len(own), own["instrument"].nunique()))
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
    head = re.sub(r'\s(width|height)="[^"]*"', "", head)
    attributes = Markup(' class="{}" role="img" aria-label="{}"').format(css, title)
    return Markup(f"{head}{attributes}>{rest}")  # noqa: S704 - made by the stage figures


def settings(params: Params) -> str:
    """Every setting of the study as YAML; where it wrote and on how many cores is no part of it."""
    content = params.model_dump(exclude={"paths", "threads"}, exclude_none=True)
    return yaml.safe_dump(content, sort_keys=False, default_flow_style=None, width=90)


def page(params: Params) -> str:
    """The page's HTML."""
    audio, layout = params.audio, params.layout
    fragment = need(layout.table("table1", "html"), "tables").read_text(encoding="utf-8")
    for _, stage, files in DOWNLOADS:
        for name in files:
            need(layout.results / name, stage)
    return render(
        "index.html.j2",
        data=dataset_label(audio.dataset),
        about=dataset_about(audio.dataset),
        views=[view_label(view) for view in audio.views],
        methods=[look.label for look in looks(audio.methods).values()],
        audio=audio,
        models=len(params.encoders()),
        count=count,
        table=Markup(fragment),  # noqa: S704 - escaped by the stage tables
        figure3=inline_svg(layout.figure("figure3", "svg"), ALT["figure3"], "wide"),
        figure3_narrow=inline_svg(layout.figure("figure3-narrow", "svg"), ALT["figure3"], "narrow"),
        pretext=inline_svg(layout.figure("pretext", "svg"), ALT["pretext"], "one"),
        notes=notes(params),
        downloads=DOWNLOADS,
        settings=settings(params),
        versions=versions(),
        commit=commit(),
    )


def main(arguments: list[str] | None = None) -> None:
    params = load_params(parser(__doc__).parse_args(arguments).params)
    write_text(params.layout.site, page(params))


if __name__ == "__main__":
    run(main)
