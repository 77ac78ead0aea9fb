"""Worker processes that outlive a call which kills one of them."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Executor, Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from functools import partial
from itertools import islice
from typing import Any, TypeVar

C = TypeVar("C")
R = TypeVar("R")

KILLED = "unreadable: its decoder ended the process"
AHEAD = 4  # times so many chunks for each process, at work or done and not yet asked for


class Pool(Executor):
    """A pool of processes, and another after a call that killed one of them.

    Args:
        count: how many processes.
        *arguments: those of a ``ProcessPoolExecutor`` that follow.
    """

    def __init__(self, count: int, *arguments: Any) -> None:
        self._count = count
        self._start = partial(ProcessPoolExecutor, count, *arguments)
        self._pool = self._start()

    def submit(self, function: Callable[..., R], /, *args: Any, **kwargs: Any) -> Future[R]:
        """As an executor does; the future of a call to a broken pool is broken, too."""
        try:
            return self._pool.submit(function, *args, **kwargs)
        except BrokenProcessPool as error:
            future: Future[R] = Future()
            future.set_exception(error)
            return future

    def restart(self) -> None:
        """New processes, which no call keeps busy."""
        self._pool.shutdown(cancel_futures=True)
        self._pool = self._start()

    def in_order(
        self,
        calls: Iterable[C],
        send: Callable[[C], Future[R]],
        alone: Callable[[C], R],
        ahead: int,
    ) -> Iterator[R]:
        """The results of calls, in their order.

        Args:
            calls: what to do.
            send: submits a call.
            alone: the result of a call when nothing else runs, also where it kills a process. It
                leaves a pool that works.
            ahead: how many calls may be open.
        """
        waiting: deque[tuple[C, Future[R]]] = deque()

        def first() -> R:
            call, future = waiting.popleft()
            try:
                return future.result()
            except BrokenProcessPool:  # which of the open calls it was, nobody knows
                self.restart()
                result = alone(call)
                for place, (later, _) in enumerate(waiting):
                    waiting[place] = later, send(later)
                return result

        for call in calls:
            if len(waiting) == ahead:
                yield first()
            waiting.append((call, send(call)))
        while waiting:
            yield first()

    def map(  # type: ignore[override]
        self, function: Callable[[C], R], items: Iterable[C], *, chunksize: int = 8
    ) -> Iterator[R | str]:
        """The results of a function, in the order of its items; few are in memory at a time.

        The result of an item that kills the process is :data:`KILLED`.
        """
        items = iter(items)
        chunks = iter(lambda: list(islice(items, chunksize)), [])

        def send(chunk: list[C]) -> Future[list[R | str]]:
            return self.submit(_all, function, chunk)

        def alone(chunk: list[C]) -> list[R | str]:
            return [one(item) for item in chunk]

        def one(item: C) -> R | str:
            try:
                return self.submit(function, item).result()
            except BrokenProcessPool:
                self.restart()
                return KILLED

        for results in self.in_order(chunks, send, alone, AHEAD * self._count):
            yield from results

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        self._pool.shutdown(wait, cancel_futures=cancel_futures)


def _all(function: Callable[[Any], Any], items: list[Any]) -> list[Any]:
    return [function(item) for item in items]
