"""How long the jobs of a study take, roughly: work times the cost of a unit on one core.

The costs were measured on two cores of a server of 2025 with the default study's settings; another
machine, or a much larger network, may be off by a factor of two or more.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from math import prod
from pathlib import Path

from shuffle_to_learn import public
from shuffle_to_learn.views import View
from stages.params import Params

START = 6.0  # seconds before a job's first work: Python and TensorFlow
# An input: rendered into its dataset, and extracted.
RENDERED = {"notes": 0.02, "motions": 0.03, "scenes": 0.01, "folder": 0.02}
RENDERED |= dict.fromkeys(public.SPLITS, 0.0005)
EXTRACTED = {"spectrograms": 0.015, "frames": 0.01, "pictures": 0.004}
WIDTH = {"audio": 2, "video": 1, "images": 1}  # bytes of a pixel and channel
# A pixel and channel of an input, an epoch, at an eighth of AlexNet's width.
EPOCH = {"audio": 1.8e-7, "video": 2.9e-7, "images": 1.0e-7}
# A probe of one task, of 400 steps at most.
PROBES = {"audio": 0.8, "video": 0.4, "images": 0.8}


def inputs(params: Params, modality: str) -> dict[str, int]:
    """About how many inputs each split has: of notes it is known only once they are rendered."""
    study = params.study(modality)
    if study.dataset == "folder":
        return _shared(params, modality)
    if study.dataset in public.SPLITS:
        return _public(params, modality)
    dataset = getattr(params, study.dataset)
    if modality == "audio":
        pitches = len(range(dataset.pitch_min, dataset.pitch_max + 1, dataset.pitch_step))
        notes = 0.8 * min(dataset.instruments, 93) * pitches  # as many as are kept
        return dict(
            zip(("train", "valid", "test"), (int(s * notes) for s in dataset.shares), strict=True)
        )
    return {split: getattr(dataset, split) for split in study.splits}


def _public(params: Params, modality: str) -> dict[str, int]:
    study = params.study(modality)
    held_out = getattr(params, study.dataset).held_out_share
    return {
        split: round(sum(public.COUNTS[p.dataset][p.split] * (p.high - p.low) for p in parts))
        for split, parts in public.SPLITS[study.dataset](held_out).items()
    }


def _shared(params: Params, modality: str) -> dict[str, int]:
    """Of a folder: its files, taken for one input each, of which all are labelled."""
    own, study = params.folder, params.study(modality)
    if own is None:
        return dict.fromkeys(study.splits, 0)
    number = sum(1 for path in Path(study.source).rglob("*") if path.is_file())
    shares = dict(zip(("train", "valid", "test"), own.shares, strict=True))
    shares |= {"pretrain": shares["train"], "pretrain_valid": shares["valid"]}
    return {split: int(shares[split] * number) for split in study.splits}


def core_seconds(params: Params, rule: str, wildcards: Mapping[str, str]) -> float:
    """How long a job takes on one core."""
    if rule == "all" or rule in params.studies:
        return 0.0
    if rule == "dataset":
        (modality,) = (m for m, s in params.studies.items() if s.dataset == wildcards["dataset"])
        return START + RENDERED[wildcards["dataset"]] * sum(inputs(params, modality).values())
    if rule in EXTRACTED:
        (modality,) = (m for m, s in params.studies.items() if s.dataset == wildcards["dataset"])
        count = sum(inputs(params, modality).values())
        return START + EXTRACTED[rule] * count / len(params.study(modality).shards)
    if "modality" not in wildcards or rule == "examples":
        return START
    modality = wildcards["modality"]
    study, counts = params.study(modality), inputs(params, modality)
    if rule == "downstream":
        names = study.classifiers(wildcards["view"], wildcards["method"], int(wildcards["seed"]))
        runs = (study.draws(wildcards["view"], name) for name in names if name != "end_to_end")
        probes = sum(len(examples) * replicates for examples, replicates in runs)
        steps = study.downstream.steps / 400
        return START + PROBES[modality] * steps * probes * len(study.downstream.tasks)
    shape = study.shape
    view = View.parse(wildcards["view"])
    pixels = prod(shape) / shape[0] * view.frames if view.frames else prod(shape)
    each = EPOCH[modality] * pixels * (study.pretrain.width * 8)
    if rule == "end_to_end":
        examples, replicates = study.draws(wildcards["view"], "end_to_end")
        runs = len(examples) * replicates * len(study.downstream.tasks)
        own = study.end_to_end
        return START + 0.45 * runs * own.steps * own.batch_size * each
    if rule == "embed":
        return START + 0.35 * each * sum(counts[split] for split in ("train", "valid", "test"))
    trained = study.pretrain.epochs if wildcards["method"] != "random" else 0
    return START + trained * counts[study.upstream[0]] * each


def disk(params: Params, rule: str, wildcards: Mapping[str, str]) -> float:
    """How many bytes of features, embeddings and networks a job writes, roughly."""
    if rule in EXTRACTED or rule.startswith("join"):
        (modality,) = (m for m, s in params.studies.items() if s.dataset == wildcards["dataset"])
        study = params.study(modality)
        size = sum(inputs(params, modality).values()) * prod(study.shape) * WIDTH[modality]
        return size / (len(study.shards) if rule in EXTRACTED else 1)
    if rule not in ("embed", "pretrain"):
        return 0.0
    study = params.study(wildcards["modality"])
    patches, own = View.parse(wildcards["view"]).patches, study.pretrain
    tiles = patches * own.tile_features
    if rule == "pretrain":
        return 4 * tiles * own.joined_features
    counts = inputs(params, wildcards["modality"])
    features = tiles if study.embed.layer == "tiles" else own.joined_features
    return 4 * features * sum(counts[split] for split in ("train", "valid", "test"))


def announcement(
    params: Params, jobs: Iterable[tuple[str, Mapping[str, str]]], cores: int | None
) -> str:
    """How many jobs there are, roughly how long they take on so many cores, and how much disk."""
    jobs = list(jobs)
    seconds = [core_seconds(params, *job) for job in jobs if job[0] not in ("all", *params.studies)]
    minutes = sum(seconds) / (cores or 1) / 60
    long = f"{minutes:.0f} min" if minutes >= 1 else "a minute"
    number = f"{len(seconds)} job{'' if len(seconds) == 1 else 's'}"
    gib = sum(disk(params, *job) for job in jobs) / 2**30
    size = f"; {gib:.1f} GiB of features, networks and embeddings" if gib >= 0.05 else ""
    where = "of one core's work" if cores is None else f"on {cores} core{'s' * (cores != 1)}"
    return f"{number} to run, roughly {long} {where}{size}"
