"""What the tests share: TensorFlow started once as the stages start it, and tiny studies."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from functools import cache, partial
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pandas as pd
import pytest
import yaml
from hypothesis import settings

from study import cli
from study.paths import EncoderKey, Paths
from study.tensorflow import start_tensorflow

ROOT = Path(__file__).parent.parent

settings.register_profile("tests", deadline=None, max_examples=25, derandomize=True)
settings.load_profile("tests")


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line(  # of Keras's own conversions
        "filterwarnings", "ignore:__array__ implementation doesn't accept:DeprecationWarning"
    )


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Leave half types out where oneDNN is held to a lesser CPU, to see how tests do on one.

    TensorFlow asks the CPU whether it has them, and crashes where oneDNN then has none.
    """
    if (limit := os.environ.get("ONEDNN_MAX_CPU_ISA", "")).upper().startswith(("SSE", "AVX2")):
        why = pytest.mark.skip(reason=f"ONEDNN_MAX_CPU_ISA={limit}: oneDNN has no half types")
        for item in items:
            if "float16" in item.nodeid or item.get_closest_marker("half"):
                item.add_marker(why)


@pytest.fixture(scope="session", autouse=True)
def _tensorflow_on_one_thread() -> None:
    """TensorFlow takes its settings before its first operation only; a tiny study has one thread.

    Where no collected test imports TensorFlow, this does not either.
    """
    if "tensorflow" in sys.modules:
        start_tensorflow(1)


SIZES = {"train": 80, "valid": 30, "test": 40, "pretrain": 48, "pretrain_valid": 20}
DATASETS = {"audio": "notes", "video": "motions", "images": "scenes"}
SLICINGS = {"audio": "frequency-5", "video": "frames-4", "images": "grid-2x2"}


def tiny_content(folder: Path) -> dict[str, Any]:
    """The settings of a study that takes seconds; the keys are those of params.yaml."""
    content = yaml.safe_load((ROOT / "params.yaml").read_text())
    content["paths"] = {"data": str(folder / "data"), "results": str(folder / "results")}
    content["threads"] |= {"pretrain": 1, "embed": 1, "downstream": 1}
    for modality, slicing in SLICINGS.items():
        own = content[modality]
        own["slicings"] = [slicing]
        own["pretrain"] |= {"width": 0.05, "tile_features": 8, "joined_features": 16, "gap": 0}
        own["pretrain"] |= {"batch_normalization": False, "tile_normalization": False}
        own["pretrain"] |= {"epochs": 3, "batch_size": 16, "schedule": "constant"}
        own["pretrain"] |= {"warmup_epochs": 0.0, "precision": "float32"}
        own["method"]["fixed_permutations"]["permutations"] = 10
        for method in own["method"].keys() - {"random"}:
            own["method"][method]["learning_rate"] = 3e-3
        own["embed"]["layer"] = "joined"
        own["downstream"] |= {"n_examples": [12, 60], "replicates": 2, "validation_share": 0.2}
        own["downstream"] |= {"hidden": [16, 16], "learning_rate": 1e-3, "weight_decay": 1e-2}
        own["downstream"] |= {"dropout": 0.2, "batch_size": 64, "steps": 100, "evaluate_every": 20}
        own["downstream"] |= {"evaluate_on": "test", "probe": "mlp"}
        own["downstream"]["others"] = {"probes": [], "layers": [], "n_examples": [], "neighbors": 5}
        own["shown"] = "mse"
        own["ablation"] = {"slicings": [], "methods": [], "seeds": [], "n_examples": []}
        own["end_to_end"] |= {"methods": ["mse"], "seeds": [0], "n_examples": [12, 60]}
        own["end_to_end"] |= {"replicates": 1, "learning_rate": 3e-3, "batch_size": 16}
        own["end_to_end"] |= {"steps": 40, "evaluate_every": 20, "patience": 5}
    content["audio"]["spectrograms"] |= {"n_mels": 20, "frames": 12}
    content["audio"]["downstream"]["tasks"] = ["instrument", "family", "pitch", "pitch_class"]
    content["video"]["frames"] |= {"count": 6, "size": 12, "channels": "grey"}
    content["images"]["pictures"] |= {"size": 13, "channels": "rgb"}
    content["images"]["pretrain"] |= {"gap": 1, "channel_shift": 1, "grey_share": 0.3}
    content["images"]["downstream"] |= {"probe": "linear", "learning_rate": 1e-2}
    content["audio"]["downstream"]["others"] |= {"probes": ["knn"], "layers": ["tiles"]}
    content["audio"]["downstream"]["others"]["n_examples"] = [60]
    return content


