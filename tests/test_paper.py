"""The four settings of Yosinski et al. 2015 against a transcription of the paper's update, on a scale of 0 to 255.

The transcription has its own network (two convolutions and a ReLU in float64 NumPy, their backward pass by hand),
SciPy's Gaussian and NumPy's percentiles.  The start, which the paper draws at random, is taken from our run.

Tolerance: 2e-3 of 255 after 12 steps, against float32 (observed: below 1e-3).
"""

from __future__ import annotations

import numpy as np
import pytest
import torch
from numpy.lib.stride_tricks import sliding_window_view
from scipy.ndimage import gaussian_filter

from tests.tiny import MEAN, STD, network, tiny_spec
from vizcore.ascent import ascend
from vizcore.spec import PIXEL
from vizcore.zoo.load import Network

STEPS = 12
PAPER = {  # METHODS: table 1 of the paper, with the learning rates of its code
    "Paper 1": {"decay": 0, "blur": 0.5, "every": 4, "norm": 50, "contribution": 0, "max_lr": 100, "desired": 2.0},
    "Paper 2": {"decay": 0.3, "blur": 0, "every": 4, "norm": 20, "contribution": 0, "lr": 100},
    "Paper 3": {"decay": 1e-4, "blur": 1.0, "every": 4, "norm": 0, "contribution": 0, "lr": 100},
    "Paper 4": {"decay": 0, "blur": 0.5, "every": 4, "norm": 0, "contribution": 90, "max_lr": 1e8, "desired": 2.0},
}


def correlate(x: np.ndarray, weight: np.ndarray, bias: np.ndarray, padding: int, stride: int) -> np.ndarray:
    padded = np.pad(x, ((0, 0), (padding, padding), (padding, padding)))
    windows = sliding_window_view(padded, weight.shape[2:], (1, 2))[:, ::stride, ::stride]
    return np.einsum("cyxij,dcij->dyx", windows, weight) + bias[:, None, None]


def correlate_back(g: np.ndarray, weight: np.ndarray, size: int, padding: int, stride: int) -> np.ndarray:
    full = np.zeros((weight.shape[1], size + 2 * padding, size + 2 * padding))
    for y in range(g.shape[1]):
        for x in range(g.shape[2]):
            patch = np.einsum("d,dcij->cij", g[:, y, x], weight)
            full[:, y * stride : y * stride + 3, x * stride : x * stride + 3] += patch
    return full[:, padding : padding + size, padding : padding + size]


class NumpyNetwork:
    """conv2 of the tiny network, for pictures of 0 to 255 less their mean (which is 255 times the card's)."""

    def __init__(self, net: Network) -> None:
        state = {name: value.double().numpy() for name, value in net.module.state_dict().items()}
        self.w1, self.b1 = state["conv1.weight"], state["conv1.bias"]
        self.w2, self.b2 = state["conv2.weight"], state["conv2.bias"]
        self.std = 255 * np.array(STD)[:, None, None]

    def __call__(self, x: np.ndarray, channel: int) -> tuple[float, np.ndarray]:
        hidden = correlate(x / self.std, self.w1, self.b1, 1, 1)
        maps = correlate(np.maximum(hidden, 0), self.w2, self.b2, 0, 2)
        pushed = np.zeros_like(maps)
        pushed[channel] = 1 / maps[channel].size
        back = correlate_back(pushed, self.w2, x.shape[1], 0, 2) * (hidden > 0)
        return maps[channel].mean(), correlate_back(back, self.w1, x.shape[1], 1, 1) / self.std


def ascend_as_in_the_paper(
    net: NumpyNetwork, x: np.ndarray, channel: int, p: dict[str, float]
) -> tuple[list[np.ndarray], list[float]]:
    mean = 255 * np.array(MEAN)[:, None, None]
    pictures, scores = [], []
    for step in range(STEPS + 1):
        x = np.clip(x + mean, 0, 255) - mean
        value, g = net(x, channel)
        pictures.append(x + mean)
        scores.append(value)
        if step == STEPS:  # the last one is looked at, and left as it is
            break
        x = x + (p["lr"] if "lr" in p else min(p["max_lr"], p["desired"] / (g**2).sum())) * g
        x = x * (1 - p["decay"])
        if p["blur"] > 0 and step % p["every"] == 0:
            x = np.stack([gaussian_filter(plane, p["blur"]) for plane in x])
        if p["norm"] > 0:
            norms = np.linalg.norm(x, axis=0)
            x = x * ~(norms < np.percentile(norms, p["norm"]))
        if p["contribution"] > 0:
            benefit = np.abs((g * -x).sum(0))
            x = x * ~(benefit < np.percentile(benefit, p["contribution"]))
    return pictures, scores


@pytest.mark.parametrize("faster", [1, 300])
@pytest.mark.parametrize("preset", list(PAPER))
def test_the_paper_presets_are_the_papers_update(preset: str, faster: float) -> None:
    """At the paper's rate and, so that the pictures run into black and white within a few steps, at 300 times it."""
    net, channels = network(seed=3), (0, 2, 5)
    p = dict(PAPER[preset])
    values: dict[str, object] = {}
    if faster > 1:
        key = "lr" if "lr" in p else "desired"
        p[key] *= faster
        values = {"rate": p["lr"] * PIXEL} if key == "lr" else {"desired": p["desired"], "rate": 1e4}
        p["max_lr"] = 1e4 / PIXEL
    spec = tiny_spec("conv2", channels, preset, steps=STEPS, **values)
    run = ascend(spec, net)
    start = 255 * run.checkpoint()["parameter"].astype(np.float64)
    frames = list(run)
    assert len(frames) == STEPS + 1
    for row, channel in enumerate(channels):
        pictures, scores = ascend_as_in_the_paper(NumpyNetwork(net), start[row], channel, p)
        np.testing.assert_allclose([frame.scores[row] for frame in frames], scores, rtol=1e-3, atol=1e-4)
        for frame, expected in zip(frames, pictures, strict=True):
            assert frame.images is not None
            rounded = frame.images[row].transpose(2, 0, 1).astype(float)
            assert np.abs(rounded - expected).max() <= 0.5 + 2e-3 * 255, f"step {frame.step}"
        last = 255 * (run.checkpoint()["parameter"][row] + np.array(MEAN)[:, None, None])
        np.testing.assert_allclose(last, pictures[-1], atol=2e-3 * 255)
        assert np.abs(pictures[-1] - pictures[0]).max() > 1  # something happened


def test_a_rate_on_0_to_255_is_255_squared_times_one_on_0_to_1() -> None:
    """One convolution, one step: the chain rule divides the gradient by 255, and steps are in units of 255."""
    weight = torch.randn(1, 3, 5, 5, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    unit = torch.rand(1, 3, 5, 5, dtype=torch.float64, requires_grad=True)
    byte = (255 * unit).detach().requires_grad_()
    (g_unit,) = torch.autograd.grad(torch.conv2d(unit, weight).sum(), unit)
    (g_byte,) = torch.autograd.grad(torch.conv2d(byte / 255, weight).sum(), byte)
    torch.testing.assert_close(255 * (unit + 100 * PIXEL * g_unit), byte + 100 * g_byte)
    # Where the rate follows from the gradient, it scales by itself.
    torch.testing.assert_close(2.0 / g_unit.square().sum(), 2.0 / g_byte.square().sum() * PIXEL)
