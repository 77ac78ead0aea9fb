"""The results stages on a synthetic study whose answers are known."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Iterable
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import yaml
from matplotlib.colors import to_rgb
from scipy.spatial.distance import pdist

from stages import figures, scores, site, style, tables
from stages.errors import InputError
from shuffle_to_learn.views import View
from stages.gathered import nearest, read_scores
from stages.params import Methods, Params, load_params
from stages.paths import Encoder

ROOT = Path(__file__).parent.parent
# By how much a method's accuracy is above the rest; mse and fast_soft_ranking are alike.
MARGIN = {"perturbed_fy": 0.15, "mse": 0.05, "fast_soft_ranking": 0.05}
# Of the values of a modality, so that those of another are noticed.
SHIFT = {"audio": 0.0, "video": 0.1, "images": 0.2}
# From the manifests: what an author of labels might write, and what a page must not run.
NASTY = "Showing <b>a & b</b> <script>alert('z')</script>"


def make_study(
    folder: Path,
    *,
    audio: dict | None = None,
    video: dict | None = None,
    images: dict | None = None,
    without: Iterable[str] = (),
) -> Path:
    """A params file and every input of the results stages; returns the params file.

    Perturbed Fenchel-Young is better than the rest by a set margin on what is best high, and the
    random encoder on the pitch's error. What seeds and draws do is shared by the methods. The
    settings given are a modality's own or those of its section downstream.
    """
    content = yaml.safe_load((ROOT / "params.yaml").read_text())
    content["paths"] = {"data": str(folder / "data"), "results": str(folder / "results")}
    few = {"replicates": 3, "seeds": [0, 1]}
    settings = {
        "audio": {"views": ["frequency-10"], "seeds": [0, 1, 2], "replicates": 4} | (audio or {}),
        "video": {"views": ["frames-20", "frames-10", "frames-5"]} | few | (video or {}),
        "images": {"views": ["grid-3x3"]} | few | (images or {}),
    }
    for modality, own in settings.items():
        section = content[modality]
        section["pretrain"]["epochs"] = 6
        for key, value in own.items():
            (section if key in section else section["downstream"])[key] = value
    for modality in without:
        del content[modality]
    path = folder / "params.yaml"
    path.write_text(yaml.safe_dump(content))
    params = load_params(path)
    for e in params.encoders():
        make_encoder(params, e)
    for study in params.studies.values():
        make_manifest(params, study.dataset)
    return path


def expected_ranks(e: Encoder) -> float:
    """The partial ranks of one encoder; the fewer the patches, the more."""
    patches = View.parse(e.view).patches
    if e.method == "random":
        return 1 / patches
    return 0.3 + 1 / patches + MARGIN.get(e.method, 0.0) + 0.01 * e.seed + SHIFT[e.modality]


def expected_score(e: Encoder, n: int, replicate: int, *, lower: bool = False) -> float:
    """A score less the noise that is the method's own."""
    shared = np.random.default_rng([e.seed, n, replicate]).normal()
    if lower:
        return 150 + 10 * shared - (40 if e.method == "random" else 0)
    value = 0.2 + 0.04 * np.log10(n) + 0.02 * shared + MARGIN.get(e.method, 0.0)
    return value + 0.01 * View.parse(e.view).patches + SHIFT[e.modality]


