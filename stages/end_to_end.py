"""Train an encoder end to end on few labels, for every task, n_examples and replicate.

Reads the features, the labels and cfn.keras: the random encoder's makes the supervised baseline of
the paper's Figure 3, a pretrained one's is fine-tuned. Writes one tidy row for each trained network
and metric, of the same draws of examples as the stage downstream.
"""

from __future__ import annotations

from functools import partial

from shuffle_to_learn.slicing import Slicing
from study import cli
from study.errors import InputError
from study.features import read_features
from study.files import need, write_csv
from study.tasks import as_table, check_lengths, check_sizes, draws, read_tasks, seed_of
from study.tensorflow import load_model, start_tensorflow


def main(arguments: list[str] | None = None) -> None:
    args, params, key = cli.open_encoder(__doc__, "threads", arguments=arguments)
    paths, study = params.layout, params.study(key.modality)
    down, training = study.downstream, study.end_to_end

    tasks = read_tasks(params, key.modality)
    inputs = {
        split: read_features(params, key.modality, split) for split in ("train", down.evaluate_on)
    }
    files = {split: paths.features(study.dataset, split) for split in inputs}
    again = f"run the stages {study.extraction} and join again"
    check_lengths(params, key.modality, tasks, inputs, files, again)
    check_sizes(args.params, params, key.modality, tasks)
    need(paths.model(key), "pretrain")

    start_tensorflow(cli.threads(args, params.threads.end_to_end))
    from shuffle_to_learn.evaluation.end_to_end import Settings, predict_end_to_end

    slicing = Slicing.parse(key.slicing)
    model = load_model(paths.model(key), study.patches_shape(slicing))
    runs = draws(study, key.slicing, "end_to_end")
    settings = Settings(
        hidden=tuple(down.hidden) if down.probe == "mlp" else (),
        dropout=down.dropout,
        **training.model_dump(exclude={"methods", "seeds", "n_examples", "replicates"}),
    )
    (pool, queries), seed = inputs.values(), seed_of(study, key.seed)
    rows = []
    for task in tasks:
        subsets = task.subsets(runs, seed)
        show = partial(
            cli.progress,
            total=len(subsets),
            label=f"end_to_end {key}, {task.name}",
            unit="networks",
        )
        try:
            predicted = predict_end_to_end(
                model,
                pool,
                task.targets,
                subsets,
                queries[task.scored_on],
                slicing=slicing,
                classes=task.outputs,
                layer=study.embed.layer,
                gap=study.pretrain.gap,
                validation_share=down.validation_share,
                settings=settings,
                seed=seed,
                progress=show,
            )
        except FloatingPointError as error:
            raise InputError(
                f"{task.name} of {key}: {error}: lower "
                f"{key.modality}.end_to_end.learning_rate in {args.params}"
            ) from error
        for (n, replicate), prediction in zip(runs, predicted, strict=True):
            for metric, value in task.scored(prediction):
                rows.append(("end_to_end", task.name, n, replicate, metric, value))
    write_csv(paths.end_to_end(key), as_table(params, key, rows))


if __name__ == "__main__":
    cli.run(main)
