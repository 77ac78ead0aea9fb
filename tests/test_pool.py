"""Processes that outlive a call which kills one of them."""

from __future__ import annotations

import multiprocessing
from pathlib import Path

import in_workers
import pytest

from shuffle_to_learn.datasets.pool import KILLED, Pool


@pytest.mark.parametrize("count", [1, 2])
@pytest.mark.parametrize("killers", [set(), {0}, {29}, {3, 4, 17}])
def test_what_kills_is_named_and_all_others_have_their_results(
    tmp_path: Path, killers: set[int], count: int
) -> None:
    paths = []
    for number in range(30):
        paths.append(tmp_path / f"{'killer' if number in killers else 'file'}{number}")
        paths[-1].write_bytes(bytes(number))
    with Pool(count, multiprocessing.get_context("spawn"), in_workers.nothing, ()) as pool:
        found = list(pool.map(in_workers.killed_or_size, paths, chunksize=3))
        assert found == [KILLED if number in killers else number for number in range(30)]
        assert list(pool.map(in_workers.killed_or_size, [paths[5]])) == [5]
    assert multiprocessing.active_children() == []


def test_few_calls_are_open_however_slow_the_reader_is(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    asked = []

    def paths():
        for number in range(1000):
            asked.append(number)
            yield tmp_path / "file"

    with Pool(1, multiprocessing.get_context("spawn"), in_workers.nothing, ()) as pool:
        results = pool.map(in_workers.killed_or_size, paths(), chunksize=2)
        assert next(results) == 0
        assert len(asked) <= 10
        results.close()


def test_an_error_is_the_callers(tmp_path: Path) -> None:
    with Pool(1, multiprocessing.get_context("spawn"), in_workers.nothing, ()) as pool:
        with pytest.raises(FileNotFoundError):
            list(pool.map(in_workers.killed_or_size, [tmp_path / "none"]))
