# Validation, names of files, and what the rules need of the params file.
import shlex
import sys
from dataclasses import replace
from pathlib import Path

import yaml
from snakemake.logging import logger

sys.path.insert(0, workflow.basedir)

from study import graph
from study.announce import announce
from study.datasets import listing
from study.errors import InputError
from study.exported import check_starts
from study.loading import load_params, merged
from study.outputs import CONFUSED, figures, scored_modalities, tables, wide_figures
from study.params import PUBLIC
from study.paths import LAYERS, SPLITS, WHOLE, EncoderKey
from study.soundfonts import instruments
from study.telling import Running, Teller
from study.work import Job

PARAMS_FILE = os.environ.get("PARAMS", "params.yaml")
OPTION = f" --params {shlex.quote(PARAMS_FILE)}" if "PARAMS" in os.environ else ""

try:
    PARAMS = load_params(PARAMS_FILE)
    SETTINGS = merged(PARAMS_FILE)
except InputError as error:
    sys.exit(f"error: {error}")

if config != yaml.safe_load(Path(PARAMS_FILE).read_text(encoding="utf-8")):
    sys.exit(
        f"error: --config and --configfile do not reach the stages: change {PARAMS_FILE}, "
        "or name another params file with PARAMS=FILE"
    )

PATHS = PARAMS.layout
ENCODERS = PARAMS.encoder_keys()
STUDIES = PARAMS.studies
LOGS = PATHS.data / "logs"
BENCHMARKS = PATHS.data / "benchmarks"

# The stages run in the environment that Snakemake runs in, or in the container's own.
CONTAINED = any(
    "apptainer" in str(m).lower()
    for m in workflow.deployment_settings.deployment_method
)
OWN = "" if CONTAINED else f'export PATH="{Path(sys.executable).parent}:$PATH"; '
PREFIX = f"set -euo pipefail; {OWN}"
# In a terminal there is one bar for all, and what jobs say goes to their logs alone.
IN_TERMINAL = sys.stderr.isatty() and not (
    workflow.output_settings.dryrun or workflow.output_settings.verbose
)
shell.prefix(PREFIX + ('tee() {{ cat > "$1"; }}; ' if IN_TERMINAL else ""))
if workflow.is_main_process:
    TELLER = Teller(PATHS.site, IN_TERMINAL)
    TELLER.follow(logger)


wildcard_constraints:
    dataset="|".join(study.dataset for study in STUDIES.values()),
    modality="|".join(STUDIES),
    slicing=r"[a-z]+-[0-9x]+",
    method=r"[a-z][a-z0-9_]*",
    seed=r"\d+",
    shard=r"\d+",


# The identity of an encoder as wildcards, to write its paths once in study/paths.py.
ENCODER = EncoderKey("{modality}", "{slicing}", "{method}", "{seed}")
IDENTITY = "{modality}/{slicing}/{method}/{seed}"
FEATURES = EncoderKey("{modality}", WHOLE, "{method}", "{seed}")


def settings(stage, modality="{modality}"):
    """The settings that a stage depends on: its jobs rerun when one of them changes."""

    def found(wildcards):
        identity = {"modality": modality.format(**wildcards)} if modality else {}
        try:
            sections = graph.sections(PARAMS, stage, **{**wildcards, **identity})
            if stage == "downstream" and ablated(wildcards):
                sections.append(f"{wildcards.modality}.ablation.n_examples")
            return {name: graph.lookup(SETTINGS, name) for name in sections}
        except InputError as error:
            sys.exit(f"error: {PARAMS_FILE}: {error}")

    return found


def ablated(wildcards):
    """Whether an encoder is of the ablation."""
    return wildcards.slicing in STUDIES[wildcards.modality].ablation.slicings


def study_of(wildcards):
    """The study of a dataset."""
    return PARAMS.of_dataset(wildcards.dataset)[1]


def listed(study):
    """The list of the files of your own folder, which stands for their contents."""
    return [PATHS.files] if study.dataset == "folder" else []


if workflow.is_main_process:
    try:
        check_starts(PARAMS)
        if any(map(listed, STUDIES.values())):
            listing.refresh(PARAMS)
    except InputError as error:
        sys.exit(f"error: {error}")


