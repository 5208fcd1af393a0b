"""Networks with random weights for the tests of looking, and pictures that are not noise."""

from __future__ import annotations

import dataclasses
from functools import cache

import numpy as np
import torch
from PIL import Image, ImageDraw

from vizcore.look.pictures import Picture
from vizcore.zoo import architectures
from vizcore.zoo.load import Network


@cache
def random(name: str, size: int, seed: int = 0) -> Network:
    """One of torchvision's networks for pictures of ``size``, without the slow parts of making one."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        module = architectures.build(name, classes=10, quick=True)
    card = architectures.torchvision_card(name)
    return Network(dataclasses.replace(card, size=size, classes=tuple("abcdefghij"), weights_hash=name), module)


def picture(height: int = 96, width: int = 96, seed: int = 0) -> Picture:
    """Some shapes on a gradient with a little noise: uint8 ``[height, width, 3]``."""
    generator = np.random.default_rng(seed)
    ramp = np.linspace(0, 200, width)[None, :, None] * np.ones((height, 1, 3))
    image = Image.fromarray((ramp + generator.integers(0, 40, (height, width, 3))).astype(np.uint8))
    draw = ImageDraw.Draw(image)
    for _ in range(6):
        x, y = (int(generator.integers(0, width)), int(generator.integers(0, height)))
        radius = int(generator.integers(4, max(5, height // 3)))
        draw.ellipse((x - radius, y - radius, x + radius, y + radius), tuple(generator.integers(0, 256, 3).tolist()))
    return np.asarray(image)


def state(module: torch.nn.Module) -> dict[str, int]:
    """A checksum of everything that a module holds."""
    return {
        name: int(value.contiguous().view(torch.int32 if value.dtype == torch.float32 else value.dtype).sum())
        for name, value in module.state_dict().items()
    }


def hooks(module: torch.nn.Module) -> int:
    """How many hooks there are on a module and its parts."""
    kinds = ("_forward_hooks", "_forward_pre_hooks", "_backward_hooks", "_backward_pre_hooks")
    return sum(len(getattr(part, kind)) for part in module.modules() for kind in kinds)
