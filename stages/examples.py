"""Show what the pretext task is: inputs shuffled, and put back in order by trained networks.

Reads the networks of the study's first slicing and seed, what the pretext task says of them, and
held-out inputs. Draws some of the inputs as they are, shuffled, and with each patch where the best
and the worst network rank it, side by side: the trained method that puts most patches right, and
the one that puts fewest. Frames are shown in colour, from the video files: the network's own are
small and grey. Writes results/figures/reordered-<modality>.svg, .png and .csv (place, patch and
predicted rank of each patch). The inputs are spread evenly over the split, and the shuffles are any
of all n! orders, the same for both: neither is chosen by a result.
"""

from __future__ import annotations

from pathlib import Path

import matplotlib

matplotlib.use("agg")  # no window system, whatever the environment says

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd

from shuffle_to_learn.slicing import Slicing, sampled
from study import cli, clips
from study.drawing import rc, save
from study.features import read_features
from study.files import need, read_json, reading, write_csv
from study.mosaic import colours, draw
from study.names import dataset_label, looks
from study.params import Params
from study.paths import EncoderKey
from study.tensorflow import load_model, start_tensorflow

INPUTS = 3
SIZE = 96  # pixels along the side of a frame that is shown
COLUMNS = ["method", "input", "place", "patch", "rank", "predicted_rank"]


def main(arguments: list[str] | None = None) -> None:
    args, params = cli.open_stage(__doc__, "modality", arguments=arguments)
    modality, study, paths = args.modality, params.study(args.modality), params.layout
    shown = best_and_worst(params, modality)
    slicing = Slicing.parse(shown[0].slicing)
    inputs = read_features(params, modality, study.upstream[1])
    chosen = np.linspace(0, len(inputs) - 1, 2 * min(INPUTS, len(inputs)) + 1).astype(int)[1::2]
    orders = np.tile(np.arange(slicing.patches), (len(chosen), 1))
    orders = np.random.default_rng(0).permuted(orders, axis=1)

    start_tensorflow(1)
    from shuffle_to_learn.pretext.reordering import put_back

    rows, answers = [], {}
    ranked = ("best, ", "worst, ") if len(shown) > 1 else ("",)
    for key, which in zip(shown, ranked, strict=True):
        patches, _, predicted = put_back(
            load_model(need(paths.model(key), "pretrain"), study.patches_shape(slicing)),
            study.build_method(key.method, slicing),
            np.asarray(inputs[chosen]),
            slicing,
            gap=study.pretrain.gap,
            orders=orders,
        )
        answers[which + looks([key.method])[key.method].label] = np.argsort(predicted, axis=1)
        rows += [
            (key.method, int(chosen[i]), place + 1, patch + 1, patch + 1, predicted[i, place])
            for i in range(len(chosen))
            for place, patch in enumerate(orders[i])
        ]
    if modality == "video":
        films = clips.watch(params, study.upstream[1], chosen.tolist(), SIZE)
        patches = films[:, sampled(films.shape[1], slicing.frames)] / 255
    name = f"reordered-{modality}"
    write_csv(paths.figure(name, "csv"), pd.DataFrame(rows, columns=COLUMNS))
    with matplotlib.rc_context(rc()):
        figure = draw(colours(modality, patches), orders, answers, slicing, modality)
        by = "the best and the worst network" if len(shown) > 1 else "the network"
        title = f"Shuffled, and put back by {by}\n{dataset_label(study.dataset)}"
        figure.suptitle(title, fontsize="large")
        for suffix in ("svg", "png"):
            save(figure, paths.figure(name, suffix))
    plt.close("all")


def best_and_worst(params: Params, modality: str) -> list[EncoderKey]:
    """The trained networks that put most and fewest patches right, or the one that there is.

    They are of the first slicing and seed, and are told apart by the partial ranks over all orders.
    """
    ordered = params.reordering(modality)
    if len(ordered) > 1:
        ordered.sort(key=lambda key: -right(params.layout.pretext(key)))
    return list(dict.fromkeys([ordered[0], ordered[-1]]))


def right(path: Path) -> float:
    """The share of patches that a network puts in their places, as its pretext file says."""
    said = read_json(path, "pretrain")
    with reading(path, "pretrain"):
        return float(said["metrics"]["partial_ranks"])


if __name__ == "__main__":
    cli.run(main)
