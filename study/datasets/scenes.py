"""The embedded dataset scenes: composed pictures of 20 kinds of things, labelled as in VOC."""

from __future__ import annotations

import sys
from functools import partial

from shuffle_to_learn.datasets import scenes as library
from study.datasets.writing import describe, write
from study.params import Params


def make(params: Params, name: str, threads: int) -> None:
    """Render the pictures, and write dataset and manifest."""
    settings = params.scenes
    assert settings is not None
    counts = {split: getattr(settings, split) for split in library.SPLITS}
    look = library.Settings(
        size=settings.size,
        objects=settings.objects,
        materials=settings.materials,
        shares=settings.shares,
    )
    with library.workers(threads) as pool:
        plan = library.Plan(counts, settings.seed, look)
        write(params, name, partial(library.Scenes, plan=plan, pool=pool))
    manifest = [
        {
            "id": f"{scene.id}.jpg",
            "drawn": sorted({thing.label for thing in scene.things}),  # some may be hidden
            "room": scene.place.room is not None,
            "split": split,
            "kept": True,
            "reason": "",
        }
        for split, number in counts.items()
        for scene in library.draw(split, number, seed=settings.seed, settings=look)
    ]
    describe(params, name, manifest)
    print(f"scenes: {sum(counts.values())} pictures", file=sys.stderr)