def make_encoder(params: Params, e: Encoder) -> None:
    """The scores, the pretext metrics and the history of one encoder."""
    layout, study = params.layout, params.study(e.modality)
    down = study.downstream
    identity = {
        "modality": e.modality,
        "dataset": study.dataset,
        "view": e.view,
        "method": e.method,
        "upstream_seed": e.seed,
    }
    own = np.random.default_rng([e.seed, *map(ord, e.method + e.view)])
    rows = []
    for task in down.tasks:
        for n in down.n_examples:
            for replicate in range(down.replicates):
                for metric in study.metrics[task]:
                    value = expected_score(e, n, replicate, lower=metric == "mse")
                    value += (1 if metric == "mse" else 0.002) * own.normal()
                    if (task, metric) == ("pitch", "accuracy"):  # about as good as one another
                        value = 0.1 + 0.01 * own.random()
                    rows.append(
                        identity
                        | {"task": task, "n_examples": n, "replicate": replicate}
                        | {"metric": metric, "value": value}
                    )
    write(layout.scores(e), pd.DataFrame(rows))
    ranks = expected_ranks(e)
    metrics = {"partial_ranks": ranks, "loss": 1.5}
    layout.pretext(e).parent.mkdir(parents=True, exist_ok=True)
    layout.pretext(e).write_text(json.dumps(identity | {"metrics": metrics}))
    if e.method != "random":
        epochs = np.arange(study.pretrain.epochs + 1)
        curve = ranks * (1 - np.exp(-epochs / 3))
        history = {"epoch": epochs, "valid_loss": 1.5, "valid_partial_ranks": curve}
        write(layout.history(e), pd.DataFrame(history))


def make_manifest(params: Params, dataset: str) -> None:
    """What the stage dataset wrote of a dataset, and what extraction left out of it."""
    left_out: list[tuple[str, str, str]] = []
    if dataset == "notes":
        table = pd.DataFrame(
            {
                "kept": [True] * 4 + [False] * 5,
                "reason": [
                    *[""] * 4,
                    *("silent", "duplicate of a", "duplicate of b", "silent"),
                    "<script>alert('x')</script> & more",
                ],
                "split": ["train", "train", "valid", "test", *[""] * 5],
                "instrument": list("aabcabdab"),
                "family": "keys keys brass keys keys brass reed keys brass".split(),
            }
        )
    elif dataset == "motions":
        splits = ["train"] * 5 + ["valid"] * 2 + ["test"] * 3
        labels = ["Falling", NASTY]
        table = pd.DataFrame({"label": [labels[i % 2] for i in range(10)], "split": splits})
        left_out = [
            ("train", "input-01", "only 3 frames"),
            ("test", "input-08", "only 3 frames"),
            ("test", "input-09", "no <b>video</b>"),
        ]
    else:
        splits = ["pretrain"] * 2 + ["pretrain_valid", "train", "train", "valid", "test"]
        drawn = [["bird"], ["bird", "boat", NASTY], ["car"], ["boat"], ["bird", "car"], [], ["car"]]
        table = pd.DataFrame({"drawn": drawn, "split": splits})
        left_out = [("pretrain", "input-00", "damaged")]
    if dataset != "notes":
        table = table.assign(kept=True, reason="")
    table.insert(0, "id", [f"input-{i:02}" for i in range(len(table))])
    path = params.layout.manifest(dataset)
    path.parent.mkdir(parents=True, exist_ok=True)
    table.to_parquet(path)
    columns = ["split", "id", "reason"]
    write(params.layout.rejected(dataset), pd.DataFrame(left_out, columns=columns))


def write(path: Path, table: pd.DataFrame) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    table.to_csv(path, index=False)


def run_all(params: Path) -> None:
    for stage in (scores, tables, figures, site):
        stage.main(["--params", str(params)])


