"""The figures of the study: the claims, scores by labelled examples and patches, learning curves.

Reads results/scores.csv, results/pretext.csv, results/claims.csv and the training histories, and
writes to results/figures

  claims   the effect of each claim that was run, with its interval, beside its threshold

and for each modality that the params file has,

  figure3, video-examples, images-examples
           the score of each task against the number of labelled examples (Figure 3 of the paper is
           that of audio, with the network trained end to end)
  figure4, video-frames
           the scores and the partial ranks against the number of patches: frequency bands of a
           spectrogram (the paper's Figure 4), frames of a clip
  confusion-audio, confusion-video
           what instruments' families and actions were taken for, by the method shown
  paid-<modality>
           of a folder alone: the best pretrained method against what takes no pretraining
  pretext-<modality>
           held-out partial ranks by epoch, mean and range over the seeds

each as .csv (what is drawn), .svg and .png, and the first three as -narrow.svg: the panels below
each other, for a narrow page. The bars and bands are 95 % intervals
(shuffle_to_learn/evaluation/statistics.py).
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from itertools import product
from typing import TYPE_CHECKING, Any

import matplotlib

matplotlib.use("agg")  # no window system, whatever the environment says

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.ticker import FixedLocator, NullLocator, StrMethodFormatter

from shuffle_to_learn.evaluation.statistics import seed_interval
from shuffle_to_learn.slicing import Slicing
from study import cli, forest
from study.drawing import rc, save
from study.errors import InputError
from study.files import read_table, write_csv
from study.findings import paid, read_verdicts
from study.names import (
    BEST,
    dataset_label,
    looks,
    measure_of,
    slicing_label,
)
from study.outputs import (
    CLAIMS,
    CONFUSED,
    EXAMPLES,
    PATCHES,
    confused_task,
    paid_figure,
    scored_modalities,
)
from study.params import Params, orders_patches
from study.paths import EncoderKey, slicing_of
from study.results import (
    Design,
    designs,
    nearest,
    read_pretext,
    read_scores,
    seed_values,
    shared_design,
    under_names,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

UNTRAINED = {"random"}
PRETEXT = "valid_partial_ranks"
CHANCE = "#777777"
LABELS_AT = {"audio": 1000, "video": 3000}  # labelled inputs, as in the paper


def _summary(values: np.ndarray, **keys: Any) -> dict[str, Any]:
    """A row: the keys of its scores, their mean and interval."""
    mean, low, high = seed_interval(values)
    keys |= {"mean": mean, "ci_low": low, "ci_high": high}
    return keys | dict(zip(("n_seeds", "n_replicates"), values.shape, strict=True))


def by_examples(params: Params, modality: str, scores: pd.DataFrame) -> pd.DataFrame:
    """What figure 3 draws: one row a slicing, task, method and example count."""
    study = params.study(modality)
    scores = scores[scores["modality"] == modality]
    rows = []
    for slicing in study.slicings:
        known = designs(study, slicing)
        methods = looks([method for method in known if not method.endswith("_fine_tuned")])
        for task in (task for task in study.metrics if task in study.downstream.tasks):
            metric = study.metrics[task][0]
            for n in sorted(study.downstream.n_examples):
                what = {"slicing": slicing, "task": task, "metric": metric, "n_examples": n}
                for method in (method for method in methods if n in known[method].counts):
                    keys = what | {"method": method}
                    found = keys | {"slicing": slicing_of(method, slicing)}
                    rows.append(_summary(seed_values(scores, known[method], **found), **keys))
    return pd.DataFrame(rows).round(8)


def by_patches(
    params: Params, modality: str, scores: pd.DataFrame, pretext: pd.DataFrame
) -> pd.DataFrame:
    """What figure 4 draws: one row a number of patches, measure and method.

    Only of the methods and seeds that every one of these slicings was run with.
    """
    study = params.study(modality)
    kind = PATCHES[modality].kind
    slicings = [slicing for slicing in study.all_slicings if slicing.startswith(f"{kind}-")]
    slicings.sort(key=lambda name: Slicing.parse(name).patches)
    methods = [m for m in looks(study.methods) if all(m in study.compared(v)[0] for v in slicings)]
    shown = list(product(slicings, methods))  # none of a study of other slicings
    every = [designs(study, slicing)[method] for slicing, method in shown]
    design = shared_design(every) if every else Design([], [], 0)
    tasks = [task for task in study.metrics if task in study.downstream.tasks]
    rows = []
    for slicing, method in shown:
        n = nearest(design.counts, LABELS_AT[modality])
        who = {"slicing": slicing, "method": method}
        patches = {"patches": Slicing.parse(slicing).patches, "n_examples": n}
        for task in tasks:
            what = {"task": task, "metric": study.metrics[task][0]}
            values = seed_values(scores, design, modality=modality, n_examples=n, **who, **what)
            rows.append(_summary(values, **who, **patches, **what))
        if not orders_patches(method):
            continue
        what = {"metric": "partial_ranks"}
        values = seed_values(pretext, design, modality=modality, **who, **what)
        rows.append(_summary(values, **who, patches=patches["patches"], task="pretext", **what))
    columns = ["slicing", "patches", "method", "task", "metric", "n_examples"]
    columns += ["mean", "ci_low", "ci_high", "n_seeds", "n_replicates"]
    return pd.DataFrame(rows, columns=columns).astype({"n_examples": "Int64"}).round(8)


def by_epoch(params: Params, modality: str) -> pd.DataFrame:
    """What the pretext figure draws: one row a slicing, trained method and epoch."""
    parts = [
        history(params, e).assign(slicing=e.slicing, method=e.method)
        for e in params.encoder_keys(modality)
        if e.method not in UNTRAINED
        and orders_patches(e.method)
        and e.slicing in params.study(modality).slicings
    ]
    columns = ["slicing", "method", "epoch", "mean", "lowest", "highest", "n_seeds"]
    if not parts:
        return pd.DataFrame(columns=columns)
    groups = pd.concat(parts).groupby(["slicing", "method", "epoch"], sort=False)[PRETEXT]
    table = groups.agg(mean="mean", lowest="min", highest="max", n_seeds="size").reset_index()
    return table[columns].round(8)


def history(params: Params, e: EncoderKey) -> pd.DataFrame:
    """Epoch and held-out partial ranks of one encoder's pretraining, checked."""
    path = params.layout.history(e)
    table = read_table(path, "pretrain")
    for column in ("epoch", PRETEXT):
        if column not in table.columns:
            raise InputError(f"{path} has no column {column}: run the stage pretrain again")
        if not np.isfinite(pd.to_numeric(table[column], errors="coerce")).all():
            raise InputError(f"{path}: a value of {column} is not a finite number")
    last = params.study(e.modality).pretrain.epochs
    given = table["epoch"].tolist()
    # Epoch 0, before any training, may be there or not.
    if given not in (list(range(last + 1)), list(range(1, last + 1))):
        raise InputError(
            f"{path} does not hold each of the epochs 1 to {last} once: "
            f"run the stage pretrain again"
        )
    return table[["epoch", PRETEXT]]


