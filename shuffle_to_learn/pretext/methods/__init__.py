"""The pretraining methods: what is shuffled how, what the network puts out, what is minimised.

A method is one class in one file of this package and one entry in :data:`METHODS`; its settings are
fields of the class (see :mod:`shuffle_to_learn.pretext.methods.base`). Importing this does not import
TensorFlow. How to add one: docs/adding-a-method.md.
"""

from __future__ import annotations

from shuffle_to_learn.pretext.methods.fast_soft_ranking import FastSoftRanking
from shuffle_to_learn.pretext.methods.fixed_permutations import FixedPermutations
from shuffle_to_learn.pretext.methods.mse import MeanSquaredError
from shuffle_to_learn.pretext.methods.neural_sort import NeuralSort
from shuffle_to_learn.pretext.methods.perturbed_fy import PerturbedFenchelYoung
from shuffle_to_learn.pretext.methods.perturbed_fy_exact import ExactPerturbedFenchelYoung
from shuffle_to_learn.pretext.methods.random import Random
from shuffle_to_learn.pretext.methods.sinkhorn import Sinkhorn

METHODS: dict[str, type] = {  # a method's name is its file's
    "random": Random,
    "fixed_permutations": FixedPermutations,
    "mse": MeanSquaredError,
    "fast_soft_ranking": FastSoftRanking,
    "perturbed_fy": PerturbedFenchelYoung,
    "perturbed_fy_exact": ExactPerturbedFenchelYoung,
    "sinkhorn": Sinkhorn,
    "neural_sort": NeuralSort,
}
