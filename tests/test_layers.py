"""Layers: fields against published numbers and a numeric probe, sizes against the network itself, the cut."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import nn
from torchvision import models as tv

from vizcore.errors import LayerError, SpecError
from vizcore.layers import (
    Cut,
    check_channels_of,
    find_layer,
    find_views,
    kind_of,
    list_layers,
    natural_key,
    search,
)
from vizcore.zoo.card import Card
from vizcore.zoo.load import Network, load

# Receptive field, stride, start of position 0: measured by others (Araujo et al. 2019 where they list the network)
FIELDS = {
    "alexnet": {
        "features.0": (11, 4, -2), "features.3": (51, 8, -18), "features.6": (99, 16, -34),
        "features.8": (131, 16, -50),
        "features.10": (163, 16, -66), "features.12": (195, 32, -66),
    },
    "vgg16": {
        "features.4": (6, 2, None), "features.9": (16, 4, None), "features.16": (44, 8, None),
        "features.23": (100, 16, None),
        "features.30": (212, 32, -90),
    },
    "resnet18": {
        "layer1": (43, 4, None), "layer2": (99, 8, None), "layer3": (211, 16, None), "layer4": (435, 32, None),
    },
    "resnet50": {
        "layer1": (35, 4, None), "layer2": (91, 8, None), "layer3": (267, 16, None), "layer4": (427, 32, None),
    },
    "googlenet": {
        "inception3b": (59, 8, -23), "inception4a": (107, 16, -39), "inception4e": (235, 16, -103),
        "inception5b": (379, 32, -167),
    },
    "squeezenet1_1": {"features.12": (207, 16, -88)},
    "densenet121": {"features.denseblock1": (59, 4, None), "features.denseblock4": (2071, 32, None)},
    "mobilenet_v2": {"features.18": (491, 32, None)},
}  # fmt: skip


def network(module: nn.Module, size: int = 32, channels: int = 3) -> Network:
    card = Card("toy", "Toy", "toy", channels=channels, size=size, mean=(0.5,) * channels, std=(0.5,) * channels)
    return Network(card, module)


@pytest.fixture(scope="module")
def hollow() -> dict[str, Network]:
    """Torchvision's networks without numbers: fields and sizes do not depend on them."""
    found = {}
    for name in FIELDS:
        with torch.device("meta"):
            module = tv.get_model(
                name, weights=None, **({"aux_logits": False, "init_weights": False} if name == "googlenet" else {})
            )
        found[name] = network(module, 224)
    return found


@pytest.mark.parametrize("name", FIELDS)
def test_fields_are_the_published_ones(hollow: dict[str, Network], name: str) -> None:
    layers = {layer.path: layer for layer in list_layers(hollow[name])}
    for path, (extent, stride, start) in FIELDS[name].items():
        assert (layers[path].receptive_field, layers[path].stride) == (extent, stride), path
        if start is not None:
            assert layers[path].start == start, path