def files_of(wildcards):
    """Your own files that a dataset is made of; what is wrong with a soundfont is said first."""
    if wildcards.dataset == "notes":
        try:
            instruments(PARAMS.notes)
        except (InputError, FileNotFoundError) as error:
            sys.exit(f"error: {PARAMS_FILE}: {error}")
    # What is absent the stage tells, in a line.
    there = [path for path in PARAMS.files_of(wildcards.dataset) if Path(path).exists()]
    return [*listed(study_of(wildcards)), *there]


def extracted(study):
    """The outputs of the stage that extracts a shard of a study's features."""
    shard = [study.dataset, "{shard}"]
    return {
        "features": [PATHS.shard(*shard, f"{split}.npy") for split in study.splits],
        "labels": [PATHS.shard(*shard, f"{split}.parquet") for split in study.splits],
        "rejected": PATHS.shard(*shard, "rejected.csv"),
    }


def shards(study):
    """Every file of every shard of a study's features."""
    made = extracted(study)
    files = [*made["features"], *made["labels"], made["rejected"]]
    return expand(files, shard=study.shards)


def joined(study):
    """The outputs of the stage that joins the shards of a study's features."""
    return {
        "features": [PATHS.features(study.dataset, split) for split in study.splits],
        "labels": [PATHS.ids(study.dataset, split) for split in study.splits],
        "rejected": PATHS.rejected(study.dataset),
    }


def features(*splits):
    """The features of splits of an encoder's dataset; none named: those it is pretrained on."""

    def lookup(wildcards):
        study = STUDIES[wildcards.modality]
        return [
            PATHS.features(study.dataset, split) for split in splits or study.upstream
        ]

    return lookup


def start(wildcards):
    """The network that pretraining starts from, if the params file names one."""
    return STUDIES[wildcards.modality].started_from


def watched(wildcards):
    """What the clips that are shown are read from."""
    study = STUDIES[wildcards.modality]
    if wildcards.modality != "video":
        return []
    ids = PATHS.ids(study.dataset, study.upstream[1])
    return [PATHS.dataset(study.dataset), ids, *listed(study)]


def labelled(wildcards):
    """The splits whose labels are used: to fit on and to score on."""
    return "train", STUDIES[wildcards.modality].downstream.evaluate_on


def labels(wildcards):
    dataset = STUDIES[wildcards.modality].dataset
    return [PATHS.labels(dataset, split) for split in labelled(wildcards)]


def answered():
    """What the figures of answers are made of: counts, and the labels' names."""
    files = []
    for modality in (m for m in CONFUSED if m in scored_modalities(PARAMS)):
        study, shown = STUDIES[modality], PARAMS.shown(modality)
        files += [PATHS.answers(replace(shown, seed=seed)) for seed in study.seeds]
        files.append(PATHS.labels(study.dataset, study.downstream.evaluate_on))
    return files


def scored(modality):
    """What the tables and figures of a modality are made of."""
    if modality not in STUDIES:
        return lambda wildcards: sys.exit(
            f"error: {PARAMS_FILE} has no section {modality}"
        )
    return [
        *(PATHS.scores(key) for key in PARAMS.scored_keys(modality)),
        *(PATHS.pretext(key) for key in PARAMS.encoder_keys(modality)),
        *(PATHS.end_to_end(key) for key in PARAMS.trained_end_to_end(modality)),
        *unscored(modality),
    ]


def unscored(*modalities):
    """The embeddings of these modalities (none: of all) that have no task: no score needs them."""
    return [
        PATHS.embeddings(key, split, layer)
        for key in PARAMS.encoder_keys(*modalities)
        if not STUDIES[key.modality].downstream.tasks
        for split in SPLITS
        for layer in LAYERS
    ]


def cores(setting):
    """A rule's threads: a number, or the machine's cores (Snakemake allots at most --cores)."""
    return os.cpu_count() if setting == "all" else setting


def memory(mb):
    """A job's memory in MB: more with each time that it is tried again."""
    return lambda wildcards, attempt: mb * attempt


def jobs_to_run(cores):
    """Announce the jobs of this run; by their number their stages and core seconds."""
    numbers, jobs = [], []
    for job in workflow.dag.needrun_jobs():
        record = Path(job.benchmark).relative_to(BENCHMARKS) if job.benchmark else ""
        numbers.append(workflow.dag.jobid(job))
        jobs.append(Job(job.rule.name, job.wildcards_dict, job.threads, str(record)))
    costs = announce(PARAMS, jobs, cores, PARAMS_FILE)
    return {
        number: Running(job.rule, cost)
        for number, job, cost in zip(numbers, jobs, costs)
        if cost  # targets have none
    }
