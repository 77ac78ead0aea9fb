"""The labels of a folder: labels.csv, or the directory that each file is in."""

from __future__ import annotations

import csv
import difflib
import io
import unicodedata
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

from shuffle_to_learn.datasets.tree import assign
from study.errors import InputError
from study.paths import SPLITS
from study.sections import Folder

LABELS = "labels.csv"
FILE = "file"
DELIMITERS = (",", ";", "\t")
NAMED = 3  # faults of a kind that are told one by one


def directory(file: str) -> str:
    """The folder that a file is in, below the one of the dataset."""
    return file.rpartition("/")[0]


def read_labels(folder: Path, names: list[str]) -> dict[str, dict[str, str]]:
    """The labels of files: those of labels.csv, or the folder that each is in.

    What is plain is read: commas, semicolons or tabs, UTF-8, UTF-16 or Windows-1252, spaces around
    cells, empty rows, commas too many at the ends of rows, names of another case, another Unicode
    form, with backslashes, or absolute.

    Args:
        folder: of the files.
        names: of the files, relative to the folder.

    Returns:
        For each file that has a row the texts of its columns; empty where nothing is known.

    Raises:
        InputError: a row is not what the header says, or names no file of the folder, or one that
            another row names.
    """
    path = folder / LABELS
    if not path.exists():
        return {name: {"directory": directory(name)} for name in names}
    columns, rows = _table(path)
    found: dict[str, dict[str, str]] = {}
    first: dict[str, int] = {}
    faults: list[str] = []
    known = _Names(folder, names)
    for number, cells in rows:
        row = dict(zip(columns, cells, strict=True))
        said = row.pop(FILE)
        if not said:
            faults.append(f"row {number} names no file")
            continue
        name = known.find(said)
        if isinstance(name, list):
            close = f" (is it {name[0]}?)" if name else ""
            faults.append(f"row {number}: {said} is not in {folder} or of another kind{close}")
        elif name in first:
            faults.append(f"row {number}: {name} is in row {first[name]} already")
        else:
            first[name] = number
            found[name] = {"directory": directory(name), **row}
    if faults:
        more = f"; and {len(faults) - NAMED} more rows" if len(faults) > NAMED else ""
        raise InputError(f"{path}: {'; '.join(faults[:NAMED])}{more}")
    return found


def _table(path: Path) -> tuple[list[str], list[tuple[int, list[str]]]]:
    """The columns of a table, and its rows with their numbers: as many cells as columns.

    Raises:
        InputError: the file is no such table; the row is named, and what was expected.
    """
    lines = io.StringIO(_text(path), newline="").readlines()
    header = next((line for line in lines if line.strip(" \t\r\n,;")), "")
    wide = {delimiter: _cells(header, delimiter) for delimiter in DELIMITERS}
    delimiter = next((d for d, cells in wide.items() if FILE in cells), None)
    if delimiter is None:
        raise InputError(
            f"{path} has no column {FILE}: it names each file, relative to {path.parent}; the "
            f"first row is {header.strip()!r}"
        )
    rows = _rows(path, lines, delimiter)
    _, columns = next(rows)
    table = [(number, cells + [""] * (len(columns) - len(cells))) for number, cells in rows]
    for number, cells in table:
        if any(cells[len(columns) :]):
            raise InputError(
                f"{path}: row {number} has {_length(cells)} cells, and the header "
                f"{_length(columns)}: put a cell that holds {delimiter!r} in quotes"
            )
    named = [place for place, column in enumerate(columns) if column]
    for place, column in enumerate(columns):
        if not column and any(cells[place] for _, cells in table):
            raise InputError(f"{path}: column {place + 1} has no name in the first row")
        if column and columns.index(column) != place:
            raise InputError(f"{path} has two columns {column}: give each a name of its own")
    kept = [(number, [cells[place] for place in named]) for number, cells in table]
    return [columns[place] for place in named], kept


def _length(cells: list[str]) -> int:
    """The number of cells without empty ones at the end."""
    return max((place for place, cell in enumerate(cells, 1) if cell), default=0)


