"""Whose step is next: equal shares of time, not of steps."""

from __future__ import annotations

from collections.abc import Hashable, Iterable


class Scheduler:
    """Round robin by measured time.

    The run that has used the least time goes next, so that a slow run gets as much of the device as a quick one
    and no more.  A run that was away takes up at the level of the others: it neither catches up nor waits.
    """

    def __init__(self) -> None:
        self._used: dict[Hashable, float] = {}
        self._level = 0.0  # time used by the run that went last, when it was picked

    def pick(self, ready: Iterable[Hashable]) -> Hashable | None:
        """The one of ``ready`` that goes next; None when there is none.  Ties go in the order of ``ready``."""
        names = list(ready)
        self._used = {name: self._used[name] for name in names if name in self._used}
        for name in names:
            self._used.setdefault(name, self._level)
        if not names:
            return None
        chosen = min(names, key=self._used.__getitem__)
        self._level = self._used[chosen]
        return chosen

    def charge(self, name: Hashable, seconds: float) -> None:
        """``name`` has used this much time."""
        if name in self._used:
            self._used[name] += seconds
