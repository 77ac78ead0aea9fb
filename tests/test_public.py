"""The paper's datasets, as their own loaders prepare them from tiny files of the same formats."""

from __future__ import annotations

import io
import json
import tarfile
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path

import cv2
import numpy as np
import pandas as pd
import pytest
import tensorflow_datasets as tfds
import yaml
from conftest import tiny_content
from test_folder import call, refusal, tone

import stages.dataset
import stages.frames
import stages.join
import stages.pictures
import stages.spectrograms
from shuffle_to_learn.datasets import public
from stages import site
from study import records, sources
from study.errors import InputError
from study.loading import load_params
from study.sources import open_prepared

SEED, HELD_OUT = 3, 0.25
EXTRACTIONS = {"audio": stages.spectrograms, "video": stages.frames, "images": stages.pictures}
OWN = {
    "audio": "nsynth_full",
    "video": "something_something_v2",
    "images": "imagenet_voc",
}


def nsynth(data_dir: Path) -> None:
    """A dataset with the features of TFDS's builder, whose splits share no instrument."""
    features = tfds.builder("nsynth/full", data_dir=data_dir, try_gcs=False).info.features
    names = features["instrument"]["label"].names
    rng = np.random.default_rng(0)

    def examples(split: str, count: int, instruments: range):
        for number in range(count):
            instrument = instruments[number % len(instruments)]
            pitch = int(rng.integers(40, 80))
            sound = tone(440 * 2 ** ((pitch - 69) / 12), 4.0, 16_000)
            sound += tone(440 * (2 + instrument % 5), 4.0, 16_000)
            yield {
                "id": f"{names[instrument]}-{split}-{number:03}",
                "audio": (sound / 4 + 0.01 * rng.normal(size=64_000)).astype(np.float32),
                "pitch": pitch,
                "velocity": 100,
                "instrument": {"label": instrument, "family": instrument % 3, "source": 0},
                "qualities": dict.fromkeys(features["qualities"], False),
            }

    splits = {
        "train": list(examples("train", 140, range(4))),
        "valid": list(examples("valid", 18, range(4, 7))),
        "test": list(examples("test", 21, range(7, 10))),
    }
    written = data_dir / "nsynth" / "full" / "2.3.3"
    written.mkdir(parents=True)
    writer = tfds.core.SequentialWriter(
        tfds.core.DatasetInfo(
            builder=tfds.core.dataset_info.DatasetIdentity(
                name="nsynth",
                version=tfds.core.Version("2.3.3"),
                data_dir=str(written),
                module_name="",
                config_name="full",
            ),
            features=features,
        ),
        max_examples_per_shard=1000,
        overwrite=True,
    )
    writer.initialize_splits(list(splits))
    writer.add_examples(splits)
    writer.close_all()


def something_something(data_dir: Path) -> None:
    """A folder as it is downloaded: real webm files and JSON files."""
    folder = data_dir / "downloads" / "manual" / "something_something_v2"
    videos = folder / "20bn-something-something-v2"
    videos.mkdir(parents=True)
    (folder / "labels").mkdir()
    labels = {"Moving something to the right": "0", "Moving something to the left": "1"}
    (folder / "labels" / "labels.json").write_text(json.dumps(labels))
    for split, first, count in (("train", 0, 60), ("validation", 60, 24)):
        clips = []
        for number in range(first, first + count):
            right = number % 2 == 0
            writer = cv2.VideoWriter(
                str(videos / f"{number}.webm"), cv2.VideoWriter.fourcc(*"VP80"), 12, (32, 24)
            )
            for place in range(2, 26, 2) if right else range(24, 0, -2):
                frame = np.full((24, 32, 3), 40 + number, np.uint8)
                frame[:, place : place + 5] = 220
                writer.write(frame)
            writer.release()
            template = f"Moving [something] to the {'right' if right else 'left'}"
            label = f"moving a bar to the {'right' if right else 'left'}"
            own = {"id": str(number), "label": label, "template": template}
            clips.append({**own, "placeholders": ["a bar"]})
        (folder / "labels" / f"{split}.json").write_text(json.dumps(clips))


