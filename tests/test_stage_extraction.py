"""The stages dataset, frames and images on a few clips and pictures, whole and damaged."""

from __future__ import annotations

import hashlib
import io
import multiprocessing
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import cv2
import in_workers
import numpy as np
import pandas as pd
import pytest
import tensorflow as tf
import yaml
from PIL import Image

import stages.dataset
import stages.frames
import stages.join
import stages.pictures
import study.extraction
from shuffle_to_learn.datasets.memory import KEPT
from shuffle_to_learn.datasets.motions import LABELS
from shuffle_to_learn.datasets.motions import encode as write_video
from shuffle_to_learn.features.pictures import read_image, read_picture
from shuffle_to_learn.features.video import read_clip, read_frames
from study.errors import InputError
from study.loading import load_params
from study.paths import Paths

ROOT = Path(__file__).parent.parent
COUNTS = {
    "motions": {"train": 10, "valid": 3, "test": 5},
    "scenes": {"pretrain": 6, "pretrain_valid": 3, "train": 10, "valid": 3, "test": 5},
}
STAGE = {"motions": stages.frames, "scenes": stages.pictures}
SIDE = 48  # pixels of clips and pictures as they are stored
both = pytest.mark.parametrize("dataset", COUNTS)


@pytest.fixture(scope="module", autouse=True)
def _tensorflow_is_up():
    """The stages set threads only before TensorFlow starts: here it starts once."""
    patch = pytest.MonkeyPatch()
    patch.setattr(stages.dataset, "start_tensorflow", lambda threads: None)
    patch.setenv("TF_CPP_MIN_LOG_LEVEL", "3")
    patch.delenv("OMP_NUM_THREADS", raising=False)
    yield
    patch.undo()


def params_file(folder: Path, threads: int = 2, **changes: dict) -> Path:
    """The params file of a study of few examples; changes by the name of the extraction stage."""
    content = yaml.safe_load((ROOT / "params.yaml").read_text())
    content["paths"] = {"data": str(folder / "data"), "results": str(folder / "results")}
    content["threads"] |= dict.fromkeys(("dataset", "frames", "pictures"), threads)
    content["motions"] |= COUNTS["motions"] | {"size": SIDE, "textures": 20, "webm_share": 0.3}
    content["scenes"] |= COUNTS["scenes"] | {"size": SIDE, "materials": 40}
    for modality, section in (("video", "frames"), ("images", "pictures")):
        own = {"size": 16, "max_rejected": 0.5}
        content[modality][section] |= own | changes.pop(section, {})
        content[modality]["downstream"]["n_examples"] = [10]
        content[modality]["downstream"]["others"]["n_examples"] = []
        content[modality]["ablation"] |= {"slicings": [], "n_examples": []}
        content[modality]["pretrain"]["batch_size"] = 2
    content["video"]["slicings"] = ["frames-5"]
    content["images"]["pretrain"]["gap"] = 1
    content["images"]["pretrain"]["grey_share"] = 0.0
    assert not changes
    path = folder / "params.yaml"
    path.write_text(yaml.safe_dump(content))
    return path


def run(stage: Any, dataset: str, params: Path) -> None:
    """Run a stage; of an extraction all shards, and join them."""
    own = ["--dataset", dataset, "--params", str(params)]
    if stage is stages.dataset:
        return stage.main(own)
    section = {stages.frames: "video", stages.pictures: "images"}[stage]
    for shard in yaml.safe_load(params.read_text()).get(section, {}).get("shards", [0]):
        stage.main([*own, "--shard", str(shard)])
    stages.join.main(own)


@pytest.fixture(scope="module")
def made(tmp_path_factory) -> Path:
    """The params file of a study with both datasets and their features; only to be read."""
    params = params_file(tmp_path_factory.mktemp("made"))
    for dataset, stage in STAGE.items():
        run(stages.dataset, dataset, params)
        run(stage, dataset, params)
    return params


@pytest.fixture
def copied(made: Path, tmp_path: Path) -> Callable[..., Path]:
    """Makes a copy of that study, other settings given."""

    def copy(**settings: Any) -> Path:
        shutil.copytree(made.parent, tmp_path, dirs_exist_ok=True)
        return params_file(tmp_path, **settings)

    return copy


def digests(folder: Path) -> dict[str, str]:
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def features_of(layout: Paths, dataset: str, split: str) -> tuple[np.ndarray, pd.DataFrame]:
    features = np.load(layout.features(dataset, split), allow_pickle=False)
    labels = pd.read_parquet(layout.labels(dataset, split))
    assert len(features) == len(labels)
    assert features.dtype == np.uint8
    return features, labels


