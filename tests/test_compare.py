"""Two studies beside each other: what differs is told, and by how much."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import yaml
from conftest import ROOT

from stages.site import settings
from study import cli
from study.findings import NEEDED
from study.loading import merged
from study.params import Params
from study.results import SCORES
from tools import compare

SETTINGS = {
    "notes": {"seed": 0, "instruments": 6},
    "audio": {
        "dataset": "notes",
        "spectrograms": {"n_mels": 80},
        "method": {"mse": {"learning_rate": 1e-4}},
        "downstream": {"seed": 0, "evaluate_on": "test", "replicates": 5},
    },
}


def scores(better: float = 0.0, seeds: int = 3, draws: int = 4) -> pd.DataFrame:
    """Scores in which a draw does much to all methods alike."""
    rows = []
    for seed in range(seeds):
        for draw in range(draws):
            shared = np.random.default_rng([seed, draw]).normal()
            who = ("audio", "notes", "frequency-10", "mse", seed, "mlp", "family", 100, draw)
            rows.append((*who, "accuracy", shared + better))
    return pd.DataFrame(rows, columns=SCORES)


def folder(path: Path, table: pd.DataFrame, **changes) -> Path:
    path.mkdir()
    settings = {**SETTINGS, "audio": SETTINGS["audio"] | changes}
    (path / "settings.yaml").write_text(yaml.safe_dump(settings))
    table.to_csv(path / "scores.csv", index=False)
    return path


def test_the_same_draws_are_paired(tmp_path: Path, capsys) -> None:
    a = folder(tmp_path / "a", scores())
    faster = {"mse": {"learning_rate": 2e-4}}
    b = folder(tmp_path / "b", scores(0.01, seeds=2, draws=6), method=faster)
    compare.main([str(a), str(b), "--csv", str(tmp_path / "out.csv")])
    said = capsys.readouterr().out
    assert "  audio.method.mse.learning_rate: 0.0001, 0.0002\n" in said
    assert said.count("learning_rate") == 1 and "n_mels" not in said
    assert "1 scores are in both; A has 1, B has 1" in said
    (row,) = pd.read_csv(tmp_path / "out.csv").itertuples()
    assert row.paired
    assert (row.difference, row.ci_low, row.ci_high) == pytest.approx((0.01, 0.01, 0.01))
    assert "]*" in said


def test_a_section_of_one_study_is_one_line() -> None:
    one = {"audio": {"seeds": [0], "gap": 1}, "video": {"seeds": [0]}, "images": None}
    other = {"audio": {"seeds": [0, 1], "gap": 1}, "images": {"seeds": [0]}, "notes": 1}
    assert list(compare.changed(one, other)) == [
        "audio.seeds: [0], [0, 1]",
        "video: in A alone",
        "images: in B alone",
        "notes: None, 1",
    ]
    assert list(compare.changed(one, one)) == []


def test_other_draws_are_not(tmp_path: Path) -> None:
    """The same numbers of other data: what a draw does to both no longer cancels."""
    a = folder(tmp_path / "a", scores())
    b = folder(tmp_path / "b", scores(0.01), spectrograms={"n_mels": 40})
    compare.main([str(a), str(b), "--csv", str(tmp_path / "out.csv")])
    (row,) = pd.read_csv(tmp_path / "out.csv").itertuples()
    assert not row.paired
    assert row.difference == pytest.approx(0.01)
    assert row.ci_high - row.ci_low > 0.5


def study_of(path: Path, preset: str, ahead: dict[str, float]) -> Path:
    """Results of a preset's audio study, where slicing along time is ahead by so much on tasks."""
    content = merged(ROOT / preset) | {"video": None, "images": None}
    params = Params.model_validate(content)
    rows = []
    for key in params.encoder_keys():
        for task in params.study("audio").downstream.tasks:
            metric = params.study("audio").metrics[task][0]
            for draw in range(content["audio"]["downstream"]["replicates"]):
                noise = np.random.default_rng([key.seed, draw, len(key.slicing)]).normal()
                value = ahead.get(task, 0) * key.slicing.startswith("time-") + 0.001 * noise
                who = tuple(params.identity(key).values())
                rows.append((*who, "mlp", task, 1000, draw, metric, value))
    path.mkdir()
    (path / "settings.yaml").write_text(settings(params))
    pd.DataFrame(rows, columns=SCORES).to_csv(path / "scores.csv", index=False)
    return path


@pytest.mark.parametrize(("by", "verdict"), [(0.3, "supported"), (0.1, "contradicted")])
@pytest.mark.parametrize("turned", [False, True])
def test_claims_that_take_two_studies(tmp_path: Path, by: float, verdict: str, turned) -> None:
    notes = study_of(tmp_path / "notes", "params.yaml", {"instrument": 0.2})
    words = study_of(tmp_path / "words", "presets/speech.yaml", {"first_letter": by})
    (line,) = compare.between(words, notes) if turned else compare.between(notes, words)
    name, rest = line.split(": ", 1)
    assert name == "time-above-frequency-first-letter-beyond-notes"
    assert f", {verdict} (first_letter of words, 6 seeds; instrument of notes, 3 seeds)" in rest
    effect = float(rest.partition(" [")[0].replace("\N{MINUS SIGN}", "-"))
    assert effect == pytest.approx(by - 0.2, abs=0.002)
    assert compare.between(notes, notes) == []


