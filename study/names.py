"""What methods, measures and datasets are called, and how methods are drawn."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

from shuffle_to_learn.slicing import Slicing
from study.params import Params
from study.paths import WHOLE

RESOURCES = Path(__file__).parent / "resources"


class Look(NamedTuple):
    """A method's name, and a colour, marker and dashes that each tell it apart alone."""

    label: str
    colour: str
    marker: str | tuple[int, int, int]  # as in matplotlib: corners, 1 for a star, degrees
    dashes: tuple[float, ...]  # on, off, on, off, ... in line widths; none: a solid line


class Measure(NamedTuple):
    """A metric of a task: its name, whether high is good, its decimals, and what it is."""

    label: str
    higher_is_better: bool
    decimals: int
    about: str
    unit: str = ""


# The colours are those of Okabe and Ito (2008), and others: no two are closer than the closest of
# theirs, for every common colour blindness (tests/test_names.py).
# In order of the paper's tables: from no pretraining to differentiable ranking.
LOOKS = {
    "supervised": Look("Supervised, end to end", "#0072B2", "P", (8, 2)),
    "raw": Look("The features themselves", "#004499", (8, 1, 0), (1, 1)),
    "summary": Look("Mean and deviation", "#785A87", (4, 1, 45), (3, 1, 3, 1, 1, 1)),
    "random": Look("Random encoder", "#000000", "s", (1, 1.5)),
    "fixed_permutations": Look("Fixed permutations", "#E69F00", "^", (4, 1.5)),
    "position_classification": Look("Position classification", "#EE0055", "h", (5, 1, 1, 1, 1, 1)),
    "contrastive": Look("Contrastive", "#0000FF", "8", (12, 2)),
    "mse": Look("MSE on ranks", "#56B4E9", "D", (4, 1.5, 1, 1.5)),
    "fast_soft_ranking": Look("Fast Soft Ranking", "#009E73", "v", (2, 1)),
    "perturbed_fy": Look("Perturbed Fenchel-Young", "#D55E00", "o", ()),
    "perturbed_fy_exact": Look("Perturbed FY, exact", "#882255", "X", (6, 2, 2, 2)),
    "sinkhorn": Look("Sinkhorn ranking", "#6600CC", "*", (1, 3)),
    "neural_sort": Look("NeuralSort", "#CC79A7", "p", (3, 3)),
    "rank_net": Look("RankNet", "#8899FF", (4, 1, 0), (7, 1)),
    "list_mle": Look("ListMLE", "#550044", (3, 1, 0), (2, 2, 6, 2)),
    "diffsort": Look("DiffSort", "#77FF55", (6, 1, 0), (1, 1, 1, 4)),
    "lap_sum": Look("LapSum", "#88CC99", (5, 0, 180), (12, 3, 3, 3)),
}
BEST = "best_pretrained"
"""What stands for the best pretrained method in a figure, whichever it is."""
ALONE = {BEST: LOOKS["perturbed_fy"]._replace(label="Best pretrained method")}
"""Looks that share a figure with none that they could be taken for."""
# For methods that have no entry yet, in turn.
SPARE = (("#553311", "<", (8, 2, 1, 2)), ("#DDCC77", ">", (10, 4)), ("#002266", "d", (3, 1, 3, 4)))