class Toy(nn.Module):
    """Branches of different reach, a skip, padding, dilation, a channel shuffle: what analytic rules get wrong."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 4, 5, stride=2, padding=1)
        self.near = nn.Conv2d(4, 4, 1)
        self.far = nn.Conv2d(4, 4, 3, padding=2, dilation=2)
        self.pool = nn.MaxPool2d(3, 2, ceil_mode=True)
        self.mean = nn.AvgPool2d(2)
        self.pad = nn.ZeroPad2d((1, 0, 1, 0))
        self.last = nn.Conv2d(8, 8, 3, groups=2)
        self.shuffle = nn.ChannelShuffle(2)
        self.act = nn.ReLU(inplace=True)
        self.gate = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Conv2d(8, 8, 1), nn.Sigmoid())
        self.head = nn.Linear(8, 5)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.stem(x)
        x = torch.cat([self.near(x), self.far(x) + x], 1)
        x = self.shuffle(self.mean(self.pool(x)))
        x = self.act(self.last(self.pad(x)))
        x = x * self.gate(x)
        out: torch.Tensor = self.head(x.mean((2, 3)))
        return out


def probed(module: nn.Module, path: str, size: int) -> tuple[int, int]:
    """The first and last row that the middle of a layer depends on, by gradients with positive weights."""
    module = copy.deepcopy(module).double()
    for parameter in module.parameters():
        nn.init.constant_(parameter, 0.1)
    for name, part in list(module.named_children()):
        if isinstance(part, nn.MaxPool2d):  # a maximum depends on all of its window, though its gradient does not
            setattr(module, name, nn.AvgPool2d(part.kernel_size, part.stride, part.padding, part.ceil_mode))
    x = torch.ones(1, 3, size, size, dtype=torch.double, requires_grad=True)
    out = Cut(module, [path])(x)[path]
    middle = out.shape[-1] // 2
    out[0, :, middle, middle].sum().backward()
    assert x.grad is not None
    rows = x.grad.abs().sum((0, 1, 3)).nonzero().flatten()
    return int(rows[0]), int(rows[-1])


@pytest.mark.parametrize("path", ["stem", "near", "far", "pool", "mean", "shuffle", "pad", "last", "act"])
def test_fields_agree_with_gradients(path: str) -> None:
    size = 101
    layer = find_layer(network(Toy(), size), path)
    assert layer.receptive_field is not None
    assert layer.stride is not None
    assert layer.start is not None
    first = layer.start + layer.stride * (layer.height // 2)
    assert probed(Toy(), path, size) == (first, first + layer.receptive_field - 1)


def test_what_mixes_everything_has_no_field() -> None:
    layers = {layer.path: layer for layer in list_layers(network(Toy()))}
    assert layers["head"].receptive_field is None
    assert layers["gate"].receptive_field is None
    assert (layers["head"].channels, layers["head"].height, layers["head"].width) == (5, 1, 1)


@pytest.mark.parametrize("size", [28, 31, 64])
def test_sizes_are_those_of_the_network(size: int) -> None:
    net = load("digits")
    seen: dict[str, tuple[int, ...]] = {}
    for path, module in net.module.named_modules():
        module.register_forward_hook(lambda _m, _a, out, path=path: seen.update({path: tuple(out.shape)}))
    net.module(torch.zeros(1, 1, size, size))
    layers = list_layers(net, size)
    assert {layer.path for layer in layers} == set(seen) - {""}
    for layer in layers:
        shape = (1, layer.channels, layer.height, layer.width)
        assert seen[layer.path] == shape[: len(seen[layer.path])]


def test_order_is_natural_and_search_finds_words() -> None:
    layers = list_layers(network(nn.Sequential(*(nn.Conv2d(3, 3, 1) for _ in range(12)))))
    assert [layer.path for layer in layers] == [str(number) for number in range(12)]
    assert sorted(["conv10", "conv2", "a.10.b", "a.9", "layer1.0", "layer1"], key=natural_key) == [
        "a.9", "a.10.b", "conv2", "conv10", "layer1", "layer1.0",
    ]  # fmt: skip
    digits = list_layers(load("digits"))
    assert [layer.path for layer in search(digits, "CONV")] == ["conv1", "conv2"]
    assert [layer.path for layer in search(digits, "pool 2")] == ["pool2"]
    assert search(digits, "") == digits


def test_kinds() -> None:
    kinds = {
        nn.Conv2d(1, 1, 1): "conv", nn.ReLU(): "relu", nn.SiLU(): "relu", nn.AdaptiveAvgPool2d(1): "pool",
        nn.Linear(1, 1): "linear",
        nn.Sequential(nn.ReLU()): "block", nn.BatchNorm2d(1): "norm", nn.Dropout(): "other",
    }  # fmt: skip
    assert [kind_of(module) for module in kinds] == list(kinds.values())


def test_channels_last_and_tokens_are_no_layers() -> None:
    class Last(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv, self.turned, self.norm, self.tokens = (
                nn.Conv2d(3, 8, 4, 4),
                nn.Identity(),
                nn.LayerNorm(8),
                nn.Identity(),
            )

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            x = self.norm(self.turned(self.conv(x).permute(0, 2, 3, 1)))
            out: torch.Tensor = self.tokens(x.flatten(1, 2))
            return out

    assert [layer.path for layer in list_layers(network(Last()))] == ["conv"]


def test_too_small_a_picture_names_the_smallest_that_works() -> None:
    toy = nn.Sequential(nn.Conv2d(3, 4, 7), nn.MaxPool2d(4), nn.Conv2d(4, 4, 3))  # (s - 6) // 4 >= 3
    with pytest.raises(SpecError, match="16 px is too small for toy") as caught:
        list_layers(network(toy), 16)
    assert caught.value.hint == "Use at least 18 px."
    assert toy(torch.zeros(1, 3, 18, 18)).shape[-1] == 1
    assert find_layer(network(toy), "1", 16).height == 2  # what is behind does not matter
    with pytest.raises(SpecError, match="the layer 2 of toy"):
        find_layer(network(toy), "2", 16)


@pytest.mark.parametrize("name", ["alexnet", "squeezenet1_1"])
def test_the_smallest_size_is_that_of_a_real_pass(name: str) -> None:
    net = load(name, weights="random")
    with pytest.raises(SpecError) as caught:
        list_layers(net, 8)
    least = int(caught.value.hint.split()[-2])
    with torch.no_grad():
        net.module(torch.zeros(1, 3, least, least))
        with pytest.raises(RuntimeError):
            net.module(torch.zeros(1, 3, least - 1, least - 1))


def test_unknown_layers_and_channels() -> None:
    net = load("digits")
    for path in ("conv3", "", "conv1.weight", "x" * 5000):
        with pytest.raises(LayerError):
            find_layer(net, path)
    with pytest.raises(LayerError) as caught:
        find_layer(net, "conv3")
    assert "conv" in caught.value.hint
    layer = find_layer(net, "conv1")
    check_channels_of(layer, range(16))
    with pytest.raises(LayerError, match="no filter 16") as caught:
        check_channels_of(layer, [3, 16])
    assert caught.value.hint == "Choose filters from 0 to 15."


class Counting(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.calls = 0

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        self.calls += 1
        return x


def hooks(module: nn.Module) -> int:
    return sum(len(part._forward_hooks) + len(part._forward_pre_hooks) for part in module.modules())


def test_nothing_behind_the_cut_runs() -> None:
    counters = [Counting() for _ in range(4)]
    module = nn.Sequential(*counters)
    assert set(Cut(module, ["1"])(torch.ones(1, 1))) == {"1"}
    assert [counter.calls for counter in counters] == [1, 1, 0, 0]
    assert list(Cut(module, ["2", "0"])(torch.ones(1, 1))) == ["2", "0"]
    assert [counter.calls for counter in counters] == [2, 2, 1, 0]
    assert hooks(module) == 0


@pytest.mark.parametrize("paths", [["0"], ["0", "1"], ["0", "2"]])
def test_values_before_a_relu_in_place_are_intact(paths: list[str]) -> None:
    torch.manual_seed(0)
    module = tv.alexnet(weights=None).features[:3].eval()
    assert module[1].inplace
    x = torch.randn(2, 3, 64, 64)
    with torch.no_grad():
        seen = Cut(module, paths)(x)
        expected = torch.nn.functional.conv2d(x, module[0].weight, module[0].bias, stride=4, padding=2)
    assert expected.min() < 0
    torch.testing.assert_close(seen["0"], expected)


def test_gradients_are_those_of_a_sliced_network() -> None:
    torch.manual_seed(0)
    module = tv.alexnet(weights=None).features.eval()
    whole = nn.Sequential(*(copy.deepcopy(part) for part in module))
    sliced = nn.Sequential(*list(whole)[:4])
    for part in sliced:
        if isinstance(part, nn.ReLU):
            part.inplace = False
    x = torch.randn(2, 3, 64, 64)
    a, b = x.clone().requires_grad_(), x.clone().requires_grad_()
    Cut(module, ["3"])(a)["3"][:, 5].mean().backward()
    sliced(b)[:, 5].mean().backward()
    torch.testing.assert_close(a.grad, b.grad, rtol=0, atol=0)
    c = x.clone().requires_grad_()
    seen = Cut(module, ["0", "3"])(c)
    (seen["3"][:, 5].mean() + seen["0"][:, 1].mean()).backward()
    d = x.clone().requires_grad_()
    (sliced(d)[:, 5].mean() + sliced[0](d)[:, 1].mean()).backward()
    torch.testing.assert_close(c.grad, d.grad)


def test_the_cut_leaves_no_hooks_after_an_error() -> None:
    module = nn.Sequential(nn.Conv2d(3, 4, 3), nn.Conv2d(5, 4, 3))
    with pytest.raises(RuntimeError):
        Cut(module, ["1"])(torch.zeros(1, 3, 8, 8))
    assert hooks(module) == 0
    with pytest.raises(LayerError):
        Cut(module, ["2"])
    with pytest.raises(LayerError):
        Cut(module, [])


def test_the_cut_goes_through_what_cannot_be_traced_and_swallows_errors() -> None:
    class Wild(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.a, self.b, self.unused = nn.Conv2d(3, 4, 3), Counting(), nn.ReLU()

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            if float(x.sum()) > -1e9:  # depends on numbers
                try:
                    x = self.a(x)
                except Exception:
                    x = torch.zeros(1)
            return self.b(x)  # type: ignore[no-any-return]

    module = Wild()
    x = torch.randn(1, 3, 8, 8)
    torch.testing.assert_close(Cut(module, ["a"])(x)["a"], module.a(x))
    assert module.b.calls == 0
    torch.testing.assert_close(Cut(module, [""])(x)[""], module.a(x))
    with pytest.raises(LayerError, match="unused is not used"):
        Cut(module, ["unused"])(x)
    assert hooks(module) == 0
    assert find_layer(network(module), "a").receptive_field == 3


def test_a_layer_used_twice_counts_at_its_first_use() -> None:
    torch.manual_seed(0)
    module = tv.resnet18(weights=None).eval()
    x = torch.randn(1, 3, 32, 32)
    with torch.no_grad():
        seen = Cut(module, ["layer1.0.relu"])(x)["layer1.0.relu"]
        inner = module.layer1[0]
        before = module.maxpool(module.relu(module.bn1(module.conv1(x))))
        torch.testing.assert_close(seen, torch.relu(inner.bn1(inner.conv1(before))))


def test_the_cut_works_in_other_formats() -> None:
    module = load("digits").module
    x = torch.rand(2, 1, 28, 28)
    plain = Cut(module, ["conv2"])(x)["conv2"]
    with torch.autocast("cpu", torch.bfloat16):
        low = Cut(module, ["conv1", "conv2"])(x)["conv2"]
    assert low.dtype == torch.bfloat16
    torch.testing.assert_close(low.float(), plain, rtol=0.05, atol=0.05)
    module = module.to(memory_format=torch.channels_last)
    last = Cut(module, ["conv2"])(x.contiguous(memory_format=torch.channels_last))["conv2"]
    torch.testing.assert_close(last, plain)


@pytest.mark.parametrize(("path", "wanted"), [
    # 3b at 224 px: the 1x1 branch, the 3x3 branch, torchvision's "5x5" branch that is 3x3, and the pooled branch
    ("inception3b", {(0, 128): 43, (128, 320): 59, (320, 416): 59, (416, 480): 59}),
    ("inception3a", {(0, 64): 27, (64, 192): 43, (192, 224): 43, (224, 256): 43}),
    ("maxpool3", {(0, 128): 59, (128, 480): 75}),
])  # fmt: skip
def test_channels_of_a_concatenation_see_their_own_branch(
    hollow: dict[str, Network], path: str, wanted: dict[tuple[int, int], int]
) -> None:
    views = find_views(hollow["googlenet"], path)
    layer = find_layer(hollow["googlenet"], path)
    assert len(views) == layer.channels
    for (first, last), extent in wanted.items():
        assert {view[0].extent for view in views[first:last] if view} == {extent}
    assert max(view[0].extent for view in views if view) == layer.receptive_field


def test_each_channel_of_a_toy_sees_what_its_gradient_says() -> None:
    class Branches(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.stem, self.far = nn.Conv2d(3, 2, 3, stride=2), nn.Conv2d(2, 2, 5, padding=2)
            self.pool, self.norm, self.act = nn.AvgPool2d(3, 2), nn.BatchNorm2d(4), nn.ReLU(inplace=True)
            self.add, self.mix = nn.Identity(), nn.Conv2d(4, 3, 1)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            x = self.stem(x)
            y = self.pool(self.act(self.norm(torch.cat([x, self.far(x)], 1))))
            return self.mix(self.add(y + torch.cat([y[:, 2:], y[:, :2]], 1)))  # type: ignore[no-any-return]

    module, size = Branches().eval(), 65
    net = network(module, size)
    for path in ("pool", "add", "mix"):
        views = find_views(net, path)
        for channel, view in enumerate(views):
            assert view is not None
            copied = copy.deepcopy(module).double()
            for parameter in copied.parameters():
                nn.init.constant_(parameter, 0.1)
            x = torch.ones(1, 3, size, size, dtype=torch.double, requires_grad=True)
            out = Cut(copied, [path])(x)[path]
            middle = out.shape[-1] // 2
            out[0, channel, middle, middle].backward()
            assert x.grad is not None
            rows = x.grad.abs().sum((0, 1, 3)).nonzero().flatten()
            first = view[0].first + view[0].stride * middle
            assert first <= int(rows[0])
            assert int(rows[-1]) <= first + view[0].extent - 1
            if path != "add":  # behind slices of channels, the larger field is given
                assert (int(rows[0]), int(rows[-1])) == (first, first + view[0].extent - 1)
