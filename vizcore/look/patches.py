"""The parts of real pictures that excite a channel most, cut out by its receptive field, and their projections."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vizcore.errors import LayerError, PictureError
from vizcore.layers import Views, find_views
from vizcore.look import deconvnet
from vizcore.look.display import GREY, Values
from vizcore.look.pictures import Picture, fit
from vizcore.look.tally import TOP, Tally, formatted
from vizcore.look.units import Unit, normalised


@dataclass(frozen=True)
class Patch:
    """A part of a real picture that excites a channel.

    Args:
        name, label: of the picture.
        value: the activation as it was recorded; ``reproduced`` as it is now (None if it was not computed).
        y, x: the position in the layer's map.
        box: top, left, bottom and right of the receptive field in the fitted picture; it may lie outside.
        pixels: the patch ``[H, W, 3]``, neutral grey where the field leaves the picture.
        projection: of the unit, cut out in the same place ``[C, H, W]``, 0 outside; None if it was not computed.
        intercepted: rectifiers that the rule of the projection acted on.
    """

    name: str
    label: str
    value: float
    y: int
    x: int
    box: tuple[int, int, int, int]
    pixels: Picture
    projection: Values | None = None
    reproduced: float | None = None
    intercepted: int | None = None


def patches(
    tally: Tally,
    channel: int,
    rule: deconvnet.Rule | None = "deconv",
    places: int = TOP,
    pause: Callable[[], None] | None = None,
    views: Sequence[Views | None] | None = None,
) -> list[Patch]:
    """The most exciting patches of a channel, each with its projection by ``rule`` (none if None).

    Args:
        pause: called before each picture goes through the network, one by one; without it all go at once.
        views: what :func:`vizcore.layers.find_views` says of the layer, where it is known already.

    Raises:
        LayerError: there is no such channel.
    """
    record, network, path = tally.record, tally.network, tally.layer.path
    if not 0 <= channel < len(record.values):
        raise LayerError(
            f"The layer {path} has no filter {channel}.", f"Choose filters from 0 to {len(record.values) - 1}."
        )
    found = []
    for place in range(min(places, record.values.shape[1])):
        index = int(record.items[channel, place])
        if index >= 0:
            try:
                fitted = fit(tally.collection.read(index), tally.size, network.card.channels)
            except PictureError:  # it was there when it was recorded
                continue
            found.append((place, index, fitted))
    if not found:
        return []
    signals: list[Any] = [None] * len(found)
    now: list[float | None] = [None] * len(found)
    calls = None
    if rule is not None and not deconvnet.why_not(network.module, rule):
        signals, now = [], []
        step = 1 if pause else len(found)
        for start in range(0, len(found), step):
            if pause:
                pause()
            z = normalised(network, np.stack([fitted for _, _, fitted in found[start : start + step]]))
            projection = deconvnet.project(network, formatted(z), Unit(path, channel), rule)
            signals += list(projection.values.cpu().numpy())
            now += projection.activation.tolist()
            calls = projection.intercepted
    view = (views or find_views(network, path, tally.size))[channel]
    result = []
    for (place, index, fitted), signal, value in zip(found, signals, now, strict=True):
        y, x = int(record.ys[channel, place]), int(record.xs[channel, place])
        box = field_of(view, y, x, tally.size)
        colour = np.repeat(fitted, 3, -1) if fitted.shape[2] == 1 else fitted
        result.append(
            Patch(
                tally.collection.names[index], tally.collection.labels[index], float(record.values[channel, place]),
                y, x, box, crop(colour, box, GREY),
                None if signal is None else crop(signal.transpose(1, 2, 0), box, 0).transpose(2, 0, 1), value, calls,
            )
        )  # fmt: skip
    return result


def field_of(views: Views | None, y: int, x: int, size: int) -> tuple[int, int, int, int]:
    """Top, left, bottom, right of what position ``(y, x)`` sees; the whole picture where it sees no less than that."""
    if views is None or min(view.extent for view in views) >= size:
        return 0, 0, size, size
    top, left = (view.first + view.stride * at for view, at in zip(views, (y, x), strict=True))
    return top, left, top + views[0].extent, left + views[1].extent


def crop(pixels: NDArray[Any], box: tuple[int, int, int, int], fill: float) -> NDArray[Any]:
    """``box`` of a picture ``[H, W, C]``, with ``fill`` where it lies outside."""
    top, left, bottom, right = box
    result = np.full((bottom - top, right - left, pixels.shape[2]), fill, pixels.dtype)
    inside = pixels[max(top, 0) : max(bottom, 0), max(left, 0) : max(right, 0)]
    y, x = max(-top, 0), max(-left, 0)
    result[y : y + inside.shape[0], x : x + inside.shape[1]] = inside
    return result
