"""README.md and docs/results.md are given the results of one run."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import pandas as pd
import pytest
from conftest import ROOT
from scored_study import text

from study.errors import InputError
from study.loading import load_params
from study.outputs import tables
from tools import readme

FILES = ("README.md", "docs/results.md")


@pytest.fixture
def written(study: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A project whose two files hold something old, after the program."""
    (tmp_path / "docs/images").mkdir(parents=True)
    for name in FILES:
        (tmp_path / name).write_text(f"before\n{readme.START}\nOLD\n{readme.END}\nafter\n")
    monkeypatch.setattr(readme, "ROOT", tmp_path)
    monkeypatch.setenv("PARAMS", str(study))
    monkeypatch.setattr("sys.argv", ["readme"])
    readme.main()
    return tmp_path


def test_both_files_are_of_the_run_that_the_page_names(written: Path, study: Path) -> None:
    (commit,) = re.findall(r'<span id="commit">([^<]+)</span>', text(study, "index.html"))
    for name in FILES:
        words = (written / name).read_text()
        assert words.startswith("before\n") and words.endswith("\nafter\n") and "OLD" not in words
        assert f"at commit {commit}: audio 3 upstream seeds (0, 1, 2) and 4 draws" in words


def test_readme_has_the_sentence_the_plot_and_the_first_table(written: Path, study: Path) -> None:
    words = (written / "README.md").read_text()
    (said,) = re.findall(r'<p class="found">(.*?)</p>', text(study, "index.html"))
    assert f"**{said.replace('&#39;', chr(39))}**" in words
    assert re.findall(r"\*\*(Table \w+)\.", words) == ["Table 1"]
    table = text(study, "tables/table1.md").partition("\n\n")[2].strip()
    assert table in words and "not NSynth.** 1000 labelled examples.\n" in words
    assert words.index("claims.png") < words.index("**Table 1.") < words.index("figure3.png")


def test_the_other_file_has_every_verdict_and_the_other_tables(written: Path, study: Path) -> None:
    words = (written / "docs/results.md").read_text()
    params = load_params(study)
    for plan in tables(params)[1:]:
        table = text(study, f"tables/{plan.name}.md").strip()
        assert (table in words) == ("\n|---" in table)
    assert "**Table 2.**" in words and "**Table 1.**" not in words
    rows = [line.split(" | ") for line in words.split("## The tables")[0].splitlines()]
    rows = [row for row in rows if len(row) == 8][1:]
    claims = pd.read_csv(params.layout.claims)
    assert len(rows) == len(claims)
    for shown, row in zip(rows, claims.itertuples(), strict=True):
        assert row.statement in shown[0]
        assert shown[1:3] == [w.replace("_", " ") for w in (row.verdict, row.verdict_all)]
        if row.verdict == "not_run":
            assert not "".join(shown[3:]).strip(" |")
        else:
            effect = f"{row.effect:+.3f}".replace("-", "\N{MINUS SIGN}")
            assert shown[3].startswith(effect) and ("[" in shown[3]) == (row.n_seeds > 1)


def test_every_picture_that_they_show_is_there(written: Path, study: Path) -> None:
    shown = 0
    for name in FILES:
        path = written / name
        for picture in re.findall(r"!\[[^\]]+\]\(([^)]+)\)", path.read_text()):
            found = path.parent / picture
            drawn = load_params(study).layout.figure(found.stem, "png")
            assert found.read_bytes() == drawn.read_bytes()
            shown += 1
    assert shown == 1 + len(readme.FIGURES)


def test_nothing_is_written_where_a_file_has_no_marks_or_a_figure_is_missing(
    written: Path, study: Path
) -> None:
    before = (written / "README.md").read_text()
    figure = load_params(study).layout.figure("claims", "png")
    aside = figure.rename(figure.with_suffix(".aside"))
    (written / "README.md").write_text(before.replace("before", "changed"))
    try:
        with pytest.raises(InputError, match=r"claims\.png does not exist: run the stage figures"):
            readme.main()
    finally:
        aside.rename(figure)
    (written / "docs/results.md").write_text("nothing")
    with pytest.raises(InputError, match=r"results\.md has not the marks"):
        readme.main()
    assert (written / "README.md").read_text() == before.replace("before", "changed")


def test_a_study_of_speech_has_a_file_of_its_own(written: Path, study: Path, monkeypatch) -> None:
    """Here the notes are taken for speech: the file has the verdicts that were given, no others."""
    shutil.copy(ROOT / "params.yaml", written)
    marks = [readme.OWN_START.format(name) for name in ("notes", "words")]
    (written / "docs/speech.md").write_text(
        "".join(f"{mark}\nOLD\n{readme.END}\n" for mark in marks), encoding="utf-8"
    )
    before = [(written / name).read_text() for name in FILES]
    monkeypatch.setattr(readme, "SPEECH", ("notes",))
    monkeypatch.setattr(
        readme.compare, "between", lambda a, b: pytest.fail("no results of the default study")
    )
    monkeypatch.chdir(written)
    readme.main()
    assert [(written / name).read_text() for name in FILES] == before
    own, other = (written / "docs/speech.md").read_text().split(marks[1])
    assert "OLD" not in own and "OLD" in other
    claims = pd.read_csv(load_params(study).layout.claims)
    given = claims[claims["verdict"] != "not_run"]
    assert 0 < len(given) < len(claims)
    for row in claims.itertuples():
        assert (f"| {row.statement}" in own) == (row.claim in set(given["claim"]))
    assert "**Table 1.**" in own and "at commit" in own
    (picture,) = re.findall(r"!\[[^\]]+\]\(([^)]+)\)", own)
    drawn = load_params(study).layout.figure("reordered-audio", "png")
    assert (written / "docs" / picture).read_bytes() == drawn.read_bytes()


def test_the_project_has_the_marks() -> None:
    pages = {"words": "speech", "syllables": "speech", "instruments": "instruments"}
    for name, page in pages.items():
        mark = readme.OWN_START.format(name)
        assert readme.replaced(ROOT / f"docs/{page}.md", "(new)", mark).count("(new)") == 1
    for name in FILES:
        assert readme.replaced(ROOT / name, "(new)").count("(new)") == 1


def test_a_study_with_a_page_of_its_own_has_it() -> None:
    wanted = {
        "params.yaml": None,
        "presets/smoke.yaml": None,
        "presets/speech.yaml": ("speech.md", "words"),
        "presets/syllables.yaml": ("speech.md", "syllables"),
        "presets/instruments.yaml": ("instruments.md", "instruments"),
    }
    for file, page in wanted.items():
        found = readme.own_page(load_params(ROOT / file))
        assert (found and (found[0].name, found[1])) == page
