"""The two graphs of the study: what each declares, and that they declare the same."""

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
from dags import Job, dvc_jobs, dvc_project, snakemake_jobs
from dvc.repo import Repo

from shuffle_to_learn.datasets.tree import SUFFIXES
from shuffle_to_learn.pretext.methods import METHODS
from study import graph
from study.errors import InputError
from study.loading import load_params, merged
from study.params import orders_patches
from tools import dvc_yaml

ROOT = Path(__file__).parent.parent
PRESETS = sorted(path.stem for path in (ROOT / "presets").glob("*.yaml"))


@pytest.fixture(scope="module")
def jobs() -> set[Job]:
    """The jobs of the default study under Snakemake."""
    return snakemake_jobs(ROOT)


def by_dvc(folder: Path, monkeypatch: pytest.MonkeyPatch, params: str = "params.yaml") -> set[Job]:
    """The jobs of the dvc.yaml that is written for a params file."""
    dvc_project(folder)
    monkeypatch.chdir(folder)
    return dvc_jobs(folder, dvc_yaml.write(Path(params)))


def test_both_runners_have_the_same_jobs(jobs, tmp_path, monkeypatch) -> None:
    theirs = by_dvc(tmp_path, monkeypatch)
    assert len(jobs) > 150
    assert {job.command for job in jobs} == {job.command for job in theirs}
    assert jobs == theirs


@pytest.mark.parametrize("preset", ["smoke", "methods", "sound"])  # sound: one modality
def test_both_runners_have_the_same_jobs_of_a_preset(preset, tmp_path, monkeypatch) -> None:
    file = f"presets/{preset}.yaml"
    if preset == "sound":
        file = str(tmp_path / "sound.yaml")
        base = ROOT / "presets/methods.yaml"
        Path(file).write_text(f"base: {base}\nvideo: null\nimages: null\n")
    wanted = snakemake_jobs(ROOT, file)
    found = by_dvc(tmp_path, monkeypatch, file)
    assert len(wanted) > 40
    assert found == wanted
    assert any("video" in job.command for job in found) == (preset != "sound")


@pytest.mark.parametrize(
    ("modality", "tasks"),
    [("audio", {}), ("video", {"kind": "class"}), ("images", {"kind": "class"})],
)
def test_both_runners_have_the_same_jobs_of_a_folder(
    modality: str, tasks: dict[str, str], tmp_path: Path, monkeypatch
) -> None:
    """DVC alone has a stage that lists the files: Snakemake lists them when it starts."""
    source = tmp_path / "files"
    source.mkdir()
    for number in range(4):
        (source / f"{number}{SUFFIXES[modality][0]}").write_bytes(b"x")
    content = {
        "base": str(ROOT / "presets/tiny.yaml"),
        "paths": {"data": "data/test-graph", "results": "results/test-graph"},
        **dict.fromkeys({"audio", "video", "images"} - {modality}),
        modality: {"dataset": "folder", "source": str(source), "downstream": {"tasks": tasks}},
    }
    file = tmp_path / "own.yaml"
    file.write_text(yaml.safe_dump(content))
    try:
        wanted = snakemake_jobs(ROOT, str(file))
    finally:
        shutil.rmtree(ROOT / "data/test-graph")
    found = by_dvc(tmp_path, monkeypatch, str(file))
    assert {job.stage for job in found - wanted} == {"listing"}
    assert found - {job for job in found if job.stage == "listing"} == wanted
    stages = {job.stage for job in wanted}
    assert bool(tasks) == ("downstream" in stages) == ("labels" in stages)
    assert {"pretrain", "embed", "examples", "site"} <= stages
    # What labels decide: nothing that is trained or extracted.
    after = {job.stage for job in wanted if any(f.endswith("labels.csv") for f in job.inputs)}
    assert after == ({"labels"} if tasks else set())


