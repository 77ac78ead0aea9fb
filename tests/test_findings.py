"""What a study found, in a sentence: against verdicts and scores whose answer is known."""

from __future__ import annotations

import re
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
import yaml
from conftest import ROOT
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from stages import figures
from study import findings, forest
from study.errors import InputError
from study.loading import merged
from study.params import Params

METHODS = ["random", "mse", "perturbed_fy"]


def study_of(seeds: int, **audio: object) -> Params:
    """The default audio study with a few methods."""
    content = yaml.safe_load((ROOT / "params.yaml").read_text())
    del content["video"], content["images"]
    part = content["audio"]
    part |= {"methods": METHODS, "seeds": list(range(seeds)), "slicings": ["frequency-10"]}
    part["ablation"] = {"slicings": [], "methods": [], "seeds": [], "n_examples": []}
    part["end_to_end"] |= {"methods": [], "seeds": [], "n_examples": []}
    part["downstream"] |= audio
    return Params.model_validate(content)


def made_up(seeds: int, of: dict[str, float], spread: float = 0.02, draws: int = 3) -> pd.DataFrame:
    """Scores of instruments and pitch: a method's mean and what its seeds and draws add to it."""
    rows = []
    for method, mean in of.items():
        whole = method in findings.NO_NETWORK
        rng = np.random.default_rng([seeds, *map(ord, method)])
        for seed in range(seeds):
            for draw in range(draws):
                shared = np.random.default_rng([seed, draw]).normal()
                for n in (125, 1000):
                    value = mean + shared + spread * rng.normal() - (n == 125)
                    slicing = "whole" if whole else "frequency-10"
                    for task, metric, sign in (("instrument", "accuracy", 1), ("pitch", "mse", -1)):
                        row = ("audio", slicing, method, seed, task, n, draw, metric, sign * value)
                        rows.append(row)
    columns = ["modality", "slicing", "method", "upstream_seed", "task", "n_examples"]
    return pd.DataFrame(rows, columns=[*columns, "replicate", "metric", "value"])


@pytest.mark.parametrize("task", ["instrument", "pitch"], ids=["higher", "lower is better"])
@pytest.mark.parametrize(
    ("ahead", "verdict"),
    [(0.5, "was worth it"), (-0.5, "was not worth it"), (0.0, "cannot be told")],
)
def test_pretraining_is_set_against_the_best_without_a_network(task, ahead, verdict) -> None:
    means = {"random": 5.0, "mse": 0.0, "perturbed_fy": ahead, "raw": -3.0, "summary": 0.0}
    means["mse"] = min(ahead, 0) - 1
    scores = made_up(6, means)
    found = findings.worth(study_of(6, tasks=[task]), "audio", scores)
    assert found is not None and found.gain is not None
    assert (found.verdict, found.seeds, found.n_examples) == (verdict, 6, 1000)
    assert list(found.means) == ["perturbed_fy", "raw", "summary", "random"]
    assert found.pretrained == 2
    # scipy's own paired test on the seeds' means
    sign = 1 if task == "instrument" else -1
    rows = scores[(scores["task"] == task) & (scores["n_examples"] == 1000)]
    means = rows.groupby(["method", "upstream_seed"])["value"].mean()
    tested = stats.ttest_rel(means["perturbed_fy"], means["summary"])
    limits = sorted(sign * limit for limit in tested.confidence_interval(0.95))
    assert found.gain[1:] == pytest.approx(limits)
    assert (tested.pvalue < 0.05) == (verdict != "cannot be told")


@pytest.mark.parametrize("seeds", [1, 2])
def test_fewer_than_three_seeds_tell_nothing(seeds: int) -> None:
    scores = made_up(seeds, {"random": 0, "mse": 5.0, "perturbed_fy": 0, "raw": 0.0})
    found = findings.worth(study_of(seeds), "audio", scores)
    assert found is not None and found.verdict == "cannot be told"
    assert found.gain is not None and found.gain.mean == pytest.approx(5, abs=0.1)
    assert "whether pretraining was worth it cannot be told on audio" in findings.sentence(
        verdicts({"supported": 1}), [found]
    )


def test_a_study_without_such_rows_says_so() -> None:
    found = findings.worth(study_of(6), "audio", made_up(6, dict.fromkeys(METHODS, 0.0)))
    assert found is not None and found.gain is None and found.verdict == "cannot be told"
    said = findings.sentence(verdicts({"supported": 1}), [found])
    assert said.endswith("cannot be told: no row is without a network.")
    none = study_of(6).model_copy(deep=True)
    none.studies["audio"].methods[:] = ["random"]
    assert findings.worth(none, "audio", made_up(6, {"random": 0.0})) is None


def test_seeds_and_draws_that_not_all_have_are_left_out() -> None:
    scores = made_up(6, {"random": 0, "mse": 1.0, "perturbed_fy": 0, "summary": 0.5})
    gone = (scores["method"] == "summary") & (scores["upstream_seed"] > 3)
    gone |= (scores["method"] == "mse") & (scores["replicate"] == 2)
    scores.loc[gone, "value"] = 1e6
    found = findings.worth(study_of(6), "audio", scores[~gone])
    assert found is not None and found.seeds == 4 and found.gain is not None
    assert found.gain.mean == pytest.approx(0.5, abs=0.05)


