"""What a job loads before its work begins, and that loading less changes nothing."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest
from conftest import ROOT, TinyStudy
from hypothesis import given
from hypothesis import strategies as st

from stages import embed, pretrain
from study.files import write_csv, write_rows

UNUSED = {"pandas", "pyarrow", "scipy", "sklearn", "matplotlib", "cv2", "librosa"}
"""What takes long to import, and a stage that trains or embeds has no use for."""


def said_by(program: str, *arguments: str) -> str:
    """The last line that a program prints in a process of its own, from the project's folder."""
    result = subprocess.run(
        [sys.executable, "-c", program, *arguments],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    return result.stdout.splitlines()[-1]


def test_pretrain_and_embed_load_no_packages_that_they_do_not_use(tmp_path: Path) -> None:
    program = (
        "import sys\n"
        "from importlib import import_module\n"
        "import_module('stages.' + sys.argv[1]).main(sys.argv[2:])\n"
        "print(*sorted({name.split('.')[0] for name in sys.modules}))\n"
    )
    study = TinyStudy(tmp_path)
    for stage in (pretrain, embed):
        loaded = set(said_by(program, stage.__name__.split(".")[1], *study.arguments()).split())
        assert {"tensorflow", "keras", "h5py"} <= loaded, stage
        assert not UNUSED & loaded, stage
        assert study.layout.model(study.encoder()).exists()


def test_packages_hidden_from_keras_are_there_afterwards() -> None:
    program = (
        "from study.tensorflow import start_tensorflow\n"
        "start_tensorflow(1)\n"
        "import cv2, matplotlib.pyplot, pandas, scipy.sparse, sklearn.metrics\n"
        "import numpy as np\n"
        "assert scipy.sparse.issparse(scipy.sparse.eye(2))\n"
        "assert cv2.resize(np.zeros((4, 4)), (2, 2)).shape == (2, 2)\n"
        "print(pandas.DataFrame({'a': [1]})['a'].sum())\n"
    )
    assert said_by(program) == "1"


def test_garbage_is_looked_for_again_after_the_start_and_what_was_there_before_stays() -> None:
    """What TensorFlow made stays for good; what is made later is looked through, as ever."""
    program = (
        "import gc, weakref\n"
        "from study.tensorflow import start_tensorflow\n"
        "start_tensorflow(1)\n"
        "kept = gc.get_freeze_count()\n"
        "assert kept > 100_000, kept\n"
        "class Circle: pass\n"
        "circle = Circle(); circle.itself = circle; seen = weakref.ref(circle)\n"
        "start_tensorflow(1)\n"
        "assert gc.isenabled() and gc.get_freeze_count() <= kept\n"
        "del circle\n"
        "junk = [[] for _ in range(100_000)]\n"
        "for _ in range(30): junk = [[] for _ in range(10_000)]\n"
        "gc.collect()\n"
        "print(seen())\n"
    )
    assert said_by(program) == "None"


def test_a_process_that_switched_the_collector_off_finds_it_off() -> None:
    program = (
        "import gc; gc.disable()\n"
        "from study.tensorflow import start_tensorflow\n"
        "start_tensorflow(1)\n"
        "print(gc.isenabled(), gc.get_freeze_count())\n"
    )
    assert said_by(program) == "False 0"


def test_a_stage_that_ends_leaves_its_memory_to_the_system() -> None:
    program = (
        "import atexit, gc\n"
        "atexit.register(lambda: print(gc.get_freeze_count() > 5_000))\n"  # runs last
        "import stages.scores\n"
        "print(gc.get_freeze_count())\n"
    )
    assert said_by(program) == "True"


ROWS = st.lists(
    st.tuples(
        st.integers(0, 10**6),
        st.floats(allow_nan=False),
        st.one_of(st.none(), st.floats(allow_nan=False)),
    ),
    min_size=1,
)


@given(rows=ROWS)
def test_rows_are_written_as_pandas_writes_them(
    tmp_path_factory: pytest.TempPathFactory, rows: list[tuple[int, float, float | None]]
) -> None:
    folder = tmp_path_factory.mktemp("rows")
    columns = ["epoch", "loss", "rate"]
    named = [
        {name: value for name, value in zip(columns, row, strict=True) if value is not None}
        for row in rows
    ]
    write_rows(folder / "own.csv", columns, named)
    write_csv(folder / "pandas.csv", pd.DataFrame(named, columns=columns))
    assert (folder / "own.csv").read_bytes() == (folder / "pandas.csv").read_bytes()


BUSY = """
import time
def work(seconds):
    end = time.process_time() + seconds
    while time.process_time() < end:
        pass
"""


def test_the_benchmark_counts_imports_whenever_they_come_and_no_work(tmp_path: Path) -> None:
    (tmp_path / "busy.py").write_text(BUSY)
    for name in ("early", "late", "nested"):
        (tmp_path / f"{name}.py").write_text("import busy\nbusy.work(0.2)\n")
    (tmp_path / "early.py").write_text("import busy, nested\nbusy.work(0.2)\n")
    program = (
        "import os, early, busy\n"
        "busy.work(0.5)\n"
        "from importlib import import_module\n"
        "import_module('late')\n"
        "if not (child := os.fork()):\n"
        "    busy.work(0.3)\n"
        "    os._exit(0)\n"
        "os.waitpid(child, 0)\n"
    )
    counted = tmp_path / "counted"
    counted.mkdir()
    paths = os.pathsep.join([str(ROOT / "benchmarks/timed"), str(tmp_path)])
    env = {**os.environ, "PYTHONPATH": paths, "TIMED": str(counted)}
    subprocess.run([sys.executable, "-c", program], env=env, check=True)
    (record,) = (json.loads(path.read_text()) for path in counted.iterdir())
    assert record["words"][1:] == ["-c", program]
    assert 0.6 <= record["start"] < 0.8  # early, what it imports, late; the interpreter's own
    assert record["process"] >= record["start"] + 0.48  # the system counts in ticks of 10 ms
    assert record["total"] >= record["process"] + 0.28
