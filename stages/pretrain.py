"""Pretrain a CFN: shuffle the patches of each input and learn the ranks that undo the shuffle.

Reads the features of the dataset; writes cfn.keras, history.csv (every epoch: loss, partial ranks
and the spread of the scores in units of the method's epsilon, in training and on held-out inputs;
in training also the share of zeros in the gradient by the scores; wrong ranks with both high: the
method is saturated, raise its epsilon) and pretext.json (loss and partial ranks on held-out inputs
at the end). After each epoch the state is kept in a checkpoint: a run that was killed continues
from it, to the same result. TensorBoard: tensorboard --logdir data/tensorboard.
"""

from __future__ import annotations

import hashlib
import json
import shutil
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd

from shuffle_to_learn.views import View
from stages import common
from stages.errors import InputError
from stages.features import read_features
from stages.params import Params, load_params
from stages.paths import Encoder
from stages.runtime import save_model, source_digest, start_tensorflow


def main(argv: list[str] | None = None) -> None:
    parser = common.parser(__doc__, "modality", "view", "method", "seed")
    args = parser.parse_args(argv)
    params = load_params(args.params)
    encoder = params.encoder(args.modality, args.view, args.method, args.seed)
    paths, study = params.layout, params.study(args.modality)

    train, valid = (read_features(params, args.modality, split) for split in study.upstream)

    start_tensorflow(common.threads(params.threads.pretrain))
    import tensorflow as tf

    from shuffle_to_learn.cfn import build_cfn
    from shuffle_to_learn.methods import METHODS
    from shuffle_to_learn.pretraining import Pretraining

    view = View.parse(encoder.view)
    own = getattr(study.method, encoder.method).model_dump()
    learning_rate = own.pop("learning_rate", 0.0)
    try:
        method = METHODS[encoder.method](view.patches, **own)
        outputs = method.outputs
    except ValueError as error:  # more fixed permutations than there are
        raise InputError(
            f"{args.params}: {encoder.modality}.method.{encoder.method}: {error}"
        ) from error
    settings = study.pretrain
    tile = view.tile_shape(study.shape, settings.gap)
    # One GPU takes a batch whole, several share it.
    several = len(tf.config.list_logical_devices("GPU")) > 1
    strategy = tf.distribute.MirroredStrategy() if several else tf.distribute.get_strategy()
    if settings.batch_size % strategy.num_replicas_in_sync:
        raise InputError(
            f"{args.params}: {encoder.modality}.pretrain.batch_size: {settings.batch_size} cannot "
            f"be shared evenly by {strategy.num_replicas_in_sync} GPUs: change it, or hide some "
            "with CUDA_VISIBLE_DEVICES"
        )
    with strategy.scope():
        model = build_cfn(view.patches, tile, outputs, seed=encoder.seed, **settings.network)
    epochs = settings.epochs if method.trained else 0
    pretraining = Pretraining(
        model,
        method,
        view,
        gap=settings.gap,
        channel_shift=settings.channel_shift,
        grey_share=settings.grey_share,
        learning_rate=learning_rate,
        schedule=settings.schedule,
        warmup_epochs=settings.warmup_epochs,
        epochs=epochs,
        batch_size=settings.batch_size,
        seed=encoder.seed,
        strategy=strategy,
    )
    if len(train) < settings.batch_size:
        raise InputError(
            f"{args.params}: {encoder.modality}.pretrain.batch_size: {settings.batch_size} is more "
            f"than the {len(train)} training inputs"
        )

    _say_what_is_cut_off(view, study.shape)

    checkpoint = paths.checkpoint(encoder) / "state.npz"
    fingerprint = _fingerprint(params, encoder)
    history = _restore(checkpoint, fingerprint, pretraining)
    logs = paths.tensorboard(encoder)
    if not history:
        history = [{"epoch": 0, **_held_out(pretraining.evaluate(valid))}]
        shutil.rmtree(logs, ignore_errors=True)  # curves of another run
    with _writing(logs):
        board = tf.summary.create_file_writer(str(logs))
    while pretraining.epoch < epochs:
        label = f"pretrain {encoder}, epoch {pretraining.epoch + 1}/{epochs}"
        show = partial(
            common.progress,
            total=pretraining.steps_per_epoch(train),
            label=label,
            unit="steps",
        )
        try:
            record = pretraining.run_epoch(train, show)
        except FloatingPointError as error:
            raise InputError(
                f"pretraining {encoder} diverged ({error}): lower "
                f"{encoder.modality}.method.{encoder.method}.learning_rate in {args.params}"
            ) from error
        record = {
            "epoch": pretraining.epoch,
            **record,
            **_held_out(pretraining.evaluate(valid)),
        }
        history.append(record)
        with _writing(logs), board.as_default(step=pretraining.epoch):
            for name, value in record.items():
                tf.summary.scalar(name, value)
            board.flush()
        _save(checkpoint, fingerprint, pretraining, history)

    save_model(paths.model(encoder), model)
    columns = ["epoch", "learning_rate", "loss", "partial_ranks", "score_spread", "zero_gradients"]
    columns += ["valid_loss", "valid_partial_ranks", "valid_score_spread"]
    common.write_csv(paths.history(encoder), pd.DataFrame(history, columns=columns))
    last = history[-1]
    common.write_json(
        paths.pretext(encoder),
        {
            "modality": encoder.modality,
            "dataset": study.dataset,
            "view": encoder.view,
            "method": encoder.method,
            "upstream_seed": encoder.seed,
            "metrics": {
                "partial_ranks": last["valid_partial_ranks"],
                "loss": last["valid_loss"],
            },
        },
    )
    shutil.rmtree(paths.checkpoint(encoder), ignore_errors=True)
    print(
        f"pretrain {encoder}: {epochs} epochs, partial ranks {last['valid_partial_ranks']:.3f} "
        f"on held-out inputs (chance {1 / view.patches:.3f})",
        file=sys.stderr,
    )


