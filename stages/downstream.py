"""Score an encoder: probes on its frozen embedding, for every task, n_examples and replicate.

Reads the embeddings and the labels; writes one tidy row for each trained model. Replicate r draws
the same examples for every encoder, so that methods can be compared pair by pair.
"""

from __future__ import annotations

import sys
from functools import partial

import numpy as np
import pandas as pd

from stages import common
from stages.errors import InputError
from stages.params import load_params
from stages.runtime import start_tensorflow


def mean_auc(scores: np.ndarray, present: np.ndarray) -> float:
    """Mean area under the ROC curve over the categories that some inputs have and some have not.

    Of the others the area is not defined (scikit-learn gives no number), and they are left out.

    Args:
        scores: of the inputs for each category, shape (T, C).
        present: 0 or 1, shape (T, C).
    """
    from sklearn.metrics import roc_auc_score

    told = _told_apart(present)
    return float(np.mean(roc_auc_score(present[:, told], scores[:, told], average=None)))


def _told_apart(present: np.ndarray) -> np.ndarray:
    return present.any(axis=0) & ~present.all(axis=0)


MEASURES = {
    "accuracy": lambda answer, wanted: np.mean(np.round(answer) == wanted),
    "mse": lambda answer, wanted: np.mean(np.square(answer - wanted)),
    "auc": mean_auc,
}


def main(argv: list[str] | None = None) -> None:
    parser = common.parser(__doc__, "modality", "view", "method", "seed")
    args = parser.parse_args(argv)
    params = load_params(args.params)
    encoder = params.encoder(args.modality, args.view, args.method, args.seed)
    paths, study = params.layout, params.study(args.modality)
    settings = study.downstream

    split = settings.evaluate_on
    pool = common.read_array(paths.embeddings(encoder, "train"), "embed")
    queries = common.read_array(paths.embeddings(encoder, split), "embed")
    pool_labels = common.read_table(paths.labels(study.dataset, "train"), study.extraction)
    query_labels = common.read_table(paths.labels(study.dataset, split), study.extraction)
    for array, labels, part in ((pool, pool_labels, "train"), (queries, query_labels, split)):
        if len(array) != len(labels):
            raise InputError(
                f"{paths.embeddings(encoder, part)} has {len(array)} rows and "
                f"{paths.labels(study.dataset, part)} {len(labels)}: run the stage embed again"
            )
        if missing := [task for task in settings.tasks if task not in labels]:
            raise InputError(
                f"{paths.labels(study.dataset, part)} has no column {missing[0]}: run the stage "
                f"{study.extraction} again"
            )
    too_many = [n for n in settings.n_examples if n > len(pool)]
    if too_many:
        raise InputError(
            f"{args.params}: {encoder.modality}.downstream.n_examples: {max(too_many)} is more "
            f"than the {len(pool)} training inputs"
        )

    start_tensorflow(common.threads(params.threads.downstream))
    from shuffle_to_learn.probes import Settings, draw_subset, predict_with_probes

    runs = [(n, r) for n in settings.n_examples for r in range(settings.replicates)]
    subsets = [draw_subset(len(pool), n, r, settings.seed) for n, r in runs]
    fit = settings.model_dump(include=set(Settings.__dataclass_fields__))
    fit["hidden"] = tuple(settings.hidden)
    rows = []
    for task in settings.tasks:
        metrics = study.metrics[task]
        given, wanted = (table[task].to_numpy() for table in (pool_labels, query_labels))
        classes, targets = None, given
        if "auc" in metrics:
            found = (int(max(own)) for own in (*given, *wanted) if len(own))
            categories = 1 + max(found, default=-1)
            targets, wanted = (_present(lists, categories) for lists in (given, wanted))
            undefined = categories - np.count_nonzero(_told_apart(wanted))
            if undefined == categories:
                raise InputError(
                    f"{paths.labels(study.dataset, split)}: no category of {task} is in some of "
                    "the inputs and not in others: there is nothing to score"
                )
            if undefined:
                print(
                    f"{task}: {undefined} of {categories} categories are in none or all of the "
                    f"inputs of {split}: the mean AUC is over the others",
                    file=sys.stderr,
                )
        elif "mse" not in metrics:
            classes, targets = np.unique(given, return_inverse=True)
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
                f"{task} of {encoder}: {error}: lower {args.modality}.downstream.learning_rate in "
                f"{args.params}, or look at {paths.embeddings(encoder, 'train')}"
            ) from error
        for (n, replicate), prediction in zip(runs, predicted, strict=True):
            answer = prediction if classes is None else classes[prediction]
            for metric in metrics:
                value = float(MEASURES[metric](answer, wanted))
                rows.append((task, n, replicate, metric, value))
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


def _present(lists: np.ndarray, categories: int) -> np.ndarray:
    """Whether each category is in each list of categories: 0 or 1, shape (N, categories)."""
    present = np.zeros((len(lists), categories), np.int8)
    for row, own in zip(present, lists, strict=True):
        row[np.asarray(own, dtype=np.int64)] = 1
    return present


if __name__ == "__main__":
    common.run(main)
