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

Writes docs/images/ranking-speed.svg and benchmarks/ranking.md, where what is written by hand stays.
Takes about ten minutes on two cores, and at the first run some more to download and build the
peers: 6 GB on disk, or 2 where pip is set up to find PyTorch without CUDA. A machine that does
nothing else meanwhile is needed for numbers that mean something.
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
import traceback
from collections.abc import Callable
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import Any, NamedTuple, TextIO

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
    """An operator of this project."""

    def operator(epsilon: float) -> Callable:
        from shuffle_to_learn import ranking

        return partial(getattr(ranking, name), epsilon=epsilon, **options)

    return in_tensorflow(operator, mode)


def by_isotonic_regression(epsilon: float) -> Callable:
    """Soft ranks as they are written with what TensorFlow has."""
    import tensorflow as tf

    def soft_rank(values: tf.Tensor) -> tf.Tensor:
        n = values.shape[-1]
        ordered, order = tf.math.top_k(values / epsilon, n)
        fit, _ = tf.nn.isotonic_regression(ordered - tf.range(n, 0, -1, values.dtype))
        return tf.gather(ordered - fit, tf.argsort(order), batch_dims=1)

    return soft_rank


def in_tensorflow(operator_of: Callable[[float], Callable], mode: str) -> Build:
    """An operator in TensorFlow: in a function (``graph``, ``xla``) or by the ``call``."""

    def build(values: np.ndarray, upstream: np.ndarray, epsilon: float) -> Work:
        import tensorflow as tf

        operator = operator_of(epsilon)
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

        def result() -> Arrays:
            ranks, gradient = single(x, u)
            return ranks.numpy(), gradient.numpy()

        if mode == "call":
            return Work(calls_of(result), None, result)
        return Work(loop(both), loop(nothing), result)

    return build


def with_torchsort(dtype: str) -> Build:
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

    vars(np).setdefault("int", int)
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


def with_optax(mode: str) -> Build:
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
            return Work(calls_of(result), None, result)
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


OURS, FSS = "this project", "fast-soft-sort"
GRAPH, XLA, CALL = "in `tf.function`", "in XLA", "one call"
SOFT = {
    "soft graph": Operator(OURS, f"{OURS}, {GRAPH}", ours("soft_rank", "graph")),
    "soft xla": Operator(OURS, f"{OURS}, {XLA}", ours("soft_rank", "xla")),
    "soft call": Operator(OURS, f"{OURS}, {CALL}", ours("soft_rank", "call")),
    "isotonic": Operator(
        OURS,
        f"`tf.nn.isotonic_regression`, {GRAPH}",
        in_tensorflow(by_isotonic_regression, "graph"),
    ),
    "torchsort": Operator("torchsort", f"torchsort, {CALL}", with_torchsort("float32")),
    "fss numpy": Operator(f"{FSS} NumPy", f"{FSS} NumPy, {CALL}", fast_soft_sort_numpy),
    "fss tf": Operator(f"{FSS} TF", f"{FSS} TF, one eager call", fast_soft_sort_tf),
}
DRAWN, EXACT = f"{DRAWS} draws", partial(ours, "perturbed_rank", num_samples=None)
SAMPLED = partial(ours, "perturbed_rank", num_samples=DRAWS)
PERTURBED = {
    "sampled graph": Operator(OURS, f"{OURS}, {DRAWN}, {GRAPH}", SAMPLED("graph")),
    "sampled xla": Operator(OURS, f"{OURS}, {DRAWN}, {XLA}", SAMPLED("xla")),
    "sampled call": Operator(OURS, f"{OURS}, {DRAWN}, {CALL}", SAMPLED("call")),
    "exact graph": Operator(OURS, f"{OURS}, exact, {GRAPH}", EXACT("graph")),
    "exact xla": Operator(OURS, f"{OURS}, exact, {XLA}", EXACT("xla")),
    "optax jit": Operator("optax", f"optax, {DRAWN}, in `jax.jit`", with_optax("jit")),
    "optax call": Operator("optax", f"optax, {DRAWN}, {CALL}", with_optax("call")),
}
# Not timed: what soft ranks are compared with.
REFERENCE = {"reference": Operator("torchsort", "torchsort, float64", with_torchsort("float64"))}
OPERATORS = {**SOFT, **PERTURBED, **REFERENCE}

