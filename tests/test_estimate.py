"""How long a study takes: its work, this machine's pace, and what is said of a run."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import keras
import pandas as pd
import pytest

from shuffle_to_learn.models.alexnet import multiply_adds
from shuffle_to_learn.models.cfn import build_cfn
from study import announce, measuring, pace
from study.announce import announcement, duration
from study.loading import load_params
from study.pace import PLAIN, TENSORFLOW, Folder, Paces, folders
from study.params import Params
from study.work import Job, Work, inputs, jobs, work
from tools import estimate

ROOT = Path(__file__).parent.parent
HEADER = "s\th:m:s\tmax_rss\tcpu_time\n"


def changed(params: Params, **sections: dict) -> Params:
    """Settings with changes: section=key or modality__section, {key: function of the old}."""
    content = params.model_dump(exclude_none=True)
    for name, changes in sections.items():
        part = content
        for key in name.split("__"):
            part = part[key]
        for key, change in changes.items():
            part[key] = change(part[key])
    return Params.model_validate(content)


@pytest.fixture(scope="module")
def default() -> Params:
    return load_params(ROOT / "params.yaml")


@pytest.fixture
def project(tmp_path, monkeypatch) -> Path:
    """An empty project, where nothing has run."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


def ended(folder: Folder, name: str, job: Work, seconds: float, threads: int = 1) -> None:
    """A job that was planned and whose benchmark Snakemake then wrote."""
    folder.plan([(name, job, threads)])
    folder.write()
    file = folder.path / name
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(f"{HEADER}{seconds}\t0:00:01\t1.0\tNA\n")


# Work


@pytest.mark.parametrize(
    ("rule", "sections", "factor"),
    [
        ("downstream", {"audio__downstream": {"replicates": lambda old: 3 * old}}, 3),
        ("downstream", {"audio__downstream": {"tasks": lambda old: old[:1]}}, 1 / 4),
        ("end_to_end", {"audio__end_to_end": {"replicates": lambda old: 3 * old}}, 3),
        ("spectrograms", {"audio": {"shards": lambda old: [0, 1]}}, 1 / 2),
        ("dataset", {"notes": {"pitch_step": lambda old: 2}}, 1 / 2),
        ("dataset", {"notes": {"velocities": lambda old: 3}}, 3),
        ("dataset", {"notes": {"instruments": lambda old: 37}}, 37 / 111),
        ("dataset", {"notes": {"instruments": lambda old: 1000}}, 1),
        ("spectrograms", {"notes": {"velocities": lambda old: 5}}, 1),
        ("dataset", {"motions": {"size": lambda old: 2 * old}}, 4),
        ("embed", {"scenes": {s: lambda old: 3 * old for s in ("train", "valid", "test")}}, 3),
    ],
)
def test_work_grows_with_the_settings_it_depends_on(default, rule, sections, factor) -> None:
    after = changed(default, **sections)
    modality = next(iter(sections)).partition("__")[0]
    modality = {"notes": "audio", "motions": "video", "scenes": "images"}.get(modality, modality)

    def amounts(params: Params) -> list[float]:
        told = {modality, getattr(params, modality).dataset}
        found = [job for job in jobs(params) if job.rule == rule]
        found = [j for j in found if told & set(j.wildcards.values()) or rule == "spectrograms"]
        return [work(params, job).amount for job in found]

    before, now = amounts(default), amounts(after)
    assert sum(before) > 0
    assert now[: len(before)] == pytest.approx([factor * amount for amount in before])
    others = [work(default, job) for job in jobs(default) if job.rule == "tables"]
    assert others == [work(after, job) for job in jobs(after) if job.rule == "tables"]


def test_twice_the_epochs_are_twice_the_training(default) -> None:
    def trained(params: Params) -> list[float]:
        found = [job for job in jobs(params) if job.rule == "pretrain"]
        return [work(params, j).amount for j in found if j.wildcards["modality"] == "audio"]

    double = changed(default, audio__pretrain={"epochs": lambda old: 2 * old})
    once, twice = trained(default), trained(double)
    held_out = {a for a, b in zip(once, twice, strict=True) if a == b}  # random: it is evaluated
    assert held_out
    for before, after in zip(once, twice, strict=True):
        assert before == after or 1.95 < after / before < 2


