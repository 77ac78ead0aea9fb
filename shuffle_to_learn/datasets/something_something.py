"""A TFDS builder for Something-Something v2, which TFDS has no loader for."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import tensorflow_datasets as tfds


class SomethingSomethingV2(tfds.core.GeneratorBasedBuilder):
    """Something-Something v2 from a folder downloaded by hand; a video is stored as its path.

    Args:
        folder: holds ``20bn-something-something-v2/<id>.webm`` and ``labels/{labels, train,
            validation}.json``; needed to write the dataset, not to read it.
        progress: a progress callback; needed to write the dataset, not to read it.
    """

    name = "something_something_v2"
    VERSION = tfds.core.Version("2.0.0")

    def __init__(
        self,
        *,
        folder: Path | None = None,
        progress: Callable[..., Iterator[Any]] | None = None,
        **kwargs: Any,
    ) -> None:
        self._folder = folder
        self._progress = progress
        super().__init__(**kwargs)

    def _info(self) -> tfds.core.DatasetInfo:
        numbers = self._read("labels") if self._folder else {}
        names = sorted(numbers, key=lambda label: int(numbers[label]))
        return tfds.core.DatasetInfo(
            builder=self,
            description="Clips of actions, each labelled with one of 174 templates.",
            features=tfds.features.FeaturesDict(
                {
                    "id": tfds.features.Text(),
                    "video": tfds.features.Text(),
                    "label": tfds.features.ClassLabel(names=names),
                    "template": tfds.features.Text(),
                    "placeholders": tfds.features.Sequence(tfds.features.Text()),
                }
            ),
            homepage="https://www.qualcomm.com/developer/software/something-something-v-2-dataset",
        )

    def _read(self, name: str) -> Any:
        if self._folder is None:
            raise ValueError("to write the dataset, give it its folder")
        return json.loads((self._folder / f"labels/{name}.json").read_text(encoding="utf-8"))

    def _split_generators(self, dl_manager: Any) -> dict[str, Iterator[tuple[str, dict]]]:
        return {split: self._generate_examples(split) for split in ("train", "validation")}

    def _generate_examples(self, split: str) -> Iterator[tuple[str, dict]]:
        clips = self._read(split)
        if self._progress is not None:
            clips = self._progress(clips, total=len(clips), label=split, unit="clips")
        for clip in clips:
            yield (
                clip["id"],
                {
                    "id": clip["id"],
                    "video": f"20bn-something-something-v2/{clip['id']}.webm",
                    "label": clip["template"].replace("[", "").replace("]", ""),
                    "template": clip["template"],
                    "placeholders": clip["placeholders"],
                },
            )
