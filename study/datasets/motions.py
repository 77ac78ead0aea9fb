"""The embedded dataset motions: clips of moving things, labelled as in Something-Something."""

from __future__ import annotations

import sys
from functools import partial

from shuffle_to_learn.datasets import motions as library
from study.datasets.writing import describe, write
from study.params import Params
from study.paths import SPLITS


def make(params: Params, name: str, threads: int) -> None:
    """Render the clips, and write dataset and manifest."""
    settings = params.motions
    assert settings is not None
    labels = library.LABELS if settings.reversals else library.one_way()
    clips = library.plan(
        {split: getattr(settings, split) for split in SPLITS},
        glyph_shares=dict(zip(SPLITS, settings.shares, strict=True)),
        textures=settings.textures,
        webm_share=settings.webm_share,
        frames=(settings.frames_min, settings.frames_max),
        seed=settings.seed,
        labels=labels,
    )
    with library.workers(threads) as pool:
        builder = partial(
            library.Motions, clips=clips, labels=labels, size=settings.size, pool=pool
        )
        write(params, name, builder)
    manifest = [
        {
            "id": clip.id,
            "label": clip.motion.label,
            "small": clip.things[0],
            "large": clip.things[1],
            "texture": clip.texture,
            "frames": clip.frames,
            "video": clip.video,
            "split": clip.split,
            "kept": True,
            "reason": "",
        }
        for clip in clips
    ]
    describe(params, name, manifest)
    print(f"motions: {len(clips)} clips of {len(labels)} labels", file=sys.stderr)