def _cells(line: str, delimiter: str) -> list[str]:
    return [
        cell.strip()
        for cell in next(csv.reader([line], delimiter=delimiter, skipinitialspace=True), [])
    ]


def _rows(path: Path, lines: list[str], delimiter: str) -> Iterator[tuple[int, list[str]]]:
    """The rows that hold something, with their numbers in the file, which count from 1."""
    reader = csv.reader(lines, delimiter=delimiter, skipinitialspace=True, strict=True)
    start = 1
    try:
        for cells in reader:
            if any(cell.strip() for cell in cells):
                yield start, [cell.strip() for cell in cells]
            start = reader.line_num + 1
    except csv.Error as error:
        raise InputError(f"{path}: row {start}: {error}: a quote is not closed?") from None


def _text(path: Path) -> str:
    """The text of a file in UTF-8, in UTF-16, or else in Windows-1252."""
    content = path.read_bytes()
    if content.startswith((b"\xff\xfe", b"\xfe\xff")):
        encodings = ["utf-16"]
    elif b"\0" in content[:64]:
        encodings = ["utf-16-le" if content[1:2] == b"\0" else "utf-16-be"]
    else:
        encodings = ["utf-8-sig", "cp1252"]
    for encoding in encodings:
        try:
            return io.TextIOWrapper(io.BytesIO(content), encoding, newline="").read()
        except UnicodeDecodeError:
            continue
    raise InputError(f"{path} is not text in {' or '.join(encodings)}: save it as UTF-8")


class _Names:
    """The names of files, to be found by what a person writes for them."""

    def __init__(self, folder: Path, names: list[str]) -> None:
        self._folder = folder
        self._exact = set(names)
        self._plain: dict[str, list[str]] = defaultdict(list)
        for name in names:
            self._plain[_plain(name)].append(name)

    def find(self, said: str) -> str | list[str]:
        """The file that is meant; where none or several could be, those that are near."""
        for name in (said, self._relative(said.replace("\\", "/"))):
            if name in self._exact:
                return name
        near = self._plain.get(_plain(name), [])
        if len(near) == 1:
            return near[0]
        return near or difflib.get_close_matches(name, self._exact, 1)

    def _relative(self, name: str) -> str:
        for folder in (self._folder, self._folder.resolve()):
            name = name.removeprefix(f"{folder.absolute().as_posix()}/")
        return "/".join(part for part in name.split("/") if part != ".")


def _plain(name: str) -> str:
    """A name without case and in one form of Unicode: é is two characters on some disks."""
    return unicodedata.normalize("NFC", unicodedata.normalize("NFC", name).casefold())


def split_files(
    settings: Folder, folder: Path, labels: dict[str, dict[str, str]], task: str | None
) -> dict[str, str]:
    """The split of each labelled file: its column of labels.csv, or drawn.

    Args:
        settings: of the draw.
        folder: of the files.
        labels: of each labelled file.
        task: the column whose classes each split is to have.

    Raises:
        InputError: there is no such column of groups or splits, or too few files.
    """
    where, column, labelled = folder / LABELS, settings.group, sorted(labels)
    if column and any(column not in labels[name] for name in labelled):
        raise InputError(f"folder.group: {where} has no column {column}")
    if labelled and "split" in labels[labelled[0]]:  # a column, so in every row
        splits = {name: labels[name]["split"] for name in labelled}
        for name, split in splits.items():
            if split not in SPLITS:
                raise InputError(
                    f"{where}: the split of {name} is {split!r}: use train, valid or test"
                )
        if absent := [split for split in SPLITS if split not in splits.values()]:
            raise InputError(f"{where}: no file is in the split {absent[0]}")
        return splits
    groups = [(labels[name][column] if column else "") or name for name in labelled]
    classes = [labels[name].get(task, "") if task else "" for name in labelled]
    try:
        drawn = assign(
            groups,
            classes,
            valid_share=settings.valid_share,
            test_share=settings.test_share,
            seed=settings.seed,
        )
    except ValueError as error:
        what = f"groups of {column}" if column else "labelled files"
        raise InputError(f"{folder}: {what}: {error}") from None
    return dict(zip(labelled, drawn, strict=True))
