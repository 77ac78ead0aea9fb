"""A training step of the CFN beside PyTorch's: python benchmarks/training.py

Steps a second of this project, of the same network run as plain Keras runs it (with TensorFlow's
oneDNN kernels and without them), and of the same network, batch, loss (perturbed Fenchel-Young) and
Adam in PyTorch, in both layouts. A step is all of it: the batch cut and shuffled, forward,
backward, Adam. One thread each, each in a process of its own, in turns: rounds in random order,
medians of the processor's time, which other work on the machine touches less than the clock's.
Beside them, in the same turns, a product of two 1024 x 1024 matrices: the limit of what a step
could reach.

make benchmarks LIMIT=AVX2 limits every side to AVX2, on a processor that has more. PyTorch lives in
an environment of its own, benchmarks/.peers, see benchmarks/ranking.py. Writes
benchmarks/training.md.
"""

from __future__ import annotations

import argparse
import os
import random
import statistics
import sys
import time
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np

sys.path.insert(
    0, str(Path(__file__).parent.parent)
)  # this file also runs in PyTorch's environment

from benchmarks.ranking import (
    PEERS,
    PeerError,
    Process,
    machine,
    read_page,
    reply_stream,
    respond,
    set_up,
    table,
    write_page,
)
from shuffle_to_learn.models.alexnet import convolutions, multiply_adds

ROOT = Path(__file__).parent.parent
PAGE = Path(__file__).with_suffix(".md")
OURS = "this project"
KERAS = "plain Keras"
BARE = "plain Keras, no oneDNN"
LAYOUTS = {"PyTorch, NCHW": False, "PyTorch, channels last": True}
MATRIX = "matrix product"  # of MATRIX_SIZE x MATRIX_SIZE
MATRIX_SIZE = 1024
CASES = {
    "params.yaml": ("audio", "video", "images"),
    "presets/paper.yaml": ("audio", "images"),
}


# What is timed: each makes of a case a function that runs some steps


def setting(file: str, modality: str) -> dict[str, Any]:
    """What a peer has to know of a study."""
    from shuffle_to_learn.slicing import Slicing, sampled
    from study.loading import load_params

    study = load_params(ROOT / file).study(modality)
    slicing = Slicing.parse(study.slicings[0])
    method = study.build_method("perturbed_fy", slicing)
    return {
        **study.pretrain.network,
        "shape": study.shape,
        "tile": slicing.tile_shape(study.shape, study.pretrain.gap),
        "cell": slicing.cell_size(study.shape),
        "rows": slicing.rows,
        "columns": slicing.columns,
        "frames": sampled(study.shape[0], slicing.frames).tolist() if slicing.frames else [],
        "patches": slicing.patches,
        "gap": study.pretrain.gap,
        "batch_size": study.pretrain.batch_size,
        "samples": method.num_samples,
        "epsilon": method.epsilon,
        "slicing": slicing.name,
        "bytes": modality != "audio",
    }


def inputs(case: dict[str, Any], count: int) -> np.ndarray:
    rng = np.random.default_rng(0)
    shape = (count, *case["shape"])
    if case["bytes"]:
        return rng.integers(0, 256, shape, np.uint8)
    return rng.random(shape, np.float32).astype(np.float16)


class Ours:
    """A study's training, or the same with the network run by Keras."""

    def __init__(self, case: dict[str, Any], steps: int, plain: bool) -> None:
        import keras

        from shuffle_to_learn.models.cfn import build_cfn
        from shuffle_to_learn.pretext import pretraining
        from shuffle_to_learn.pretext.methods import METHODS
        from shuffle_to_learn.slicing import Slicing

        names = ("width", "tile_features", "joined_features")
        names += ("batch_normalization", "tile_normalization", "precision")
        n = case["patches"]
        model = build_cfn(n, tuple(case["tile"]), n, **{name: case[name] for name in names})
        method = METHODS["perturbed_fy"](n, case["epsilon"], case["samples"])
        self.training = pretraining.Pretraining(
            model,
            method,
            Slicing.parse(case["slicing"]),
            gap=case["gap"],
            epochs=10**6,
            batch_size=case["batch_size"],
        )
        if plain:
            pretraining.forward = lambda model, x, training: model(x, training=training)
            self.training.optimizer = keras.optimizers.Adam(self.training.learning_rate)
            self.training.optimizer.build(model.trainable_variables)
        self.inputs = inputs(case, steps * case["batch_size"])

    def run(self) -> None:
        self.training.run_epoch(self.inputs)


