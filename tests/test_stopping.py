"""A pretraining that is stopped, in any way, goes on to the same bytes."""

from __future__ import annotations

import io
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from conftest import ROOT, TinyStudy
from trained_study import made, settings

from shuffle_to_learn.pretext.pretraining import Pretraining
from stages import pretrain

KILLED = """
import os, signal, sys
import numpy as np
import stages.pretrain
savez, calls = np.savez, []
def kill_in_the_second(path, **arrays):
    calls.append(path)
    if len(calls) == 1:
        return savez(path, **arrays)
    path.write_bytes(b"half a checkpoint")
    os.kill(os.getpid(), signal.SIGKILL)
np.savez = kill_in_the_second
stages.pretrain.main(sys.argv[1:])
"""


def test_a_killed_pretraining_goes_on_to_the_same_bytes(tmp_path: Path, monkeypatch) -> None:
    """Killed while it writes its second checkpoint; batch normalisation, gap, cosine and warmup."""
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    change = settings(
        "pretrain", batch_normalization=True, gap=1, schedule="cosine", warmup_epochs=0.5
    )
    whole, killed = (TinyStudy(tmp_path / name, change) for name in ("whole", "killed"))
    whole.run(pretrain)

    def command(*start: str) -> subprocess.CompletedProcess:
        return subprocess.run(
            [sys.executable, *start, *killed.arguments()],
            cwd=ROOT,
            capture_output=True,
            text=True,
            check=False,
        )

    assert command("-c", KILLED).returncode == -9
    left = made(killed)
    folder = "data/checkpoints/audio/frequency-5/mse/0"
    assert sorted(left) == [f"{folder}/.state.tmp.npz", f"{folder}/state.npz"]
    resumed = command("-m", "stages.pretrain")
    assert resumed.returncode == 0
    said = resumed.stderr.splitlines()
    assert said[0].startswith("continuing after epoch 1 from ")
    assert all(line.startswith("pretrain audio frequency-5 mse 0") for line in said[1:])
    assert made(killed) == made(whole)


@pytest.fixture(scope="module")
def after_control_c(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a study whose pretraining was stopped in its second epoch."""
    run_epoch = Pretraining.run_epoch

    def stop_in_the_second(self, *args):
        if self.epoch == 1:
            raise KeyboardInterrupt
        return run_epoch(self, *args)

    study = TinyStudy(tmp_path_factory.mktemp("interrupted"))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Pretraining, "run_epoch", stop_in_the_second)
        with pytest.raises(SystemExit, match="interrupted"):
            study.run(pretrain)
    assert list(made(study)) == ["data/checkpoints/audio/frequency-5/mse/0/state.npz"]
    return study.folder


@pytest.fixture
def interrupted(after_control_c: Path, tmp_path: Path) -> TinyStudy:
    """A copy of that study, with the files' times: a change of times is a change of inputs."""
    return TinyStudy(shutil.copytree(after_control_c, tmp_path / "copy"))


def pretrained(outputs: dict[str, bytes]) -> dict[str, bytes]:
    return {
        k: v for k, v in outputs.items() if k.split("/")[1] in ("encoders", "history", "pretext")
    }


def test_an_interrupted_pretraining_goes_on(interrupted, outputs, capsys) -> None:
    interrupted.run(pretrain)
    assert "continuing after epoch 1" in capsys.readouterr().err
    assert made(interrupted) == pretrained(outputs)


def test_a_damaged_checkpoint_is_not_used(interrupted, outputs, capsys) -> None:
    path = interrupted.layout.checkpoint(interrupted.encoder()) / "state.npz"
    path.write_bytes(path.read_bytes()[:-100])
    interrupted.run(pretrain)
    said = capsys.readouterr().err
    assert f"{path} is damaged: starting again" in said
    assert "epoch 1/3" in said
    assert made(interrupted) == pretrained(outputs)


def test_whatever_the_damage(interrupted: TinyStudy, capsys) -> None:
    path = interrupted.layout.checkpoint(interrupted.encoder()) / "state.npz"
    whole = path.read_bytes()
    flipped = bytearray(whole)
    flipped[len(whole) // 2] ^= 255
    array, other = io.BytesIO(), io.BytesIO()
    np.save(array, np.zeros(3))
    np.savez(other, epoch=np.array(1))
    damaged = [whole[:1000], flipped, b"", b"PK\x03\x04", array.getvalue(), other.getvalue()]
    for content in damaged:
        path.write_bytes(content)
        assert pretrain._restore(path, "any", None) == []
        assert capsys.readouterr().err == f"{path} is damaged: starting again\n"


@pytest.mark.parametrize("changed", ["settings", "inputs", "code"])
def test_a_checkpoint_of_something_else_is_not_used(
    interrupted, outputs, capsys, monkeypatch, changed
):
    if changed == "settings":
        interrupted.change(settings("pretrain", batch_size=8))
    elif changed == "inputs":
        path = interrupted.layout.features("notes", "train")
        np.save(path, np.load(path)[::-1])
    else:
        monkeypatch.setattr(pretrain, "source_digest", lambda: "of other code")
    interrupted.run(pretrain)
    said = capsys.readouterr().err
    assert "state.npz is of other settings, inputs or code: starting again" in said
    assert "epoch 1/3" in said
    assert (made(interrupted) == pretrained(outputs)) == (changed == "code")
    assert not any("checkpoints" in name for name in made(interrupted))
