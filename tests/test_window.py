"""What one neuron sees: part and whole give it the same gradient, and what mixes positions is seen whole."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from tests.tiny import MEAN, STD, network, tiny_spec
from vizcore.ascent import ascend
from vizcore.layers import Cut
from vizcore.objectives import channel, neuron
from vizcore.window import window
from vizcore.zoo.card import Card
from vizcore.zoo.load import Network


class Branches(nn.Module):
    """Strides, a dilation, a pooling, a sum and a concatenation; ``squeeze`` mixes all positions before the end."""

    def __init__(self, squeeze: bool = False) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 4, 5, stride=2, padding=2)
        self.left = nn.Conv2d(4, 4, 3, padding=2, dilation=2)
        self.right = nn.MaxPool2d(3, 1, 1)
        self.down = nn.Conv2d(8, 6, 3, stride=2, padding=1)
        self.squeeze = squeeze
        self.last = nn.Conv2d(6, 5, 3, padding=1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = torch.relu(self.stem(x))
        x = torch.cat([self.left(x) + x, self.right(x)], 1)
        x = torch.relu(self.down(x))
        if self.squeeze:
            x = x * x.mean((2, 3), keepdim=True).sigmoid()
        result: torch.Tensor = self.last(x)
        return result


def branches(squeeze: bool = False) -> Network:
    torch.manual_seed(0)
    return Network(Card("b", "B", "b", {}, 3, 64, MEAN, STD, ()), Branches(squeeze).eval())


@pytest.mark.parametrize("position", [(0, 0), (8, 8), (15, 15), (3, 12), (1, 7), (14, 2), None])
def test_the_gradient_lies_inside_the_window_and_is_the_same(position: tuple[int, int] | None) -> None:
    cut, objective = Cut(branches().module, ["last"]), neuron("last", [2], position)
    found = window(cut, objective, torch.zeros(1, 3, 64, 64))
    assert found is not None
    x = torch.randn(1, 3, 64, 64, generator=torch.Generator().manual_seed(5)).requires_grad_()
    [whole] = torch.autograd.grad(objective(cut(x)).sum(), x)
    y = x.detach()[:, :, found.rows, found.columns].requires_grad_()
    [part] = torch.autograd.grad(objective.at(found.position)(cut(y)).sum(), y)
    torch.testing.assert_close(part, whole[:, :, found.rows, found.columns], rtol=1e-4, atol=1e-6)
    outside = whole.clone()
    outside[:, :, found.rows, found.columns] = 0
    assert not outside.any()
    assert part.shape[2] * part.shape[3] < 0.8 * 64 * 64


def test_what_needs_the_whole_picture_gets_it() -> None:
    blank = torch.zeros(1, 3, 64, 64)
    plain = Cut(branches().module, ["last", "down"])
    assert window(plain, channel("last", [1]), blank) is None
    assert window(plain, neuron("last", [1], (4, 4)) + channel("last", [1]), blank) is None
    assert window(plain, neuron("last", [1], (4, 4)) + neuron("last", [1], (5, 5)), blank) is None
    assert window(plain, neuron("last", [1], (4, 4)) + neuron("down", [1], (4, 4)), blank) is None
    assert window(plain, neuron("last", [1], (4, 4)) - 0.5 * neuron("last", [3], (4, 4)), blank) is not None
    assert window(Cut(branches(squeeze=True).module, ["last"]), neuron("last", [1], (4, 4)), blank) is None
    assert window(Cut(network().module, ["fc"]), neuron("fc", [1], (0, 0)), torch.zeros(1, 3, 16, 16)) is None
    assert window(plain, neuron("last", [1]), torch.zeros(1, 3, 20, 20)) is None  # it sees nearly all of that


@pytest.mark.parametrize("moves", [{}, {"jitter": 3, "scale": 0, "rotate": 0}])
def test_a_run_is_what_it_is_without_a_window(moves: dict[str, float]) -> None:
    net = branches()
    spec = tiny_spec("last", (1, 3), objective="neuron(9, 6)", size=64, steps=6, **moves)
    with_window, exact = ascend(spec, net), ascend(spec, net, exact=True)
    for one, two in zip(with_window, exact, strict=True):
        np.testing.assert_allclose(one.scores, two.scores, rtol=2e-3, atol=1e-5)
        np.testing.assert_allclose(one.gradient_norms, two.gradient_norms, rtol=2e-2, atol=1e-7)
    assert with_window._window(spec.pad) is not None
    assert exact._window(spec.pad) is None
