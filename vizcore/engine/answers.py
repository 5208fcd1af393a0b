"""What the engine answers about pictures and weights, as plain data with bytes in it."""

from __future__ import annotations

import io
import math
import time
from collections.abc import Callable
from dataclasses import asdict
from typing import Any

import numpy as np
from PIL import Image

from vizcore.layers import find_layer, list_in_order
from vizcore.look import compare, display, report, sanity, weights
from vizcore.look.activations import classes_of
from vizcore.look.attribution import Attribution, attribute
from vizcore.look.pictures import Picture
from vizcore.look.units import Unit
from vizcore.zoo.load import Network

MOST = 2**18  # values that are sent at once
SIDE = 96  # px of a map at most: a page shows them no larger
FILTERS, INPUTS = 64, 64  # in a block of weights at most: more are too small to be seen
BESIDE = 16  # maps of a layer in a comparison
PAIRS = 64  # near-duplicates that are named
_EFFORT = 2e9  # multiplications that the search for near-duplicates may take: a tenth of a second

Pause = Callable[[], None]


def packed(values: display.Values) -> dict[str, Any]:
    """Maps ``[C, H, W]`` to be sent: ``values`` as float16 of ``shape``, to be multiplied by ``scale``.

    Maps that are larger than a page shows are pooled by ``pool``: of each block the value of the largest magnitude.
    """
    values = _float32(values)
    channels, height, width = values.shape
    pool = max(1, math.ceil(max(height, width) / SIDE))
    while channels * math.ceil(height / pool) * math.ceil(width / pool) > MOST and pool < max(height, width):
        pool += 1
    return {**_halves(_pooled(values, pool)), "size": [height, width], "pool": pool}


def _float32(values: display.Values) -> display.Values:
    return np.nan_to_num(values.astype(np.float32), posinf=3e38, neginf=-3e38)


def _halves(values: display.Values) -> dict[str, Any]:
    scale = float(np.abs(values).max(initial=0)) or 1.0
    return {"values": (values / scale).astype("<f2").tobytes(), "shape": list(values.shape), "scale": scale}


def _pooled(values: display.Values, pool: int) -> display.Values:
    if pool == 1:
        return values
    channels, height, width = values.shape
    rows, columns = math.ceil(height / pool), math.ceil(width / pool)
    padded = np.zeros((channels, rows * pool, columns * pool), np.float32)
    padded[:, :height, :width] = values
    blocks = padded.reshape(channels, rows, pool, columns, pool)
    high, low = blocks.max((2, 4)), blocks.min((2, 4))
    pooled: display.Values = np.where(-low > high, low, high)
    return pooled


def png(picture: Picture) -> bytes:
    """A picture ``[H, W, 3]`` as a PNG, written quickly."""
    stream = io.BytesIO()
    Image.fromarray(picture).save(stream, "PNG", compress_level=1)
    return stream.getvalue()


def finite(values: Any) -> Any:
    """Numbers that JSON knows."""
    return np.nan_to_num(values).tolist()


def explained(found: Attribution, share: float) -> dict[str, Any]:
    """A backward view: four pictures and what the method says of itself."""
    original, heat, focus = display.panes(found.picture, found.values, share)
    panes = {"original": original, "heat": heat, "focus": focus, "relevance": display.relevance(found.values)}
    return {
        "panes": {name: png(pane) for name, pane in panes.items()}, "score": finite(np.array(found.score)),
        "seconds": found.seconds, "intercepted": found.intercepted, "note": found.note, "facts": dict(found.facts),
    }  # fmt: skip


def projected(
    network: Network, picture: Picture, unit: Unit, method: str, share: float, pause: Pause
) -> dict[str, Any]:
    """What in a picture a unit answers to."""
    return explained(attribute(network, picture, unit, method, pause=pause), share)


def checked(
    network: Network, picture: Picture, unit: Unit, method: str, pause: Pause, found: Callable[[int], None]
) -> dict[str, Any]:
    """The curve of the sanity check; ``found`` is told how many points there are."""
    began = time.perf_counter()
    points = []
    for point in sanity.cascade(network, picture, unit, method, pause=pause):
        points.append(asdict(point))
        found(len(points))
    return {
        "points": points, "warning": sanity.WARNING.get(method, ""), "seconds": time.perf_counter() - began,
    }  # fmt: skip


