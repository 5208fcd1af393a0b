"""Where an atlas lies: a folder, or a place of any file system that fsspec knows.

::

    atlas.json              what it is of
    layers/NAME.json        a manifest for each layer
    tiles/ab/abcd….png      the pictures, by address, each with its recipe inside
"""

from __future__ import annotations

import contextlib
import os
import secrets
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Protocol

from vizcore.errors import ExportError, StorageError
from vizcore.export import write_atomically

TILES, LAYERS = "tiles", "layers"


def tile_name(address: str) -> str:
    """Where the tile of that address lies in a store; 256 folders keep each of them short."""
    return f"{TILES}/{address[:2]}/{address}.png"


class Store(Protocol):
    """Bytes by name (``tiles/ab/….png``); the place is what :func:`open_store` opens again, in another process."""

    place: str

    def read(self, name: str) -> bytes | None:
        """The bytes of that name; None if there are none."""

    def write(self, name: str, data: bytes) -> None:
        """Write beside the name, sync, rename.  Raises :class:`ExportError`."""

    def names(self, folder: str) -> set[str]:
        """The names of the files in a folder, below it too, without those that are half written."""

    def prepare(self) -> contextlib.AbstractContextManager[None]:
        """Make the place, and try to write there; within, no other job writes, if the place can tell."""


def open_store(place: str | Path) -> Store:
    """The store in a folder, or at a URL such as ``s3://bucket/atlas``.

    Raises:
        ExportError: a URL whose file system is not known.
    """
    text = str(place)
    if text.startswith("file://"):
        text = text.removeprefix("file://")
    return Remote(text) if "://" in text else Folder(Path(text).absolute())


class Folder:
    """An atlas in a folder of this machine, or one that all machines have mounted."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.place = str(folder)

    def read(self, name: str) -> bytes | None:
        try:
            return (self.folder / name).read_bytes()
        except (FileNotFoundError, NotADirectoryError):
            return None
        except OSError as error:
            raise StorageError("The atlas cannot be read.", "Check the permissions of its folder.") from error

    def write(self, name: str, data: bytes) -> None:
        path = self.folder / name
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise refused(error) from error
        write_atomically(path, data)

    def names(self, folder: str) -> set[str]:
        found = set()
        for root, _, files in os.walk(self.folder / folder):
            inside = Path(root).relative_to(self.folder).as_posix()
            found |= {f"{inside}/{file}" for file in files if not file.startswith(".")}
        return found

    @contextlib.contextmanager
    def prepare(self) -> Iterator[None]:
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            lock = (self.folder / ".lock").open("wb")
        except OSError as error:
            raise refused(error) from error
        with lock:
            if not _lock(lock.fileno()):
                raise ExportError("Another job is writing to this atlas.", "Wait for it, or choose another folder.")
            write_atomically(self.folder / ".try", bytes(4096))
            (self.folder / ".try").unlink()
            for half in self.folder.glob("**/.*.part"):  # of a job that was killed
                with contextlib.suppress(OSError):
                    half.unlink()
            yield


class Remote:
    """An atlas at a URL that every worker can reach: object stores, SFTP and what else fsspec speaks."""

    def __init__(self, url: str) -> None:
        self.place = url.rstrip("/")
        try:
            import fsspec
        except ImportError:
            raise ExportError("URLs need fsspec.", 'Run pip install "vizcore[atlas]".') from None
        try:
            self._files, self._root = fsspec.core.url_to_fs(self.place)
        except (ValueError, ImportError) as error:
            scheme = url.partition("://")[0][:20]
            raise ExportError(
                f"There is no file system for {scheme}://.", "Install the package of fsspec that speaks it."
            ) from error

    def read(self, name: str) -> bytes | None:
        try:
            data: bytes = self._files.cat_file(f"{self._root}/{name}")
        except FileNotFoundError:
            return None
        except Exception as error:  # each file system has errors of its own
            raise _remote(error) from error
        return data

    def write(self, name: str, data: bytes) -> None:
        path = f"{self._root}/{name}"
        draft = f"{path.rpartition('/')[0]}/.{secrets.token_hex(8)}.part"
        try:
            self._files.makedirs(path.rpartition("/")[0], exist_ok=True)
            self._files.pipe_file(draft, data)
            self._files.mv(draft, path)
        except Exception as error:
            with contextlib.suppress(Exception):
                self._files.rm_file(draft)
            raise _remote(error) from error

    def names(self, folder: str) -> set[str]:
        try:
            found: list[Any] = self._files.find(f"{self._root}/{folder}")
        except FileNotFoundError:
            return set()
        except Exception as error:
            raise _remote(error) from error
        inside = {str(path).removeprefix(self._root).lstrip("/") for path in found}
        return {name for name in inside if not name.rpartition("/")[2].startswith(".")}

    @contextlib.contextmanager
    def prepare(self) -> Iterator[None]:
        self.write("try", bytes(4096))
        with contextlib.suppress(Exception):
            self._files.rm_file(f"{self._root}/try")
        yield


def refused(error: OSError) -> ExportError:
    """The system's refusal to write, in one sentence."""
    reason = {
        13: "There is no right to write there",
        1: "There is no right to write there",
        30: "The disk is read-only",
    }
    reason |= {28: "The disk is full", 17: "The folder is a file", 20: "The folder is a file"}
    text = reason.get(error.errno or 0, "The system refuses to write there")
    return ExportError(f"The atlas cannot be written to --out: {text.lower()}.", "Choose another folder.")


def _remote(error: Exception) -> ExportError:
    kind = type(error).__name__
    return ExportError(f"The place of the atlas did not answer as it should ({kind}).", "Check the URL and the rights.")


def _lock(handle: int) -> bool:
    """Whether this process is the only one with the lock; systems without locks let everyone pass."""
    try:
        import fcntl
    except ImportError:
        return True
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError:
        return True
    return True
