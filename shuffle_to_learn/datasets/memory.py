"""Memory that worker processes keep for their next picture or sound."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager

# Pictures and sounds are blocks of some 100 KB. glibc would give each back to the system at once,
# and the next would wait for cleared pages. It takes no higher threshold for blocks than 32 MiB.
KEPT = {"MALLOC_MMAP_THRESHOLD_": str(2**25), "MALLOC_TRIM_THRESHOLD_": str(2**28)}


@contextmanager
def keeping_memory() -> Iterator[None]:
    """Processes that start meanwhile keep memory; what the environment says already stands."""
    added = {name: value for name, value in KEPT.items() if name not in os.environ}
    os.environ.update(added)  # read by the processes as they start
    try:
        yield
    finally:
        for name in added:
            del os.environ[name]