def column(network: Network, picture: Picture, method: str, depth: str, share: float, pause: Pause) -> dict[str, Any]:
    """One network in a comparison."""
    (said,) = compare.side_by_side([network], picture, method, depth, pause=pause)
    names = network.card.classes
    unit = said.unit
    told: dict[str, Any] = {
        "layer": unit.layer if unit else "", "channel": unit.channel if unit else None, "reason": said.reason,
        "unit": names[unit.channel] if unit and not unit.layer and unit.channel < len(names) else "",
        "classes": [list(one) for one in classes_of(network, picture)] if depth == "class" else [], "channels": 0,
    }  # fmt: skip
    if said.attribution is not None:
        told |= explained(said.attribution, share)
    elif said.maps is not None:
        order = said.maps.order()[:BESIDE]
        told |= {**packed(said.maps.values[order]), "order": order.tolist(), "channels": len(said.maps.values)}
    return told


def kernels(network: Network, layer: str, first: int, skip: int) -> dict[str, Any]:
    """A block of weights."""
    layer = layer or weights.first_layer(network)
    values = weights.kernels(network, layer)
    outputs, inputs, height, width = values.shape
    pictures = weights.are_pictures(values, network.card.channels)
    across = inputs if pictures else min(inputs, INPUTS)
    down = max(1, min(outputs, FILTERS, MOST // (across * height * width)))
    first, skip = max(0, min(first, outputs - 1)), 0 if pictures else max(0, min(skip, inputs - 1))
    block = _float32(values[first : first + down, skip : skip + across])
    rows = values.reshape(outputs, -1)
    pairs = weights.alike(values) if outputs * rows.size <= _EFFORT else []
    norms = np.sqrt(np.einsum("ij,ij->i", rows[first : first + down], rows[first : first + down]))
    return {
        **_halves(block), "layer": layer, "pictures": pictures, "whole": list(values.shape), "first": first,
        "skip": skip, "top": finite(max(float(values.max()), -float(values.min()))), "norms": finite(norms),
        "alike": [list(pair) for pair in pairs[:PAIRS]], "pairs": len(pairs),
        "block": [down, across],
    }  # fmt: skip


def inspected(network: Network, pause: Pause) -> dict[str, Any]:
    """What is wrong with a network's filters, looked at with made-up pictures."""
    began = time.perf_counter()
    found = report.inspect(network, pause=pause)
    named = {finding.layer for finding in found.findings}
    return {
        "kinds": list(report.KINDS), "findings": [finding.to_dict() for finding in found.findings],
        "channels": {layer.path: layer.channels for layer in list_in_order(network) if layer.path in named},
        "layers": found.layers, "filters": found.filters, "pictures": found.pictures,
        "seconds": time.perf_counter() - began,
    }  # fmt: skip


def carried(network: Network, layer: str, channel: int, picture: Picture | None) -> dict[str, Any]:
    """A filter carried back to pixels; by the weights alone, those pixels that the middle of its map sees."""
    began = time.perf_counter()
    values = weights.projection(network, layer, channel, picture)
    if picture is None:
        rows, columns = seen_from_the_middle(network, layer)
        values = values[:, rows, columns]
    top = finite(np.abs(values).max(initial=0))
    return {**_halves(_float32(values)[None]), "channel": channel, "top": top, "seconds": time.perf_counter() - began}


def seen_from_the_middle(network: Network, layer: str) -> tuple[slice, slice]:
    """The pixels, rows and columns, of the receptive field of the position in the middle of a layer's map."""
    found = find_layer(network, layer)
    field, stride, start = found.receptive_field, found.stride, found.start
    if field is None or stride is None or start is None:
        return slice(None), slice(None)
    first = [start + stride * (length // 2 if length > 1 else 0) for length in (found.height, found.width)]
    rows, columns = (slice(max(0, one), max(0, one + field)) for one in first)
    return rows, columns
