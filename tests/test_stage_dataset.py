"""The stages dataset and spectrograms, on a few notes."""

import hashlib
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import tensorflow as tf
import yaml
from tiny_soundfont import Preset, write
from tiny_soundfont import soundfont as soundfont_of

import stages.dataset
import stages.join
import stages.spectrograms
from shuffle_to_learn.datasets import soundfont
from shuffle_to_learn.datasets.instruments import melodic
from shuffle_to_learn.features.spectrogram import log_mel
from study.errors import InputError
from study.loading import load_params
from study.paths import SPLITS

ROOT = Path(__file__).parent.parent
TINY = {"instruments": 6, "pitch_min": 36, "pitch_max": 84, "pitch_step": 6}


@pytest.fixture(scope="module", autouse=True)
def _tensorflow_is_up():
    """The stages set threads only before TensorFlow starts: here it starts once."""
    patch = pytest.MonkeyPatch()
    patch.setattr(stages.dataset, "start_tensorflow", lambda threads: None)
    patch.setenv("TF_CPP_MIN_LOG_LEVEL", "3")
    patch.delenv("OMP_NUM_THREADS", raising=False)
    yield
    patch.undo()


def params_file(folder, threads, **notes):
    content = yaml.safe_load((ROOT / "params.yaml").read_text())
    content["paths"] = {"data": str(folder / "data"), "results": str(folder / "results")}
    content["notes"] |= TINY | notes
    content["threads"] |= {"dataset": threads, "spectrograms": threads}
    path = folder / "params.yaml"
    path.write_text(yaml.safe_dump(content))
    return path


def extract(path):
    stages.spectrograms.main(["--dataset", "notes", "--shard", "0", "--params", str(path)])
    stages.join.main(["--dataset", "notes", "--params", str(path)])


def command(stage, path):
    shard = ["--shard", "0"] if stage == "spectrograms" else []
    return subprocess.run(
        [sys.executable, "-m", f"stages.{stage}", "--dataset", "notes", *shard, "--params", path],
        cwd=ROOT,
        capture_output=True,
        text=True,
    )


@pytest.fixture(scope="module")
def tiny(tmp_path_factory):
    path = params_file(tmp_path_factory.mktemp("tiny"), threads=2)
    stages.dataset.main(["--dataset", "notes", "--params", str(path)])
    extract(path)
    return path


@pytest.fixture(scope="module")
def layout(tiny):
    return load_params(tiny).layout


@pytest.fixture(scope="module")
def manifest(layout):
    return pd.read_parquet(layout.manifest("notes"))


@pytest.fixture(scope="module")
def examples(layout):
    """Every example by split, read as a user would."""
    import tensorflow_datasets as tfds

    splits = tfds.load("notes", data_dir=layout.dataset("notes"))
    return {split: list(tfds.as_numpy(splits[split])) for split in SPLITS}


def digests(folder):
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def test_same_bytes_in_another_process_with_one_worker(tiny, tmp_path):
    path = params_file(tmp_path, threads=1)
    done = command("dataset", path)
    assert done.returncode == 0, done.stderr
    assert "notes: kept" in done.stderr.splitlines()[-1]
    assert done.stdout == ""
    extract(path)
    once, again = digests(tiny.parent / "data"), digests(tmp_path / "data")
    assert once == again
    assert len(once) == 23
    rejected = tmp_path / "data" / "notes" / "features" / "rejected.csv"
    assert rejected.read_text() == "split,id,reason\n"


def test_nothing_is_left_over(layout):
    names = {path.name for path in (layout.data / "notes").rglob("*")}
    assert not [name for name in names if name.startswith(".") or "tmp" in name]
    assert "downloads" not in names


def test_manifest(manifest):
    assert len(manifest) == 6 * 9
    assert manifest.id.is_unique
    assert ((manifest.split == "") == (manifest.reason != "")).all()
    assert (manifest.kept == (manifest.reason == "")).all()
    kept = manifest[manifest.kept]
    assert (abs(kept.heard_pitch - kept.pitch) <= 0.5).all()
    assert kept.peak_dbfs.between(-60, 0).all()
    assert set(manifest.velocity) <= {25, 50, 75, 100, 127}
    assert kept.instrument.nunique() >= 4


