"""Pretraining: shuffle the patches of each input and learn the ranks that undo the shuffle."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable

import keras
import numpy as np
import tensorflow as tf

from shuffle_to_learn import patches
from shuffle_to_learn.pretext.methods.base import Method
from shuffle_to_learn.ranking import losses
from shuffle_to_learn.slicing import Slicing

_EVALUATION = 2**31 - 1  # in place of the seed: every encoder is shown the same shuffles
_EVALUATED = ("loss", "partial_ranks", "score_spread")
_TRAINING = (*_EVALUATED, "zero_gradients")


class Pretraining:
    """A CFN in training, an epoch at a time, that can be stopped and restored between epochs.

    All randomness is a function of (seed, epoch, step), so a restored run goes on exactly as the
    uninterrupted one would have.

    Args:
        model: a CFN, see :func:`shuffle_to_learn.models.cfn.build_cfn`.
        method: what is sampled and minimised.
        slicing: how inputs are cut.
        gap: see :func:`shuffle_to_learn.patches.cut`.
        channel_shift: pixels, see :func:`shuffle_to_learn.patches.shift_channels`; in training.
        grey_share: of the inputs of a step, see :func:`shuffle_to_learn.patches.some_grey`.
        learning_rate: Adam's, at its highest.
        schedule: ``constant``, or ``cosine`` down to 0 at the last step.
        warmup_epochs: epochs of linear increase from 0.
        epochs: how many there are in all.
        batch_size: inputs a step; what is left over at the end of an epoch is dropped (each epoch
            has another order).
        seed: of order, permutations, gaps and noise.
        strategy: of devices that share each batch evenly; the model has to be built in its scope.
            Batch normalisation then takes its statistics over a device's part, and sampled noise
            is another; otherwise the training is that of one device, but for rounding.

    Raises:
        ValueError: where the devices cannot share a batch evenly.
    """

    def __init__(
        self,
        model: keras.Model,
        method: Method,
        slicing: Slicing,
        *,
        gap: int = 0,
        channel_shift: int = 0,
        grey_share: float = 0.0,
        learning_rate: float = 1e-4,
        schedule: str = "constant",
        warmup_epochs: float = 0.0,
        epochs: int,
        batch_size: int = 32,
        seed: int = 0,
        strategy: tf.distribute.Strategy | None = None,
    ) -> None:
        self._strategy = strategy or tf.distribute.get_strategy()
        self._replicas = self._strategy.num_replicas_in_sync
        if batch_size % self._replicas:
            raise ValueError(
                f"a batch of {batch_size} cannot be shared evenly by {self._replicas} devices"
            )
        self.model = model
        self.method = method
        self.slicing = slicing
        self.gap = gap
        self.channel_shift = channel_shift
        self.grey_share = grey_share
        self.learning_rate = learning_rate
        self.schedule = schedule
        self.warmup_epochs = warmup_epochs
        self.epochs = epochs
        self.batch_size = batch_size
        self.seed = seed
        self.epoch = 0
        with self._strategy.scope():
            self.optimizer = keras.optimizers.Adam(learning_rate)
            self.optimizer.build(model.trainable_variables)
        self._train_step = tf.function(self._distributed_step)
        self._evaluate_batch = tf.function(self._evaluation, reduce_retracing=True)

    def steps_per_epoch(self, inputs: np.ndarray) -> int:
        """The number of training steps in an epoch; at least 1.

        Raises:
            ValueError: where there are fewer inputs than a batch.
        """
        if len(inputs) < self.batch_size:
            raise ValueError(
                f"a batch of {self.batch_size} is larger than the {len(inputs)} training inputs"
            )
        return len(inputs) // self.batch_size

    def run_epoch(
        self, inputs: np.ndarray, progress: Callable[[Iterable[int]], Iterable[int]] = iter
    ) -> dict[str, float]:
        """Train for one epoch.

        Args:
            inputs: float, or uint8 of 0 to 255; shape (N, height, width), (N, height, width,
                channels) or (N, frames, height, width, channels); may be memory-mapped.
            progress: goes around the iteration over the steps, to show progress.

        Returns:
            The means over the epoch of ``loss``, ``partial_ranks`` and

            * ``score_spread``: the largest less the least score of an example, in the method's
              ``scale`` (of a method that classifies: of its logits);
            * ``zero_gradients``: the share of exact zeros in the gradient of the loss with respect
              to the scores, in [0, 1];

            and the last ``learning_rate``. From a score whose gradient is 0 nothing is learned:
            either it is right, or the operator is saturated there, which takes a large spread and
            is cured by a larger epsilon.

        Raises:
            FloatingPointError: where the loss is no longer finite.
        """
        steps = self.steps_per_epoch(inputs)
        rng = np.random.Generator(np.random.Philox(key=[self.seed, self.epoch]))
        order = rng.permutation(len(inputs))[: steps * self.batch_size].reshape(steps, -1)
        totals = np.zeros(len(_TRAINING))
        rate = 0.0
        for index in progress(range(steps)):
            step = self.epoch * steps + index
            rate = self._rate(step, steps)
            self.optimizer.learning_rate = rate
            batch = inputs[np.sort(order[index])]  # sorted: kinder to a memory map
            totals += self._train_step(tf.constant(batch), tf.constant([self.seed, step])).numpy()
        self.epoch += 1
        record = dict(zip(_TRAINING, (totals / steps).tolist(), strict=True))
        if not math.isfinite(record["loss"]):
            raise FloatingPointError(f"the loss is {record['loss']} in epoch {self.epoch}")
        return {**record, "learning_rate": rate}

    def evaluate(self, inputs: np.ndarray, batch_size: int = 250) -> dict[str, float]:
        """Mean ``loss``, ``partial_ranks`` and ``score_spread``, as :meth:`run_epoch` has them.

        Inputs are shuffled the same way at every call.
        """
        totals = np.zeros(len(_EVALUATED))
        for start in range(0, len(inputs), batch_size):
            batch = inputs[start : start + batch_size]
            seed = tf.constant([_EVALUATION, start])
            means = self._evaluate_batch(tf.constant(batch), seed).numpy()
            totals += len(batch) * means.astype(float)
        return dict(zip(_EVALUATED, (totals / len(inputs)).tolist(), strict=True))

    def state(self) -> dict[str, np.ndarray]:
        """Everything that training changes, as arrays."""
        variables = [*self.model.variables, *self.optimizer.variables]
        state = {f"variable_{i}": np.asarray(v.numpy()) for i, v in enumerate(variables)}
        return {"epoch": np.array(self.epoch), **state}

    def restore(self, state: dict[str, np.ndarray]) -> None:
        """Go on from what :meth:`state` returned.

        Raises:
            ValueError: where the state is of another network.
        """
        variables = [*self.model.variables, *self.optimizer.variables]
        if len(state) != len(variables) + 1:
            raise ValueError("the state is of another network")
        for i, variable in enumerate(variables):
            variable.assign(state[f"variable_{i}"])
        self.epoch = int(state["epoch"])

    def _rate(self, step: int, steps_per_epoch: int) -> float:
        total = self.epochs * steps_per_epoch
        warmup = self.warmup_epochs * steps_per_epoch
        rate = self.learning_rate * min(1.0, (step + 1) / warmup if warmup else 1.0)
        if self.schedule == "cosine":
            rate *= 0.5 * (1.0 + math.cos(math.pi * step / total))
        return rate

    def _forward(
        self, inputs: tf.Tensor, seed: tf.Tensor, *, training: bool
    ) -> tuple[tf.Tensor, list[tf.Tensor]]:
        """The scores, and the means of _EVALUATED."""
        seeds = tf.unstack(tf.random.split(seed, 3))
        x = patches.as_images(inputs)
        if training and self.grey_share:
            x = patches.some_grey(x, self.grey_share, seeds[0] + 101)
        x = patches.cut(x, self.slicing, self.gap, seeds[0] if training else None)
        if training and self.channel_shift:
            x = patches.shift_channels(x, self.channel_shift, seeds[0] + 102)
        orders = self.method.sample(tf.shape(x)[0], seeds[1])
        noise = seeds[2]
        if training and self._replicas > 1:
            # Every device draws for the whole batch, and goes on with its own part of it.
            own = tf.convert_to_tensor(tf.distribute.get_replica_context().replica_id_in_sync_group)
            size = tf.shape(x)[0] // self._replicas
            x, orders = (t[own * size : (own + 1) * size] for t in (x, orders))
            noise = noise + own
        scores = self.model(patches.reorder(x, orders), training=training)
        loss = tf.reduce_mean(self.method.loss(orders, scores, noise))
        right = losses.partial_ranks(orders + 1, self.method.predict(scores))
        spread = tf.reduce_max(scores, axis=-1) - tf.reduce_min(scores, axis=-1)
        return scores, [loss, tf.reduce_mean(right), tf.reduce_mean(spread) / self.method.scale]

    def _evaluation(self, inputs: tf.Tensor, seed: tf.Tensor) -> tf.Tensor:
        _, means = self._forward(inputs, seed, training=False)
        return tf.stack(means)

    def _distributed_step(self, inputs: tf.Tensor, seed: tf.Tensor) -> tf.Tensor:
        if self._replicas == 1:
            return self._step(inputs, seed)
        means = self._strategy.run(self._step, args=(inputs, seed))
        return self._strategy.reduce(tf.distribute.ReduceOp.MEAN, means, axis=None)

    def _step(self, inputs: tf.Tensor, seed: tf.Tensor) -> tf.Tensor:
        with tf.GradientTape() as tape:
            scores, means = self._forward(inputs, seed, training=True)
            loss = means[0] / self._replicas  # the optimizer adds the devices' gradients up
        variables = self.model.trainable_variables
        by_scores, *gradients = tape.gradient(loss, [scores, *variables])
        self.optimizer.apply_gradients(zip(gradients, variables, strict=True))
        zeros = tf.cast(tf.convert_to_tensor(by_scores) == 0, tf.float32)
        return tf.stack([*means, tf.reduce_mean(zeros)])  # one transfer a step
