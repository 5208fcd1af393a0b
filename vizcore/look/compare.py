"""The same picture and method for several networks, at comparable depths."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

import torch

from vizcore.errors import LayerError, SpecError
from vizcore.layers import Cut, list_in_order
from vizcore.look.activations import Maps, planes
from vizcore.look.attribution import Attribution, attribute
from vizcore.look.pictures import Picture
from vizcore.look.units import Unit, tensor
from vizcore.zoo.load import Network

Depth = Literal["first", "middle", "last", "class"]
DEPTHS: tuple[Depth, ...] = ("first", "middle", "last", "class")
MOST = 4  # networks beside each other


@dataclass(frozen=True)
class Column:
    """What one network says.

    Args:
        unit: the one that responds most, at that depth.
        maps: of its layer, for the method ``"activations"``; else ``attribution``.
        reason: why there is neither, or empty.
    """

    model: str
    unit: Unit | None
    maps: Maps | None = None
    attribution: Attribution | None = None
    reason: str = ""


def at_depth(network: Network, depth: str, size: int | None = None) -> str:
    """The layer at a depth: the first, middle or last convolution, or the empty path of the class scores.

    Raises:
        SpecError: there is no such depth.
        LayerError: the network has no convolutions.
    """
    if depth not in DEPTHS:
        raise SpecError(f"There is no depth {depth[:40]!r}.", f"Use one of {', '.join(DEPTHS)}.")
    if depth == "class":
        return ""
    found = [layer.path for layer in list_in_order(network, size) if layer.kind == "conv"]
    if not found:
        raise LayerError("This network has no convolutions.", "Compare its classes.")
    return {"first": found[0], "middle": found[(len(found) - 1) // 2], "last": found[-1]}[depth]


def strongest(network: Network, picture: Picture, layer: str, size: int | None = None) -> Unit:
    """The channel of a layer (or the class, for the empty path) that responds most to a picture."""
    with torch.no_grad():
        output = Cut(network.module, [layer])(tensor(network, picture, size=size))[layer]
    return Unit(layer, int(planes(output[0]).flatten(1).amax(1).argmax()))


def side_by_side(
    networks: Sequence[Network], picture: Picture, method: str, depth: str = "class", size: int | None = None, *,
    pause: Callable[[], None] = lambda: None,
) -> list[Column]:  # fmt: skip
    """What up to four networks say of a picture by one method, each at its own size unless one is given.

    A network that the method does not support has a reason in place of an answer.  ``pause`` is called before each pass
    of a method.

    Raises:
        SpecError: too many networks, an unknown depth or method.
    """
    if not 1 <= len(networks) <= MOST:
        raise SpecError(f"{len(networks)} networks cannot be compared.", f"Choose 1 to {MOST}.")
    return [_column(network, picture, method, depth, size, pause) for network in networks]


def _column(
    network: Network, picture: Picture, method: str, depth: str, size: int | None, pause: Callable[[], None]
) -> Column:
    unit = None
    try:
        unit = strongest(network, picture, at_depth(network, depth, size), size)
        if method == "activations":
            with torch.no_grad():
                output = Cut(network.module, [unit.layer])(tensor(network, picture, size=size))[unit.layer][0]
            return Column(network.card.name, unit, Maps(planes(output).float().cpu().numpy(), (), 0.0))
        return Column(network.card.name, unit, attribution=attribute(network, picture, unit, method, size, pause=pause))
    except LayerError as error:
        return Column(network.card.name, unit, reason=error.message)
