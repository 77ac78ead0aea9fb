"""The Makefile's care for an environment that it did not make."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest
from conftest import ROOT

from study.loading import load_params


@pytest.fixture
def clone(tmp_path: Path) -> Path:
    """A folder with the Makefile and an empty lock; making an environment only leaves a note."""
    folder = tmp_path / "clone"
    folder.mkdir()
    shutil.copy(ROOT / "Makefile", folder)
    (folder / "requirements.lock").write_text("")
    python = tmp_path / "python"
    python.write_text(
        "#!/bin/sh\n"
        "echo called >> " + str(tmp_path / "called") + "\n"
        'if [ "$3" = --clear ]; then rm -rf "$4"/*; mkdir -p "$4/bin"; cp "$0" "$4/bin/python"; '
        "fi\n"
    )
    python.chmod(0o755)
    return folder


def make(folder: Path) -> subprocess.CompletedProcess:
    return subprocess.run(
        ["make", ".venv/.installed", f"PYTHON={folder.parent / 'python'}"],
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
    )


def test_an_environment_is_made_once(clone: Path) -> None:
    assert make(clone).returncode == 0
    assert (clone / ".venv/.installed").exists()
    assert "up to date" in make(clone).stdout


def test_one_that_was_broken_off_is_made_again(clone: Path) -> None:
    assert make(clone).returncode == 0
    (clone / ".venv/.installed").rename(clone / ".venv/.making")
    assert make(clone).returncode == 0
    assert (clone / ".venv/.installed").exists()


def test_an_older_one_of_ours_is_made_again_after_a_new_lock(clone: Path) -> None:
    assert make(clone).returncode == 0
    mark = clone / ".venv/.installed"
    before = mark.stat().st_mtime_ns - 10**10
    os.utime(mark, ns=(before, before))
    assert make(clone).returncode == 0
    assert mark.stat().st_mtime_ns > before


def test_a_link_is_refused_and_what_it_leads_to_stays(clone: Path, tmp_path: Path) -> None:
    other = tmp_path / "environment"
    other.mkdir()
    (other / "precious").write_text("here")
    (clone / ".venv").symlink_to(other)
    done = make(clone)
    assert done.returncode != 0
    assert "error: .venv is a symbolic link" in done.stderr
    assert (other / "precious").read_text() == "here"
    assert not (tmp_path / "called").exists()


def test_a_folder_that_is_not_ours_is_refused_and_stays(clone: Path, tmp_path: Path) -> None:
    (clone / ".venv").mkdir()
    (clone / ".venv/precious").write_text("here")
    done = make(clone)
    assert done.returncode != 0
    assert "error: .venv was not made here" in done.stderr
    assert (clone / ".venv/precious").read_text() == "here"
    assert not (tmp_path / "called").exists()


def test_a_link_with_a_finished_environment_behind_it_is_used(clone: Path, tmp_path: Path) -> None:
    other = tmp_path / "environment"
    other.mkdir()
    (other / ".installed").touch()
    (clone / ".venv").symlink_to(other)
    assert make(clone).returncode == 0
    assert not (tmp_path / "called").exists()


# Soundfonts

APT = """#!/bin/sh
[ "$*" = "download musescore-general-soundfont" ] && echo deb > musescore_1_all.deb
"""
DPKG = """#!/bin/sh
[ "$1" = -x ] && [ "$(cat "$2")" = deb ] || exit 1
mkdir -p "$3/usr/share/sounds/sf3" "$3/usr/share/doc/musescore-general-soundfont"
echo sound > "$3/usr/share/sounds/sf3/MuseScore_General_Full.sf3"
echo MIT > "$3/usr/share/doc/musescore-general-soundfont/copyright"
"""


def fetch(folder: Path, **programs: str) -> subprocess.CompletedProcess:
    """``make soundfonts`` where there are these programs and those of every system."""
    tools = folder.parent / "bin"
    shutil.rmtree(tools, ignore_errors=True)
    tools.mkdir()
    for name in ("sh", "rm", "mkdir", "mv", "cp", "cat", "sed"):
        (tools / name).symlink_to(str(shutil.which(name)))
    for name, content in programs.items():
        (tools / name.replace("_", "-")).write_text(content)
        (tools / name.replace("_", "-")).chmod(0o755)
    return subprocess.run(
        [str(shutil.which("make")), "soundfonts"],
        cwd=folder,
        env={"PATH": str(tools)},
        capture_output=True,
        text=True,
        check=False,
    )


def test_a_soundfont_is_fetched_where_the_preset_looks_for_it(clone: Path) -> None:
    done = fetch(clone, apt_get=APT, dpkg_deb=DPKG)
    assert done.returncode == 0, done.stderr
    notes = load_params(ROOT / "presets/instruments.yaml").notes
    assert notes is not None
    (file,) = (clone / font for font in notes.soundfonts)
    assert file.read_text() == "sound\n"
    assert sorted(path.name for path in file.parent.iterdir()) == [file.name, "copyright"]
    assert "Nothing to be done" in fetch(clone).stdout  # once


def test_where_no_package_can_be_fetched_one_line_says_what_to_do(clone: Path) -> None:
    done = fetch(clone, apt_get=APT)
    assert done.returncode != 0
    (line,) = (line for line in done.stderr.splitlines() if not line.startswith("make: "))
    assert line.startswith("error: no apt-get and dpkg-deb here: get MuseScore_General_Full.sf3")
    assert line.endswith("put it into data/soundfonts")
    assert not (clone / "data").exists()


def test_a_fetch_that_fails_leaves_no_soundfont(clone: Path) -> None:
    assert fetch(clone, apt_get=APT, dpkg_deb="#!/bin/sh\nexit 1\n").returncode != 0
    assert not list((clone / "data").rglob("*.sf3"))
    assert fetch(clone, apt_get=APT, dpkg_deb=DPKG).returncode == 0
