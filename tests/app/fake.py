"""An engine without a network: the same commands and states, moving synthetic pictures in real run files."""

from __future__ import annotations

import io
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from PIL import Image

from tests.app.fake_look import FakeLooking
from tests.app.fake_patches import FakePatching
from tests.app.fake_ruler import FakeMeasuring
from vizcore import lineage
from vizcore.engine.jobs import Job
from vizcore.errors import EngineError, HistoryError, LayerError, SpecError, VizcoreError
from vizcore.history import RunWriter, decode
from vizcore.history.recall import recall
from vizcore.runs import Library
from vizcore.spec import HOT, Knobs, RunSpec
from vizcore.sweep import facts as sweep_facts
from vizcore.sweep import plan
from vizcore.zoo.card import Card, to_dict

LAYERS = [
    {"path": "stem", "kind": "conv", "channels": 48, "height": 32, "width": 32, "receptive_field": 5},
    {"path": "block1", "kind": "block", "channels": 64, "height": 16, "width": 16, "receptive_field": 17},
    {"path": "block2", "kind": "conv", "channels": 128, "height": 8, "width": 8, "receptive_field": 45},
    {"path": "block3", "kind": "conv", "channels": 256, "height": 4, "width": 4, "receptive_field": 93},
    {"path": "fc", "kind": "linear", "channels": 10, "height": 1, "width": 1, "receptive_field": 64},
]
CLASSES = (
    "tench", "English springer", "cassette player", "chain saw", "church",
    "French horn", "garbage truck", "gas pump", "golf ball", "parachute",
)  # fmt: skip


@dataclass(frozen=True)
class State:
    """As ``vizcore.engine.RunState``."""

    run: str
    state: str = "running"
    step: int = -1
    steps: int = 256
    rate: float = 0.0
    eta: float | None = None
    seconds: float = 0.0
    memory: int | None = 600_000_000
    device: str = "cpu"
    precision: str = "fp32"
    statuses: tuple[str, ...] = ()
    error: dict[str, str] | None = None
    note: str = ""


@dataclass
class Task:
    spec: RunSpec
    writer: RunWriter
    knobs: Knobs
    grey: bool = False
    credit: int = 0  # single steps to make while paused
    viewers: set[str] = field(default_factory=set)


def picture(step: int, channel: int, size: int, grey: bool) -> np.ndarray:
    """Waves that grow with the step and differ with the channel, uint8 [size, size, 3 or 1]."""
    y, x = np.mgrid[0:size, 0:size] / size
    angle, growth = channel * 0.7, min(1.0, 0.1 + step / 150)
    wave = np.sin(12 * (x * np.cos(angle) + y * np.sin(angle)) + step * 0.15 + channel)
    rings = np.cos(18 * np.hypot(x - 0.5, y - 0.5) - step * 0.1)
    planes = [wave * rings] if grey else [wave, rings * wave, np.cos(angle + 5 * wave)]
    return np.clip(128 + 110 * growth * np.stack(planes, -1), 0, 255).astype(np.uint8)


