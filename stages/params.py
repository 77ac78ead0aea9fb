"""The params file as typed settings: unknown keys, wrong types and values out of range refused."""

from __future__ import annotations

from dataclasses import fields
from itertools import product
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal, Self, get_type_hints

import yaml
from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    ValidationError,
    ValidationInfo,
    create_model,
    field_validator,
    model_validator,
)
from pydantic_core import InitErrorDetails, PydanticCustomError

from shuffle_to_learn import public
from shuffle_to_learn.methods import METHODS
from shuffle_to_learn.views import View
from stages.errors import InputError
from stages.paths import SPLITS, Encoder, Paths

MODALITIES = ("audio", "video", "images")

# What a column of labels.csv is scored by, by its kind.
KINDS = {"class": ("accuracy",), "number": ("mse",), "categories": ("auc",)}
# The datasets of the paper that shuffle_to_learn/public.py reads.
PUBLIC = tuple(public.SPLITS)
RESERVED = ("id", "labelled", "file", "split")

Positive = Annotated[int, Field(ge=1)]
Cores = Positive | Literal["all"]
Seed = Annotated[int, Field(ge=0, lt=2**31)]
Share = Annotated[float, Field(gt=0, lt=1)]
Rate = Annotated[float, Field(gt=0, le=1)]


class Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False, strict=True)


class Roots(Section):
    """Where the study writes."""

    data: str
    results: str


class Threads(Section):
    """Cores that one job of a stage may use; they change the time, not the study."""

    dataset: Cores
    spectrograms: Cores
    frames: Cores
    images: Cores
    pretrain: Cores
    embed: Cores
    downstream: Cores
    end_to_end: Cores


class HeldOut(Section):
    """The shares of an embedded dataset's material that are kept for the other splits."""

    valid_share: Share
    test_share: Share
    seed: Seed

    @model_validator(mode="after")
    def _leave_something(self) -> Self:
        if self.valid_share + self.test_share >= 1:
            raise ValueError("valid_share and test_share leave nothing to train on")
        return self

    @property
    def shares(self) -> tuple[float, float, float]:
        """Of the splits train, valid and test."""
        return 1 - self.valid_share - self.test_share, self.valid_share, self.test_share


class Notes(HeldOut):
    """The embedded dataset `notes`; the shares are of the notes."""

    instruments: Annotated[int, Field(ge=1, le=128)]
    pitch_min: Annotated[int, Field(ge=21, le=108)]
    pitch_max: Annotated[int, Field(ge=21, le=108)]
    pitch_step: Annotated[int, Field(ge=1, le=12)]

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if self.pitch_min > self.pitch_max:
            raise ValueError("pitch_min is above pitch_max")
        return self


class Motions(HeldOut):
    """The embedded dataset `motions`; the shares are of the things and textures."""

    train: Positive
    valid: Positive
    test: Positive
    size: Annotated[int, Field(ge=32, le=1024, multiple_of=2)]
    frames_min: Annotated[int, Field(ge=8, le=240)]
    frames_max: Annotated[int, Field(ge=8, le=240)]
    webm_share: Annotated[float, Field(ge=0, le=1)]
    textures: Annotated[int, Field(ge=3)]

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if self.frames_min > self.frames_max:
            raise ValueError("frames_min is above frames_max")
        if min(self.shares) * self.textures < 1.5:  # one, and rounding
            raise ValueError("textures are too few for valid_share and test_share")
        return self


class Scenes(HeldOut):
    """The embedded dataset `scenes`; the shares are of the glyphs and materials."""

    pretrain: Positive
    pretrain_valid: Positive
    train: Positive
    valid: Positive
    test: Positive
    size: Annotated[int, Field(ge=32, le=1024)]
    objects: Annotated[int, Field(ge=1, le=8)]
    materials: Annotated[int, Field(ge=9)]

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if min(self.shares) * self.materials < 3.5:  # floor, wall and ceiling, and rounding
            raise ValueError("materials are too few for valid_share and test_share")
        return self


