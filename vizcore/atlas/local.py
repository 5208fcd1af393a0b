"""The engine of one machine: a process for each device, or as many as are asked for.

Workers die with the process that started them, whatever happens to it, and one that dies is replaced.
"""

from __future__ import annotations

import contextlib
import heapq
import itertools
import multiprocessing
import os
import signal
import threading
from collections import deque
from dataclasses import dataclass
from multiprocessing import connection
from multiprocessing.connection import Connection
from typing import Any

from vizcore.atlas.engines import Event, Finished, Lost, Stopped, Told
from vizcore.atlas.shard import Report, Shard, Work
from vizcore.errors import VizcoreError, from_dict


@dataclass
class _Worker:
    process: Any
    pipe: Connection
    shard: Shard | None = None


class Local:
    """Processes on this machine."""

    link = ""

    def __init__(self, work: Work, workers: int = 1) -> None:
        self.workers = workers
        self._work = work
        self._context = multiprocessing.get_context("spawn")
        self._waiting: list[tuple[float, int, Shard]] = []
        self._count = itertools.count()
        self._events: deque[Event] = deque()
        self._team: list[_Worker | None] = [None] * workers

    def submit(self, shard: Shard) -> None:
        heapq.heappush(self._waiting, (-shard.seconds, next(self._count), shard))

    def next(self, timeout: float) -> Event | None:
        self._hand_out()
        if not self._events:
            self._listen(timeout)
        return self._events.popleft() if self._events else None

    def close(self) -> None:
        for worker in self._team:
            if worker is not None:
                worker.process.terminate()
        for worker in self._team:
            if worker is not None:
                worker.process.join(5)
                if worker.process.is_alive():
                    worker.process.kill()
                    worker.process.join()
                worker.pipe.close()
        self._team = [None] * self.workers

    @property
    def processes(self) -> list[int]:
        """The ids of the processes that live."""
        return [worker.process.pid for worker in self._team if worker is not None]

    def _hand_out(self) -> None:
        for place, worker in enumerate(self._team):
            if not self._waiting:
                return
            if worker is None:
                worker = self._team[place] = self._start(place)
            if worker.shard is None:
                shard = heapq.heappop(self._waiting)[2]
                worker.shard = shard
                with contextlib.suppress(OSError):  # it has died: that is heard when listening
                    worker.pipe.send(shard)

    def _start(self, place: int) -> _Worker:
        ours, theirs = self._context.Pipe()
        process = self._context.Process(
            target=_worker, args=(theirs, self._work, place), name=f"atlas-{place}", daemon=True
        )  # fmt: skip
        process.start()
        theirs.close()
        return _Worker(process, ours)

    def _listen(self, timeout: float) -> None:
        busy = {worker.pipe: worker for worker in self._team if worker is not None and worker.shard is not None}
        for pipe in connection.wait(list(busy), timeout):
            worker = busy[pipe]  # type: ignore[index]
            try:
                kind, content = worker.pipe.recv()
            except (EOFError, OSError):
                self._bury(worker)
                continue
            self._hear(worker, kind, content)

    def _hear(self, worker: _Worker, kind: str, content: Any) -> None:
        shard = worker.shard
        assert shard is not None
        if kind == "report":
            self._events.append(Told(shard, content))
        elif kind == "finished":
            worker.shard = None
            self._events.append(Finished(shard))
        else:
            self._events.append(Stopped(from_dict(content)))

    def _bury(self, worker: _Worker) -> None:
        """A worker is gone: its shard is lost, its place is free."""
        worker.process.join(5)
        worker.pipe.close()
        self._team[self._team.index(worker)] = None
        if worker.shard is not None:
            self._events.append(Lost(worker.shard))


def _worker(pipe: Connection, work: Work, place: int) -> None:
    """The life of a worker: shard in, reports out, until nobody is there any more."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches the whole group; the driver decides
    threading.Thread(target=_die_with_parent, daemon=True).start()
    if work.device == "cuda":
        _choose_gpu(place)
    from vizcore.atlas.shard import render_shard

    def report(one: Report) -> None:
        pipe.send(("report", one))

    with contextlib.suppress(EOFError, OSError):
        while True:
            shard = pipe.recv()
            try:
                render_shard(work, shard, report)
            except VizcoreError as error:
                pipe.send(("stopped", error.to_dict()))
                return
            pipe.send(("finished", None))


def _choose_gpu(place: int) -> None:
    """Let this process see one GPU only; it must not have asked for any yet."""
    named = [name for name in os.environ.get("CUDA_VISIBLE_DEVICES", "").split(",") if name]
    import torch

    count = len(named) or torch.cuda.device_count()
    if count > 1:
        os.environ["CUDA_VISIBLE_DEVICES"] = named[place % count] if named else str(place % count)


def _die_with_parent() -> None:
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)