def _say_what_is_cut_off(view: View, shape: tuple[int, ...]) -> None:
    if view.frames:
        return
    height, width = view.cell_size(shape)
    used = (view.rows * height, view.columns * width)
    if used != shape[:2]:
        print(
            f"view {view.name} does not divide {shape[0]} x {shape[1]} pixels: the {used[0]} x "
            f"{used[1]} in the middle are used",
            file=sys.stderr,
        )


def _held_out(metrics: dict[str, float]) -> dict[str, float]:
    return {f"valid_{name}": value for name, value in metrics.items()}


@contextmanager
def _writing(logs: Path) -> Iterator[None]:
    """What TensorFlow says of files of TensorBoard that it cannot write, in one line."""
    import tensorflow as tf

    try:
        yield
    except tf.errors.OpError as error:
        reason = error.message.splitlines()[0].rpartition("; ")[2]
        raise InputError(f"could not write {logs}: {reason}") from error


def _fingerprint(params: Params, encoder: Encoder) -> str:
    """What a checkpoint is of: settings, inputs and code."""
    inputs = []
    study = params.study(encoder.modality)
    for split in study.upstream:
        status = params.layout.features(study.dataset, split).stat()
        inputs.append((status.st_size, status.st_mtime_ns))
    settings = study.model_dump(include={"pretrain": True, "method": {encoder.method}})
    content = json.dumps([str(encoder), settings, inputs, source_digest()])
    return hashlib.sha256(content.encode()).hexdigest()


def _save(path: Path, fingerprint: str, pretraining, history: list[dict]) -> None:
    with common.atomic(path) as temporary:
        np.savez(
            temporary,
            fingerprint=np.array(fingerprint),
            history=np.array(json.dumps(history)),
            **pretraining.state(),
        )


def _restore(path: Path, fingerprint: str, pretraining) -> list[dict]:
    """Go on from a checkpoint of the same settings, inputs and code; its history, or nothing."""
    if not path.exists():
        return []
    try:
        with np.load(path, allow_pickle=False) as archive:
            state = dict(archive)
        of = str(state.pop("fingerprint"))
    except Exception:  # whatever numpy raises: what it is makes no difference
        print(f"{path} is damaged: starting again", file=sys.stderr)
        return []
    if of != fingerprint:
        print(f"{path} is of other settings, inputs or code: starting again", file=sys.stderr)
        return []
    history = json.loads(str(state.pop("history")))
    pretraining.restore(state)
    print(f"continuing after epoch {pretraining.epoch} from {path}", file=sys.stderr)
    return history


if __name__ == "__main__":
    common.run(main)
