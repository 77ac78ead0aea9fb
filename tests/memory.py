"""How much memory a piece of work takes at its peak."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

PROCESS = Path("/proc/self")


class Peak:
    """Kilobytes above what the process had at the start of the block."""

    kilobytes: int


@contextmanager
def peak() -> Iterator[Peak]:
    """Measure a block's peak, whatever an earlier test has taken: the kernel's mark starts anew."""
    try:
        (PROCESS / "clear_refs").write_text("5")  # the high-water mark is what is resident now
    except OSError:
        pytest.skip("needs Linux, where a process can set its peak of memory back")
    before, result = _resident("VmRSS"), Peak()
    yield result
    result.kilobytes = _resident("VmHWM") - before


def _resident(name: str) -> int:
    status = (PROCESS / "status").read_text()
    return int(re.search(rf"^{name}:\s+(\d+) kB$", status, re.M)[1])
