"""All parts of the comparison, one after the other."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

from benchmarks.peers import equal, score, tables
from benchmarks.peers.cases import TARGETS, Case, cases
from benchmarks.peers.speed import ROUNDS, race


def speed(found: Sequence[Case], rounds: int = ROUNDS) -> None:
    """Steps per second of every tool on every case."""
    for case in found:
        timings = race(case, rounds)
        for timing in timings:
            print(f"peers: {case.title}, {timing.name}: {timing.error or f'{timing.median:.3g} steps/s'}", flush=True)
        tables.keep("speed", case.title, tables.speed_rows(timings, len(case.channels)))


def targets(found: Sequence[Case], filters: int) -> list[Case]:
    """The cases of 16 filters that scores are measured on, or the first filters of them."""
    return [
        replace(case, channels=case.channels[:filters]) for case in found
        if (case.arch, case.layer) in TARGETS and len(case.channels) == 16 and case.size == 224
    ]  # fmt: skip


def climb(found: Sequence[Case], rounds: int) -> None:
    """In how many steps vizcore reaches torch-lucent's score, and with what pictures."""
    for case in found:
        rows = score.climbs(case)
        tables.keep("climb", case.title, rows)
        for row in rows:
            print(f"peers: {case.title}, {row}", flush=True)


def seconds(found: Sequence[Case], rounds: int) -> None:
    """The same in seconds, from the steps that were counted last."""
    for case in found:
        if counted := tables.rows("climb", case.title):
            tables.keep("score", case.title, score.timed(case, counted, rounds))


def quality(found: Sequence[Case], rounds: int) -> None:
    """Scores of all tools after equal steps and equal seconds, and of bf16 beside fp32."""
    for case in found:
        tables.keep("quality", case.title, equal.scores(case, tables.rows("speed", case.title)))
        tables.keep("precision", case.title, equal.precisions(case))


def memory(found: Sequence[Case], rounds: int) -> None:
    """Peak memory by the number of filters."""
    for case in found:
        tables.keep("memory", case.title, equal.memory(case))


PARTS: dict[str, Callable[[Sequence[Case], int], None]] = {
    "speed": speed, "climb": climb, "seconds": seconds, "quality": quality, "memory": memory,
}  # fmt: skip


def run(
    parts: Sequence[str] = tuple(PARTS),
    full: bool = False,
    only: str = "",
    rounds: int = ROUNDS,
    filters: int = 16,
    missing: bool = False,
) -> None:
    """Measure, and write what was measured after each case; ``missing``: speed is left alone where it is known."""
    for part in parts:
        known = part == "speed" and missing
        found = [case for case in cases(full) if only in case.title and not (known and tables.rows(part, case.title))]
        PARTS[part](found if part == "speed" else targets(found, filters), rounds)
