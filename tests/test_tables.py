"""The stage tables on a study whose answers are known."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from scored_study import (
    METHODS,
    OTHERS,
    change,
    drawn,
    expected_ranks,
    expected_score,
    gather,
    make_study,
    plan,
    run_all,
    table,
    text,
)

from stages import tables
from study import names
from study.loading import load_params
from study.paths import EncoderKey
from study.results import nearest

PRETEXT = ["Partial ranks", "Kendall's tau", "Orders told"]


def test_the_fixed_set_is_no_larger_than_there_are_orders(tmp_path: Path) -> None:
    params = make_study(tmp_path, without=["audio"], video={"slicings": ["frames-20", "frames-4"]})
    words = " ".join(tables.caption(load_params(params), plan(3)))
    assert "among the same 100 or 24 orders, those of fixed permutations" in words
    assert "(chance: 0.010, 0.042)" in words


def test_table1_marks_the_best_and_those_alike(study: Path) -> None:
    rows = table(study, 1)
    assert set(zip(rows["task"], rows["metric"], strict=True)) == {
        ("instrument", "accuracy"),
        ("family", "accuracy"),
        ("pitch", "mse"),
        ("pitch_class", "accuracy"),
        ("pretext", "partial_ranks"),
        ("pretext", "kendall_tau"),
        ("pretext", "fixed_set"),
    }
    best = rows[rows["best"]].set_index(["task", "metric"])["method"].to_dict()
    assert best["instrument", "accuracy"] == "perturbed_fy"
    assert best["family", "accuracy"] == "perturbed_fy"
    assert best["pitch", "mse"] == "random"  # lower is better
    assert best["pretext", "partial_ranks"] == "perturbed_fy"
    accuracy = rows[rows["task"] == "instrument"]
    assert not accuracy["indistinguishable"].any()
    assert (rows["task"] == "pitch").sum() == 5  # 5 methods, 1 metric
    beside = re.findall(
        r'title="the best is better in (\d) of 3 seeds; p = ([\d.]+) by sign',
        text(study, "tables/table1.html"),
    )
    others = rows[~rows["best"]]
    assert sorted(beside) == sorted(
        (str(row.agree), f"{row.sign_flip_p:.3f}") for row in others.itertuples()
    )


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
    query = f"slicing == '{slicing}' and task == '{task}' and n_examples == {examples}"
    rows = table(study, number).query(query).set_index("method")
    assert len(rows) == 5
    raw = pd.read_csv(load_params(study).layout.all_scores)
    probe = load_params(study).study(modality).downstream.probe
    raw = raw.query(f"modality == '{modality}' and classifier == '{probe}' and {query}")
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
def test_pretext_metrics_of_a_table(study: Path, number: int, modality: str) -> None:
    rows = table(study, number).query("task == 'pretext'")
    assert list(dict.fromkeys(rows["metric"])) == ["partial_ranks", "kendall_tau", "fixed_set"]
    rows = rows.set_index(["slicing", "method", "metric"])
    params = load_params(study)
    seeds = params.study(modality).seeds
    for slicing in params.study(modality).slicings:
        for method in ("random", "mse", "perturbed_fy"):
            ranks = [expected_ranks(EncoderKey(modality, slicing, method, seed)) for seed in seeds]
            mean = np.mean(ranks)
            expected = {"partial_ranks": mean, "kendall_tau": mean - 0.1, "fixed_set": mean / 2}
            for metric, value in expected.items():
                row = rows.loc[(slicing, method, metric)]
                assert row["mean"] == pytest.approx(value, abs=1e-7)
                assert (row["n_seeds"], row["n_replicates"]) == (len(seeds), 1)
                assert pd.isna(row["n_examples"])


def test_methods_alike_are_marked(fresh: Path) -> None:
    """Two methods have the same scores but for noise that favours neither."""
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


def test_a_method_that_orders_no_patches_has_empty_cells(tmp_path: Path) -> None:
    """And is in no figure of partial ranks; what it is scored on stands with the others'."""
    audio = {"methods": [*METHODS, "contrastive"], "slicings": ["frequency-10", "time-10"]}
    params = make_study(tmp_path, audio=audio, without=["video", "images"])
    run_all(params)
    for number in (1, 2):
        rows = table(params, number)
        asked = rows[rows["method"] == "contrastive"]
        assert set(asked["task"]) == {"instrument", "family", "pitch", "pitch_class"}
        assert set(rows[rows["task"] == "pretext"]["method"]) == set(METHODS)
        for block in tables.cells(rows, plan(number)):
            assert [column["label"] for column in block["columns"]][-3:] == PRETEXT
            assert {len(row["cells"]) for row in block["rows"]} == {7}
        lines = text(params, f"tables/table{number}.md").splitlines()
        assert (
            sum(line.endswith(3 * f"| {tables.NO_VALUE} " + "|") for line in lines) == 2
        )  # of two slicings
        fragment = text(params, f"tables/table{number}.html")
        assert fragment.count(f'<span class="mean">{tables.NO_VALUE}</span>') == 6
        tex = text(params, f"tables/table{number}.tex").splitlines()
        cells = {len(re.findall(r"(?<!\\)&", line)) for line in tex if line.endswith(r"\\")}
        assert cells <= {0, 7}
    for name in ("pretext-audio", "figure4"):
        points = drawn(params, name)
        if "task" in points:
            assert "contrastive" in set(points["method"])
            points = points[points["task"] == "pretext"]
        assert set(points["method"]) - {"random"} == set(METHODS) - {"random"}