def outputs(params: Path) -> dict[str, bytes]:
    root = load_params(params).layout.results
    return {str(p.relative_to(root)): p.read_bytes() for p in root.rglob("*") if p.is_file()}


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A study whose four stages have run; not to be changed."""
    params = make_study(tmp_path_factory.mktemp("study"))
    run_all(params)
    return params


@pytest.fixture
def fresh(tmp_path: Path) -> Path:
    """A small study of which no results stage has run."""
    return make_study(tmp_path, n_examples=[100, 1000], tasks=["family", "pitch"])


def table1(params: Path) -> pd.DataFrame:
    return pd.read_csv(load_params(params).layout.table("table1", "csv"))


def text(params: Path, name: str) -> str:
    return (load_params(params).layout.results / name).read_text(encoding="utf-8")


# scores


def test_scores_holds_every_row_once_in_the_order_of_the_params_file(study: Path) -> None:
    params = load_params(study)
    table = pd.read_csv(params.layout.all_scores)
    down = params.audio.downstream
    # instrument and family: 1 metric, pitch: 2
    assert len(table) == 5 * 3 * 4 * len(down.n_examples) * down.replicates
    assert list(dict.fromkeys(table["method"])) == params.audio.methods
    e = params.encoders()[7]
    own = table[(table["method"] == e.method) & (table["upstream_seed"] == e.seed)]
    original = pd.read_csv(params.layout.scores(e))
    pd.testing.assert_frame_equal(own.reset_index(drop=True), original)
    pretext = pd.read_csv(params.layout.all_pretext)
    assert len(pretext) == 5 * 3 * 2
    assert list(pretext.columns)[-3:] == ["upstream_seed", "metric", "value"]


def test_scores_takes_exactly_the_encoders_asked_for(fresh: Path) -> None:
    """A file left by a longer list of seeds is not gathered."""
    content = yaml.safe_load(fresh.read_text())
    content["audio"]["seeds"] = [0, 2]
    fresh.write_text(yaml.safe_dump(content))
    scores.main(["--params", str(fresh)])
    table = pd.read_csv(load_params(fresh).layout.all_scores)
    assert set(table["upstream_seed"]) == {0, 2}


def damage_scores(table: pd.DataFrame, how: str) -> pd.DataFrame:
    if how == "duplicate":
        return pd.concat([table, table.iloc[[3]]])
    if how == "missing":
        return table.drop(index=5)
    if how == "a task missing":
        return table[table["task"] != "pitch"]
    if how == "not finite":
        return table.assign(value=table["value"].where(table.index != 4))
    if how == "another encoder":
        return table.assign(method="mse")
    if how == "a count too many":
        return pd.concat([table, table[table["n_examples"] == 100].assign(n_examples=50)])
    return table.rename(columns={"value": "score"})


@pytest.mark.parametrize(
    ("how", "message"),
    [
        ("duplicate", r"line 26: the same score as on a line above"),
        ("missing", r"lacks a score \(.*replicate 1.*\) that the params file asks for"),
        ("a task missing", r"lacks 16 scores \(first: .*task pitch.*\)"),
        ("not finite", r"line 6: the value nan is not a finite number"),
        ("another encoder", r"holds 24 scores \(first: .*method mse.*\) .* does not ask for"),
        ("a count too many", r"holds 12 scores \(first: .*n_examples 50.*\) .* does not ask for"),
        ("columns", r"has the columns .*score instead of .*value"),
    ],
)
def test_scores_refuses_damaged_scores(fresh: Path, how: str, message: str) -> None:
    params = load_params(fresh)
    path = params.layout.scores(params.encoders()[4])
    damage_scores(pd.read_csv(path), how).to_csv(path, index=False)
    with pytest.raises(InputError, match=message) as error:
        scores.main(["--params", str(fresh)])
    assert str(path) in str(error.value) and "\n" not in str(error.value)
    assert not params.layout.all_scores.exists()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"metrics": {"loss": 1.0}}, "lacks a score .*metric partial_ranks"),
        ({"metrics": {"partial_ranks": float("nan")}}, "partial_ranks is nan, not a finite number"),
        ({"metrics": {"partial_ranks": "0.4"}}, "not a finite number"),
        ({"metrics": None}, "holds no metrics"),
        ({"upstream_seed": 9}, "is of upstream_seed 9, not 1"),
    ],
)
def test_scores_refuses_damaged_pretext(fresh: Path, change: dict, message: str) -> None:
    params = load_params(fresh)
    path = params.layout.pretext(params.encoders()[1])
    path.write_text(json.dumps(json.loads(path.read_text()) | change))
    with pytest.raises(InputError, match=message) as error:
        scores.main(["--params", str(fresh)])
    assert str(path) in str(error.value)


@pytest.mark.parametrize("kind", ["scores", "pretext"])
def test_scores_names_a_missing_file(fresh: Path, kind: str) -> None:
    params = load_params(fresh)
    path = getattr(params.layout, kind)(params.encoders()[2])
    path.unlink()
    with pytest.raises(InputError, match="run the stage") as error:
        scores.main(["--params", str(fresh)])
    assert str(path) in str(error.value)


def test_a_mistake_ends_in_one_line_and_a_status(tmp_path: Path) -> None:
    params = make_study(tmp_path, n_examples=[10], tasks=["family"])
    path = load_params(params).layout.scores(load_params(params).encoders()[0])
    path.unlink()
    done = subprocess.run(
        [sys.executable, "-m", "stages.scores", "--params", str(params)],
        cwd=ROOT,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 1
    assert done.stderr == f"error: {path} does not exist: run the stage downstream first\n"


# tables


def test_table1_marks_the_best_and_those_alike(study: Path) -> None:
    table = table1(study)
    assert set(zip(table["task"], table["metric"], strict=True)) == set(style.MEASURES)
    best = table[table["best"]].set_index(["task", "metric"])["method"].to_dict()
    assert best["instrument", "accuracy"] == "perturbed_fy"
    assert best["family", "accuracy"] == "perturbed_fy"
    assert best["pitch", "mse"] == "random"  # lower is better
    assert best["pretext", "partial_ranks"] == "perturbed_fy"
    accuracy = table[table["task"] == "instrument"]
    assert not accuracy["indistinguishable"].any()
    # the methods are about as good as one another on pitch accuracy by construction
    assert (table["task"] == "pitch").sum() == 10


def test_table1_values(study: Path) -> None:
    row = table1(study).query("task == 'family' and method == 'mse'").iloc[0]
    raw = pd.read_csv(load_params(study).layout.all_scores)
    raw = raw.query("task == 'family' and method == 'mse' and n_examples == 1000")
    assert row["mean"] == pytest.approx(raw["value"].mean(), abs=1e-7)
    assert row["ci_low"] < row["mean"] < row["ci_high"]
    assert row["difference"] == pytest.approx(-0.10, abs=0.005)
    assert row["difference_low"] < -0.09 and row["difference_high"] < 0
    assert (row["n_seeds"], row["n_replicates"], row["n_examples"]) == (3, 4, 1000)


def test_methods_alike_are_marked(fresh: Path) -> None:
    """Two copies of one method's scores, but for noise of no direction."""
    params = load_params(fresh)
    for e in params.encoders():
        if e.method == "mse":
            twin = params.layout.scores(type(e)(e.modality, e.view, "perturbed_fy", e.seed))
            table = pd.read_csv(twin).assign(method="mse")
            table["value"] += np.where(table["replicate"] % 2, 0.001, -0.001)
            table.to_csv(params.layout.scores(e), index=False)
    scores.main(["--params", str(fresh)])
    tables.main(["--params", str(fresh)])
    table = table1(fresh).query("task == 'family'").set_index("method")
    marks = table["best"] | table["indistinguishable"]
    assert set(marks[marks].index) == {"mse", "perturbed_fy"}
    assert "†" in text(fresh, "tables/table1.md")


