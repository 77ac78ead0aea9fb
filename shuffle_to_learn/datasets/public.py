"""The paper's datasets: the examples of TFDS datasets that make each split of the study."""

from __future__ import annotations

from dataclasses import dataclass
from hashlib import blake2b


@dataclass(frozen=True)
class Part:
    """Examples of a split of a TFDS dataset, drawn by their ids.

    Attributes:
        dataset: TFDS's name of the dataset, with its config.
        split: TFDS's name of the split.
        low, high: the part holds the examples whose :func:`place` is in [low, high).
        untold: labels of these examples that are not used.
    """

    dataset: str
    split: str
    low: float = 0.0
    high: float = 1.0
    untold: tuple[str, ...] = ()


Splits = dict[str, list[Part]]


def place(id: bytes, seed: int) -> float:
    """A number in [0, 1) for an example, by a hash of its id: evenly spread, in no order."""
    digest = blake2b(id, digest_size=8, key=seed.to_bytes(4, "little")).digest()
    return int.from_bytes(digest, "little") / 2**64


def nsynth_full(held_out: float) -> Splits:
    """NSynth: pitch and family on the official splits, instruments on held-out notes of train.

    No instrument of the official train split is in the other official splits, so the examples of
    those splits are not used for the instrument, and the notes held out from train are used for
    nothing else.
    """
    full, other = "nsynth/full", ("family", "pitch")

    def held(low: float, high: float) -> Part:
        return Part(full, "train", low, high, untold=other)

    return {
        "train": [Part(full, "train", 2 * held_out, 1.0)],
        "valid": [Part(full, "valid", untold=("instrument",)), held(held_out, 2 * held_out)],
        "test": [Part(full, "test", untold=("instrument",)), held(0.0, held_out)],
    }


def nsynth_gansynth_subset(held_out: float) -> Splits:
    """GANSynth's subset of NSynth; its official splits share instruments, but not notes."""
    subset = "nsynth/gansynth_subset"
    return {split: [Part(subset, split)] for split in ("train", "valid", "test")}


def imagenet_voc(held_out: float) -> Splits:
    """ImageNet for pretraining, VOC 2012 for probes; VOC's official test split has no labels."""
    return {
        "pretrain": [Part("imagenet2012", "train")],
        "pretrain_valid": [Part("imagenet2012", "validation")],
        "train": [Part("voc/2012", "train", held_out, 1.0)],
        "valid": [Part("voc/2012", "train", 0.0, held_out)],
        "test": [Part("voc/2012", "validation")],
    }


def something_something_v2(held_out: float) -> Splits:
    """Something-Something v2; its official test split has no labels."""
    name = "something_something_v2"
    return {
        "train": [Part(name, "train", held_out, 1.0)],
        "valid": [Part(name, "train", 0.0, held_out)],
        "test": [Part(name, "validation")],
    }


SPLITS = {
    "nsynth_full": nsynth_full,
    "nsynth_gansynth_subset": nsynth_gansynth_subset,
    "imagenet_voc": imagenet_voc,
    "something_something_v2": something_something_v2,
}
"""For each dataset of the study, a function from the share held out of train to the splits."""

IDS = {
    "nsynth/full": "id",
    "nsynth/gansynth_subset": "id",
    "imagenet2012": "file_name",
    "voc/2012": "image/filename",
    "something_something_v2": "id",
}
"""The feature that identifies an example, for each TFDS dataset."""

PREPARE = {
    "nsynth/full": "tfds build nsynth/full --data_dir={} (downloads 74 GB; needs apache-beam)",
    "nsynth/gansynth_subset": (
        "tfds build nsynth/gansynth_subset --data_dir={} (downloads 74 GB; needs apache-beam)"
    ),
    "imagenet2012": (
        "put ILSVRC2012_img_train.tar and ILSVRC2012_img_val.tar (from image-net.org, 144 GB) into "
        "{}/downloads/manual, then tfds build imagenet2012 --data_dir={}"
    ),
    "voc/2012": "tfds build voc/2012 --data_dir={} (downloads 3.6 GB)",
    "something_something_v2": (
        "put the folders 20bn-something-something-v2 (220,847 .webm files) and labels "
        "(labels.json, train.json, validation.json), from Qualcomm's site, into "
        "{}/downloads/manual/something_something_v2, then run this again"
    ),
}
"""How to prepare each TFDS dataset; ``{}`` is the data folder."""

# Numbers of examples as stated by TFDS and by the authors of Something-Something v2.
COUNTS = {
    "nsynth/full": {"train": 289_205, "valid": 12_678, "test": 4_096},
    "nsynth/gansynth_subset": {"train": 60_788, "valid": 17_469, "test": 8_518},
    "imagenet2012": {"train": 1_281_167, "validation": 50_000},
    "voc/2012": {"train": 5_717, "validation": 5_823},
    "something_something_v2": {"train": 168_913, "validation": 24_777},
}
