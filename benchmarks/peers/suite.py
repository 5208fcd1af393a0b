"""All parts of the comparison, one after the other."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from benchmarks.peers import tables
from benchmarks.peers.cases import Case, cases
from benchmarks.peers.speed import ROUNDS, race


def speed(found: Sequence[Case], rounds: int = ROUNDS) -> None:
    """Steps per second of every tool on every case."""
    for case in found:
        timings = race(case, rounds)
        for timing in timings:
            print(f"peers: {case.title}, {timing.name}: {timing.error or f'{timing.median:.3g} steps/s'}", flush=True)
        tables.keep("speed", case.title, tables.speed_rows(timings, len(case.channels)))


PARTS: dict[str, Callable[[Sequence[Case], int], None]] = {"speed": speed}


def run(parts: Sequence[str] = tuple(PARTS), full: bool = False, only: str = "", rounds: int = ROUNDS) -> None:
    """Measure, and write what was measured after each case."""
    for part in parts:
        PARTS[part]([case for case in cases(full) if only in case.title], rounds)