def folder_study() -> Params:
    """A folder's study with two tasks, both layers and an ablation."""
    content = merged(ROOT / "presets/folder.yaml")
    part = content["audio"]
    part |= {"methods": METHODS, "seeds": [0, 1, 2, 3, 4, 5], "shown": "mse"}
    part["ablation"] |= {"slicings": ["time-10"], "methods": ["mse"], "seeds": [0]}
    part["ablation"]["n_examples"] = [1000]
    part["downstream"] |= {"tasks": {"instrument": "class", "pitch": "number"}}
    part["downstream"] |= {"n_examples": [125, 1000]}
    part["embed"] = {"layer": "joined"}
    part["downstream"]["others"] |= {"layers": ["tiles"], "n_examples": [1000]}
    part["end_to_end"] |= {"methods": [], "n_examples": []}
    return Params.model_validate(content)


def test_at_each_number_of_labels_pretraining_is_set_against_the_random_encoder_too() -> None:
    means = {"random": 2.0, "mse": 0.0, "perturbed_fy": 1.0, "raw": -3.0, "summary": 0.0}
    scores = made_up(6, means)
    few = scores["n_examples"] == 125
    scores.loc[few & (scores["method"] == "mse") & (scores["task"] == "instrument"), "value"] += 4
    params = folder_study()
    of = findings.paid(params, "audio", "instrument", scores)
    assert [one.n_examples for one in of] == [125, 1000]
    assert [one.verdict for one in of] == ["was worth it", "was not worth it"]
    assert [next(iter(one.means)) for one in of] == ["mse", "perturbed_fy"]
    assert [one.rival for one in of] == ["random", "random"]
    assert [one.gain.mean for one in of if one.gain] == pytest.approx([2, -1], abs=0.05)
    # findings.worth sets it against what has no network alone
    one = findings.worth(params, "audio", scores)
    assert one is not None and (one.verdict, one.rival) == ("was worth it", "summary")
    said = findings.paid_sentence(of)
    pattern = r"Instrument accuracy: pretraining paid with 125 labels \(MSE on ranks, \+[12]\.\d+ "
    pattern += r"\[.*\] over random encoder\) and did not pay with 1,000 labels \(Perturbed Fenchel"
    assert re.match(pattern, said), said
    assert "the best of 2 pretrained methods" in said and "over 6 seeds" in said
    # An error is good where it is low: the best is taken and signed by that.
    of = findings.paid(params, "audio", "pitch", scores)
    assert [next(iter(one.means)) for one in of] == ["perturbed_fy", "perturbed_fy"]
    assert [one.verdict for one in of] == ["was not worth it", "was not worth it"]
    params.studies["audio"].methods[:] = ["random"]
    assert findings.paid(params, "audio", "pitch", scores) == []
    assert findings.to_embed(params, "audio", scores[:0].assign(classifier="mlp")) is None


def with_classifiers(scores: pd.DataFrame, tiles: dict[str, float]) -> pd.DataFrame:
    """Scores of the study's probe, and of both layers of these methods at 1,000 labels."""
    scores = scores.assign(classifier="mlp")
    many = scores[(scores["n_examples"] == 1000) & scores["method"].isin(list(tiles))]
    sign = np.where(many["metric"] == "mse", -1, 1)
    other = many.assign(
        classifier="mlp-tiles", value=many["value"] + sign * many["method"].map(tiles)
    )
    ablated = many[(many["method"] == "mse") & (many["upstream_seed"] == 0)]
    ablated = ablated.assign(slicing="time-10", value=ablated["value"] - 5.0)
    return pd.concat([scores, other, ablated], ignore_index=True)


@pytest.mark.parametrize("tasks", [["instrument", "pitch"], ["pitch", "instrument"]])
@pytest.mark.parametrize(
    ("tiles", "wanted"),
    [
        ({"random": 0.0, "mse": 0.2, "perturbed_fy": 0.0}, ("perturbed_fy", "joined")),
        ({"random": 0.0, "mse": 1.5, "perturbed_fy": 0.0}, ("mse", "tiles")),
        ({"random": 99.0, "mse": 0.0, "perturbed_fy": 0.5}, ("perturbed_fy", "tiles")),
    ],
)
def test_what_to_embed_with_is_the_best_pretrained_network_and_layer(
    tasks: list[str], tiles: dict[str, float], wanted: tuple[str, str]
) -> None:
    means = {"random": 9.0, "mse": 0.0, "perturbed_fy": 1.0, "raw": 20.0, "summary": 0.0}
    kinds = {"instrument": "class", "pitch": "number"}
    params = folder_study()
    params.studies["audio"].downstream.tasks.clear()
    params.studies["audio"].downstream.tasks.update({task: kinds[task] for task in tasks})
    scores = with_classifiers(made_up(6, means), tiles)
    if tasks[0] == "pitch":  # where low is good, the ablated network would be best
        scores = scores[scores["slicing"] != "time-10"]
    choice = findings.to_embed(params, "audio", scores)
    assert choice is not None
    assert (choice.key.method, choice.layer) == wanted
    assert (choice.key.slicing, choice.key.seed, choice.n_examples) == ("frequency-10", 0, 1000)
    assert choice.among == (5 if tasks[0] == "instrument" else 4)
    found = scores[(scores["method"] == wanted[0]) & (scores["task"] == tasks[0])]
    found = found[(found["n_examples"] == 1000) & (found["slicing"] == "frequency-10")]
    classifier = "mlp-tiles" if wanted[1] == "tiles" else "mlp"
    mean = found[found["classifier"] == classifier]["value"].mean()
    assert choice.mean == pytest.approx(mean)


