"""One run in the engine: its tensors while they are needed, its file, its state."""

from __future__ import annotations

import logging
import time
from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from vizcore.ascent import Ascent, Coming, Frame, ascend
from vizcore.engine.devices import environment, memory
from vizcore.engine.failures import explain
from vizcore.engine.protocol import GRACE, STATUS_EVERY, RunState
from vizcore.errors import EngineError, VizcoreError
from vizcore.history import RunWriter, checkpoint_every
from vizcore.params import Value
from vizcore.replay import Branch
from vizcore.runs import Library
from vizcore.spec import Knobs, RunSpec
from vizcore.together import lockstep
from vizcore.zoo.load import Network

ROLLBACKS = 3  # times that a run of NaN is tried again at half the rate
FLUSH_SECONDS = 2.0
AHEAD = {"cuda": 1}  # steps of a run that a device is told of before the frame of the one before them is waited for
Reply = Callable[[int], None]
Arrays = dict[str, np.ndarray]


@dataclass(frozen=True)
class Bench:
    """What all runs of an engine share."""

    library: Library
    device: str
    exact: bool
    publish: Callable[[RunState], None]
    log: logging.Logger


class Task:
    """A run and what the engine knows of it.

    It is *live* while it has tensors and an open file; otherwise it costs nothing and :meth:`enliven` brings it
    back from its last checkpoint.
    """

    def __init__(self, run: str, spec: RunSpec, knobs: Knobs, bench: Bench, state: str = "running") -> None:
        self.run = run
        self.spec = spec
        self.knobs = knobs
        self.state = state
        self.before = state  # what it was when loading began
        self.pauses = 0  # how often it was paused, for those who wait to go on with it
        self.step = -1
        self.viewers: set[str] = set()
        self.keep = False
        self.unwatched = time.monotonic()  # since when nobody watches
        self.used = time.monotonic()  # when it last did something, for those that let go of memory first
        self.error: VizcoreError | None = None
        self.seconds = 0.0
        self.statuses: tuple[str, ...] = ("ok",) * len(spec.channels)
        self._bench = bench
        self._note = ""
        self._precision = ""
        self._ascent: Ascent | None = None
        self._network: Network | None = None
        self._writer: RunWriter | None = None
        self._coming: deque[Coming] = deque()  # steps that are on their way
        self._good: tuple[int, Arrays] | None = None  # the last finite checkpoint
        self._saved = -1  # step of the last checkpoint in the file
        self._rollbacks = 0
        self._credit = 0  # steps that a paused run still takes
        self._stepped: list[Reply] = []
        self._times: deque[float] = deque()
        self._told = 0.0

    # Birth and rebirth -----------------------------------------------------------------------------------------

    @classmethod
    def begin(
        cls,
        spec: RunSpec,
        network: Network,
        bench: Bench,
        log: Iterable[tuple[int, str, Value]] = (),
        root: Branch | None = None,
        facts: Mapping[str, Any] | None = None,
    ) -> Task:
        """A new run that has computed its first frame, so that one that cannot run leaves no file behind.

        Args:
            log: turns of knobs, past and to come.
            root: where it leaves another run.
            facts: what else is written into its file.
        """
        state = root.state if root else None
        ascent = ascend(spec, network, Knobs(spec, log), device=bench.device, exact=bench.exact, state=state)
        first, start = ascent.step, ascent.checkpoint()
        frame = next(ascent)
        run, writer = bench.library.create(
            spec,
            environment=environment(bench.device, bench.exact) | {"precision": ascent.precision},
            weights_hash=network.card.weights_hash,
            parent=root.parent if root else None,
            shared=root.shared if root else None,
            facts={**(facts or {}), **(root.facts if root else {})},
        )
        task = cls(run, spec, ascent.knobs, bench)
        task._ascent, task._network, task._writer = ascent, network, writer
        task._precision, task._good = ascent.precision, (first, start)
        writer.set_state("running")
        for step, name, value in ascent.knobs.log:
            writer.knob(step, name, value)
        writer.checkpoint(first, start)
        task._saved = first
        task._take(frame)
        return task

    @classmethod
    def stored(cls, run: str, bench: Bench) -> Task:
        """The run of a file, not live.

        Raises:
            HistoryError: no such run, or a damaged one.
        """
        state = bench.library.info(run).state
        with bench.library.open(run) as reader:
            task = cls(run, reader.spec, Knobs(reader.spec, reader.knobs()), bench, state)
            steps = reader.scores(since=-1)[0]
            task.step = int(steps[-1]) if len(steps) else -1
            task.statuses = tuple(reader.statuses())
            task.seconds = float(reader.info.get("seconds", 0.0))
            task._precision = str(reader.meta.get("environment", {}).get("precision", ""))
        return task

    @property
    def live(self) -> bool:
        """Whether it has its tensors."""
        return self._ascent is not None

    @property
    def ready(self) -> bool:
        """Whether it wants a turn."""
        return self._ascent is not None and (self.state == "running" or self._credit > 0)

    @property
    def idle(self) -> float:
        """Seconds for which it has kept its tensors without need; 0 where it has none, or wants a turn."""
        return time.monotonic() - self.used if self.live and not self.ready else 0.0

    @property
    def forgettable(self) -> bool:
        """Whether its file says all there is to know."""
        return not self.live and not self.viewers and self.state in ("paused", "done", "failed", "interrupted")

    @property
    def next_step(self) -> int:
        """The step of the next update, from which a knob acts that is turned now."""
        return self._ascent.step if self._ascent is not None else self.step + 1

    def enliven(self, network: Network) -> None:
        """Tensors from the last checkpoint, and the file open for writing.

        Raises:
            HistoryError, StorageError: the file is damaged, or another engine computes this run.
        """
        if self._ascent is not None:
            return
        path = self._bench.library.path(self.run)
        writer = RunWriter.open(path)
        try:
            with self._bench.library.open(self.run) as reader:
                self.knobs = Knobs(reader.spec, reader.knobs())
                checkpoints = reader.checkpoints()
                good = reader.checkpoint_at(checkpoints[-1]) if checkpoints else None
            ascent = ascend(
                self.spec, network, self.knobs, device=self._bench.device, exact=self._bench.exact,
                state=good[1] if good else None,
            )  # fmt: skip
        except BaseException:
            writer.close()
            raise
        self._ascent, self._network, self._writer = ascent, network, writer
        self._precision = ascent.precision
        self._good = good or (0, ascent.checkpoint())
        self._saved = self._good[0]
        self.used = time.monotonic()

    def release(self) -> None:
        """Let go of tensors and file; what is not in the file yet is written first."""
        if self._ascent is not None and self.state not in ("failed", "interrupted"):
            self._checkpoint(save=True)
        self._coming.clear()
        self._ascent = self._network = self._good = None
        writer, self._writer = self._writer, None
        if writer is not None:
            if self.state == "resting":  # to everybody else: without a writer, a resting run counts as interrupted
                writer.set_state("paused", seconds=round(self.seconds, 3))
            writer.close()

    # Commands --------------------------------------------------------------------------------------------------

    def go(self) -> int:
        """Run on; a failed run tries again."""
        self.error, self._rollbacks = None, 0
        if self.keep or not self.viewers:
            self.unwatched = time.monotonic()
        self._enter("running")
        return self.next_step

    def become(self, state: str) -> None:
        """Say that it is in another state, without any other effect."""
        self.state = state
        self.publish(now=True)

    def pause(self) -> int:
        """Take no further step; returns the last one."""
        self._arrive()
        self._credit = 0
        self.pauses += 1
        self._answer_steps()
        if self.state not in ("done", "failed", "paused"):
            self._enter("paused")
        return self.step

    def settle(self) -> None:
        """Write down where a run stands that has stopped for a while."""
        if self._ascent is not None:
            self._checkpoint(save=True)

    def flush(self) -> None:
        """Wait, but not for ever, until the file has everything so far."""
        if self._writer is not None:
            self._writer.flush(FLUSH_SECONDS)

    def advance(self, n: int, reply: Reply) -> None:
        """Take ``n`` steps although paused, then ``reply`` with the last one."""
        self._credit += n
        self._stepped.append(reply)
        self.used = time.monotonic()

    def knob(self, name: str, value: object) -> int:
        """Turn a knob; returns the step from which it acts.  Raises SpecError.

        A run that is being recomputed after a crash has knob turns ahead of it: a new one acts behind those.
        """
        self.used = time.monotonic()
        self._arrive()
        step = max(self.next_step, self.knobs.log[-1][0] if self.knobs.log else 0)
        stored = self.knobs.set(step, name, value)
        self._checkpoint(save=step - self._saved >= 16)
        self._write_knob(step, name, stored)
        if name == "steps" and self.state == "done" and self.step < int(stored):
            self.go()
        self.publish(now=True)
        return step

    def watch(self, viewer: str) -> None:
        """Somebody looks."""
        self.viewers.add(viewer)
        if self.state == "resting" and self._ascent is not None:
            self._enter("running")

    def unwatch(self, viewer: str) -> None:
        """Somebody does not look any more."""
        self.viewers.discard(viewer)
        if not self.viewers:
            self.unwatched = time.monotonic()

    def rest_if_unwatched(self) -> None:
        """Rest when nobody has looked for a while."""
        alone = self.state == "running" and not self.keep and not self.viewers
        if alone and time.monotonic() - self.unwatched > GRACE:
            self._enter("resting")
            self.settle()

    # Steps -----------------------------------------------------------------------------------------------------

    def turn(self, others: Sequence[Task] = ()) -> None:
        """One step, together with ``others`` that share its passes.  Whatever goes wrong ends its own run alone."""
        tasks = [task for task in (self, *others) if task._ascent is not None]
        outcomes = lockstep([task._ascent for task in tasks if task._ascent is not None])
        for task in tasks:
            task._conclude(outcomes.pop(0))

    @property
    def views(self) -> int:
        """Pictures that its next step takes through the network."""
        return self._ascent.views if self._ascent is not None else 0

    def shares(self, other: Task) -> bool:
        """Whether its next step can be taken together with that of ``other``."""
        return self._ascent is not None and other._ascent is not None and self._ascent.shares(other._ascent)

    def _conclude(self, outcome: Coming | Exception | None) -> None:
        left = 0
        if outcome is not None and not isinstance(outcome, Exception):
            self._coming.append(outcome)
            if self.state == "running":  # a paused run that is to take some steps shows each
                left = AHEAD.get(self._bench.device, 0)
        ascent = self._ascent
        if not self._arrive(left) or self._ascent is not ascent:  # it failed, or goes on from before a NaN
            return
        problem = explain(outcome, self._bench.log) if isinstance(outcome, Exception) else None
        ended, outcome = outcome is None, None
        if problem is not None:
            self.fail(problem)
        elif ended:
            self._finish()

    def _arrive(self, left: int = 0) -> bool:
        """Take the frames that are on their way, but for the last ``left``; False if one of them ended the run."""
        problem: VizcoreError | None = None
        while len(self._coming) > left and problem is None:
            try:
                self._take(self._coming.popleft()())
            except Exception as error:
                problem = explain(error, self._bench.log)
        # Only here, outside the except block, is the memory of the failed step free.
        if problem is not None:
            self.fail(problem)
        return problem is None

    def fail(self, error: VizcoreError) -> None:
        """End in an error; the pictures so far stay."""
        self.error = error
        self._credit = 0
        self._answer_steps()
        self._enter("failed")
        self.release()

    def _take(self, frame: Frame) -> None:
        self.used = time.monotonic()
        self.seconds += frame.seconds
        if all(status == "nan" for status in frame.status):
            self._roll_back()
            return
        assert self._ascent is not None
        assert self._writer is not None
        self.step, self.statuses = frame.step, frame.status
        if frame.images is None:
            self._writer.add_scores(frame.step, frame.scores, frame.gradient_norms, frame.status)
        else:
            self._writer.add(frame.step, frame.images, frame.scores, frame.gradient_norms, frame.status)
        if self._ascent.step - self._saved >= checkpoint_every(self.spec, self._steps()):
            self._checkpoint(save=True)
        self._times.append(self.used)
        if self._credit:
            self._credit -= 1
            if not self._credit:
                self.flush()  # a picture that was asked for is shown, on the stride or not
                self._answer_steps()
                self.settle()
        self.publish()

    def _finish(self) -> None:
        self._credit = 0
        self._answer_steps()
        self.state = "done"
        self.settle()
        self._enter("done")

    def _answer_steps(self) -> None:
        replies, self._stepped = self._stepped, []
        for reply in replies:
            reply(self.step)

    # Checkpoints -----------------------------------------------------------------------------------------------

    def _checkpoint(self, save: bool) -> None:
        """Remember the present tensors if they are finite; in the file too if ``save``."""
        self._arrive()  # so that the frames before this state are in the file before it
        if self._ascent is None or self._writer is None:
            return
        step = self._ascent.step
        if self._good is None or self._good[0] != step:
            arrays = self._ascent.checkpoint()
            if not _finite(arrays):
                return
            self._good = (step, arrays)
        if save and self._saved != step:
            self._writer.checkpoint(*self._good)
            self._saved = step
            self._write_state()

    def _roll_back(self) -> None:
        assert self._network is not None
        assert self._writer is not None
        assert self._good is not None
        if self._rollbacks >= ROLLBACKS:
            raise EngineError(
                "All pictures became NaN, again and again as the rate was halved.",
                "Lower the rate and the penalties, or use precision=fp32.",
            )
        self._rollbacks += 1
        self._coming.clear()
        step, arrays = self._good
        log = self.knobs.log
        self.knobs = Knobs(self.spec, (entry for entry in log if entry[0] <= step))
        self._writer.rewind(step)
        bench = self._bench
        self._ascent = ascend(
            self.spec, self._network, self.knobs, device=bench.device, exact=bench.exact, state=arrays
        )
        for _, name, value in [entry for entry in log if entry[0] > step]:  # what was turned since stays turned
            self._write_knob(step, name, self.knobs.set(step, name, value))
        halved = float(self.knobs.at(step)["rate"]) / 2
        self._write_knob(step, "rate", self.knobs.set(step, "rate", halved))
        self._saved = min(self._saved, step)
        self._note = f"All pictures became NaN: back to step {step} at half the rate."
        bench.log.info("run %s: NaN, back to step %d at rate %g", self.run, step, halved)
        self.publish(now=True)

    def _write_knob(self, step: int, name: str, value: Value) -> None:
        if self._writer is not None:
            self._writer.knob(step, name, value)

    # What the others see ---------------------------------------------------------------------------------------

    def _steps(self) -> int:
        return int(self.knobs.at(2**62)["steps"])

    def _enter(self, state: str) -> None:
        self.state = state
        self.used = time.monotonic()
        self._times.clear()
        self._write_state()
        if state in ("done", "failed"):
            self.flush()  # who hears of the end finds all of it in the file
        self.publish(now=True)

    def _write_state(self) -> None:
        if self._writer is not None:
            error = {"error": self.error.to_dict()} if self.error else {}
            self._writer.set_state(self.state, seconds=round(self.seconds, 3), **error)

    def publish(self, now: bool = False) -> None:
        """Tell the state: at most four times a second while only steps are counted."""
        clock = time.monotonic()
        if not now and clock - self._told < STATUS_EVERY:
            return
        self._told = clock
        self._bench.publish(self.snapshot())

    def snapshot(self) -> RunState:
        """The state as it is told."""
        rate, steps = self._rate(), self._steps()
        trouble = self._writer.error if self._writer is not None else None
        note = self._note or (self._ascent.note if self._ascent is not None else "")
        return RunState(
            self.run, self.state, self.step, steps, rate, max(steps - self.step, 0) / rate if rate else None,
            self.seconds, memory(), self._bench.device, self._precision, self.statuses,
            self.error.to_dict() if self.error else None, str(trouble) if trouble else note,
        )  # fmt: skip

    def _rate(self) -> float:
        while self._times and self._times[-1] - self._times[0] > 1.0:
            self._times.popleft()
        if len(self._times) < 2:
            return 0.0
        return (len(self._times) - 1) / max(self._times[-1] - self._times[0], 1e-6)


def _finite(arrays: dict[str, Any]) -> bool:
    """Whether at least one row of the picture is made of numbers: the others may be lost, that one not."""
    parameter = np.asarray(arrays["parameter"])
    return bool(np.isfinite(parameter).reshape(len(parameter), -1).all(axis=1).any())
