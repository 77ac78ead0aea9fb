"""Capturing what libraries written in C print to the process's stderr."""

from __future__ import annotations

import os
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from typing import BinaryIO

# Files that are free: to make one takes longer than a small picture's decoder needs for a message.
# A child process would share their place with its parent.
_free: list[BinaryIO] = []
os.register_at_fork(after_in_child=_free.clear)


@contextmanager
def stderr_aside() -> Iterator[BinaryIO]:
    """A temporary file that captures all that is written to file descriptor 2 inside the block.

    The file is emptied after the block: read it inside. All threads share the descriptor, so use
    processes for parallel work.
    """
    sys.stderr.flush()
    stderr = os.dup(2)
    aside: BinaryIO = _free.pop() if _free else tempfile.TemporaryFile(buffering=0)
    try:
        os.dup2(aside.fileno(), 2)
        try:
            yield aside
        finally:
            os.dup2(stderr, 2)
            aside.seek(0)
            aside.truncate()
            _free.append(aside)
    finally:
        os.close(stderr)
