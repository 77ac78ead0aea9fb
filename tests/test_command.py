"""The command shuffle-to-learn, as make links it into an environment."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest
from conftest import ROOT

from tools.__main__ import COMMANDS


@pytest.fixture
def command(tmp_path: Path) -> Path:
    """The command in an environment that has this Python, linked by the Makefile's own line."""
    folder = tmp_path / "an environment/bin"
    folder.mkdir(parents=True)
    python = folder / "python"
    python.write_text(f'#!/bin/sh\nexec "{sys.executable}" "$@"\n')
    python.chmod(0o755)
    assert "\tln -sf ../../tools/shuffle-to-learn .venv/bin/\n" in (ROOT / "Makefile").read_text()
    link = folder / "shuffle-to-learn"
    link.symlink_to(ROOT / "tools/shuffle-to-learn")
    return link


def call(command: Path, *words: str) -> subprocess.CompletedProcess[str]:
    """The command in a folder that is not the clone."""
    return subprocess.run(
        [str(command), *words], cwd=command.parent, capture_output=True, text=True, check=False
    )


def test_help_names_every_command_and_what_it_does(command: Path) -> None:
    done = call(command, "--help")
    assert done.returncode == 0, done.stderr
    found = dict(re.findall(r"^    (\S+) +([A-Z].*)", done.stdout, re.MULTILINE))
    assert list(found) == list(COMMANDS)
    assert {"embed", "reorder", "compare", "check"} <= set(found)
    assert len(done.stdout.splitlines()) <= 24


@pytest.mark.parametrize("name", COMMANDS)
def test_a_command_has_help_under_its_own_name(command: Path, name: str) -> None:
    done = call(command, name, "--help")
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith(f"usage: shuffle-to-learn {name} [-h]")


@pytest.mark.parametrize("words", [[], ["bogus"], ["check", "--bogus"]])
def test_a_wrong_word_is_told_in_a_line(command: Path, words: list[str]) -> None:
    done = call(command, *words)
    assert done.returncode == 2
    assert done.stderr.splitlines()[-1].startswith("shuffle-to-learn")


def test_settings_are_those_of_the_folder_or_of_a_named_file(command: Path) -> None:
    done = call(command, "settings")
    assert done.returncode == 1 and done.stderr.startswith("error: params.yaml")
    done = call(command, "settings", "--params", str(ROOT / "presets/smoke.yaml"))
    assert done.returncode == 0 and "results/smoke" in done.stdout
