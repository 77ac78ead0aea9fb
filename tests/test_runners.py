"""The two DAGs, and what each of them declares."""

from __future__ import annotations

import ast
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from dags import dvc_jobs, snakemake_jobs

from shuffle_to_learn.pretext.methods import METHODS

ROOT = Path(__file__).parent.parent
# What every stage uses to read settings and to write files; a change there changes no result.
PLUMBING = {"common", "errors", "features", "params", "paths", "runtime"}
DATASETS = {"notes", "motions", "scenes"}
PUBLIC = {"nsynth_full", "nsynth_gansynth_subset", "imagenet_voc", "something_something_v2"}


@pytest.fixture(scope="module")
def jobs():
    return snakemake_jobs(ROOT)


def test_both_runners_have_the_same_jobs(jobs) -> None:
    theirs = dvc_jobs(ROOT)
    assert len(jobs) > 30
    assert {job.command for job in jobs} == {job.command for job in theirs}
    assert jobs == theirs


def tiny_dvc_jobs(folder: Path, text: str):
    """The jobs of a dvc.yaml for the tiny study."""
    subprocess.run(["git", "init", "--quiet"], cwd=folder, check=True)
    shutil.copytree(ROOT / ".dvc", folder / ".dvc", ignore=shutil.ignore_patterns("cache", "tmp"))
    shutil.copy(ROOT / "presets/tiny.yaml", folder / "params.yaml")
    (folder / "dvc.yaml").write_text(text)
    return dvc_jobs(folder)


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory):
    folder = tmp_path_factory.mktemp("tiny")
    jobs = tiny_dvc_jobs(folder, (ROOT / "dvc.yaml").read_text())
    assert len(jobs) > 30
    return jobs


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("      - audio.embed\n", ""),
        ("      - shuffle_to_learn/models/cfn.py\n", ""),
        ("methods/${item.method}.py", "methods/mse.py"),
        ("python -m stages.tables", "python -m stages.tables --params params.yaml"),
        ("figures/figure3.png", "figures/figure9.png"),
    ],
)
def test_the_comparison_catches_a_difference(tiny, tmp_path: Path, old: str, new: str) -> None:
    text = (ROOT / "dvc.yaml").read_text()
    assert old in text
    assert tiny != tiny_dvc_jobs(tmp_path, text.replace(old, new, 1))


