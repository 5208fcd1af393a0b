"""Redirected rectifiers: the same forward pass, and a gradient only where there was none."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from vizcore.rectifiers import Redirected


@pytest.mark.parametrize(
    "act", [F.relu, torch.relu, F.relu_, torch.relu_, torch.Tensor.relu, torch.Tensor.relu_, nn.ReLU(),
            nn.ReLU(inplace=True), F.relu6, nn.ReLU6(), nn.ReLU6(inplace=True)],
)  # fmt: skip
def test_a_row_without_gradient_gets_one_and_the_others_keep_theirs(act: object) -> None:
    x = torch.tensor([[-1.0, -2.0], [-1.0, 3.0]], requires_grad=True)
    weights = torch.tensor([[-1.0, 1.0], [-5.0, -2.0]])  # gradient of a loss: negative asks for a higher input
    (plain,) = torch.autograd.grad((act(x.clone()) * weights).sum(), x)  # type: ignore[operator]
    assert plain.tolist() == [[0, 0], [0, -2]]
    with Redirected():
        y = act(x.clone())  # type: ignore[operator]
    assert y.tolist() == [[0, 0], [0, 3]]
    (redirected,) = torch.autograd.grad((y * weights).sum(), x)
    assert redirected.tolist() == [[-1, 0], [0, -2]]


def test_other_functions_are_left_alone() -> None:
    x = torch.linspace(-2, 2, 5)
    with Redirected():
        assert torch.equal(F.hardtanh(x), x.clamp(-1, 1))
        assert torch.equal(F.leaky_relu(x), torch.where(x > 0, x, 0.01 * x))
