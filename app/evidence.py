"""Why a picture should be believed: top classes and feature maps of the shown (step, filter), asked when it rests."""

from __future__ import annotations

import base64
import time
from collections.abc import Callable, Mapping
from concurrent.futures import Future
from types import MappingProxyType
from typing import Any

from app.notices import plain
from vizcore.errors import VizcoreError

REST = 0.15  # seconds that (step, filter) must stay the same before the engine is asked
LIVE = 2.0  # seconds between two requests while the picture moves
_SHARE = 30  # while it moves, evidence may take one part in this many of the time

Key = tuple[str, int, int]  # run, step, filter


class Evidence:
    """Debounced, one request in flight, stale while pending.

    ``state`` is what the page gets; it changes identity whenever it changes content.

    Args:
        ask: the engine, for a run, step and filter.
        blank: what is told before there is an answer.
        read: an answer, as the page reads it.
        give_up: whether a request is given up when another picture is shown.
    """

    def __init__(
        self,
        ask: Callable[[str, int, int], Future[Any]],
        clock: Callable[[], float] = time.monotonic,
        blank: Mapping[str, Any] = MappingProxyType({"classes": [], "maps": []}),
        read: Callable[[Mapping[str, Any]], dict[str, Any]] | None = None,
        give_up: bool = False,
    ) -> None:
        self._ask = ask
        self._clock = clock
        self._blank = blank
        self._read = read or seen
        self._give_up = give_up
        self._wanted: Key | None = None
        self._due = 0.0
        self._flight: tuple[Key, Future[Any], float] | None = None
        self._have: Key | None = None
        self._next_live = 0.0
        self._stale = False
        self.state: dict[str, Any] | None = None

    def clear(self) -> None:
        """Another run: nothing known of it."""
        self._wanted = self._have = self._flight = None
        self._next_live = 0.0
        self.state = None

    def want(self, run: str, step: int, channel: int, *, live: bool = False) -> None:
        """The page shows this picture; ``live`` when it will show another in a moment."""
        key = (run, step, channel)
        if key == self._wanted:
            return
        now = self._clock()
        if live and self._wanted is not None and self._wanted[2] == channel and now < self._next_live:
            return
        self._wanted = key
        self._due = now + (0.0 if live else REST)
        self._stale = not live

    def tick(self) -> bool:
        """Ask or take in what came; True when ``state`` changed."""
        before = self.state
        if self._stale and self.state is not None and self._wanted != self._have:
            self.state = {**self.state, "pending": True}
        self._stale = False
        if self._flight is not None and self._flight[1].done():
            self._take(*self._flight)
            self._flight = None
        elif self._flight is not None and self._give_up and self._flight[0] != self._wanted:
            self._flight[1].cancel()
            self._flight = None
        if (
            self._flight is None
            and self._wanted is not None
            and self._wanted != self._have
            and self._clock() >= self._due
        ):
            self._flight = (self._wanted, self._ask(*self._wanted), self._clock())
            if self.state is None:
                run, step, channel = self._wanted
                self.state = self._state(run, step, channel, pending=True)
        return self.state is not before

    def _take(self, key: Key, future: Future[Any], asked: float) -> None:
        now = self._clock()
        self._next_live = now + max(LIVE, _SHARE * (now - asked))
        self._have = key
        error = future.exception() if not future.cancelled() else None
        if future.cancelled() or error is not None:
            text = error.message if isinstance(error, VizcoreError) else "The evidence for this picture cannot be had."
            self.state = {**self._state(*key, pending=False), "error": text}
            return
        self.state = {**self._state(*key, pending=self._wanted != key), **self._read(future.result())}

    def _state(self, run: str, step: int, channel: int, *, pending: bool) -> dict[str, Any]:
        return {"run": run, "channel": channel, "step": step, "pending": pending, "error": None, **self._blank}


def seen(answer: Mapping[str, Any]) -> dict[str, Any]:
    """Top classes and feature maps as the page reads them."""
    return {
        "classes": [[plain(name, markup=False), float(p)] for name, p in answer["classes"]],
        "maps": [
            {
                "channel": int(m["channel"]),
                "url": "data:image/png;base64," + base64.b64encode(m["png"]).decode(),
                "peak": float(m["peak"]),
            }
            for m in answer["maps"]
        ],
    }
