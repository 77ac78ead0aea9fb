"""CFN training beside plain Keras: python benchmarks/training.py

Inputs a second of shuffle_to_learn.pretext.pretraining (a fresh permutation an example and step)
against keras.Model.fit on patches that were shuffled once, the same network, loss and batch. In one
process with one thread, peers in turn, medians of the rounds; a ratio above 1 is in favour of this
project. Writes training.md.
"""

from __future__ import annotations

import argparse
import platform
import statistics
import sys
import time
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).parent.parent))

from shuffle_to_learn.slicing import Slicing
from study.loading import load_params
from study.tensorflow import start_tensorflow


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

    lines = [
        "| what | this project | plain Keras | ratio |",
        "|---|---|---|---|",
        training(params, args.rounds),
    ]
    import tensorflow as tf

    text = "\n".join(lines)
    text += (
        f"\n\nOne thread; Python {platform.python_version()}, TensorFlow {tf.__version__}, "
        f"Keras {keras.__version__}; {args.params}.\n"
    )
    print(text)
    Path(__file__).with_suffix(".md").write_text(text)


def timed(*calls, rounds: int) -> list[float]:
    """The median seconds of each call, called in turn."""
    seconds: list[list[float]] = [[] for _ in calls]
    for _ in range(rounds):
        for call, found in zip(calls, seconds, strict=True):
            start = time.perf_counter()
            call()
            found.append(time.perf_counter() - start)
    return [statistics.median(found) for found in seconds]


def training(params, rounds: int) -> str:
    import keras
    import tensorflow as tf

    from shuffle_to_learn import patches
    from shuffle_to_learn.models.cfn import build_cfn
    from shuffle_to_learn.pretext.methods import METHODS
    from shuffle_to_learn.pretext.pretraining import Pretraining

    settings, audio = params.audio.pretrain, params.audio
    slicing = Slicing.parse(audio.slicings[0])
    size = (audio.spectrograms.n_mels, audio.spectrograms.frames)
    count = 40 * settings.batch_size
    inputs = np.random.default_rng(0).random((count, *size), np.float32).astype(np.float16)
    method = METHODS["mse"](slicing.patches)

    def network():
        tile = slicing.tile_shape(size, settings.gap)
        return build_cfn(slicing.patches, tile, slicing.patches, **settings.network)

    ours = Pretraining(
        network(), method, slicing, gap=settings.gap, epochs=1000, batch_size=settings.batch_size
    )
    orders = method.sample(count, tf.constant([0, 0]))
    x = patches.reorder(
        patches.cut(patches.as_images(tf.constant(inputs)), slicing), orders
    ).numpy()
    y = orders.numpy() + 1.0
    theirs = network()
    theirs.compile(optimizer=keras.optimizers.Adam(1e-4), loss="mse")

    def fit():
        theirs.fit(x, y, batch_size=settings.batch_size, verbose=0)

    ours.run_epoch(inputs)
    fit()
    a, b = timed(lambda: ours.run_epoch(inputs), fit, rounds=rounds)
    return f"| CFN training, inputs/s | {count / a:.0f} | {count / b:.0f} | {b / a:.2f} |"


if __name__ == "__main__":
    main()
