# The datasets and the features that the networks see.
# What takes longest has priority, here and further on, so that no core is idle at the end.

# What features are made by: how many inputs may be rejected is join's.
FRAMES = [
    f"video.frames.{key}" for key in ("count", "skip", "size", "channels", "background")
]
PICTURES = ["images.images.size", "images.images.channels"]

# The library modules that make a modality's dataset, beside its source.
MAKERS = {
    "audio": ("folder", "public", "rendered", "soundfont"),
    "video": ("folder", "glyphs", "public", "rendered", "something_something"),
    "images": ("folder", "glyphs", "public", "rendered"),
}


rule dataset:
    input:
        source=lambda wildcards: of_dataset(wildcards)[1].source,
        code=lambda wildcards: [
            "stages/dataset.py",
            "stages/sources.py",
            *library(*MAKERS[of_dataset(wildcards)[0]]),
        ],
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
        settings=settings("{dataset}"),
        listing=listing,
    shell:
        "python -m stages.dataset --dataset {wildcards.dataset}{OPTION} 2>&1 | tee {log}"


rule spectrograms:
    input:
        tfds=PATHS.dataset("{dataset}"),
        code=[
            "stages/spectrograms.py",
            "stages/extraction.py",
            "stages/sources.py",
            *library("public", "spectrogram"),
        ],
    output:
        **extracted("audio"),
    log:
        LOGS / "spectrograms/{dataset}/{shard}.log",
    benchmark:
        BENCHMARKS / "spectrograms/{dataset}/{shard}.tsv"
    wildcard_constraints:
        dataset=dataset_of("audio"),
    priority: 3
    threads: cores(PARAMS.threads.spectrograms)
    resources:
        mem_mb=memory(6000),
    params:
        settings=settings("audio.spectrograms", "audio.shards"),
    shell:
        "python -m stages.spectrograms --dataset {wildcards.dataset} --shard {wildcards.shard}"
        "{OPTION} 2>&1 | tee {log}"


rule frames:
    input:
        tfds=PATHS.dataset("{dataset}"),
        code=[
            "stages/frames.py",
            "stages/extraction.py",
            "stages/sources.py",
            *library("public", "squares", "video", "views"),
        ],
    output:
        **extracted("video"),
    log:
        LOGS / "frames/{dataset}/{shard}.log",
    benchmark:
        BENCHMARKS / "frames/{dataset}/{shard}.tsv"
    wildcard_constraints:
        dataset=dataset_of("video"),
    priority: 3
    threads: cores(PARAMS.threads.frames)
    resources:
        mem_mb=memory(6000),
    params:
        settings=settings(*FRAMES, "video.shards"),
    shell:
        "python -m stages.frames --dataset {wildcards.dataset} --shard {wildcards.shard}"
        "{OPTION} 2>&1 | tee {log}"


rule pictures:
    input:
        tfds=PATHS.dataset("{dataset}"),
        code=[
            "stages/images.py",
            "stages/extraction.py",
            "stages/sources.py",
            *library("images", "public", "squares"),
        ],
    output:
        **extracted("images"),
    log:
        LOGS / "images/{dataset}/{shard}.log",
    benchmark:
        BENCHMARKS / "images/{dataset}/{shard}.tsv"
    wildcard_constraints:
        dataset=dataset_of("images"),
    priority: 3
    threads: cores(PARAMS.threads.images)
    resources:
        mem_mb=memory(6000),
    params:
        settings=settings(*PICTURES, "images.shards"),
    shell:
        "python -m stages.images --dataset {wildcards.dataset} --shard {wildcards.shard}"
        "{OPTION} 2>&1 | tee {log}"


rule join:
    input:
        shards=shards("audio"),
        code=["stages/join.py"],
    output:
        **joined("audio"),
    log:
        LOGS / "join/{dataset}.log",
    benchmark:
        BENCHMARKS / "join/{dataset}.tsv"
    wildcard_constraints:
        dataset=dataset_of("audio"),
    priority: 3
    resources:
        mem_mb=memory(2000),
    params:
        settings=settings("audio.shards"),
    shell:
        "python -m stages.join --dataset {wildcards.dataset}{OPTION} 2>&1 | tee {log}"


use rule join as join_video with:
    input:
        shards=shards("video"),
        code=["stages/join.py"],
    output:
        **joined("video"),
    wildcard_constraints:
        dataset=dataset_of("video"),
    params:
        settings=settings("video.shards", "video.frames.max_rejected"),


use rule join as join_images with:
    input:
        shards=shards("images"),
        code=["stages/join.py"],
    output:
        **joined("images"),
    wildcard_constraints:
        dataset=dataset_of("images"),
    params:
        settings=settings("images.shards", "images.images.max_rejected"),
