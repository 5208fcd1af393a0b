"""Work that cannot be written as a generator, cut into turns all the same."""

from __future__ import annotations

import threading
from collections.abc import Callable, Generator
from typing import TypeVar

T = TypeVar("T")
Pause = Callable[[], None]


class _GivenUp(BaseException):
    """Raised in the work when nobody wants its answer any more."""


def in_turns(work: Callable[[Pause], T]) -> Generator[tuple[int, int], None, T]:
    """Do ``work(pause)`` up to each call of ``pause``, then let others have their turn.

    The work has a thread of its own, but it and whoever asks for its next turn never run at the same time.  Closing the
    generator ends the work at its next pause.

    Yields:
        (turns so far, 0): how many there will be is not known.

    Raises:
        Whatever ``work`` raises.
    """
    ours, theirs = threading.Semaphore(0), threading.Semaphore(0)
    given_up = False
    answer: list[T] = []
    failure: list[BaseException] = []

    def pause() -> None:
        theirs.release()
        ours.acquire()
        if given_up:
            raise _GivenUp

    def act() -> None:
        ours.acquire()
        try:
            if not given_up:
                answer.append(work(pause))
        except BaseException as error:  # brought over to the other thread
            failure.append(error)
        finally:
            theirs.release()

    thread = threading.Thread(target=act, name="vizcore-turns", daemon=True)
    thread.start()
    turns = 0
    try:
        while True:
            ours.release()
            theirs.acquire()
            if failure:
                raise failure[0]
            if answer:
                return answer[0]
            turns += 1
            yield turns, 0
    finally:
        given_up = True
        ours.release()
        thread.join()
