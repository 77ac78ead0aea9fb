"""Draws where operations are deterministic: with a seed, or a word on how to give one."""

from __future__ import annotations

import os
import subprocess
import sys

from conftest import ROOT

# In a process of its own: in this one, operations are deterministic and a seed may be set.
PROGRAM = """
import keras
import tensorflow as tf
from shuffle_to_learn import PerturbedFenchelYoung, perturbed_fenchel_young, perturbed_rank

tf.config.experimental.enable_op_determinism()
x = tf.constant([[0.3, 0.1, 0.2]])
ranks = tf.constant([[3, 1, 2]])
sampled = (
    lambda seed: perturbed_rank(x, 1.0, 5, seed),
    lambda seed: perturbed_rank(x, 1.0, 5, seed, noise="gumbel"),
    lambda seed: perturbed_fenchel_young(ranks, x, 1.0, 5, seed),
)
for draw in sampled:
    for call in (draw, tf.function(draw)):
        try:
            call(None)
        except ValueError as refused:
            assert "draws need a seed: give seed two integers" in str(refused), refused
        else:
            raise AssertionError("drawn without a seed")
        assert (call((1, 2)) == call((1, 2))).numpy().all()
perturbed_rank(x, 1.0, None)  # draws nothing
keras.utils.set_random_seed(3)
first = [PerturbedFenchelYoung()(ranks, x), *(draw(None) for draw in sampled)]
keras.utils.set_random_seed(3)
again = [PerturbedFenchelYoung()(ranks, x), *(draw(None) for draw in sampled)]
assert all((a == b).numpy().all() for a, b in zip(first, again, strict=True))
"""


def test_draws_without_a_seed_are_refused_with_what_to_do() -> None:
    environment = {**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3"}
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert not done.returncode, done.stderr