# What is timed: a name, the operators, epsilon, and the most values in a row.
# At 1, many standard normal values are one block of the fit; at 1/n most blocks are of one value.
EPSILONS: dict[str, Callable[[int], float]] = {"1": lambda n: 1.0, "1/n": lambda n: 1.0 / n}
TABLES = (
    *((f"Soft ranks, epsilon {name}", SOFT, value, 10_000) for name, value in EPSILONS.items()),
    ("Perturbed ranks, epsilon 1", PERTURBED, EPSILONS["1"], 1_000),
)

# What is installed for a peer, in steps.
PEER_PACKAGES = {
    "torchsort": [
        "torch numpy setuptools wheel ninja".split(),
        "--no-build-isolation torchsort==0.1.10".split(),
    ],
    "fast-soft-sort NumPy": ["numpy scipy numba".split()],
    "optax": ["optax==0.2.8".split()],
}
# The processes, and the packages whose versions each tells.
PACKAGES = {
    "this project": ("tensorflow", "numpy"),
    "torchsort": ("torchsort", "torch"),
    "fast-soft-sort NumPy": ("numba",),
    "fast-soft-sort TF": ("tensorflow",),
    "optax": ("optax", "jax"),
}


# The process of an operator: answers requests, a line of JSON each


class Timer:
    """Times work, repeated as often as it takes to fill a round."""

    def __init__(self, work: Work) -> None:
        self.work = work
        self.count = 1
        for part in (work.run, work.empty):
            if part:
                part(1)  # compiles

    def seconds(self) -> float:
        """One round: seconds of the operator, forward and backward."""
        while (total := clock(self.work.run, self.count)) < ROUND:
            self.count *= 2
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


def reply_stream() -> TextIO:
    """Where replies are written; what libraries print to stdout goes to stderr from now on."""
    replies = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    return replies


def respond(answer: Callable[..., Any], replies: TextIO) -> None:
    """Answer what is asked on stdin, a line of JSON each, until it ends."""
    for line in sys.stdin:
        try:
            reply = {"answer": answer(**json.loads(line))}
        except Exception as error:
            traceback.print_exc()
            reply = {"failed": f"{type(error).__name__}: {error}"}
        print(json.dumps(reply), file=replies, flush=True)


def serve(process: str) -> None:
    """Answer the questions of the process that measures."""
    replies = reply_stream()
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

    if "tensorflow" in PACKAGES[process]:
        import tensorflow as tf

        tf.config.threading.set_intra_op_parallelism_threads(int(os.environ["OMP_NUM_THREADS"]))
        tf.config.threading.set_inter_op_parallelism_threads(1)
    respond(answer, replies)


# The run: processes, rounds, comparison


class PeerError(Exception):
    """Why there is no number."""


class Process:
    """The process that operators run in, started with the first question.

    Args:
        failed: why there is none; then every question is answered with that.
    """

    def __init__(
        self,
        name: str,
        python: Path,
        environment: dict[str, str],
        failed: str | None = None,
        script: str = __file__,
    ) -> None:
        self.command = [str(python), script, "--serve", name]
        self.environment = environment
        self.failed = failed
        self.running: subprocess.Popen | None = None
        self.log = tempfile.TemporaryFile("w+", errors="replace")

    def ask(self, **question: Any) -> Any:
        """The answer; :class:`PeerError` where there is none."""
        if self.failed:
            raise PeerError(self.failed)
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
        reply = json.loads(line) if line else {}
        if "answer" in reply:
            return reply["answer"]
        status = None if line else self.running.wait()
        self.log.seek(0)
        said = self.log.read()
        sys.stderr.write(said)
        if line:
            raise PeerError(f"failed: {one_line(reply['failed'])}")
        last = said.strip().rpartition("\n")[2]
        self.failed = f"failed: ended with status {status}: {one_line(last)}"
        raise PeerError(self.failed)

    def close(self) -> None:
        if self.running and not self.failed:
            self.running.stdin.close()
            self.running.wait()
        self.log.close()


def one_line(text: str, most: int = 120) -> str:
    """A text that fits into a cell of a table."""
    line = " ".join(text.split()).replace("|", "/")
    return line if len(line) <= most else f"{line[: most - 3]}..."


