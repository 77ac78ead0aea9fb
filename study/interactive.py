"""Tables that sort and filter, in a page that asks nothing of any network."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
from markupsafe import Markup

COLUMNS = {
    "table": "the table that the row is a cell of",
    "modality": "audio, video or images",
    "dataset": "what the inputs are of",
    "slicing": "how an input is cut into patches",
    "method": "how the network was pretrained; random: not at all",
    "upstream_seed": "of the network's first weights and its pretraining",
    "classifier": "what is fitted on the labelled examples: a probe on the frozen embedding, or "
    "end_to_end: network and classifier together",
    "task": "what is asked; pretext: the patches' places",
    "n_examples": "labelled examples",
    "replicate": "the draw of examples: each seed has its own, the same for every method",
    "metric": "mse and loss: the lower the better; all others: the higher the better",
    "value": "the score",
    "mean": "over the seeds and draws",
    "ci_low": "lower limit of the 95 % interval over seeds (Student)",
    "ci_high": "its upper limit",
    "difference": "from the best of its column, paired by seed",
    "difference_low": "lower limit of its 95 % interval",
    "difference_high": "its upper limit",
    "agree": "seeds in which the best is the better of the two",
    "sign_flip_p": "of the difference: the exact sign-flip test's",
    "holm_p": "of the difference: Student's, adjusted for the number of methods",
    "n_seeds": "upstream seeds",
    "n_replicates": "draws of examples",
    "best": "whether it is the best of its column",
    "indistinguishable": "not the best, and holm_p is at least 0.05",
}


FIRST = ["value", "mean", "ci_low", "ci_high", "metric", "task", "n_examples", "method", "slicing"]
"""The columns that come first, so that a score is in sight in a narrow window; the rest follow."""
GROUPS = ["method", "slicing", "task", "n_examples", "classifier", "upstream_seed", "modality"]
"""The columns that the means of the rows shown can be taken by."""


def library() -> Markup:
    """The table library's code and style, to stand once in a page."""
    import itables
    from itables.javascript import generate_init_offline_itables_html

    bundle = Path(itables.__file__).parent / "html" / "dt_bundle.js"
    return Markup(generate_init_offline_itables_html(bundle))  # noqa: S704 - the library's own


def datatable(table: pd.DataFrame, name: str) -> Markup:
    """A table as an element of a page: sorts, filters by column, downloads as CSV.

    The columns of :data:`FIRST` come first. Texts are escaped. ``name`` is its id and the name of
    the file that is downloaded.
    """
    import itables

    first = [column for column in FIRST if column in table]
    table = table[[*first, *table.columns.difference(first, sort=False)]]
    html = itables.to_html_datatable(
        table,
        connected=False,
        showIndex=False,
        table_id=name,
        column_filters="footer",
        buttons=[
            {"extend": "csvHtml5", "title": name},
            {"extend": "copyHtml5", "title": name},
        ],
        lengthMenu=[25, 100, 500],
        scrollX=True,
        maxBytes=0,
        display_logo_when_loading=False,
    )
    return Markup(html)  # noqa: S704 - itables escapes what is in the table
