"""What takes more than a moment: how far it is, and a way to give it up."""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass
from typing import Any

SHOWN_AFTER = 0.4  # seconds: what is done by then is not spoken of
_numbers = itertools.count(1)


@dataclass
class Work:
    """One piece of work.

    Args:
        future: its answer; a ``progress`` of (done, total) is shown if it has one.
        title: what is done, as the page says it.
        then, fail: called on the event loop with the answer or the error.
        on_cancel: called when it is given up.
    """

    number: int
    future: Future[Any]
    title: str
    then: Callable[[Any], None]
    fail: Callable[[BaseException], None]
    since: float
    on_cancel: Callable[[], None] | None = None


class Jobs:
    """The work of one session; ticks on the event loop."""

    def __init__(self, fail: Callable[[BaseException], None], clock: Callable[[], float] = time.monotonic) -> None:
        self._fail, self._clock = fail, clock
        self._works: dict[int, Work] = {}

    def add(
        self,
        future: Future[Any],
        title: str,
        then: Callable[[Any], None] = lambda _: None,
        fail: Callable[[BaseException], None] | None = None,
        on_cancel: Callable[[], None] | None = None,
    ) -> int:
        """Follow some work; returns its number."""
        number = next(_numbers)
        self._works[number] = Work(number, future, title, then, fail or self._fail, self._clock(), on_cancel)
        return number

    def cancel(self, number: int | None = None) -> None:
        """Give one piece of work up, or all."""
        for work in [work for work in self._works.values() if number in (None, work.number)]:
            work.future.cancel()
            if work.on_cancel is not None:
                work.on_cancel()

    def tick(self) -> None:
        """Hand over what is done."""
        for work in [work for work in self._works.values() if work.future.done()]:
            del self._works[work.number]
            if work.future.cancelled():
                continue
            error = work.future.exception()
            try:
                if error is not None:
                    work.fail(error)
                else:
                    work.then(work.future.result())
            except Exception as failed:
                self._fail(failed)

    def told(self) -> list[dict[str, Any]]:
        """What the page shows: number, title, done and total (0 for unknown) of each that takes a while."""
        now = self._clock()
        rows = []
        for work in self._works.values():
            if now - work.since < SHOWN_AFTER or work.future.cancelled():
                continue
            done, total = getattr(work.future, "progress", (0, 0))
            rows.append({"n": work.number, "title": work.title, "done": int(done), "total": int(total)})
        return rows
