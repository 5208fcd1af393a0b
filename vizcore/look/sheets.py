"""Pictures to keep: what was found, as one picture each.  No torch here."""

from __future__ import annotations

import io
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image, PngImagePlugin

import vizcore
from vizcore.export import contact_sheet, write_atomically
from vizcore.look import display
from vizcore.look.display import MapMode, RelevanceMode
from vizcore.look.pictures import Picture

if TYPE_CHECKING:
    from vizcore.look.activations import Glimpse, Maps
    from vizcore.look.attribution import Attribution
    from vizcore.look.patches import Patch

KEY = "vizcore-look"  # keyword of the PNG text chunk
PANE = 224  # px of a pane, at least
TILE = 56  # px of a map, at least
MOST = 256  # maps on a sheet: more would be too small to see


def save(path: Path, picture: Picture, facts: Mapping[str, Any]) -> Path:
    """Write a picture ``[H, W, 3]`` as a PNG that says how it was made; raises :class:`ExportError`."""
    info = PngImagePlugin.PngInfo()
    info.add_itxt(KEY, json.dumps({"vizcore": vizcore.__version__, **facts}))
    stream = io.BytesIO()
    Image.fromarray(picture).save(stream, "PNG", pnginfo=info)
    write_atomically(path, stream.getvalue())
    return path


def activations(maps: Maps, mode: MapMode = "gray", shared: bool = True, most: int = MOST) -> Picture:
    """The maps of a layer, the strongest first, with their channels under them."""
    order = maps.order()[:most]
    tiles = display.maps(maps.values[order], mode, shared)
    side = max(TILE, *tiles.shape[1:3])
    large = np.stack([square(display.enlarge(tile, side), side) for tile in tiles])
    return contact_sheet(large, [str(channel) for channel in order.tolist()])


def strip(glimpses: Sequence[Glimpse]) -> Picture:
    """The mean magnitude of each layer, from the first to the last, with their paths under them."""
    tiles = [display.enlarge(display.maps(one.mean[None], "normalised")[0], 2 * TILE) for one in glimpses]
    return contact_sheet(np.stack([square(tile, 2 * TILE) for tile in tiles]), [one.layer for one in glimpses], 8)


def attribution(found: Attribution, mode: RelevanceMode = "colour", share: float = 0.2) -> Picture:
    """Original, signed relevance, heat map and focus, side by side."""
    original, warm, focus = display.panes(found.picture, found.values, share)
    signed = display.relevance(found.values, mode)
    side = max(PANE, found.picture.shape[0])
    tiles = np.stack([display.enlarge(pane, side, smooth=True) for pane in (original, signed, warm, focus)])
    return contact_sheet(tiles, ["picture", "relevance", "heat map", f"the warmest {share:.0%}"], 4)


def patches(found: Sequence[Patch], mode: RelevanceMode = "colour") -> Picture:
    """Nine patches with their activations, and beside each row its projections."""
    side = max(96, max(patch.pixels.shape[0] for patch in found))
    real = [square(display.enlarge(patch.pixels, side, smooth=True), side) for patch in found]
    back = [
        square(display.enlarge(display.relevance(patch.projection, mode), side, smooth=True), side)
        for patch in found
        if patch.projection is not None
    ]
    captions = [f"{patch.value:.3g} {patch.label}" for patch in found]
    if len(back) < len(real):
        return contact_sheet(np.stack(real), captions, 3)
    rows: list[Picture] = []
    names: list[str] = []
    for start in range(0, len(real), 3):
        blank = np.full((side, side, 3), display.GREY, np.uint8)
        for tiles, texts in ((real, captions), (back, [""] * len(back))):
            part = tiles[start : start + 3]
            rows += [*part, *[blank] * (3 - len(part))]
            names += [*texts[start : start + 3], *[""] * (3 - len(part))]
    return contact_sheet(np.stack(rows), names, 6)


def beside(panes: Sequence[tuple[str, Picture]]) -> Picture:
    """Pictures of any size in one row, with a line under each."""
    side = max(PANE, *(max(picture.shape[:2]) for _, picture in panes))
    tiles = np.stack([square(display.enlarge(picture, side, smooth=True), side) for _, picture in panes])
    return contact_sheet(tiles, [text for text, _ in panes], len(panes))


def square(picture: Picture, side: int) -> Picture:
    """A picture of at most ``side`` in the middle of a neutral square."""
    height, width = picture.shape[:2]
    if (height, width) == (side, side):
        return picture
    sheet = np.full((side, side, 3), display.GREY, np.uint8)
    top, left = (side - height) // 2, (side - width) // 2
    sheet[top : top + height, left : left + width] = picture
    return sheet
