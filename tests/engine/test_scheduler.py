"""Turns by measured time."""

from __future__ import annotations

from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from vizcore.engine.scheduler import Scheduler


def play(cost: dict[str, float], total: float, scheduler: Scheduler | None = None) -> Counter[str]:
    scheduler, used = scheduler or Scheduler(), Counter[str]()
    while sum(used.values()) < total:
        run = scheduler.pick(cost)
        assert isinstance(run, str)
        scheduler.charge(run, cost[run])
        used[run] += cost[run]  # type: ignore[assignment]
    return used


@given(st.dictionaries(st.text(max_size=3), st.floats(0.001, 1), min_size=1, max_size=5))
def test_every_run_gets_the_same_time(cost: dict[str, float]) -> None:
    used = play(cost, 20)
    assert max(used.values()) - min(used[run] for run in cost) <= 2 * max(cost.values()) + 1e-9


def test_a_newcomer_neither_catches_up_nor_waits() -> None:
    scheduler = Scheduler()
    play({"old": 1.0}, 100, scheduler)
    used = play({"old": 1.0, "new": 1.0}, 10, scheduler)
    assert abs(used["old"] - used["new"]) <= 1


def test_a_run_that_was_away_takes_up_at_the_level_of_the_others() -> None:
    scheduler = Scheduler()
    play({"a": 1.0, "b": 1.0}, 10, scheduler)
    play({"a": 1.0}, 100, scheduler)
    used = play({"a": 1.0, "b": 1.0}, 10, scheduler)
    assert abs(used["a"] - used["b"]) <= 1


def test_nobody_is_ready() -> None:
    assert Scheduler().pick([]) is None
