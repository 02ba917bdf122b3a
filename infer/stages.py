"""Where the time of a conversion goes."""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from typing import TypeVar

Item = TypeVar("Item")
REST = "rest"  # the stage of what is in no other


class Stages:
    """Seconds by stage. One stage runs at any moment, so together they are the whole time.

    A stage that begins inside another interrupts it.
    """

    def __init__(self, clock: Callable[[], float] = time.perf_counter) -> None:
        self._clock = clock
        self._seconds: dict[str, float] = defaultdict(float)
        self._running = [REST]
        self._since = clock()

    @contextmanager
    def __call__(self, name: str) -> Iterator[None]:
        """Count the time inside the `with` block for a stage."""
        self._count()
        self._running.append(name)
        try:
            yield
        finally:
            self._count()
            self._running.pop()

    def over(self, items: Iterable[Item], name: str) -> Iterator[Item]:
        """Yield the items, and count the time that they take to come for a stage."""
        ahead = iter(items)
        while True:
            with self(name):
                found = list(_first(ahead))
            if not found:
                return
            yield found[0]

    @contextmanager
    def around(self, make: Callable[[], AbstractContextManager[Item]], name: str) -> Iterator[Item]:
        """Count opening and closing of a context for a stage, what happens in it for others."""
        with ExitStack() as opened:
            with self(name):
                item = opened.enter_context(make())
            yield item
            with self(name):
                opened.close()

    def seconds(self) -> dict[str, float]:
        """Return the seconds of every stage until now."""
        self._count()
        return dict(self._seconds)

    def _count(self) -> None:
        now = self._clock()
        self._seconds[self._running[-1]] += now - self._since
        self._since = now


def _first(items: Iterator[Item]) -> Iterator[Item]:
    for item in items:
        yield item
        return
