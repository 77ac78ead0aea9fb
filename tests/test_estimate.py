"""What is said of a study before it runs."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from stages.params import Params, load_params
from workflow.estimate import announcement

ROOT = Path(__file__).parent.parent
Jobs = list[tuple[str, dict[str, str]]]


def jobs(params: Params) -> Jobs:
    """Some jobs of every rule that has wildcards, as Snakemake names them."""
    found: Jobs = [("all", {}), ("tables", {})]
    extraction = {"audio": "spectrograms", "video": "frames", "images": "pictures"}
    for modality, study in params.studies.items():
        found += [(rule, {"dataset": study.dataset}) for rule in ("dataset", extraction[modality])]
        found.append(("examples", {"modality": modality}))
    for e in params.encoders():
        own = {"modality": e.modality, "view": e.view, "method": e.method, "seed": str(e.seed)}
        found += [(rule, own) for rule in ("pretrain", "embed", "downstream")]
        if e in params.trained_end_to_end():
            found.append(("end_to_end", own))
    return found


def minutes(params: Params, cores: int = 2) -> int:
    return int(re.search(r"roughly (\d+) min", announcement(params, jobs(params), cores))[1])


@pytest.mark.parametrize(
    ("preset", "least", "most"), [("params", 35, 90), ("presets/smoke", 3, 15)]
)
def test_it_is_about_as_long_as_it_takes(preset: str, least: int, most: int) -> None:
    params = load_params(ROOT / f"{preset}.yaml")
    assert least <= minutes(params) <= most
    assert minutes(params, 1) == pytest.approx(2 * minutes(params), abs=1)


def test_more_work_takes_longer() -> None:
    params = load_params(ROOT / "params.yaml")
    content = params.model_dump(exclude_none=True)
    content["audio"]["pretrain"]["epochs"] *= 3
    assert minutes(Params.model_validate(content)) > 1.3 * minutes(params)
    content["audio"]["end_to_end"]["steps"] *= 10
    assert minutes(Params.model_validate(content)) > 2 * minutes(params)


def test_targets_are_no_jobs() -> None:
    params = load_params(ROOT / "presets/tiny.yaml")
    said = announcement(params, [("all", {}), ("audio", {}), ("site", {})], 1)
    assert said == "1 job to run, roughly a minute on 1 core"
