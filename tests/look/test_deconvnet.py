"""The rules for rectifiers against explicit unpooling and transposed convolutions, closed forms, and Captum."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from captum import attr
from torch import Tensor, nn

from tests.look import nets
from tests.tiny import network as tiny
from vizcore.errors import LayerError
from vizcore.look.deconvnet import RULES, Rectifiers, Rule, project
from vizcore.look.units import Unit, tensor
from vizcore.zoo.card import Card
from vizcore.zoo.load import Network


def near(a: Tensor, b: Tensor) -> float:
    return float((a - b).norm() / b.norm())


def plain(module: nn.Module, channels: int = 3, size: int = 16) -> Network:
    card = Card("t", "t", "t", {}, channels, size, (0.5,) * channels, (0.5,) * channels, ())
    return Network(card, module)


def explicit(layers: nn.Sequential, z: Tensor, channel: int, overwrite: bool = False) -> Tensor:
    """Zeiler and Fergus' algorithm as the paper tells it: unpool to the switches, rectify, filter with transposes."""
    steps: list[tuple[str, tuple[object, ...]]] = []
    a = z
    for layer in layers:
        if isinstance(layer, nn.Conv2d):
            steps.append(("filter", (layer, a.shape[2:])))
            a = F.conv2d(a, layer.weight, layer.bias, layer.stride, layer.padding)
        elif isinstance(layer, nn.ReLU):
            steps.append(("rectify", ()))
            a = a.clamp(min=0)
        elif isinstance(layer, nn.MaxPool2d):
            out, switches = F.max_pool2d(a, layer.kernel_size, layer.stride, return_indices=True)
            steps.append(("unpool", (switches, a.shape)))
            a = out
        else:
            raise TypeError(layer)
    flat = a[:, channel].flatten(1)
    r = torch.zeros_like(a)
    r[:, channel].flatten(1).scatter_(1, flat.argmax(1, keepdim=True), 1.0)
    for what, data in reversed(steps):
        if what == "rectify":
            r = r.clamp(min=0)
        elif what == "unpool":
            switches, shape = data
            flat_r, flat_s = r.flatten(2), switches.flatten(2)
            empty = torch.zeros(shape, dtype=r.dtype).flatten(2)
            r = (empty.scatter_(2, flat_s, flat_r) if overwrite else empty.scatter_add_(2, flat_s, flat_r)).view(shape)
        else:
            conv, size = data
            extra = [
                size[i] - ((r.shape[2 + i] - 1) * conv.stride[i] - 2 * conv.padding[i] + conv.kernel_size[i])
                for i in (0, 1)
            ]
            r = F.conv_transpose2d(r, conv.weight, None, conv.stride, conv.padding, extra)
    return r


@pytest.mark.parametrize(("name", "dtype", "tolerance"), [
    ("vgg11", torch.float32, 1e-5), ("vgg11", torch.float64, 1e-10),
    ("alexnet", torch.float32, 1e-5), ("alexnet", torch.float64, 1e-10),
])  # fmt: skip
def test_equals_explicit_unpooling_and_transposed_filters(name: str, dtype: torch.dtype, tolerance: float) -> None:
    size = {"vgg11": 64, "alexnet": 224}[name]
    features = nets.random(name, size).module.features
    net = plain(nn.Sequential(*features), size=size)
    try:
        net.module.to(dtype)
        z = torch.randn(2, 3, size, size, dtype=dtype, generator=torch.Generator().manual_seed(1))
        path = str(len(features) - 2)  # in front of the last pooling
        ours = project(net, z, Unit(path, 7)).values
        theirs = explicit(nn.Sequential(*list(features)[:-1]), z, 7)
        assert float(theirs.abs().max()) > 0
        assert near(ours, theirs) < tolerance
        if name == "alexnet":  # its poolings overlap: an unpooling that overwrites is another thing
            assert near(explicit(nn.Sequential(*list(features)[:-1]), z, 7, overwrite=True), theirs) > 0.1
    finally:
        net.module.float()


CAPTUM = {"deconv": attr.Deconvolution, "guided": attr.GuidedBackprop}


def by_captum(net: Network, z: Tensor, rule: Rule, target: int) -> Tensor:
    if rule == "gradient":
        return attr.Saliency(net.module).attribute(z.clone().requires_grad_(), target=target, abs=False)
    return CAPTUM[rule](net.module).attribute(z.clone().requires_grad_(), target=target)


def best(net: Network, z: Tensor) -> int:
    """A class that is not dead, with these random weights."""
    with torch.no_grad():
        return int(net.module(z)[0].argmax())


