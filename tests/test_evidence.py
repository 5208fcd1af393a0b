"""Top classes and feature maps against a plain forward pass."""

from __future__ import annotations

import io

import numpy as np
import pytest
import torch
from PIL import Image

from vizcore import evidence
from vizcore.zoo.load import Network, load


@pytest.fixture(scope="module")
def network() -> Network:
    return load("digits")


@pytest.fixture(scope="module")
def picture() -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (28, 28, 1), np.uint8)


def grey(png: bytes) -> np.ndarray:
    with Image.open(io.BytesIO(png)) as image:
        assert image.mode == "L"
        return np.asarray(image).astype(int)


def normalized(network: Network, picture: np.ndarray) -> torch.Tensor:
    x = torch.tensor(picture[None, :, :, 0] / 255.0, dtype=torch.float32)[None]
    return (x - network.card.mean[0]) / network.card.std[0]


def test_classes_are_those_of_a_forward_pass(network: Network, picture: np.ndarray) -> None:
    p = torch.softmax(network.module(normalized(network, picture)), 1)[0]
    told = evidence.top_classes(network, picture)
    order = sorted(range(10), key=lambda i: -p[i])[:5]
    assert [name for name, _ in told] == [network.card.classes[i] for i in order]
    assert [q for _, q in told] == pytest.approx([float(p[i]) for i in order], rel=1e-4)


def test_a_picture_of_another_size_is_brought_to_the_networks(network: Network) -> None:
    plain = np.full((64, 64, 1), 90, np.uint8)
    small = np.full((28, 28, 1), 90, np.uint8)
    assert dict(evidence.top_classes(network, plain)) == pytest.approx(
        dict(evidence.top_classes(network, small)), rel=1e-4
    )


def test_maps_are_those_of_the_layer_on_one_scale(network: Network, picture: np.ndarray) -> None:
    caught: list[torch.Tensor] = []
    hook = network.module.get_submodule("conv2").register_forward_hook(lambda m, i, o: caught.append(o[0]))
    network.module(normalized(network, picture))
    hook.remove()
    maps = caught[0].numpy()
    told = evidence.feature_maps(network, picture, "conv2", 5)
    peaks = maps.max((1, 2))
    others = [c for c in np.argsort(-peaks) if c != 5][:15]
    assert [m["channel"] for m in told] == [5, *others]
    white = max(peaks[5], peaks[others[0]])
    for m in told:
        assert m["peak"] == pytest.approx(float(peaks[m["channel"]]), rel=1e-4, abs=1e-5)
        wanted = np.clip(maps[m["channel"]] / white, 0, 1) * 255
        assert np.abs(grey(m["png"]) - wanted).max() <= 1


def test_units_without_positions_are_maps_of_one_pixel(network: Network, picture: np.ndarray) -> None:
    told = evidence.feature_maps(network, picture, "fc1", 3)
    assert told[0]["channel"] == 3
    assert grey(told[0]["png"]).shape == (1, 1)


def test_an_objective_on_classes_has_no_maps(network: Network, picture: np.ndarray) -> None:
    assert evidence.of(network, picture, "", 3)["maps"] == []
