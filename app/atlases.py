"""The atlases that pages may open: those in the home folder, and those that the server was started with.

Pages name an atlas by an id, never by a path.
"""

from __future__ import annotations

import io
import os
import re
import threading
from collections import OrderedDict
from pathlib import Path
from typing import Any

from vizcore.atlas import evidence, site
from vizcore.atlas import head as heads
from vizcore.atlas import manifest as manifests
from vizcore.atlas.manifest import ADDRESS, Manifest
from vizcore.atlas.store import LAYERS, Folder, tile_name
from vizcore.errors import ExportError, VizcoreError
from vizcore.export import Recipe, read_recipe

KEPT = 2000  # small pictures in memory, 3 KB each
ID = r"[A-Za-z0-9_-]{1,64}"


class Atlases:
    """What is asked of atlases; thread-safe, and reads the disk: not for the event loop.

    Args:
        home: whose folder ``atlases`` has one atlas in each folder.
        more: folders of single atlases, joined as in ``PATH``.
    """

    def __init__(self, home: Path, more: str = "") -> None:
        self._home = home / "atlases"
        self._more = [Path(folder) for folder in more.split(os.pathsep) if folder]
        self._folders: dict[str, Path] = {}
        self._layers: dict[tuple[str, str], tuple[tuple[int, int], Manifest]] = {}
        self._small: OrderedDict[str, bytes] = OrderedDict()
        self._lock = threading.Lock()

    def list(self) -> list[dict[str, Any]]:
        """``id``, ``model``, ``preset``, ``size``, ``filters`` of each, and ``version``, which changes as it grows."""
        try:
            own = sorted(path for path in self._home.iterdir() if path.is_dir())
        except OSError:
            own = []
        found, folders = [], {}
        for path in [*self._more, *own]:
            ident = re.sub(r"[^A-Za-z0-9_-]", "-", path.name)[:60] or "atlas"
            while ident in folders:
                ident += "-"
            try:
                head = manifests.read_head(Folder(path))
                if head is None:
                    continue
                layers, stamp = self._read(path)
            except (VizcoreError, OSError):
                continue
            folders[ident] = path
            name = head.model if "/" not in head.model else Path(head.model).name
            filters = sum(len(layer.done) for layer in layers)
            facts = {"model": name, "preset": head.preset, "size": head.settings["size"], "filters": filters}
            found.append({"id": ident, **facts, "version": stamp})
        with self._lock:
            self._folders = folders
        return found

    def about(self, ident: str) -> dict[str, Any]:
        """The layers of an atlas, and their filters.  Raises :class:`ExportError`: there is no such atlas."""
        layers, stamp = self._read(self._folder(ident))
        return {"version": stamp, "layers": [{**site.summary(one), "units": site.units(one)} for one in layers]}

    def unit(self, ident: str, layer: str, channel: int) -> dict[str, Any]:
        """What lies beside a filter (:func:`vizcore.atlas.evidence.read`).

        Raises:
            ExportError: there is no such filter in the atlas.
        """
        folder = self._folder(ident)
        known = {one.layer: one.units for one in self._read(folder)[0]}
        unit = known.get(layer, {}).get(channel)
        if unit is None:
            raise ExportError("There is no such filter in the atlas.", "Choose another one.")
        return evidence.read(Folder(folder), unit)

    def tile(self, ident: str, address: str) -> bytes:
        """A picture as it was stored.  Raises :class:`ExportError`: there is none."""
        data = Folder(self._folder(ident)).read(tile_name(address)) if re.fullmatch(ADDRESS, address) else None
        if data is None:
            raise ExportError("There is no such picture in the atlas.", "Choose another one.")
        return data

    def thumbnail(self, ident: str, address: str) -> bytes:
        """A picture, small.  Raises :class:`ExportError`: there is none."""
        with self._lock:
            known = self._small.get(address)
            if known is not None:
                self._small.move_to_end(address)
                return known
        data = site.thumbnail(self.tile(ident, address))
        with self._lock:
            self._small[address] = data
            while len(self._small) > KEPT:
                self._small.popitem(last=False)
        return data

    def recipe(self, ident: str, address: str) -> Recipe:
        """How a picture was made.  Raises :class:`ExportError`: there is none."""
        return read_recipe(io.BytesIO(self.tile(ident, address)))

    def _folder(self, ident: str) -> Path:
        with self._lock:
            known = self._folders.get(ident)
        if known is None:
            self.list()
            with self._lock:
                known = self._folders.get(ident)
        if known is None:
            raise ExportError("There is no such atlas.", "Choose one of the list.")
        return known

    def _read(self, folder: Path) -> tuple[list[Manifest], str]:
        """The layers, read again only where they changed, and a text that changes with them."""
        found, stamps = [], []
        for path in sorted((folder / LAYERS).glob("*.json")):
            try:
                stat = path.stat()
                at, key = (stat.st_mtime_ns, stat.st_size), (str(folder), path.name)
                known = self._layers.get(key)
                if known is None or known[0] != at:
                    known = self._layers[key] = at, manifests.parse(path.read_bytes())
            except (OSError, ExportError):
                continue
            found.append(known[1])
            stamps.append(at[0])
        head = (folder / heads.NAME).stat().st_mtime_ns
        return sorted(found, key=lambda one: one.order), f"{len(found)}-{max([head, *stamps]):x}"
