"""What a stage depends on beside its input files: code, and sections of the params file.

Both runners ask here. Code is derived from the imports, so that no list names it.
"""

from __future__ import annotations

import ast
from collections.abc import Iterable, Mapping
from functools import cache
from pathlib import Path
from typing import Any

from shuffle_to_learn.pretext.methods import METHODS
from study.errors import InputError
from study.params import SPEECH, Params, orders_patches
from study.sections import EndToEnd

ROOT = Path(__file__).resolve().parent.parent
RESOURCES = "study/resources"
"""The folder of templates and of the claims: a module that names one of its files uses it."""
METHOD = "shuffle_to_learn/pretext/methods/{}.py"
DATASET = "study/datasets/{}.py"
PLUMBING = {
    f"study/{name}.py"
    for name in (
        "cli",
        "errors",
        "exported",
        "features",
        "files",
        "graph",
        "loading",
        "params",
        "paths",
        "sections",
        "tensorflow",
    )
}
"""What every stage reads settings and writes files by: a change there changes no result."""

PROBED = ("tasks", "evaluate_on", "validation_share", "probe", "hidden", "dropout", "seed")
"""What training end to end takes from the settings of the probes."""
TRAINED = tuple(key for key in EndToEnd.model_fields if key not in ("methods", "seeds"))
COMPARED = (
    *("dataset", "slicings", "methods", "no_network", "seeds", "ablation", "downstream", "shown"),
    *(f"end_to_end.{key}" for key in ("methods", "seeds", "n_examples", "replicates")),
)
"""What the results are of: every score has a place in them by these."""
SECTIONS: dict[str, tuple[str, ...]] = {
    "dataset": ("{dataset}",),
    "join": ("{modality}.shards",),
    "pretrain": ("{modality}.pretrain", "{modality}.method.{method}"),
    "embed": ("{modality}.pretrain.gap",),
    "downstream": ("{modality}.downstream", "{modality}.embed"),
    "no_network": ("{modality}.downstream",),
    "end_to_end": (
        *(f"{{modality}}.downstream.{key}" for key in PROBED),
        *(f"{{modality}}.end_to_end.{key}" for key in TRAINED),
        *("{modality}.embed", "{modality}.pretrain.gap"),
    ),
    "examples": tuple(
        f"{{modality}}.{key}" for key in ("slicings", "methods", "seeds", "shown", "pretrain.gap")
    ),
}
"""The sections that a stage of one dataset, modality or encoder reads.

no_network is the stage downstream on features in place of embeddings."""


def sections(params: Params, stage: str, **identity: str) -> list[str]:
    """The sections of the params file that a stage depends on.

    Args:
        params: the study.
        stage: its name.
        identity: ``modality``, and ``dataset`` or ``method`` where the stage is about one; a
            runner's placeholders are left as they are. The results are about all: give none.

    Returns:
        Dotted keys.
    """
    modality = identity.get("modality")
    if modality is None:
        if stage == "site":
            return [*(study.dataset for study in params.studies.values()), *params.studies]
        return [f"{name}.{key}" for name in params.studies for key in COMPARED]
    study = params.studies[modality]
    if stage == study.extraction:
        keys = [key for key in type(study.features).model_fields if key != "max_rejected"]
        names = [f"{modality}.{stage}.{key}" for key in keys]
        if len(keys) == len(type(study.features).model_fields):
            names = [f"{modality}.{stage}"]
        return [*names, f"{modality}.shards"]
    names = [section.format(**identity) for section in SECTIONS[stage]]
    if stage == "pretrain" and study.method.fixed_permutations is not None:
        # Every network is asked to tell these orders apart.
        names.append(f"{modality}.method.fixed_permutations.permutations")
    if stage == "no_network" and study.summarised == "tiles":
        names.append(f"{modality}.slicings")
    if stage == "join" and hasattr(study.features, "max_rejected"):
        names.append(f"{modality}.{study.extraction}.max_rejected")
    return names


def lookup(content: Mapping[str, Any], section: str) -> Any:
    """The value of a dotted key.

    Raises:
        InputError: where there is none.
    """
    value: Any = content
    for key in section.split("."):
        if not isinstance(value, Mapping) or key not in value:
            raise InputError(f"the params file has no section {section}")
        value = value[key]
    return value


def code(stage: str, *, method: str | None = None, dataset: str | None = None) -> list[str]:
    """The source files that a stage's results depend on.

    They are the stage's module, all that it imports (also inside functions) but for the plumbing,
    and the resources that these name.

    Args:
        stage: its name.
        method: of a stage that trains by a method, which one, or a runner's placeholder. Such a
            stage depends on its own method's file and on what any of them imports.
        dataset: of a stage that writes a dataset, which one.

    Returns:
        Paths relative to the project, sorted.
    """
    roots = {f"stages/{stage}.py"}
    if dataset is not None:
        roots.add(dataset_module(dataset))
    methods = {METHOD.format(name) for name in METHODS}
    found = _reached(frozenset(roots if method is None else roots | methods))
    if method is not None:
        found = (found - methods) | {METHOD.format(method)}
    return sorted(found | {file for module in found for file in _resources(module)})


def code_of_examples() -> list[str]:
    """The source files of the stage examples, which may show any method that orders patches."""
    ordering = filter(orders_patches, METHODS)
    return sorted({file for method in ordering for file in code("examples", method=method)})


def dataset_module(dataset: str) -> str:
    """The module of the study that writes a dataset."""
    file = DATASET.format("speech" if dataset in SPEECH else dataset)
    return file if (ROOT / file).is_file() else DATASET.format("public")


@cache
def _reached(roots: frozenset[str]) -> frozenset[str]:
    """The modules that some modules import, themselves included; packages only pass names on."""
    todo, done = set(roots), set()
    while todo:
        file = todo.pop()
        done.add(file)
        todo |= imports(file) - done - PLUMBING
    return frozenset(file for file in done if not file.endswith("__init__.py"))


@cache
def imports(file: str) -> frozenset[str]:
    """The project's modules that a source file imports, also inside functions, as paths."""
    found: set[str | None] = set()
    for node in ast.walk(ast.parse((ROOT / file).read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and node.module:
            for alias in node.names:  # a module of the package, or else a name in it
                found.add(_module(f"{node.module}.{alias.name}") or _module(node.module))
        elif isinstance(node, ast.Import):
            found |= {_module(alias.name) for alias in node.names}
    return frozenset(name for name in found if name)


def _module(name: str) -> str | None:
    stem = name.replace(".", "/")
    return _first(f"{stem}.py", f"{stem}/__init__.py")


def _first(*files: str) -> str | None:
    return next((file for file in files if (ROOT / file).is_file()), None)


@cache
def _resources(file: str) -> Iterable[str]:
    """The resources that a module names in a text."""
    if not (ROOT / file).is_file():  # a runner's placeholder
        return ()
    texts = {
        node.value
        for node in ast.walk(ast.parse((ROOT / file).read_text(encoding="utf-8")))
        if isinstance(node, ast.Constant) and isinstance(node.value, str)
    }
    there = {path.name for path in (ROOT / RESOURCES).iterdir()}
    return [f"{RESOURCES}/{name}" for name in sorted(texts & there)]
