"""Runs to send: a zip of run files with a manifest, and bringing them into another library.

::

    manifest.json      {"vizcore-archive": 1, "runs": [{"id", "file", "bytes", "sha256"}, ...]}
    runs/ID.vizrun     one per run, ancestors first

Nothing in a library is ever overwritten: a run of the same id and content is there already, one of the same id and
other content gets a new id, and its forks in the archive follow it.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import secrets
import shutil
import sqlite3
import zipfile
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from vizcore import lineage
from vizcore.errors import ExportError, StorageError
from vizcore.export import drafted
from vizcore.history import RunReader, schema
from vizcore.history.schema import SUFFIX
from vizcore.runs import Library, new_id

Progress = Callable[[int, int], None]
FORMAT = 1
MANIFEST = "manifest.json"
MAX_MANIFEST = 4 * 1024**2  # bytes
MAX_RUNS = 10_000
CHUNK = 2**20
IDENTITY = ("spec", "environment", "weights_hash", "created", "shared")
"""Facts by which runs differ; what people say of them, and the parent's id, which may be new here, are none."""


@dataclass(frozen=True)
class Imported:
    """What became of a run of an archive.

    Args:
        id: in this library.
        was: in the archive.
        new: ``False`` if it was there already.
    """

    id: str
    was: str
    new: bool

    def to_dict(self) -> dict[str, Any]:
        """As plain JSON values."""
        return dict(self.__dict__)


def _nothing(done: int, total: int) -> None:
    """No progress is wanted."""


def is_archive(path: str | Path) -> bool:
    """Whether the file looks like an archive of runs: a zip with a manifest; it may still be damaged."""
    try:
        with zipfile.ZipFile(path) as file:
            return MANIFEST in file.namelist()
    except (OSError, ValueError, zipfile.BadZipFile):
        return False


# Out -----------------------------------------------------------------------------------------------------------


def save(path: str | Path, library: Library, runs: Iterable[str], progress: Progress = _nothing) -> list[str]:
    """Write ``runs`` and the ancestors that they need to the archive ``path``; returns all their ids.

    A run that goes on is written as it is at that moment.

    Args:
        progress: told (bytes done, bytes in all); whatever it raises ends the work, and nothing is left behind.

    Raises:
        HistoryError: no such run, or a damaged one.
        ExportError: no space, or no right to write.
    """
    ids = _with_ancestors(library, runs)
    total = sum(library.info(run).bytes for run in ids)
    done = 0
    entries = []
    with drafted(path) as draft, zipfile.ZipFile(draft, "w", zipfile.ZIP_STORED) as archive:  # pictures do not shrink
        for run in ids:
            with _copy(library.path(run), Path(path).parent) as copy:
                size, digest = copy.stat().st_size, hashlib.sha256()
                name = f"runs/{run}{SUFFIX}"
                with copy.open("rb") as source, archive.open(_member(name, size), "w", force_zip64=True) as target:
                    while block := source.read(CHUNK):
                        digest.update(block)
                        target.write(block)
                        done += len(block)
                        progress(min(done, total), total)
            entries.append({"id": run, "file": name, "bytes": size, "sha256": digest.hexdigest()})
        archive.writestr(MANIFEST, json.dumps({"vizcore-archive": FORMAT, "runs": entries}, indent=1))
    return ids


def _member(name: str, size: int) -> zipfile.ZipInfo:
    info = zipfile.ZipInfo(name)
    info.file_size = size
    return info


def _with_ancestors(library: Library, runs: Iterable[str]) -> list[str]:
    """``runs``, each after the ancestors whose frames it shows."""
    found: list[str] = []
    for run in runs:
        line = [run]
        while (info := library.info(line[-1])).fork and info.parent and info.parent[0] not in line:
            if not (library.folder / (info.parent[0] + SUFFIX)).is_file():
                break
            line.append(info.parent[0])
        found += [one for one in reversed(line) if one not in found]
    if not found:
        raise ExportError("There is no run to export.", "Name at least one.")
    return found


