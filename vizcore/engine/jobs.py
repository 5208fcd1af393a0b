"""What takes more than a moment: a future that knows how far it is and can be given up."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future
from typing import TypeVar

T = TypeVar("T")


class Job(Future[T]):
    """The future of work that the engine does beside its runs.

    :attr:`progress` is (steps done, steps in all), (0, 0) before it has begun.  :meth:`cancel` ends the work after the
    step that is being computed; what it has put into run files by then stays.
    """

    def __init__(self) -> None:
        super().__init__()
        self.progress = (0, 0)
        self.withdraw: Callable[[], None] = lambda: None

    def cancel(self) -> bool:
        """Give the work up; ``False`` if it is done."""
        given_up = super().cancel()
        if given_up:
            self.withdraw()
        return given_up