def set_up(folder: Path) -> dict[str, str]:
    """Install the peers into an environment; why one did not install, by its process."""
    # torchsort takes an nvcc on PATH for the whole of CUDA, and then does not build.
    path = [p for p in os.get_exec_path() if not (Path(p) / "nvcc").exists()]
    environment = {
        **os.environ,
        "PATH": os.pathsep.join(path),
        "PIP_DISABLE_PIP_VERSION_CHECK": "1",
    }

    def call(*command: str) -> None:
        done = subprocess.run(command, env=environment, capture_output=True, text=True)
        if done.returncode:
            sys.stderr.write(done.stdout + done.stderr)
            said = [line for line in (done.stdout + done.stderr).splitlines() if line.strip()]
            errors = [line for line in said if "error" in line.lower()]
            raise PeerError(f"did not install: {one_line((errors or said or [''])[-1])}")

    python = str(folder / "bin/python")
    print(f"peers in {folder}: the first time this takes minutes", file=sys.stderr)
    failed = {}
    try:
        if not Path(python).exists():
            call(sys.executable, "-m", "venv", str(folder))
    except PeerError as error:
        return dict.fromkeys(PEER_PACKAGES, str(error))
    for name, steps in PEER_PACKAGES.items():
        try:
            for step in steps:
                call(python, "-m", "pip", "install", "--quiet", *step)
        except PeerError as error:
            failed[name] = str(error)
    return failed


def processes_of(args: argparse.Namespace) -> dict[str, Process]:
    """The process of every operator."""
    if args.peers is None:
        python, failed = PEERS / "bin/python", set_up(PEERS)
    else:
        python, failed = args.peers.absolute() / "bin/python", {}
    if args.fast_soft_sort is None:
        for name in ("fast-soft-sort NumPy", "fast-soft-sort TF"):
            failed[name] = "left out: no --fast-soft-sort"
    environment = {
        **os.environ,
        "OMP_NUM_THREADS": str(args.threads),
        "MKL_NUM_THREADS": str(args.threads),
        "NPROC": str(args.threads),  # as many threads as JAX makes
        "CUDA_VISIBLE_DEVICES": "-1",
        "JAX_PLATFORMS": "cpu",
        "TF_CPP_MIN_LOG_LEVEL": "3",
        "FAST_SOFT_SORT": str(args.fast_soft_sort and args.fast_soft_sort.absolute()),
    }
    here = Path(sys.executable)
    return {
        name: Process(
            name, python if name in PEER_PACKAGES else here, environment, failed.get(name)
        )
        for name in PACKAGES
    }


Processes = dict[str, Process]
Cell = list[float] | str  # the seconds of each round, or why there are none


def measure(
    processes: Processes, operators: dict[str, Operator], question: dict[str, Any], rounds: int
) -> dict[str, Cell]:
    """All operators on one case, in random order in each round; the first does not count."""
    found: dict[str, Cell] = {name: [] for name in operators}
    rng = random.Random(0)
    for turn in range(rounds + 1):
        for name in rng.sample(list(operators), len(operators)):
            cell, process = found[name], processes[operators[name].process]
            if isinstance(cell, str):
                continue
            try:
                seconds = process.ask(what="round", operator=name, **question)
            except PeerError as error:
                found[name] = str(error)
            else:
                cell += [seconds] if turn else []
    return found


def largest_difference(processes: Processes, name: str, epsilon: str) -> list[str]:
    """Of the ranks and of the gradient, from the reference's, over all cases."""
    largest = np.zeros(2)
    for rows, n in CASES:
        both = []
        for operator in (name, "reference"):
            process, column, _ = OPERATORS[operator]
            of_n = EPSILONS[epsilon](n)
            question = {"operator": operator, "rows": rows, "n": n, "epsilon": of_n}
            try:
                both.append(processes[process].ask(what="result", **question))
            except PeerError as error:
                return [f"{column} {error}"] * 2
        # Each is ranks and gradient, of the same shape.
        largest = np.maximum(largest, np.abs(np.subtract(*both)).max(axis=(1, 2)))
    return [f"{value:.1e}" for value in largest]


# The page and the figure


def table(header: list[str], rows: list[list[str]]) -> list[str]:
    """A table in Markdown, all but the first column to the right."""
    lines = [header, ["---", *["---:"] * (len(header) - 1)], *rows]
    return [f"| {' | '.join(line)} |" for line in lines]


