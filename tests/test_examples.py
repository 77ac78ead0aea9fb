"""The programs of examples/ run, and learn what they say."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest
from conftest import ROOT

from examples import add_a_method


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


def test_a_method_of_ones_own_learns(capsys: pytest.CaptureFixture) -> None:
    right = add_a_method.main()
    assert right > 0.6  # by chance 0.2
    assert f"put back right {right:.3f}" in capsys.readouterr().out


def test_the_example_is_the_method_of_the_page() -> None:
    """The class is the page's, but for what keeps TensorFlow out of the study's own modules."""
    page = (ROOT / "docs/adding-a-method.md").read_text(encoding="utf-8")
    code = re.search(r"class ListNet.*?(?=\n```)", page, re.DOTALL)
    assert code
    plain = code[0].replace("        import tensorflow as tf\n\n", "")
    assert plain in Path(str(add_a_method.__file__)).read_text(encoding="utf-8")


def test_recordings_are_embedded_and_alike_ones_found() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "examples.embed_recordings"],
        cwd=ROOT,
        env={key: value for key, value in os.environ.items() if key != "PARAMS"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    pairs = re.findall(r"^(\w+)-\d\.wav: (\w+)-\d\.wav$", done.stdout, re.MULTILINE)
    share = sum(one == other for one, other in pairs) / 18
    assert len(pairs) == 18 and share > 0.6  # by chance a third
    assert done.stdout.endswith(f"of the same kind: {share:.3f}\n")


def test_every_example_is_tested() -> None:
    programs = {path.stem for path in (ROOT / "examples").glob("*.py")} - {"__init__"}
    of_use = {"add_a_method", "embed_recordings"}
    assert programs == {"learning_to_sort", "padded_lists", "spearman"} | of_use
