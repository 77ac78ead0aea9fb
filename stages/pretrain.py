"""Pretrain a CFN: shuffle the patches of each input and learn the ranks that undo the shuffle.

Reads the features of the dataset; writes cfn.keras, history.csv (every epoch: loss, partial ranks
and the spread of the scores in units of the method's epsilon, in training and on held-out inputs;
in training also the share of zeros in the gradient by the scores; wrong ranks with both high: the
method is saturated, raise its epsilon) and pretext.json (how the network does on held-out inputs at
the end). Held-out partial ranks and Kendall's tau are over all n! orders for every method, and
fixed_set is the share of inputs told right where every network picks among the same orders, those
of the fixed permutations; the loss and the spread, and all of training, are on the method's own
orders. A method that orders no patches has the loss alone. After each epoch the state is kept in a
checkpoint: a run that was killed continues from it, to the same result. TensorBoard: tensorboard
--logdir data/tensorboard.

Where the params file names a network to start from (start_from), its weights take the place of
those that the seed draws; the last layer's where it has as many outputs. A method that trains
nothing (random) keeps those of the seed.
"""

from __future__ import annotations

import hashlib
import json
import shutil
import sys
from argparse import Namespace
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from shuffle_to_learn.pretext.permutations import max_hamming_permutations
from shuffle_to_learn.slicing import Slicing
from study import cli
from study.errors import InputError
from study.exported import check_starts, key_of, starts
from study.features import read_features
from study.files import atomic, write_json, write_rows
from study.params import Params
from study.paths import EncoderKey
from study.tensorflow import save_model, source_digest, start_tensorflow

if TYPE_CHECKING:
    import keras

    from shuffle_to_learn.pretext.pretraining import Pretraining

History = list[dict[str, Any]]
COLUMNS = ["epoch", "learning_rate", "loss", "partial_ranks", "score_spread", "zero_gradients"]
COLUMNS += ["valid_loss", "valid_partial_ranks", "valid_kendall_tau", "valid_score_spread"]


def main(arguments: list[str] | None = None) -> None:
    args, params, key = cli.open_encoder(__doc__, "threads", arguments=arguments)
    study = params.study(key.modality)
    check_starts(params, [key])
    train, valid = (read_features(params, key.modality, split) for split in study.upstream)
    start_tensorflow(cli.threads(args, params.threads.pretrain))
    pretraining = build(args, params, key, len(train))
    say_what_is_cut_off(Slicing.parse(key.slicing), study.shape)
    history = run_epochs(args, params, key, pretraining, train, valid)
    write(params, key, pretraining, history, valid)


def build(args: Namespace, params: Params, key: EncoderKey, inputs: int) -> Pretraining:
    """The network and its training, as the params file has them.

    Raises:
        InputError: where the settings ask for more than there is.
    """
    import tensorflow as tf

    from shuffle_to_learn.models.cfn import build_cfn
    from shuffle_to_learn.pretext.pretraining import Pretraining

    study = params.study(key.modality)
    slicing, settings = Slicing.parse(key.slicing), study.pretrain
    try:
        method = study.build_method(key.method, slicing)
    except ValueError as error:  # more fixed permutations than there are
        raise InputError(f"{args.params}: {key.modality}.method.{key.method}: {error}") from error
    batch = f"{args.params}: {key.modality}.pretrain.batch_size: {settings.batch_size}"
    if inputs < settings.batch_size:
        raise InputError(f"{batch} is more than the {inputs} training inputs")
    # One GPU takes a batch whole, several share it.
    several = len(tf.config.list_logical_devices("GPU")) > 1
    strategy = tf.distribute.MirroredStrategy() if several else tf.distribute.get_strategy()
    if settings.batch_size % strategy.num_replicas_in_sync:
        raise InputError(
            f"{batch} cannot be shared evenly by {strategy.num_replicas_in_sync} GPUs: change it, "
            "or hide some with CUDA_VISIBLE_DEVICES"
        )
    if settings.batch_size % (strategy.num_replicas_in_sync * method.crops):
        raise InputError(
            f"{batch} is not {method.crops} crops of each of some inputs for every GPU, which "
            f"{key.method} takes"
        )
    tile = slicing.tile_shape(study.shape, settings.gap)
    with strategy.scope():
        model = build_cfn(slicing.patches, tile, method.outputs, seed=key.seed, **settings.network)
    for start in starts(params, [key]).values():
        take_over(model, start, key)
    return Pretraining(
        model,
        method,
        slicing,
        gap=settings.gap,
        channel_shift=settings.channel_shift,
        grey_share=settings.grey_share,
        learning_rate=study.learning_rate(key.method),
        schedule=settings.schedule,
        warmup_epochs=settings.warmup_epochs,
        epochs=settings.epochs if method.trained else 0,
        batch_size=settings.batch_size,
        seed=key.seed,
        strategy=strategy,
    )


