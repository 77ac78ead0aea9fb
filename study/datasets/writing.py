"""What all datasets of the study share: writing a TFDS dataset and its manifest."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from contextlib import redirect_stdout
from pathlib import Path
from typing import Any

from study.cli import progress
from study.errors import InputError
from study.files import atomic
from study.params import Params


def write(
    params: Params,
    name: str,
    make: Callable[..., Any],
    finish: Callable[[Any, Path], None] = lambda builder, folder: None,
) -> None:
    """Write a dataset by a builder that lacks its folder and a function to show progress.

    ``finish`` has the last word on the builder and the folder: what it raises leaves nothing.
    """
    import tensorflow as tf
    import tensorflow_datasets as tfds
    from absl import logging

    logging.set_verbosity(logging.ERROR)
    tfds.disable_progress_bar()
    with (
        atomic(params.layout.dataset(name)) as folder,
        tempfile.TemporaryDirectory() as downloads,  # stays empty
        redirect_stdout(None),  # it speaks of downloads
    ):
        try:
            builder = make(data_dir=folder, progress=progress)
            builder.download_and_prepare(
                download_dir=downloads,
                download_config=tfds.download.DownloadConfig(try_download_gcs=False),
            )
        except RuntimeError as error:
            # What TensorFlow cannot write (a full disk) TFDS raises anew, as another type.
            if not isinstance(error.__cause__, tf.errors.OpError):
                raise
            reason = error.__cause__.message.splitlines()[0]
            raise InputError(f"could not write the dataset: {reason}") from error
        finish(builder, folder)


def describe(params: Params, name: str, manifest: list[dict]) -> None:
    """Write the manifest of a dataset, one row an example."""
    import pandas as pd

    with atomic(params.layout.manifest(name)) as temporary:
        pd.DataFrame(manifest).to_parquet(temporary, index=False)
