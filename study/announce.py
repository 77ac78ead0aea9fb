"""How long the jobs of a study take, roughly: work times the cost of a unit on one core.

The costs were measured on two cores of a server of 2025 with the default study's settings; another
machine, or a much larger network, may be off by a factor of two or more.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from math import prod
from pathlib import Path

from shuffle_to_learn.datasets import public
from shuffle_to_learn.slicing import Slicing
from study.params import Params, Study

START = 3.5  # seconds before a job's first work: Python and TensorFlow
# Seconds an input: rendered into its dataset, and extracted.
RENDERED = {"notes": 0.02, "motions": 0.03, "scenes": 0.01, "folder": 0.02}
RENDERED |= dict.fromkeys(public.SPLITS, 0.0005)
EXTRACTED = {"spectrograms": 0.015, "frames": 0.01, "pictures": 0.004}
WIDTH = {"audio": 2, "video": 1, "images": 1}  # bytes of a pixel and channel
# Seconds a pixel and channel of an input, an epoch, at an eighth of AlexNet's width.
EPOCH = {"audio": 1.8e-7, "video": 2.9e-7, "images": 1.0e-7}
# Seconds a probe of one task, of 400 steps at most.
PROBES = {"audio": 0.8, "video": 0.4, "images": 0.8}


def inputs(params: Params, modality: str) -> dict[str, int]:
    """About how many inputs each split has; the notes are counted only once they are rendered."""
    study = params.study(modality)
    if study.dataset == "folder":
        return _of_folder(params, study)
    if study.dataset in public.SPLITS:
        return _of_public(params, study)
    dataset = getattr(params, study.dataset)
    if modality == "audio":
        pitches = len(range(dataset.pitch_min, dataset.pitch_max + 1, dataset.pitch_step))
        notes = 0.8 * min(dataset.instruments, 93) * pitches  # as many as are kept
        shares = zip(("train", "valid", "test"), dataset.shares, strict=True)
        return {split: int(share * notes) for split, share in shares}
    return {split: getattr(dataset, split) for split in study.splits}


def _of_public(params: Params, study: Study) -> dict[str, int]:
    held_out = getattr(params, study.dataset).held_out_share
    return {
        split: round(sum(public.COUNTS[p.dataset][p.split] * (p.high - p.low) for p in parts))
        for split, parts in public.SPLITS[study.dataset](held_out).items()
    }


def _of_folder(params: Params, study: Study) -> dict[str, int]:
    """The files of a folder, each taken for one labelled input."""
    if params.folder is None:
        return dict.fromkeys(study.splits, 0)
    number = sum(1 for path in Path(study.source).rglob("*") if path.is_file())
    shares = dict(zip(("train", "valid", "test"), params.folder.shares, strict=True))
    shares |= {"pretrain": shares["train"], "pretrain_valid": shares["valid"]}
    return {split: int(shares[split] * number) for split in study.splits}


def modality_of(params: Params, rule: str, wildcards: Mapping[str, str]) -> str | None:
    """The modality that a job is about; None for the results."""
    for modality, study in params.studies.items():
        if rule in (study.extraction, f"join_{modality}"):
            return modality
        if modality == wildcards.get("modality") or study.dataset == wildcards.get("dataset"):
            return modality
    return None


def core_seconds(params: Params, rule: str, wildcards: Mapping[str, str]) -> float:
    """How long a job takes on one core."""
    modality = modality_of(params, rule, wildcards)
    if modality is None or rule == "examples" or rule.startswith("join"):
        return START
    study, counts = params.study(modality), inputs(params, modality)
    if rule == "dataset":
        return START + RENDERED[study.dataset] * sum(counts.values())
    if rule in EXTRACTED:
        return START + EXTRACTED[rule] * sum(counts.values()) / len(study.shards)
    name = wildcards["slicing"]
    if rule == "downstream":
        names = study.classifiers(name, wildcards["method"], int(wildcards["seed"]))
        runs = (study.draws(name, classifier) for classifier in names if classifier != "end_to_end")
        probes = sum(len(examples) * replicates for examples, replicates in runs)
        steps = study.downstream.steps / 400
        return START + PROBES[modality] * steps * probes * len(study.downstream.tasks)
    shape, slicing = study.shape, Slicing.parse(name)
    pixels = prod(shape) / shape[0] * slicing.frames if slicing.frames else prod(shape)
    each = EPOCH[modality] * pixels * (study.pretrain.width * 8)
    if rule == "end_to_end":
        examples, replicates = study.draws(name, "end_to_end")
        runs = len(examples) * replicates * len(study.downstream.tasks)
        training = study.end_to_end
        return START + 0.45 * runs * training.steps * training.batch_size * each
    if rule == "embed":
        return START + 0.35 * each * sum(counts[split] for split in ("train", "valid", "test"))
    trained = study.pretrain.epochs if wildcards["method"] != "random" else 0
    return START + trained * counts[study.upstream[0]] * each


def disk(params: Params, rule: str, wildcards: Mapping[str, str]) -> float:
    """How many bytes of features, embeddings and networks a job writes, roughly."""
    modality = modality_of(params, rule, wildcards)
    if modality is None:
        return 0.0
    study, counts = params.study(modality), inputs(params, modality)
    if rule in EXTRACTED or rule.startswith("join"):
        size = sum(counts.values()) * prod(study.shape) * WIDTH[modality]
        return size / (len(study.shards) if rule in EXTRACTED else 1)
    if rule not in ("embed", "pretrain"):
        return 0.0
    network = study.pretrain
    tiles = Slicing.parse(wildcards["slicing"]).patches * network.tile_features
    if rule == "pretrain":
        return 4 * tiles * network.joined_features
    features = tiles if study.embed.layer == "tiles" else network.joined_features
    return 4 * features * sum(counts[split] for split in ("train", "valid", "test"))


def announcement(
    params: Params, jobs: Iterable[tuple[str, Mapping[str, str]]], cores: int | None
) -> str:
    """How many jobs there are, roughly how long they take on so many cores, and how much disk.

    Args:
        params: the study.
        jobs: rule and wildcards of each; targets are no jobs.
        cores: None on a cluster.
    """
    jobs = [job for job in jobs if job[0] not in ("all", *params.studies)]
    seconds = [core_seconds(params, *job) for job in jobs]
    minutes = sum(seconds) / (cores or 1) / 60
    long = f"{minutes:.0f} min" if minutes >= 1 else "a minute"
    number = f"{len(seconds)} job{'' if len(seconds) == 1 else 's'}"
    gib = sum(disk(params, *job) for job in jobs) / 2**30
    size = f"; {gib:.1f} GiB of features, networks and embeddings" if gib >= 0.05 else ""
    where = "of one core's work" if cores is None else f"on {cores} core{'s' * (cores != 1)}"
    return f"{number} to run, roughly {long} {where}{size}"
