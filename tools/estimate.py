"""How long a study takes on this machine and how much disk it fills: make estimate PARAMS=...

Measures, for some seconds each, what the study's jobs do most: making features, training steps of
each network, embedding and fitting probes, with the params file's own settings. Multiplies by the
number of inputs and jobs. Data need not be there: inputs are made up, of the right sizes.
"""

from __future__ import annotations

import os
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable
from functools import cache, partial
from math import prod
from pathlib import Path
from typing import Any

import numpy as np

from shuffle_to_learn.slicing import Slicing
from study import cli
from study.announce import START, WIDTH, inputs
from study.loading import load_params
from study.params import Params, Study
from study.tensorflow import start_tensorflow

LEAST = 2.0  # seconds that a measurement takes at least
GIB = 2**30


def timed(function: Callable[[], Any]) -> float:
    """Seconds a call, after one that is not counted."""
    function()
    start, calls = time.perf_counter(), 0
    while calls < 3 or time.perf_counter() - start < LEAST:
        function()
        calls += 1
    return (time.perf_counter() - start) / calls


def extraction(params: Params, modality: str) -> float:
    """Seconds an input, from what is stored to features."""
    rng = np.random.default_rng(0)
    settings = params.study(modality).features.model_dump(exclude={"max_rejected"})
    if modality == "audio":
        from shuffle_to_learn.features.spectrogram import log_mel

        recording = params.recording
        sound = rng.normal(size=recording.samples).astype(np.float32)
        return timed(lambda: log_mel(sound, sample_rate=recording.sample_rate, **settings))
    import cv2

    picture = cv2.resize(rng.integers(0, 255, (30, 40, 3)).astype(np.uint8), (500, 375))
    if modality == "images":
        from shuffle_to_learn.features.pictures import read_picture

        content = cv2.imencode(".jpg", picture)[1].tobytes()
        return timed(lambda: read_picture(content, **settings))
    from shuffle_to_learn.datasets.motions import encode
    from shuffle_to_learn.features.video import read_frames

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "a.webm"
        small = cv2.resize(picture, (320, 240))
        encode(np.stack([np.roll(small, 4 * place, axis=1) for place in range(48)]), path)
        return timed(lambda: read_frames(path, **settings))


class Costs:
    """What one network's jobs cost, measured on made-up inputs.

    Attributes:
        step: seconds of a training step.
        forward: seconds an input.
        size: bytes of the network.
        features: of the embedding.
    """

    def __init__(self, study: Study, slicing_name: str) -> None:
        from shuffle_to_learn.models.cfn import build_cfn
        from shuffle_to_learn.models.embedding import embed
        from shuffle_to_learn.pretext.methods import METHODS
        from shuffle_to_learn.pretext.pretraining import Pretraining

        slicing, settings = Slicing.parse(slicing_name), study.pretrain
        method = METHODS["mse"](slicing.patches)
        tile = slicing.tile_shape(study.shape, settings.gap)
        model = build_cfn(slicing.patches, tile, method.outputs, seed=0, **settings.network)
        batch = settings.batch_size
        x = np.random.default_rng(0).integers(0, 255, (batch, *study.shape)).astype(np.uint8)
        training = Pretraining(
            model, method, slicing, gap=settings.gap, epochs=10**6, batch_size=batch
        )
        self.step = timed(lambda: training.run_epoch(x))
        whole = partial(embed, model, x, slicing, layer=study.embed.layer, gap=settings.gap)
        self.forward = timed(whole) / batch
        self.features = whole().shape[1]
        self.size = 4 * model.count_params()


def probes(study: Study, features: int, n: int) -> float:
    """Seconds of the study's own probe of n examples, for each replicate."""
    from shuffle_to_learn.evaluation.probes import Settings, predict_with_probes

    down = study.downstream
    fit = down.model_dump(include=set(Settings.__dataclass_fields__) - {"hidden"})
    hidden = tuple(down.hidden) if down.probe == "mlp" else ()
    x = np.random.default_rng(0).normal(size=(n, features)).astype(np.float32)
    y = np.arange(n) % 10
    start = time.perf_counter()
    predict_with_probes(
        x, y, [np.arange(n)], x[:250], classes=10, settings=Settings(hidden=hidden, **fit)
    )
    return time.perf_counter() - start


