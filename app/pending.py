"""Answers of the engine, brought to the event loop by polling."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future
from typing import Any


class Pending:
    """Answers of the engine, handed over on the event loop: nothing here is called from another thread."""

    def __init__(self, fail: Callable[[BaseException], None]) -> None:
        self._fail = fail
        self._waiting: list[tuple[Future[Any], Callable[[Any], None] | None, Callable[[BaseException], None]]] = []

    def add(
        self,
        future: Future[Any],
        then: Callable[[Any], None] | None = None,
        fail: Callable[[BaseException], None] | None = None,
    ) -> Future[Any]:
        """Call ``then`` with the answer, or ``fail`` (else the pending's own) with the error, at a later tick."""
        self._waiting.append((future, then, fail or self._fail))
        return future

    def tick(self) -> None:
        """Hand over what has come."""
        done = [entry for entry in self._waiting if entry[0].done()]
        self._waiting = [entry for entry in self._waiting if not entry[0].done()]
        for future, then, fail in done:
            try:
                answer = future.result()
                if then is not None:
                    then(answer)
            except Exception as error:
                fail(error)
