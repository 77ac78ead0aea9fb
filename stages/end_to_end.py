"""Train an encoder end to end on few labels, for every task, n_examples and replicate.

Reads the features, the labels and cfn.keras: the random encoder's makes the supervised baseline of
the paper's Figure 3, a pretrained one's is fine-tuned. Writes one tidy row for each trained network
and metric, of the same draws of examples as the stage downstream.
"""

from __future__ import annotations

from functools import partial

from shuffle_to_learn.views import View
from stages import common
from stages.errors import InputError
from stages.features import read_features
from stages.params import load_params
from stages.runtime import load_model, start_tensorflow
from stages.tasks import as_table, check_sizes, draws, read_tasks


def main(argv: list[str] | None = None) -> None:
    parser = common.parser(__doc__, "modality", "view", "method", "seed")
    args = parser.parse_args(argv)
    params = load_params(args.params)
    encoder = params.encoder(args.modality, args.view, args.method, args.seed)
    paths, study = params.layout, params.study(args.modality)
    down, own = study.downstream, study.end_to_end

    tasks = read_tasks(params, args.modality)
    pool, queries = (
        read_features(params, args.modality, split) for split in ("train", down.evaluate_on)
    )
    parts = ("train", down.evaluate_on)
    for inputs, rows, part in zip((pool, queries), tasks[0].sizes, parts, strict=True):
        if len(inputs) != rows:
            raise InputError(
                f"{paths.features(study.dataset, part)} has {len(inputs)} inputs and "
                f"{paths.labels(study.dataset, part)} {rows}: run the stages "
                f"{study.extraction} and join again"
            )
    check_sizes(args.params, params, args.modality, tasks)
    common.need(paths.model(encoder), "pretrain")

    start_tensorflow(common.threads(params.threads.end_to_end))
    from shuffle_to_learn.end_to_end import Settings, predict_end_to_end

    view, gap = View.parse(encoder.view), study.pretrain.gap
    model = load_model(paths.model(encoder), (view.patches, *view.tile_shape(study.shape, gap)))
    runs = draws(study, encoder.view, "end_to_end")
    settings = Settings(
        hidden=tuple(down.hidden) if down.probe == "mlp" else (),
        dropout=down.dropout,
        **own.model_dump(exclude={"methods", "seeds", "n_examples", "replicates"}),
    )
    rows = []
    for task in tasks:
        try:
            predicted = predict_end_to_end(
                model,
                pool,
                task.targets,
                subsets := task.subsets(runs, down.seed),
                queries[task.scored_on],
                view=view,
                classes=task.outputs,
                layer=study.embed.layer,
                gap=gap,
                validation_share=down.validation_share,
                settings=settings,
                seed=down.seed,
                wrap=partial(
                    common.progress,
                    total=len(subsets),
                    label=f"end_to_end {encoder}, {task.name}",
                    unit="networks",
                ),
            )
        except FloatingPointError as error:
            raise InputError(
                f"{task.name} of {encoder}: {error}: lower "
                f"{args.modality}.end_to_end.learning_rate in {args.params}"
            ) from error
        for (n, replicate), prediction in zip(runs, predicted, strict=True):
            for metric, value in task.scored(prediction):
                rows.append(("end_to_end", task.name, n, replicate, metric, value))
    common.write_csv(paths.end_to_end(encoder), as_table(params, encoder, rows))


if __name__ == "__main__":
    common.run(main)
