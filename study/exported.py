"""A network that pretraining starts from (start_from): whether it is one of the study's, by its
file alone.

TensorFlow is not imported: this is told before anything is run.
"""

from __future__ import annotations

import json
import zipfile
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from shuffle_to_learn.models.alexnet import convolutions
from shuffle_to_learn.pretext.methods import METHODS
from shuffle_to_learn.slicing import Slicing
from study.errors import InputError
from study.params import Params
from study.paths import EncoderKey
from study.sections import Pretrain


def key_of(modality: str) -> str:
    """The key that names the file."""
    return f"{modality}.pretrain.start_from"


def starts(params: Params, keys: Iterable[EncoderKey]) -> dict[EncoderKey, Path]:
    """The file that each of these encoders starts from; an untrained one starts from none."""
    files = {key: params.study(key.modality).pretrain.start_from for key in keys}
    return {key: Path(file) for key, file in files.items() if file and METHODS[key.method].trained}


def faults(params: Params, keys: Iterable[EncoderKey] | None = None) -> list[str]:
    """What keeps encoders from starting where the params file asks for it.

    Args:
        params: the study.
        keys: the encoders; None: all of the study.
    """
    found = starts(params, params.encoder_keys() if keys is None else keys)
    each = {(key.modality, key.slicing): path for key, path in found.items()}
    told = (_fault(params, *of, path) for of, path in each.items())
    return list(dict.fromkeys(fault for fault in told if fault))


def check_starts(params: Params, keys: Iterable[EncoderKey] | None = None) -> None:
    """:class:`InputError` where there are :func:`faults`."""
    if found := faults(params, keys):
        raise InputError("; ".join(found))


def _fault(params: Params, modality: str, slicing: str, path: Path) -> str:
    told = f"{key_of(modality)}: {path}"
    made_here = (params.layout.data / "encoders").resolve()
    if not path.is_file():
        return f"{told} {'is no file' if path.exists() else 'does not exist'}"
    if made_here in path.resolve().parents:
        return f"{told} is written by this study itself: copy it to another folder"
    study = params.study(modality)
    try:
        patches, found = _outline(path)
    except Exception as error:  # whatever zipfile, json and a lack of layers raise
        return f"{told} is not a network of the stage pretrain ({_reason(error)})"
    wanted = study.patches_shape(Slicing.parse(slicing))
    if patches != wanted:
        return f"{told} takes patches of shape {patches}, and slicing {slicing} has {wanted}"
    for name, value in _asked(study.pretrain).items():
        if found[name] != value:
            return f"{told} has {found[name]}, and {modality}.pretrain.{name} asks for {value}"
    return ""


def _reason(error: Exception) -> str:
    return str(error).splitlines()[0] if str(error) else type(error).__name__


def _asked(settings: Pretrain) -> dict[str, Any]:
    """What the settings say of a network: by key, as :func:`_outline` finds it."""
    channels = [channels for channels, *_ in convolutions(settings.width)]
    return {
        "width": f"convolutions of {_and(channels)} channels",
        "tile_features": f"{settings.tile_features} features of a tile",
        "joined_features": f"{settings.joined_features} features of all tiles",
        "batch_normalization": _normalised("batch", settings.batch_normalization),
        "tile_normalization": _normalised("tile", settings.tile_normalization),
    }


def _outline(path: Path) -> tuple[tuple[int, ...], dict[str, Any]]:
    """The shape of the patches that a saved CFN takes, and its parts, as :func:`_asked` has them.

    Raises:
        Exception: where it is something else.
    """
    with zipfile.ZipFile(path) as archive:
        content = json.loads(archive.read("config.json"))
    layers = {layer["config"]["name"]: layer["config"] for layer in content["config"]["layers"]}
    if missing := [name for name in ("patches", "tile", "joined", "scores") if name not in layers]:
        raise ValueError(f"no layer {missing[0]}")
    channels = [layers[name]["filters"] for name in layers if name.startswith("conv")]
    return tuple(layers["patches"]["batch_shape"][1:]), {
        "width": f"convolutions of {_and(channels)} channels",
        "tile_features": f"{layers['tile']['units']} features of a tile",
        "joined_features": f"{layers['joined']['units']} features of all tiles",
        "batch_normalization": _normalised("batch", any(n.startswith("norm") for n in layers)),
        "tile_normalization": _normalised("tile", "tile_normalization" in layers),
    }


def _and(numbers: list[int]) -> str:
    return f"{', '.join(map(str, numbers[:-1]))} and {numbers[-1]}"


def _normalised(what: str, there: bool) -> str:
    return f"{what} normalisation" if there else f"no {what} normalisation"
