"""Write a dataset as a prepared TFDS dataset, with a manifest of what is in it.

  notes    notes of soundfonts after NSynth's protocol, less what is silent, clipped, out of tune or
           the same as another note
  motions  clips of moving things, labelled as in Something-Something, as mp4 and webm files
  scenes   composed pictures of 20 kinds of things, labelled as in VOC, as JPEG files
  folder   files of your own: recordings cut into windows, clips or pictures, with a labels.csv
  words, syllables
           recorded speech, of Debian packages that make speech fetches: docs/speech.md
  nsynth_full, nsynth_gansynth_subset, imagenet_voc, something_something_v2
           the paper's, as TFDS prepared them in the params file's data_dir: nothing is copied

Writes, below the data folder of the params file,

  <dataset>/tfds               read it with tfds.load("<dataset>", data_dir=".../tfds")
  <dataset>/manifest.parquet   one row an example: its split and labels; of notes one a candidate,
                               with the reason where it is left out; of a folder one a file or
                               window; of the paper's datasets one a part of a split
"""

from __future__ import annotations

from concurrent.futures.process import BrokenProcessPool
from importlib import import_module

from study import cli
from study.errors import InputError
from study.graph import dataset_module
from study.params import DATASETS
from study.tensorflow import start_tensorflow


def main(arguments: list[str] | None = None) -> None:
    args, params = cli.open_stage(__doc__, "dataset", "threads", arguments=arguments)
    if args.dataset not in DATASETS:
        known = ", ".join(DATASETS)
        raise InputError(f"unknown dataset {args.dataset!r}: use one of {known}")
    if getattr(params, args.dataset) is None:
        raise InputError(f"{args.params} has no section {args.dataset}")
    threads = cli.threads(args, params.threads.dataset)
    start_tensorflow(threads)
    # By its name: a dataset's code is its own module's (study/graph.py), not the others'.
    module = dataset_module(args.dataset).removesuffix(".py").replace("/", ".")
    make = import_module(module).make
    try:
        make(params, args.dataset, threads)
    except FileNotFoundError as error:
        if error.errno is not None:
            raise
        raise InputError(str(error)) from None  # a package's data that is not installed
    except BrokenProcessPool:
        raise InputError(
            "a process that renders was killed: give the machine more memory"
        ) from None


if __name__ == "__main__":
    cli.run(main)
