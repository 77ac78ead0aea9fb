"""Verdicts on claims, from made-up scores whose answer is known."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import yaml

from stages import claims
from stages.claims import Claim, judge, read_claims
from study.errors import InputError
from study.params import Params

ROOT = Path(__file__).parent.parent
RANKING = ["fast_soft_ranking", "perturbed_fy"]
SLICINGS = ["frequency-10", "grid-5x2", "time-10", "frequency-5", "frequency-20"]


@pytest.fixture(scope="module")
def params() -> Params:
    content = yaml.safe_load((ROOT / "params.yaml").read_text())
    content["audio"] |= {"slicings": SLICINGS}
    content["video"]["slicings"] += content["video"]["ablation"]["slicings"]
    for modality in ("audio", "video", "images"):
        content[modality] |= {"seeds": [0, 1, 2]}
        none = {"methods": [], "seeds": [], "n_examples": []}
        content[modality]["ablation"] = none | {"slicings": []}
        content[modality]["end_to_end"]["methods"] = []
    return Params.model_validate(content)


def with_seeds(params: Params, seeds: Iterable[int]) -> Params:
    content = params.model_dump(exclude_none=True)
    content["audio"] |= {"seeds": list(seeds)}
    for part in ("ablation", "end_to_end"):
        content["audio"][part] |= {"methods": [], "seeds": [], "n_examples": []}
    return Params.model_validate(content)


def made_up(
    params: Params, value: Callable[..., float], ranks: Callable[..., float] = lambda e: 0.5
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Scores ``value(encoder, task, n)`` and partial ranks ``ranks(encoder)``, and chance.

    What a seed and a draw do is shared by all methods, so that it cancels in a difference.
    """
    scores, pretext = [], []
    for e in params.encoder_keys():
        study = params.study(e.modality)
        own = {
            "modality": e.modality,
            "slicing": e.slicing,
            "method": e.method,
            "upstream_seed": e.seed,
        }
        pretext.append(own | {"metric": "partial_ranks", "value": ranks(e)})
        noise = np.random.default_rng([e.seed, len(e.method), len(e.slicing), ord(e.slicing[-1])])
        for task in study.downstream.tasks:
            for n in study.downstream.n_examples:
                for replicate in range(study.downstream.replicates):
                    shared = 0.1 * np.random.default_rng([e.seed, n, replicate]).normal()
                    for metric in study.metrics[task]:
                        number = value(e, task, n) + shared + 0.001 * noise.normal()
                        if metric == "mse":
                            number = -number  # the lower the better
                        scores.append(
                            own
                            | {"task": task, "n_examples": n, "replicate": replicate}
                            | {"metric": metric, "value": number}
                        )
    return pd.DataFrame(scores), pd.DataFrame(pretext)


def claim(**changes: Any) -> Claim:
    own = {
        "claim": "a",
        "source": "b",
        "statement": "c",
        "kind": "methods",
        "modality": "audio",
        "task": "instrument",
        "n_examples": [1000],
        "first": RANKING,
        "second": ["random"],
        "more_than": 0.0,
    }
    return Claim.model_validate({k: v for k, v in (own | changes).items() if v is not None})


def ranking(e: Any) -> bool:
    return e.method in RANKING


KINDS = {
    "methods": ({}, lambda e, task, n, by: by * ranking(e)),
    "methods, lower is better": ({"task": "pitch"}, lambda e, task, n, by: by * ranking(e)),
    "methods of video": (
        {"modality": "video", "task": "action", "n_examples": [3000]},
        lambda e, task, n, by: by * ranking(e),
    ),
    "at other numbers of examples nothing differs": (
        {"n_examples": [125]},
        lambda e, task, n, by: by * ranking(e) * (n == 125),
    ),
    "shrinks": (
        {"kind": "shrinks", "n_examples": [125, 1000]},
        lambda e, task, n, by: by * ranking(e) * (n == 125) + 0.3 * ranking(e),
    ),
    "slicings": (
        {"kind": "slicings", "slicings": ["frequency-10", "time-10"], "second": None},
        lambda e, task, n, by: by * (e.slicing == "frequency-10"),
    ),
    "slicings, of what methods gain on others": (
        {"kind": "slicings", "slicings": ["frequency-10", "time-10"]},
        lambda e, task, n, by: (0.5 + by * ranking(e)) * (e.slicing == "frequency-10"),
    ),
    "slicings, beyond a control": (
        {
            **{"kind": "slicings", "slicings": ["frequency-10", "time-10"], "second": None},
            "control": "family",
        },
        lambda e, task, n, by: (0.5 + by * (task == "instrument")) * (e.slicing == "frequency-10"),
    ),
    "slicings, beyond a control where lower is better": (
        {
            **{"kind": "slicings", "slicings": ["frequency-10", "time-10"], "second": None},
            "control": "pitch",
        },
        lambda e, task, n, by: (0.5 + by * (task == "instrument")) * (e.slicing == "frequency-10"),
    ),
    "chance": (
        {"kind": "chance", "chance": {"notes": 0.25}, "second": None},
        lambda e, task, n, by: 0.25 + 3 * by,
    ),
}


