"""What the list of runs says of each, read from the run files and remembered in an index."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import secrets
import sqlite3
from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from vizcore import spec as specs
from vizcore.errors import SpecError
from vizcore.history import schema
from vizcore.spec import RunSpec

UNFINISHED = frozenset({"loading", "running", "resting"})
"""States that only a living writer can be in; a file that says so without one was interrupted."""

INDEX = 2  # raised when RunInfo changes: an older index is then made anew
Stamp = tuple[int, int, int, int]


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
        fork: its frames before the parent's step are read from the parent's file.
        latest: the newest step with pictures, for a thumbnail; ``None`` before the first.
        sweep: the id of the sweep that it belongs to, or empty.
        same: equal for runs of equal specs.
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
    name: str = ""
    objective: str = ""
    seed: int = 0
    fork: bool = False
    latest: int | None = None
    sweep: str = ""
    same: str = ""

    def to_dict(self) -> dict[str, Any]:
        """As plain JSON values."""
        return {**self.__dict__, "channels": list(self.channels), "parent": list(self.parent) if self.parent else None}

    @property
    def text(self) -> str:
        """What a search looks through, in lower case."""
        filters = specs.format_channels(self.channels)
        words = (self.id, self.name, self.note, self.model, self.layer, self.preset, self.objective, self.state)
        return " ".join((*words, f"filters {filters}", f"{self.size} px", f"seed {self.seed}")).lower()


NAMES = tuple(field.name for field in fields(RunInfo))


def fingerprint(spec: RunSpec) -> str:
    """A short text that is equal for equal specs."""
    return hashlib.sha256(specs.canonical(spec).encode()).hexdigest()[:16]


def stamp(path: Path) -> Stamp:
    """Time and size of the file and of its write-ahead log: they change with each commit."""
    main = path.stat()
    try:
        tail: os.stat_result | None = path.with_name(path.name + "-wal").stat()
    except FileNotFoundError:
        tail = None
    return main.st_mtime_ns, main.st_size, tail.st_mtime_ns if tail else 0, tail.st_size if tail else 0


def read(run: str, path: Path, active: bool, size: int) -> RunInfo:
    """The line of a run, from facts and counts only: no picture is touched.

    Raises:
        HistoryError: the file is damaged, foreign or newer.
    """
    with schema.translated():
        connection = schema.connect(path, "ro")
        try:
            meta = dict(connection.execute("SELECT key, value FROM meta"))
            (newest,) = connection.execute("SELECT coalesce(max(step), 0) FROM step").fetchone()
            (latest,) = connection.execute("SELECT max(step) FROM picture").fetchone()
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
            str(facts.get("note", "")), bool(facts.get("pinned", False)), active, str(facts.get("name", "")),
            spec.objective, spec.seed, bool(parent) and facts.get("shared") is not None,
            int(latest) if latest is not None else None, _sweep(facts.get("sweep")), fingerprint(spec),
        )  # fmt: skip
    except (ValueError, KeyError, TypeError, IndexError, RecursionError, SpecError) as error:
        raise schema.damaged() from error


def _sweep(fact: object) -> str:
    return str(fact.get("id", "")) if isinstance(fact, dict) else ""


# The index -----------------------------------------------------------------------------------------------------


def load_index(path: Path) -> dict[str, tuple[Stamp, RunInfo]]:
    """The lines that :func:`save_index` wrote; none if there is no index, or it is damaged or older."""
    with contextlib.suppress(OSError, ValueError, TypeError, KeyError, RecursionError):
        data = json.loads(path.read_bytes())
        if data["index"] == INDEX and data["names"] == list(NAMES):
            return {row[4]: ((row[0], row[1], row[2], row[3]), _info(row[4:])) for row in data["runs"]}
    return {}


def _info(values: list[Any]) -> RunInfo:
    values[3] = tuple(values[3])
    values[7] = (values[7][0], values[7][1]) if values[7] else None
    return RunInfo(*values)


def save_index(path: Path, lines: Mapping[str, tuple[Stamp, RunInfo]]) -> None:
    """Write the lines of the runs that nobody writes; a disk that refuses costs only time at the next start."""
    rows = [[*at, *(getattr(info, name) for name in NAMES)] for at, info in lines.values() if not info.active]
    draft = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    with contextlib.suppress(OSError):
        try:
            draft.write_text(json.dumps({"index": INDEX, "names": NAMES, "runs": rows}, separators=(",", ":")))
            draft.replace(path)
        finally:
            draft.unlink(missing_ok=True)
