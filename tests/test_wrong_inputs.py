"""Inputs that are wrong or absent, and a disk that is full: one line, and nothing is lost."""

from __future__ import annotations

import re
import resource
from collections.abc import Iterator
from contextlib import contextmanager
from types import ModuleType

import numpy as np
import pandas as pd
import pytest
from conftest import TinyStudy
from trained_study import every_stage, made, provide, settings

from shuffle_to_learn.pretext.pretraining import Pretraining
from stages import downstream, embed, end_to_end, pretrain


def test_more_fixed_permutations_than_there_are_is_refused(tiny_study: TinyStudy) -> None:
    tiny_study.change(
        settings("method", fixed_permutations={"learning_rate": 0.1, "permutations": 121})
    )
    line = tiny_study.refusal(pretrain, "fixed_permutations")
    assert "audio.method.fixed_permutations: 121 distinct permutations of 5 elements do" in line


def test_more_than_there_is_to_train_on_is_refused(tiny_study, outputs) -> None:
    tiny_study.change(settings("pretrain", batch_size=81))
    assert "audio.pretrain.batch_size: 81 is more than the 80" in tiny_study.refusal(pretrain)
    provide(tiny_study, outputs, "embeddings")
    tiny_study.change(settings("downstream", n_examples=[12, 60, 81, 99]))
    line = tiny_study.refusal(downstream)
    assert "audio.downstream.n_examples: 99 is more than the 80 training inputs" in line


def test_a_rate_that_diverges_is_named(tiny_study: TinyStudy, monkeypatch) -> None:
    def diverge(*_):
        raise FloatingPointError("the loss is nan in epoch 1")

    monkeypatch.setattr(Pretraining, "run_epoch", diverge)
    line = tiny_study.refusal(pretrain)
    assert "the loss is nan in epoch 1" in line
    assert "lower audio.method.mse.learning_rate in" in line


def test_embeddings_that_are_no_numbers_are_named(tiny_study, outputs) -> None:
    provide(tiny_study, outputs, "embeddings")
    path = tiny_study.layout.embeddings(tiny_study.encoder(), "train", "joined")
    np.save(path, np.full_like(np.load(path), np.nan))
    line = tiny_study.refusal(downstream)
    assert "instrument of audio frequency-5 mse 0" in line
    assert str(path) in line


# The files that a stage reads, each with the stage that makes it.
READS = {
    pretrain: [
        (lambda s: s.layout.features("notes", "train"), "join"),
        (lambda s: s.layout.features("notes", "valid"), "join"),
    ],
    embed: [
        (lambda s: s.layout.features("notes", "test"), "join"),
        (lambda s: s.layout.model(s.encoder()), "pretrain"),
    ],
    downstream: [
        (lambda s: s.layout.embeddings(s.encoder(), "train", "joined"), "embed"),
        (lambda s: s.layout.embeddings(s.encoder(), "test", "joined"), "embed"),
        (lambda s: s.layout.labels("notes", "train"), "join"),
        (lambda s: s.layout.labels("notes", "test"), "join"),
    ],
    end_to_end: [
        (lambda s: s.layout.model(s.encoder()), "pretrain"),
        (lambda s: s.layout.features("notes", "train"), "join"),
        (lambda s: s.layout.labels("notes", "test"), "join"),
    ],
}
# The kinds of outputs of earlier stages that a stage needs.
GIVEN = {
    pretrain: (),
    embed: ("encoders",),
    downstream: ("embeddings",),
    end_to_end: ("encoders",),
}
# The outputs that a stage writes, under data/.
WRITES = {
    pretrain: r"(encoders|history|pretext)/.*",
    embed: r"embeddings/.*",
    downstream: r"(answers|scores)/.*/\d+\.csv",
    end_to_end: r"scores/.*-end-to-end\.csv",
}


def assert_recovers(study: TinyStudy, stage: ModuleType, outputs: dict[str, bytes]) -> None:
    """Run a stage, and compare its outputs with those of another run of the same study."""
    study.run(stage)
    given = {k for k in outputs if k.split("/")[1] in GIVEN[stage]}
    wanted = given | {k for k in outputs if re.fullmatch(f"data/{WRITES[stage]}", k)}
    assert made(study) == {k: outputs[k] for k in wanted}


