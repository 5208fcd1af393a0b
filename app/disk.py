"""What runs take of the disk, against their bounds, and what to say when one is reached or nothing can be written."""

from __future__ import annotations

import time
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass
from typing import Any

from app import notices
from vizcore.errors import SpecError
from vizcore.history import PAUSED, RunReader, library_limit, run_limit, stride

AGAIN = 10.0  # seconds between two looks at the library: each looks at every file of it
NAMED = 3  # runs to delete that are named
Notice = dict[str, Any]


@dataclass(frozen=True)
class Use:
    """Bytes of the library, their bound, and the oldest runs if it is exceeded."""

    bytes: int
    limit: int
    oldest: tuple[str, ...] = ()


class Disk:
    """Looks at the disk for one page.

    Args:
        library_use: starts a look at the library.
        tell: shows a notice.
        forget: takes the notice with this number back.
    """

    def __init__(
        self,
        library_use: Callable[[], Future[Use]],
        tell: Callable[[Notice], None],
        forget: Callable[[int], None],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._library_use, self._tell, self._forget, self._clock = library_use, tell, forget, clock
        self._due = 0.0
        self._looking: Future[Use] | None = None
        self._library: Use | None = None
        self._run: str | None = None
        self._told_run = self._told_library = False
        self._paused: tuple[str, int] | None = None  # what is said of a history that is not written

    def look(self, run: str | None, reader: RunReader | None, note: str) -> dict[str, Any] | None:
        """Bytes of run and library and their bounds, for the status line; tells what there is to tell.

        Args:
            note: what the engine says of the run.
        """
        if run != self._run:
            self._run, self._told_run, self._paused = run, False, None
        self._look_at_library()
        self._look_at_history(note)
        if reader is None:
            return None
        meta = reader.meta
        limit, gap = int(meta.get("limit", 0)) or run_limit(), int(meta.get("stride", 1))
        told: dict[str, Any] = {"run": reader.used, "limit": limit, "stride": gap}
        if not self._told_run and gap > stride(reader.spec, limit):
            self._told_run = True
            self._tell(_full_run(limit, gap))
        if self._library is not None:
            told |= {"library": self._library.bytes, "library_limit": self._library.limit}
        return told

    def _look_at_history(self, note: str) -> None:
        trouble = note if PAUSED in note else ""
        if self._paused is not None and self._paused[0] != trouble:
            self._forget(self._paused[1])
            self._paused = None
        if trouble and self._paused is None:
            message, _, hint = trouble.partition(f"{PAUSED}.")
            button = {"label": "Pause the run", "do": "pause"}
            told = notices.notice(
                "error", f"{message}{PAUSED}.", hint.strip(), title="Nothing can be stored", action=button
            )
            self._paused = trouble, told["id"]
            self._tell(told)

    def _look_at_library(self) -> None:
        if self._looking is not None and self._looking.done():
            done, self._looking = self._looking, None
            if done.exception() is None:
                self._library = done.result()
                if self._library.bytes <= self._library.limit:
                    self._told_library = False
                elif not self._told_library:
                    self._told_library = True
                    self._tell(_full_library(self._library))
        if self._looking is None and self._clock() >= self._due:
            self._due = self._clock() + AGAIN
            self._looking = self._library_use()


def use(library: Any) -> Use:
    """What the library takes; its files are opened only if that is too much."""
    try:
        limit = library_limit()
    except SpecError:  # said by whoever begins a run
        limit = 2**62
    used = library.used()
    oldest = library.over_quota(limit) if used > limit else ()
    return Use(used, limit, tuple(info.id for info in oldest[:NAMED]))


def _full_run(limit: int, gap: int) -> Notice:
    return notices.notice(
        "info",
        f"This run has filled its {size(limit)} of the disk: pictures of every {gap}th step are kept from now on.",
        "Scores of all steps stay. For more, choose fewer filters or a smaller size, or set VIZCORE_RUN_MIB.",
        title="Disk",
        action={"label": "Pause the run", "do": "pause"},
    )


def _full_library(found: Use) -> Notice:
    named = f" The oldest are {', '.join(found.oldest)}." if found.oldest else ""
    return notices.notice(
        "hint",
        f"The runs take {size(found.bytes)}, more than their bound of {size(found.limit)}; none is deleted unasked.",
        f"Delete old ones (vizcore runs gc; with --dry-run it only names them), or raise VIZCORE_LIBRARY_MIB.{named}",
        title="Disk",
    )


def size(count: int) -> str:
    """A number of bytes in MiB or GiB."""
    mib = count / 2**20
    return f"{mib:.0f} MiB" if mib < 1000 else f"{mib / 1024:.1f} GiB"
