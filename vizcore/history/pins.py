"""Pins: steps that somebody wants to keep, of one filter or of all, with a note."""

from __future__ import annotations

import sqlite3
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from vizcore.history import schema
from vizcore.history.schema import ALL


@dataclass(frozen=True)
class Pin:
    """A step that is kept for good.

    Args:
        channel: the filter that it is about; ``None`` for all.
    """

    step: int
    channel: int | None = None
    note: str = ""

    def to_dict(self) -> dict[str, Any]:
        """As plain JSON values."""
        return dict(self.__dict__)


def put(path: Path, pin: Pin) -> None:
    """Write a pin down; one that is there gets the new note."""
    with schema.translated(), schema.editing(path) as connection:
        connection.execute("INSERT OR REPLACE INTO pin VALUES (?, ?, ?)", (pin.step, _number(pin.channel), pin.note))


def take(path: Path, step: int, channel: int | None) -> bool:
    """Take a pin away; ``False`` if there is none."""
    with schema.translated(), schema.editing(path) as connection:
        query = "DELETE FROM pin WHERE step = ? AND channel = ?"
        return connection.execute(query, (step, _number(channel))).rowcount > 0


def read(connection: sqlite3.Connection) -> list[Pin]:
    """The pins in a file, also in one of an earlier version.

    Raises:
        HistoryError: the file is damaged.
    """
    (version,) = connection.execute("PRAGMA user_version").fetchone()
    query = "SELECT step, channel, note FROM pin"
    rows = connection.execute(query).fetchall() if version > 1 else schema.pins_of_version_1(connection)
    if any(not (isinstance(step, int) and isinstance(channel, int)) for step, channel, _ in rows):
        raise schema.damaged()
    return [Pin(step, None if channel == ALL else channel, str(note)) for step, channel, note in rows]


def _number(channel: int | None) -> int:
    return ALL if channel is None else channel
