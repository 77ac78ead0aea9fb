"""Stands in for the stages: a job writes, for each output that is declared, a digest of its inputs.

Python imports this first where the folder is on PYTHONPATH. A program called as ``python -m
stages.<name>`` then ends here, having written, in place of every output that the file JOBS lists
for its command, a digest of the command, its declared inputs and its declared parameters. Whatever
else is run (the runners themselves) goes on as always. So what a runner reruns depends on what it
declares alone, and a whole study takes seconds.
"""

import sys

if sys.orig_argv[1:2] == ["-m"] and sys.orig_argv[2:3] and sys.orig_argv[2].startswith("stages."):
    import hashlib
    import json
    import os
    from pathlib import Path

    words = sys.orig_argv[1:]
    for option in ("--threads", "--params"):  # no part of what a job is
        if option in words:
            at = words.index(option)
            del words[at : at + 2]
    jobs = json.loads(Path(os.environ["JOBS"]).read_text())
    job = jobs[" ".join(["python", *words])]
    digest = hashlib.sha256(json.dumps([words, job["params"]]).encode())

    def add(path: Path) -> None:
        if path.is_dir():
            for name in sorted(os.listdir(path)):
                if name != ".snakemake_timestamp":
                    add(path / name)
        else:
            digest.update(str(path).encode() + b"\0" + path.read_bytes())

    for name in sorted(job["inputs"]):
        add(Path(name))
    for name in job["outputs"]:
        path = Path(name)
        if path.name == "tfds":
            path.mkdir(parents=True, exist_ok=True)
            path /= "dataset"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"{name} {digest.hexdigest()}\n")
    os._exit(0)
