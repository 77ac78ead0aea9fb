"""A gathered study whose answers are known, and the results stages run on it."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import yaml
from conftest import ROOT

from shuffle_to_learn.slicing import Slicing
from stages import claims, figures, scores, site, tables
from study import outputs as study_outputs
from study.loading import load_params
from study.params import Params
from study.paths import EncoderKey

STAGES = (scores, tables, claims, figures, site)
METHODS = ["random", "fixed_permutations", "mse", "fast_soft_ranking", "perturbed_fy"]
# By how much a method's accuracy is above the rest; mse and fast_soft_ranking are alike.
MARGIN = {"perturbed_fy": 0.15, "mse": 0.05, "fast_soft_ranking": 0.05}
# By how much a classifier's score is above the main probe's score.
OTHERS = {"knn": -0.3, "mlp": 0.0, "linear": 0.0, "end_to_end": 0.4}
# Added to a modality's values, so that a test notices values of another modality.
SHIFT = {"audio": 0.0, "video": 0.1, "images": 0.2}
# A label as an author might write it, with markup that a page must not run.
NASTY = "Showing <b>a & b</b> <script>alert('z')</script>"


def make_study(
    folder: Path,
    *,
    audio: dict | None = None,
    video: dict | None = None,
    images: dict | None = None,
    without: Iterable[str] = (),
    ablation: bool = False,
) -> Path:
    """A params file and every input of the results stages.

    Where high is good, perturbed Fenchel-Young is better than the other methods by a set margin;
    on the pitch's error the random encoder is best. The methods share the effects of seeds and
    draws.

    Args:
        folder: where the params file and the inputs are written.
        audio: settings of the audio study, each a key of the section or of its `downstream`.
        video: settings of the video study.
        images: settings of the images study.
        without: modalities that the params file leaves out.
        ablation: whether the audio study has two more slicings and networks trained end to end.

    Returns:
        The params file.
    """
    content = yaml.safe_load((ROOT / "params.yaml").read_text())
    content["paths"] = {"data": str(folder / "data"), "results": str(folder / "results")}
    few = {"replicates": 3, "seeds": [0, 1], "methods": METHODS}
    several = {"seeds": [0, 1, 2], "replicates": 4, "methods": METHODS}
    several["n_examples"] = [125, 250, 500, 1000]
    settings = {
        "audio": {"slicings": ["frequency-10"]} | several | (audio or {}),
        "video": {"slicings": ["frames-20", "frames-10", "frames-5"]} | few | (video or {}),
        "images": {"slicings": ["grid-3x3"]} | few | (images or {}),
    }
    for modality, values in settings.items():
        section = content[modality]
        section["pretrain"]["epochs"] = 6
        section["ablation"] = {"slicings": [], "methods": [], "seeds": [], "n_examples": []}
        section["end_to_end"] |= {"methods": [], "seeds": [], "n_examples": [], "replicates": 1}
        section["downstream"]["others"] = {"probes": [], "n_examples": [], "neighbors": 5}
        for key, value in values.items():
            where = [s for s in (section, section["downstream"]) if key in s]
            where[0][key] = value
    if ablation:
        audio = content["audio"]
        audio["ablation"] = {
            "slicings": ["frequency-5", "time-10"],
            "methods": ["random", "perturbed_fy"],
            "seeds": [2],
            "n_examples": [1000],
        }
        audio["end_to_end"] |= {"methods": ["random", "perturbed_fy"], "seeds": [1, 2]}
        audio["end_to_end"] |= {"n_examples": [125, 1000], "replicates": 2}
        audio["downstream"]["others"] |= {"probes": ["knn"], "n_examples": [1000]}
    for modality in without:
        del content[modality]
    path = folder / "params.yaml"
    path.write_text(yaml.safe_dump(content))
    params = load_params(path)
    for e in params.encoder_keys():
        _make_encoder(params, e)
    for modality, study in params.studies.items():
        _make_manifest(params, study.dataset)
        _make_shown(params, modality)
    return path


def expected_ranks(e: EncoderKey) -> float:
    """The partial ranks of one encoder; the fewer the patches, the more."""
    patches = Slicing.parse(e.slicing).patches
    if e.method == "random":
        return 1 / patches
    return 0.3 + 1 / patches + MARGIN.get(e.method, 0.0) + 0.01 * e.seed + SHIFT[e.modality]


def expected_score(e: EncoderKey, n: int, replicate: int, *, lower: bool = False) -> float:
    """A score without the noise of its method.

    Args:
        e: the encoder that is scored.
        n: the number of labelled examples.
        replicate: the draw.
        lower: whether the metric is an error, of which low is good.
    """
    shared = np.random.default_rng([e.seed, n, replicate]).normal()
    if lower:
        return 150 + 10 * shared - (40 if e.method == "random" else 0)
    value = 0.2 + 0.04 * np.log10(n) + 0.02 * shared + MARGIN.get(e.method, 0.0)
    return value + 0.01 * Slicing.parse(e.slicing).patches + SHIFT[e.modality]


def _make_encoder(params: Params, e: EncoderKey) -> None:
    """The scores, the pretext metrics and the history of one encoder."""
    layout, study = params.layout, params.study(e.modality)
    down = study.downstream
    identity = {
        "modality": e.modality,
        "dataset": study.dataset,
        "slicing": e.slicing,
        "method": e.method,
        "upstream_seed": e.seed,
    }
    for classifier in params.classifiers(e):
        noise = np.random.default_rng([e.seed, *map(ord, e.method + e.slicing)])
        rows = []
        run, replicates = study.draws(e.slicing, classifier)
        for task in down.tasks:
            for n in run:
                for replicate in range(replicates):
                    for metric in study.metrics[task]:
                        value = expected_score(e, n, replicate, lower=metric == "mse")
                        value += (1 if metric == "mse" else 0.002) * noise.normal()
                        if (task, metric) == ("pitch", "accuracy"):  # the methods are about alike
                            value = 0.1 + 0.01 * noise.random()
                        if classifier != down.probe:
                            value += OTHERS[classifier]
                        rows.append(
                            identity
                            | {"classifier": classifier, "task": task, "n_examples": n}
                            | {"replicate": replicate, "metric": metric, "value": value}
                        )
        if classifier == down.probe:
            # Each label has 10 inputs: all of label 0 are answered right, 7 of label 1, and 8 of
            # label 2, whose other 2 are called 0.
            counts = [
                identity | {"task": task, "n_examples": n, "wanted": w, "answer": a, "count": count}
                for task in down.tasks
                for n in down.n_examples
                for w, a, count in ((0, 0, 10), (1, 1, 7), (1, 2, 3), (2, 2, 8), (2, 0, 2))
            ]
            _write_csv(layout.answers(e), pd.DataFrame(counts))
        if classifier == "end_to_end":
            _write_csv(layout.end_to_end(e), pd.DataFrame(rows))
        elif classifier == down.probe:
            main = rows
        else:
            main += rows
    _write_csv(layout.scores(e), pd.DataFrame(main))
    ranks = expected_ranks(e)
    metrics = {"partial_ranks": ranks, "kendall_tau": ranks - 0.1, "fixed_set": ranks / 2}
    metrics["loss"] = 1.5
    if e.method == "contrastive":
        metrics = {"loss": 1.5}
    layout.pretext(e).parent.mkdir(parents=True, exist_ok=True)
    layout.pretext(e).write_text(json.dumps(identity | {"metrics": metrics}))
    if e.method != "random":
        epochs = np.arange(study.pretrain.epochs + 1)
        curve = ranks * (1 - np.exp(-epochs / 3))
        history = {"epoch": epochs, "valid_loss": 1.5, "valid_partial_ranks": curve}
        if e.method == "contrastive":
            del history["valid_partial_ranks"]
        _write_csv(layout.history(e), pd.DataFrame(history))


def _make_manifest(params: Params, dataset: str) -> None:
    """A dataset's manifest, and the list of the inputs that extraction left out."""
    left_out: list[tuple[str, str, str]] = []
    if dataset == "notes":
        table = pd.DataFrame(
            {
                "kept": [True] * 4 + [False] * 5,
                "reason": [
                    *[""] * 4,
                    *("silent", "duplicate of a", "duplicate of b", "silent"),
                    "<script>alert('x')</script> & more",
                ],
                "split": ["train", "train", "valid", "test", *[""] * 5],
                "instrument": list("aabcabdab"),
                "family": "keys keys brass keys keys brass reed keys brass".split(),
            }
        )
    elif dataset == "motions":
        splits = ["train"] * 5 + ["valid"] * 2 + ["test"] * 3
        labels = ["Falling", NASTY]
        table = pd.DataFrame({"label": [labels[i % 2] for i in range(10)], "split": splits})
        left_out = [
            ("train", "input-01", "only 3 frames"),
            ("test", "input-08", "only 3 frames"),
            ("test", "input-09", "no <b>video</b>"),
        ]
    else:
        splits = ["pretrain"] * 2 + ["pretrain_valid", "train", "train", "valid", "test"]
        drawn = [["bird"], ["bird", "boat", NASTY], ["car"], ["boat"], ["bird", "car"], [], ["car"]]
        table = pd.DataFrame({"drawn": drawn, "split": splits})
        left_out = [("pretrain", "input-00", "damaged")]
    if dataset != "notes":
        table = table.assign(kept=True, reason="")
    table.insert(0, "id", [f"input-{i:02}" for i in range(len(table))])
    path = params.layout.manifest(dataset)
    path.parent.mkdir(parents=True, exist_ok=True)
    table.to_parquet(path)
    columns = ["split", "id", "reason"]
    _write_csv(params.layout.rejected(dataset), pd.DataFrame(left_out, columns=columns))


