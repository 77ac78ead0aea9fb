"""The same study on files of one's own: recordings, clips and pictures."""

from __future__ import annotations

import os
import unicodedata
from collections.abc import Callable
from functools import partial
from pathlib import Path

import cv2
import matplotlib
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
import soundfile
import yaml
from conftest import tiny_content
from hypothesis import assume, given
from hypothesis import strategies as st
from tensorflow_datasets.core import shuffle

import stages.claims
import stages.dataset
import stages.downstream
import stages.embed
import stages.end_to_end
import stages.examples
import stages.figures
import stages.frames
import stages.join
import stages.labels
import stages.listing
import stages.pictures
import stages.pretrain
import stages.scores
import stages.site
import stages.spectrograms
import stages.tables
import tools.check
import tools.embed_files
import tools.reorder
from shuffle_to_learn.datasets import folder as library
from shuffle_to_learn.datasets import tree
from study import cli
from study.datasets.labels import read_labels
from study.drawing import rc, save
from study.errors import InputError
from study.loading import load_params
from study.results import SCORES
from study.tasks import ANSWERS, as_table, read_tasks

RATE = 8000
SECONDS = 1.0


def tone(hertz: float, seconds: float, rate: int) -> np.ndarray:
    return 0.5 * np.sin(2 * np.pi * hertz * np.arange(round(seconds * rate)) / rate)


def recordings(folder: Path) -> dict[str, str]:
    """Sounds of four species, of other rates, channels, lengths and kinds; file and species."""
    rng = np.random.default_rng(0)
    species_of = {}
    for number in range(48):
        species = number % 4
        rate = (8000, 11025, 22050)[number % 3]
        suffix = ("wav", "flac", "ogg", "mp3")[number // 4 % 4]
        sound = tone(400 * (species + 1), 2.0 + 0.6 * (number % 2), rate)
        sound += 0.02 * rng.normal(size=len(sound))
        if number % 5 == 0:
            sound = np.stack([sound, sound], axis=1)
        file = f"site{number % 2}/{number:02}.{suffix}"
        (folder / file).parent.mkdir(parents=True, exist_ok=True)
        soundfile.write(folder / file, sound, rate)
        species_of[file] = f"species, {species}"
    return species_of


def clips(folder: Path) -> dict[str, str]:
    """A bar that moves to one side or the other."""
    way_of = {}
    for number in range(40):
        file = f"clips/{number:02}.{'mp4' if number % 2 else 'avi'}"
        (folder / file).parent.mkdir(parents=True, exist_ok=True)
        code = "mp4v" if number % 2 else "MJPG"
        writer = cv2.VideoWriter(
            str(folder / file), cv2.VideoWriter.fourcc(*code), 10, (32, 32), isColor=True
        )
        places = range(2, 26, 2) if number % 4 < 2 else range(24, 0, -2)
        for place in places:
            frame = np.full((32, 32, 3), 40 + number, np.uint8)
            frame[:, place : place + 5] = 220
            writer.write(frame)
        writer.release()
        way_of[file] = "right" if number % 4 < 2 else "left"
    return way_of


def pictures(folder: Path) -> dict[str, str]:
    """Bars of colours on a shade: the categories are the colours."""
    rng = np.random.default_rng(0)
    colours_of = {}
    names = np.array(["blue", "green", "red"])
    for number in range(60):
        there = rng.random(3) < 0.5
        x = np.linspace(20, 120, 40)[:, None, None] + rng.integers(0, 15, (40, 40, 3))
        for place in np.flatnonzero(there):
            x[:, 13 * place : 13 * place + 5, place] += 100
        file = f"{number:02}.{('jpg', 'png')[number % 2]}"
        cv2.imwrite(str(folder / file), x.astype(np.uint8))
        colours_of[file] = "; ".join(names[there])
    return colours_of


MAKERS = {"audio": recordings, "video": clips, "images": pictures}
TASKS = {
    "audio": {"species": "class", "weight": "number"},
    "video": {"species": "class"},
    "images": {"species": "categories"},
}
EXTRACTIONS = {"audio": stages.spectrograms, "video": stages.frames, "images": stages.pictures}


def write_labels(folder: Path, labels: dict[str, str], unlabelled: int = 6) -> None:
    rows = [
        {"file": file, "species": species, "weight": f"{len(species)}.{number % 4}"}
        for number, (file, species) in enumerate(sorted(labels.items())[unlabelled:])
    ]
    pd.DataFrame(rows).to_csv(folder / "labels.csv", index=False)


def params_file(
    folder: Path, modality: str, change: Callable[[dict], None] = lambda content: None
) -> Path:
    content = tiny_content(folder)
    content["threads"] = dict.fromkeys(content["threads"], 1)
    for other in {"audio", "video", "images"} - {modality}:
        del content[other]
    own = content[modality]
    own |= {"dataset": "folder", "source": str(folder / "files"), "seeds": [0]}
    own |= {"methods": ["random", "mse"]}
    own["downstream"] |= {"tasks": TASKS[modality], "n_examples": [12, 16], "steps": 200}
    own["downstream"]["others"] |= {"probes": ["knn"], "n_examples": [16]}
    own["end_to_end"] |= {"n_examples": [12]}
    content["folder"] |= {"sample_rate": RATE, "seconds": SECONDS}
    content["folder"] |= {"valid_share": 0.2, "test_share": 0.3, "seed": 5}
    if modality == "audio":
        own["spectrograms"] |= {"n_fft": 512, "hop_length": 512, "f_max": 4000.0}
    change(content)
    path = folder / "params.yaml"
    path.write_text(yaml.safe_dump(content))
    return path


@pytest.fixture(autouse=True)
def _tensorflow_is_up(monkeypatch: pytest.MonkeyPatch) -> None:
    """The stages set threads only before TensorFlow starts: here it starts once."""
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)


