"""Where every file of a study lies, under the roots that its params file names."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

SPLITS = ("train", "valid", "test")


@dataclass(frozen=True)
class Encoder:
    """The identity of one pretrained (or random) encoder."""

    modality: str
    view: str
    method: str
    seed: int

    def __str__(self) -> str:
        return f"{self.modality} {self.view} {self.method} {self.seed}"


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

    # spectrograms, frames, images
    def shard(self, dataset: str, shard: int | str, file: str) -> Path:
        return self.data / dataset / "shards" / str(shard) / file

    # join
    def features(self, dataset: str, split: str) -> Path:
        return self.data / dataset / "features" / f"{split}.npy"

    def labels(self, dataset: str, split: str) -> Path:
        return self.data / dataset / "features" / f"{split}.parquet"

    def rejected(self, dataset: str) -> Path:
        return self.data / dataset / "features" / "rejected.csv"

    # pretrain
    def encoder(self, e: Encoder) -> Path:
        return self.data / "encoders" / e.modality / e.view / e.method / str(e.seed)

    def model(self, e: Encoder) -> Path:
        return self.encoder(e) / "cfn.keras"

    def history(self, e: Encoder) -> Path:
        return self.data / "history" / e.modality / e.view / e.method / f"{e.seed}.csv"

    def checkpoint(self, e: Encoder) -> Path:
        """Where a running pretraining keeps its last epoch; gone once it has ended."""
        return self.data / "checkpoints" / e.modality / e.view / e.method / str(e.seed)

    def tensorboard(self, e: Encoder) -> Path:
        return self.data / "tensorboard" / e.modality / e.view / e.method / str(e.seed)

    def pretext(self, e: Encoder) -> Path:
        return self.data / "pretext" / e.modality / e.view / e.method / f"{e.seed}.json"

    # embed
    def embeddings(self, e: Encoder, split: str) -> Path:
        root = self.data / "embeddings"
        return root / e.modality / e.view / e.method / str(e.seed) / f"{split}.npy"

    # downstream
    def scores(self, e: Encoder) -> Path:
        return self.data / "scores" / e.modality / e.view / e.method / f"{e.seed}.csv"

    def answers(self, e: Encoder) -> Path:
        return self.data / "answers" / e.modality / e.view / e.method / f"{e.seed}.csv"

    # end_to_end
    def end_to_end(self, e: Encoder) -> Path:
        return self.scores(e).with_name(f"{e.seed}-end-to-end.csv")

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
