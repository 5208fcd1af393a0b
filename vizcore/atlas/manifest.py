"""What there is of each layer: one JSON file, made anew from the tiles where it lags behind them."""

from __future__ import annotations

import hashlib
import io
import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from vizcore import export
from vizcore.atlas import evidence
from vizcore.atlas import head as heads
from vizcore.atlas.evidence import PARTS, Evidence
from vizcore.atlas.head import SCHEMA, Head
from vizcore.atlas.store import LAYERS, Store, tile_name
from vizcore.errors import ExportError

ADDRESS = "[0-9a-f]{40}"
Unit = dict[str, Any]
"""``tile``, ``start``, ``end`` (plain scores), ``peak`` (the highest activation in the picture), ``status`` and
``seconds`` of a channel; or ``error`` and ``tries``.

Beside them the address of each part of the evidence, by its name, ``scores``: what the parts say in numbers
(:func:`vizcore.atlas.evidence.scores`), and ``failed``: errors of parts that were given up.
"""
_OF_TILES = ("tile", "start", "end", "peak", "status", "seconds", "error", "tries")
SAID = ("start", "end", "peak", "status")  # of these, what a tile's own recipe says


@dataclass
class Manifest:
    """A layer of an atlas.

    Args:
        order: its place in the network, as pictures go through.
        channels: how many the layer has, of which ``units`` are here.
    """

    layer: str
    kind: str
    order: int
    channels: int
    height: int
    width: int
    receptive_field: int | None
    units: dict[int, Unit] = field(default_factory=dict)

    @property
    def done(self) -> list[int]:
        """The channels that have a tile, in order."""
        return sorted(channel for channel, unit in self.units.items() if "tile" in unit)

    @property
    def failed(self) -> list[int]:
        """The channels that were given up, in order."""
        return sorted(channel for channel, unit in self.units.items() if "error" in unit)

    def to_json(self) -> bytes:
        """As it lies in the store."""
        units = {str(channel): self.units[channel] for channel in sorted(self.units)}
        return json.dumps({"schema": SCHEMA, **vars(self), "units": units}, separators=(",", ":")).encode()


def name(layer: str) -> str:
    """The file of a layer; paths of modules may hold anything."""
    plain = re.sub(r"[^A-Za-z0-9_.-]", "_", layer)[:80]
    return f"{LAYERS}/{plain}-{hashlib.sha256(layer.encode()).hexdigest()[:6]}.json"


def parse(data: bytes) -> Manifest:
    """The manifest in the bytes of :meth:`Manifest.to_json`.

    Raises:
        ExportError: damaged, or from a newer vizcore.
    """
    try:
        values = json.loads(data)
        if values.pop("schema") > SCHEMA:
            raise ExportError("The atlas is from a newer vizcore.", "Update vizcore to open it.")
        units = {int(channel): dict(unit) for channel, unit in values.pop("units").items()}
        names = [unit[key] for unit in units.values() for key in ("tile", *PARTS) if key in unit]
        if not all(re.fullmatch(ADDRESS, str(name)) for name in names):
            raise ValueError("no address")  # it becomes the name of a file
        return Manifest(**values, units=units)
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise ExportError("A manifest of the atlas is damaged.", "Run vizcore atlas again: it is made anew.") from error


def read_head(store: Store) -> Head | None:
    """What the atlas is of; None if there is no atlas."""
    data = store.read(heads.NAME)
    return None if data is None else heads.read(data)


def read_all(store: Store) -> list[Manifest]:
    """All layers of an atlas, in the order of the network; damaged ones are left out."""
    found = []
    for file in store.names(LAYERS):
        data = store.read(file)
        try:
            found += [parse(data)] if data is not None and file.endswith(".json") else []
        except ExportError:
            continue
    return sorted(found, key=lambda manifest: manifest.order)


def unit_of(address: str, data: bytes) -> Unit:
    """What a manifest says of a tile, read from its recipe."""
    try:
        extra = export.read_recipe(io.BytesIO(data)).extra
    except ExportError:
        extra = {}
    return {"tile": address, **{key: extra.get(key) for key in SAID}}


def reconcile(manifest: Manifest, head: Head, store: Store, tiles: set[str]) -> None:
    """Make the units agree with the tiles that are there: those of a job that was killed are taken up."""
    for channel in range(manifest.channels):
        address = head.address(manifest.layer, channel)
        there, known = tile_name(address) in tiles, manifest.units.get(channel, {}).get("tile") == address
        if there and not known:
            data = store.read(tile_name(address))
            if data is not None:
                put(manifest, channel, unit_of(address, data))
        elif known and not there:
            forget(manifest, channel)


def put(manifest: Manifest, channel: int, unit: Unit) -> None:
    """Take what is known of a tile, or of its failing; what lies beside it stays."""
    forget(manifest, channel)
    manifest.units[channel] = {**unit, **manifest.units.get(channel, {})}


def forget(manifest: Manifest, channel: int) -> None:
    """Leave out what is known of a tile."""
    left = {key: value for key, value in manifest.units.pop(channel, {}).items() if key not in _OF_TILES}
    if left:
        manifest.units[channel] = left


def put_part(
    manifest: Manifest, channel: int, part: str, address: str | None,
    scores: Mapping[str, float] | None = None, error: Any = None,
) -> None:  # fmt: skip
    """Take the address of a part of the evidence and its scores, or the error with which it was given up."""
    unit = manifest.units.setdefault(channel, {})
    known = {key: value for key, value in unit.pop("scores", {}).items() if key not in evidence.SCORES[part]}
    if known or scores:
        unit["scores"] = known | dict(scores or {})
    failed = {key: value for key, value in unit.pop("failed", {}).items() if key != part}
    if address is None:
        unit.pop(part, None)
        failed |= {part: error} if error is not None else {}
    else:
        unit[part] = address
    if failed:
        unit["failed"] = failed
    if not unit:
        del manifest.units[channel]


def reconcile_parts(
    manifest: Manifest, head: Head, given: Evidence, channels: Iterable[int], files: set[str], store: Store
) -> dict[str, list[int]]:
    """Make the units agree with the evidence that is there; the channels that have yet to get each part."""
    missing: dict[str, list[int]] = {part: [] for part in given.parts}
    for channel in channels:
        for part in given.parts:
            address = evidence.address(head, part, manifest.layer, channel, given.fingerprint)
            there = evidence.file_of(address) in files
            if there and not _knows(manifest.units.get(channel, {}), part, address):
                put_part(
                    manifest, channel, part, address, evidence.scores_in(part, store.read(evidence.file_of(address)))
                )
            elif not there:
                put_part(manifest, channel, part, None)
            if not there:
                missing[part].append(channel)
    return missing


def _knows(unit: Unit, part: str, address: str) -> bool:
    """Whether a part and its scores are in the manifest; those of an older vizcore are without scores."""
    scores = unit.get("scores", {})
    return unit.get(part) == address and all(name in scores for name in evidence.SCORES[part])
