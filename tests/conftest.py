"""What the tests share: TensorFlow started once as the stages start it, and tiny studies."""

from __future__ import annotations

import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pandas as pd
import pytest
import yaml
from hypothesis import settings

from stages import common
from stages.paths import Encoder, Paths
from stages.runtime import start_tensorflow

ROOT = Path(__file__).parent.parent

settings.register_profile("tests", deadline=None, max_examples=25, derandomize=True)
settings.load_profile("tests")


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line(  # of Keras's own conversions
        "filterwarnings", "ignore:__array__ implementation doesn't accept:DeprecationWarning"
    )


@pytest.fixture(scope="session", autouse=True)
def _tensorflow_on_one_thread() -> None:
    """TensorFlow takes its settings before its first operation only; a tiny study has one thread.

    Where no collected test imports TensorFlow, this does not either.
    """
    if "tensorflow" in sys.modules:
        start_tensorflow(1)


def tiny_content(folder: Path) -> dict[str, Any]:
    """The settings of a study that takes seconds; the keys are those of params.yaml."""
    content = yaml.safe_load((ROOT / "params.yaml").read_text())
    content["paths"] = {"data": str(folder / "data"), "results": str(folder / "results")}
    content["threads"] |= {"pretrain": 1, "embed": 1, "downstream": 1}
    audio = content["audio"]
    audio["views"] = ["frequency-5"]
    audio["spectrograms"] |= {"n_mels": 20, "frames": 12}
    audio["pretrain"] |= {"width": 0.05, "tile_features": 8, "joined_features": 16, "gap": 0}
    audio["pretrain"] |= {"batch_normalization": False, "tile_normalization": False}
    audio["pretrain"] |= {"epochs": 3, "batch_size": 16, "schedule": "constant"}
    audio["pretrain"] |= {"warmup_epochs": 0.0, "precision": "float32"}
    audio["method"]["fixed_permutations"]["permutations"] = 10
    for method in audio["method"].keys() - {"random"}:
        audio["method"][method]["learning_rate"] = 3e-3
    audio["embed"]["layer"] = "joined"
    audio["downstream"] |= {"tasks": ["instrument", "family", "pitch"], "evaluate_on": "test"}
    audio["downstream"] |= {"n_examples": [12, 60], "replicates": 2, "validation_share": 0.2}
    audio["downstream"] |= {"hidden": 16, "learning_rate": 1e-3, "weight_decay": 1e-2}
    audio["downstream"] |= {"dropout": 0.2, "batch_size": 64, "steps": 100, "evaluate_every": 20}
    return content


def tiny_features(folder: Path) -> None:
    """Features and labels as the stage spectrograms writes them; labels can be told from them."""
    folder.mkdir(parents=True)
    for number, (split, count) in enumerate({"train": 80, "valid": 30, "test": 40}.items()):
        rng = np.random.default_rng(number)
        instrument, pitch = rng.integers(0, 4, count), rng.integers(40, 80, count)
        bands = np.repeat(np.arange(5) / 8, 4)[:, None] * np.ones(12)
        x = bands + 0.05 * rng.random((count, 20, 12))
        x[:, :, 6:] += instrument[:, None, None] / 10
        x[np.arange(count), (pitch - 40) // 2] += 0.3
        np.save(folder / f"{split}.npy", x.astype(np.float16))
        labels = pd.DataFrame(
            {
                "id": [f"{split}-{i}" for i in range(count)],
                "instrument": instrument,
                "instrument_name": [f"instrument {i}" for i in instrument],
                "family": instrument // 2,
                "family_name": [f"family {i}" for i in instrument // 2],
                "pitch": pitch,
                "velocity": 100,
                "source": "synthetic",
            }
        )
        labels.to_parquet(folder / f"{split}.parquet", index=False)


class TinyStudy:
    """A study in a folder of its own, with its features; stages run in this process."""

    view = "frequency-5"

    def __init__(self, folder: Path, change: Callable[[dict], None] = lambda content: None) -> None:
        self.folder = folder
        self.params = folder / "params.yaml"
        folder.mkdir(exist_ok=True)
        self.change(change)
        if not self.layout.data.exists():
            tiny_features(self.layout.features("notes", "train").parent)

    @property
    def layout(self) -> Paths:
        return Paths(self.folder / "data", self.folder / "results")

    def change(self, change: Callable[[dict], None]) -> None:
        """Write the params file anew: the tiny one, changed."""
        content = tiny_content(self.folder)
        change(content)
        self.params.write_text(yaml.safe_dump(content))

    def encoder(self, method: str = "mse", view: str | None = None) -> Encoder:
        return Encoder("audio", view or self.view, method, 0)

    def arguments(self, method: str = "mse", view: str | None = None) -> list[str]:
        identity = ["--modality", "audio", "--view", view or self.view, "--method", method]
        return [*identity, "--seed", "0", "--params", str(self.params)]

    def run(self, stage: ModuleType, method: str = "mse", view: str | None = None) -> None:
        """Run a stage as its command would; SystemExit where that would not end with status 0."""
        if "keras" in sys.modules:  # names are counted from the start, as in a fresh process
            sys.modules["keras"].utils.clear_session(free_memory=False)
        common.run(partial(stage.main, self.arguments(method, view)))

    def refusal(self, stage: ModuleType, method: str = "mse", view: str | None = None) -> str:
        """The one line in which a stage ends, having written nothing."""
        before = self.files()
        with pytest.raises(SystemExit) as stopped:
            self.run(stage, method, view)
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