def tiny_features(modality: str, paths: Paths) -> None:
    """Features and labels as a modality's extraction writes them; the labels can be told."""
    make = {"audio": _spectrograms, "video": _clips, "images": _pictures}[modality]
    dataset = DATASETS[modality]
    for number, (split, count) in enumerate(SIZES.items()):
        if modality != "images" and split.startswith("pretrain"):
            continue
        features, labels = make(np.random.default_rng(number), count)
        path = paths.features(dataset, split)
        path.parent.mkdir(parents=True, exist_ok=True)
        np.save(path, features)
        labels.insert(0, "id", [f"{split}-{i}" for i in range(count)])
        labels.to_parquet(paths.labels(dataset, split), index=False)


def _spectrograms(rng: np.random.Generator, count: int) -> tuple[np.ndarray, pd.DataFrame]:
    instrument, pitch = rng.integers(0, 4, count), rng.integers(40, 80, count)
    bands = np.repeat(np.arange(5) / 8, 4)[:, None] * np.ones(12)
    x = bands + 0.05 * rng.random((count, 20, 12))
    x[:, :, 6:] += instrument[:, None, None] / 10
    x[np.arange(count), (pitch - 40) // 2] += 0.3
    labels = pd.DataFrame(
        {
            "instrument": instrument,
            "instrument_name": [f"instrument {i}" for i in instrument],
            "family": instrument // 2,
            "family_name": [f"family {i}" for i in instrument // 2],
            "pitch": pitch,
            "velocity": 100,
            "source": "synthetic",
        }
    )
    return x.astype(np.float16), labels


def _clips(rng: np.random.Generator, count: int) -> tuple[np.ndarray, pd.DataFrame]:
    """Frames that brighten; which half is brighter is the action."""
    action = rng.integers(0, 3, count)
    x = 20 * np.arange(6)[:, None, None, None] + rng.integers(0, 20, (count, 6, 12, 12, 1))
    x[:, :, :6] += 50 * action[:, None, None, None, None]
    names = pd.DataFrame({"action": action, "action_name": [f"action {i}" for i in action]})
    return x.astype(np.uint8), names


def _pictures(rng: np.random.Generator, count: int) -> tuple[np.ndarray, pd.DataFrame]:
    """Four quarters of their own brightness; each object is a bar over all of the picture."""
    quarters = np.repeat(np.repeat([[20, 60], [100, 140]], [7, 6], axis=0), [7, 6], axis=1)
    x = quarters[:, :, None] + rng.integers(0, 15, (count, 13, 13, 3))
    there = rng.random((count, 3)) < 0.4
    for number in range(3):
        x[:, :, 4 * number : 4 * number + 2, number] += 90 * there[:, number, None, None]
    objects = [np.flatnonzero(own).tolist() for own in there]  # of some none
    names = [[f"object {i}" for i in own] for own in objects]
    return x.astype(np.uint8), pd.DataFrame({"objects": objects, "objects_names": names})


class TinyStudy:
    """A study in a folder of its own, with the features of one modality, audio where not told.

    Its stages run in this process.
    """

    def __init__(
        self,
        folder: Path,
        change: Callable[[dict], None] = lambda content: None,
        modality: str = "audio",
    ) -> None:
        self.folder = folder
        self.modality = modality
        self.slicing, self.dataset = SLICINGS[modality], DATASETS[modality]
        self.params = folder / "params.yaml"
        folder.mkdir(exist_ok=True)
        self.change(change)
        if not self.layout.data.exists():
            tiny_features(modality, self.layout)

    @property
    def layout(self) -> Paths:
        return Paths(self.folder / "data", self.folder / "results")

    def change(self, change: Callable[[dict], None]) -> None:
        """Write the params file anew: the tiny one, changed."""
        content = tiny_content(self.folder)
        change(content)
        self.params.write_text(yaml.safe_dump(content))

    def encoder(self, method: str = "mse", slicing: str | None = None) -> EncoderKey:
        return EncoderKey(self.modality, slicing or self.slicing, method, 0)

    def arguments(self, method: str = "mse", slicing: str | None = None) -> list[str]:
        identity = [
            "--modality",
            self.modality,
            "--slicing",
            slicing or self.slicing,
            "--method",
            method,
        ]
        return [*identity, "--seed", "0", "--params", str(self.params)]

    def run(self, stage: ModuleType, method: str = "mse", slicing: str | None = None) -> None:
        """Run a stage as its command would; SystemExit where that would not end with status 0."""
        if "keras" in sys.modules:  # names are counted from the start, as in a fresh process
            sys.modules["keras"].utils.clear_session(free_memory=False)
        cli.run(partial(stage.main, self.arguments(method, slicing)))

    def refusal(self, stage: ModuleType, method: str = "mse", slicing: str | None = None) -> str:
        """The one line in which a stage ends, having written nothing."""
        before = self.files()
        with pytest.raises(SystemExit) as stopped:
            self.run(stage, method, slicing)
        assert self.files() == before
        line = stopped.value.code
        assert isinstance(line, str), "not a line on stderr and status 1"
        assert line.startswith("error: ")
        assert len(line.splitlines()) == 1
        return line

    def files(self) -> dict[str, bytes]:
        """Every file but TensorBoard's, whose names and contents hold the time."""
        return {
            str(path.relative_to(self.folder)): path.read_bytes()
            for path in sorted(self.folder.rglob("*"))
            if path.is_file() and "tensorboard" not in path.parts
        }


@pytest.fixture
def tiny_study(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> TinyStudy:
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    return TinyStudy(tmp_path)


# Studies that tests of several files read; made once a process.


@pytest.fixture(scope="session")
def done(tmp_path_factory: pytest.TempPathFactory) -> TinyStudy:
    """An audio study whose networks are trained and scored; only to be read."""
    from trained_study import carry

    return carry(tmp_path_factory.mktemp("done"))


@pytest.fixture(scope="session")
def outputs(done: TinyStudy) -> dict[str, bytes]:
    """What the stages of that study wrote."""
    from trained_study import made

    return made(done)


@pytest.fixture(scope="session")
def carried(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], TinyStudy]:
    """Such a study of a modality; only to be read."""
    from trained_study import carry

    return cache(lambda modality: carry(tmp_path_factory.mktemp(modality), modality))


@pytest.fixture
def tiny_other(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, modality: str) -> TinyStudy:
    """A study of a modality of which no stage has run."""
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    return TinyStudy(tmp_path, modality=modality)


@pytest.fixture(scope="session")
def study(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The params file of a gathered study whose results are made; not to be changed."""
    from scored_study import whole_study

    return whole_study(tmp_path_factory.mktemp("study"))


@pytest.fixture
def fresh(tmp_path: Path) -> Path:
    """The params file of a small gathered study of which no results stage has run."""
    from scored_study import make_study

    return make_study(
        tmp_path,
        audio={"n_examples": [100, 1000], "tasks": ["family", "pitch"]},
        video={"n_examples": [100, 3000], "slicings": ["frames-20"]},
    )
