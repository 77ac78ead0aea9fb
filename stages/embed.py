"""Embed the inputs with a pretrained (or random) CFN, their patches in order, weights frozen.

Reads cfn.keras and the features of the dataset; writes one float16 array a layer and split: the
layer after the patches are joined (joined), and what that is made of (tiles). Probes standardise
what they are given, so that 11 bits are enough.

For files of your own: python -m tools.embed_files --help
"""

from __future__ import annotations

from contextlib import ExitStack
from functools import partial

import numpy as np

from shuffle_to_learn.slicing import Slicing
from study import cli
from study.errors import InputError
from study.features import read_features
from study.files import atomic, growing_array, need
from study.paths import LAYERS, SPLITS
from study.tensorflow import load_model, start_tensorflow


def main(arguments: list[str] | None = None) -> None:
    args, params, key = cli.open_encoder(__doc__, "threads", arguments=arguments)
    paths, study = params.layout, params.study(key.modality)
    features = {split: read_features(params, key.modality, split) for split in SPLITS}
    need(paths.model(key), "pretrain")

    start_tensorflow(cli.threads(args, params.threads.embed))
    from shuffle_to_learn.models.embedding import BATCH, embed_batches

    slicing, gap = Slicing.parse(key.slicing), study.pretrain.gap
    model = load_model(paths.model(key), study.patches_shape(slicing))
    shapes = [model.get_layer(layer).output.shape[1:] for layer in LAYERS]
    with ExitStack() as outputs:  # all layers and splits or none
        for split, inputs in features.items():
            show = partial(
                cli.progress,
                total=-(-len(inputs) // BATCH),
                label=f"embed {key}, {split}",
                unit="batches",
            )
            files = [paths.embeddings(key, split, layer) for layer in LAYERS]
            temporary = [outputs.enter_context(atomic(file)) for file in files]
            with ExitStack() as arrays:
                adds = [
                    arrays.enter_context(growing_array(file, "<f2", shape))
                    for file, shape in zip(temporary, shapes, strict=True)
                ]
                for batch in embed_batches(model, inputs, slicing, LAYERS, gap=gap, progress=show):
                    for add, embedded in zip(adds, batch, strict=True):
                        if not (abs(embedded) < np.finfo(np.float16).max).all():
                            raise InputError(
                                f"{paths.model(key)}: an embedding of {split} is too large to be "
                                f"of use: lower the learning_rate of {key.method} in {args.params}"
                            )
                        add(embedded.astype("<f2"))


if __name__ == "__main__":
    cli.run(main)
