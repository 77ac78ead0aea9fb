"""A whole params file: the study of each modality, and what its sections must have in common."""

from __future__ import annotations

import math
from collections.abc import Iterable
from itertools import product
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal, NamedTuple, Self

from pydantic import Field, ValidationError, ValidationInfo, field_validator, model_validator
from pydantic_core import InitErrorDetails, PydanticCustomError

from shuffle_to_learn.datasets import public
from shuffle_to_learn.features.spectrogram import frame_count
from shuffle_to_learn.pretext.methods import METHODS
from shuffle_to_learn.slicing import Slicing
from study.errors import InputError
from study.paths import NO_NETWORK, SPLITS, WHOLE, EncoderKey, Paths
from study.sections import (
    Ablation,
    Downstream,
    Embed,
    EndToEnd,
    Folder,
    Frames,
    Methods,
    Motions,
    Notes,
    Pictures,
    Pretrain,
    Public,
    Roots,
    Scenes,
    Section,
    Seed,
    Spectrograms,
    Speech,
    Threads,
    distinct,
)

MODALITIES = ("audio", "video", "images")
KINDS = {"class": ("accuracy",), "number": ("mse",), "categories": ("auc",)}
"""What a column of labels.csv is scored by, by its kind."""
PUBLIC = tuple(public.SPLITS)
"""The datasets of the paper."""
SPEECH = ("words", "syllables")
"""The datasets of recorded speech."""
DATASETS = ("notes", "motions", "scenes", "folder", *PUBLIC, *SPEECH)
RESERVED = ("id", "labelled", "file", "split")
"""Columns of labels.csv that are no tasks."""


class Recording(NamedTuple):
    """Length and sample rate of the recordings of a dataset."""

    sample_rate: int
    seconds: float

    @property
    def samples(self) -> int:
        return round(self.sample_rate * self.seconds)


NSYNTH = Recording(16_000, 4.0)
"""NSynth's protocol, which the embedded notes follow."""


def orders_patches(method: str) -> bool:
    """Whether a method puts patches in order, so that its network can be asked to."""
    return method in METHODS and METHODS[method].ordering


