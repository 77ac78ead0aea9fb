"""What a ranking method adds to a training step: python benchmarks/step_cost.py

Times training steps of the CFN of the params file (network, batch, slicing, each method's settings)
with each ranking method, beside the step with mse, whose loss has no ranking in it. In one process
and with one thread, as the study trains: one network that all methods train, blocks of steps, the
methods in random order in each round. The ratio is the median over rounds of that to the block with
mse of the same round, which takes out what changes slowly on a machine; its interval is the 95 %
bootstrap interval over rounds. A second training with mse shows what no difference looks like here.

By itself the loss of a batch and its gradient with respect to the scores is timed, too, in a loop
inside one `tf.function`, less that of mse: as a share of the step what it adds, for which no
difference of two large numbers is needed.

Writes benchmarks/step_cost.md, where what is written by hand stays. Takes about six minutes. A
machine that does nothing else meanwhile is needed for numbers that mean something.
"""

from __future__ import annotations

import argparse
import random
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

sys.path.insert(0, str(Path(__file__).parent.parent))

from benchmarks.ranking import machine, read_page, table, write_page
from shuffle_to_learn.pretext.methods import METHODS
from shuffle_to_learn.slicing import Slicing
from study.loading import load_params
from study.names import count
from study.params import Params
from study.tensorflow import start_tensorflow

if TYPE_CHECKING:  # TensorFlow starts later
    import tensorflow as tf

    from shuffle_to_learn.pretext.methods.base import Method
    from shuffle_to_learn.pretext.pretraining import Pretraining

PAGE = Path(__file__).with_suffix(".md")
BASE, AGAIN = "mse", "mse, a second time"
STEPS = 10  # of a block
CALLS = 300  # of a loss by itself, in a block
RESAMPLES = 9999


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--params", type=Path, default=Path("params.yaml"))
    parser.add_argument("--rounds", type=int, default=150, help="default: 150")
    parser.add_argument("--threads", type=int, default=1, help="default: 1")
    args = parser.parse_args()
    if args.rounds < 2 or args.threads < 1:
        parser.error("--rounds wants at least 2, --threads at least 1")
    by_hand, where = read_page(PAGE, "What a ranking method adds to a training step"), machine()
    params = load_params(args.params)
    start_tensorflow(args.threads)

    trained = trainings(params)
    steps = measure(trained, params.audio.shape, args.rounds)
    alone = measure_losses(trained, args.rounds)
    step = 1e3 * np.median(steps[BASE]) / STEPS
    rows = []
    for name, found in steps.items():
        ratio, low, high = ratio_interval(found, steps[BASE])
        interval = "" if name == BASE else f"{low:.3f} to {high:.3f}"
        added = 1e3 * np.median(alone[name] - alone[BASE]) / CALLS
        adds = "" if name == BASE else f"{added:.3f} ({added / step:+.2%})"
        rows.append([name, f"{1e3 * np.median(found) / STEPS:.2f}", f"{ratio:.3f}", interval, adds])

    import keras
    import tensorflow as tf

    settings = params.audio.pretrain
    lines = [
        f"`python benchmarks/step_cost.py --rounds {args.rounds} --threads {args.threads}`",
        "",
        *table(
            [
                "method",
                "ms a step",
                f"beside {BASE}",
                "95 % interval",
                f"loss by itself less {BASE}'s, ms (of the step)",
            ],
            rows,
        ),
        "",
        f"{count(args.rounds, 'round')} of {STEPS} steps, {settings.batch_size} inputs a step, "
        f"{params.audio.slicings[0]}, {args.params}; {count(args.threads, 'thread')}.",
        f"{where}, TensorFlow {tf.__version__}, Keras {keras.__version__}.",
    ]
    print("\n".join(lines))
    write_page(PAGE, by_hand, "\n".join(lines))


