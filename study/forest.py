"""The claims' effects with their intervals, each beside its threshold: a forest plot."""

from __future__ import annotations

import textwrap
from typing import TYPE_CHECKING, Any, NamedTuple

import pandas as pd

from study.files import rows
from study.findings import section_of, verdict_word, with_interval
from study.names import count, measure_of

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

COLUMNS = ["claim", "section", "statement", "unit", "effect", "ci_low", "ci_high", "threshold"]
COLUMNS += ["more", "verdict", "verdict_all", "n_seeds", "agree"]


class Mark(NamedTuple):
    """How a verdict is drawn: each of shape and fill tells it apart without colour."""

    marker: str
    filled: bool
    colour: str

    @property
    def style(self) -> dict[str, Any]:
        """What Matplotlib's lines take, but for the size."""
        return {
            "marker": self.marker,
            "color": self.colour,
            "markerfacecolor": self.colour if self.filled else "white",
            "markeredgewidth": 0.6 if self.filled else 1.3,
        }


MARKS = {
    "supported": Mark("o", True, "#0072B2"),
    "contradicted": Mark("X", True, "#D55E00"),
    "inconclusive": Mark("D", False, "#000000"),
    "too_few_seeds": Mark("s", False, "#888888"),
}
CLAIMED = "#ececec"


def table(claims: pd.DataFrame) -> pd.DataFrame:
    """What is drawn, from ``claims.csv``: the claims that were run, sections in order, ours last.

    The column ``more`` says whether the claimed side is above the threshold.
    """
    run = claims[claims["verdict"] != "not_run"].copy()
    run["section"] = run["source"].map(section_of)
    run["unit"] = [_unit(row) for row in run.itertuples()]
    sign = run["threshold"].astype(str).str.split(" ", expand=True)
    run["more"] = sign[0] == ">" if len(run) else []
    run["threshold"] = sign[1].astype(float) if len(run) else []
    # Rows of one section and unit stand together, in the order of the claims.
    groups = {key: i for i, key in enumerate(dict.fromkeys(_groups(run)))}
    sections = sorted(set(run["section"]), key=lambda name: (not name.startswith("Section"), name))
    order = [(sections.index(section), groups[section, unit]) for section, unit in _groups(run)]
    run = run.iloc[sorted(range(len(run)), key=order.__getitem__)]
    return run.reindex(columns=COLUMNS).reset_index(drop=True)


def _groups(run: pd.DataFrame) -> list[tuple[str, str]]:
    return list(zip(run["section"], run["unit"], strict=True))


def _unit(row: Any) -> str:
    if row.kind == "correlation":
        return "Spearman's correlation"
    if row.metric == "mse":
        return measure_of(row.task, row.metric).unit or f"mean squared error of {row.task}"
    return {"accuracy": "accuracy", "auc": "AUC"}[row.metric]


class Sizes(NamedTuple):
    """Inches, and characters a line."""

    width: float
    left: float  # where the axes begin
    right: float  # where they end
    row: float
    letters: int


WIDE = Sizes(9.6, 3.75, 7.15, 0.4, 54)
NARROW = Sizes(4.4, 0.25, 4.2, 0.78, 62)
HEADING, AXIS, TOP, LEGEND = 0.34, 0.4, 0.5, 0.95


def draw(claims: pd.DataFrame, not_run: int, *, narrow: bool = False) -> Figure:
    """The plot: a panel a section and unit, since units share no scale.

    Args:
        claims: as :func:`table` gives them.
        not_run: how many more claims there are.
        narrow: for a phone: what is said of a claim stands above its interval, not beside it.
    """
    import matplotlib.pyplot as plt

    sizes = NARROW if narrow else WIDE
    grouped = claims.groupby(["section", "unit"], sort=False)
    panels = [(str(section), str(unit), part) for (section, unit), part in grouped]
    heights = [HEADING + len(part) * sizes.row + AXIS for *_, part in panels]
    legend = LEGEND + (0.55 if narrow else 0)
    height = TOP + sum(heights) + legend
    figure = plt.figure(figsize=(sizes.width, height))
    # Not layout="none" above: that is forgotten once the figure is saved.
    figure.set_layout_engine("none")
    figure.suptitle(
        "The claims: effects with 95 % intervals over seeds",
        fontsize="large",
        x=0.12 / sizes.width,
        y=1 - 0.12 / height,
        ha="left",
        va="top",
    )
    limits = {str(unit): _limits(part) for unit, part in claims.groupby("unit")}
    top = height - TOP
    for (section, unit, part), tall in zip(panels, heights, strict=True):
        tall_axes = len(part) * sizes.row
        box = (sizes.left, top - HEADING - tall_axes, sizes.right - sizes.left, tall_axes)
        across = [sizes.width, height] * 2
        left, low, wide, high = (inch / of for inch, of in zip(box, across, strict=True))
        axis = figure.add_axes((left, low, wide, high))
        figure.text(
            0.12 / sizes.width,
            (top - HEADING + 0.08) / height,
            f"{_heading(section)}: in {'units of ' if 'correl' not in unit else ''}{unit}",
            weight="bold",
            va="bottom",
        )
        _panel(axis, part, limits[unit], sizes, narrow)
        top -= tall
    _legend(figure, not_run, height, sizes, narrow, any_run=bool(panels))
    return figure