def estimate(params: Params) -> tuple[dict[str, list[float]], dict[str, float]]:
    """(jobs, seconds on one core) of each stage, and bytes on disk of each kind of file."""
    work: dict[str, list[float]] = defaultdict(lambda: [0, 0.0])
    disk: dict[str, float] = defaultdict(float)

    def add(stage: str, seconds: float, jobs: int = 1) -> None:
        work[stage][0] += jobs
        work[stage][1] += jobs * (seconds + START)

    for modality, study in params.studies.items():
        counts = inputs(params, modality)
        shard = sum(counts.values()) / len(study.shards)
        add(study.extraction, shard * extraction(params, modality), len(study.shards))
        size = sum(counts.values()) * prod(study.shape) * WIDTH[modality]
        disk["features, in shards and joined"] += 2 * size
        measured = cache(partial(Costs, study))
        probe = cache(partial(probes, study))
        scored = sum(counts[split] for split in ("train", "valid", "test"))
        tasks = len(study.downstream.tasks)
        steps = counts[study.upstream[0]] // study.pretrain.batch_size
        for key in params.encoder_keys(modality):
            costs = measured(key.slicing)
            trained = study.pretrain.epochs if key.method != "random" else 0
            evaluated = counts[study.upstream[1]] * costs.forward
            add("pretrain", trained * (steps * costs.step + evaluated))
            add("embed", scored * costs.forward)
            names = [n for n in params.classifiers(key) if n not in ("end_to_end", "knn")]
            runs = [study.draws(key.slicing, name) for name in names]
            fits = sum(r * sum(probe(costs.features, n) for n in ns) for ns, r in runs)
            add("downstream", tasks * fits)
            disk["embeddings"] += scored * costs.features * 4
            disk["networks"] += costs.size
            if "end_to_end" in params.classifiers(key):
                examples, replicates = study.draws(key.slicing, "end_to_end")
                each = study.end_to_end.steps * costs.step * study.end_to_end.batch_size
                each /= study.pretrain.batch_size
                add("end_to_end", tasks * len(examples) * replicates * each)
    return dict(work), dict(disk)


def main(arguments: list[str] | None = None) -> None:
    options = cli.parser(__doc__)
    options.set_defaults(params=Path(os.environ.get("PARAMS", "params.yaml")))
    options.add_argument("--threads", **cli.OPTIONS["threads"])
    args = options.parse_args(arguments)
    params = load_params(args.params)
    print("measuring, a minute or some", file=sys.stderr)
    start_tensorflow(cli.threads(args, params.threads.pretrain))
    import tensorflow as tf

    work, disk = estimate(params)
    cores = os.cpu_count() or 1
    gpus = len(tf.config.list_physical_devices("GPU"))
    print(f"{args.params}, on {cores} cores" + (f" and {gpus} GPUs" if gpus else ""))
    print(f"{'stage':<14}{'jobs':>6}{'hours':>10}")
    for stage, (jobs, seconds) in work.items():
        print(f"{stage:<14}{jobs:>6.0f}{seconds / 3600:>10.1f}")
    total = sum(seconds for _, seconds in work.values()) / 3600
    jobs = sum(number for number, _ in work.values())
    print(f"{'in all':<14}{jobs:>6.0f}{total:>10.1f}   on one {'GPU' if gpus else 'core'}")
    if not gpus:
        print(f"{'':<14}{'':>6}{total / cores:>10.1f}   on {cores} cores")
    for what, size in disk.items():
        print(f"{what:<30}{size / GIB:>9.1f} GiB")
    print(f"{'on disk':<30}{sum(disk.values()) / GIB:>9.1f} GiB   datasets apart")


if __name__ == "__main__":
    cli.run(main)