def peer(case: dict[str, Any], steps: int, channels_last: bool) -> Any:
    """The same in PyTorch."""
    import torch
    from torch import nn

    torch.manual_seed(0)
    n, batch_size = case["patches"], case["batch_size"]
    layout = torch.channels_last if channels_last else torch.contiguous_format

    class Network(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            height, width, channels = case["tile"]
            layers: list[nn.Module] = []
            for filters, kernel, stride, pooled in convolutions(case["width"]):
                # Padding on both sides alike costs what Keras's SAME padding costs.
                layers.append(nn.Conv2d(channels, filters, kernel, stride, kernel // 2))
                channels = filters
                height, width = -(-height // stride), -(-width // stride)
                if case["batch_normalization"]:
                    layers.append(nn.BatchNorm2d(channels))
                layers.append(nn.ReLU(inplace=True))
                if pooled:
                    padding = (height % 2, width % 2)
                    layers.append(nn.MaxPool2d(3, 2, padding, ceil_mode=True))
                    height, width = -(-height // 2), -(-width // 2)
            self.body = nn.Sequential(*layers)
            self.tile = nn.Linear(channels * height * width, case["tile_features"])
            self.joined = nn.Linear(n * case["tile_features"], case["joined_features"])
            self.scores = nn.Linear(case["joined_features"], n)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            tiles = torch.relu(self.tile(self.body(x).flatten(1)))
            return self.scores(torch.relu(self.joined(tiles.view(-1, n * tiles.shape[1]))))

    def cut(batch: np.ndarray) -> torch.Tensor:
        """(batch, n, channels, height, width), of tiles at random places in their cells."""
        x = torch.from_numpy(batch).float()
        x = x / 255 if case["bytes"] else x
        (height, width), (tile_height, tile_width, channels) = case["cell"], case["tile"]
        if case["frames"]:
            x = x[:, case["frames"]]
        else:
            rows, columns = case["rows"], case["columns"]
            top, left = (x.shape[1] - rows * height) // 2, (x.shape[2] - columns * width) // 2
            x = x[:, top : top + rows * height, left : left + columns * width]
            x = x.reshape(-1, rows, height, columns, width, channels).transpose(2, 3)
            x = x.reshape(-1, n, height, width, channels)
        for axis, cell, tile in ((2, height, tile_height), (3, width, tile_width)):
            if cell > tile:
                start = torch.randint(0, cell - tile + 1, (len(x), n, 1))
                shape = [len(x), n, 1, 1, 1]
                shape[axis] = tile
                places = (start + torch.arange(tile)).view(shape)
                sizes = [size if i != axis else tile for i, size in enumerate(x.shape)]
                x = torch.gather(x, axis, places.expand(sizes))
        return x.permute(0, 1, 4, 2, 3)

    network = Network().to(memory_format=layout)
    adam = torch.optim.Adam(network.parameters(), 1e-4, fused=True)
    data = inputs(case, steps * batch_size)
    rng = np.random.default_rng(0)

    class Peer:
        def run(self) -> None:
            for rows in rng.permutation(len(data)).reshape(steps, batch_size):
                x = cut(data[np.sort(rows)])
                orders = torch.rand(len(x), n).argsort(-1)
                x = x[torch.arange(len(x))[:, None], orders].flatten(0, 1)
                scores = network(x.contiguous(memory_format=layout))
                noise = case["epsilon"] * torch.randn(case["samples"], *scores.shape)
                ranks = (scores.detach() + noise).argsort(-1).argsort(-1) + 1.0
                adam.zero_grad()
                scores.backward((ranks.mean(0) - (orders + 1.0)) / len(x))
                adam.step()

    return Peer()


class Product:
    def __init__(self) -> None:
        import tensorflow as tf

        x = tf.ones((MATRIX_SIZE, MATRIX_SIZE))
        self.product = tf.function(lambda: tf.matmul(x, x)[0, 0])

    def run(self) -> None:
        for _ in range(10):
            self.product()


def touched(case: dict[str, Any]) -> int:
    """The multiply-adds of a step that touch data: padding and the input's gradient left out."""
    sizes = {name: case[name] for name in ("width", "tile_features", "joined_features")}
    n = case["patches"]
    return case["batch_size"] * multiply_adds(n, tuple(case["tile"]), n, **sizes).training


# The processes and the run


def serve(process: str) -> None:
    """Answer the questions of the process that measures."""
    replies = reply_stream()
    running: dict[str, Any] = {}
    last: list[Any] = []

    def start(name: str, case: dict[str, Any], steps: int) -> Any:
        if name == MATRIX:
            return Product()
        if name in LAYOUTS:
            return peer(case, steps, LAYOUTS[name])
        return Ours(case, steps, plain=name != OURS)

    def answer(name: str, case: dict[str, Any] | None = None, steps: int = 0) -> Any:
        if name == "versions":
            libraries = ("torch",) if process == "PyTorch" else ("tensorflow", "keras")
            return {library: version(library) for library in libraries}
        assert case is not None
        if last != [case]:
            running.clear()
            last[:] = [case]
        if name not in running:
            running[name] = start(name, case, steps)
            running[name].run()
        before = time.process_time()
        running[name].run()
        return time.process_time() - before

    if process == "PyTorch":
        import torch

        torch.set_num_threads(1)
    else:
        from study import tensorflow

        if process == BARE:
            tensorflow.ONEDNN = "0"
        tensorflow.start_tensorflow(1)
    respond(answer, replies)


PLACES = {
    OURS: OURS,
    KERAS: KERAS,
    BARE: BARE,
    **dict.fromkeys(LAYOUTS, "PyTorch"),
    MATRIX: OURS,
}
"""The process of each thing that is timed."""


def measure(
    processes: dict[str, Process], case: dict[str, Any], steps: int, rounds: int
) -> dict[str, list[float] | str]:
    """The seconds of each round, or why there are none; rounds in random order."""
    found: dict[str, list[float] | str] = {name: [] for name in PLACES}
    rng = random.Random(0)
    for _ in range(rounds):
        for name in rng.sample(list(PLACES), len(PLACES)):
            cell = found[name]
            if isinstance(cell, str):
                continue
            try:
                question = {"name": name, "case": case, "steps": steps}
                cell.append(processes[PLACES[name]].ask(**question))
            except PeerError as error:
                found[name] = str(error)
    return found


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=7, help="default: 7")
    parser.add_argument("--only", metavar="MODALITY", help="of params.yaml; writes no page")
    parser.add_argument("--peers", type=Path, help="an environment with torch, used as it is")
    parser.add_argument("--serve", help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.serve:
        serve(args.serve)
        return
    by_hand, where = read_page(PAGE, "A training step beside PyTorch's"), machine()
    failed = {} if args.peers else set_up(PEERS)
    python = (args.peers.absolute() if args.peers else PEERS) / "bin/python"
    environment = {**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3", "CUDA_VISIBLE_DEVICES": "-1"}
    processes = {}
    for name in dict.fromkeys(PLACES.values()):
        here = python if name == "PyTorch" else Path(sys.executable)
        why = failed.get("torchsort") if name == "PyTorch" else None
        processes[name] = Process(name, here, environment, why, script=__file__)

    cells = []
    for file, modalities in CASES.items():
        for modality in modalities:
            if args.only and (file, modality) != ("params.yaml", args.only):
                continue
            case = setting(file, modality)
            steps = 20 if file == "params.yaml" else 1
            found = measure(processes, case, steps, args.rounds)
            cells.append([f"{file}: {modality}", *row(found, touched(case), steps)])
            print(" | ".join(cells[-1]), file=sys.stderr, flush=True)
    told: dict[str, str] = {}
    for name in (OURS, "PyTorch"):
        try:
            told |= processes[name].ask(name="versions")
        except PeerError:
            continue  # its cells say why
    for process in processes.values():
        process.close()
    header = ["", *(name for name in PLACES if name != MATRIX)]
    header += ["over PyTorch's better", f"over {BARE}", "share of the limit"]
    lines = [
        f"`python -m benchmarks.training --rounds {args.rounds}`",
        "",
        "Steps a second; medians of the rounds.",
        "",
        *table(header, cells),
        "",
        "The limit: the multiply-adds of a step that touch data (no padding, no gradient by the "
        f"input), at the speed of a {MATRIX_SIZE} x {MATRIX_SIZE} product.",
        "",
        f"One thread; {where}, "
        + ", ".join(f"{name} {number}" for name, number in sorted(told.items()))
        + ".",
    ]
    print("\n".join(lines))
    if not args.only:
        write_page(PAGE, by_hand, "\n".join(lines))


def row(found: dict[str, list[float] | str], products: int, steps: int) -> list[str]:
    """Steps a second, and the ratios of the medians."""
    rates: dict[str, float] = {}
    texts = []
    for name, cell in found.items():
        if isinstance(cell, str):
            texts.append(cell)
            continue
        rates[name] = steps / statistics.median(cell)
        texts += [f"{rates[name]:.3g}"] if name != MATRIX else []
    better = max((rates[name] for name in LAYOUTS if name in rates), default=None)
    texts.append(f"{rates[OURS] / better:.2f}" if better else "")
    texts.append(f"{rates[OURS] / rates[BARE]:.2f}")
    # The product was run ten times in a round of `steps` steps.
    limit = rates[MATRIX] / steps * 10 * MATRIX_SIZE**3 / products
    texts.append(f"{rates[OURS] / limit:.0%}")
    return texts


if __name__ == "__main__":
    main()
