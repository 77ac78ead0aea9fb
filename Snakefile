"""The whole study under Snakemake: snakemake --cores all (settings: params.yaml or PARAMS=...)."""

import os

from snakemake.utils import min_version

min_version("9.27")


configfile: os.environ.get("PARAMS", "params.yaml")


report: "workflow/report/workflow.rst"


include: "workflow/rules/common.smk"
include: "workflow/rules/data.smk"
include: "workflow/rules/upstream.smk"
include: "workflow/rules/downstream.smk"
include: "workflow/rules/results.smk"


rule all:
    default_target: True
    input:
        rules.site.output,
        rules.tables.output,
        rules.figures.output,


rule audio:
    """Everything of the audio study up to its scores."""
    input:
        [PATHS.scores(encoder) for encoder in ENCODERS],
        [PATHS.pretext(encoder) for encoder in ENCODERS],
