"""Pretraining: shuffle the patches of each input and learn the ranks that undo the shuffle."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator

import keras
import numpy as np
import tensorflow as tf

from shuffle_to_learn import patches
from shuffle_to_learn.models.adam import Adam
from shuffle_to_learn.models.forward import forward
from shuffle_to_learn.pretext.methods.base import Method
from shuffle_to_learn.pretext.permutations import random_permutations
from shuffle_to_learn.ranking import losses
from shuffle_to_learn.slicing import Slicing

_EVALUATION_SEED = 2**31 - 1  # one for all encoders, so that they see the same shuffles
_EVALUATION_MEANS = ("loss", "score_spread", "partial_ranks", "kendall_tau")


class Pretraining:
    """The training of a CFN, an epoch at a time; it can be stopped and restored between epochs.

    All randomness is a function of (seed, epoch, step), so a restored run goes on exactly as the
    uninterrupted run would have.

    Args:
        model: a CFN, see :func:`shuffle_to_learn.models.cfn.build_cfn`.
        method: samples the shuffles and defines the loss.
        slicing: how inputs are cut into patches.
        gap: see :func:`shuffle_to_learn.patches.cut`.
        channel_shift: in pixels, see :func:`shuffle_to_learn.patches.shift_channels`; in training
            only.
        grey_share: share of the inputs of a step, in [0, 1], see
            :func:`shuffle_to_learn.patches.some_grey`; in training only.
        learning_rate: Adam's highest learning rate.
        schedule: ``constant``, or ``cosine`` down to 0 at the last step.
        warmup_epochs: epochs in which the learning rate rises linearly from 0.
        epochs: the number of epochs in all.
        batch_size: inputs of the network a step. Of a method that makes several crops of an input,
            a step has so many times fewer inputs, so that every method's epoch takes the network
            the same time. The inputs left over at the end of an epoch are dropped (each epoch has
            another order).
        seed: decides all that is random: the order of the inputs, the permutations, the changes of
            places and colours, and the noise.
        strategy: shares each batch evenly between devices; the model has to be built in its scope.
            The training equals that of one device up to rounding, with three exceptions: batch
            normalisation takes its statistics over a device's part of the batch, a contrastive loss
            tells the crops of a device's part apart, and sampled noise differs.

    Raises:
        ValueError: where the devices cannot share a batch evenly, or a part is no whole number of
            inputs.
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
        if batch_size % (self._replicas * method.crops):
            raise ValueError(
                f"a batch of {batch_size} is no whole number of inputs of {method.crops} crops each"
                f" for {self._replicas} devices"
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
            self.optimizer = Adam(learning_rate)
            self.optimizer.build(model.trainable_variables)
        self._train_step = tf.function(self._distributed_step)
        self._shuffled_scores = tf.function(self._scores_of_centred, reduce_retracing=True)

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
            progress: a progress callback, wrapped around the iteration over the steps.

        Returns:
            The means over the epoch of ``loss``;

            * ``partial_ranks``, on the method's own orders;
            * ``score_spread``: the largest score of an example less its smallest, in units of the
              method's ``scale`` (the scores of a method that classifies are its logits);
            * ``zero_gradients``: the share of exact zeros in the gradient of the loss with respect
              to the scores, in [0, 1];

            and the last ``learning_rate``. A method that orders no patches lacks the first two. A
            score whose gradient is 0 teaches the network nothing. Either its rank is right, or the
            operator is saturated there: that takes a large spread, and a larger epsilon cures it.

        Raises:
            FloatingPointError: where the loss is no longer finite.
        """
        steps = self.steps_per_epoch(inputs)
        rng = np.random.Generator(np.random.Philox(key=[self.seed, self.epoch]))
        order = rng.permutation(len(inputs))[: steps * self.batch_size].reshape(steps, -1)
        names = ["loss", *(["partial_ranks", "score_spread"] if self.method.ordering else [])]
        names.append("zero_gradients")
        totals = np.zeros(len(names))
        rate = 0.0
        for index in progress(range(steps)):
            step = self.epoch * steps + index
            rate = self._rate(step, steps)
            self.optimizer.learning_rate = rate
            chosen = order[index][: self.batch_size // self.method.crops]
            batch = inputs[np.sort(chosen)]  # a memory map reads faster in order
            totals += self._train_step(tf.constant(batch), tf.constant([self.seed, step])).numpy()
        self.epoch += 1
        record = dict(zip(names, (totals / steps).tolist(), strict=True))
        if not math.isfinite(record["loss"]):
            raise FloatingPointError(f"the loss is {record['loss']} in epoch {self.epoch}")
        return {**record, "learning_rate": rate}

    def evaluate(self, inputs: np.ndarray, batch_size: int = 250) -> dict[str, float]:
        """What the network does on inputs that it was not trained on.

        Inputs are shuffled the same way at every call, and for every method that draws from all n!
        orders.

        Args:
            inputs: as in :meth:`run_epoch`.
            batch_size: inputs at a time.

        Returns:
            The means of ``loss`` and ``score_spread``, as in :meth:`run_epoch`, on the method's own
            orders; and of ``partial_ranks`` and ``kendall_tau``, the rank correlation of true and
            predicted ranks in [-1, 1], on orders drawn from all n!, whatever the method. Of a
            method that orders no patches the loss alone, over whole batches of training's size.
        """
        if not self.method.ordering:
            return {"loss": self._crops_loss(inputs)}
        totals = np.zeros(len(_EVALUATION_MEANS))
        for batch, seeds in _batches(inputs, batch_size):
            orders = self.method.sample(len(batch), seeds[1])
            scores = self._shuffled_scores(batch, orders)
            means = [self.method.loss(orders, scores, seeds[2]), self._spread(scores)]
            if not self.method.all_orders:
                orders = random_permutations(len(batch), self.slicing.patches, seeds[1])
                scores = self._shuffled_scores(batch, orders)
            ranks = orders + 1, self.method.predict(scores)
            means += [losses.partial_ranks(*ranks), losses.kendall_tau(*ranks)]
            totals += [len(batch) * float(tf.reduce_mean(values)) for values in means]
        return dict(zip(_EVALUATION_MEANS, (totals / len(inputs)).tolist(), strict=True))

    def told_among(self, inputs: np.ndarray, orders: np.ndarray, batch_size: int = 250) -> float:
        """The share of inputs whose order is told from the others of a set; by chance 1/m.

        Inputs are shuffled by orders drawn from the set, the same way at every call and for every
        method.

        Args:
            inputs: as in :meth:`run_epoch`.
            orders: the set, 0-based permutations, int32, shape (m, n); for a method that knows only
                some orders, a part of these.
            batch_size: inputs at a time.
        """
        told = 0
        for batch, seeds in _batches(inputs, batch_size):
            applied = tf.random.stateless_uniform(
                [len(batch)], seeds[1], minval=0, maxval=len(orders), dtype=tf.int32
            )
            scores = self._shuffled_scores(batch, tf.gather(orders, applied))
            told += int(tf.math.count_nonzero(self.method.among(scores, orders) == applied))
        return told / len(inputs)

    def state(self) -> dict[str, np.ndarray]:
        """Everything that training changes, as arrays: the argument of :meth:`restore`."""
        variables = [*self.model.variables, *self.optimizer.variables]
        state = {f"variable_{i}": np.asarray(v.numpy()) for i, v in enumerate(variables)}
        return {"epoch": np.array(self.epoch), **state}

    def restore(self, state: dict[str, np.ndarray]) -> None:
        """Go back to a state that :meth:`state` returned.

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

    def _crops_loss(self, inputs: np.ndarray) -> float:
        """The mean loss of held-out inputs' crops, told apart within a batch as in training."""
        size = self.batch_size // self.method.crops
        found = []
        for batch, seeds in _batches(inputs[: len(inputs) // size * size or len(inputs)], size):
            crops = self.method.crop(batch, seeds[0])
            orders = self.method.sample(len(crops), seeds[1])
            scores = self._shuffled_scores(crops, orders)
            found.append(float(tf.reduce_mean(self.method.loss(orders, scores, seeds[2]))))
        return float(np.mean(found))

    def _spread(self, scores: tf.Tensor) -> tf.Tensor:
        """The spread of each example's scores, in units of the method's scale."""
        spread = tf.reduce_max(scores, axis=-1) - tf.reduce_min(scores, axis=-1)
        return spread / self.method.scale

    def _scores_of_centred(self, inputs: tf.Tensor, orders: tf.Tensor) -> tf.Tensor:
        """The scores of inputs as they are, each patch centred in its cell, shuffled by orders."""
        x = patches.cut(patches.with_channels(inputs), self.slicing, self.gap)
        shuffled = patches.as_images(patches.reorder(x, orders))
        return forward(self.model, shuffled, training=False)

    def _forward(self, inputs: tf.Tensor, seed: tf.Tensor) -> tuple[tf.Tensor, list[tf.Tensor]]:
        """The scores of a training step, and the means that :meth:`run_epoch` names."""
        seeds = tf.unstack(tf.random.split(seed, 3))
        if self.method.crops > 1:
            inputs = self.method.crop(inputs, seeds[0] + 103)
        x = patches.with_channels(inputs)
        if self.grey_share:
            x = patches.some_grey(patches.as_images(x), self.grey_share, seeds[0] + 101)
        x = patches.cut(x, self.slicing, self.gap, seeds[0])
        if self.channel_shift:
            x = patches.shift_channels(x, self.channel_shift, seeds[0] + 102)
        orders = self.method.sample(tf.shape(x)[0], seeds[1])
        noise = seeds[2]
        if self._replicas > 1:
            # Every device draws for the whole batch, and goes on with its own part of it.
            context = tf.distribute.get_replica_context()
            replica = tf.convert_to_tensor(context.replica_id_in_sync_group)
            size = tf.shape(x)[0] // self._replicas
            x, orders = (t[replica * size : (replica + 1) * size] for t in (x, orders))
            noise = noise + replica
        shuffled = patches.as_images(patches.reorder(x, orders))
        scores = forward(self.model, shuffled, training=True)
        means = [self.method.loss(orders, scores, noise)]
        if self.method.ordering:
            right = losses.partial_ranks(orders + 1, self.method.predict(scores))
            means += [right, self._spread(scores)]
        return scores, [tf.reduce_mean(values) for values in means]

    def _distributed_step(self, inputs: tf.Tensor, seed: tf.Tensor) -> tf.Tensor:
        if self._replicas == 1:
            return self._step(inputs, seed)
        means = self._strategy.run(self._step, args=(inputs, seed))
        return self._strategy.reduce(tf.distribute.ReduceOp.MEAN, means, axis=None)

    def _step(self, inputs: tf.Tensor, seed: tf.Tensor) -> tf.Tensor:
        with tf.GradientTape() as tape:
            scores, means = self._forward(inputs, seed)
            loss = means[0] / self._replicas  # the optimizer sums the devices' gradients
        variables = self.model.trainable_variables
        score_gradient, *gradients = tape.gradient(loss, [scores, *variables])
        self.optimizer.apply_gradients(zip(gradients, variables, strict=True))
        zeros = tf.cast(tf.convert_to_tensor(score_gradient) == 0, tf.float32)
        return tf.stack([*means, tf.reduce_mean(zeros)])  # one transfer a step


def _batches(inputs: np.ndarray, size: int) -> Iterator[tuple[tf.Tensor, list[tf.Tensor]]]:
    """Held-out inputs, and three stateless seeds of each batch, the same for all encoders."""
    for start in range(0, len(inputs), size):
        seeds = tf.unstack(tf.random.split(tf.constant([_EVALUATION_SEED, start]), 3))
        yield tf.constant(inputs[start : start + size]), seeds
