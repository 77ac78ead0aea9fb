"""Score an encoder: small MLPs on its frozen embedding, for every task, n_examples and replicate.

Reads the embeddings and the labels; writes one tidy row for each trained model. Replicate r draws
the same examples for every encoder, so that methods can be compared pair by pair.
"""

from __future__ import annotations

from functools import partial

import numpy as np
import pandas as pd

from stages import common
from stages.errors import InputError
from stages.params import load_params
from stages.runtime import start_tensorflow

REAL_VALUED = ("pitch",)


def main(argv: list[str] | None = None) -> None:
    parser = common.parser(__doc__, "modality", "view", "method", "seed")
    args = parser.parse_args(argv)
    params = load_params(args.params)
    encoder = params.encoder(args.modality, args.view, args.method, args.seed)
    paths, study, settings = params.layout, params.audio, params.audio.downstream

    split = settings.evaluate_on
    pool = common.read_array(paths.embeddings(encoder, "train"), "embed")
    queries = common.read_array(paths.embeddings(encoder, split), "embed")
    pool_labels = common.read_table(paths.labels(study.dataset, "train"), "spectrograms")
    query_labels = common.read_table(paths.labels(study.dataset, split), "spectrograms")
    for array, labels, part in ((pool, pool_labels, "train"), (queries, query_labels, split)):
        if len(array) != len(labels):
            raise InputError(
                f"{paths.embeddings(encoder, part)} has {len(array)} rows and "
                f"{paths.labels(study.dataset, part)} {len(labels)}: run the stage embed again"
            )
        if missing := [task for task in settings.tasks if task not in labels]:
            raise InputError(
                f"{paths.labels(study.dataset, part)} has no column {missing[0]}: run the stage "
                "spectrograms again"
            )
    too_many = [n for n in settings.n_examples if n > len(pool)]
    if too_many:
        raise InputError(
            f"{args.params}: audio.downstream.n_examples: {max(too_many)} is more than the "
            f"{len(pool)} training inputs"
        )

    start_tensorflow(common.threads(params.threads.downstream))
    from shuffle_to_learn.probes import Settings, draw_subset, predict_with_probes

    runs = [(n, r) for n in settings.n_examples for r in range(settings.replicates)]
    subsets = [draw_subset(len(pool), n, r, settings.seed) for n, r in runs]
    fit = settings.model_dump(include=set(Settings.__dataclass_fields__))
    rows = []
    for task in settings.tasks:
        wanted = query_labels[task].to_numpy()
        if task in REAL_VALUED:
            classes, targets = None, pool_labels[task].to_numpy()
        else:
            classes, targets = np.unique(pool_labels[task].to_numpy(), return_inverse=True)
        try:
            predicted = predict_with_probes(
                pool,
                targets,
                subsets,
                queries,
                classes=None if classes is None else len(classes),
                validation_share=settings.validation_share,
                settings=Settings(**fit),
                seed=settings.seed,
                wrap=partial(
                    common.progress,
                    total=settings.steps // settings.evaluate_every,
                    label=f"downstream {encoder}, {task}",
                    unit="looks",
                ),
            )
        except FloatingPointError as error:
            raise InputError(
                f"{task} of {encoder}: {error}: lower audio.downstream.learning_rate in "
                f"{args.params}, or look at {paths.embeddings(encoder, 'train')}"
            ) from error
        for (n, replicate), prediction in zip(runs, predicted, strict=True):
            if classes is None:
                values = {
                    "mse": np.mean(np.square(prediction - wanted)),
                    "accuracy": np.mean(np.round(prediction) == wanted),
                }
            else:
                values = {"accuracy": np.mean(classes[prediction] == wanted)}
            for metric, value in values.items():
                rows.append((task, n, replicate, metric, float(value)))
    table = pd.DataFrame(rows, columns=["task", "n_examples", "replicate", "metric", "value"])
    identity = {
        "modality": encoder.modality,
        "dataset": study.dataset,
        "view": encoder.view,
        "method": encoder.method,
        "upstream_seed": encoder.seed,
    }
    for place, (name, value) in enumerate(identity.items()):
        table.insert(place, name, value)
    common.write_csv(paths.scores(encoder), table)


if __name__ == "__main__":
    common.run(main)
