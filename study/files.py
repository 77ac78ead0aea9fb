"""Files of the study: written whole or not at all, and read with clear errors."""

from __future__ import annotations

import csv
import json
import os
import shutil
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from study.errors import InputError

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd


@contextmanager
def atomic(path: str | Path) -> Iterator[Path]:
    """A temporary name beside ``path`` (file or folder), renamed to it when the block succeeds."""
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.stem}.tmp{path.suffix}")
    _remove(temporary)
    try:
        yield temporary
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        os.replace(temporary, path)
    except BaseException as error:
        _remove(temporary)
        if isinstance(error, OSError):  # numpy's own, of a full disk, has no number
            raise InputError(f"could not write {path}: {error.strerror or error}") from error
        raise


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def write_text(path: str | Path, text: str) -> None:
    """Write a text file whole."""
    with atomic(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def write_json(path: str | Path, value: Any) -> None:
    """Write JSON, two spaces an indent, keys in the order given."""
    write_text(path, json.dumps(value, indent=2) + "\n")


def write_csv(path: str | Path, table: pd.DataFrame) -> None:
    """Write a table as CSV without its index."""
    with atomic(path) as temporary:
        table.to_csv(temporary, index=False, lineterminator="\n")


def write_rows(path: str | Path, columns: list[str], rows: Iterable[Mapping[str, Any]]) -> None:
    """Write rows of numbers as CSV, without pandas; what a row lacks is left empty."""
    with atomic(path) as temporary, temporary.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, columns, lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)


def need(path: str | Path, made_by: str) -> Path:
    """The path, or an :class:`InputError` that names the stage which writes it."""
    path = Path(path)
    if not path.exists():
        raise InputError(f"{path} does not exist: run the stage {made_by} first")
    return path


def need_folder(path: str | Path, key: str) -> Path:
    """The folder that a key of the params file names."""
    path = Path(path)
    if not path.is_dir():
        what = "is not a folder" if path.exists() else "does not exist"
        raise InputError(f"{key}: {path} {what}")
    return path


@contextmanager
def reading(path: str | Path, made_by: str) -> Iterator[None]:
    """Tell of a damaged file by :class:`InputError`.

    What a library raises of one is no part of its interface; the system's own errors pass.
    """
    try:
        yield
    except Exception as error:
        if isinstance(error, OSError) and error.errno is not None:
            raise
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise InputError(
            f"{path} is damaged ({reason}): delete it and run the stage {made_by} again"
        ) from error


def read_array(path: str | Path, made_by: str) -> np.ndarray:
    """A memory-mapped ``.npy`` file, read-only."""
    import numpy as np

    path = need(path, made_by)
    with reading(path, made_by):
        array = np.load(path, mmap_mode="r", allow_pickle=False)
        if not isinstance(array, np.ndarray):
            raise ValueError("not one array")
        return array


def check_disk(folder: Path, size: float, what: str) -> None:
    """Say how much disk an output takes, and stop where there is less."""
    folder.mkdir(parents=True, exist_ok=True)
    free, mib = shutil.disk_usage(folder).free, 2**20
    print(
        f"{what} take {size / mib:,.0f} MiB of disk, {free / mib:,.0f} MiB are free",
        file=sys.stderr,
    )
    if size > free:
        raise InputError(
            f"{folder}: the disk has {free / mib:,.0f} MiB, and {what} take {size / mib:,.0f} MiB"
        )


@contextmanager
def growing_array(
    path: Path, dtype: str, shape: tuple[int, ...]
) -> Iterator[Callable[[np.ndarray], None]]:
    """Write a ``.npy`` file by adding rows of a shape, any number at a time."""
    import numpy as np

    count = 0

    def header() -> dict:
        return {"descr": dtype, "fortran_order": False, "shape": (count, *shape)}

    # Written, not mapped: on a full disk a mapped file ends the process without a word.
    with path.open("wb") as file:
        np.lib.format.write_array_header_1_0(file, header())

        def add(rows: np.ndarray) -> None:
            nonlocal count
            if rows.shape == shape:
                rows = rows[None]
            assert rows.shape[1:] == shape, f"{rows.shape} is no row or rows of {shape}"
            file.write(np.ascontiguousarray(rows, dtype).data)
            count += len(rows)

        yield add
        file.seek(0)  # numpy leaves room in a header for any number of rows
        np.lib.format.write_array_header_1_0(file, header())


def read_table(
    path: str | Path, made_by: str, texts: Sequence[str] = (), *, text: bool = False
) -> pd.DataFrame:
    """A ``.csv`` or ``.parquet`` table.

    Args:
        path: of the file.
        made_by: the stage that writes it.
        texts: the columns of a ``.csv`` that stay as they are written: 007 is not 7.
        text: all columns do, and an empty cell is an empty text.

    Returns:
        The table. Only an empty cell is no value: a class may be called NA or null.
    """
    import pandas as pd

    path = need(path, made_by)
    with reading(path, made_by):
        if path.suffix == ".parquet":
            return pd.read_parquet(path)
        if text:
            return pd.read_csv(path, dtype=str, keep_default_na=False)
        kept = dict.fromkeys(texts, str)
        return pd.read_csv(path, dtype=kept, keep_default_na=False, na_values=[""])


def read_json(path: str | Path, made_by: str) -> Any:
    """A JSON file."""
    path = need(path, made_by)
    with reading(path, made_by):
        return json.loads(path.read_text(encoding="utf-8"))


def rows(table: pd.DataFrame) -> Iterator[Any]:
    """The rows of a table, the columns their attributes; a value is what its column holds."""
    return iter(table.itertuples())