def microseconds(cell: Cell) -> str:
    if isinstance(cell, str):
        return cell
    value = float(f"{1e6 * statistics.median(cell):.3g}")
    return f"{value:,.0f}" if value >= 100 else f"{value:g}"


def spread(cells: list[Cell]) -> str:
    """How far the rounds of a cell are apart, in words."""
    shares = []
    for cell in cells:
        if not isinstance(cell, str):
            low, middle, high = np.quantile(cell, [0.25, 0.5, 0.75])
            shares.append((high - low) / middle)
    return (
        "Spread of the rounds, upper less lower quartile over median: "
        f"{statistics.median(shares):.0%} in the median cell, {max(shares):.0%} in the worst."
    )


def machine() -> str:
    """Date, processor, cores and load, for a results page."""
    model = platform.machine()
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists():
        names = [x for x in cpuinfo.read_text().splitlines() if x.startswith("model name")]
        model = names[0].partition(":")[2].strip() if names else model
    limit = os.environ.get("ONEDNN_MAX_CPU_ISA")
    model += f" limited to {limit}" if limit else ""
    return (
        f"{datetime.date.today()}, {model}, {os.cpu_count()} cores, load average at the start "
        f"{os.getloadavg()[0]:.1f}; Python {platform.python_version()}"
    )


MEASURED = ("<!-- measured: a run replaces what is between these lines -->", "<!-- end -->")


def read_page(path: Path, title: str) -> tuple[str, str]:
    """What is written by hand before and after the measured part of a page."""
    start, end = MEASURED
    if not path.exists():
        return f"# {title}\n\n", "\n"
    before, _, rest = path.read_text(encoding="utf-8").partition(start)
    _, found, after = rest.partition(end)
    if not found:
        raise SystemExit(f"error: {path} lacks the lines {start!r} and {end!r}: nothing is run")
    return before, after


def write_page(path: Path, by_hand: tuple[str, str], measured: str) -> None:
    """Write a page with a new measured part."""
    from study.files import write_text

    before, after = by_hand
    start, end = MEASURED
    write_text(path, f"{before}{start}\n{measured}\n{end}{after}")


def draw(results: dict[str, dict[tuple[int, int], dict[str, Cell]]]) -> None:
    """The cases of 32 rows: microseconds by n, one panel a table."""
    import matplotlib

    matplotlib.use("agg")
    import matplotlib.pyplot as plt
    from matplotlib.ticker import FixedLocator, NullLocator, StrMethodFormatter

    from study.drawing import rc, save
    from study.names import LOOKS

    rows = 32
    numbers = [n for r, n in CASES if r == rows]
    looks = [look for look in LOOKS.values() if look.marker != "P"]  # a thin one
    with matplotlib.rc_context(rc()):
        figure, axes = plt.subplots(1, len(TABLES), figsize=(10.5, 4.8), sharey=True)
        for axis, (title, operators, _, most) in zip(axes, TABLES, strict=True):
            for (name, operator), look in zip(operators.items(), looks, strict=False):
                cells = {n: results[title].get((rows, n), {}).get(name, "") for n in numbers}
                measured = {n: c for n, c in cells.items() if n <= most and not isinstance(c, str)}
                if not measured:
                    continue
                axis.plot(
                    list(measured),
                    [1e6 * statistics.median(cell) for cell in measured.values()],
                    label=operator.column.replace("`", ""),
                    color=look.colour,
                    marker=look.marker,
                    dashes=() if operator.process == OURS else (4, 1.5),
                    linewidth=1.4,
                    markersize=5,
                    markeredgecolor="white",
                    markeredgewidth=0.6,
                )
            axis.set(xscale="log", yscale="log", xlabel="values in a row")
            axis.set_title(title, loc="left")
            axis.xaxis.set_major_locator(FixedLocator(numbers))
            axis.xaxis.set_major_formatter(StrMethodFormatter("{x:.0f}"))
            axis.xaxis.set_minor_locator(NullLocator())
            axis.yaxis.set_major_formatter(StrMethodFormatter("{x:,g}"))
        axes[0].set_ylabel(f"microseconds for {rows} rows, forward and backward")
        for axis, where in ((axes[0], "left"), (axes[-1], "right")):
            handles, labels = axis.get_legend_handles_labels()
            figure.legend(handles, labels, loc=f"outside lower {where}", ncols=2, handlelength=3)
        save(figure, FIGURE)
    plt.close(figure)


