"""The one thread that writes a run file: in order, in small batches, and patient with a full disk."""

from __future__ import annotations

import sqlite3
import threading
import time
from collections import deque
from contextlib import suppress
from pathlib import Path

from vizcore.errors import StorageError, VizcoreError
from vizcore.history import entries, schema
from vizcore.history.entries import Barrier, Checkpoint, Entry, Pictures
from vizcore.history.schema import PASSING, REGULAR

BATCH_FRAMES = 16  # a commit costs as much as some ten frames: a batch hides it,
BATCH_SECONDS = 0.020  # and nobody waits longer than this for a picture
BUDGET = 128 * 1024**2  # bytes of pictures and checkpoints that may wait to be written
BACKLOG = 64 * 1024**2  # bytes of them that a full disk makes us hold back for a later try
RETRY_SECONDS = 1.0
PASSING_SECONDS = 1.0  # a passing picture stays this long, so that who asked for the newest step still finds it


class Journal:
    """Writes entries into the file at ``path``.

    Args:
        stride: pictures of every stride-th step are regular.
        limit: bytes of the file above which the stride doubles.

    ``error`` is the :class:`StorageError` that keeps it from writing, or ``None``.
    """

    def __init__(self, path: Path, stride: int, limit: int) -> None:
        self.error: VizcoreError | None = None
        self.stride = stride
        self.limit = limit
        self._queue: deque[Entry] = deque()
        self._backlog: list[Entry] = []
        self._waiting = 0  # bytes
        self._changed = threading.Condition()
        self._closing = False
        self._next_try = 0.0
        self._passing: deque[tuple[float, int]] = deque()
        self._connection = schema.connect(path, "rw")
        with schema.translated():
            self._connection.execute("PRAGMA journal_mode = WAL")
            self._connection.execute("PRAGMA synchronous = NORMAL")
        with suppress(sqlite3.Error):  # left by a killed writer; a full disk may wait
            entries.drop_passing(self._connection)
        self._thread = threading.Thread(target=self._run, name="vizcore-history", daemon=True)
        self._thread.start()

    # For the caller's thread -----------------------------------------------------------------------------------

    @property
    def load(self) -> float:
        """How full the queue is: 0 empty, 1 at its bound."""
        return self._waiting / BUDGET

    def room(self, size: int) -> bool:
        """Whether ``size`` more bytes may wait (one entry always may, however large)."""
        return self._waiting == 0 or self._waiting + size <= BUDGET

    def put(self, entry: Entry) -> None:
        """Take ``entry`` over.  One that holds memory waits for room, unless the disk is full."""
        with self._changed:
            if entry.size and not self.room(entry.size):
                self._changed.wait_for(lambda: self.room(entry.size) or self.error is not None or self._closing)
            self._waiting += entry.size
            self._queue.append(entry)
            self._changed.notify_all()

    def keep(self, step: int, kept: int, pictures: Pictures | None = None) -> bool:
        """Never drop the pictures of ``step``, stored or on their way; ``False`` if these were dropped already."""
        with self._changed:
            if pictures is not None:
                pictures.kept = kept
                if pictures.dropped:
                    return False
            self._queue.append(entries.Keep(step, kept))
            self._changed.notify_all()
            return True

    def flush(self, timeout: float | None = None) -> bool:
        """Wait until all entries were written or refused by the disk; ``False`` after ``timeout`` seconds."""
        barrier = Barrier()
        with self._changed:
            self._next_try = 0.0
        self.put(barrier)
        return barrier.done.wait(timeout)

    def close(self) -> None:
        """Write what waits, as far as the disk lets us, and let go of the file."""
        with self._changed:
            self._closing = True
            self._next_try = 0.0
            self._changed.notify_all()
        self._thread.join()
        try:
            entries.drop_passing(self._connection)
            self._connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        except sqlite3.Error as error:
            self.error = self.error or schema.translate(error)
        finally:
            self._connection.close()

    # In the thread ---------------------------------------------------------------------------------------------

    def _run(self) -> None:
        while (batch := self._gather()) is not None:
            barriers = [entry for entry in batch if isinstance(entry, Barrier)]
            if time.monotonic() >= self._next_try:
                self._write(self._backlog + batch)
            else:
                self._hold_back(self._backlog + batch)
            self._release(batch)
            for barrier in barriers:
                barrier.done.set()

    def _gather(self) -> list[Entry] | None:
        """The next entries to commit together, their pictures encoded; ``None`` when closed and all is done."""
        batch: list[Entry] = []
        deadline = None
        while sum(entry.frames for entry in batch) < BATCH_FRAMES:
            with self._changed:
                pause = None if deadline is None else deadline - time.monotonic()
                if deadline is None and self._backlog:
                    pause = max(self._next_try - time.monotonic(), 0.0)
                self._changed.wait_for(lambda: bool(self._queue) or self._closing, pause)
                if not self._queue:
                    idle = self._closing and not batch and not (self._backlog and self._next_try == 0.0)
                    return None if idle else batch
                entry = self._queue.popleft()
            batch.append(entry)
            self._encoded(entry)
            if deadline is None:
                deadline = time.monotonic() + BATCH_SECONDS
        return batch

    @staticmethod
    def _encoded(entry: Entry) -> None:
        if isinstance(entry, Pictures):
            for future in entry.futures:
                future.exception()  # waits
        elif isinstance(entry, Checkpoint):
            entry.state.exception()

    def _write(self, batch: list[Entry]) -> None:
        if not batch:
            return
        try:
            self._apply(batch)
            self._backlog = []
            self.error = None
            self._tidy(batch)
        except sqlite3.Error as error:
            self._failed(schema.paused(schema.translate(error)), batch)
        except Exception:  # an encoder that fails must not end the run either
            failure = StorageError("A picture could not be stored.", "Restart vizcore; please report it.")
            self._failed(
                schema.paused(failure), [entry for entry in batch if not isinstance(entry, (Pictures, Checkpoint))]
            )

    def _apply(self, batch: list[Entry]) -> None:
        with schema.transaction(self._connection):
            for entry in batch:
                if not self._late(entry):
                    entry.apply(self._connection)

    def _late(self, entry: Entry) -> bool:
        """Regular when it was taken, but the stride has doubled since."""
        return isinstance(entry, Pictures) and entry.kept == REGULAR and entry.step % self.stride != 0

    def _tidy(self, batch: list[Entry]) -> None:
        """Drop passing pictures that have had their time; thin a run that outgrew its bound."""
        now = time.monotonic()
        self._passing.extend((now, e.step) for e in batch if isinstance(e, Pictures) and e.kept == PASSING)
        expired = None
        while len(self._passing) > 1 and now - self._passing[0][0] > PASSING_SECONDS:
            expired = self._passing.popleft()[1]
        full = entries.used_bytes(self._connection) > self.limit
        if expired is None and not full:
            return
        with schema.transaction(self._connection):
            if expired is not None:
                entries.drop_passing(self._connection, expired + 1)
            if full:
                self._thin()

    def _thin(self) -> None:
        """Double the stride until the file fits, or only such pictures remain as are never dropped."""
        (newest,) = self._connection.execute("SELECT coalesce(max(step), 0) FROM picture").fetchone()
        entries.drop_recalled(self._connection)
        if self.stride > newest:
            return
        while entries.used_bytes(self._connection) > self.limit and self.stride <= newest:
            self.stride *= 2
            entries.thin(self._connection, self.stride)
        entries.Meta("stride", str(self.stride)).apply(self._connection)

    def _failed(self, error: VizcoreError, batch: list[Entry]) -> None:
        self.error = error
        self._next_try = time.monotonic() + RETRY_SECONDS
        self._hold_back(batch)

    def _hold_back(self, batch: list[Entry]) -> None:
        """Remember the precious entries for the next try, the newest first, within bounds."""
        held: list[Entry] = []
        room, checkpoints = BACKLOG, 0
        with self._changed:
            for entry in reversed(batch):
                checkpoints += isinstance(entry, Checkpoint)
                if not entry.precious or entry.size > room or (isinstance(entry, Checkpoint) and checkpoints > 1):
                    if isinstance(entry, Pictures):
                        entry.dropped = True
                    continue
                room -= entry.size
                held.append(entry)
        self._backlog = held[::-1]

    def _release(self, batch: list[Entry]) -> None:
        with self._changed:
            self._waiting -= sum(entry.size for entry in batch)
            self._changed.notify_all()
