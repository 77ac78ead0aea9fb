# The datasets and the features that the networks see.
# What takes longest has priority, here and further on, so that no core is idle at the end.


rule dataset:
    input:
        files=files_of,
        code=lambda wildcards: graph.code("dataset", dataset=wildcards.dataset),
    output:
        tfds=directory(PATHS.dataset("{dataset}")),
        manifest=PATHS.manifest("{dataset}"),
    log:
        LOGS / "dataset/{dataset}.log",
    benchmark:
        BENCHMARKS / "dataset/{dataset}.tsv"
    priority: 3
    threads: cores(PARAMS.threads.dataset)
    resources:
        mem_mb=memory(4000),
    params:
        settings=lambda wildcards: settings(
            "dataset", PARAMS.of_dataset(wildcards.dataset)[0]
        )(wildcards),
    shell:
        "python -m stages.dataset --dataset {wildcards.dataset} --threads {threads}{OPTION} "
        "2>&1 | tee {log}"


# A rule of each modality, since the splits that it has are in the names of the outputs.
for modality, study in STUDIES.items():

    rule:
        name:
            study.extraction
        input:
            tfds=PATHS.dataset(study.dataset),
            # A dataset of videos has only their paths.
            clips=listed(study) if modality == "video" else [],
            code=graph.code(study.extraction),
        output:
            **extracted(study),
        log:
            LOGS / study.extraction / study.dataset / "{shard}.log",
        benchmark:
            BENCHMARKS / study.extraction / study.dataset / "{shard}.tsv"
        priority: 3
        threads: cores(getattr(PARAMS.threads, study.extraction))
        resources:
            mem_mb=memory(6000),
        params:
            settings=settings(study.extraction, modality),
            stage=study.extraction,
            dataset=study.dataset,
        shell:
            "python -m stages.{params.stage} --dataset {params.dataset} "
            "--shard {wildcards.shard} --threads {threads}{OPTION} 2>&1 | tee {log}"

    rule:
        name:
            f"join_{modality}"
        input:
            shards=shards(study),
            code=graph.code("join"),
        output:
            **joined(study),
        log:
            LOGS / f"join/{study.dataset}.log",
        benchmark:
            BENCHMARKS / f"join/{study.dataset}.tsv"
        priority: 3
        resources:
            mem_mb=memory(2000),
        params:
            settings=settings("join", modality),
            dataset=study.dataset,
        shell:
            "python -m stages.join --dataset {params.dataset}{OPTION} 2>&1 | tee {log}"

    if study.dataset == "folder":

        rule:
            name:
                "labels"
            input:
                given=PATHS.given_labels,
                manifest=PATHS.manifest(study.dataset),
                ids=[PATHS.ids(study.dataset, split) for split in study.splits],
                code=graph.code("labels"),
            output:
                [PATHS.labels(study.dataset, split) for split in study.splits],
            log:
                LOGS / f"labels/{study.dataset}.log",
            benchmark:
                BENCHMARKS / f"labels/{study.dataset}.tsv"
            priority: 3
            resources:
                mem_mb=memory(1000),
            shell:
                "python -m stages.labels{OPTION} 2>&1 | tee {log}"