def versions(processes: Processes) -> str:
    told = {}
    for process in processes.values():
        try:
            told.update(process.ask(what="versions"))
        except PeerError:
            continue  # its cells say why
    return ", ".join(f"{name} {number}" for name, number in sorted(told.items()))


def commit(folder: Path | None) -> str:
    """The commit of a checkout, in words, where it is one."""
    if folder is None or not (folder / ".git").exists():
        return ""
    command = ["git", "-C", str(folder), "rev-parse", "--short", "HEAD"]
    done = subprocess.run(command, capture_output=True, text=True)
    return f", fast-soft-sort at {done.stdout.strip()}" if done.returncode == 0 else ""


def main() -> None:
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=9, help="default: 9")
    parser.add_argument("--threads", type=int, default=cores, help="of each (default: all cores)")
    parser.add_argument(
        "--peers",
        type=Path,
        metavar="FOLDER",
        help="a virtual environment with the peers, used as it is in place of benchmarks/.peers",
    )
    parser.add_argument(
        "--fast-soft-sort",
        type=Path,
        metavar="FOLDER",
        help="a checkout of google-research/fast-soft-sort, which is on no package index; "
        "without it its columns say that it was left out",
    )
    parser.add_argument("--serve", choices=PACKAGES, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.serve:
        serve(args.serve)
        return
    from study.names import count

    if args.rounds < 1 or not 1 <= args.threads <= cores:
        parser.error(f"--rounds wants at least 1, --threads 1 to {cores}")
    if args.fast_soft_sort and not (args.fast_soft_sort / "fast_soft_sort").is_dir():
        parser.error(f"--fast-soft-sort {args.fast_soft_sort}: has no folder fast_soft_sort")
    if args.peers and not (args.peers / "bin/python").exists():
        parser.error(f"--peers {args.peers}: is no virtual environment")

    by_hand, where = read_page(PAGE, "Differentiable ranking beside its peers"), machine()
    processes = processes_of(args)
    if hasattr(os, "sched_setaffinity"):  # for every process started from here
        os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[: args.threads])
    results: dict[str, dict[tuple[int, int], dict[str, Cell]]] = {}
    for title, operators, epsilon, most in TABLES:
        results[title] = {}
        for rows, n in CASES:
            if n <= most:
                print(f"{title}, {rows} x {n}", file=sys.stderr)
                question = {"rows": rows, "n": n, "epsilon": epsilon(n)}
                found = measure(processes, operators, question, args.rounds)
                results[title][rows, n] = found

    lines = [
        f"`python benchmarks/ranking.py --rounds {args.rounds} --threads {args.threads}"
        f"{' --fast-soft-sort FOLDER' if args.fast_soft_sort else ''}`",
        "",
        "Microseconds for all rows, forward and backward; medians of the rounds.",
        "",
    ]
    for title, operators, _, _ in TABLES:
        header = ["rows x values", *(operator.column for operator in operators.values())]
        cells = [
            [f"{rows} x {n:,}", *(microseconds(cell) for cell in found.values())]
            for (rows, n), found in results[title].items()
        ]
        lines += [f"## {title}", "", *table(header, cells), ""]
    header = ["", *(f"{what}, epsilon {e}" for e in EPSILONS for what in ("ranks", "gradient"))]
    cells = []
    for name, operator in SOFT.items():
        differences = [d for e in EPSILONS for d in largest_difference(processes, name, e)]
        cells.append([operator.column, *differences])
    lines += ["## Largest difference from torchsort in float64, over all inputs above", ""]
    lines += [*table(header, cells), "", f"![Time by n](../{FIGURE.relative_to(ROOT)})", ""]
    every = [
        cell for found in results.values() for case in found.values() for cell in case.values()
    ]
    lines += [
        spread(every),
        f"{count(args.threads, 'thread')}; {where}, {versions(processes)}"
        f"{commit(args.fast_soft_sort)}.",
    ]
    for process in processes.values():
        process.close()
    print("\n".join(lines))
    write_page(PAGE, by_hand, "\n".join(lines))
    draw(results)


if __name__ == "__main__":
    main()
