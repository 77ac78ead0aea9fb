"""Soft and perturbed ranks of three values as epsilon grows: python docs/images/ranks_by_epsilon.py

Writes ranks-by-epsilon.svg beside this file (or where the first argument says), the same bytes
every time.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

import matplotlib
import numpy as np

matplotlib.use("agg")

import matplotlib.pyplot as plt
import tensorflow as tf
from matplotlib.axes import Axes
from matplotlib.ticker import FuncFormatter

sys.path.insert(0, str(Path(__file__).parents[2]))

from shuffle_to_learn.ranking import perturbed_rank, soft_rank
from study.drawing import rc

VALUES = (0.0, 1.0, 4.0)
COLOURS = ("#0072B2", "#D55E00", "#009E73")
DASHES = ("-", (0, (5, 1.5)), (0, (5, 1.5, 1, 1.5)))
EPSILONS = np.geomspace(0.1, 50, 541)
# Where blocks of the soft ranks merge: 0 and 1 at their gap; 4 with both where its lead on their
# mean, 3.5, is epsilon times 1.5, the lead of rank 3 on the mean of ranks 1 and 2.
MERGES = (1.0, 3.5 / 1.5)


def draw(axes: Axes, ranks: Callable[[tf.Tensor, float], tf.Tensor], title: str) -> None:
    values = tf.constant(VALUES, tf.float64)
    curves = np.stack([ranks(values, epsilon) for epsilon in EPSILONS], axis=1)
    for value, curve, colour, dashes in zip(VALUES, curves, COLOURS, DASHES, strict=True):
        axes.plot(EPSILONS, curve, color=colour, linestyle=dashes, linewidth=1.8)
        place = (EPSILONS[0] * 1.1, curve[0] + 0.05)
        axes.annotate(f"value {value:g}", place, color=colour, va="bottom")
    axes.set(title=title, xscale="log", xlabel="epsilon", xlim=EPSILONS[[0, -1]], ylim=(0.8, 3.3))
    axes.set_yticks([1, 2, 3])
    axes.xaxis.set_major_formatter(FuncFormatter("{:g}".format))


def main() -> None:
    beside = Path(__file__).with_name("ranks-by-epsilon.svg")
    path = Path(sys.argv[1]) if len(sys.argv) > 1 else beside
    with matplotlib.rc_context({**rc(), "svg.hashsalt": path.stem}):
        figure, (soft, perturbed) = plt.subplots(1, 2, figsize=(8, 3.2), sharey=True)
        draw(soft, soft_rank, "soft_rank")
        draw(perturbed, lambda v, e: perturbed_rank(v, e, None), "perturbed_rank, exact")
        soft.set_ylabel("rank")
        soft.axvspan(EPSILONS[0], MERGES[0], color="#f0f0f0", zorder=0)
        for epsilon in MERGES:
            soft.axvline(epsilon, color="#555555", linewidth=0.8, linestyle=(0, (2, 2)))
        soft.annotate("exact ranks,\ngradient 0", (0.32, 1.5), ha="center", va="center")
        soft.annotate("0 and 1\nmerge", (0.93, 2.5), ha="right", va="center")
        soft.annotate("4 joins\nthem", (2.5, 1.0), ha="left", va="center")
        figure.savefig(path, metadata=dict.fromkeys(("Date", "Creator", "Format", "Type")))


if __name__ == "__main__":
    main()
