"""Activations of a kept network, the strip of layers, and colours."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from tests.look import nets
from tests.tiny import network as tiny
from vizcore.errors import LayerError, SpecError
from vizcore.layers import Cut
from vizcore.look import display
from vizcore.look.activations import Looker, classes_of, strip
from vizcore.look.units import tensor

LAYERS = [("resnet18", "layer2"), ("alexnet", "features.6"), ("googlenet", "inception4a")]


@pytest.mark.parametrize(("name", "layer"), LAYERS)
def test_a_kept_network_gives_the_networks_own_maps(name: str, layer: str) -> None:
    net = nets.random(name, 64)
    before = nets.state(net.module)
    looker = Looker(net, layer, precision="fp32")
    for seed in (0, 1):
        picture = nets.picture(70, 90, seed)
        found = looker.look(picture)
        with torch.no_grad():
            wanted = Cut(net.module, [layer])(tensor(net, picture))[layer][0].numpy()
        np.testing.assert_allclose(found.values, wanted, rtol=1e-3, atol=1e-4 * np.abs(wanted).max())
        assert [item[0] for item in found.classes] == [item[0] for item in classes_of(net, picture)]
    assert found.order()[0] == wanted.max((1, 2)).argmax()
    assert (np.diff(found.peaks[found.order()]) <= 0).all()
    assert nets.state(net.module) == before
    assert nets.hooks(net.module) == 0


def test_bf16_shows_the_same_to_the_eye() -> None:
    net = nets.random("alexnet", 64)
    one, two = (Looker(net, "features.6", precision=p, classes=False).look(nets.picture()) for p in ("fp32", "bf16"))
    assert two.values.dtype == np.float32
    assert np.abs(one.values - two.values).max() < 0.05 * np.abs(one.values).max()
    assert one.classes == ()


def test_layers_without_positions_have_maps_of_a_pixel() -> None:
    assert Looker(tiny(), "fc").look(nets.picture()).values.shape == (5, 1, 1)
    assert Looker(tiny(), "conv2", 33).look(nets.picture()).values.shape == (6, 16, 16)
    for layer in ("conv3", "flatten.x"):
        with pytest.raises(LayerError):
            Looker(tiny(), layer)
    with pytest.raises(SpecError, match="too small"):
        Looker(nets.random("alexnet", 64), "features.12", 20)


def test_a_strip_goes_through_the_network_in_order() -> None:
    net = nets.random("resnet18", 64)
    found = strip(net, nets.picture(), most=7)
    assert len(found) == 7
    assert found[0].layer == "conv1"
    assert found[-1].layer == "fc"
    with torch.no_grad():
        first = net.module.conv1(tensor(net, nets.picture()))[0]
    np.testing.assert_allclose(found[0].mean, first.abs().mean(0).numpy(), rtol=1e-3, atol=1e-5)
    assert found[0].channel == int(first.amax((1, 2)).argmax())


MAPS = np.array([[[0, 1], [2, 4]], [[-4, 0], [0, 2]]], np.float32)


def test_grey_maps_are_black_at_nothing_and_share_a_scale_if_asked() -> None:
    assert display.maps(MAPS)[..., 0].tolist() == [[[0, 64], [128, 255]], [[0, 0], [0, 128]]]
    assert display.maps(MAPS, shared=False)[1, ..., 0].tolist() == [[0, 0], [0, 255]]


def test_diverging_maps_show_the_sign() -> None:
    found = display.maps(MAPS, "diverging").astype(int)
    below, above, nothing = found[1, 0, 0], found[0, 1, 1], found[0, 0, 0]
    assert below[2] > below[0]
    assert above[0] > above[2]
    assert nothing.max() <= 4
    assert found[1, 1, 1].sum() < above.sum()


def test_normalised_maps_span_all_colours_and_rise_in_brightness() -> None:
    found = display.maps(MAPS, "normalised", shared=False).astype(int)
    for one in found:
        assert one.reshape(-1, 3).tolist()[int(one.sum(-1).argmin())] == [68, 1, 84]
        assert one.sum(-1).max() == 253 + 231 + 37
    ramp = display.colours(np.linspace(0, 1, 256, dtype=np.float32), "viridis").astype(float) @ [0.2126, 0.7152, 0.0722]
    assert (np.diff(ramp) >= -0.6).all()


def test_blurring_is_gaussian() -> None:
    from scipy.ndimage import gaussian_filter

    values = np.random.default_rng(0).random((60, 80)).astype(np.float32)
    wanted = gaussian_filter(values, display.BLUR * 80, mode="nearest")
    np.testing.assert_allclose(display._blur(values), wanted, atol=1e-4)
    np.testing.assert_allclose(display._blur(np.stack([values, 2 * values]))[1], 2 * wanted, atol=2e-4)


def test_relevance_modes() -> None:
    values = np.zeros((3, 8, 8), np.float32)
    values[0, 2, 2], values[1, 5, 5] = 1, -0.5
    colour = display.relevance(values, "colour")
    assert colour[2, 2].tolist() == [255, 128, 128]
    assert colour[5, 5].tolist() == [128, 63, 128]  # half of the scale, which ends just below the highest value
    assert colour[0, 0].tolist() == [128, 128, 128]
    grey = display.relevance(values, "gray")
    assert (grey[..., 0] == grey[..., 2]).all()
    assert grey[2, 2, 0] > 128 > grey[5, 5, 0]
    norm = display.relevance(values, "norm").astype(int).sum(-1)
    assert np.unravel_index(norm.argmax(), norm.shape) == (2, 2)
    assert norm[0, 0] == 4
    assert display.heat(values)[5, 5] == pytest.approx(0.5)
    assert (display.heat(values, blurred=True) > 0).sum() > 2
    for bad in ("rainbow", ""):
        with pytest.raises(SpecError):
            display.relevance(values, bad)  # type: ignore[arg-type]
        with pytest.raises(SpecError):
            display.maps(MAPS, bad)  # type: ignore[arg-type]
    assert display.relevance(np.full((3, 4, 4), np.nan, np.float32)).shape == (4, 4, 3)
    assert (display.relevance(np.zeros((3, 4, 4), np.float32), "norm")[0, 0] == [0, 0, 4]).all()


def test_focus_keeps_the_warm_part_and_fills_with_the_mean() -> None:
    picture = nets.picture(10, 10)
    warmth = np.zeros((10, 10), np.float32)
    warmth[:2, :5] = 1
    found = display.focus(picture, warmth, 0.1)
    assert np.array_equal(found[:2, :5], picture[:2, :5])
    mean = picture.reshape(-1, 3).mean(0).round()
    assert (found[5, 5] == mean).all()
    assert (display.focus(picture, np.zeros((10, 10), np.float32)) == mean).all()
    original, heat, focus = display.panes(picture, np.repeat(warmth[None], 3, 0), 0.1)
    assert original.shape == heat.shape == focus.shape == (10, 10, 3)
    with pytest.raises(SpecError):
        display.focus(picture, warmth, 0)


def test_mosaic_and_enlarging() -> None:
    tiles = np.stack([np.full((4, 6, 3), value, np.uint8) for value in (10, 20, 30)])
    sheet = display.mosaic(tiles, 2, gap=1)
    assert sheet.shape == (1 + 2 * 5, 1 + 2 * 7, 3)
    assert sheet[1, 1, 0] == 10
    assert sheet[1, 8, 0] == 20
    assert sheet[6, 1, 0] == 30
    assert sheet[6, 8, 0] == display.GREY
    assert display.enlarge(tiles[0], 60).shape == (40, 60, 3)
    assert display.enlarge(np.zeros((1, 1, 3), np.uint8), 56).shape == (56, 56, 3)
