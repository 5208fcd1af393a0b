"""The child is killed, the parent is killed: nothing that was shown is lost, and nobody stays behind."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from engine_helpers import TIMEOUT, in_state, tiny, until

from vizcore.engine import Engine
from vizcore.errors import EngineError
from vizcore.history import RunReader, decode
from vizcore.runs import Library


@pytest.fixture(scope="module")
def shared_exact(library: Library) -> Iterator[Engine]:
    with Engine(library, device="cpu", exact=True) as engine:
        yield engine


@pytest.fixture
def exact(shared_exact: Engine) -> Engine:
    shared_exact._deaths.clear()  # or it would give up after the third test
    return shared_exact


def kill(engine: Engine) -> int:
    pid = engine.pid
    assert pid is not None
    os.kill(pid, signal.SIGKILL)
    until(lambda: engine.pid not in (None, pid), "for another child")
    return pid


def kill_in_a_step(engine: Engine, run: str) -> None:
    """Kill the child while it computes a step of ``run``, and not between two of them."""
    pid = engine.pid
    assert pid is not None
    while True:
        os.kill(pid, signal.SIGSTOP)
        until(lambda: stat(pid) == "T", "for the child to stand still")
        if bytes(engine._busy.value).decode() == run:
            break
        os.kill(pid, signal.SIGCONT)
        time.sleep(0.001)
    kill(engine)


def stat(pid: int) -> str:
    """One letter for what a process does: T stands still, Z is dead."""
    return Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()[0]


def gone(pid: int) -> bool:
    try:
        return stat(pid) == "Z"
    except OSError:
        return True


def pictures(reader: RunReader, step: int) -> list[np.ndarray]:
    return [decode(frame) for frame in reader.frames(step)]


def test_a_killed_child_is_replaced_and_its_runs_end_as_if_nothing_had_been(exact: Engine, library: Library) -> None:
    straight = exact.begin(tiny(150, seed=3), keep=True).result(TIMEOUT)
    in_state(exact, straight, "done")
    run = exact.begin(tiny(150, seed=3), keep=True).result(TIMEOUT)
    paused = exact.begin(tiny(150)).result(TIMEOUT)
    stopped_at = exact.pause(paused).result(TIMEOUT)
    until(lambda: exact.states[run].step > 40)
    with library.open(run) as reader:
        shown = {int(step): pictures(reader, int(step)) for step in reader.steps()}
    kill(exact)
    assert exact.states[run].state in ("interrupted", "loading", "running", "done")
    in_state(exact, run, "done")
    assert exact.states[paused].state == "paused"
    assert exact.step(paused).result(TIMEOUT) == stopped_at + 1
    with library.open(run) as reader, library.open(straight) as other:
        assert reader.state == "done"
        for mine, theirs in zip(reader.scores(), other.scores(), strict=True):
            np.testing.assert_array_equal(mine, theirs)
        kept = [step for step in shown if shown[step] and reader.frames(step)]
        assert kept[:32] == list(range(32))  # a later one may have been shown in passing
        for step in kept:
            np.testing.assert_array_equal(pictures(reader, step), shown[step])


def test_who_waits_for_a_killed_child_is_told(exact: Engine) -> None:
    assert exact.pid is not None
    os.kill(exact.pid, signal.SIGSTOP)  # it cannot answer
    waiting = exact.models()
    kill(exact)
    with pytest.raises(EngineError, match="starting again"):
        waiting.result(TIMEOUT)
    assert exact.models().result(TIMEOUT)
    assert exact.alive


def test_viewers_are_known_to_the_next_child(exact: Engine) -> None:
    run = exact.begin(tiny()).result(TIMEOUT)
    exact.watch(run, "anna").result(TIMEOUT)
    until(lambda: exact.states[run].step > 10)
    kill(exact)
    in_state(exact, run, "running")
    exact.unwatch(run, "anna").result(TIMEOUT)
    in_state(exact, run, "resting")


def test_a_run_in_whose_steps_the_child_died_twice_is_left_alone(library: Library) -> None:
    with Engine(library, device="cpu") as engine:
        run = engine.begin(tiny(), keep=True).result(TIMEOUT)
        for _ in range(2):
            step = engine.states[run].step
            until(lambda step=step: engine.states[run].step > step + 5)  # its steps are all that is computed
            kill_in_a_step(engine, run)
        state = in_state(engine, run, "failed", "loading", "running")
        assert state.state == "failed"
        assert state.error is not None
        assert "160 px" in state.error["hint"]
        assert engine.models().result(TIMEOUT)


def test_three_deaths_within_a_minute_are_enough(library: Library) -> None:
    with Engine(library, device="cpu") as engine:
        for _ in range(2):
            kill(engine)
        assert engine.pid is not None
        os.kill(engine.pid, signal.SIGKILL)
        until(lambda: not engine.alive)
        with pytest.raises(EngineError, match="three times"):
            engine.models().result(TIMEOUT)


PARENT = """
import sys, time
sys.path.insert(0, {helpers!r})
from engine_helpers import tiny
from vizcore.engine import Engine
from vizcore.runs import Library

if __name__ == "__main__":
    engine = Engine(Library({home!r}), device="cpu")
    engine.start()
    print(engine.begin(tiny(), keep=True).result(60), engine.pid, flush=True)
    time.sleep(600)
"""


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGINT])
def test_the_child_ends_with_its_parent_and_leaves_a_clean_file(tmp_path: Path, how: signal.Signals) -> None:
    script = tmp_path / "parent.py"
    script.write_text(PARENT.format(helpers=str(Path(__file__).parent), home=str(tmp_path / "home")), encoding="utf-8")
    with subprocess.Popen([sys.executable, script], stdout=subprocess.PIPE, text=True) as parent:
        assert parent.stdout is not None
        try:
            run, pid = parent.stdout.readline().split()
            library = Library(tmp_path / "home")
            until(lambda: library.info(run).steps > 20)
            parent.send_signal(how)
            parent.wait(TIMEOUT)
        finally:
            parent.kill()
    until(lambda: gone(int(pid)), "for the child to end")
    assert library.info(run).state == "interrupted"
    with library.open(run) as reader:
        steps = reader.scores()[0]
        assert list(steps) == list(range(len(steps)))
        assert pictures(reader, int(reader.latest() or 0))
        assert reader.checkpoints()


def test_ctrl_c_does_not_reach_the_child(exact: Engine) -> None:
    assert exact.pid is not None
    os.kill(exact.pid, signal.SIGINT)
    time.sleep(0.1)  # nothing is to happen
    assert exact.models().result(TIMEOUT)


def test_an_interrupted_run_is_taken_up_by_another_engine(exact: Engine, library: Library) -> None:
    with Engine(library, device="cpu", exact=True) as first:
        run = first.begin(tiny(120, seed=9), keep=True).result(TIMEOUT)
        at = first.knob(run, "rate", 0.1).result(TIMEOUT)
        until(lambda: first.states[run].step > 40)
    assert library.info(run).state == "interrupted"
    exact.resume_run(run, keep=True).result(TIMEOUT)
    in_state(exact, run, "done")
    twin = exact.begin(tiny(120, seed=9)).result(TIMEOUT)
    with library.open(run) as reader:
        assert reader.knobs() == [(at, "rate", 0.1)]
        assert list(reader.scores()[0]) == list(range(121))
    exact.stop(twin).result(TIMEOUT)
