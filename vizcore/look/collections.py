"""Many pictures: a folder or a zip of them, with a class per subfolder.  No torch here."""

from __future__ import annotations

import hashlib
import zipfile
import zlib
from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from vizcore.errors import PictureError
from vizcore.look import pictures
from vizcore.look.pictures import Picture

_THREADS = 2  # decoding releases the interpreter's lock; more of them only take cores from the network
_AHEAD = 64  # pictures that are decoded before they are asked for


@dataclass(frozen=True)
class Collection:
    """The pictures under a folder or in a zip, in the order of their names.

    Args:
        source: the folder or the zip.
        names: paths inside it, with slashes; the index of a name is the picture's number.
        fingerprint: sha256 of the names, sizes and times (or checksums): another one means other data.
        only: the text that the names were chosen by; empty for all.
    """

    source: Path
    names: tuple[str, ...]
    fingerprint: str
    only: str = ""

    def __len__(self) -> int:
        return len(self.names)

    @cached_property
    def labels(self) -> tuple[str, ...]:
        """The class of each picture: the folder that it lies in; empty at the top."""
        return tuple(name.rpartition("/")[0].rpartition("/")[2] for name in self.names)

    @cached_property
    def _archive(self) -> zipfile.ZipFile | None:
        """The zip, which stays open: to list 60,000 names anew for each picture would take most of the time."""
        return None if self.source.is_dir() else zipfile.ZipFile(self.source)

    def read(self, index: int) -> Picture:
        """Picture number ``index``: uint8 ``[H, W, 3]``; raises :class:`PictureError` as :func:`pictures.read`."""
        if self._archive is None:
            return pictures.read(self.source / self.names[index])
        return pictures.read(self.data(index))

    def data(self, index: int) -> bytes:
        """The file of picture number ``index`` as it is, at most :data:`pictures.MAX_BYTES` and one byte of it.

        Raises:
            PictureError: it is gone, or cannot be unpacked.
        """
        if self._archive is None:
            return pictures.load(self.source / self.names[index])
        return _member(self._archive, self.names[index])

    def load(self, order: Sequence[int], size: int, channels: int) -> Iterator[tuple[int, Picture | PictureError]]:
        """Each picture of ``order`` with its number, fitted to ``size``; in place of a broken one, its error.

        Decodes ahead of the reader in threads, and holds a fixed number of pictures, however many there are.
        """

        def one(index: int) -> Picture | PictureError:
            try:
                return pictures.fit(self.read(index), size, channels)
            except PictureError as error:
                return error

        ahead: deque[tuple[int, Future[Picture | PictureError]]] = deque()
        pool = ThreadPoolExecutor(_THREADS, "pictures")
        try:
            for index in order:
                ahead.append((index, pool.submit(one, index)))
                if len(ahead) > _AHEAD:
                    first, future = ahead.popleft()
                    yield first, future.result()
            for first, future in ahead:
                yield first, future.result()
        finally:
            pool.shutdown(cancel_futures=True)


def collect(source: str | Path, only: str = "") -> Collection:
    """All PNG, JPEG and WebP pictures under a folder or in a zip.

    Args:
        only: take the names that contain this text, such as ``"/test/"``.

    Raises:
        PictureError: there is no such folder or zip, it is damaged, or there are no pictures in it.
    """
    path = Path(source)
    try:
        if path.is_dir():
            found, kind = _folder(path), "folder"
        elif zipfile.is_zipfile(path):
            found, kind = _zip(path), "zip"
        else:
            what = "no folder or zip of pictures" if path.exists() else "not there"
            if path.is_file() and path.suffix.lower() == ".zip":
                raise PictureError(f"{path.name[:60]!r} is incomplete or damaged.", "Fetch or make the zip again.")
            raise PictureError(f"{path.name[:60]!r} is {what}.", "Give a folder, or a zip, with pictures in it.")
    except (OSError, ValueError, zipfile.BadZipFile):
        raise PictureError(
            "The pictures cannot be listed.", "Check the folder or zip, and that you may read it."
        ) from None
    found = {name: mark for name, mark in sorted(found.items()) if only in f"/{name}"}
    if not found:
        inner = "" if only else _inner(path)
        if inner:
            raise PictureError(
                f"There are no pictures in this {kind}, but another zip, {inner[:60]!r}.",
                f"Unpack the {kind}, and give that one." if kind == "zip" else "Give that one.",
            )
        named = f" with {only[:40]!r} in their name" if only else ""
        raise PictureError(
            f"There are no pictures in this {kind}{named}.", "Give one with PNG, JPEG or WebP files in it."
        )
    digest = hashlib.sha256("\n".join(f"{name}\t{mark}" for name, mark in found.items()).encode("utf-8", "replace"))
    return Collection(path, tuple(found), digest.hexdigest(), only)


def _folder(root: Path) -> dict[str, str]:
    found = {}
    for path in root.rglob("*"):
        if path.suffix.lower() in pictures.SUFFIXES and not path.name.startswith(".") and path.is_file():
            stat = path.stat()
            found[path.relative_to(root).as_posix()] = f"{stat.st_size}\t{stat.st_mtime_ns}"
    return found


def _zip(path: Path) -> dict[str, str]:
    with zipfile.ZipFile(path) as archive:
        return {
            info.filename: f"{info.file_size}\t{info.CRC}"
            for info in archive.infolist()
            if info.filename.lower().endswith(pictures.SUFFIXES)
            and not info.is_dir()
            and not info.filename.startswith("__MACOSX/")
        }


def _inner(path: Path) -> str:
    """The name of a zip inside a folder or zip; empty if there is none."""
    if path.is_dir():
        names = sorted(file.name for file in path.rglob("*") if file.is_file())
    else:
        with zipfile.ZipFile(path) as archive:
            names = sorted(name.rpartition("/")[2] for name in archive.namelist())
    return next((name for name in names if name.lower().endswith(".zip")), "")


def _member(archive: zipfile.ZipFile, name: str) -> bytes:
    try:
        with archive.open(name) as stream:  # what a zip says of its members' sizes need not be true
            return stream.read(pictures.MAX_BYTES + 1)
    except (OSError, RuntimeError, ValueError, KeyError, EOFError, zipfile.BadZipFile, zlib.error):
        raise PictureError("The picture cannot be unpacked.", "Make the zip again, without a password.") from None