def jpeg(rng: np.random.Generator, there: np.ndarray) -> bytes:
    x = np.linspace(20, 120, 60)[:, None, None] + rng.integers(0, 15, (60, 80, 3))
    for place in np.flatnonzero(there):
        x[:, 26 * place : 26 * place + 10, place] += 100
    return cv2.imencode(".jpg", x.astype(np.uint8))[1].tobytes()


def add(archive: tarfile.TarFile, name: str, content: bytes) -> None:
    info = tarfile.TarInfo(name)
    info.size = len(content)
    archive.addfile(info, io.BytesIO(content))


def imagenet(data_dir: Path) -> None:
    """ImageNet's two archives, prepared by TFDS's own builder."""
    manual = data_dir / "downloads" / "manual"
    manual.mkdir(parents=True)
    rng = np.random.default_rng(0)
    with tarfile.open(manual / "ILSVRC2012_img_train.tar", "w") as outer:
        for synset in ("n01440764", "n01443537"):
            content = io.BytesIO()
            with tarfile.open(fileobj=content, mode="w") as inner:
                for number in range(20):
                    add(inner, f"{synset}_{number}.JPEG", jpeg(rng, rng.random(3) < 0.5))
            add(outer, f"{synset}.tar", content.getvalue())
    with tarfile.open(manual / "ILSVRC2012_img_val.tar", "w") as outer:
        for number in range(16):
            name = f"ILSVRC2012_val_{number + 1:08}.JPEG"
            add(outer, name, jpeg(rng, rng.random(3) < 0.5))
    builder = tfds.builder("imagenet2012", data_dir=data_dir, try_gcs=False)
    config = tfds.download.DownloadConfig(manual_dir=manual, try_download_gcs=False)
    builder.download_and_prepare(download_dir=data_dir / "downloads", download_config=config)


