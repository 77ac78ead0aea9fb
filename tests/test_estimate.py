"""What is said of a study before it runs."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest

from study.announce import START, announcement, core_seconds, inputs
from study.loading import load_params
from study.params import Params
from tools import estimate

ROOT = Path(__file__).parent.parent
Jobs = list[tuple[str, dict[str, str]]]


def jobs(params: Params) -> Jobs:
    """Every job of a study, as Snakemake names rules and wildcards, and a target."""
    found: Jobs = [("all", {})]
    for modality, study in params.studies.items():
        found.append(("dataset", {"dataset": study.dataset}))
        found += [(study.extraction, {"shard": str(shard)}) for shard in study.shards]
        found += [(f"join_{modality}", {}), ("examples", {"modality": modality})]
    for key in params.encoder_keys():
        names = {"modality": key.modality, "slicing": key.slicing, "method": key.method}
        wildcards = names | {"seed": str(key.seed)}
        found += [(rule, wildcards) for rule in ("pretrain", "embed", "downstream")]
        if key in params.trained_end_to_end():
            found.append(("end_to_end", wildcards))
    return [*found, *((rule, {}) for rule in ("scores", "tables", "claims", "figures", "site"))]


def minutes(params: Params, cores: int = 2) -> int:
    return int(re.search(r"roughly (\d+) min", announcement(params, jobs(params), cores))[1])


def test_every_job_is_counted_and_shared_by_the_cores() -> None:
    params = load_params(ROOT / "params.yaml")
    every = jobs(params)
    assert announcement(params, every, 2).startswith(f"{len(every) - 1} jobs to run")
    assert minutes(params, 1) == pytest.approx(2 * minutes(params), abs=1)
    seconds = sum(core_seconds(params, *job) for job in every[1:])
    assert minutes(params, 1) == round(seconds / 60)


@pytest.mark.parametrize(
    ("rule", "section", "key", "factor"),
    [
        ("pretrain", "pretrain", "epochs", 4),
        ("pretrain", "pretrain", "width", 2),
        ("downstream", "downstream", "replicates", 3),
        ("downstream", "downstream", "steps", 2),
        ("end_to_end", "end_to_end", "steps", 5),
        ("spectrograms", "", "shards", 0.5),
    ],
)
def test_a_job_takes_as_long_as_its_work(rule: str, section: str, key: str, factor: float) -> None:
    """What is beyond the start of a job grows with the work, of this rule and of no dataset."""
    content = load_params(ROOT / "params.yaml").model_dump(exclude_none=True)
    before = Params.model_validate(content)
    part = content["audio"][section] if section else content["audio"]
    part[key] = [0, 1] if key == "shards" else type(part[key])(part[key] * factor)
    after = Params.model_validate(content)

    def work(params: Params, name: str) -> list[float]:
        found = [job for job in jobs(params) if job[0] == name]
        found = [job for job in found if job[1].get("modality", "audio") == "audio"]
        return [core_seconds(params, *job) - START for job in found if job[1].get("shard") != "1"]

    scaled = [seconds * factor for seconds in work(before, rule)]
    assert sum(scaled) > 0
    assert work(after, rule) == pytest.approx(scaled)
    assert work(after, "dataset") == work(before, "dataset")


def test_more_work_takes_longer() -> None:
    params = load_params(ROOT / "params.yaml")
    content = params.model_dump(exclude_none=True)
    content["audio"]["pretrain"]["epochs"] *= 3
    assert minutes(Params.model_validate(content)) > 1.3 * minutes(params)
    content["audio"]["end_to_end"]["steps"] *= 10
    assert minutes(Params.model_validate(content)) > 2 * minutes(params)


def test_what_is_measured_counts_every_job_and_grows_with_the_work(monkeypatch) -> None:
    monkeypatch.setattr(estimate, "LEAST", 0.05)
    params = load_params(ROOT / "presets/tiny.yaml")
    work, disk = estimate.estimate(params)
    assert work["pretrain"][0] == work["embed"][0] == work["downstream"][0] == 4
    assert work["end_to_end"][0] == 1
    assert work["spectrograms"][0] == 2
    assert set(work) >= {"spectrograms", "frames", "pictures"}
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
