"""What holds a picture back: projections of the canvas after each update, and terms that are taken off the score.

The projections are those of Yosinski et al. 2015, in the order of their code: decay, blur, and clips to grey.
A *small* value or pixel is one below a percentile of its picture, as :func:`numpy.percentile` has it.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from vizcore.images import Image
from vizcore.params import Value


def needs_canvas_gradient(knobs: Mapping[str, Value]) -> bool:
    """Whether a clip asks for the gradient of the score with respect to the canvas."""
    return bool(knobs["small_benefit"]) or bool(knobs["small_contribution"])


@torch.no_grad()
def project(image: Image, knobs: Mapping[str, Value], step: int, gradient: Tensor | None) -> None:
    """Apply the projections of ``step`` that are not 0 to an image.

    Args:
        gradient: of the score with respect to the canvas ``[N, C, H, W]``; needed by the two last clips.
    """
    if knobs["decay"]:
        image.shrink(float(knobs["decay"]))
    if knobs["blur"] and step % int(knobs["blur_every"]) == 0:
        image.blur(float(knobs["blur"]))
    if any(knobs[name] for name in ("small_value", "small_norm", "small_benefit", "small_contribution")):
        image.set_canvas(_clip(image.canvas().detach().clone(), knobs, gradient))


def _clip(x: Tensor, knobs: Mapping[str, Value], gradient: Tensor | None) -> Tensor:
    if knobs["small_value"]:
        x = _without_small(x, x.abs(), float(knobs["small_value"]))
    if knobs["small_norm"]:
        x = _without_small(x, x.norm(dim=1, keepdim=True), float(knobs["small_norm"]))
    if gradient is not None and knobs["small_benefit"]:
        x = _without_small(x, (gradient * -x).sum(1, keepdim=True), float(knobs["small_benefit"]))
    if gradient is not None and knobs["small_contribution"]:
        x = _without_small(x, (gradient * -x).sum(1, keepdim=True).abs(), float(knobs["small_contribution"]))
    return x


def _without_small(x: Tensor, size: Tensor, percent: float) -> Tensor:
    return x.masked_fill(size < percentile(size, percent)[:, None, None, None], 0)


def percentile(x: Tensor, percent: float) -> Tensor:
    """The percentile ``[N]`` (below 100) of each row of ``x`` ``[N, ...]``, linear between ranks.

    The rank is exact, where :func:`torch.quantile` rounds it and may set a value too many to grey.
    """
    rows = x.flatten(1)
    rank = percent / 100 * (rows.shape[1] - 1)
    below = int(rank)
    lowest = rows.topk(below + 2, dim=1, largest=False, sorted=False).values
    high, low = lowest.topk(2, dim=1).values.unbind(1)
    return low + (high - low) * (rank - below)


def cost(picture: Tensor, mean: Tensor, knobs: Mapping[str, Value]) -> Tensor | None:
    """What total variation and L1 take off the score of each row ``[N]``, or None if both are 0.

    Total variation is the sum of absolute differences between neighbours, L1 that of absolute distances from ``mean``.
    """
    total: Tensor | None = None
    if knobs["tv"]:
        down = (picture[:, :, 1:] - picture[:, :, :-1]).abs().sum((1, 2, 3))
        right = (picture[..., 1:] - picture[..., :-1]).abs().sum((1, 2, 3))
        total = float(knobs["tv"]) * (down + right)
    if knobs["l1"]:
        distance = float(knobs["l1"]) * (picture - mean).abs().sum((1, 2, 3))
        total = distance if total is None else total + distance
    return total