@pytest.mark.parametrize("kind", list(KINDS))
@pytest.mark.parametrize("turned", [False, True], ids=["more_than", "less_than"])
def test_a_known_effect_has_its_verdict_both_ways(params, kind: str, turned: bool) -> None:
    changes, value = KINDS[kind]
    if turned:
        changes = changes | {"more_than": None, "less_than": 0.0}
    found = {}
    for by in (0.1, -0.1):
        scores, pretext = made_up(params, lambda e, task, n, by=by: value(e, task, n, by))
        row = judge(claim(**changes), params, scores, pretext)
        assert row["ci_low"] < row["effect"] < row["ci_high"]
        if kind != "chance":
            assert row["effect"] == pytest.approx(by, abs=0.002)
        found[by] = row["verdict"]
    wanted = ["supported", "contradicted"]
    assert [found[0.1], found[-0.1]] == (wanted[::-1] if turned else wanted)


def test_a_threshold_inside_the_interval_is_inconclusive(params) -> None:
    scores, pretext = made_up(params, lambda e, task, n: 0.1 * ranking(e))
    low, high = (judge(claim(), params, scores, pretext)[k] for k in ("ci_low", "ci_high"))
    middle = (low + high) / 2
    assert judge(claim(more_than=middle), params, scores, pretext)["verdict"] == "inconclusive"
    less = claim(more_than=None, less_than=middle)
    assert judge(less, params, scores, pretext)["verdict"] == "inconclusive"
    assert judge(claim(more_than=low - 1e-6), params, scores, pretext)["verdict"] == "supported"
    assert judge(claim(more_than=high + 1e-6), params, scores, pretext)["verdict"] == "contradicted"


def test_slicings_are_compared_over_the_seeds_that_both_have(params) -> None:
    """What seed 1 does to the first slicing is no effect of it: the other has seed 2 alone."""
    ablation = {"slicings": SLICINGS[1:], "methods": ["perturbed_fy"], "seeds": [2]}
    ablation["n_examples"] = [500, 1000]
    content = params.model_dump(exclude_none=True)
    content["audio"] |= {"slicings": SLICINGS[:1], "ablation": ablation}
    own = Params.model_validate(content)
    scores, pretext = made_up(own, lambda e, task, n: 0.5 * (e.seed == 1))
    changes = {"kind": "slicings", "slicings": ["frequency-10", "time-10"], "second": None}
    row = judge(claim(**changes, first=["perturbed_fy"]), own, scores, pretext)
    assert row["effect"] == pytest.approx(0, abs=0.002)
    assert (row["n_seeds"], row["n_replicates"]) == (1, 3)
    row = judge(claim(**changes), own, scores, pretext)
    assert "the method fast_soft_ranking of the slicing time-10" in row["comparison"]


@pytest.mark.parametrize(
    ("changes", "needs"),
    [
        ({"second": ["supervised"]}, "needs the method supervised"),
        (
            {"kind": "slicings", "slicings": ["frequency-10", "time-5"], "second": None},
            "the slicing time-5",
        ),
        ({"modality": "video"}, "needs the task instrument"),
        (
            {
                **{"kind": "slicings", "slicings": ["frequency-10", "time-10"], "second": None},
                "control": "voice",
            },
            "needs the task voice",
        ),
        (
            {
                **{"kind": "studies", "slicings": ["frequency-10", "time-10"], "second": None},
                "control": "voice",
            },
            "needs another study, of the task voice: make compare",
        ),
        ({"kind": "shrinks", "n_examples": [990, 1000]}, "two numbers of examples"),
        ({"kind": "chance", "chance": {"words": 0.1}, "second": None}, "chance is known: words"),
    ],
)
def test_what_was_not_run_is_said(params, changes: dict, needs: str) -> None:
    row = judge(claim(**changes), params, *made_up(params, lambda e, task, n: 0.0))
    assert row["verdict"] == "not_run"
    assert needs in row["comparison"]
    assert row["effect"] is None


def test_chance_is_not_that_of_clips_with_fewer_labels(params) -> None:
    content = params.model_dump(exclude_none=True)
    content["motions"]["reversals"] = False
    own = next(one for one in read_claims() if one.claim == "few-frames-at-chance")
    for study, run in ((params, True), (Params.model_validate(content), False)):
        row = judge(own, study, *made_up(study, lambda e, task, n: 0.07))
        assert (row["verdict"] != "not_run") == run
        assert ("motions.reversals" in row["comparison"]) == (not run)