MEASURES = {
    ("instrument", "accuracy"): Measure(
        "Instrument accuracy", True, 3, "the share of notes whose instrument is told"
    ),
    ("family", "accuracy"): Measure(
        "Family accuracy", True, 3, "the share of notes whose family of instruments is told"
    ),
    ("pitch", "mse"): Measure(
        "Pitch MSE", False, 1, "the mean squared error of the pitch", "semitones²"
    ),
    ("pitch_class", "accuracy"): Measure(
        "Pitch accuracy",
        True,
        3,
        "the share of notes whose pitch is told to the semitone, as classes",
    ),
    ("first_letter", "accuracy"): Measure(
        "First letter accuracy", True, 3, "the share of Cyrillic names whose first letter is told"
    ),
    ("action", "accuracy"): Measure(
        "Action accuracy", True, 3, "the share of clips whose action is told"
    ),
    ("objects", "auc"): Measure(
        "Mean AUC",
        True,
        3,
        "the area under the ROC curve, averaged over kinds of objects; 0.5 is chance",
    ),
    ("pretext", "partial_ranks"): Measure(
        "Partial ranks", True, 3, "the share of shuffled patches put in their right place"
    ),
    ("pretext", "kendall_tau"): Measure(
        "Kendall's tau", True, 3, "the rank correlation of predicted and true places; 0 is chance"
    ),
    ("pretext", "fixed_set"): Measure(
        "Orders told", True, 3, "the share of shuffles told from the others of a fixed set"
    ),
}

ART = (
    "Art: Twemoji graphics by Twitter, Inc. and other contributors (jdecked/twemoji), licensed "
    "under CC-BY 4.0: https://creativecommons.org/licenses/by/4.0/."
)

# A dataset in a few words and in a few sentences.
DATASETS = {
    "notes": (
        "embedded dataset notes, not NSynth",
        "Notes of {soundfonts}, rendered after NSynth's protocol: 4 s at 16 kHz, held for 3 s. "
        "They stand in for NSynth, which the paper uses, so that the study runs anywhere. Fewer "
        "instruments, their recordings shifted to other pitches, and no player: no number here can "
        "be set beside the paper's.",
    ),
    "motions": (
        "embedded dataset motions, not Something-Something",
        "Short clips of two drawn things on a texture, with 20 labels that are in the order of the "
        "frames. They stand in for Something-Something, which the paper uses, so that the study "
        "runs anywhere. Drawn things that move by formulas, and no hands: no number here can be "
        f"set beside the paper's. {ART}",
    ),
    "scenes": (
        "embedded dataset scenes, not ImageNet or VOC",
        "Drawn things of 20 classes in procedural rooms and landscapes, labelled as in VOC. They "
        "stand in for ImageNet, on which the paper pretrains, and for VOC 2012, on which it "
        "scores, so that the study runs anywhere. Far fewer things than there are in photographs: "
        f"no number here can be set beside the paper's. {ART}",
    ),
    "words": (
        "recorded words in nine languages",
        "Names of things, spoken by volunteers for Tux Paint's stamps (Debian package "
        "tuxpaint-stamps-default, GPL-2), in splits that no thing is in two of. The paper has no "
        "speech: no number here can be set beside the paper's.",
    ),
    "syllables": (
        "recorded syllables of Mandarin",
        "Syllables of Mandarin by two voices (Debian package gcin-voice; voice 3 by Edward Der-Hua "
        "Liu, GPL-3 or LGPL-3; voice 5 by ChionMeilin with the vocal source from Chu Lo, CC-BY-3), "
        "in splits that no syllable is in two of, whatever its tone. The paper has no speech: no "
        "number here can be set beside the paper's.",
    ),
    "nsynth_full": (
        "NSynth",
        "NSynth (Engel et al. 2017), as TFDS has it. Families and pitches are scored on the "
        "official splits, instruments on notes held out from the official train split, since no "
        "instrument of that is in the others.",
    ),
    "nsynth_gansynth_subset": (
        "GANSynth's subset of NSynth",
        "Acoustic notes of NSynth from MIDI 24 to 84, in splits that share instruments, not notes "
        "(Engel et al. 2019), as TFDS has them. The paper uses all of NSynth.",
    ),
    "imagenet_voc": (
        "ImageNet and VOC 2012",
        "Pretrained on ImageNet (2012), without its labels; scored on the official validation "
        "split of VOC 2012, as TFDS has them.",
    ),
    "something_something_v2": (
        "Something-Something v2",
        "Something-Something v2 (Goyal et al. 2017); scored on the official validation split, "
        "since the test split has no labels.",
    ),
    "folder": (
        "a folder of your own",
        "Files of your own, in splits that no file is in two of. No number here can be set beside "
        "the paper's.",
    ),
}

