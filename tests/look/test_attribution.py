"""Attribution methods against Captum called by hand, closed forms, and what they promise of themselves."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from captum import attr
from torch import Tensor, nn

from tests.look import nets
from tests.look.test_deconvnet import near, plain
from tests.tiny import network as tiny
from vizcore.errors import LayerError, SpecError
from vizcore.look.attribution import METHODS, attribute, last_maps, why_not
from vizcore.look.units import Unit, scorer, tensor
from vizcore.zoo.load import Network, load


def best(net: Network) -> Unit:
    with torch.no_grad():
        return Unit("", int(net.module(tensor(net, nets.picture()))[0].argmax()))


@pytest.mark.parametrize("name", ["alexnet", "vgg16", "googlenet", "resnet50", "squeezenet1_0"])
@pytest.mark.parametrize("method", METHODS)
def test_every_method_runs_on_every_network_or_says_why_not(name: str, method: str) -> None:
    size = 32 if name == "vgg16" else 64
    net = nets.random(name, size)
    before, unit = nets.state(net.module), best(net)
    if method == "lrp" and name in ("googlenet", "resnet50"):
        with pytest.raises(LayerError, match=r"relevance|Relevance"):
            attribute(net, nets.picture(), unit, method)
    else:
        found = attribute(net, nets.picture(), unit, method)
        assert found.values.shape[1:] == (size, size)
        assert found.values.dtype == np.float32
        assert np.isfinite(found.values).all()
        if method != "gradcam" and method != "guided-gradcam":  # a random network's Grad-CAM may be empty
            assert np.abs(found.values).max() > 0
        assert (found.intercepted is not None) == (method in ("deconv", "guided", "guided-gradcam"))
        with torch.no_grad():
            score = net.module(tensor(net, nets.picture()))[0, unit.channel]
        assert found.score == pytest.approx(float(score), rel=1e-4, abs=1e-6)
    assert nets.state(net.module) == before
    assert nets.hooks(net.module) == 0
    assert not any(hasattr(part, "rule") for part in net.module.modules())


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("unit", [Unit("conv2", 2), Unit("conv2", 2, 3, 4), Unit("conv2", 2, reduce="mean"),
                                  Unit("fc", 1), Unit("", 1)], ids=str)  # fmt: skip
def test_every_method_takes_every_kind_of_unit(method: str, unit: Unit) -> None:
    net = tiny()
    found = attribute(net, nets.picture(40, 30), unit, method)
    assert found.values.shape[1:] == (16, 16)
    with torch.no_grad():
        assert found.score == pytest.approx(float(scorer(net, unit)(tensor(net, nets.picture(40, 30)))), abs=1e-6)
    if unit.y is not None:  # a neuron depends on its receptive field alone: rows 5 to 9, columns 7 to 11
        outside = np.ones((16, 16), bool)
        outside[5:10, 7:12] = False
        if method not in ("occlusion", "gradcam"):  # whose patches and interpolation are coarser
            assert not found.values[:, outside].any()


def test_the_conventional_ones_equal_captum_on_the_whole_network() -> None:
    net = nets.random("alexnet", 64)
    unit, z = best(net), tensor(net, nets.picture())
    target = unit.channel
    assert last_maps(net, unit, 64) == "features.11"
    wanted = {
        "saliency": attr.Saliency(net.module).attribute(z.clone().requires_grad_(), target),
        "input-gradient": attr.InputXGradient(net.module).attribute(z.clone().requires_grad_(), target),
    }
    for method, values in wanted.items():
        assert near(torch.from_numpy(attribute(net, nets.picture(), unit, method).values), values[0]) < 1e-5, method


def test_grad_cam_in_closed_form() -> None:
    """The weights are the mean gradients of the maps, which a global mean and a linear layer make known."""
    torch.manual_seed(0)
    module = nn.Sequential(nn.Conv2d(3, 6, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(6, 4))
    net = plain(module)
    z = tensor(net, nets.picture())
    with torch.no_grad():
        maps = module[1](module[0](z))
        cam = (maps * (module[4].weight[2] / maps[0, 0].numel())[None, :, None, None]).sum(1, keepdim=True).clamp(min=0)
    wanted = torch.nn.functional.interpolate(cam, (16, 16), mode="bilinear", align_corners=False)
    found = attribute(net, nets.picture(), Unit("", 2), "gradcam")
    assert found.facts["of_layer"] == "1"
    torch.testing.assert_close(torch.from_numpy(found.values), wanted[0])
    guided = attribute(net, nets.picture(), Unit("", 2), "guided").values
    both = attribute(net, nets.picture(), Unit("", 2), "guided-gradcam")
    np.testing.assert_allclose(both.values, guided * found.values, rtol=1e-5, atol=1e-8)


@pytest.mark.parametrize(("name", "wanted"), [
    ("vgg16", "features.29"), ("resnet50", "layer4"), ("googlenet", "inception5b"), ("squeezenet1_0", "features"),
    ("densenet121", "features"), ("mobilenet_v2", "features"),
])  # fmt: skip
def test_grad_cam_looks_at_the_layer_that_is_usual(name: str, wanted: str) -> None:
    assert last_maps(nets.random(name, 96), Unit("", 0), 96) == wanted


def test_a_map_per_class_is_not_what_grad_cam_looks_at() -> None:
    net = nets.random("squeezenet1_0", 96)
    assert last_maps(net, Unit("classifier.1", 0), 96) == "features"
    with pytest.raises(LayerError, match="maps before"):
        last_maps(net, Unit("features.0", 0), 96)


def test_integrated_gradients_add_up_and_take_more_steps_if_they_do_not() -> None:
    for name in ("alexnet", "squeezenet1_0"):
        net = nets.random(name, 64)
        found = attribute(net, nets.picture(), best(net), "ig")
        assert found.facts["completeness_error"] < 0.01
        z = tensor(net, nets.picture())
        with torch.no_grad():
            rise = net.module(z)[0, found.unit.channel] - net.module(torch.zeros_like(z))[0, found.unit.channel]
        assert float(found.values.sum()) == pytest.approx(float(rise), rel=0.011)

    class Steep(nn.Module):
        """Rises within 1/400 of the way, where 50 points may see nothing."""

        def __init__(self) -> None:
            super().__init__()
            self.conv = nn.Conv2d(3, 1, 1)

        def forward(self, x: Tensor) -> Tensor:
            return torch.sigmoid(2000 * (x.mean((1, 2, 3)) - 0.2137))[:, None]

    grey = np.full((16, 16, 3), 255, np.uint8)
    found = attribute(plain(Steep()), grey, Unit("", 0), "ig")
    assert found.facts["steps"] == 400
    assert found.note


def test_a_linear_network_has_one_answer() -> None:
    """For w · x, the gradient is w, and all that add up give w · x at each pixel."""
    torch.manual_seed(0)
    net = plain(nn.Sequential(nn.Flatten(), nn.Linear(3 * 16 * 16, 4, bias=False)))
    z, w = tensor(net, nets.picture()), net.module[1].weight[1].view(3, 16, 16)
    for method in ("input-gradient", "ig", "lrp"):
        found = torch.from_numpy(attribute(net, nets.picture(), Unit("", 1), method).values)
        torch.testing.assert_close(found, (w * z[0]).detach(), rtol=1e-3, atol=1e-6)
    for method in ("deconv", "guided", "smoothgrad"):
        found = torch.from_numpy(attribute(net, nets.picture(), Unit("", 1), method).values)
        torch.testing.assert_close(found, w.detach(), rtol=1e-4, atol=1e-6)
    occluded = attribute(net, nets.picture(), Unit("", 1), "occlusion").values
    share = (w * z[0]).sum(0)
    assert occluded[0, 0, 0] == pytest.approx(float(share[:2, :2].sum()), rel=1e-3)  # the corner is covered once


def test_relevance_is_conserved_where_it_is_offered() -> None:
    for name in ("alexnet", "squeezenet1_0", "vgg11_bn"):
        net = nets.random(name, 64)
        unit = best(net)
        found = attribute(net, nets.picture(), unit, "lrp")
        assert found.facts["conservation_error"] < 0.05
        assert float(found.values.sum()) == pytest.approx(found.score, rel=0.05)
    for name in ("mobilenet_v2", "convnext_tiny"):
        assert "no rule" in why_not(nets.random(name, 64), "lrp")


def test_noise_is_repeated_by_its_seed_and_leaves_the_generator_alone() -> None:
    net = tiny()
    state = torch.random.get_rng_state()
    first = attribute(net, nets.picture(), Unit("conv2", 1), "smoothgrad", seed=3).values
    assert torch.equal(state, torch.random.get_rng_state())
    assert np.array_equal(first, attribute(net, nets.picture(), Unit("conv2", 1), "smoothgrad", seed=3).values)
    assert not np.array_equal(first, attribute(net, nets.picture(), Unit("conv2", 1), "smoothgrad", seed=4).values)


def test_what_cannot_be_asked() -> None:
    with pytest.raises(SpecError, match="no method"):
        attribute(tiny(), nets.picture(), Unit("", 0), "magic")
    with pytest.raises(LayerError, match="no filter 5"):
        attribute(tiny(), nets.picture(), Unit("", 5), "saliency")
    transformer = plain(nn.Sequential(nn.Conv2d(3, 4, 3), nn.MultiheadAttention(4, 1)))
    for method in ("deconv", "guided", "gradcam", "guided-gradcam", "lrp"):
        assert why_not(transformer, method)
    assert not why_not(transformer, "saliency")


@pytest.mark.shared
def test_a_trained_network_sees_what_is_there(shared: Path) -> None:
    """A golden retriever: what should add up to the score does, and most of it is on the dog, not in the sky."""
    from vizcore.look.pictures import read

    net = load(str(shared / "weights" / "squeezenet1_0-imagenet.safetensors"), "squeezenet1_0")
    picture = read(shared / "images" / "ILSVRC2012_val_00008338.jpg")
    with torch.no_grad():
        top = int(net.module(tensor(net, picture))[0].argmax())
    assert net.card.classes[top] == "golden retriever"
    found = attribute(net, picture, Unit("", top), "ig")
    assert found.facts["completeness_error"] < 0.01
    assert attribute(net, picture, Unit("", top), "lrp").facts["conservation_error"] < 0.05
    # Spread over all positions, the deconvnet's signal of a class dies in this network, with Captum as well.
    spread = attribute(net, picture, Unit("", top), "deconv")
    assert not spread.values.any()
    assert "Nothing of the signal" in spread.note
    units = {"deconv": Unit("classifier.1", top)}
    for method in ("deconv", "guided", "gradcam", "occlusion", "lrp"):
        warm = np.abs(attribute(net, picture, units.get(method, Unit("", top)), method).values).sum(0)
        assert warm[20:, 40:].mean() > 1.5 * warm[:20, :].mean(), method


@pytest.mark.parametrize(
    ("name", "layer", "of"),
    [
        ("squeezenet1_0", "features.7.expand3x3", "features.7.squeeze_activation"),
        ("googlenet", "inception4a.branch4.1.conv", "inception3b"),
    ],
)
def test_grad_cam_of_a_branch_is_not_asked_of_its_neighbours(name: str, layer: str, of: str) -> None:
    net = nets.random(name, 64)
    found = attribute(net, nets.picture(), Unit(layer, 1), "gradcam")
    assert found.facts["of_layer"] == of
    assert nets.hooks(net.module) == 0
