"""The downstream tasks: which inputs are labelled, what is asked of them, and scoring answers."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from study.errors import InputError
from study.files import read_table
from study.params import RESERVED, Params, Study
from study.paths import EncoderKey


def mean_auc(scores: np.ndarray, present: np.ndarray) -> float:
    """Mean area under the ROC curve over the categories that some inputs have and some have not.

    The area is the share of pairs, one input of the category and one other, in which the first has
    the higher score; equal scores count half. The others have no pairs, and are left out.

    Args:
        scores: of the inputs for each category, shape (T, C).
        present: 0 or 1, shape (T, C).
    """
    areas = []
    for category in np.flatnonzero(_told_apart(present)):
        own = present[:, category] == 1
        others = np.sort(scores[~own, category])
        above = [np.searchsorted(others, scores[own, category], side) for side in ("left", "right")]
        areas.append(np.mean(above) / len(others))
    return float(np.mean(areas))


def _told_apart(present: np.ndarray) -> np.ndarray:
    return np.any(present, axis=0) & ~np.all(present, axis=0)


COUNTED = 30  # answers are counted of tasks of at most so many classes
MEASURES = {
    "accuracy": lambda answer, wanted: np.mean(answer == wanted),
    "mse": lambda answer, wanted: np.mean(np.square(answer - wanted)),
    "auc": mean_auc,
}


@dataclass(frozen=True)
class Task:
    """A task on labelled inputs.

    Attributes:
        name: as in the params file.
        targets: what the inputs to fit on are, as :mod:`shuffle_to_learn.evaluation.probes` takes
            them; anything where an input is not labelled.
        classes: the labels that the class numbers stand for, None where there are no classes.
        wanted: the right answers to the queries that are labelled.
        metrics: what answers are scored by.
        fitted_on: the numbers of the inputs that are labelled.
        scored_on: the numbers of the queries that are labelled.
        sizes: the numbers of inputs and queries, labelled or not.
    """

    name: str
    targets: np.ndarray
    classes: np.ndarray | None
    wanted: np.ndarray
    metrics: tuple[str, ...]
    fitted_on: np.ndarray
    scored_on: np.ndarray
    sizes: tuple[int, int]

    @property
    def outputs(self) -> int | None:
        """The number of classes, None where there are none."""
        return None if self.classes is None else len(self.classes)

    def counted(self, prediction: np.ndarray) -> list[tuple[Any, Any, int]]:
        """(right label, answer, how often) of a prediction of the queries, for few classes."""
        if self.classes is None or len(self.classes) > COUNTED:
            return []
        pairs = pd.DataFrame({"wanted": self.wanted, "answer": self.classes[prediction]})
        counts = pairs.value_counts(sort=False).reset_index()
        return list(counts.itertuples(index=False, name=None))

    def scored(self, prediction: np.ndarray) -> Iterator[tuple[str, float]]:
        """Each metric of a prediction of the queries."""
        answer = prediction if self.classes is None else self.classes[prediction]
        for metric in self.metrics:
            yield metric, float(MEASURES[metric](answer, self.wanted))

    def subsets(self, runs: list[tuple[int, int]], seed: int) -> list[np.ndarray]:
        """The labelled inputs of each (number of examples, replicate)."""
        from shuffle_to_learn.evaluation.probes import draw_subset

        return [self.fitted_on[draw_subset(len(self.fitted_on), n, r, seed)] for n, r in runs]


def read_tasks(params: Params, modality: str) -> list[Task]:
    """The tasks of a study.

    Raises:
        InputError: where a file of labels is absent, damaged or has nothing to score.
    """
    study, paths = params.study(modality), params.layout
    tables = {}
    for split in ("train", study.downstream.evaluate_on):
        path = paths.labels(study.dataset, split)
        tables[split] = read_table(path, "join")
        columns = [study.column(task) for task in study.downstream.tasks]
        missing = [column for column in columns if column not in tables[split]]
        if missing and study.dataset != "folder":
            again = f"run the stages {study.extraction} and join again"
            raise InputError(f"{path} has no column {missing[0]}: {again}")
    return [_task(params, modality, name, tables) for name in study.downstream.tasks]


def faults(params: Params, modality: str, tables: Mapping[str, pd.DataFrame]) -> list[str]:
    """What keeps the tasks of a folder from being scored, and what to do about each.

    Args:
        params: the study.
        modality: which of it.
        tables: of each split the labels that are there, a row an input.
    """
    study, found = params.study(modality), []
    for name in study.downstream.tasks:
        try:
            task = _task(params, modality, name, tables)
            check_sizes(Path(study.source), params, modality, [task])
        except InputError as error:
            found.append(str(error))
    batch, inputs = study.pretrain.batch_size, len(tables["train"])
    if batch > inputs:
        found.append(f"{modality}.pretrain.batch_size: {batch} is more than the {inputs} inputs")
    return found


def _columns(table: pd.DataFrame) -> str:
    return ", ".join(str(name) for name in table if name not in RESERVED)


def _labelled(table: pd.DataFrame, column: str, *, empty: bool) -> np.ndarray:
    """The numbers of the inputs with a label; ``empty``: no text is one, too."""
    told = table[column].notna()
    if "labelled" in table:  # of a folder: texts
        told &= table["labelled"]
        told &= empty | (table[column].fillna("").str.strip() != "")
    return np.flatnonzero(told)


def _task(params: Params, modality: str, name: str, of: Mapping[str, pd.DataFrame]) -> Task:
    study = params.study(modality)
    metrics, column = study.metrics[name], study.column(name)
    split = study.downstream.evaluate_on
    tables = inputs, queries = of["train"], of[split]
    folder = study.dataset == "folder"
    if folder and column not in inputs:
        raise InputError(
            f"{study.source} has no column {column} of labels: labels.csv has {_columns(inputs)} "
            f"({modality}.downstream.tasks)"
        )
    labelled = [_labelled(table, column, empty="auc" in metrics) for table in tables]
    for part, rows in zip(("train", split), labelled, strict=True):
        if not len(rows):
            told = f"{modality}: no input of the split {part} has a label of {name}"
            raise InputError(told + (f": {_how(study.source, name)}" if folder else ""))
    given, wanted = (t[column].to_numpy()[rows] for t, rows in zip(tables, labelled, strict=True))
    if given.dtype.kind == "f" or wanted.dtype.kind == "f":  # pandas has no whole ones with gaps
        given, wanted = given.astype(np.int64), wanted.astype(np.int64)
    if folder and "auc" in metrics:
        given, wanted = _categories(given, wanted)
    if folder and "mse" in metrics:
        ids = (table["id"].to_numpy()[rows] for table, rows in zip(tables, labelled, strict=True))
        given, wanted = (_numbers(name, *of) for of in zip(ids, (given, wanted), strict=True))

    def task(targets: np.ndarray, classes: np.ndarray | None, wanted: np.ndarray) -> Task:
        full = np.zeros((len(inputs), *targets.shape[1:]), targets.dtype)
        full[labelled[0]] = targets
        sizes = len(inputs), len(queries)
        return Task(name, full, classes, wanted, metrics, labelled[0], labelled[1], sizes)

    if "mse" in metrics:
        return task(given, None, wanted)
    if "auc" not in metrics:
        classes, targets = np.unique(given, return_inverse=True)
        if folder and len(classes) < 2:
            raise InputError(
                f"{modality}: {name} is {classes[0]!r} of all inputs of the split train: there is "
                "nothing to tell apart"
            )
        return task(targets, classes, wanted)
    found = (int(max(numbers)) for numbers in (*given, *wanted) if len(numbers))
    categories = 1 + max(found, default=-1)
    targets, wanted = (_present(lists, categories) for lists in (given, wanted))
    undefined = categories - np.count_nonzero(_told_apart(wanted))
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
    return task(targets, None, wanted)


def _how(source: str, task: str) -> str:
    """What to do where files have no label."""
    if task == "directory":
        return f"put the files into a folder a class below {source}, or write {source}/labels.csv"
    return f"the column {task} of {source}/labels.csv is empty there"


def _numbers(name: str, ids: np.ndarray, texts: np.ndarray) -> np.ndarray:
    """Texts as numbers."""
    numbers = pd.to_numeric(pd.Series(texts), errors="coerce").to_numpy(np.float64)
    if (odd := np.flatnonzero(~np.isfinite(numbers))).size:
        more = f" (and {len(odd) - 1} more)" * (len(odd) > 1)
        raise InputError(
            f"labels.csv: {name} of {ids[odd[0]]}: {texts[odd[0]]!r} is not a number{more}: leave "
            "the cell empty where it is not known"
        )
    return numbers


def _categories(*texts: np.ndarray) -> list[list[list[int]]]:
    """Texts as numbers of categories, which are apart by semicolons."""
    split = [[[c.strip() for c in t.split(";") if c.strip()] for t in column] for column in texts]
    names = sorted({category for column in split for cell in column for category in cell})
    number = {category: place for place, category in enumerate(names)}
    return [[[number[category] for category in cell] for cell in column] for column in split]


def _present(lists: Sequence[Any], categories: int) -> np.ndarray:
    """Whether each category is in each list of categories: 0 or 1, shape (N, categories)."""
    present = np.zeros((len(lists), categories), np.int8)
    for row, numbers in zip(present, lists, strict=True):
        row[np.asarray(numbers, dtype=np.int64)] = 1
    return present


def check_lengths(
    params: Params,
    modality: str,
    tasks: list[Task],
    inputs: Mapping[str, np.ndarray],
    files: Mapping[str, Path],
    again: str,
) -> None:
    """:class:`InputError` where inputs and labels of a split are not as many.

    Args:
        params: the study.
        modality: whose inputs they are.
        tasks: of this modality.
        inputs: of the split to fit on and the one to score on, in this order.
        files: where they were read.
        again: what to do about it.
    """
    for (split, rows), labels in zip(inputs.items(), tasks[0].sizes, strict=True):
        if len(rows) != labels:
            path = params.layout.labels(params.study(modality).dataset, split)
            raise InputError(f"{files[split]} has {len(rows)} rows and {path} {labels}: {again}")


def check_sizes(file: Path, params: Params, modality: str, tasks: list[Task]) -> None:
    """:class:`InputError` where there are not as many training inputs as the study asks for."""
    for task in tasks:
        pool = len(task.fitted_on)
        too_many = [n for n in params.study(modality).downstream.n_examples if n > pool]
        if too_many:
            labelled = f" with a label of {task.name}" if pool < task.sizes[0] else ""
            raise InputError(
                f"{file}: {modality}.downstream.n_examples: {max(too_many)} is more than the "
                f"{pool} training inputs{labelled}"
            )


def seed_of(study: Study, upstream_seed: int) -> int:
    """What decides the draws of labelled inputs, and all chance in the classifiers fitted on them.

    Every upstream seed has its own draws, the same for every method.
    """
    words = np.random.SeedSequence([study.downstream.seed, upstream_seed]).generate_state(1)
    return int(words[0] >> 1)  # TensorFlow's seeds are below 2**31


def draws(study: Study, slicing: str, classifier: str) -> list[tuple[int, int]]:
    """(number of examples, replicate) of every draw of labelled inputs."""
    counts, replicates = study.draws(slicing, classifier)
    return [(n, replicate) for n in counts for replicate in range(replicates)]


SCORES = ["classifier", "task", "n_examples", "replicate", "metric", "value"]
ANSWERS = ["task", "n_examples", "wanted", "answer", "count"]


def as_table(
    params: Params, key: EncoderKey, rows: Sequence[tuple[Any, ...]], columns: list[str] = SCORES
) -> pd.DataFrame:
    """Rows of an encoder as a table, with its identity in front."""
    table = pd.DataFrame(rows, columns=columns)
    for place, (name, value) in enumerate(params.identity(key).items()):
        table.insert(place, name, value)
    return table