def test_a_folder_without_results_is_named(tmp_path: Path) -> None:
    a = folder(tmp_path / "a", scores())
    (tmp_path / "b").mkdir()
    with pytest.raises(SystemExit) as stopped:
        cli.run(lambda: compare.main([str(a), str(tmp_path / "b")]))
    path = tmp_path / "b" / "settings.yaml"
    assert stopped.value.code == f"error: {path} does not exist: run the stage site first"


def test_tables_of_unequal_draws_are_compared_where_all_seeds_have_them(tmp_path: Path) -> None:
    """A seed that was run with fewer draws than the others cuts the table, paired or not."""
    uneven = scores().query("not (upstream_seed == 1 and replicate > 1)")
    for number, changes in enumerate(({}, {"spectrograms": {"n_mels": 40}})):
        a = folder(tmp_path / f"a{number}", uneven)
        b = folder(tmp_path / f"b{number}", scores(0.01), **changes)
        compare.main([str(a), str(b), "--csv", str(tmp_path / "out.csv")])
        (row,) = pd.read_csv(tmp_path / "out.csv").itertuples()
        cut = uneven[uneven["replicate"] < 2]["value"].mean()
        assert row.a == pytest.approx(cut)
        assert bool(row.paired) == (not changes)
        assert np.isfinite([row.difference, row.ci_low, row.ci_high]).all()


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (
            lambda table: table[table["upstream_seed"] == table["replicate"]],
            "mse, mlp, family, accuracy, 100: the seeds of a study have no draw",
        ),
        (lambda table: pd.concat([table, table[:1]]), "scores.csv, line 14: the same score as on"),
    ],
)
def test_scores_that_make_no_table_are_told_in_one_line(tmp_path: Path, change, said) -> None:
    a, b = folder(tmp_path / "a", change(scores())), folder(tmp_path / "b", scores())
    with pytest.raises(SystemExit) as stopped:
        cli.run(lambda: compare.main([str(a), str(b)]))
    assert str(stopped.value.code).startswith("error: ") and said in stopped.value.code
    assert len(stopped.value.code.splitlines()) == 1


def with_verdicts(path: Path, verdicts: dict[str, tuple[str, str]]) -> Path:
    """A folder of results with these verdicts, alone and among all."""
    made = folder(path, scores())
    rows = [
        dict.fromkeys(NEEDED, "1") | {"claim": name, "verdict": alone, "verdict_all": among}
        for name, (alone, among) in verdicts.items()
    ]
    pd.DataFrame(rows).to_csv(made / "claims.csv", index=False)
    return made


def said_of_verdicts(capsys) -> list[str]:
    _, _, rest = capsys.readouterr().out.partition("Claims whose verdict differs (A, B)\n")
    return [line.strip() for line in rest.partition("\n\n")[0].splitlines()]


def test_claims_whose_verdict_differs_are_told(tmp_path: Path, capsys) -> None:
    same = ("supported", "inconclusive")
    one = {
        "same": same,
        "alone": ("supported", "inconclusive"),
        "all": ("supported", "supported"),
        "waited": ("too_few_seeds", "too_few_seeds"),
        "gone": same,
    }
    other = {
        "same": same,
        "alone": ("inconclusive", "inconclusive"),
        "all": ("supported", "inconclusive"),
        "waited": ("contradicted", "contradicted"),
        "new": ("not_run", "not_run"),
    }
    a, b = with_verdicts(tmp_path / "a", one), with_verdicts(tmp_path / "b", other)
    compare.main([str(a), str(b)])
    assert said_of_verdicts(capsys) == [
        "alone: alone supported, inconclusive; among all inconclusive, inconclusive",
        "all: alone supported, supported; among all supported, inconclusive",
        "waited: alone too few seeds, contradicted; among all too few seeds, contradicted",
        "gone: alone supported, not there; among all inconclusive, not there",
        "new: alone not there, not run; among all not there, not run",
    ]
    compare.main([str(a), str(a)])
    assert said_of_verdicts(capsys) == ["none"]
    (b / "claims.csv").unlink()
    compare.main([str(a), str(b)])
    assert said_of_verdicts(capsys) == [f"cannot be told: {b} has no claims.csv"]


def test_a_verdict_that_is_not_known_is_told_in_one_line(tmp_path: Path) -> None:
    a = with_verdicts(tmp_path / "a", {"one": ("supported", "supported")})
    b = with_verdicts(tmp_path / "b", {"one": ("proved", "supported")})
    with pytest.raises(SystemExit) as stopped:
        cli.run(lambda: compare.main([str(a), str(b)]))
    assert "unknown verdict proved" in str(stopped.value.code)
    assert len(str(stopped.value.code).splitlines()) == 1
