"""How Sphinx makes the pages of the operators: ``make docs``.

The pages are docs/index.md, docs/ranking*.md, docs/site/*.md and a decision that they name. The
reference is made from the docstrings.
"""

import shuffle_to_learn

project = "shuffle_to_learn.ranking"
author = "The shuffle-to-learn developers"
version = release = shuffle_to_learn.__version__
language = "en-GB"

extensions = [
    "myst_parser",
    "sphinx.ext.autodoc",
    "sphinx.ext.napoleon",
    "sphinx.ext.mathjax",
]
include_patterns = ["index.md", "ranking*.md", "site/*.md", "decisions/0018-*.md"]
root_doc = "index"
nitpicky = True  # a reference to a name that is not there is an error

myst_enable_extensions = ["dollarmath"]
myst_fence_as_directive = {"math"}
myst_heading_anchors = 3

napoleon_custom_sections = [("Call arguments", "params_style")]
napoleon_use_rtype = False
autodoc_typehints = "none"  # the docstrings say more

html_theme = "furo"
html_title = f"shuffle_to_learn.ranking {version}"
html_copy_source = False
