"""The first convolution: PyTorch's own gradient in double precision is the oracle."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from vizcore.folding import fold
from vizcore.layers import Cut
from vizcore.stem import Stem, is_stem


@pytest.mark.parametrize(
    ("colours", "kernel", "stride", "padding", "height", "width"),
    [
        (3, 7, 2, 3, 64, 64), (3, 7, 2, 0, 65, 62),  # ResNet, SqueezeNet
        (3, 11, 4, 2, 67, 64), (3, 3, 1, 1, 20, 23), (3, 3, 2, 0, 31, 30), (3, 5, 2, 2, 32, 32),
        (1, 5, 1, 0, 28, 29), (3, 1, 1, 0, 9, 9), (4, 2, 3, 1, 17, 20), (3, (3, 5), 1, 1, 16, 18),
    ],
)  # fmt: skip
def test_output_and_gradient_are_those_of_the_convolution(
    colours: int, kernel: int, stride: int, padding: int, height: int, width: int
) -> None:
    torch.manual_seed(0)
    conv = nn.Conv2d(colours, 8, kernel, stride, padding).requires_grad_(False)
    x = torch.randn(2, colours, height, width, requires_grad=True)
    there = conv.double()(x.double())
    g = torch.randn_like(there)
    (wanted,) = torch.autograd.grad(there, x, g)
    here = Stem(conv.float())(x)
    (got,) = torch.autograd.grad(here, x, g.float())
    torch.testing.assert_close(here, there.float(), rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(got, wanted, rtol=1e-5, atol=1e-5)


def test_in_bf16_the_gradient_is_as_good_as_pytorchs() -> None:
    torch.manual_seed(1)
    conv = nn.Conv2d(3, 32, 7, 2).requires_grad_(False)
    x = torch.randn(2, 3, 64, 64, requires_grad=True)
    (exact,) = torch.autograd.grad(conv(x).square().sum(), x)
    half = nn.Conv2d(3, 32, 7, 2).requires_grad_(False).to(torch.bfloat16)
    half.load_state_dict({name: value.to(torch.bfloat16) for name, value in conv.state_dict().items()})
    errors = []
    for part in (half, Stem(half)):
        with torch.autocast("cpu", torch.bfloat16):
            out = part(x)
        (gradient,) = torch.autograd.grad(out.float().square().sum(), x)
        assert gradient.dtype == torch.float32
        errors.append(float((gradient - exact).norm() / exact.norm()))
    assert errors[1] < 0.02
    assert errors[1] < 1.1 * errors[0]


@pytest.mark.parametrize(
    "part",
    [
        nn.Conv2d(8, 4, 3), nn.Conv2d(4, 4, 3, groups=4), nn.Conv2d(3, 4, 3, dilation=2), nn.ReLU(),
        nn.Conv2d(3, 4, 3, padding="same"), nn.Conv2d(3, 4, 3, padding=1, padding_mode="reflect"),
        nn.Conv2d(3, 4, 3, stride=(1, 2)), nn.Conv2d(3, 4, 3, padding=(1, 0)), nn.Conv1d(3, 4, 3),
    ],
)  # fmt: skip
def test_other_parts_keep_their_own_gradient(part: nn.Module) -> None:
    assert not is_stem(part)


def test_a_folded_network_has_it_in_the_place_of_its_first_convolution_only() -> None:
    net = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.Conv2d(4, 8, 3)).eval()
    net.requires_grad_(False)
    x = torch.randn(1, 3, 16, 16)
    folded = fold(net, ["3"], lambda module: Cut(module, ["3"])(x), half=False)
    assert isinstance(folded.get_submodule("0"), Stem)
    assert isinstance(net[0], nn.Conv2d)
    torch.testing.assert_close(folded(x), net(x), rtol=1e-5, atol=1e-5)