def test_splits_are_by_note(manifest):
    kept = manifest[manifest.kept]
    assert not kept.duplicated(["instrument", "pitch"]).any()
    table = pd.crosstab(kept.instrument, kept.split)
    assert list(table.columns) == ["test", "train", "valid"]
    assert (table > 0).all(axis=None)


def test_dataset_holds_what_the_manifest_says(examples, manifest):
    for split, notes in examples.items():
        rows = manifest[manifest.split == split].set_index("id")
        assert sorted(note["id"].decode() for note in notes) == sorted(rows.index)
        for note in notes:
            row = rows.loc[note["id"].decode()]
            assert (note["pitch"], note["velocity"]) == (row.pitch, row.velocity)
            assert note["audio"].shape == (64_000,)
            assert note["audio"].dtype == np.float32
            assert 20 * np.log10(np.abs(note["audio"]).max()) == pytest.approx(row.peak_dbfs)


def test_audio_is_the_note(examples, manifest):
    renderer, played = soundfont.Renderer(), {i.program: i for i in melodic()}
    rows = manifest.set_index("id")
    for note in examples["test"]:
        row = rows.loc[note["id"].decode()]
        np.testing.assert_array_equal(
            note["audio"], renderer.note(played[row.program], row.pitch, row.velocity)
        )


def test_labels_decode_to_names(examples, manifest, layout):
    import tensorflow_datasets as tfds

    (info,) = layout.dataset("notes").glob("**/dataset_info.json")
    features = tfds.builder_from_directory(info.parent).info.features["instrument"]
    assert set(features["label"].names) == set(manifest[manifest.kept].instrument)
    rows = manifest.set_index("id")
    for note in examples["valid"]:
        row = rows.loc[note["id"].decode()]
        assert features["label"].int2str(note["instrument"]["label"]) == row.instrument
        assert features["family"].int2str(note["instrument"]["family"]) == row.family
        assert features["source"].int2str(note["instrument"]["source"]) == row.source


def test_features_are_the_spectrograms_of_the_labelled_notes(tiny, layout, examples, manifest):
    settings = load_params(tiny).audio.spectrograms
    for split in SPLITS:
        images = np.load(layout.features("notes", split), allow_pickle=False)
        labels = pd.read_parquet(layout.labels("notes", split))
        assert images.shape == (len(labels), settings.n_mels, settings.frames)
        assert images.dtype == np.float16
        audio = {note["id"].decode(): note["audio"] for note in examples[split]}
        for image, row in zip(images, labels.itertuples(), strict=True):
            expected = log_mel(audio[row.id], sample_rate=16_000, **settings.model_dump())
            np.testing.assert_allclose(image, expected, atol=1e-3)
        joined = labels.merge(manifest, on="id", suffixes=("", "_"), validate="1:1")
        assert len(joined) == len(labels)
        assert (joined.pitch == joined.pitch_).all()
        assert (joined.velocity == joined.velocity_).all()
        assert (joined.instrument_name == joined.instrument_).all()
        assert (joined.family_name == joined.family_).all()
        assert (joined.source == joined.source_).all()


def copy(tiny, tmp_path):
    shutil.copytree(tiny.parent, tmp_path, dirs_exist_ok=True)
    path = params_file(tmp_path, threads=2)
    return path, load_params(path).layout


def record(layout, split="train"):
    (path,) = layout.dataset("notes").glob(f"**/notes-{split}.tfrecord-*")
    return path


def test_a_truncated_record_is_one_line(tiny, tmp_path):
    path, layout = copy(tiny, tmp_path)
    before = digests(layout.data / "notes" / "features")
    damaged = record(layout)
    damaged.write_bytes(damaged.read_bytes()[:-1000])
    done = command("spectrograms", path)
    assert done.returncode == 1
    size, *shown, error = done.stderr.splitlines()
    assert size.startswith("notes: features of 44 notes take 0 MiB of disk")
    assert all(line.startswith("train: ") for line in shown)
    assert error.startswith(f"error: {damaged} is damaged")
    assert "run the stage dataset again" in error
    assert digests(layout.data / "notes" / "features") == before


