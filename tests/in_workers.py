"""What the tests have a worker do in place of a transform: a worker imports it from here."""

from __future__ import annotations

import os
import signal
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np

from shuffle_to_learn.datasets.memory import KEPT
from shuffle_to_learn.features.video import read_frames

SHAPE = (20, 16, 16, 1)  # of the features that the tests extract


def threads(content: Any, **settings: Any) -> np.ndarray:
    """The threads of the numerical libraries that are loaded, and OpenCV's, at the first places."""
    import cv2
    import scipy.linalg  # noqa: F401
    import threadpoolctl

    found = [cv2.getNumThreads(), *(p["num_threads"] for p in threadpoolctl.threadpool_info())]
    assert len(found) > 2
    result = np.zeros(SHAPE, np.uint8)
    result.flat[: len(found)] = found
    return result


def loaded(content: Any, **settings: Any) -> str:
    """Which of the packages that take seconds to import are loaded, as a reason to reject."""
    slow = {"tensorflow", "keras", "librosa", "numba", "pandas", "pydantic"} & {*sys.modules}
    return " ".join(sorted(slow)) or "none"


def kept_memory(content: Any, **settings: Any) -> str:
    """What the worker's environment says of the memory that it keeps, as a reason to reject."""
    return " ".join(f"{name}={os.environ.get(name)}" for name in sorted(KEPT))


def killed(content: Any, **settings: Any) -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def killed_at(content: Path, **settings: Any) -> np.ndarray | str:
    """Reads a clip, unless it is one of those in ``KILLERS``."""
    if content.name in os.environ["KILLERS"].split():
        os.kill(os.getpid(), signal.SIGKILL)
    return read_frames(content, **settings)


def killed_or_size(path: Path) -> int:
    """The size of a file that is not called killer."""
    if path.stem.startswith("killer"):
        os.kill(os.getpid(), signal.SIGKILL)
    return path.stat().st_size


def nothing() -> None:
    """How a worker starts."""


def endless(content: Path, **settings: Any) -> None:
    """Tells in a file that it has begun."""
    Path(os.environ["BEGUN"], str(os.getpid())).touch()
    time.sleep(600)