@pytest.mark.parametrize(("number", "modality"), [(1, "audio"), (3, "video"), (4, "images")])
def test_one_seed_claims_no_best_partial_ranks(fresh: Path, number: int, modality: str) -> None:
    change(fresh, modality, seeds=[0])
    gather(fresh)
    rows = table(fresh, number).query("task == 'pretext'")
    assert rows["ci_low"].isna().all()
    assert (rows["best"] | rows["indistinguishable"]).all()
    assert "nan" not in text(fresh, f"tables/table{number}.md")


def test_table2_sets_slicings_of_as_many_patches_beside_each_other(study: Path) -> None:
    """It leaves out the ablation's slicing into 5 bands and has the ablation's only seed, 2."""
    rows = table(study, 2)
    assert list(dict.fromkeys(rows["method"])) == ["random", "perturbed_fy"]
    assert list(dict.fromkeys(rows["slicing"])) == ["frequency-10", "time-10"]
    assert set(rows["n_seeds"]) == {1}
    raw = pd.read_csv(load_params(study).layout.all_scores)
    raw = raw.query("n_examples == 1000 and upstream_seed == 2 and classifier == 'mlp'")
    row = rows.query("slicing == 'time-10' and method == 'random' and task == 'family'").iloc[0]
    draws = raw.query("slicing == 'time-10' and method == 'random' and task == 'family'")
    assert row["mean"] == pytest.approx(draws["value"].mean(), abs=1e-7) and len(draws) == 4
    best = rows[rows["best"] | rows["indistinguishable"]].query("task == 'family'")
    assert set(best["method"]) == {"random", "perturbed_fy"}  # each block marks one row
    blocks = tables.cells(rows, plan(2))
    assert [block["name"] for block in blocks] == ["Random encoder", "Perturbed Fenchel-Young"]
    assert [row["label"] for row in blocks[0]["rows"]] == ["10 frequency bands", "10 time slices"]
    words = text(study, "tables/table2.md")
    assert "ways of slicing into as many patches" in words and "over 1 upstream seed" in words
    assert "| Slicing | Instrument accuracy ↑" in words


def test_table3_has_a_block_a_number_of_frames(study: Path) -> None:
    rows = table(study, 3)
    assert list(dict.fromkeys(rows["slicing"])) == ["frames-20", "frames-10", "frames-5"]
    assert set(rows["n_examples"].dropna()) == {3000}
    assert len(rows) == 3 * 4 * 5
    blocks = tables.cells(rows, plan(3))
    assert [block["name"] for block in blocks] == ["20 frames", "10 frames", "5 frames"]
    for block in blocks:
        heads = [column["label"] for column in block["columns"]]
        assert heads == ["Action accuracy", *PRETEXT]
    words = text(study, "tables/table3.md")
    places = [words.index(f"*{n} frames*\n") for n in (20, 10, 5)]
    assert places == sorted(places)
    assert words.startswith("**Table 3.** Video, embedded dataset motions, not Something-Something")
    assert "3-layer MLP with 3000 labelled examples" in words
    assert "(chance: 0.050, 0.100, 0.200)" in words and "AUC" not in words
    assert "among the same 100 orders, those of fixed permutations (chance: 0.010)" in words
    fragment = text(study, "tables/table3.html")
    assert fragment.count("<table") == 3
    for n in (20, 10, 5):  # in a caption, which a narrow page shows too
        assert re.search(rf'<strong class="slicing">{n} frames</strong>\s*</caption>', fragment)
    assert r"\multicolumn{5}{@{}l}{20 frames}" in text(study, "tables/table3.tex")


