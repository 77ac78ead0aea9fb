"""What a single frame, and a codec's noise, give away in the dataset `motions`.

    python -m benchmarks.motions_leak [--clips 2000] [--still 300] [--workers 2]

Renders, encodes and decodes clips as the stages do with the settings of params.yaml, then asks (a)
linear probes for the label, from the first, the middle and the last sampled frame alone; and (b) a
classifier for the place of a frame in its clip, from sharpness, noise and brightness, on clips in
which nothing happens or a thing goes round and round: as they are decoded, with and without the
frames at the start that the study skips, and as the networks see them. Prints the tables and writes
them to benchmarks/motions_leak.md.
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path

import cv2
import numpy as np
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.linear_model import RidgeClassifierCV
from sklearn.model_selection import GroupKFold, StratifiedKFold, cross_val_predict
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from shuffle_to_learn.datasets import motions
from shuffle_to_learn.datasets.motions import LABELS, Clip
from shuffle_to_learn.features.squares import with_channels
from shuffle_to_learn.features.video import read_clip, without_background
from study.loading import load_params
from study.paths import SPLITS

STUDY = load_params(Path(__file__).parent.parent / "params.yaml")
SETTINGS = STUDY.video.frames
FRAMES, SIZE = SETTINGS.count, STUDY.motions.size
PLACES = {"first": 0, "middle": FRAMES // 2, "last": FRAMES - 1}
OUTPUT = Path(__file__).with_suffix(".md")

States = Callable[[Clip], np.ndarray]


def plan(count: int, webm_share: float) -> list[Clip]:
    settings = STUDY.motions
    return motions.plan(
        {"train": count, "valid": 0, "test": 0},
        glyph_shares=dict(zip(SPLITS, settings.shares, strict=True)),
        textures=settings.textures,
        webm_share=webm_share,
        frames=(settings.frames_min, settings.frames_max),
        seed=settings.seed + 1,
    )


def decoded(
    clip: Clip, folder: Path, states: np.ndarray | None, size: int, skip: int
) -> np.ndarray:
    path = folder / f"{clip.id}{clip.suffix}"
    motions.encode(motions.render(clip, SIZE, states), path)
    clip_frames = read_clip(path, FRAMES, size, skip=skip)
    path.unlink()
    return clip_frames


def random_features(images: np.ndarray, count: int = 96, grid: int = 4) -> np.ndarray:
    """Two sizes of random filters, rectified and averaged over a grid (N, count * grid**2)."""
    rng = np.random.default_rng(0)
    kernels = [rng.standard_normal((k, k, 3)) / k for k in (5, 11) for _ in range(count // 2)]
    result = np.empty((len(images), count, grid, grid), np.float32)
    for image, row in zip(images, result, strict=True):
        picture = image.astype(np.float32) / 128 - 1
        for kernel, cell in zip(kernels, row, strict=True):
            kernel = kernel - kernel.mean()
            response = sum(cv2.filter2D(picture[..., c], -1, kernel[..., c]) for c in range(3))
            cell[:] = cv2.resize(
                np.maximum(response, 0), (grid, grid), interpolation=cv2.INTER_AREA
            )
    return result.reshape(len(images), -1)


def true_state(clip: Clip, share: float) -> np.ndarray:
    """What one would know who saw everything in a frame: places, distance, sides, angles."""
    small, large = clip.motion.states(clip.scene(), np.array([share]))[0]
    apart = (large[:2] - small[:2] + 0.5) % 1 - 0.5
    return np.concatenate(
        [
            small[:2] % 1,
            large[:2] % 1,
            apart,
            [np.hypot(*apart), abs(apart[0]), abs(apart[1]), small[2], large[2]],
            [small[3] % 360, large[3] % 360, large[2] / small[2]],
        ]
    )


def single_frame_probe(
    features: np.ndarray, labels: np.ndarray, *, linear: bool = True
) -> np.ndarray:
    """Labels predicted by cross-validation in five parts."""
    model = (
        make_pipeline(StandardScaler(), RidgeClassifierCV(np.logspace(2, 6, 9)))
        if linear
        else HistGradientBoostingClassifier(max_iter=60, learning_rate=0.1)
    )
    return cross_val_predict(
        model, features, labels, cv=StratifiedKFold(5, shuffle=True, random_state=0)
    )


def statistics(clip: np.ndarray) -> np.ndarray:
    """Sharpness, noise, blocks and brightness of each frame, less the clip's mean (frames, 7)."""
    grey = clip.astype(np.float32).mean(-1)
    rows = []
    for frame, colour in zip(grey, clip.astype(np.float32), strict=True):
        soft = cv2.GaussianBlur(frame, (0, 0), 1)
        steps = np.abs(np.diff(frame, axis=1)).mean(0)
        rows.append(
            [
                cv2.Laplacian(frame, cv2.CV_32F).var(),
                (frame - soft).var(),
                (frame - grey.mean(0)).var(),
                steps[7::8].mean() / max(float(steps.mean()), 1e-6),
                frame.mean(),
                frame.std(),
                (colour[..., 0] - colour[..., 2]).std(),
            ]
        )
    table = np.log(np.array(rows) + 1e-3)
    return table - table.mean(0)