class FakeEngine(FakeLooking, FakePatching, FakeMeasuring):
    """Commands answer at once; ``pace`` seconds a step, or by hand with :meth:`turn` when it is None."""

    def __init__(self, library: Library, pace: float | None = None) -> None:
        super().__init__()
        self.library, self.pace = library, pace
        self.states: dict[str, State] = {}
        self.loading: dict[str, str] = {}
        self.tasks: dict[str, Task] = {}
        self.calls: list[tuple[Any, ...]] = []
        self.alive = False
        self.fail: dict[str, VizcoreError] = {}  # command -> what it raises
        self.unfinished: list[Callable[[], None]] = []
        self._lock = threading.RLock()
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        self.alive = True
        if self.pace is not None:
            self._thread = threading.Thread(target=self._work, daemon=True)
            self._thread.start()

    def close(self) -> None:
        self.alive = False
        if self._thread is not None:
            self._thread.join(5)
        for task in self.tasks.values():
            task.writer.close()

    def _work(self) -> None:
        while self.alive:
            self.turn()
            time.sleep(self.pace or 0.01)

    def turn(self, count: int = 1) -> None:
        """Make steps of every run that runs."""
        for _ in range(count):
            with self._lock:
                for run, state in list(self.states.items()):
                    task = self.tasks[run]
                    if state.state == "running" or (state.state == "paused" and task.credit > 0):
                        task.credit = max(0, task.credit - 1)
                        self._step(run, task, state)

    def flush(self) -> None:
        for task in self.tasks.values():
            task.writer.flush()

    def _step(self, run: str, task: Task, state: State) -> None:
        step, spec = state.step + 1, task.spec
        codes = spec.parameterization == "generator"
        size = 28 if codes else spec.size
        images = np.stack([picture(step, channel, size, task.grey) for channel in spec.channels])
        rate = float(task.knobs.at(step)["rate"])
        scores = np.array([(1 - np.exp(-step * rate * 2)) * (3 + c % 5) for c in spec.channels], np.float32)
        if codes and spec.objective == "class":
            scores = np.array([-(1 + c % 5) * np.exp(-step / 20) for c in spec.channels], np.float32)  # log p
        statuses = tuple("dead" if c % 13 == 7 else "ok" for c in spec.channels)
        task.writer.add(step, images, scores, np.ones(len(scores), np.float32), statuses)
        steps = int(task.knobs.at(step)["steps"])
        done = step >= steps
        pace = 1 / self.pace if self.pace else 100.0
        self.states[run] = replace(
            state, step=step, steps=steps, rate=pace, eta=(steps - step) / pace, statuses=statuses,
            state="done" if done else state.state, seconds=step / pace,
        )  # fmt: skip
        if done:
            task.writer.set_state("done")
        if done or not self.pace:
            task.writer.flush()

    # -- commands ------------------------------------------------------------------------------------------

    def _answer(self, name: str, act: Callable[[], Any], *record: Any) -> Future[Any]:
        self.calls.append((name, *record))
        future: Future[Any] = Future()
        with self._lock:
            try:
                if name in self.fail:
                    raise self.fail[name]
                future.set_result(act())
            except Exception as error:
                future.set_exception(error)
        return future

    def models(self) -> Future[Any]:
        rows = [
            {
                "name": "imagenette-robust",
                "source": "bundled",
                "on_disk": True,
                "classes": 10,
                "size": 64,
                "channels": 3,
            },
            {"name": "digits", "source": "bundled", "on_disk": True, "classes": 10, "size": 28, "channels": 1},
            {
                "name": "resnet18",
                "source": "torchvision",
                "on_disk": False,
                "classes": 1000,
                "size": 224,
                "channels": 3,
            },
        ]
        return self._answer("models", lambda: rows)

    def describe(self, model: str, arch: str | None = None) -> Future[Any]:
        digits = model == "digits"
        layers = (
            [dict(LAYERS[0], path="conv1", channels=16), dict(LAYERS[1], path="conv2", channels=32)]
            if digits
            else LAYERS
        )
        card = Card(
            model, f"{model} (synthetic)", model, channels=1 if digits else 3, size=28 if digits else 64,
            mean=(0.5,) if digits else (0.5,) * 3, std=(0.5,) if digits else (0.5,) * 3,
            classes=tuple(map(str, range(10))) if digits else CLASSES, showcase_layer="conv2" if digits else "block2",
        )  # fmt: skip
        answer = {"card": to_dict(card), "layers": layers, "default_size": 56 if digits else 128, "device": "cpu"}
        return self._answer("describe", lambda: answer, model)

    def begin(self, spec: RunSpec, *, keep: bool = False, knobs: Any = ()) -> Future[Any]:
        def act() -> str:
            if spec.objective.count("(") != spec.objective.count(")"):
                raise SpecError("The objective has an open bracket.", "Close it.")
            if spec.layer == "nowhere":
                raise LayerError("There is no layer 'nowhere'.", "Did you mean stem?")
            run, writer = self.library.create(spec, environment={"engine": "fake"}, weights_hash="0" * 64)
            for turn in knobs:
                writer.knob(*turn)
            self._take(run, writer, spec, Knobs(spec, knobs), -1)
            return run

        return self._answer("begin", act, spec)

    # -- travelling ----------------------------------------------------------------------------------------

    def _job(self, name: str, act: Callable[[], Any], *record: Any, steps: int = 0) -> Job[Any]:
        """An answer that takes ``steps`` of the engine's pace, or until :meth:`finish` when there is none."""
        self.calls.append((name, *record))
        job: Job[Any] = Job()
        job.withdraw = lambda: self.calls.append(("cancel", name))

        def end() -> None:
            if job.done():
                return
            try:
                if name in self.fail:
                    raise self.fail[name]
                with self._lock:
                    job.set_result(act())
            except Exception as error:
                job.set_exception(error)

        def work() -> None:
            for done in range(steps):
                job.progress = (done, steps)
                time.sleep(self.pace or 0)
                if job.cancelled():
                    return
            end()

        if self.pace is None and steps:
            job.progress = (1, steps)
            self.unfinished.append(end)
        elif steps:
            threading.Thread(target=work, daemon=True).start()
        else:
            end()
        return job

    def finish(self) -> None:
        """Bring to an end what takes steps."""
        unfinished, self.unfinished = self.unfinished, []
        for end in unfinished:
            end()

    def fork(
        self, run: str, step: int, *, channels: Any = None, knobs: Any = None, seed: Any = None, settings: Any = None,
        keep: bool = False,
    ) -> Job[Any]:  # fmt: skip
        def act() -> str:
            if run in self.tasks:
                self.tasks[run].writer.flush()
            with self.library.open(run) as reader:
                if step > int(reader.latest() or 0):
                    raise HistoryError(f"The run has no step {step}.", f"It is at step {reader.latest()}.")
                owner = reader.owner(step)
                spec, log = owner.spec, [turn for turn in owner.knobs() if turn[0] <= step]
                shared, above = owner.own_revision, owner.path.stem
                line = [*(lineage.of(owner) or ()), lineage.left(spec, log, step)]
            wishes = {**(settings or {}), **({} if seed is None else {"seed": seed})}
            spec = lineage.fork(spec, channels or spec.channels, wishes)
            turned = Knobs(spec, log)
            for name, value in (knobs or {}).items():
                turned.set(step, name, value)
            new, writer = self.library.create(
                spec, environment={"engine": "fake"}, weights_hash="0" * 64, parent=(above, step), shared=shared,
                facts={"above": [one.to_dict() for one in line]},
            )  # fmt: skip
            for turn in turned.log:
                writer.knob(*turn)
            self._take(new, writer, spec, turned, step - 1)
            self._step(new, self.tasks[new], self.states[new])
            writer.flush()
            return new

        return self._job("fork", act, run, step, channels, dict(knobs or {}), seed)

    def repeat(self, spec: RunSpec, knobs: Any, above: Any, *, keep: bool = False) -> Job[Any]:
        def act() -> str:
            made: tuple[str, int] | None = None
            for index, one in enumerate(above):
                facts = {"above": [older.to_dict() for older in above[:index]]} if index else None
                run, writer = self.library.create(
                    one.spec, environment={"engine": "fake"}, weights_hash="0" * 64, parent=made,
                    shared=0 if made else None, facts=facts,
                )  # fmt: skip
                begun = made[1] if made else 0
                self._take(run, writer, one.spec, Knobs(one.spec, one.knobs), begun - 1)
                for _ in range(begun, one.step):
                    self._step(run, self.tasks[run], self.states[run])
                self.stop(run)
                made = run, one.step
            assert made is not None
            new, writer = self.library.create(
                spec, environment={"engine": "fake"}, weights_hash="0" * 64, parent=made, shared=0,
                facts={"above": [older.to_dict() for older in above]},
            )  # fmt: skip
            for turn in knobs:
                writer.knob(*turn)
            self._take(new, writer, spec, Knobs(spec, knobs), made[1] - 1)
            self._step(new, self.tasks[new], self.states[new])
            writer.flush()
            return new

        return self._job("repeat", act, spec, knobs, above)

    def recompute(self, run: str, step: int, last: int | None = None) -> Job[Any]:
        def act() -> dict[str, Any]:
            with self.library.open(run) as reader:
                owner = reader.owner(step)
                spec, grey = owner.spec, owner.spec.model == "digits"
                images = np.stack([picture(step, channel, spec.size, grey) for channel in spec.channels])
                made = recall(owner.path, step, images, owner.own_revision)
                return {"run": owner.path.stem, "steps": [step] if made else [], "identical": True, "difference": 0.0}

        return self._job("recompute", act, run, step, steps=30)

    def sweep(self, spec: RunSpec, points: Any, *, keep: bool = True) -> Job[Any]:
        def act() -> dict[str, Any]:
            values = [dict(point) for point in points]
            specs, facts = plan(spec, values), sweep_facts(values)
            runs = []
            for one, fact in zip(specs, facts, strict=True):
                run, writer = self.library.create(one, environment={"engine": "fake"}, facts=fact)
                self._take(run, writer, one, Knobs(one), -1)
                runs.append(run)
            return {"sweep": facts[0]["sweep"]["id"], "runs": runs, "values": values}

        return self._job("sweep", act, spec, points)

    def judge(self, run: str, step: int | None = None, source: str = "", only: str = "") -> Future[Any]:
        def act() -> list[dict[str, Any]]:
            with self.library.open(run) as reader:
                at = reader.latest() if step is None else step
                rows = []
                for frame in reader.frames(at):
                    rough = float(np.abs(np.diff(decode(frame).astype(float), axis=0)).mean()) / 255
                    real = {"path_similarity": 1 - rough, "path_natural": 0.9} if source else {}
                    rows.append({
                        **real, "channel": frame.channel, "step": at, "activation": frame.score,
                        "held_out": 0.8 * frame.score, "total_variation": rough,
                    })  # fmt: skip
                return rows

        return self._answer("judge", act, run, step, source)

    def _take(self, run: str, writer: RunWriter, spec: RunSpec, knobs: Knobs, step: int) -> None:
        self.tasks[run] = Task(spec, writer, knobs, spec.model == "digits")
        self.states[run] = State(run, "running", step, int(knobs.at(step + 1)["steps"]))

    def resume_run(self, run: str) -> Future[Any]:
        def act() -> str:
            if run not in self.states:
                with self.library.open(run) as reader:
                    spec, log, latest = reader.spec, reader.knobs(), reader.latest()
                self._take(
                    run,
                    RunWriter.open(self.library.path(run)),
                    spec,
                    Knobs(spec, log),
                    -1 if latest is None else latest,
                )
            return run

        return self._answer("resume_run", act, run)

    def _set(self, name: str, run: str, **changes: Any) -> Future[Any]:
        def act() -> None:
            if run not in self.states:
                raise EngineError("The engine does not have this run.", "Open it again.")
            self.states[run] = replace(self.states[run], **changes)
            if self.tasks[run].writer is not None:
                self.tasks[run].writer.set_state(self.states[run].state)

        return self._answer(name, act, run)

    def pause(self, run: str) -> Future[Any]:
        return self._set("pause", run, state="paused")

    def resume(self, run: str) -> Future[Any]:
        return self._set("resume", run, state="running")

    def stop(self, run: str) -> Future[Any]:
        def act() -> None:
            if run in self.states:
                task = self.tasks.pop(run)
                task.writer.set_state("paused" if self.states.pop(run).state != "done" else "done")
                task.writer.close()

        return self._answer("stop", act, run)

    def step(self, run: str, n: int = 1) -> Future[Any]:
        def act() -> None:
            self.tasks[run].credit += n

        return self._answer("step", act, run, n)

    def knob(self, run: str, name: str, value: Any) -> Future[Any]:
        def act() -> int:
            step = self.states[run].step + 1
            task = self.tasks[run]
            assert name in HOT
            task.writer.knob(step, name, task.knobs.set(step, name, value))
            task.writer.flush()
            self.states[run] = replace(self.states[run], steps=int(task.knobs.at(step)["steps"]))
            return step

        return self._answer("knob", act, run, name, value)

    def evidence(self, run: str, step: int, channel: int) -> Future[Any]:
        def act() -> dict[str, Any]:
            maps = []
            for index in range(6):
                data = io.BytesIO()
                Image.fromarray(picture(step, channel + index, 16, True)[..., 0]).resize((64, 64)).save(data, "PNG")
                maps.append({"channel": channel + index, "png": data.getvalue(), "peak": 1.0 + index})
            p = np.exp(-np.arange(5.0) - step / 300)
            return {"classes": [[CLASSES[(channel + i) % 10], float(p[i] / 2)] for i in range(5)], "maps": maps}

        return self._answer("evidence", act, run, step, channel)

    def watch(self, run: str, viewer: str) -> Future[Any]:
        def act() -> None:
            if run not in self.tasks:
                return
            self.tasks[run].viewers.add(viewer)
            if self.states[run].state == "resting":
                self.states[run] = replace(self.states[run], state="running")

        return self._answer("watch", act, run, viewer)

    def unwatch(self, run: str, viewer: str) -> Future[Any]:
        def act() -> None:
            if run in self.tasks:
                self.tasks[run].viewers.discard(viewer)
                if not self.tasks[run].viewers and self.states[run].state == "running":
                    self.states[run] = replace(self.states[run], state="resting")

        return self._answer("unwatch", act, run, viewer)
