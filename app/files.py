"""Files that come and go: exports to be fetched, uploads to be opened; each under a name that cannot be guessed."""

from __future__ import annotations

import contextlib
import secrets
import tempfile
from collections import OrderedDict
from collections.abc import Callable
from concurrent.futures import CancelledError, Executor, InvalidStateError
from pathlib import Path
from typing import Any

from vizcore.engine.jobs import Job

KEPT = 12  # files; older ones go
MAX_UPLOAD = 2 * 2**30  # bytes: of an archive of runs, of which each has 512 MiB at most


class Files:
    """A folder for what is on its way; gone when the server ends."""

    def __init__(self) -> None:
        self._folder: tempfile.TemporaryDirectory[str] | None = None
        self._files: OrderedDict[str, Path] = OrderedDict()

    def new(self, name: str) -> tuple[str, Path]:
        """A token and a path that ends in ``name``; nothing is there yet."""
        if self._folder is None:
            self._folder = tempfile.TemporaryDirectory(prefix="vizcore-")
        token = secrets.token_urlsafe(16)
        path = Path(self._folder.name) / token / name
        path.parent.mkdir()
        self._files[token] = path
        while len(self._files) > KEPT:
            self.drop(next(iter(self._files)))
        return token, path

    def path(self, token: str) -> Path | None:
        """The file of a token, if it is there."""
        found = self._files.get(token)
        return found if found is not None and found.is_file() else None

    def drop(self, token: str) -> None:
        """Forget a file; one that is being read stays readable to whoever reads it."""
        path = self._files.pop(token, None)
        if path is not None:
            path.unlink(missing_ok=True)
            with contextlib.suppress(OSError):
                path.parent.rmdir()

    def close(self) -> None:
        """Remove everything."""
        self._files.clear()
        if self._folder is not None:
            self._folder.cleanup()
            self._folder = None


def start(executor: Executor, work: Callable[[Callable[[int, int], None]], Any]) -> Job[Any]:
    """Run ``work(progress)`` in a thread; its job knows how far it is, and giving it up ends the work."""
    job: Job[Any] = Job()

    def progress(done: int, total: int) -> None:
        if job.cancelled():
            raise CancelledError
        job.progress = (done, total)

    def act() -> None:
        try:
            progress(0, 0)
            result = work(progress)
        except CancelledError:
            return
        except Exception as error:
            with contextlib.suppress(InvalidStateError):
                job.set_exception(error)
            return
        with contextlib.suppress(InvalidStateError):
            job.set_result(result)

    executor.submit(act)
    return job