def record(layout: Paths, dataset: str, split: str) -> Path:
    (path,) = layout.dataset(dataset).glob(f"**/{dataset}-{split}.tfrecord-*")
    return path


def stored(layout: Paths, dataset: str, split: str) -> list[tf.train.Example]:
    """The examples of a split as they lie in its file."""
    records = tf.data.TFRecordDataset(str(record(layout, dataset, split)))
    return [tf.train.Example.FromString(one.numpy()) for one in records]


def value(example: tf.train.Example, name: str) -> bytes:
    return example.features.feature[name].bytes_list.value[0]


def rewrite(layout: Paths, dataset: str, split: str, name: str, new: dict[int, bytes]) -> None:
    """Puts other values of a feature into the examples of these numbers."""
    examples = stored(layout, dataset, split)
    for number, content in new.items():
        examples[number].features.feature[name].bytes_list.value[0] = content
    with tf.io.TFRecordWriter(str(record(layout, dataset, split))) as file:
        for example in examples:
            file.write(example.SerializeToString(deterministic=True))


def videos(layout: Paths, split: str) -> list[Path]:
    """The video files of a split, in the order of its examples."""
    folder = record(layout, "motions", split).parent
    return [folder / value(one, "video").decode() for one in stored(layout, "motions", split)]


def rejected(layout: Paths, dataset: str) -> list[tuple[str, str, str]]:
    table = pd.read_csv(layout.rejected(dataset))
    assert list(table.columns) == ["split", "id", "reason"]
    return list(table.itertuples(index=False, name=None))


# what is written


def decoded(path: Path) -> np.ndarray:
    """All frames of a video in RGB, read one after the other."""
    capture = cv2.VideoCapture(str(path), cv2.CAP_FFMPEG)
    pictures = []
    while (read := capture.read())[0]:
        pictures.append(read[1][..., ::-1])
    return np.array(pictures)


def luminance(rgb: np.ndarray) -> np.ndarray:
    return np.rint(rgb @ np.array([0.299, 0.587, 0.114]))[..., None]


