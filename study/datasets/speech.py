"""The datasets of recorded speech: a window of each recording, from its start."""

from __future__ import annotations

import sys
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from shuffle_to_learn.datasets import folder as library
from shuffle_to_learn.datasets import speech, tree
from shuffle_to_learn.datasets.packages import PACKAGES
from study.datasets.writing import describe, write
from study.errors import InputError
from study.params import Params
from study.sections import Speech


def make(params: Params, name: str, threads: int) -> None:
    """Find the recordings, draw splits, and write dataset and manifest.

    Raises:
        InputError: where the recordings are not there, or one cannot be read.
    """
    settings, package = getattr(params, name), PACKAGES[name]
    folder = Path(settings.source)
    if not folder.is_dir():
        raise InputError(f"{name}.source: {folder} does not exist: {package.how}")
    items = speech.FINDERS[name](folder)
    if not items:
        raise InputError(f"{name}.source: {folder} holds none of its recordings: {package.how}")
    items = _drawn(items, settings, package.group, name)

    def check(builder: Any, _: Path) -> None:
        for item, reason in builder.rejected.items():
            raise InputError(f"{folder / item}: {reason}: delete {folder} and {package.how}")

    with library.workers(threads) as pool:
        builder = partial(
            speech.BUILDERS[name],
            folder=folder,
            items=[item for item in items if not item.reason],
            modality="audio",
            seconds=settings.seconds,
            sample_rate=settings.sample_rate,
            pool=pool,
        )
        write(params, name, builder, check)
    manifest = [
        {
            "id": item.id,
            **{label: told or None for label, told in item.labels.items()},
            "split": item.split,
            "kept": not item.reason,
            "reason": item.reason,
        }
        for item in items
    ]
    describe(params, name, manifest)
    kept = sum(not item.reason for item in items)
    groups = len({item.labels[package.group] for item in items})
    print(
        f"{name}: kept {kept} of {len(items)} recordings, of {groups} {package.group}s; "
        f"identical to one of these: {len(items) - kept}",
        file=sys.stderr,
    )


def _drawn(
    items: list[library.Item], settings: Speech, group: str, name: str
) -> list[library.Item]:
    """The recordings with their splits, the same for all of a group."""
    try:
        splits = tree.assign(
            [item.labels[group] for item in items],
            [""] * len(items),
            valid_share=settings.valid_share,
            test_share=settings.test_share,
            seed=settings.seed,
        )
    except ValueError as error:
        raise InputError(f"{name}.source: {settings.source}: {group}s: {error}") from None
    return [replace(item, split=split) for item, split in zip(items, splits, strict=True)]
