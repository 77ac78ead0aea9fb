"""The params file as typed settings: unknown keys, wrong types and values out of range refused."""

from __future__ import annotations

from dataclasses import fields
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, get_type_hints

import yaml
from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    ValidationError,
    create_model,
    field_validator,
    model_validator,
)
from pydantic_core import InitErrorDetails, PydanticCustomError

from shuffle_to_learn.methods import METHODS
from shuffle_to_learn.views import View
from stages.errors import InputError
from stages.paths import Encoder, Paths

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
    pretrain: Cores
    embed: Cores
    downstream: Cores


class Notes(Section):
    """The embedded dataset `notes`."""

    instruments: Annotated[int, Field(ge=1, le=128)]
    pitch_min: Annotated[int, Field(ge=21, le=108)]
    pitch_max: Annotated[int, Field(ge=21, le=108)]
    pitch_step: Annotated[int, Field(ge=1, le=12)]
    valid_share: Share
    test_share: Share
    seed: Seed

    @model_validator(mode="after")
    def _consistent(self) -> Notes:
        if self.pitch_min > self.pitch_max:
            raise ValueError("pitch_min is above pitch_max")
        if self.valid_share + self.test_share >= 1:
            raise ValueError("valid_share and test_share leave nothing to train on")
        return self


class Spectrograms(Section):
    """Log-mel spectrograms (librosa); one pixel is `hop_length` samples by one mel band."""

    n_fft: Annotated[int, Field(ge=64, le=16384)]
    hop_length: Annotated[int, Field(ge=16, le=16384)]
    frames: Positive
    n_mels: Annotated[int, Field(ge=4, le=512)]
    f_min: Annotated[float, Field(ge=0)]
    f_max: Annotated[float, Field(gt=0, le=8000)]
    reference: Literal["peak", "absolute"]
    dynamic_range: Annotated[float, Field(gt=0, le=200)]

    @model_validator(mode="after")
    def _consistent(self) -> Spectrograms:
        if self.f_min >= self.f_max:
            raise ValueError("f_min is not below f_max")
        return self


class Pretrain(Section):
    """The CFN and its training, the same for every method."""

    width: Annotated[float, Field(gt=0, le=4)]
    tile_features: Positive
    joined_features: Positive
    batch_normalization: bool
    tile_normalization: bool
    gap: Annotated[int, Field(ge=0)]
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


class Embed(Section):
    """Which layer of the CFN is the embedding."""

    layer: Literal["joined", "tiles"]


class Downstream(Section):
    """The MLP probes on the frozen embedding."""

    tasks: Annotated[list[Literal["instrument", "family", "pitch"]], Field(min_length=1)]
    n_examples: Annotated[list[Annotated[int, Field(ge=10)]], Field(min_length=1)]
    replicates: Positive
    evaluate_on: Literal["valid", "test"]
    validation_share: Share
    hidden: Positive
    learning_rate: Rate
    weight_decay: Annotated[float, Field(ge=0, le=1)]
    dropout: Annotated[float, Field(ge=0, lt=1)]
    batch_size: Positive
    steps: Positive
    evaluate_every: Positive
    patience: Positive
    seed: Seed

    @model_validator(mode="after")
    def _consistent(self) -> Downstream:
        if self.steps < self.evaluate_every:
            raise ValueError("steps is less than evaluate_every: nothing would be evaluated")
        for name in ("tasks", "n_examples"):
            _distinct(getattr(self, name))
        return self


class Audio(Section):
    """The audio study."""

    dataset: Literal["notes"]
    views: Annotated[list[str], Field(min_length=1)]
    methods: Annotated[list[str], Field(min_length=1)]
    seeds: Annotated[list[Seed], Field(min_length=1)]
    spectrograms: Spectrograms
    pretrain: Pretrain
    method: Methods
    embed: Embed
    downstream: Downstream

    @field_validator("views")
    @classmethod
    def _views(cls, views: list[str]) -> list[str]:
        for view in views:
            View.parse(view)
        return _distinct(views)

    @field_validator("methods")
    @classmethod
    def _methods(cls, methods: list[str]) -> list[str]:
        for method in methods:
            if method not in METHODS:
                known = ", ".join(METHODS)
                raise ValueError(f"unknown method {method!r}: choose from {known}")
        return _distinct(methods)

    @field_validator("seeds")
    @classmethod
    def _seeds(cls, seeds: list[int]) -> list[int]:
        return _distinct(seeds)

    @model_validator(mode="after")
    def _has_settings(self) -> Audio:
        missing = [name for name in self.methods if getattr(self.method, name) is None]
        if missing:  # pydantic puts the key of this section before each one's
            said = PydanticCustomError("no_settings", "missing: the method is in audio.methods")
            raise ValidationError.from_exception_data(
                "Audio",
                [
                    InitErrorDetails(type=said, loc=("method", name), input=self.method)
                    for name in missing
                ],
            )
        return self

    @model_validator(mode="after")
    def _divides(self) -> Audio:
        size = (self.spectrograms.n_mels, self.spectrograms.frames)
        for view in self.views:
            View.parse(view).tile_size(size, self.pretrain.gap)
        return self


class Params(Section):
    """A whole params file."""

    paths: Roots
    threads: Threads
    notes: Notes
    audio: Audio

    @property
    def layout(self) -> Paths:
        return Paths(Path(self.paths.data), Path(self.paths.results))

    def encoder(self, modality: str, view: str, method: str, seed: int) -> Encoder:
        """One encoder, its identity checked; it need not be in the study's lists."""
        if modality != "audio":
            raise InputError(f"--modality {modality}: unknown modality, use audio")
        if method not in METHODS:
            known = ", ".join(METHODS)
            raise InputError(f"--method {method}: unknown method, use one of {known}")
        if getattr(self.audio.method, method) is None:
            raise InputError(f"audio.method.{method}: missing: --method asks for the method")
        if not 0 <= seed < 2**31:
            raise InputError(f"--seed {seed}: use a number from 0 to 2147483647")
        size = (self.audio.spectrograms.n_mels, self.audio.spectrograms.frames)
        try:
            View.parse(view).tile_size(size, self.audio.pretrain.gap)
        except ValueError as error:
            raise InputError(f"--view {view}: {error}") from None
        return Encoder(modality, view, method, seed)

    def encoders(self) -> list[Encoder]:
        """Every encoder of the study, in the order of the lists in the params file."""
        return [
            Encoder("audio", view, method, seed)
            for view in self.audio.views
            for method in self.audio.methods
            for seed in self.audio.seeds
        ]


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
