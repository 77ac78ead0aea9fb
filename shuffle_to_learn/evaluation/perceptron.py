"""A multilayer perceptron and its optimizer, in NumPy: small networks need no framework."""

from __future__ import annotations

from itertools import pairwise

import numpy as np

from shuffle_to_learn.evaluation.targets import Target

_PART = 2**15  # parameters that AdamW updates at a time: what it reads and writes stays in cache


class Perceptron:
    """Layers of weights, with rectified linear units between them.

    All parameters lie in one vector, the weights first, and so do their gradients. Biases start at
    0, weights as He et al. 2015 propose: normal of variance 2 / inputs, but cut at 2 deviations.

    Args:
        sizes: number of inputs, of the units of each hidden layer, and of outputs.
        dropout: share of the hidden units that are dropped in training, in [0, 1).
        rng: draws the first weights, and the units that are dropped.

    Attributes:
        parameters: float32, shape (P,).
        gradients: the derivatives that :meth:`differentiate` found last, float32, shape (P,).
        weights: how many of the parameters are weights.
    """

    def __init__(self, sizes: tuple[int, ...], dropout: float, rng: np.random.Generator) -> None:
        shapes = list(pairwise(sizes))
        self.weights = sum(fan_in * fan_out for fan_in, fan_out in shapes)
        self.parameters = np.zeros(self.weights + sum(sizes[1:]), np.float32)
        self.gradients = np.zeros_like(self.parameters)
        self._layers = _layers(self.parameters, shapes)
        self._slopes = _layers(self.gradients, shapes)
        self._dropout, self._rng = dropout, rng
        for weight, _ in self._layers:
            deviation = np.float32(np.sqrt(2 / max(len(weight), 1)))
            weight[:] = deviation * _truncated_normal(rng, weight.shape)

    def results(self, inputs: np.ndarray) -> np.ndarray:
        """The results of inputs of shape (T, d), without dropout: shape (T, outputs)."""
        h = inputs
        for number, (weight, bias) in enumerate(self._layers):
            if number:
                np.maximum(h, 0, out=h)
            h = h @ weight
            h += bias
        return h

    def differentiate(self, inputs: np.ndarray, wanted: np.ndarray, target: Target) -> None:
        """Find the gradients of the mean loss of a batch, under dropout.

        Args:
            inputs: float32, shape (T, d).
            wanted: encoded targets of the batch.
            target: whose loss it is.
        """
        reached, gates = [inputs], []  # what each layer was given; the derivatives of the units
        for weight, bias in self._layers[:-1]:
            h = reached[-1] @ weight
            h += bias
            gates.append(self._gate(h))
            h *= gates[-1]
            reached.append(h)
        weight, bias = self._layers[-1]
        slope = target.slopes(reached[-1] @ weight + bias, wanted)
        slope /= len(inputs)
        for number in reversed(range(len(self._layers))):
            of_weight, of_bias = self._slopes[number]
            np.matmul(reached[number].T, slope, out=of_weight)
            slope.sum(axis=0, out=of_bias)
            if number:
                slope = slope @ self._layers[number][0].T
                slope *= gates[number - 1]

    def _gate(self, h: np.ndarray) -> np.ndarray:
        """What hidden units are multiplied by: 0 if negative or dropped."""
        passed = h > 0
        if not self._dropout:
            return passed.astype(np.float32)
        # 16 random bits decide, which makes the share exact to 8e-6.
        dropped = round(2**16 * self._dropout)
        bits = self._rng.bit_generator.random_raw(-(-h.size // 4)).view(np.uint16)
        passed &= bits[: h.size].reshape(h.shape) >= dropped
        return passed * np.float32(2**16 / (2**16 - dropped))


class AdamW:
    """Adam with decoupled weight decay, as Keras has it: biases are not decayed.

    Args:
        network: whose parameters are optimised.
        learning_rate: of Adam.
        weight_decay: share of a weight that a step takes away, before the learning rate.

    Source: Loshchilov and Hutter 2019, "Decoupled Weight Decay Regularization", algorithm 2.
    """

    BETA_1, BETA_2, EPSILON = 0.9, 0.999, 1e-7

    def __init__(self, network: Perceptron, learning_rate: float, weight_decay: float) -> None:
        # The moments are kept without their factors 1 - beta, which save a pass each.
        first, second = np.zeros_like(network.parameters), np.zeros_like(network.parameters)
        self._learning_rate = learning_rate
        self._step = 0
        self._parts: list[tuple[np.float32, list[np.ndarray]]] = []
        everything = (network.parameters, network.gradients, first, second)
        ends = (0, network.weights, len(network.parameters))
        for (start, end), decay in zip(pairwise(ends), (weight_decay, 0.0), strict=True):
            for s in range(start, end, _PART):
                part = [vector[s : min(s + _PART, end)] for vector in everything]
                self._parts.append((np.float32(1 - learning_rate * decay), part))

    def step(self) -> None:
        """Update the parameters by the gradients, which are overwritten."""
        self._step += 1
        correction = np.sqrt(1 - self.BETA_2**self._step) / (1 - self.BETA_1**self._step)
        root = np.sqrt(1 - self.BETA_2)
        rate = np.float32(self._learning_rate * correction * (1 - self.BETA_1) / root)
        epsilon = np.float32(self.EPSILON / root)
        beta_1, beta_2 = np.float32(self.BETA_1), np.float32(self.BETA_2)
        for kept, (parameters, gradients, first, second) in self._parts:
            first *= beta_1
            first += gradients
            second *= beta_2
            gradients *= gradients
            second += gradients
            change = np.sqrt(second, out=gradients)
            change += epsilon
            np.divide(first, change, out=change)
            change *= rate
            parameters *= kept
            parameters -= change


def _layers(
    vector: np.ndarray, shapes: list[tuple[int, int]]
) -> list[tuple[np.ndarray, np.ndarray]]:
    """Views of a vector: the weights and biases of each layer."""
    sizes = [*(fan_in * fan_out for fan_in, fan_out in shapes), *(out for _, out in shapes)]
    pieces = np.split(vector, np.cumsum(sizes)[:-1])
    weights = [piece.reshape(shape) for piece, shape in zip(pieces, shapes, strict=False)]
    return list(zip(weights, pieces[len(shapes) :], strict=True))


def _truncated_normal(rng: np.random.Generator, shape: tuple[int, ...]) -> np.ndarray:
    """Standard normal numbers of at most 2 deviations; those beyond are drawn again."""
    result = rng.standard_normal(shape, np.float32)
    while (beyond := np.abs(result) > 2).any():
        result[beyond] = rng.standard_normal(np.count_nonzero(beyond), np.float32)
    return result