def _imports(path: Path) -> set[str]:
    """The project's modules that a source file imports, also inside functions, as paths."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom) and node.module:
            found |= {node.module, *(f"{node.module}.{alias.name}" for alias in node.names)}
        elif isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
    stems = {name.replace(".", "/") for name in found}
    files = {file for stem in stems for file in (f"{stem}.py", f"{stem}/__init__.py")}
    return {file for file in files if (ROOT / file).exists()}


def _code(stage: str) -> set[str]:
    """A stage's module, and all that it imports but for the plumbing and packages' own files."""
    return _reached({f"stages/{stage}.py"})


def _reached(todo: set[str]) -> set[str]:
    done: set[str] = set()
    plumbing = {f"stages/{name}.py" for name in PLUMBING}
    while todo:
        file = todo.pop()
        done.add(file)
        todo |= _imports(ROOT / file) - done - plumbing
    return {file for file in done if not file.endswith("/__init__.py")}


def test_the_code_that_a_stage_uses_is_a_declared_input(jobs) -> None:
    """Of the methods' and datasets' files a job declares its own; of what they import, all."""
    files = {name: f"shuffle_to_learn/pretext/methods/{name}.py" for name in METHODS}
    seen = set()
    for job in jobs:
        words = job.command.split()
        wanted = _code(words[2].removeprefix("stages."))
        if {"stages.pretrain", "stages.examples"} & set(words):
            method = words[words.index("--method") + 1]
            seen.add(method)
            assert wanted >= {"shuffle_to_learn/pretext/methods/base.py", *files.values()}
            wanted -= set(files.values()) - {files[method]}
        if "stages.dataset" in words:
            datasets = {name: f"shuffle_to_learn/{name}.py" for name in DATASETS}
            seen.add(words[-1])
            assert wanted >= set(datasets.values())
            readers = {"folder", "public"}  # of what is not rendered, of any modality
            readers |= {"something_something"} if words[-1] == "motions" else set()
            wanted = {"stages/dataset.py", "study/sources.py"} | _reached(
                {datasets[words[-1]], *(f"shuffle_to_learn/{name}.py" for name in readers)}
            )
        assert {p for p in job.inputs if p.endswith(".py")} == wanted, job.command
    assert len(seen) > 3 and seen >= DATASETS


def test_packages_are_names_only_and_methods_keep_to_themselves() -> None:
    """So that neither is missed where it is not declared."""
    for package in ("stages", "shuffle_to_learn", "shuffle_to_learn/methods"):
        docstring, *rest = ast.parse((ROOT / package / "__init__.py").read_text()).body
        assert isinstance(docstring, ast.Expr)
        if package.endswith("methods"):
            *rest, registry = rest
            assert isinstance(registry, ast.AnnAssign) and isinstance(registry.value, ast.Dict)
            assert all(isinstance(value, ast.Name) for value in registry.value.values)
        assert all(isinstance(node, ast.ImportFrom) for node in rest), package
    folder = Path("shuffle_to_learn/methods")
    files = {path.name for path in (ROOT / folder).glob("*.py")}
    assert files == {"__init__.py", "base.py", *(f"{name}.py" for name in METHODS)}
    for name in METHODS:
        found = _imports(ROOT / folder / f"{name}.py")
        assert {Path(file) for file in found if Path(file).parent == folder} <= {folder / "base.py"}


def test_every_preset_has_the_keys_of_the_default_study() -> None:
    def keys(value, prefix=""):
        if not isinstance(value, dict):
            return {prefix}
        return set().union(*(keys(v, f"{prefix}.{k}") for k, v in value.items()), {prefix})

    wanted = keys(yaml.safe_load((ROOT / "params.yaml").read_text()))
    presets = sorted((ROOT / "presets").glob("*.yaml"))
    assert presets
    for preset in presets:
        content = yaml.safe_load(preset.read_text())
        own = {key for key in wanted if key.split(".")[1:2] in ([], *([name] for name in content))}
        # A folder's tasks are its own, and so are the sections of the paper's datasets.
        found = {
            k for k in keys(content) if ".tasks." not in k and not PUBLIC & set(k.split(".")[1:2])
        }
        assert found == own, preset.name
        assert "audio" in content


def _snakemake(*options: str, env: dict | None = None) -> subprocess.CompletedProcess:
    return subprocess.run(
        [sys.executable, "-m", "snakemake", "-n", "--cores", "1", *options],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
        env=env,
    )


def test_snakemake_refuses_settings_that_do_not_reach_the_stages() -> None:
    done = _snakemake("--config", "audio=nothing")
    assert done.returncode != 0
    assert done.stderr.splitlines()[-1].startswith("error: --config")


def test_snakemake_names_a_misspelt_key(tmp_path: Path) -> None:
    text = (ROOT / "params.yaml").read_text().replace("    epochs:", "    epoch:", 1)
    (tmp_path / "params.yaml").write_text(text)
    done = _snakemake(env={**os.environ, "PARAMS": str(tmp_path / "params.yaml")})
    assert done.returncode != 0
    line = done.stderr.splitlines()[-1]
    assert line.startswith("error: ")
    assert "audio.pretrain.epoch: unknown key" in line
    assert "Traceback" not in done.stdout + done.stderr


def test_lint_finds_only_what_the_docs_explain() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "snakemake", "--lint"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    found = {line.strip(" *:") for line in done.stderr.splitlines() if line.startswith("    * ")}
    explained = (ROOT / "docs/runners.md").read_text()
    assert found
    assert all(text in explained for text in found), found


def test_the_graph_in_the_docs_is_that_of_the_rules() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "snakemake", "--rulegraph", "mermaid-js"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    names = dict(re.findall(r"(id\d+)\[(\w+)\]", done.stdout))
    wanted = {(names[a], names[b]) for a, b in re.findall(r"(id\d+) --> (id\d+)", done.stdout)}
    shown = re.findall(r"^\t(\w+) --> (\w+)$", (ROOT / "docs/runners.md").read_text(), re.M)
    assert wanted
    assert set(shown) == wanted