def test_table1_says_when_1000_examples_were_not_run(tmp_path: Path) -> None:
    assert tables.nearest([125, 1000, 2000]) == 1000
    assert tables.nearest([500, 1500]) == 1500
    assert tables.nearest([40, 20]) == 40
    params = make_study(tmp_path, n_examples=[50, 100], tasks=["family"], replicates=1)
    scores.main(["--params", str(params)])
    tables.main(["--params", str(params)])
    for suffix in ("md", "tex", "html"):
        words = text(params, f"tables/table1.{suffix}")
        assert "1000 examples was not run; 100 is the nearest" in words
    assert set(table1(params)["n_examples"].dropna()) == {100}


def test_caption_says_what_few_seeds_cannot(study: Path) -> None:
    assert "1 upstream seed" in tables.caution(1)
    assert "at most 50%" in tables.caution(2)
    assert "at most 75%" in tables.caution(3)
    assert tables.caution(10) == ""
    for suffix in ("md", "html"):
        words = text(study, f"tables/table1.{suffix}")
        assert "embedded dataset notes, not NSynth" in words and "at most 75%" in words


def test_one_seed_claims_no_best_partial_ranks(fresh: Path) -> None:
    content = yaml.safe_load(fresh.read_text())
    content["audio"]["seeds"] = [0]
    fresh.write_text(yaml.safe_dump(content))
    scores.main(["--params", str(fresh)])
    tables.main(["--params", str(fresh)])
    table = table1(fresh).query("task == 'pretext'")
    assert table["ci_low"].isna().all()
    assert (table["best"] | table["indistinguishable"]).all()
    assert "nan" not in text(fresh, "tables/table1.md")


