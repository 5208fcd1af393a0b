"""A static site of an atlas: HTML, images and JSON that open from a folder or any web server.

A page that is opened from a folder may not fetch files, so the same data lies in scripts beside the JSON; what lies
beside a filter, with its pictures inside, in a script alone.
"""

from __future__ import annotations

import io
import json
from collections.abc import Callable
from importlib import resources
from pathlib import Path
from typing import Any

from PIL import Image

from vizcore.atlas import evidence
from vizcore.atlas import manifest as manifests
from vizcore.atlas.manifest import Manifest
from vizcore.atlas.store import Store, tile_name
from vizcore.errors import ExportError
from vizcore.export import write_atomically

ASSETS = ("index.html", "site.css", "site.js")
THUMB = 96  # px of a picture on the wall


def export(store: Store, out: Path, progress: Callable[[int, int], None] = lambda done, total: None) -> dict[str, int]:
    """Write the site of what is in an atlas; pictures that are there already are not written again.

    Raises:
        ExportError: there is no atlas, or the folder cannot be written to.
    """
    head = manifests.read_head(store)
    if head is None:
        raise ExportError("There is no atlas.", "Make one with vizcore atlas MODEL --out DIR.")
    layers = manifests.read_all(store)
    if out.resolve() == Path(store.place).resolve():
        raise ExportError("The site cannot lie in the atlas itself.", "Choose another folder.")
    try:
        for folder in ("tiles", "thumbs", "data", "units"):
            (out / folder).mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ExportError("The folder of the site cannot be made.", "Choose another one.") from error
    total, done = sum(len(layer.done) for layer in layers), 0
    for number, layer in enumerate(layers):
        for channel, unit in layer.units.items():
            beside = evidence.read(store, unit)
            if beside:
                _script(out / "units" / f"{number}-{channel}.js", f"unit-{number}-{channel}", json.dumps(beside))
        for channel in layer.done:
            address = layer.units[channel]["tile"]
            if not (out / "thumbs" / f"{address}.webp").exists():
                data = store.read(tile_name(address))
                if data is None:
                    continue
                write_atomically(out / "tiles" / f"{address}.png", data)
                write_atomically(out / "thumbs" / f"{address}.webp", thumbnail(data))
            done += 1
            progress(done, total)
        _data(out, f"layer-{number}", units(layer))
    about: dict[str, Any] = {
        "model": head.model if "/" not in head.model else Path(head.model).name,
        "weights_hash": head.weights_hash, "preset": head.preset, "settings": dict(head.settings),
        "layers": [summary(layer) for layer in layers],
    }  # fmt: skip
    _data(out, "atlas", about)
    for name in ASSETS:  # last: a site that can be opened is whole
        write_atomically(out / name, (resources.files(__package__) / "static" / name).read_bytes())
    return {"layers": len(layers), "filters": done}


def summary(layer: Manifest) -> dict[str, Any]:
    """A layer as pages list it, without its filters."""
    facts = {key: getattr(layer, key) for key in ("layer", "kind", "channels", "height", "width", "receptive_field")}
    first = layer.units[layer.done[0]]["tile"] if layer.done else None
    return {**facts, "done": len(layer.done), "failed": len(layer.failed), "first": first}


def units(layer: Manifest) -> list[dict[str, Any]]:
    """The filters of a layer as pages list them.

    Each has ``channel``, ``tile``, ``start``, ``end``, ``peak``, ``status``, the scores of its evidence, and ``error``
    if it was given up.
    """
    found = []
    for channel in sorted(layer.units):
        unit = layer.units[channel]
        scores = unit.get("scores", {})
        error = {"error": str(unit["error"].get("message", ""))} if "error" in unit else {}
        found.append(
            {"channel": channel, **{key: unit.get(key) for key in ("tile", *manifests.SAID)}, **scores, **error}
        )
    return found


def thumbnail(data: bytes) -> bytes:
    """A tile, small, as WebP."""
    with Image.open(io.BytesIO(data), formats=["PNG"]) as picture:
        small = picture.convert("RGB")
    if small.width > THUMB:
        small = small.resize((THUMB, THUMB), Image.Resampling.LANCZOS)
    stream = io.BytesIO()
    small.save(stream, "WEBP", quality=82, method=2)
    return stream.getvalue()


def _data(out: Path, name: str, value: Any) -> None:
    """The same value as JSON, and as a script that gives it to the page."""
    text = json.dumps(value, separators=(",", ":"))
    write_atomically(out / "data" / f"{name}.json", text.encode())
    _script(out / "data" / f"{name}.js", name, text)


def _script(path: Path, name: str, text: str) -> None:
    """A script that gives JSON to the page."""
    safe = text.replace("<", "\\u003c").replace("\u2028", "\\u2028").replace("\u2029", "\\u2029")
    write_atomically(path, f"atlasData({json.dumps(name)},{safe})\n".encode())
