# Everything under results/, made from the scores of all encoders.

STUDY = (
    "audio.dataset",
    "audio.views",
    "audio.methods",
    "audio.seeds",
    "audio.downstream",
)


rule scores:
    input:
        scores=[PATHS.scores(encoder) for encoder in ENCODERS],
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
        mem_mb=1000,
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
            "stages/templates/table1.html.j2",
            *library("statistics", "views"),
        ],
    output:
        tables=[PATHS.table("table1", suffix) for suffix in ("csv", "md", "tex")],
        html=report(
            PATHS.table("table1", "html"),
            caption="../report/table1.rst",
            category="Tables",
        ),
    log:
        LOGS / "tables.log",
    benchmark:
        BENCHMARKS / "tables.tsv"
    resources:
        mem_mb=1000,
    params:
        settings=settings(*STUDY),
    shell:
        "python -m stages.tables{OPTION} 2>&1 | tee {log}"


rule figures:
    input:
        scores=PATHS.all_scores,
        history=[PATHS.history(encoder) for encoder in ENCODERS],
        code=[
            "stages/figures.py",
            "stages/gathered.py",
            "stages/style.py",
            *library("statistics", "views"),
        ],
    output:
        figure3=report(
            PATHS.figure("figure3", "svg"),
            caption="../report/figure3.rst",
            category="Figures",
        ),
        pretext=report(
            PATHS.figure("pretext", "svg"),
            caption="../report/pretext.rst",
            category="Figures",
        ),
        narrow=PATHS.figure("figure3-narrow", "svg"),
        others=[
            PATHS.figure(name, suffix)
            for name in ("figure3", "pretext")
            for suffix in ("csv", "png")
        ],
    log:
        LOGS / "figures.log",
    benchmark:
        BENCHMARKS / "figures.tsv"
    resources:
        mem_mb=1000,
    params:
        settings=settings(*STUDY),
    shell:
        "python -m stages.figures{OPTION} 2>&1 | tee {log}"


rule site:
    input:
        scores=PATHS.all_scores,
        pretext=PATHS.all_pretext,
        tables=rules.tables.output,
        figures=rules.figures.output,
        manifest=PATHS.manifest(DATASET),
        code=[
            "stages/site.py",
            "stages/style.py",
            "stages/templates/index.html.j2",
            *library("views"),
        ],
    output:
        page=PATHS.site,
    log:
        LOGS / "site.log",
    benchmark:
        BENCHMARKS / "site.tsv"
    resources:
        mem_mb=1000,
    params:
        settings=settings(DATASET, "audio"),
    shell:
        "python -m stages.site{OPTION} 2>&1 | tee {log}"
