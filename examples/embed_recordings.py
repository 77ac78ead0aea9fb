"""Embed a folder of recordings, and ask of each which other one is most like it.

python -m examples.embed_recordings [FOLDER cfn.keras]

A network of a study is data/encoders/audio/<slicing>/<method>/<seed>/cfn.keras. With nothing named
the recordings are made up, and the network is not trained: so the example runs anywhere.
"""

from __future__ import annotations

import sys
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pandas as pd
import soundfile

from study.tensorflow import start_tensorflow
from tools import embed_files

RATE = 16_000


def make_recordings(folder: Path) -> None:
    """Notes of 4 s by three instruments, told apart by their overtones."""
    rng = np.random.default_rng(0)
    overtones = {"flute": [1.0, 0.1], "reed": [1, 0, 0.8, 0, 0.6], "brass": [0.4, 0.7, 1, 1, 0.8]}
    time = np.arange(4 * RATE) / RATE
    for name, strengths in overtones.items():
        for number in range(6):
            pitch = rng.uniform(200, 400)
            waves = [s * np.sin(2 * np.pi * pitch * k * time) for k, s in enumerate(strengths, 1)]
            sound = 0.2 * np.sum(waves, axis=0) + 0.005 * rng.normal(size=len(time))
            soundfile.write(folder / f"{name}-{number}.wav", sound, RATE)


def make_network(path: Path) -> None:
    """A network that is not trained, for ten bands of a spectrogram."""
    start_tensorflow(1)
    from shuffle_to_learn.models.cfn import build_cfn

    build_cfn(10, (8, 60, 1), 10, width=1 / 8).save(path)


def embeddings(folder: Path, model: Path) -> pd.DataFrame:
    """A row a file: the mean embedding of its windows, of length 1."""
    with TemporaryDirectory() as scratch:
        table = Path(scratch) / "embeddings.parquet"  # as shuffle-to-learn embed writes it
        options = {"input": folder, "model": model, "output": table, "threads": 1}
        embed_files.main([f"--{name}={value}" for name, value in options.items()])
        windows = pd.read_parquet(table)
    rows = pd.DataFrame(np.stack(windows["embedding"]), index=windows["file"])
    means = rows.groupby("file").mean()
    means -= means.mean()
    return means.div(np.sqrt(np.square(means).sum(axis=1)), axis=0)


def main(*given: str) -> float:
    """Print each recording's nearest one; return the share that begin with the same word."""
    with TemporaryDirectory() as scratch:
        if given:
            folder, model = map(Path, given)
        else:
            folder = Path(scratch) / "recordings"
            model = Path(scratch) / "audio/frequency-10/random/0/cfn.keras"
            folder.mkdir()
            model.parent.mkdir(parents=True)
            make_recordings(folder)
            make_network(model)
        found = embeddings(folder, model)
    alike = found.to_numpy() @ found.to_numpy().T - 2 * np.eye(len(found))
    nearest = found.index[alike.argmax(axis=1)]
    for file, other in zip(found.index, nearest, strict=True):
        print(f"{file}: {other}")
    same = [a.split("-")[0] == b.split("-")[0] for a, b in zip(found.index, nearest, strict=True)]
    print(f"of the same kind: {np.mean(same):.3f}")
    return float(np.mean(same))


if __name__ == "__main__":
    main(*sys.argv[1:])