def trainings(params: Params) -> dict[str, Pretraining]:
    """A training with each method, all of one network."""
    from shuffle_to_learn.models.cfn import build_cfn
    from shuffle_to_learn.pretext.pretraining import Pretraining

    audio, settings = params.audio, params.audio.pretrain
    slicing = Slicing.parse(audio.slicings[0])
    tile = slicing.tile_shape(audio.shape, settings.gap)
    # A ranking method takes one score a patch.
    network = build_cfn(slicing.patches, tile, slicing.patches, **settings.network)

    def training(name: str) -> Pretraining:
        section = getattr(audio.method, name)
        # Without a section the method has its defaults.
        own = section.model_dump(exclude={"learning_rate"}) if section else {}
        return Pretraining(
            network,
            METHODS[name](slicing.patches, **own),
            slicing,
            gap=settings.gap,
            epochs=100_000,
            batch_size=settings.batch_size,
        )

    others = [name for name in METHODS if name != BASE and METHODS[name].trained]
    names = [name for name in others if METHODS[name](slicing.patches).outputs == slicing.patches]
    return {name: training(name) for name in (BASE, *names)} | {AGAIN: training(BASE)}


def measure(
    trained: dict[str, Pretraining], shape: tuple[int, ...], rounds: int
) -> dict[str, np.ndarray]:
    """Seconds of each round's block of steps on inputs of a shape, by method."""
    base = trained[BASE]
    inputs = np.random.default_rng(0).random((STEPS * base.batch_size, *shape), np.float32)
    inputs = inputs.astype(np.float16)
    return in_rounds({name: lambda t=t: t.run_epoch(inputs) for name, t in trained.items()}, rounds)


def measure_losses(trained: dict[str, Pretraining], rounds: int) -> dict[str, np.ndarray]:
    """Seconds of each round's block of losses with their gradients, by method."""
    import tensorflow as tf

    batch, n = trained[BASE].batch_size, trained[BASE].slicing.patches
    rng = np.random.default_rng(0)
    scores = tf.constant(rng.normal(0, 3, (batch, n)), tf.float32)
    orders = tf.constant(rng.permuted(np.tile(np.arange(n), (batch, 1)), axis=1), tf.int32)

    def block(method: Method) -> Callable[[], np.ndarray]:
        @tf.function(autograph=False)
        def repeat(scores: tf.Tensor) -> tf.Tensor:
            def call(i: tf.Tensor, scores: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
                with tf.GradientTape() as tape:
                    tape.watch(scores)
                    loss = tf.reduce_mean(method.loss(orders, scores, tf.stack([0, i])))
                return i + 1, scores - 1e-9 * tape.gradient(loss, scores)

            _, scores = tf.while_loop(
                lambda i, _: i < CALLS, call, (0, scores), parallel_iterations=1
            )
            return scores

        return lambda: repeat(scores).numpy()

    return in_rounds({name: block(t.method) for name, t in trained.items()}, rounds)


def in_rounds(blocks: dict[str, Callable[[], object]], rounds: int) -> dict[str, np.ndarray]:
    """Seconds of each block in each round, in random order in each; two rounds do not count."""
    seconds: dict[str, list[float]] = {label: [] for label in blocks}
    rng = random.Random(0)
    for turn in range(rounds + 2):
        for label in rng.sample(list(blocks), len(blocks)):
            start = time.perf_counter()
            blocks[label]()
            if turn >= 2:  # the first builds the graph
                seconds[label].append(time.perf_counter() - start)
    return {label: np.array(found) for label, found in seconds.items()}


def ratio_interval(found: np.ndarray, base: np.ndarray) -> tuple[float, float, float]:
    """The median over rounds of the ratio of two blocks, and its percentile bootstrap interval."""
    ratios = found / base
    rounds = np.random.default_rng(0).integers(len(base), size=(RESAMPLES, len(base)))
    low, high = np.quantile(np.median(ratios[rounds], axis=1), [0.025, 0.975])
    return float(np.median(ratios)), float(low), float(high)


if __name__ == "__main__":
    main()
