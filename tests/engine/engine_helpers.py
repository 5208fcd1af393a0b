"""What the tests of the engine share."""

from __future__ import annotations

import time
from collections.abc import Callable

from vizcore.engine import Engine, RunState
from vizcore.spec import RunSpec, build

TIMEOUT = 120.0  # seconds: generous, since nothing waits longer than it must


def until(condition: Callable[[], object], what: str = "") -> object:
    """The first true value of ``condition``."""
    end = time.monotonic() + TIMEOUT
    while time.monotonic() < end:
        value = condition()
        if value:
            return value
        time.sleep(0.005)
    raise AssertionError(f"waited {TIMEOUT:g} s in vain {what}")


def in_state(engine: Engine, run: str, *states: str) -> RunState:
    """The state of ``run`` as soon as it is one of ``states``."""
    until(lambda: run in engine.states and engine.states[run].state in states, f"for {run} to be {states}")
    return engine.states[run]


def tiny(steps: int = 8192, **values: object) -> RunSpec:
    """A run of a few milliseconds per step."""
    given = {"model": "digits", "layer": "conv2", "channels": "0-1", "size": 32, **values}
    return build(steps=steps, **given)  # type: ignore[arg-type]
