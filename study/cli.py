"""The command line of a stage: its options, its settings, its errors and its progress."""

from __future__ import annotations

import argparse
import atexit
import gc
import os
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypeVar

from study.errors import InputError

if TYPE_CHECKING:
    from study.params import Params
    from study.paths import EncoderKey

T = TypeVar("T")

# The system takes back the memory of a process that ends: Python need not look for garbage in it
# first, which takes half a second after TensorFlow.
atexit.register(gc.freeze)


def _number(text: str) -> int:
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError("must be at least 1")
    return number


OPTIONS: dict[str, dict[str, Any]] = {
    "dataset": dict(help="the dataset, as named in the params file (e.g. notes)"),
    "shard": dict(type=int, help="which part of the dataset, as listed in the params file"),
    "modality": dict(help="audio, video or images"),
    "slicing": dict(help="how an input becomes patches, e.g. frequency-10, grid-3x3, frames-20"),
    "method": dict(help="the pretraining method, e.g. perturbed_fy; random is the untrained CFN"),
    "seed": dict(type=int, help="the upstream seed, as listed in the params file"),
    "threads": dict(
        type=_number, required=False, metavar="N", help="cores to use (default: the params file's)"
    ),
}
ENCODER = ("modality", "slicing", "method", "seed")
"""The options that say which encoder a stage is about."""


LIBRARIES = (
    "OMP_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
    "MKL_NUM_THREADS",
    "OPENCV_FOR_THREADS_NUM",
)
"""Where numerical libraries look for a number of threads when they are loaded."""


def parser(
    description: str | None, params: str = "the settings of the study"
) -> argparse.ArgumentParser:
    """A command line with ``--params``; ``params`` says what that file is."""
    result = argparse.ArgumentParser(
        description=description, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    result.add_argument(
        "--params",
        type=Path,
        default=Path("params.yaml"),
        metavar="FILE",
        help=f"{params} (default: params.yaml)",
    )
    return result


def params_file() -> Path:
    """The params file that the environment variable PARAMS names, or else params.yaml."""
    return Path(os.environ.get("PARAMS", "params.yaml"))


def tool_parser(
    description: str | None, params: str = "the settings of the study"
) -> argparse.ArgumentParser:
    """As :func:`parser`, for a program of a person: PARAMS names the file where no option does."""
    result = parser(description, params)
    result.set_defaults(params=params_file())
    return result


def open_stage(
    description: str | None, *names: str, arguments: list[str] | None = None
) -> tuple[argparse.Namespace, Params]:
    """Read a stage's command line and the params file that it names.

    Args:
        description: the stage's docstring, for ``--help``.
        names: the options that it takes, keys of :data:`OPTIONS`.
        arguments: words of the command line; None takes the program's own.

    Returns:
        The options and the settings.

    Raises:
        InputError: where the params file is wrong.
    """
    options = parser(description)
    for name in names:
        options.add_argument(f"--{name}", **{"required": True, **OPTIONS[name]})
    args = options.parse_args(arguments)
    from study.loading import load_params  # the schema takes a second, --help should not

    return args, load_params(args.params)


def open_encoder(
    description: str | None,
    *names: str,
    arguments: list[str] | None = None,
    needs_network: bool = True,
) -> tuple[argparse.Namespace, Params, EncoderKey]:
    """As :func:`open_stage`, for a stage that is about one encoder; its key as well.

    Where it needs no network, its options may name features without one, too.

    Raises:
        InputError: where the params file is wrong, or the options name no encoder.
    """
    args, params = open_stage(description, *ENCODER, *names, arguments=arguments)
    key = params.encoder_key if needs_network else params.scored_key
    return args, params, key(args.modality, args.slicing, args.method, args.seed)


def run(main: Callable[[], None]) -> None:
    """Run a program's ``main``; a mistake of the user ends in one line on stderr, exit status 1."""
    try:
        main()
    except InputError as error:
        sys.exit(f"error: {error}")
    except KeyboardInterrupt:
        sys.exit("interrupted: outputs are whole or absent; run again to continue")
    except OSError as error:
        if error.filename is None and error.errno is None:
            raise
        where = f"{error.filename}: " if error.filename else ""
        sys.exit(f"error: {where}{error.strerror or error}")


def cores(args: argparse.Namespace, setting: int | Literal["all"]) -> int:
    """How many cores a stage may use: ``--threads``, or else the params file's; at least 1."""
    return args.threads or ((os.cpu_count() or 1) if setting == "all" else setting)


def limit_threads(number: int) -> None:
    """Set the number of threads of this process's numerical libraries, and of those it starts.

    The shell's OMP_NUM_THREADS decides nothing: numerical libraries sum in another order on
    another number of threads, so it would change results unseen.
    """
    os.environ.update(dict.fromkeys(LIBRARIES, str(number)))  # for what is loaded from now on
    from threadpoolctl import threadpool_limits

    threadpool_limits(number)  # for what is loaded


def threads(args: argparse.Namespace, setting: int | Literal["all"]) -> int:
    """Let this process's numerical libraries use as many threads as the stage may use cores.

    Returns:
        The number of threads, at least 1.
    """
    number = cores(args, setting)
    limit_threads(number)
    return number


def progress(
    items: Iterable[T], *, total: int, label: str, unit: str, every: float = 10.0
) -> Iterator[T]:
    """Yield the items; show rate and time left, as a bar on a terminal or else as plain lines."""
    if sys.stderr.isatty():
        from tqdm import tqdm

        yield from tqdm(items, total=total, desc=label, unit=f" {unit}")
        return
    start = last = time.monotonic()
    done = 0
    for item in items:
        yield item
        done += 1
        now = time.monotonic()
        if now - last >= every or done == total:
            last = now
            rate = done / max(now - start, 1e-9)
            left = (total - done) / rate
            print(
                f"{label}: {done}/{total} {unit}, {rate:.3g} {unit}/s, {left:.0f} s left",
                file=sys.stderr,
                flush=True,
            )