class Folder(HeldOut):
    """Files of your own, the dataset `folder`; the shares are of the labelled files or groups."""

    group: str
    """The column of labels.csv whose values are not in two splits; empty: the file."""
    sample_rate: Annotated[int, Field(ge=2000, le=192_000)]
    seconds: Annotated[float, Field(ge=0.1, le=600)]
    max_rejected: Annotated[float, Field(ge=0, lt=1)]


class Public(Section):
    """One of the paper's datasets, as TFDS prepared it."""

    data_dir: str
    """Where TFDS prepares datasets; ~ is your home."""
    held_out_share: Annotated[float, Field(gt=0, le=0.3)]
    """Of the official train split, for what has no official split with labels."""
    seed: Seed


class Spectrograms(Section):
    """Log-mel spectrograms (librosa); one pixel is `hop_length` samples by one mel band."""

    n_fft: Annotated[int, Field(ge=64, le=16384)]
    hop_length: Annotated[int, Field(ge=16, le=16384)]
    frames: Positive
    n_mels: Annotated[int, Field(ge=4, le=512)]
    f_min: Annotated[float, Field(ge=0)]
    f_max: Annotated[float, Field(gt=0, le=96_000)]
    reference: Literal["peak", "absolute"]
    dynamic_range: Annotated[float, Field(gt=0, le=200)]

    @property
    def shape(self) -> tuple[int, ...]:
        return self.n_mels, self.frames

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if self.f_min >= self.f_max:
            raise ValueError("f_min is not below f_max")
        return self


class Pictures(Section):
    """Square pictures: pixels along the side, their colours, and how many files may be damaged."""

    size: Annotated[int, Field(ge=8, le=1024)]
    channels: Literal["rgb", "grey"]
    max_rejected: Annotated[float, Field(ge=0, lt=1)]

    @property
    def shape(self) -> tuple[int, ...]:
        return self.size, self.size, 3 if self.channels == "rgb" else 1


class Frames(Pictures):
    """Frames of clips, sampled uniformly."""

    count: Annotated[int, Field(ge=2, le=240)]
    skip: Annotated[int, Field(ge=0)]
    background: Literal["keep", "subtract"]

    @property
    def shape(self) -> tuple[int, ...]:
        return self.count, *super().shape


class Pretrain(Section):
    """The CFN and its training, the same for every method."""

    width: Annotated[float, Field(gt=0, le=4)]
    tile_features: Positive
    joined_features: Positive
    batch_normalization: bool
    tile_normalization: bool
    gap: Annotated[int, Field(ge=0)]
    channel_shift: Annotated[int, Field(ge=0)]
    grey_share: Annotated[float, Field(ge=0, le=1)]
    epochs: Positive
    batch_size: Positive
    schedule: Literal["constant", "cosine"]
    warmup_epochs: Annotated[float, Field(ge=0)]
    precision: Literal["float32", "mixed_bfloat16"]

    @property
    def network(self) -> dict[str, Any]:
        """The settings that :func:`shuffle_to_learn.cfn.build_cfn` takes."""
        return self.model_dump(
            include={
                "width",
                "tile_features",
                "joined_features",
                "batch_normalization",
                "tile_normalization",
                "precision",
            }
        )


def method_section(name: str, method: Any) -> type[Section]:
    """The section of a method's own settings, made of the annotated fields of its class."""
    hints = get_type_hints(method, include_extras=True)
    own = {f.name: hints[f.name] for f in fields(method) if f.name != "n" and not f.kw_only}
    if method.trained:
        own = {"learning_rate": Rate, **own}
    required: dict[str, Any] = {key: (kind, ...) for key, kind in own.items()}
    return create_model(name, __base__=Section, **required)


if TYPE_CHECKING:
    Methods = Any
else:
    Methods = create_model(
        "Methods",
        __base__=Section,
        __doc__="Each method's own settings, None where the params file does not give them.",
        **{name: (method_section(name, method) | None, None) for name, method in METHODS.items()},
    )