def test_dvc_yaml_is_current() -> None:
    """If this fails: make dvc, or python -m tools.dvc_yaml."""
    params = load_params(ROOT / "params.yaml")
    wanted = dvc_yaml.text(params, dvc_yaml.ABOUT, dvc_yaml.pipeline(params))
    assert (ROOT / "dvc.yaml").read_text() == wanted


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> tuple[set[Job], Path]:
    """The jobs of the audio part of the tiny preset under DVC, and the file that says so."""
    folder = dvc_project(tmp_path_factory.mktemp("tiny"))
    (folder / "sound.yaml").write_text("base: presets/tiny.yaml\nvideo: null\nimages: null\n")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        file = folder / dvc_yaml.write(Path("sound.yaml"))
    found = dvc_jobs(folder, "pipelines/sound/dvc.yaml")
    assert len(found) > 15
    return found, file


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("      - audio.embed\n", ""),
        ("    - shuffle_to_learn/models/cfn.py\n", ""),
        ("methods/${item.method}.py", "methods/mse.py"),
        ("python -m stages.tables", "python -m stages.tables --now yes"),
        ("figures/figure3.png", "figures/figure9.png"),
    ],
)
def test_the_comparison_catches_a_difference(tiny, old: str, new: str) -> None:
    found, file = tiny
    text = file.read_text()
    assert old in text
    file.write_text(text.replace(old, new, 1))
    try:
        assert dvc_jobs(file.parent.parent.parent, "pipelines/sound/dvc.yaml") != found
    finally:
        file.write_text(text)


def test_a_folder_has_one_params_file(tmp_path: Path, monkeypatch, capsys) -> None:
    monkeypatch.chdir(dvc_project(tmp_path))
    dvc_yaml.write(Path("presets/tiny.yaml"))
    (tmp_path / "tiny.yaml").write_text("base: presets/tiny.yaml\n")
    monkeypatch.setenv("PARAMS", "tiny.yaml")
    monkeypatch.setattr("sys.argv", ["dvc_yaml"])
    with pytest.raises(SystemExit) as stopped:
        dvc_yaml.cli.run(dvc_yaml.main)
    assert str(stopped.value.code).startswith("error: pipelines/tiny/dvc.yaml is of another params")


def test_where_the_dvc_yaml_of_a_params_file_lies(tmp_path: Path, monkeypatch) -> None:
    """The study of params.yaml has the project's own; with a base it cannot."""
    monkeypatch.chdir(dvc_project(tmp_path))
    small = merged(Path("presets/tiny.yaml")) | {"paths": {"data": "data", "results": "results"}}
    (tmp_path / "params.yaml").write_text(yaml.safe_dump(small))
    for name in ("params.yaml", "./params.yaml", str(tmp_path / "params.yaml")):
        assert dvc_yaml.write(Path(name)) == Path("dvc.yaml")
    (tmp_path / "my study.yaml").write_text("base: presets/tiny.yaml\nvideo: null\nimages: null\n")
    written = dvc_yaml.write(tmp_path / "my study.yaml")
    assert written == Path("pipelines/my study/dvc.yaml")
    assert any(job.stage == "pretrain" for job in dvc_jobs(tmp_path, written))
    read = {Path(stage.path_in_repo) for stage in Repo(str(tmp_path)).index.stages}
    assert read == {Path("dvc.yaml"), written}
    text = written.read_text()
    assert "--params 'pipelines/my study/params.yaml'" in " ".join(text.split())
    (tmp_path / "quick.yaml").write_text("base: params.yaml\nvideo: null\n")
    with pytest.raises(InputError, match=r"quick.yaml: paths: params.yaml has the same"):
        dvc_yaml.write(Path("quick.yaml"))
    (tmp_path / "params.yaml").rename(tmp_path / "default.yaml")
    (tmp_path / "params.yaml").write_text("base: default.yaml\n")
    with pytest.raises(InputError, match=r"params.yaml: base: DVC reads none here"):
        dvc_yaml.write(Path("params.yaml"))


# What a stage's code is


