"""The handle without its child."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

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


PARENT = """
import sys, tempfile
from vizcore.engine import Engine
from vizcore.runs import Library
from vizcore.spec import build

if __name__ == "__main__":
    with Engine(Library(tempfile.mkdtemp())) as engine:
        engine.ready.result(60)
        run = engine.begin(build("digits", "conv2", (0, 1), size=32, steps=32)).result(60)
        engine.watch(run, "me").result(60)
        engine.pause(run).result(60)
        engine.describe("digits").result(60)
        engine.evidence(run, 0, 0).result(60)
    print("torch" in sys.modules)
"""


def test_nothing_that_comes_up_the_pipe_brings_torch_into_the_parent(tmp_path: Path) -> None:
    script = tmp_path / "parent.py"  # a file, because the child looks into the main module of its parent
    script.write_text(PARENT)
    done = subprocess.run([sys.executable, script], capture_output=True, text=True, timeout=120)
    assert done.stdout.split() == ["False"], done.stderr
