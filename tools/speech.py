"""Fetch recorded speech: make speech, or make speech PARAMS=presets/syllables.yaml.

Downloads the Debian packages of the datasets words and syllables by apt-get and unpacks them by
dpkg-deb, which needs no root and installs nothing. Puts the recordings, with the package's licence
(the file copyright), where the params file says: `source` of the sections words and syllables. Of a
params file whose study is on one of them only that one is fetched. A folder that is there stays.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from shuffle_to_learn.datasets.packages import PACKAGES, Package
from study import cli
from study.errors import InputError
from study.loading import load_params
from study.params import Params

NEEDED = ("apt-get", "dpkg-deb")


def wanted(params: Params) -> dict[str, Path]:
    """The datasets to fetch, and where to."""
    studied = {study.dataset for study in params.studies.values()} & PACKAGES.keys()
    sections = {name: getattr(params, name) for name in PACKAGES if name in (studied or PACKAGES)}
    return {name: Path(section.source) for name, section in sections.items() if section}


def fetch(package: Package, target: Path) -> None:
    """Download a package and move its recordings to a folder, all or nothing.

    Raises:
        InputError: where that cannot be done; it says what to get by hand.
    """
    by_hand = (
        f"get Debian's package {package.name}, unpack it and put its folder {package.folder} "
        f"at {target}"
    )
    if missing := [program for program in NEEDED if shutil.which(program) is None]:
        raise InputError(f"{missing[0]} is not here: {by_hand}")
    target.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=target.parent, prefix=f".{target.name}.tmp") as name:
        folder = Path(name)
        _call(["apt-get", "download", "-q", package.name], folder, by_hand)
        archives = [path.name for path in folder.glob("*.deb")]
        if len(archives) != 1:
            raise InputError(f"apt-get download left {len(archives)} packages: {by_hand}")
        _call(["dpkg-deb", "-x", archives[0], "."], folder, by_hand)
        recordings = folder / package.folder
        if not recordings.is_dir():
            raise InputError(f"{archives[0]} has no folder {package.folder}: {by_hand}")
        shutil.copy2(folder / f"usr/share/doc/{package.name}/copyright", recordings)
        recordings.rename(target)


def _call(command: list[str], folder: Path, by_hand: str) -> None:
    done = subprocess.run(  # noqa: S603 - the commands above
        command, cwd=folder, capture_output=True, text=True, check=False
    )
    if done.returncode:
        said = (done.stderr.strip() or f"status {done.returncode}").splitlines()[-1]
        raise InputError(f"{' '.join(command)}: {said} (apt-get update?): {by_hand}")


def main(arguments: list[str] | None = None) -> None:
    options = cli.tool_parser(__doc__)
    params = load_params(options.parse_args(arguments).params)
    for name, target in wanted(params).items():
        if target.exists():
            print(f"{name}: {target} is there", file=sys.stderr)
            continue
        package = PACKAGES[name]
        print(f"{name}: {package.name}, {package.size} MB, to {target}", file=sys.stderr)
        fetch(package, target)


if __name__ == "__main__":
    cli.run(main)
