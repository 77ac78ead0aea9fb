"""Write dvc.yaml, the study under DVC: python -m tools.dvc_yaml (make dvc does it first).

Reads the params file (params.yaml, or PARAMS) and the imports of the stages. The study of
params.yaml goes to dvc.yaml; that of any other params file to pipelines/<its name>/, with the
merged settings beside it, since DVC reads no `base`: DVC watches that copy. Prints the file to
run: dvc repro FILE.

Lists of slicings, methods, seeds and shards stay in the params file and all values do, so a change
there needs no new dvc.yaml. A modality or dataset that comes or goes, the source of a folder, a
soundfont, a network to start from, and an import do.
"""

from __future__ import annotations

import argparse
import os
import shlex
import sys
from pathlib import Path
from typing import Any

import yaml

from shuffle_to_learn.datasets.packages import PACKAGES
from study import cli
from study.announce import summary
from study.errors import InputError
from study.exported import check_starts
from study.files import write_text
from study.graph import code, code_of_examples, sections
from study.loading import load_params, merged, starts_from_another
from study.outputs import CONFUSED, figures, scored_modalities, tables, wide_figures
from study.params import PUBLIC, Params, Study
from study.paths import LAYERS, SPLITS, WHOLE, EncoderKey, Paths

Stages = dict[str, dict[str, Any]]
PATHS = Paths(Path("${paths.data}"), Path("${paths.results}"))
ITEM = {name: f"${{item.{name}}}" for name in ("slicing", "method", "seed", "shard")}
ABOUT = "The whole study under DVC: dvc repro"
COMMAND = "python -m tools.dvc_yaml"


class _Plain(yaml.SafeDumper):
    """YAML without anchors: a list that stands twice is written twice."""

    def ignore_aliases(self, data: Any) -> bool:
        return True


def stage(name: str, options: str = "", **parts: Any) -> dict[str, Any]:
    """A stage of dvc.yaml; parts that are empty are left out, paths become texts."""
    found: dict[str, Any] = {"cmd": f"python -m stages.{name} {options}".strip()}
    for key, value in parts.items():
        if value:
            found[key] = [str(path) for path in value] if isinstance(value, list) else value
    return found


def listed(study: Study) -> list[Path]:
    """The list of the files of a folder of one's own, which stands for their contents."""
    return [PATHS.files] if study.dataset == "folder" else []


def watched(study: Study, modality: str) -> list[Path]:
    """What the clips that are shown are read from."""
    if modality != "video":
        return []
    ids = PATHS.ids(study.dataset, study.upstream[1])
    return [PATHS.dataset(study.dataset), ids, *listed(study)]


def data_stages(params: Params, modality: str) -> Stages:
    """From a dataset to the features of a modality."""
    study = params.study(modality)
    dataset, extraction = study.dataset, study.extraction
    files = [f"{split}.{suffix}" for split in study.splits for suffix in ("npy", "parquet")]
    files.append("rejected.csv")
    ids = [PATHS.ids(dataset, split) for split in study.splits]
    before, after = (_listing(), _labels(study, ids)) if dataset == "folder" else ({}, {})
    return {
        **before,
        f"dataset-{modality}": stage(
            "dataset",
            f"--dataset {dataset}",
            deps=[*code("dataset", dataset=dataset), *listed(study), *params.files_of(dataset)],
            params=sections(params, "dataset", modality=modality, dataset=dataset),
            outs=[PATHS.dataset(dataset), PATHS.manifest(dataset)],
        ),
        extraction: {
            "matrix": {"shard": f"${{{modality}.shards}}"},
            **stage(
                extraction,
                f"--dataset {dataset} --shard {ITEM['shard']}",
                # A dataset of videos has only their paths.
                deps=[
                    *code(extraction),
                    PATHS.dataset(dataset),
                    *(listed(study) if modality == "video" else []),
                ],
                params=sections(params, extraction, modality=modality),
                outs=[PATHS.shard(dataset, ITEM["shard"], file) for file in files],
            ),
        },
        f"join-{modality}": stage(
            "join",
            f"--dataset {dataset}",
            deps=[*code("join"), PATHS.shards(dataset)],
            params=sections(params, "join", modality=modality),
            outs=[
                *(PATHS.features(dataset, split) for split in study.splits),
                *ids,
                PATHS.rejected(dataset),
            ],
        ),
        **(after if study.downstream.tasks else {}),
    }


def _listing() -> Stages:
    """What is looked at anew each time: what a folder of one's own holds."""
    kept = [{path.as_posix(): {"persist": True}} for path in (PATHS.files, PATHS.given_labels)]
    made = stage("listing", deps=code("listing"))
    return {"listing": {**made, "outs": kept, "always_changed": True}}


def _labels(study: Study, ids: list[Path]) -> Stages:
    """The labels of a folder, which are corrected without new features."""
    made = stage(
        "labels",
        deps=[*code("labels"), PATHS.given_labels, PATHS.manifest(study.dataset), *ids],
        outs=[PATHS.labels(study.dataset, split) for split in study.splits],
    )
    return {"labels": made}


