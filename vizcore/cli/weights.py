"""``vizcore weights``: kernels as pictures or as a matrix, and projections through the transposed weights."""

from __future__ import annotations

import re
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Group, RenderableType

from vizcore.cli import bars, console
from vizcore.cli.render import memory_errors, open_network, writable
from vizcore.cli.top import wanted_channels
from vizcore.export import contact_sheet
from vizcore.look import display, pictures, sheets

_SIDE = 64  # px of a kernel, at least
_MOST = 64  # outputs and inputs of a matrix that are shown at most
_PROJECTED = 16  # filters that are carried back if none are named


@dataclass(frozen=True)
class Order:
    """What is to be shown, as it stands on the command line."""

    model: str
    arch: str | None
    layer: str
    channels: str
    project: bool
    image: Path | None
    shared: bool


def weights(order: Order, out: Path) -> console.Result:
    """Carry out ``order``."""
    from vizcore.look import weights as own

    picture = pictures.read(order.image) if order.image is not None else None
    network = open_network(order.model, order.arch)
    layer = order.layer or own.first_layer(network)
    values = own.kernels(network, layer)
    wanted = wanted_channels(order.channels, len(values))
    _exist(wanted, layer, len(values))
    writable(out)
    began = time.perf_counter()
    name = re.sub(r"[^\w.-]", "_", layer)
    shown = values[wanted]
    facts: dict[str, Any] = {"model": order.model, "layer": layer, "weights_hash": network.card.weights_hash}
    notes = []
    if order.project:
        if order.channels == "all":
            wanted = wanted[:_PROJECTED]
        with memory_errors(), bars.steps(f"{order.model} {layer}", len(wanted)) as advance:
            planes = []
            for count, channel in enumerate(wanted, 1):
                planes.append(own.projection(network, layer, channel, picture))
                advance(count)
        stacked = np.stack(planes)
        tiles = display.signed(stacked) if order.shared else np.stack([display.relevance(plane) for plane in planes])
        method = "projection"
    elif own.are_pictures(values, network.card.channels):
        tiles, method = display.signed(shown, order.shared), "kernels"
    else:
        method = "matrix"
        sheet = own.matrix(shown[:_MOST, :_MOST])
        if max(shown.shape[:2]) > _MOST:
            notes.append(f"the first {_MOST} filters and inputs of {shown.shape[0]} × {shown.shape[1]}")
        tiles = None
    if tiles is not None:
        side = max(_SIDE, *tiles.shape[1:3])
        large = np.stack([display.enlarge(tile, side) for tile in tiles])
        sheet = contact_sheet(large, [str(channel) for channel in wanted])
    file = sheets.save(out / f"{name}-{method}.png", sheet, {**facts, "method": method})
    pairs = own.alike(values) if len(values) <= 4096 else []
    data = {
        "model": order.model, "layer": layer, "method": method, "files": [str(file)],
        "seconds": round(time.perf_counter() - began, 3), "shape": list(values.shape),
        "alike": [{"channels": [a, b], "cosine": cosine} for a, b, cosine in pairs], "notes": notes,
    }  # fmt: skip
    return console.Result(data, _view(data))


def _exist(wanted: list[int], layer: str, count: int) -> None:
    from vizcore.layers import Layer, check_channels_of

    check_channels_of(Layer(layer, "conv", count, 1, 1, None), wanted)


def _view(data: dict[str, Any]) -> RenderableType:
    shape = " × ".join(map(str, data["shape"]))
    lines = [f"{data['layer']}: weights {shape}; {data['method']} in {console.cell(data['files'][0])}"]
    if data["alike"]:
        lines.append(f"{len(data['alike'])} pairs of filters are near-duplicates or each other's negative")
    lines += [f"[yellow]note[/] {note}" for note in data["notes"]]
    return Group(*lines)
