"""The run library: one folder of run files, found by id."""

from __future__ import annotations

import contextlib
import datetime
import heapq
import io
import json
import os
import secrets
import threading
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import platformdirs
from PIL import Image

from vizcore import lineage, runinfo
from vizcore.errors import HistoryError, SpecError, StorageError
from vizcore.history import Pin, RunReader, RunWriter, decode, library_limit, pins, schema, thinning
from vizcore.history.schema import SUFFIX, is_id
from vizcore.runinfo import RunInfo
from vizcore.spec import RunSpec

if TYPE_CHECKING:
    from vizcore.export import Recipe

__all__ = ["SUFFIX", "Cleaning", "Library", "Listing", "RunInfo", "is_id"]

_COMPANIONS = ("", "-wal", "-shm", "-journal", "-lock")  # SQLite's own, and the mark of a writer
MAX_NOTE = 2000  # characters
MAX_NAME = 120
SORTS = ("created", "name", "model", "layer", "steps", "state", "bytes")


@dataclass(frozen=True)
class Listing:
    """The runs, newest first, and the ids whose files could not be read, each with the reason."""

    runs: list[RunInfo] = field(default_factory=list)
    damaged: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Cleaning:
    """What :meth:`Library.clean` would remove.

    Args:
        trash: bytes by id of the deleted runs, which would be gone for good.
        runs: the oldest, without which the library would fit its limit.
        bytes: of all runs now, the trash not counted.
        limit: what they may take together.
    """

    trash: dict[str, int]
    runs: list[RunInfo]
    bytes: int
    limit: int

    @property
    def freed(self) -> int:
        """Bytes that would be free."""
        return sum(self.trash.values()) + sum(run.bytes for run in self.runs)


