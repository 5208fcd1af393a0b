"""What an engine is: it takes shards, and tells what becomes of them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from vizcore.atlas.shard import Report, Shard
from vizcore.errors import VizcoreError


@dataclass(frozen=True)
class Told:
    """A report of a shard that is being rendered; the same one may come twice."""

    shard: Shard
    report: Report


@dataclass(frozen=True)
class Finished:
    """All channels of the shard have been told of."""

    shard: Shard


@dataclass(frozen=True)
class Lost:
    """The worker of the shard died ``deaths`` times; what was told before holds."""

    shard: Shard
    deaths: int = 1


@dataclass(frozen=True)
class Stopped:
    """The job cannot go on."""

    error: VizcoreError


Event = Told | Finished | Lost | Stopped


class Engine(Protocol):
    """Where shards are rendered; each that is submitted ends with one Finished or Lost, unless all is Stopped."""

    workers: int
    link: str  # of the engine's own dashboard, if it has one

    def submit(self, shard: Shard) -> None:
        """Queue a shard; the largest that waits goes first."""

    def next(self, timeout: float) -> Event | None:
        """What happened next; None if nothing did for that many seconds."""

    def close(self) -> None:
        """End all workers now; finished tiles stay."""