def encoder_stages(params: Params, modality: str) -> Stages:
    """What is done for each encoder of a modality: of the study and, again, of its ablation."""
    study = params.study(modality)
    key = EncoderKey(modality, ITEM["slicing"], ITEM["method"], ITEM["seed"])  # type: ignore[arg-type]
    options = (
        f"--modality {modality} --slicing {key.slicing} --method {key.method} --seed {key.seed}"
    )
    scored = ("train", f"${{{modality}.downstream.evaluate_on}}")
    who = {"modality": modality, "method": key.method}

    def features(*splits: str) -> list[Path]:
        return [PATHS.features(study.dataset, split) for split in splits]

    labels = [PATHS.labels(study.dataset, split) for split in scored]
    model = PATHS.model(key)
    each = {
        "pretrain": stage(
            "pretrain",
            options,
            deps=[
                *code("pretrain", method=key.method),
                *features(*study.upstream),
                *study.started_from,
            ],
            params=sections(params, "pretrain", **who),
            outs=[model, PATHS.history(key), PATHS.pretext(key)],
        ),
        "embed": stage(
            "embed",
            options,
            deps=[*code("embed"), *features(*SPLITS), model],
            params=sections(params, "embed", **who),
            outs=[PATHS.embeddings(key, split, layer) for layer in LAYERS for split in SPLITS],
        ),
        "downstream": stage(
            "downstream",
            options,
            deps=[
                *code("downstream"),
                *labels,
                *(PATHS.embeddings(key, split, layer) for layer in LAYERS for split in scored),
            ],
            params=sections(params, "downstream", **who),
            outs=[PATHS.scores(key), PATHS.answers(key)],
        ),
    }
    end_to_end = stage(
        "end_to_end",
        options,
        deps=[*code("end_to_end"), *features(*scored), *labels, model],
        params=sections(params, "end_to_end", **who),
        outs=[PATHS.end_to_end(key)],
    )
    tasks = bool(study.downstream.tasks)
    if not tasks:
        del each["downstream"]
    result = {
        f"{name}-{modality}": {"matrix": matrix(modality), **parts} for name, parts in each.items()
    }
    bare = EncoderKey(modality, WHOLE, ITEM["method"], ITEM["seed"])  # type: ignore[arg-type]
    without = {
        "matrix": {"method": f"${{{modality}.no_network}}", "seed": f"${{{modality}.seeds}}"},
        **stage(
            "downstream",
            f"--modality {modality} --slicing {WHOLE} --method {bare.method} --seed {bare.seed}",
            deps=[*code("downstream"), *features(*scored), *labels],
            params=sections(params, "no_network", **who),
            outs=[PATHS.scores(bare), PATHS.answers(bare)],
        ),
    }
    if tasks:
        trained = {"matrix": matrix(modality, "end_to_end"), **end_to_end}
        result |= {f"no_network-{modality}": without, f"end_to_end-{modality}": trained}
    for name, parts in each.items():
        added = [f"{modality}.ablation.n_examples"] if name == "downstream" else []
        result[f"{name}-{modality}-ablation"] = {
            "matrix": matrix(modality, "ablation", "ablation"),
            **parts,
            "params": [*parts["params"], *added],
        }
    return result


def matrix(modality: str, part: str = "", slicings: str = "") -> dict[str, str]:
    """Slicings, methods and seeds, each with each, of a study or of a part of it."""

    def listed(part: str, key: str) -> str:
        return "${" + ".".join(filter(None, (modality, part, key))) + "}"

    return {
        "slicing": listed(slicings, "slicings"),
        "method": listed(part, "methods"),
        "seed": listed(part, "seeds"),
    }