def _heading(section: str) -> str:
    return section if section.startswith("Section") else "Claims of our own"


def _limits(part: pd.DataFrame) -> tuple[float, float]:
    """Along the axis of a unit: what is drawn in it, with room."""
    numbers = part[["effect", "ci_low", "ci_high", "threshold"]].astype(float)
    low, high = float(numbers.min().min()), float(numbers.max().max())
    room = 0.06 * (high - low) or 0.06
    return low - room, high + room


def _panel(
    axis: Axes, part: pd.DataFrame, limits: tuple[float, float], sizes: Sizes, narrow: bool
) -> None:
    count_of = len(part)
    axis.set(xlim=limits, ylim=(count_of - 0.5, -0.5), yticks=[])
    axis.grid(visible=not narrow, axis="x")  # no lines through words
    axis.set_axisbelow(True)
    axis.spines["left"].set_visible(False)
    axis.tick_params(axis="x", labelsize="small")
    low, high = (0.14, 0.46) if narrow else (-0.36, 0.36)  # of a row, where its interval is
    for place, row in enumerate(rows(part)):
        mark = MARKS[row.verdict]
        middle = place + (low + high) / 2
        span = (place + low, place + high)
        end = limits[1] if row.more else limits[0]
        axis.fill_betweenx(span, row.threshold, end, color=CLAIMED, linewidth=0, zorder=0.5)
        axis.vlines(row.threshold, *span, color="#333333", linewidth=1.2, zorder=2)
        if pd.notna(row.ci_low):
            axis.hlines(middle, row.ci_low, row.ci_high, color=mark.colour, linewidth=1.6, zorder=3)
        axis.plot(
            row.effect,
            middle,
            linestyle="",
            **mark.style,
            markersize=7 if mark.marker in "oX" else 5.5,
            zorder=4,
        )
        words = textwrap.wrap(row.statement, sizes.letters)
        where = axis.get_yaxis_transform()
        if narrow:
            said = f"{_verdict(row)}: {_numbers(row)}"
            style: dict[str, Any] = {"transform": where, "va": "bottom", "fontsize": 7.5}
            axis.text(0, place - 0.09, "\n".join(words), **style)
            axis.text(0, place + 0.12, said, weight="bold", **style)
        else:
            beside = (0.12 - sizes.left) / (sizes.right - sizes.left)
            axis.text(beside, place, "\n".join(words), transform=where, va="center", fontsize=8)
            axis.text(
                1.03,
                place,
                f"{_verdict(row)}\n{_numbers(row)}",
                transform=where,
                va="center",
                fontsize=8,
            )


def _verdict(row: Any) -> str:
    """The verdict, and that among all where it is another."""
    word = verdict_word(row.verdict)
    return word if row.verdict == row.verdict_all else f"{word} (alone)"


def _numbers(row: Any) -> str:
    decimals = 1 if "semitones" in row.unit else 3
    return with_interval((row.effect, row.ci_low, row.ci_high), decimals)


def _legend(
    figure: Figure, not_run: int, height: float, sizes: Sizes, narrow: bool, *, any_run: bool
) -> None:
    from matplotlib.lines import Line2D
    from matplotlib.patches import Patch

    handles: list[Any] = [
        Line2D([], [], linewidth=1.6, markersize=6, **mark.style) for mark in MARKS.values()
    ]
    labels = [verdict_word(verdict) for verdict in MARKS]
    handles += [Patch(facecolor=CLAIMED, edgecolor="#333333", linewidth=1)]
    labels += ["claimed side of the threshold"]
    if any_run:
        figure.legend(
            handles,
            labels,
            loc="lower left",
            bbox_to_anchor=(0.06 / sizes.width, (0.62 if narrow else 0.42) / height),
            ncols=2 if narrow else 5,
            handlelength=2.2,
            columnspacing=1.4,
            borderaxespad=0,
            fontsize="small",
        )
    left_out = f"{count(not_run, 'more claim')} {'was' if not_run == 1 else 'were'} not run."
    words = "A positive effect: the claim's first side is better."
    alone = "(alone): not when held to 5 % among all claims together."
    foot = [words, alone] if any_run else []
    foot += [left_out] if not_run else []
    figure.text(
        0.12 / sizes.width,
        0.1 / height,
        ("\n" if narrow else " ").join(foot),
        fontsize="small",
        va="bottom",
    )
