"""Numbers as colours.  No torch here.

Maps of a layer (``maps``), signed relevance of pixels (``relevance``), three panes of a heat map (``panes``), and
pictures side by side (``mosaic``).  All give uint8, ready to be stored or sent.
"""

from __future__ import annotations

import math
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from vizcore.errors import SpecError
from vizcore.look.pictures import Picture

Values = NDArray[np.float32]
MapMode = Literal["gray", "diverging", "normalised", "blurred"]
MAP_MODES: tuple[MapMode, ...] = ("gray", "diverging", "normalised", "blurred")
RelevanceMode = Literal["colour", "gray", "norm", "blurred"]
RELEVANCE_MODES: tuple[RelevanceMode, ...] = ("colour", "gray", "norm", "blurred")

BLUR = 0.02  # standard deviation of the blurred modes as a share of the side; 4.5 px of 224
GREY = 119  # sRGB value of half the lightness (L* = 50): pictures look neither darker nor brighter on it
_FLAT = 1e-30
_SHOWN = 0.99  # of the values of relevance that are not 0 lie within the scale

# Ten points of matplotlib's colour maps of these names (CC0), joined by lines.
_TABLES = {
    "viridis": (
        (68, 1, 84), (72, 40, 120), (62, 74, 137), (49, 104, 142), (38, 130, 142), (31, 158, 137), (53, 183, 121),
        (109, 205, 89), (180, 222, 44), (253, 231, 37),
    ),
    "inferno": (
        (0, 0, 4), (27, 12, 65), (74, 12, 107), (120, 28, 109), (165, 44, 96), (207, 68, 70), (237, 105, 37),
        (251, 155, 6), (247, 209, 61), (252, 255, 164),
    ),
    # Blue below zero, black at zero, orange above: on a dark page nothing looks like nothing.
    "diverging": ((130, 200, 255), (40, 110, 230), (0, 0, 0), (225, 95, 20), (255, 205, 120)),
}  # fmt: skip


def colours(values: NDArray[Any], table: str) -> Picture:
    """``values`` in [0, 1], of any shape, as RGB in a new last axis."""
    points = np.array(_TABLES[table], np.float32)
    ramp = np.linspace(0, 1, 256)
    lookup = np.stack([np.interp(ramp, np.linspace(0, 1, len(points)), points[:, i]) for i in range(3)], -1)
    index = (np.nan_to_num(values).clip(0, 1) * 255 + 0.5).astype(np.uint8)
    found: Picture = lookup.round().astype(np.uint8)[index]
    return found


def maps(values: Values, mode: MapMode = "gray", shared: bool = True) -> Picture:
    """Activation maps ``[K, H, W]`` as pictures ``[K, H, W, 3]``.

    Args:
        mode: ``"gray"``: black at 0 or less, white at the highest.  ``"diverging"``: blue below 0, black at 0, orange
            above.  ``"normalised"``: from the lowest to the highest, in colours of rising brightness.  ``"blurred"``:
            the same after a Gaussian blur of the magnitudes, which shows where rather than what.
        shared: one scale for all maps, so that they can be compared; else one for each.
    """
    _check(mode, MAP_MODES)
    values = np.nan_to_num(values.astype(np.float32))
    if mode == "gray":
        return np.repeat(_bytes(values / _highest(values, shared))[..., None], 3, -1)
    if mode == "diverging":
        return colours(values / _highest(np.abs(values), shared) / 2 + 0.5, "diverging")
    if mode == "blurred":
        values = _blur(np.abs(values))
    low = values.min() if shared else values.min((1, 2), keepdims=True)
    return colours((values - low) / _highest(values - low, shared), "viridis")


def relevance(values: Values, mode: RelevanceMode = "colour") -> Picture:
    """Signed relevance of pixels ``[C, H, W]`` as a picture ``[H, W, 3]``, on its own scale.

    The strongest hundredth of what is not 0 is clipped where the sign is shown: relevance has few very large values,
    beside which all else would be invisible.  The modes are those of the Deep Visualization Toolbox (Yosinski et al.
    2015).

    Args:
        mode: ``"colour"``: as a picture, grey at 0.  ``"gray"``: its mean over colours, grey at 0.  ``"norm"``: the
            norm over colours, from black.  ``"blurred"``: the norm after a Gaussian blur.
    """
    _check(mode, RELEVANCE_MODES)
    values = np.nan_to_num(values.astype(np.float32))
    if mode in ("colour", "gray"):
        planes = values if mode == "colour" else values.mean(0, keepdims=True)
        some = np.abs(planes[planes != 0])
        top = float(np.quantile(some, _SHOWN)) if some.size else 1.0
        centred = _bytes(planes / max(top, _FLAT) / 2 + 0.5)
        return np.repeat(centred, 3, 0).transpose(1, 2, 0) if len(centred) == 1 else centred.transpose(1, 2, 0)
    return colours(heat(values, blurred=mode == "blurred"), "inferno")