def figure3(params: Params, modality: str, table: pd.DataFrame, *, narrow: bool = False) -> Figure:
    """One panel a task, one row of panels a slicing; ``narrow`` puts one below the other."""
    study = params.study(modality)
    tasks = list(dict.fromkeys(table["task"]))
    panels = [(slicing, task) for slicing in study.slicings for task in tasks]
    columns = 1 if narrow else len(tasks) if len(tasks) > 1 else min(3, len(panels))
    rows = -(-len(panels) // columns)
    figure, axes = plt.subplots(
        rows,
        columns,
        figsize=(4.4 if columns == 1 else 3.5 * columns + 0.3, 2.9 * rows + 1),
        squeeze=False,
    )
    for axis in axes.flat[len(panels) :]:
        axis.remove()
    for axis, (slicing, task) in zip(axes.flat, panels, strict=False):
        rows_here = table[(table["slicing"] == slicing) & (table["task"] == task)]
        _panel(axis, rows_here, "n_examples", ("mean", "ci_low", "ci_high"))
        counts = sorted(set(rows_here["n_examples"]))
        _log_axis(axis, counts)
        axis.set(xlabel="labelled examples", ylabel="")
        name = _measure(task, study.metrics[task][0])
        several = len(study.slicings) > 1
        axis.set_title(f"{name}\n{slicing_label(slicing)}" if several else name, loc="left")
    for task in tasks:  # of every slicing on one scale, so that panels compare
        _share([axis for axis, panel in zip(axes.flat, panels, strict=False) if panel[1] == task])
    where = dataset_label(study.dataset)
    title = "Scores against labelled examples"
    title += ("\n" if columns < 3 else ": ") + where
    return _finish(figure, axes, title, columns=2 if columns == 1 else 5 if columns > 2 else 3)


def by_labels(
    params: Params, modality: str, scores: pd.DataFrame, examples: pd.DataFrame
) -> pd.DataFrame:
    """What the figure of whether pretraining paid draws, of what :func:`by_examples` gives.

    A row a task, number of examples and method: the best pretrained one there, the random encoder
    and what has no network.
    """
    study = params.study(modality)
    rows = examples[examples["slicing"] == study.slicings[0]]
    parts = []
    for task in study.downstream.tasks:
        for one in paid(params, modality, task, scores):
            here = rows[(rows["task"] == task) & (rows["n_examples"] == one.n_examples)]
            found = here.set_index("method").loc[list(one.means)].reset_index()
            best = found["method"] == next(iter(one.means))
            parts.append(found.assign(line=found["method"].mask(best, BEST)))
    columns = ["line", *rows.columns]
    return pd.concat(parts)[columns] if parts else pd.DataFrame(columns=columns)


def paid_off(params: Params, modality: str, table: pd.DataFrame) -> Figure:
    """One panel a task; the best pretrained method has its own line, whichever it is there."""
    study, tasks = params.study(modality), list(dict.fromkeys(table["task"]))
    if not tasks:
        return _nothing("no method of the params file is pretrained")
    columns = min(2, len(tasks))
    rows = -(-len(tasks) // columns)
    size = (4.4 if columns == 1 else 7.4, 2.5 * rows + 0.9)
    figure, axes = plt.subplots(rows, columns, figsize=size, squeeze=False)
    for axis in axes.flat[len(tasks) :]:
        axis.remove()
    for axis, task in zip(axes.flat, tasks, strict=False):
        here = table[table["task"] == task]
        lines = here.assign(method=here["line"])
        _panel(axis, lines, "n_examples", ("mean", "ci_low", "ci_high"))
        _log_axis(axis, sorted(set(here["n_examples"])))
        axis.set(xlabel="labelled examples", ylabel="")
        axis.set_title(_measure(task, study.metrics[task][0]), loc="left")
    return _finish(figure, axes, "Did pretraining pay?", columns=2)


def _measure(task: str, metric: str) -> str:
    measure = measure_of(task, metric)
    good = "higher" if measure.higher_is_better else "lower"
    unit = f" ({measure.unit})" if measure.unit else ""
    return f"{measure.label}{unit}, {good} is better"


def _log_axis(axis: Axes, counts: list[int]) -> None:
    axis.set_xscale("log")
    axis.xaxis.set_major_locator(FixedLocator(_readable(counts)))
    axis.xaxis.set_major_formatter(StrMethodFormatter("{x:.0f}"))
    axis.xaxis.set_minor_locator(NullLocator())
    axis.set_xlim(counts[0] / 1.25, counts[-1] * 1.25)


def figure4(params: Params, modality: str, table: pd.DataFrame, *, narrow: bool = False) -> Figure:
    """One panel a task and one of the pretext task; ``narrow`` puts one below the other."""
    patches = PATCHES[modality].patches
    measures = list(dict.fromkeys(zip(table["task"], table["metric"], strict=True)))
    if not measures:
        return _nothing(f"the params file has no slicing of {patches}")
    columns = 1 if narrow or len(measures) < 2 else 2
    rows = -(-len(measures) // columns)
    size = (4.4 if columns == 1 else 8.2, 2.7 * rows + 1)
    figure, axes = plt.subplots(rows, columns, figsize=size, squeeze=False)
    for axis in axes.flat[len(measures) :]:
        axis.remove()
    for axis, (task, metric) in zip(axes.flat, measures, strict=False):
        found = table[table["task"] == task]
        _panel(axis, found, "patches", ("mean", "ci_low", "ci_high"))
        _log_axis(axis, sorted(set(found["patches"])))
        if task == "pretext":
            low, high = axis.get_xlim()
            along = np.geomspace(low, high, 100)
            # Above the grid, and below the random encoder's line, which may lie on it.
            axis.plot(along, 1 / along, color=CHANCE, linewidth=1, zorder=1.8)
            axis.set_ylim(bottom=0)
        axis.set(xlabel=patches, ylabel="")
        note = (
            "\ngrey line: chance"
            if task == "pretext"
            else f"\n{found['n_examples'].iloc[0]} labels"
        )
        axis.set_title(_measure(task, metric) + note, loc="left")
    where = dataset_label(params.study(modality).dataset)
    return _finish(figure, axes, f"Against the number of {patches}\n{where}", columns=2)


def pretext(params: Params, modality: str, table: pd.DataFrame) -> Figure:
    """One panel a slicing, below each other: each has its own number of patches, and so chance."""
    study = params.study(modality)
    slicings = study.slicings
    figure, axes = plt.subplots(
        len(slicings), 1, figsize=(4.8, 2.9 * len(slicings) + 1), squeeze=False
    )
    for axis, slicing in zip(axes.flat, slicings, strict=True):
        _panel(axis, table[table["slicing"] == slicing], "epoch", ("mean", "lowest", "highest"))
        patches = Slicing.parse(slicing).patches
        axis.axhline(1 / patches, color=CHANCE, linewidth=1, zorder=1.8)
        axis.annotate(  # beside the panel, where no curve runs
            f"chance\n1/{patches}",
            (1, 1 / patches),
            xycoords=("axes fraction", "data"),
            xytext=(3, 0),
            textcoords="offset points",
            ha="left",
            va="center",
            fontsize="small",
            color="#555555",
        )
        axis.xaxis.get_major_locator().set_params(integer=True)
        axis.set(xlabel="epoch", ylabel="partial ranks")
        if len(slicings) > 1:
            axis.set_title(slicing_label(slicing), loc="left")
    _share(list(axes.flat), bottom=0)
    where = dataset_label(study.dataset)
    title = f"Patches put in their right place, held-out inputs\n{where}"
    return _finish(figure, axes, title, columns=2)


def _share(axes: list[Axes], bottom: float | None = None) -> None:
    """Give panels the same limits along y, which hold those of each."""
    lows, highs = zip(*(axis.get_ylim() for axis in axes), strict=True)
    for axis in axes:
        axis.set_ylim(min(lows) if bottom is None else bottom, max(highs))


def _readable(counts: list[int], apart: float = 1.35) -> list[int]:
    """The counts that have room for a label on a log axis; the last one always has."""
    kept = [counts[-1]]
    for n in reversed(counts[:-1]):
        if kept[-1] / n >= apart:
            kept.append(n)
    return kept[::-1]


def _panel(axis: Axes, table: pd.DataFrame, x: str, y: tuple[str, str, str]) -> None:
    """A line a method with its marker and dashes, and a band between the two limits."""
    if table.empty:  # a study of the random encoder alone has no learning curves
        return
    middle, low, high = y
    shown = looks(list(dict.fromkeys(table["method"])))
    for method, look in shown.items():
        rows = table[table["method"] == method]
        if rows[x].nunique() > 1:
            axis.fill_between(
                rows[x], rows[low], rows[high], color=look.colour, alpha=0.15, linewidth=0
            )
        else:  # a band of one value would have no width
            axis.vlines(rows[x], rows[low], rows[high], color=look.colour, alpha=0.5, linewidth=2)
    many = table[x].nunique() > 12
    sns.lineplot(
        data=table,
        x=x,
        y=middle,
        hue="method",
        style="method",
        hue_order=list(shown),
        style_order=list(shown),
        palette={method: look.colour for method, look in shown.items()},
        markers={method: look.marker for method, look in shown.items()},
        dashes={method: look.dashes or "" for method, look in shown.items()},
        errorbar=None,
        markersize=6,
        markeredgewidth=0.6,
        linewidth=1.4,
        markevery=max(1, table[x].nunique() // 8) if many else None,
        legend=True,
        ax=axis,
    )


def _finish(figure: Figure, axes: Any, title: str, columns: int) -> Figure:
    """The title, and one legend for all panels below them."""
    handles, methods = axes.flat[0].get_legend_handles_labels()
    named = looks(methods)
    for axis in axes.flat:
        if axis.get_legend():
            axis.get_legend().remove()
    if handles:
        labels = [named[method].label for method in methods]
        figure.legend(handles, labels, loc="outside lower center", ncols=columns, handlelength=3.5)
    figure.suptitle(title, fontsize="large")
    return figure


def _nothing(why: str) -> Figure:
    figure, axis = plt.subplots(figsize=(4.8, 1))
    axis.axis("off")
    axis.text(0, 0.5, why)
    return figure


def confusion(params: Params, modality: str, table: pd.DataFrame) -> Figure:
    """A matrix of the right labels (rows) and the answers (columns), in shares of a row."""
    study = params.study(modality)
    task = confused_task(modality, study)
    if task is None or table.empty:
        return _nothing(f"the params file has not the task {task}")
    names = sorted({*table["wanted"], *table["answer"]})
    counts = table.pivot(index="wanted", columns="answer", values="count")
    counts = counts.reindex(index=names, columns=names).fillna(0)
    side = 2 + 0.27 * len(names)
    figure, axes = plt.subplots(figsize=(side + 1, side), squeeze=False)
    axis = axes[0, 0]
    sns.heatmap(
        counts.div(counts.sum(axis=1).replace(0, 1), axis=0),
        vmin=0,
        vmax=1,
        cmap="Blues",
        square=True,
        cbar_kws={"label": "share of the row", "shrink": 0.6},
        xticklabels=True,
        yticklabels=True,
        ax=axis,
    )
    axis.grid(False)
    axis.tick_params(labelsize="small", length=0)
    axis.set(xlabel="answered", ylabel="right")
    label = looks([study.shown])[study.shown].label
    n = table["n_examples"].iloc[0]
    figure.suptitle(
        f"{measure_of(task, 'accuracy').label.split()[0]}: {label}, {n} labelled examples\n"
        f"{dataset_label(study.dataset)}",
        fontsize="large",
    )
    return figure


def answers(params: Params, modality: str) -> pd.DataFrame:
    """What the confusion figure draws: counts over the seeds and draws of the method shown."""
    study = params.study(modality)
    task = confused_task(modality, study)
    columns = ["n_examples", "wanted", "answer", "count"]
    if task not in study.downstream.tasks:
        return pd.DataFrame(columns=columns)
    path = params.layout.labels(study.dataset, study.downstream.evaluate_on)
    labels = read_table(path, "join")
    named = task if study.of_files else f"{task}_name"
    if named not in labels:
        raise InputError(
            f"{path} has no column {named}: run the stages {study.extraction} and join again"
        )
    names = dict(zip(labels[task].astype(str), labels[named], strict=True))
    parts = []
    for e in params.encoder_keys(modality):
        if (e.slicing, e.method) == (study.slicings[0], study.shown):
            path = params.layout.answers(e)
            parts.append(read_table(path, "downstream", texts=("wanted", "answer")))
            if list(parts[-1].columns[5:]) != ["task", *columns]:
                raise InputError(f"{path} has not the columns of answers: run downstream again")
    table = pd.concat(parts)
    n = nearest(study.downstream.n_examples, LABELS_AT[modality])
    table = table[(table["task"] == task) & (table["n_examples"] == n)]
    table = table.groupby(["n_examples", "wanted", "answer"], as_index=False)[["count"]].sum()
    return table.replace({"wanted": names, "answer": names})[columns]


def main(arguments: list[str] | None = None) -> None:
    _, params = cli.open_stage(__doc__, arguments=arguments)
    scores, pretext_scores = under_names(params, read_scores(params)), read_pretext(params)
    # Read everything before anything is written: the figures are of one state of the study.
    curves = {modality: by_epoch(params, modality) for modality in params.studies}
    claims = read_verdicts(params.layout.claims)
    with matplotlib.rc_context(rc()):
        shown = forest.table(claims)
        draw = partial(forest.draw, not_run=len(claims) - len(shown))
        _save(params, CLAIMS, shown, draw, narrow=True)
        for modality, epochs in curves.items():
            of = params, modality
            _save(params, f"pretext-{modality}", epochs, partial(pretext, *of))
            if modality not in scored_modalities(params):
                continue
            table = by_examples(*of, scores)
            if name := paid_figure(*of):
                _save(params, name, by_labels(*of, scores, table), partial(paid_off, *of))
            _save(params, EXAMPLES[modality], table, partial(figure3, *of), narrow=True)
            if modality in PATCHES:
                table = by_patches(*of, scores, pretext_scores)
                _save(params, PATCHES[modality].name, table, partial(figure4, *of), narrow=True)
            if modality in CONFUSED:
                name = f"confusion-{modality}"
                _save(params, name, answers(*of), partial(confusion, *of))
    plt.close("all")


def _save(
    params: Params,
    name: str,
    table: pd.DataFrame,
    draw: Callable[..., Figure],
    *,
    narrow: bool = False,
) -> None:
    """A figure as files, and a second one for a narrow page."""
    path = params.layout.figure
    write_csv(path(name, "csv"), table)
    figure = draw(table)
    for suffix in ("svg", "png"):
        save(figure, path(name, suffix))
    if narrow:
        save(draw(table, narrow=True), path(f"{name}-narrow", "svg"))


if __name__ == "__main__":
    cli.run(main)
