"""What the tests share: TensorFlow started once as the stages start it, and tiny studies."""

from __future__ import annotations

import sys

import pytest
from hypothesis import settings

from stages.runtime import start_tensorflow

settings.register_profile("tests", deadline=None, max_examples=25, derandomize=True)
settings.load_profile("tests")


@pytest.fixture(scope="session", autouse=True)
def _tensorflow_on_one_thread() -> None:
    """TensorFlow takes its settings before its first operation only; a tiny study has one thread.

    Where no collected test imports TensorFlow, this does not either.
    """
    if "tensorflow" in sys.modules:
        start_tensorflow(1)
