"""Who takes a step together in the engine, what each is charged, and that what is recorded is each one's own."""

from __future__ import annotations

import queue
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from engine_helpers import tiny

from vizcore.ascent import ascend
from vizcore.engine import worker as module
from vizcore.engine.failures import logger
from vizcore.engine.protocol import Config
from vizcore.engine.task import Bench, Task
from vizcore.engine.worker import Worker
from vizcore.runs import Library
from vizcore.spec import RunSpec
from vizcore.zoo.load import Network, load


class Pipe:
    """Takes what the worker tells."""

    def send(self, event: object) -> None:
        pass


@pytest.fixture
def network() -> Network:
    return load("digits")


@pytest.fixture
def worker(tmp_path: Any) -> Worker:
    library = Library(tmp_path)
    made = Worker(Pipe(), SimpleNamespace(value=b""), Config(str(tmp_path)), 0.0)  # type: ignore[arg-type]
    made._bench = Bench(library, "cpu", False, lambda state: None, logger(library.home))
    made._inbox = queue.SimpleQueue()
    return made


def begin(worker: Worker, network: Network, *specs: RunSpec) -> list[Task]:
    tasks = [Task.begin(spec, network, worker._bench) for spec in specs]
    worker._tasks = {task.run: task for task in tasks}
    return tasks


def test_runs_of_a_few_filters_go_together_up_to_the_limit(worker: Worker, network: Network) -> None:
    tasks = begin(
        worker, network,
        tiny(channels="0"), tiny(channels="1-2", seed=4), tiny(channels="3", size=40), tiny(channels="0-15"),
        tiny(channels="2-14"), tiny(channels="5"),
    )  # fmt: skip
    assert worker._company(tasks[0]) == [tasks[0], tasks[1], tasks[4]]  # 1 + 2 + 13 rows are 16: no room for the last
    assert worker._company(tasks[2]) == [tasks[2]]  # of another size
    assert worker._company(tasks[3]) == [tasks[3]]  # has 16 by itself
    tasks[1].pause()
    assert worker._company(tasks[0]) == [tasks[0], tasks[4], tasks[5]]


def test_after_a_death_each_goes_alone(worker: Worker, network: Network) -> None:
    worker._config = Config(worker._config.home, share=False)
    first, _ = begin(worker, network, tiny(channels="0"), tiny(channels="1"))
    assert worker._company(first) == [first]


def test_a_round_advances_all_of_a_company_and_records_each(
    worker: Worker, network: Network, monkeypatch: pytest.MonkeyPatch
) -> None:
    specs = [tiny(6, channels="0", seed=1), tiny(6, channels="1-2", rate=0.2), tiny(6, channels="5", tv=0.1)]
    tasks = begin(worker, network, *specs)
    passes = []
    plain = module.Task.turn

    def turn(task: Task, others: list[Task]) -> None:
        passes.append(1 + len(others))
        plain(task, others)

    monkeypatch.setattr(module.Task, "turn", turn)
    while any(task.state == "running" for task in tasks):
        worker._round()
    assert passes == [3] * 7  # steps 1 to 6, and the end
    for task, spec in zip(tasks, specs, strict=True):
        alone = list(ascend(spec, network))
        with worker._bench.library.open(task.run) as reader:
            steps, scores, _ = reader.scores(since=-1)
            assert steps.tolist() == list(range(7))
            np.testing.assert_allclose(scores, [frame.scores for frame in alone], rtol=0.03, atol=1e-3)  # in bf16
        task.release()


def test_a_run_that_idles_lets_go_of_its_memory_and_is_there_again_when_it_is_asked_for(
    worker: Worker, network: Network
) -> None:
    worker._config = Config(worker._config.home, idle=0.05)
    worker._networks = SimpleNamespace(ready=lambda model, arch: network)  # type: ignore[assignment]
    paused, running = begin(worker, network, tiny(channels="0"), tiny(channels="1", seed=3))
    for task in (paused, running):
        task.watch("somebody")
    paused.turn()
    paused.pause()
    while paused.idle < 0.05:
        worker._round()
    worker._round()
    assert (paused.live, paused.state, running.live) == (False, "paused", True)
    assert paused.idle == 0
    running.pause()
    worker._commands(wait=True)  # nobody says anything: it ends when memory is due
    worker._inbox.put((0, lambda: None))
    worker._round()
    assert not running.live
    step = paused.step
    worker._knob(0, paused.run, "rate", 0.2)
    assert (paused.live, paused.state, paused.next_step) == (True, "paused", step + 1)
    paused.go()
    paused.turn()
    assert paused.step == step + 1