class Library:
    """The runs under ``home`` (default: ``$VIZCORE_HOME``, or the user's data folder of the platform)."""

    def __init__(self, home: str | Path | None = None) -> None:
        chosen = home or os.environ.get("VIZCORE_HOME") or platformdirs.user_data_dir("vizcore", appauthor=False)
        self.home = Path(chosen).expanduser()
        self.folder = self.home / "runs"
        self.trash_folder = self.home / "trash"
        self._index = self.home / "index.json"
        self._seen: dict[str, tuple[runinfo.Stamp, RunInfo]] = {}
        self._remembered = False
        self._lock = threading.RLock()  # pages ask from several threads

    # One run ---------------------------------------------------------------------------------------------------

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
        run = new_id()
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
            raise no_such_run()
        return path

    def open(self, run: str) -> RunReader:
        """A reader of a run; raises :class:`HistoryError` as :meth:`path` and :class:`RunReader` do."""
        return RunReader(self.path(run))

    def info(self, run: str) -> RunInfo:
        """The line of one run; raises :class:`HistoryError` if it is unknown or unreadable."""
        path = self.path(run)
        with self._lock:
            return self._info(run, path, runinfo.stamp(path), schema.locked(path))

    def thumbnail(self, run: str, side: int = 64) -> bytes:
        """The newest picture of the run's first filter as WebP, at most ``side`` px wide and high.

        Raises:
            HistoryError: no such run, no picture yet, or a damaged one.
        """
        with self.open(run) as reader:
            latest = reader.latest()
            stored = reader.frame(latest, reader.spec.channels[0]) if latest is not None else None
        if stored is None:
            raise HistoryError("The run has no picture yet.", "Wait for its first step.")
        pixels = decode(stored)
        picture = Image.fromarray(pixels[:, :, 0] if pixels.shape[2] == 1 else pixels)
        picture.thumbnail((side, side), Image.Resampling.BOX)
        stream = io.BytesIO()
        picture.save(stream, "WEBP", quality=80, method=0)
        return stream.getvalue()

    def annotate(
        self, run: str, *, name: str | None = None, note: str | None = None, pinned: bool | None = None
    ) -> None:
        """Change the name, the note or the pin of a run, running or not.

        Raises:
            HistoryError: no such run, or its file is damaged.
            SpecError: a name over 120 or a note over 2000 characters.
            StorageError: no space or no right to write.
        """
        for what, text, limit in (("name", name, MAX_NAME), ("note", note, MAX_NOTE)):
            if text is not None and len(text) > limit:
                raise SpecError(f"The {what} is too long.", f"Use at most {limit} characters.")
        facts = {"name": None if name is None else " ".join(name.split()), "note": note, "pinned": pinned}
        with schema.translated(), schema.editing(self.path(run)) as connection:
            connection.executemany(
                "INSERT OR REPLACE INTO meta VALUES (?, ?)",
                [(key, json.dumps(value)) for key, value in facts.items() if value is not None],
            )
        with self._lock:
            self._seen.pop(run, None)  # file times are coarse: this change may fall into the tick of the one before

    def pin(self, run: str, step: int, note: str = "", channel: int | None = None) -> bool:
        """Keep the pictures of ``step`` for good, with a note; ``False`` if they are not there.

        The pictures (of all filters) of an ancestor are kept in the ancestor's file, the note is this run's.

        Args:
            channel: the filter that the pin is of; all if not given.

        Raises:
            HistoryError: no such run.
            SpecError: a note over 2000 characters, a filter that the run has not.
        """
        if len(note) > MAX_NOTE:
            raise SpecError("The note is too long.", f"Use at most {MAX_NOTE} characters.")
        path = self.path(run)
        with RunReader(path) as reader:
            if channel is not None and channel not in reader.spec.channels:
                raise SpecError(f"The run has no filter {channel}.", "Pin one of its filters, or all.")
            owner = reader.owner(step).path
        with schema.translated(), schema.editing(owner) as connection:
            query = "UPDATE picture SET kept = ? WHERE step = ?"
            if not connection.execute(query, (schema.PINNED, step)).rowcount:
                return False
        pins.put(path, Pin(step, channel, note))
        return True

    def unpin(self, run: str, step: int, channel: int | None = None) -> bool:
        """Take a pin away, and its note; ``False`` if there is none.

        The pictures stay until they are thinned out, or for good where another pin or a fork's keeps them.
        """
        path = self.path(run)
        noted = pins.take(path, step, channel)
        with RunReader(path) as reader:
            owner = reader.owner(step)
            marked = {at for at, _, _ in owner.knobs()} | set(owner.checkpoints()) | {owner.latest()}
            path = owner.path
        if self._pinned(path.stem, step):
            return noted
        kept = schema.ALWAYS if step < thinning.FIRST or step in marked else schema.REGULAR
        with schema.translated(), schema.editing(path) as connection:
            query = "UPDATE picture SET kept = ? WHERE step = ? AND kept = ?"
            return connection.execute(query, (kept, step, schema.PINNED)).rowcount > 0 or noted

    def _pinned(self, run: str, step: int) -> bool:
        """Whether a run or one of its forks has a pin of a step."""
        for one in (run, *(info.id for info in self.forks(run))):
            with contextlib.suppress(HistoryError), self.open(one) as reader:
                if reader.has_pin(step):
                    return True
        return False

    # Many runs -------------------------------------------------------------------------------------------------

    def list(self) -> list[RunInfo]:
        """The readable runs, newest first."""
        return self.scan().runs

    def scan(self) -> Listing:
        """All runs, newest first, and what could not be read."""
        with self._lock:
            return self._scan()

    def _scan(self) -> Listing:
        if not self._remembered:
            self._remembered = True
            self._seen = runinfo.load_index(self._index) | self._seen
        listing, seen, stale = Listing(), self._seen, False
        found = _files(self.folder)
        for run in [run for run in seen if run not in found]:
            del seen[run]
            stale = True
        for run in sorted(found, reverse=True):
            at, marked = found[run]
            before = seen.get(run)
            path = self.folder / (run + SUFFIX)
            try:
                info = self._info(run, path, at, marked and schema.locked(path))
            except HistoryError as error:
                listing.damaged[run] = error.message
            except OSError:
                continue  # deleted in the meantime
            else:
                listing.runs.append(info)
                stale |= not info.active and (before is None or before[1] is not info)
        if stale:
            runinfo.save_index(self._index, seen)
        return listing

    def search(self, text: str = "", sort: str = "created", descending: bool = True) -> Sequence[RunInfo]:
        """The runs in whose line every word of ``text`` stands, sorted.

        Raises:
            SpecError: no such column to sort by.
        """
        if sort not in SORTS:
            raise SpecError(f"Runs are not sorted by {sort[:40]!r}.", f"Use one of {', '.join(SORTS)}.")
        words = text.lower().split()
        found = [info for info in self.list() if all(word in info.text for word in words)]
        return sorted(found, key=lambda info: (getattr(info, sort), info.id), reverse=descending)

    def forks(self, run: str) -> Sequence[RunInfo]:
        """The runs that show frames of ``run``: its forks, and theirs, each after its parent."""
        below: dict[str, list[RunInfo]] = {}
        for info in reversed(self.list()):
            if info.fork and info.parent:
                below.setdefault(info.parent[0], []).append(info)
        found: list[RunInfo] = []
        queue = [run]
        while queue:
            children = below.pop(queue.pop(0), [])
            found += children
            queue += [child.id for child in children]
        return found

    def find(self, recipe: Recipe) -> str | None:
        """The run that a picture with this recipe is of, or ``None``: then it can be repeated.

        It is the run that the recipe names, if its spec and knobs are the recipe's, else the newest with equal ones.
        """
        same, named = runinfo.fingerprint(recipe.spec), recipe.extra.get("run")
        unknown = bool(recipe.extra.get("fork")) and not recipe.above  # where it comes from
        runs = [info for info in self.list() if info.same == same and info.steps >= recipe.step]
        for info in sorted(runs, key=lambda info: info.id == named, reverse=True):
            with contextlib.suppress(HistoryError), self.open(info.id) as reader:  # a damaged one is not it
                above = lineage.of(reader)
                if info.id != named if unknown or above is None else above != recipe.above:
                    continue
                knobs = [turn for turn in reader.knobs() if turn[0] <= recipe.step]
                weights = {str(reader.meta.get("weights_hash", "")), recipe.weights_hash}
                if knobs == [turn for turn in recipe.knobs if turn[0] <= recipe.step] and len(weights - {""}) <= 1:
                    return info.id
        return None

    # Deleting --------------------------------------------------------------------------------------------------

    def delete(self, run: str, *, forks: bool = False) -> Sequence[str]:
        """Move a run to the trash, from which :meth:`restore` takes it back; returns the ids that went.

        Args:
            forks: its forks, which show its pictures, go with it; otherwise a run that has forks stays.

        Raises:
            HistoryError: no such run, it is being written, or it has forks.
            StorageError: no right to.
        """
        self.path(run)
        below = [info.id for info in self.forks(run)]
        if below and not forks:
            many = "A fork shows" if len(below) == 1 else f"{len(below)} forks show"
            raise HistoryError(f"{many} this run's pictures.", "Delete them first, or together with it.")
        going = [*reversed(below), run]
        if any(schema.locked(self.path(one)) for one in going):
            raise HistoryError("The run is still going on.", "Stop it first.")
        for one in going:
            self._move(self.path(one), self.trash_folder)
        return going

    def restore(self, run: str) -> Sequence[str]:
        """Take a run back out of the trash, with the ancestors that it needs; returns their ids.

        Raises:
            HistoryError: it is not in the trash, or there is a run of that id again.
        """
        if not is_id(run) or not (self.trash_folder / (run + SUFFIX)).is_file():
            raise HistoryError("The run is not in the trash.", "It may have been removed for good.")
        back: list[str] = []
        while run and (path := self.trash_folder / (run + SUFFIX)).is_file():
            info = runinfo.read(run, path, False, 0)
            if (self.folder / path.name).exists():
                raise HistoryError("There is a run of that id already.", "Delete that one first.")
            self._move(path, self.folder)
            back.append(run)
            run = info.parent[0] if info.fork and info.parent else ""
        return back

    def discard(self, run: str) -> None:
        """Remove a run for good; it is not written and has no forks.

        Raises:
            HistoryError: no such run.
            StorageError: no right to.
        """
        _remove(self.path(run))

    def trash(self) -> dict[str, int]:
        """Bytes by id of the runs in the trash."""
        return {run: at[1] + at[3] for run, (at, _) in sorted(_files(self.trash_folder).items())}

    def used(self) -> int:
        """Bytes that all runs take, as :class:`RunInfo` counts them; no file is opened."""
        total = 0
        for ending in ("", "-wal"):
            for path in self.folder.glob(f"*{SUFFIX}{ending}"):
                with contextlib.suppress(OSError):  # deleted in the meantime
                    total += path.stat().st_size
        return total

    def over_quota(self, limit: int | None = None) -> Sequence[RunInfo]:
        """The oldest runs, neither pinned nor running, without which the library would fit ``limit`` bytes.

        A run that has forks is named only after them.  Nothing is deleted here; ``limit`` is 4 GiB or the setting
        ``VIZCORE_LIBRARY_MIB``.
        """
        runs = {info.id: info for info in self.list()}
        excess = sum(info.bytes for info in runs.values()) - (library_limit() if limit is None else limit)
        below = Counter(info.parent[0] for info in runs.values() if info.fork and info.parent)
        leaves = [run for run in runs if not below[run]]
        heapq.heapify(leaves)
        chosen: list[RunInfo] = []
        while excess > 0 and leaves:
            info = runs[heapq.heappop(leaves)]
            if info.pinned or info.active:
                continue
            chosen.append(info)
            excess -= info.bytes
            if info.fork and info.parent and info.parent[0] in runs:
                below[info.parent[0]] -= 1
                if not below[info.parent[0]]:
                    heapq.heappush(leaves, info.parent[0])
        return chosen

    def cleaning(self, limit: int | None = None) -> Cleaning:
        """What :meth:`clean` would remove."""
        limit = library_limit() if limit is None else limit
        total = sum(info.bytes for info in self.list())
        return Cleaning(self.trash(), [*self.over_quota(limit)], total, limit)

    def clean(self, plan: Cleaning) -> None:
        """Remove for good what ``plan`` names: the trash, and the runs over the limit, unless they run by now.

        Raises:
            StorageError: no right to.
        """
        for run in plan.trash:
            _remove(self.trash_folder / (run + SUFFIX))
        going = {info.id for info in plan.runs}
        needed = {info.parent[0] for info in self.list() if info.fork and info.parent and info.id not in going}
        for run in going - needed:
            path = self.folder / (run + SUFFIX)
            if not schema.locked(path):
                _remove(path)

    def _move(self, path: Path, folder: Path) -> None:
        """Move a run file, whole: what is in its log goes into it first."""
        try:
            folder.mkdir(parents=True, exist_ok=True)
            with schema.translated():
                connection = schema.connect(path, "rw")
                try:
                    connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
                finally:
                    connection.close()
        except HistoryError:
            pass  # a damaged file can be thrown away, too
        except OSError as error:
            raise schema.storage_error(error) from error
        try:
            for companion in _COMPANIONS:
                source = path.with_name(path.name + companion)
                if source.exists():
                    source.replace(folder / source.name)
        except OSError as error:
            raise StorageError("The run could not be moved.", "Check the permissions of the run library.") from error

    def _info(self, run: str, path: Path, at: runinfo.Stamp, active: bool) -> RunInfo:
        seen = self._seen.get(run)
        if seen is not None and seen[0] == at and seen[1].active == active:
            return seen[1]
        info = runinfo.read(run, path, active, at[1] + at[3])
        self._seen[run] = at, info
        return info