def test_other_damage_is_named(tiny, tmp_path):
    path, layout = copy(tiny, tmp_path)
    victim = record(layout, "valid")
    content = victim.read_bytes()

    victim.write_bytes(content[: len(content) // 2] + b"\0" * 100 + content[len(content) // 2 :])
    with pytest.raises(InputError, match=rf"{victim} is damaged"):
        extract(path)

    # Cut between two records, where TensorFlow sees nothing wrong.
    length = int.from_bytes(content[:8], "little") + 16
    victim.write_bytes(content[:length])
    with pytest.raises(InputError, match=rf"{victim} is damaged \(1 notes in place of"):
        extract(path)

    victim.unlink()
    with pytest.raises(InputError, match=rf"{victim} is missing"):
        extract(path)

    (info,) = layout.dataset("notes").glob("**/dataset_info.json")
    whole = info.read_text()
    info.write_text(whole[:50])
    with pytest.raises(InputError, match=r"is damaged .*run the stage dataset again"):
        extract(path)
    info.write_text(whole.replace('"valid"', '"other"'))
    with pytest.raises(InputError, match="no split valid"):
        extract(path)
    info.unlink()
    with pytest.raises(InputError, match="does not hold one dataset_info"):
        extract(path)
    shutil.rmtree(layout.dataset("notes"))
    with pytest.raises(InputError, match="run the stage dataset first"):
        extract(path)


@pytest.mark.parametrize(
    ("sound", "said"),
    [
        (bytes(4 * 63_999), r" \(63999 samples in place of 64000\)"),
        (bytes(4 * 64_000 - 1), ""),
        (b"", r" \(0 samples in place of 64000\)"),
    ],
)
def test_a_note_that_is_no_note_is_told(tiny, tmp_path, sound, said):
    """Whole records, whose checksums agree."""
    path, layout = copy(tiny, tmp_path)
    before = digests(layout.data / "notes" / "features")
    victim = record(layout, "test")
    raw = [one.numpy() for one in tf.data.TFRecordDataset(str(victim))]
    example = tf.train.Example.FromString(raw[1])
    example.features.feature["audio"].bytes_list.value[0] = sound
    raw[1] = example.SerializeToString()
    with tf.io.TFRecordWriter(str(victim)) as file:
        for one in raw:
            file.write(one)
    with pytest.raises(InputError, match=rf"^{victim} is damaged{said}: delete the dataset and"):
        extract(path)
    assert digests(layout.data / "notes" / "features") == before


def test_settings_that_do_not_fit_the_notes(tiny, tmp_path):
    path, _ = copy(tiny, tmp_path)
    content = yaml.safe_load(path.read_text())
    content["audio"]["spectrograms"]["frames"] = 70
    path.write_text(yaml.safe_dump(content))
    with pytest.raises(InputError, match=r"audio.spectrograms.frames: 70 is more than the 63 "):
        extract(path)


def test_no_good_instrument(tmp_path):
    path = params_file(tmp_path, 1, instruments=2, pitch_min=60, pitch_max=61, pitch_step=1)
    with pytest.raises(InputError, match="no instrument has enough good notes"):
        stages.dataset.main(["--dataset", "notes", "--params", str(path)])
    assert not load_params(path).layout.dataset("notes").exists()


def test_an_unknown_dataset(tiny):
    known = "notes, motions, scenes, folder, nsynth_full"
    with pytest.raises(InputError, match=f"unknown dataset 'nsynht': use one of {known}"):
        stages.dataset.main(["--dataset", "nsynht", "--params", str(tiny)])
    with pytest.raises(
        InputError, match="dataset nsynht: the params file has notes, motions, scenes"
    ):
        stages.spectrograms.main(["--dataset", "nsynht", "--shard", "0", "--params", str(tiny)])


# Soundfonts of your own

TIMBRES = [(1.0, 0.5), (1.0, 0.0, 0.8), (0.5, 1.0, 0.7)]


def own_params(folder, *fonts, **notes):
    settings = {"soundfonts": [str(font) for font in fonts], "pitch_min": 48, "pitch_step": 4}
    return params_file(folder, 1, **{**settings, "pitch_max": 72, "instruments": 9, **notes})


def test_a_dataset_of_two_soundfonts_at_several_velocities(tmp_path):
    """Every melodic preset is in it; no note, whatever its velocity, is on two sides."""
    first = write(
        tmp_path / "first.sf2",
        [
            Preset(0, 0, "Alto Sax", TIMBRES[0]),
            Preset(0, 1, "Zorblax", TIMBRES[1], (1.0, 0.7, 0.3)),
            Preset(128, 0, "Standard", TIMBRES[2]),
        ],
    )
    second = write(
        tmp_path / "second.sf3",
        [Preset(0, 40, "Violin", TIMBRES[2]), Preset(8, 40, "Violin", TIMBRES[0])],
        vorbis=True,
    )
    path = own_params(tmp_path, first, second, velocities=5)
    stages.dataset.main(["--dataset", "notes", "--params", str(path)])
    extract(path)
    layout = load_params(path).layout
    manifest = pd.read_parquet(layout.manifest("notes"))
    assert len(manifest) == 4 * 5 * 7
    assert set(manifest.soundfont) == {"first.sf2", "second.sf3"}
    twin = manifest[manifest.bank == 8]  # as the first soundfont has it
    assert set(twin.reason) == {"duplicate of reed_acoustic_000"}
    kept = manifest[manifest.kept]
    assert set(kept.instrument) == {
        "reed_acoustic_000",
        "other_synthetic_001",
        "string_acoustic_040_font_2",
    }
    counts = kept.groupby(["instrument", "pitch"]).size()
    assert (counts["other_synthetic_001"] == 2).all()  # its two layers
    assert (counts.drop("other_synthetic_001") == 1).all()
    assert (kept.groupby(["instrument", "pitch"]).split.nunique() == 1).all()
    assert (pd.crosstab(kept.instrument, kept.split) > 0).all(axis=None)
    rest = manifest[(manifest.bank != 8) & ~manifest.kept]
    assert set(rest.reason) == {"velocity"}
    labels = pd.concat([pd.read_parquet(layout.labels("notes", split)) for split in SPLITS])
    joined = labels.merge(manifest, on="id", suffixes=("", "_"), validate="1:1")
    assert len(joined) == len(kept)
    assert (joined.instrument_name == joined.instrument_).all()
    assert (joined.family_name == joined.family_).all()


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (None, "{} does not exist (make soundfonts fetches one)"),
        (b"not a soundfont", "{} is no soundfont (.sf2 or .sf3)"),
        (soundfont_of([Preset(0, 0, "Piano")])[:-9], "{} is cut off: it has"),
        (soundfont_of([Preset(128, 0, "Standard")]), "{} has no melodic presets"),
        (soundfont_of([Preset(0, 0, "Piano", (0.0,))]), "{} plays silence"),
        (soundfont_of([Preset(0, 0, "Piano", keys=(5, 9))]), "{} plays silence"),
        (
            soundfont_of([Preset(0, 0, "Piano")], vorbis=True).replace(b"vorbis", b"norbis"),
            "{} is damaged: it cannot be loaded",
        ),
    ],
)
def test_a_soundfont_that_is_of_no_use_is_told_in_a_line(tmp_path, content, said):
    good = write(tmp_path / "good.sf2", [Preset(0, 0, "Piano")])
    bad = tmp_path / "bad.sf2"
    if content is not None:
        bad.write_bytes(content)
    path = own_params(tmp_path, good, bad)
    with pytest.raises(InputError) as told:
        stages.dataset.main(["--dataset", "notes", "--params", str(path)])
    assert str(told.value).startswith(f"notes.soundfonts: {said.format(bad)}")
    assert "\n" not in str(told.value)
    assert not (load_params(path).layout.data / "notes").exists()


def abort(*_):
    os.abort()


def test_a_soundfont_that_ends_the_process_is_told(tmp_path, monkeypatch):
    """Some damaged files do: what the lists of samples point at is not checked in C."""
    path = own_params(tmp_path, write(tmp_path / "a.sf2", [Preset(0, 0, "Piano")]))
    monkeypatch.setattr(soundfont, "sounds", abort)
    with pytest.raises(InputError, match=r"notes.soundfonts: .*a.sf2 ends the process that loads"):
        stages.dataset.main(["--dataset", "notes", "--params", str(path)])


def test_a_folder_is_no_soundfont(tmp_path):
    path = own_params(tmp_path, tmp_path)
    with pytest.raises(InputError, match=rf"notes.soundfonts: {tmp_path} is no file"):
        stages.dataset.main(["--dataset", "notes", "--params", str(path)])