def test_views_are_blocks_and_rows_of_panels(tmp_path: Path) -> None:
    params = make_study(
        tmp_path, views=["frequency-10", "grid-2x2"], n_examples=[100, 1000], tasks=["pitch"]
    )
    run_all(params)
    words = text(params, "tables/table1.md")
    assert "*10 frequency bands*" in words and "*2 x 2 patches*" in words
    assert text(params, "tables/table1.html").count("<table") == 2
    drawn = pd.read_csv(load_params(params).layout.figure("figure3", "csv"))
    assert set(drawn["view"]) == {"frequency-10", "grid-2x2"}


def test_escapes_labels(monkeypatch: pytest.MonkeyPatch, study: Path) -> None:
    nasty = style.LOOKS["mse"]._replace(label="<b>50%&$x_1$|{a}\\~^</b>")
    monkeypatch.setitem(style.LOOKS, "mse", nasty)
    blocks = tables.cells(table1(study))
    words = tables.latex(blocks, ["50 % & $x_1$"])
    assert r"<b>50\%\&\$x\_1\$|\{a\}\textbackslash{}\textasciitilde{}" in words
    words = tables.html(blocks, ["a < b"])
    assert "<b>" not in words and "&lt;b&gt;50%&amp;$x_1$" in words and "a &lt; b" in words
    words = tables.markdown(blocks, [])
    assert r"\<b\>50%&$x\_1$\|\{a\}" in words


def test_latex_has_as_many_cells_in_every_row(study: Path) -> None:
    lines = text(study, "tables/table1.tex").splitlines()
    rows = [line for line in lines if line.endswith(r"\\")]
    assert len(rows) == 2 + 2 * 5
    assert {len(re.findall(r"(?<!\\)&", row)) for row in rows} == {5}
    assert text(study, "tables/table1.tex").isascii()


# figures


def test_every_method_has_a_look_of_its_own() -> None:
    assert set(Methods.model_fields) <= set(style.LOOKS)
    shown = style.looks(["perturbed_fy", "random", "new_one", "another"])
    assert list(shown) == ["random", "perturbed_fy", "new_one", "another"]
    assert shown["new_one"].label == "New one"
    everything = [*style.LOOKS.values(), *(style.Look("", *spare) for spare in style.SPARE)]
    for part in ("colour", "marker", "dashes"):
        assert len({getattr(look, part) for look in everything}) == len(everything)


# Machado et al. 2009, severity 1, on linear RGB; rows sum to 1.
VISION = {
    "normal": np.eye(3),
    "protanopia": [[0.152, 1.053, -0.205], [0.115, 0.786, 0.099], [-0.004, -0.048, 1.052]],
    "deuteranopia": [[0.367, 0.861, -0.228], [0.280, 0.673, 0.047], [-0.012, 0.043, 0.969]],
    "tritanopia": [[1.256, -0.077, -0.179], [-0.078, 0.931, 0.147], [0.005, 0.691, 0.304]],
}
OKABE_ITO = ("#0072B2", "#000000", "#E69F00", "#56B4E9", "#009E73", "#D55E00")


