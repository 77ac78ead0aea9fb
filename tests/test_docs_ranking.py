"""docs/ranking.md: its code runs and does what the page says, and its tables hold.

The reference has every name, and the pages beside it are there.
"""

from __future__ import annotations

import ast
import inspect
import re
import tomllib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorflow as tf
from conftest import ROOT

from shuffle_to_learn import ranking
from shuffle_to_learn.ranking import losses

PAGE = ROOT / "docs/ranking.md"
TEXT = PAGE.read_text()
BLOCKS = re.findall(r"^```(\w*)\n(.*?)^```$", TEXT, re.M | re.S)
REFERENCE = (ROOT / "docs/site/reference.md").read_text()


def blocks(language: str) -> list[str]:
    return [text for own, text in BLOCKS if own == language]


def table(first: str) -> list[list[str]]:
    """The rows of the table whose header begins with a cell, cell by cell."""
    (found,) = re.findall(rf"^\| {re.escape(first)} \|.*\n\|[-|]+\|\n((?:\|.*\n)+)", TEXT, re.M)
    return [[cell.strip() for cell in row.strip("|").split(" | ")] for row in found.splitlines()]


@pytest.fixture(scope="module")
def after(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """The names that the page's Python leaves behind, run from top to bottom."""
    names: dict[str, Any] = {}
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(tmp_path_factory.mktemp("page"))
        for number, text in enumerate(blocks("python")):
            exec(compile(text, f"block {number} of {PAGE.name}", "exec"), names)
    return names


def test_the_network_learns_to_sort(after: dict[str, Any]) -> None:
    features, values = after["features"][:1000], after["values"][:1000]
    scores = after["model"].predict(features, verbose=0)  # the model as it was saved and loaded
    right = (scores.argsort().argsort() == values.argsort().argsort()).mean()
    assert right > 0.98  # 0.9998 here; by chance 0.125
    found = after["model"].evaluate(features, after["ranks"][:1000], verbose=0, return_dict=True)
    assert found["partial_ranks"] == pytest.approx(right)


def test_the_loop_of_ones_own_trains(after: dict[str, Any]) -> None:
    features, wrong = after["features"][:100], 9 - after["ranks"][:100]
    weights = after["model"].get_weights()
    # Scores so far apart as these are in order already, with gradient 0: they are brought nearer.
    after["model"].set_weights([0.3 * w for w in weights])
    values = [float(after["step"](features, wrong)) for _ in range(60)]
    after["model"].set_weights(weights)
    assert values[-1] < 0.9 * values[0]


def test_what_is_printed_is_what_the_page_says(after: dict[str, Any]) -> None:
    said = re.findall(r"^print\((.*)\)  # (\[.*\])$", "".join(blocks("python")), re.M)
    assert len(said) == 8
    for code, value in said:
        found = eval(code, after)
        if isinstance(found, list):
            assert found == ast.literal_eval(value), code
        else:
            assert np.allclose(found, ast.literal_eval(value), atol=1e-4), code
    assert float(after["annealed"].epsilon) == pytest.approx(5 * 0.7**2)
    assert np.ptp(after["scores"], axis=-1).mean() == pytest.approx(25.6, rel=0.3)
    ranks = after["ranks"][:1000]
    zero = gradient(lambda s: after["loss"](ranks, s), after["scores"]) == 0
    assert zero.mean() == pytest.approx(0.04, abs=0.03)
    assert np.array_equal(ranking.rank(after["scores"])[zero], ranks[zero])


def test_installing_brings_what_the_operators_need_and_no_more() -> None:
    assert blocks("bash") == ["pip install .\n"]
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    names = {re.match(r"[\w-]+", asked)[0] for asked in project["dependencies"]}
    assert names == {"tensorflow", "keras", "numpy"}


def test_the_reference_has_every_name_once_and_no_other() -> None:
    named = re.findall(r"^\.\. auto(function|class):: (\w+)$", REFERENCE, re.M)
    assert sorted(name for _, name in named) == sorted(ranking.__all__)
    for kind, name in named:
        assert inspect.isclass(getattr(ranking, name)) == (kind == "class"), name


def test_what_the_page_chooses_among_is_there_with_these_settings() -> None:
    cells = [cell for row in table("you want") for cell in row[1:]]
    said = [code for cell in cells for code in re.findall(r"`(.+?)`", cell)]
    named = [code for code in said if not re.match(r"\w+=", code)]
    assert len(named) > 30
    for code in named:
        call = ast.parse(code, mode="eval").body
        if isinstance(call, ast.Call):
            given = {word.arg: ast.literal_eval(word.value) for word in call.keywords}
            getattr(ranking, call.func.id)(**given)
        else:
            assert call.id in ranking.__all__, code


def gradient(loss, scores: np.ndarray) -> np.ndarray:
    x = tf.constant(scores, tf.float32)
    with tf.GradientTape() as tape:
        tape.watch(x)
        value = loss(x)
    return tape.gradient(value, x).numpy()


def random_sets(count: int) -> tuple[np.ndarray, np.ndarray]:
    """Scores of spread 1 and true ranks of sets of ten."""
    rng = np.random.default_rng(0)
    scores = rng.normal(size=(count, 10))
    ranks = rng.permuted(np.tile(np.arange(1.0, 11.0), (count, 1)), axis=1)
    return scores / np.ptp(scores, axis=1, keepdims=True), ranks.astype(np.float32)


def test_the_shares_of_zero_gradients_are_those_of_the_table() -> None:
    scores, ranks = random_sets(2000)
    expected = np.array([row[1:] for row in table("spread / epsilon")], float)
    for column, spread in zip(expected.T, (1, 10, 100), strict=True):
        x = spread * scores
        soft = gradient(lambda s: losses.fast_soft_ranking(ranks, s), x) == 0
        squares = gradient(lambda s: (ranking.perturbed_rank(s, 1.0, None) - ranks) ** 2, x) == 0
        exact = gradient(lambda s: losses.perturbed_fenchel_young(ranks, s, 1.0, None), x) == 0
        wrong = ranking.rank(tf.constant(x)).numpy() != ranks
        found = [soft.mean(), squares.mean(), exact.mean(), exact[wrong].mean()]
        assert found == pytest.approx(column.tolist(), abs=0.02)


def test_the_variances_are_those_of_the_table() -> None:
    scores, ranks = random_sets(2000)
    scores *= 3
    weights = np.random.default_rng(1).normal(size=scores.shape).astype(np.float32)

    def fenchel_young(samples: int | None):
        return gradient(
            lambda s: losses.perturbed_fenchel_young(ranks, s, 1.0, samples, (1, 2)), scores
        )

    def through_ranks(samples: int | None):
        return gradient(lambda s: weights * ranking.perturbed_rank(s, 1.0, samples, (1, 2)), scores)

    for row, estimate in zip(table("samples"), (fenchel_young, through_ranks), strict=True):
        exact = estimate(None)
        found = [
            ((estimate(samples) - exact) ** 2).sum() / (exact**2).sum()
            for samples in (1, 10, 100, None)
        ]
        assert found == pytest.approx(np.array(row[1:], float).tolist(), rel=0.15)


@pytest.mark.parametrize("page", sorted(PAGE.parent.glob("ranking*.md")), ids=lambda p: p.name)
def test_the_files_that_are_linked_exist(page: Path) -> None:
    local = [link for link in re.findall(r"\]\((.*?)\)", page.read_text()) if "://" not in link]
    assert local or page.name == "ranking-peers.md"
    assert all((page.parent / link).exists() for link in local)