@pytest.mark.parametrize("name", ["vgg11", "alexnet", "resnet18", "squeezenet1_0"])
@pytest.mark.parametrize("rule", ["gradient", "deconv", "guided"])
def test_equals_captum_where_captum_acts(name: str, rule: Rule) -> None:
    net = nets.random(name, 64)
    z = tensor(net, nets.picture())
    top = best(net, z)
    assert near(project(net, z, Unit("", top), rule).values, by_captum(net, z, rule, top)) < 1e-5


@pytest.mark.parametrize("name", ["googlenet", "densenet121"])
def test_differs_from_captum_where_captum_does_not_see_the_rectifiers(name: str) -> None:
    net = nets.random(name, 64)
    z = tensor(net, nets.picture())
    top = best(net, z)
    if name == "googlenet":  # the reason for an engine of our own
        torch.testing.assert_close(by_captum(net, z, "deconv", top), by_captum(net, z, "gradient", top))
        torch.testing.assert_close(by_captum(net, z, "guided", top), by_captum(net, z, "gradient", top))
    assert near(project(net, z, Unit("", top), "deconv").values, by_captum(net, z, "deconv", top)) > 0.3
    assert near(project(net, z, Unit("", top), "gradient").values, by_captum(net, z, "gradient", top)) < 1e-5


@pytest.mark.parametrize(("name", "calls"), [
    ("googlenet", 57), ("inception_v3", 94), ("resnet18", 17), ("squeezenet1_0", 26), ("densenet121", 121),
])  # fmt: skip
def test_every_rectifier_is_caught(name: str, calls: int) -> None:
    net = nets.random(name, 96)
    z = tensor(net, nets.picture())
    with torch.no_grad(), Rectifiers("deconv") as seen:
        inside = net.module(z)
    assert seen.calls == calls
    with torch.no_grad():
        torch.testing.assert_close(inside, net.module(z))


def test_a_network_without_rectifiers_gives_the_gradient() -> None:
    net = plain(nn.Sequential(nn.Conv2d(3, 4, 3), nn.MaxPool2d(2), nn.Flatten(), nn.Linear(4 * 49, 5)))
    z = torch.randn(2, 3, 16, 16)
    found = {rule: project(net, z, Unit("", 2), rule) for rule in RULES}
    x = z.clone().requires_grad_()
    net.module(x)[:, 2].sum().backward()
    for rule in RULES:
        assert found[rule].intercepted == 0
        torch.testing.assert_close(found[rule].values, x.grad)


