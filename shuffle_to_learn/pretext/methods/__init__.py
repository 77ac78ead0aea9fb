"""The pretraining methods: how patches are shuffled, what the network puts out, and the loss.

A method is one class in one file of this package and one entry in :data:`METHODS`. Its settings are
fields of the class (see :mod:`shuffle_to_learn.pretext.methods.base`). Importing this package does
not import TensorFlow. docs/adding-a-method.md says how to add a method.
"""

from __future__ import annotations

from typing import Any

from shuffle_to_learn.pretext.methods.contrastive import Contrastive
from shuffle_to_learn.pretext.methods.diffsort import DiffSort
from shuffle_to_learn.pretext.methods.fast_soft_ranking import FastSoftRanking
from shuffle_to_learn.pretext.methods.fixed_permutations import FixedPermutations
from shuffle_to_learn.pretext.methods.lap_sum import LapSum
from shuffle_to_learn.pretext.methods.list_mle import ListMLE
from shuffle_to_learn.pretext.methods.mse import MeanSquaredError
from shuffle_to_learn.pretext.methods.neural_sort import NeuralSort
from shuffle_to_learn.pretext.methods.perturbed_fy import PerturbedFenchelYoung
from shuffle_to_learn.pretext.methods.perturbed_fy_exact import ExactPerturbedFenchelYoung
from shuffle_to_learn.pretext.methods.position_classification import PositionClassification
from shuffle_to_learn.pretext.methods.random import Random
from shuffle_to_learn.pretext.methods.rank_net import RankNet
from shuffle_to_learn.pretext.methods.sinkhorn import Sinkhorn

METHODS: dict[str, type[Any]] = {  # a method has the name of its file
    "random": Random,
    "fixed_permutations": FixedPermutations,
    "position_classification": PositionClassification,
    "contrastive": Contrastive,
    "mse": MeanSquaredError,
    "fast_soft_ranking": FastSoftRanking,
    "perturbed_fy": PerturbedFenchelYoung,
    "perturbed_fy_exact": ExactPerturbedFenchelYoung,
    "sinkhorn": Sinkhorn,
    "neural_sort": NeuralSort,
    "rank_net": RankNet,
    "list_mle": ListMLE,
    "diffsort": DiffSort,
    "lap_sum": LapSum,
}
