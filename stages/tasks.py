"""The downstream tasks: which inputs are labelled, what is asked of them, and scoring answers."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from stages import common
from stages.errors import InputError
from stages.params import Params, Study
from stages.paths import Encoder


def mean_auc(scores: np.ndarray, present: np.ndarray) -> float:
    """Mean area under the ROC curve over the categories that some inputs have and some have not.

    Of the others the area is not defined (scikit-learn gives no number), and they are left out.

    Args:
        scores: of the inputs for each category, shape (T, C).
        present: 0 or 1, shape (T, C).
    """
    from sklearn.metrics import roc_auc_score

    told = _told_apart(present)
    return float(np.mean(roc_auc_score(present[:, told], scores[:, told], average=None)))


def _told_apart(present: np.ndarray) -> np.ndarray:
    return present.any(axis=0) & ~present.all(axis=0)


COUNTED = 30  # answers are counted of tasks of at most so many classes
MEASURES = {
    "accuracy": lambda answer, wanted: np.mean(np.round(answer) == wanted),
    "mse": lambda answer, wanted: np.mean(np.square(answer - wanted)),
    "auc": mean_auc,
}


@dataclass(frozen=True)
class Task:
    """A task on labelled inputs.

    Attributes:
        name: as in the params file.
        targets: of the inputs to fit on, as :mod:`shuffle_to_learn.probes` takes them.
        classes: the labels that the class numbers stand for, None where there are no classes.
        wanted: the right answers to the queries.
        metrics: what answers are scored by.
    """

    name: str
    targets: np.ndarray
    classes: np.ndarray | None
    wanted: np.ndarray
    metrics: tuple[str, ...]

    @property
    def outputs(self) -> int | None:
        """The number of classes, None where there are none."""
        return None if self.classes is None else len(self.classes)

    def counted(self, prediction: np.ndarray) -> list[tuple[Any, Any, int]]:
        """(right label, answer, how often) of a prediction of the queries, for few classes."""
        if self.classes is None or len(self.classes) > COUNTED:
            return []
        pairs = pd.DataFrame({"wanted": self.wanted, "answer": self.classes[prediction]})
        counts = pairs.value_counts(sort=False)
        return [(*key, count) for key, count in counts.items()]

    def scored(self, prediction: np.ndarray) -> Iterator[tuple[str, float]]:
        """Each metric of a prediction of the queries."""
        answer = prediction if self.classes is None else self.classes[prediction]
        for metric in self.metrics:
            yield metric, float(MEASURES[metric](answer, self.wanted))


def read_tasks(params: Params, modality: str) -> list[Task]:
    """The tasks of a study.

    Raises:
        InputError: where a file of labels is absent, damaged or has nothing to score.
    """
    study, paths = params.study(modality), params.layout
    tables = {}
    for split in ("train", study.downstream.evaluate_on):
        path = paths.labels(study.dataset, split)
        tables[split] = common.read_table(path, study.extraction)
        if missing := [task for task in study.downstream.tasks if task not in tables[split]]:
            raise InputError(
                f"{path} has no column {missing[0]}: run the stage {study.extraction} again"
            )
    given, wanted = tables["train"], tables[study.downstream.evaluate_on]
    return [
        _task(params, modality, name, given[name].to_numpy(), wanted[name].to_numpy())
        for name in study.downstream.tasks
    ]


def _task(params: Params, modality: str, name: str, given: np.ndarray, wanted: np.ndarray) -> Task:
    study = params.study(modality)
    metrics = study.metrics[name]
    if "mse" in metrics:
        return Task(name, given, None, wanted, metrics)
    if "auc" not in metrics:
        classes, targets = np.unique(given, return_inverse=True)
        return Task(name, targets, classes, wanted, metrics)
    found = (int(max(own)) for own in (*given, *wanted) if len(own))
    categories = 1 + max(found, default=-1)
    targets, wanted = (_present(lists, categories) for lists in (given, wanted))
    undefined = categories - np.count_nonzero(_told_apart(wanted))
    split = study.downstream.evaluate_on
    if undefined == categories:
        raise InputError(
            f"{params.layout.labels(study.dataset, split)}: no category of {name} is in some of "
            "the inputs and not in others: there is nothing to score"
        )
    if undefined:
        print(
            f"{name}: {undefined} of {categories} categories are in none or all of the inputs of "
            f"{split}: the mean AUC is over the others",
            file=sys.stderr,
        )
    return Task(name, targets, None, wanted, metrics)


def _present(lists: np.ndarray, categories: int) -> np.ndarray:
    """Whether each category is in each list of categories: 0 or 1, shape (N, categories)."""
    present = np.zeros((len(lists), categories), np.int8)
    for row, own in zip(present, lists, strict=True):
        row[np.asarray(own, dtype=np.int64)] = 1
    return present


def check_sizes(file: Path, params: Params, modality: str, pool: int) -> None:
    """:class:`InputError` where there are not as many training inputs as the study asks for."""
    too_many = [n for n in params.study(modality).downstream.n_examples if n > pool]
    if too_many:
        raise InputError(
            f"{file}: {modality}.downstream.n_examples: {max(too_many)} is more than the {pool} "
            "training inputs"
        )


def draws(study: Study, view: str, classifier: str) -> list[tuple[int, int]]:
    """(number of examples, replicate) of every draw of labelled inputs."""
    counts, replicates = study.draws(view, classifier)
    return [(n, replicate) for n in counts for replicate in range(replicates)]


SCORES = ["classifier", "task", "n_examples", "replicate", "metric", "value"]
ANSWERS = ["task", "n_examples", "wanted", "answer", "count"]


def as_table(
    params: Params, e: Encoder, rows: Sequence[tuple[Any, ...]], columns: list[str] = SCORES
) -> pd.DataFrame:
    """Rows of an encoder as a table, with its identity in front."""
    table = pd.DataFrame(rows, columns=columns)
    for place, (name, value) in enumerate(params.identity(e).items()):
        table.insert(place, name, value)
    return table
