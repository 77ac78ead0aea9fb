"""The whole study under Snakemake: snakemake --cores all (settings: params.yaml or PARAMS=...)."""

import os

from snakemake.utils import min_version

min_version("9.27")


configfile: os.environ.get("PARAMS", "params.yaml")


# Used by --sdm apptainer alone: docs/runners.md says how to make it from the Dockerfile.
container: "shuffle-to-learn.sif"


report: "workflow/report/workflow.rst"


include: "workflow/rules/common.smk"
include: "workflow/rules/data.smk"
include: "workflow/rules/upstream.smk"
include: "workflow/rules/downstream.smk"
include: "workflow/rules/results.smk"


onstart:
    if workflow.local_exec:
        # A limit on submissions to a cluster. At each look for jobs to start it plans another look, without
        # end (Snakemake 9.27): after some hundred jobs Snakemake itself takes a fifth of a core.
        workflow.scheduler.job_rate_limiter = None
    # On a cluster there are no cores; a dry run does not come here.
    TELLER.start(jobs_to_run(workflow.resource_settings.cores))


onsuccess:
    TELLER.end(good=True)


onerror:
    TELLER.end(good=False)


rule all:
    default_target: True
    input:
        rules.site.output,
        rules.tables.output,
        rules.claims.output,
        rules.figures.output,
        unscored(),


rule audio:
    """Everything of the audio study up to its scores."""
    input:
        scored("audio"),


rule video:
    """Everything of the video study up to its scores."""
    input:
        scored("video"),


rule images:
    """Everything of the image study up to its scores."""
    input:
        scored("images"),