def test_table4_has_a_column_a_count(study: Path) -> None:
    rows = table(study, 4)
    assert set(rows["n_examples"].dropna()) == {1000, 3000}
    (block,) = tables.cells(rows, plan(4))
    assert [column["label"] for column in block["columns"]] == [
        "Mean AUC, 1000 examples",
        "Mean AUC, 3000 examples",
        *PRETEXT,
    ]
    words = text(study, "tables/table4.md")
    assert "Mean AUC, 1000 examples ↑ | Mean AUC, 3000 examples ↑ | Partial ranks ↑ | " in words
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
    assert " & Mean AUC & Mean AUC & Partial & Kendall's & Orders \\\\" in tex
    assert r"1000 examples $\uparrow$ & 3000 examples $\uparrow$" in tex


def test_table6_is_of_the_count_nearest_to_5000(study: Path) -> None:
    counts = load_params(study).study("audio").downstream.n_examples
    assert set(table(study, 6)["n_examples"].dropna()) == {max(counts)}
    assert "5000 examples was not run" in text(study, "tables/table6.md")


def test_table_a1_has_the_other_classifiers(study: Path) -> None:
    rows = table(study, "a1").query("task == 'instrument'").set_index(["classifier", "method"])
    assert list(dict.fromkeys(rows.index.get_level_values(0))) == ["mlp-tiles", "knn", "end_to_end"]
    main = table(study, 1).query("task == 'instrument'").set_index("method")["mean"]
    for classifier, methods, shape in (
        ("mlp-tiles", METHODS, (3, 4)),
        ("knn", METHODS, (3, 4)),
        ("end_to_end", ["random", "perturbed_fy"], (2, 2)),
    ):
        block = rows.loc[classifier]
        assert set(block.index) == set(methods)
        assert set(zip(block["n_seeds"], block["n_replicates"], strict=True)) == {shape}
        for method in methods:
            gap = block.loc[method, "mean"] - main[method]
            assert gap == pytest.approx(OTHERS[classifier], abs=0.05)  # seeds and draws differ
    assert rows.loc["knn"].loc["mse", "mean"] - main["mse"] == pytest.approx(-0.3, abs=1e-3)
    words = text(study, "tables/tablea1.md")
    assert "*MLP on the layer before it (tiles), 3 seeds x 4 draws*" in words
    assert "*Nearest neighbours in the frozen embedding, 3 seeds x 4 draws*" in words
    assert "*Trained end to end, 2 seeds x 2 draws*" in words
    assert "| Supervised, end to end |" in words
    assert "| Perturbed Fenchel-Young, fine-tuned |" in words
    assert "Ours, not the paper's" in words and "Partial ranks" not in words


def test_a_table_of_nothing_has_no_rows(study: Path) -> None:
    """The video study has one probe and trains nothing end to end."""
    assert table(study, "a2").empty
    assert "|" not in text(study, "tables/tablea2.md")


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
    (block,) = tables.cells(table(params, 4), plan(4))  # 40 stands in for both counts
    assert [column["label"] for column in block["columns"]] == ["Mean AUC", *PRETEXT]


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
    sentence = tables.caption(params, plan(4))[0]
    assert said in sentence and sentence.count("not run") == bool(said)


def test_caption_says_what_few_seeds_cannot(study: Path) -> None:
    assert "1 upstream seed has no interval" in tables.caution(1)
    assert "wide" in tables.caution(2)
    assert tables.caution(3) == tables.caution(10) == ""
    for suffix in ("md", "html"):
        words = text(study, f"tables/table1.{suffix}")
        assert "embedded dataset notes, not NSynth" in words and "is honest" not in words
        for number in (3, 4):
            assert "is honest and wide" in text(study, f"tables/table{number}.{suffix}")


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


@pytest.mark.parametrize(("number", "columns", "blocks"), [(1, 7, 1), (3, 4, 3), (4, 5, 1)])
def test_latex_has_as_many_cells_in_every_row(
    study: Path, number: int, columns: int, blocks: int
) -> None:
    lines = text(study, f"tables/table{number}.tex").splitlines()
    rows = [line for line in lines if line.endswith(r"\\") and "multicolumn" not in line]
    assert len(rows) == blocks * (2 + 2 * 5)
    assert {len(re.findall(r"(?<!\\)&", row)) for row in rows} == {columns}
    assert rf"\begin{{tabular}}{{@{{}}l{'c' * columns}@{{}}}}" in lines
    assert text(study, f"tables/table{number}.tex").isascii()
