"""Recorded speech: what the names of files say, which splits they are in, and fetching them."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import networkx
import numpy as np
import pandas as pd
import pytest
import soundfile
import yaml
from conftest import ROOT, tiny_content
from dags import dvc_jobs, dvc_project, snakemake_jobs
from hypothesis import given
from hypothesis import strategies as st
from tiny_study import Study

import stages.dataset
import stages.join
import stages.spectrograms
from shuffle_to_learn.datasets import speech
from shuffle_to_learn.datasets.packages import PACKAGES
from study import cli
from study.datasets.speech import make
from study.loading import load_params
from study.tasks import read_tasks
from study.work import inputs
from tools import dvc_yaml
from tools import speech as fetching

RATE = 8000
SECONDS = 0.5
INITIALS = {"ㄅ": "b", "ㄓ": "zh", "": "none"}
FINALS = {"ㄚ": "a", "ㄧㄥ": "ieng", "ㄩㄝ": "üê"}


def recording(path: Path, number: int, seconds: float = 0.3, rate: int = RATE) -> None:
    """A tone of its own."""
    path.parent.mkdir(parents=True, exist_ok=True)
    sound = 0.5 * np.sin(2 * np.pi * (200 + 10 * number) * np.arange(round(seconds * rate)) / rate)
    soundfile.write(path, sound, rate, format="OGG", subtype="VORBIS")


def stamps(folder: Path, things: int = 24) -> Path:
    """A package of names: categories, names beside the recordings, in the package's layout."""
    letters = "БКП"
    for number in range(things):
        category, name = ("animals", "food")[number % 2], f"{letters[number % 3]}{number:02}ва"
        stem = folder / category / f"kind{number % 4}" / f"thing{number:02}"
        stem.parent.mkdir(parents=True, exist_ok=True)
        lines = ["A thing.", f"ru.utf8={name}.", f"fr.utf8=Une chose {number}.", "lt.utf8=Daiktas"]
        stem.with_suffix(".txt").write_text("\n".join([*lines, ""]), encoding="utf-8")
        for place, language in enumerate(("ru", "fr")):
            length, rate = (0.3, 0.9)[number % 2], (8000, 11025)[place]
            recording(Path(f"{stem}_desc_{language}.ogg"), 2 * number + place, length, rate)
        (stem.with_suffix(".png")).write_bytes(b"no sound")
        (Path(f"{stem}_en_GB.ogg")).write_bytes(b"a noise, not a name")
    return folder


def bopomofo(folder: Path) -> Path:
    """A package of syllables: two voices, tones and a neutral one, in the package's layout."""
    number = 0
    for initial in INITIALS:
        for final in FINALS:
            for tone in ("", "2", "3", "4", "1"):
                for voice in ("3", "5"):
                    recording(folder / f"{initial}{final}{tone}" / f"{voice}.ogg", number)
                    number += 1
    return folder


MAKERS = {"words": stamps, "syllables": bopomofo}


def params_file(
    folder: Path, name: str, change: Callable[[dict], None] = lambda content: None
) -> Path:
    """A study of seconds on a stand-in of a package."""
    content = tiny_content(folder)
    source = MAKERS[name](folder / "package")
    content[name] |= {"source": str(source), "sample_rate": RATE, "seconds": SECONDS}
    content[name] |= {"valid_share": 0.2, "test_share": 0.3}
    content |= {"video": None, "images": None}
    tasks = {"words": ["first_letter", "language"], "syllables": ["initial", "final", "tone"]}
    content["audio"] |= {"dataset": name}
    content["audio"]["downstream"] |= {"tasks": tasks[name], "n_examples": [10]}
    content["audio"]["downstream"]["others"] |= {"n_examples": []}
    content["audio"]["end_to_end"] |= {"methods": [], "seeds": [], "n_examples": []}
    content["audio"]["spectrograms"] |= {"hop_length": 256, "n_fft": 512, "f_max": 4000.0}
    change(content)
    path = folder / "params.yaml"
    path.write_text(yaml.safe_dump(content), encoding="utf-8")
    return path


def made(path: Path, name: str, threads: int = 1) -> None:
    chosen = ["--dataset", name, "--params", str(path)]
    make(load_params(path), name, threads)
    for shard in load_params(path).study("audio").shards:
        stages.spectrograms.main([*chosen, "--shard", str(shard), "--threads", "1"])
    stages.join.main(chosen)


# What files say


