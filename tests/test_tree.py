"""Files are found under any name and behind links, and each of them once."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shuffle_to_learn.datasets.tree import located, text, walk

ODD = [
    b"a b.wav",
    b"caf\xe9.wav",
    b"a\nb.wav",
    b"tab\tand\rreturn.wav",
    b"#1.wav",
    b"'single'.wav",
    b'"double".wav',
    b"$HOME $_$.wav",
    b"-i.wav",
    b"--.wav",
    b"a\\b.wav",
    b"100%.wav",
    b"%41.wav",
    b"*?[x].wav",
    b"a,b;c.wav",
    "Ä日本\U0001f426.wav".encode(),
    "line\u2028separator.wav".encode(),
    b"\xff\xfe.wav",
    b" .wav",
]


@pytest.mark.parametrize("name", ODD)
def test_any_name_can_be_written_down_and_leads_to_its_file(tmp_path: Path, name: bytes) -> None:
    folder = os.path.join(os.fsencode(tmp_path), name)
    os.mkdir(folder)
    with open(os.path.join(folder, name), "wb") as file:
        file.write(name)
    (found,) = walk(tmp_path)
    assert found.encode().decode().isprintable()
    assert located(tmp_path, found).read_bytes() == name
    plain = name.decode("utf-8", "replace")
    if plain.isprintable() and "\ufffd" not in plain:
        assert found == f"{plain}/{plain}"


@given(st.binary(min_size=1, max_size=20).filter(lambda name: not {0, 47} & {*name}))
def test_a_name_is_text_and_back(name: bytes) -> None:
    written = text(os.fsdecode(name))
    assert len(written.splitlines()) == 1
    written.encode()
    if b"%" not in name:  # located() looks whether such a file is there
        assert os.fsencode(located(Path("nowhere"), written)) == b"nowhere/" + name or name in (
            b".",
            b"..",
        )


def test_folders_behind_links_are_followed_and_loops_end(tmp_path: Path) -> None:
    source, other = tmp_path / "source", tmp_path / "other"
    for folder in (source / "a", source / "b" / "c", other / "deep"):
        folder.mkdir(parents=True)
        (folder / "1.wav").touch()
    (source / "elsewhere").symlink_to(other)
    (source / "loop").symlink_to(source)
    (source / "b" / "up").symlink_to("..")
    (other / "deep" / "back").symlink_to(source)
    (source / "0 again").symlink_to(source / "a")  # before it in the order of names
    (source / "file.wav").symlink_to(other / "deep" / "1.wav")
    (source / "nowhere").symlink_to(tmp_path / "none")
    (source / "itself").symlink_to("itself")
    found = ["a/1.wav", "b/c/1.wav", "elsewhere/deep/1.wav", "file.wav"]
    assert sorted(walk(source)) == found
    (tmp_path / "linked").symlink_to(source)
    assert sorted(walk(tmp_path / "linked")) == found
    assert all(located(source, name).is_file() for name in found)


def test_hidden_files_and_folders_are_left_out(tmp_path: Path) -> None:
    for name in (".git/1.wav", "a/.2.wav", "a/3.wav", ".DS_Store"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    (tmp_path / ".link").symlink_to(tmp_path / "a")
    assert list(walk(tmp_path)) == ["a/3.wav"]
