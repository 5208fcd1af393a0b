"""What answers pages beside the runs, in the worker's main thread and in threads that end."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any, Final

from vizcore.engine.works import Works
from vizcore.errors import VizcoreError
from vizcore.zoo.load import Network

WithNetwork = Callable[[int, str, str | None, Callable[[Network], Any]], Any]
Later = Callable[[int, Callable[[], Any]], None]


class Beside:
    """What it has of its worker.

    Args:
        with_network: the worker's way to a network.
        works: takes what needs many turns.
        later: has the worker answer a command from its main thread.
        explain: makes an error for people of any exception.
        waiting: what a command returns whose answer comes later.
    """

    def __init__(
        self,
        with_network: WithNetwork,
        works: Works,
        later: Later,
        explain: Callable[[Exception], VizcoreError],
        waiting: object,
    ) -> None:
        self._with_network = with_network
        self._works = works
        self._later = later
        self._explain = explain
        self._waiting: Final = waiting

    def _apart(self, name: str, number: int, act: Callable[[], Any], take: Callable[[Any], Any]) -> object:
        """``act`` in a thread of this name, which ends with it, then ``take`` its value in the main thread."""
        threading.Thread(target=self._answer, args=(number, act, take), name=name, daemon=True).start()
        return self._waiting

    def _answer(self, number: int, act: Callable[[], Any], take: Callable[[Any], Any]) -> None:
        """In a thread: ``act``, then ``take`` its value in the main thread."""
        try:
            value = act()
        except Exception as failure:
            error = self._explain(failure)

            def refuse() -> None:
                raise error

            self._later(number, refuse)
        else:
            self._later(number, lambda: take(value))