def test_what_the_names_of_words_say(tmp_path: Path) -> None:
    number = iter(range(100))
    for file in (
        "animals/cats/lion_desc_ru.ogg",
        "animals/cats/lion_desc_fr.ogg",
        "animals/cats/lion_desc_nl.ogg",
        "animals/cats/lion_desc.ogg",  # English
        "food/big_desc_apple_desc_bg.ogg",
        "town/stone_desc_da.ogg.ogg",  # as one in the package is called
        "town/mute_desc_el.ogg",  # no text beside it
        "town/lion_fr.ogg",  # no name: a noise
        "town/ten_desc_be.ogg",
    ):
        recording(tmp_path / file, next(number))
    texts = {
        "animals/cats/lion": "A lion.\nru.utf8=«Лев».\nfr.utf8= Un lion. \nfr@x.utf8=no\n",
        "food/big_desc_apple": "An apple.\nbg.utf8=“Fuji” ябълка.\n",
        "town/ten": "Ten.\r\nbe.utf8=10 рублёў.\r\n",
        "town/stone": "A stone.\nda.utf8=Ба=да\n",
    }
    for stem, text in texts.items():
        (tmp_path / f"{stem}.txt").write_bytes(text.encode())
    found = {item.id: item.labels for item in speech.words(tmp_path)}
    told = {
        file: (labels["language"], labels["category"], labels["first_letter"], labels["name"])
        for file, labels in found.items()
    }
    assert told == {
        "animals/cats/lion_desc.ogg": ("", "animals", "", ""),
        "animals/cats/lion_desc_fr.ogg": ("fr", "animals", "", "Un lion."),
        "animals/cats/lion_desc_nl.ogg": ("", "animals", "", ""),
        "animals/cats/lion_desc_ru.ogg": ("ru", "animals", "Л", "«Лев»."),
        "food/big_desc_apple_desc_bg.ogg": ("bg", "food", "", "“Fuji” ябълка."),
        "town/mute_desc_el.ogg": ("el", "town", "", ""),
        "town/stone_desc_da.ogg.ogg": ("da", "town", "", "Ба=да"),  # Danish is not Cyrillic
        "town/ten_desc_be.ogg": ("be", "town", "", "10 рублёў."),
    }
    things = {labels["thing"] for labels in found.values()}
    assert things == {
        *("animals/cats/lion", "food/big_desc_apple", "town/mute", "town/stone", "town/ten")
    }


def test_things_that_share_a_recording_or_a_name_are_one(tmp_path: Path) -> None:
    """a and b by a recording, b and c by a name, and so all three; d by neither."""
    for number, stem in enumerate("abcd"):
        recording(tmp_path / f"x/{stem}_desc_fr.ogg", number)
        recording(tmp_path / f"x/{stem}_desc_ca.ogg", 10 + number)
        name = {"b": "Un chat.", "c": "un CHAT"}.get(stem, stem)
        (tmp_path / f"x/{stem}.txt").write_text(f"x\nfr.utf8={name}\nca.utf8=Un {stem}.\n")
    shutil.copy(tmp_path / "x/a_desc_ca.ogg", tmp_path / "x/b_desc_ca.ogg")
    items = speech.words(tmp_path)
    assert {(i.labels["thing"], i.id[2]) for i in items} == {
        *(("x/a", "a"), ("x/a", "b"), ("x/a", "c"), ("x/d", "d"))
    }
    assert {i.id: i.reason for i in items if i.reason} == {
        "x/b_desc_ca.ogg": "identical to x/a_desc_ca.ogg"
    }


@given(st.lists(st.tuples(st.sampled_from("abcdefgh"), st.sampled_from("abcdefgh"))))
def test_what_pairs_lead_to_is_one(pairs: list[tuple[str, str]]) -> None:
    wanted = {
        name: min(part)
        for part in networkx.connected_components(networkx.Graph(pairs))
        for name in part
    }
    assert speech._merged(pairs) == wanted


def test_what_the_names_of_syllables_say(tmp_path: Path) -> None:
    bopomofo(tmp_path)
    recording(tmp_path / "ㄓ4/3.ogg", 0)
    recording(tmp_path / "other/3.ogg", 0)  # no syllable
    found = {item.id: item.labels for item in speech.syllables(tmp_path)}
    assert len(found) == 3 * 3 * 5 * 2 + 1
    assert found["ㄓ4/3.ogg"] == {
        **{"initial": "zh", "final": "none", "tone": "4", "voice": "3", "syllable": "ㄓ"}
    }
    for initial, as_initial in INITIALS.items():
        for final, as_final in FINALS.items():
            for tone, as_tone in {"": "1", "2": "2", "3": "3", "4": "4", "1": ""}.items():
                labels = found[f"{initial}{final}{tone}/5.ogg"]
                assert labels == {
                    "initial": as_initial,
                    "final": as_final,
                    "tone": as_tone,
                    "voice": "5",
                    "syllable": f"{initial}{final}",
                }


