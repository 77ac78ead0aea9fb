"""Reading what the extraction stages wrote."""

from __future__ import annotations

import numpy as np

from stages import common
from stages.errors import InputError
from stages.params import Params


def read_features(params: Params, split: str) -> np.ndarray:
    """The features of one split, memory-mapped, checked against the settings they are made by."""
    path = params.layout.features(params.audio.dataset, split)
    features = common.read_array(path, "spectrograms")
    wanted = (params.audio.spectrograms.n_mels, params.audio.spectrograms.frames)
    if features.shape[1:] != wanted:
        raise InputError(
            f"{path} holds spectrograms of {features.shape[1:]}, the params file asks for "
            f"{wanted}: run the stage spectrograms again"
        )
    if not len(features):
        raise InputError(f"{path} is empty: the params file leaves no inputs in this split")
    return features
