"""Counts, in a Python process, the CPU seconds before its work begins: benchmarks/startup.py.

Python imports this first where the folder is on PYTHONPATH. What is counted: the interpreter's own
start, every import whenever it comes, reading the params file, and starting TensorFlow. A process
writes what it has counted to a file of its own in the folder TIMED, also as it goes, since a worker
may be killed at its end.
"""

import atexit
import builtins
import importlib
import json
import os
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

COUNTED = {"study.tensorflow": "start_tensorflow", "study.loading": "load_params"}
"""Functions that belong to the start, by their module."""
STEP = 0.02  # seconds that are written at once


class Clock:
    """CPU seconds, by all threads, inside the outermost call of the functions that it times."""

    def __init__(self) -> None:
        self.begin()

    def begin(self) -> None:
        self.seconds = time.process_time()  # of this process, a forked one too
        self.written = 0.0
        self.running = False
        self.file = Path(os.environ["TIMED"]) / f"{os.getpid()}-{time.time_ns()}.json"

    def timed(self, function: Callable[..., Any]) -> Callable[..., Any]:
        def call(*args: Any, **kwargs: Any) -> Any:
            if self.running or threading.current_thread() is not threading.main_thread():
                return function(*args, **kwargs)
            self.running, begun = True, time.process_time()
            try:
                return function(*args, **kwargs)
            finally:
                self.running = False
                self.seconds += time.process_time() - begun
                if self.seconds - self.written > STEP:
                    self.write()

        return call

    def write(self) -> None:
        self.written = self.seconds
        spent = os.times()
        total = spent.user + spent.system + spent.children_user + spent.children_system
        record = {"words": sys.orig_argv, "start": self.seconds, "total": total}
        record["process"] = spent.user + spent.system
        self.file.write_text(json.dumps(record))


def watch() -> None:
    clock, imported = Clock(), builtins.__import__

    def import_and_time(name: str, *args: Any, **kwargs: Any) -> Any:
        module = imported(name, *args, **kwargs)
        if name in COUNTED:
            found = sys.modules[name]
            function = getattr(found, COUNTED[name], None)
            if function and not hasattr(function, "is_timed"):
                timed = clock.timed(function)
                timed.is_timed = True  # type: ignore[attr-defined]
                setattr(found, COUNTED[name], timed)
        return module

    builtins.__import__ = clock.timed(import_and_time)
    importlib.import_module = clock.timed(importlib.import_module)
    atexit.register(clock.write)
    os.register_at_fork(after_in_child=clock.begin)


if "TIMED" in os.environ:
    watch()
