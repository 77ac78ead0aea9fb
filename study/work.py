"""How much work each job of a study is, by its settings alone: no seconds, so of no machine."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterator, Mapping
from functools import cache
from itertools import pairwise
from math import prod
from pathlib import Path
from typing import Any, NamedTuple

from shuffle_to_learn.datasets import packages, public
from shuffle_to_learn.datasets.tree import walk
from shuffle_to_learn.models.alexnet import MultiplyAdds, multiply_adds
from shuffle_to_learn.slicing import Slicing
from study.errors import InputError
from study.params import PUBLIC, SPEECH, Params, Study
from study.paths import LAYERS, SPLITS, WHOLE, EncoderKey
from study.sections import Notes
from study.soundfonts import instruments

WIDTH = {"audio": 2, "video": 1, "images": 1}  # bytes of a pixel and channel
KEPT = 0.8
"""The share of instruments' pitches that pass the checks, as of TimGM6mb; nearly always once.
Other soundfonts may have more that sounds the same: how many notes are left, the rendering says."""
CLASSES = 20
"""Outputs that a probe is taken to have: how many there are, the labels say."""
RESULTS = ("scores", "tables", "claims", "figures", "site")


class Work(NamedTuple):
    """What a job does.

    Attributes:
        kind: what is counted, from the stage to what is most alike: a stage and a modality or
            dataset, a network.
        amount: of multiply-adds, inputs or pixels; 0 where all the jobs of a kind are alike.
    """

    kind: tuple[str, ...]
    amount: float

    @property
    def stage(self) -> str:
        return self.kind[0]


class Job(NamedTuple):
    """A job as Snakemake names it.

    Attributes:
        rule: its rule.
        wildcards: which job of the rule.
        threads: the cores that it takes.
        record: where its benchmark is written, below the folder of benchmarks.
    """

    rule: str
    wildcards: Mapping[str, str]
    threads: int = 1
    record: str = ""


def jobs(params: Params) -> Iterator[Job]:
    """Every job of a study."""

    def job(rule: str, stage: str, **wildcards: str) -> Job:
        threads = getattr(params.threads, stage, 1)
        return Job(rule, wildcards, (os.cpu_count() or 1) if threads == "all" else threads)

    for modality, study in params.studies.items():
        yield job("dataset", "dataset", dataset=study.dataset)
        for shard in study.shards:
            yield job(study.extraction, study.extraction, shard=str(shard))
        yield job(f"join_{modality}", "join")
        if study.dataset == "folder" and study.downstream.tasks:
            yield job("labels", "labels")
        for key in params.encoder_keys(modality):
            classifiers = params.classifiers(key)
            run = {"downstream": bool(classifiers), "end_to_end": "end_to_end" in classifiers}
            for stage in ("pretrain", "embed", "downstream", "end_to_end"):
                if run.get(stage, True):
                    identity = {"modality": modality, "slicing": key.slicing}
                    yield job(stage, stage, **identity, method=key.method, seed=str(key.seed))
        for key in params.without_network(modality):
            who = {"modality": modality, "method": key.method, "seed": str(key.seed)}
            yield job("no_network", "downstream", **who)
        yield job("examples", "examples", modality=modality)
    for stage in RESULTS:
        yield job(stage, stage)


def modality_of(params: Params, job: Job) -> str | None:
    """The modality that a job is about; None for the results."""
    for modality, study in params.studies.items():
        if job.rule in (study.extraction, f"join_{modality}"):
            return modality
        if job.wildcards.get("modality") == modality:
            return modality
        if job.wildcards.get("dataset") == study.dataset:
            return modality
    return None


def work(params: Params, job: Job) -> Work:
    """How much a job has to do."""
    modality = modality_of(params, job)
    if modality is None or job.rule == "examples":
        return Work((job.rule,), 0)
    if job.rule.startswith("join"):  # copies files: little beside its start
        return Work(("join", modality), 0)
    study, counts = params.study(modality), inputs(params, modality)
    if job.rule == "dataset":
        return Work(("dataset", study.dataset), _rendered(params, study, counts))
    if job.rule == study.extraction:
        kind = (job.rule, study.dataset, _words(study.features.model_dump()))
        return Work(kind, sum(counts.values()) / len(study.shards))
    slicing = job.wildcards.get("slicing", WHOLE)
    key = EncoderKey(modality, slicing, job.wildcards["method"], int(job.wildcards["seed"]))
    if job.rule in ("downstream", "no_network"):
        settings = study.downstream.model_dump(include={"probe", "hidden", "batch_size"})
        told = _words({"features": probed(study, slicing, key.method), **settings})
        return Work(("downstream", modality, told), _probes(study, key, counts))
    told = f"{slicing} of {'x'.join(map(str, study.shape))}, {_network(study)}"
    amount = {"pretrain": _pretraining, "embed": _embedding, "end_to_end": _end_to_end}[job.rule]
    return Work((job.rule, modality, told), amount(study, key, counts))


def disk(params: Params, job: Job) -> dict[str, float]:
    """How many bytes of features, networks and embeddings a job writes, roughly."""
    modality = modality_of(params, job)
    if modality is None:
        return {}
    study, counts = params.study(modality), inputs(params, modality)
    features = sum(counts.values()) * prod(study.shape) * WIDTH[modality]
    if job.rule == study.extraction:
        return {"features, in shards and joined": features / len(study.shards)}
    if job.rule.startswith("join"):
        return {"features, in shards and joined": features}
    if job.rule == "embed":
        slicing = Slicing.parse(job.wildcards["slicing"])
        width = sum(features_of(study, slicing, layer) for layer in LAYERS)
        return {"embeddings": 2 * width * sum(counts[split] for split in SPLITS)}
    if job.rule == "pretrain":
        tiles = Slicing.parse(job.wildcards["slicing"]).patches * study.pretrain.tile_features
        return {"networks": 4 * tiles * study.pretrain.joined_features}
    return {}


def inputs(params: Params, modality: str) -> dict[str, int]:
    """About how many inputs each split has; of notes, exactly so many once they are rendered."""
    study = params.study(modality)
    if study.dataset == "folder":
        return _of_folder(params, study)
    if study.dataset in public.SPLITS:
        return _of_public(params, study)
    dataset = getattr(params, study.dataset)
    if study.dataset in SPEECH:
        number = packages.PACKAGES[study.dataset].recordings
        return {s: int(share * number) for s, share in zip(SPLITS, dataset.shares, strict=True)}
    if modality == "audio":
        candidates = _candidates(dataset)
        rendered = _rendered_notes(params.layout.manifest(study.dataset))
        if rendered.total() == candidates:  # else they are of other settings
            return {split: rendered[split] for split in SPLITS}
        kept = KEPT * candidates / dataset.velocities
        shares = zip(SPLITS, dataset.shares, strict=True)
        return {split: int(share * kept) for split, share in shares}
    return {split: getattr(dataset, split) for split in study.splits}


def features_of(study: Study, slicing: Slicing, layer: str = "") -> int:
    """The length of an embedding, of the study's layer where none is named."""
    network = study.pretrain
    if (layer or study.embed.layer) == "tiles":
        return slicing.patches * network.tile_features
    return network.joined_features