@contextlib.contextmanager
def _copy(path: Path, folder: Path) -> Iterator[Path]:
    """A copy of a run file as it is now, its log included, even while it is being written."""
    draft = folder / f".{secrets.token_hex(8)}.part"
    try:
        with schema.translated(), contextlib.closing(schema.connect(path, "ro")) as source:
            try:
                with contextlib.closing(sqlite3.connect(draft)) as target:
                    source.backup(target, pages=256)
                    target.execute("PRAGMA journal_mode = DELETE")
            except sqlite3.Error as error:
                if schema.is_full(error):
                    raise ExportError("The disk is full; nothing was written.", "Free some space.") from error
                raise
        yield draft
    finally:
        for rest in ("", "-journal", "-wal", "-shm"):
            draft.with_name(draft.name + rest).unlink(missing_ok=True)


# In ------------------------------------------------------------------------------------------------------------


def load(path: str | Path, library: Library, progress: Progress = _nothing) -> list[Imported]:
    """Bring the runs of an archive, or one run file, into the library.

    Args:
        progress: told (bytes done, bytes in all); whatever it raises ends the work.  Then, and after an error, the
            library is as it was.

    Raises:
        ExportError: neither an archive nor a run file, or one that is damaged, forged, or from a newer vizcore.
        HistoryError: a run file in it is damaged, foreign or newer.
        StorageError: no space, or no right to write.
    """
    source = Path(path)
    drafts: dict[str, Path] = {}
    published: list[Path] = []
    try:
        library.folder.mkdir(parents=True, exist_ok=True)
        if _is_archive(source):
            drafts = _unpack(source, library, progress)
        else:
            drafts = {source.stem if schema.is_id(source.stem) else new_id(): _single(source, library)}
        told = _publish(library, drafts, published)
    except BaseException as error:
        for file in published:
            file.unlink(missing_ok=True)
        if isinstance(error, OSError):
            raise schema.storage_error(error) from error
        raise
    finally:
        for draft in drafts.values():
            for rest in ("", "-wal", "-shm", "-journal"):
                draft.with_name(draft.name + rest).unlink(missing_ok=True)
    return told


def _is_archive(path: Path) -> bool:
    """By its first bytes: a run file has checkpoints in it, which are zips, so that their end tells nothing."""
    if not path.is_file():
        return False
    with path.open("rb") as stream:
        return stream.read(4) == b"PK\x03\x04"


def _draft(library: Library) -> Path:
    return library.folder / f".{secrets.token_hex(8)}.new"


def _single(source: Path, library: Library) -> Path:
    if not source.is_file():
        raise ExportError("There is no such file.", "Choose an archive of vizcore runs export, or a run file.")
    draft = _draft(library)
    try:
        with _copy(source, library.folder) as copy:
            copy.replace(draft)
        _check(draft)
    except BaseException:
        draft.unlink(missing_ok=True)
        raise
    return draft


def _unpack(source: Path, library: Library, progress: Progress) -> dict[str, Path]:
    """The run files of an archive as drafts in the library's folder, checked, by the ids that they had."""
    drafts: dict[str, Path] = {}
    try:
        with zipfile.ZipFile(source) as archive:
            entries = _manifest(archive)
            total = sum(entry["bytes"] for entry in entries)
            if total > shutil.disk_usage(library.folder).free:
                raise StorageError("There is not enough space for these runs.", "Free some space, or delete runs.")
            done = 0
            for entry in entries:
                draft = drafts[entry["id"]] = _draft(library)
                with archive.open(entry["file"]) as packed, draft.open("xb") as target:
                    for count in _take(packed, target, entry):
                        done += count
                        progress(done, total)
                _check(draft)
    except BaseException as error:
        for draft in drafts.values():
            draft.unlink(missing_ok=True)
        if isinstance(error, (zipfile.BadZipFile, EOFError, NotImplementedError, RuntimeError)):
            raise _damaged() from error
        raise
    return drafts


