"""The mean area under the ROC curve, which pictures are scored by."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import rankdata
from sklearn.metrics import roc_auc_score

from study.tasks import mean_auc

LEVELS = st.integers(-3, 3).map(float)  # few, so that there are ties


@given(st.data(), st.integers(1, 12), st.integers(1, 5))
def test_the_mean_auc_is_that_of_the_categories_that_have_one(
    data, rows: int, columns: int
) -> None:
    """Compared with scikit-learn, one category at a time, and with the rank-sum statistic."""

    def table(values):
        return np.array(
            data.draw(st.lists(values, min_size=rows * columns, max_size=rows * columns))
        ).reshape(rows, columns)

    scores, present = table(LEVELS), table(st.integers(0, 1)).astype(np.int8)
    told = [c for c in range(columns) if 0 < present[:, c].sum() < rows]
    if not told:
        return
    each = [roc_auc_score(present[:, c], scores[:, c]) for c in told]
    assert mean_auc(scores, present) == pytest.approx(np.mean(each))
    for c, area in zip(told, each, strict=True):
        positives = present[:, c].sum()
        ranks = rankdata(scores[:, c])[present[:, c] == 1].sum()
        won = ranks - positives * (positives + 1) / 2
        assert area == pytest.approx(won / (positives * (rows - positives)))
    reverse = mean_auc(-scores, present)
    assert reverse == pytest.approx(1 - np.mean(each))


def test_a_mean_auc_of_float32_and_of_one_category() -> None:
    present = np.array([[0, 1, 0], [1, 1, 0], [1, 1, 0]], np.int8)
    scores = np.array([[0.1, 9, 9], [0.2, 8, 9], [0.3, 7, 9]], np.float32)
    assert mean_auc(scores, present) == 1.0
    assert mean_auc(-scores, present) == 0.0
