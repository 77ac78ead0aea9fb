"""Score an encoder: probes on its frozen embedding, for every task, n_examples and replicate.

Reads the embeddings and the labels; writes one tidy row for each trained probe and metric. The
probes are the study's own, whose answers are counted beside the right ones, and others that the
params file lists. Replicate r draws the same examples for every encoder, so that methods can be
compared pair by pair.
"""

from __future__ import annotations

from functools import partial

from stages import common
from stages.errors import InputError
from stages.params import load_params
from stages.runtime import start_tensorflow
from stages.tasks import ANSWERS, as_table, check_sizes, draws, read_tasks


def main(argv: list[str] | None = None) -> None:
    parser = common.parser(__doc__, "modality", "view", "method", "seed")
    args = parser.parse_args(argv)
    params = load_params(args.params)
    encoder = params.encoder(args.modality, args.view, args.method, args.seed)
    paths, study = params.layout, params.study(args.modality)
    settings = study.downstream

    split = settings.evaluate_on
    tasks = read_tasks(params, args.modality)
    pool = common.read_array(paths.embeddings(encoder, "train"), "embed")
    queries = common.read_array(paths.embeddings(encoder, split), "embed")
    for array, rows, part in zip((pool, queries), tasks[0].sizes, ("train", split), strict=True):
        if len(array) != rows:
            raise InputError(
                f"{paths.embeddings(encoder, part)} has {len(array)} rows and "
                f"{paths.labels(study.dataset, part)} {rows}: run the stage embed again"
            )
    check_sizes(args.params, params, args.modality, tasks)

    start_tensorflow(common.threads(params.threads.downstream))
    from shuffle_to_learn.probes import (
        Settings,
        predict_with_neighbors,
        predict_with_probes,
    )

    fit = settings.model_dump(include=set(Settings.__dataclass_fields__) - {"hidden"})
    rows, answers = [], []
    for task in tasks:
        for probe in (name for name in params.classifiers(encoder) if name != "end_to_end"):
            runs = draws(study, encoder.view, probe)
            subsets = task.subsets(runs, settings.seed)
            show = partial(common.progress, label=f"downstream {encoder}, {task.name}, {probe}")
            asked = (pool, task.targets, subsets, queries[task.scored_on])
            try:
                if probe == "knn":
                    predicted = predict_with_neighbors(
                        *asked,
                        classes=task.outputs,
                        neighbors=settings.others.neighbors,
                        wrap=partial(show, total=len(subsets), unit="draws"),
                    )
                else:
                    hidden = tuple(settings.hidden) if probe == "mlp" else ()
                    predicted = predict_with_probes(
                        *asked,
                        classes=task.outputs,
                        validation_share=settings.validation_share,
                        settings=Settings(hidden=hidden, **fit),
                        seed=settings.seed,
                        wrap=partial(show, total=len({n for n, _ in runs}), unit="sizes"),
                    )
            except FloatingPointError as error:
                raise InputError(
                    f"{task.name} of {encoder}: {error}: lower "
                    f"{args.modality}.downstream.learning_rate in {args.params}, or look at "
                    f"{paths.embeddings(encoder, 'train')}"
                ) from error
            for (n, replicate), prediction in zip(runs, predicted, strict=True):
                for metric, value in task.scored(prediction):
                    rows.append((probe, task.name, n, replicate, metric, value))
                if probe == settings.probe:
                    answers += [(task.name, n, *count) for count in task.counted(prediction)]
    counts = as_table(params, encoder, answers, ANSWERS)
    counts = counts.groupby(list(counts.columns[:-1]), as_index=False)["count"].sum()
    common.write_csv(paths.answers(encoder), counts)
    common.write_csv(paths.scores(encoder), as_table(params, encoder, rows))


if __name__ == "__main__":
    common.run(main)
