"""Settings and options that are wrong: one line that names the key, and nothing is written."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from conftest import ROOT, TinyStudy
from trained_study import STAGES, assert_matches, every_stage, settings

from stages import pretrain


def test_a_mistake_is_one_line_on_stderr_and_status_1(tiny_study: TinyStudy) -> None:
    tiny_study.change(settings("pretrain", widht=1.0))
    result = subprocess.run(
        [sys.executable, "-m", "stages.pretrain", *tiny_study.arguments()],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.returncode == 1
    assert result.stdout == ""
    assert result.stderr == (
        f"error: {tiny_study.params}: audio.pretrain.widht: unknown key (misspelt?)\n"
    )


OTHER = {"probes": ["knn"], "n_examples": [60], "neighbors": 5}


@every_stage
@pytest.mark.parametrize(
    ("section", "values", "said"),
    [
        ("pretrain", {"epohcs": 3}, "audio.pretrain.epohcs: unknown key"),
        ("pretrain", {"width": -0.5}, "audio.pretrain.width: .*greater than 0 .*-0.5"),
        ("pretrain", {"gap": 4}, "a gap of 4 pixels leaves nothing .* frequency-5"),
        ("method", {"mse": {"learning_rate": "1e-4"}}, "audio.method.mse.learning_rate: .*1.0e-4"),
        ("method", {"sinkhorn": {"epsilon": 1.0}}, "audio.method.sinkhorn.iterations: missing"),
        (
            "method",
            {"neural_sort": {"temperature": 0}},
            "neural_sort.temperature: .*greater than 0",
        ),
        (
            "method",
            {"fast_soft_ranking": {"learning_rate": 0.1, "epsilon": 1e-40}},
            "fast_soft_ranking.epsilon: .*greater than or equal to 0.0*1 .given 1e-40",
        ),
        ("method", {"random": {"learning_rate": 0.1}}, "random.learning_rate: unknown key"),
        ("method", {"msee": {}}, "audio.method.msee: unknown key"),
        ("downstream", {"dropout": 1.0}, "audio.downstream.dropout: .*less than 1"),
        ("downstream", {"tasks": ["pitch", "tempo"]}, "audio.downstream: unknown task 'tempo': "),
        ("downstream", {"tasks": ["action"]}, "audio.downstream: unknown task 'action': choose "),
        ("downstream", {"probe": "svm"}, "audio.downstream.probe: .*given 'svm'"),
        ("downstream", {"probe": "linear", "others": OTHER | {"probes": ["linear"]}}, "already th"),
        ("downstream", {"others": OTHER | {"n_examples": [7]}}, "others.n_examples: 7 is not amon"),
        (
            "ablation",
            {"slicings": ["frequency-5"]},
            "audio.ablation: slicings: frequency-5 is already",
        ),
        ("ablation", {"slicings": ["bands-5"]}, "audio.ablation: unknown slicing 'bands-5'"),
        ("ablation", {"slicings": ["time-13"]}, "time-13 has more parts than the 20 x 12 pixels"),
        ("ablation", {"methods": ["sinkhorn"]}, "ablation.methods: sinkhorn is not among the st"),
        ("ablation", {"seeds": [7]}, "audio: ablation.seeds: 7 is not among the study's seeds"),
        ("ablation", {"n_examples": [7]}, "ablation.n_examples: 7 is not among the study's n_ex"),
        ("end_to_end", {"methods": ["sinkhorn"]}, "audio: end_to_end.methods: sinkhorn is not a"),
        ("end_to_end", {"replicates": 9}, "end_to_end.replicates: more than downstream.replic"),
        ("end_to_end", {"steps": 10}, "audio.end_to_end: steps is less than evaluate_every"),
        ("downstream", {"hidden": 16}, "audio.downstream.hidden: .*valid list .given 16"),
        ("downstream", {"hidden": [16, 0]}, "audio.downstream.hidden.1: .*greater than or equal"),
        ("pretrain", {"channel_shift": 1}, "audio: pretrain.channel_shift and grey_share are for"),
        ("pretrain", {"grey_share": 0.1}, "audio: pretrain.channel_shift and grey_share are for"),
        ("pretrain", {"grey_share": 1.1}, "audio.pretrain.grey_share: .*less than or equal to 1"),
        ("pretrain", {"channel_shift": -1}, "audio.pretrain.channel_shift: .*or equal to 0"),
        (
            "spectrograms",
            {"n_mels": 4},
            "frequency-5 has more parts than the 4 x 12 pixels of an input",
        ),
    ],
)
def test_a_wrong_setting_is_named(tiny_study, stage, section, values, said) -> None:
    tiny_study.change(settings(section, **values))
    line = tiny_study.refusal(stage)
    assert line.startswith(f"error: {tiny_study.params}: ")
    assert_matches(line, said)


@every_stage
def test_wrong_options_are_named(tiny_study: TinyStudy, stage) -> None:
    line = tiny_study.refusal(stage, method="perturbed_yf")
    assert line.startswith("error: --method perturbed_yf: unknown method, use one of random,")
    assert "error: --slicing bands-5: unknown slicing" in tiny_study.refusal(
        stage, slicing="bands-5"
    )
    line = tiny_study.refusal(stage, slicing="time-13")
    assert line.startswith(
        "error: --slicing time-13: slicing time-13 has more parts than the 20 x 12 "
    )
    line = tiny_study.refusal(stage, slicing="frames-4")
    assert line.startswith("error: --slicing frames-4: slicing frames-4 is of clips")


def test_methods_and_slicings_in_the_params_file_are_checked(tiny_study: TinyStudy) -> None:
    tiny_study.change(lambda content: content["audio"].update(methods=["mse", "msee"]))
    assert_matches(tiny_study.refusal(pretrain), r"audio\.methods: unknown method 'msee'")
    tiny_study.change(lambda content: content["audio"].update(slicings=["diagonal-5"]))
    assert_matches(tiny_study.refusal(pretrain), r"audio\.slicings: unknown slicing 'diagonal-5'")


def left_out(*sections: str) -> Callable[[dict], None]:
    def change(content: dict) -> None:
        for section in sections:
            del content[section]

    return change


def replaced(section: str, **values) -> Callable[[dict], None]:
    return lambda content: content[section].update(values)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (
            settings("downstream", "video", tasks=["instrument"]),
            "video.downstream: unknown task 'i",
        ),
        (
            settings("downstream", "images", tasks=["action"]),
            "images.downstream: unknown task 'act",
        ),
        (
            replaced("video", slicings=["diagonal-5"]),
            "video.slicings: unknown slicing 'diagonal-5'",
        ),
        (replaced("images", slicings=["grid-3"]), "images.slicings: unknown slicing 'grid-3'"),
        (
            replaced("video", slicings=["frames-4", "frames-7"]),
            "video: slicing frames-7 has more frames",
        ),
        (replaced("video", slicings=["grid-3x3"]), "video: slicing grid-3x3 is of single pictures"),
        (replaced("images", slicings=["frames-4"]), "images: slicing frames-4 is of clips"),
        (replaced("audio", slicings=["frames-4"]), "audio: slicing frames-4 is of clips"),
        (
            replaced("images", slicings=["grid-2x14"]),
            "images: slicing grid-2x14 has more parts than the 13",
        ),
        (
            settings("pretrain", "images", gap=6),
            "images: a gap of 6 pixels leaves nothing of a pat",
        ),
        (
            settings("pretrain", "video", grey_share=0.1),
            "video: pretrain.channel_shift and grey_share are for colours",
        ),
        (
            settings("pretrain", "video", channel_shift=1),
            "video: pretrain.channel_shift and grey_share are for colours",
        ),
        (
            replaced("motions", train=50),
            "video.downstream.n_examples: 60 is more than motions.train: 50",
        ),
        (
            replaced("scenes", pretrain=9),
            "images.pretrain.batch_size: 16 is more than scenes.pretrain: 9",
        ),
        (
            settings("frames", "video", count=30),
            "motions.frames_min: 24 is less than the 32 of video.frames.count and skip",
        ),
        (
            settings("pictures", "images", channels="grey"),
            "images: pretrain.channel_shift and grey_share are for colours",
        ),
        (settings("pictures", "images", channels="bgr"), "images.pictures.channels: .*given 'bgr'"),
        (settings("frames", "video", count=1), "video.frames.count: .*or equal to 2"),
        (settings("frames", "video", background="blur"), "video.frames.background: .*given 'blur'"),
        (settings("frames", "video", max_rejected=1.0), "video.frames.max_rejected: .*less than 1"),
        (replaced("video", dataset="notes"), "video.dataset: .*given 'notes'"),
        (replaced("video", frames=None), "video.frames: .*given None"),
        (replaced("video", spectrograms={}), "video.spectrograms: unknown key"),
        (left_out("motions"), "motions: missing: it is the dataset of video"),
        (left_out("scenes"), "scenes: missing: it is the dataset of images"),
        (left_out("notes"), "notes: missing: it is the dataset of audio"),
        (left_out("audio", "video", "images"), "missing: at least one of audio, video, images"),
        (
            replaced("motions", frames_min=40, frames_max=30),
            "motions: frames_min is above frames_m",
        ),
        (
            replaced("motions", textures=5),
            "motions: textures are too few for valid_share and test_s",
        ),
        (replaced("motions", test_share=0.8), "motions: valid_share and test_share leave nothing"),
        (
            replaced("scenes", materials=15),
            "scenes: materials are too few for valid_share and test",
        ),
    ],
)
def test_a_wrong_setting_of_any_modality_is_named(tiny_study: TinyStudy, change, said) -> None:
    tiny_study.change(change)
    line = tiny_study.refusal(pretrain)
    assert line.startswith(f"error: {tiny_study.params}: ")
    assert_matches(line, said)


def test_a_modality_that_is_not_run_is_named(tmp_path: Path) -> None:
    study = TinyStudy(tmp_path, left_out("video", "motions"), modality="video")
    for stage in STAGES:
        line = study.refusal(stage)
        assert line == "error: --modality video: the params file has no section video"
    study.modality = "vidoe"
    line = study.refusal(pretrain)
    assert line == "error: --modality vidoe: unknown, use one of audio, video, images"


def test_a_study_of_one_modality_needs_no_other(tmp_path: Path) -> None:
    study = TinyStudy(tmp_path, left_out("audio", "images", "notes", "scenes"), modality="video")
    study.run(pretrain, "random")
    assert study.layout.model(study.encoder("random")).exists()


def test_what_is_shown_puts_patches_in_order(tiny_study: TinyStudy) -> None:
    def change(content: dict) -> None:
        content["audio"]["methods"] = ["random", "mse", "contrastive"]
        content["audio"]["shown"] = "contrastive"

    tiny_study.change(change)
    line = tiny_study.refusal(pretrain, "random")
    said = "audio.shown: contrastive puts no patches in order: choose a method that does"
    assert line.startswith(f"error: {tiny_study.params}: {said}")


def test_only_the_methods_that_are_run_need_settings(tiny_study: TinyStudy) -> None:
    def change(content: dict) -> None:
        content["audio"] |= {"methods": ["random"], "method": {"random": {}}, "shown": "random"}
        content["audio"]["end_to_end"]["methods"] = []

    tiny_study.change(change)
    tiny_study.run(pretrain, "random")
    line = tiny_study.refusal(pretrain, "sinkhorn")
    assert line == "error: audio.method.sinkhorn: missing: --method asks for the method"

    def list_more(content: dict) -> None:
        change(content)
        content["audio"]["methods"] = ["random", "sinkhorn", "mse"]

    tiny_study.change(list_more)
    assert tiny_study.refusal(pretrain, "random") == (
        f"error: {tiny_study.params}: audio.method.sinkhorn: missing: the method is in "
        "the list methods; audio.method.mse: missing: the method is in the list methods"
    )


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("\nthreads: {}\n", r"line \d+: the key 'threads' is given twice"),
        ("\nthreads: [1\n", "not valid YAML"),
        ("\n? [threads]\n: 1\n", r"line \d+: a key must be a word"),
        ("\nmodalities: [audio]\n", "modalities: unknown key"),
    ],
)
def test_a_params_file_that_is_broken_is_named(tiny_study: TinyStudy, text, said) -> None:
    whole = tiny_study.params.read_text()
    tiny_study.params.write_text(whole + text)
    line = tiny_study.refusal(pretrain)
    assert line.startswith(f"error: {tiny_study.params}")
    assert_matches(line, said)


def test_a_params_file_that_is_missing_is_named(tiny_study: TinyStudy) -> None:
    tiny_study.params.unlink()
    assert f"{tiny_study.params} does not exist" in tiny_study.refusal(pretrain)
