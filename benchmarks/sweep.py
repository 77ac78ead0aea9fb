"""Try settings of many methods and seeds on the validation split; a second call goes on.

  python -m benchmarks.sweep length --jobs 2
  python -m benchmarks.sweep rates --modality audio

benchmarks/sweeps.yaml says what a sweep tries. Each trial is a run of benchmarks/settings.py; its
rows are appended to docs/sweeps/<name>.csv when it has ended, and a second call runs what is
missing. At the end docs/sweeps/<name>.md shows what the table has so far. The features of the
params files must exist (see benchmarks/settings.py).
"""

from __future__ import annotations

import argparse
import math
import re
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor, as_completed
from itertools import product
from pathlib import Path
from typing import NamedTuple

import pandas as pd
import yaml

from benchmarks.ranking import table as in_markdown
from study.files import write_text
from study.loading import load_params

HERE = Path(__file__).parent
RESULTS = HERE.parent / "docs/sweeps"
EXAMPLES = {"audio": 1000, "video": 3000, "images": 3000}  # labelled, whose scores are shown


class Trial(NamedTuple):
    """One network and its scores: what is given to benchmarks/settings.py."""

    params: str
    modality: str
    slicing: str
    method: str
    seed: int
    settings: tuple[str, ...]
    standardised: bool
    layers: tuple[str, ...]

    @property
    def known(self) -> tuple[str, str, str, str, int, str]:
        """By what the rows of a trial are found in the table."""
        said = [*self.settings, *(["bands=standardised"] if self.standardised else [])]
        return self.params, self.modality, self.slicing, self.method, self.seed, " ".join(said)

    def rows(self) -> pd.DataFrame:
        """Run it.

        Raises:
            subprocess.CalledProcessError: it failed; what it printed is in the error.
        """
        with tempfile.TemporaryDirectory() as folder:
            output = Path(folder) / "rows.csv"
            command = [sys.executable, "-m", "benchmarks.settings", "--params", self.params]
            command += ["--modality", self.modality, "--slicing", self.slicing]
            command += ["--method", self.method, "--layers", *self.layers]
            command += ["--seed", str(self.seed), "--output", str(output)]
            command += ["--set", *self.settings] if self.settings else []
            command += ["--standardise"] if self.standardised else []
            subprocess.run(command, check=True, capture_output=True, text=True)
            rows = pd.read_csv(output, keep_default_na=False)
        rows.insert(0, "params", self.params)
        return rows


def trials(entry: dict) -> Iterator[Trial]:
    """All trials of an entry of sweeps.yaml."""
    each = entry.get("each", {})
    for file in entry.get("params", ["params.yaml"]):
        slicings = load_params(Path(file)).study(entry["modality"]).slicings[:1]
        for slicing, *values, method, seed in product(
            entry.get("slicings", slicings), *each.values(), entry["methods"], entry["seeds"]
        ):
            yield Trial(
                params=file,
                modality=entry["modality"],
                slicing=slicing,
                method=method,
                seed=seed,
                settings=tuple(
                    f"{key.format(method=method)}={yaml.safe_dump(value).split()[0]}"
                    for key, value in zip(each, values, strict=True)
                ),
                standardised=entry.get("standardised", False),
                layers=tuple(entry.get("layers", ["joined", "tiles"])),
            )


def planned(name: str) -> list[Trial]:
    """The trials of a sweep, in the order of sweeps.yaml; all of one seed before the next."""
    sweeps = yaml.safe_load((HERE / "sweeps.yaml").read_text(encoding="utf-8"))
    listed = [trial for entry in sweeps[name] for trial in trials(entry)]
    return sorted(listed, key=lambda trial: trial.seed)


def done(table: Path) -> set[tuple]:
    """The trials whose rows a table has."""
    if not table.exists():
        return set()
    rows = pd.read_csv(table, keep_default_na=False)
    named = rows[["params", "modality", "slicing", "method", "seed", "settings"]]
    return set(named.itertuples(index=False, name=None))


def page(name: str, rows: pd.DataFrame) -> str:
    """The scores of a sweep in Markdown: means over seeds.

    Args:
        name: of the sweep.
        rows: its table: what benchmarks/settings.py writes, and the params file.
    """
    lines = [
        f"# The sweep `{name}`",
        "",
        f"`python -m benchmarks.sweep {name}` writes this page, from [{name}.csv]({name}.csv).",
        "Scores are of the **validation split**, means over the seeds.",
    ]
    for (file, modality), study in rows.groupby(["params", "modality"], sort=False):
        examples = EXAMPLES[modality]
        lines += ["", f"## {modality}, `{file}`, {examples} labelled examples", ""]
        lines += _table(study[study.n_examples == examples].copy())
    return "\n".join(lines) + "\n"


def _table(rows: pd.DataFrame) -> list[str]:
    """One study's scores: a row for what was tried and a layer, a column for a measure."""
    rows["set"] = [
        " ".join(re.sub(r"^.*\.(?=\w+=)", "", item) for item in said.split())
        for said in rows.settings
    ]
    rows["measure"] = rows.task + " " + rows.metric
    rows["partial_ranks"] = pd.to_numeric(rows.partial_ranks)
    tried = ["slicing", "method", "set"]
    for column in tried:  # as first tried
        rows[column] = pd.Categorical(rows[column], rows[column].unique())
    networks = rows.drop_duplicates([*tried, "layer", "seed"])
    groups = networks.groupby([*tried, "layer"], observed=True)
    cells = rows.pivot_table(
        index=[*tried, "layer"], columns="measure", values="mean", observed=True
    )
    cells.insert(0, "partial ranks", groups.partial_ranks.mean())
    cells.insert(0, "seeds", groups.size().astype(str))
    shown = cells.reset_index()
    cells_of = ([_cell(x) for x in row] for row in shown.to_numpy(object))
    return in_markdown(list(shown.columns), list(cells_of))


def _cell(value: object) -> str:
    if not isinstance(value, float):
        return str(value)
    return "-" if math.isnan(value) else f"{value:.3f}" if abs(value) < 10 else f"{value:.1f}"


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("name", choices=["length", "rates", "sound"])
    parser.add_argument("--modality", nargs="+", help="these alone")
    parser.add_argument("--method", nargs="+", help="these alone")
    parser.add_argument("--jobs", type=int, default=1, help="trials at a time")
    args = parser.parse_args()

    table = RESULTS / f"{args.name}.csv"
    table.parent.mkdir(exist_ok=True)
    ended = done(table)
    left = [
        trial
        for trial in planned(args.name)
        if trial.known not in ended
        and trial.modality in (args.modality or [trial.modality])
        and trial.method in (args.method or [trial.method])
    ]
    failed = 0
    with ThreadPoolExecutor(args.jobs) as pool:
        running = {pool.submit(trial.rows): trial for trial in left}
        for number, future in enumerate(as_completed(running), 1):
            trial = running[future]
            try:
                rows = future.result()
            except subprocess.CalledProcessError as error:
                failed += 1
                print(f"{trial}: {error.stderr[-2000:]}", file=sys.stderr)
                continue
            rows.to_csv(table, mode="a", index=False, header=not table.exists())
            print(f"{number} of {len(left)}: {' '.join(map(str, trial.known))}", flush=True)
    if table.exists():  # not where all trials failed
        rows = pd.read_csv(table, keep_default_na=False)
        write_text(table.with_suffix(".md"), page(args.name, rows))
    if failed:
        sys.exit(f"error: {failed} of {len(left)} trials failed")


if __name__ == "__main__":
    main()