def probed(study: Study, slicing: str, method: str, layer: str = "") -> int:
    """How many numbers a probe is given of an input: of an embedding, features or their summary."""
    if slicing != WHOLE:
        return features_of(study, Slicing.parse(slicing), layer)
    if method == "raw":
        return prod(study.shape)
    if study.summarised == "tiles":
        return 2 * Slicing.parse(study.slicings[0]).patches * study.shape[-1]
    return 2 * (study.shape[0] if study.summarised == "bands" else prod(study.shape[1:]))


def multiply_adds_of(study: Study, slicing: Slicing) -> MultiplyAdds:
    """What an input costs a study's network."""
    network = study.pretrain
    return multiply_adds(
        slicing.patches,
        slicing.tile_shape(study.shape, network.gap),
        slicing.patches,
        width=network.width,
        tile_features=network.tile_features,
        joined_features=network.joined_features,
    )


def probe(study: Study, features: int, n: int, queries: int, classifier: str) -> float:
    """The multiply-adds of a probe of one task and n examples, and of its answers."""
    down = study.downstream
    if classifier == "knn":
        return n * queries * features
    hidden = down.hidden if classifier.partition("-")[0] == "mlp" else ()
    each = sum(a * b for a, b in pairwise((features, *hidden, CLASSES)))
    steps = steps_taken(down)
    looks = steps / down.evaluate_every * down.validation_share * n
    return each * (3 * steps * down.batch_size + looks + queries)


