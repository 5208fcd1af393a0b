"""Plain networks of one's own: dense layers alone, and blocks of convolution with dense layers behind them."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Sequence

import torch
from torch import nn

ACTIVATIONS: dict[str, Callable[[float], nn.Module]] = {
    "relu": lambda alpha: nn.ReLU(),
    "leakyrelu": nn.LeakyReLU,
    "elu": nn.ELU,
    "prelu": lambda alpha: nn.PReLU(init=alpha),
}
"""Each takes ``alpha``: the slope below zero (leakyrelu; prelu, to start with), or the bound below (elu)."""


def activation(name: str, alpha: float) -> nn.Module:
    """A new layer of that name; raises ``ValueError`` if there is none."""
    if name not in ACTIVATIONS:
        raise ValueError(f"there is no activation {name!r}; use one of {', '.join(ACTIVATIONS)}")
    return ACTIVATIONS[name](alpha)


class Middle(nn.Module):
    """The middle of a square picture, as a vector: pooled to the longer of two sides, cut to both.

    A picture of that side is only cut, so a network for 7 × 5 letters takes the squares of 7 px that they lie in,
    and larger squares as well.
    """

    def __init__(self, height: int, width: int) -> None:
        super().__init__()
        self.height, self.width = height, width
        self.pool = nn.AdaptiveAvgPool2d(max(height, width))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.pool(x)
        top, left = (x.shape[2] - self.height) // 2, (x.shape[3] - self.width) // 2
        return x[:, :, top : top + self.height, left : left + self.width].flatten(1)


class Mlp(nn.Sequential):
    """Dense layers alone: input ``[N, channels, H, W]``, output ``[N, classes]`` logits.

    Args:
        height, width: of the pictures that the first layer sees one weight per pixel of.
        units: of the hidden layers.
        alpha, activation: see :data:`ACTIVATIONS`.
        bias: whether dense layers add one.
    """

    def __init__(
        self,
        classes: int = 10,
        channels: int = 1,
        height: int = 28,
        width: int = 28,
        units: Sequence[int] = (128,),
        activation: str = "relu",
        alpha: float = 0.1,
        dropout: float = 0.0,
        bias: bool = True,
    ) -> None:
        parts: OrderedDict[str, nn.Module] = OrderedDict(pixels=Middle(height, width))
        parts |= _dense(channels * height * width, units, classes, activation, alpha, dropout, bias)
        super().__init__(parts)


class Cnn(nn.Sequential):
    """Blocks of convolution, activation, batch norm, max pooling and dropout; then dense layers.

    Input ``[N, channels, H, W]``, output ``[N, classes]`` logits.  Takes any size from ``2 ** blocks`` up, because
    the last block is averaged to ``grid`` positions a side.

    Args:
        filters: of the convolutions; one block for each.
        kernel, stride: of the convolutions.
        alpha, activation: see :data:`ACTIVATIONS`.
        dropout: the share of maps, and of dense units, that is left out in training.
        units: of the hidden dense layers.
        grid: positions a side that the dense layers see; 1 averages all (Lin et al. 2014, section 3.2).
    """

    def __init__(
        self,
        classes: int = 10,
        channels: int = 3,
        filters: Sequence[int] = (32, 64, 128),
        kernel: int = 3,
        stride: int = 1,
        activation: str = "relu",
        alpha: float = 0.1,
        dropout: float = 0.0,
        units: Sequence[int] = (),
        grid: int = 1,
    ) -> None:
        parts: OrderedDict[str, nn.Module] = OrderedDict()
        before = channels
        for index, width in enumerate(filters, start=1):
            parts[f"block{index}"] = _block(before, width, kernel, stride, activation, alpha, dropout)
            before = width
        parts["pool"] = nn.AdaptiveAvgPool2d(grid)
        parts["flatten"] = nn.Flatten()
        parts |= _dense(before * grid * grid, units, classes, activation, alpha, dropout, True)
        super().__init__(parts)


def _block(cin: int, cout: int, kernel: int, stride: int, name: str, alpha: float, dropout: float) -> nn.Sequential:
    # The bias is not in vain as it is right before a batch norm: the activation lies between the two.
    parts: OrderedDict[str, nn.Module] = OrderedDict(conv=nn.Conv2d(cin, cout, kernel, stride, kernel // 2))
    parts["act"] = activation(name, alpha)
    parts["bn"] = nn.BatchNorm2d(cout)
    parts["pool"] = nn.MaxPool2d(2)
    if dropout:
        parts["dropout"] = nn.Dropout2d(dropout)
    return nn.Sequential(parts)


def _dense(
    before: int, units: Sequence[int], classes: int, name: str, alpha: float, dropout: float, bias: bool
) -> OrderedDict[str, nn.Module]:
    parts: OrderedDict[str, nn.Module] = OrderedDict()
    for index, width in enumerate(units, start=1):
        parts[f"fc{index}"] = nn.Linear(before, width, bias=bias)
        parts[f"act{index}"] = activation(name, alpha)
        if dropout:
            parts[f"dropout{index}"] = nn.Dropout(dropout)
        before = width
    parts["fc"] = nn.Linear(before, classes, bias=bias)
    return parts
