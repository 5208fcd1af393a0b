"""Work that takes many turns beside the runs: recomputed steps, forks, sweeps, judgements."""

from __future__ import annotations

import time
from collections.abc import Callable, Generator
from logging import Logger
from typing import Any

from vizcore.engine.failures import explain
from vizcore.engine.protocol import STATUS_EVERY, Event

Work = Generator[tuple[int, int], None, Any]
"""Yields (steps done, steps in all) after each step; what it returns is the answer to its command."""


class Works:
    """Pieces of work by the number of the command that asked for them.

    The first has turns, like a run; the others wait, so that they do not share memory and time.  Of those that take
    minutes the first has turns beside it, so that what is quick need not wait for them.

    Args:
        send: takes what goes up the pipe: ``reply``, ``error`` and ``progress`` events.
    """

    def __init__(self, send: Callable[[Event], None]) -> None:
        self._send = send
        self._works: dict[int, tuple[Work, Callable[[], None]]] = {}
        self._long: set[int] = set()
        self._withdrawn: set[int] = set()
        self._told = 0.0

    @property
    def ready(self) -> list[int]:
        """The pieces that want a turn: at most a quick and a long one."""
        quick = [number for number in self._works if number not in self._long]
        return quick[:1] + [number for number in self._works if number in self._long][:1]

    def add(self, number: int, work: Work, close: Callable[[], None] = lambda: None, *, long: bool = False) -> None:
        """Do ``work``, unless the command was withdrawn before it could begin; then only ``close`` is called.

        Args:
            long: it takes minutes rather than seconds.
        """
        if number in self._withdrawn:
            self._withdrawn.discard(number)
            close()
        else:
            self._works[number] = work, close
            if long:
                self._long.add(number)

    def cancel(self, number: int) -> None:
        """End the work of a command, or never begin it."""
        if number in self._works:
            work, close = self._works.pop(number)
            self._long.discard(number)
            work.close()
            close()
        else:
            self._withdrawn.add(number)

    def turn(self, number: int, log: Logger) -> bool:
        """One step of the work of a command; True when it has ended and its memory can be let go of."""
        error = None
        try:
            done, total = next(self._works[number][0])
        except StopIteration as end:
            self._drop(number)
            self._send(("reply", number, end.value))
            return True
        except Exception as failure:
            error = explain(failure, log)
        if error is not None:
            self._drop(number)
            self._send(("error", number, error.to_dict()))
            return True
        clock = time.monotonic()
        if clock - self._told > STATUS_EVERY:
            self._told = clock
            self._send(("progress", number, done, total))
        return False

    def _drop(self, number: int) -> None:
        del self._works[number]
        self._long.discard(number)
