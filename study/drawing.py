"""What every figure has alike: its style, and files that are the same every time."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import matplotlib

from study.files import atomic

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def rc() -> dict[Any, Any]:
    """Matplotlib settings of every figure: a plain style, and the same bytes every time."""
    return {
        "axes.grid": True,
        "axes.spines.right": False,
        "axes.spines.top": False,
        "axes.titlesize": "medium",
        "figure.constrained_layout.use": True,
        "font.family": "DejaVu Sans",  # ships with matplotlib
        "font.size": 9.0,
        "grid.color": "#e0e0e0",
        "legend.frameon": False,
        "savefig.dpi": 200,
        "svg.fonttype": "path",  # looks the same where the font is not installed
        "text.parse_math": False,  # a label may hold a $
    }


def save(figure: Figure, path: Path) -> None:
    """The figure as a file that is the same every time: no date, no version, no random ids."""
    empty: dict[str, None]
    if path.suffix == ".svg":
        empty = {"Date": None, "Creator": None, "Format": None, "Type": None}
    else:
        empty = {"Software": None}
    with atomic(path) as temporary, matplotlib.rc_context({"svg.hashsalt": path.stem}):
        figure.savefig(temporary, metadata=empty)
