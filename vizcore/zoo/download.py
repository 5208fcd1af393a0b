"""Fetching weights and data sets: verified, cached, never half a file under the final name.

Only addresses that torchvision, or the data set's own page, names are fetched.  A proxy in ``HTTPS_PROXY`` or
``HTTP_PROXY`` is used.
"""

from __future__ import annotations

import contextlib
import hashlib
import http.client
import os
import re
import tempfile
import urllib.error
import urllib.request
from collections.abc import Callable
from pathlib import Path
from urllib.parse import unquote, urlsplit

from vizcore.errors import DownloadError, StorageError

Progress = Callable[[int, int | None], None]

_CHUNK = 1 << 18  # bytes between two reports of progress
_TIMEOUT = 30.0  # seconds without a byte


def folder() -> Path:
    """Where fetched weights are kept: ``$VIZCORE_HOME/weights``, else the platform's cache."""
    home = os.environ.get("VIZCORE_HOME")
    if home:
        return Path(home) / "weights"
    import platformdirs

    return platformdirs.user_cache_path("vizcore") / "weights"


def cached(url: str) -> Path | None:
    """The file that was fetched from ``url`` before, by us or by torch.hub, whose folder is only looked at."""
    name = file_name(url)
    for path in (folder() / name, _hub() / name):
        if path.is_file():
            return path
    return None


def fetch(url: str, progress: Progress | None = None) -> Path:
    """The file at ``url``, from the cache if it is there; its sha256 begins as its name says.

    Args:
        progress: called with the bytes so far and in total (``None`` if the server does not say).

    Raises:
        DownloadError: no connection, an answer that is not the file, or a file that broke off or is another one.
        StorageError: there is no space or no right to write.
    """
    path = cached(url)
    if path is not None and _intact(path):
        return path
    target = folder() / file_name(url)
    if path == target:
        with contextlib.suppress(OSError):
            target.unlink()  # damaged since: fetched again
    return _store(url, target, lambda digests: _expected(target.name, digests[0]), progress)


def fetch_into(where: Path, url: str, md5: str, progress: Progress | None = None) -> Path:
    """The file at ``url``, kept in the folder ``where``; its md5 is ``md5``.  Raises as :func:`fetch` does."""
    target = where / file_name(url)
    if target.is_file():
        with target.open("rb") as file:
            if hashlib.file_digest(file, "md5").hexdigest() == md5:
                return target
        with contextlib.suppress(OSError):
            target.unlink()
    return _store(url, target, lambda digests: digests[1] == md5, progress)


def _store(url: str, target: Path, right: Callable[[tuple[str, str]], bool], progress: Progress | None) -> Path:
    """Stream ``url`` into ``target`` if its digests (sha256 and md5, in hex) are ``right``."""
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        handle, temporary = tempfile.mkstemp(".part", target.name + ".", target.parent)
    except OSError as error:
        raise _no_room(error) from None
    part = Path(temporary)
    try:
        with os.fdopen(handle, "wb") as file:
            digests = _copy(url, file.write, progress)
            file.flush()
            os.fsync(file.fileno())
        if not right(digests):
            raise DownloadError(
                f"What came as {target.name} is another file: its checksum is wrong.",
                _remedy(url, "Try again; a proxy may have answered instead."),
            )
        part.replace(target)
    except OSError as error:
        raise _no_room(error) from None
    finally:
        part.unlink(missing_ok=True)
    return target


def file_name(url: str) -> str:
    """The last part of an address."""
    return unquote(urlsplit(url).path).rsplit("/", 1)[-1]


def _copy(url: str, write: Callable[[bytes], object], progress: Progress | None) -> tuple[str, str]:
    """Stream ``url`` into ``write``; returns sha256 and md5 of what came."""
    if urlsplit(url).scheme not in ("http", "https"):
        raise DownloadError("Only http and https addresses are fetched.")
    name, done = file_name(url), 0
    digest, old = hashlib.sha256(), hashlib.md5(usedforsecurity=False)  # data sets are published with md5
    with _open(url) as answer:
        length = answer.headers.get("Content-Length", "")
        total = int(length) if length.isdigit() else None
        if progress:
            progress(0, total)
        while chunk := _read(answer, url):
            write(chunk)
            digest.update(chunk)
            old.update(chunk)
            done += len(chunk)
            if progress:
                progress(done, total)
    if total is not None and done < total:
        raise DownloadError(
            f"The download of {name} broke off after {done} of {total} bytes.", _remedy(url, "Try again.")
        )
    return digest.hexdigest(), old.hexdigest()


def _open(url: str) -> http.client.HTTPResponse:
    request = urllib.request.Request(url, headers={"User-Agent": "vizcore", "Accept-Encoding": "identity"})
    host = urlsplit(url).hostname
    try:
        # urlopen() would keep the proxy of the first call in this process
        answer: http.client.HTTPResponse = urllib.request.build_opener().open(request, timeout=_TIMEOUT)
        return answer
    except urllib.error.HTTPError as error:
        error.close()
        raise DownloadError(f"{host} answered {error.code} for {file_name(url)}.", _remedy(url, "Try later.")) from None
    except (OSError, http.client.HTTPException) as error:
        reason = getattr(error, "reason", error)
        raise DownloadError(
            f"{host} cannot be reached ({_plain(reason)}).", _remedy(url, "Check the network or set HTTPS_PROXY.")
        ) from None


def _read(answer: http.client.HTTPResponse, url: str) -> bytes:
    try:
        return answer.read(_CHUNK)
    except (OSError, http.client.HTTPException) as error:
        raise DownloadError(
            f"The download of {file_name(url)} broke off ({_plain(error)}).", _remedy(url, "Try again.")
        ) from None


def _plain(reason: object) -> str:
    text = getattr(reason, "strerror", None) or str(reason) or type(reason).__name__
    return text if len(text) <= 80 else text[:77] + "..."


def _remedy(url: str, first: str) -> str:
    return f"{first} Or fetch {url} elsewhere and put it into {_shown_folder()}."


def _shown_folder() -> str:
    """The folder as a person may type it, without naming the server's own folders."""
    if os.environ.get("VIZCORE_HOME"):
        return "$VIZCORE_HOME/weights"
    with contextlib.suppress(ValueError, RuntimeError):
        return f"~/{folder().relative_to(Path.home()).as_posix()}"
    return "the cache folder of vizcore"


def _no_room(error: OSError) -> StorageError:
    why = error.strerror or type(error).__name__
    return StorageError(
        f"The weights cannot be stored ({why}).",
        "Free some space, or set VIZCORE_HOME to a folder that can be written.",
    )


def _intact(path: Path) -> bool:
    with path.open("rb") as file:
        return _expected(path.name, hashlib.file_digest(file, "sha256").hexdigest())


def _expected(name: str, digest: str) -> bool:
    """Whether a sha256 begins with the hex digits that end a name (``resnet18-f37072fd.pth``), if there are any."""
    match = re.search(r"-([0-9a-f]{8,64})\.[^.]+$", name)
    return match is None or digest.startswith(match[1])


def _hub() -> Path:
    cache = os.environ.get("XDG_CACHE_HOME") or "~/.cache"
    home = os.environ.get("TORCH_HOME") or f"{cache}/torch"
    return Path(home).expanduser() / "hub" / "checkpoints"
