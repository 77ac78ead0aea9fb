# The dataset and the features that the networks see.


rule dataset:
    input:
        code=["stages/dataset.py", *library("notes", "rendered", "soundfont")],
    output:
        tfds=directory(PATHS.dataset("{dataset}")),
        manifest=PATHS.manifest("{dataset}"),
    log:
        LOGS / "dataset/{dataset}.log",
    benchmark:
        BENCHMARKS / "dataset/{dataset}.tsv"
    threads: cores(PARAMS.threads.dataset)
    resources:
        mem_mb=4000,
    params:
        settings=settings("{dataset}"),
    shell:
        "python -m stages.dataset --dataset {wildcards.dataset}{OPTION} 2>&1 | tee {log}"


rule spectrograms:
    input:
        tfds=PATHS.dataset("{dataset}"),
        code=["stages/spectrograms.py", *library("spectrogram")],
    output:
        features=[PATHS.features("{dataset}", split) for split in SPLITS],
        labels=[PATHS.labels("{dataset}", split) for split in SPLITS],
    log:
        LOGS / "spectrograms/{dataset}.log",
    benchmark:
        BENCHMARKS / "spectrograms/{dataset}.tsv"
    threads: cores(PARAMS.threads.spectrograms)
    resources:
        mem_mb=4000,
    params:
        settings=settings("audio.spectrograms"),
    shell:
        "python -m stages.spectrograms --dataset {wildcards.dataset}{OPTION} 2>&1 | tee {log}"
