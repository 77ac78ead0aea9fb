"""Where every file of a study lies, under the roots that its params file names."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

SPLITS = ("train", "valid", "test")
LAYERS = ("joined", "tiles")
"""The layers of a CFN that are embeddings; tiles is what joined is made of."""
NO_NETWORK = ("raw", "summary")
"""What stands where a method does and has no network: the features themselves, and a summary."""
WHOLE = "whole"
"""What stands where their slicing would."""


@dataclass(frozen=True)
class EncoderKey:
    """The identity of one pretrained (or random) encoder, or of features without one."""

    modality: str
    slicing: str
    method: str
    seed: int

    def __str__(self) -> str:
        return f"{self.modality} {self.slicing} {self.method} {self.seed}"

    @property
    def network(self) -> bool:
        """Whether there is an encoder."""
        return self.method not in NO_NETWORK


def slicing_of(method: str, slicing: str) -> str:
    """The slicing under which a method's scores are, where those of a slicing are shown."""
    return WHOLE if method in NO_NETWORK else slicing


def downloaded(data_dir: str, dataset: str) -> Path:
    """Where TFDS looks for what was downloaded by hand."""
    return Path(data_dir).expanduser() / "downloads" / "manual" / dataset


@dataclass(frozen=True)
class Paths:
    """The layout of a study; ``data`` and ``results`` are its two roots."""

    data: Path
    results: Path

    # dataset
    def dataset(self, name: str) -> Path:
        return self.data / name / "tfds"

    def manifest(self, name: str) -> Path:
        return self.data / name / "manifest.parquet"

    # listing, of a folder of one's own
    @property
    def files(self) -> Path:
        return self.data / "folder" / "files.csv"

    @property
    def given_labels(self) -> Path:
        return self.data / "folder" / "labels.csv"

    @property
    def digests(self) -> Path:
        """What is known of each file's content, so that it is not read at each start."""
        return self.data / "folder" / "digests.json"

    # spectrograms, frames, pictures
    def shards(self, dataset: str) -> Path:
        return self.data / dataset / "shards"

    def shard(self, dataset: str, shard: int | str, file: str) -> Path:
        return self.shards(dataset) / str(shard) / file

    # join
    def features(self, dataset: str, split: str) -> Path:
        return self.data / dataset / "features" / f"{split}.npy"

    def ids(self, dataset: str, split: str) -> Path:
        """The ids of the inputs: with the labels, but for a folder, whose labels come later."""
        if dataset != "folder":
            return self.labels(dataset, split)
        return self.data / dataset / "features" / f"{split}-ids.parquet"

    # join; labels, of a folder
    def labels(self, dataset: str, split: str) -> Path:
        return self.data / dataset / "features" / f"{split}.parquet"

    def rejected(self, dataset: str) -> Path:
        return self.data / dataset / "features" / "rejected.csv"

    # pretrain
    def encoder(self, key: EncoderKey) -> Path:
        return self.data / "encoders" / key.modality / key.slicing / key.method / str(key.seed)

    def model(self, key: EncoderKey) -> Path:
        return self.encoder(key) / "cfn.keras"

    def history(self, key: EncoderKey) -> Path:
        return self.data / "history" / key.modality / key.slicing / key.method / f"{key.seed}.csv"

    def checkpoint(self, key: EncoderKey) -> Path:
        """Where a running pretraining keeps its last epoch; gone once it has ended."""
        return self.data / "checkpoints" / key.modality / key.slicing / key.method / str(key.seed)

    def tensorboard(self, key: EncoderKey) -> Path:
        return self.data / "tensorboard" / key.modality / key.slicing / key.method / str(key.seed)

    def pretext(self, key: EncoderKey) -> Path:
        return self.data / "pretext" / key.modality / key.slicing / key.method / f"{key.seed}.json"

    # embed
    def embeddings(self, key: EncoderKey, split: str, layer: str) -> Path:
        folder = self.data / "embeddings" / key.modality / key.slicing / key.method / str(key.seed)
        return folder / layer / f"{split}.npy"

    # downstream
    def scores(self, key: EncoderKey) -> Path:
        return self.data / "scores" / key.modality / key.slicing / key.method / f"{key.seed}.csv"

    def answers(self, key: EncoderKey) -> Path:
        return self.data / "answers" / key.modality / key.slicing / key.method / f"{key.seed}.csv"

    # end_to_end
    def end_to_end(self, key: EncoderKey) -> Path:
        return self.scores(key).with_name(f"{key.seed}-end-to-end.csv")

    @property
    def gathered(self) -> tuple[Path, ...]:
        """The folders of what the results are made of, a file an encoder."""
        return tuple(self.data / name for name in ("scores", "answers", "pretext", "history"))

    # results
    @property
    def all_scores(self) -> Path:
        return self.results / "scores.csv"

    @property
    def all_pretext(self) -> Path:
        return self.results / "pretext.csv"

    @property
    def claims(self) -> Path:
        return self.results / "claims.csv"

    def table(self, name: str, suffix: str) -> Path:
        return self.results / "tables" / f"{name}.{suffix}"

    def figure(self, name: str, suffix: str) -> Path:
        return self.results / "figures" / f"{name}.{suffix}"

    @property
    def site(self) -> Path:
        return self.results / "index.html"

    @property
    def settings(self) -> Path:
        return self.results / "settings.yaml"

    @property
    def metrics(self) -> Path:
        return self.results / "metrics.json"

    @property
    def browse(self) -> Path:
        return self.results / "browse.html"
