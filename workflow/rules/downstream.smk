# Low-data classifiers on the frozen embeddings.


rule downstream:
    input:
        embeddings=[
            PATHS.embeddings(ENCODER, split)
            for split in ("train", PARAMS.audio.downstream.evaluate_on)
        ],
        labels=[
            PATHS.labels(DATASET, split)
            for split in ("train", PARAMS.audio.downstream.evaluate_on)
        ],
        code=["stages/downstream.py", *library("probes")],
    output:
        scores=PATHS.scores(ENCODER),
    log:
        LOGS / f"downstream/{IDENTITY}.log",
    benchmark:
        BENCHMARKS / f"downstream/{IDENTITY}.tsv"
    threads: cores(PARAMS.threads.downstream)
    resources:
        mem_mb=3000,
    params:
        settings=settings("audio.downstream"),
    shell:
        "python -m stages.downstream --modality {wildcards.modality} --view {wildcards.view} "
        "--method {wildcards.method} --seed {wildcards.seed}{OPTION} 2>&1 | tee {log}"
