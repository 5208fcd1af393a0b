"""What belongs to the process: the run library, the engine, and what is known of networks."""

from __future__ import annotations

import atexit
import contextlib
import logging
import os
import threading
import time
import weakref
from collections import OrderedDict
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

from app import disk
from app.atlases import Atlases
from app.files import Files, start
from app.measuring import Rulers
from app.shelf import Shelf
from app.sources import Sources
from app.training import Trainer
from vizcore.engine import Engine
from vizcore.engine.jobs import Job
from vizcore.errors import HistoryError, ModelError, VizcoreError
from vizcore.history import RunReader
from vizcore.runs import Library, is_id
from vizcore.zoo.card import bundled

log = logging.getLogger("vizcore.app")

READERS = 80  # run files kept open: a sweep and some more
STOPPING = 10.0  # seconds in which a run must have stopped


@dataclass(frozen=True)
class Options:
    """What the command line or the environment says.

    Args:
        model: the network that an empty address shows; empty for the best of the bundled ones.
            The only one that may be a weights file.
        device: ``"auto"``, ``"cpu"``, ``"cuda"``, ``"mps"``.
        home: folder of runs and weights; empty for the platform's.
        arch: what is in the weights file.
        pictures: folders of pictures that pages may open, joined as in ``PATH``.
        anywhere: whether they may open others, too.
        atlases: folders of atlases besides those of the home folder, joined as in ``PATH``.
    """

    model: str = ""
    device: str = "auto"
    home: str = ""
    arch: str = ""
    pictures: str = ""
    anywhere: bool = False
    atlases: str = ""

    @classmethod
    def from_environment(cls) -> Options:
        """``VIZCORE_MODEL``, ``_ARCH``, ``_DEVICE``, ``_HOME`` and ``_PICTURES`` (folders, or ``*`` for any): the same
        for every way to start the server."""
        read = os.environ.get
        device = read("VIZCORE_DEVICE", "") or "auto"
        folders = read("VIZCORE_PICTURES", "").split(os.pathsep)
        named = os.pathsep.join(folder for folder in folders if folder not in ("", "*"))
        return cls(
            read("VIZCORE_MODEL", ""),
            device,
            read("VIZCORE_HOME", ""),
            read("VIZCORE_ARCH", ""),
            named,
            "*" in folders,
            read("VIZCORE_ATLASES", ""),
        )


