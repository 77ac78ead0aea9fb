"""The stage figures on a study whose answers are known."""

from __future__ import annotations

import warnings
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from matplotlib.collections import LineCollection
from scored_study import (
    OTHERS,
    drawn,
    encoder,
    expected_ranks,
    expected_score,
    make_study,
    run_all,
    table,
    text,
)

from stages import figures, scores
from study import forest, names
from study.errors import InputError
from study.loading import load_params
from study.paths import EncoderKey


@pytest.mark.parametrize(
    ("modality", "name", "number", "panels"),
    [
        (
            "audio",
            "figure3",
            1,
            {
                ("instrument", "accuracy"),
                ("family", "accuracy"),
                ("pitch", "mse"),
                ("pitch_class", "accuracy"),
            },
        ),
        ("video", "video-examples", 3, {("action", "accuracy")}),
        ("images", "images-examples", 4, {("objects", "auc")}),
    ],
)
def test_figure_draws_the_scores(
    study: Path, modality: str, name: str, number: int, panels: set[tuple[str, str]]
) -> None:
    settings, rows = load_params(study).study(modality), drawn(study, name)
    expected = len(panels) * len(settings.slicings) * 5 * len(settings.downstream.n_examples)
    if modality == "audio":  # the supervised network, at two numbers of examples
        expected += len(panels) * 2
    assert len(rows) == expected
    assert set(zip(rows["task"], rows["metric"], strict=True)) == panels
    # where the table has the number of examples, the figure has the table's values
    keys = ["slicing", "method", "task", "metric", "n_examples"]
    both = rows.merge(table(study, number), on=keys, suffixes=("", "_table"))
    counts = 2 if modality == "images" else 1
    assert len(both) == len(panels) * len(settings.slicings) * 5 * counts
    for column in ("mean", "ci_low", "ci_high"):
        np.testing.assert_array_equal(both[column], both[f"{column}_table"])


def test_figure3_has_the_supervised_network(study: Path) -> None:
    rows = drawn(study, "figure3").query("task == 'family'").set_index(["method", "n_examples"])
    supervised = rows.loc["supervised"]
    assert list(supervised.index) == [125, 1000] and set(supervised["n_seeds"]) == {2}
    gap = supervised["mean"] - rows.loc["random"]["mean"].loc[[125, 1000]]
    np.testing.assert_allclose(gap, OTHERS["end_to_end"], atol=0.05)
    assert not any("fine_tuned" in method for method, _ in rows.index)


def test_figure4_is_of_the_methods_and_seeds_of_every_number_of_bands(study: Path) -> None:
    rows = drawn(study, "figure4")
    assert len(rows) == 2 * 2 * 5
    assert list(dict.fromkeys(rows["patches"])) == [5, 10]
    assert set(rows["method"]) == {"random", "perturbed_fy"} and set(rows["n_seeds"]) == {1}
    row = rows.query("patches == 10 and method == 'random' and task == 'family'").iloc[0]
    key = EncoderKey("audio", "frequency-10", "random", 2)
    expected = np.mean([expected_score(key, 1000, replicate) for replicate in range(4)])
    assert row["mean"] == pytest.approx(expected, abs=0.005)
    row = rows.query("patches == 5 and method == 'perturbed_fy' and task == 'pretext'").iloc[0]
    key = EncoderKey("audio", "frequency-5", "perturbed_fy", 2)
    assert row["mean"] == pytest.approx(expected_ranks(key))


def test_figures_of_which_a_study_has_nothing(tmp_path: Path) -> None:
    """A study without bands and without the task of the confusion figure: each figure says so."""
    audio = {"slicings": ["grid-2x2"], "n_examples": [100], "tasks": ["pitch_class"]}
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
            points = rows[(rows["patches"] == n) & (rows["method"] == method)].set_index("task")
            value = [expected_score(e, 3000, r) for e in encoders for r in range(3)]
            row = points.loc["action"]
            assert row["mean"] == pytest.approx(np.mean(value), abs=0.005)
            assert row["ci_low"] < row["mean"] < row["ci_high"]
            assert (row["metric"], row["n_examples"]) == ("accuracy", 3000)
            row = points.loc["pretext"]
            assert row["mean"] == pytest.approx(np.mean([expected_ranks(e) for e in encoders]))
            assert (row["metric"], row["n_replicates"]) == ("partial_ranks", 1)
            assert pd.isna(row["n_examples"])
    # the same values as in the table
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
    labels = ["brass & <b>co", "flute", "reed"]
    found = {(row.wanted, row.answer): row.count for row in rows.itertuples(index=False)}
    expected = {(0, 0): 10, (1, 1): 7, (1, 2): 3, (2, 2): 8, (2, 0): 2}
    assert found == {(labels[w], labels[a]): seeds * c for (w, a), c in expected.items()}
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
    settings, rows = load_params(study).study(modality), drawn(study, f"pretext-{modality}")
    assert set(rows["method"]) == set(settings.methods) - {"random"}
    assert list(dict.fromkeys(rows["slicing"])) == settings.slicings
    assert len(rows) == len(settings.slicings) * 4 * 7
    row = rows.query(f"slicing == '{slicing}' and method == 'mse' and epoch == 6").iloc[0]
    ranks = [expected_ranks(EncoderKey(modality, slicing, "mse", seed)) for seed in range(seeds)]
    share = 1 - np.exp(-2)
    assert (row["lowest"], row["mean"], row["highest"]) == pytest.approx(
        (min(ranks) * share, np.mean(ranks) * share, max(ranks) * share)
    )
    assert row["n_seeds"] == seeds