def test_the_letters_are_bopomofos() -> None:
    """Unicode has them in their order: 21 initials, then 16 of finals."""
    assert list(map(ord, speech.LATIN)) == list(range(0x3105, 0x312A))
    assert list(speech.LATIN.values())[20:22] == ["s", "a"]
    assert len(set(speech.LATIN.values())) == 37
    assert len(set(speech.LETTERS)) == 21 and len(speech.LANGUAGES) == 9


# The datasets


@pytest.mark.parametrize("name", list(MAKERS))
def test_a_dataset_has_windows_labels_and_splits(name: str, tmp_path: Path) -> None:
    path = params_file(tmp_path, name)
    made(path, name)
    params = load_params(path)
    manifest = pd.read_parquet(params.layout.manifest(name))
    group = PACKAGES[name].group
    assert manifest["kept"].all() and set(manifest["split"]) == {"train", "valid", "test"}
    assert manifest.groupby(group)["split"].nunique().eq(1).all()
    columns = {"words": "first_letter", "syllables": "tone"}
    assert manifest[columns[name]].isna().any()
    rows = 0
    for split in ("train", "valid", "test"):
        features = np.load(params.layout.features(name, split)).astype(np.float64)
        labels = pd.read_parquet(params.layout.labels(name, split))
        rows += len(features)
        for picture, (_, told) in zip(features, labels.iterrows(), strict=True):
            file = tmp_path / "package" / told["id"]
            sound, rate = soundfile.read(file)
            # Silence from the end of a short one on: 12 frames of 32 ms are the first 0.384 s.
            quiet = picture[:, int(len(sound) / rate / 0.032) + 2 :]
            assert picture.max() == 1 and (quiet.size == 0 or quiet.max() < 0.3)
            # Its tone is where it belongs, as librosa has it.
            frequency = np.abs(np.fft.rfft(sound)).argmax() * rate / len(sound)
            centres = _centres(params.study("audio").features)
            heard = centres[picture[:, 1:8].mean(axis=1).argmax()]
            assert abs(heard - frequency) < 80
    assert rows == len(manifest)


def _centres(settings) -> np.ndarray:
    import librosa

    edges = librosa.mel_frequencies(settings.n_mels + 2, fmin=settings.f_min, fmax=settings.f_max)
    return edges[1:-1]


@pytest.mark.parametrize("name", list(MAKERS))
def test_the_same_bytes_on_any_number_of_threads(name: str, tmp_path: Path) -> None:
    path = params_file(tmp_path, name)
    layout = load_params(path).layout
    found = []
    for threads in (1, 2):
        shutil.rmtree(tmp_path / "data", ignore_errors=True)
        made(path, name, threads)
        files = [p for p in layout.dataset(name).rglob("*") if "tfrecord" in p.name]
        files += [layout.labels(name, "train"), layout.manifest(name)]
        found.append([p.read_bytes() for p in files])
        assert len(found[-1]) == 5
    assert found[0] == found[1]


def test_what_has_no_label_takes_no_part_in_a_task(tmp_path: Path) -> None:
    path = params_file(tmp_path, "words")
    made(path, "words")
    params = load_params(path)
    letter, language = read_tasks(params, "audio")
    labels = pd.read_parquet(params.layout.labels("words", "train"))
    assert list(letter.fitted_on) == list(np.flatnonzero(labels["language"] == "ru"))
    assert set(letter.classes) == set("БКП") and len(letter.wanted) < letter.sizes[1]
    assert len(language.fitted_on) == len(labels) and set(language.classes) == {"fr", "ru"}


def test_an_estimate_knows_the_packages_sizes() -> None:
    for preset, name in (("speech", "words"), ("syllables", "syllables")):
        params = load_params(ROOT / f"presets/{preset}.yaml")
        assert PACKAGES[name].recordings - 3 <= sum(inputs(params, "audio").values())


# What is wrong is one line


def failed(call: Callable[[], None]) -> str:
    with pytest.raises(SystemExit) as stopped:
        cli.run(call)
    said = str(stopped.value.code)
    assert said.startswith("error: ") and len(said.splitlines()) == 1
    return said


