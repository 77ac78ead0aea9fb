"""Differentiable ranking beside its peers: python benchmarks/ranking.py

Times forward and backward (the vector-Jacobian product with a random vector) of soft ranks and of
perturbed ranks on standard normal float32 values, and in the same run compares the soft ranks and
gradients with those of torchsort in float64. Two ways of timing:

  inside a function    the operator repeated in a loop inside one compiled function, less the empty
                       loop: what it costs as a part of a training step
  one call             a call from Python, dispatch included

Peers that cannot be part of a graph are timed by the call. All run on the CPU with the same number
of threads, each in a process of its own, in turns: rounds in random order, medians of the rounds.
The peers live in an environment of their own, benchmarks/.peers, set up at the first run. A peer
that does not install or run has the reason in its cell.

Writes benchmarks/ranking.md (what is written there by hand stays) and docs/images/ranking-speed.svg.
Takes about ten minutes on two cores, and at the first run the download and build of the peers:
about 1.5 GB, several where pip finds PyTorch for GPUs only. Nothing else should run meanwhile.
"""

from __future__ import annotations

import argparse
import datetime
import json
import os
import platform
import random
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

ROOT = Path(__file__).parent.parent
sys.path.insert(0, str(ROOT))  # this file also runs in the peers' environment

PAGE = Path(__file__).with_suffix(".md")
FIGURE = ROOT / "docs/images/ranking-speed.svg"
PEERS = Path(__file__).parent / ".peers"

CASES = [(32, 10), (1024, 10), (32, 20), (32, 64), (32, 100), (32, 1000), (4, 10000)]  # rows, n
DRAWS = 10
ROUND = 0.1  # seconds that a round of one operator takes at least

Arrays = tuple[np.ndarray, np.ndarray]


# Operators: each makes of values, upstream and epsilon what is timed


class Work(NamedTuple):
    run: Callable[[int], Any]  # so many times forward and backward
    empty: Callable[[int], Any] | None  # the same without the operator, to be taken off
    result: Callable[[], Arrays]  # ranks and gradient


Build = Callable[[np.ndarray, np.ndarray, float], Work]


