"""Show what the pretext task is: inputs shuffled, and put back in order by a trained network.

Reads cfn.keras of the method that the params file has under `shown` and held-out inputs; draws some
of them as they are, shuffled, and with each patch where the network ranks it. Frames are shown in
colour, from the video files: the network's own are small and grey. Writes
results/figures/reordered-<modality>.svg, .png and .csv (place, patch and predicted rank of each
patch). The inputs are spread evenly over the split, and the shuffles are the evaluation's own kind:
neither is chosen by a result.
"""

from __future__ import annotations

import matplotlib

matplotlib.use("agg")  # no window system, whatever the environment says

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd

from shuffle_to_learn.slicing import Slicing, sampled
from study import cli, clips
from study.drawing import rc, save
from study.features import read_features
from study.files import need, write_csv
from study.mosaic import colours, draw, need_order
from study.names import dataset_label, looks
from study.tensorflow import load_model, start_tensorflow

INPUTS = 3
SIZE = 96  # pixels along the side of a frame that is shown
COLUMNS = ["input", "place", "patch", "rank", "predicted_rank"]


def main(arguments: list[str] | None = None) -> None:
    _, params, key = cli.open_encoder(__doc__, arguments=arguments)
    paths, study = params.layout, params.study(key.modality)
    need_order(key.method)
    inputs = read_features(params, key.modality, study.upstream[1])
    need(paths.model(key), "pretrain")

    start_tensorflow(1)
    from shuffle_to_learn.pretext.reordering import put_back

    slicing = Slicing.parse(key.slicing)
    model = load_model(paths.model(key), study.patches_shape(slicing))
    method = study.build_method(key.method, slicing)
    chosen = np.linspace(0, len(inputs) - 1, 2 * min(INPUTS, len(inputs)) + 1).astype(int)[1::2]
    patches, orders, predicted = put_back(
        model, method, np.asarray(inputs[chosen]), slicing, gap=study.pretrain.gap
    )
    if key.modality == "video":
        films = clips.watch(params, study.upstream[1], chosen.tolist(), SIZE)
        patches = films[:, sampled(films.shape[1], slicing.frames)] / 255
    rows = [
        (int(chosen[i]), place + 1, orders[i, place] + 1, orders[i, place] + 1, predicted[i, place])
        for i in range(len(chosen))
        for place in range(slicing.patches)
    ]
    name = f"reordered-{key.modality}"
    write_csv(paths.figure(name, "csv"), pd.DataFrame(rows, columns=COLUMNS))
    with matplotlib.rc_context(rc()):
        back = np.argsort(predicted, axis=1)
        figure = draw(colours(key.modality, patches), orders, back, slicing, key.modality)
        label = looks([key.method])[key.method].label
        where = dataset_label(study.dataset)
        figure.suptitle(f"Shuffled and put back by {label}\n{where}", fontsize="large")
        for suffix in ("svg", "png"):
            save(figure, paths.figure(name, suffix))
    plt.close("all")


if __name__ == "__main__":
    cli.run(main)
