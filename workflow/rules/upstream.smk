# Pretraining on shuffled patches, and embedding with the frozen network.


rule pretrain:
    input:
        features=features(),
        start=start,
        code=lambda wildcards: graph.code("pretrain", method=wildcards.method),
    output:
        model=PATHS.model(ENCODER),
        history=PATHS.history(ENCODER),
        pretext=PATHS.pretext(ENCODER),
    log:
        LOGS / f"pretrain/{IDENTITY}.log",
    benchmark:
        BENCHMARKS / f"pretrain/{IDENTITY}.tsv"
    priority: 2
    threads: cores(PARAMS.threads.pretrain)
    resources:
        mem_mb=memory(3000),
    params:
        settings=settings("pretrain"),
    shell:
        "python -m stages.pretrain --modality {wildcards.modality} --slicing {wildcards.slicing} "
        "--method {wildcards.method} --seed {wildcards.seed} --threads {threads}{OPTION} "
        "2>&1 | tee {log}"


rule embed:
    input:
        features=features(*SPLITS),
        model=PATHS.model(ENCODER),
        code=graph.code("embed"),
    output:
        embeddings=[
            PATHS.embeddings(ENCODER, split, layer)
            for layer in LAYERS
            for split in SPLITS
        ],
    log:
        LOGS / f"embed/{IDENTITY}.log",
    benchmark:
        BENCHMARKS / f"embed/{IDENTITY}.tsv"
    threads: cores(PARAMS.threads.embed)
    resources:
        mem_mb=memory(3000),
    params:
        settings=settings("embed"),
    shell:
        "python -m stages.embed --modality {wildcards.modality} --slicing {wildcards.slicing} "
        "--method {wildcards.method} --seed {wildcards.seed} --threads {threads}{OPTION} "
        "2>&1 | tee {log}"