def ours(name: str, mode: str, **options: Any) -> Build:
    """An operator of this project: in a function (``graph``, ``xla``) or by the ``call``."""

    def build(values: np.ndarray, upstream: np.ndarray, epsilon: float) -> Work:
        import tensorflow as tf

        from shuffle_to_learn import ranking

        operator = partial(getattr(ranking, name), epsilon=epsilon, **options)
        x, u = tf.constant(values), tf.constant(upstream)
        function = partial(tf.function, jit_compile=mode == "xla", autograph=False)

        def both(x: tf.Tensor, u: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
            with tf.GradientTape() as tape:
                tape.watch(x)
                ranks = operator(x)
            return ranks, tape.gradient(ranks, x, u)

        def nothing(x: tf.Tensor, u: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
            return x, u

        def loop(body: Callable) -> Callable[[int], Any]:
            @function
            def repeat(x: tf.Tensor, u: tf.Tensor, count: tf.Tensor) -> tf.Tensor:
                def step(i: tf.Tensor, x: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
                    ranks, gradient = body(x, u)
                    return i + 1, x + 1e-9 * (gradient + ranks)  # each needs the one before

                return tf.while_loop(
                    lambda i, x: i < count, step, (tf.constant(0), x), parallel_iterations=1
                )[1]

            return lambda count: repeat(x, u, tf.constant(count)).numpy()

        single = function(both)

        def calls(count: int) -> None:
            for _ in range(count):
                single(x, u)[1].numpy()

        def result() -> Arrays:
            ranks, gradient = single(x, u)
            return ranks.numpy(), gradient.numpy()

        if mode == "call":
            return Work(calls, None, result)
        return Work(loop(both), loop(nothing), result)

    return build


def torchsort(dtype: str = "float32") -> Build:
    def build(values: np.ndarray, upstream: np.ndarray, epsilon: float) -> Work:
        import torch
        import torchsort

        torch.set_num_threads(int(os.environ["OMP_NUM_THREADS"]))
        x = torch.tensor(values.astype(dtype), requires_grad=True)
        u = torch.tensor(upstream.astype(dtype))

        def both() -> tuple[torch.Tensor, torch.Tensor]:
            ranks = torchsort.soft_rank(x, regularization_strength=epsilon)
            return ranks, torch.autograd.grad(ranks, x, u)[0]

        def result() -> Arrays:
            ranks, gradient = both()
            return ranks.detach().numpy(), gradient.numpy()

        return Work(calls_of(both), None, result)

    return build


def fast_soft_sort_numpy(values: np.ndarray, upstream: np.ndarray, epsilon: float) -> Work:
    operators = import_fast_soft_sort("numpy_ops")

    def both() -> Arrays:
        ranks, gradients = [], []
        for row, u in zip(values, upstream, strict=True):
            operator = operators.SoftRank(row, regularization_strength=epsilon)
            ranks.append(operator.compute())
            gradients.append(operator.vjp(u))
        return np.stack(ranks), np.stack(gradients)

    return Work(calls_of(both), None, both)


def fast_soft_sort_tf(values: np.ndarray, upstream: np.ndarray, epsilon: float) -> Work:
    import tensorflow as tf

    operators = import_fast_soft_sort("tf_ops")
    x, u = tf.constant(values), tf.constant(upstream)

    def both() -> Arrays:
        with tf.GradientTape() as tape:
            tape.watch(x)
            ranks = operators.soft_rank(x, regularization_strength=epsilon)
        return ranks.numpy(), tape.gradient(ranks, x, u).numpy()

    return Work(calls_of(both), None, both)


def import_fast_soft_sort(module: str) -> Any:
    """A module of the checkout, which was written for a NumPy that had np.int."""
    import importlib

    np.int = int
    folder = os.environ["FAST_SOFT_SORT"]
    if folder not in sys.path:
        sys.path.insert(0, folder)
    try:
        return importlib.import_module(f"fast_soft_sort.{module}")
    except ImportError:
        # Some commits look for the isotonic regression where it is only after installation.
        name = "fast_soft_sort.isotonic"
        sys.modules[name] = importlib.import_module("fast_soft_sort.third_party.isotonic")
        return importlib.import_module(f"fast_soft_sort.{module}")


def optax(mode: str) -> Build:
    """Optax's perturbed operator on hard ranks, each row a problem of its own."""

    def build(values: np.ndarray, upstream: np.ndarray, epsilon: float) -> Work:
        import jax
        import jax.numpy as jnp
        from optax import perturbations

        def rank(row: jax.Array) -> jax.Array:
            return (jnp.argsort(jnp.argsort(row)) + 1).astype(row.dtype)

        perturbed = jax.vmap(
            perturbations.make_perturbed_fun(
                rank, num_samples=DRAWS, sigma=epsilon, noise=perturbations.Normal()
            )
        )
        x, u, key = jnp.asarray(values), jnp.asarray(upstream), jax.random.key(0)

        def both(x: jax.Array, u: jax.Array, key: jax.Array) -> tuple[jax.Array, jax.Array]:
            keys = jax.random.split(key, len(x))
            ranks, backward = jax.vjp(partial(perturbed, keys), x)
            return ranks, backward(u)[0]

        def nothing(x: jax.Array, u: jax.Array, key: jax.Array) -> tuple[jax.Array, jax.Array]:
            return x, u

        def loop(body: Callable) -> Callable[[int], Any]:
            @jax.jit
            def repeat(x: jax.Array, u: jax.Array, key: jax.Array, count: int) -> jax.Array:
                def step(i: jax.Array, x: jax.Array) -> jax.Array:
                    ranks, gradient = body(x, u, jax.random.fold_in(key, i))
                    return x + 1e-9 * (gradient + ranks)

                return jax.lax.fori_loop(0, count, step, x)

            return lambda count: repeat(x, u, key, count).block_until_ready()

        single = jax.jit(both)

        def result() -> Arrays:
            ranks, gradient = jax.block_until_ready(single(x, u, key))
            return np.asarray(ranks), np.asarray(gradient)

        if mode == "call":
            return Work(calls_of(lambda: jax.block_until_ready(single(x, u, key))), None, result)
        return Work(loop(both), loop(nothing), result)

    return build


def calls_of(function: Callable[[], Any]) -> Callable[[int], None]:
    def calls(count: int) -> None:
        for _ in range(count):
            function()

    return calls


class Operator(NamedTuple):
    process: str  # where it runs
    column: str
    build: Build
    colour: str
    marker: str
    dashes: tuple[float, ...] = ()


# The colours are those of stages/style.py.
SOFT = {
    "soft graph": Operator(
        "this project", "this project, in `tf.function`", ours("soft_rank", "graph"), "#0072B2", "o"
    ),
    "soft xla": Operator(
        "this project", "this project, in XLA", ours("soft_rank", "xla"), "#D55E00", "s"
    ),
    "soft call": Operator(
        "this project",
        "this project, one call",
        ours("soft_rank", "call"),
        "#56B4E9",
        "D",
        (4, 1.5),
    ),
    "torchsort": Operator(
        "torchsort", "torchsort, one call", torchsort(), "#E69F00", "^", (4, 1.5)
    ),
    "fss numpy": Operator(
        "fast-soft-sort NumPy",
        "fast-soft-sort NumPy, one call",
        fast_soft_sort_numpy,
        "#009E73",
        "v",
        (4, 1.5),
    ),
    "fss tf": Operator(
        "fast-soft-sort TF",
        "fast-soft-sort TF, one eager call",
        fast_soft_sort_tf,
        "#882255",
        "X",
        (4, 1.5),
    ),
}
SAMPLED, EXACT = {"num_samples": DRAWS}, {"num_samples": None}
PERTURBED = {
    "sampled graph": Operator(
        "this project",
        f"this project, {DRAWS} draws, in `tf.function`",
        ours("perturbed_rank", "graph", **SAMPLED),
        "#0072B2",
        "o",
    ),
    "sampled xla": Operator(
        "this project",
        f"this project, {DRAWS} draws, in XLA",
        ours("perturbed_rank", "xla", **SAMPLED),
        "#D55E00",
        "s",
    ),
    "sampled call": Operator(
        "this project",
        f"this project, {DRAWS} draws, one call",
        ours("perturbed_rank", "call", **SAMPLED),
        "#56B4E9",
        "D",
        (4, 1.5),
    ),
    "exact graph": Operator(
        "this project",
        "this project, exact, in `tf.function`",
        ours("perturbed_rank", "graph", **EXACT),
        "#6600CC",
        "*",
    ),
    "exact xla": Operator(
        "this project",
        "this project, exact, in XLA",
        ours("perturbed_rank", "xla", **EXACT),
        "#CC79A7",
        "p",
    ),
    "optax jit": Operator(
        "optax", f"optax, {DRAWS} draws, in `jax.jit`", optax("jit"), "#000000", "<"
    ),
    "optax call": Operator(
        "optax", f"optax, {DRAWS} draws, one call", optax("call"), "#553311", ">", (4, 1.5)
    ),
}
# Not timed: what the others' results are compared with.
REFERENCE = {
    "reference": Operator("torchsort", "torchsort, float64", torchsort("float64"), "", ""),
}
OPERATORS = {**SOFT, **PERTURBED, **REFERENCE}

# What is timed: a name, the operators, epsilon, and the most values in a row.
TABLES = (
    ("Soft ranks, epsilon 1", SOFT, 1.0, 10_000),
    ("Soft ranks, epsilon 0.01", SOFT, 0.01, 10_000),
    ("Perturbed ranks, epsilon 1", PERTURBED, 1.0, 1_000),
)

# The packages whose versions are told.
PACKAGES = {
    "this project": ("tensorflow", "numpy"),
    "torchsort": ("torchsort", "torch"),
    "fast-soft-sort NumPy": ("numba", "numpy"),
    "fast-soft-sort TF": ("tensorflow", "numba"),
    "optax": ("optax", "jax"),
}


# The process of an operator: answers requests, a line of JSON each


class Timer:
    """Times work; the first round finds how often it is to be repeated."""

    def __init__(self, work: Work) -> None:
        self.work = work
        self.count = 1
        for part in (work.run, work.empty):
            if part:
                part(1)  # compiles
        while clock(work.run, self.count) < ROUND:
            self.count *= 2

    def seconds(self) -> float:
        """One round: seconds of the operator, forward and backward."""
        total = clock(self.work.run, self.count)
        if self.work.empty:
            total -= clock(self.work.empty, self.count)
        return total / self.count


def clock(run: Callable[[int], Any], count: int) -> float:
    start = time.perf_counter()
    run(count)
    return time.perf_counter() - start


def inputs(rows: int, n: int) -> Arrays:
    rng = np.random.default_rng([rows, n])
    values, upstream = rng.standard_normal((2, rows, n), np.float32)
    return values, upstream


def serve(process: str) -> None:
    """Answer what is asked on stdin; what libraries print goes to stderr."""
    replies = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    timers: dict[str, Timer] = {}
    case: list = []

    def answer(what: str, operator: str = "", rows: int = 0, n: int = 0, epsilon: float = 0) -> Any:
        if what == "versions":
            return {name: version(name) for name in PACKAGES[process]}
        build = OPERATORS[operator].build
        if what == "result":
            return [a.tolist() for a in build(*inputs(rows, n), epsilon).result()]
        if case != [rows, n, epsilon]:
            timers.clear()
            case[:] = [rows, n, epsilon]
        if operator not in timers:
            timers[operator] = Timer(build(*inputs(rows, n), epsilon))
        return timers[operator].seconds()

    if PACKAGES[process][0] == "tensorflow":
        import tensorflow as tf

        tf.config.threading.set_intra_op_parallelism_threads(int(os.environ["OMP_NUM_THREADS"]))
        tf.config.threading.set_inter_op_parallelism_threads(1)
    for line in sys.stdin:
        try:
            reply = {"answer": answer(**json.loads(line))}
        except Exception as error:
            import traceback

            traceback.print_exc()
            reply = {"failed": f"{type(error).__name__}: {error}"}
        print(json.dumps(reply), file=replies, flush=True)


# The run: processes, rounds, comparison


class PeerError(Exception):
    """Why there is no number; one line."""

    def __init__(self, reason: str) -> None:
        line = " ".join(reason.split()).replace("|", "/")
        super().__init__(line if len(line) <= 120 else f"{line[:117]}...")


class Process:
    """The process in which operators run, started with the first question."""

    def __init__(self, name: str, python: Path, threads: int, fast_soft_sort: Path | None) -> None:
        self.command = [str(python), __file__, "--serve", name]
        self.environment = {
            **os.environ,
            "OMP_NUM_THREADS": str(threads),
            "MKL_NUM_THREADS": str(threads),
            "NPROC": str(threads),  # JAX's
            "CUDA_VISIBLE_DEVICES": "-1",
            "JAX_PLATFORMS": "cpu",
            "TF_CPP_MIN_LOG_LEVEL": "3",
            "FAST_SOFT_SORT": str(fast_soft_sort or ""),
        }
        self.running: subprocess.Popen | None = None
        self.log = tempfile.TemporaryFile("w+", errors="replace")  # noqa: SIM115

    def ask(self, **question: Any) -> Any:
        """The answer; :class:`PeerError` where there is none."""
        if self.running is None:
            self.running = subprocess.Popen(
                self.command,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=self.log,
                env=self.environment,
                text=True,
            )
        try:
            self.running.stdin.write(json.dumps(question) + "\n")
            self.running.stdin.flush()
            line = self.running.stdout.readline()
        except BrokenPipeError:
            line = ""
        if not line:
            self.log.seek(0)
            last = (["nothing said"] + self.log.read().split("\n"))[-2:]
            status = self.running.wait()
            raise PeerError(f"failed: process ended with status {status}: {' '.join(last)}")
        reply = json.loads(line)
        if "failed" in reply:
            raise PeerError(f"failed: {reply['failed']}")
        return reply["answer"]

    def close(self) -> None:
        if self.running:
            self.running.stdin.close()
            self.running.wait()


class Absent:
    """In place of a process: a peer that is not there."""

    def __init__(self, reason: str) -> None:
        self.reason = reason

    def ask(self, **question: Any) -> Any:
        raise PeerError(self.reason)

    def close(self) -> None:
        pass


def set_up(folder: Path) -> dict[str, str]:
    """Install the peers into an environment; why one did not install, by its process."""
    python = folder / "bin/python"
    steps = {
        "torchsort": [
            ["torch", "numpy", "setuptools", "wheel", "ninja"],
            ["--no-build-isolation", "torchsort==0.1.10"],
        ],
        "fast-soft-sort NumPy": [["numpy", "numba", "scipy"]],
        "optax": [["optax==0.2.8"]],
    }
    # torchsort takes an nvcc on PATH for the whole of CUDA.
    path = [p for p in os.get_exec_path() if not (Path(p) / "nvcc").exists()]
    environment = {**os.environ, "PATH": os.pathsep.join(path)}
    environment["PIP_DISABLE_PIP_VERSION_CHECK"] = "1"

    def call(command: list[str]) -> None:
        done = subprocess.run(command, env=environment, capture_output=True, text=True)
        if done.returncode:
            said = [line for line in (done.stdout + done.stderr).splitlines() if line.strip()]
            errors = [line for line in said if "error" in line.lower()]
            raise PeerError(f"did not install: {(errors or said or ['nothing said'])[-1]}")

    failed = {}
    try:
        if not python.exists():
            print(f"setting up the peers in {folder} (once, some minutes)", file=sys.stderr)
            call([sys.executable, "-m", "venv", str(folder)])
    except PeerError as error:
        return dict.fromkeys(steps, str(error))
    for name, packages in steps.items():
        done = folder / f".{name.split()[0]}"
        try:
            for step in [] if done.exists() else packages:
                call([str(python), "-m", "pip", "install", "--quiet", *step])
            done.touch()
        except PeerError as error:
            failed[name] = str(error)
    return failed


def start(args: argparse.Namespace) -> dict[str, Process | Absent]:
    """The process of every operator."""
    failed = set_up(PEERS) if args.peers is None else {}
    peers = (args.peers or PEERS).absolute() / "bin/python"
    if args.peers and not peers.exists():
        raise SystemExit(f"{peers} does not exist: --peers wants a virtual environment")
    processes: dict[str, Process | Absent] = {}
    for name in PACKAGES:
        here = PACKAGES[name][0] == "tensorflow"
        if name.startswith("fast-soft-sort") and args.fast_soft_sort is None:
            processes[name] = Absent("left out: no --fast-soft-sort")
        elif name in failed:
            processes[name] = Absent(failed[name])
        else:
            python = Path(sys.executable) if here else peers
            processes[name] = Process(name, python, args.threads, args.fast_soft_sort)
    return processes


Cell = list[float] | str  # the seconds of every round, or why there are none


def measure(processes: dict, operators: dict, question: dict, rounds: int) -> dict[str, Cell]:
    """Every operator on one case: rounds in random order, after one that does not count."""
    found: dict[str, Cell] = {name: [] for name in operators}
    rng = random.Random(0)
    for turn in range(rounds + 1):
        for name in rng.sample(list(operators), len(operators)):
            if isinstance(found[name], str):
                continue
            process = processes[operators[name].process]
            try:
                seconds = process.ask(what="round", operator=name, **question)
            except PeerError as error:
                found[name] = str(error)
            else:
                found[name] += [seconds] if turn else []
    return found


def compare(processes: dict) -> list[str]:
    """A table of the largest differences from torchsort in float64, over all cases."""
    compared = [*SOFT, "torchsort"]
    compared = [name for name in dict.fromkeys(compared) if name != "soft call"]
    lines = ["| | " + " | ".join(f"ranks, epsilon {e:g} | gradient, epsilon {e:g}" for e in (1, 0.01))]
    lines = [lines[0] + " |", "|---|---:|---:|---:|---:|"]
    references: dict = {}
    for name in compared:
        cells = []
        for epsilon in (1.0, 0.01):
            worst = [0.0, 0.0]
            try:
                for rows, n in CASES:
                    question = {"what": "result", "rows": rows, "n": n, "epsilon": epsilon}
                    key = (rows, n, epsilon)
                    if key not in references:
                        references[key] = ask(processes, "reference", question)
                    for i, (a, b) in enumerate(
                        zip(ask(processes, name, question), references[key], strict=True)
                    ):
                        worst[i] = max(worst[i], float(np.max(np.abs(a - b))))
                cells += [f"{w:.1e}" for w in worst]
            except PeerError as error:
                cells += [str(error)] * 2
        lines.append(f"| {OPERATORS[name].column.partition(', one')[0]} | {' | '.join(cells)} |")
    return lines


def ask(processes: dict, operator: str, question: dict) -> list[np.ndarray]:
    process = processes[OPERATORS[operator].process]
    return [np.array(a) for a in process.ask(operator=operator, **question)]
