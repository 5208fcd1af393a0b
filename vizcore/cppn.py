"""A picture painted by a small network from coordinates (Stanley 2007; as an image: Mordvintsev et al. 2018, Distill).

::

    (x, y) ─► 1 × 1 convolution ─► atan, atan² ─► … 6 times … ─► 1 × 1 convolution ─► canvas ─► sigmoid ─► picture

Its weights are ascended.  It is smooth, has no pixels, and can be painted at any size.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor
from torch.utils.checkpoint import checkpoint

from vizcore.rng import START, stream

HIDDEN, LAYERS = 16, 6
REACH = 3**0.5  # coordinates from -√3 to √3 have deviation 1, as the layers have
# Mean and deviation of atan(z) and atan(z)² for a normal z, by quadrature: the activations have mean 0 and deviation 1.
_SPREAD, _MEAN2, _SPREAD2 = 0.6705974, 0.4497009, 0.3961322


class Painter:
    """The weights ``[N, P]`` of one network for each row.

    Args:
        channels: one row for each; the start of a row depends on (seed, channel) only.
        shape: (colours, height, width).
        start: deviation of the first picture's logits; 0 is grey.
    """

    def __init__(self, channels: Sequence[int], shape: tuple[int, int, int], start: float, seed: int,
                 device: torch.device) -> None:  # fmt: skip
        colours, height, width = shape
        self._shape = shape
        sizes = [(2, HIDDEN), *[(2 * HIDDEN, HIDDEN)] * (LAYERS - 1), (2 * HIDDEN, colours)]
        rows = []
        for channel in channels:
            random = stream(seed, channel, START)
            parts = [random.standard_normal((fan, out), np.float32) / np.sqrt(fan) for fan, out in sizes]
            parts[-1] *= start
            rows.append(np.concatenate([np.concatenate([p.ravel(), np.zeros(p.shape[1])]) for p in parts]))
        self.parameter = torch.from_numpy(np.stack(rows)).to(device, torch.float32).requires_grad_()
        self._sizes = sizes
        longest = max(height, width)
        y = torch.arange(1 - height, height, 2, device=device) / longest * REACH
        x = torch.arange(1 - width, width, 2, device=device) / longest * REACH
        self._where = torch.stack(torch.meshgrid(x, y, indexing="xy"), -1).view(-1, 2)  # [H W, (x, y)]

    def canvas(self) -> Tensor:
        """``[N, C, H, W]`` in logits, 0 is middle grey.

        What is between the layers is computed again for the gradient: kept, it would be a gigabyte for 16 pictures.
        """
        with torch.autocast(self.parameter.device.type, enabled=False):
            rows = [checkpoint(self._paint, weights, use_reentrant=False) for weights in self.parameter]
        return torch.stack(rows)

    def _paint(self, weights: Tensor) -> Tensor:
        x, at = self._where, 0
        for number, (fan, out) in enumerate(self._sizes):
            matrix, bias = weights[at : at + fan * out].view(fan, out), weights[at + fan * out : at + (fan + 1) * out]
            at += (fan + 1) * out
            x = torch.addmm(bias, x, matrix)
            if number < LAYERS:
                x = x.atan()
                x = torch.cat([x / _SPREAD, (x * x - _MEAN2) / _SPREAD2], 1)
        return x.T.reshape(self._shape)

    def picture(self, canvas: Tensor) -> Tensor:
        """The picture ``[N, C, H, W]`` in [0, 1]."""
        return canvas.sigmoid()

    def render(self) -> Tensor:
        """The picture in [0, 1], with gradient."""
        return self.picture(self.canvas())

    def settle(self) -> None:
        """Nothing to do: the sigmoid keeps the picture in [0, 1]."""

    def set_canvas(self, canvas: Tensor) -> None:
        """Nothing to do: no weights paint just any canvas."""

    @torch.no_grad()
    def shrink(self, share: float) -> None:
        """Move the canvas towards grey by this share: exactly, by the last layer, which is linear."""
        fan, out = self._sizes[-1]
        self.parameter[:, -(fan + 1) * out :].mul_(1 - share)

    def blur(self, sigma: float) -> None:
        """Nothing to do: what is painted is smooth."""
