"""A folded network computes what the network does, layer by layer, and leaves the network alone."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
import torch
from torch import nn
from torchvision import models as tv

from vizcore.folding import fold
from vizcore.layers import Cut


class Shared(nn.Module):
    """Batch norms that must stay: between them and the convolution, something else looks on."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.norm = nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4)
        self.twice, self.one, self.two = nn.Conv2d(4, 4, 1), nn.BatchNorm2d(4), nn.BatchNorm2d(4)
        self.late, self.last = nn.Conv2d(4, 4, 1, bias=False), nn.BatchNorm2d(4, affine=False)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.conv(x)
        x = self.norm(x) + x
        x = self.two(self.twice(self.one(self.twice(x)).relu()))
        out: torch.Tensor = self.last(self.late(x))
        return out


def shaken(module: nn.Module) -> nn.Module:
    """Frozen, with batch norms that do something."""
    generator = torch.Generator().manual_seed(0)
    for part in module.modules():
        if isinstance(part, nn.BatchNorm2d):
            for value in (part.running_mean, part.running_var, part.weight, part.bias):
                if value is not None:
                    value.data = 0.5 + torch.rand(value.shape, generator=generator)
    return module.eval().requires_grad_(False)


def folded(module: nn.Module, paths: Sequence[str], x: torch.Tensor, half: bool = False) -> nn.Module:
    with torch.autocast("cpu", torch.bfloat16, enabled=half):
        return fold(module, paths, lambda module: Cut(module, paths)(x), half)


def norms(module: nn.Module) -> set[str]:
    return {path for path, part in module.named_modules() if isinstance(part, nn.BatchNorm2d)}


@pytest.mark.parametrize(
    ("name", "paths"),
    [
        ("resnet18", ["layer1"]), ("resnet18", ["layer1.0.conv1"]), ("resnet18", ["layer1.0.bn1", "layer2.0.bn2"]),
        ("resnet18", ["layer1.0.conv1", "layer1.0.conv2", "fc"]), ("densenet121", ["features.denseblock1"]),
        ("mobilenet_v2", ["features.4"]), ("googlenet", ["inception3a"]), ("squeezenet1_0", ["features.7"]),
    ],
)  # fmt: skip
def test_every_layer_that_is_looked_at_is_as_before(name: str, paths: list[str]) -> None:
    torch.manual_seed(0)
    extra = {"aux_logits": False, "init_weights": False} if name == "googlenet" else {}
    module, x = shaken(tv.get_model(name, weights=None, **extra)), torch.randn(2, 3, 64, 64)
    other = folded(module, paths, x[:1])
    before, after = Cut(module, paths)(x), Cut(other, paths)(x)
    for path in paths:
        scale = float(before[path].abs().max())
        torch.testing.assert_close(after[path] / scale, before[path] / scale, atol=1e-5, rtol=0)
    assert [path for path, _ in module.named_modules()] == [path for path, _ in other.named_modules()]
    if name != "squeezenet1_0":
        assert len(norms(other)) < len(norms(module))
    assert not norms(module) & set(paths) - norms(other)


def test_what_is_not_used_is_shared_and_the_network_is_left_alone() -> None:
    module, x = shaken(tv.resnet18(weights=None)), torch.randn(1, 3, 64, 64)
    state = {name: value.clone() for name, value in module.state_dict().items()}
    other = folded(module, ["layer1"], x, half=True)
    assert other.layer4[0].conv1.weight is module.layer4[0].conv1.weight  # type: ignore[index, union-attr]
    assert other.layer1[0].conv1.weight.dtype == torch.bfloat16  # type: ignore[index, union-attr]
    assert norms(other) == {path for path in norms(module) if path.startswith(("layer2", "layer3", "layer4"))}
    assert all(torch.equal(value, state[name]) for name, value in module.state_dict().items())
    assert not any(part._forward_hooks for net in (module, other) for part in net.modules())
    assert not any(value.requires_grad for value in other.parameters())


def test_batch_norms_stay_where_others_look_at_the_convolution() -> None:
    torch.manual_seed(0)
    module, x = shaken(Shared()), torch.randn(2, 3, 8, 8)
    other = folded(module, [""], x)
    assert norms(other) == {"norm", "one", "two"}
    torch.testing.assert_close(other(x), module(x))


def test_a_norm_by_the_batch_stays() -> None:
    module = nn.Sequential(nn.Conv2d(3, 4, 1), nn.BatchNorm2d(4, track_running_stats=False)).eval()
    assert norms(folded(module, [""], torch.randn(2, 3, 4, 4))) == {"1"}


@pytest.mark.parametrize("paths", [["layer1"], ["layer1.0.conv1", "layer2"]])
def test_rounding_once_is_rounding_at_each_step(paths: list[str]) -> None:
    torch.manual_seed(0)
    module, x = shaken(tv.resnet18(weights=None)), torch.randn(2, 3, 64, 64)
    with torch.autocast("cpu", torch.bfloat16):
        one = Cut(folded(module, paths, x), paths)(x)[paths[-1]]
        two = Cut(folded(module, paths, x, half=True), paths)(x)[paths[-1]]
    assert one.dtype == two.dtype == torch.bfloat16
    torch.testing.assert_close(two.float(), one.float(), atol=0.02 * float(one.abs().max()), rtol=0)


def test_a_network_that_cannot_be_copied_is_used_as_it_is() -> None:
    class Stubborn(nn.Conv2d):
        def __deepcopy__(self, memo: object) -> object:
            raise TypeError("no")

    module = nn.Sequential(Stubborn(3, 4, 1), nn.BatchNorm2d(4)).eval()
    assert folded(module, ["1"], torch.randn(1, 3, 4, 4)) is module
