"""Which folders of pictures a page may name."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from vizcore.errors import PictureError

EXAMPLES = "examples"
FOLDER = Path(__file__).resolve().parent / "static" / "examples"


class Sources:
    """Names of folders and zips, as they stand in an address, and where they are.

    A server that only its own machine reaches opens what whoever sits there names; any other one opens the bundled
    examples and what lies in the folders that it was started with.

    Args:
        folders: that the server was started with.
        anywhere: whether others may be named.
    """

    def __init__(self, folders: Sequence[str] = (), anywhere: bool = False) -> None:
        self._folders = [os.path.realpath(Path(folder).expanduser()) for folder in folders if folder]
        self._anywhere = anywhere

    def find(self, name: str) -> str:
        """The path of the folder or zip; whether it is there is seen by whoever opens it.

        Raises:
            PictureError: no name, none of this machine, or one that this server does not open.
        """
        text = name.strip()
        if text == EXAMPLES:
            return str(FOLDER)
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
        return path if self._anywhere or self._inside(path) else ""

    def first(self) -> list[str]:
        """What is offered before anything else."""
        return [*self._folders, EXAMPLES]
