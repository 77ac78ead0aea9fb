"""Score an encoder: probes on its frozen embedding, for every task, n_examples and replicate.

Reads the embeddings and the labels; writes one tidy row for each trained probe and metric. The
probes are the study's own, whose answers are counted beside the right ones, and others that the
params file lists: of another kind, or the study's own on another layer. Replicate r of seed s is a
draw of its own, the same for every method, so that methods can be compared pair by pair and seeds
are independent.

Without a network: --slicing whole --method raw scores the features themselves, and --method summary
their means and deviations, in place of embeddings.
"""

from __future__ import annotations

from argparse import Namespace
from functools import partial

import numpy as np

from shuffle_to_learn.features.summary import of_bands, of_pixels, of_tiles
from shuffle_to_learn.slicing import Slicing
from study import cli
from study.errors import InputError
from study.features import read_features
from study.files import read_array, write_csv
from study.params import Params, Study
from study.paths import EncoderKey
from study.tasks import (
    ANSWERS,
    Task,
    as_table,
    check_lengths,
    check_sizes,
    draws,
    read_tasks,
    seed_of,
)


def main(arguments: list[str] | None = None) -> None:
    args, params, key = cli.open_encoder(
        __doc__, "threads", arguments=arguments, needs_network=False
    )
    paths, study = params.layout, params.study(key.modality)
    tasks = read_tasks(params, key.modality)
    probes = [name for name in params.classifiers(key) if name != "end_to_end"]
    inputs = {layer: read_inputs(params, key, layer, tasks) for layer in map(study.layer, probes)}
    check_sizes(args.params, params, key.modality, tasks)
    threads = cli.threads(args, params.threads.downstream)

    rows, answers = [], []
    for task in tasks:
        for probe in probes:
            runs = draws(study, key.slicing, probe)
            given = inputs[study.layer(probe)]
            predicted = predict(args, params, key, task, probe, runs, threads, *given)
            for (n, replicate), prediction in zip(runs, predicted, strict=True):
                for metric, value in task.scored(prediction):
                    rows.append((probe, task.name, n, replicate, metric, value))
                if probe == study.downstream.probe:
                    answers += [(task.name, n, *count) for count in task.counted(prediction)]
    counts = as_table(params, key, answers, ANSWERS)
    summed = counts.groupby(list(counts.columns[:-1]), as_index=False)[["count"]].sum()
    write_csv(paths.answers(key), summed)
    write_csv(paths.scores(key), as_table(params, key, rows))


def read_inputs(params: Params, key: EncoderKey, layer: str, tasks: list[Task]) -> list[np.ndarray]:
    """What probes are given, shape (N, d) each: the inputs to fit on and those to score on.

    Embeddings of a layer, and features as they are, are memory-mapped.
    """
    paths, study = params.layout, params.study(key.modality)
    splits = "train", study.downstream.evaluate_on
    if key.network:
        again = "run the stage embed again"
        files = {split: paths.embeddings(key, split, layer) for split in splits}
        found = {split: read_array(file, "embed") for split, file in files.items()}
    else:
        again = f"run the stages {study.extraction} and join again"
        files = {split: paths.features(study.dataset, split) for split in splits}
        found = {split: read_features(params, key.modality, split) for split in splits}
    check_lengths(params, key.modality, tasks, found, files, again)
    if key.method == "summary":
        return [summary(study, features) for features in found.values()]
    return [array.reshape(len(array), -1) for array in found.values()]


def summary(study: Study, features: np.ndarray) -> np.ndarray:
    """Means and deviations of features, float32, shape (N, d)."""
    if study.summarised == "tiles":
        return of_tiles(features, Slicing.parse(study.slicings[0]))
    return of_bands(features) if study.summarised == "bands" else of_pixels(features)


def predict(
    args: Namespace,
    params: Params,
    key: EncoderKey,
    task: Task,
    probe: str,
    runs: list[tuple[int, int]],
    threads: int,
    pool: np.ndarray,
    queries: np.ndarray,
) -> np.ndarray:
    """What a probe fitted on each draw of labelled inputs answers to the queries of a task.

    Raises:
        InputError: where a probe diverges.
    """
    from shuffle_to_learn.evaluation.probes import (
        Settings,
        predict_with_neighbors,
        predict_with_probes,
    )

    study = params.study(key.modality)
    settings, seed = study.downstream, seed_of(study, key.seed)
    subsets = task.subsets(runs, seed)
    asked = (pool, task.targets, subsets, queries[task.scored_on])
    show = partial(cli.progress, label=f"downstream {key}, {task.name}, {probe}")
    if probe == "knn":
        return predict_with_neighbors(
            *asked,
            classes=task.outputs,
            neighbors=settings.others.neighbors,
            progress=partial(show, total=len(subsets), unit="draws"),
        )
    study, paths = params.study(key.modality), params.layout
    looked_at = (
        paths.embeddings(key, "train", study.layer(probe))
        if key.network
        else paths.features(study.dataset, "train")
    )
    fit = settings.model_dump(include=set(Settings.__dataclass_fields__) - {"hidden"})
    hidden = tuple(settings.hidden) if probe.partition("-")[0] == "mlp" else ()
    try:
        return predict_with_probes(
            *asked,
            classes=task.outputs,
            validation_share=settings.validation_share,
            settings=Settings(hidden=hidden, **fit),
            seed=seed,
            threads=threads,
            progress=partial(show, total=len({n for n, _ in runs}), unit="sizes"),
        )
    except FloatingPointError as error:
        raise InputError(
            f"{task.name} of {key}: {error}: lower "
            f"{key.modality}.downstream.learning_rate in {args.params}, or look at {looked_at}"
        ) from error


if __name__ == "__main__":
    cli.run(main)