class Ablation(Section):
    """Other views, each with some of what the study has; none where a list is empty."""

    views: list[str]
    methods: list[str]
    seeds: list[Seed]
    n_examples: list[int]


class Embed(Section):
    """Which layer of the CFN is the embedding."""

    layer: Literal["joined", "tiles"]


class Others(Section):
    """Probes beside the study's own, at some of its numbers of examples."""

    probes: list[Literal["mlp", "linear", "knn"]]
    n_examples: list[int]
    neighbors: Positive


class Downstream(Section):
    """The probes on the frozen embedding.

    Of a folder of your own, ``tasks`` says of each column of labels.csv of what kind it is.
    """

    tasks: (
        Annotated[list[str], Field(min_length=1)]
        | Annotated[dict[str, Literal["class", "number", "categories"]], Field(min_length=1)]
    )
    n_examples: Annotated[list[Annotated[int, Field(ge=10)]], Field(min_length=1)]
    replicates: Positive
    evaluate_on: Literal["valid", "test"]
    validation_share: Share
    probe: Literal["mlp", "linear"]
    hidden: list[Positive]
    others: Others
    learning_rate: Rate
    weight_decay: Annotated[float, Field(ge=0, le=1)]
    dropout: Annotated[float, Field(ge=0, lt=1)]
    batch_size: Positive
    steps: Positive
    evaluate_every: Positive
    patience: Positive
    seed: Seed

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if self.steps < self.evaluate_every:
            raise ValueError("steps is less than evaluate_every: nothing would be evaluated")
        _distinct(list(self.tasks))
        _distinct(self.n_examples)
        if self.probe in _distinct(self.others.probes):
            raise ValueError(f"others.probes: {self.probe} is already the study's own probe")
        for n in _distinct(self.others.n_examples):
            if n not in self.n_examples:
                raise ValueError(f"others.n_examples: {n} is not among the study's n_examples")
        return self


class EndToEnd(Section):
    """Networks trained end to end on labelled examples, with some of what the study has."""

    methods: list[str]
    seeds: list[Seed]
    n_examples: list[int]
    replicates: Positive
    learning_rate: Rate
    batch_size: Positive
    steps: Positive
    evaluate_every: Positive
    patience: Positive

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if self.steps < self.evaluate_every:
            raise ValueError("steps is less than evaluate_every: nothing would be evaluated")
        return self


