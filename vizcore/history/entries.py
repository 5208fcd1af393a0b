"""What can be written into a run file: one small class per kind, each applied within a transaction."""

from __future__ import annotations

import io
import json
import sqlite3
from concurrent.futures import Future
from dataclasses import dataclass, field
from threading import Event
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from vizcore.history.schema import ALWAYS, PASSING, PINNED, RECALLED, REGULAR, ROWS

Encoded = tuple[int, bytes]  # codec number and bytes of one picture


class Entry(Protocol):
    """Something to write.

    ``size`` is the memory it holds, ``frames`` the pictures in it; a ``precious`` one is tried again when the
    disk was full, any other is dropped.
    """

    @property
    def size(self) -> int: ...

    @property
    def frames(self) -> int: ...

    @property
    def precious(self) -> bool: ...

    def apply(self, connection: sqlite3.Connection) -> None:
        """Write it; the caller has begun a transaction."""


@dataclass
class Scores:
    """Scores and gradient norms of one step.

    A step that comes again (a run continued from its checkpoint) with the same numbers leaves its pictures alone;
    with other numbers, the pictures and scores from there on belong to another run of events and are forgotten.
    """

    step: int
    scores: bytes
    norms: bytes
    status: str
    precious: bool = True
    size: int = 0
    frames: int = 0

    def apply(self, connection: sqlite3.Connection) -> None:
        old = connection.execute("SELECT scores, norms FROM step WHERE step = ?", (self.step,)).fetchone()
        if old is not None and old != (self.scores, self.norms):
            forget(connection, self.step)
        connection.execute(
            "INSERT OR REPLACE INTO step VALUES (?, ?, ?, ?)", (self.step, self.scores, self.norms, self.status)
        )


@dataclass
class Pictures:
    """The pictures of all filters at one step, encoded by now or soon."""

    step: int
    kept: int
    futures: list[Future[list[Encoded]]]
    size: int
    frames: int
    dropped: bool = False  # the disk was full

    @property
    def precious(self) -> bool:
        return self.kept in (ALWAYS, PINNED)

    def apply(self, connection: sqlite3.Connection) -> None:
        rows = [encoded for future in self.futures for encoded in future.result()]
        first = self.step * ROWS
        connection.executemany(  # a step that comes again has the bytes that it had: browsers keep them for ever
            "INSERT OR IGNORE INTO frame VALUES (?, ?, ?)",
            [(first + row, codec, data) for row, (codec, data) in enumerate(rows)],
        )
        connection.execute(
            "INSERT INTO picture VALUES (?, ?) ON CONFLICT (step) DO UPDATE "
            f"SET kept = CASE WHEN kept IN ({ALWAYS}, {PINNED}) THEN kept ELSE excluded.kept END",
            (self.step, self.kept),
        )


@dataclass
class Keep:
    """The pictures of a step, if it has any, are kept from now on."""

    step: int
    kept: int
    precious: bool = True
    size: int = 0
    frames: int = 0

    def apply(self, connection: sqlite3.Connection) -> None:
        connection.execute(f"UPDATE picture SET kept = ? WHERE step = ? AND kept <> {PINNED}", (self.kept, self.step))


@dataclass
class Knob:
    """A turn of a knob.  Turns at later steps, which a run that was rolled back has left behind, go."""

    step: int
    name: str
    value: str
    precious: bool = True
    size: int = 0
    frames: int = 0

    def apply(self, connection: sqlite3.Connection) -> None:
        connection.execute("DELETE FROM knob WHERE step > ?", (self.step,))
        connection.execute("INSERT INTO knob (step, name, value) VALUES (?, ?, ?)", (self.step, self.name, self.value))


@dataclass
class Checkpoint:
    """All that is needed to go on from a step."""

    step: int
    state: Future[bytes]
    size: int
    frames: int = 0
    precious: bool = True

    def apply(self, connection: sqlite3.Connection) -> None:
        connection.execute("INSERT OR REPLACE INTO checkpoint VALUES (?, ?)", (self.step, self.state.result()))