MODALITIES = {"audio": "Audio", "video": "Video", "images": "Images"}
SUMMARISED = {
    "bands": "band over time",
    "pixels": "pixel over the frames",
    "tiles": "colour in each tile",
}
CLASSIFIERS = {
    "mlp": "MLP on the frozen embedding",
    "mlp-tiles": "MLP on the layer before it (tiles)",
    "mlp-joined": "MLP on the layer after it (joined)",
    "linear": "Linear classifier on the frozen embedding",
    "linear-tiles": "Linear classifier on the layer before it (tiles)",
    "linear-joined": "Linear classifier on the layer after it (joined)",
    "knn": "Nearest neighbours in the frozen embedding",
    "end_to_end": "Trained end to end",
}


def looks(methods: Sequence[str]) -> dict[str, Look]:
    """The look of every method, in the order in which they are shown."""
    known = {**ALONE, **LOOKS}
    unknown = [method for method in methods if method not in known]
    result = {method: look for method, look in known.items() if method in methods}
    for i, method in enumerate(unknown):
        base = method.removesuffix("_fine_tuned")
        label = LOOKS[base].label if base in LOOKS else base.replace("_", " ").capitalize()
        label += ", fine-tuned" if base != method else ""
        result[method] = Look(label, *SPARE[i % len(SPARE)])
    return result


def measure_of(task: str, metric: str) -> Measure:
    """A metric of a task, of the embedded datasets' or a folder's."""
    if (task, metric) in MEASURES:
        return MEASURES[task, metric]
    name = task.replace("_", " ")
    label = name[:1].upper() + name[1:]
    if metric == "mse":
        return Measure(f"{label} MSE", False, 4, f"the mean squared error of {name}")
    if metric == "auc":
        about = f"the area under the ROC curve, averaged over the categories of {name}"
        return Measure(f"{label} mean AUC", True, 3, f"{about}; 0.5 is chance")
    return Measure(f"{label} accuracy", True, 3, f"the share of inputs whose {name} is told")


def dataset_label(name: str) -> str:
    """The dataset, and that it is not the paper's where it is not."""
    return DATASETS[name][0] if name in DATASETS else f"dataset {name}"


def dataset_about(params: Params, name: str) -> str:
    """What the dataset is and what its numbers are worth."""
    if name not in DATASETS:
        return ""
    fonts = [Path(font).name for font in params.notes.soundfonts] if params.notes else []
    word = "the soundfonts" if len(fonts) > 1 else "the soundfont"
    return DATASETS[name][1].format(soundfonts=f"{word} {' and '.join(fonts)}")


def slicing_label(name: str) -> str:
    """A slicing in words."""
    if name == WHOLE:
        return "the whole input"
    slicing = Slicing.parse(name)
    kind = name.partition("-")[0]
    if slicing.frames:
        return f"{slicing.frames} frames"
    if kind == "grid":
        return f"{slicing.rows} x {slicing.columns} patches"
    return (
        f"{slicing.patches} {kind} bands"
        if kind == "frequency"
        else f"{slicing.patches} time slices"
    )


def count(number: int, noun: str) -> str:
    """``1 seed``, ``2 seeds``, ``1,000 seeds``."""
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


def caution(seeds: int) -> str:
    """What so many seeds cannot say."""
    if seeds == 1:
        return (
            "1 upstream seed has no interval, and tells no method apart from another: take numbers"
            " for a look, not for evidence."
        )
    if seeds == 2:
        return (
            "From 2 upstream seeds an interval is honest and wide, 13 standard errors to each side:"
            " verdicts are given from 3 seeds on."
        )
    return ""


def render(template: str, **values: Any) -> str:
    """A template of ``study/resources``; what is put into one of HTML is escaped."""
    from jinja2 import Environment, FileSystemLoader, StrictUndefined, select_autoescape

    environment = Environment(
        loader=FileSystemLoader(RESOURCES),
        autoescape=select_autoescape(["html.j2"], default=False),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    return environment.get_template(template).render(values)