def test_panels_of_a_measure_have_one_scale(study: Path) -> None:
    """A reader can compare the panels of three numbers of frames by eye."""
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
    path = load_params(fresh).layout.history(encoder(fresh, modality, -1))
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
        warnings.simplefilter("error")  # numpy and matplotlib warn about NaN
        run_all(params)
    assert "Random encoder" in text(params, "index.html")
    assert drawn(params, "pretext-video").empty


def test_the_plot_of_the_claims_draws_every_claim_that_was_run(study: Path) -> None:
    params = load_params(study)
    claims = pd.read_csv(params.layout.claims).set_index("claim")
    rows = drawn(study, "claims").set_index("claim")
    assert set(rows.index) == set(claims.index[claims["verdict"] != "not_run"])
    for column in ("effect", "ci_low", "ci_high", "verdict", "verdict_all", "n_seeds"):
        pd.testing.assert_series_equal(
            rows[column], claims.loc[rows.index, column], check_dtype=False
        )
    assert (rows["threshold"].abs() <= 0.02).all()
    assert not rows.loc["few-frames-at-chance", "more"]
    assert rows.loc["pretrained-pitch", "unit"] == "semitones²"
    by_section = sorted(rows["section"], key=lambda name: (name == "Ours", name))
    assert list(rows["section"]) == by_section  # of the paper, then ours
    assert rows.loc["more-bands-help", ["ci_low", "ci_high"]].isna().all()


@pytest.mark.parametrize("narrow", [False, True])
def test_the_plot_of_the_claims_shows_effects_intervals_and_thresholds(
    study: Path, narrow: bool
) -> None:
    rows = drawn(study, "claims")
    figure = forest.draw(rows, not_run=2, narrow=narrow)
    panels = list(rows.groupby(["section", "unit"], sort=False))
    assert len(figure.axes) == len(panels)
    assert "2 more claims were not run." in figure.texts[-1].get_text()
    for axis, (_, part) in zip(figure.axes, panels, strict=True):
        effects = [line for line in axis.lines if len(line.get_xdata()) == 1]
        np.testing.assert_allclose([line.get_xdata()[0] for line in effects], part["effect"])
        for line, verdict in zip(effects, part["verdict"], strict=True):
            mark = forest.MARKS[verdict]
            assert line.get_marker() == mark.marker
            assert (line.get_markerfacecolor() != "white") == mark.filled
        spans = [
            (path.vertices[0], path.vertices[-1])
            for lines in axis.collections
            if isinstance(lines, LineCollection)
            for path in lines.get_paths()
        ]
        upright = [one[0] for one, other in spans if one[0] == other[0] and one[1] != other[1]]
        np.testing.assert_allclose(upright, part["threshold"])
        level = [(one[0], other[0]) for one, other in spans if one[1] == other[1]]
        known = part.dropna(subset=["ci_low"])
        np.testing.assert_allclose(level, known[["ci_low", "ci_high"]])
        left, right = axis.get_xlim()
        assert left < min(*part["effect"], *part["threshold"])
        assert right > max(*part["effect"], *part["threshold"])
        texts = " ".join(one.get_text().replace("\n", " ") for one in axis.texts)
        for row in part.itertuples():
            assert row.statement in texts and row.verdict.replace("_", " ") in texts
        # Every word is on the picture.
        figure.draw_without_rendering()
        for one in (*axis.texts, *figure.texts):
            box = one.get_window_extent()
            assert 0 <= box.x0 and box.x1 <= figure.bbox.width
            assert 0 <= box.y0 and box.y1 <= figure.bbox.height
    figures.plt.close(figure)


def test_axes_of_one_unit_have_one_scale(study: Path) -> None:
    rows = drawn(study, "claims")
    figure = forest.draw(rows, not_run=0)
    units = [unit for (_, unit), _ in rows.groupby(["section", "unit"], sort=False)]
    limits = {}
    for axis, unit in zip(figure.axes, units, strict=True):
        assert limits.setdefault(unit, axis.get_xlim()) == axis.get_xlim()
    assert units.count("accuracy") > 1 and len(limits) > 2
    figures.plt.close(figure)


def test_a_study_that_none_of_the_claims_is_of_has_an_empty_plot(study: Path) -> None:
    none = pd.read_csv(load_params(study).layout.claims).assign(verdict="not_run")
    rows = forest.table(none)
    assert rows.empty and list(rows.columns) == forest.COLUMNS
    figure = forest.draw(rows, not_run=len(none))
    assert not figure.axes
    assert f"{len(none)} more claims were not run." in figure.texts[-1].get_text()
    figures.plt.close(figure)