def take_over(model: keras.Model, start: Path, key: EncoderKey) -> None:
    """Give a network the weights of a saved one; the last layer's where the outputs are as many.

    Raises:
        InputError: where the file's weights are damaged.
    """
    import keras

    try:
        found = keras.saving.load_model(start, compile=False)
    except Exception as error:  # whatever Keras raises: what it is makes no difference
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise InputError(f"{key_of(key.modality)}: {start} is damaged ({reason})") from error
    last, there = model.output_shape[-1], found.output_shape[-1]
    for layer in model.layers:
        if layer.weights and (layer.name != "scores" or last == there):
            layer.set_weights(found.get_layer(layer.name).get_weights())
    but = "" if last == there else f", but for its last layer ({there} outputs, not {last})"
    print(f"pretrain {key}: starts from {start}{but}", file=sys.stderr)


def run_epochs(
    args: Namespace,
    params: Params,
    key: EncoderKey,
    pretraining: Pretraining,
    train: np.ndarray,
    valid: np.ndarray,
) -> History:
    """Train, from a checkpoint if there is one, and keep one after each epoch.

    Raises:
        InputError: where the loss is no longer finite.
    """
    checkpoint = params.layout.checkpoint(key) / "state.npz"
    fingerprint = _fingerprint(params, key)
    history = _restore(checkpoint, fingerprint, pretraining)
    logs = params.layout.tensorboard(key)
    if not history:
        history = [{"epoch": 0, **_held_out(pretraining.evaluate(valid))}]
        shutil.rmtree(logs, ignore_errors=True)  # curves of another run
    with _board(logs) as log:
        while pretraining.epoch < pretraining.epochs:
            show = partial(
                cli.progress,
                total=pretraining.steps_per_epoch(train),
                label=f"pretrain {key}, epoch {pretraining.epoch + 1}/{pretraining.epochs}",
                unit="steps",
            )
            try:
                trained = pretraining.run_epoch(train, show)
            except FloatingPointError as error:
                raise InputError(
                    f"pretraining {key} diverged ({error}): lower "
                    f"{key.modality}.method.{key.method}.learning_rate in {args.params}"
                ) from error
            record = {"epoch": pretraining.epoch, **trained}
            record |= _held_out(pretraining.evaluate(valid))
            history.append(record)
            log(record)
            _save(checkpoint, fingerprint, pretraining, history)
    return history


