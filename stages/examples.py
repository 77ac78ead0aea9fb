"""Show what the pretext task is: inputs shuffled, and put back in order by a trained network.

Reads cfn.keras of the method that the params file has under `shown` and held-out inputs; draws some
of them as they are, shuffled, and with each patch where the network ranks it. Writes
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

from shuffle_to_learn.views import View
from stages import common
from stages.drawing import rc, save
from stages.features import read_features
from stages.params import load_params
from stages.runtime import load_model, start_tensorflow
from stages.style import dataset_label, looks

INPUTS = 3
SIDE = 32  # pixels that a patch has at least along its shorter side, enlarged where it has fewer
FRAME = 2  # pixels; there are as many around it
WRONG = (0.84, 0.15, 0.16)
COLUMNS = ["input", "place", "patch", "rank", "predicted_rank"]


def mosaic(patches: np.ndarray, view: View, wrong: np.ndarray) -> np.ndarray:
    """The patches at the places of a view, in red frames where they are wrong.

    Args:
        patches: of 0 to 1, shape (n, height, width, channels of 1 or 3).
        view: the grid; frames are one row.
        wrong: bool, shape (n,).

    Returns:
        RGB, shape (height, width, 3).
    """
    times = -(-SIDE // min(patches.shape[1:3]))
    patches = patches.repeat(times, axis=1).repeat(times, axis=2)
    n, height, width, _ = patches.shape
    rows, columns = (1, n) if view.frames else (view.rows, view.columns)
    framed = np.ones((n, height + 4 * FRAME, width + 4 * FRAME, 3))
    framed[wrong, FRAME:-FRAME, FRAME:-FRAME] = WRONG
    framed[:, 2 * FRAME : -2 * FRAME, 2 * FRAME : -2 * FRAME] = patches
    grid = framed.reshape(rows, columns, *framed.shape[1:]).transpose(0, 2, 1, 3, 4)
    return grid.reshape(rows * framed.shape[1], columns * framed.shape[2], 3)


def colours(modality: str, patches: np.ndarray) -> np.ndarray:
    """Patches to look at: a spectrogram in the colours of loudness, low frequencies below."""
    if modality != "audio":
        return np.clip(patches, 0, 1)
    low, high = patches.min(), patches.max()
    scaled = (patches[..., 0] - low) / max(high - low, 1e-6)
    return plt.get_cmap("magma")(scaled)[..., :3]


def main(argv: list[str] | None = None) -> None:
    parser = common.parser(__doc__, "modality", "view", "method", "seed")
    args = parser.parse_args(argv)
    params = load_params(args.params)
    encoder = params.encoder(args.modality, args.view, args.method, args.seed)
    paths, study = params.layout, params.study(args.modality)
    inputs = read_features(params, args.modality, study.upstream[1])
    common.need(paths.model(encoder), "pretrain")

    start_tensorflow(1)
    import tensorflow as tf

    from shuffle_to_learn.methods import METHODS
    from shuffle_to_learn.patches import as_images, cut, reorder

    view, gap = View.parse(encoder.view), study.pretrain.gap
    model = load_model(paths.model(encoder), (view.patches, *view.tile_shape(study.shape, gap)))
    own = getattr(study.method, encoder.method).model_dump()
    own.pop("learning_rate", None)
    method = METHODS[encoder.method](view.patches, **own)

    chosen = np.linspace(0, len(inputs) - 1, 2 * min(INPUTS, len(inputs)) + 1).astype(int)[1::2]
    patches = cut(as_images(tf.constant(np.asarray(inputs[chosen]))), view, gap)
    orders = method.sample(len(chosen), tf.constant([0, 0]))
    shuffled = reorder(patches, orders)
    predicted = method.predict(model(shuffled, training=False)).numpy()
    orders, back = orders.numpy(), np.argsort(predicted, axis=1)

    rows = [
        (int(chosen[i]), place + 1, orders[i, place] + 1, orders[i, place] + 1, predicted[i, place])
        for i in range(len(chosen))
        for place in range(view.patches)
    ]
    name = f"reordered-{args.modality}"
    common.write_csv(paths.figure(name, "csv"), pd.DataFrame(rows, columns=COLUMNS))

    seen = colours(args.modality, patches.numpy())
    upwards = "lower" if args.modality == "audio" else "upper"
    with matplotlib.rc_context(rc()):
        figure = draw(seen, orders, back, view, upwards)
        label = looks([encoder.method])[encoder.method].label
        where = dataset_label(study.dataset)
        figure.suptitle(f"Shuffled and put back by {label}\n{where}", fontsize="large")
        for suffix in ("svg", "png"):
            save(figure, paths.figure(name, suffix))
    plt.close("all")


def draw(seen: np.ndarray, orders: np.ndarray, back: np.ndarray, view: View, origin: str):
    """One input a row, or, of long rows of patches, three rows an input."""
    count, n = orders.shape
    none = np.zeros(n, bool)
    titles, pictures = [], []
    for own, order, places in zip(seen, orders, back, strict=True):
        reordered = order[places]
        wrong = reordered != np.arange(n)
        titles += ["in order", "shuffled", f"put back: {n - wrong.sum()} of {n} right"]
        pictures += [mosaic(own, view, none), mosaic(own[order], view, none)]
        pictures.append(mosaic(own[reordered], view, wrong))
    height, width = pictures[0].shape[:2]
    long = width > 3 * height
    grid = (3 * count, 1) if long else (count, 3)
    size = (7.2, 1 + 3 * count * (0.25 + 7 * height / width)) if long else None
    size = size or (7.2, 1 + count * (0.3 + min(2.4 * height / width, 3.2)))
    figure, axes = plt.subplots(*grid, figsize=size, squeeze=False)
    for axis, title, picture in zip(axes.flat, titles, pictures, strict=True):
        axis.imshow(picture, origin=origin, interpolation="nearest", aspect="equal")
        axis.set_title(title, loc="left", fontsize="small")
        axis.axis("off")
    return figure


if __name__ == "__main__":
    common.run(main)
