"""docs/own-folder.md's walk through a real folder, on a small one of the same layout."""

from __future__ import annotations

import html
import re
import shlex
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import soundfile
import yaml
from conftest import ROOT
from tiny_study import Study

pytestmark = pytest.mark.long
DOCS = (ROOT / "docs/own-folder.md").read_text()
SOUNDS = Path("data/recordings/prompts/usr/share/asterisk/sounds")
VOICES = {
    "en_US_f_Allison": 200,
    "es_MX_f_Allison": 260,
    "fr_CA_f_June": 330,
    "it_IT_m_Carlo": 120,
    "ru_RU_f_IvrvoiceRU": 410,
}
"""The voices of the packages, and a pitch for each in Hz."""


def prompts(folder: Path) -> None:
    """Sounds of many lengths in the layout of the packages; a voice is a pitch with overtones."""
    names = [f"prompt-{number}" for number in range(36)] + ["beep", "ascending-2tone"]
    names += [f"digits/{number}" for number in range(10)] + ["silence/1", "letters/a"]
    for voice, pitch in VOICES.items():
        for number, name in enumerate(names):
            rng = np.random.default_rng([pitch, number])
            t = np.arange(int(8000 * rng.uniform(0.2, 4.5))) / 8000
            tone = sum(np.sin(2 * np.pi * pitch * k * t + rng.uniform(0, 6)) / k for k in (1, 2, 3))
            path = folder / voice / f"{name}.wav"
            path.parent.mkdir(parents=True, exist_ok=True)
            silent = name.startswith("silence")
            sound = 0.0 * t if silent else 0.2 * tone + 0.02 * rng.normal(size=len(t))
            soundfile.write(path, sound, 8000)
    (folder / "ru_RU_f_IvrvoiceRU/is.wav").touch()  # as there


def blocks(kind: str) -> list[str]:
    """The blocks of code of the section, as they stand there."""
    section = DOCS.split("## A real folder, from its files to a page\n")[1].split("\n## ")[0]
    found = re.findall(r"^```(\w*)\n(.*?)^```$", section, re.DOTALL | re.MULTILINE)
    return [code for of, code in found if of == kind]


def test_the_walk_through_a_real_folder(tmp_path: Path) -> None:
    study = Study(tmp_path)
    prompts(tmp_path / SOUNDS)
    (script,) = blocks("python")
    study.call(sys.executable, "-c", script)
    labels = pd.read_csv(tmp_path / SOUNDS / "labels.csv", dtype=str)
    assert set(labels["language"]) == {"en", "es", "fr", "it", "ru"}
    assert not labels["file"].str.contains("silence|beep|tone").any()
    assert (labels.groupby("prompt").size()[lambda n: n.index != "is.wav"] == 5).all()

    commands = [
        line for block in blocks("") for line in block.splitlines() if line.startswith("make ")
    ]
    assert [line.split()[1] for line in commands] == ["check", "study", "browse"]
    assert all(line.endswith("PARAMS=presets/prompts.yaml") for line in commands)
    small = {
        "base": "presets/prompts.yaml",
        "folder": {"max_rejected": 0.1},
        "audio": {
            "methods": ["random", "perturbed_fy"],
            "pretrain": {"epochs": 1, "width": 0.03, "joined_features": 16},
            "downstream": {
                "n_examples": [20, 100],
                "steps": 40,
                "others": {"n_examples": [100]},
            },
        },
    }
    (tmp_path / "small.yaml").write_text(yaml.safe_dump(small, sort_keys=False))
    said = study.call(sys.executable, "-m", "tools.check", PARAMS="small.yaml")
    assert f"{SOUNDS}: 251 files (.wav 251), {len(labels)} with labels" in said
    assert "ru_RU_f_IvrvoiceRU/is.wav: empty" in said and "sample rates: 8000 Hz 250" in said

    study.call("snakemake", "--cores", "2", PARAMS="small.yaml")
    splits = pd.read_csv(tmp_path / "data/prompts/folder/files.csv").merge(labels, on="file")
    assert (splits.groupby("prompt")["split"].nunique() == 1).all()
    page = (tmp_path / "results/prompts/index.html").read_text()
    opening = page.split('<section id="found">')[1]
    first = re.search(r'<p class="found">(.*?)</p>', opening)
    assert first is not None
    assert first[1].startswith("Language accuracy: pretraining ")
    assert set(re.findall(r"(\d+) labels", first[1])) == {"20", "100"}
    assert opening.index("Did pretraining pay?") < opening.index("The claims")
    drawn = pd.read_csv(tmp_path / "results/prompts/figures/paid-audio.csv")
    assert set(drawn["n_examples"]) == {20, 100}
    assert set(drawn["method"]) == {"perturbed_fy", "random", "raw", "summary"}

    found = re.search(r"<code>(python -m tools.embed_files .*?)</code>", opening)
    assert found is not None
    other = tmp_path / "other"
    other.mkdir()
    soundfile.write(other / "a.aiff", np.sin(np.arange(16_000) / 9), 8000)
    command = html.unescape(found[1]).replace("YOUR.yaml", "small.yaml").replace("FILES", "other")
    _, *words = shlex.split(command)
    study.call(sys.executable, *words)
    table = pd.read_parquet(tmp_path / "embeddings.parquet")
    assert list(table["file"]) == ["a.aiff"]
    layer = re.search(r"--layer (\w+)", command)
    assert layer is not None
    assert len(table["embedding"][0]) == {"joined": 16, "tiles": 640}[layer[1]]
