"""What is looked at in a network: a channel, a neuron or a class."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from torch import Tensor

from vizcore.errors import LayerError
from vizcore.layers import Cut
from vizcore.look.pictures import Picture, fit
from vizcore.zoo.load import Network

Reduce = Literal["max", "mean"]


@dataclass(frozen=True)
class Unit:
    """A channel of a layer, or its neuron at ``(y, x)``, or a class.

    Args:
        layer: its path; empty for the scores of the classes (before softmax), where ``channel`` is the class.
        y, x: the position of a neuron; both or none.
        reduce: of a channel without position, its highest activation or its mean.
    """

    layer: str
    channel: int
    y: int | None = None
    x: int | None = None
    reduce: Reduce = "max"

    def score(self, output: Tensor) -> Tensor:
        """The unit's activation ``[N]`` in a layer's output ``[N, C, H, W]`` or ``[N, C]``.

        Raises:
            LayerError: the layer has no such channel or position, or no channels at all.
        """
        maps = self.maps(output)
        if self.y is not None and self.x is not None:
            return maps[:, self.y, self.x]
        flat = maps.flatten(1)
        # One position, as Zeiler and Fergus do it; the gradient of amax would be shared by equal maxima.
        return flat.mean(1) if self.reduce == "mean" else flat.gather(1, flat.argmax(1, keepdim=True))[:, 0]

    def maps(self, output: Tensor) -> Tensor:
        """The unit's map ``[N, H, W]`` in a layer's output; 1 by 1 for vectors."""
        where = self.layer or "of the classes"
        if output.ndim not in (2, 4):
            raise LayerError(f"The layer {where} has no channels to look at.", "Choose a convolution or a block.")
        if not 0 <= self.channel < output.shape[1]:
            raise LayerError(
                f"The layer {where} has no filter {self.channel}.", f"Choose one from 0 to {output.shape[1] - 1}."
            )
        maps = output[:, self.channel]
        maps = maps if output.ndim == 4 else maps[:, None, None]
        height, width = maps.shape[1:]
        if (self.y is None) != (self.x is None):
            raise LayerError("A neuron needs y and x.", "Give both, or none.")
        if self.y is not None and self.x is not None and not (0 <= self.y < height and 0 <= self.x < width):
            raise LayerError(
                f"The layer {where} has no position {self.y}, {self.x}.",
                f"Choose y from 0 to {height - 1} and x from 0 to {width - 1}.",
            )
        return maps


def scorer(network: Network, unit: Unit) -> Callable[[Tensor], Tensor]:
    """From normalised pictures ``[N, C, H, W]`` to the unit's activations ``[N]``; nothing behind its layer runs."""
    cut = Cut(network.module, [unit.layer])
    return lambda z: unit.score(cut(z)[unit.layer])


def tensor(network: Network, *pictures: Picture, size: int | None = None) -> Tensor:
    """The pictures as the network takes them, normalised: ``[N, C, size, size]``, where the network is.

    Args:
        size: height and width in pixels; the network's own if not given.
    """
    side = size or network.card.size
    fitted = np.stack([fit(picture, side, network.card.channels) for picture in pictures])
    return normalised(network, fitted)


def normalised(network: Network, fitted: Picture) -> Tensor:
    """As :func:`tensor`, for pictures ``[N, H, W, C]`` that are fitted already."""
    pixels = torch.from_numpy(np.array(fitted)).to(device(network)).permute(0, 3, 1, 2).float() / 255
    return network.normalize(pixels)


def device(network: Network) -> torch.device:
    """Where the network is."""
    return next((p.device for p in network.module.parameters()), torch.device("cpu"))
