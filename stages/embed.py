"""Embed the inputs with a pretrained (or random) CFN, their patches in order, weights frozen.

Reads cfn.keras and the features of the dataset; writes one float32 array a split.

For files of your own: python -m tools.embed_files --help
"""

from __future__ import annotations

from contextlib import ExitStack
from functools import partial

from shuffle_to_learn.slicing import Slicing
from study import cli
from study.features import read_features
from study.files import atomic, growing_array, need
from study.paths import SPLITS
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
    shape = model.get_layer(study.embed.layer).output.shape[1:]
    with ExitStack() as outputs:  # all splits or none
        for split, inputs in features.items():
            show = partial(
                cli.progress,
                total=-(-len(inputs) // BATCH),
                label=f"embed {key}, {split}",
                unit="batches",
            )
            temporary = outputs.enter_context(atomic(paths.embeddings(key, split)))
            with growing_array(temporary, "<f4", shape) as add:
                for batch in embed_batches(
                    model, inputs, slicing, study.embed.layer, gap=gap, progress=show
                ):
                    add(batch)


if __name__ == "__main__":
    cli.run(main)
