"""The tables of a run file, and how it is opened and checked."""

from __future__ import annotations

import errno
import json
import os
import re
import sqlite3
import time
import urllib.parse
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, Any

from vizcore.errors import HistoryError, StorageError, VizcoreError

fcntl: Any
try:
    import fcntl
except ImportError:  # Windows
    fcntl = None

APPLICATION_ID = 0x767A6372  # "vzcr": tells our files from every other SQLite file
VERSION = 2  # PRAGMA user_version; raised with each change of the tables: since 2, pins are of filters
BUSY_SECONDS = 5.0

# Why a picture is kept (picture.kept).  Thinning drops REGULAR ones, PASSING ones go as soon as a newer one is there,
# RECALLED ones (made anew when somebody asked for their step) are the first to go when the file is at its bound.
REGULAR, ALWAYS, PINNED, PASSING, RECALLED = 0, 1, 2, 3, 4
SUFFIX = ".vizrun"
_ID = re.compile(r"[0-9]{8}-[0-9]{6}-[0-9a-f]{6}", re.ASCII)  # UTC time and 24 random bits

TABLES = """
CREATE TABLE meta (key TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
-- One row per step: float32 little-endian [N] twice, and one status per filter as a JSON list ('' = all ok).
CREATE TABLE step (step INTEGER PRIMARY KEY, scores BLOB NOT NULL, norms BLOB NOT NULL, status TEXT NOT NULL);
-- One row per step that has pictures, written in one transaction with its frames.
CREATE TABLE picture (step INTEGER PRIMARY KEY, kept INTEGER NOT NULL);
-- id = step * 64 + row: one B-tree, in the order of reading, without a second index.
CREATE TABLE frame (id INTEGER PRIMARY KEY, codec INTEGER NOT NULL, data BLOB NOT NULL);
CREATE TABLE knob (id INTEGER PRIMARY KEY, step INTEGER NOT NULL, name TEXT NOT NULL, value TEXT NOT NULL);
CREATE TABLE checkpoint (step INTEGER PRIMARY KEY, state BLOB NOT NULL);
"""
PINS = """
-- A step that is kept for good: of one filter, or (-1) of all.
CREATE TABLE pin (step INTEGER, channel INTEGER, note TEXT NOT NULL, PRIMARY KEY (step, channel)) WITHOUT ROWID
"""
_TABLES_1 = {("table", name) for name in ("meta", "step", "picture", "frame", "knob", "checkpoint")}
INSIDE = {1: _TABLES_1, 2: _TABLES_1 | {("table", "pin")}}
"""All that a run file has in its schema, by version."""
ALL = -1  # pin.channel
ROWS = 64  # the most filters of a run (spec.MAX_FILTERS), and the factor in frame.id

PAUSED = "history paused"  # what the errors say of a run that goes on without being written

_FULL_CODES = {sqlite3.SQLITE_FULL, sqlite3.SQLITE_READONLY, sqlite3.SQLITE_IOERR, sqlite3.SQLITE_CANTOPEN}
_WAIT_CODES = {sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED, sqlite3.SQLITE_PROTOCOL}


def is_id(run: object) -> bool:
    """Whether ``run`` is written like an id (``20261120-191100-4f2a9c``)."""
    return isinstance(run, str) and len(run) == 22 and _ID.fullmatch(run) is not None


def connect(path: Path, mode: str) -> sqlite3.Connection:
    """A checked connection to the run file at ``path``; ``mode`` is SQLite's: ``"ro"`` or ``"rw"``.

    Raises:
        HistoryError: no such file, or it is foreign, damaged, cut short, or of a newer version.
    """
    if not path.is_file():
        raise HistoryError("There is no such run.", "See the list of runs.")
    with translated():
        connection = _open(path, mode)
        try:
            _check(connection, path)
            if mode == "rw":
                _migrate(connection)
        except BaseException:
            connection.close()
            raise
        return connection


