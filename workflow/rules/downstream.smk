# Low-data classifiers on the frozen embeddings.


rule downstream:
    input:
        embeddings=lambda wildcards: [
            str(PATHS.embeddings(ENCODER, split)).format(**wildcards)
            for split in ("train", STUDIES[wildcards.modality].downstream.evaluate_on)
        ],
        labels=lambda wildcards: [
            PATHS.labels(STUDIES[wildcards.modality].dataset, split)
            for split in ("train", STUDIES[wildcards.modality].downstream.evaluate_on)
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
        settings=settings("{modality}.downstream"),
    shell:
        "python -m stages.downstream --modality {wildcards.modality} --view {wildcards.view} "
        "--method {wildcards.method} --seed {wildcards.seed}{OPTION} 2>&1 | tee {log}"