class Study(Section):
    """The study of one modality: what all modalities have alike."""

    upstream: ClassVar[tuple[str, str]] = ("train", "valid")
    """The splits that pretraining learns from and is evaluated on."""
    extraction: ClassVar[str]
    """The stage that makes the features, and the section of its settings."""
    unit: ClassVar[str]
    """What its inputs are called."""
    known: ClassVar[dict[str, tuple[str, ...]]]
    """The tasks of the embedded dataset and what each is scored by."""

    dataset: str
    source: str
    """A module of the library that renders the dataset, or your folder."""
    views: Annotated[list[str], Field(min_length=1)]
    methods: Annotated[list[str], Field(min_length=1)]
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
    def shape(self) -> tuple[int, ...]:
        """The shape of one input."""
        return getattr(self, self.extraction).shape

    @property
    def metrics(self) -> dict[str, tuple[str, ...]]:
        """What each task is scored by, the first metric being the main one."""
        tasks = self.downstream.tasks
        if isinstance(tasks, dict):
            return {task: KINDS[kind] for task, kind in tasks.items()}
        return self.known

    @property
    def splits(self) -> tuple[str, ...]:
        """Every split that features are extracted of."""
        return tuple(dict.fromkeys((*self.upstream, *SPLITS)))

    @field_validator("shards")
    @classmethod
    def _numbered(cls, shards: list[int]) -> list[int]:
        if shards != list(range(len(shards))):
            raise ValueError("is a list of numbers from 0 on: [0, 1, 2] for three jobs")
        return shards

    @field_validator("views", "methods", "seeds")
    @classmethod
    def _all_distinct(cls, values: list) -> list:
        return _distinct(values)

    @property
    def all_views(self) -> list[str]:
        """The study's views and those of the ablation that are run."""
        own = self.ablation
        run = own.methods and own.seeds and own.n_examples
        return [*self.views, *(own.views if run else [])]

    def crossed(self, view: str) -> tuple[list[str], list[int]]:
        """The methods and the seeds that a view is run with, each with each."""
        part = self if view in self.views else self.ablation
        return part.methods, part.seeds

    def classifiers(self, view: str, method: str, seed: int) -> list[str]:
        """What an encoder is scored with: the study's own probe first."""
        if view not in self.views:
            return [self.downstream.probe]
        own, others = self.end_to_end, self.downstream.others
        trained = method in own.methods and seed in own.seeds and own.n_examples
        return [
            self.downstream.probe,
            *(others.probes if others.n_examples else []),
            *(["end_to_end"] if trained else []),
        ]

    def draws(self, view: str, classifier: str) -> tuple[list[int], int]:
        """The numbers of examples and of draws of each that a classifier is fitted on."""
        down = self.downstream
        if classifier == "end_to_end":
            return self.end_to_end.n_examples, self.end_to_end.replicates
        if classifier != down.probe:
            return down.others.n_examples, down.replicates
        counts = self.ablation.n_examples if view in self.ablation.views else down.n_examples
        return counts, down.replicates

    @field_validator("views")
    @classmethod
    def _views(cls, views: list[str]) -> list[str]:
        for view in views:
            View.parse(view)
        return views

    @field_validator("methods")
    @classmethod
    def _methods(cls, methods: list[str]) -> list[str]:
        for method in methods:
            if method not in METHODS:
                known = ", ".join(METHODS)
                raise ValueError(f"unknown method {method!r}: choose from {known}")
        return methods

    @field_validator("ablation")
    @classmethod
    def _other_views(cls, ablation: Ablation, info: ValidationInfo) -> Ablation:
        for view in _distinct(ablation.views):
            View.parse(view)
            if view in info.data.get("views", []):
                raise ValueError(f"views: {view} is already one of the study's views")
        return ablation

    @field_validator("shown")
    @classmethod
    def _one_of_the_methods(cls, shown: str, info: ValidationInfo) -> str:
        if shown not in info.data.get("methods", [shown]):
            raise ValueError("is not among the study's methods")
        return shown

    @model_validator(mode="after")
    def _parts_of_the_study(self) -> Self:
        """What is set beside the study's own scores is there to be set beside."""
        whole = {
            "methods": self.methods,
            "seeds": self.seeds,
            "n_examples": self.downstream.n_examples,
        }
        for part in ("ablation", "end_to_end"):
            for key, values in whole.items():
                for value in _distinct(getattr(getattr(self, part), key)):
                    if value not in values:
                        raise ValueError(f"{part}.{key}: {value} is not among the study's {key}")
        if self.end_to_end.replicates > self.downstream.replicates:
            raise ValueError("end_to_end.replicates: more than downstream.replicates")
        return self

    @field_validator("downstream")
    @classmethod
    def _tasks(cls, downstream: Downstream, info: ValidationInfo) -> Downstream:
        own, tasks = info.data.get("dataset") == "folder", downstream.tasks
        if own != isinstance(tasks, dict):
            what = "{column of labels.csv: class, number or categories}" if own else "a list"
            raise ValueError(f"tasks: of the dataset {info.data.get('dataset')} it is {what}")
        for task in tasks:
            if not own and task not in cls.known:
                raise ValueError(f"unknown task {task!r}: choose from {', '.join(cls.known)}")
            if task in RESERVED:
                raise ValueError(f"tasks: {task} cannot be a task: rename the column")
        return downstream

    @model_validator(mode="after")
    def _made_of(self) -> Self:
        own = "public" if self.dataset in PUBLIC else self.dataset
        module = f"shuffle_to_learn/{own}.py"
        if self.dataset != "folder" and self.source != module:
            raise ValueError(f"source: of the dataset {self.dataset} it is {module}")
        if self.dataset == "folder" and (
            self.source.endswith(".py") or self.source[:1] in ("~", "")
        ):
            raise ValueError(
                "source: of the dataset folder it is the path of your folder, without ~"
            )
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
    def _views_fit(self) -> Self:
        for view in (*self.views, *self.ablation.views):
            View.parse(view).tile_shape(self.shape, self.pretrain.gap)
        colours = len(self.shape) > 2 and self.shape[-1] == 3
        if not colours and (self.pretrain.channel_shift or self.pretrain.grey_share):
            raise ValueError("pretrain.channel_shift and grey_share are for colours: use 0")
        return self


