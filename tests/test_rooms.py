"""Where code lies: imports point one way, and the ranking operators need little."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
ROOMS = ("shuffle_to_learn", "study", "stages", "tools", "benchmarks")
"""From the library up: each may import itself and what comes before it."""
LIBRARY = ("ranking", "models", "pretext", "evaluation", "features", "datasets")


def modules(room: str) -> list[Path]:
    found = sorted((ROOT / room).rglob("*.py"))
    found = [path for path in found if "benchmarks/.peers/" not in path.as_posix()]
    assert found
    return found


def imported(path: Path) -> set[str]:
    """The modules that a file imports, also inside functions and by ``import_module("...")``."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert not node.level, f"{path}: a relative import"
            found |= {f"{node.module}.{alias.name}" for alias in node.names}
        elif isinstance(node, ast.Call) and getattr(node.func, "id", "") == "import_module":
            found |= {a.value for a in node.args if isinstance(a, ast.Constant)}
    return found


def first(name: str, parts: int = 1) -> str:
    return ".".join(name.split(".")[:parts])


@pytest.mark.parametrize("room", ROOMS)
def test_imports_point_one_way(room: str) -> None:
    above = set(ROOMS[ROOMS.index(room) + 1 :]) | {"examples", "tests", "workflow"}
    for path in modules(room):
        assert not {name for name in imported(path) if first(name) in above}, path


def test_examples_need_the_wheel_alone() -> None:
    allowed = {"tensorflow", "keras", "numpy", "shuffle_to_learn"} | sys.stdlib_module_names
    of_the_study = {"add_a_method", "embed_recordings"}  # they say so
    for path in modules("examples"):
        if path.stem in of_the_study:
            continue
        for name in imported(path):
            assert first(name) in allowed, (path, name)
            assert name.count(".") < 2, (path, name)  # shuffle_to_learn.soft_rank, of no room


def test_no_stage_imports_another() -> None:
    for path in modules("stages"):
        assert not {name for name in imported(path) if first(name) == "stages"}, path


def test_stages_are_the_steps_of_the_study_and_nothing_else() -> None:
    for path in modules("stages"):
        if path.name == "__init__.py":
            continue
        last = ast.parse(path.read_text()).body[-1]
        assert ast.unparse(last) == "if __name__ == '__main__':\n    cli.run(main)", path
    assert {path.suffix for path in (ROOT / "stages").iterdir() if path.is_file()} == {".py"}


def test_workflow_is_snakemakes_alone() -> None:
    kept = {path.name for path in (ROOT / "workflow").iterdir()} - {"__pycache__"}
    assert kept == {"rules", "envs", "report"}


def test_the_library_has_rooms() -> None:
    door = {path.name for path in (ROOT / "shuffle_to_learn").glob("*.py")}
    assert door == {"__init__.py", "slicing.py", "patches.py", "stderr.py"}
    folders = {path.parent.name for path in (ROOT / "shuffle_to_learn").glob("*/__init__.py")}
    assert folders == set(LIBRARY)


def test_ranking_imports_tensorflow_keras_and_numpy_alone() -> None:
    allowed = {"tensorflow", "keras", "numpy", "shuffle_to_learn"} | sys.stdlib_module_names
    for path in modules("shuffle_to_learn/ranking"):
        for name in imported(path):
            assert first(name) in allowed, (path, name)
            if first(name) == "shuffle_to_learn":
                assert first(name, 2) == "shuffle_to_learn.ranking", (path, name)


def test_importing_ranking_registers_its_keras_classes_and_loads_no_other_room() -> None:
    program = (
        "import sys, keras, shuffle_to_learn.ranking\n"
        "for name in ('SoftRank', 'PerturbedRank', 'FastSoftRanking', 'PerturbedFenchelYoung',"
        " 'RankMeanSquaredError', 'RankNet', 'ListMLE',"
        " 'PermutationCrossEntropy', 'PartialRanks', 'SoftSpearman', 'ExpectedKendall',"
        " 'Spearman', 'Kendall'):\n"
        "    assert keras.saving.get_registered_object(f'shuffle_to_learn>{name}'), name\n"
        "rooms = {m.split('.')[1] for m in sys.modules if m.startswith('shuffle_to_learn.')}\n"
        "assert rooms == {'ranking'}, rooms\n"
        "others = {m.split('.')[0] for m in sys.modules} & {'study', 'stages', 'librosa'}\n"
        "assert not others, others\n"
    )
    subprocess.run([sys.executable, "-c", program], cwd=ROOT, check=True)


def test_params_are_checked_without_tensorflow_and_librosa() -> None:
    program = (
        "import sys\n"
        "from study.loading import load_params\n"
        "load_params('params.yaml')\n"
        "assert not {'tensorflow', 'keras', 'librosa', 'pandas', 'tensorflow_datasets'}"
        " & set(sys.modules)\n"
    )
    subprocess.run([sys.executable, "-c", program], cwd=ROOT, check=True)
