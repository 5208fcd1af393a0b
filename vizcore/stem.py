"""The first convolution, with a gradient that costs no more than its forward pass.

An ascent needs the gradient by the picture, which has 3 channels; libraries of convolutions compute channels in blocks
of 16, so 13 of them for nothing: in SqueezeNet this one gradient takes a third of a step.  Here the gradient of a block
of 2 by 2 pixels (or of ``stride`` by ``stride``) is computed as 12 channels (or more) of one convolution, the way of
sub-pixel convolutions (Shi et al. 2016, arXiv:1609.05158).
"""

from __future__ import annotations

from typing import Any, TypeGuard

import torch
import torch.nn.functional as F
from torch import Tensor, nn

FEW = 4  # input channels: above, blocks of 16 are no waste worth the while


def is_stem(part: nn.Module) -> TypeGuard[nn.Conv2d]:
    """Whether :class:`Stem` can take its place: an ordinary convolution of a picture."""
    return (
        type(part) is nn.Conv2d
        and part.in_channels <= FEW
        and part.groups == 1
        and part.dilation == (1, 1)
        and part.padding_mode == "zeros"
        and not isinstance(part.padding, str)
        and part.stride[0] == part.stride[1]
        and part.padding[0] == part.padding[1]
    )


class Stem(nn.Module):
    """What ``conv`` computes, for :func:`is_stem`; the weights are frozen and get no gradient."""

    def __init__(self, conv: nn.Conv2d) -> None:
        super().__init__()
        self.weight, self.bias = conv.weight, conv.bias
        self.stride, self.padding = conv.stride[0], int(conv.padding[0])
        self.block = self.stride if self.stride > 1 else 2
        self.register_buffer("transposed", blocks(conv.weight.detach(), self.stride, self.block), persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        """``[N, C, H, W]`` in, ``[N, O, h, w]`` out, as :func:`torch.nn.functional.conv2d`."""
        out: Tensor = _Convolve.apply(x, self)
        return out

    def gradient(self, g: Tensor, height: int, width: int) -> Tensor:
        """The gradient by the input ``[N, C, height, width]`` in fp32, for one ``[N, O, h, w]`` by the output."""
        assert isinstance(self.transposed, Tensor)
        side = self.transposed.shape[2]
        reach = side - self.block // self.stride  # outputs before the block's first that see the block
        steps = self.block // self.stride
        g = g.to(self.transposed.dtype).contiguous(memory_format=torch.channels_last)
        needed = [-(-(length + 2 * self.padding) // self.block) for length in (height, width)]  # blocks
        after = [
            max(0, (count - 1) * steps + side - reach - length)
            for count, length in zip(needed, g.shape[2:], strict=True)
        ]
        if after == [reach, reach]:
            out = F.conv2d(g, self.transposed, stride=steps, padding=reach)
        else:
            out = F.conv2d(F.pad(g, (reach, after[1], reach, after[0])), self.transposed, stride=steps)
        n, block, colours = len(g), self.block, self.weight.shape[1]
        rows, columns = out.shape[2:]
        # One after the other: PyTorch copies 6 times slower when type and order change at once.
        out = out.float().contiguous()
        pixels = out.view(n, colours, block, block, rows, columns).permute(0, 1, 4, 2, 5, 3).contiguous()
        low = self.padding
        return pixels.view(n, colours, rows * block, columns * block)[:, :, low : low + height, low : low + width]


def blocks(weight: Tensor, stride: int, block: int) -> Tensor:
    """Weights ``[C * block ** 2, O, T, T]`` of the convolution that gives the gradient by blocks of pixels.

    With pixel ``i = block u + r`` (counted from the edge of the padded picture) and output
    ``j = (block / stride) u + t``, kernel element ``k = i - stride j = r - stride t`` of ``weight``
    ``[O, C, K, K']`` connects them.
    """
    outputs, colours, *kernel = weight.shape
    reach = (max(kernel) - 1) // stride
    times = range(-reach, block // stride)
    result = weight.new_zeros(colours, block, block, outputs, len(times), len(times))
    for ry in range(block):
        for rx in range(block):
            for a, ty in enumerate(times):
                for b, tx in enumerate(times):
                    ky, kx = ry - stride * ty, rx - stride * tx
                    if 0 <= ky < kernel[0] and 0 <= kx < kernel[1]:
                        result[:, ry, rx, :, a, b] = weight[:, :, ky, kx].T
    result = result.view(colours * block * block, outputs, len(times), len(times))
    return result.contiguous(memory_format=torch.channels_last)


class _Convolve(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, stem: Stem) -> Tensor:
        ctx.stem, ctx.height, ctx.width = stem, *x.shape[2:]
        return F.conv2d(x, stem.weight, stem.bias, stem.stride, stem.padding)

    @staticmethod
    def backward(ctx: Any, g: Tensor) -> tuple[Tensor, None]:
        return ctx.stem.gradient(g, ctx.height, ctx.width), None