def new_id() -> str:
    """An id that no run has: the time, and 24 random bits."""
    return f"{datetime.datetime.now(datetime.UTC):%Y%m%d-%H%M%S}-{secrets.token_hex(3)}"


def no_such_run() -> HistoryError:
    """The one answer to a malformed and an unknown id."""
    return HistoryError("There is no such run.", "See the list of runs.")


def _files(folder: Path) -> dict[str, tuple[runinfo.Stamp, bool]]:
    """Of every run file: its stamp, and whether it has the mark of a writer (living or not)."""
    try:
        entries = {entry.name: entry for entry in os.scandir(folder)}
    except OSError:
        return {}
    found = {}
    for name, entry in entries.items():
        if not name.endswith(SUFFIX) or not is_id(name[: -len(SUFFIX)]):
            continue
        try:
            main = entry.stat()
            log = entries[name + "-wal"].stat() if name + "-wal" in entries else None
        except OSError:
            continue  # gone in the meantime
        at = (main.st_mtime_ns, main.st_size, log.st_mtime_ns if log else 0, log.st_size if log else 0)
        found[name[: -len(SUFFIX)]] = at, name + "-lock" in entries
    return found


def _remove(path: Path) -> None:
    try:
        for companion in _COMPANIONS:
            path.with_name(path.name + companion).unlink(missing_ok=True)
    except OSError as error:
        raise schema.storage_error(error) from error
