"""Changes of a batch of pictures that leave its labels true.

They are named in a list, ``flip,crop:4,cutout:8``, and applied in this order to whole batches on the device, so no
process has to prepare pictures ahead.
"""

from __future__ import annotations

import math

import torch
from torch.nn import functional as F

from vizcore.train.changes import Augmentation


def apply(images: torch.Tensor, how: Augmentation, mean: torch.Tensor, rng: torch.Generator) -> torch.Tensor:
    """``images`` uint8 ``[N, C, H, W]`` as float in [0, 1], each changed at random.

    Args:
        mean: ``[C, 1, 1]``, what a cut-out square becomes.
        rng: a generator of the CPU; equal states give equal pictures.
    """
    if how.flip:
        images = _flipped(images, rng)
    for reach, mode in ((int(how.crop), "reflect"), (int(how.shift), "replicate")):
        if reach:
            images = _moved(images, reach, mode, rng)
    x = images.float().div_(255)
    if how.zoom or how.rotate:
        x = _turned(x, how, rng)
    if how.light:
        gain, offset = (1 + how.light * _spread(len(x), rng, x.device) for _ in range(2))
        middle = x.mean((1, 2, 3), keepdim=True)
        x = ((x - middle) * gain + middle * offset).clamp_(0, 1)
    if how.cutout:
        x = _cut(x, int(how.cutout), mean, rng)
    return x


def _spread(count: int, rng: torch.Generator, device: torch.device) -> torch.Tensor:
    """Numbers from -1 to 1, ``[N, 1, 1, 1]``."""
    return (torch.rand(count, 1, 1, 1, generator=rng) * 2 - 1).to(device)


def _flipped(images: torch.Tensor, rng: torch.Generator) -> torch.Tensor:
    rows = torch.nonzero(torch.rand(len(images), generator=rng) < 0.5)[:, 0].to(images.device)
    images = images.clone()
    images[rows] = images[rows].flip(3)
    return images


def _moved(images: torch.Tensor, reach: int, mode: str, rng: torch.Generator) -> torch.Tensor:
    count, _, height, width = images.shape
    reach = min(reach, height - 1, width - 1)
    rows, columns = (
        _bounced(torch.randint(-reach, reach + 1, (count, 1), generator=rng) + torch.arange(side), side, mode)
        for side in (height, width)
    )
    device = images.device
    number = torch.arange(count, device=device)[:, None, None]
    # One look-up instead of a padded copy; channels last, which is how convolutions like it.
    found = images.permute(0, 2, 3, 1)[number, rows.to(device)[:, :, None], columns.to(device)[:, None, :]]
    return found.permute(0, 3, 1, 2)


def _bounced(places: torch.Tensor, side: int, mode: str) -> torch.Tensor:
    """``places`` beyond the edge brought back: mirrored at the border pixel, or onto it."""
    if mode == "replicate":
        return places.clamp(0, side - 1)
    places = places.abs()
    return torch.where(places >= side, 2 * (side - 1) - places, places)


def _turned(x: torch.Tensor, how: Augmentation, rng: torch.Generator) -> torch.Tensor:
    count = len(x)
    scale = 1 + how.zoom * (torch.rand(count, generator=rng) * 2 - 1)
    angle = how.rotate * math.pi / 180 * (torch.rand(count, generator=rng) * 2 - 1)
    theta = torch.zeros(count, 2, 3)
    theta[:, 0, 0] = theta[:, 1, 1] = scale * angle.cos()
    theta[:, 0, 1], theta[:, 1, 0] = -scale * angle.sin(), scale * angle.sin()
    grid = F.affine_grid(theta.to(x.device), list(x.shape), align_corners=False)
    return F.grid_sample(x, grid, padding_mode="border", align_corners=False).clamp_(0, 1)


def _cut(x: torch.Tensor, side: int, mean: torch.Tensor, rng: torch.Generator) -> torch.Tensor:
    count, _, height, width = x.shape
    inside = []
    for length in (height, width):
        centre = torch.randint(0, length, (count, 1), generator=rng)
        place = torch.arange(length)
        inside.append((place >= centre - side // 2) & (place < centre + (side + 1) // 2))
    mask = (inside[0][:, None, :, None] & inside[1][:, None, None, :]).to(x.device)
    return torch.where(mask, mean.to(x.device, x.dtype), x)