class Audio(Study):
    """The audio study."""

    extraction, unit = "spectrograms", "notes"
    known: ClassVar = {
        "instrument": ("accuracy",),
        "family": ("accuracy",),
        "pitch": ("mse", "accuracy"),
    }

    dataset: Literal["notes", "folder", "nsynth_full", "nsynth_gansynth_subset"]
    spectrograms: Spectrograms


class Video(Study):
    """The video study."""

    extraction, unit = "frames", "clips"
    known: ClassVar = {"action": ("accuracy",)}

    dataset: Literal["motions", "folder", "something_something_v2"]
    frames: Frames


class Images(Study):
    """The image study; it pretrains on other pictures than the probes are fitted on."""

    upstream = ("pretrain", "pretrain_valid")
    extraction, unit = "images", "pictures"
    known: ClassVar = {"objects": ("auc",)}

    dataset: Literal["scenes", "folder", "imagenet_voc"]
    images: Pictures


class Params(Section):
    """A whole params file; a modality that it leaves out is not run."""

    paths: Roots
    threads: Threads
    notes: Notes | None = None
    motions: Motions | None = None
    scenes: Scenes | None = None
    folder: Folder | None = None
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

    @model_validator(mode="after")
    def _something_to_run(self) -> Self:
        if not self.studies:
            raise ValueError(f"missing: at least one of {', '.join(MODALITIES)}")
        for name, study in self.studies.items():
            dataset = getattr(self, study.dataset)
            if dataset is None:
                raise ValueError(f"{study.dataset}: missing: it is the dataset of {name}")
            # Of notes it is known only when they are rendered how many there are.
            for key, most, split in (
                ("downstream.n_examples", max(study.downstream.n_examples), "train"),
                ("pretrain.batch_size", study.pretrain.batch_size, study.upstream[0]),
            ):
                if most > (there := getattr(dataset, split, most)):
                    raise ValueError(
                        f"{name}.{key}: {most} is more than {study.dataset}.{split}: {there}"
                    )
        folders = [name for name, study in self.studies.items() if study.dataset == "folder"]
        if len(folders) > 1:
            raise ValueError(f"{folders[1]}.dataset: the folder is {folders[0]}'s: one has one")
        if self.audio:
            rate = self.folder.sample_rate if self.folder and "audio" in folders else 16_000
            if self.audio.spectrograms.f_max > rate / 2:
                raise ValueError(
                    f"audio.spectrograms.f_max: {self.audio.spectrograms.f_max:g} is more than "
                    f"half the sample rate, {rate / 2:g} Hz"
                )
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

    def study_of(self, dataset: str, extraction: str) -> Study:
        """The study whose features a stage extracts from a dataset."""
        own = [s for s in self.studies.values() if extraction in (s.extraction, "join")]
        for study in own:
            if study.dataset == dataset:
                return study
        names = ", ".join(s.dataset for s in own)
        raise InputError(
            f"--dataset {dataset}: the params file has "
            + (f"{names} for the stage {extraction}" if own else f"none of {extraction}")
        )

    def own_folder(self) -> tuple[str, Study]:
        """The modality and the study of a folder of your own."""
        for modality, study in self.studies.items():
            if study.dataset == "folder":
                return modality, study
        raise InputError("--dataset folder: no study of the params file has the dataset folder")

    def encoder(self, modality: str, view: str, method: str, seed: int) -> Encoder:
        """One encoder, its identity checked; it need not be in the study's lists."""
        study = self.study(modality)
        if method not in METHODS:
            known = ", ".join(METHODS)
            raise InputError(f"--method {method}: unknown method, use one of {known}")
        if getattr(study.method, method) is None:
            raise InputError(f"{modality}.method.{method}: missing: --method asks for the method")
        if not 0 <= seed < 2**31:
            raise InputError(f"--seed {seed}: use a number from 0 to 2147483647")
        try:
            View.parse(view).tile_shape(study.shape, study.pretrain.gap)
        except ValueError as error:
            raise InputError(f"--view {view}: {error}") from None
        return Encoder(modality, view, method, seed)

    def identity(self, e: Encoder) -> dict[str, str | int]:
        """What every table says of an encoder: column and value."""
        return {
            "modality": e.modality,
            "dataset": self.study(e.modality).dataset,
            "view": e.view,
            "method": e.method,
            "upstream_seed": e.seed,
        }

    def encoders(self, *modalities: str) -> list[Encoder]:
        """The encoders of these modalities (none: of all), in the order of the params file."""
        return [
            Encoder(modality, view, method, seed)
            for modality, study in self.studies.items()
            if not modalities or modality in modalities
            for view in study.all_views
            for method, seed in product(*study.crossed(view))
        ]

    def trained_end_to_end(self, *modalities: str) -> list[Encoder]:
        """The encoders of these modalities (none: of all) that are trained on end to end."""
        return [e for e in self.encoders(*modalities) if "end_to_end" in self.classifiers(e)]

    def classifiers(self, e: Encoder) -> list[str]:
        """See :meth:`Study.classifiers`."""
        return self.study(e.modality).classifiers(e.view, e.method, e.seed)


