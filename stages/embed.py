"""Embed the inputs with a pretrained (or random) CFN, their patches in order, weights frozen.

Reads cfn.keras and the features of the dataset; writes one float32 array a split.

For files of your own: python -m stages.embed --model cfn.keras --input FOLDER --output FILE.parquet
"""

from __future__ import annotations

import sys
from contextlib import ExitStack
from functools import partial
from importlib import import_module

from shuffle_to_learn.views import View
from stages import common
from stages.features import read_features
from stages.params import load_params
from stages.paths import SPLITS
from stages.runtime import load_model, start_tensorflow


def main(argv: list[str] | None = None) -> None:
    words = sys.argv[1:] if argv is None else argv
    if any(word.partition("=")[0] == "--model" for word in words):
        # By its name, since it is no part of the stage, whose code is what it imports.
        return import_module("stages.embed_files").main(words)
    parser = common.parser(__doc__, "modality", "view", "method", "seed")
    args = parser.parse_args(argv)
    params = load_params(args.params)
    encoder = params.encoder(args.modality, args.view, args.method, args.seed)
    paths, study = params.layout, params.study(args.modality)
    features = {split: read_features(params, args.modality, split) for split in SPLITS}
    common.need(paths.model(encoder), "pretrain")

    start_tensorflow(common.threads(params.threads.embed))
    from shuffle_to_learn.embedding import embed_batches

    view, gap = View.parse(encoder.view), study.pretrain.gap
    tile = view.tile_shape(study.shape, gap)
    model = load_model(paths.model(encoder), (view.patches, *tile))
    with ExitStack() as outputs:  # all splits or none
        for split, inputs in features.items():
            batches = embed_batches(
                model,
                inputs,
                view,
                study.embed.layer,
                gap=gap,
                wrap=partial(
                    common.progress,
                    total=-(-len(inputs) // 250),
                    label=f"embed {encoder}, {split}",
                    unit="batches",
                ),
            )
            temporary = outputs.enter_context(common.atomic(paths.embeddings(encoder, split)))
            shape = model.get_layer(study.embed.layer).output.shape[1:]
            with common.growing_array(temporary, "<f4", shape) as add:
                for batch in batches:
                    add(batch)


if __name__ == "__main__":
    common.run(main)
