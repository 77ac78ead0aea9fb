"""The labels, colours, markers and dashes of the methods (study/names.py)."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import pytest
from matplotlib.colors import to_rgb
from scipy.spatial.distance import pdist

from study import names
from study.sections import Methods


def test_every_method_has_a_look_of_its_own() -> None:
    assert set(Methods.model_fields) <= set(names.LOOKS)
    shown = names.looks(["perturbed_fy", "random", "new_one", "another"])
    assert list(shown) == ["random", "perturbed_fy", "new_one", "another"]
    assert shown["new_one"].label == "New one"
    everything = [*names.LOOKS.values(), *(names.Look("", *spare) for spare in names.SPARE)]
    for part in ("colour", "marker", "dashes"):
        assert len({getattr(look, part) for look in everything}) == len(everything)


# How each kind of colour vision sees linear RGB: Machado et al. (2009), severity 1. The rows of a
# matrix sum to 1.
VISION = {
    "normal": np.eye(3),
    "protanopia": [[0.152, 1.053, -0.205], [0.115, 0.786, 0.099], [-0.004, -0.048, 1.052]],
    "deuteranopia": [[0.367, 0.861, -0.228], [0.280, 0.673, 0.047], [-0.012, 0.043, 0.969]],
    "tritanopia": [[1.256, -0.077, -0.179], [-0.078, 0.931, 0.147], [0.005, 0.691, 0.304]],
}


OKABE_ITO = ("#0072B2", "#000000", "#E69F00", "#56B4E9", "#009E73", "#D55E00")


def least_difference(colours: Iterable[str]) -> float:
    """The least CIELAB distance between two of the colours, over all kinds of colour vision."""
    xyz = np.array([[0.4125, 0.3576, 0.1804], [0.2127, 0.7152, 0.0722], [0.0193, 0.1192, 0.9503]])
    encoded = np.array([to_rgb(colour) for colour in colours])
    rgb = np.where(encoded <= 0.04045, encoded / 12.92, ((encoded + 0.055) / 1.055) ** 2.4)
    least = np.inf
    for seen in VISION.values():
        white = xyz.sum(axis=1)
        f = np.cbrt(np.clip(rgb @ np.transpose(seen), 0, 1) @ xyz.T / white)
        x, y, z = np.where(f > 6 / 29, f, (f**3 * (29 / 6) ** 2 / 3) + 4 / 29).T
        lab = np.stack([116 * y, 500 * (x - y), 200 * (y - z)], axis=1)
        least = min(least, pdist(lab).min())
    return least


def test_colours_are_told_apart_as_well_as_those_of_okabe_and_ito() -> None:
    shown = [look.colour for look in names.LOOKS.values()]
    assert set(OKABE_ITO) < set(shown)
    spare = [colour for colour, *_ in names.SPARE]
    assert least_difference([*shown, *spare]) == least_difference(OKABE_ITO)
    assert least_difference(OKABE_ITO) == pytest.approx(16, abs=0.5)
