# Low-data classifiers: on the frozen embeddings, on the features themselves, and trained end to end.


rule downstream:
    input:
        embeddings=lambda wildcards: [
            str(PATHS.embeddings(ENCODER, split, layer)).format(**wildcards)
            for layer in LAYERS
            for split in labelled(wildcards)
        ],
        labels=labels,
        code=graph.code("downstream"),
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
        settings=settings("downstream"),
    shell:
        "python -m stages.downstream --modality {wildcards.modality} "
        "--slicing {wildcards.slicing} --method {wildcards.method} --seed {wildcards.seed} "
        "--threads {threads}{OPTION} 2>&1 | tee {log}"


rule no_network:
    input:
        features=lambda wildcards: features(*labelled(wildcards))(wildcards),
        labels=labels,
        code=graph.code("downstream"),
    output:
        scores=PATHS.scores(FEATURES),
        answers=PATHS.answers(FEATURES),
    log:
        LOGS / "no_network/{modality}/{method}/{seed}.log",
    benchmark:
        BENCHMARKS / "no_network/{modality}/{method}/{seed}.tsv"
    threads: cores(PARAMS.threads.downstream)
    resources:
        mem_mb=memory(4000),
    params:
        settings=settings("no_network"),
        slicing=WHOLE,
    shell:
        "python -m stages.downstream --modality {wildcards.modality} "
        "--slicing {params.slicing} --method {wildcards.method} --seed {wildcards.seed} "
        "--threads {threads}{OPTION} 2>&1 | tee {log}"


rule end_to_end:
    input:
        features=lambda wildcards: features(*labelled(wildcards))(wildcards),
        labels=labels,
        model=PATHS.model(ENCODER),
        code=graph.code("end_to_end"),
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
        settings=settings("end_to_end"),
    shell:
        "python -m stages.end_to_end --modality {wildcards.modality} "
        "--slicing {wildcards.slicing} --method {wildcards.method} --seed {wildcards.seed} "
        "--threads {threads}{OPTION} 2>&1 | tee {log}"
