"""Writing a run file while the ascent runs, without making it wait."""

from __future__ import annotations

import datetime
import json
import os
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

import vizcore
from vizcore import spec as specs
from vizcore.errors import HistoryError, VizcoreError
from vizcore.history import codec, entries, schema, thinning
from vizcore.history.codec import Pixels
from vizcore.history.journal import Journal
from vizcore.history.reader import RunReader
from vizcore.history.schema import ALWAYS, PASSING, PINNED, REGULAR
from vizcore.params import Value
from vizcore.spec import RunSpec

THREADS = min(4, os.cpu_count() or 1)  # encoders; Pillow lets go of the interpreter while it encodes
PASSING_GAP = 1 / 30  # s between pictures that are shown but not kept
LANDMARKS = frozenset(4**k for k in range(8))  # 64, 256, 1024 ...: a film strip has these, whatever is thinned out
MOVING = ("running", "loading")  # any other state shows the newest picture until the run goes on


@dataclass
class _Last:
    """The newest step, in case its picture turns out to be wanted."""

    step: int
    images: Pixels
    entry: entries.Pictures | None = None  # on its way to the file, or there


class RunWriter:
    """Appends to one run file; make it with :meth:`create` or :meth:`open`.

    Every method returns at once, and none raises because of the disk: ``error`` then tells, the run goes on, and
    writing resumes when there is space again.  Steps that are never dropped (the first 32, the last, checkpoints and
    knob changes) may wait for room in the queue of at most 128 MiB; others are left out by an even stride when the
    encoders are behind.  Scores are kept for every step.
    """

    def __init__(self, path: Path, reader: RunReader) -> None:
        self.spec = reader.spec
        self.path = path
        meta = reader.meta
        limit = int(meta.get("limit", thinning.run_limit()))
        self._planned = self.spec.steps
        for _, name, value in reader.knobs():
            if name == "steps":
                self._planned = int(value)
        self._marked = {step for step, _, _ in reader.knobs()} | set(reader.checkpoints())
        self._lock = threading.Lock()
        self._last: _Last | None = None
        self._pressure = 1
        self._shown = 0.0
        self._closed = False
        self._mark = schema.lock(path)
        try:
            self._journal = Journal(path, int(meta.get("stride", 1)), limit)
        except BaseException:
            self._mark.close()
            raise
        self._encoders = ThreadPoolExecutor(THREADS, "vizcore-encode", initializer=_stand_back)

    @classmethod
    def create(
        cls,
        path: str | Path,
        spec: RunSpec,
        *,
        environment: Mapping[str, Any] | None = None,
        weights_hash: str = "",
        parent: tuple[str, int] | None = None,
        shared: int | None = None,
        facts: Mapping[str, Any] | None = None,
    ) -> RunWriter:
        """A new run file at ``path``.

        Args:
            environment: what the pictures depend on besides the spec (versions, device, threads), as JSON values.
            parent: id and step of the run that this one was forked from.
            shared: the parent's own revision if its frames before that step are this run's too, and not copied.
            facts: more to be remembered, as JSON values by name.

        Raises:
            HistoryError: there is a file already.
            StorageError: no space or no right to write.
        """
        limit = thinning.run_limit()
        known = {
            **(facts or {}),
            "spec": specs.to_dict(spec),
            "environment": dict(environment or {}),
            "weights_hash": weights_hash,
            "parent": list(parent) if parent else None,
            "shared": shared,
            "created": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
            "vizcore": vizcore.__version__,
            "stride": thinning.stride(spec, limit),
            "limit": limit,
            "state": {"state": "running"},
        }
        schema.create(Path(path), {key: json.dumps(value) for key, value in known.items()})
        return cls.open(path)

    @classmethod
    def open(cls, path: str | Path) -> RunWriter:
        """Go on with a run file, also one whose writer was killed.

        Raises:
            HistoryError: the file is missing, damaged, foreign or newer.
            StorageError: no right to write, or another program writes.
        """
        with RunReader(path) as reader:
            return cls(Path(path), reader)

    @property
    def error(self) -> VizcoreError | None:
        """What keeps the history from being written at the moment, or ``None``."""
        return self._journal.error

    @property
    def stride(self) -> int:
        """Pictures of every ``stride``-th step are kept."""
        return self._journal.stride

    # What the ascent tells -------------------------------------------------------------------------------------

    def add(
        self, step: int, images: Pixels, scores: ArrayLike, norms: ArrayLike, status: Sequence[str] | None = None
    ) -> None:
        """Scores and pictures of a step; ``images`` is uint8 [N, H, W, C], copied here.

        Raises:
            HistoryError: shapes or types that do not fit the run.
        """
        if images.dtype != np.uint8 or images.ndim != 4 or images.shape[0] != len(self.spec.channels):
            raise HistoryError("The pictures do not fit the run.", "Give uint8 [filters, height, width, colours].")
        if images.shape[3] not in (1, 3):
            raise HistoryError("The pictures have neither 1 nor 3 colours.", "Give grey or RGB pictures.")
        with self._lock:
            self._add_scores(step, scores, norms, status)
            last = _Last(step, images.copy())
            self._last = last
            kept = self._reason(step, images.nbytes)
            if kept is not None:
                self._store(last, kept, self._lossless(last))

    def add_scores(self, step: int, scores: ArrayLike, norms: ArrayLike, status: Sequence[str] | None = None) -> None:
        """Scores of a step whose pictures are not at hand."""
        with self._lock:
            self._add_scores(step, scores, norms, status)

    def knob(self, step: int, name: str, value: Value) -> None:
        """A knob has ``value`` from the update of ``step`` on."""
        with self._lock:
            self._journal.put(entries.Knob(step, name, json.dumps(value)))
            if name == "steps":
                self._planned = int(value)
            self._keep(step)

    def checkpoint(self, step: int, arrays: Mapping[str, NDArray[Any]]) -> None:
        """All that is needed to go on from ``step``; the arrays are copied here."""
        copies = {name: np.array(array) for name, array in arrays.items()}
        with self._lock:
            state = self._encoders.submit(entries.pack_arrays, copies)
            size = sum(array.nbytes for array in copies.values())
            self._journal.put(entries.Checkpoint(step, state, size))
            self._keep(step)

    def rewind(self, step: int) -> None:
        """Forget everything after ``step``, for a run that is rolled back to a checkpoint."""
        with self._lock:
            if self._last is not None and self._last.step > step:
                self._last = None
            self._marked = {s for s in self._marked if s <= step}
            self._journal.put(entries.Rewind(step))

    def pin(self, step: int) -> None:
        """Keep the pictures of ``step``, if they are there, whatever happens."""
        with self._lock:
            self._keep(step, PINNED)

    def set_state(self, state: str, **info: Any) -> None:
        """The state of the run and facts that go with it, as JSON values.

        Unless it runs, its newest picture is stored.
        """
        with self._lock:
            if state not in MOVING:
                self._store_last(ALWAYS if state == "done" else PASSING)
            self._journal.put(entries.Meta("state", json.dumps({"state": state, **info})))

    def set_meta(self, key: str, value: Any) -> None:
        """A fact of the run as a JSON value (for example the environment, once it is known)."""
        self._journal.put(entries.Meta(key, json.dumps(value)))

    def flush(self, timeout: float | None = None) -> bool:
        """Wait until everything so far is in the file, or the disk refused it; ``False`` after ``timeout`` seconds."""
        with self._lock:
            self._store_last(PASSING)
        return self._journal.flush(timeout)

    def close(self) -> None:
        """Store the last picture, write what waits, and let go of the file.  Twice does no harm."""
        with self._lock:
            if self._closed:
                return
            self._closed = True
            self._store_last(ALWAYS)
        self._journal.close()
        self._encoders.shutdown()
        schema.unlock(self.path, self._mark)

    def __enter__(self) -> RunWriter:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    # Which pictures --------------------------------------------------------------------------------------------

    def _reason(self, step: int, size: int) -> int | None:
        """Why the pictures of ``step`` are stored now, or ``None`` if they are not."""
        if step < thinning.FIRST or step >= self._planned or step in self._marked or step in LANDMARKS:
            return ALWAYS
        if self.error is not None:
            return None
        load = self._journal.load
        if step % (self.stride * self._pressure) == 0:
            if load > 0.5:
                self._pressure *= 2
            elif load < 0.125 and self._pressure > 1:
                self._pressure //= 2
            if step % (self.stride * self._pressure) == 0 and self._journal.room(size):
                return REGULAR
        if load == 0 and time.monotonic() - self._shown > PASSING_GAP:
            return PASSING
        return None

    def _lossless(self, last: _Last) -> bool:
        side = max(last.images.shape[1:3])
        return side <= codec.LOSSLESS_SIDE or last.step % codec.LOSSLESS_EVERY == 0 or last.step >= self._planned

    def _store(self, last: _Last, kept: int, lossless: bool) -> None:
        if self.error is not None and kept not in (ALWAYS, PINNED):
            return
        self._shown = time.monotonic()
        parts = min(THREADS, 1 + last.images.size // 2**19)  # half a million values: some 3 ms of encoding
        futures: list[Future[list[entries.Encoded]]] = [
            self._encoders.submit(_encode_all, part, lossless) for part in np.array_split(last.images, parts)
        ]
        last.entry = entries.Pictures(last.step, kept, futures, last.images.nbytes, len(last.images))
        self._journal.put(last.entry)

    def _store_last(self, kept: int) -> None:
        """The newest pictures go into the file, if they have not yet; then lossless if they are the last for good.

        What was stored stays as it is: its address promises the same bytes for ever.
        """
        last = self._last
        if last is None:
            return
        if last.entry is None:
            self._store(last, kept, kept == ALWAYS or self._lossless(last))
        elif kept == ALWAYS:
            self._keep(last.step)

    def _keep(self, step: int, kept: int = ALWAYS) -> None:
        """Never drop the pictures of ``step``, whether they are stored, at hand, or still to come."""
        self._marked.add(step)
        last = self._last
        if last is None or last.step != step:
            self._journal.keep(step, kept)
        elif last.entry is None or not self._journal.keep(step, kept, last.entry):
            self._store(last, kept, self._lossless(last))

    def _add_scores(self, step: int, scores: ArrayLike, norms: ArrayLike, status: Sequence[str] | None) -> None:
        if self._closed:
            raise HistoryError("A closed run takes no steps.", "Open it again.")
        if not 0 <= step < 2**40:
            raise HistoryError(f"There is no step {step}.", "Count steps from 0.")
        columns = [np.asarray(values, "<f4") for values in (scores, norms)]
        if any(column.shape != (len(self.spec.channels),) for column in columns):
            raise HistoryError("The scores do not fit the run.", "Give one number per filter.")
        told = "" if status is None or all(s == "ok" for s in status) else json.dumps(list(status))
        self._journal.put(entries.Scores(step, columns[0].tobytes(), columns[1].tobytes(), told))


def _stand_back() -> None:
    """Let the threads of the ascent go first: they wait for one another, so a delay of one is a delay of all."""
    if sys.platform == "linux":  # where niceness is a thread's own
        os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), 10)


def _encode_all(images: Pixels, lossless: bool) -> list[entries.Encoded]:
    return [codec.encode(image, lossless) for image in images]
