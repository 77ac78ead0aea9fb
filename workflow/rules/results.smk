# Everything under results/, made from the scores of all encoders.


rule scores:
    input:
        scores=[
            *(PATHS.scores(key) for key in PARAMS.scored_keys()),
            *(PATHS.end_to_end(encoder) for encoder in PARAMS.trained_end_to_end()),
        ],
        pretext=[PATHS.pretext(encoder) for encoder in ENCODERS],
        code=graph.code("scores"),
    output:
        scores=PATHS.all_scores,
        pretext=PATHS.all_pretext,
    log:
        LOGS / "scores.log",
    benchmark:
        BENCHMARKS / "scores.tsv"
    resources:
        mem_mb=memory(1000),
    params:
        settings=settings("scores", None),
    shell:
        "python -m stages.scores{OPTION} 2>&1 | tee {log}"


rule tables:
    input:
        scores=PATHS.all_scores,
        pretext=PATHS.all_pretext,
        code=graph.code("tables"),
    output:
        metrics=PATHS.metrics,
        tables=[
            PATHS.table(table.name, suffix)
            for table in tables(PARAMS)
            for suffix in ("csv", "md", "tex")
        ],
        html=[
            report(
                PATHS.table(table.name, "html"),
                caption=f"../report/{table.name}.rst",
                category="Tables",
            )
            for table in tables(PARAMS)
        ],
    log:
        LOGS / "tables.log",
    benchmark:
        BENCHMARKS / "tables.tsv"
    resources:
        mem_mb=memory(1000),
    params:
        settings=settings("tables", None),
    shell:
        "python -m stages.tables{OPTION} 2>&1 | tee {log}"


rule claims:
    input:
        scores=PATHS.all_scores,
        pretext=PATHS.all_pretext,
        code=graph.code("claims"),
    output:
        claims=PATHS.claims,
    log:
        LOGS / "claims.log",
    benchmark:
        BENCHMARKS / "claims.tsv"
    resources:
        mem_mb=memory(1000),
    params:
        settings=settings("claims", None),
    shell:
        "python -m stages.claims{OPTION} 2>&1 | tee {log}"


rule figures:
    input:
        scores=PATHS.all_scores,
        pretext=PATHS.all_pretext,
        claims=PATHS.claims,
        history=[PATHS.history(encoder) for encoder in ENCODERS],
        answers=answered(),
        code=graph.code("figures"),
    output:
        figures=[
            report(
                PATHS.figure(name, "svg"),
                caption=f"../report/{name}.rst",
                category="Figures",
            )
            for name in figures(PARAMS)
        ],
        narrow=[PATHS.figure(f"{name}-narrow", "svg") for name in wide_figures(PARAMS)],
        others=[
            PATHS.figure(name, suffix)
            for name in figures(PARAMS)
            for suffix in ("csv", "png")
        ],
    log:
        LOGS / "figures.log",
    benchmark:
        BENCHMARKS / "figures.tsv"
    resources:
        mem_mb=memory(1000),
    params:
        settings=settings("figures", None),
    shell:
        "python -m stages.figures{OPTION} 2>&1 | tee {log}"


rule examples:
    input:
        features=lambda wildcards: features()(wildcards)[1:],
        clips=watched,
        # Each comes with its network, and changes with it.
        pretext=lambda wildcards: [
            PATHS.pretext(key)
            for key in PARAMS.encoder_keys(wildcards.modality)
            if key.slicing == STUDIES[wildcards.modality].slicings[0]
        ],
        code=graph.code_of_examples(),
    output:
        figure=report(
            PATHS.figure("reordered-{modality}", "svg"),
            caption="../report/reordered.rst",
            category="Figures",
        ),
        others=[
            PATHS.figure("reordered-{modality}", suffix) for suffix in ("csv", "png")
        ],
    log:
        LOGS / "examples/{modality}.log",
    benchmark:
        BENCHMARKS / "examples/{modality}.tsv"
    resources:
        mem_mb=memory(2000),
    params:
        settings=settings("examples"),
    shell:
        "python -m stages.examples --modality {wildcards.modality}{OPTION} 2>&1 | tee {log}"


rule site:
    input:
        scores=PATHS.all_scores,
        pretext=PATHS.all_pretext,
        tables=rules.tables.output,
        figures=rules.figures.output,
        examples=[
            PATHS.figure(f"reordered-{modality}", suffix)
            for modality in STUDIES
            for suffix in ("csv", "png", "svg")
        ],
        claims=PATHS.claims,
        manifests=[PATHS.manifest(study.dataset) for study in STUDIES.values()],
        labels=[
            PATHS.labels(study.dataset, split)
            for study in STUDIES.values()
            if study.dataset in PUBLIC
            for split in study.splits
        ],
        rejected=[PATHS.rejected(study.dataset) for study in STUDIES.values()],
        code=graph.code("site"),
    output:
        page=PATHS.site,
        browse=PATHS.browse,
        settings=PATHS.settings,
    log:
        LOGS / "site.log",
    benchmark:
        BENCHMARKS / "site.tsv"
    resources:
        mem_mb=memory(1000),
    params:
        settings=settings("site", None),
    shell:
        "python -m stages.site{OPTION} 2>&1 | tee {log}"
