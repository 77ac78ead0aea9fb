# Pretraining on shuffled patches, and embedding with the frozen network.


rule pretrain:
    input:
        features=features(),
        code=[
            "stages/pretrain.py",
            *library(
                "cfn",
                "losses",
                "methods/base",
                "methods/{method}",
                "patches",
                "permutations",
                "pretraining",
                "ranking",
                "views",
            ),
        ],
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
        settings=settings("{modality}.pretrain", "{modality}.method.{method}"),
    shell:
        "python -m stages.pretrain --modality {wildcards.modality} --view {wildcards.view} "
        "--method {wildcards.method} --seed {wildcards.seed}{OPTION} 2>&1 | tee {log}"


rule embed:
    input:
        features=features(*SPLITS),
        model=PATHS.model(ENCODER),
        code=["stages/embed.py", *library("embedding", "patches", "views")],
    output:
        embeddings=[PATHS.embeddings(ENCODER, split) for split in SPLITS],
    log:
        LOGS / f"embed/{IDENTITY}.log",
    benchmark:
        BENCHMARKS / f"embed/{IDENTITY}.tsv"
    threads: cores(PARAMS.threads.embed)
    resources:
        mem_mb=memory(3000),
    params:
        settings=settings("{modality}.embed", "{modality}.pretrain.gap"),
    shell:
        "python -m stages.embed --modality {wildcards.modality} --view {wildcards.view} "
        "--method {wildcards.method} --seed {wildcards.seed}{OPTION} 2>&1 | tee {log}"
