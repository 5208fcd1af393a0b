"""Does a heat map depend on what the network has learnt?  (Adebayo et al. 2018, arXiv:1810.03292)

The layers are given random weights one after the other, from the unit down to the first, and after each step the map is
made again.  They are drawn as He et al. 2015 do, without biases, so that deep networks do not fall silent.  A method
that explains the network must lose its likeness to the first map; one that only finds edges of the picture keeps it.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import nn

from vizcore.errors import LayerError
from vizcore.layers import Cut
from vizcore.look.attribution import attribute
from vizcore.look.display import Values
from vizcore.look.pictures import Picture
from vizcore.look.ranks import spearman
from vizcore.look.units import Unit, tensor
from vizcore.zoo.load import Network

MOST = 10  # points of the curve; deeper networks are randomised several layers at a time

WARNING = {
    "input-gradient": "Dark pixels stay dark whatever the network does, so that this curve stays high by itself.",
    "ig": "Dark pixels stay dark whatever the network does, so that this curve stays high by itself.",
}
"""What a method's curve must be read with."""


@dataclass(frozen=True)
class Point:
    """A point of the curve: which layers are random, from the top down to ``layer``, and the rank correlations.

    Args:
        absolute: of magnitudes, summed over colours; ``signed``: of the values; both where either map has any.
        failed: why the method gave no map any more; the correlations are 0 then.
    """

    layer: str
    absolute: float
    signed: float
    failed: str = ""


def cascade(
    network: Network, picture: Picture, unit: Unit, method: str, size: int | None = None, *, seed: int = 0,
    most: int = MOST, pause: Callable[[], None] = lambda: None,
) -> Iterator[Point]:  # fmt: skip
    """The curve, point by point; the first, before anything is random, is 1.

    The network itself is not touched.  ``pause`` is called before each pass through it.

    Raises:
        LayerError, SpecError: as :func:`attribute`, for the network as it is.
    """
    first = attribute(network, picture, unit, method, size, pause=pause).values
    yield Point("", 1.0, 1.0)
    own = Network(replace(network.card), copy.deepcopy(network.module))
    parts = dict(own.module.named_modules())
    paths = _learnt(own, picture, unit, size)
    stops = set(np.unique(np.linspace(0, len(paths) - 1, min(most, len(paths))).round().astype(int)).tolist())
    generator = torch.Generator().manual_seed(seed)
    for count, path in enumerate(paths):
        _randomise(parts[path], generator)
        if count in stops:
            try:
                now = attribute(own, picture, unit, method, size, pause=pause).values
            except LayerError as error:  # relevance that is not conserved with random weights
                yield Point(path, 0.0, 0.0, error.message)
                continue
            if not now.any():
                yield Point(path, 0.0, 0.0, "The unit is off.")
                continue
            rows, columns = _seen(first, now)
            a, b = first[:, rows, columns], now[:, rows, columns]
            yield Point(path, spearman(np.abs(a).sum(0), np.abs(b).sum(0)), spearman(a, b))


def _seen(first: Values, now: Values) -> tuple[slice, slice]:
    """Rows and columns outside of which both maps are 0: what a unit of an early layer cannot see is always alike."""
    some = (first != 0).any(0) | (now != 0).any(0)
    rows, columns = np.flatnonzero(some.any(1)), np.flatnonzero(some.any(0))
    return slice(rows[0], rows[-1] + 1), slice(columns[0], columns[-1] + 1)


def _randomise(part: nn.Module, generator: torch.Generator) -> None:
    if isinstance(part, nn.modules.batchnorm._NormBase):
        part.reset_parameters()  # with its statistics, which are of signals that are no more
    for name, parameter in part.named_parameters(recurse=False):
        if parameter.ndim > 1:
            weight = torch.empty(parameter.shape)
            nn.init.kaiming_normal_(weight, generator=generator)
            parameter.data = weight.to(parameter)
        elif name == "bias":
            parameter.data = torch.zeros_like(parameter)


def _learnt(network: Network, picture: Picture, unit: Unit, size: int | None) -> list[str]:
    """The layers with weights that a pass to the unit goes through, the last one first."""
    found: list[str] = []
    handles = [
        part.register_forward_hook(lambda _m, _i, _o, path=path: found.append(path))
        for path, part in network.module.named_modules()
        if next(part.parameters(recurse=False), None) is not None
    ]
    try:
        with torch.no_grad():
            Cut(network.module, [unit.layer])(tensor(network, picture, size=size))
    finally:
        for handle in handles:
            handle.remove()
    if not found:
        raise LayerError("There are no weights before this unit.", "Choose a deeper layer.")
    return list(dict.fromkeys(reversed(found)))
