"""The handle of the engine's child process.  No torch here: a server imports this."""

from __future__ import annotations

import atexit
import contextlib
import dataclasses
import functools
import itertools
import multiprocessing
import signal
import threading
import time
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import Future, InvalidStateError
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from types import MappingProxyType
from typing import Any

from vizcore import spec as specs
from vizcore.engine import worker_main
from vizcore.engine.jobs import Job
from vizcore.engine.protocol import ACTIVE, BEGINNING, Config, Event, RunState
from vizcore.engine.scores import Scores
from vizcore.errors import EngineError, from_dict
from vizcore.lineage import Line
from vizcore.params import Value
from vizcore.runs import Library
from vizcore.spec import RunSpec

STATES_KEPT = 512  # newest states of runs that are remembered
DEATHS, WITHIN = 3, 60.0  # so many deaths of the child in so many seconds, and it is not started again
CLOSE_SECONDS = 5.0  # for the child to finish its files before it is ended

_STOPPED = ("The engine stopped and is starting again.", "Try again in a few seconds; nothing is lost.")
_GIVEN_UP = ("The engine stopped three times within a minute.", "Start vizcore again; its log says why.")
_TOO_MUCH = ("The engine stopped while it began a run.", "If memory is short, try 160 px or fewer filters.")
_CULPRIT = ("The engine stopped twice in a step of this run.", "If memory is short, try 160 px or fewer filters.")
_CLOSED = ("The engine is not running.", "Start vizcore again.")
Turn = tuple[int, str, Value]  # of a knob: step, name, value
Refusal = tuple[str, str]  # message and hint: an exception object that is raised again and again would grow