class Study(Section):
    """The study of one modality: what all modalities have alike."""

    upstream: ClassVar[tuple[str, str]] = ("train", "valid")
    """The splits that pretraining learns from and is evaluated on."""
    extraction: ClassVar[str]
    """The stage that makes the features, and the section of its settings."""
    named: ClassVar[str]
    """What its inputs are called."""
    known: ClassVar[dict[str, tuple[str, ...]]]
    """The tasks of the embedded dataset and what each is scored by."""
    known_of: ClassVar[dict[str, dict[str, tuple[str, ...]]]] = {}
    """The same of the datasets that have tasks of their own."""
    summarised: ClassVar[str]
    """What a summary without a network is of: bands, pixels or tiles."""
    columns: ClassVar[dict[str, str]] = {}
    """The columns of the labels that these tasks are read from, where they have other names."""

    dataset: str
    source: str
    """Your folder, for the dataset folder; otherwise empty."""
    slicings: Annotated[list[str], Field(min_length=1)]
    methods: Annotated[list[str], Field(min_length=1)]
    no_network: list[Literal["raw", "summary"]]
    """What the probes are fitted on beside embeddings."""
    seeds: Annotated[list[Seed], Field(min_length=1)]
    shards: Annotated[list[int], Field(min_length=1)]
    """The jobs that features are extracted in, numbered."""
    ablation: Ablation
    shown: str
    pretrain: Pretrain
    method: Methods
    embed: Embed
    downstream: Downstream
    end_to_end: EndToEnd

    @property
    def unit(self) -> str:
        """What the inputs of its dataset are called."""
        return self.named

    @property
    def features(self) -> Any:
        """The settings of the extraction."""
        return getattr(self, self.extraction)

    @property
    def shape(self) -> tuple[int, ...]:
        """The shape of one input."""
        return self.features.shape

    def patches_shape(self, slicing: Slicing) -> tuple[int, ...]:
        """The shape of a network's input: patches, height, width, channels."""
        return slicing.patches, *slicing.tile_shape(self.shape, self.pretrain.gap)

    @property
    def max_rejected(self) -> float:
        """The share of a split's inputs that may be left out."""
        return getattr(self.features, "max_rejected", 0.0)

    @property
    def metrics(self) -> dict[str, tuple[str, ...]]:
        """What each task is scored by, the first metric being the main one."""
        tasks = self.downstream.tasks
        if isinstance(tasks, dict):
            return {task: KINDS[kind] for task, kind in tasks.items()}
        return self.known_of.get(self.dataset, self.known)

    @property
    def of_files(self) -> bool:
        """Whether its dataset is of files whose labels are texts."""
        return self.dataset in ("folder", *SPEECH)

    @property
    def stratified(self) -> str | None:
        """The task whose classes each split of a folder gets; None where no task has classes."""
        classes = (task for task, metrics in self.metrics.items() if "accuracy" in metrics)
        return next(classes, None) if self.dataset == "folder" else None

    @property
    def started_from(self) -> list[str]:
        """The files that its networks start from: one or none."""
        return [self.pretrain.start_from] if self.pretrain.start_from else []

    def column(self, task: str) -> str:
        """The column of the labels that a task is read from."""
        return task if self.dataset == "folder" else self.columns.get(task, task)

    @property
    def splits(self) -> tuple[str, ...]:
        """Every split that features are extracted of."""
        return tuple(dict.fromkeys((*self.upstream, *SPLITS)))

    @property
    def all_slicings(self) -> list[str]:
        """The study's slicings and those of the ablation that are run."""
        ablation = self.ablation
        run = ablation.methods and ablation.seeds and ablation.n_examples
        return [*self.slicings, *(ablation.slicings if run else [])]

    def compared(self, slicing: str) -> tuple[list[str], list[int]]:
        """The methods and the seeds that a slicing is run with, each with each.

        Of :data:`study.paths.WHOLE` they are what is scored without a network, if there is a task.
        """
        if slicing == WHOLE:
            return list(self.no_network) if self.downstream.tasks else [], self.seeds
        part = self if slicing in self.slicings else self.ablation
        return part.methods, part.seeds

    def classifiers(self, slicing: str, method: str, seed: int) -> list[str]:
        """What an encoder is scored with: the study's probe first."""
        trained, others = self.end_to_end, self.downstream.others
        if not self.downstream.tasks:
            return []
        if slicing == WHOLE:
            return [self.downstream.probe, *(others.probes if others.n_examples else [])]
        if slicing not in self.slicings:
            return [self.downstream.probe]
        end_to_end = method in trained.methods and seed in trained.seeds and trained.n_examples
        beside = [*self.on_layers, *others.probes] if others.n_examples else []
        return [self.downstream.probe, *beside, *(["end_to_end"] if end_to_end else [])]

    @property
    def on_layers(self) -> dict[str, str]:
        """The layer of each classifier that is the study's probe on another layer."""
        down = self.downstream
        return {f"{down.probe}-{layer}": layer for layer in down.others.layers}

    def layer(self, classifier: str) -> str:
        """The layer that a classifier is fitted on."""
        return self.on_layers.get(classifier, self.embed.layer)

    def draws(self, slicing: str, classifier: str) -> tuple[list[int], int]:
        """The numbers of examples that a classifier is fitted on, and of draws of each."""
        down = self.downstream
        if classifier == "end_to_end":
            return self.end_to_end.n_examples, self.end_to_end.replicates
        if classifier != down.probe:
            return down.others.n_examples, down.replicates
        ablated = slicing in self.ablation.slicings
        return self.ablation.n_examples if ablated else down.n_examples, down.replicates

    def build_method(self, name: str, slicing: Slicing) -> Any:
        """A pretraining method with its settings.

        Raises:
            ValueError: where the settings ask for more than there is.
        """
        settings = getattr(self.method, name).model_dump(exclude={"learning_rate"})
        method = METHODS[name](slicing.patches, **settings)
        _ = method.outputs  # fixed permutations are chosen here
        return method

    def fixed_orders(self, slicing: Slicing) -> int:
        """The size of the set that fixed permutations learn from; all networks are asked for it."""
        fixed = self.method.fixed_permutations
        return min(fixed.permutations if fixed else 100, math.factorial(slicing.patches))

    def learning_rate(self, method: str) -> float:
        """The learning rate of a method; 0 for one that is not trained."""
        return getattr(getattr(self.method, method), "learning_rate", 0.0)

    @field_validator("shards")
    @classmethod
    def _numbered(cls, shards: list[int]) -> list[int]:
        if shards != list(range(len(shards))):
            raise ValueError("is a list of numbers from 0 on: [0, 1, 2] for three jobs")
        return shards

    @field_validator("slicings", "methods", "no_network", "seeds")
    @classmethod
    def _all_distinct(cls, values: list) -> list:
        return distinct(values)

    @field_validator("slicings")
    @classmethod
    def _known_slicings(cls, slicings: list[str]) -> list[str]:
        for slicing in slicings:
            Slicing.parse(slicing)
        return slicings

    @field_validator("methods")
    @classmethod
    def _known_methods(cls, methods: list[str]) -> list[str]:
        for method in methods:
            if method not in METHODS:
                known = ", ".join(METHODS)
                raise ValueError(f"unknown method {method!r}: choose from {known}")
        return methods

    @field_validator("ablation")
    @classmethod
    def _other_slicings(cls, ablation: Ablation, info: ValidationInfo) -> Ablation:
        for slicing in distinct(ablation.slicings):
            Slicing.parse(slicing)
            if slicing in info.data.get("slicings", []):
                raise ValueError(f"slicings: {slicing} is already one of the study's slicings")
        return ablation

    @field_validator("shown")
    @classmethod
    def _one_of_the_methods(cls, shown: str, info: ValidationInfo) -> str:
        if shown not in info.data.get("methods", [shown]):
            raise ValueError("is not among the study's methods")
        if shown in METHODS and not orders_patches(shown):
            raise ValueError(f"{shown} puts no patches in order: choose a method that does")
        return shown

    @model_validator(mode="after")
    def _parts_of_the_study(self) -> Self:
        """The ablation and the networks trained end to end use a part of the study's lists."""
        whole: dict[str, Iterable[Any]] = {
            "methods": self.methods,
            "seeds": self.seeds,
            "n_examples": self.downstream.n_examples,
        }
        for part in ("ablation", "end_to_end"):
            for key, values in whole.items():
                for value in distinct(getattr(getattr(self, part), key)):
                    if value not in values:
                        raise ValueError(f"{part}.{key}: {value} is not among the study's {key}")
        if self.embed.layer in self.downstream.others.layers:
            raise ValueError(
                f"downstream.others.layers: {self.embed.layer} is already embed.layer's"
            )
        if self.end_to_end.replicates > self.downstream.replicates:
            raise ValueError("end_to_end.replicates: more than downstream.replicates")
        return self

    @field_validator("downstream")
    @classmethod
    def _tasks(cls, downstream: Downstream, info: ValidationInfo) -> Downstream:
        folder, tasks = info.data.get("dataset") == "folder", downstream.tasks
        known = cls.known_of.get(info.data.get("dataset", ""), cls.known)
        if folder != isinstance(tasks, dict):
            what = "{column of labels.csv: class, number or categories}" if folder else "a list"
            raise ValueError(f"tasks: of the dataset {info.data.get('dataset')} it is {what}")
        for task in tasks:
            if not folder and task not in known:
                raise ValueError(f"unknown task {task!r}: choose from {', '.join(known)}")
            if task in RESERVED:
                raise ValueError(f"tasks: {task} cannot be a task: rename the column")
        return downstream

    @model_validator(mode="after")
    def _source_of_a_folder(self) -> Self:
        if self.dataset == "folder":
            if not self.source or self.source.startswith("~"):
                raise ValueError("source: the dataset folder needs your folder's path, without ~")
        elif self.source:
            raise ValueError("source: is for the dataset folder alone: leave it empty")
        return self

    @model_validator(mode="after")
    def _has_settings(self) -> Self:
        missing = [name for name in self.methods if getattr(self.method, name) is None]
        if missing:  # pydantic puts the key of this section before each one's
            said = PydanticCustomError("no_settings", "missing: the method is in the list methods")
            raise ValidationError.from_exception_data(
                type(self).__name__,
                [
                    InitErrorDetails(type=said, loc=("method", name), input=self.method)
                    for name in missing
                ],
            )
        return self

    @model_validator(mode="after")
    def _slicings_fit(self) -> Self:
        for slicing in (*self.slicings, *self.ablation.slicings):
            Slicing.parse(slicing).tile_shape(self.shape, self.pretrain.gap)
        colours = len(self.shape) > 2 and self.shape[-1] == 3
        if not colours and (self.pretrain.channel_shift or self.pretrain.grey_share):
            raise ValueError("pretrain.channel_shift and grey_share are for colours: use 0")
        return self


