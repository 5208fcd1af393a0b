"""A generator, an encoder and a network that are one matrix each, in float64, so that every step has a closed form."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor, nn

from vizcore.generate.generator import CodeStats, Generator
from vizcore.zoo.card import Card
from vizcore.zoo.load import Network

SIDE, CODE, CLASSES = 4, 6, 5
RNG = np.random.default_rng(3)
PAINT = RNG.normal(0, 0.7, (SIDE * SIDE, CODE))
READ = RNG.normal(0, 1.0, (CODE, SIDE * SIDE))
JUDGE, BIAS = RNG.normal(0, 1.0, (CLASSES, SIDE * SIDE)), RNG.normal(0, 0.3, CLASSES)


class Linear(Generator):
    """x = sigmoid(PAINT h), h = relu(READ x)."""

    name, channels, image_size, code_shape = "linear", 1, (SIDE, SIDE), (CODE,)

    def __init__(self, encoder: bool = True) -> None:
        half = torch.full((CODE,), 1.0, dtype=torch.float64)
        self.encoder = encoder
        self.stats = CodeStats(half, half, 0 * half, 2.5 * half)

    def decode(self, code: Tensor) -> Tensor:
        return (code @ torch.from_numpy(PAINT).T).sigmoid().view(-1, 1, SIDE, SIDE)

    def encode(self, pictures: Tensor) -> Tensor | None:
        return (pictures.flatten(1) @ torch.from_numpy(READ).T).relu() if self.encoder else None


def network() -> Network:
    """logits = JUDGE x + BIAS."""
    module = nn.Sequential(nn.Flatten(), nn.Linear(SIDE * SIDE, CLASSES))
    names = tuple(str(number) for number in range(CLASSES))
    found = Network(Card("linear", "Linear", "none", {}, 1, SIDE, (0.0,), (1.0,), names), module)
    found.module.double()
    with torch.no_grad():
        module[1].weight.copy_(torch.from_numpy(JUDGE))
        module[1].bias.copy_(torch.from_numpy(BIAS))
    return found