class Engine(Scores):
    """Commands for the one process in which torch runs; safe to use from any thread.

    Every command returns a :class:`~concurrent.futures.Future`, whose result or :class:`VizcoreError` comes from
    the child.  A child that is killed is started again, and the runs that it computed go on from their last
    checkpoints; a child whose parent is gone ends by itself.

    Args:
        library: where runs are kept.
        device: ``"auto"``, ``"cpu"``, ``"cuda"`` or ``"mps"``.
        exact: one thread and fp32, so that equal specs give equal bytes.
        files: the weights files that may be loaded.  Any other is refused, whoever names it: an address, a run file
            from elsewhere.  Networks with a name always may be loaded, functions (``package.module:factory``) never.
    """

    def __init__(self, library: Library, device: str = "auto", exact: bool = False, files: Iterable[str] = ()) -> None:
        self.library = library
        self._config = Config(str(library.home), device, exact, files=tuple(files))
        self._lock = threading.RLock()
        self._numbers = itertools.count(1)
        self._pending: dict[int, Future[Any]] = {}
        self._states: dict[str, RunState] = {}
        self._loading: dict[str, str] = {}
        self._viewers: dict[str, set[str]] = {}
        self._kept: set[str] = set()
        self._restoring: dict[str, tuple[str, Future[Any]]] = {}  # what a new child has been asked to take up
        self._deaths: list[float] = []
        self._culprits: Counter[str] = Counter()  # in whose steps the child died
        self._process: BaseProcess | None = None
        self._pipe: Connection | None = None
        self._refusal: Refusal | None = _CLOSED  # why no command can be taken
        self.ready: Future[dict[str, Any]] = Future()

    # Life ------------------------------------------------------------------------------------------------------

    def start(self) -> Future[dict[str, Any]]:
        """Start the child; the future tells its device, threads and start time.  Harmless when repeated."""
        with self._lock:
            if self._process is None:
                self._refusal = None
                self._spawn()
                atexit.register(self.close)
            return self.ready

    def close(self) -> None:
        """End the child when its files are written; runs stay in the library and can be resumed."""
        with self._lock:
            process, pipe = self._process, self._pipe
            self._process, self._pipe, self._refusal = None, None, _CLOSED
        if process is None or pipe is None:
            return
        atexit.unregister(self.close)
        with contextlib.suppress(OSError):
            pipe.send((0, "close", {}))
        process.join(CLOSE_SECONDS)
        if process.is_alive():
            process.kill()
            process.join()
        self._fail_pending(_CLOSED)
        lost = [state for state in self._states.values() if state.state in ACTIVE]
        self._set_states(*(state.replace(state="interrupted", rate=0.0, eta=None) for state in lost))

    def __enter__(self) -> Engine:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @property
    def alive(self) -> bool:
        """Whether commands are taken: True also while a killed child is being replaced."""
        process = self._process
        return self._refusal is None and process is not None and process.is_alive()

    @property
    def pid(self) -> int | None:
        """The number of the child process."""
        process = self._process
        return process.pid if process else None

    @property
    def states(self) -> Mapping[str, RunState]:
        """The newest state of each run, as a snapshot that does not change any more."""
        return MappingProxyType(self._states)

    @property
    def loading(self) -> Mapping[str, str]:
        """The networks that are being fetched or read, with a sentence on how far that is."""
        return MappingProxyType(self._loading)

    # Commands --------------------------------------------------------------------------------------------------

    def models(self) -> Future[list[dict[str, Any]]]:
        """Every network that can be loaded: name, source, on_disk, classes, size, channels."""
        return self._send("models")

    def describe(self, model: str, arch: str | None = None) -> Future[dict[str, Any]]:
        """Card, layers, default size and device of a network, which is then loaded; raises ModelError."""
        return self._send("describe", model=model, arch=arch)

    def begin(self, spec: RunSpec, *, keep: bool = False, knobs: Iterable[Turn] = ()) -> Future[str]:
        """Start a run and return its id.

        Args:
            keep: it goes on although nobody watches; otherwise it rests after two seconds without a viewer.
            knobs: turns that it is to make by itself, as (step, name, value), to repeat a run of a recipe.

        Raises:
            SpecError, ModelError, LayerError, EngineError: it cannot run; no run file is left behind.
        """
        future = self._send("begin", spec=specs.to_dict(spec), keep=keep, knobs=[list(turn) for turn in knobs])
        if keep:
            future.add_done_callback(self._keep_begun)
        return future

    def fork(
        self,
        run: str,
        step: int,
        *,
        channels: Iterable[int] | None = None,
        knobs: Mapping[str, object] | None = None,
        seed: int | None = None,
        settings: Mapping[str, object] | None = None,
        keep: bool = False,
    ) -> Job[str]:
        """Leave a stored run, running or not, before the update of ``step``; returns the id of the new run.

        Its frames before ``step`` are the parent's, not copies.  If no checkpoint is at that step, it is recomputed
        from the one before.

        Args:
            channels: the filters that come along; all if not given.
            knobs: hot parameters with new values from that step on.
            seed: of the random moves from that step on.
            settings: cold ones that are otherwise from that step on, of :data:`vizcore.lineage.SETTINGS`.
            keep: as for :meth:`begin`.

        Raises:
            SpecError: a filter that the run has not, a setting that a fork cannot change, a value out of range.
            HistoryError: no such run or step, or its network has other weights now.
        """
        rows = None if channels is None else list(channels)
        job: Job[str] = Job()
        self._send(
            "fork", job, run=run, step=step, channels=rows, knobs=dict(knobs or {}), seed=seed, keep=keep,
            settings=dict(settings or {}),
        )  # fmt: skip
        if keep:
            job.add_done_callback(self._keep_begun)
        return job

    def repeat(
        self, spec: RunSpec, knobs: Iterable[tuple[int, str, object]], above: Line, *, keep: bool = False
    ) -> Job[str]:
        """Make a fork again from its recipe: first the runs that it comes from, which are kept too, then it goes on.

        Args:
            above: those runs; at least one.

        Returns:
            Its id.  Work that is given up leaves nothing behind.

        Raises:
            SpecError, LayerError: the network does not have what is asked for.
            HistoryError: a run ends before the step at which it is said to have been left.
        """
        job: Job[str] = Job()
        line = [ancestor.to_dict() for ancestor in above]
        turns = [tuple(turn) for turn in knobs]
        self._send("repeat", job, spec=specs.to_dict(spec), knobs=turns, above=line, keep=keep)
        if keep:
            job.add_done_callback(self._keep_begun)
        return job

    def recompute(self, run: str, step: int, last: int | None = None) -> Job[dict[str, Any]]:
        """Make the pictures of a step that was thinned out (or of all to ``last``) anew and put them into the run file.

        From then on they are served like any other; they are the first to go when the run is at its bound of disk.

        Returns:
            run (in whose file they are: its own, or an ancestor's), steps (that have pictures now and had none),
            identical (whether every score on the way is the recorded one, bit for bit), difference (the largest
            of a score, as a share of the largest score of its step).

        Raises:
            HistoryError: no such run or step, or its network has other weights now.
            StorageError: no room.
        """
        job: Job[dict[str, Any]] = Job()
        self._send("recompute", job, run=run, step=step, last=last)
        return job

    def sweep(self, spec: RunSpec, points: Iterable[Mapping[str, object]], *, keep: bool = True) -> Job[dict[str, Any]]:
        """Start a run for each of the settings ``points`` of :func:`vizcore.sweep.grid` or ``draws``; they share turns.

        Args:
            spec: of one filter; each point changes some of its parameters.
            keep: as for :meth:`begin`.

        Returns:
            sweep (its id, which the library's lines of these runs have too), runs (ids in the order of the points),
            values (the points).  A sweep that is given up stops the runs that it has begun.

        Raises:
            SpecError: more than one filter, more than 64 points, a value out of range.
        """
        job: Job[dict[str, Any]] = Job()
        self._send("sweep", job, spec=specs.to_dict(spec), points=[dict(point) for point in points], keep=keep)
        if keep:
            job.add_done_callback(self._keep_begun)
        return job

    def judge(self, run: str, step: int | None = None, source: str = "", only: str = "") -> Job[list[dict[str, Any]]]:
        """Scores of a stored step (default: the newest) to rank runs by; one entry per filter.

        Returns:
            channel, step, activation, held_out, total_variation: see :func:`vizcore.ranking.judge`; with ``source``
            (real pictures that were looked through, see :meth:`scan`) path_similarity and path_natural, too.

        Raises:
            HistoryError: no such run, or no pictures of that step.
            PictureError: the real pictures are not there.
        """
        job: Job[list[dict[str, Any]]] = Job()
        self._send("judge", job, run=run, step=step, source=source, only=only)
        return job

    def resume_run(self, run: str, *, keep: bool = False) -> Future[int]:
        """Go on with a stored run from its last checkpoint; returns its next step.  Raises HistoryError."""
        if keep:
            self._kept.add(run)
        return self._send("resume", run=run, keep=keep)

    def pause(self, run: str) -> Future[int]:
        """Stop after the step that is being computed; returns the last step, after which none comes."""
        return self._send("pause", run=run)

    def resume(self, run: str) -> Future[int]:
        """Go on; returns the next step."""
        return self._send("resume", run=run)

    def step(self, run: str, n: int = 1) -> Future[int]:
        """Compute ``n`` more steps of a paused run; returns the last one, when it is done."""
        return self._send("step", run=run, n=n)

    def stop(self, run: str) -> Future[int]:
        """Pause and let go of all memory; the run can be resumed."""
        with self._lock:
            self._kept.discard(run)
        return self._send("stop", run=run)

    def knob(self, run: str, name: str, value: object) -> Future[int]:
        """Turn a hot parameter; returns the step from whose update on it acts.  Raises SpecError."""
        return self._send("knob", run=run, name=name, value=value)

    def evidence(self, run: str, step: int, channel: int) -> Future[dict[str, Any]]:
        """Top classes and feature maps of a stored picture; raises HistoryError if that was not kept."""
        return self._send("evidence", run=run, step=step, channel=channel)

    def watch(self, run: str, viewer: str) -> Future[None]:
        """``viewer`` looks at the run: it must not rest, and wakes if it does."""
        with self._lock:
            self._viewers.setdefault(run, set()).add(viewer)
        return self._send("watch", run=run, viewer=viewer)

    def unwatch(self, run: str, viewer: str) -> Future[None]:
        """``viewer`` does not look any more, or is gone."""
        with self._lock:
            viewers = self._viewers.get(run, set())
            viewers.discard(viewer)
            if not viewers:
                self._viewers.pop(run, None)
        return self._send("unwatch", run=run, viewer=viewer)

    # The pipe --------------------------------------------------------------------------------------------------

    def _send(self, command: str, future: Future[Any] | None = None, /, **arguments: Any) -> Future[Any]:
        future = Future() if future is None else future
        refusal = None
        with self._lock:
            if self._refusal is not None or self._pipe is None:
                refusal = self._refusal or _STOPPED
            else:
                number = next(self._numbers)
                self._pending[number] = future
                if isinstance(future, Job):
                    future.withdraw = lambda: self._withdraw(number)
                with contextlib.suppress(OSError):  # a dead child: the reader notices and answers
                    self._pipe.send((number, command, arguments))
        if refusal is not None:
            future.set_exception(EngineError(*refusal))
        return future

    def _withdraw(self, number: int) -> None:
        """Nobody waits for the answer to command ``number`` any more."""
        with self._lock:
            self._pending.pop(number, None)
        self._send("cancel", number=number)

    def _spawn(self) -> None:
        context = multiprocessing.get_context("spawn")
        ours, theirs = context.Pipe()
        self._busy = context.RawArray("c", 32)
        process = context.Process(
            target=worker_main.main, args=(theirs, self._busy, self._config), name="vizcore-engine", daemon=True
        )
        with _without_interrupts():
            process.start()
        theirs.close()  # or the end of the child would not be the end of the pipe
        self._process, self._pipe = process, ours
        threading.Thread(target=self._read, args=(process, ours), name="vizcore-engine-reader", daemon=True).start()

    def _read(self, process: BaseProcess, pipe: Connection) -> None:
        while True:
            try:
                event = pipe.recv()
            except (EOFError, OSError):
                break
            self._take(event)
        process.join()
        pipe.close()
        self._died(process)

    def _take(self, event: Event) -> None:
        kind = event[0]
        if kind == "state":
            self._set_states(RunState.from_dict(event[1]))
        elif kind == "loading":
            loading = {name: note for name, note in self._loading.items() if name != event[1]}
            self._loading = {**loading, event[1]: event[2]} if event[2] is not None else loading
        elif kind == "progress":
            job = self._pending.get(event[1])
            if isinstance(job, Job):
                job.progress = (event[2], event[3])
        elif kind == "ready":
            if not self.ready.done():
                self.ready.set_result(event[1])
        elif kind == "fatal":  # it cannot work here: to start it again would not help
            error = from_dict(event[1])
            with self._lock:
                self._refusal = (error.message, error.hint)
            self._fail_pending(self._refusal)
            if not self.ready.done():
                self.ready.set_exception(error)
        else:
            with self._lock:
                future = self._pending.pop(event[1], None)
            if future is not None:
                _resolve(future, event[2], None if kind == "reply" else from_dict(event[2]))

    def _set_states(self, *new: RunState) -> None:
        with self._lock:
            states = dict(self._states)
            for state in new:
                states[state.run] = state
            for run in list(states)[: max(len(states) - STATES_KEPT, 0)]:
                if states[run].state not in ACTIVE:
                    del states[run]
            self._states = states  # replaced, never changed: whoever has the old one can go through it

    def _fail_pending(self, refusal: Refusal) -> None:
        with self._lock:
            pending, self._pending = self._pending, {}
        for future in pending.values():
            _resolve(future, None, EngineError(*refusal))

    # Death of the child ----------------------------------------------------------------------------------------

    def _died(self, process: BaseProcess) -> None:
        with self._lock:
            if process is not self._process or self._refusal is not None:
                return  # closed on purpose, or it said that it cannot work
            now = time.monotonic()
            self._deaths = [at for at in self._deaths if now - at < WITHIN] + [now]
            culprit = bytes(self._busy.value)
            self._config = dataclasses.replace(self._config, share=False)
            refusal = _GIVEN_UP if len(self._deaths) >= DEATHS else _TOO_MUCH if culprit == BEGINNING else _STOPPED
            lost = [state for state in self._states.values() if state.state in ACTIVE]
            active = {run: state for run, (state, _) in self._restoring.items()}  # killed before it could take them up
            active |= {state.run: "resting" if state.state == "resting" else "running" for state in lost}
            guilty = self._blame(culprit.decode())
            self._loading = {}
            self._set_states(*(_lost(state, _CULPRIT if state.run == guilty else refusal) for state in lost))
            pending, self._pending = self._pending, {}
            if refusal is _GIVEN_UP:
                self._refusal = refusal
            else:
                self._spawn()
                self._restore({run: state for run, state in active.items() if run != guilty})
        for future in pending.values():
            _resolve(future, None, EngineError(*refusal))
        if refusal is _GIVEN_UP and not self.ready.done():
            self.ready.set_exception(EngineError(*refusal))

    def _blame(self, culprit: str) -> str | None:
        """The run that is not taken up again, since the child died in its steps before.

        Where memory is short the system kills without a word; the other runs must not suffer for it.
        """
        self._culprits[culprit] += 1
        return culprit if self._culprits[culprit] > 1 else None

    def _restore(self, active: Mapping[str, str]) -> None:
        """Let a new child take up the runs of the old one, and tell it who looks at which."""
        self._restoring = {}
        for run in {**active, **self._viewers}:
            viewers, state = sorted(self._viewers.get(run, ())), active.get(run)
            future = self._send("restore", run=run, state=state, viewers=viewers, keep=run in self._kept)
            if state is not None:
                self._restoring[run] = state, future
                future.add_done_callback(functools.partial(self._restored, run))

    def _restored(self, run: str, future: Future[Any]) -> None:
        with self._lock:
            if run in self._restoring and self._restoring[run][1] is future:  # else another child has been asked
                del self._restoring[run]

    def _keep_begun(self, future: Future[Any]) -> None:
        """Remember what is to go on without viewers: a run, or those of a sweep."""
        if not future.cancelled() and future.exception() is None:
            begun = future.result()
            with self._lock:
                self._kept.update([begun] if isinstance(begun, str) else begun["runs"])


def _lost(state: RunState, refusal: Refusal) -> RunState:
    if refusal in (_GIVEN_UP, _CULPRIT):
        error = EngineError(*refusal).to_dict()
        return state.replace(state="failed", rate=0.0, eta=None, note="", error=error)
    return state.replace(state="interrupted", rate=0.0, eta=None, note=refusal[0])


def _resolve(future: Future[Any], value: Any, error: BaseException | None) -> None:
    with contextlib.suppress(InvalidStateError):  # given up by whoever asked
        if not future.set_running_or_notify_cancel():
            return
        if error is not None:
            future.set_exception(error)
        else:
            future.set_result(value)


@contextlib.contextmanager
def _without_interrupts() -> Iterator[None]:
    """A child that starts in here does not see Ctrl-C until it has said that it ignores it."""
    if not hasattr(signal, "pthread_sigmask"):
        yield
        return
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