class Hub:
    """Library, engine and caches, shared by all pages; used from the event loop only."""

    def __init__(self, library: Any, engine: Any, options: Options | None = None) -> None:
        self.library = library
        self.engine = engine
        self.options = options or Options()
        self.sessions: weakref.WeakSet[Any] = weakref.WeakSet()
        self.started = time.time()
        self.lag = 0.0  # seconds that the event loop was late, the worst of late
        self._readers: OrderedDict[str, RunReader] = OrderedDict()
        self._models: Future[Any] | None = None
        self._descriptions: dict[tuple[str, str | None], Future[Any]] = {}
        self._running = False
        self._aside = ThreadPoolExecutor(1, "vizcore-aside")  # for what may wait for the disk
        self._looking = ThreadPoolExecutor(1, "vizcore-shelf")
        self._making = ThreadPoolExecutor(2, "vizcore-files")
        self.shelf = Shelf(library, self._looking)
        self.sources = Sources(self.options.pictures.split(os.pathsep), self.options.anywhere)
        self.files = Files()
        self.atlases = Atlases(library.home, self.options.atlases)
        self.rulers = Rulers()
        self.trainer = Trainer(library.home, self.options.device)

    def start(self) -> None:
        """Start the engine and let it get to know the default network; harmless when repeated."""
        if self._running:
            return
        self._running = True
        self.engine.start()
        atexit.register(self.close)
        self.describe(self.default_model()).add_done_callback(_say)

    def close(self) -> None:
        """Stop the engine; runs stay in the library."""
        if not self._running:
            return
        self._running = False
        atexit.unregister(self.close)
        for reader in self._readers.values():
            reader.close()
        self._readers.clear()
        self._aside.shutdown()
        self._looking.shutdown()
        self._making.shutdown(cancel_futures=True)
        self.files.close()
        self.sources.close()
        self.trainer.close()
        self.engine.close()

    def default_model(self) -> str:
        """The network that an empty address shows."""
        return self.options.model or self.showcase_model()

    def showcase_model(self) -> str:
        """The best of the bundled networks, which needs nothing but itself."""
        names = list(bundled())
        for name in ("imagenette-robust", "digits"):
            if name in names:
                return name
        return names[0] if names else "squeezenet1_1"

    def arch(self, model: str) -> str | None:
        """The architecture of the weights file that the server was started with; None for any other network."""
        return self.options.arch or None if model == self.options.model else None

    def models(self) -> Future[Any]:
        """All networks, asked of the engine once (again after a failure)."""
        if self._models is None or _failed(self._models):
            self._models = self.engine.models()
        return self._models

    def describe(self, model: str, arch: str | None = None) -> Future[Any]:
        """Card, layers and default size of a network, asked of the engine once (again after a failure)."""
        arch = arch or self.arch(model)
        known = self._descriptions.get((model, arch))
        if known is None or _failed(known):
            known = self._descriptions[model, arch] = self.engine.describe(model, arch)
        return known

    def aside(self, work: Callable[..., Any], *arguments: Any, **named: Any) -> Future[Any]:
        """Do something that may wait for the disk, in a thread, one thing after the other."""
        return self._aside.submit(work, *arguments, **named)

    def library_use(self) -> Future[disk.Use]:
        """What the run library takes of the disk."""
        return self._aside.submit(disk.use, self.library)

    def long(self, work: Callable[[Callable[[int, int], None]], Any]) -> Job[Any]:
        """Do something in a thread that takes seconds, tells its progress and can be given up."""
        return start(self._making, work)

    def end(self, run: str) -> None:
        """Have the engine let go of a run; waits for it, so it is called from a thread."""
        if run in self.engine.states:
            with contextlib.suppress(VizcoreError, TimeoutError):
                self.engine.stop(run).result(timeout=STOPPING)

    def forget(self, run: str) -> None:
        """Let go of a run that is no more, here and in all pages."""
        for session in list(self.sessions):
            session.ascent.pilot.forget(run)
        reader = self._readers.pop(run, None)
        if reader is not None:
            reader.close()

    def late(self, seconds: float) -> None:
        """A page measured how late the event loop was; the worst of late is remembered, and fades."""
        self.lag = max(seconds, self.lag * 0.98, 0.0)

    def reader(self, run: str) -> RunReader:
        """The open reader of a run.

        Raises:
            HistoryError: an unknown or malformed id, or a damaged file.
        """
        if not is_id(run):
            raise HistoryError("There is no such run.", "Choose one from the library.")
        reader = self._readers.get(run)
        if reader is None:
            reader = self._readers[run] = self.library.open(run)
            held = {session.ascent.pilot.run for session in self.sessions}
            for other in [one for one in self._readers if one not in held and one != run][
                : len(self._readers) - READERS
            ]:
                self._readers.pop(other).close()
        self._readers.move_to_end(run)
        return reader


def _say(future: Future[Any]) -> None:
    """Who started the server hears on the terminal that its network cannot be had."""
    if not future.cancelled() and isinstance(future.exception(), ModelError):
        log.warning("%s", future.exception())


def _failed(future: Future[Any]) -> bool:
    return future.done() and (future.cancelled() or future.exception() is not None)


_lock = threading.Lock()
_hub: Hub | None = None  # the one thing that every session of the process shares


def get_hub() -> Hub:
    """The hub of this process, made at the first call."""
    global _hub
    with _lock:
        if _hub is None:
            options = Options.from_environment()
            library = Library(options.home or None)
            _hub = Hub(library, Engine(library, options.device, files=filter(None, [options.model])), options)
        return _hub


def set_hub(hub: Hub | None) -> None:
    """Use another hub (tests, embedding in another server)."""
    global _hub
    with _lock:
        _hub = hub