def steps_taken(settings: Any) -> float:
    """The steps of a training that ends early: between the fewest and the most, by their ratio."""
    fewest = min(settings.steps, (settings.patience + 1) * settings.evaluate_every)
    return (fewest * settings.steps) ** 0.5


def _candidates(notes: Notes) -> int:
    try:
        number = len(instruments(notes))
    except (InputError, FileNotFoundError):  # the stage says so
        number = notes.instruments
    pitches = range(notes.pitch_min, notes.pitch_max + 1, notes.pitch_step)
    return number * len(pitches) * notes.velocities


def _rendered_notes(manifest: Path) -> Counter[str]:
    """How many candidates a rendering put into each split, "" for what it left out."""
    return _splits(manifest, manifest.stat().st_mtime_ns) if manifest.exists() else Counter()


@cache
def _splits(manifest: Path, _: int) -> Counter[str]:
    from pyarrow import parquet  # not at the start of what reads no manifest

    try:
        return Counter(parquet.read_table(manifest, columns=["split"])["split"].to_pylist())
    except (OSError, ValueError):  # damaged: the stages that read it say so
        return Counter()


def _rendered(params: Params, study: Study, counts: Mapping[str, int]) -> float:
    dataset = getattr(params, study.dataset)
    if study.dataset in PUBLIC:
        return 0  # prepared by TFDS before
    if study.dataset == "notes":
        return _candidates(dataset)
    number = sum(counts.values())
    if study.dataset == "motions":
        return number * dataset.size**2 * (dataset.frames_min + dataset.frames_max) / 2
    return number * dataset.size**2 if study.dataset == "scenes" else number


def _pretraining(study: Study, key: EncoderKey, counts: Mapping[str, int]) -> float:
    network, cost = study.pretrain, multiply_adds_of(study, Slicing.parse(key.slicing))
    train, valid = (counts[split] for split in study.upstream)
    epochs = network.epochs if key.method != "random" else 0
    batches = train // network.batch_size * network.batch_size
    return epochs * batches * cost.training + (epochs + 1) * valid * cost.forward


def _embedding(study: Study, key: EncoderKey, counts: Mapping[str, int]) -> float:
    cost = multiply_adds_of(study, Slicing.parse(key.slicing))
    return cost.forward * sum(counts[split] for split in SPLITS)


def _probes(study: Study, key: EncoderKey, counts: Mapping[str, int]) -> float:
    queries = counts[study.downstream.evaluate_on]
    total = 0.0
    for classifier in study.classifiers(key.slicing, key.method, key.seed):
        if classifier != "end_to_end":
            examples, replicates = study.draws(key.slicing, classifier)
            features = probed(study, key.slicing, key.method, study.layer(classifier))
            each = (probe(study, features, n, queries, classifier) for n in examples)
            total += replicates * sum(each)
    return len(study.downstream.tasks) * total


def _end_to_end(study: Study, key: EncoderKey, counts: Mapping[str, int]) -> float:
    cost, training = multiply_adds_of(study, Slicing.parse(key.slicing)), study.end_to_end
    examples, replicates = study.draws(key.slicing, "end_to_end")
    steps, queries = steps_taken(training), counts[study.downstream.evaluate_on]
    looked = steps / training.evaluate_every * study.downstream.validation_share
    trained = steps * training.batch_size * cost.training
    each = (trained + (n + looked * n + queries) * cost.forward for n in examples)
    return len(study.downstream.tasks) * replicates * sum(each)


def _network(study: Study) -> str:
    return _words({"gap": study.pretrain.gap, **study.pretrain.network})


def _words(settings: Mapping[str, Any]) -> str:
    return ", ".join(f"{key} {value}" for key, value in settings.items() if key != "max_rejected")


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
    number = sum(1 for _ in walk(Path(study.source)))
    shares = dict(zip(SPLITS, params.folder.shares, strict=True))
    shares |= {"pretrain": shares["train"], "pretrain_valid": shares["valid"]}
    return {split: int(shares[split] * number) for split in study.splits}