def voc(data_dir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """VOC's folders, as they come out of its archives, prepared by TFDS's own builder."""
    names = ("cat", "dog", "car")
    root = data_dir / "extracted" / "VOCdevkit" / "VOC2012"
    for folder in ("ImageSets/Main", "JPEGImages", "Annotations"):
        (root / folder).mkdir(parents=True)
    rng = np.random.default_rng(1)
    for name, count in (("train", 60), ("val", 30), ("test", 3)):
        ids = [f"2012_{name}_{number:03}" for number in range(count)]
        (root / "ImageSets" / "Main" / f"{name}.txt").write_text("\n".join(ids) + "\n")
        for image in ids:
            there = rng.random(3) < 0.5
            (root / "JPEGImages" / f"{image}.jpg").write_bytes(jpeg(rng, there))
            objects = "".join(
                f"<object><name>{names[place]}</name><pose>Frontal</pose><truncated>0</truncated>"
                "<difficult>0</difficult><bndbox><xmin>1</xmin><ymin>1</ymin><xmax>9</xmax>"
                "<ymax>9</ymax></bndbox></object>"
                for place in np.flatnonzero(there)
            )
            (root / "Annotations" / f"{image}.xml").write_text(
                "<annotation><size><width>80</width><height>60</height></size>"
                f"{objects}</annotation>"
            )
    extracted = {"trainval": data_dir / "extracted", "test": data_dir / "extracted"}
    manager = tfds.download.DownloadManager
    monkeypatch.setattr(manager, "download_and_extract", lambda self, urls: extracted)
    builder = tfds.builder("voc/2012", data_dir=data_dir, try_gcs=False)
    config = tfds.download.DownloadConfig(try_download_gcs=False)
    builder.download_and_prepare(download_dir=data_dir / "downloads", download_config=config)
    monkeypatch.undo()


def make(modality: str, data_dir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    if modality == "audio":
        nsynth(data_dir)
    elif modality == "video":
        something_something(data_dir)
    else:
        imagenet(data_dir)
        voc(data_dir, monkeypatch)


def params_file(
    folder: Path, modality: str, change: Callable[[dict], None] = lambda content: None
) -> Path:
    content = tiny_content(folder)
    content["threads"] = dict.fromkeys(content["threads"], 1)
    for other in {"audio", "video", "images"} - {modality}:
        del content[other]
    own, name = content[modality], OWN[modality]
    own |= {"dataset": name, "seeds": [0]}
    own |= {"methods": ["random", "mse"], "shards": [0, 1, 2]}
    own["downstream"] |= {
        "n_examples": [12, 20],
        "steps": 200,
        "others": own["downstream"]["others"],
    }
    own["downstream"]["others"] |= {"probes": [], "n_examples": []}
    own["end_to_end"] |= {"methods": [], "seeds": [], "n_examples": []}
    content[name] = {
        "data_dir": str(folder / "tfds"),
        "held_out_share": HELD_OUT,
        "seed": SEED,
    }
    if modality == "audio":
        own["spectrograms"] |= {"n_fft": 1024, "hop_length": 4096, "f_max": 8000.0}
    change(content)
    path = folder / "params.yaml"
    path.write_text(yaml.safe_dump(content))
    return path


@pytest.fixture(autouse=True)
def _threads(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)


def test_places_are_even_and_of_the_id_and_the_seed_alone() -> None:
    places = np.array([public.place(f"note-{n}".encode(), 0) for n in range(4000)])
    assert places.min() >= 0 and places.max() < 1
    counts, _ = np.histogram(places, bins=20, range=(0, 1))
    assert np.sum((counts - 200) ** 2 / 200) < 43.8  # chi squared of 19, 0.1 %
    assert public.place(b"a", 0) == public.place(b"a", 0) != public.place(b"a", 1)


@pytest.mark.parametrize("name", public.SPLITS)
def test_no_example_is_in_two_splits_and_none_is_left_out(name: str) -> None:
    taken: dict[tuple[str, str], list[tuple[float, float]]] = {}
    for parts in public.SPLITS[name](0.1).values():
        for part in parts:
            assert part.dataset in public.PREPARE and part.dataset in public.IDS
            assert part.split in public.COUNTS[part.dataset]
            taken.setdefault((part.dataset, part.split), []).append((part.low, part.high))
    for ranges in taken.values():
        ends = sorted(ranges)
        assert ends[0][0] == 0.0 and ends[-1][1] == 1.0
        assert all(a[1] == b[0] for a, b in pairwise(ends))


@pytest.mark.parametrize("modality", ["audio", "video", "images"])
def test_features_of_what_its_own_loader_prepared(
    tmp_path: Path, modality: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    make(modality, tmp_path / "tfds", monkeypatch)
    path = params_file(tmp_path, modality)
    params = load_params(path)
    study, layout, name = params.study(modality), params.layout, OWN[modality]

    with monkeypatch.context() as patch:  # not one record is read: ImageNet has 144 GB of them
        for reader in ("_offsets", "read"):
            patch.setattr(records, reader, None)
        call(stages.dataset, "--dataset", name, "--params", path)
    for shard in map(str, study.shards):
        call(EXTRACTIONS[modality], "--dataset", name, "--shard", shard, "--params", path)
    call(stages.join, "--dataset", name, "--params", path)
    tables = {split: pd.read_parquet(layout.labels(name, split)) for split in study.splits}
    for split, table in tables.items():
        assert len(np.load(layout.features(name, split))) == len(table) > 0
    sizes = {split: len(table) for split, table in tables.items()}
    ids = [set(tables[split]["id"]) for split in ("train", "valid", "test")]
    assert not (ids[0] & ids[1]) | (ids[0] & ids[2]) | (ids[1] & ids[2])
    manifest = pd.read_parquet(layout.manifest(name))
    assert list(manifest.columns) == ["dataset", "of_split", "low", "high", "examples", "split"]
    assert set(manifest["split"]) == set(study.splits)
    # The page counts what was extracted, whatever the manifest says.
    contents = site.contents(params, study)
    assert {split: count for split, count, _ in contents["splits"]} == sizes
    assert contents["kept"] == contents["total"] == sum(sizes.values())
    assert contents["groups"] and not contents["rejected"]

    if modality == "audio":
        test = tables["test"]
        official = test["id"].str.contains("-test-")
        assert official.sum() == 21 and (~official).sum() > 10
        assert test.loc[official, "instrument"].isna().all()
        assert test.loc[~official, "instrument"].isin(tables["train"]["instrument"]).all()
        assert test.loc[~official, ["family", "pitch"]].isna().all(axis=None)
        assert test.loc[official, ["family", "pitch"]].notna().all(axis=None)
        assert sum(sizes.values()) == 140 + 18 + 21
    elif modality == "video":
        assert sizes["test"] == 24 and sizes["train"] + sizes["valid"] == 60
        right = tables["test"]["id"].astype(int) % 2 == 0
        assert (tables["test"].loc[right, "action_name"] == "Moving something to the right").all()
        assert set(tables["test"]["action"]) == {0, 1}
    else:
        assert sizes["pretrain"] == 40 and sizes["pretrain_valid"] == 16
        assert sizes["test"] == 30 and sizes["train"] + sizes["valid"] == 60
        found = {name for own in tables["test"]["objects_names"] for name in own}
        assert found == {"cat", "dog", "car"}


@pytest.mark.parametrize("modality", ["audio", "video", "images"])
def test_absent_data_is_told_with_the_places_expected(tmp_path: Path, modality: str) -> None:
    path = params_file(tmp_path, modality)
    line = refusal(stages.dataset, "--dataset", OWN[modality], "--params", path)
    folder = tmp_path / "tfds"
    wanted = {
        "audio": [f"{folder}/nsynth/full", f"tfds build nsynth/full --data_dir={folder}"],
        "video": [
            f"{folder}/downloads/manual/something_something_v2/labels/labels.json",
            "20bn-something-something-v2",
        ],
        "images": [
            "ILSVRC2012_img_train.tar",
            "ILSVRC2012_img_val.tar",
            f"{folder}/downloads/manual",
            f"tfds build imagenet2012 --data_dir={folder}",
        ],
    }[modality]
    for text in wanted:
        assert text in line
    assert not (tmp_path / "data" / OWN[modality] / "tfds").exists()


@pytest.mark.parametrize(
    ("folders", "opened"),
    [
        (["incomplete.RK5PRU_2.3.3", "2.3.3"], "2.3.3"),
        (["2.3.3.bak", "2.3.3", "2.10.0", "2.9.0"], "2.10.0"),
        (["incomplete.RK5PRU_2.3.3"], None),
    ],
)
def test_what_tfds_leaves_behind_is_no_version(
    tmp_path: Path, monkeypatch, folders: list[str], opened: str | None
) -> None:
    for name in folders:
        (tmp_path / "nsynth/full" / name).mkdir(parents=True)
        (tmp_path / "nsynth/full" / name / "dataset_info.json").write_text("{}")
    monkeypatch.setattr(sources, "_open", lambda folder, otherwise: folder.name)
    if opened:
        assert open_prepared(tmp_path / "none", tmp_path, "nsynth/full") == opened
    else:
        with pytest.raises(InputError, match="holds no dataset that TFDS prepared"):
            open_prepared(tmp_path / "none", tmp_path, "nsynth/full")


def test_videos_that_are_not_there_are_told(tmp_path: Path) -> None:
    something_something(tmp_path / "tfds")
    folder = tmp_path / "tfds/downloads/manual/something_something_v2/20bn-something-something-v2"
    for video in folder.iterdir():
        video.unlink()
    path = params_file(tmp_path, "video")
    call(stages.dataset, "--dataset", "something_something_v2", "--params", path)
    own = ["--dataset", "something_something_v2", "--params", path]
    for shard in range(3):
        call(stages.frames, *own, "--shard", str(shard))
    line = refusal(stages.join, *own)
    assert "cannot be used" in line and "missing" in line
