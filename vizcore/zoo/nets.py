"""The architectures of the bundled networks, by name.

All end in average pooling, so they accept any input size from their stride up; every activation is
out of place, so a captured layer is never overwritten by the next one.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable

import torch
from torch import nn

from vizcore.zoo.plain import Cnn, Mlp


class DigitsNet(nn.Module):
    """Two convolutions and two dense layers for grey 28-pixel digits (in the manner of LeCun et al. 1998).

    Input ``[N, 1, H, W]``, output ``[N, classes]`` logits.  The adaptive pooling is the identity at 28 px.
    """

    def __init__(self, classes: int = 10) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(1, 16, 5, padding=2)
        self.relu1 = nn.ReLU()
        self.pool1 = nn.MaxPool2d(2)
        self.conv2 = nn.Conv2d(16, 32, 5, padding=2)
        self.relu2 = nn.ReLU()
        self.pool2 = nn.MaxPool2d(2)
        self.pool = nn.AdaptiveAvgPool2d(7)
        self.flatten = nn.Flatten()
        self.fc1 = nn.Linear(32 * 7 * 7, 64)
        self.relu3 = nn.ReLU()
        self.dropout = nn.Dropout(0.4)
        self.fc2 = nn.Linear(64, classes)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.pool1(self.relu1(self.conv1(x)))
        x = self.pool2(self.relu2(self.conv2(x)))
        x = self.relu3(self.fc1(self.flatten(self.pool(x))))
        logits: torch.Tensor = self.fc2(self.dropout(x))
        return logits


def _conv(cin: int, cout: int, kernel: int = 3, stride: int = 1, pool: int = 1) -> nn.Sequential:
    parts: OrderedDict[str, nn.Module] = OrderedDict(
        conv=nn.Conv2d(cin, cout, kernel, stride, kernel // 2, bias=False),
        bn=nn.BatchNorm2d(cout),
    )
    if pool > 1:
        parts["pool"] = nn.MaxPool2d(pool)
    parts["relu"] = nn.ReLU()
    return nn.Sequential(parts)


class Residual(nn.Module):
    """``x + f(x)``, with ``f`` a chain of convolution, batch norm and ReLU (He et al. 2016)."""

    def __init__(self, width: int, depth: int) -> None:
        super().__init__()
        self.body = nn.Sequential(*(_conv(width, width) for _ in range(depth)))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        sum_: torch.Tensor = x + self.body(x)
        return sum_


class SmallResNet(nn.Module):
    """A stem and three blocks, each a convolution that halves the sides, followed by a residual.

    Input ``[N, channels, H, W]``, output ``[N, classes]`` logits.  At 64 px with the strided stem the
    blocks have 16, 8 and 4 positions a side.

    Args:
        stem: width, kernel and stride of the first convolution.
        widths: channels of the three blocks.
        depths: convolutions inside the residual of each block.
        pool: whether sides are halved by max pooling instead of a stride: four times the work for that convolution,
            but none of the aliasing.
    """

    block1: nn.Sequential
    block2: nn.Sequential
    block3: nn.Sequential

    def __init__(
        self,
        classes: int = 10,
        stem: tuple[int, int, int] = (48, 5, 2),
        widths: tuple[int, int, int] = (64, 128, 256),
        depths: tuple[int, int, int] = (2, 2, 1),
        channels: int = 3,
        pool: bool = False,
    ) -> None:
        super().__init__()
        stride, pooled = (1, 2) if pool else (2, 1)
        self.stem = _conv(channels, *stem)
        before = stem[0]
        for index, (width, depth) in enumerate(zip(widths, depths, strict=True), start=1):
            block = nn.Sequential(
                OrderedDict(down=_conv(before, width, 3, stride, pooled), residual=Residual(width, depth))
            )
            setattr(self, f"block{index}", block)
            before = width
        self.pool = nn.AdaptiveAvgPool2d(1)
        self.flatten = nn.Flatten()
        self.fc = nn.Linear(before, classes)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.block3(self.block2(self.block1(self.stem(x))))
        logits: torch.Tensor = self.fc(self.flatten(self.pool(x)))
        return logits


ARCHITECTURES: dict[str, Callable[..., nn.Module]] = {
    "digits": DigitsNet, "small-resnet": SmallResNet, "mlp": Mlp, "cnn": Cnn,
}  # fmt: skip