def _distinct(values: list) -> list:
    if len(set(values)) != len(values):
        raise ValueError("lists an entry twice")
    return values


class _UniqueKeys(yaml.SafeLoader):
    """YAML 1.1 safe loading that refuses a key given twice."""


def _mapping(loader: yaml.SafeLoader, node: yaml.MappingNode) -> dict:
    loader.flatten_mapping(node)
    result: dict = {}
    for key_node, value_node in node.value:
        key = loader.construct_object(key_node)
        line = key_node.start_mark.line + 1
        if not isinstance(key, str):
            raise InputError(f"line {line}: a key must be a word")
        if key in result:
            raise InputError(f"line {line}: the key {key!r} is given twice")
        result[key] = loader.construct_object(value_node, deep=True)
    return result


_UniqueKeys.add_constructor(yaml.resolver.BaseResolver.DEFAULT_MAPPING_TAG, _mapping)


def load_params(path: str | Path) -> Params:
    """The settings in ``path``; :class:`InputError` names the key that is wrong."""
    path = Path(path)
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise InputError(f"{path} does not exist: give a params file with --params") from None
    except UnicodeDecodeError:
        raise InputError(f"{path} is not a text file") from None
    try:
        content = _UniqueKeys(text).get_single_data()
    except yaml.YAMLError as error:
        raise InputError(f"{path} is not valid YAML: {' '.join(str(error).split())}") from None
    except InputError as error:
        raise InputError(f"{path}: {error}") from None
    if not isinstance(content, dict):
        raise InputError(f"{path} does not hold a params file's sections")
    try:
        return Params.model_validate(content)
    except ValidationError as error:
        raise InputError(f"{path}: {_explain(error)}") from None


def _explain(error: ValidationError) -> str:
    parts = []
    for item in error.errors():
        key = ".".join(str(part) for part in item["loc"]) or "the file"
        if item["type"] == "extra_forbidden":
            text = "unknown key (misspelt?)"
        elif item["type"] == "missing":
            text = "missing"
        else:
            text = item["msg"].removeprefix("Value error, ")
            if isinstance(item["input"], str) and item["type"] == "float_type":
                text += ", with a point where there is an exponent, as in 1.0e-4"
            if not isinstance(item["input"], (dict, BaseModel)):
                text += f" (given {item['input']!r})"
        parts.append(f"{key}: {text}")
    return "; ".join(parts)
