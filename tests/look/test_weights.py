"""Weights as pictures, projections in closed form, and networks side by side."""

from __future__ import annotations

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import nn

from tests.look import nets
from tests.look.test_deconvnet import plain
from tests.tiny import network as tiny
from vizcore.errors import LayerError, SpecError
from vizcore.look import compare, display, weights
from vizcore.look.units import tensor


def test_kernels_are_the_weights() -> None:
    net = tiny()
    values = weights.kernels(net, "conv1")
    assert np.array_equal(values, net.module.conv1.weight.numpy())
    assert weights.first_layer(net) == "conv1"
    assert weights.are_pictures(values, 3)
    assert weights.kernels(net, "fc").shape == (5, 6, 1, 1)
    assert not weights.are_pictures(weights.kernels(net, "conv2"), 3)
    for layer in ("relu1", "", "nothing"):
        with pytest.raises(LayerError):
            weights.kernels(net, layer)


def test_pictures_of_kernels_share_a_scale_and_show_the_sign() -> None:
    values = np.zeros((3, 3, 2, 2), np.float32)
    values[0, 0, 0, 0], values[1, 1, 1, 1], values[2, 2, 0, 1] = 2, -1, 0.5
    found = weights.pictures(values)
    assert found.shape == (3, 2, 2, 3)
    assert found[0, 0, 0].tolist() == [255, 128, 128]
    assert found[1, 1, 1].tolist() == [128, 64, 128]
    assert found[2, 0, 1].tolist() == [128, 128, 159]
    assert weights.pictures(values, shared=False)[2, 0, 1].tolist() == [128, 128, 255]
    grey = np.array([1.0, -1.0, 0.0], np.float32).reshape(3, 1, 1, 1)
    up, down, nothing = weights.pictures(grey)[:, 0, 0].tolist()
    assert up[0] > up[2]  # orange
    assert down[2] > down[0]  # blue
    assert max(nothing) <= 2
    sheet = weights.matrix(np.ones((2, 3, 2, 2), np.float32))
    assert sheet.shape == (2 * 3 - 1, 3 * 3 - 1, 3)
    assert (sheet[2] == display.GREY).all()
    assert weights.matrix(np.ones((4, 5, 1, 1), np.float32)).shape == (4, 5, 3)


def test_rows_of_a_first_linear_layer_are_pictures_and_deeper_ones_their_product() -> None:
    torch.manual_seed(0)
    net = plain(nn.Sequential(nn.Flatten(), nn.Linear(3 * 256, 7), nn.ReLU(), nn.Linear(7, 4)))
    first, last = net.module[1].weight, net.module[3].weight
    values = weights.kernels(net, "1")
    assert np.array_equal(values, first.view(7, 3, 16, 16).numpy())
    assert weights.are_pictures(values, 3)
    np.testing.assert_allclose(weights.projection(net, "1", 5), values[5], rtol=1e-5)
    wanted = (last[2] @ first).view(3, 16, 16).numpy()
    np.testing.assert_allclose(weights.projection(net, "3", 2), wanted, rtol=1e-4, atol=1e-6)


def test_a_convolution_is_carried_back_by_its_transpose() -> None:
    net = tiny()
    one, two = net.module.conv1.weight, net.module.conv2.weight
    seed = torch.zeros(1, 6, 7, 7)
    seed[0, 4, 3, 3] = 1
    wanted = F.conv_transpose2d(F.conv_transpose2d(seed, two, stride=2, output_padding=1), one, padding=1)[0]
    np.testing.assert_allclose(weights.projection(net, "conv2", 4), wanted.numpy(), rtol=1e-4, atol=1e-6)
    picture = nets.picture()
    with torch.no_grad():
        z = tensor(net, picture)
        maps = net.module.conv2(net.module.relu1(net.module.conv1(z)))
    seed = torch.zeros_like(maps)
    seed[0, 4] = maps[0, 4]
    wanted = F.conv_transpose2d(F.conv_transpose2d(seed, two, stride=2, output_padding=1), one, padding=1)[0]
    np.testing.assert_allclose(weights.projection(net, "conv2", 4, picture), wanted.numpy(), rtol=1e-4, atol=1e-5)


def test_a_projection_that_depends_on_the_picture_says_so() -> None:
    net = nets.random("alexnet", 64)
    with pytest.raises(LayerError, match="depends on the picture"):
        weights.projection(net, "features.6", 3)
    assert weights.projection(net, "features.6", 3, nets.picture()).shape == (3, 64, 64)
    assert weights.projection(net, "features.0", 3).any()


def test_near_duplicates_are_found() -> None:
    values = np.random.default_rng(0).normal(size=(6, 3, 3, 3)).astype(np.float32)
    values[4] = -2 * values[1]
    values[5] = values[0] + 0.01
    assert [(a, b, round(cosine)) for a, b, cosine in weights.alike(values)] == [(0, 5, 1), (1, 4, -1)]


# Side by side -----------------------------------------------------------------------------------------------------


def test_depths_are_comparable() -> None:
    wanted = {
        "alexnet": ("features.0", "features.6", "features.10"),
        "resnet18": ("conv1", "layer2.1.conv2", "layer4.1.conv2"),
        "googlenet": ("conv1.conv", "inception4b.branch4.1.conv", "inception5b.branch4.1.conv"),
    }
    for name, paths in wanted.items():
        net = nets.random(name, 64)
        assert compare.at_depth(net, "first", 64) == paths[0]
        assert compare.at_depth(net, "last", 64) == paths[2]
        assert compare.at_depth(net, "class", 64) == ""
    assert compare.at_depth(nets.random("alexnet", 64), "middle", 64) == "features.6"
    with pytest.raises(SpecError):
        compare.at_depth(tiny(), "deep")


class Attentive(nn.Module):
    """It has attention somewhere."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.attention = nn.Conv2d(3, 4, 3), nn.MultiheadAttention(4, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        tokens = self.conv(x).flatten(2).transpose(1, 2)
        return self.attention(tokens, tokens, tokens)[0].mean(1)  # type: ignore[no-any-return]


def test_networks_answer_beside_each_other_or_say_why_not() -> None:
    found = compare.side_by_side(
        [tiny(), plain(Attentive()), nets.random("alexnet", 64)], nets.picture(), "deconv", "first"
    )
    assert [column.attribution is not None for column in found] == [True, False, True]
    assert "attention" in found[1].reason
    assert found[0].unit is not None
    assert found[0].unit.layer == "conv1"
    with torch.no_grad():
        peaks = tiny().module.conv1(tensor(tiny(), nets.picture())).amax((2, 3))[0]
    assert found[0].unit.channel == int(peaks.argmax())
    maps = compare.side_by_side([tiny()], nets.picture(), "activations", "last")[0].maps
    assert maps is not None
    assert maps.values.shape == (6, 7, 7)
    with pytest.raises(SpecError):
        compare.side_by_side([tiny()] * 5, nets.picture(), "deconv")
    with pytest.raises(SpecError):
        compare.side_by_side([tiny()], nets.picture(), "magic")
