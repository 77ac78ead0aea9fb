# Low-data classifiers: on the frozen embeddings, and trained end to end with the network.

# Of the section downstream, and of its own, what a network trained end to end depends on.
END_TO_END = """
    downstream.tasks downstream.evaluate_on downstream.validation_share downstream.probe
    downstream.hidden downstream.dropout downstream.seed end_to_end.n_examples
    end_to_end.replicates end_to_end.learning_rate end_to_end.batch_size end_to_end.steps
    end_to_end.evaluate_every end_to_end.patience embed pretrain.gap
""".split()


rule downstream:
    input:
        embeddings=lambda wildcards: [
            str(PATHS.embeddings(ENCODER, split)).format(**wildcards)
            for split in labelled(wildcards)
        ],
        labels=labels,
        code=["stages/downstream.py", "stages/tasks.py", *library("probes")],
    output:
        scores=PATHS.scores(ENCODER),
        answers=PATHS.answers(ENCODER),
    log:
        LOGS / f"downstream/{IDENTITY}.log",
    benchmark:
        BENCHMARKS / f"downstream/{IDENTITY}.tsv"
    threads: cores(PARAMS.threads.downstream)
    resources:
        mem_mb=memory(3000),
    params:
        settings=lambda wildcards: settings(
            "{modality}.downstream", *counted(wildcards)
        )(wildcards),
    shell:
        "python -m stages.downstream --modality {wildcards.modality} --view {wildcards.view} "
        "--method {wildcards.method} --seed {wildcards.seed}{OPTION} 2>&1 | tee {log}"


rule end_to_end:
    input:
        features=lambda wildcards: features(*labelled(wildcards))(wildcards),
        labels=labels,
        model=PATHS.model(ENCODER),
        code=[
            "stages/end_to_end.py",
            "stages/tasks.py",
            *library("end_to_end", "patches", "probes", "views"),
        ],
    output:
        scores=PATHS.end_to_end(ENCODER),
    log:
        LOGS / f"end_to_end/{IDENTITY}.log",
    benchmark:
        BENCHMARKS / f"end_to_end/{IDENTITY}.tsv"
    priority: 1
    threads: cores(PARAMS.threads.end_to_end)
    resources:
        mem_mb=memory(3000),
    params:
        settings=settings(*(f"{{modality}}.{key}" for key in END_TO_END)),
    shell:
        "python -m stages.end_to_end --modality {wildcards.modality} --view {wildcards.view} "
        "--method {wildcards.method} --seed {wildcards.seed}{OPTION} 2>&1 | tee {log}"
