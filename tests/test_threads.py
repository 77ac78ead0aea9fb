"""How many threads a stage has: the params file or --threads says so, never the shell."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from argparse import Namespace
from pathlib import Path

import pytest
from conftest import ROOT, TinyStudy

from stages import pretrain
from study import cli

PROGRAM = """
import json, sys
from study import cli
args, params = cli.open_stage("", "threads")
cli.threads(args, params.threads.pretrain)
import numpy, sklearn.neighbors, threadpoolctl
from study.tensorflow import start_tensorflow
start_tensorflow(cli.threads(args, params.threads.pretrain))
import tensorflow as tf
pools = {pool["num_threads"] for pool in threadpoolctl.threadpool_info()}
print(json.dumps([sorted(pools), tf.config.threading.get_intra_op_parallelism_threads()]))
"""


@pytest.mark.parametrize(
    ("shell", "options", "threads"), [("16", [], 1), ("1", ["--threads", "2"], 2), (None, [], 1)]
)
def test_the_shell_does_not_decide(shell: str | None, options: list[str], threads: int) -> None:
    """Neither TensorFlow's threads nor those of the numerical libraries."""
    environment = {k: v for k, v in os.environ.items() if not k.endswith("_NUM_THREADS")}
    if shell is not None:
        environment["OMP_NUM_THREADS"] = shell
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, *options],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
        check=True,
    )
    assert json.loads(done.stdout.splitlines()[-1]) == [[threads], threads]


@pytest.mark.parametrize("shell", ["0", "3", "many", ""])
@pytest.mark.parametrize(("option", "setting", "threads"), [(None, 1, 1), (1, "all", 1)])
def test_whatever_the_shell_says(monkeypatch, shell: str, option, setting, threads: int) -> None:
    for name in cli.LIBRARIES:
        monkeypatch.setenv(name, shell)
    assert cli.threads(Namespace(threads=option), setting) == threads
    assert {os.environ[name] for name in cli.LIBRARIES} == {str(threads)}


def test_the_same_bytes_whatever_the_shell_says(tmp_path: Path) -> None:
    networks = []
    for name, number in (("a", "1"), ("b", "16")):
        study = TinyStudy(tmp_path / name)
        subprocess.run(
            [sys.executable, "-m", pretrain.__name__, *study.arguments()],
            cwd=ROOT,
            env=os.environ | {"OMP_NUM_THREADS": number},
            capture_output=True,
            check=True,
        )
        networks.append(study.layout.model(study.encoder()).read_bytes())
    assert networks[0] == networks[1]


@pytest.mark.parametrize("number", ["0", "-1", "two"])
def test_a_number_of_threads_that_is_none(number: str, capsys, tiny_study: TinyStudy) -> None:
    with pytest.raises(SystemExit):
        pretrain.main([*tiny_study.arguments(), "--threads", number])
    assert "--threads" in capsys.readouterr().err
