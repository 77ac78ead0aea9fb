"""Shuffle a file of your own and let a trained encoder put it back: what it predicts, as a picture.

Reads cfn.keras and a recording, video or picture (of a long recording the first window). Prints the
shuffled order and the predicted one, and draws the input in order, shuffled and put back.
"""

from __future__ import annotations

from pathlib import Path

import matplotlib

matplotlib.use("agg")  # no window system, whatever the environment says

import numpy as np

from shuffle_to_learn.views import View
from stages import common
from stages.drawing import rc, save
from stages.errors import InputError
from stages.examples import colours, draw
from stages.own_files import encoder_of, parser, patches_shape, reader
from stages.params import load_params
from stages.runtime import load_model, start_tensorflow
from stages.style import looks

SUFFIXES = (".png", ".svg")


def main(argv: list[str] | None = None) -> None:
    options = parser(__doc__)
    options.add_argument("--input", type=Path, required=True, help="a file")
    options.add_argument("--seed", type=int, default=0, help="of the shuffle (default: 0)")
    options.add_argument(
        "--output", type=Path, default=Path("reordered.png"), help="default: reordered.png"
    )
    args = options.parse_args(argv)
    if args.output.suffix not in SUFFIXES:
        raise InputError(f"--output {args.output}: name a file that ends in .png or .svg")
    params = load_params(args.params)
    e = encoder_of(args, params)
    if not args.input.is_file():
        raise InputError(f"--input {args.input}: there is no such file")
    study, view = params.study(e.modality), View.parse(e.view)

    start_tensorflow(1)
    import tensorflow as tf

    from shuffle_to_learn.methods import METHODS
    from shuffle_to_learn.patches import as_images, cut, reorder

    _, features = next(iter(reader(params, e.modality)(args.input)))
    if isinstance(features, str):
        raise InputError(f"--input {args.input}: {features}")
    model = load_model(args.model, patches_shape(params, e))
    own = getattr(study.method, e.method).model_dump()
    own.pop("learning_rate", None)
    method = METHODS[e.method](view.patches, **own)
    patches = cut(as_images(tf.constant(features[None])), view, study.pretrain.gap)
    orders = method.sample(1, tf.constant([0, args.seed]))
    predicted = method.predict(model(reorder(patches, orders), training=False)).numpy()
    orders, back = orders.numpy(), np.argsort(predicted, axis=1)

    right = int(np.sum(predicted[0] == orders[0] + 1))
    print("shuffled: ", *(orders[0] + 1))
    print("predicted:", *predicted[0])
    print(f"right:     {right} of {view.patches} (chance: 1)")
    with matplotlib.rc_context(rc()):
        upwards = "lower" if e.modality == "audio" else "upper"
        figure = draw(colours(e.modality, patches.numpy()), orders, back, view, upwards)
        label = looks([e.method])[e.method].label
        # No mathematics in a name: $ is a sign like others.
        figure.suptitle(
            f"{args.input.name}: put back by {label}", fontsize="large", parse_math=False
        )
        save(figure, args.output)


if __name__ == "__main__":
    common.run(main)
