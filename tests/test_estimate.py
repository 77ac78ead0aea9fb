"""What is said of a study before it runs."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest

from study.announce import announcement, inputs
from study.loading import load_params
from study.params import Params
from tools import estimate

ROOT = Path(__file__).parent.parent
Jobs = list[tuple[str, dict[str, str]]]


def jobs(params: Params) -> Jobs:
    """Some jobs of every rule that has wildcards, as Snakemake names them."""
    found: Jobs = [("all", {}), ("tables", {})]
    extraction = {"audio": "spectrograms", "video": "frames", "images": "pictures"}
    for modality, study in params.studies.items():
        found.append(("dataset", {"dataset": study.dataset}))
        own = {"dataset": study.dataset}
        found += [(extraction[modality], own | {"shard": str(shard)}) for shard in study.shards]
        found.append(("join" if modality == "audio" else f"join_{modality}", own))
        found.append(("examples", {"modality": modality}))
    for e in params.encoder_keys():
        own = {
            "modality": e.modality,
            "slicing": e.slicing,
            "method": e.method,
            "seed": str(e.seed),
        }
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


def test_what_is_measured_counts_every_job_and_grows_with_the_work() -> None:
    params = load_params(ROOT / "presets/tiny.yaml")
    work, disk = estimate.estimate(params)
    assert work["pretrain"][0] == work["embed"][0] == work["downstream"][0] == 4
    assert work["end_to_end"][0] == 1
    assert work["spectrograms"][0] == 2
    assert set(work) >= {"spectrograms", "frames", "images"}
    assert all(seconds > 0 for _, seconds in work.values())
    shapes = {m: np.prod(s.shape) * (2 if m == "audio" else 1) for m, s in params.studies.items()}
    counts = {m: sum(inputs(params, m).values()) for m in params.studies}
    assert disk["features, in shards and joined"] == 2 * sum(shapes[m] * counts[m] for m in shapes)
    content = params.model_dump(exclude_none=True)
    content["video"]["pretrain"]["epochs"] *= 100
    more, _ = estimate.estimate(Params.model_validate(content))
    assert more["pretrain"][1] > 1.3 * work["pretrain"][1]


def test_the_papers_study_is_known_without_its_data(capsys) -> None:
    params = load_params(ROOT / "presets/paper.yaml")
    assert inputs(params, "images")["pretrain"] == 1_281_167
    assert inputs(params, "audio")["train"] == round(289_205 * (1 - 2 * 0.0142))
    said = announcement(params, jobs(params), 8)
    assert re.match(r"\d+ jobs to run, roughly \d+ min on 8 cores; \d+\.\d GiB of features,", said)


def test_targets_are_no_jobs() -> None:
    params = load_params(ROOT / "presets/tiny.yaml")
    said = announcement(params, [("all", {}), ("audio", {}), ("site", {})], 1)
    assert said == "1 job to run, roughly a minute on 1 core"
    said = announcement(params, [("site", {})], None)  # on a cluster
    assert said == "1 job to run, roughly a minute of one core's work"
