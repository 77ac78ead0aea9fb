"""Capturing what libraries written in C print to the process's stderr."""

from __future__ import annotations

import os
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from typing import BinaryIO


@contextmanager
def stderr_aside() -> Iterator[BinaryIO]:
    """A temporary file that captures all that is written to file descriptor 2 inside the block.

    The file is gone after the block: read it inside. All threads share the descriptor, so use
    processes for parallel work.
    """
    sys.stderr.flush()
    stderr = os.dup(2)
    try:
        with tempfile.TemporaryFile() as aside:
            os.dup2(aside.fileno(), 2)
            try:
                yield aside
            finally:
                os.dup2(stderr, 2)
    finally:
        os.close(stderr)
