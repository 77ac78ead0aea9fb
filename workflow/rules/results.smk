# Everything under results/, made from the scores of all encoders.

STUDY = [
    f"{modality}.{key}"
    for modality in STUDIES
    for key in (
        "dataset",
        "views",
        "methods",
        "seeds",
        "ablation",
        "downstream",
        *(
            f"end_to_end.{key}"
            for key in ("methods", "seeds", "n_examples", "replicates")
        ),
        "shown",
    )
]
WIDE = [EXAMPLES[modality] for modality in STUDIES]
WIDE += [NUMBERS[modality][0] for modality in STUDIES if modality in NUMBERS]
FIGURES = [*WIDE, *(f"pretext-{modality}" for modality in STUDIES)]
FIGURES += [f"confusion-{modality}" for modality in CONFUSED if modality in STUDIES]


rule scores:
    input:
        scores=[
            *(PATHS.scores(encoder) for encoder in ENCODERS),
            *(PATHS.end_to_end(encoder) for encoder in PARAMS.trained_end_to_end()),
        ],
        pretext=[PATHS.pretext(encoder) for encoder in ENCODERS],
        code=["stages/scores.py", "stages/gathered.py"],
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
        settings=settings(*STUDY),
    shell:
        "python -m stages.scores{OPTION} 2>&1 | tee {log}"


rule tables:
    input:
        scores=PATHS.all_scores,
        pretext=PATHS.all_pretext,
        code=[
            "stages/tables.py",
            "stages/gathered.py",
            "stages/style.py",
            "stages/templates/table.html.j2",
            *library("statistics", "views"),
        ],
    output:
        metrics=PATHS.metrics,
        tables=[
            PATHS.table(plan.name, suffix)
            for plan in TABLES
            if plan.modality in STUDIES
            for suffix in ("csv", "md", "tex")
        ],
        html=[
            report(
                PATHS.table(plan.name, "html"),
                caption=f"../report/{plan.name}.rst",
                category="Tables",
            )
            for plan in TABLES
            if plan.modality in STUDIES
        ],
    log:
        LOGS / "tables.log",
    benchmark:
        BENCHMARKS / "tables.tsv"
    resources:
        mem_mb=memory(1000),
    params:
        settings=settings(*STUDY),
    shell:
        "python -m stages.tables{OPTION} 2>&1 | tee {log}"


rule claims:
    input:
        scores=PATHS.all_scores,
        pretext=PATHS.all_pretext,
        code=[
            "stages/claims.py",
            "stages/claims.yaml",
            "stages/gathered.py",
            "stages/style.py",
            *library("statistics", "views"),
        ],
    output:
        claims=PATHS.claims,
    log:
        LOGS / "claims.log",
    benchmark:
        BENCHMARKS / "claims.tsv"
    resources:
        mem_mb=memory(1000),
    params:
        settings=settings(*STUDY),
    shell:
        "python -m stages.claims{OPTION} 2>&1 | tee {log}"


rule figures:
    input:
        scores=PATHS.all_scores,
        pretext=PATHS.all_pretext,
        history=[PATHS.history(encoder) for encoder in ENCODERS],
        answers=answered(),
        code=[
            "stages/figures.py",
            "stages/drawing.py",
            "stages/gathered.py",
            "stages/style.py",
            *library("statistics", "views"),
        ],
    output:
        figures=[
            report(
                PATHS.figure(name, "svg"),
                caption=f"../report/{name}.rst",
                category="Figures",
            )
            for name in FIGURES
        ],
        narrow=[PATHS.figure(f"{name}-narrow", "svg") for name in WIDE],
        others=[
            PATHS.figure(name, suffix) for name in FIGURES for suffix in ("csv", "png")
        ],
    log:
        LOGS / "figures.log",
    benchmark:
        BENCHMARKS / "figures.tsv"
    resources:
        mem_mb=memory(1000),
    params:
        settings=settings(*STUDY),
    shell:
        "python -m stages.figures{OPTION} 2>&1 | tee {log}"


rule examples:
    input:
        features=lambda wildcards: features()(wildcards)[1:],
        model=lambda wildcards: PATHS.model(shown(wildcards.modality)),
        code=lambda wildcards: [
            "stages/examples.py",
            "stages/drawing.py",
            "stages/style.py",
            *library(
                "losses",
                "methods/base",
                f"methods/{STUDIES[wildcards.modality].shown}",
                "patches",
                "permutations",
                "ranking",
                "statistics",
                "views",
            ),
        ],
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
        settings=settings(
            *(
                f"{{modality}}.{key}"
                for key in ("views", "seeds", "shown", "pretrain.gap")
            )
        ),
        own=lambda wildcards: shown(wildcards.modality),
    shell:
        "python -m stages.examples --modality {wildcards.modality} --view {params.own.view} "
        "--method {params.own.method} --seed {params.own.seed}{OPTION} 2>&1 | tee {log}"


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
        rejected=[PATHS.rejected(study.dataset) for study in STUDIES.values()],
        code=[
            "stages/site.py",
            "stages/interactive.py",
            "stages/style.py",
            "stages/templates/browse.html.j2",
            "stages/templates/index.html.j2",
            *library("statistics", "views"),
        ],
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
        settings=settings(*(study.dataset for study in STUDIES.values()), *STUDIES),
    shell:
        "python -m stages.site{OPTION} 2>&1 | tee {log}"
