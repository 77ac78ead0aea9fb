"""Score an encoder: probes on its frozen embedding, for every task, n_examples and replicate.

Reads the embeddings and the labels; writes one tidy row for each trained probe and metric. The
probes are the study's own, whose answers are counted beside the right ones, and others that the
params file lists: of another kind, or the study's own on another layer. Replicate r of seed s is a
draw of its own, the same for every method, so that methods can be compared pair by pair and seeds
are independent.
"""

from __future__ import annotations

from argparse import Namespace
from functools import partial

import numpy as np

from study import cli
from study.errors import InputError
from study.files import read_array, write_csv
from study.params import Params
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
    args, params, key = cli.open_encoder(__doc__, "threads", arguments=arguments)
    paths, study = params.layout, params.study(key.modality)
    tasks = read_tasks(params, key.modality)
    probes = [name for name in params.classifiers(key) if name != "end_to_end"]
    inputs = {
        layer: read_embeddings(params, key, layer, tasks) for layer in map(study.layer, probes)
    }
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
    counts = counts.groupby(list(counts.columns[:-1]), as_index=False)["count"].sum()
    write_csv(paths.answers(key), counts)
    write_csv(paths.scores(key), as_table(params, key, rows))


def read_embeddings(
    params: Params, key: EncoderKey, layer: str, tasks: list[Task]
) -> list[np.ndarray]:
    """The embeddings of a layer, memory-mapped: those to fit on and those to score on."""
    splits = "train", params.study(key.modality).downstream.evaluate_on
    files = {split: params.layout.embeddings(key, split, layer) for split in splits}
    found = {split: read_array(file, "embed") for split, file in files.items()}
    check_lengths(params, key.modality, tasks, found, files, "run the stage embed again")
    return list(found.values())


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
            f"{key.modality}.downstream.learning_rate in {args.params}, or look at "
            f"{params.layout.embeddings(key, 'train', params.study(key.modality).layer(probe))}"
        ) from error


if __name__ == "__main__":
    cli.run(main)
