"""The child process: takes commands between steps and gives every run its turn."""

from __future__ import annotations

import gc
import logging
import os
import queue
import threading
import time
from collections.abc import Callable
from multiprocessing.connection import Connection
from typing import Any, Final

import torch

from vizcore import evidence, lineage, ranking, replay, sweep
from vizcore import spec as specs
from vizcore.ascent import ascend
from vizcore.engine.devices import choose, set_threads
from vizcore.engine.failures import explain, logger
from vizcore.engine.looking import Looking
from vizcore.engine.measuring import Measuring
from vizcore.engine.networks import Networks
from vizcore.engine.patching import Patching
from vizcore.engine.protocol import BEGINNING, Config, Event, Place, RunState
from vizcore.engine.scheduler import Scheduler
from vizcore.engine.task import Bench, Task
from vizcore.engine.works import Work, Works
from vizcore.errors import EngineError, GeneratorError, HistoryError, VizcoreError
from vizcore.generate import shelf
from vizcore.history import RunReader, decode
from vizcore.history.codec import Pixels
from vizcore.look.pictures import Picture
from vizcore.memory import give_back
from vizcore.params import Value
from vizcore.replay import Branch
from vizcore.runs import Library
from vizcore.spec import RunSpec
from vizcore.zoo.load import Network

ROWS = 16  # pictures that runs share a pass for: more than that cost the same per picture on two cores
ROWS_ON_GPU = 64
LATER: Final = object()
"""What a command returns whose reply comes by itself."""

Job = Callable[[], Any]
Turn = tuple[int, str, Value]
Message = tuple[int, Job]  # whom to answer (0: nobody), and what to do


