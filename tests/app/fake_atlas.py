"""An atlas of the synthetic network, without torch: a manifest, and tiles of one colour with recipes."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from vizcore.atlas import evidence
from vizcore.atlas import manifest as manifests
from vizcore.atlas.head import NAME, Head, settings_of
from vizcore.atlas.manifest import Manifest
from vizcore.atlas.store import Folder, tile_name
from vizcore.export import Recipe, png_bytes
from vizcore.spec import build


def beside(folder: Path, layer: str, channels: range, source: str, fingerprint: str = "f") -> None:
    """Evidence of some filters: patches, weights from ``source`` and from a layer that is not there, neighbours."""
    store = Folder(folder)
    head = manifests.read_head(store)
    assert head is not None
    [manifest] = [one for one in manifests.read_all(store) if one.layer == layer]

    def colour(*rgb: int) -> str:
        return evidence.inline(np.full((8, 8, 3), rgb, np.uint8))

    for c in channels:
        sources = [
            {
                "origins": [origin],
                "norm": 2.0 - at,
                "sum": 1.0 - 2 * at,
                "share": 0.8 - 0.6 * at,
                "picture": colour(9, 9, 9),
            }
            for at, origin in enumerate(([source, c % 3], ["elsewhere", 3]))
        ]
        documents = {
            "steps": {"steps": [{"step": s, "score": 0.1 * s, "picture": colour(s, c, 0)} for s in (0, 4, 40)]},
            "patches": {
                "pictures": 90, "highest": 2.0 * c, "mean": 0.5, "off": 0.25, "dead": False, "selectivity": 0.7,
                "class": "tench",
                "patches": [
                    {"name": f"<b>/{at}.png", "label": "tench", "value": 4.0 - at, "picture": colour(at * 20, c, 200)}
                    for at in range(9)
                ],
            },
            "deconv": {"why": "The deconvnet is <i>not</i> defined."},
            "weights": {"kernels": [{"layer": layer, "channel": c, "inputs": 12, "sources": sources}]},
            "similar": {"pictures": 90, "neighbours": [[c + 1, 0.9], [c + 2, 0.55]]},
        }  # fmt: skip
        for part, document in documents.items():
            name = head.address(layer, c)
            if part != "steps":
                name = evidence.address(head, part, layer, c, fingerprint)
                manifests.put_part(manifest, c, part, name, evidence.scores(part, document))
            store.write(evidence.file_of(name), evidence.pack(document))
    store.write(manifests.name(layer), manifest.to_json())


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
            manifest.units[channel] = {
                "tile": tile,
                "start": 0.0,
                "end": float(count - channel),
                "peak": 12.0,
                "status": "ok",
            }
        error = {"kind": "EngineError", "message": "The worker died of this filter.", "hint": ""}
        manifest.units[count - 1] = {"error": error, "tries": 3}
        store.write(manifests.name(layer), manifest.to_json())
    return head
