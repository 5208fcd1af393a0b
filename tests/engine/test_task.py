"""One run in the engine when its arithmetic goes wrong: NaN, no memory, and what nobody thought of."""

from __future__ import annotations

from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from engine_helpers import tiny

from vizcore.ascent import Coming, Frame
from vizcore.engine import task as module
from vizcore.engine.failures import logger
from vizcore.engine.protocol import RunState
from vizcore.engine.task import Bench, Task
from vizcore.runs import Library
from vizcore.spec import Knobs, RunSpec

LIMIT = 0.05  # a rate above which the arithmetic below gives NaN


class Course:
    """Stands in for an ascent: a picture that is NaN one step after a rate above the limit."""

    precision, note = "fp32", ""
    fails: dict[int, Exception] = {}  # when steps are launched
    late: dict[int, Exception] = {}  # when their frames are waited for

    def __init__(self, spec: RunSpec, network: Any, knobs: Knobs | None = None, *, state: Any = None, **_: Any) -> None:
        self.spec, self.knobs = spec, knobs or Knobs(spec)
        self.step = int(state["step"]) if state else 0
        self.value = np.array(state["parameter"]) if state else np.zeros((2, 1))

    def __iter__(self) -> Iterator[Frame]:
        return self

    def __next__(self) -> Frame:
        coming = self.launch()
        if coming is None:
            raise StopIteration
        return coming()

    def launch(self) -> Coming | None:
        if self.step in self.fails:
            raise self.fails[self.step]
        step, values = self.step, self.value.copy()
        if step > int(self.knobs.at(step)["steps"]):
            return None
        self.value = values + (np.nan if float(self.knobs.at(step)["rate"]) > LIMIT else 1)
        self.step += 1
        status = ("nan" if np.isnan(values[0, 0]) else "ok",) * 2
        images = np.full((2, 32, 32, 1), step % 255, np.uint8)

        def frame() -> Frame:
            if step in self.late:
                raise self.late[step]
            return Frame(step, images, values[:, 0].astype("f4"), np.ones(2, "f4"), 0.001, status)

        return frame

    def checkpoint(self) -> dict[str, np.ndarray]:
        return {"step": np.array(self.step), "parameter": self.value.copy()}


@pytest.fixture
def told() -> list[RunState]:
    return []


@pytest.fixture
def bench(told: list[RunState], tmp_path: Any, monkeypatch: pytest.MonkeyPatch) -> Bench:
    monkeypatch.setattr(module, "ascend", Course)
    monkeypatch.setattr(Course, "fails", {})
    monkeypatch.setattr(Course, "late", {})
    library = Library(tmp_path)
    return Bench(library, "cpu", False, told.append, logger(library.home))


def begin(bench: Bench, **values: object) -> Task:
    network: Any = SimpleNamespace(card=SimpleNamespace(weights_hash="0"))
    return Task.begin(tiny(**values), network, bench)


def play(task: Task, turns: int = 500) -> None:
    for _ in range(turns):
        if not task.ready:
            return
        task.turn()


def test_nan_goes_back_to_a_finite_checkpoint_at_half_the_rate(bench: Bench) -> None:
    task = begin(bench, steps=100, rate=0.02)
    play(task, 50)
    assert task.knob("rate", 0.3) == 51
    play(task)
    assert task.state == "done"
    task.release()
    with bench.library.open(task.run) as reader:
        assert reader.knobs() == [(51, "rate", 0.3), (51, "rate", 0.15), (51, "rate", 0.075), (51, "rate", 0.0375)]
        steps, scores, _ = reader.scores()
    assert list(steps) == list(range(101))
    assert np.isfinite(scores).all()


def test_a_knob_turned_while_nan_is_on_its_way_is_not_lost(bench: Bench) -> None:
    task = begin(bench, steps=60, rate=0.02)
    play(task, 20)
    task.knob("rate", 0.09)
    task.turn()  # a good frame, but its update made NaN, which is no place to come back to
    task.knob("jitter", 3)
    play(task)
    assert task.state == "done"
    task.release()
    with bench.library.open(task.run) as reader:
        assert reader.knobs() == [(21, "rate", 0.09), (21, "jitter", 3), (21, "rate", 0.045)]
        assert np.isfinite(reader.scores()[1]).all()


def test_nan_that_stays_ends_in_a_remedy_with_the_last_good_picture_kept(bench: Bench, told: list[RunState]) -> None:
    task = begin(bench, steps=100, rate=0.02)
    play(task, 40)
    task.knob("rate", 100.0)
    play(task)
    assert task.state == "failed"
    assert not task.live
    assert told[-1].error is not None
    assert "NaN" in told[-1].error["message"]
    assert "rate" in told[-1].error["hint"]
    with bench.library.open(task.run) as reader:
        assert reader.state == "failed"
        assert reader.latest() == 41
        assert np.isfinite(reader.scores()[1]).all()


