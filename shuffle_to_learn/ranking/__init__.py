"""Differentiable ranking for TensorFlow and Keras: ranks 1..n, ascending, over the last axis.

The operators take any leading shape and run eagerly, in graphs and under XLA. The losses, layers
and the metric are registered with Keras: importing this package is enough to load a model that
uses them.
"""

from shuffle_to_learn.ranking.correlations import (
    expected_kendall,
    kendall_tau,
    soft_spearman,
    spearman_rho,
)
from shuffle_to_learn.ranking.lap_sum import lap_sum_rank
from shuffle_to_learn.ranking.layers import PerturbedRank, SoftRank
from shuffle_to_learn.ranking.losses import (
    ExpectedKendall,
    FastSoftRanking,
    ListMLE,
    PermutationCrossEntropy,
    PerturbedFenchelYoung,
    RankMeanSquaredError,
    RankNet,
    SoftSpearman,
    fast_soft_ranking,
    list_mle,
    partial_ranks,
    permutation_cross_entropy,
    perturbed_fenchel_young,
    rank_mean_squared_error,
    rank_net,
)
from shuffle_to_learn.ranking.metrics import Kendall, PartialRanks, Spearman
from shuffle_to_learn.ranking.neural_sort import neural_sort
from shuffle_to_learn.ranking.perturbed import perturbed_rank
from shuffle_to_learn.ranking.projection import soft_rank
from shuffle_to_learn.ranking.sinkhorn import sinkhorn_rank, soft_permutation
from shuffle_to_learn.ranking.soft_sorting import (
    quantile,
    soft_quantile,
    soft_sort,
    soft_top_k,
    sort,
    top_k,
)
from shuffle_to_learn.ranking.sorting import rank
from shuffle_to_learn.ranking.sorting_network import sorting_network

__all__ = [
    "ExpectedKendall",
    "FastSoftRanking",
    "Kendall",
    "ListMLE",
    "PartialRanks",
    "PermutationCrossEntropy",
    "PerturbedFenchelYoung",
    "PerturbedRank",
    "RankMeanSquaredError",
    "RankNet",
    "SoftRank",
    "SoftSpearman",
    "Spearman",
    "expected_kendall",
    "fast_soft_ranking",
    "kendall_tau",
    "lap_sum_rank",
    "list_mle",
    "neural_sort",
    "partial_ranks",
    "permutation_cross_entropy",
    "perturbed_fenchel_young",
    "perturbed_rank",
    "quantile",
    "rank",
    "rank_mean_squared_error",
    "rank_net",
    "sinkhorn_rank",
    "soft_permutation",
    "soft_quantile",
    "soft_rank",
    "soft_sort",
    "soft_spearman",
    "soft_top_k",
    "sort",
    "sorting_network",
    "spearman_rho",
    "top_k",
]
