"""An atlas of the synthetic network, without torch: a manifest, and tiles of one colour with recipes."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from vizcore.atlas import manifest as manifests
from vizcore.atlas.head import NAME, Head, settings_of
from vizcore.atlas.manifest import Manifest
from vizcore.atlas.store import Folder, tile_name
from vizcore.export import Recipe, png_bytes
from vizcore.spec import build


def make(folder: Path, layers: dict[str, int], model: str = "imagenette-robust", painted: int | None = None) -> Head:
    """An atlas with so many filters in each layer, of which the first ``painted`` have a tile of their own.

    The others share the last one's.  Scores fall from filter to filter, and the last filter of each layer has failed.
    """
    spec = build(model, "", (0,), size=64, steps=40)
    head = Head(model, None, "", "Crisp", settings_of(spec))
    store = Folder(folder)
    store.write(NAME, head.to_json())
    for order, (layer, count) in enumerate(layers.items()):
        manifest = Manifest(layer, "conv", order, count, 8, 8, 16)
        tile = ""
        for channel in range(count - 1):
            if painted is None or channel < painted:
                tile = head.address(layer, channel)
                colour = np.full((64, 64, 3), (channel * 37 % 256, channel * 91 % 256, order * 80 % 256), np.uint8)
                recipe = Recipe(head.spec(layer, (channel,)), 40, (), channel)
                store.write(tile_name(tile), png_bytes(colour, recipe))
            manifest.units[channel] = {"tile": tile, "start": 0.0, "end": float(count - channel), "status": "ok"}
        error = {"kind": "EngineError", "message": "The worker died of this filter.", "hint": ""}
        manifest.units[count - 1] = {"error": error, "tries": 3}
        store.write(manifests.name(layer), manifest.to_json())
    return head
