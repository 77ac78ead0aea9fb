"""Reading the features of a dataset."""

from __future__ import annotations

import numpy as np

from study.errors import InputError
from study.files import read_array
from study.params import Params


def read_features(params: Params, modality: str, split: str) -> np.ndarray:
    """The features of one split, memory-mapped, checked against the settings they are made by."""
    study = params.study(modality)
    path = params.layout.features(study.dataset, split)
    features = read_array(path, "join")
    if features.shape[1:] != study.shape:
        raise InputError(
            f"{path} holds {study.extraction} of {features.shape[1:]}, the params file asks for "
            f"{study.shape}: run the stages {study.extraction} and join again"
        )
    if not len(features):
        raise InputError(f"{path} is empty: the params file leaves no inputs in this split")
    return features
