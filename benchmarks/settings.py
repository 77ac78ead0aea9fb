"""Try settings on the validation split: rows of results for each combination.

  python -m benchmarks.settings --modality video --method perturbed_fy mse --seed 0 \\
      --set video.pretrain.width=0.125 video.pretrain.epochs=20 --output docs/tuning.csv

Runs the stages pretrain, embed and downstream in a folder of their own, for the first slicing of
the modality (or --slicing) and each embedding layer named; the probes are fitted on training
examples and scored on the *validation* split, never on test. Appends a row for each task, number of
examples and metric to the output, with what was set. The features of the params file must exist
(snakemake --until join); what is set may not change them, but for --standardise, which gives each
band of spectrograms mean 0 and deviation 1 over the training split.

The methods raw and summary score the features without a network. A layer called joined+summary or
tiles+summary is scored with the means and deviations of the features beside it.
"""

from __future__ import annotations

import argparse
import shutil
import sys
import tempfile
import time
from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np
import pandas as pd
import yaml

from study import cli
from study.features import read_features
from study.files import read_json

sys.path.insert(0, str(Path(__file__).parent.parent))

from stages import downstream, embed, pretrain
from study.loading import load_params, merged
from study.params import Params
from study.paths import SPLITS, EncoderKey

COLUMNS = ["settings", "modality", "slicing", "method", "seed", "layer", "train_seconds"]
COLUMNS += ["partial_ranks", "kendall_tau", "task", "n_examples", "metric", "mean", "sd_of_draws"]


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--modality", required=True)
    parser.add_argument("--slicing")
    parser.add_argument("--method", nargs="+", required=True)
    parser.add_argument("--seed", nargs="+", type=int, default=[0])
    parser.add_argument("--set", nargs="*", default=[], metavar="KEY=VALUE")
    parser.add_argument("--params", type=Path, default=Path("params.yaml"))
    parser.add_argument("--layers", nargs="+", default=["joined", "tiles"])
    parser.add_argument("--standardise", action="store_true", help="the bands of spectrograms")
    parser.add_argument("--output", type=Path, required=True)
    args = parser.parse_args()

    if args.output.exists() and list(pd.read_csv(args.output, nrows=0)) != COLUMNS:
        sys.exit(f"error: {args.output} has other columns: choose another file")
    content = with_settings(merged(args.params), args.set)
    said = [*args.set, *(["bands=standardised"] if args.standardise else [])]
    for method in args.method:
        for seed in args.seed:
            for row in trial(content, args.modality, args.slicing, method, seed, args):
                row = {"settings": " ".join(said), **row}
                print(row, flush=True)
                pd.DataFrame([row], columns=COLUMNS).to_csv(
                    args.output, mode="a", index=False, header=not args.output.exists()
                )


def with_settings(content: dict, items: Iterable[str]) -> dict:
    """A params file's content with settings, KEY=VALUE, in place of its own."""
    for item in items:
        key, value = item.split("=", 1)
        section = content
        *parents, last = key.split(".")
        for parent in parents:
            section = section[parent]
        section[last] = yaml.safe_load(value)
    return content


def trial(
    content: dict,
    modality: str,
    slicing: str | None,
    method: str,
    seed: int,
    args: argparse.Namespace,
) -> Iterator[dict]:
    """The rows of one network, or of the features."""
    params = Params.model_validate(content)
    study = params.study(modality)
    encoder = params.scored_key(modality, slicing or study.slicings[0], method, seed)
    made = params.layout.features(study.dataset, "train").parent
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "params.yaml"
        seconds, ranks = 0.0, {}
        for layer in args.layers if encoder.network else args.layers[:1]:
            base, _, more = layer.partition("+")
            changed = yaml.safe_load(yaml.safe_dump(content))
            changed["paths"] = {"data": f"{folder}/data", "results": f"{folder}/results"}
            changed[modality]["embed"]["layer"] = base
            changed[modality]["downstream"]["evaluate_on"] = "valid"
            changed[modality]["downstream"]["others"] |= {"probes": [], "layers": []}
            file.write_text(yaml.safe_dump(changed))
            params = load_params(file)
            layout = params.layout
            features = layout.features(study.dataset, "train").parent
            if not features.exists():
                features.parent.mkdir(parents=True)
                features.symlink_to(made.resolve())
                if args.standardise:
                    standardise(features, made.resolve())
            options = ["--modality", modality, "--slicing", encoder.slicing, "--method", method]
            options += ["--seed", str(seed), "--params", str(file)]
            if encoder.network and not seconds:
                start = time.monotonic()
                pretrain.main(options)
                seconds = time.monotonic() - start
                embed.main(options)
                ranks = read_json(layout.pretext(encoder), "pretrain")["metrics"]
            if more:
                put_beside(params, encoder, base)
            downstream.main(options)
            scores = pd.read_csv(layout.scores(encoder))
            for (task, n, metric), values in scores.groupby(["task", "n_examples", "metric"])[
                "value"
            ]:
                yield {
                    "modality": modality,
                    "slicing": encoder.slicing,
                    "method": method,
                    "seed": seed,
                    "layer": layer if encoder.network else "",
                    "train_seconds": round(seconds),
                    "partial_ranks": round(ranks.get("partial_ranks", float("nan")), 3),
                    "kendall_tau": round(ranks.get("kendall_tau", float("nan")), 3),
                    "task": task,
                    "n_examples": n,
                    "metric": metric,
                    "mean": round(values.mean(), 4),
                    "sd_of_draws": round(values.std(), 4),
                }


def standardise(folder: Path, made: Path) -> None:
    """Put spectrograms whose bands have mean 0 and deviation 1 in place of a link to a folder."""
    folder.unlink()
    shutil.copytree(made, folder)
    train = np.load(folder / "train.npy").astype(np.float32)
    mean, deviation = (of(train, axis=(0, 2))[:, None] for of in (np.mean, np.std))
    for split in SPLITS:
        path = folder / f"{split}.npy"
        np.save(path, ((np.load(path) - mean) / deviation).astype(np.float16))


def put_beside(params: Params, key: EncoderKey, layer: str) -> None:
    """Add means and deviations of the features to the embeddings of a layer."""
    for split in SPLITS:
        path = params.layout.embeddings(key, split, layer)
        features = read_features(params, key.modality, split)
        summary = downstream.summary(params.study(key.modality), features)
        np.save(path, np.concatenate([np.load(path), summary], axis=1).astype(np.float16))


if __name__ == "__main__":
    cli.run(main)