def heat(values: Values, blurred: bool = False) -> Values:
    """How much each pixel matters, ``[H, W]`` in [0, 1]: the norm over colours of relevance ``[C, H, W]``."""
    norm = np.sqrt((np.nan_to_num(values.astype(np.float64)) ** 2).sum(0)).astype(np.float32)
    if blurred:
        norm = _blur(norm)
    result: Values = norm / max(float(norm.max()), _FLAT)
    return result


def focus(picture: Picture, warmth: Values, share: float = 0.2) -> Picture:
    """The picture where it matters, its mean colour elsewhere.

    Args:
        warmth: of each pixel, ``[H, W]`` in [0, 1].
        share: of the pixels that stay: those with the most warmth.
    """
    if not 0 < share <= 1:
        raise SpecError(f"The share of pixels in focus is {share:g}, out of range.", "Use one from 0.01 to 1.")
    threshold = np.quantile(warmth, 1 - share)
    stays = (warmth >= threshold) & (warmth > 0)
    mean = picture.reshape(-1, picture.shape[-1]).mean(0).round().astype(np.uint8)
    return np.where(stays[..., None], picture, mean)


def panes(picture: Picture, values: Values, share: float = 0.2, blurred: bool = True) -> tuple[Picture, ...]:
    """Original, heat map and focus of relevance ``[C, H, W]``: three pictures ``[H, W, 3]``."""
    original = np.repeat(picture, 3, -1) if picture.shape[-1] == 1 else picture
    warmth = heat(values, blurred)
    return original, colours(warmth, "inferno"), focus(original, warmth, share)


def mosaic(pictures: Picture, columns: int | None = None, gap: int = 2) -> Picture:
    """``[K, H, W, 3]`` side by side on neutral grey, row by row; without ``columns`` as square as can be."""
    count, height, width, _ = pictures.shape
    across = min(count, columns or math.ceil(math.sqrt(count)))
    down = math.ceil(count / across)
    sheet = np.full((gap + down * (height + gap), gap + across * (width + gap), 3), GREY, np.uint8)
    for i, one in enumerate(pictures):
        top, left = gap + i // across * (height + gap), gap + i % across * (width + gap)
        sheet[top : top + height, left : left + width] = one
    return sheet


def enlarge(picture: Picture, side: int, smooth: bool = False) -> Picture:
    """``[H, W, 3]`` scaled so that its longer side is ``side``; in squares, or smoothly."""
    height, width = picture.shape[:2]
    scale = side / max(height, width)
    size = (max(1, round(width * scale)), max(1, round(height * scale)))
    how = Image.Resampling.BICUBIC if smooth or scale < 1 else Image.Resampling.NEAREST
    return np.asarray(Image.fromarray(picture).resize(size, how))


def signed(values: Values, shared: bool = True) -> Picture:
    """Weights ``[K, C, H, W]`` as pictures ``[K, H, W, 3]``: grey at 0 for three colours, else diverging.

    Args:
        shared: one scale for all; else one for each.
    """
    values = np.nan_to_num(values.astype(np.float32))
    top = np.abs(values)
    scale = max(float(top.max()), _FLAT) if shared else np.maximum(top.max((1, 2, 3), keepdims=True), _FLAT)
    centred = values / scale / 2 + 0.5
    if values.shape[1] == 3:
        return _bytes(centred).transpose(0, 2, 3, 1)
    return colours(centred.mean(1), "diverging")


def _check(mode: str, known: tuple[str, ...]) -> None:
    if mode not in known:
        raise SpecError(f"There is no way to show named {mode[:40]!r}.", f"Use one of {', '.join(known)}.")


def _highest(values: Values, shared: bool) -> Values | float:
    if shared:
        return max(float(values.max(initial=0)), _FLAT)
    highest: Values = np.maximum(values.max((1, 2), keepdims=True), _FLAT)
    return highest


def _bytes(values: NDArray[Any]) -> Picture:
    return (values.clip(0, 1) * 255 + 0.5).astype(np.uint8)


def _blur(values: Values) -> Values:
    """A Gaussian blur of ``[..., H, W]``, with the border's values continued."""
    sigma = max(0.5, BLUR * max(values.shape[-2:]))
    down, across = (_gaussian(size, sigma) for size in values.shape[-2:])
    blurred: Values = (down @ values @ across.T).astype(np.float32)
    return blurred


def _gaussian(size: int, sigma: float) -> Values:
    """The matrix that blurs a line of ``size`` values."""
    reach = math.ceil(4 * sigma)
    offsets = np.arange(-reach, reach + 1)
    weights = np.exp(-(offsets**2) / (2 * sigma**2))
    matrix = np.zeros((size, size), np.float32)
    for offset, weight in zip(offsets, weights / weights.sum(), strict=True):
        np.add.at(matrix, (np.arange(size), (np.arange(size) + offset).clip(0, size - 1)), weight)
    return matrix