@pytest.mark.parametrize("call", ["module", "inplace", "functional", "torch", "method", "clamp", "clamp_min"])
def test_closed_form_of_one_hidden_layer(call: str) -> None:
    """R = W1^T relu(W2^T e_c) for the deconvnet, and so on, however the rectifier is written."""
    rectify = {
        "module": nn.ReLU(), "inplace": nn.ReLU(inplace=True), "functional": F.relu, "torch": torch.relu_,
        "method": Tensor.relu, "clamp": lambda x: x.clamp(min=0), "clamp_min": lambda x: torch.clamp_min(x, 0),
    }[call]  # fmt: skip

    class Net(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.one, self.two = nn.Linear(48, 9), nn.Linear(9, 4)
            self.rectify = rectify

        def forward(self, x: Tensor) -> Tensor:
            return self.two(self.rectify(self.one(x.flatten(1))))

    torch.manual_seed(0)
    net = plain(Net().double(), size=4)
    net.module.double()
    z = torch.randn(1, 3, 4, 4, dtype=torch.double)
    w1, w2 = net.module.one.weight, net.module.two.weight
    on = (net.module.one(z.flatten(1))[0] > 0).double()
    from_above = w2[1]
    wanted = {
        "linear": w1.T @ from_above, "gradient": w1.T @ (on * from_above),
        "deconv": w1.T @ from_above.clamp(min=0), "guided": w1.T @ (on * from_above.clamp(min=0)),
    }  # fmt: skip
    for rule in RULES:
        found = project(net, z, Unit("", 1), rule)
        torch.testing.assert_close(found.values.flatten(), wanted[rule], rtol=0, atol=1e-12)
        assert found.intercepted == 1


ACTIVATIONS = [
    nn.ReLU6(), nn.LeakyReLU(0.2), nn.ELU(), nn.PReLU(), nn.GELU(), nn.SiLU(), nn.Hardswish(), nn.Mish(), nn.SELU(),
    nn.CELU(), nn.Softplus(), nn.Tanh(), nn.Hardtanh(), nn.Sigmoid(), nn.ELU(inplace=True), nn.SiLU(inplace=True),
]  # fmt: skip


@pytest.mark.parametrize("layer", ACTIVATIONS, ids=repr)
def test_other_activations_are_extended_as_documented(layer: nn.Module) -> None:
    torch.manual_seed(0)
    net = plain(nn.Sequential(nn.Conv2d(3, 5, 3), layer, nn.Conv2d(5, 2, 14)))
    z = torch.randn(1, 3, 16, 16)
    first, last = net.module[0], net.module[2]
    hidden = first(z).detach().requires_grad_()
    slope = torch.autograd.grad(type(layer)()(hidden).sum() if not isinstance(layer, (nn.PReLU, nn.LeakyReLU))
                                else layer(hidden).sum(), hidden)[0]  # fmt: skip
    g = F.conv_transpose2d(torch.tensor([[[[0.0]], [[1.0]]]]), last.weight)
    wanted = {
        "linear": g, "gradient": g * slope, "deconv": g.clamp(min=0), "guided": g.clamp(min=0) * slope.clamp(min=0),
    }  # fmt: skip
    for rule in RULES:
        found = project(net, z, Unit("2", 1), rule)
        assert found.intercepted == 1
        torch.testing.assert_close(found.values, F.conv_transpose2d(wanted[rule], first.weight), rtol=1e-4, atol=1e-6)


def test_a_gate_counts_as_a_constant() -> None:
    class Gated(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv, self.gate, self.relu = nn.Conv2d(3, 3, 3), nn.Conv2d(3, 3, 1), nn.ReLU()

        def forward(self, x: Tensor) -> Tensor:
            x = self.conv(x)
            return self.relu(x * torch.sigmoid(self.gate(x.mean((2, 3), keepdim=True))))

    torch.manual_seed(0)
    net = plain(Gated())
    z = torch.randn(1, 3, 16, 16)
    with torch.no_grad():
        inner = net.module.conv(z)
        gate = torch.sigmoid(net.module.gate(inner.mean((2, 3), keepdim=True)))
        out = (inner * gate).relu()
    place = divmod(int(out[0, 1].argmax()), out.shape[3])
    seed = torch.zeros_like(out)
    seed[0, 1, place[0], place[1]] = 1
    wanted = F.conv_transpose2d(seed * gate, net.module.conv.weight)
    torch.testing.assert_close(project(net, z, Unit("", 1), "deconv").values, wanted)


def test_it_is_positively_homogeneous_and_the_linear_rule_is_the_adjoint() -> None:
    net = tiny()
    z = torch.randn(1, 3, 16, 16)
    one = project(net, z, Unit("relu1", 2), "deconv")
    scaled = tiny()
    scaled.module.conv1.weight.data.mul_(3)
    torch.testing.assert_close(project(scaled, z, Unit("relu1", 2, 4, 4), "deconv").values,
                               3 * project(net, z, Unit("relu1", 2, 4, 4), "deconv").values)  # fmt: skip
    assert one.activation.shape == (1,)
    bare = plain(nn.Sequential(nn.Conv2d(3, 4, 3, bias=False), nn.AvgPool2d(2), nn.Conv2d(4, 5, 3, bias=False)))
    bare.module.double()
    z = torch.randn(1, 3, 16, 16, dtype=torch.double)
    found = project(bare, z, Unit("2", 3, 1, 2), "linear")
    assert float((found.values * z).sum() - found.activation) == pytest.approx(0, abs=1e-10)


def test_a_whole_map_is_the_sum_of_its_positions() -> None:
    net = tiny()
    z = torch.randn(1, 3, 16, 16)
    with torch.no_grad():
        maps = net.module.conv2(net.module.relu1(net.module.conv1(z)))[0, 1]
    wanted = sum(
        maps[y, x] * project(net, z, Unit("conv2", 1, y, x), "linear").values
        for y in range(maps.shape[0])
        for x in range(maps.shape[1])
    )
    found = project(net, z, Unit("conv2", 1), "linear", seed="map")
    torch.testing.assert_close(found.values, wanted, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("rule", RULES)
def test_the_network_is_left_as_it_was(rule: Rule) -> None:
    net = nets.random("resnet18", 64)
    before = nets.state(net.module)
    z = tensor(net, nets.picture())
    first = project(net, z, Unit("layer2", 5), rule).values
    assert torch.equal(first, project(net, z, Unit("layer2", 5), rule).values)
    assert nets.state(net.module) == before
    assert nets.hooks(net.module) == 0
    assert not net.module.training
    assert not any(p.requires_grad or p.grad is not None for p in net.module.parameters())


def test_units_that_are_not_there_and_rules_that_are_not_defined() -> None:
    net = tiny()
    z = torch.randn(1, 3, 16, 16)
    for unit in (Unit("conv2", 6), Unit("conv2", 0, 7, 0), Unit("conv2", 0, 1), Unit("conv9", 0), Unit("fc", 5)):
        with pytest.raises(LayerError):
            project(net, z, unit)
    tokens = plain(nn.Sequential(nn.Conv2d(3, 4, 3), nn.LayerNorm(14)))
    with pytest.raises(LayerError, match="layer norm"):
        project(tokens, z, Unit("0", 0), "deconv")
    assert project(tokens, z, Unit("0", 0), "gradient").intercepted == 0
