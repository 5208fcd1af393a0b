"""Which folders of pictures a page may name."""

from __future__ import annotations

import os
import secrets
import tempfile
from collections import OrderedDict
from collections.abc import Sequence
from pathlib import Path

from vizcore.errors import PictureError
from vizcore.look.collections import collect

EXAMPLES = "examples"
FOLDER = Path(__file__).resolve().parent / "static" / "examples"
DROPPED = "dropped:"
ROOM = 4 * 2**30  # bytes of what was dropped; what has been there longest goes first
_MARK = "vizcore-dropped-"  # how the folder of what was dropped begins


class Sources:
    """Names of folders and zips, as they stand in an address, and where they are.

    A server that only its own machine reaches opens what whoever sits there names; any other one opens the bundled
    examples and what lies in the folders that it was started with.  What was dropped on a page is found under a name
    that cannot be guessed, until the server ends.

    Args:
        folders: that the server was started with.
        anywhere: whether others may be named.
    """

    def __init__(self, folders: Sequence[str] = (), anywhere: bool = False) -> None:
        self._folders = [os.path.realpath(Path(folder).expanduser()) for folder in folders if folder]
        self._anywhere = anywhere
        self._dropped: OrderedDict[str, Path] = OrderedDict()
        self._place: tempfile.TemporaryDirectory[str] | None = None

    def take(self, upload: Path, name: str) -> str:
        """Keep a zip of pictures that was dropped; returns the name of it.  For a thread: it is listed first.

        Raises:
            PictureError: it is no zip, or has no pictures.
        """
        collect(upload)
        if self._place is None:
            self._place = tempfile.TemporaryDirectory(prefix=_MARK)
        plain = "".join(sign for sign in name if sign.isprintable() and sign not in "/\\:").strip(". ")[:60]
        key = f"{DROPPED}{secrets.token_urlsafe(9)}/{plain or 'pictures'}"
        path = Path(self._place.name) / f"{secrets.token_hex(8)}.zip"
        upload.rename(path)
        self._dropped[key] = path
        while len(self._dropped) > 1 and sum(one.stat().st_size for one in self._dropped.values()) > ROOM:
            self._dropped.popitem(last=False)[1].unlink(missing_ok=True)
        return key

    def close(self) -> None:
        """Remove what was dropped."""
        self._dropped.clear()
        if self._place is not None:
            self._place.cleanup()
            self._place = None

    def find(self, name: str) -> str:
        """The path of the folder or zip; whether it is there is seen by whoever opens it.

        Raises:
            PictureError: no name, none of this machine, or one that this server does not open.
        """
        text = name.strip()
        if text == EXAMPLES:
            return str(FOLDER)
        if text.startswith(DROPPED):
            dropped = self._dropped.get(text)
            if dropped is None:
                raise PictureError("The dropped pictures are not here any more.", "Drop them once more.")
            return str(dropped)
        if not text or "\0" in text or text.startswith(("\\\\", "//")):
            raise PictureError("No pictures are named.", "Give the path of a folder or zip on the server's machine.")
        path = os.path.abspath(Path(text).expanduser())  # noqa: PTH100  (nothing is asked of the disk)
        if self._anywhere or self._inside(path):
            return path
        raise PictureError(
            "This server does not open that folder.",
            "Whoever starts it names folders with vizcore serve --pictures FOLDER.",
        )

    def _inside(self, path: str) -> bool:
        real = Path(path).resolve()
        return any(real.is_relative_to(folder) for folder in self._folders)

    def name(self, path: str) -> str:
        """The name by which a page knows a path; empty for what it may not open."""
        if path == str(FOLDER):
            return EXAMPLES
        if Path(path).parent.name.startswith(_MARK):
            held = (name for name, one in self._dropped.items() if str(one) == path)
            return next(held, "") if self._anywhere else ""
        return path if self._anywhere or self._inside(path) else ""

    def first(self) -> list[str]:
        """What is offered before anything else."""
        return [*self._folders, EXAMPLES]
