"""Records of tallies on disk, each in a file named by all that it depends on."""

from __future__ import annotations

import contextlib
import hashlib
import io
import json
import os
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

import numpy as np
import platformdirs

from vizcore.errors import ExportError
from vizcore.export import write_atomically
from vizcore.zoo.card import Card

if TYPE_CHECKING:
    from vizcore.look.tally import Record

_FORM = 1  # of the file; another one is not read
_PLAIN = ("low", "high", "total", "done", "skipped", "broken")
_ABOUT = "about"  # what a record is of, beside it in its file
DAMAGED = (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile)


def folder() -> Path:
    """Where records lie: ``$VIZCORE_HOME/patches``, or the user's cache folder of the platform."""
    home = os.environ.get("VIZCORE_HOME")
    root = Path(home).expanduser() if home else platformdirs.user_cache_path("vizcore", appauthor=False)
    return root / "patches"


def key(card: Card, layer: str, size: int, fingerprint: str) -> str:
    """The name of a record: a hash of the weights, the layer, the data and how pictures are prepared."""
    facts = [_FORM, card.weights_hash or card.name, layer, size, card.channels, card.mean, card.std, fingerprint]
    return hashlib.sha256(json.dumps(facts).encode()).hexdigest()[:32]


def about(card: Card, layer: str, size: int, source: Path, only: str, pictures: int) -> dict[str, Any]:
    """What a record is of, for people and to find it by: model, weights, layer, size, source, only, pictures."""
    return {
        "model": card.name, "weights": card.weights_hash or card.name, "layer": layer, "size": size,
        "source": str(source.absolute()), "only": only, "pictures": pictures,
    }  # fmt: skip


def save(name: str, record: Record, of: Mapping[str, Any] | None = None) -> None:
    """Write a record, whole or not at all; a disk that refuses only costs the cache.

    Args:
        of: what it is of (:func:`about`).
    """
    data = to_bytes(record, of)
    with contextlib.suppress(OSError, ExportError):
        folder().mkdir(parents=True, exist_ok=True)
        write_atomically(folder() / f"{name}.npz", data)


def to_bytes(record: Record, of: Mapping[str, Any] | None = None) -> bytes:
    """A record as a file holds it."""
    arrays: dict[str, Any] = {name: value for name, value in vars(record).items() if isinstance(value, np.ndarray)}
    plain = json.dumps({name: getattr(record, name) for name in _PLAIN})
    stream = io.BytesIO()
    arrays["plain"] = np.frombuffer(plain.encode(), np.uint8)
    arrays[_ABOUT] = np.frombuffer(json.dumps({**(of or {}), "done": record.done}).encode(), np.uint8)
    np.savez(stream, **arrays)
    return stream.getvalue()


def load(name: str, channels: int, classes: int) -> Record | None:
    """The record of that name; None if there is none, or one that cannot be used."""
    return from_file(folder() / f"{name}.npz", channels, classes)


def from_file(file: Path | BinaryIO, channels: int, classes: int) -> Record | None:
    """The record in a file of :func:`to_bytes`; None if it cannot be used."""
    from vizcore.look.tally import Record

    blank = Record.empty(channels, classes)
    try:
        with np.load(file, allow_pickle=False) as data:
            for field, value in vars(blank).items():
                if isinstance(value, np.ndarray):
                    found = data[field]
                    if found.shape != value.shape or found.dtype != value.dtype:
                        return None
                    setattr(blank, field, found)
            for field, value in json.loads(data["plain"].tobytes()).items():
                if field in _PLAIN:
                    setattr(blank, field, value)
    except DAMAGED:
        return None
    return blank


def known(card: Card | None = None, layer: str = "", most: int = 12) -> list[dict[str, Any]]:
    """What there are records of (:func:`about`, and ``done``), the newest first, one for each set of pictures.

    Args:
        card, layer: only of this network's layer.
    """
    try:
        files = sorted(folder().glob("*.npz"), key=lambda path: path.stat().st_mtime, reverse=True)
    except OSError:
        return []
    found: dict[tuple[str, str], dict[str, Any]] = {}
    for path in files:
        try:
            with np.load(path, allow_pickle=False) as data:
                one = json.loads(data[_ABOUT].tobytes())
            place = one["source"], one["only"]
            wanted = card is None or (one["weights"], one["layer"]) == (card.weights_hash or card.name, layer)
        except (*DAMAGED, TypeError):
            continue
        if wanted and place not in found:
            found[place] = one
            if len(found) == most:
                break
    return list(found.values())
