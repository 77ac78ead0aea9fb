"""What a ranking method adds to a training step: python benchmarks/step_cost.py

Times training steps of the CFN of the params file (network, batch, view, each method's settings)
with each ranking method, beside the step with mse, whose loss has no ranking in it. In one process
and with one thread, as the study trains: blocks of steps, the methods in random order in each
round. A second network that trains with mse shows what no difference looks like here. The ratio is
that of the medians of the rounds; its interval is the 95 % bootstrap interval over rounds, which
keeps the blocks of a round together.

Writes benchmarks/step_cost.md, where what is written by hand stays. Takes about three minutes. A
machine that does nothing else meanwhile is needed for numbers that mean something.
"""

from __future__ import annotations

import argparse
import random
import sys
import time
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).parent.parent))

from benchmarks.ranking import machine, read_page, table, write_page
from shuffle_to_learn.methods import METHODS
from shuffle_to_learn.views import View
from stages.params import Params, load_params
from stages.runtime import start_tensorflow
from stages.style import count

PAGE = Path(__file__).with_suffix(".md")
BASE, AGAIN = "mse", "mse, a second time"
NOT_RANKING = ("random", "fixed_permutations")
STEPS = 20  # of a block
RESAMPLES = 9999


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--params", type=Path, default=Path("params.yaml"))
    parser.add_argument("--rounds", type=int, default=40, help="default: 40")
    parser.add_argument("--threads", type=int, default=1, help="default: 1")
    args = parser.parse_args()
    if args.rounds < 2 or args.threads < 1:
        parser.error("--rounds wants at least 2, --threads at least 1")
    by_hand, where = read_page(PAGE, "What a ranking method adds to a training step"), machine()
    params = load_params(args.params)
    start_tensorflow(args.threads)

    seconds = measure(params, args.rounds)
    base = seconds[BASE]
    rows = []
    for name, found in seconds.items():
        ratio, low, high = ratio_interval(found, base)
        interval = "" if name == BASE else f"{low:.3f} to {high:.3f}"
        step = f"{1e3 * np.median(found) / STEPS:.2f}"
        rows.append([name, step, f"{ratio:.3f}", interval])

    import keras
    import tensorflow as tf

    settings = params.audio.pretrain
    lines = [
        f"`python benchmarks/step_cost.py --rounds {args.rounds} --threads {args.threads}`",
        "",
        *table(["method", "ms a step", f"beside {BASE}", "95 % interval"], rows),
        "",
        f"{count(args.rounds, 'round')} of {STEPS} steps, {settings.batch_size} inputs a step, "
        f"{params.audio.views[0]}, {args.params}; {count(args.threads, 'thread')}.",
        f"{where}, TensorFlow {tf.__version__}, Keras {keras.__version__}.",
    ]
    print("\n".join(lines))
    write_page(PAGE, by_hand, "\n".join(lines))


def measure(params: Params, rounds: int) -> dict[str, np.ndarray]:
    """Seconds of each round's block of steps, by method."""
    audio = params.audio
    size = (audio.spectrograms.n_mels, audio.spectrograms.frames)
    inputs = np.random.default_rng(0).random((STEPS * audio.pretrain.batch_size, *size), np.float32)
    inputs = inputs.astype(np.float16)
    names = [name for name in METHODS if name not in (*NOT_RANKING, BASE)]
    trained = {label: training(params, label) for label in (BASE, *names)}
    trained[AGAIN] = training(params, BASE)
    seconds: dict[str, list[float]] = {label: [] for label in trained}
    rng = random.Random(0)
    for turn in range(rounds + 2):
        for label in rng.sample(list(trained), len(trained)):
            start = time.perf_counter()
            trained[label].run_epoch(inputs)
            if turn >= 2:  # the first builds the graph
                seconds[label].append(time.perf_counter() - start)
    return {label: np.array(found) for label, found in seconds.items()}


def training(params: Params, name: str):
    """A CFN in training with a method, whose epoch is a block of steps."""
    from shuffle_to_learn.cfn import build_cfn
    from shuffle_to_learn.pretraining import Pretraining

    audio, settings = params.audio, params.audio.pretrain
    view = View.parse(audio.views[0])
    section = getattr(audio.method, name)
    own = section.model_dump(exclude={"learning_rate"}) if section else {}  # else its defaults
    method = METHODS[name](view.patches, **own)
    tile = view.tile_shape(audio.shape, settings.gap)
    return Pretraining(
        build_cfn(view.patches, tile, method.outputs, **settings.network),
        method,
        view,
        gap=settings.gap,
        epochs=1000,
        batch_size=settings.batch_size,
    )


def ratio_interval(found: np.ndarray, base: np.ndarray) -> tuple[float, float, float]:
    """The ratio of two medians over rounds, and its percentile bootstrap interval."""
    rounds = np.random.default_rng(0).integers(len(base), size=(RESAMPLES, len(base)))
    ratios = np.median(found[rounds], axis=1) / np.median(base[rounds], axis=1)
    low, high = np.quantile(ratios, [0.025, 0.975])
    return float(np.median(found) / np.median(base)), float(low), float(high)


if __name__ == "__main__":
    main()
