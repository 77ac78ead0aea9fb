"""The benchmarks take too long to be run here; what they use of the project must be there."""

from __future__ import annotations

import ast
from importlib import import_module
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent


@pytest.mark.parametrize("path", sorted((ROOT / "benchmarks").glob("*.py")), ids=lambda p: p.stem)
def test_what_a_benchmark_imports_of_the_project_is_there(path: Path) -> None:
    """Also inside functions, where only a run of some minutes would tell."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] in (
            "benchmarks",
            "shuffle_to_learn",
            "stages",
            "study",
            "tools",
        ):
            for alias in node.names:
                module = import_module(node.module)
                if not hasattr(module, alias.name):
                    import_module(f"{node.module}.{alias.name}")