def test_the_code_of_a_stage_is_what_it_imports(tmp_path: Path, monkeypatch) -> None:
    """On modules made up here: also inside functions, through packages, and resources by name."""
    files = {
        "stages/cook.py": "from study import cli, pots\nimport shuffle_to_learn.heat\n",
        "study/__init__.py": "",
        "study/cli.py": "import study.never\n",
        "study/never.py": "",
        "study/pots.py": "def f():\n    from study.spoons import spoon\n    return 'menu.j2'\n",
        "study/spoons/__init__.py": "from study.spoons.wood import spoon\n",
        "study/spoons/wood.py": "import numpy\n",
        "study/resources/menu.j2": "",
        "study/resources/other.j2": "",
        "shuffle_to_learn/__init__.py": "",
        "shuffle_to_learn/heat.py": "from shuffle_to_learn import fire\n",
        "shuffle_to_learn/fire.py": "",
        "shuffle_to_learn/ice.py": "",
    }
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    monkeypatch.setattr(graph, "ROOT", tmp_path)
    for function in (graph._reached, graph.imports, graph._resources):
        function.cache_clear()
    try:
        assert graph.code("cook") == [
            "shuffle_to_learn/fire.py",
            "shuffle_to_learn/heat.py",
            "stages/cook.py",
            "study/pots.py",
            "study/resources/menu.j2",
            "study/spoons/wood.py",
        ]
    finally:
        for function in (graph._reached, graph.imports, graph._resources):
            function.cache_clear()


def test_a_job_declares_the_code_of_its_method_or_dataset_alone(jobs) -> None:
    methods = {f"shuffle_to_learn/pretext/methods/{name}.py" for name in METHODS}
    datasets = {path.relative_to(ROOT).as_posix() for path in ROOT.glob("study/datasets/*.py")}
    datasets -= {f"study/datasets/{name}.py" for name in ("__init__", "writing", "labels")}
    for job in jobs:
        assert f"stages/{job.stage}.py" in job.code
        own = {"pretrain": [job.option("method")], "examples": filter(orders_patches, METHODS)}
        own = {f"shuffle_to_learn/pretext/methods/{name}.py" for name in own.get(job.stage, [])}
        assert job.code & methods == own, job.command
        rendered = (
            {f"study/datasets/{job.option('dataset')}.py"} if job.stage == "dataset" else set()
        )
        assert job.code & datasets == rendered, job.command
        assert not job.code & graph.PLUMBING


@pytest.mark.parametrize(
    ("stage", "options", "needed"),
    [
        ("pretrain", {"method": "mse"}, "pretext/pretraining ranking/losses models/cfn slicing"),
        ("examples", {"method": "mse"}, "pretext/reordering patches pretext/methods/base"),
        ("embed", {}, "models/embedding patches"),
        ("downstream", {}, "evaluation/probes"),
        ("end_to_end", {}, "evaluation/end_to_end evaluation/probes patches"),
        ("spectrograms", {}, "features/spectrogram datasets/public"),
        ("frames", {}, "features/video features/squares"),
        ("pictures", {}, "features/pictures features/squares"),
        ("dataset", {"dataset": "notes"}, "datasets/notes datasets/soundfont datasets/instruments"),
        ("dataset", {"dataset": "nsynth_full"}, "datasets/public datasets/something_something"),
        ("tables", {}, "evaluation/statistics slicing"),
    ],
)
def test_the_science_that_a_stage_depends_on(stage: str, options: dict, needed: str) -> None:
    found = set(graph.code(stage, **options))
    assert {f"shuffle_to_learn/{name}.py" for name in needed.split()} <= found


@pytest.mark.parametrize(
    ("stage", "files"),
    [
        ("tables", {"table.html.j2", "caption.txt.j2"}),
        ("claims", {"claims.yaml"}),
        ("site", {"index.html.j2", "browse.html.j2"}),
        ("figures", set()),
    ],
)
def test_the_resources_that_a_stage_depends_on(stage: str, files: set[str]) -> None:
    found = {path.rpartition("/")[2] for path in graph.code(stage) if "/resources/" in path}
    assert found == files


