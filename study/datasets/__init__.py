"""Writing each dataset of the study: a module a dataset, each with a function ``make``."""
