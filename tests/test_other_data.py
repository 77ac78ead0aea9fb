"""Real runs of both runners on the paper's datasets, as tiny files of the same formats, and on a
folder."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import yaml
from test_folder import pictures, write_labels
from test_public import HELD_OUT, OWN, SEED, make
from tiny_study import BARE, EVERYTHING, IMAGES, Study, ran

pytestmark = pytest.mark.long
DATASETS = {"notes": "nsynth_full", "motions": "something_something_v2", "scenes": "imagenet_voc"}


def rewrite(study: Study, change: Any) -> None:
    path = study.folder / "params.yaml"
    content = yaml.safe_load(path.read_text())
    change(content)
    path.write_text(yaml.safe_dump(content, sort_keys=False))


def test_the_papers_datasets_under_both_runners(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = tmp_path / "tfds"

    def change(content: dict) -> None:
        for modality, name in OWN.items():
            content[name] = {"data_dir": str(data), "held_out_share": HELD_OUT, "seed": SEED}
            content[modality] |= {"dataset": name}
        content["audio"] |= {"methods": ["perturbed_fy"]}
        content["audio"]["end_to_end"] |= {"methods": []}
        content["video"]["frames"] |= {"count": 6}
        content["video"]["slicings"] = ["frames-4"]

    for modality in OWN:
        make(modality, data / modality, monkeypatch)
    for part in data.iterdir():  # each was prepared in a folder of its own
        for path in part.rglob("*"):
            target = data / path.relative_to(part)
            if path.is_file():
                target.parent.mkdir(parents=True, exist_ok=True)
                path.rename(target)

    def named(jobs: set[str]) -> set[str]:
        return {" ".join(DATASETS.get(word, word) for word in job.split(" ")) for job in jobs}

    scores = []
    for runner in ("snakemake", "dvc"):
        study = Study(tmp_path / runner)
        rewrite(study, change)
        study.call(sys.executable, "-m", "tools.dvc_yaml")  # since the datasets are others
        run = getattr(study, runner)
        assert run() == named({job for job in EVERYTHING if "random" not in job})
        assert run() == set()
        scores.append((study.folder / "results/tiny/scores.csv").read_bytes())
    assert scores[0] == scores[1]
    table = pd.read_csv(study.folder / "results/tiny/scores.csv")
    assert set(table["dataset"]) == set(OWN.values())
    assert (study.folder / "results/tiny/tables/table1.csv").is_file()
    page = (study.folder / "results/tiny/index.html").read_text()
    assert "NSynth" in page and "embedded dataset" not in page


def test_a_folder_under_both_runners(tmp_path: Path) -> None:
    study = Study(tmp_path)
    source = tmp_path / "pictures"
    source.mkdir()
    write_labels(source, pictures(source))

    def change(content: dict) -> None:
        study = content["images"]
        content["folder"] |= {"group": "", "valid_share": 0.15, "test_share": 0.3}
        study |= {"dataset": "folder", "source": "pictures"}
        study["pretrain"]["batch_size"] = 8
        study["downstream"] |= {"tasks": {"species": "categories"}, "n_examples": [20]}

    rewrite(study, change)
    study.call(sys.executable, "-m", "tools.dvc_yaml")  # since a dataset is another
    scored = {
        job for job in IMAGES | BARE["images"] if not job.startswith(("examples", "pre", "em"))
    }
    wanted = {"dataset folder", "pictures folder 0", "join folder", "labels"}
    wanted |= IMAGES | BARE["images"]
    wanted -= {"examples images"}

    def correct() -> None:
        """One label, and what changes nothing."""
        text = (source / "labels.csv").read_text()
        name = text.splitlines()[1].partition(",")[0]
        table = pd.read_csv(source / "labels.csv", keep_default_na=False).set_index("file")
        table.loc[name, "species"] = "red" if table.loc[name, "species"] != "red" else "blue"
        table.to_csv(source / "labels.csv")
        (source / ".DS_Store").touch()
        (source / "03.png").touch()

    assert study.snakemake("images") == wanted
    assert study.snakemake("images") == set()
    correct()
    assert study.snakemake("images") == {"labels"} | scored
    (source / "00.jpg").write_bytes((source / "02.jpg").read_bytes())
    assert ran(study.call("snakemake", "-n", "images")) == wanted
    shutil.rmtree(tmp_path / "data")
    up_to_scores = ("downstream-images", "no_network-images")
    assert ran(study.call("dvc", "repro", *up_to_scores)) == wanted | {"listing"}
    correct()
    assert ran(study.call("dvc", "repro", *up_to_scores)) == {"listing", "labels"} | scored
    (source / "02.jpg").write_bytes((source / "04.jpg").read_bytes())
    assert ran(study.call("dvc", "repro", "join-images")) == {
        "listing",
        "dataset folder",
        "pictures folder 0",
        "join folder",
    }
