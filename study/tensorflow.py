"""Starting TensorFlow for a stage: few threads, same bytes, no chatter."""

from __future__ import annotations

import gc
import hashlib
import os
import sys
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from shuffle_to_learn.stderr import stderr_aside
from study.errors import InputError
from study.files import atomic, need, reading

if TYPE_CHECKING:
    import keras

ONEDNN = "1"
"""Whether TensorFlow uses oneDNN's kernels. By itself it does so only on some processors (those
with AVX-512 VNNI, BF16 or AMX), and is two to three times slower on the others."""


def start_tensorflow(threads: int) -> None:
    """Import TensorFlow with ``threads`` threads an operation and deterministic operations.

    The kernels are oneDNN's on every machine, whatever the shell's TF_ENABLE_ONEDNN_OPTS says:
    other kernels would change results unseen.
    """
    os.environ["TF_ENABLE_ONEDNN_OPTS"] = ONEDNN
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    # At import TensorFlow writes about missing GPU drivers straight to file descriptor 2: shown
    # only where the import fails.
    complaints = b""
    try:
        with stderr_aside() as aside:
            try:
                _configure(threads)
            except BaseException:
                aside.seek(0)
                complaints = aside.read()
                raise
    finally:
        os.write(2, complaints)


def _configure(threads: int) -> None:
    with _no_search_for_garbage(), _without("sklearn", "matplotlib", "pandas", "scipy", "cv2"):
        import keras  # noqa: F401
        import tensorflow as tf

    tf.config.threading.set_intra_op_parallelism_threads(threads)
    tf.config.threading.set_inter_op_parallelism_threads(1)
    tf.config.experimental.enable_op_determinism()
    tf.get_logger().setLevel("ERROR")  # no advice about retracing
    tf.constant(0)  # the devices are set up, and announced, at the first operation


@contextmanager
def _without(*packages: str) -> Iterator[None]:
    """Hide packages that Keras and TensorFlow import if they find them, for what no stage uses.

    A stage that reads tables imports pandas by itself, before or after.
    """
    hidden = [name for name in packages if name not in sys.modules]
    sys.modules.update(dict.fromkeys(hidden))  # type: ignore[arg-type]
    try:
        yield
    finally:
        for name in hidden:
            del sys.modules[name]


@contextmanager
def _no_search_for_garbage() -> Iterator[None]:
    """Import without looking for garbage among 400,000 objects that stay, then or later."""
    if "tensorflow" in sys.modules or not gc.isenabled():
        yield
        return
    gc.disable()
    try:
        yield
        gc.freeze()
    finally:
        gc.enable()


def save_model(path: str | Path, model: keras.Model) -> None:
    """Save a ``.keras`` file whose bytes depend on the model alone, not on the time."""
    import json

    with atomic(path) as temporary:
        raw = temporary.with_name(f".raw{temporary.name}")
        try:
            model.save(raw)
            with zipfile.ZipFile(raw) as source, zipfile.ZipFile(temporary, "w") as target:
                for name in sorted(source.namelist()):
                    content = source.read(name)
                    if name == "metadata.json":
                        metadata = json.loads(content)
                        metadata["date_saved"] = "1980-01-01@00:00:00"
                        content = json.dumps(metadata).encode()
                    target.writestr(zipfile.ZipInfo(name), content)
        finally:
            raw.unlink(missing_ok=True)


def load_model(path: str | Path, patches: tuple[int, ...]) -> keras.Model:
    """A saved CFN that takes patches of this shape.

    Raises:
        InputError: where the file is absent, damaged or of other patches.
    """
    import keras

    path = need(path, "pretrain")
    with reading(path, "pretrain"):
        if not zipfile.is_zipfile(path):  # Keras would say that there is no such file
            raise ValueError("not a whole .keras file")
        model = keras.saving.load_model(path, compile=False)
    if model.input_shape[1:] != patches:
        raise InputError(
            f"{path} takes patches of shape {model.input_shape[1:]}, the params file asks for "
            f"{patches}: run the stage pretrain again"
        )
    return model


def source_digest() -> str:
    """A digest of this project's modules that are loaded, to tell old code's work from new."""
    digest = hashlib.sha256()
    files = {}
    for module in list(sys.modules.values()):
        spec = getattr(module, "__spec__", None)  # knows the name of a stage run as __main__, too
        if (
            spec
            and spec.origin
            and spec.name.split(".")[0] in ("shuffle_to_learn", "stages", "study")
        ):
            files[spec.name] = spec.origin
    for _, file in sorted(files.items()):
        digest.update(Path(file).read_bytes())
    return digest.hexdigest()