def test_packages_pass_names_on_and_methods_keep_to_themselves() -> None:
    """So that neither is missed where it is not declared."""
    inits = [*ROOT.glob("s*/**/__init__.py"), *ROOT.glob("tools/__init__.py")]
    assert len(inits) > 10
    lazy = ROOT / "shuffle_to_learn/__init__.py"  # has ranking's names, for who takes the wheel
    inits.remove(lazy)
    for path in [*ROOT.glob("s*/**/*.py"), *ROOT.glob("tools/*.py")]:
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.ImportFrom) and node.module == "shuffle_to_learn":
                names = [lazy.parent / alias.name for alias in node.names]
                assert all(n.is_dir() or n.with_suffix(".py").is_file() for n in names), path
    for init in inits:
        docstring, *rest = ast.parse(init.read_text()).body
        assert isinstance(docstring, ast.Expr), init
        if init.parent.name == "methods":
            *rest, registry = rest
            assert isinstance(registry, ast.AnnAssign) and isinstance(registry.value, ast.Dict)
            assert all(isinstance(value, ast.Name) for value in registry.value.values)
        if init.parent.name == "ranking":
            *rest, names = rest
            assert isinstance(names, ast.Assign) and names.targets[0].id == "__all__"
        assert all(isinstance(node, ast.ImportFrom) for node in rest), init
    folder = Path("shuffle_to_learn/pretext/methods")
    files = {path.name for path in (ROOT / folder).glob("*.py")}
    assert files == {"__init__.py", "base.py", *(f"{name}.py" for name in METHODS)}
    for name in METHODS:
        found = {Path(file) for file in graph.imports(f"{folder}/{name}.py")}
        assert {file for file in found if file.parent == folder} <= {folder / "base.py"}


# Settings


def test_a_preset_holds_only_what_differs() -> None:
    def same(changes: dict, base: dict, prefix: str = "") -> list[str]:
        found = []
        for key, value in changes.items():
            if isinstance(value, dict) and isinstance(base.get(key), dict) and key != "tasks":
                found += same(value, base[key], f"{prefix}{key}.")
            elif value == base.get(key):
                found.append(f"{prefix}{key}")
        return found

    assert len(PRESETS) >= 5
    for preset in PRESETS:
        path = ROOT / f"presets/{preset}.yaml"
        content = yaml.safe_load(path.read_text())
        base = merged(path.parent / content.pop("base"))
        repeated = same(content, base)
        if preset == "paper":  # says what the paper states, and why what is ours is so
            lines = path.read_text().splitlines()
            for key in repeated:
                marked = [line for line in lines if line.strip().startswith(key.split(".")[-1])]
                assert any("paper" in line or "ours" in line for line in marked), key
        else:
            assert repeated == [], preset
        assert load_params(path).layout.data.name == preset


def test_the_default_study_has_every_setting() -> None:
    """So that a preset can change each: what its base has not is refused."""
    from study.params import Params

    def missing(model, content: dict, prefix: str = "") -> list[str]:
        found = []
        for name in type(model).model_fields:
            value = getattr(model, name)
            if name not in content or (value is None and name != "start_from"):
                found.append(f"{prefix}{name}")
            elif hasattr(value, "model_fields"):
                found += missing(value, content[name], f"{prefix}{name}.")
        return found

    content = merged(ROOT / "params.yaml")
    assert missing(Params.model_validate(content), content) == []


# Snakemake


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


@pytest.mark.parametrize(
    "file",
    [
        "data/nope/manifest.parquet",
        "data/nope/features/train.npy",
        "data/encoders/smell/frequency-10/mse/0/cfn.keras",
        "results/figures/reordered-smell.svg",
    ],
)
def test_a_file_of_no_study_is_refused_without_a_traceback(file: str) -> None:
    done = _snakemake(file)
    assert done.returncode != 0
    said = done.stdout + done.stderr
    assert f"No rule to produce {file}" in said, said
    assert "Traceback" not in said and "StopIteration" not in said


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
