"""The part of a picture that one neuron sees, so that the network need not look at the rest.

The part begins at a multiple of the layer's stride, so positions in it lie as they do in the whole picture; what a
neuron depends on is then computed from the same pixels, and where its receptive field reaches over the edge of the
picture, from the same padding.  What a network makes of the part is held against what it makes of the whole once.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from vizcore.fields import Tracer
from vizcore.layers import Cut
from vizcore.objectives import Objective

WORTH = 0.8  # share of the picture above which nothing is gained
TOLERANCE = 1e-3  # of the largest activation, in fp32, between part and whole


@dataclass(frozen=True)
class Window:
    """Rows and columns of the picture that are looked at, and where in the layer's maps the neuron then is."""

    rows: slice
    columns: slice
    position: tuple[int, int]


def window(cut: Cut, objective: Objective, blank: Tensor) -> Window | None:
    """The window of an objective that is made of neurons in one place of one layer; None if all must be looked at.

    Args:
        cut: the network in fp32, not folded.
        blank: a picture ``[1, C, H, W]`` of the size that the network gets.
    """
    kinds = {(term.kind, term.layer, term.position) for _, term in objective.terms}
    if len(kinds) != 1 or objective.terms[0][1].kind != "neuron":
        return None
    _, layer, position = kinds.pop()
    tracer = Tracer(blank)
    with torch.no_grad():
        with tracer:
            maps = cut(blank)[layer]
        views = tracer.field(maps).views if maps.dim() == 4 else None
        if views is None:
            return None
        if position is None:
            position = maps.shape[2] // 2, maps.shape[3] // 2
        axes, places = [], []
        for view, index, size in zip(views, position, blank.shape[2:], strict=True):
            first = max(0, view.first + index * view.stride) // view.stride * view.stride
            axes.append(slice(first, min(size, view.last + index * view.stride + 1)))
            places.append(index - first // view.stride)
        found = Window(axes[0], axes[1], (places[0], places[1]))
        share = (axes[0].stop - axes[0].start) * (axes[1].stop - axes[1].start) / (blank.shape[2] * blank.shape[3])
        return found if share <= WORTH and _agrees(cut, layer, position, found, blank) else None


def _agrees(cut: Cut, layer: str, position: tuple[int, int], found: Window, blank: Tensor) -> bool:
    """Whether all channels are the same from the part as from the whole of a picture of noise."""
    noise = torch.randn(blank.shape, generator=torch.Generator().manual_seed(0)).to(blank.device)
    whole = cut(noise)[layer][0, :, position[0], position[1]]
    try:
        part = cut(noise[:, :, found.rows, found.columns])[layer][0, :, found.position[0], found.position[1]]
    except (RuntimeError, IndexError):  # too small for what lies before the layer
        return False
    return bool(((part - whole).abs() <= TOLERANCE * whole.abs().max()).all())
