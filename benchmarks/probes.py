"""The downstream sweep beside plain Keras: python benchmarks/probes.py

CPU seconds of all probes of one encoder and task of the params file's audio study, against one
Keras fit a probe, with the same network, optimizer, number of steps at most and early stopping. The
embedding is drawn at random with labels that a network can learn. In one process with one thread,
peers in turn, medians of the rounds; a ratio above 1 is in favour of this project. Writes
probes.md.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import time
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).parent.parent))

from benchmarks.ranking import machine
from shuffle_to_learn.evaluation.probes import (
    Settings,
    draw_subset,
    predict_with_probes,
    split_validation,
)
from study.loading import load_params
from study.tensorflow import start_tensorflow

CLASSES = 11  # of instruments' families
QUERIES = 1000


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--params", type=Path, default=Path("params.yaml"))
    parser.add_argument("--rounds", type=int, default=3)
    args = parser.parse_args()
    params = load_params(args.params)
    start_tensorflow(1)
    import keras

    keras.utils.set_random_seed(0)  # plain Keras asks for one where operations are deterministic
    down = params.audio.downstream
    fit = down.model_dump(include=set(Settings.__dataclass_fields__) - {"hidden"})
    settings = Settings(hidden=tuple(down.hidden), **fit)
    x, y = examples(max(down.n_examples) + QUERIES, params.audio.pretrain.joined_features)
    pool = len(x) - QUERIES
    subsets = [draw_subset(pool, n, r) for n in down.n_examples for r in range(down.replicates)]

    def ours() -> np.ndarray:
        return predict_with_probes(
            x[:pool], y[:pool], subsets, x[pool:], classes=CLASSES, settings=settings
        )

    def theirs() -> np.ndarray:
        return np.stack(
            [
                by_keras(x, y, subset, x[pool:], settings, down.validation_share)
                for subset in subsets
            ]
        )

    seconds: dict[str, list[float]] = {"this project": [], "plain Keras": []}
    accuracy = {}
    for _ in range(args.rounds):
        for name, call in zip(seconds, (ours, theirs), strict=True):
            start = time.process_time()
            predicted = call()
            seconds[name].append(time.process_time() - start)
            accuracy[name] = float(np.mean(predicted == y[pool:]))
    lines = ["| | CPU seconds | accuracy |", "|---|---|---|"]
    medians = {name: statistics.median(found) for name, found in seconds.items()}
    lines += [f"| {name} | {medians[name]:.1f} | {accuracy[name]:.3f} |" for name in seconds]
    ours_, theirs_ = medians.values()
    text = (
        f"A sweep of {len(subsets)} probes on {x.shape[1]} features; {args.params}, rounds: "
        f"{args.rounds}.\n\n" + "\n".join(lines) + f"\n\nRatio: {theirs_ / ours_:.1f}. One thread; "
        f"{machine()}, Keras {keras.__version__}.\n"
    )
    print(text)
    Path(__file__).with_suffix(".md").write_text(text)


def examples(number: int, features: int) -> tuple[np.ndarray, np.ndarray]:
    """Features that hang together, as a layer's do, and a class that few of their causes decide."""
    rng = np.random.default_rng(0)
    causes = rng.normal(size=(number, 32))
    labels = np.argmax(causes @ rng.normal(size=(32, CLASSES)), axis=1)
    noise = rng.normal(size=(number, features))
    x = np.maximum(causes @ rng.normal(size=(32, features)) + 2 * noise, 0)
    return x.astype(np.float32), labels


def by_keras(
    x: np.ndarray,
    y: np.ndarray,
    subset: np.ndarray,
    queries: np.ndarray,
    settings: Settings,
    validation_share: float,
) -> np.ndarray:
    """What a Keras model that is fitted on a subset answers to the queries."""
    import keras

    keras.backend.clear_session()
    fit, held = split_validation(subset, validation_share)
    layers = []
    for units in settings.hidden:
        layers += [keras.layers.Dense(units, activation="relu")]
        layers += [keras.layers.Dropout(settings.dropout)]
    model = keras.Sequential([*layers, keras.layers.Dense(CLASSES)])
    model.compile(
        optimizer=keras.optimizers.AdamW(
            settings.learning_rate, weight_decay=settings.weight_decay
        ),
        loss=keras.losses.SparseCategoricalCrossentropy(from_logits=True),
    )
    epochs = max(1, settings.steps * settings.batch_size // len(fit))
    look = max(1, settings.evaluate_every * settings.batch_size // len(fit))
    mean, deviation = x[subset].mean(0), x[subset].std(0)
    model.fit(
        (x[fit] - mean) / deviation,
        y[fit],
        validation_data=((x[held] - mean) / deviation, y[held]),
        epochs=epochs,
        batch_size=settings.batch_size,
        callbacks=[
            keras.callbacks.EarlyStopping(
                patience=settings.patience * look, restore_best_weights=True
            )
        ],
        verbose=0,
    )
    return model.predict((queries - mean) / deviation, verbose=0).argmax(1)


if __name__ == "__main__":
    main()
