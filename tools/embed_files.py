"""Embed files of your own with a trained encoder.

  shuffle-to-learn embed --model cfn.keras --input FOLDER --output FILE.parquet

Reads cfn.keras and a file or a folder of recordings (wav, flac, ogg, mp3, ...), videos or pictures;
writes a parquet table, a row an input: file, start (of a window of a recording, in seconds) and
embedding (a list of float32). Recordings are cut into windows as the encoder was trained on.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np

from shuffle_to_learn.slicing import Slicing
from study import cli
from study.errors import InputError
from study.files import atomic
from study.loading import load_params
from study.paths import LAYERS
from study.tensorflow import load_model, start_tensorflow
from tools.encoder import Input, encoder_key, parser, reader


def main(arguments: list[str] | None = None) -> None:
    options = parser(__doc__)
    options.add_argument("--input", type=Path, required=True, help="a file or a folder")
    options.add_argument("--output", type=Path, required=True, help="a .parquet file to write")
    options.add_argument("--layer", choices=LAYERS, help="default: the params file's embed.layer")
    options.add_argument("--threads", **cli.OPTIONS["threads"])
    args = options.parse_args(arguments)
    if args.output.suffix != ".parquet":
        raise InputError(f"--output {args.output}: name a file that ends in .parquet")
    params = load_params(args.params)
    key = encoder_key(args, params)
    if not args.input.exists():
        raise InputError(f"--input {args.input} does not exist")

    threads = cli.threads(args, params.threads.embed)
    start_tensorflow(threads)
    import pyarrow as pa
    import pyarrow.parquet

    from shuffle_to_learn.datasets.folder import workers
    from shuffle_to_learn.datasets.tree import SUFFIXES, files, located, text
    from shuffle_to_learn.models.embedding import BATCH, embed

    if args.input.is_file():
        folder, names = args.input.parent, [text(args.input.name)]
    else:
        folder, names = args.input, files(args.input, key.modality)
    if not names:
        known = ", ".join(SUFFIXES[key.modality])
        raise InputError(f"--input {args.input} holds no files of {key.modality} ({known})")
    study, slicing = params.study(key.modality), Slicing.parse(key.slicing)
    layer = args.layer or study.embed.layer
    model = load_model(args.model, study.patches_shape(slicing))
    schema = pa.schema(
        [("file", pa.string()), ("start", pa.float64()), ("embedding", pa.list_(pa.float32()))]
    )
    read = reader(params, key.modality)
    batch: list[tuple[str, float, np.ndarray]] = []
    rejected: list[str] = []
    count = 0
    with (
        atomic(args.output) as temporary,
        pyarrow.parquet.ParquetWriter(temporary, schema) as writer,
        workers(threads) as pool,
    ):
        inputs: list[Input] = []
        name_of = {located(folder, name): name for name in names}
        found = zip(name_of, pool.map(read.inputs, name_of), strict=True)
        for path, held in cli.progress(found, total=len(names), label="reading", unit="files"):
            inputs += [Input(path, reason=held)] if isinstance(held, str) else held

        def write() -> None:
            sources, starts, features = zip(*batch, strict=True)
            result = embed(model, np.stack(features), slicing, layer=layer, gap=study.pretrain.gap)
            writer.write_table(pa.table([sources, starts, list(result)], schema=schema))
            batch.clear()

        made = zip(inputs, pool.map(read.features, inputs), strict=True)
        for own, features in cli.progress(made, total=len(inputs), label="embed", unit="inputs"):
            name = name_of[own.path]
            if isinstance(features, str):
                rejected.append(f"{name}: {features}")
                continue
            batch.append((name, own.start, features))
            count += 1
            if len(batch) == BATCH:
                write()
        if not count:
            raise InputError(f"--input {args.input}: nothing can be read; {rejected[0]}")
        if batch:
            write()
    for line in rejected:
        print(f"left out: {line}", file=sys.stderr)
    print(
        f"{args.output}: embeddings of {count} inputs of {len(names)} files by {key}; "
        f"left out: {len(rejected)}",
        file=sys.stderr,
    )


if __name__ == "__main__":
    cli.run(main)