class Audio(Study):
    """The audio study."""

    extraction, named, summarised = "spectrograms", "notes", "bands"
    known: ClassVar = {
        "instrument": ("accuracy",),
        "family": ("accuracy",),
        "pitch": ("mse",),
        "pitch_class": ("accuracy",),
    }
    known_of: ClassVar = {
        "words": dict.fromkeys(("first_letter", "language", "category"), ("accuracy",)),
        "syllables": dict.fromkeys(("initial", "final", "tone", "voice"), ("accuracy",)),
    }
    columns: ClassVar = {"pitch_class": "pitch"}

    dataset: Literal[
        "notes", "folder", "words", "syllables", "nsynth_full", "nsynth_gansynth_subset"
    ]
    spectrograms: Spectrograms

    @property
    def unit(self) -> str:
        return "windows" if self.dataset == "folder" else self.named


class Video(Study):
    """The video study."""

    extraction, named, summarised = "frames", "clips", "pixels"
    known: ClassVar = {"action": ("accuracy",)}

    dataset: Literal["motions", "folder", "something_something_v2"]
    frames: Frames


class Images(Study):
    """The image study; it pretrains on other pictures than the probes are fitted on."""

    upstream = ("pretrain", "pretrain_valid")
    extraction, named, summarised = "pictures", "pictures", "tiles"
    known: ClassVar = {"objects": ("auc",)}

    dataset: Literal["scenes", "folder", "imagenet_voc"]
    pictures: Pictures


