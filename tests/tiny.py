"""A small network with known weights, for tests of the mathematics."""

from __future__ import annotations

from collections import OrderedDict

import torch
from torch import nn

from vizcore.spec import RunSpec, build
from vizcore.zoo.card import Card
from vizcore.zoo.load import Network

MEAN, STD = (0.48, 0.45, 0.40), (0.23, 0.22, 0.21)


def network(channels: int = 3, seed: int = 0) -> Network:
    """Two convolutions of 4 and 6 channels and a dense layer of 5 classes, with weights drawn from a seed."""
    generator = torch.Generator().manual_seed(seed)
    module = nn.Sequential(
        OrderedDict(
            conv1=nn.Conv2d(channels, 4, 3, padding=1),
            relu1=nn.ReLU(),
            conv2=nn.Conv2d(4, 6, 3, stride=2),
            relu2=nn.ReLU(inplace=True),
            pool=nn.AdaptiveAvgPool2d(1),
            flatten=nn.Flatten(),
            fc=nn.Linear(6, 5),
        )
    )
    for parameter in module.parameters():
        parameter.data = 0.3 * torch.randn(parameter.shape, generator=generator)
    card = Card(
        "tiny", "Tiny", "tiny", {}, channels, 16, MEAN[:channels], STD[:channels], ("a cat", "b", "c", "d", "e")
    )
    return Network(card, module)


def tiny_spec(layer: str = "conv2", channels: object = "0-3", preset: str = "Crisp", **values: object) -> RunSpec:
    """A short run of 16 px in fp32."""
    return build("tiny", layer, channels, preset, **{"size": 16, "steps": 5, "precision": "fp32", **values})  # type: ignore[arg-type]