def least_difference(colours: Iterable[str]) -> float:
    """The least CIELAB distance of any two colours, as any of the kinds of eyes sees them."""
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
    shown = [look.colour for look in style.LOOKS.values()]
    assert set(OKABE_ITO) < set(shown)
    spare = [colour for colour, *_ in style.SPARE]
    assert least_difference([*shown, *spare]) == least_difference(OKABE_ITO)
    assert least_difference(OKABE_ITO) == pytest.approx(16, abs=0.5)


def test_figure3_draws_the_scores(study: Path) -> None:
    params = load_params(study)
    drawn = pd.read_csv(params.layout.figure("figure3", "csv"))
    assert len(drawn) == 3 * 5 * len(params.audio.downstream.n_examples)
    assert set(zip(drawn["task"], drawn["metric"], strict=True)) == {
        ("instrument", "accuracy"),
        ("family", "accuracy"),
        ("pitch", "mse"),
    }
    # at 1000 examples it is the table
    both = drawn.query("n_examples == 1000").merge(
        table1(study), on=["view", "method", "task", "metric"], suffixes=("", "_table")
    )
    assert len(both) == 15
    for column in ("mean", "ci_low", "ci_high"):
        np.testing.assert_array_equal(both[column], both[f"{column}_table"])


def test_pretext_curves(study: Path) -> None:
    params = load_params(study)
    drawn = pd.read_csv(params.layout.figure("pretext", "csv"))
    assert set(drawn["method"]) == set(params.audio.methods) - {"random"}
    row = drawn.query("method == 'mse' and epoch == 6").iloc[0]
    share = 1 - np.exp(-2)
    assert (row["lowest"], row["mean"], row["highest"]) == pytest.approx(
        (0.45 * share, 0.46 * share, 0.47 * share)
    )
    assert row["n_seeds"] == 3


def test_figures_refuses_a_history_cut_short(fresh: Path) -> None:
    scores.main(["--params", str(fresh)])
    params = load_params(fresh)
    path = params.layout.history(params.encoders()[-1])
    pd.read_csv(path).iloc[:-1].to_csv(path, index=False)
    with pytest.raises(InputError, match="each of the epochs 1 to 6 once") as error:
        figures.main(["--params", str(fresh)])
    assert str(path) in str(error.value)


def test_figures_of_one_count_and_the_random_encoder_alone(tmp_path: Path) -> None:
    params = make_study(tmp_path, n_examples=[100], tasks=["family"], replicates=1)
    content = yaml.safe_load(params.read_text())
    content["audio"] |= {"methods": ["random"], "seeds": [0]}
    params.write_text(yaml.safe_dump(content))
    run_all(params)
    assert "Random encoder" in text(params, "index.html")


def test_stale_scores_are_refused(fresh: Path) -> None:
    scores.main(["--params", str(fresh)])
    content = yaml.safe_load(fresh.read_text())
    content["audio"]["downstream"]["replicates"] = 5
    fresh.write_text(yaml.safe_dump(content))
    for stage in (tables, figures):
        with pytest.raises(InputError, match=r"scores\.csv lacks .* run the stage scores again"):
            stage.main(["--params", str(fresh)])
    with pytest.raises(InputError):
        read_scores(load_params(fresh))


# site


VOID = {"meta", "link", "br", "hr", "img", "input", "col"}


class Page(HTMLParser):
    """Every attribute and every open element of a page."""

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