@pytest.mark.parametrize("tile", [(8, 60, 1), (80, 6, 1), (33, 17, 3), (1, 5, 1)])
def test_multiply_adds_are_those_of_the_network(tile) -> None:
    """An oracle: the ones that a kernel of ones meets on an input of ones, layer by layer."""
    sizes = {"width": 0.03, "tile_features": 7, "joined_features": 11}
    model = build_cfn(3, tile, 5, **sizes)
    total, first = 0.0, 0.0
    height, length, _ = tile
    for layer in model.layers:
        if isinstance(layer, keras.layers.Conv2D):
            ones = keras.ops.ones((1, height, length, layer.kernel.shape[2]))
            met = keras.ops.conv(ones, keras.ops.ones_like(layer.kernel), layer.strides, "same")
            products = 3 * float(keras.ops.sum(met))
            total, first = total + products, first or products
            height, length = met.shape[1:3]
        elif isinstance(layer, keras.layers.MaxPooling2D):
            height, length = -(-height // 2), -(-length // 2)
        elif isinstance(layer, keras.layers.Dense):
            total += float(layer.kernel.shape[0] * layer.kernel.shape[1]) * (
                3 if layer.name == "tile" else 1
            )
    found = multiply_adds(3, tile, 5, **sizes)
    assert found == (total, first)
    assert found.training == 3 * total - first


def test_the_papers_study_is_known_without_its_data() -> None:
    params = load_params(ROOT / "presets/paper.yaml")
    assert inputs(params, "images")["pretrain"] == 1_281_167
    assert inputs(params, "audio")["train"] == round(289_205 * (1 - 2 * 0.0142))
    assert all(work(params, job).amount == 0 for job in jobs(params) if job.rule == "dataset")


def test_notes_are_counted_once_they_are_rendered(project, default) -> None:
    """By the manifest of these settings; a damaged one, or of other settings, says nothing."""
    guess = inputs(default, "audio")
    manifest = default.layout.manifest("notes")
    manifest.parent.mkdir(parents=True)
    candidates = int(work(default, Job("dataset", {"dataset": "notes"})).amount)
    split = ["train"] * 700 + ["valid"] * 150 + ["test"] * 149
    for rows, expected in (
        (split + [""] * (candidates - len(split)), {"train": 700, "valid": 150, "test": 149}),
        (split, guess),
    ):
        pd.DataFrame({"split": rows}).to_parquet(manifest)
        assert inputs(default, "audio") == expected
    manifest.write_bytes(b"PAR1")
    assert inputs(default, "audio") == guess


def test_every_job_is_snakemakes() -> None:
    """The jobs that are estimated are those that a dry run lists, and it measures nothing."""
    environment = {**os.environ, "PARAMS": "presets/tiny.yaml"}
    params = load_params(ROOT / "presets/tiny.yaml")
    folder = ROOT / params.paths.data
    before = folder.exists()
    command = ["snakemake", "-n", "--forceall", "--cores", "2", "--nolock"]
    said = subprocess.run(
        command, cwd=ROOT, env=environment, capture_output=True, text=True, check=True
    )
    rules = re.findall(r"^(?:local)?rule (\w+):$", said.stdout + said.stderr, re.M)
    named = sorted(rule for rule in rules if rule != "all")
    assert named == sorted(job.rule for job in jobs(params))
    assert "measuring" not in said.stdout + said.stderr
    assert folder.exists() == before


# Pace

STEP = ("pretrain", "audio", "frequency-10, small")


def test_the_pace_is_that_of_the_jobs_that_ran(project) -> None:
    folder = Folder(project / "data/benchmarks")
    for place, (amount, seconds) in enumerate([(0.001, 6), (10, 26), (10, 26.5), (20, 46)]):
        ended(folder, f"pretrain/{place}.tsv", Work(STEP, amount), seconds)
    paces = Paces([Folder.read(folder.path)])
    assert paces.start("pretrain") == 6
    assert paces.pace(Work(STEP, 100)).seconds == pytest.approx(2, rel=0.03)
    assert paces.pace(Work(STEP, 100))[1:] == (3, 3)  # the shortest job says nothing of the pace
    assert paces.seconds(Work(STEP, 100), 1) == pytest.approx(206, rel=0.03)
    assert paces.knows(Work(STEP, 100))


def test_a_job_as_short_as_a_start_is_known_of_its_like_alone(project) -> None:
    folder = Folder(project / "data/benchmarks")
    folder.measured = {TENSORFLOW: {"first": 0, "each": 5}, PLAIN: {"first": 0, "each": 1}}
    kind = ("embed", "audio", "small")
    ended(folder, "embed/0.tsv", Work(kind, 100), 5.5)
    paces = Paces([Folder.read(folder.path)])
    assert paces.seconds(Work(kind, 200), 1) == pytest.approx(6)
    assert not paces.knows(Work(kind, 300))


def test_one_job_that_was_held_up_does_not_count(project) -> None:
    folder = Folder(project / "data/benchmarks")
    ended(folder, "pretrain/first.tsv", Work(STEP, 0.001), 5)
    for place in range(4):
        seconds = 15 if place else 5000  # a laptop's lid was closed
        ended(folder, f"pretrain/{place}.tsv", Work(STEP, 10), seconds)
    paces = Paces([Folder.read(folder.path)])
    assert paces.pace(Work(STEP, 100)).seconds == pytest.approx(1)


def test_a_job_with_little_work_says_little_of_the_pace(project) -> None:
    """An untrained network is evaluated alone: compiling takes longer than that."""
    folder = Folder(project / "data/benchmarks")
    folder.measured = {TENSORFLOW: {"first": 0, "each": 5}, PLAIN: {"first": 0, "each": 1}}
    ended(folder, "pretrain/random.tsv", Work(STEP, 0.1), 8)
    ended(folder, "pretrain/trained.tsv", Work(STEP, 100), 105)
    assert Paces([Folder.read(folder.path)]).pace(Work(STEP, 1000)).seconds == pytest.approx(1)


def test_a_job_that_mostly_starts_does_not_say_what_much_work_takes(project) -> None:
    """Seconds of a start that the disk held up would be multiplied by a thousand."""
    folder = Folder(project / "data/benchmarks")
    folder.measured = {TENSORFLOW: {"first": 0, "each": 5}, PLAIN: {"first": 0, "each": 1}}
    folder.measured[json.dumps([*STEP[:-1], "another"])] = {"first": 0, "each": 1}
    ended(folder, "pretrain/random.tsv", Work(STEP, 0.1), 8)
    paces = Paces([Folder.read(folder.path)])
    assert paces.seconds(Work(STEP, 100), 1) == pytest.approx(105)
    assert paces.seconds(Work(STEP, 0.1), 1) == pytest.approx(8)


def test_cores_that_a_job_takes_are_counted(project, default) -> None:
    folder = Folder(project / "data/benchmarks")
    folder.measured = {TENSORFLOW: {"first": 0, "each": 4}, PLAIN: {"first": 0, "each": 1}}
    kind = work(default, Job("dataset", {"dataset": "notes"})).kind
    ended(folder, "dataset/notes.tsv", Work(kind, 100), 29, threads=4)
    paces = Paces([Folder.read(folder.path)])
    assert paces.pace(Work(kind, 100)).seconds == pytest.approx(1)  # of one core
    assert paces.seconds(Work(kind, 100), 2) == pytest.approx(54)
    wide = [Job("dataset", {"dataset": "notes"}, threads=2)] * 3
    one = paces.seconds(work(default, wide[0]), 2)
    on_cores, in_all = duration(default, wide, 2, paces)
    assert on_cores == pytest.approx(3 * one)  # one after the other
    assert in_all == pytest.approx(6 * one)


def test_what_is_most_alike_counts_first(project) -> None:
    folder = Folder(project / "data/benchmarks")
    folder.measured = {TENSORFLOW: {"first": 0, "each": 5}, PLAIN: {"first": 0, "each": 1}}
    for name, kind, seconds in (
        ("a", STEP, 15),
        ("b", ("pretrain", "audio", "grid-5x2"), 25),
        ("c", ("pretrain", "video", "frames-5"), 55),
    ):
        ended(folder, f"pretrain/{name}.tsv", Work(kind, 10), seconds)
    measured = json.dumps(["pretrain", "audio", "time-10"])
    folder.measured[measured] = {"first": 0, "each": 7}
    folder.write()
    paces = Paces([Folder.read(folder.path)])
    assert paces.pace(Work(STEP, 100)) == (1, 3, 1)
    assert paces.pace(Work(("pretrain", "audio", "time-10"), 100)) == (
        7,
        3,
        0,
    )  # before jobs less alike
    assert paces.pace(Work(("pretrain", "audio", "other"), 100)) == (1, 2, 2)
    assert paces.pace(Work(("pretrain", "images", "other"), 100)) == (2, 1, 3)
    assert not paces.knows(Work(("pretrain", "audio", "other"), 1))
    assert paces.pace(Work(("end_to_end", "audio", "time-10"), 100)) == (7, 3, 0)  # steps are steps
    assert paces.pace(Work(("embed", "audio", "time-10"), 100)) == (7, 3, 0)
    assert paces.pace(Work(("downstream", "audio", "time-10"), 100)) is None


@pytest.mark.parametrize(
    "content",
    ["", HEADER, "s\th:m:s\n", "nonsense", HEADER + "NA\t0\t0\t0\n", HEADER + "-\n", "\0\1"],
)
def test_a_damaged_benchmark_does_not_count(project, content) -> None:
    folder = Folder(project / "data/benchmarks")
    ended(folder, "pretrain/a.tsv", Work(STEP, 10), 30)
    (folder.path / "pretrain/a.tsv").write_text(content)
    assert Folder.read(folder.path).ran == {}


@pytest.mark.parametrize("content", ["", "{", "[]", "null", '{"machine": 1}', '{"ran": {}}'])
def test_a_damaged_record_counts_for_nothing_and_is_written_anew(project, content) -> None:
    folder = Folder(project / "data/benchmarks")
    ended(folder, "pretrain/a.tsv", Work(STEP, 10), 30)
    (folder.path / pace.FILE).write_text(content)
    read = Folder.read(folder.path)
    assert (read.planned, read.ran, read.measured) == ({}, {}, {})
    ended(read, "pretrain/a.tsv", Work(STEP, 10), 30)
    assert Folder.read(folder.path).ran


def test_a_time_from_before_the_job_was_planned_does_not_count(project) -> None:
    """The old settings' time is kept until the job has run with the new ones."""
    folder = Folder(project / "data/benchmarks")
    ended(folder, "pretrain/a.tsv", Work(STEP, 10), 30)
    os.utime(folder.path / "pretrain/a.tsv", (1e9, 1e9))
    assert Folder.read(folder.path).ran == {}
    ended(folder, "pretrain/a.tsv", Work(STEP, 10), 30)
    again = Folder.read(folder.path)
    assert again.ran["pretrain/a.tsv"] == [list(STEP), 10, 1, 30]
    again.plan([("pretrain/a.tsv", Work(STEP, 999), 1)])
    again.write()
    os.utime(folder.path / "pretrain/a.tsv", (1e9, 1e9))
    assert Folder.read(folder.path).ran["pretrain/a.tsv"] == [list(STEP), 10, 1, 30]


def test_jobs_of_another_machine_do_not_count(project, monkeypatch) -> None:
    folder = Folder(project / "data/benchmarks")
    ended(folder, "pretrain/a.tsv", Work(STEP, 10), 30)
    folder.measured = {TENSORFLOW: {"first": 0, "each": 5}}
    folder.write()
    monkeypatch.setattr(pace, "machine", lambda: "another")
    other = Folder.read(folder.path)
    assert (other.planned, other.ran, other.measured) == ({}, {}, {})
    other.write()
    monkeypatch.undo()
    assert Folder.read(folder.path).ran == {}


def test_other_studies_of_the_project_count(project) -> None:
    elsewhere = Folder(project / "data/smoke/benchmarks")
    ended(elsewhere, "pretrain/a.tsv", Work(STEP, 10), 30)
    found = folders(Path("data"))
    assert found[0].path == Path("data/benchmarks")
    assert [ran.seconds for ran in Paces(found).ran] == [30]
    assert len(Paces(folders(Path("data/smoke"))).ran) == 1  # once


def test_what_starts_tensorflow_is_told_by_its_imports() -> None:
    stages = ("dataset", "pretrain", "embed", "end_to_end", "examples")
    assert all(map(pace.starts_tensorflow, stages))
    others = ("spectrograms", "frames", "pictures", "join", "downstream", "scores", "site")
    assert not any(map(pace.starts_tensorflow, others))


# What is said


def known(params: Params) -> Paces:
    """A machine that takes 5 seconds to start and a minute for each job's work."""
    folder = Folder(Path("none"), measured={TENSORFLOW: {"each": 5}, PLAIN: {"each": 1}})
    for job in jobs(params):
        what = work(params, job)
        if what.amount:
            each = {"first": 0.0, "each": 60 / what.amount}
            folder.measured[json.dumps(list(what.kind))] = each
    return Paces([folder])


def test_what_is_said_of_a_run(default) -> None:
    training = [job for job in jobs(default) if job.rule == "pretrain"]
    paces = known(default)
    _, seconds = duration(default, training, 2, paces)
    said = announcement(default, training, 2, paces)
    assert said.startswith(
        f"{len(training)} jobs to run, roughly {seconds / 120:.0f} min on 2 cores"
    )
    said = announcement(default, training, None, paces)
    assert f"roughly {seconds / 60:.0f} min of one core's work here" in said
    # On many cores a run is no shorter than what follows upon each other.
    longest, _ = duration(default, jobs(default), 10_000, paces)
    assert longest > 300
    site = [job for job in jobs(default) if job.rule == "site"]
    assert announcement(default, site, 1, paces) == "1 job to run, roughly a minute on 1 core"


def test_what_is_not_known_is_said(default) -> None:
    assert "not known here: make estimate" in announcement(default, jobs(default), 2, Paces([]))
    start = Folder(Path("none"), measured={TENSORFLOW: {"each": 5}, PLAIN: {"each": 1}})
    said = announcement(default, jobs(default), 2, Paces([start]))
    assert "on 2 cores and what is not known here (dataset, spectrograms, pretrain" in said


def test_a_short_run_is_not_held_up_and_a_long_one_is_measured(
    project, default, monkeypatch, capsys
) -> None:
    asked: list[list[tuple[Job, Work]]] = []

    def measure(params, wanted, folder, *_):
        asked.append(wanted)
        raise RuntimeError("no TensorFlow")

    monkeypatch.setattr(measuring, "measure", measure)
    several = [job for job in jobs(default) if job.rule == "pretrain"]
    announce.announce(default, several[:2], 2)
    assert not asked
    announce.announce(default, [job for job in jobs(default) if job.rule in ("site", "tables")], 2)
    assert not asked
    announce.announce(default, several, 2)
    assert len(asked) == 1
    said = capsys.readouterr().err
    assert "measuring failed: no TensorFlow" in said
    assert "jobs to run, how long is not known here" in said
    kinds = [what.kind for _, what in asked[0]]
    assert len(set(kinds)) == len(kinds)
    assert {kind[1] for kind in kinds[:3]} == {"audio", "video", "images"}  # of each one first
    for target in ("all", "audio"):
        announce.announce(default, [Job(target, {})], 2)
    assert capsys.readouterr().err == ""


def test_a_run_says_what_its_jobs_are(project, default) -> None:
    """Here, not on a cluster; the next run goes by their times."""
    key = {"modality": "audio", "slicing": "frequency-10", "method": "random", "seed": "0"}
    job = Job("pretrain", key, 4, "pretrain/audio/frequency-10/random/0.tsv")
    announce.announce(default, [job], None)
    assert not (project / "data").exists()
    announce.announce(default, [job], 2)
    folder = Folder.read(project / "data/benchmarks")
    what = work(default, job)
    assert folder.planned[job.record][1:] == [list(what.kind), what.amount, 2]
    file = folder.path / job.record
    file.parent.mkdir(parents=True)
    file.write_text(f"{HEADER}12.5\t0:00:12\t1.0\t1.0\n")
    assert Paces(folders(Path("data"))).ran == [(what, 2, 12.5)]


def test_what_is_measured_is_kept(project, capsys) -> None:
    """Every kind of a small study, by the thing itself; the next time nothing is measured."""
    shutil.copytree(ROOT / "presets", project / "presets")
    shutil.copy(ROOT / "params.yaml", project)
    file = project / "presets/tiny.yaml"
    estimate.main(["--params", str(file)])
    first = capsys.readouterr()
    assert "measuring" in first.err
    params = load_params(file)
    paces = Paces(folders(Path(params.paths.data)))
    assert all(paces.knows(work(params, job)) for job in jobs(params))
    assert all(paces.seconds(work(params, job), 1) > 0 for job in jobs(params))
    assert re.search(r"^pretrain +4 +0\.\d\d   measured$", first.out, re.M)
    estimate.main(["--params", str(file)])
    second = capsys.readouterr()
    assert "measuring" not in second.err
    assert second.out == first.out


def test_the_kind_that_there_is_most_to_do_of_is_measured_first(default) -> None:
    """Others of its modality go by it: few networks of 40 bands, each dearer, beside many of 10."""
    wanted = measuring.unknown(default, jobs(default), Paces([]))
    first: dict[tuple[str, ...], Work] = {}
    for _, what in wanted:
        first.setdefault(what.kind[:2], what)
    told = first["pretrain", "audio"].kind[2]
    assert told.startswith("frequency-10 of ")
    like = [work(default, job) for job in jobs(default)]
    like = [what for what in like if what.kind[1:] == ("audio", told)]
    assert {what.stage for what in like} == {"pretrain", "embed", "end_to_end"}
    assert first["pretrain", "audio"].amount == sum(what.amount for what in like)


def test_a_start_is_that_of_libraries_that_were_read_before(project, default, monkeypatch) -> None:
    wanted = measuring.unknown(default, jobs(default), Paces([]))
    kind = json.dumps(wanted[0][1].kind)
    starts = iter([18.0, 2.0])

    def answers(params, shares, seconds):
        found = {TENSORFLOW: [(0.0, next(starts))]}
        return found | ({kind: [(1.0, 0.5)]} if any(shares) else {})

    monkeypatch.setattr(measuring, "_answers", answers)
    folder = Folder(project / "data/benchmarks")
    measuring.measure(default, wanted, folder)
    assert folder.measured == {
        TENSORFLOW: {"first": 0.0, "each": 2.0},
        kind: {"first": 1.0, "each": 0.5},
    }


def test_a_process_that_fails_is_told(project, default, monkeypatch) -> None:
    monkeypatch.setattr(sys, "executable", shutil.which("false"))
    wanted = measuring.unknown(default, jobs(default), Paces([]))
    with pytest.raises(RuntimeError, match="status 1"):
        measuring.measure(default, wanted, Folder(project / "data/benchmarks"))
    assert not (project / "data").exists()


def test_a_dataset_does_not_go_by_another(default) -> None:
    """A note is no clip and no picture: what they take is not to be told from each other."""
    made = {
        job.wildcards["dataset"]: work(default, job)
        for job in jobs(default)
        if job.rule == "dataset"
    }
    notes, scenes = made["notes"], made["scenes"]
    folder = Folder(Path("none"), measured={TENSORFLOW: {"each": 5}, PLAIN: {"each": 1}})
    folder.ran["x"] = [list(notes.kind), notes.amount, 1, 100.0]
    paces = Paces([folder])
    assert paces.seconds(notes, 1) == pytest.approx(100)
    assert paces.seconds(scenes, 1) is None and not paces.knows(scenes)
