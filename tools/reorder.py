"""Shuffle a file of your own and let a trained encoder put it back: what it predicts, as a picture.

Reads cfn.keras and a recording, video or picture (of a long recording the first window). Prints the
shuffled order and the predicted one, and draws the input in order, shuffled and put back.
"""

from __future__ import annotations

from pathlib import Path

import matplotlib

matplotlib.use("agg")  # no window system, whatever the environment says

import numpy as np

from shuffle_to_learn.slicing import Slicing
from study import cli
from study.drawing import rc, save
from study.errors import InputError
from study.loading import load_params
from study.mosaic import colours, draw, need_order
from study.names import looks
from study.tensorflow import load_model, start_tensorflow
from tools.encoder import encoder_key, parser, reader

SUFFIXES = (".png", ".svg")


def main(arguments: list[str] | None = None) -> None:
    options = parser(__doc__)
    options.add_argument("--input", type=Path, required=True, help="a file")
    options.add_argument("--seed", type=int, default=0, help="of the shuffle (default: 0)")
    options.add_argument(
        "--output", type=Path, default=Path("reordered.png"), help="default: reordered.png"
    )
    args = options.parse_args(arguments)
    if args.output.suffix not in SUFFIXES:
        raise InputError(f"--output {args.output}: name a file that ends in .png or .svg")
    params = load_params(args.params)
    key = encoder_key(args, params)
    need_order(key.method)
    if not args.input.is_file():
        raise InputError(f"--input {args.input}: there is no such file")
    study, slicing = params.study(key.modality), Slicing.parse(key.slicing)

    start_tensorflow(1)
    from shuffle_to_learn.pretext.reordering import put_back

    read = reader(params, key.modality)
    features = read.features(read.inputs(args.input)[0])
    if isinstance(features, str):
        raise InputError(f"--input {args.input}: {features}")
    model = load_model(args.model, study.patches_shape(slicing))
    method = study.build_method(key.method, slicing)
    patches, orders, predicted = put_back(
        model, method, features[None], slicing, gap=study.pretrain.gap, seed=args.seed
    )
    right = int(np.sum(predicted[0] == orders[0] + 1))
    print("shuffled: ", *(orders[0] + 1))
    print("predicted:", *predicted[0])
    print(f"right:     {right} of {slicing.patches} (chance: 1)")
    with matplotlib.rc_context(rc()):
        back = {"put back": np.argsort(predicted, axis=1)}
        figure = draw(colours(key.modality, patches), orders, back, slicing, key.modality)
        label = looks([key.method])[key.method].label
        # No mathematics in a name: $ is a sign like others.
        figure.suptitle(
            f"{args.input.name}: put back by {label}", fontsize="large", parse_math=False
        )
        save(figure, args.output)


if __name__ == "__main__":
    cli.run(main)