def create(path: Path, meta: Mapping[str, str]) -> None:
    """A run file at ``path`` with these facts (JSON by key), which appears complete or not at all.

    Raises:
        HistoryError: there is one already.
        StorageError: no space or no right to write.
    """
    draft = path.with_name(f".{path.name}.{os.getpid()}.new")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        draft.unlink(missing_ok=True)
        with translated():
            connection = _connection(draft, "rwc")
            try:
                # Nobody sees the draft before it is whole, so it needs no journal, and one fsync at the end.
                connection.execute("PRAGMA journal_mode = OFF")
                connection.execute("PRAGMA synchronous = OFF")
                # 16 KiB pages hold a small frame each: half the pages to split and find (default 4 KiB).
                connection.execute("PRAGMA page_size = 16384")
                connection.execute(f"PRAGMA application_id = {APPLICATION_ID}")
                connection.execute(f"PRAGMA user_version = {VERSION}")
                connection.executescript(TABLES)
                connection.execute(PINS)
                connection.executemany("INSERT INTO meta VALUES (?, ?)", meta.items())
            finally:
                connection.close()
        with draft.open("rb+") as stream:
            os.fsync(stream.fileno())
        publish(draft, path)
    except OSError as error:
        raise storage_error(error) from error
    finally:
        with suppress(OSError):
            draft.unlink(missing_ok=True)


def publish(draft: Path, path: Path) -> None:
    """Give ``draft`` its name.

    Raises:
        HistoryError: the name is taken.
    """
    try:
        os.link(draft, path)
    except FileExistsError:
        raise HistoryError("There is a run of that name already.", "Choose another name.") from None
    except OSError:  # a file system without hard links
        if path.exists():
            raise HistoryError("There is a run of that name already.", "Choose another name.") from None
        draft.rename(path)


def _open(path: Path, mode: str) -> sqlite3.Connection:
    if mode == "rw":
        return _connection(path, "rw")
    if os.access(path, os.W_OK) and os.access(path.parent, os.W_OK):
        # A reader that could write recovers what a killed writer left, and tidies -wal and -shm away at the end.
        connection = _connection(path, "rw")
        connection.execute("PRAGMA query_only = ON")
        return connection
    # A read-only folder has no room for the -shm file that readers of a growing file share.
    return _connection(path, "ro" if path.with_name(path.name + "-wal").exists() else "ro&immutable=1")


def _connection(path: Path, mode: str) -> sqlite3.Connection:
    address = f"file:{urllib.parse.quote(str(path.absolute()))}?mode={mode}"
    return sqlite3.connect(address, uri=True, timeout=BUSY_SECONDS, isolation_level=None, check_same_thread=False)


def _check(connection: sqlite3.Connection, path: Path) -> None:
    (application,) = connection.execute("PRAGMA application_id").fetchone()
    if application != APPLICATION_ID:
        raise HistoryError("This is no run file of vizcore.", "Choose a file that ends in .vizrun.")
    (version,) = connection.execute("PRAGMA user_version").fetchone()
    if version > VERSION:
        raise HistoryError("The run file is from a newer vizcore.", "Update vizcore to open it.")
    log = path.with_name(path.name + "-wal")
    if not log.exists() or log.stat().st_size == 0:
        (pages,) = connection.execute("PRAGMA page_count").fetchone()
        (page_size,) = connection.execute("PRAGMA page_size").fetchone()
        if path.stat().st_size < pages * page_size:
            raise damaged()
    connection.execute("SELECT count(*) FROM sqlite_schema")  # the first page that must be whole


def _migrate(connection: sqlite3.Connection) -> None:
    """Bring an older file to this version; who only reads can read it as it is."""
    if _version(connection) == VERSION:
        return
    with transaction(connection):
        if _version(connection) == 1:  # still: another program may have been quicker
            pins = pins_of_version_1(connection)
            connection.execute(PINS)
            connection.executemany("INSERT INTO pin VALUES (?, ?, ?)", pins)
            connection.execute("DELETE FROM meta WHERE key = 'pins'")
            connection.execute(f"PRAGMA user_version = {VERSION}")


def _version(connection: sqlite3.Connection) -> int:
    return int(connection.execute("PRAGMA user_version").fetchone()[0])


def pins_of_version_1(connection: sqlite3.Connection) -> list[tuple[int, int, str]]:
    """(step, -1, note) of the pins that version 1 had among the facts, all of them of all filters."""
    row = connection.execute("SELECT value FROM meta WHERE key = 'pins'").fetchone()
    try:
        return [(int(step), ALL, str(note)) for step, note in json.loads(row[0]).items()] if row else []
    except (ValueError, TypeError, AttributeError, RecursionError) as error:
        raise damaged() from error


