"""Reading a run file, while it grows or long after."""

from __future__ import annotations

import contextlib
import io
import json
import sqlite3
import threading
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vizcore import spec as specs
from vizcore.errors import HistoryError, SpecError
from vizcore.history import pins, schema
from vizcore.history.codec import JPEG, MIME, WEBP_GREY, StoredFrame
from vizcore.history.pins import Pin
from vizcore.params import Value
from vizcore.spec import RunSpec

DEPTH = 64  # of forks of forks; a file that names itself as its ancestor ends here


class RunReader:
    """A run file, read only; cheap enough to ask 30 times a second, and safe to use from several threads.

    Each method sees the newest committed state of the file.  A step without pictures gives an empty list or
    ``None``, never the pictures of another step.

    A fork has its own steps from :attr:`root` on; the pictures and scores before it are read from its parent's file,
    and so on up the tree (:attr:`parent`).  Where that file is gone, or its steps were made anew after the fork, the
    steps are missing here.

    Raises:
        HistoryError: the file is missing, damaged, foreign, or from a newer vizcore.
    """

    def __init__(self, path: str | Path) -> None:
        self._lock = threading.Lock()
        self._opening = threading.Lock()
        self._parent: RunReader | None = None
        self._depth = 0
        self.path = Path(path)
        self._connection = schema.connect(self.path, "ro")
        try:
            self.spec: RunSpec = specs.from_dict(self._meta("spec"))
            self._above, self.root, self._shared = self._lineage()
        except (SpecError, TypeError, ValueError) as error:
            self._connection.close()
            newer = isinstance(error, SpecError) and "newer" in error.message
            if newer:
                raise HistoryError("The run file is from a newer vizcore.", "Update vizcore to open it.") from error
            raise schema.damaged() from error
        except HistoryError:
            self._connection.close()
            raise

    def close(self) -> None:
        """Let go of the file, and of the parent's."""
        with self._opening:
            parent, self._parent = self._parent, None
            self._above = ""
        if parent is not None:
            parent.close()
        with self._lock:
            self._connection.close()

    def __enter__(self) -> RunReader:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    # Where it comes from ---------------------------------------------------------------------------------------

    def _lineage(self) -> tuple[str, int, int]:
        """Parent, first own step, and the parent's revision at the fork; ``("", 0, 0)`` if it is no fork."""
        facts = {
            key: _json(text)
            for key, text in self._rows("SELECT key, value FROM meta WHERE key IN ('parent', 'shared')")
        }
        parent, shared = facts.get("parent"), facts.get("shared")
        if parent is None or shared is None:
            return "", 0, 0
        well = isinstance(parent, list) and len(parent) == 2 and schema.is_id(parent[0])
        if not well or not _is_count(parent[1]) or not _is_count(shared):
            raise schema.damaged()
        return parent[0], parent[1], shared

    @property
    def is_fork(self) -> bool:
        """Whether it left another run, which may be gone."""
        return bool(self._above)

    @property
    def parent(self) -> RunReader | None:
        """The run whose frames before :attr:`root` are this one's too; ``None`` if there is none any more."""
        with self._opening:
            if self._parent is None and self._above:
                if self._depth >= DEPTH:
                    raise schema.damaged()
                with contextlib.suppress(HistoryError):
                    found = RunReader(self.path.with_name(self._above + schema.SUFFIX))
                    found._depth = self._depth + 1
                    if set(self.spec.channels) <= set(found.spec.channels):
                        self._parent = found
                    else:
                        found.close()
            return self._parent

    def owner(self, step: int) -> RunReader:
        """The reader of the run that made ``step``: this one, or an ancestor.

        Raises:
            HistoryError: the step belongs to a run that is gone, or was made anew since.
        """
        if step >= self.root:
            return self
        parent = self.parent
        if parent is None or step >= self._upto(parent):
            raise HistoryError(f"Step {step} is of a run that is not there any more.", f"Start from step {self.root}.")
        return parent.owner(step)

    def _upto(self, parent: RunReader) -> int:
        """The steps before this one are as they were when the fork was made."""
        rows = parent._rows("SELECT value FROM meta WHERE key = 'forgotten'")
        events = _json(rows[0][0]) if rows else []
        if not isinstance(events, list) or not all(_is_count(event) for event in events):
            raise schema.damaged()
        return min(self.root, *map(int, events[self._shared :]), self.root)

    # What the run is -------------------------------------------------------------------------------------------

    @property
    def meta(self) -> dict[str, Any]:
        """All that is known of the run: spec (as a dict), environment, weights_hash, parent, state, stride, note ..."""
        return {key: _json(text) for key, text in self._rows("SELECT key, value FROM meta")}

    @property
    def state(self) -> str:
        """The state that the writer set last (``"running"``, ``"done"`` ...)."""
        return str(self.info.get("state", "running"))

    @property
    def info(self) -> dict[str, Any]:
        """The state and what came with it (``set_state(state, **info)``)."""
        rows = self._rows("SELECT value FROM meta WHERE key = 'state'")
        found = _json(rows[0][0]) if rows else {}
        if not isinstance(found, dict):
            raise schema.damaged()
        return found

    @property
    def version(self) -> int:
        """A number that changes when something was committed since the last look."""
        return int(self._rows("PRAGMA data_version")[0][0])

    @property
    def used(self) -> int:
        """Bytes that the run takes in its file, pages that are free to be used again aside."""
        pages, free, size = (
            int(self._rows(f"PRAGMA {name}")[0][0]) for name in ("page_count", "freelist_count", "page_size")
        )
        return (pages - free) * size

    @property
    def revision(self) -> int:
        """How often steps were forgotten and made anew.

        Within one revision a step never has other bytes; it may be thinned out.
        The ancestors' revisions count too.
        """
        parent = self.parent
        return self.own_revision + (parent.revision if parent is not None else 0)

    @property
    def own_revision(self) -> int:
        """The :attr:`revision` of this file alone."""
        rows = self._rows("SELECT value FROM meta WHERE key = 'revision'")
        found = _json(rows[0][0]) if rows else 0
        if not isinstance(found, int):
            raise schema.damaged()
        return found

    def _meta(self, key: str) -> Any:
        rows = self._rows("SELECT value FROM meta WHERE key = ?", key)
        if not rows:
            raise schema.damaged()
        return _json(rows[0][0])

    # Pictures --------------------------------------------------------------------------------------------------

    def steps(self) -> NDArray[np.int64]:
        """The steps that have pictures (of all filters), ascending [K]."""
        own = self._rows("SELECT step FROM picture WHERE step >= ? ORDER BY step", self.root)
        steps = np.array([step for (step,) in own], np.int64)
        parent = self.parent
        if parent is None:
            return steps
        above = parent.steps()
        return np.concatenate([above[above < self._upto(parent)], steps])

    def stays(self, step: int) -> bool:
        """Whether this file has pictures of ``step`` that do not go as soon as newer ones are there."""
        query = f"SELECT 1 FROM picture WHERE step = ? AND kept <> {schema.PASSING}"
        return bool(self._rows(query, _number(step)))

    def latest(self) -> int | None:
        """The newest step that has pictures."""
        step: int | None = self._rows("SELECT max(step) FROM picture")[0][0]
        return step

    def frames(self, step: int) -> list[StoredFrame]:
        """The pictures of exactly that step, in the order of the spec's channels; empty if they were not kept."""
        if step < self.root:
            above = {frame.channel: frame for frame in self._above_frames(step)}
            return [above[channel] for channel in self.spec.channels if channel in above]
        first = _number(step) * schema.ROWS
        return self._frames(step, first, first + schema.ROWS - 1)

    def frame(self, step: int, channel: int) -> StoredFrame | None:
        """The picture of one filter at exactly that step, or ``None`` if it was not kept.

        Raises:
            HistoryError: the run has no such filter.
        """
        if channel not in self.spec.channels:
            raise HistoryError(
                f"The run has no filter {channel}.", f"Use one of {specs.format_channels(self.spec.channels)}."
            )
        if step < self.root:
            return next((frame for frame in self._above_frames(step) if frame.channel == channel), None)
        at = _number(step) * schema.ROWS + self.spec.channels.index(channel)
        return next(iter(self._frames(step, at, at)), None)

    def _above_frames(self, step: int) -> list[StoredFrame]:
        parent = self.parent
        return parent.frames(step) if parent is not None and step < self._upto(parent) else []

    def _frames(self, step: int, first: int, last: int) -> list[StoredFrame]:
        rows = self._rows(
            "SELECT frame.id, codec, data, scores, norms, status FROM frame LEFT JOIN step ON step.step = ? "
            "WHERE frame.id BETWEEN ? AND ? ORDER BY frame.id",
            step, first, last,
        )  # fmt: skip
        if not rows:
            return []
        channels = self.spec.channels
        scores, norms, status = _vector(rows[0][3]), _vector(rows[0][4]), _statuses(rows[0][5])
        found = []
        for number, codec, data, *_ in rows:
            row = number % schema.ROWS
            if row >= len(channels) or codec not in MIME or not isinstance(data, bytes):
                raise schema.damaged()
            found.append(
                StoredFrame(
                    step, channels[row], MIME[codec], data, codec != JPEG, _item(scores, row), _item(norms, row),
                    status[row] if row < len(status) else "ok", codec == WEBP_GREY,
                )
            )  # fmt: skip
        return found

    # Curves, knobs, checkpoints --------------------------------------------------------------------------------

    def scores(
        self, since: int = -1, limit: int = -1
    ) -> tuple[NDArray[np.int64], NDArray[np.float32], NDArray[np.float32]]:
        """Steps [K], scores [K, N] and gradient norms [K, N] of every step after ``since``, kept pictures or not.

        Args:
            limit: at most so many steps, the first ones; all if negative.
        """
        steps, scores, norms = self._above_scores(since, limit)
        left = limit if limit < 0 else limit - len(steps)
        own = self._own_scores(max(since, self.root - 1), left)
        if not len(steps):
            return own
        return np.concatenate([steps, own[0]]), np.concatenate([scores, own[1]]), np.concatenate([norms, own[2]])

    def _above_scores(
        self, since: int, limit: int
    ) -> tuple[NDArray[np.int64], NDArray[np.float32], NDArray[np.float32]]:
        parent = self.parent if since < self.root - 1 else None
        if parent is None:
            empty = np.zeros((0, len(self.spec.channels)), np.float32)
            return np.zeros(0, np.int64), empty, empty
        columns = [parent.spec.channels.index(channel) for channel in self.spec.channels]
        steps, scores, norms = parent.scores(since, limit)
        count = int(np.searchsorted(steps, self._upto(parent)))
        return steps[:count], scores[:count, columns], norms[:count, columns]

    def _own_scores(self, since: int, limit: int) -> tuple[NDArray[np.int64], NDArray[np.float32], NDArray[np.float32]]:
        rows = self._rows("SELECT step, scores, norms FROM step WHERE step > ? ORDER BY step LIMIT ?", since, limit)
        width = len(self.spec.channels)
        if any(not isinstance(b, bytes) or len(b) != 4 * width for row in rows for b in row[1:]):
            raise schema.damaged()
        scores = np.frombuffer(b"".join(row[1] for row in rows), "<f4").reshape(-1, width)
        norms = np.frombuffer(b"".join(row[2] for row in rows), "<f4").reshape(-1, width)
        return np.array([row[0] for row in rows], np.int64), scores, norms

    def statuses(self) -> list[str]:
        """The newest status of each filter."""
        rows = self._rows("SELECT status FROM step ORDER BY step DESC LIMIT 1")
        return (_statuses(rows[0][0]) if rows else []) or ["ok"] * len(self.spec.channels)

    def knobs(self) -> list[tuple[int, str, Value]]:
        """The knob log in the order of the turns: (step from whose update it acts, name, value).

        A fork has its ancestors' turns up to its root as its own.
        """
        rows = self._rows("SELECT step, name, value FROM knob ORDER BY id")
        return [(step, name, _json(value)) for step, name, value in rows]

    def pins(self) -> list[Pin]:
        """The pins, the ancestors' of these filters too, by step; those of single filters behind those of all."""
        with self._lock, schema.translated():
            found = {(pin.step, pin.channel): pin for pin in pins.read(self._connection)}
        above = self.parent
        for pin in above.pins() if above is not None else ():
            if pin.step < self.root and (pin.channel is None or pin.channel in self.spec.channels):
                found.setdefault((pin.step, pin.channel), pin)
        return sorted(found.values(), key=lambda pin: (pin.step, schema.ALL if pin.channel is None else pin.channel))

    def has_pin(self, step: int) -> bool:
        """Whether this file, ancestors aside, has a pin of ``step``, of whatever filter."""
        with self._lock, schema.translated():
            return any(pin.step == step for pin in pins.read(self._connection))

    def checkpoints(self) -> list[int]:
        """The steps of this file from which the run can be continued, ascending (an ancestor's: ``owner(step)``)."""
        return [step for (step,) in self._rows("SELECT step FROM checkpoint ORDER BY step")]

    def checkpoint_at(self, step: int) -> tuple[int, dict[str, NDArray[Any]]]:
        """The newest checkpoint at or before ``step``: its step and arrays.

        Raises:
            HistoryError: there is none.
        """
        rows = self._rows("SELECT step, state FROM checkpoint WHERE step <= ? ORDER BY step DESC LIMIT 1", step)
        if not rows:
            raise HistoryError(f"The run has no checkpoint up to step {step}.", "Start it again from step 0.")
        if not isinstance(rows[0][1], bytes):
            raise schema.damaged()
        try:
            with np.load(io.BytesIO(rows[0][1]), allow_pickle=False) as arrays:
                return rows[0][0], {name: arrays[name] for name in arrays.files}
        except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile) as error:
            raise schema.damaged() from error

    def _rows(self, query: str, *values: int | str) -> list[tuple[Any, ...]]:
        with self._lock, schema.translated():
            try:
                return self._connection.execute(query, values).fetchall()
            except sqlite3.ProgrammingError as error:
                raise HistoryError("The run file was closed.", "Open the run again.") from error


def _is_count(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 2**40


def _number(step: int) -> int:
    return step if 0 <= step < 2**50 else -1  # ids are 64 bit: step * 64 must fit


def _json(text: str) -> Any:
    try:
        return json.loads(text)
    except (ValueError, TypeError, RecursionError) as error:
        raise schema.damaged() from error


def _statuses(text: str | None) -> list[str]:
    found = _json(text) if text else []
    if not isinstance(found, list):
        raise schema.damaged()
    return [str(status) for status in found]


def _vector(blob: bytes | None) -> NDArray[np.float32]:
    if blob is not None and (not isinstance(blob, bytes) or len(blob) % 4):
        raise schema.damaged()
    return np.frombuffer(blob or b"", "<f4")


def _item(vector: NDArray[np.float32], row: int) -> float:
    return float(vector[row]) if row < len(vector) else float("nan")
