"""Try settings on the validation split: one line of results for each combination.

  python benchmarks/settings.py --method perturbed_fy mse --seed 0 \\
      --set audio.pretrain.width=0.125 audio.pretrain.epochs=20 --output docs/tuning.csv

Pretrains on the train split, draws 1000 labelled training examples (5 replicates) and scores the
probes on the *validation* split, never on test; for both embedding layers. Appends a row with what
was set to the output. The features of the params file must exist (snakemake spectrograms).
"""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path

import numpy as np
import pandas as pd
import yaml

sys.path.insert(0, str(Path(__file__).parent.parent))

from shuffle_to_learn.views import View
from stages.params import Params
from stages.runtime import start_tensorflow

TASKS = ("instrument", "family", "pitch")


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--method", nargs="+", required=True)
    parser.add_argument("--seed", nargs="+", type=int, default=[0])
    parser.add_argument("--set", nargs="*", default=[], metavar="KEY=VALUE")
    parser.add_argument("--features", type=Path, help="folder of features, if another")
    parser.add_argument("--params", type=Path, default=Path("params.yaml"))
    parser.add_argument("--layers", nargs="+", default=["joined", "tiles"])
    parser.add_argument("--output", type=Path, required=True)
    args = parser.parse_args()

    content = yaml.safe_load(args.params.read_text())
    for item in args.set:
        key, value = item.split("=", 1)
        section = content
        *parents, last = key.split(".")
        for parent in parents:
            section = section[parent]
        section[last] = yaml.safe_load(value)
    params = Params.model_validate(content)
    folder = args.features or params.layout.features("notes", "train").parent
    inputs = {s: np.load(folder / f"{s}.npy", mmap_mode="r") for s in ("train", "valid")}
    labels = {s: pd.read_parquet(folder / f"{s}.parquet") for s in ("train", "valid")}

    start_tensorflow(1)
    for method in args.method:
        for seed in args.seed:
            for row in trial(params, method, seed, inputs, labels, args.layers):
                row = {"settings": " ".join(args.set), **row}
                print(row, flush=True)
                pd.DataFrame([row]).to_csv(
                    args.output, mode="a", index=False, header=not args.output.exists()
                )


def trial(params: Params, name: str, seed: int, inputs: dict, labels: dict, layers: list[str]):
    import keras

    from shuffle_to_learn.cfn import build_cfn
    from shuffle_to_learn.embedding import embed
    from shuffle_to_learn.methods import METHODS
    from shuffle_to_learn.pretraining import Pretraining
    from shuffle_to_learn.probes import Settings, draw_subset, predict_with_probes

    keras.backend.clear_session()
    settings, down = params.audio.pretrain, params.audio.downstream
    view = View.parse(params.audio.views[0])
    own = getattr(params.audio.method, name).model_dump()
    rate = own.pop("learning_rate", 0.0)
    method = METHODS[name](view.patches, **own)
    tile = view.tile_size(inputs["train"].shape[1:], settings.gap)
    model = build_cfn(view.patches, (*tile, 1), method.outputs, seed=seed, **settings.network)
    pretraining = Pretraining(
        model,
        method,
        view,
        learning_rate=rate,
        seed=seed,
        **settings.model_dump(include={"gap", "schedule", "warmup_epochs", "epochs", "batch_size"}),
    )
    start = time.monotonic()
    for _ in range(settings.epochs if method.trained else 0):
        pretraining.run_epoch(inputs["train"])
    seconds = time.monotonic() - start
    right = pretraining.evaluate(inputs["valid"])["partial_ranks"]
    n = len(inputs["train"])
    subsets = [draw_subset(n, min(1000, n), r, down.seed) for r in range(5)]
    for layer in layers:
        pool, queries = (
            embed(model, inputs[s], view, layer=layer, gap=settings.gap) for s in ("train", "valid")
        )
        row = {
            "method": name,
            "seed": seed,
            "layer": layer,
            "train_seconds": round(seconds),
            "partial_ranks": round(right, 3),
        }
        for task in TASKS:
            targets = labels["train"][task].to_numpy()
            wanted = labels["valid"][task].to_numpy()
            real = task == "pitch"
            if not real:
                classes, targets = np.unique(targets, return_inverse=True)
            predicted = predict_with_probes(
                pool,
                targets,
                subsets,
                queries,
                classes=None if real else len(classes),
                validation_share=down.validation_share,
                settings=Settings(**down.model_dump(include=set(Settings.__dataclass_fields__))),
                seed=down.seed,
            )
            if real:
                row["pitch_mse"] = round(float(np.mean(np.square(predicted - wanted))), 2)
            else:
                row[task] = round(float(np.mean(classes[predicted] == wanted)), 4)
        yield row


if __name__ == "__main__":
    main()