def test_the_figure_of_whether_it_paid_draws_what_the_sentence_says() -> None:
    means = {"random": 2.0, "mse": 0.0, "perturbed_fy": 1.0, "raw": -3.0, "summary": 0.0}
    scores = made_up(6, means).assign(dataset="folder", classifier="mlp")
    scores.loc[(scores["n_examples"] == 125) & (scores["method"] == "mse"), "value"] += 4
    params = folder_study()
    table = figures.by_labels(params, "audio", scores, figures.by_examples(params, "audio", scores))
    best = table[table["line"] == "best_pretrained"]
    told = [
        (task, one.n_examples, next(iter(one.means)), next(iter(one.means.values())))
        for task in ("instrument", "pitch")
        for one in findings.paid(params, "audio", task, scores)
    ]
    cells = best[["task", "n_examples", "method", "mean"]].itertuples(index=False, name=None)
    for drawn, said in zip(cells, told, strict=True):
        assert drawn[:3] == said[:3] and drawn[3] == pytest.approx(said[3], abs=1e-6)
    assert set(table["line"]) == {"best_pretrained", "random", "raw", "summary"}
    figure = figures.paid_off(params, "audio", table)
    assert len(figure.axes) == 2
    labels = [text.get_text() for text in figure.legends[0].get_texts()]
    assert "Best pretrained method" in labels and len(labels) == 4
    plt.close(figure)


def verdicts(counts: dict[str, int], among: dict[str, int] | None = None, **of) -> pd.DataFrame:
    def listed(parts: dict[str, int]) -> list[str]:
        return [word for word, number in parts.items() for _ in range(number)]

    table = pd.DataFrame({"verdict": listed(counts)})
    return table.assign(
        verdict_all=listed(among) if among else table["verdict"],
        **({"source": "Section 4.1, Table 1"} | of),
    )


@settings(max_examples=50, deadline=None)
@given(st.lists(st.sampled_from(list(findings.WORDS)), min_size=2, max_size=30))
def test_the_sentence_counts_every_claim_once(words: list[str]) -> None:
    claims = pd.DataFrame({"verdict": words, "verdict_all": words, "source": "Section 4.1"})
    said = findings.sentence(claims, [])
    numbers = [int(n) for n in re.findall(r"\b\d+\b", said)]
    assert numbers[1] == len(words) == numbers[0] + sum(numbers[2:])
    for verdict in set(words):
        assert f"{words.count(verdict)}" in said and findings.WORDS[verdict] in said
    assert said.endswith(".") and said.count(".") == 1


def test_the_sentence_says_what_holds_among_all_and_what_is_ours() -> None:
    paper = verdicts({"supported": 3, "contradicted": 2}, {"supported": 3, "inconclusive": 2})
    # Of our own, what is about another study's data is not counted.
    ours = verdicts({"supported": 1, "inconclusive": 1, "not_run": 4}, source="Ours")
    said = findings.sentence(pd.concat([paper, ours]), [])
    assert said == (
        "3 of the paper's 5 claims are supported, 2 contradicted and 0 open (held to 5 % among "
        "all claims together, 3 supported and 0 contradicted); 1 of our own 2 claims is supported, "
        "0 contradicted and 1 open."
    )


def test_a_table_of_another_version_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "claims.csv"
    row = dict.fromkeys(findings.NEEDED, "1") | {"verdict": "supported", "verdict_all": "not_run"}
    pd.DataFrame([row]).to_csv(path, index=False)
    assert len(findings.read_verdicts(path)) == 1
    for changed, said in (
        ({k: v for k, v in row.items() if k != "agree"}, "no column agree"),
        (row | {"verdict_all": "proved"}, "unknown verdict proved"),
    ):
        pd.DataFrame([changed]).to_csv(path, index=False)
        with pytest.raises(InputError, match=f"{said}: run the stage claims again"):
            findings.read_verdicts(path)


def test_marks_differ_in_shape_and_fill_without_colour() -> None:
    looks = [(mark.marker, mark.filled) for mark in forest.MARKS.values()]
    assert len(set(looks)) == len({marker for marker, _ in looks}) == len(looks)
    decided = {"supported", "contradicted"}
    assert {word for word, mark in forest.MARKS.items() if mark.filled} == decided
    assert set(forest.MARKS) | {"not_run"} == set(findings.WORDS)
    grey = forest.MARKS["too_few_seeds"].colour
    assert len({grey[i : i + 2] for i in (1, 3, 5)}) == 1