@every_stage
def test_a_bad_input_is_named_and_its_repair_is_enough(tiny_study, outputs, stage) -> None:
    provide(tiny_study, outputs, *GIVEN[stage])
    for file, made_by in READS[stage]:
        path = file(tiny_study)
        whole = path.read_bytes()
        for size in (len(whole) - 1, len(whole) // 2, 60, 0):
            path.write_bytes(whole[:size])
            line = tiny_study.refusal(stage)
            assert line.startswith(f"error: {path} is damaged (")
            assert line.endswith(f"): delete it and run the stage {made_by} again")
        path.write_bytes(b"PK\x03\x04 and so on")
        assert f"{path} is damaged (" in tiny_study.refusal(stage)
        path.unlink()
        line = tiny_study.refusal(stage)
        assert line == f"error: {path} does not exist: run the stage {made_by} first"
        path.write_bytes(whole)
    assert_recovers(tiny_study, stage, outputs)


def test_features_of_other_settings_are_refused(tiny_study: TinyStudy) -> None:
    tiny_study.change(settings("spectrograms", n_mels=40))
    for stage in (pretrain, embed):
        line = tiny_study.refusal(stage)
        assert "holds spectrograms of (20, 12), the params file asks for (40, 12)" in line


def test_no_features_are_refused(tiny_study: TinyStudy) -> None:
    path = tiny_study.layout.features("notes", "valid")
    np.save(path, np.load(path)[:0])
    assert f"{path} is empty" in tiny_study.refusal(pretrain)


def test_a_network_of_another_slicing_is_refused(tiny_study, outputs) -> None:
    provide(tiny_study, outputs, "encoders")
    tiny_study.change(settings("pretrain", gap=1))
    for stage in (embed, end_to_end):
        line = tiny_study.refusal(stage)
        assert "takes patches of shape (5, 4, 12, 1), the params file asks for (5, 3, 12" in line


def test_labels_of_another_length_or_without_a_task_are_refused(tiny_study, outputs) -> None:
    provide(tiny_study, outputs, "embeddings", "encoders")
    path = tiny_study.layout.labels("notes", "test")
    labels = pd.read_parquet(path)
    labels.iloc[:-1].to_parquet(path)
    line = tiny_study.refusal(downstream)
    assert "test.npy has 40 rows and" in line
    assert f"{path} 39" in line
    line = tiny_study.refusal(end_to_end)
    assert f"test.npy has 40 rows and {path} 39: run the stages spectrograms and join again" in line
    labels.drop(columns="family").to_parquet(path)
    assert f"{path} has no column family" in tiny_study.refusal(downstream)


@contextmanager
def largest_file(size: int) -> Iterator[None]:
    """Make writes beyond a file size fail, as on a full disk; Python ignores the signal."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


@pytest.mark.parametrize(
    ("stage", "size", "file"),
    [
        (pretrain, 0, "data/tensorboard/audio/frequency-5/mse/0"),
        (pretrain, 20_000, "data/checkpoints/audio/frequency-5/mse/0/state.npz"),
        (embed, 0, "data/embeddings/audio/frequency-5/mse/0/tiles/train.npy"),
        (embed, 3000, "data/embeddings/audio/frequency-5/mse/0/tiles/train.npy"),
        (downstream, 500, "data/answers/audio/frequency-5/mse/0.csv"),
        (end_to_end, 500, "data/scores/audio/frequency-5/mse/0-end-to-end.csv"),
    ],
)
def test_a_full_disk_is_told_and_the_next_run_recovers(
    tiny_study, outputs, capsys, stage, size, file
) -> None:
    provide(tiny_study, outputs, *GIVEN[stage])
    with largest_file(size):  # capsys keeps output in memory: no file
        line = tiny_study.refusal(stage)
    assert line.startswith(f"error: could not write {tiny_study.folder / file}: ")
    assert_recovers(tiny_study, stage, outputs)


def test_a_full_disk_leaves_the_network_of_before(tiny_study: TinyStudy) -> None:
    tiny_study.run(pretrain, "random")
    path = tiny_study.layout.model(tiny_study.encoder("random"))
    before = path.read_bytes()
    tiny_study.change(settings("pretrain", tile_features=9))
    with largest_file(50_000):
        line = tiny_study.refusal(pretrain, "random")
    assert f"could not write {path}: " in line
    tiny_study.run(pretrain, "random")
    assert path.read_bytes() != before