def call(stage, *arguments: str | Path) -> None:
    cli.run(partial(stage.main, [str(argument) for argument in arguments]))


def make_dataset(path: Path) -> None:
    call(stages.listing, "--params", path)
    call(stages.dataset, "--dataset", "folder", "--params", path)


def refusal(stage, *arguments: str | Path) -> str:
    with pytest.raises(SystemExit) as stopped:
        call(stage, *arguments)
    line = stopped.value.code
    assert isinstance(line, str) and line.startswith("error: ")
    assert len(line.splitlines()) == 1
    return line


# the library


def test_files_are_found_in_folders_and_hidden_ones_left_out(tmp_path: Path) -> None:
    for name in ("b.WAV", "a/c.flac", "a/.hidden.wav", ".git/d.wav", "notes.txt", "a/e.jpg"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(b"")
    assert tree.files(tmp_path, "audio") == ["a/c.flac", "b.WAV"]
    assert tree.files(tmp_path, "images") == ["a/e.jpg"]


SHARES = {"valid_share": 0.15, "test_share": 0.2}


@pytest.mark.parametrize("count", [3, 4, 7, 400])
def test_groups_are_in_one_split_and_every_split_has_some(count: int) -> None:
    groups = [f"group {number % count}" for number in range(3 * count)]
    splits = tree.assign(groups, [""] * len(groups), **SHARES, seed=0)
    found = {group: set() for group in groups}
    for group, split in zip(groups, splits, strict=True):
        found[group].add(split)
    assert all(len(own) == 1 for own in found.values())
    assert set(splits) == set(tree.SPLITS)
    if count == 400:
        drawn = [splits.count(split) / len(splits) for split in ("valid", "test")]
        assert drawn == pytest.approx([0.15, 0.2], abs=0.06)  # three standard errors
        assert splits != tree.assign(groups, [""] * len(groups), **SHARES, seed=1)
    assert splits == tree.assign(groups, [""] * len(groups), **SHARES, seed=0)


def test_fewer_than_three_groups_are_refused() -> None:
    with pytest.raises(ValueError, match="at least 3"):
        tree.assign(["a", "b", "a"], ["", "", ""], **SHARES, seed=0)


@given(st.integers(0, 2**31 - 1), st.integers(60, 200), st.data())
def test_no_file_moves_when_files_come_or_go(seed: int, count: int, data: st.DataObject) -> None:
    """So many of each class that none is drawn again."""
    names = [f"{number}.wav" for number in range(count)]
    classes = [str(number % 2) for number in range(count)]
    drawn = dict(zip(names, tree.assign(names, classes, **SHARES, seed=seed), strict=True))
    kept = data.draw(st.sets(st.sampled_from(range(count)), min_size=count - 10))
    for chosen in (sorted(kept), range(count)):
        for own in "01":  # of the draw itself, each class is in each split
            there = {drawn[names[i]] for i in chosen if classes[i] == own}
            assume(there == set(tree.SPLITS))
    left = [names[i] for i in sorted(kept)]
    again = tree.assign(left, [classes[i] for i in sorted(kept)], **SHARES, seed=seed)
    assert again == [drawn[name] for name in left]


@given(
    st.lists(st.tuples(st.integers(0, 40), st.sampled_from(["", "a", "b", "c", "d"])), min_size=9),
    st.integers(0, 1000),
)
def test_a_class_of_three_groups_of_its_own_is_in_every_split(
    files: list[tuple[int, str]], seed: int
) -> None:
    groups = [f"{own or number}{number}" for number, own in files]  # of one class each
    assume(len(set(groups)) >= 3)
    classes = [own for _, own in files]
    splits = tree.assign(groups, classes, **SHARES, seed=seed)
    assert len(set(zip(groups, splits, strict=True))) == len(set(groups))
    for own in {*classes} - {""}:
        of = [n for n, name in enumerate(classes) if name == own]
        if len({groups[n] for n in of}) >= 3:
            assert {splits[n] for n in of} == set(tree.SPLITS)


@pytest.mark.parametrize(
    ("seconds", "starts"),
    [(0.3, [0]), (1.0, [0]), (1.4, [0]), (1.6, [0, 1]), (3.0, [0, 1, 2]), (3.7, [0, 1, 2, 3])],
)
def test_windows_follow_one_another_and_a_half_one_counts(
    tmp_path: Path, seconds: float, starts: list[float]
) -> None:
    soundfile.write(tmp_path / "a.wav", tone(440, seconds, RATE), RATE)
    assert library.survey(tmp_path / "a.wav", 1.0).starts == starts


@pytest.mark.parametrize("suffix", ["wav", "flac", "ogg", "mp3"])
@pytest.mark.parametrize("rate", [8000, 22050, 48000])
def test_a_window_has_the_rate_asked_for_and_the_pitch_that_was_played(
    tmp_path: Path, suffix: str, rate: int
) -> None:
    path = tmp_path / f"a.{suffix}"
    sound = np.concatenate([tone(500, 1.0, rate), tone(1500, 1.0, rate)])
    soundfile.write(path, np.stack([sound, sound], axis=1), rate)
    for start, hertz in ((0.0, 500), (1.0, 1500)):
        window = library.read_window(path, start, 1.0, RATE)
        assert window.dtype == np.float32 and window.shape == (RATE,)
        middle = window[RATE // 4 : 3 * RATE // 4]
        loudest = np.argmax(np.abs(np.fft.rfft(middle * np.hanning(len(middle)))))
        assert loudest * RATE / len(middle) == pytest.approx(hertz, abs=3)
        assert np.sqrt(np.mean(middle**2)) == pytest.approx(
            0.5 / np.sqrt(2), rel=0.03 if suffix != "mp3" else 0.08
        )


def test_channels_are_averaged_and_what_lies_beyond_the_end_is_silence(tmp_path: Path) -> None:
    left, right = tone(500, 0.6, RATE), np.zeros(round(0.6 * RATE))
    soundfile.write(tmp_path / "a.wav", np.stack([left, right], axis=1), RATE, subtype="FLOAT")
    window = library.read_window(tmp_path / "a.wav", 0.0, 1.0, RATE)
    assert np.allclose(window[: len(left)], left / 2, atol=1e-6)
    assert not window[len(left) :].any()


def test_why_a_recording_cannot_be_read(tmp_path: Path) -> None:
    path = tmp_path / "a.flac"
    path.write_bytes(b"no sound")
    assert library.survey(path, 1.0).fault.startswith("unreadable")
    assert library.read_window(path, 0.0, 1.0, RATE).startswith("unreadable")
    soundfile.write(tmp_path / "none.wav", np.zeros(0), RATE)
    assert library.survey(tmp_path / "none.wav", 1.0).fault == "empty"
    rng = np.random.default_rng(0)
    soundfile.write(path, rng.normal(size=4 * RATE) / 10, RATE)
    path.write_bytes(path.read_bytes()[:20_000])
    assert isinstance(library.read_window(path, 3.0, 1.0, RATE), str)
    soundfile.write(tmp_path / "nan.wav", np.full(RATE, np.nan), RATE, subtype="FLOAT")
    assert "no numbers" in library.read_window(tmp_path / "nan.wav", 0.0, 1.0, RATE)


# labels.csv

NAMES = ["a/Robin 1.wav", "a/caf\u00e9.wav", "b/007.wav", "b/NA.wav"]
PLAIN = "file,kind,weight\na/Robin 1.wav,robin,1\na/caf\u00e9.wav,wren,2\nb/007.wav,007,\n"
SAYS = {
    "a/Robin 1.wav": {"directory": "a", "kind": "robin", "weight": "1"},
    "a/caf\u00e9.wav": {"directory": "a", "kind": "wren", "weight": "2"},
    "b/007.wav": {"directory": "b", "kind": "007", "weight": ""},
}


def rows(change: Callable[[str], str]) -> str:
    """The table, with each row but the first changed."""
    head, *lines = PLAIN.splitlines()
    return "\n".join([head, *map(change, lines)])


AS_WRITTEN: dict[str, str | bytes] = {
    "plainly": PLAIN,
    "with a byte order mark": PLAIN.encode("utf-8-sig"),
    "in Windows-1252": PLAIN.encode("cp1252"),
    "in UTF-16": PLAIN.encode("utf-16"),
    "in UTF-16 without a mark": PLAIN.encode("utf-16-le"),
    "with another order of bytes": b"\xfe\xff" + PLAIN.encode("utf-16-be"),
    "with semicolons": PLAIN.replace(",", ";"),
    "with tabs": PLAIN.replace(",", "\t"),
    "with lines of Windows": PLAIN.replace("\n", "\r\n"),
    "with lines of old Macs": PLAIN.replace("\n", "\r"),
    "with empty rows": PLAIN.replace("\n", "\n\n") + "\n\n",
    "with empty rows of commas": PLAIN.replace("\n", "\n,,\n") + " , ,\n",
    "with empty rows above": "\n,,\n" + PLAIN,
    "with a comma too many in rows": rows(lambda line: line + ","),
    "with a comma too many": PLAIN.replace("\n", ",\n"),
    "with short rows": PLAIN.replace("007,\n", "007\n"),
    "with spaces": PLAIN.replace(",", " ,  ").replace("\n", " \n "),
    "with quotes": rows(lambda line: '"' + line.replace(",", '","') + '"'),
    "with a column of nothing": "".join(
        line.replace(",", ",,", 1) + "\n" for line in PLAIN.splitlines()
    ),
    "in two characters": unicodedata.normalize("NFD", PLAIN),
    "in another case": PLAIN.replace("a/Robin 1", "A/robin 1").replace("caf\u00e9", "CAF\u00c9"),
    "with backslashes": PLAIN.replace("a/", "a\\").replace("b/", "b\\"),
    "from here": rows(lambda line: "./" + line),
    "from the root": rows(lambda line: "{folder}/" + line),
}


@pytest.mark.parametrize("how", AS_WRITTEN)
def test_labels_are_read_as_people_write_them(tmp_path: Path, how: str) -> None:
    content = AS_WRITTEN[how]
    if isinstance(content, str):
        content = content.replace("{folder}", tmp_path.as_posix()).encode()
    (tmp_path / "labels.csv").write_bytes(content)
    assert read_labels(tmp_path, NAMES) == SAYS


def test_a_name_as_it_is_comes_before_one_that_is_near(tmp_path: Path) -> None:
    (tmp_path / "labels.csv").write_text("file,kind\nA.wav,1\na.wav,2\n")
    found = read_labels(tmp_path, ["a.wav", "A.wav"])
    assert {name: row["kind"] for name, row in found.items()} == {"A.wav": "1", "a.wav": "2"}


ODD_LABELS = {
    "no name": ("file,kind\na/Robin 1.wav,x\n,wren\n", "row 3 names no file"),
    "a cell too many": (
        "file,kind\na/Robin 1.wav,robin, male\n",
        "row 2 has 3 cells, and the header 2: put a cell that holds ',' in quotes",
    ),
    "no name of a column": ("file,,kind\na/Robin 1.wav,x,y\n", "column 2 has no name"),
    "two columns of a name": ("file,kind,kind\n", "has two columns kind"),
    "nearly a name": (
        "file\na/Robin1.wav\n",
        "row 2: a/Robin1.wav is not in {} or of another kind ",
    ),
    "which of two": ("file\nA.WAV\n", "A.WAV is not in"),
    "a row twice": ("file\nb/NA.wav\n\nB\\na.wav\n", "row 4: b/NA.wav is in row 2 already"),
    "many rows": ("file\n1\n2\n3\n4\n5\n", "; and 2 more rows"),
    "a quote": ('file,a\nb/NA.wav,x\n"1.wav\n', "row 3: "),
    "not text": (b"\xff\xfefile\xd8\n\x00\xd8", "is not text in utf-16"),
    "nothing": ("", "has no column file"),
}


@pytest.mark.parametrize("what", ODD_LABELS)
def test_what_is_odd_in_labels_is_told_with_its_row(tmp_path: Path, what: str) -> None:
    content, said = ODD_LABELS[what]
    content = content if isinstance(content, bytes) else content.encode()
    (tmp_path / "labels.csv").write_bytes(content)
    with pytest.raises(InputError) as refused:
        read_labels(tmp_path, [*NAMES, "a.wav", "A.wav"])
    assert said.format(tmp_path) in str(refused.value)
    assert str(tmp_path / "labels.csv") in str(refused.value)
    assert len(str(refused.value).splitlines()) == 1


# the study


@pytest.mark.parametrize("modality", ["audio", "video", "images"])
def test_the_whole_study_on_a_folder(tmp_path: Path, modality: str, capsys) -> None:
    source = tmp_path / "files"
    source.mkdir()
    labels = MAKERS[modality](source)
    write_labels(source, labels)
    path = params_file(tmp_path, modality)
    params = load_params(path)
    study, layout = params.study(modality), params.layout
    slicing = study.slicings[0]

    make_dataset(path)
    for shard in map(str, study.shards):
        call(EXTRACTIONS[modality], "--dataset", "folder", "--shard", shard, "--params", path)
    call(stages.join, "--dataset", "folder", "--params", path)
    call(stages.labels, "--params", path)
    tables = {split: pd.read_parquet(layout.labels("folder", split)) for split in study.splits}
    own = pd.concat([tables[split] for split in ("train", "valid", "test")])
    files = own["id"].str.partition("@")[0]
    assert set(files) == set(labels)
    assert len(set(files[~own["labelled"]])) == 6
    assert not own.loc[~own["labelled"], "id"].isin(tables["test"]["id"]).any()
    in_split = [set(tables[s]["id"].str.partition("@")[0]) for s in ("train", "valid", "test")]
    assert not in_split[0] & in_split[1] | in_split[0] & in_split[2] | in_split[1] & in_split[2]
    for split, table in tables.items():
        features = np.load(layout.features("folder", split))
        assert len(features) == len(table) > 0
        told = table[table["labelled"]]
        assert (told["species"] == told["id"].str.partition("@")[0].map(labels)).all()
    if modality == "images":
        assert set(tables["pretrain"]["id"]) == in_split[0]

    options = ["--modality", modality, "--slicing", slicing, "--seed", "0", "--params", path]
    for method in study.methods:
        for stage in (stages.pretrain, stages.embed, stages.downstream):
            call(stage, *options, "--method", method)
    bare = ["--modality", modality, "--slicing", "whole", "--seed", "0", "--params", path]
    for name in study.no_network:
        call(stages.downstream, *bare, "--method", name)
    call(stages.end_to_end, *options, "--method", "mse")
    call(stages.examples, "--modality", modality, "--params", path)
    for stage in (stages.scores, stages.claims, stages.tables, stages.figures, stages.site):
        call(stage, "--params", path)

    scores = pd.read_csv(layout.all_scores)
    assert set(scores["task"]) == set(TASKS[modality])
    metric = {"audio": "accuracy", "video": "accuracy", "images": "auc"}[modality]
    best = scores[(scores["metric"] == metric) & (scores["n_examples"] == 16)]["value"].max()
    assert best > {"audio": 0.6, "video": 0.7, "images": 0.7}[modality]
    claims = pd.read_csv(layout.claims)
    assert set(claims["verdict"]) == {"not_run"}
    page = (layout.results / "index.html").read_text()
    assert "a folder of your own" in page
    assert ("Species accuracy" if metric == "accuracy" else "Species mean AUC") in page

    # what a user does next: new files, with the trained encoder
    model = layout.model(params.encoder_key(modality, slicing, "mse", 0))
    output = tmp_path / "embeddings.parquet"
    (source / f"broken{Path(min(labels)).suffix}").write_bytes(b"broken")
    capsys.readouterr()
    what = ["--model", model, "--params", path]
    call(tools.embed_files, *what, "--input", source, "--output", output)
    said = capsys.readouterr().err
    assert "left out: broken" in said and "left out: 1" in said
    found = pd.read_parquet(output)
    by_id = {
        row.file
        if row.start == 0 and f"{row.file}@0" not in set(own["id"])
        else f"{row.file}@{row.start:.10g}": row.embedding
        for row in found.itertuples()
    }
    assert set(by_id) == set(own["id"])
    embedded = np.load(
        layout.embeddings(params.encoder_key(modality, slicing, "mse", 0), "test", "joined")
    )
    wanted = np.stack([by_id[name] for name in tables["test"]["id"]])
    # The dataset's spectrograms are rounded to half precision.
    scale = np.abs(embedded).max()
    # The study keeps 11 bits of an embedding.
    close = 0.02 if modality == "audio" else 2**-11
    assert np.abs(wanted - embedded).max() < close * scale

    picture = tmp_path / "reordered.png"
    capsys.readouterr()
    call(tools.reorder, *what, "--input", source / min(labels), "--output", picture)
    lines = capsys.readouterr().out.splitlines()
    assert sorted(lines[0].split()[1:]) == sorted(map(str, range(1, len(lines[0].split()))))
    assert len(lines[1].split()) == len(lines[0].split())
    assert cv2.imread(str(picture)).std() > 5
    assert (
        "unreadable"
        in (
            line := refusal(
                tools.reorder, *what, "--input", source / f"broken{Path(min(labels)).suffix}"
            )
        )
        or "no picture" in line
        or "JPEG" in line
    )


def test_a_study_without_a_task_pretrains_and_embeds(tmp_path: Path) -> None:
    source = tmp_path / "files"
    source.mkdir()
    flat(source, recordings(source))

    def change(content: dict) -> None:
        content["audio"]["downstream"]["tasks"] = {}

    path = params_file(tmp_path, "audio", change)
    params = load_params(path)
    layout, study = params.layout, params.study("audio")
    make_dataset(path)
    for shard in map(str, study.shards):
        call(stages.spectrograms, "--dataset", "folder", "--shard", shard, "--params", path)
    call(stages.join, "--dataset", "folder", "--params", path)
    options = ["--modality", "audio", "--slicing", study.slicings[0], "--seed", "0"]
    for method in study.methods:
        for stage in (stages.pretrain, stages.embed):
            call(stage, *options, "--method", method, "--params", path)
    call(stages.examples, "--modality", "audio", "--params", path)
    for stage in (stages.scores, stages.claims, stages.tables, stages.figures, stages.site):
        call(stage, "--params", path)
    assert not params.scored_keys() and not params.trained_end_to_end()
    assert list(pd.read_csv(layout.all_scores)) == SCORES and not len(
        pd.read_csv(layout.all_scores)
    )
    made = {file.name for file in layout.figure("x", "csv").parent.glob("*.csv")}
    assert made == {f"{name}.csv" for name in ("claims", "pretext-audio", "reordered-audio")}
    assert {file.stem for file in layout.table("x", "csv").parent.iterdir()} == {"table1"}
    table = pd.read_csv(layout.table("table1", "csv"))
    assert set(table["task"]) == {"pretext"} and set(table["method"]) == {"random", "mse"}
    page = (layout.results / "index.html").read_text()
    assert "no task, so nothing is scored" in page and "Partial ranks" in page
    assert "Labelled examples" not in page


def test_without_labels_the_directories_are_classes_and_a_column_can_give_the_splits(
    tmp_path: Path,
) -> None:
    source = tmp_path / "files"
    source.mkdir()
    labels = recordings(source)

    path = params_file(tmp_path, "audio", by_directory)
    make_dataset(path)
    manifest = pd.read_parquet(load_params(path).layout.manifest("folder"))
    assert set(manifest["directory"]) == {"site0", "site1"}
    assert manifest["kept"].all()
    # 24 recordings of 2 windows, and 24 of 2.6 s: 3
    assert len(manifest) == 24 * 2 + 24 * 3

    files = sorted(labels)
    given = [("train", "valid", "test")[number % 3] for number in range(len(files))]
    pd.DataFrame({"file": files, "split": given}).to_csv(source / "labels.csv", index=False)
    make_dataset(path)
    manifest = pd.read_parquet(load_params(path).layout.manifest("folder"))
    assert dict(zip(manifest["file"], manifest["split"], strict=True)) == dict(
        zip(files, given, strict=True)
    )


def test_groups_of_a_column_stay_together(tmp_path: Path) -> None:
    source = tmp_path / "files"
    source.mkdir()
    labels = recordings(source)
    rows = [{"file": file, "bird": f"{number % 7}"} for number, file in enumerate(sorted(labels))]
    pd.DataFrame(rows).to_csv(source / "labels.csv", index=False)

    def grouped(content: dict) -> None:
        content["folder"]["group"] = "bird"
        content["audio"]["downstream"]["tasks"] = {"bird": "class"}

    path = params_file(tmp_path, "audio", grouped)
    make_dataset(path)
    manifest = pd.read_parquet(load_params(path).layout.manifest("folder"))
    birds = manifest["file"].map({row["file"]: row["bird"] for row in rows})
    assert (manifest.groupby(birds)["split"].nunique() == 1).all()
    assert manifest["split"].nunique() == 3


def test_the_lists_change_with_contents_splits_and_labels_alone(tmp_path: Path) -> None:
    """What the runners watch: each list is written only where it would differ."""
    source = tmp_path / "files"
    source.mkdir()
    labels = recordings(source)
    write_labels(source, labels)
    path = params_file(tmp_path, "audio")
    layout = load_params(path).layout
    lists = {"files": layout.files, "labels": layout.given_labels}

    def changed(change: Callable[[], object]) -> set[str]:
        before = {name: (f.stat().st_mtime_ns, f.read_bytes()) for name, f in lists.items()}
        change()
        call(stages.listing, "--params", path)
        after = {name: (f.stat().st_mtime_ns, f.read_bytes()) for name, f in lists.items()}
        found = {name for name in lists if before[name] != after[name]}
        assert found == {name for name in lists if before[name][1] != after[name][1]}
        return found

    def edit(said: str, right: str) -> Callable[[], object]:
        text = (source / "labels.csv").read_text()
        assert said in text
        return lambda: (source / "labels.csv").write_text(text.replace(said, right))

    first, *_, last = sorted(labels)
    call(stages.listing, "--params", path)
    assert changed(lambda: None) == set()
    assert changed((source / last).touch) == set()
    assert changed((source / "labels.csv").touch) == set()
    assert changed((source / ".DS_Store").touch) == set()
    assert changed((source / "labels.csv~").touch) == set()
    assert changed((source / "site0/notes.txt").touch) == set()
    assert changed(edit(".wav,", ".wav ,  ")) == set()
    assert changed(layout.digests.unlink) == set()
    assert changed(lambda: layout.digests.write_text("{")) == set()
    assert changed(edit('"species, 3"', '"species, 4"')) == {"labels"}  # all of a class
    assert changed(lambda: (source / last).write_bytes((source / first).read_bytes())) == {"files"}
    assert changed((source / first).unlink) == {"files"}  # it has no labels
    assert changed(lambda: (source / "new.wav").write_bytes(b"new")) == {"files"}
    said = pd.read_csv(layout.files).set_index("file")
    table = pd.read_csv(source / "labels.csv", skipinitialspace=True).assign(split="train")
    table.loc[:3, "split"] = ["valid", "test", "valid", "test"]
    assert changed(lambda: table.to_csv(source / "labels.csv", index=False)) == {"files", "labels"}
    assert (pd.read_csv(layout.files).set_index("file")["digest"] == said["digest"]).all()


WRONG: dict[str, tuple[Callable[[Path, dict], None], str]] = {
    "no folder": (
        lambda folder, content: content["audio"].update(source=str(folder / "absent")),
        "audio.source: {}/absent does not exist",
    ),
    "no files": (
        lambda folder, content: [path.unlink() for path in folder.rglob("*.*")],
        "{} holds no files of audio",
    ),
    "no column file": (
        lambda folder, content: (folder / "labels.csv").write_text("name,species\na.wav,x\n"),
        "has no column file",
    ),
    "twice": (
        lambda folder, content: (folder / "labels.csv").write_text("file\n1.wav\n./1.wav\n"),
        "row 3: 1.wav is in row 2 already",
    ),
    "absent file": (
        lambda folder, content: (folder / "labels.csv").write_text("file\nx/9.wav\n"),
        "row 2: x/9.wav is not in",
    ),
    "not a table": (
        lambda folder, content: (folder / "labels.csv").write_text('file,a\n"1.wav\n'),
        "labels.csv: ",
    ),
    "unknown split": (
        lambda folder, content: (folder / "labels.csv").write_text("file,split\n1.wav,dev\n"),
        "the split of 1.wav is 'dev'",
    ),
    "absent split": (
        lambda folder, content: (folder / "labels.csv").write_text("file,split\n1.wav,test\n"),
        "no file is in the split train",
    ),
    "no column of groups": (
        lambda folder, content: (
            (folder / "labels.csv").write_text("file\n1.wav\n2.wav\n3.wav\n"),
            content["folder"].update(group="bird"),
        ),
        "has no column bird",
    ),
    "two files": (
        lambda folder, content: (folder / "labels.csv").write_text("file\n1.wav\n2.wav\n"),
        "at least 3",
    ),
    "damaged": (
        lambda folder, content: [(folder / f"{n}.wav").write_bytes(b"x") for n in (1, 2)],
        "2 of 5 inputs cannot be read, 5% may be (folder.max_rejected); the first is 1.wav",
    ),
}


@pytest.mark.parametrize("what", WRONG)
def test_a_folder_that_will_not_do_is_told_in_one_line(tmp_path: Path, what: str) -> None:
    source = tmp_path / "files"
    source.mkdir()
    for number in range(1, 6):
        soundfile.write(source / f"{number}.wav", tone(440, 1.0, RATE), RATE)
    change, said = WRONG[what]
    path = params_file(tmp_path, "audio", lambda content: change(source, content) and None)
    line = refusal(stages.listing, "--params", path) if what != "damaged" else ""
    if what == "damaged":  # that is known only when the headers are read
        call(stages.listing, "--params", path)
        line = refusal(stages.dataset, "--dataset", "folder", "--params", path)
    assert said.format(source) in line
    assert not (tmp_path / "data" / "folder" / "tfds").exists()


def by_directory(content: dict) -> None:
    content["audio"]["downstream"]["tasks"] = {"directory": "class"}


def test_damaged_recordings_within_the_share_are_listed(tmp_path: Path, capsys) -> None:
    source = tmp_path / "files"
    source.mkdir()
    recordings(source)
    (source / "site0/00.wav").write_bytes(b"x")
    (source / "readme.txt").write_text("x")
    (source / "site0/1.M4A").write_text("x")
    path = params_file(tmp_path, "audio", by_directory)
    make_dataset(path)
    said = capsys.readouterr().err
    assert "left out: 1" in said
    assert "folder: files of other kinds are not read (.m4a: 1, .txt: 1)" in said
    manifest = pd.read_parquet(load_params(path).layout.manifest("folder")).set_index("file")
    assert not manifest.loc["site0/00.wav", "kept"]
    assert "unreadable" in manifest.loc["site0/00.wav", "reason"]
    assert manifest.drop("site0/00.wav")["kept"].all()


ODD = [b"caf\xe9", b"a\nb", b"#1", b'it\'s "$HOME"', b"-i", b"a:b", b"100%d"]


@pytest.mark.parametrize("modality", ["audio", "video", "images"])
def test_odd_names_and_folders_behind_links_go_from_files_to_features(
    tmp_path: Path, modality: str, monkeypatch
) -> None:
    monkeypatch.chdir(tmp_path)
    source = Path("the data/files of $me")  # below the data folder of the study
    source.mkdir(parents=True)
    labels = MAKERS[modality](source)
    (tmp_path / "elsewhere").mkdir()
    for old, new in zip(sorted(labels), ODD, strict=False):
        suffix = os.fsencode(Path(old).suffix)
        os.rename(source / old, os.path.join(b"elsewhere", new + suffix))
    (source / "link").symlink_to(tmp_path / "elsewhere")
    (source / "link" / "loop").symlink_to(tmp_path / "elsewhere")

    def change(content: dict) -> None:
        content["paths"] = {"data": "the data", "results": "results"}
        content[modality]["source"] = str(source)
        content[modality]["downstream"]["tasks"] = {}

    path = params_file(tmp_path, modality, change)
    source.chmod(0o555)
    make_dataset(path)
    params = load_params(path)
    study, layout = params.study(modality), params.layout
    for shard in map(str, study.shards):
        call(EXTRACTIONS[modality], "--dataset", "folder", "--shard", shard, "--params", path)
    call(stages.join, "--dataset", "folder", "--params", path)
    ids = [pd.read_parquet(layout.ids("folder", s))["id"] for s in ("train", "valid", "test")]
    found = {name.partition("@")[0] for name in pd.concat(ids)}
    assert len(found) == len(labels)
    odd = {name.removeprefix("link/").rpartition(".")[0] for name in found if "link/" in name}
    assert odd == {"caf%E9", "a%0Ab", "#1", 'it\'s "$HOME"', "-i", "a:b", "100%d"}


def flat(source: Path, labels: dict[str, str]) -> None:
    for number, file in enumerate(labels):
        (source / file).rename(source / f"{number}{Path(file).suffix}")


def with_labels(source: Path, labels: dict[str, str], of: Callable[[int], str], **more) -> None:
    """labels.csv with a column kind."""
    rows = [{"file": file, "kind": of(number)} | more for number, file in enumerate(labels)]
    pd.DataFrame(rows).to_csv(source / "labels.csv", index=False)


TOLD_FIRST: dict[str, tuple[Callable[[Path, dict[str, str]], None], dict, list[str]]] = {
    "a flat folder": (
        flat,
        {"directory": "class"},
        ["no input of the split train has a label of directory: put the files into a folder a"],
    ),
    "few labels": (
        lambda source, labels: with_labels(source, labels, lambda n: str(n % 2) if n < 9 else ""),
        {"kind": "class"},
        ["audio.downstream.n_examples: 16 is more than the "],
    ),
    "what is no number": (
        lambda source, labels: with_labels(source, labels, lambda n: str(n) if n % 3 else "NA"),
        {"kind": "number"},
        [": 'NA' is not a number (and "],
    ),
    "no column": (
        lambda source, labels: with_labels(source, labels, str),
        {"colour": "class"},
        ["has no column colour of labels: labels.csv has directory, kind ("],
    ),
    "an empty column": (
        lambda source, labels: with_labels(source, labels, str, colour=""),
        {"colour": "class"},
        ["has a label of colour: the column colour of "],
    ),
    "one class": (
        lambda source, labels: with_labels(source, labels, lambda n: "robin"),
        {"kind": "class"},
        ["kind is 'robin' of all inputs of the split train"],
    ),
    "all at once": (
        lambda source, labels: with_labels(source, labels, lambda n: "robin"),
        {"kind": "number", "colour": "class", "directory": "class"},
        ["2 things are to be mended first:", "no column colour", "'robin' is not a number"],
    ),
}


@pytest.mark.parametrize("what", TOLD_FIRST)
def test_what_keeps_tasks_from_being_scored_is_told_before_anything_is_made(
    tmp_path: Path, what: str
) -> None:
    source = tmp_path / "files"
    source.mkdir()
    change, tasks, said = TOLD_FIRST[what]
    change(source, recordings(source))
    path = params_file(
        tmp_path, "audio", lambda content: content["audio"]["downstream"].update(tasks=tasks)
    )
    call(stages.listing, "--params", path)
    with pytest.raises(SystemExit) as stopped:
        call(stages.dataset, "--dataset", "folder", "--params", path)
    lines = str(stopped.value.code).splitlines()
    assert len(lines) == len(said) and lines[0].startswith("error: ")
    for line, part in zip(lines, said, strict=True):
        assert part in line
    assert not (tmp_path / "data" / "folder" / "tfds").exists()


def test_more_than_fits_in_memory_is_written_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """TFDS sorts on the disk what is more than a limit, which no longer grows to a GiB."""
    assert shuffle.MAX_MEM_BUFFER_SIZE == 2**26
    source = tmp_path / "files"
    source.mkdir()
    write_labels(source, recordings(source))
    path = params_file(tmp_path, "audio")
    call(stages.listing, "--params", path)
    written = []
    for limit in (2**30, 2**14):
        monkeypatch.setattr(shuffle, "MAX_MEM_BUFFER_SIZE", limit)
        call(stages.dataset, "--dataset", "folder", "--params", path)
        folder = tmp_path / "data/folder/tfds"
        written.append({p.name: p.read_bytes() for p in folder.rglob("*") if p.is_file()})
    assert written[0] == written[1]
    assert any("tfrecord" in name and len(content) > 2**14 for name, content in written[0].items())


def test_a_folder_is_looked_at_before_anything_is_run(
    tmp_path: Path, capsys, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Recordings are decoded by the workers, each once.
    monkeypatch.setattr(library, "survey", lambda *_: pytest.fail("decoded here, too"))
    source = tmp_path / "files"
    source.mkdir()
    labels = recordings(source)
    write_labels(source, labels)
    (source / "bad.wav").write_bytes(b"x")
    (source / "a.m4a").write_bytes(b"x")
    path = params_file(tmp_path, "audio")
    call(tools.check, "--params", path)
    said = capsys.readouterr().out.splitlines()
    assert said[0] == (f"{source}: 49 files (.wav 13, .flac 12, .ogg 12, .mp3 12), 42 with labels")
    assert said[1].startswith("sample rates: ") and said[1].count(" Hz 16") == 3
    assert said[2] == "lengths: 2.00 to 2.60 s, half of them below 2.30 s"
    assert said[3] == "windows of 1 s: 120"
    assert said[5:7] == ["left out: 1", "  bad.wav: unreadable: Format not recognised"]
    found = pd.read_csv(load_params(path).layout.files).set_index("file")["split"]
    test = [file for file in labels if found[file] == "test"]
    windows = sum(2 + int(Path(file).stem) % 2 for file in test)
    row = next(line for line in said if line.startswith("species: "))
    assert row.endswith(f"{windows} in test")
    assert sum(int(line.split()[-1]) for line in said if "  species, " in line) == windows
    assert any("files of other kinds are not read (.m4a: 1)" in line for line in said)
    assert " jobs to run" in said[-1]
    assert not (tmp_path / "data" / "folder" / "tfds").exists()

    (source / "labels.csv").unlink()  # a column is missing now
    with pytest.raises(SystemExit) as stopped:
        call(tools.check, "--params", path)
    assert "no column species" in str(stopped.value.code)
    assert " jobs to run" in capsys.readouterr().out


def test_classes_that_a_split_lacks_are_named(tmp_path: Path, capsys) -> None:
    source = tmp_path / "files"
    source.mkdir()
    labels = recordings(source)
    with_labels(source, labels, lambda n: "rare" if n < 2 else "common" if n % 2 else "usual")
    path = params_file(
        tmp_path,
        "audio",
        lambda content: content["audio"]["downstream"].update(tasks={"kind": "class"}),
    )
    make_dataset(path)
    assert "folder: kind: 1 classes are not in every split (rare)" in capsys.readouterr().err


def test_classes_stay_text_to_the_last_figure(tmp_path: Path) -> None:
    """What pandas would take for a number or for nothing, and matplotlib for mathematics."""
    labels = ["1", "2", "3A", "007", "7", "NA", "None", "null", "nan", "$_$", "a, b", " x", "1e3"]
    path = params_file(tmp_path, "audio", by_directory)
    params = load_params(path)
    study, layout = params.study("audio"), params.layout
    table = pd.DataFrame({"id": labels, "directory": labels, "labelled": True})
    layout.labels("folder", "train").parent.mkdir(parents=True)
    tables = {"train": table, study.downstream.evaluate_on: table}
    for split, rows in tables.items():
        rows.to_parquet(layout.labels("folder", split))
    (task,) = read_tasks(params, "audio")
    assert list(task.classes) == sorted(labels)
    n = max(study.downstream.n_examples)
    counted = task.counted((np.arange(len(labels)) + 1) % len(labels))
    assert len(counted) == len(labels)
    for key in params.encoder_keys("audio"):
        rows = [(task.name, n, *answer) for answer in counted]
        layout.answers(key).parent.mkdir(parents=True, exist_ok=True)
        as_table(params, key, rows, ANSWERS).to_csv(layout.answers(key), index=False)
    with matplotlib.rc_context(rc()):
        shown = stages.figures.answers(params, "audio")
        assert set(shown["wanted"]) == set(shown["answer"]) == set(labels)
        assert len(shown) == len(labels)
        figure = stages.figures.confusion(params, "audio", shown)
        save(figure, tmp_path / "confusion.png")
        assert [t.get_text() for t in figure.axes[0].get_yticklabels()] == sorted(labels)
    plt.close(figure)


PARAMS: dict[str, tuple[Callable[[dict], None], str]] = {
    "tasks are a list": (
        lambda content: content["audio"]["downstream"].update(tasks=["species"]),
        "audio.downstream: tasks: of the dataset folder it is {column",
    ),
    "kind": (
        lambda content: content["audio"]["downstream"].update(tasks={"species": "colour"}),
        "audio.downstream.tasks",
    ),
    "reserved": (
        lambda content: content["audio"]["downstream"].update(tasks={"id": "class"}),
        "id cannot be a task",
    ),
    "tilde": (
        lambda content: content["audio"].update(source="~/recordings"),
        "without ~",
    ),
    "of the embedded dataset": (
        lambda content: content["audio"].update(
            dataset="notes", downstream=content["audio"]["downstream"] | {"tasks": ["pitch"]}
        ),
        "source: is for the dataset folder alone: leave it empty",
    ),
    "frequency": (
        lambda content: content["audio"]["spectrograms"].update(f_max=4001.0),
        "4001 is more than half the sample rate, 4000 Hz",
    ),
    "no section": (lambda content: content.pop("folder"), "folder: missing"),
}


@pytest.mark.parametrize("what", PARAMS)
def test_settings_that_make_no_sense_are_told_in_one_line(tmp_path: Path, what: str) -> None:
    change, said = PARAMS[what]
    path = params_file(tmp_path, "audio", lambda content: change(content) and None)
    assert said in refusal(stages.dataset, "--dataset", "folder", "--params", path)


def test_a_folder_has_one_modality(tmp_path: Path) -> None:
    content = tiny_content(tmp_path)
    for modality in ("audio", "video"):
        content[modality] |= {"dataset": "folder", "source": "files"}
        content[modality]["downstream"]["tasks"] = {"species": "class"}
    path = tmp_path / "params.yaml"
    path.write_text(yaml.safe_dump(content))
    line = refusal(stages.dataset, "--dataset", "folder", "--params", path)
    assert "video.dataset: the folder is audio's" in line
