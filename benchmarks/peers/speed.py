"""Steps per second of each tool on one case; the tools take turns, slice by slice, so that all see the same machine."""

from __future__ import annotations

import contextlib
import statistics
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from benchmarks.peers.cases import Case
from benchmarks.peers.rivals import PeerError, Rival

ROUNDS, SLICE = 5, 1.5  # seconds of work that a slice aims at; a slice is at least one step

Entry = tuple[str, str, dict[str, Any]]
"""Name in the tables, tool, options."""
RIVALS: tuple[Entry, ...] = (
    ("vizcore", "vizcore", {}),
    ("vizcore, fp32", "vizcore", {"precision": "fp32"}),
    ("plain PyTorch", "plain PyTorch", {}),
    ("torch-lucent", "torch-lucent", {}),
    ("torch-dreams", "torch-dreams", {}),
    ("horama", "horama", {}),
)


@dataclass
class Timing:
    """What was measured of one tool on one case.

    Args:
        rates: steps per second, one per round; a step is one update of all rows.
        memory: megabytes resident at the peak beyond those of the process after its imports.
        error: why there are no numbers.
    """

    name: str
    rates: list[float] = field(default_factory=list)
    precision: str = ""
    memory: float = 0.0
    error: str = ""

    @property
    def median(self) -> float:
        """Steps per second in the median round."""
        return statistics.median(self.rates)


def race(case: Case, rounds: int = ROUNDS, slice_: float = SLICE, rivals: Sequence[Entry] = RIVALS) -> list[Timing]:
    """Tools on one case: all are set up and warm before the first of the rounds begins."""
    if len(case.channels) > 1:  # horama ascends one picture at a time, however many are wanted
        rivals = [entry for entry in rivals if entry[1] != "horama"]
    timings = [Timing(name) for name, _, _ in rivals]
    with contextlib.ExitStack() as stack:
        starters: dict[str, Rival] = {}
        steps: dict[str, int] = {}
        for timing, (name, tool, options) in zip(timings, rivals, strict=True):
            try:
                one = Rival(tool, case, **options)
                stack.callback(one.close)
                first = one.run(1)  # is slower than those that follow
                steps[name] = 1 if first > 3 * slice_ else max(1, round(slice_ / one.run(1)))
                starters[name], timing.precision = one, one.precision
            except PeerError as error:
                timing.error = str(error)
        for _ in range(rounds):
            for timing in timings:
                if timing.name in starters:
                    count = steps[timing.name]
                    timing.rates.append(count / starters[timing.name].run(count))
        for timing in timings:
            if timing.name in starters:
                peak, before = starters[timing.name].memory()
                timing.memory = peak - before
    return timings


def ratios(timings: list[Timing], one: str, other: str) -> list[float]:
    """How many times as many steps per second ``one`` made as ``other``, round by round."""
    rates = {timing.name: timing.rates for timing in timings}
    return [a / b for a, b in zip(rates[one], rates[other], strict=True)]
