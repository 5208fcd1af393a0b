"""The engine of a cluster: Dask distributed.  Only shards, keys, states and timings travel; tiles go to the store.

Whoever can reach a Dask scheduler can run code on its workers, so our own listens on 127.0.0.1 only.
"""

from __future__ import annotations

import contextlib
import importlib
import platform
import queue
import secrets
from typing import Any

from vizcore.atlas.engines import Event, Finished, Lost, Stopped, Told
from vizcore.atlas.shard import Report, Shard, Work, render_shard
from vizcore.errors import EngineError, ModelError, VizcoreError

PATIENCE = "10s"  # for a scheduler to answer
PACKAGES = ("vizcore", "python", "torch", "distributed")  # whose versions must agree


class Cluster:
    """Workers of a Dask scheduler."""

    def __init__(self, work: Work, address: str, workers: int | None = None) -> None:
        """Connect, or start a cluster of our own (``address`` is ``"local"``) with so many workers.

        Raises:
            EngineError: Dask is not installed, nobody answers, there is no worker, or versions differ.
        """
        self._dask = _dask()
        self._work = work
        self._topic = f"vizcore-atlas-{secrets.token_hex(6)}"
        self._events: queue.SimpleQueue[Event] = queue.SimpleQueue()
        self._futures: dict[Any, Shard] = {}
        self._shards: dict[int, Shard] = {}
        self._own: Any = None
        self._allowed = 3  # deaths of workers that a scheduler takes before it gives a shard back, unless told
        if address == "local":
            self._allowed = 0
            self._own = _own_cluster(self._dask, workers or 1)
        self._client = _connect(self._dask, self._own or address)
        self.link = str(self._client.dashboard_link or "")
        try:
            self._look_over()
            self._client.subscribe_topic(self._topic, self._report)
        except BaseException:
            self.close()
            raise

    def submit(self, shard: Shard) -> None:
        number = len(self._shards)
        self._shards[number] = shard
        future = self._client.submit(
            render, self._work, shard, self._topic, number, pure=False, retries=0, priority=shard.seconds,
            resources={"GPU": 1} if self._work.device == "cuda" else None, key=f"{self._topic}-{number}",
        )  # fmt: skip
        self._futures[future] = shard
        future.add_done_callback(self._done)

    def next(self, timeout: float) -> Event | None:
        try:
            return self._events.get(timeout=timeout)
        except queue.Empty:
            return None

    def close(self) -> None:
        with contextlib.suppress(Exception):
            if self._futures:
                self._client.cancel(list(self._futures), force=True)
        with contextlib.suppress(Exception):
            self._client.close(timeout=5)
        if self._own is not None:
            with contextlib.suppress(Exception):
                self._own.close(timeout=10)

    def _look_over(self) -> None:
        """Count the workers, and compare versions and weights' needs before anything is sent."""
        known = self._client.scheduler_info(n_workers=-1)["workers"]
        self.workers = len(known)
        if not known:
            raise EngineError("The scheduler has no workers.", "Start some with: dask worker ADDRESS.")
        try:
            told = self._client.run(versions)
        except Exception as error:
            raise EngineError(
                f"The workers cannot run vizcore ({type(error).__name__}).", "Install the same vizcore on each."
            ) from error
        ours = versions()
        for theirs in told.values():
            for name in PACKAGES:
                if theirs[name] != ours[name]:
                    text = f"A worker has {name} {theirs[name]}, this machine {ours[name]}."
                    raise EngineError(text, "Install the same versions everywhere.")
        if self._work.device == "cuda" and not any("GPU" in one.get("resources", {}) for one in known.values()):
            raise EngineError("No worker says that it has a GPU.", 'Start them with --resources "GPU=1".')

    def _report(self, event: Any) -> None:
        _, (number, report) = event
        self._events.put(Told(self._shards[number], report))

    def _done(self, future: Any) -> None:
        """In a thread of the client's: what became of a shard."""
        shard = self._futures.pop(future, None)
        if shard is None:
            return
        if future.status == "finished":
            for report in future.result():  # those that were lost on the way; known ones do not count again
                self._events.put(Told(shard, report))
            self._events.put(Finished(shard))
        elif future.status == "error":
            error = future.exception()
            if isinstance(error, self._dask.KilledWorker):
                self._events.put(Lost(shard, self._allowed + 1))
            elif isinstance(error, VizcoreError):
                self._events.put(Stopped(error))
            else:
                text = (
                    f"A worker failed: {type(error).__name__}: {str(error).splitlines()[0][:200] if str(error) else ''}"
                )
                self._events.put(Stopped(EngineError(f"{text.rstrip('. ')}.", "See the log of the worker.")))
        else:
            self._events.put(Stopped(_gone()))


_ALLOWED = "distributed.scheduler.allowed-failures"


def render(work: Work, shard: Shard, topic: str, number: int) -> list[Report]:
    """What a worker of the cluster runs."""
    worker = _dask().get_worker()

    def report(one: Report) -> None:
        worker.log_event(topic, (number, one))

    try:
        return render_shard(work, shard, report)
    except ModelError as error:
        raise ModelError(f"A worker cannot open the network: {error.message}", error.hint) from None


def versions() -> dict[str, str]:
    """Of what must be the same on all machines."""
    from importlib.metadata import version

    import vizcore

    python = ".".join(platform.python_version_tuple()[:2])
    return {
        "vizcore": vizcore.__version__, "python": python, "torch": version("torch"),
        "distributed": version("distributed"),
    }  # fmt: skip


def _dask() -> Any:
    try:
        return importlib.import_module("distributed")
    except ImportError:
        raise EngineError(
            "A cluster needs Dask, which is not installed.", 'Run pip install "vizcore[atlas]".'
        ) from None


def _own_cluster(dask: Any, workers: int) -> Any:
    config = importlib.import_module("dask.config")
    # A lost shard comes back to us, who know which filter it was at; no other one waits on that worker.
    with config.set({_ALLOWED: 0, "distributed.scheduler.worker-saturation": 1.0}):
        return dask.LocalCluster(
            n_workers=workers, threads_per_worker=1, processes=True, host="127.0.0.1", protocol="tcp",
            dashboard_address="127.0.0.1:0", memory_limit=0, silence_logs=50,
        )  # fmt: skip


def _connect(dask: Any, where: Any) -> Any:
    try:
        return dask.Client(where, timeout=PATIENCE, set_as_default=False, name="vizcore-atlas")
    except (OSError, TimeoutError, ValueError) as error:
        raise EngineError(
            "The scheduler cannot be reached.", "Check the address, such as tcp://127.0.0.1:8786, and that it runs."
        ) from error


def _gone() -> EngineError:
    return EngineError("The scheduler is gone; finished tiles are kept.", "Start it and run the command again.")