class Params(Section):
    """A whole params file; a modality that it leaves out is not run."""

    paths: Roots
    threads: Threads
    notes: Notes | None = None
    motions: Motions | None = None
    scenes: Scenes | None = None
    folder: Folder | None = None
    words: Speech | None = None
    syllables: Speech | None = None
    nsynth_full: Public | None = None
    nsynth_gansynth_subset: Public | None = None
    imagenet_voc: Public | None = None
    something_something_v2: Public | None = None
    audio: Audio | None = None
    video: Video | None = None
    images: Images | None = None

    @property
    def layout(self) -> Paths:
        return Paths(Path(self.paths.data), Path(self.paths.results))

    @property
    def studies(self) -> dict[str, Study]:
        """The study of each modality that is run."""
        return {name: study for name in MODALITIES if (study := getattr(self, name)) is not None}

    @property
    def recording(self) -> Recording:
        """Length and sample rate of the audio study's recordings."""
        settings = getattr(self, self.audio.dataset) if self.audio else None
        if isinstance(settings, Folder | Speech):
            return Recording(settings.sample_rate, settings.seconds)
        return NSYNTH

    @model_validator(mode="after")
    def _something_to_run(self) -> Self:
        if not self.studies:
            raise ValueError(f"missing: at least one of {', '.join(MODALITIES)}")
        for name, study in self.studies.items():
            if getattr(self, study.dataset) is None:
                raise ValueError(f"{study.dataset}: missing: it is the dataset of {name}")
        folders = [name for name, study in self.studies.items() if study.dataset == "folder"]
        if len(folders) > 1:
            raise ValueError(f"{folders[1]}.dataset: the folder is {folders[0]}'s: one has one")
        return self

    @model_validator(mode="after")
    def _enough_inputs(self) -> Self:
        for name, study in self.studies.items():
            dataset = getattr(self, study.dataset)
            # The number of notes is known only when they are rendered.
            for key, most, split in (
                ("downstream.n_examples", max(study.downstream.n_examples), "train"),
                ("pretrain.batch_size", study.pretrain.batch_size, study.upstream[0]),
            ):
                if most > (there := getattr(dataset, split, most)):
                    raise ValueError(
                        f"{name}.{key}: {most} is more than {study.dataset}.{split}: {there}"
                    )
        return self

    @model_validator(mode="after")
    def _spectrograms_fit(self) -> Self:
        if not self.audio:
            return self
        settings, recording = self.audio.spectrograms, self.recording
        if settings.f_max > recording.sample_rate / 2:
            raise ValueError(
                f"audio.spectrograms.f_max: {settings.f_max:g} is more than half the sample rate, "
                f"{recording.sample_rate / 2:g} Hz"
            )
        if settings.frames > (most := frame_count(recording.samples, settings.hop_length)):
            raise ValueError(
                f"audio.spectrograms.frames: {settings.frames} is more than the {most} that "
                f"{recording.seconds:g} s have at hop_length {settings.hop_length}"
            )
        return self

    @model_validator(mode="after")
    def _clips_are_long_enough(self) -> Self:
        if self.video and self.motions and self.video.dataset == "motions":
            needed = self.video.frames.count + self.video.frames.skip
            if self.motions.frames_min < needed:
                raise ValueError(
                    f"motions.frames_min: {self.motions.frames_min} is less than the {needed} of "
                    "video.frames.count and skip"
                )
        return self

    def study(self, modality: str) -> Study:
        """The study of one modality, as named on a command line."""
        if modality not in MODALITIES:
            raise InputError(f"--modality {modality}: unknown, use one of {', '.join(MODALITIES)}")
        if modality not in self.studies:
            raise InputError(f"--modality {modality}: the params file has no section {modality}")
        return self.studies[modality]

    def of_dataset(self, dataset: str) -> tuple[str, Study]:
        """The modality that has a dataset, and its study.

        Raises:
            InputError: where no modality of the params file has it.
        """
        for modality, study in self.studies.items():
            if study.dataset == dataset:
                return modality, study
        has = ", ".join(study.dataset for study in self.studies.values())
        raise InputError(
            f"dataset {dataset}: the params file has {has} (if dvc.yaml asks for it: make dvc)"
        )

    def files_of(self, dataset: str) -> list[str]:
        """The files that a dataset is made of and that no stage writes: recordings, soundfonts.

        A folder of your own is not among them: a list stands for its files.
        """
        settings = getattr(self, dataset)
        if isinstance(settings, Speech):
            return [settings.source]
        return settings.files if isinstance(settings, Notes) else []

    def extracted_by(self, dataset: str, extraction: str) -> Study:
        """The study whose features a stage extracts from a dataset."""
        _, study = self.of_dataset(dataset)
        if study.extraction != extraction:
            raise InputError(
                f"--dataset {dataset}: its stage is {study.extraction}, not {extraction}"
            )
        return study

    def scored_key(self, modality: str, slicing: str, method: str, seed: int) -> EncoderKey:
        """As :meth:`encoder_key`, or of features without a network."""
        if method not in NO_NETWORK:
            return self.encoder_key(modality, slicing, method, seed)
        self.study(modality)
        if slicing != WHOLE:
            raise InputError(f"--slicing {slicing}: without a network there is only {WHOLE}")
        return EncoderKey(modality, slicing, method, _seed(seed))

    def encoder_key(self, modality: str, slicing: str, method: str, seed: int) -> EncoderKey:
        """One encoder, its identity checked; it need not be in the study's lists."""
        study = self.study(modality)
        if method not in METHODS:
            known = ", ".join(METHODS)
            raise InputError(f"--method {method}: unknown method, use one of {known}")
        if getattr(study.method, method) is None:
            raise InputError(f"{modality}.method.{method}: missing: --method asks for the method")
        try:
            Slicing.parse(slicing).tile_shape(study.shape, study.pretrain.gap)
        except ValueError as error:
            raise InputError(f"--slicing {slicing}: {error}") from None
        return EncoderKey(modality, slicing, method, _seed(seed))

    def identity(self, key: EncoderKey) -> dict[str, str | int]:
        """What every table says of an encoder: column and value."""
        return {
            "modality": key.modality,
            "dataset": self.study(key.modality).dataset,
            "slicing": key.slicing,
            "method": key.method,
            "upstream_seed": key.seed,
        }

    def encoder_keys(self, *modalities: str) -> list[EncoderKey]:
        """The encoders of these modalities (none: of all), in the order of the params file."""
        return [
            EncoderKey(modality, slicing, method, seed)
            for modality, study in self.studies.items()
            if not modalities or modality in modalities
            for slicing in study.all_slicings
            for method, seed in product(*study.compared(slicing))
        ]

    def without_network(self, *modalities: str) -> list[EncoderKey]:
        """What is scored without a network of these modalities (none: of all)."""
        return [
            EncoderKey(modality, WHOLE, name, seed)
            for modality, study in self.studies.items()
            if not modalities or modality in modalities
            for name, seed in product(*study.compared(WHOLE))
        ]

    def scored_keys(self, *modalities: str) -> list[EncoderKey]:
        """All that is scored of these modalities (none: of all): features, then encoders."""
        return [
            key
            for modality in modalities or self.studies
            if self.study(modality).downstream.tasks
            for keys in (self.without_network, self.encoder_keys)
            for key in keys(modality)
        ]

    def trained_end_to_end(self, *modalities: str) -> list[EncoderKey]:
        """The encoders of these modalities (none: of all) that are trained on end to end."""
        keys = self.encoder_keys(*modalities)
        return [key for key in keys if "end_to_end" in self.classifiers(key)]

    def reordering(self, modality: str) -> list[EncoderKey]:
        """The trained networks, of the first slicing and seed, that put patches in order.

        Where none is trained, the one whose answers are shown.
        """
        study = self.study(modality)
        trained = [m for m in study.methods if METHODS[m].trained and orders_patches(m)]
        which = modality, study.slicings[0]
        return [EncoderKey(*which, m, study.seeds[0]) for m in trained or [study.shown]]

    def shown(self, modality: str) -> EncoderKey:
        """The encoder of a modality whose answers are shown."""
        study = self.study(modality)
        return EncoderKey(modality, study.slicings[0], study.shown, study.seeds[0])

    def classifiers(self, key: EncoderKey) -> list[str]:
        """See :meth:`Study.classifiers`."""
        return self.study(key.modality).classifiers(key.slicing, key.method, key.seed)


def _seed(seed: int) -> int:
    if not 0 <= seed < 2**31:
        raise InputError(f"--seed {seed}: use a number from 0 to 2147483647")
    return seed
