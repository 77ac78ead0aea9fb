"""Scores against the length of pretraining: python docs/images/length.py

Reads docs/sweeps/length.csv, which python -m benchmarks.sweep length makes, and writes length.svg
beside this file (or where the first argument says).
"""

from __future__ import annotations

import sys
from pathlib import Path

import matplotlib
import pandas as pd

matplotlib.use("agg")

import matplotlib.pyplot as plt
from matplotlib.axes import Axes
from matplotlib.ticker import FixedLocator, NullLocator, StrMethodFormatter

sys.path.insert(0, str(Path(__file__).parents[2]))

from study.drawing import rc, save
from study.names import looks, measure_of

TABLE = Path(__file__).parents[1] / "sweeps/length.csv"

# Each panel: modality, params file, layer, task, metric, labelled examples, and its title.
PANELS = (
    ("audio", "params.yaml", "joined", "instrument", "accuracy", 1000, "audio, joined"),
    ("audio", "params.yaml", "joined", "pitch", "mse", 1000, "audio, joined"),
    ("audio", "params.yaml", "tiles", "pitch", "mse", 1000, "audio, tiles"),
    ("audio", "params.yaml", "joined", "pitch_class", "accuracy", 1000, "audio, joined"),
    ("video", "params.yaml", "joined", "", "partial_ranks", 0, "clips"),
    (
        "video",
        "presets/arrow.yaml",
        "joined",
        "",
        "partial_ranks",
        0,
        "clips with an arrow of time",
    ),
    ("video", "params.yaml", "joined", "action", "accuracy", 3000, "clips, joined"),
    ("images", "params.yaml", "joined", "", "partial_ranks", 0, "pictures"),
    ("images", "params.yaml", "joined", "objects", "auc", 3000, "pictures, joined"),
)


def values(rows: pd.DataFrame, panel: tuple) -> pd.DataFrame:
    """The values of a panel: method, epochs (none of the random encoder), seed and value."""
    modality, params, layer, task, metric, n, _ = panel
    rows = rows[(rows["modality"] == modality) & (rows["params"] == params)]
    rows = rows[rows["layer"] == layer]
    if task:
        rows = rows[(rows["task"] == task) & (rows["metric"] == metric)]
        rows = rows[rows["n_examples"] == n].assign(value=rows["mean"])
    else:
        rows = rows.drop_duplicates(["method", "seed", "settings"])
        rows = rows.assign(value=rows["partial_ranks"])
    epochs = rows["settings"].fillna("").str.extract(r"epochs=(\d+)")[0].astype(float)
    return rows.assign(epochs=epochs)[["method", "epochs", "seed", "value"]]


def draw(axis: Axes, rows: pd.DataFrame, panel: tuple) -> None:
    """A line a method over the means of the seeds, with a mark a seed; random across."""
    *_, task, metric, n, title = panel
    known = looks(sorted(set(rows["method"])))
    for method, look in known.items():
        own = rows[rows["method"] == method]
        if method == "random":
            axis.axhline(own["value"].mean(), color=look.colour, lw=1.2, ls="--", label=look.label)
            continue
        means = own.groupby("epochs")["value"].mean()
        axis.plot(means.index, means, color=look.colour, lw=1.4, label=look.label)
        axis.plot(own["epochs"], own["value"], look.marker, color=look.colour, ms=3.5, alpha=0.7)
    axis.set_xscale("log")
    ticks = sorted(set(rows["epochs"].dropna()))
    axis.xaxis.set_major_locator(FixedLocator(ticks))
    axis.xaxis.set_minor_locator(NullLocator())
    axis.xaxis.set_major_formatter(StrMethodFormatter("{x:.0f}"))
    label = measure_of(task, metric).label if task else "Partial ranks"
    axis.set(xlabel="epochs", ylabel=f"{label}{f', {n} labels' if task else ''}", title=title)


def main() -> None:
    rows = pd.read_csv(TABLE, keep_default_na=False)
    for column in ("partial_ranks", "mean"):
        rows[column] = pd.to_numeric(rows[column], errors="coerce")
    shown = [(panel, table) for panel in PANELS if len(table := values(rows, panel))]
    with matplotlib.rc_context(rc()):
        columns = 3
        height = -(-len(shown) // columns)
        figure, axes = plt.subplots(height, columns, figsize=(9.6, 2.7 * height), squeeze=False)
        labels = {}
        for axis, (panel, table) in zip(axes.flat, shown, strict=False):
            draw(axis, table, panel)
            handles, names = axis.get_legend_handles_labels()
            labels |= dict(zip(names, handles, strict=True))
        rest = list(axes.flat)[len(shown) :]
        for axis in rest:
            axis.axis("off")
        place = {"loc": "center"} if rest else {"loc": "outside lower center", "ncols": 4}
        (rest[-1] if rest else figure).legend(labels.values(), labels.keys(), **place)
        target = Path(sys.argv[1]) if sys.argv[1:] else Path(__file__).with_suffix(".svg")
        save(figure, target)


if __name__ == "__main__":
    main()