@dataclass
class Rewind:
    """Forget everything after a step."""

    step: int
    precious: bool = True
    size: int = 0
    frames: int = 0

    def apply(self, connection: sqlite3.Connection) -> None:
        forget(connection, self.step + 1)
        connection.execute("DELETE FROM checkpoint WHERE step > ?", (self.step,))
        connection.execute("DELETE FROM knob WHERE step > ?", (self.step,))


@dataclass
class Meta:
    """A fact of the run as JSON."""

    key: str
    value: str
    precious: bool = True
    size: int = 0
    frames: int = 0

    def apply(self, connection: sqlite3.Connection) -> None:
        connection.execute("INSERT OR REPLACE INTO meta VALUES (?, ?)", (self.key, self.value))


@dataclass
class Barrier:
    """Sets ``done`` when everything before it was written, or could not be."""

    done: Event = field(default_factory=Event)
    precious: bool = False
    size: int = 0
    frames: int = 0

    def apply(self, connection: sqlite3.Connection) -> None:
        """Nothing to write."""


def forget(connection: sqlite3.Connection, step: int) -> None:
    """Delete the pictures and scores from ``step`` on, and the checkpoints behind it.

    If there were any, the run has another revision: what somebody remembers of these steps is void.  ``forgotten``
    lists the step of each such event, so that a fork knows which of the steps it shares are still what they were.
    """
    connection.execute("DELETE FROM frame WHERE id >= ?", (step * ROWS,))
    tables = ("picture", "step")
    gone = [connection.execute(f"DELETE FROM {table} WHERE step >= ?", (step,)).rowcount for table in tables]
    connection.execute("DELETE FROM checkpoint WHERE step > ?", (step,))
    if any(gone):
        connection.execute(
            "INSERT INTO meta VALUES ('revision', '1') "
            "ON CONFLICT (key) DO UPDATE SET value = CAST(value AS INTEGER) + 1"
        )
        row = connection.execute("SELECT value FROM meta WHERE key = 'forgotten'").fetchone()
        events = [*(json.loads(row[0]) if row else []), step]
        connection.execute("INSERT OR REPLACE INTO meta VALUES ('forgotten', ?)", (json.dumps(events),))


def drop(connection: sqlite3.Connection, steps: list[int]) -> None:
    """Delete the pictures of ``steps``."""
    connection.executemany(
        "DELETE FROM frame WHERE id BETWEEN ? AND ?", [(s * ROWS, s * ROWS + ROWS - 1) for s in steps]
    )
    connection.executemany("DELETE FROM picture WHERE step = ?", [(s,) for s in steps])


def thin(connection: sqlite3.Connection, stride: int) -> None:
    """Delete the regular pictures that are not on ``stride``."""
    query = f"SELECT step FROM picture WHERE kept = {REGULAR} AND step % ? <> 0"
    drop(connection, [step for (step,) in connection.execute(query, (stride,))])


def drop_recalled(connection: sqlite3.Connection, first: int = 0, last: int = -1) -> None:
    """Delete the pictures that were made anew on demand, except those of the steps ``first`` to ``last``."""
    query = f"SELECT step FROM picture WHERE kept = {RECALLED} AND step NOT BETWEEN ? AND ?"
    drop(connection, [step for (step,) in connection.execute(query, (first, last))])


def drop_passing(connection: sqlite3.Connection, before: int | None = None) -> None:
    """Delete the passing pictures before step ``before`` (default: all but the newest picture)."""
    if before is None:
        (before,) = connection.execute("SELECT coalesce(max(step), 0) FROM picture").fetchone()
    query = f"SELECT step FROM picture WHERE kept = {PASSING} AND step < ?"
    drop(connection, [step for (step,) in connection.execute(query, (before,))])


def used_bytes(connection: sqlite3.Connection) -> int:
    """What the file takes, less the pages that are free to be used again."""
    pages, free, size = (
        int(connection.execute(f"PRAGMA {name}").fetchone()[0])
        for name in ("page_count", "freelist_count", "page_size")
    )
    return (pages - free) * size


def pack_arrays(arrays: dict[str, NDArray[Any]]) -> bytes:
    """Arrays as the bytes of an uncompressed .npz, without pickle."""
    stream = io.BytesIO()
    np.savez(stream, allow_pickle=False, **arrays)
    return stream.getvalue()