def motionless(clip: Clip) -> np.ndarray:
    """Nothing happens."""
    return np.repeat(clip.motion.states(clip.scene(), np.zeros(1)), clip.frames, 0)


def going_round(clip: Clip) -> np.ndarray:
    """One thing moves at a constant speed, any way: the same forwards and backwards."""
    states = motionless(clip)
    scene = clip.scene()
    way = np.array([np.cos(scene.direction), np.sin(scene.direction)])
    states[:, scene.mover, :2] += np.linspace(0, scene.travel, clip.frames)[:, None] * way
    return states


def table(head: list[str], rows: list[list[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--clips", type=int, default=2000)
    parser.add_argument("--still", type=int, default=300)
    parser.add_argument("--workers", type=int, default=2)
    args = parser.parse_args()
    parts = [f"# What one frame of `motions` gives away\n\n{single_frames(args)}"]
    parts.append(f"# What the codec gives away\n\n{codec_noise(args)}")
    text = "\n\n".join(parts) + "\n"
    print(text)
    OUTPUT.write_text(text)


def single_frames(args: argparse.Namespace) -> str:
    clips = plan(args.clips, webm_share=0.0)
    labels = np.array([clip.label for clip in clips])
    with tempfile.TemporaryDirectory() as folder, motions.workers(args.workers) as pool:
        work = partial(_three_frames, folder=Path(folder))
        pairs = list(pool.map(work, clips, chunksize=8))
    images, seen = (np.stack(parts) for parts in zip(*pairs, strict=True))
    features = {
        "raw pixels": lambda place: np.stack(
            [cv2.resize(im, (32, 32), interpolation=cv2.INTER_AREA) for im in images[:, place]]
        ).reshape(len(images), -1),
        "random features": lambda place: random_features(images[:, place]),
        "pixels as the networks see them": lambda place: seen[:, place].reshape(len(seen), -1),
    }
    rows, by_label = [], []
    for name, function in features.items():
        hits = [single_frame_probe(function(i), labels) == labels for i in range(len(PLACES))]
        rows.append([name, *(f"{hit.mean():.3f}" for hit in hits)])
        by_label.append(np.mean(hits, 0))
    # The sampled frames are about the middles of parts of equal length.
    shares = [(2 * place + 1) / (2 * FRAMES) for place in PLACES.values()]
    states = [np.stack([true_state(clip, share) for clip in clips]) for share in shares]
    hits = [single_frame_probe(state, labels, linear=False) == labels for state in states]
    rows.append(
        ["the true places and sizes (no picture), boosted trees"]
        + [f"{hit.mean():.3f}" for hit in hits]
    )
    by_label.append(np.mean(hits, 0))
    error = np.sqrt(0.05 * 0.95 / len(clips))
    detail = [
        [label, *(f"{hit[labels == i].mean():.2f}" for hit in by_label)]
        for i, label in enumerate(LABELS)
    ]
    return (
        f"Accuracy of a ridge classifier, five-fold, {len(clips)} clips; chance is "
        f"{1 / len(LABELS):.3f} (standard error {error:.3f}).\n\n"
        + table(["from", *PLACES], rows)
        + "\n\nBy label, the mean over the three frames:\n\n"
        + table(["label", *features, "true places"], detail)
    )


def _three_frames(clip: Clip, folder: Path) -> tuple[np.ndarray, np.ndarray]:
    """The frames as they are decoded, and as the networks see them."""
    places = list(PLACES.values())
    whole = decoded(clip, folder, None, 64, SETTINGS.skip)
    small = decoded(clip, folder, None, SETTINGS.size, SETTINGS.skip)
    return whole[places], as_networks_see(small)[places]


def as_networks_see(film: np.ndarray) -> np.ndarray:
    film = with_channels(film, SETTINGS.channels)
    return without_background(film) if SETTINGS.background == "subtract" else film


def codec_noise(args: argparse.Namespace) -> str:
    rows = []
    clips = plan(args.still, webm_share=0.0)
    places = np.tile(np.arange(FRAMES), len(clips))
    groups = np.repeat(np.arange(len(clips)), FRAMES)
    seen = f"{SETTINGS.size} px, as the networks see it"
    for suffix in (".mp4", ".webm"):
        kind = [replace(clip, suffix=suffix) for clip in clips]
        for states in (motionless, going_round):
            for what, skip in (
                (f"{SIZE} px, no frame skipped", 0),
                (f"{SIZE} px, {SETTINGS.skip} skipped", SETTINGS.skip),
                (seen, SETTINGS.skip),
            ):
                with (
                    tempfile.TemporaryDirectory() as folder,
                    motions.workers(args.workers) as pool,
                ):
                    work = partial(
                        _statistics,
                        folder=Path(folder),
                        states=states,
                        skip=skip,
                        as_seen=what == seen,
                    )
                    features = np.concatenate(list(pool.map(work, kind, chunksize=8)))
                model = HistGradientBoostingClassifier(max_iter=40, max_depth=4)
                said = cross_val_predict(model, features, places, groups=groups, cv=GroupKFold(3))
                half = (said >= FRAMES // 2) == (places >= FRAMES // 2)
                hits = said == places
                by_place = [hits[places == place].mean() for place in range(FRAMES)]
                inner = max(range(2, FRAMES - 1), key=by_place.__getitem__)
                rows.append(
                    [
                        suffix,
                        states.__name__.replace("_", " "),
                        what,
                        f"{hits.mean():.3f}",
                        *(f"{by_place[place]:.2f}" for place in (0, 1, FRAMES - 1)),
                        f"{by_place[inner]:.2f} ({inner + 1})",
                        f"{half.mean():.3f}",
                    ]
                )
    error = np.sqrt(1 / FRAMES * (1 - 1 / FRAMES) / len(clips))
    return (
        f"The place of a frame among {FRAMES}, told by boosted trees from seven statistics of each "
        f"frame against its clip, three-fold over {len(clips)} clips: chance is {1 / FRAMES:.3f} "
        f"for the place (standard error of one place {error:.3f}) and 0.5 for the half.\n\n"
        + table(
            ["file", "clip", "frames", "place", "1st", "2nd", "last", "best other", "half"], rows
        )
    )


def _statistics(clip: Clip, folder: Path, states: States, skip: int, as_seen: bool) -> np.ndarray:
    size = SETTINGS.size if as_seen else SIZE
    film = decoded(clip, folder, states(clip), size, skip)
    if as_seen:
        film = as_networks_see(film)
        film = np.broadcast_to(film, (*film.shape[:-1], 3))
    return statistics(film)


if __name__ == "__main__":
    main()
