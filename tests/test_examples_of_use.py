"""The examples of what a user does with the study: they run, and do what they say."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from conftest import ROOT

from examples import add_a_method


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