def middles(count: int, frames: int) -> list[int]:
    """The frames that last over the middles of equal parts."""
    return [(2 * k + 1) * count // (2 * frames) for k in range(frames)]


@pytest.mark.parametrize(
    ("channels", "background", "skip"),
    [("rgb", "keep", 0), ("grey", "keep", 3), ("rgb", "subtract", 2), ("grey", "subtract", 0)],
)
def test_clips_are_their_frames(copied, channels: str, background: str, skip: int) -> None:
    """At the size they are stored in, so that nothing is resized."""
    asked = {"count": 7, "size": SIDE, "channels": channels, "background": background}
    asked["skip"] = skip
    params = copied(frames=asked)
    run(stages.frames, "motions", params)
    layout = load_params(params).layout
    manifest = pd.read_parquet(layout.manifest("motions")).set_index("id")
    suffixes = set()
    for split, count in COUNTS["motions"].items():
        features, labels = features_of(layout, "motions", split)
        assert features.shape == (count, 7, SIDE, SIDE, 3 if channels == "rgb" else 1)
        assert list(labels.columns) == ["id", "action", "action_name"]
        assert labels["id"].is_unique
        for clip, row in zip(features, labels.itertuples(), strict=True):
            known = manifest.loc[row.id]
            assert (known.split, known.label) == (split, row.action_name)
            assert row.action_name == LABELS[row.action]
            path = record(layout, "motions", split).parent / known.video
            suffixes.add(path.suffix)
            whole = decoded(path)
            assert len(whole) == known.frames
            expected = whole[skip:][middles(len(whole) - skip, 7)].astype(float)
            if channels == "grey":
                expected = luminance(expected)
            if background == "subtract":
                expected = np.clip(expected - np.median(expected, axis=0) + 128, 0, 255)
            tolerance = {"rgb": 0, "grey": 1}[channels] * (2 if background == "subtract" else 1)
            assert np.abs(clip - expected).max() <= tolerance
            assert clip.std() > 1
    assert suffixes == {".mp4", ".webm"}
    assert rejected(layout, "motions") == []


@pytest.mark.parametrize("channels", ["rgb", "grey"])
def test_pictures_are_those_of_the_dataset(copied, channels: str) -> None:
    import tensorflow_datasets as tfds

    params = copied(pictures={"size": SIDE, "channels": channels})
    run(stages.pictures, "scenes", params)
    layout = load_params(params).layout
    written = tfds.load("scenes", data_dir=layout.dataset("scenes"))
    names = tfds.builder("scenes", data_dir=layout.dataset("scenes")).info.features["labels"].names
    for split, count in COUNTS["scenes"].items():
        features, labels = features_of(layout, "scenes", split)
        assert features.shape == (count, SIDE, SIDE, 3 if channels == "rgb" else 1)
        assert list(labels.columns) == ["id", "objects", "objects_names"]
        examples = {e["image/filename"].decode(): e for e in tfds.as_numpy(written[split])}
        files = {value(e, "image/filename"): e for e in stored(layout, "scenes", split)}
        assert sorted(labels["id"]) == sorted(examples)
        for picture, row in zip(features, labels.itertuples(), strict=True):
            example = examples[row.id]
            content = value(files[row.id.encode()], "image")
            image = np.asarray(Image.open(io.BytesIO(content))).astype(float)
            right = image if channels == "rgb" else luminance(image)
            assert np.abs(picture - right).max() <= 1
            assert list(row.objects) == sorted(set(example["objects"]["label"]))
            assert list(row.objects_names) == [names[label] for label in row.objects]
    assert rejected(layout, "scenes") == []


@both
def test_same_bytes_with_one_worker(made, copied, dataset: str) -> None:
    params = copied(threads=1)
    layout = load_params(params).layout
    folder = layout.data / dataset
    before = digests(folder)
    shutil.rmtree(folder)
    run(stages.dataset, dataset, params)
    run(STAGE[dataset], dataset, params)
    assert digests(folder) == before == digests(load_params(made).layout.data / dataset)
    names = {path.name for path in folder.rglob("*")}
    assert not [name for name in names if name.startswith(".") or "tmp" in name]


def test_the_manifest_of_scenes_is_of_what_is_drawn(made) -> None:
    layout = load_params(made).layout
    manifest = pd.read_parquet(layout.manifest("scenes"))
    assert manifest.groupby("split").size().to_dict() == COUNTS["scenes"]
    assert manifest["id"].is_unique
    drawn = manifest.set_index("id")["drawn"]
    for split in COUNTS["scenes"]:
        _, labels = features_of(layout, "scenes", split)
        for row in labels.itertuples():
            assert set(row.objects_names) <= set(drawn[row.id])


# damage


def whole_but(made: Path, params: Path, dataset: str, wrong: dict[str, dict[int, str]]) -> None:
    """That all is as in the whole study but for these examples, each rejected for its reason."""
    before, after = load_params(made).layout, load_params(params).layout
    listed = []
    for split in COUNTS[dataset]:
        features, labels = features_of(before, dataset, split)
        damaged = wrong.get(split, {})
        kept = [number for number in range(len(labels)) if number not in damaged]
        own, own_labels = features_of(after, dataset, split)
        assert own.shape == (len(kept), *features.shape[1:])
        assert np.array_equal(own, features[kept])
        pd.testing.assert_frame_equal(own_labels, labels.iloc[kept].reset_index(drop=True))
        listed += [(split, labels["id"][number], damaged[number]) for number in sorted(damaged)]
    assert rejected(after, dataset) == listed


def test_damaged_clips_are_rejected_and_told(made, copied, capsys) -> None:
    params = copied()
    layout = load_params(params).layout
    train, test = videos(layout, "train"), videos(layout, "test")
    train[0].unlink()
    train[3].write_bytes(train[3].read_bytes()[:-400])
    train[4].write_bytes(b"")
    train[9].write_bytes(b"no video at all" * 100)
    film = np.zeros((12, SIDE, SIDE, 3), np.uint8)
    write_video(film, test[1].with_suffix(".mp4"))
    test[1].with_suffix(".mp4").rename(test[1])  # found by content, not by name
    test[4].unlink()
    test[4].mkdir()
    capsys.readouterr()
    run(stages.frames, "motions", params)
    wrong = {
        "train": {0: "missing", 3: "truncated", 4: "empty", 9: "unreadable"},
        "test": {1: "12 frames, fewer than 22", 4: "unreadable"},
    }
    whole_but(made, params, "motions", wrong)
    said = capsys.readouterr().err.splitlines()
    path = layout.rejected("motions")
    assert said[-1] == f"motions: features of 12 of 18 clips; rejected: 6, see {path}"


def test_an_avi_file_is_read_too(made, copied) -> None:
    params = copied(frames={"background": "keep", "skip": 1})
    layout = load_params(params).layout
    folder = record(layout, "motions", "valid").parent
    rng = np.random.default_rng(0)
    film = np.repeat(np.repeat(rng.integers(0, 256, (23, 6, 10, 3), np.uint8), 8, 1), 8, 2)
    size, codec = (80, 48), cv2.VideoWriter.fourcc(*"MJPG")
    writer = cv2.VideoWriter(str(folder / "videos/other.avi"), cv2.CAP_FFMPEG, codec, 12.0, size)
    for frame in film:
        writer.write(frame)
    writer.release()
    rewrite(layout, "motions", "valid", "video", {1: b"videos/other.avi", 2: b"videos/no.avi"})
    run(stages.frames, "motions", params)
    features, labels = features_of(layout, "motions", "valid")
    assert len(features) == 2
    whole = decoded(folder / "videos/other.avi")[1:][middles(22, 20), :, 16:64].astype(float)
    small = whole.reshape(20, 16, 3, 16, 3, 3).mean((2, 4))
    assert np.abs(features[1] - luminance(small)).max() <= 2
    before = features_of(load_params(made).layout, "motions", "valid")[1]
    assert list(labels["id"]) == list(before["id"][:2])
    assert rejected(layout, "motions") == [("valid", before["id"][2], "missing")]


def saved(picture: np.ndarray, kind: str) -> bytes:
    file = io.BytesIO()
    Image.fromarray(picture).save(file, kind)
    return file.getvalue()


def test_damaged_pictures_are_rejected_and_told(made, copied, capsys) -> None:
    params = copied()
    layout = load_params(params).layout
    jpeg = value(stored(layout, "scenes", "train")[2], "image")
    png = saved(np.random.default_rng(0).integers(0, 256, (60, 40, 3), np.uint8), "PNG")
    rewrite(
        layout,
        "scenes",
        "train",
        "image",
        {0: b"", 2: jpeg[: len(jpeg) // 2], 5: b"no picture", 9: png[:-500]},
    )
    rewrite(layout, "scenes", "pretrain", "image", {5: b"\xff\xd8"})
    capsys.readouterr()
    run(stages.pictures, "scenes", params)
    reasons = {split: {} for split in COUNTS["scenes"]}
    for split, id, reason in rejected(layout, "scenes"):
        ids = [value(e, "image/filename").decode() for e in stored(layout, "scenes", split)]
        reasons[split][ids.index(id)] = reason
    assert {split: sorted(own) for split, own in reasons.items() if own} == {
        "pretrain": [5],
        "train": [0, 2, 5, 9],
    }
    assert reasons["train"][0] == "empty"
    assert reasons["train"][2].startswith("JPEG: ")
    assert reasons["train"][5] == "no picture"
    assert reasons["train"][9].startswith("PNG: ")
    assert reasons["pretrain"][5].startswith("JPEG: ")
    whole_but(made, params, "scenes", reasons)
    said = capsys.readouterr().err.splitlines()
    path = layout.rejected("scenes")
    assert said[-1] == f"scenes: features of 22 of 27 pictures; rejected: 5, see {path}"


def test_pictures_of_any_kind_are_read(made, copied) -> None:
    """Other formats and sizes beside the dataset's own, the square in their middle."""
    params = copied()
    layout = load_params(params).layout
    rng = np.random.default_rng(0)
    coarse = rng.integers(0, 256, (4, 4, 3), np.uint8)
    wide = np.zeros((32, 80, 3), np.uint8)
    wide[:, 24:56] = np.repeat(np.repeat(coarse, 8, 0), 8, 1)
    grey = np.repeat(np.repeat(coarse[..., 0], 8, 0), 8, 1)
    rewrite(layout, "scenes", "valid", "image", {0: saved(wide, "PNG"), 1: saved(grey, "TIFF")})
    run(stages.pictures, "scenes", params)
    features, _ = features_of(layout, "scenes", "valid")
    expected = np.repeat(np.repeat(coarse, 4, 0), 4, 1)
    assert np.array_equal(features[0], expected)
    assert np.array_equal(features[1], np.repeat(expected[..., :1], 3, 2))
    before, _ = features_of(load_params(made).layout, "scenes", "valid")
    assert np.array_equal(features[2], before[2])
    assert rejected(layout, "scenes") == []


def spoil(layout: Paths, dataset: str, split: str, numbers: range) -> None:
    if dataset == "motions":
        for number in numbers:
            videos(layout, split)[number].write_bytes(b"no video at all" * 100)
    else:
        rewrite(layout, dataset, split, "image", dict.fromkeys(numbers, b"no picture"))


@both
def test_too_much_damage_leaves_the_features_of_before(copied, dataset: str) -> None:
    """In the last of the splits, when the others are ready."""
    stage = STAGE[dataset].__name__.rpartition(".")[2]
    params = copied(**{stage: {"max_rejected": 0.2, "size": 20}})
    layout = load_params(params).layout
    former = digests(layout.data / dataset / "features")
    spoil(layout, dataset, "test", range(2))
    unit, reason, id = {
        "motions": ("clips", "unreadable", "id"),
        "scenes": ("pictures", "no picture", "image/filename"),
    }[dataset]
    first = value(stored(layout, dataset, "test")[0], id).decode()
    with pytest.raises(InputError) as stopped:
        run(STAGE[dataset], dataset, params)
    assert str(stopped.value) == (
        f"test: 2 of 5 {unit} cannot be used, 20% may be (max_rejected); the first is "
        f"{first}: {reason}"
    )
    assert digests(layout.data / dataset / "features") == former

    spoil(layout, dataset, "train", range(1))
    params_file(params.parent, **{stage: {"max_rejected": 0.4}})
    run(STAGE[dataset], dataset, params)
    features, _ = features_of(layout, dataset, "test")
    assert len(features) == 3  # two of five are just as many as may be


def test_too_much_damage_is_one_line(copied) -> None:
    """As the command runs: decoders and workers say nothing."""
    params = copied(frames={"max_rejected": 0.2})
    layout = load_params(params).layout
    for number in range(3):
        path = videos(layout, "test")[number]
        path.write_bytes(path.read_bytes()[: -400 if number else 100])

    def command(*words: str) -> subprocess.CompletedProcess:
        whole = [sys.executable, "-m", *words, "--dataset", "motions", "--params", str(params)]
        return subprocess.run(whole, cwd=ROOT, capture_output=True, text=True)

    done = command("stages.frames", "--shard", "0")
    assert done.returncode == 0
    size, *shown, last = done.stderr.splitlines()
    assert size.startswith("motions: features of 18 clips take 0 MiB of disk, ")
    assert all(" clips/s, " in one for one in shown), done.stderr
    assert last == "motions: features of 15 of 18 clips; rejected: 3"
    done = command("stages.join")
    assert done.returncode == 1
    assert done.stdout == ""
    size, line = done.stderr.splitlines()
    assert size.startswith("motions: features take 0 MiB of disk, ")
    assert line.startswith(
        "error: test: 3 of 5 clips cannot be used, 20% may be (max_rejected); the first is "
    )
    assert line.endswith(": truncated")


@both
def test_none_may_be_damaged_and_not_all(copied, dataset: str) -> None:
    stage = STAGE[dataset].__name__.rpartition(".")[2]
    params = copied(**{stage: {"max_rejected": 0.0}})
    layout = load_params(params).layout
    former = digests(layout.data / dataset / "features")
    spoil(layout, dataset, "valid", range(1))
    with pytest.raises(
        InputError, match=r"^valid: 1 of 3 \w+ cannot be used, none may be \(max_reje"
    ):
        run(STAGE[dataset], dataset, params)
    spoil(layout, dataset, "valid", range(3))
    params_file(params.parent, **{stage: {"max_rejected": 0.999}})
    with pytest.raises(InputError, match=r"^valid: 3 of 3 \w+ cannot be used, 99.9% may be \(max"):
        run(STAGE[dataset], dataset, params)
    assert digests(layout.data / dataset / "features") == former


@pytest.mark.parametrize(
    ("share", "count", "most"), [(0.29, 100, 29), (0.05, 20, 1), (0.07, 100, 7), (0.57, 100, 57)]
)
def test_as_many_as_the_share_says_may_be_rejected(tmp_path, share, count, most):
    """0.29 * 100 is less than 29 in floating point."""
    params = params_file(tmp_path, frames={"max_rejected": share})
    layout = load_params(params).layout
    layout.shard("motions", 0, "").mkdir(parents=True)

    def with_rejected(number: int) -> None:
        for split, size in {"train": count - number, "valid": 1, "test": 1}.items():
            path = layout.shard("motions", 0, f"{split}.npy")
            np.save(path, np.zeros((size, 20, 16, 16, 1), np.uint8))
            labels = pd.DataFrame({"id": [str(i) for i in range(size)]})
            labels.to_parquet(path.with_suffix(".parquet"))
        own = [{"split": "train", "id": f"{i:03}", "reason": "empty"} for i in range(number)]
        path = layout.shard("motions", 0, "rejected.csv")
        pd.DataFrame(own, columns=["split", "id", "reason"]).to_csv(path, index=False)
        stages.join.main(["--dataset", "motions", "--params", str(params)])

    with_rejected(most)
    before = layout.rejected("motions").read_text()
    assert before.splitlines()[1] == "train,000,empty" and len(before.splitlines()) == most + 1
    with pytest.raises(InputError, match=f"train: {most + 1} of {count} clips cannot be used"):
        with_rejected(most + 1)
    assert layout.rejected("motions").read_text() == before


@both
def test_a_damaged_record_is_named(copied, dataset: str) -> None:
    params = copied()
    layout = load_params(params).layout
    former = digests(layout.data / dataset / "features")
    victim = record(layout, dataset, "valid")
    content = victim.read_bytes()
    unit = {"motions": "clips", "scenes": "pictures"}[dataset]
    victim.write_bytes(content[:-20])
    with pytest.raises(InputError, match=rf"^{victim} is damaged: delete the dataset and run"):
        run(STAGE[dataset], dataset, params)
    victim.write_bytes(content[: int.from_bytes(content[:8], "little") + 16])
    with pytest.raises(InputError, match=rf"^{victim} is damaged \(1 {unit} in place of 3\): del"):
        run(STAGE[dataset], dataset, params)
    victim.unlink()
    with pytest.raises(InputError, match=rf"^{victim} is missing: delete the dataset and run the"):
        run(STAGE[dataset], dataset, params)
    assert digests(layout.data / dataset / "features") == former


# workers


def test_a_worker_has_one_thread(copied, monkeypatch) -> None:
    """However many workers there are, so that their number changes no sum."""
    params = copied(threads=2)
    monkeypatch.setattr(stages.frames, "read_frames", in_workers.threads)
    run(stages.frames, "motions", params)
    for split in COUNTS["motions"]:
        found, _ = features_of(load_params(params).layout, "motions", split)
        assert set(found[found > 0].tolist()) == {1}
        assert (found.reshape(len(found), -1)[:, :3] == 1).all()


def test_workers_keep_their_memory_and_leave_the_environment_alone(copied, monkeypatch) -> None:
    params = copied(frames={"max_rejected": 0.999})
    for name in KEPT:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(stages.frames, "read_frames", in_workers.kept_memory)
    stages.frames.main(["--dataset", "motions", "--shard", "0", "--params", str(params)])
    listed = pd.read_csv(load_params(params).layout.shard("motions", 0, "rejected.csv"))
    assert set(listed["reason"]) == {" ".join(f"{name}={KEPT[name]}" for name in sorted(KEPT))}
    assert not set(KEPT) & set(os.environ)


def test_a_worker_starts_nothing_that_takes_seconds(copied, monkeypatch) -> None:
    params = copied(frames={"max_rejected": 0.999})
    monkeypatch.setattr(stages.frames, "read_frames", in_workers.loaded)
    stages.frames.main(["--dataset", "motions", "--shard", "0", "--params", str(params)])
    listed = pd.read_csv(load_params(params).layout.shard("motions", 0, "rejected.csv"))
    assert len(listed) == 18 and set(listed["reason"]) == {"none"}


@both
def test_a_stage_does_not_start_tensorflow(copied, dataset: str) -> None:
    params, stage = copied(), STAGE[dataset].__name__
    program = (
        f"import sys, {stage}; {stage}.main(sys.argv[1:]); assert 'tensorflow' not in sys.modules"
    )
    own = ["--dataset", dataset, "--shard", "0", "--params", str(params)]
    subprocess.run([sys.executable, "-c", program, *own], cwd=ROOT, check=True)


def test_a_killed_worker_is_one_line(copied, monkeypatch) -> None:
    params = copied()
    layout = load_params(params).layout
    former = digests(layout.data / "motions")
    monkeypatch.setattr(stages.frames, "read_frames", in_workers.killed)
    with pytest.raises(InputError, match=r"^train: a process that reads clips was killed at \S+: "):
        run(stages.frames, "motions", params)
    assert digests(layout.data / "motions") == former
    assert multiprocessing.active_children() == []


@pytest.mark.parametrize("at_once", [1, 4, 64])
@pytest.mark.parametrize("places", [[0], [9], [0, 1, 5], [3, 4]])
def test_clips_that_kill_their_reader_are_named_and_the_rest_goes_on(
    copied, made: Path, monkeypatch, places: list[int], at_once: int
) -> None:
    params = copied()
    layout = load_params(params).layout
    whole, labels = features_of(load_params(made).layout, "motions", "train")
    files = [e.features.feature["video"].bytes_list for e in stored(layout, "motions", "train")]
    names = [Path(file.value[0].decode()).name for file in files]
    monkeypatch.setenv("KILLERS", " ".join(names[place] for place in places))
    monkeypatch.setattr(stages.frames, "read_frames", in_workers.killed_at)
    monkeypatch.setattr(study.extraction, "CHUNK", at_once)
    run(stages.frames, "motions", params)
    left = [place for place in range(len(whole)) if place not in places]
    features, table = features_of(layout, "motions", "train")
    np.testing.assert_array_equal(features, whole[left])
    assert list(table["id"]) == list(labels["id"].iloc[left])
    rejected = pd.read_csv(layout.rejected("motions"))
    assert list(rejected["id"]) == list(labels["id"].iloc[places])
    assert set(rejected["reason"]) == {"unreadable: its decoder ended the process"}
    assert multiprocessing.active_children() == []


ENDLESS = """
import sys
sys.path.insert(0, "tests")
import in_workers, stages.frames
from study import cli, extraction
extraction.CHUNK = 1  # work for both
stages.frames.read_frames = in_workers.endless
cli.run(stages.frames.main)
"""


@pytest.fixture
def busy(copied, tmp_path, monkeypatch) -> Iterator[tuple[subprocess.Popen, list[int]]]:
    """A stage whose two workers are at work, and their process ids."""
    params, begun, shared = copied(), tmp_path / "begun", tmp_path / "shared"
    for name, folder in {"BEGUN": begun, "TMPDIR": shared}.items():
        folder.mkdir()
        monkeypatch.setenv(name, str(folder))
    own = ["--dataset", "motions", "--shard", "0", "--params", str(params), "--threads", "2"]
    stage = subprocess.Popen(
        [sys.executable, "-c", ENDLESS, *own],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )
    while len(workers := list(begun.iterdir())) < 2:
        assert stage.poll() is None, stage.communicate()[0]
        time.sleep(0.05)
    yield stage, [int(worker.name) for worker in workers]
    stage.kill()
    stage.communicate()


def gone(process: int, seconds: float = 20) -> bool:
    """Whether a process ends within so many seconds."""
    for _ in range(int(seconds / 0.05)):
        try:
            state = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0]
        except (FileNotFoundError, ProcessLookupError):
            return True
        if state == "Z":  # ended, and nobody has asked how
            return True
        time.sleep(0.05)
    return False


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_no_worker_outlives_its_stage(busy, tmp_path, number: signal.Signals) -> None:
    stage, workers = busy
    assert len(list((tmp_path / "shared").iterdir())) == 1
    stage.send_signal(number)
    stage.wait()
    assert all(gone(worker) for worker in workers)
    assert list((tmp_path / "shared").iterdir()) == []


def test_an_interrupt_is_one_line(busy) -> None:
    """Ctrl-C, which goes to all processes of a terminal."""
    stage, workers = busy
    os.killpg(stage.pid, signal.SIGINT)
    said, _ = stage.communicate(timeout=30)
    assert stage.returncode == 1
    size, line = said.splitlines()
    assert size.startswith("motions: features of 18 clips take ")
    assert line == "interrupted: outputs are whole or absent; run again to continue"
    assert all(gone(worker) for worker in workers)


# shards


@both
def test_shards_joined_are_what_one_job_makes(made, copied, dataset: str) -> None:
    """Also with more shards than inputs, and with damage in several."""
    modality = {"motions": "video", "scenes": "images"}[dataset]
    for count in (3, 11):
        params = copied()
        content = yaml.safe_load(params.read_text())
        content[modality]["shards"] = list(range(count))
        params.write_text(yaml.safe_dump(content))
        layout = load_params(params).layout
        shutil.rmtree(layout.data / dataset / "features")
        run(STAGE[dataset], dataset, params)
        own = digests(layout.data / dataset / "features")
        assert own == digests(load_params(made).layout.data / dataset / "features")
        sizes = [len(np.load(layout.shard(dataset, shard, "train.npy"))) for shard in range(count)]
        assert sum(sizes) == 10 and max(sizes) - min(sizes) <= 1
    spoil(layout, dataset, "train", (1, 8))
    spoil(layout, dataset, "test", (4,))
    run(STAGE[dataset], dataset, params)
    several = digests(layout.data / dataset / "features")
    assert [split for split, _, _ in rejected(layout, dataset)] == ["train", "train", "test"]
    content[modality]["shards"] = [0]
    params.write_text(yaml.safe_dump(content))
    run(STAGE[dataset], dataset, params)
    assert digests(layout.data / dataset / "features") == several


def test_labels_unknown_in_a_whole_shard_join_as_in_one_job(tmp_path: Path) -> None:
    tables = [
        pd.DataFrame([{"id": "a", "objects": []}]),  # a file without labels
        pd.DataFrame([{"id": "a", "pitch": None, "name": None, "objects": []}]),
        pd.DataFrame(columns=[]),
        pd.DataFrame([{"id": "b", "pitch": 3, "name": "x", "objects": [1, 2]}] * 2),
    ]
    parts = [tmp_path / f"{number}.parquet" for number in range(len(tables))]
    for part, table in zip(parts, tables, strict=True):
        table.to_parquet(part, index=False)
    study = load_params(params_file(tmp_path)).video
    assert stages.join._join_labels(parts, tmp_path / "all.parquet", study) == 4
    own = pd.read_parquet(tmp_path / "all.parquet")
    rows = [row for table in tables for row in table.to_dict("records")]
    pd.DataFrame(rows).to_parquet(tmp_path / "one.parquet", index=False)
    pd.testing.assert_frame_equal(own, pd.read_parquet(tmp_path / "one.parquet"))


def test_a_shard_that_is_missing_unknown_or_of_another_size(copied, capsys) -> None:
    params = copied()
    layout = load_params(params).layout
    with pytest.raises(InputError, match=r"--shard 1: use one of the params file's: \[0\]"):
        stages.frames.main(["--dataset", "motions", "--shard", "1", "--params", str(params)])
    path = layout.shard("motions", 0, "test.npy")
    np.save(path, np.zeros((5, 20, 8, 8, 1), np.uint8))
    former = digests(layout.data / "motions" / "features")
    join = ["--dataset", "motions", "--params", str(params)]
    with pytest.raises(InputError, match=r"holds clips of \(20, 8, 8, 1\), the params file asks"):
        stages.join.main(join)
    path.unlink()
    with pytest.raises(InputError, match=f"{path} does not exist: run the stage frames first"):
        stages.join.main(join)
    assert digests(layout.data / "motions" / "features") == former


def test_a_disk_too_small_is_told_before_the_work(copied, monkeypatch) -> None:
    params = copied()
    usage = SimpleNamespace(free=18 * 20 * 16 * 16 - 1)
    monkeypatch.setattr(study.files.shutil, "disk_usage", lambda path: usage)
    with pytest.raises(InputError, match=r"shards/0: the disk has 0 MiB, and motions: features of"):
        run(stages.frames, "motions", params)
    with pytest.raises(InputError, match=r"features: the disk has 0 MiB, and motions: features ta"):
        stages.join.main(["--dataset", "motions", "--params", str(params)])
    usage.free += 2000  # for the heads of the files
    stages.join.main(["--dataset", "motions", "--params", str(params)])
    content = yaml.safe_load(params.read_text())
    content["video"]["shards"] = [0, 1]  # the second is yet to be made
    params.write_text(yaml.safe_dump(content))
    usage.free = 2 * 8 * 20 * 16 * 16 - 1
    own = ["--dataset", "motions", "--shard", "0", "--params", str(params)]
    with pytest.raises(InputError, match="8 clips, in shard 0 of 2 and as many in each of 1 to "):
        stages.frames.main(own)


# mistakes


def test_datasets_and_stages_that_do_not_go_together(tmp_path: Path) -> None:
    params = params_file(tmp_path)
    for stage, name, said in (
        (
            stages.frames,
            "scenes",
            "--dataset scenes: its stage is pictures, not frames",
        ),
        (
            stages.pictures,
            "motions",
            "--dataset motions: its stage is frames, not pictures",
        ),
        (
            stages.frames,
            "notes",
            "--dataset notes: its stage is spectrograms, not frames",
        ),
        (stages.frames, "motions", "tfds does not exist: run the stage dataset first"),
        (stages.pictures, "scenes", "tfds does not exist: run the stage dataset first"),
    ):
        with pytest.raises(InputError, match=said):
            run(stage, name, params)
    content = yaml.safe_load(params.read_text())
    for section in ("video", "motions"):
        del content[section]
    params.write_text(yaml.safe_dump(content))
    with pytest.raises(InputError, match="dataset motions: the params file has notes, scenes"):
        run(stages.frames, "motions", params)
    with pytest.raises(InputError, match=f"{params} has no section motions"):
        run(stages.dataset, "motions", params)


def test_workers_say_why_there_is_nothing(tmp_path: Path) -> None:
    """What runs in a worker returns an array or a few words; it raises nothing for bad files."""
    assert read_frames(tmp_path / "none.mp4", 4, 16, 0, "rgb", "keep") == "missing"
    assert read_picture(b"", 16, "rgb") == "empty"
    film = np.random.default_rng(0).integers(0, 256, (5, 32, 32, 3), np.uint8)
    path = tmp_path / "clip.mp4"
    write_video(film, path)
    assert read_frames(path, 6, 16, 0, "rgb", "keep") == "5 frames, fewer than 6"
    assert np.array_equal(read_frames(path, 5, 16, 0, "rgb", "keep"), read_clip(path, 5, 16))
    still = read_frames(path, 5, 16, 0, "grey", "subtract")
    assert still.shape == (5, 16, 16, 1)
    assert (np.median(still.astype(int), axis=0) == 128).all()
    content = saved(film[0], "PNG")
    assert np.array_equal(read_picture(content, 16, "rgb"), read_image(content, 16))
    assert read_picture(content, 16, "grey").shape == (16, 16, 1)