def test_page_is_well_formed_and_refers_to_nothing_outside(study: Path) -> None:
    words = text(study, "index.html")
    page = Page(words)
    assert not page.open
    assert not page.tags & {"script", "link", "img", "iframe", "object", "image", "foreignobject"}
    results = load_params(study).layout.results
    ids = [value for _, name, value in page.attributes if name == "id"]
    assert len(ids) == len(set(ids))
    for _, name, value in page.attributes:
        if name in {"href", "xlink:href", "src", "action", "data", "poster", "srcset"}:
            if value.startswith("#"):
                assert value[1:] in ids
            else:
                assert not re.match(r"[a-z]*:|/", value, re.IGNORECASE)
                assert (results / value).is_file()
    assert "@import" not in words
    assert all(target.startswith("#") for target in re.findall(r"url\(([^)]*)\)", words))
    # namespaces are names, not requests
    assert set(re.findall(r"https?://[^\s\"'<>]*", words)) <= {
        "http://www.w3.org/2000/svg",
        "http://www.w3.org/1999/xlink",
    }


def test_page_says_what_was_run_and_escapes(study: Path) -> None:
    words = text(study, "index.html")
    assert "not NSynth" in words and "can be set beside the paper" in words
    assert "<script" not in words.lower()
    assert "&lt;script&gt;alert" in words
    for name in ("tensorflow", "keras", "librosa", "numpy", "snakemake", "dvc"):
        assert re.search(rf"{name}</th>\s*<td>\d+\.", words)
    assert "epsilon" in words and "hop_length" in words
    assert str(load_params(study).layout.data) not in words


def test_counts_of_notes(study: Path) -> None:
    counts = site.notes(load_params(study))
    assert (counts["kept"], counts["total"], counts["instruments"]) == (4, 9, 3)
    assert counts["rejected"][:2] == [
        ("silent", 2),
        ("the same as another instrument's note", 2),
    ]
    assert counts["splits"] == [("train", 2, 1), ("valid", 1, 1), ("test", 1, 1)]
    assert counts["families"] == [("brass", 1, 1), ("keys", 3, 2)]


def test_commit_without_git(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert site.commit(tmp_path) == "unknown: not run from a git checkout"
    monkeypatch.setenv("PATH", "")
    assert site.commit(ROOT) == "unknown: not run from a git checkout"


def test_commit_and_changes(tmp_path: Path) -> None:
    def git(*arguments: str) -> None:
        who = ["-c", "user.name=a", "-c", "user.email=a@b.c", "-c", "commit.gpgsign=false"]
        subprocess.run(
            ["git", *who, *arguments],
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
    (tmp_path / "folder").mkdir()  # a copy inside another project's checkout
    assert site.commit(tmp_path / "folder").startswith("unknown")


def test_site_names_a_missing_figure(study: Path) -> None:
    path = load_params(study).layout.figure("figure3-narrow", "svg")
    aside = path.rename(path.with_suffix(".aside"))
    try:
        with pytest.raises(InputError, match="run the stage figures first") as error:
            site.main(["--params", str(study)])
    finally:
        aside.rename(path)
    assert str(path) in str(error.value)


# all of them


def test_same_bytes_again_and_without_tensorflow(study: Path) -> None:
    """In a process of its own: it writes the same bytes and imports nothing heavy."""
    code = (
        "import sys\n"
        "from stages import figures, scores, site, tables\n"
        f"arguments = ['--params', {str(study)!r}]\n"
        "for stage in (scores, tables, figures, site):\n"
        "    stage.main(arguments)\n"
        "heavy = {'tensorflow', 'keras', 'librosa', 'dvc', 'snakemake', 'torch'}\n"
        "assert not heavy & set(sys.modules), heavy & set(sys.modules)\n"
    )
    before = outputs(study)
    assert len(before) == 14
    subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=True)
    after = outputs(study)
    assert [name for name in after if after[name] != before.get(name)] == []


def test_help(capsys: pytest.CaptureFixture[str]) -> None:
    for stage in (scores, tables, figures, site):
        with pytest.raises(SystemExit):
            stage.main(["--help"])
        words = capsys.readouterr().out
        assert "--params FILE" in words and "results/" in words