@pytest.mark.parametrize(("sign", "verdict"), [(1, "supported"), (-1, "contradicted")])
def test_correlation_of_pretext_and_score(params, sign: int, verdict: str) -> None:
    of = {"mse": 0.1, "fast_soft_ranking": 0.2, "perturbed_fy": 0.3}

    def ranks(e: Any) -> float:
        return of.get(e.method, 0.9) + 0.01 * e.seed

    scores, pretext = made_up(params, lambda e, task, n: 20 * sign * ranks(e), ranks)
    own = claim(kind="correlation", second=None, first=list(of))
    row = judge(own, params, scores, pretext)
    assert row["verdict"] == verdict
    assert "9 encoders" in row["comparison"]
    assert abs(row["effect"]) > 0.5 and np.sign(row["effect"]) == sign
    few = judge(claim(kind="correlation", second=None, first=["mse"]), params, scores, pretext)
    assert few["verdict"] == "not_run"
    bare = judge(own.model_copy(update={"first": ["mse", "contrastive"]}), params, scores, pretext)
    assert bare["verdict"] == "not_run" and "contrastive has none" in bare["comparison"]


def test_fewer_than_three_seeds_give_no_verdict_but_the_effect(params) -> None:
    for seeds in ([0], [0, 1]):
        own = with_seeds(params, seeds)
        row = judge(claim(), own, *made_up(own, lambda e, task, n: 0.1 * ranking(e)))
        assert row["verdict"] == "too_few_seeds"
        assert row["effect"] == pytest.approx(0.1, abs=0.002)
        assert np.isnan(row["ci_low"]) == (len(seeds) == 1)


def test_a_claim_says_how_many_seeds_agree_and_what_would_decide_it(params) -> None:
    """Effects by seed of -1, 1, 2, 3, 4, 5 hundredths: mean 2.33, deviation 2.16."""
    own = with_seeds(params, range(6))
    effects = dict(zip(range(6), (-0.01, 0.01, 0.02, 0.03, 0.04, 0.05), strict=True))
    row = judge(claim(), own, *made_up(own, lambda e, task, n: ranking(e) * effects[e.seed]))
    assert row["verdict"] == "supported" and (row["agree"], row["n_seeds"]) == (5, 6)
    assert row["sign_flip_p"] == 6 / 64  # all signs alike, or one of the two ones turned, and back
    assert row["seeds_to_decide"] == 6
    off = judge(claim(more_than=0.02), own, *made_up(own, lambda e, task, n: 0.02 * ranking(e)))
    assert off["verdict"] == "inconclusive"


def test_among_all_claims_fewer_are_decided() -> None:
    """Holm by hand: 0.004 x 4, 0.015 x 3, 0.03 x 2; those without a verdict are not counted."""
    p = {"a": 0.03, "b": 0.004, "c": 0.015, "d": 0.2}
    rows = [{"verdict": "supported" if v < 0.05 else "inconclusive", "p": v} for v in p.values()]
    rows += [{"verdict": "too_few_seeds", "p": 0.001}, {"verdict": "not_run", "p": None}]
    claims.among_all(rows)
    assert [row["verdict_all"] for row in rows] == [
        *("inconclusive", "supported", "supported", "inconclusive"),
        *("too_few_seeds", "not_run"),
    ]


def test_the_claims_of_the_paper_are_all_there(params) -> None:
    given = [c for c in read_claims() if c.source != "Ours"]
    assert {c.modality for c in given} == {"audio", "video", "images"}
    tasks = {(c.modality, c.task) for c in read_claims() if c.claim.startswith("pretrained-")}
    assert tasks == {(m, task) for m, s in params.studies.items() for task in s.metrics}
    scores, pretext = made_up(params, lambda e, task, n: 0.0, lambda e: len(e.method) + e.seed)
    rows = [judge(c, params, scores, pretext) for c in given]
    missing = {row["claim"] for row in rows if row["verdict"] == "not_run"}
    assert missing == {"low-data-above-supervised", "supervised-catches-up"}


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda c: c[0].pop("more_than"), "give more_than or less_than"),
        (lambda c: c[0].update(kind="best"), "kind"),
        (lambda c: c[0].update(second=[]), "second"),
        (lambda c: c[0].update(control="family"), "control"),
        (lambda c: c[-1].update(control=""), "control"),
        (lambda c: c.append(c[0]), "given twice"),
    ],
)
def test_a_claim_that_is_incomplete_is_refused(tmp_path: Path, change, said: str) -> None:
    content = yaml.safe_load(claims.FILE.read_text())
    change(content)
    path = tmp_path / "claims.yaml"
    path.write_text(yaml.safe_dump(content))
    with pytest.raises(InputError, match=said) as refused:
        read_claims(path)
    assert len(str(refused.value).splitlines()) == 1
