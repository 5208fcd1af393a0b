"""What a spec names but cannot hold, pictures and spectra, kept by a hash of their bytes.

A file's name says what is in it, so equal specs mean equal files, and nothing is ever overwritten by something else.
"""

from __future__ import annotations

import hashlib
import io
import os
import re
from pathlib import Path

import numpy as np
from PIL import Image

from vizcore.errors import PictureError, SpecError, StorageError
from vizcore.export import write_atomically
from vizcore.look.pictures import Picture, read

_NAME = re.compile(r"[0-9a-f]{24}", re.ASCII)


def folder() -> Path:
    """Where they lie: ``$VIZCORE_ASSETS``, or ``assets`` beside the runs."""
    from vizcore.runs import Library

    chosen = os.environ.get("VIZCORE_ASSETS")
    return Path(chosen).expanduser() if chosen else Library().home / "assets"


def keep(data: bytes, suffix: str) -> str:
    """Keep ``data`` and return its name; what is there already is not written again.

    Raises:
        ExportError, StorageError: no space or no right to write.
    """
    name = hashlib.sha256(data).hexdigest()[:24]
    path = folder() / (name + suffix)
    if not path.is_file():
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise StorageError("The folder for pictures cannot be made.", "Set VIZCORE_HOME to another one.") from error
        write_atomically(path, data)
    return name


def find(name: str, suffix: str, what: str) -> Path:
    """The file of a name.

    Raises:
        SpecError: it is no such name, or there is no such file here.
    """
    path = folder() / (name + suffix) if _NAME.fullmatch(name) else None
    if path is None or not path.is_file():
        raise SpecError(f"The {what} of this run is not on this machine.", f"Give the {what} again.")
    return path


def keep_picture(source: str | Path | bytes | Picture) -> str:
    """Keep a picture as a PNG; returns its name.

    Raises:
        PictureError: as :func:`vizcore.look.pictures.read`.
        ExportError: no space or no right to write.
    """
    picture = source if isinstance(source, np.ndarray) else read(source)
    stream = io.BytesIO()
    Image.fromarray(picture).save(stream, "PNG", compress_level=1)
    return keep(stream.getvalue(), ".png")


def picture(name: str) -> Picture:
    """The picture of a name: uint8 ``[H, W, 3]``.

    Raises:
        SpecError: it is not here, or damaged.
    """
    try:
        return read(find(name, ".png", "picture"))
    except PictureError as error:
        raise SpecError(f"The picture of this run cannot be read: {error.message}", "Give the picture again.") from None
