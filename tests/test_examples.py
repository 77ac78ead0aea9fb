"""The programs of examples/ run, and learn what they say."""

from __future__ import annotations

from importlib import import_module
from typing import Any

import pytest
from conftest import ROOT


def found(name: str, capsys: pytest.CaptureFixture) -> Any:
    """What an example returns; it is printed, too."""
    result = import_module(f"examples.{name}").main()
    printed = capsys.readouterr().out
    for value in result.values() if isinstance(result, dict) else [result]:
        assert f"{value:.3f}" in printed or f"{value:.4f}" in printed
    return result


def test_a_network_learns_to_sort(capsys: pytest.CaptureFixture) -> None:
    assert found("learning_to_sort", capsys) > 0.98  # by chance 0.125


def test_padded_lists_are_ranked_about_as_well_as_by_list_mle(
    capsys: pytest.CaptureFixture,
) -> None:
    taus = found("padded_lists", capsys)
    assert len(taus) == 4 and min(taus.values()) > 0.5
    assert max(taus.values()) - taus["list_mle"] < 0.1
    assert taus["rank_net"] > taus["list_mle"] - 0.05


def test_spearman_as_a_loss_gives_the_better_order(capsys: pytest.CaptureFixture) -> None:
    rho = found("spearman", capsys)
    assert rho["spearman_loss"] > 0.85
    assert rho["spearman_loss"] > rho["squared_error"] + 0.05


def test_every_example_is_tested() -> None:
    programs = {path.stem for path in (ROOT / "examples").glob("*.py")} - {"__init__"}
    of_use = {"add_a_method", "embed_recordings"}  # tests/test_examples_of_use.py
    assert programs == {"learning_to_sort", "padded_lists", "spearman"} | of_use
