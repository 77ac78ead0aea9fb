"""Which tables and figures a study has, and what they are called."""

from __future__ import annotations

from typing import Literal, NamedTuple

from study.params import Params, Study


class Table(NamedTuple):
    """A table: its title, and the example counts that the paper has in it.

    It has a block for each slicing, with a row for each method; or for each classifier, with a row
    for each method; or for each method, with a row for each slicing.
    """

    title: str
    modality: str
    examples: tuple[int, ...]
    blocks: Literal["slicing", "classifier", "method"] = "slicing"

    @property
    def name(self) -> str:
        """The name of its files."""
        return self.title.lower().replace(" ", "")


TABLES = (
    Table("Table 1", "audio", (1000,)),
    Table("Table 2", "audio", (1000,), "method"),
    Table("Table 3", "video", (3000,)),
    Table("Table 4", "images", (1000, 3000)),
    Table("Table 5", "audio", (500,)),
    Table("Table 6", "audio", (5000,)),
    Table("Table A1", "audio", (1000,), "classifier"),
    Table("Table A2", "video", (3000,), "classifier"),
    Table("Table A3", "images", (1000, 3000), "classifier"),
)
"""The tables of the paper, by its numbers, and ours (A)."""
EXAMPLES = {"audio": "figure3", "video": "video-examples", "images": "images-examples"}
"""The figure of scores against labelled examples: that of audio is the paper's Figure 3."""


class ByPatches(NamedTuple):
    """The figure of scores against the number of patches."""

    name: str
    kind: str
    """The first word of the slicings in it."""
    patches: str
    """What a patch is called."""


PATCHES = {
    "audio": ByPatches("figure4", "frequency", "frequency bands"),
    "video": ByPatches("video-frames", "frames", "frames of a clip"),
}
"""The figure of scores against the number of patches: that of audio is the paper's Figure 4."""
CLAIMS = "claims"
"""The figure of the claims' effects beside their thresholds."""
CONFUSED = {"audio": "family", "video": "action"}
"""The task whose answers are set against the right ones in a figure."""


def tables(params: Params) -> list[Table]:
    """The tables of the modalities that the params file has.

    Where a modality has no task, its first table is of the pretext task, and there is no other.
    """
    found = [table for table in TABLES if table.modality in params.studies]
    main = {table.modality: table for table in reversed(found)}
    scored = scored_modalities(params)
    return [t for t in found if t.modality in scored or t is main[t.modality]]


def scored_modalities(params: Params) -> list[str]:
    """The modalities that have a task."""
    return [m for m, study in params.studies.items() if study.downstream.tasks]


def wide_figures(params: Params) -> list[str]:
    """The names of the figures that have a second file for a narrow page."""
    scored = scored_modalities(params)
    by_examples = [EXAMPLES[modality] for modality in scored]
    return [CLAIMS, *by_examples] + [PATCHES[m].name for m in scored if m in PATCHES]


def paid_figure(params: Params, modality: str) -> str | None:
    """The figure of whether pretraining paid, which the page of a folder opens with."""
    study = params.studies[modality]
    return f"paid-{modality}" if study.dataset == "folder" and study.downstream.tasks else None


def figures(params: Params) -> list[str]:
    """The names of the figures that the stage figures draws."""
    paid = [name for modality in params.studies if (name := paid_figure(params, modality))]
    pretext = [f"pretext-{modality}" for modality in params.studies]
    confusion = [f"confusion-{m}" for m in scored_modalities(params) if m in CONFUSED]
    return [*wide_figures(params), *pretext, *confusion, *paid]


def confused_task(modality: str, study: Study) -> str | None:
    """The task of the figure of answers: CONFUSED's, or the first one whose classes have names."""
    preferred = CONFUSED.get(modality)
    if preferred is None or preferred in study.downstream.tasks:
        return preferred
    named = (task for task in study.downstream.tasks if task not in study.columns)
    return next((task for task in named if study.metrics[task] == ("accuracy",)), None)