def _manifest(archive: zipfile.ZipFile) -> list[dict[str, Any]]:
    """The entries of the manifest; whatever else is in the zip is left alone."""
    try:
        if archive.getinfo(MANIFEST).file_size > MAX_MANIFEST:
            raise _damaged()
        data = json.loads(archive.read(MANIFEST))
        version = data["vizcore-archive"]
    except (KeyError, ValueError, TypeError, RecursionError):
        raise ExportError("This is no archive of runs.", "Choose a file of vizcore runs export.") from None
    if not isinstance(version, int) or version > FORMAT:
        raise ExportError("The archive is from a newer vizcore.", "Update vizcore to import it.")
    entries = data.get("runs")
    if not isinstance(entries, list) or not 1 <= len(entries) <= MAX_RUNS:
        raise _damaged()
    for entry in entries:
        well = isinstance(entry, dict) and schema.is_id(entry.get("id")) and isinstance(entry.get("sha256"), str)
        if not well or entry.get("file") != f"runs/{entry['id']}{SUFFIX}":
            raise _damaged()
        member = archive.NameToInfo.get(entry["file"])
        if member is None or member.compress_type != zipfile.ZIP_STORED or member.file_size != entry.get("bytes"):
            raise _damaged()
    if len({entry["id"] for entry in entries}) < len(entries):
        raise _damaged()
    return entries


def _take(packed: IO[bytes], target: IO[bytes], entry: dict[str, Any]) -> Iterator[int]:
    """Copy one member; yields the bytes of each block."""
    digest = hashlib.sha256()
    while block := packed.read(CHUNK):
        digest.update(block)
        target.write(block)
        yield len(block)
    target.flush()
    os.fsync(target.fileno())
    if digest.hexdigest() != entry["sha256"]:
        raise _damaged()


def _damaged() -> ExportError:
    return ExportError("The archive is damaged.", "Export it again, or fetch it again.")


def _check(path: Path) -> None:
    """Refuse what is no whole run file of ours, and one with more in it than our tables (a trigger would run here)."""
    with schema.translated(), contextlib.closing(schema.connect(path, "ro")) as connection:
        inside = set(connection.execute("SELECT type, name FROM sqlite_schema"))
        (version,) = connection.execute("PRAGMA user_version").fetchone()
        if inside != schema.INSIDE.get(version) or connection.execute("PRAGMA quick_check(1)").fetchone() != ("ok",):
            raise schema.damaged()
    with RunReader(path) as reader:
        reader.steps()
        reader.knobs()
        reader.pins()
        lineage.of(reader)


def _publish(library: Library, drafts: dict[str, Path], published: list[Path]) -> list[Imported]:
    names: dict[str, str] = {}
    told = []
    for was, draft in drafts.items():
        _rename_parent(draft, names)
        there = library.folder / (was + SUFFIX)
        if there.exists() and digest(there) == digest(draft):
            names[was] = was
            told.append(Imported(was, was, False))
            continue
        run = was
        while (library.folder / (run + SUFFIX)).exists() or (library.trash_folder / (run + SUFFIX)).exists():
            run = new_id()
        names[was] = run
        target = library.folder / (run + SUFFIX)
        schema.publish(draft, target)
        published.append(target)
        told.append(Imported(run, was, True))
    return told


def _rename_parent(draft: Path, names: dict[str, str]) -> None:
    with schema.translated(), schema.editing(draft) as connection:
        connection.execute("DELETE FROM meta WHERE key = 'pinned'")  # whether it may be cleaned away is decided here
        row = connection.execute("SELECT value FROM meta WHERE key = 'parent'").fetchone()
        parent = json.loads(row[0]) if row else None
        if isinstance(parent, list) and parent and names.get(parent[0], parent[0]) != parent[0]:
            value = json.dumps([names[parent[0]], *parent[1:]])
            connection.execute("UPDATE meta SET value = ? WHERE key = 'parent'", (value,))


def digest(path: Path) -> str:
    """A hash of what a run is: spec, start, environment, every score, every turn of a knob.

    Pictures follow from these, and may have been thinned out or made anew on one side.
    """
    found = hashlib.sha256()
    keys = ", ".join(f"'{key}'" for key in IDENTITY)
    queries = (
        f"SELECT key, value FROM meta WHERE key IN ({keys}) ORDER BY key",
        "SELECT step, scores, norms FROM step ORDER BY step",
        "SELECT step, name, value FROM knob ORDER BY id",
    )
    with schema.translated(), contextlib.closing(schema.connect(path, "ro")) as connection:
        for query in queries:
            for row in connection.execute(query):
                for value in row:
                    data = value if isinstance(value, bytes) else repr(value).encode()
                    found.update(len(data).to_bytes(8, "little"))
                    found.update(data)
    return found.hexdigest()
