"""Self-supervised learning from permutations via differentiable ranking, for TensorFlow.

Importing the package does not import TensorFlow; the modules that need it do. It has all names of
:mod:`shuffle_to_learn.ranking`, which is imported at the first use of one.
"""

from importlib import import_module
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from shuffle_to_learn.ranking import *  # noqa: F403 - its __all__, as __getattr__ gives

__version__ = "0.1.0"


def __getattr__(name: str) -> Any:
    # Python asks here for a module that is not imported yet, too, before it imports it.
    if name.startswith("__") or (name != "ranking" and find_spec(f"{__name__}.{name}")):
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    ranking = import_module(f"{__name__}.ranking")
    if name == "ranking":
        return ranking
    if name not in ranking.__all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(ranking, name)


def __dir__() -> list[str]:
    return sorted({*globals(), *import_module(f"{__name__}.ranking").__all__})
