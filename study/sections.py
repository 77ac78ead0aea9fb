"""The sections of a params file, each key with its type and range."""

from __future__ import annotations

from dataclasses import fields
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, Self, get_type_hints

from pydantic import BaseModel, ConfigDict, Field, create_model, field_validator, model_validator

from shuffle_to_learn.datasets.instruments import PACKAGED
from shuffle_to_learn.pretext.methods import METHODS

ROOT = Path(__file__).resolve().parent.parent
SOURCES: tuple[str, ...] = (
    "shuffle_to_learn",
    "stages",
    "study",
    "tools",
    "workflow",
    "tests",
    "benchmarks",
    "docs",
    "examples",
)
SOURCES += ("presets", "profiles", "pipelines", ".git", ".dvc", ".venv")
"""Folders of the project in which nothing is written."""

Positive = Annotated[int, Field(ge=1)]
Cores = Positive | Literal["all"]
Seed = Annotated[int, Field(ge=0, lt=2**31)]
Share = Annotated[float, Field(gt=0, lt=1)]
Rate = Annotated[float, Field(gt=0, le=1)]


class Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False, strict=True)


class Roots(Section):
    """The two folders that the study writes to, relative to the project's."""

    data: str
    results: str

    @field_validator("data", "results")
    @classmethod
    def _a_folder_of_its_own(cls, path: str) -> str:
        if not path.strip():
            raise ValueError("name a folder")
        if path.startswith("~"):
            raise ValueError("write your home out: ~ is not expanded")
        folder = Path(path).resolve()
        for project in (Path.cwd().resolve(), ROOT):
            if folder == project or folder in project.parents:
                raise ValueError("holds the project: name a folder in it, or beside it")
            first = folder.relative_to(project).parts[0] if project in folder.parents else ""
            if first in SOURCES:
                raise ValueError(f"lies in the project's folder {first}: name another")
        return path

    @model_validator(mode="after")
    def _two(self) -> Self:
        if Path(self.data).resolve() == Path(self.results).resolve():
            raise ValueError("results: is the same folder as data: name another")
        return self


class Threads(Section):
    """Cores that one job of a stage may use; they change the time, not the study."""

    dataset: Cores
    spectrograms: Cores
    frames: Cores
    pictures: Cores
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
        """The shares of the splits train, valid and test."""
        return 1 - self.valid_share - self.test_share, self.valid_share, self.test_share


class Notes(HeldOut):
    """The embedded dataset `notes`; the shares are of each instrument's pitches."""

    soundfonts: Annotated[list[str], Field(min_length=1)]
    """Paths, or the name of the soundfont that a package installs."""
    instruments: Positive
    velocities: Annotated[int, Field(ge=1, le=5)]
    pitch_min: Annotated[int, Field(ge=21, le=108)]
    pitch_max: Annotated[int, Field(ge=21, le=108)]
    pitch_step: Annotated[int, Field(ge=1, le=12)]

    @property
    def files(self) -> list[str]:
        """The soundfonts that are files of your own."""
        return [font for font in self.soundfonts if font != PACKAGED]

    @field_validator("soundfonts")
    @classmethod
    def _paths(cls, fonts: list[str]) -> list[str]:
        for font in distinct(fonts):
            if not font or font.startswith("~"):
                raise ValueError(f"name a file, without ~, or {PACKAGED}")
        return fonts

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
    reversals: bool
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


class Speech(HeldOut):
    """Recorded speech, `words` or `syllables`; the shares are of the things or the syllables."""

    source: Annotated[str, Field(pattern=r"^[^~\s]")]
    """Where the recordings are."""
    sample_rate: Annotated[int, Field(ge=2000, le=192_000)]
    seconds: Annotated[float, Field(ge=0.1, le=600)]


class Public(Section):
    """One of the paper's datasets, as TFDS prepared it."""

    data_dir: str
    """Where TFDS prepares datasets; ~ is your home."""
    held_out_share: Annotated[float, Field(gt=0, le=0.3)]
    """The share of the official train split that stands for a split without labels."""
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
    start_from: Annotated[str, Field(pattern=r"^[^~]")] | None = None
    """A ``cfn.keras`` whose weights trained networks start from; None: drawn by the seed."""

    @property
    def network(self) -> dict[str, Any]:
        """The settings that :func:`shuffle_to_learn.models.cfn.build_cfn` takes."""
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
    """The section of a method's settings, made of the annotated fields of its class."""
    hints = get_type_hints(method, include_extras=True)
    kinds = {f.name: hints[f.name] for f in fields(method) if f.name != "n" and not f.kw_only}
    if method.trained:
        kinds = {"learning_rate": Rate, **kinds}
    required: dict[str, Any] = {key: (kind, ...) for key, kind in kinds.items()}
    return create_model(name, __base__=Section, **required)


if TYPE_CHECKING:
    Methods = Any
else:
    Methods = create_model(
        "Methods",
        __base__=Section,
        __doc__="Each method's settings, None where the params file does not give them.",
        **{name: (method_section(name, method) | None, None) for name, method in METHODS.items()},
    )


class Ablation(Section):
    """Other slicings, each with some of what the study has; none where a list is empty."""

    slicings: list[str]
    methods: list[str]
    seeds: list[Seed]
    n_examples: list[int]


Layer = Literal["joined", "tiles"]


class Embed(Section):
    """Which layer of the CFN is the study's embedding."""

    layer: Layer


class Others(Section):
    """Probes beside the study's own, at some of its numbers of examples."""

    probes: list[Literal["mlp", "linear", "knn"]]
    layers: list[Layer]
    """Other layers than the embedding's, which the study's own probe is fitted on, too."""
    n_examples: list[int]
    neighbors: Positive


class Downstream(Section):
    """The probes on the frozen embedding.

    For the dataset folder, ``tasks`` maps columns of labels.csv to their kinds; without any, the
    networks are pretrained and embed, and nothing is scored.
    """

    tasks: (
        Annotated[list[str], Field(min_length=1)]
        | dict[str, Literal["class", "number", "categories"]]
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
        distinct(list(self.tasks))
        distinct(self.n_examples)
        distinct(self.others.layers)
        if self.probe in distinct(self.others.probes):
            raise ValueError(f"others.probes: {self.probe} is already the study's own probe")
        for n in distinct(self.others.n_examples):
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


def distinct(values: list) -> list:
    """The values; ValueError where one is there twice."""
    if len(set(values)) != len(values):
        raise ValueError("lists an entry twice")
    return values
