"""The networks of a generator of the DGN kind, for pictures of 16 to 96 px (Dosovitskiy & Brox 2016, section 3).

::

    Decoder          code [N, ...] ─► picture [N, C, S, S]     dense layers, then transposed convolutions
    CodeDenoiser     code ─► code                              R_h of PPGN-h
    ImageDenoiser    picture ─► picture                        R_x of PPGN-x
    Discriminator    picture ─► logit                          of the adversarial loss; not kept
"""

from __future__ import annotations

import itertools
import math

import torch
from torch import Tensor, nn

SLOPE = 0.3  # of the leaky rectifiers, as in the published generators


def _lrelu() -> nn.Module:
    return nn.LeakyReLU(SLOPE)


class Decoder(nn.Module):
    """Codes of any shape to pictures ``[N, channels, size, size]`` in [0, 1].

    Args:
        code: numbers in a code.
        hidden: units of the dense layer behind it.
        width: channels of the first maps; halved from the second doubling on, down to 16.
    """

    def __init__(self, code: int, channels: int, size: int, hidden: int = 256, width: int = 64) -> None:
        super().__init__()
        side, doublings = size, 0
        while side > 8:
            side, doublings = math.ceil(side / 2), doublings + 1
        self.size, self.side, self.width = size, side, width
        self.dense = nn.Sequential(
            nn.Linear(code, hidden), _lrelu(), nn.Linear(hidden, width * side * side), _lrelu()
        )  # fmt: skip
        parts: list[nn.Module] = []
        for index in range(doublings):
            after = max(16, width >> max(0, index))
            before = width if index == 0 else max(16, width >> max(0, index - 1))
            parts += [nn.ConvTranspose2d(before, after, 4, 2, 1), _lrelu()]
        last = max(16, width >> max(0, doublings - 1)) if doublings else width
        parts.append(nn.Conv2d(last, channels, 3, padding=1))
        self.paint = nn.Sequential(*parts)

    @torch.no_grad()
    def see(self, units: Tensor, mean: Tensor, scale: float) -> None:
        """Let the first layer say how far codes are along the axes ``units`` ``[K, code]`` from ``mean``, in ``scale``.

        Where there are fewer axes than hidden units, the others stay silent.
        """
        first = self.dense[0]
        assert isinstance(first, nn.Linear)
        weight = torch.zeros_like(first.weight)
        weight[: len(units)] = units[: len(weight)] / scale
        first.weight.copy_(weight)
        first.bias.copy_(-(weight @ mean.flatten()))

    def axes(self) -> Tensor:
        """What :meth:`see` was given: ``[hidden, code]``, of length 1 each (0 where there is none)."""
        first = self.dense[0]
        assert isinstance(first, nn.Linear)
        return nn.functional.normalize(first.weight.detach(), dim=1)

    def forward(self, code: Tensor) -> Tensor:
        x = self.dense(code.flatten(1)).view(-1, self.width, self.side, self.side)
        picture: Tensor = self.paint(x)[:, :, : self.size, : self.size].sigmoid()
        return picture


class CodeDenoiser(nn.Module):
    """A denoising autoencoder of seven sizes, narrowest in the middle (Nguyen et al. 2017, section 3.3).

    Dense layers on vectors, convolutions on maps, where dense ones would be larger than the generator itself.

    Args:
        shape: of a code, ``(units,)`` or ``(channels, height, width)``.
    """

    def __init__(self, shape: tuple[int, ...]) -> None:
        super().__init__()
        code = shape[0]
        widths = [code, max(code // 2, 48), max(code // 4, 40), max(code // 8, 32)]
        widths += widths[-2::-1]
        parts: list[nn.Module] = []
        for index, (before, after) in enumerate(itertools.pairwise(widths)):
            kernel = 1 if index in (0, len(widths) - 2) else 3
            flat = len(shape) == 1
            parts += [nn.Linear(before, after) if flat else nn.Conv2d(before, after, kernel, padding="same"), _lrelu()]
        self.layers = nn.Sequential(*parts[:-1])

    def forward(self, code: Tensor) -> Tensor:
        restored: Tensor = self.layers(code)
        return restored


class ImageDenoiser(nn.Module):
    """A small convolutional denoiser of pictures ``[N, channels, H, W]``; it says what to add."""

    def __init__(self, channels: int, width: int = 24) -> None:
        super().__init__()
        self.down = nn.Sequential(
            nn.Conv2d(channels, width, 3, padding=1), _lrelu(), nn.Conv2d(width, 2 * width, 4, 2, 1), _lrelu(),
            nn.Conv2d(2 * width, 2 * width, 4, 2, 1), _lrelu(),
        )  # fmt: skip
        self.up = nn.Sequential(
            nn.ConvTranspose2d(2 * width, 2 * width, 4, 2, 1), _lrelu(),
            nn.ConvTranspose2d(2 * width, width, 4, 2, 1), _lrelu(), nn.Conv2d(width, channels, 3, padding=1),
        )  # fmt: skip

    def forward(self, x: Tensor) -> Tensor:
        change: Tensor = self.up(self.down(x))
        height, width = x.shape[2:]
        change = nn.functional.pad(change, [0, width - change.shape[3], 0, height - change.shape[2]])
        return x + change


class Discriminator(nn.Module):
    """One logit per picture ``[N, channels, H, W]``: above 0 for a real one."""

    def __init__(self, channels: int, width: int = 32) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.Conv2d(channels, width, 4, 2, 1), nn.LeakyReLU(0.2), nn.Conv2d(width, 2 * width, 4, 2, 1),
            nn.LeakyReLU(0.2), nn.AdaptiveAvgPool2d(7), nn.Flatten(), nn.Linear(2 * width * 49, 1),
        )  # fmt: skip

    def forward(self, x: Tensor) -> Tensor:
        found: Tensor = self.layers(x)
        return found[:, 0]