def write(
    params: Params, key: EncoderKey, pretraining: Pretraining, history: History, valid: np.ndarray
) -> None:
    """Write the network, its history and its held-out metrics; the checkpoint goes."""
    paths, last, study = params.layout, history[-1], params.study(key.modality)
    metrics, said = {}, f"loss {last['valid_loss']:.3f} on held-out inputs"
    if pretraining.method.ordering:
        slicing = pretraining.slicing
        orders = max_hamming_permutations(slicing.patches, study.fixed_orders(slicing))
        metrics = {name: last[f"valid_{name}"] for name in ("partial_ranks", "kendall_tau")}
        metrics["fixed_set"] = pretraining.told_among(valid, orders)
        said = f"partial ranks {metrics['partial_ranks']:.3f} on held-out inputs "
        said += f"(chance {1 / slicing.patches:.3f})"
    metrics["loss"] = last["valid_loss"]
    save_model(paths.model(key), pretraining.model)
    write_rows(paths.history(key), COLUMNS, history)
    write_json(paths.pretext(key), {**params.identity(key), "metrics": metrics})
    shutil.rmtree(paths.checkpoint(key), ignore_errors=True)
    print(f"pretrain {key}: {pretraining.epochs} epochs, {said}", file=sys.stderr)


def say_what_is_cut_off(slicing: Slicing, shape: tuple[int, ...]) -> None:
    """Say which pixels a grid leaves unused."""
    if slicing.frames:
        return
    height, width = slicing.cell_size(shape)
    used = (slicing.rows * height, slicing.columns * width)
    if used != shape[:2]:
        print(
            f"slicing {slicing.name} does not divide {shape[0]} x {shape[1]} pixels: the {used[0]} "
            f"x {used[1]} in the middle are used",
            file=sys.stderr,
        )


def _held_out(metrics: dict[str, float]) -> dict[str, float]:
    return {f"valid_{name}": value for name, value in metrics.items()}


@contextmanager
def _board(logs: Path) -> Iterator[Any]:
    """A function that writes an epoch's record for TensorBoard."""
    import tensorflow as tf

    with _writing(logs):
        board = tf.summary.create_file_writer(str(logs))

    def log(record: dict[str, Any]) -> None:
        with _writing(logs), board.as_default(step=record["epoch"]):
            for name, value in record.items():
                tf.summary.scalar(name, value)
            board.flush()

    yield log


@contextmanager
def _writing(logs: Path) -> Iterator[None]:
    """What TensorFlow says of files of TensorBoard that it cannot write, in one line."""
    import tensorflow as tf

    try:
        yield
    except tf.errors.OpError as error:
        reason = error.message.splitlines()[0].rpartition("; ")[2]
        raise InputError(f"could not write {logs}: {reason}") from error


def _fingerprint(params: Params, key: EncoderKey) -> str:
    """What a checkpoint is of: settings, inputs and code."""
    inputs = []
    study = params.study(key.modality)
    files = [params.layout.features(study.dataset, split) for split in study.upstream]
    for path in (*files, *starts(params, [key]).values()):
        status = path.stat()
        inputs.append((status.st_size, status.st_mtime_ns))
    settings = study.model_dump(include={"pretrain": True, "method": {key.method}})
    content = json.dumps([str(key), settings, inputs, source_digest()])
    return hashlib.sha256(content.encode()).hexdigest()


def _save(path: Path, fingerprint: str, pretraining: Pretraining, history: History) -> None:
    with atomic(path) as temporary:
        told = {"fingerprint": np.array(fingerprint), "history": np.array(json.dumps(history))}
        np.savez(temporary, allow_pickle=False, **told, **pretraining.state())


def _restore(path: Path, fingerprint: str, pretraining: Pretraining) -> History:
    """Go on from a checkpoint of the same settings, inputs and code; its history, or nothing."""
    if not path.exists():
        return []
    try:
        with np.load(path, allow_pickle=False) as archive:
            state = dict(archive)
        kept = str(state.pop("fingerprint"))
    except Exception:  # whatever numpy raises: what it is makes no difference
        print(f"{path} is damaged: starting again", file=sys.stderr)
        return []
    if kept != fingerprint:
        print(f"{path} is of other settings, inputs or code: starting again", file=sys.stderr)
        return []
    history = json.loads(str(state.pop("history")))
    pretraining.restore(state)
    print(f"continuing after epoch {pretraining.epoch} from {path}", file=sys.stderr)
    return history


if __name__ == "__main__":
    cli.run(main)