@pytest.mark.parametrize("name", list(MAKERS))
def test_recordings_that_are_not_there_name_make_speech(name: str, tmp_path: Path) -> None:
    path = params_file(tmp_path, name)
    shutil.rmtree(tmp_path / "package")
    chosen = ["--dataset", name, "--params", str(path), "--threads", "1"]
    said = failed(lambda: stages.dataset.main(chosen))
    assert f"{name}.source" in said and "does not exist: run make speech" in said
    (tmp_path / "package").mkdir()
    said = failed(lambda: stages.dataset.main(chosen))
    assert "holds none of its recordings: run make speech" in said
    recording(tmp_path / "package" / ("a/b_desc_ru.ogg" if name == "words" else "ㄅ/3.ogg"), 0)
    assert "at least 3 are needed" in failed(lambda: stages.dataset.main(chosen))
    assert not load_params(path).layout.dataset(name).exists()


def test_a_damaged_recording_is_named(tmp_path: Path) -> None:
    path = params_file(tmp_path, "syllables")
    file = tmp_path / "package/ㄅㄚ/3.ogg"
    file.write_bytes(file.read_bytes()[:40])
    chosen = ["--dataset", "syllables", "--params", str(path), "--threads", "1"]
    said = failed(lambda: stages.dataset.main(chosen))
    assert "ㄅㄚ/3.ogg: unreadable" in said and "run make speech" in said
    assert not load_params(path).layout.dataset("syllables").exists()


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda c: c["words"].update(source="~/stamps"), "words.source"),
        (lambda c: c["words"].update(source=""), "words.source"),
        (lambda c: c["audio"].update(source="x"), "source: is for the dataset folder alone"),
        (lambda c: c["audio"]["downstream"].update(tasks=["tone"]), "unknown task 'tone': choose"),
        (lambda c: c.pop("words"), "words: missing: it is the dataset of audio"),
        (lambda c: c["words"].update(seconds=0.2), "audio.spectrograms.frames"),
    ],
)
def test_settings_that_are_wrong(tmp_path: Path, change, said: str) -> None:
    path = params_file(tmp_path, "words", change)
    assert said in failed(lambda: load_params(path))


# Both runners


def test_both_runners_have_the_same_jobs(tmp_path: Path, monkeypatch) -> None:
    """And they watch the recordings."""
    source = bopomofo(tmp_path / "package")
    (tmp_path / "project").mkdir()
    file = tmp_path / "project/sound.yaml"
    content = {"base": str(ROOT / "presets/syllables.yaml"), "syllables": {"source": str(source)}}
    file.write_text(yaml.safe_dump(content))
    wanted = snakemake_jobs(ROOT, str(file))
    folder = dvc_project(tmp_path / "project")
    monkeypatch.chdir(folder)
    assert dvc_jobs(folder, dvc_yaml.write(file)) == wanted
    (dataset,) = (job for job in wanted if "stages.dataset" in job.command)
    assert str(source) in dataset.inputs and "study/datasets/speech.py" in dataset.inputs
    assert "shuffle_to_learn/datasets/speech.py" in dataset.inputs


def test_dvc_is_told_what_is_missing(tmp_path: Path, capsys) -> None:
    path = params_file(tmp_path, "words")
    dvc_yaml.tell_missing(path)
    assert capsys.readouterr().err == ""
    shutil.rmtree(tmp_path / "package")
    dvc_yaml.tell_missing(path)
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("words.source: ") and "run make speech" in line


# Fetching

APT = """#!/bin/sh
echo "apt-get $@" >> "{log}"
[ -e "{broken}" ] && {{ echo "E: Unable to locate package $4" >&2; exit 100; }}
echo archive > "$3_1_all.deb"
"""
DPKG = """#!/bin/sh
echo "dpkg-deb $@" >> "{log}"
name=${{2%_1_all.deb}}
mkdir -p usr/share/doc/$name && echo licence > usr/share/doc/$name/copyright
case $name in
  gcin-voice) mkdir -p usr/share/gcin-voice/ogg/ㄅ && echo a > usr/share/gcin-voice/ogg/ㄅ/3.ogg;;
  *) mkdir -p usr/share/tuxpaint/stamps/food && echo a > usr/share/tuxpaint/stamps/food/a.ogg;;
esac
"""


