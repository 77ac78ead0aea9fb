# Validation, names of files, and what the rules need of the params file.
import hashlib
import sys
from dataclasses import replace
from pathlib import Path

import yaml

sys.path.insert(0, workflow.basedir)

from stages.errors import InputError
from stages.params import load_params
from stages.paths import SPLITS, Encoder
from stages.style import CONFUSED, EXAMPLES, NUMBERS, TABLES
from workflow.estimate import announcement

PARAMS_FILE = os.environ.get("PARAMS", "params.yaml")
OPTION = f" --params {PARAMS_FILE}" if "PARAMS" in os.environ else ""

try:
    PARAMS = load_params(PARAMS_FILE)
except InputError as error:
    sys.exit(f"error: {error}")

if config != yaml.safe_load(Path(PARAMS_FILE).read_text(encoding="utf-8")):
    sys.exit(
        f"error: --config and --configfile do not reach the stages: change {PARAMS_FILE}, "
        "or name another params file with PARAMS=FILE"
    )

PATHS = PARAMS.layout
ENCODERS = PARAMS.encoders()
STUDIES = PARAMS.studies
LOGS = PATHS.data / "logs"
BENCHMARKS = PATHS.data / "benchmarks"

# The stages run in the environment that Snakemake runs in.
shell.prefix(f'set -euo pipefail; export PATH="{Path(sys.executable).parent}:$PATH"; ')


wildcard_constraints:
    dataset=r"[a-z][a-z0-9_]*",
    modality="|".join(STUDIES),
    view=r"[a-z]+-[0-9x]+",
    method=r"[a-z][a-z0-9_]*",
    seed=r"\d+",
    shard=r"\d+",


# The identity of an encoder as wildcards, to write its paths once in stages/paths.py.
ENCODER = Encoder("{modality}", "{view}", "{method}", "{seed}")
IDENTITY = "{modality}/{view}/{method}/{seed}"


def settings(*sections):
    """The named sections of the params file: a rule reruns when one of them changes.

    A section may name wildcards, as in audio.method.{method}.
    """

    def lookup(wildcards):
        found = {}
        for section in sections:
            name = section.format(**wildcards)
            value = config
            for key in name.split("."):
                if key not in value:
                    sys.exit(f"error: {PARAMS_FILE} has no section {name}")
                value = value[key]
            found[name] = value
        return found

    return lookup


def dataset_of(modality):
    """The dataset of a modality, for a rule that is of this modality alone; none if it is off."""
    return STUDIES[modality].dataset if modality in STUDIES else "-"


def of_dataset(wildcards):
    """The modality of a dataset and its study."""
    return next(
        item for item in STUDIES.items() if item[1].dataset == wildcards.dataset
    )


def listing(wildcards):
    """A digest of the names, sizes and times of the files in your own folder."""
    _, study = of_dataset(wildcards)
    if study.dataset != "folder":
        return None
    found = sorted(path for path in Path(study.source).rglob("*") if path.is_file())
    lines = [f"{p} {p.stat().st_size} {p.stat().st_mtime_ns}" for p in found]
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()


def splits(modality):
    """The splits that a modality's features are extracted of."""
    return STUDIES[modality].splits if modality in STUDIES else SPLITS


def extracted(modality):
    """The outputs of the stage that extracts a shard of a modality's features."""
    return {
        "features": [
            PATHS.shard("{dataset}", "{shard}", f"{split}.npy")
            for split in splits(modality)
        ],
        "labels": [
            PATHS.shard("{dataset}", "{shard}", f"{split}.parquet")
            for split in splits(modality)
        ],
        "rejected": PATHS.shard("{dataset}", "{shard}", "rejected.csv"),
    }


def shards(modality):
    """Every file of every shard of a modality's features."""
    made = extracted(modality)
    return expand(
        [*made["features"], *made["labels"], made["rejected"]],
        shard=STUDIES[modality].shards if modality in STUDIES else [],
        allow_missing=True,
    )


def joined(modality):
    """The outputs of the stage that joins the shards of a modality's features."""
    return {
        "features": [PATHS.features("{dataset}", split) for split in splits(modality)],
        "labels": [PATHS.labels("{dataset}", split) for split in splits(modality)],
        "rejected": PATHS.rejected("{dataset}"),
    }


def features(*splits):
    """The features of splits of an encoder's dataset; none named: those it is pretrained on."""

    def lookup(wildcards):
        study = STUDIES[wildcards.modality]
        return [
            PATHS.features(study.dataset, split) for split in splits or study.upstream
        ]

    return lookup


def labelled(wildcards):
    """The splits whose labels are used: to fit on and to score on."""
    return "train", STUDIES[wildcards.modality].downstream.evaluate_on


def counted(wildcards):
    """The setting that an ablation's numbers of labelled examples are in."""
    views = STUDIES[wildcards.modality].ablation.views
    return ["{modality}.ablation.n_examples"] if wildcards.view in views else []


def labels(wildcards):
    dataset = STUDIES[wildcards.modality].dataset
    return [PATHS.labels(dataset, split) for split in labelled(wildcards)]


def shown(modality):
    """The encoder of a modality whose examples and answers are shown."""
    study = STUDIES[modality]
    return Encoder(modality, study.views[0], study.shown, study.seeds[0])


def answered():
    """What the figures of answers are made of: counts, and the labels' names."""
    files = []
    for modality in (modality for modality in CONFUSED if modality in STUDIES):
        study, own = STUDIES[modality], shown(modality)
        files += [PATHS.answers(replace(own, seed=seed)) for seed in study.seeds]
        files.append(PATHS.labels(study.dataset, study.downstream.evaluate_on))
    return files


def scored(modality):
    """What the tables and figures of a modality are made of."""
    if modality not in STUDIES:
        return lambda wildcards: sys.exit(
            f"error: {PARAMS_FILE} has no section {modality}"
        )
    encoders = PARAMS.encoders(modality)
    return [
        *(path(e) for e in encoders for path in (PATHS.scores, PATHS.pretext)),
        *(PATHS.end_to_end(e) for e in PARAMS.trained_end_to_end(modality)),
    ]


def cores(setting):
    """A rule's threads: a number, or the machine's cores (Snakemake allots at most --cores)."""
    return os.cpu_count() if setting == "all" else setting


def memory(mb):
    """A job's memory in MB: more with each time that it is tried again."""
    return lambda wildcards, attempt: mb * attempt


def library(*modules):
    """Source files of the library, as inputs."""
    return [f"shuffle_to_learn/{module}.py" for module in modules]
