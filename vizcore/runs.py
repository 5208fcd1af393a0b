"""The run library: one folder of run files, found by id."""

from __future__ import annotations

import datetime
import json
import os
import secrets
import sqlite3
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import platformdirs

from vizcore import spec as specs
from vizcore.errors import HistoryError, SpecError
from vizcore.history import RunReader, RunWriter, library_limit, schema
from vizcore.history.schema import SUFFIX, is_id
from vizcore.spec import RunSpec

_COMPANIONS = ("", "-wal", "-shm", "-journal", "-lock")  # SQLite's own, and the mark of a writer
MAX_NOTE = 2000  # characters


@dataclass(frozen=True)
class RunInfo:
    """A line in the list of runs.

    Args:
        steps: the newest step that was computed (0 before the first).
        bytes: what the run takes on the disk.
        parent: id and step of the run it was forked from.
        created: ISO time, UTC.
        active: a living writer has the file open.
        pinned: never named by :meth:`Library.over_quota`.
    """

    id: str
    model: str
    layer: str
    channels: tuple[int, ...]
    steps: int
    state: str
    bytes: int
    parent: tuple[str, int] | None
    created: str
    preset: str = ""
    size: int = 0
    note: str = ""
    pinned: bool = False
    active: bool = False

    def to_dict(self) -> dict[str, Any]:
        """As plain JSON values."""
        return {**self.__dict__, "channels": list(self.channels), "parent": list(self.parent) if self.parent else None}


@dataclass(frozen=True)
class Listing:
    """The runs, newest first, and the ids whose files could not be read, each with the reason."""

    runs: list[RunInfo] = field(default_factory=list)
    damaged: dict[str, str] = field(default_factory=dict)