def result_stages(params: Params) -> Stages:
    """Everything under the folder of results."""
    compared: dict[str, Any] = {"params": sections(params, "tables")}
    scores = [PATHS.all_scores, PATHS.all_pretext]
    table_files = [
        PATHS.table(table.name, suffix)
        for table in tables(params)
        for suffix in ("csv", "md", "tex", "html")
    ]
    figure_files = [
        PATHS.figure(name, suffix) for name in figures(params) for suffix in ("csv", "png", "svg")
    ]
    figure_files += [PATHS.figure(f"{name}-narrow", "svg") for name in wide_figures(params)]
    answers, labels = [], []
    scored = scored_modalities(params)
    for modality in (modality for modality in CONFUSED if modality in scored):
        shown = EncoderKey(modality, f"${{{modality}.slicings[0]}}", f"${{{modality}.shown}}", 0)
        answers.append(PATHS.answers(shown).parent)
        evaluate_on = f"${{{modality}.downstream.evaluate_on}}"
        labels.append(PATHS.labels(params.study(modality).dataset, evaluate_on))
    result = {
        "scores": stage(
            "scores",
            deps=[
                *code("scores"),
                *([PATHS.data / "scores"] if scored else []),
                PATHS.data / "pretext",
            ],
            **compared,
            outs=scores,
        ),
        "tables": stage(
            "tables",
            deps=[*code("tables"), *scores],
            **compared,
            outs=table_files,
            metrics=[PATHS.metrics],
        ),
        "claims": stage("claims", deps=[*code("claims"), *scores], **compared, outs=[PATHS.claims]),
        "figures": stage(
            "figures",
            deps=[
                *code("figures"),
                *scores,
                PATHS.claims,
                PATHS.data / "history",
                *answers,
                *labels,
            ],
            **compared,
            outs=figure_files,
        ),
    }
    example_files = []
    for modality, study in params.studies.items():
        first = EncoderKey(modality, f"${{{modality}.slicings[0]}}", "any", 0)
        made = [PATHS.figure(f"reordered-{modality}", suffix) for suffix in ("csv", "png", "svg")]
        example_files += made
        result[f"examples-{modality}"] = stage(
            "examples",
            f"--modality {modality}",
            deps=[
                *code_of_examples(),
                PATHS.features(study.dataset, study.upstream[1]),
                PATHS.pretext(first).parents[1],  # changes with the networks
                *watched(study, modality),
            ],
            params=sections(params, "examples", modality=modality),
            outs=made,
        )
    datasets = [study.dataset for study in params.studies.values()]
    result["site"] = stage(
        "site",
        deps=[
            *code("site"),
            *(path(name) for name in datasets for path in (PATHS.manifest, PATHS.rejected)),
            *(
                PATHS.labels(study.dataset, split)
                for study in params.studies.values()
                if study.dataset in PUBLIC
                for split in study.splits
            ),
            *table_files,
            PATHS.metrics,
            *figure_files,
            *example_files,
            PATHS.claims,
            *scores,
        ],
        params=sections(params, "site"),
        outs=[PATHS.site, PATHS.browse, PATHS.settings],
    )
    return result


def pipeline(params: Params) -> Stages:
    """The stages of dvc.yaml."""
    result: Stages = {}
    for part in (data_stages, encoder_stages):
        for modality in params.studies:
            result |= part(params, modality)
    return result | result_stages(params)


def elsewhere(stages: Stages, settings: Path, depth: int) -> Stages:
    """The stages of a dvc.yaml in another folder: they run in the project's and name their file."""
    result = {}
    for name, parts in stages.items():
        cmd = f"{parts['cmd']} --params {shlex.quote(settings.as_posix())}"
        result[name] = {"wdir": "/".join([".."] * depth), **parts, "cmd": cmd}
        if "params" in parts:
            result[name]["params"] = [{settings.as_posix(): parts["params"]}]
    return result


def text(params: Params, about: str, stages: Stages) -> str:
    """The file's content."""
    head = f"# {about}\n# Written by {COMMAND}: change that, not this.\n"
    return head + yaml.dump({"stages": stages}, Dumper=_Plain, sort_keys=False, width=100)


def write(path: Path) -> Path:
    """Write the dvc.yaml of a params file.

    Returns:
        Its path.

    Raises:
        InputError: where the params file is wrong, or another one of its name has the folder.
    """
    params, default = load_params(path), Path("params.yaml")
    path = Path(os.path.relpath(path))
    if default.exists() and not starts_from_another(default):
        # Also for another params file: DVC reads every dvc.yaml at each call.
        study = load_params(default)
        _write(Path("dvc.yaml"), text(study, ABOUT, pipeline(study)))
        if path == default:
            return Path("dvc.yaml")
        if {params.layout.data, params.layout.results} & {study.layout.data, study.layout.results}:
            raise InputError(f"{path}: paths: params.yaml has the same: DVC needs others")
    elif path == default:
        raise InputError("params.yaml: base: DVC reads none here: use another name for the file")
    folder = Path("pipelines") / path.stem
    target, settings = folder / "dvc.yaml", folder / "params.yaml"
    about = f"The study of {path.as_posix()} under DVC: dvc repro {target.as_posix()}"
    if target.exists() and target.read_text(encoding="utf-8").splitlines()[:1] != [f"# {about}"]:
        raise InputError(f"{target} is of another params file: rename {path}")
    content = yaml.dump(merged(path), Dumper=_Plain, sort_keys=False, width=100)
    _write(settings, f"# {path.as_posix()} and what it starts from, by {COMMAND}.\n{content}")
    stages = elsewhere(pipeline(params), settings, len(folder.parts))
    _write(target, text(params, about, stages))
    return target


def _write(path: Path, content: str) -> None:
    if not path.exists() or path.read_text(encoding="utf-8") != content:
        write_text(path, content)


def tell_missing(path: Path) -> None:
    """Say on stderr where recorded speech is missing: DVC names the folder alone."""
    params = load_params(path)
    for name in {study.dataset for study in params.studies.values()} & PACKAGES.keys():
        if not Path(source := getattr(params, name).source).is_dir():
            print(f"{name}.source: {source} does not exist: {PACKAGES[name].how}", file=sys.stderr)


def main() -> None:
    argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    ).parse_args()
    path = cli.params_file()
    tell_missing(path)
    params = load_params(path)
    check_starts(params)
    target = write(path)
    print(f"{summary(params, path)}, less what is done already", file=sys.stderr)
    print(target)


if __name__ == "__main__":
    cli.run(main)