@pytest.fixture
def debian(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of its own, and on the path apt-get and dpkg-deb as they are called here alone."""
    programs = tmp_path / "programs"
    programs.mkdir()
    for name, text in (("apt-get", APT), ("dpkg-deb", DPKG)):
        text = text.format(log=tmp_path / "log", broken=tmp_path / "broken")
        (programs / name).write_text(text, encoding="utf-8")
        (programs / name).chmod(0o755)
    monkeypatch.setenv("PATH", f"{programs}:/usr/bin:/bin")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def overlay(folder: Path, preset: str) -> list[str]:
    path = folder / "own.yaml"
    path.write_text(f"base: {ROOT}/{preset}\n")
    return ["--params", str(path)]


def test_packages_are_fetched_once_and_with_their_licence(debian: Path, capsys) -> None:
    chosen = overlay(debian, "params.yaml")  # on no speech: both are fetched
    fetching.main(chosen)
    recordings = debian / "data/recordings"
    assert (recordings / "words/food/a.ogg").is_file()
    assert (recordings / "syllables/ㄅ/3.ogg").is_file()
    for name in MAKERS:
        assert (recordings / name / "copyright").read_text() == "licence\n"
    assert sorted(os.listdir(recordings)) == ["syllables", "words"]
    calls = (debian / "log").read_text().splitlines()
    assert calls == [
        *(
            "apt-get download -q tuxpaint-stamps-default",
            "dpkg-deb -x tuxpaint-stamps-default_1_all.deb .",
        ),
        *("apt-get download -q gcin-voice", "dpkg-deb -x gcin-voice_1_all.deb ."),
    ]
    fetching.main(chosen)
    assert (debian / "log").read_text().splitlines() == calls
    assert "is there" in capsys.readouterr().err


def test_only_what_the_study_is_on_is_fetched(debian: Path) -> None:
    fetching.main(overlay(debian, "presets/syllables.yaml"))
    assert os.listdir(debian / "data/recordings") == ["syllables"]


def test_without_apt_one_line_says_what_to_get(debian: Path, monkeypatch) -> None:
    chosen = overlay(debian, "presets/syllables.yaml")
    monkeypatch.setenv("PATH", str(debian))
    said = failed(lambda: fetching.main(chosen))
    assert "apt-get is not here: get Debian's package gcin-voice" in said
    assert "usr/share/gcin-voice/ogg at data/recordings/syllables" in said


def test_a_download_that_fails_leaves_nothing(debian: Path) -> None:
    (debian / "broken").touch()
    said = failed(lambda: fetching.main(overlay(debian, "presets/syllables.yaml")))
    assert "E: Unable to locate package" in said and "get Debian's package gcin-voice" in said
    assert os.listdir(debian / "data/recordings") == []


# The real thing


@pytest.mark.long
def test_a_small_real_study_of_syllables_under_both_runners(tmp_path: Path) -> None:
    """The package itself, as make speech fetches it: tones are told by the features, not by chance.

    Chance is 0.27, the share of the most frequent tone in the package.
    """
    scores = []
    for runner in ("snakemake", "dvc"):
        study = Study(tmp_path / runner)
        path = study.folder / "params.yaml"
        content = yaml.safe_load(path.read_text())
        real = yaml.safe_load((ROOT / "presets/syllables.yaml").read_text())["audio"]
        content |= {"video": None, "images": None}
        audio = content["audio"]
        audio |= {"dataset": "syllables", "slicings": ["time-5"], "shards": [0]}
        audio["spectrograms"] |= {**real["spectrograms"], "frames": 60}
        audio["downstream"] |= {"tasks": ["tone", "voice"], "n_examples": [400]}
        audio["downstream"]["others"] |= {"probes": [], "layers": [], "n_examples": []}
        audio["end_to_end"] |= {"methods": [], "seeds": [], "n_examples": []}
        path.write_text(yaml.safe_dump(content, sort_keys=False))
        fetched = subprocess.run(
            [sys.executable, "-m", "tools.speech"],
            cwd=study.folder,
            capture_output=True,
            text=True,
            check=False,
        )
        if fetched.returncode:
            pytest.skip(f"gcin-voice could not be fetched: {fetched.stderr.strip()}")
        study.call(sys.executable, "-m", "tools.dvc_yaml")  # since the dataset is another
        assert "dataset syllables" in getattr(study, runner)()
        assert getattr(study, runner)() == set()
        manifest = pd.read_parquet(study.folder / "data/tiny/syllables/manifest.parquet")
        assert len(manifest) == 2358 and manifest["kept"].all()
        assert manifest["syllable"].nunique() == 415 and manifest["initial"].nunique() == 22
        scores.append((study.folder / "results/tiny/scores.csv").read_bytes())
    assert scores[0] == scores[1]
    table = pd.read_csv(study.folder / "results/tiny/scores.csv")
    raw = table[(table["method"] == "raw")].groupby("task")["value"].mean()
    assert raw["tone"] > 0.5 and raw["voice"] > 0.9
    assert "recorded syllables of Mandarin" in (study.folder / "results/tiny/index.html").read_text(
        encoding="utf-8"
    )