def _make_shown(params: Params, modality: str) -> None:
    """The labels' names, and in place of the stage examples, which needs a network, its figure."""
    study, layout = params.study(modality), params.layout
    for suffix in ("csv", "png", "svg"):
        path = layout.figure(f"reordered-{modality}", suffix)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text('<svg viewBox="0 0 1 1"></svg>' if suffix == "svg" else "")
    if task := study_outputs.CONFUSED.get(modality):
        labels = pd.DataFrame({task: [0, 1, 2], f"{task}_name": ["brass & <b>co", "flute", "reed"]})
        path = layout.labels(study.dataset, study.downstream.evaluate_on)
        path.parent.mkdir(parents=True, exist_ok=True)
        labels.to_parquet(path)


def _write_csv(path: Path, table: pd.DataFrame) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    table.to_csv(path, index=False)


def run_all(params: Path) -> None:
    """Run every results stage."""
    for stage in STAGES:
        stage.main(["--params", str(params)])


def gather(params: Path) -> None:
    """Run the stage scores, whose files tables and figures read, and the stage tables."""
    for stage in (scores, tables):
        stage.main(["--params", str(params)])


def whole_study(folder: Path) -> Path:
    """The params file of a study with an ablation, whose results are made."""
    params = make_study(folder, ablation=True)
    run_all(params)
    return params


def change(params: Path, modality: str, **values: Any) -> None:
    """Change a modality's settings, each a key of its section or of its `downstream`."""
    content = yaml.safe_load(params.read_text())
    for key, value in values.items():
        section = content[modality]
        (section if key in section else section["downstream"])[key] = value
    params.write_text(yaml.safe_dump(content))


def encoder(params: Path, modality: str, place: int) -> EncoderKey:
    """A modality's encoder by its place in the order of the params file."""
    return load_params(params).encoder_keys(modality)[place]


def table(params: Path, number: int | str) -> pd.DataFrame:
    """The rows of a table that the stage tables wrote."""
    return pd.read_csv(load_params(params).layout.table(f"table{number}", "csv"))


def plan(number: int | str) -> study_outputs.Table:
    """How a table is laid out."""
    (found,) = (plan for plan in study_outputs.TABLES if plan.name == f"table{number}")
    return found


def drawn(params: Path, name: str) -> pd.DataFrame:
    """The values that a figure shows."""
    return pd.read_csv(load_params(params).layout.figure(name, "csv"))


def text(params: Path, name: str) -> str:
    """The text of a file of the results."""
    return (load_params(params).layout.results / name).read_text(encoding="utf-8")