@pytest.mark.parametrize(
    ("failure", "message"),
    [
        (RuntimeError("CUDA out of memory. Tried to allocate 20.00 GiB. GPU 0 has"), "20.0 GB more"),
        (
            RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 104857600 bytes."),
            "100 MB more",
        ),
        (MemoryError(), "more memory"),
    ],
)
def test_a_run_that_does_not_fit_fails_alone(bench: Bench, failure: Exception, message: str) -> None:
    task, other = begin(bench, steps=30), begin(bench, steps=30)
    play(task, 5)
    Course.fails = {6: failure}
    task.turn()
    Course.fails = {}
    play(other)
    assert (task.state, other.state) == ("failed", "done")
    assert task.error is not None
    assert message in task.error.message
    assert "160 px" in task.error.hint


def test_an_unknown_error_has_a_number_and_its_traceback_is_in_the_log_only(bench: Bench) -> None:
    task = begin(bench, steps=30)
    Course.fails = {1: KeyError("/home/someone/secret")}
    task.turn()
    assert task.error is not None
    assert "secret" not in str(task.error)
    number = task.error.hint.rstrip(".").split()[-1]
    log = (bench.library.home / "logs" / "engine.log").read_text(encoding="utf-8")
    assert number in log
    assert "Traceback" in log


def test_a_failed_run_can_be_tried_again(bench: Bench) -> None:
    task = begin(bench, steps=30)
    Course.fails = {10: MemoryError()}
    play(task)
    Course.fails = {}
    network: Any = SimpleNamespace(card=SimpleNamespace(weights_hash="0"))
    task.enliven(network)
    task.go()
    play(task)
    assert task.state == "done"
    task.release()
    with bench.library.open(task.run) as reader:
        assert list(reader.scores()[0]) == list(range(31))


@pytest.fixture
def eager(monkeypatch: pytest.MonkeyPatch) -> None:
    """The device is told of a step before the frame of the one before it is waited for, as a GPU is."""
    monkeypatch.setattr(module, "AHEAD", {"cpu": 1})


def frames_of(bench: Bench, run: str) -> tuple[list[int], np.ndarray]:
    with bench.library.open(run) as reader:
        steps, scores, _ = reader.scores()
    return list(steps), scores


@pytest.mark.usefixtures("eager")
def test_a_step_on_its_way_is_taken_before_a_pause_is_answered(bench: Bench) -> None:
    task = begin(bench, steps=30)
    play(task, 10)
    assert (task.step, task.next_step) == (9, 11)  # 10 is on its way
    assert task.pause() == 10
    task.advance(2, lambda step: None)
    play(task)
    assert (task.step, task.next_step) == (12, 13)  # a paused run takes as many steps as were asked for
    task.go()
    play(task)
    assert task.state == "done"
    task.release()
    steps, scores = frames_of(bench, task.run)
    assert steps == list(range(31))
    assert scores[:, 0] == pytest.approx(range(31))


@pytest.mark.usefixtures("eager")
def test_a_checkpoint_waits_for_the_frames_before_it(bench: Bench) -> None:
    task = begin(bench, steps=300)
    play(task, 200)
    with bench.library.open(task.run) as reader:
        task.flush()
        last, known = reader.checkpoints()[-1], list(reader.scores()[0])
    assert last > 0
    assert known[:last] == list(range(last))
    task.release()
    assert frames_of(bench, task.run)[0] == list(range(201))


@pytest.mark.usefixtures("eager")
@pytest.mark.parametrize(("steps", "played"), [(60, 20), (30, 28)])  # a step is behind it; it is the last one
def test_nan_drops_the_step_behind_it_and_is_no_end(bench: Bench, steps: int, played: int) -> None:
    task = begin(bench, steps=steps, rate=0.02)
    play(task, played)
    assert task.knob("rate", 0.09) == played + 1  # whose update makes the frame behind it NaN
    play(task)
    assert task.state == "done"
    task.release()
    made, scores = frames_of(bench, task.run)
    assert made == list(range(steps + 1))
    assert np.isfinite(scores).all()


@pytest.mark.usefixtures("eager")
def test_an_error_that_comes_with_a_frame_ends_its_run_and_keeps_what_came_before(bench: Bench) -> None:
    task, other = begin(bench, steps=30), begin(bench, steps=30)
    Course.late = {7: RuntimeError("CUDA out of memory. Tried to allocate 20.00 GiB. GPU 0 has")}
    play(task)
    Course.late = {}
    play(other)
    assert (task.state, other.state) == ("failed", "done")
    assert task.error is not None
    assert "20.0 GB more" in task.error.message
    assert frames_of(bench, task.run)[0] == list(range(7))
    assert frames_of(bench, other.run)[0] == list(range(31))