class Worker:
    """The engine's side of the pipe.

    Networks are loaded in a thread beside the steps; everything that computes happens in the main thread, one
    thing after the other, because two passes through one network would meet in its hooks.
    """

    def __init__(self, pipe: Connection, busy: Any, config: Config, begin: float) -> None:
        self._pipe = pipe
        self._busy = busy
        self._config = config
        self._sending = threading.Lock()
        self._inbox: queue.SimpleQueue[Message | None] = queue.SimpleQueue()
        self._begin = begin
        self._tasks: dict[str, Task] = {}
        self._works = Works(self._send)
        beside = (
            self._with_network, self._works, lambda number, job: self._inbox.put((number, job)),
            lambda error: explain(error, self._bench.log), LATER,
        )  # fmt: skip
        self._looking, self._patching, self._measuring = Looking(*beside), Patching(*beside), Measuring(*beside)
        self._scheduler = Scheduler()
        self._closing = False
        self._warm = False

    def serve(self) -> None:
        """Compute until the pipe ends or ``close`` comes; does not return."""
        library = Library(self._config.home)
        os.environ.setdefault("VIZCORE_ASSETS", str(library.home / "assets"))
        own = (os.environ.get(shelf.VARIABLE, ""), str(library.home / "generators"))
        os.environ[shelf.VARIABLE] = os.pathsep.join(filter(None, own))
        log = logger(library.home)
        try:
            threads = set_threads(self._config.exact)
            device = choose(self._config.device)
        except VizcoreError as error:
            self._fatal(error)
            return
        self._bench = Bench(library, device, self._config.exact, self._publish, log)
        self._networks = Networks(device, self._note, self._config.networks, self._config.files)
        threading.Thread(target=self._listen, name="vizcore-commands", daemon=True).start()
        seconds = time.perf_counter() - self._begin
        log.info("ready on %s with %d threads after %.1f s", device, threads, seconds)
        self._send(
            ("ready", {"device": device, "threads": threads, "torch": str(torch.__version__), "seconds": seconds})
        )
        try:
            while not self._closing:
                self._round()
        except Exception:
            log.exception("the engine ends")
        finally:
            for task in self._tasks.values():
                self._guarded(task.release)
            logging.shutdown()
            os._exit(0)  # a download in the loading thread must not keep a process that nobody wants

    def _fatal(self, error: VizcoreError) -> None:
        """Refuse every command with ``error``: starting again would not help."""
        self._send(("fatal", error.to_dict()))

    # The loop --------------------------------------------------------------------------------------------------

    def _round(self) -> None:
        for task in self._tasks.values():
            task.rest_if_unwatched()
        if self._idled >= self._config.idle:
            self._let_go()
        self._commands(wait=not self._ready())
        run = self._scheduler.pick(self._ready())
        if run is None or self._closing:
            return
        begin = time.perf_counter()
        if isinstance(run, int):
            if self._works.turn(run, self._bench.log):
                self._free()
            self._scheduler.charge(run, time.perf_counter() - begin)
            return
        tasks = self._company(self._tasks[str(run)])
        self._busy.value = str(run).encode()
        views = [task.views for task in tasks]
        tasks[0].turn(tasks[1:])
        self._busy.value = b""
        for task, count in zip(tasks, views, strict=True):
            self._scheduler.charge(task.run, (time.perf_counter() - begin) * count / sum(views))
        if not all(task.ready for task in tasks):
            self._let_go()

    def _company(self, task: Task) -> list[Task]:
        """``task`` and those that take their next step with it, since that is quicker than one after the other."""
        company, views = [task], task.views
        most = ROWS_ON_GPU if self._bench.device == "cuda" else ROWS
        for other in self._tasks.values() if self._config.share else ():
            more = other.views
            if other is not task and other.ready and views + more <= most and task.shares(other):
                company.append(other)
                views += more
        return company

    def _ready(self) -> list[str | int]:
        """Who wants a turn: runs by their id, and one piece of work by its number."""
        return [*(run for run, task in self._tasks.items() if task.ready), *self._works.ready]

    @property
    def _idled(self) -> float:
        """Seconds for which a run has kept its memory without need, at the most."""
        return max((task.idle for task in self._tasks.values()), default=0.0)

    def _commands(self, wait: bool) -> None:
        """Everything that has come; if ``wait``, the first of it is waited for, at no cost, or until memory is due."""
        while not self._closing:
            due = max(self._config.idle - self._idled, 0.0) if any(task.live for task in self._tasks.values()) else None
            try:
                message = self._inbox.get(block=wait, timeout=due)
            except queue.Empty:
                return
            wait = False
            if message is None:
                self._closing = True
            else:
                self._answer(*message)

    def _answer(self, number: int, job: Job) -> None:
        error: VizcoreError | None = None
        value: Any = None
        try:
            value = job()
        except Exception as failure:
            error = explain(failure, self._bench.log)
        self._busy.value = b""
        if error is not None:
            self._free()
            self._reply_error(number, error)
        elif value is not LATER:
            self._reply(number, value)

    def _guarded(self, job: Job) -> None:
        try:
            job()
        except Exception as failure:
            explain(failure, self._bench.log)

    def _free(self) -> None:
        if self._bench.device == "cuda":
            gc.collect()
            torch.cuda.empty_cache()

    def _let_go(self) -> None:
        """Release the runs that have idled for long, and longest when too many hold memory."""
        live = [task for task in self._tasks.values() if task.live]
        idle = sorted((task for task in live if not task.ready), key=lambda task: task.used)
        long = sum(task.idle >= self._config.idle for task in idle)
        released = idle[: max(len(live) - self._config.live, long)]
        for task in released:
            self._guarded(task.release)
            task.used = time.monotonic()  # one that could not is asked again later
        forgotten = [run for run, task in self._tasks.items() if task.forgettable]
        for run in forgotten:
            del self._tasks[run]  # whoever asks for it again has it from the file
        self._free()
        if released or forgotten:  # a run that only pauses wants its memory again at its next step
            give_back()

    # The pipe --------------------------------------------------------------------------------------------------

    def _listen(self) -> None:
        """In its own thread: the pipe is always read, so that neither side can block the other."""
        while True:
            try:
                number, command, arguments = self._pipe.recv()
            except (EOFError, OSError):
                break
            self._inbox.put((number, self._job(number, command, arguments)))
        self._inbox.put(None)
        time.sleep(5.0)  # for the step and the files; then whatever hangs has had its time
        os._exit(1)

    def _job(self, number: int, command: str, arguments: dict[str, Any]) -> Job:
        if command == "close":
            return self._close
        handler = self._handlers().get(command)
        return lambda: handler(number, **arguments) if handler else None

    def _close(self) -> object:
        self._closing = True
        return LATER

    def _send(self, event: Event) -> None:
        with self._sending:
            try:
                self._pipe.send(event)
            except OSError:
                self._inbox.put(None)

    def _reply(self, number: int, value: Any) -> None:
        if number:
            self._send(("reply", number, value))

    def _reply_error(self, number: int, error: VizcoreError) -> None:
        if number:
            self._send(("error", number, error.to_dict()))

    def _publish(self, state: RunState) -> None:
        self._send(("state", state.to_dict()))

    def _note(self, model: str, note: str | None) -> None:
        self._send(("loading", model, note))

    # Commands --------------------------------------------------------------------------------------------------

    def _handlers(self) -> dict[str, Callable[..., Any]]:
        return {
            "models": lambda number: self._networks.models(),
            "describe": self._describe,
            "begin": self._begin_run,
            "resume": self._resume,
            "restore": self._restore,
            "pause": self._pause,
            "step": self._step,
            "stop": self._stop,
            "knob": self._knob,
            "evidence": self._evidence,
            "fork": self._fork,
            "repeat": self._repeat,
            "recompute": self._recompute,
            "sweep": self._sweep,
            "judge": self._judge,
            "cancel": self._cancel,
            "watch": self._watch,
            "unwatch": self._unwatch,
            "natural": self._natural,
            **self._looking.handlers(),
            **self._patching.handlers(),
            **self._measuring.handlers(),
        }

    def _with_network(
        self,
        number: int,
        model: str,
        arch: str | None,
        then: Callable[[Network], Any],
        failed: Callable[[], None] = lambda: None,
    ) -> Any:
        """``then(network)`` at once if it is loaded, else when the loading thread has it, or ``failed()``."""
        network = self._networks.ready(model, arch)
        if network is not None:
            return then(network)

        def fetch() -> None:
            try:
                network = self._networks.get(model, arch)
            except Exception as failure:
                error = explain(failure, self._bench.log)

                def refuse() -> None:
                    failed()
                    raise error

                self._inbox.put((number, refuse))
            else:
                self._inbox.put((number, lambda: then(network)))

        # A thread that ends: one that stays keeps its own team of OpenMP threads, and with more threads than cores
        # libgomp lets those of the ascent sleep instead of spin at every barrier (8 to 16 ms of a step of 70).
        threading.Thread(target=fetch, name="vizcore-load", daemon=True).start()
        return LATER

    def _with_live(self, number: int, task: Task, then: Callable[[], Any]) -> Any:
        """``then()`` once the run has its tensors; while they are fetched it is loading."""
        if task.live:
            return then()
        if task.state != "loading":
            task.before = task.state
            task.become("loading")

        def settle() -> None:
            if task.state == "loading":  # else somebody has paused it meanwhile
                task.become(task.before)

        def enliven(network: Network) -> Any:
            if self._tasks.get(task.run) is not task:
                raise EngineError("The run was stopped before it was loaded.", "Start it again.")
            try:
                task.enliven(network)
            finally:
                settle()
            value = then()
            self._let_go()
            return value

        return self._with_network(number, task.spec.model, task.spec.arch, enliven, settle)

    def _task(self, run: str) -> Task:
        task = self._tasks.get(run)
        if task is None:
            task = self._tasks[run] = Task.stored(run, self._bench)
        return task

    def _describe(self, number: int, model: str, arch: str | None) -> Any:
        def then(network: Network) -> dict[str, Any]:
            description = self._networks.describe(network)
            if not self._warm:
                self._inbox.put((0, lambda: self._warm_up(model, arch, network, description["default_size"])))
            return description

        return self._with_network(number, model, arch, then)

    def _warm_up(self, model: str, arch: str | None, network: Network, size: int) -> None:
        """Two steps of what is shown first, so that the first visitor does not wait for kernels to be chosen."""
        card = network.card
        if self._warm or self._tasks or not card.showcase_layer:
            return
        self._warm = True
        ascent = ascend(
            RunSpec(model, card.showcase_layer, card.showcase_channels[:16], arch=arch, size=size),
            network, device=self._bench.device, exact=self._bench.exact,
        )  # fmt: skip
        next(ascent)
        next(ascent)

    def _begin_run(self, number: int, spec: dict[str, Any], keep: bool, knobs: list[Turn]) -> Any:
        wanted = at_hand(specs.from_dict(spec))
        log = specs.Knobs(wanted, knobs).log  # refused before the network is loaded
        return self._with_network(
            number, wanted.model, wanted.arch, lambda network: self._start(keep, wanted, network, log)
        )

    def _start(
        self,
        keep: bool,
        spec: RunSpec,
        network: Network,
        log: list[Turn],
        root: Branch | None = None,
        facts: dict[str, Any] | None = None,
    ) -> str:
        self._busy.value = BEGINNING
        try:
            task = Task.begin(spec, network, self._bench, log, root, facts)
        finally:
            self._busy.value = b""
        task.keep = keep
        self._tasks[task.run] = task
        task.publish(now=True)
        self._let_go()
        return task.run

    def _work(self, number: int, run: str, begin: Callable[[RunReader, Network], Work]) -> Any:
        """Let ``begin(reader, network)`` have its turns beside the runs, until it is done or withdrawn."""
        if run in self._tasks:
            self._tasks[run].flush()
        reader = self._bench.library.open(run)

        def work(network: Network) -> Work:
            with reader:
                return (yield from begin(reader, network))

        def then(network: Network) -> object:
            self._works.add(number, work(network), reader.close)
            return LATER

        return self._with_network(number, reader.spec.model, reader.spec.arch, then, reader.close)

    def _cancel(self, _: int, number: int) -> None:
        self._works.cancel(number)
        self._free()

    def _fork(
        self,
        number: int,
        run: str,
        step: int,
        channels: list[int] | None,
        knobs: dict[str, Any],
        seed: int | None,
        keep: bool,
        settings: dict[str, Any],
    ) -> Any:
        def begin(reader: RunReader, network: Network) -> Work:
            root = yield from replay.branch(reader, network, step, channels, knobs, seed, self._bench.device, settings)
            return self._start(keep, root.spec, network, list(root.log), root)

        return self._work(number, run, begin)

    def _repeat(
        self, number: int, spec: dict[str, Any], knobs: list[Turn], above: list[dict[str, Any]], keep: bool
    ) -> Any:
        wanted = at_hand(specs.from_dict(spec))
        log, line = specs.Knobs(wanted, knobs).log, lineage.read(above, wanted)

        def begin(network: Network) -> Work:
            library, bench = self._bench.library, self._bench
            root = yield from replay.rebuild(line, wanted, log, network, library, bench.device, bench.exact)
            return self._start(keep, wanted, network, log, root)

        def then(network: Network) -> object:
            self._works.add(number, begin(network))
            return LATER

        return self._with_network(number, wanted.model, wanted.arch, then)

    def _sweep(self, number: int, spec: dict[str, Any], points: list[sweep.Point], keep: bool) -> Any:
        wanted = at_hand(specs.from_dict(spec))
        plan, facts = sweep.plan(wanted, points), sweep.facts(points)

        def begin(network: Network) -> Work:
            runs: list[str] = []
            try:
                for one, told in zip(plan, facts, strict=True):
                    runs.append(self._start(keep, one, network, [], facts=told))
                    yield len(runs), len(plan)
            except BaseException:  # given up or refused: what has begun stops, and stays in the library
                for run in runs:
                    self._stop(0, run)
                raise
            return {"sweep": facts[0]["sweep"]["id"], "runs": runs, "values": points}

        def then(network: Network) -> object:
            self._works.add(number, begin(network))
            return LATER

        return self._with_network(number, wanted.model, wanted.arch, then)

    def _judge(self, number: int, run: str, step: int | None, source: str, only: str) -> Any:
        def judge(real: dict[int, list[Picture]] | None = None) -> Any:
            return self._work(number, run, lambda reader, network: ranking.judge(reader, network, step, real))

        if not source:
            return judge()
        with self._bench.library.open(run) as reader:
            spec = reader.spec
        place = Place(spec.model, spec.arch, spec.layer, source, only)
        return self._patching.with_naturals(number, place, tuple(dict.fromkeys(spec.targets)), judge)

    def _recompute(self, number: int, run: str, step: int, last: int | None) -> Any:
        def begin(reader: RunReader, network: Network) -> Work:
            return (yield from replay.remake(reader, network, step, last, self._bench.device)).to_dict()

        return self._work(number, run, begin)

    def _resume(self, number: int, run: str, keep: bool = False) -> Any:
        task = self._task(run)
        task.keep = task.keep or keep
        pauses = task.pauses
        return self._with_live(number, task, lambda: task.go() if task.pauses == pauses else task.next_step)

    def _restore(self, number: int, run: str, state: str | None, viewers: list[str], keep: bool) -> Any:
        """Take up a run of a child that was killed."""
        task = self._task(run)
        task.viewers, task.keep = set(viewers), keep
        if state == "running":
            return self._resume(number, run)
        task.become("resting" if state == "resting" else task.state)
        return None

    def _pause(self, number: int, run: str) -> Any:
        task = self._task(run)
        step = task.pause()
        self._reply(number, step)  # before the files: who pauses must not wait for them
        task.settle()
        return LATER

    def _step(self, number: int, run: str, n: int) -> Any:
        task = self._task(run)
        if task.state == "running":
            raise EngineError("The run is not paused.", "Pause it, then take single steps.")
        if not 1 <= n <= 8192:
            raise EngineError("The number of steps is not between 1 and 8192.", "Take for example 1 step.")

        def then() -> object:
            task.pause()
            task.advance(n, lambda step: self._reply(number, step))
            return LATER

        return self._with_live(number, task, then)

    def _stop(self, number: int, run: str) -> int:
        task = self._task(run)
        step = task.pause()
        task.keep = False
        task.viewers.clear()
        task.release()
        del self._tasks[run]
        return step

    def _knob(self, number: int, run: str, name: str, value: object) -> Any:
        task = self._task(run)
        return self._with_live(number, task, lambda: task.knob(name, value))

    def _stored(self, run: str, step: int, channel: int) -> tuple[RunSpec, Pixels]:
        if run in self._tasks:
            self._tasks[run].flush()
        with self._bench.library.open(run) as reader:
            spec, stored = reader.spec, reader.frame(step, channel)
        if stored is None:
            raise HistoryError(f"The picture of step {step} was not kept.", "Choose a step that the slider shows.")
        return spec, decode(stored)

    def _natural(self, number: int, run: str, step: int, channel: int, source: str, only: str) -> Any:
        spec, image = self._stored(run, step, channel)
        place = Place(spec.model, spec.arch, spec.layer, source, only)
        return self._patching.compare(number, image, place, spec.target(channel))

    def _evidence(self, number: int, run: str, step: int, channel: int) -> Any:
        spec, image = self._stored(run, step, channel)
        return self._with_network(
            number, spec.model, spec.arch, lambda network: evidence.of(network, image, spec.layer, spec.target(channel))
        )

    def _watch(self, number: int, run: str, viewer: str) -> Any:
        task = self._task(run)
        task.watch(viewer)
        if task.state == "resting":
            return self._resume(number, run)
        task.publish(now=True)
        return None

    def _unwatch(self, number: int, run: str, viewer: str) -> None:
        if run in self._tasks:
            self._tasks[run].unwatch(viewer)


def at_hand(spec: RunSpec) -> RunSpec:
    """``spec``, unless it names a generator by its path: a page must not have any file opened."""
    if spec.generator and not shelf.is_plain(spec.generator):
        raise GeneratorError(
            "A generator is named by its folder's name.", "Lay the folder into generators beside the runs, and name it."
        )
    return spec
