"""The handle without its child."""

from __future__ import annotations

import subprocess
import sys

import pytest

from vizcore.engine import Engine, RunState
from vizcore.errors import EngineError
from vizcore.runs import Library


def test_the_client_does_not_import_torch() -> None:
    code = "import sys, vizcore.engine; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_an_engine_that_was_not_started_refuses(library: Library) -> None:
    with pytest.raises(EngineError, match="not running"):
        Engine(library).models().result(1)


def test_states_survive_the_pipe() -> None:
    state = RunState("r", "running", 3, 256, 12.5, 20.0, 1.5, 10**8, "cpu", "fp32", ("ok", "dead"), None, "note")
    assert RunState.from_dict(state.to_dict()) == state


def test_a_device_that_is_not_there_is_said_once_and_for_all(library: Library) -> None:
    with Engine(library, device="abacus") as engine:
        with pytest.raises(EngineError, match="no device 'abacus'"):
            engine.ready.result(60)
        with pytest.raises(EngineError, match="no device 'abacus'"):
            engine.models().result(1)
        assert not engine.alive