@contextmanager
def editing(path: Path) -> Iterator[sqlite3.Connection]:
    """A transaction in the file at ``path``, beside its writer if it has one."""
    connection = connect(path, "rw")
    try:
        with transaction(connection):
            yield connection
    finally:
        connection.close()


@contextmanager
def transaction(connection: sqlite3.Connection) -> Iterator[None]:
    """Begin, and commit at the end or roll back after an error."""
    connection.execute("BEGIN IMMEDIATE")
    try:
        yield
        connection.execute("COMMIT")
    except BaseException:
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        raise


def lock(path: Path) -> IO[bytes]:
    """Mark the file as being written; the system takes the mark away when the process dies.

    The mark is a file beside it: closing any handle of the run file itself would drop SQLite's own locks (POSIX).

    Raises:
        HistoryError: it is being written already.
        StorageError: no right to write.
    """
    try:
        mark = _mark(path).open("ab")
    except OSError as error:
        raise storage_error(error) from error
    for _ in range(5):
        if _try_lock(mark, exclusive=True):
            return mark
        time.sleep(0.01)  # whoever just looked (`locked`) is gone by then
    mark.close()
    raise HistoryError("The run is being written by another program.", "Stop it there first.")


def unlock(path: Path, mark: IO[bytes]) -> None:
    """Take the mark of :func:`lock` away."""
    with suppress(OSError):
        _mark(path).unlink(missing_ok=True)
    mark.close()


def locked(path: Path) -> bool:
    """Whether a living writer has the file."""
    try:
        with _mark(path).open("rb+") as mark:
            return not _try_lock(mark, exclusive=False)
    except OSError:
        return False


def _mark(path: Path) -> Path:
    return path.with_name(path.name + "-lock")


def _try_lock(mark: IO[bytes], exclusive: bool) -> bool:
    """Whether the lock is ours now; systems without locks let everyone pass."""
    if fcntl is None:
        return True
    try:
        fcntl.flock(mark, (fcntl.LOCK_EX if exclusive else fcntl.LOCK_SH) | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError:
        return True
    return True


def damaged() -> HistoryError:
    """The error for a file that is ours but cannot be read."""
    return HistoryError("The run file is damaged.", "Delete the run, or restore the file from a copy.")


def is_full(error: Exception) -> bool:
    """Whether the disk has no more room."""
    code = getattr(error, "sqlite_errorcode", 0) & 0xFF
    return code == sqlite3.SQLITE_FULL or getattr(error, "errno", None) in (errno.ENOSPC, errno.EDQUOT)


def storage_error(error: Exception) -> StorageError:
    """What SQLite or the system says about a full or protected disk, for people."""
    code = getattr(error, "sqlite_errorcode", 0) & 0xFF
    if is_full(error):
        return StorageError("The disk is full.", "Free some space.")
    if code == sqlite3.SQLITE_READONLY or getattr(error, "errno", None) in (errno.EACCES, errno.EROFS, errno.EPERM):
        return StorageError("The run library cannot be written.", "Check its permissions.")
    return StorageError("The run file could not be written.", "Check the disk of the run library.")


def translate(error: sqlite3.Error) -> VizcoreError:
    """A :class:`HistoryError` or :class:`StorageError` for what SQLite raised."""
    code = getattr(error, "sqlite_errorcode", 0) & 0xFF
    if code in _WAIT_CODES:
        return StorageError("The run file is in use by another program.", "Try again in a moment.")
    if code == sqlite3.SQLITE_NOTADB:
        return HistoryError("This is no run file of vizcore.", "Choose a file that ends in .vizrun.")
    if code in _FULL_CODES:
        return storage_error(error)
    return damaged()


def paused(error: VizcoreError) -> VizcoreError:
    """``error`` for a run that goes on although it is not written."""
    told = f"{error.message.removesuffix('.')}; {PAUSED}."
    return type(error)(told, f"{error.hint.removesuffix('.')}; the run goes on meanwhile.")


@contextmanager
def translated() -> Iterator[None]:
    """Within, SQLite's errors become ours."""
    try:
        yield
    except sqlite3.Error as error:
        raise translate(error) from error
    except UnicodeDecodeError as error:  # SQLite quotes a damaged schema in its message, and sqlite3 stumbles over it
        raise damaged() from error
