"""A study that is carried through the stages that train, and what tests of these stages share."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import pytest
from conftest import SIZES, TinyStudy

from stages import downstream, embed, end_to_end, pretrain

STAGES = (pretrain, embed, downstream, end_to_end)
SPLITS = tuple(SIZES)
IDENTITY = ("modality", "dataset", "slicing", "method", "upstream_seed")
every_stage = pytest.mark.parametrize("stage", STAGES, ids=lambda stage: stage.__name__)


def carry(folder: Path, modality: str = "audio") -> TinyStudy:
    """A study of a modality carried through all stages that train."""
    study = TinyStudy(folder, modality=modality)
    for stage in STAGES:
        study.run(stage)
    return study


def names_of_outputs(e: str) -> list[str]:
    """The files of an encoder of seed 0, by its modality, slicing and method, sorted."""
    return [
        f"data/answers/{e}/0.csv",
        *(
            f"data/embeddings/{e}/0/{layer}/{split}.npy"
            for layer in ("joined", "tiles")
            for split in ("test", "train", "valid")
        ),
        f"data/encoders/{e}/0/cfn.keras",
        f"data/history/{e}/0.csv",
        f"data/pretext/{e}/0.json",
        f"data/scores/{e}/0-end-to-end.csv",
        f"data/scores/{e}/0.csv",
    ]


def made(study: TinyStudy) -> dict[str, bytes]:
    """The files that the stages wrote."""
    given = ("params.yaml", f"data/{study.dataset}/")
    return {name: x for name, x in study.files().items() if not name.startswith(given)}


def provide(study: TinyStudy, outputs: dict[str, bytes], *kinds: str) -> None:
    """Copy outputs of another run of the same study, of these kinds, into the study's folder."""
    for name, content in outputs.items():
        if name.split("/")[1] in kinds:
            path = study.folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content)


def assert_matches(line: str, pattern: str) -> None:
    assert re.search(pattern, line), line


def settings(section: str, modality: str = "audio", **values) -> Callable[[dict], None]:
    """A change of settings, for TinyStudy.change."""
    return lambda content: content[modality][section].update(values)


OTHERS = {"video": ("frames", ("train", "valid")), "images": ("pictures", SPLITS[3:])}
"""The other modalities: their extraction, and the splits that they pretrain on."""
other_modalities = pytest.mark.parametrize("modality", OTHERS)