class Library:
    """The runs under ``home`` (default: ``$VIZCORE_HOME``, or the user's data folder of the platform)."""

    def __init__(self, home: str | Path | None = None) -> None:
        chosen = home or os.environ.get("VIZCORE_HOME") or platformdirs.user_data_dir("vizcore", appauthor=False)
        self.home = Path(chosen).expanduser()
        self.folder = self.home / "runs"
        self._seen: dict[str, tuple[tuple[int, ...], RunInfo]] = {}

    def create(
        self,
        spec: RunSpec,
        *,
        environment: Mapping[str, Any] | None = None,
        weights_hash: str = "",
        parent: tuple[str, int] | None = None,
        shared: int | None = None,
        facts: Mapping[str, Any] | None = None,
    ) -> tuple[str, RunWriter]:
        """A new run: its id and a writer; the arguments are those of :meth:`RunWriter.create`.

        Raises:
            StorageError: no space or no right to write.
        """
        now = datetime.datetime.now(datetime.UTC)
        run = f"{now:%Y%m%d-%H%M%S}-{secrets.token_hex(3)}"
        path = self.folder / (run + SUFFIX)
        writer = RunWriter.create(
            path, spec, environment=environment, weights_hash=weights_hash, parent=parent, shared=shared, facts=facts
        )
        return run, writer

    def path(self, run: str) -> Path:
        """The file of a run.

        Raises:
            HistoryError: no valid id, or no such run (the same words for both).
        """
        path = self.folder / f"{run}{SUFFIX}" if is_id(run) else None
        if path is None or not path.is_file():
            raise HistoryError("There is no such run.", "See the list of runs.")
        return path

    def open(self, run: str) -> RunReader:
        """A reader of a run; raises :class:`HistoryError` as :meth:`path` and :class:`RunReader` do."""
        return RunReader(self.path(run))

    def list(self) -> list[RunInfo]:
        """The readable runs, newest first."""
        return self.scan().runs

    def scan(self) -> Listing:
        """All runs, newest first, and what could not be read."""
        listing = Listing()
        paths = {p.stem: p for p in self.folder.glob(f"*{SUFFIX}") if is_id(p.stem)} if self.folder.is_dir() else {}
        self._seen = {run: seen for run, seen in self._seen.items() if run in paths}
        for run in sorted(paths, reverse=True):
            try:
                listing.runs.append(self._info(run, paths[run]))
            except HistoryError as error:
                listing.damaged[run] = error.message
            except OSError:
                continue  # deleted in the meantime
        return listing

    def info(self, run: str) -> RunInfo:
        """The line of one run; raises :class:`HistoryError` if it is unknown or unreadable."""
        return self._info(run, self.path(run))

    def delete(self, run: str) -> None:
        """Delete a run for good.

        Raises:
            HistoryError: no such run, or it is being written.
            StorageError: no right to.
        """
        path = self.path(run)
        if schema.locked(path):
            raise HistoryError("The run is still going on.", "Stop it first.")
        try:
            for companion in _COMPANIONS:
                path.with_name(path.name + companion).unlink(missing_ok=True)
        except OSError as error:
            raise schema.storage_error(error) from error

    def annotate(self, run: str, *, note: str | None = None, pinned: bool | None = None) -> None:
        """Change the note or the pin of a run, running or not.

        Raises:
            HistoryError: no such run, or its file is damaged.
            SpecError: a note over 2000 characters.
            StorageError: no space or no right to write.
        """
        if note is not None and len(note) > MAX_NOTE:
            raise SpecError("The note is too long.", f"Use at most {MAX_NOTE} characters.")
        facts = {"note": note, "pinned": pinned}
        with schema.translated(), schema.editing(self.path(run)) as connection:
            connection.executemany(
                "INSERT OR REPLACE INTO meta VALUES (?, ?)",
                [(key, json.dumps(value)) for key, value in facts.items() if value is not None],
            )

    def pin(self, run: str, step: int) -> bool:
        """Keep the pictures of ``step`` for good; ``False`` if they are not there."""
        with schema.translated(), schema.editing(self.path(run)) as connection:
            query = "UPDATE picture SET kept = ? WHERE step = ?"
            return connection.execute(query, (schema.PINNED, step)).rowcount > 0

    def over_quota(self, limit: int | None = None) -> Sequence[RunInfo]:
        """The oldest runs, neither pinned nor running, without which the library would fit ``limit`` bytes.

        Nothing is deleted here; ``limit`` is 4 GiB or the setting ``VIZCORE_LIBRARY_MIB``.
        """
        runs = self.list()
        excess = sum(run.bytes for run in runs) - (library_limit() if limit is None else limit)
        chosen: list[RunInfo] = []
        for run in reversed(runs):
            if excess <= 0:
                break
            if not run.pinned and not run.active:
                chosen.append(run)
                excess -= run.bytes
        return chosen

    def _info(self, run: str, path: Path) -> RunInfo:
        stamp = _stamp(path)
        active = schema.locked(path)
        key = (*stamp, int(active))
        if run in self._seen and self._seen[run][0] == key:
            return self._seen[run][1]
        info = _read_info(run, path, active, stamp[1] + stamp[3])
        self._seen[run] = key, info
        return info


def _stamp(path: Path) -> tuple[int, int, int, int]:
    """Time and size of the file and of its write-ahead log: they change with each commit."""
    main = path.stat()
    log = path.with_name(path.name + "-wal")
    tail = log.stat() if log.exists() else None
    return main.st_mtime_ns, main.st_size, tail.st_mtime_ns if tail else 0, tail.st_size if tail else 0


def _read_info(run: str, path: Path, active: bool, size: int) -> RunInfo:
    """Facts and counts only: no picture is touched."""
    with schema.translated():
        connection = schema.connect(path, "ro")
        try:
            meta = dict(connection.execute("SELECT key, value FROM meta"))
            (newest,) = connection.execute("SELECT coalesce(max(step), 0) FROM step").fetchone()
        except sqlite3.Error as error:
            raise schema.damaged() from error
        finally:
            connection.close()
    try:
        facts = {key: json.loads(value) for key, value in meta.items()}
        spec = specs.from_dict(facts["spec"])
        state = str(facts["state"]["state"])
        parent = facts.get("parent")
        return RunInfo(
            run, spec.model, spec.layer, spec.channels, int(newest),
            "interrupted" if state in UNFINISHED and not active else state,
            size, (str(parent[0]), int(parent[1])) if parent else None, str(facts["created"]), spec.preset, spec.size,
            str(facts.get("note", "")), bool(facts.get("pinned", False)), active,
        )  # fmt: skip
    except (ValueError, KeyError, TypeError, IndexError, SpecError) as error:
        raise schema.damaged() from error


UNFINISHED = frozenset({"loading", "running", "resting"})
"""States that only a living writer can be in; a file that says so without one was interrupted."""
