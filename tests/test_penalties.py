"""Penalties against NumPy, each by itself; no penalty is no change, bit for bit."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.test_images import fourier, pixels
from vizcore import penalties
from vizcore.images import Image
from vizcore.spec import RunSpec

NONE = RunSpec("m", "l", (0,), decay=0.0).hot()
GRADIENT = torch.from_numpy(np.random.default_rng(5).standard_normal((2, 3, 12, 18)).astype(np.float32))
BOTH = pytest.mark.parametrize("make", [pixels, fourier])


@BOTH
def test_no_penalty_changes_nothing(make: type[Image]) -> None:
    image = make()
    before = image.parameter.detach().clone()
    penalties.project(image, NONE, 0, None)
    assert torch.equal(image.parameter, before)
    assert penalties.cost(image.render(), torch.zeros(3, 1, 1), NONE) is None
    assert not penalties.needs_canvas_gradient(NONE)


@settings(deadline=None)
@given(percent=st.floats(0, 95), size=st.integers(2, 60))
def test_percentile_is_numpys(percent: float, size: int) -> None:
    x = np.random.default_rng(size).standard_normal((3, size)).astype(np.float32)
    got = penalties.percentile(torch.from_numpy(x), percent)
    np.testing.assert_allclose(got, np.percentile(x.astype(np.float64), percent, axis=1), atol=1e-6)


def clip_by_hand(x: np.ndarray, kind: str, percent: float) -> np.ndarray:
    benefit = (GRADIENT.numpy() * -x).sum(1, keepdims=True)
    size = {
        "small_value": np.abs(x),
        "small_norm": np.sqrt((x**2).sum(1, keepdims=True)),
        "small_benefit": benefit,
        "small_contribution": np.abs(benefit),
    }[kind]
    limit = np.stack([np.percentile(row, percent) for row in size])[:, None, None, None]
    return np.where(size < limit, 0, x)


@BOTH
@pytest.mark.parametrize("percent", [1.0, 50.0, 90.0])
@pytest.mark.parametrize("kind", ["small_value", "small_norm", "small_benefit", "small_contribution"])
def test_clips_are_those_of_the_paper(make: type[Image], kind: str, percent: float) -> None:
    image = make()
    before = image.canvas().detach().numpy().copy()
    penalties.project(image, {**NONE, kind: percent}, 0, GRADIENT)
    expected = clip_by_hand(before, kind, percent)
    np.testing.assert_allclose(image.canvas().detach(), expected, atol=2e-6 * np.abs(before).max())
    share = (expected == 0).all(1).mean() if kind != "small_value" else (expected == 0).mean()
    assert share == pytest.approx(percent / 100, abs=0.01)


@BOTH
def test_blur_acts_every_k_steps_and_at_step_0(make: type[Image]) -> None:
    acted = []
    for step in range(9):
        image = make()
        before = image.parameter.detach().clone()
        penalties.project(image, {**NONE, "blur": 1.0, "blur_every": 4}, step, None)
        if not torch.equal(image.parameter, before):
            acted.append(step)
    assert acted == [0, 4, 8]


def test_costs_are_sums_of_absolute_values_per_row() -> None:
    picture = torch.rand(2, 3, 5, 7)
    mean = torch.tensor([0.5, 0.4, 0.3])[:, None, None]
    x = picture.double().numpy()
    tv = np.abs(np.diff(x, axis=2)).sum((1, 2, 3)) + np.abs(np.diff(x, axis=3)).sum((1, 2, 3))
    l1 = np.abs(x - mean.numpy()).sum((1, 2, 3))
    got = penalties.cost(picture, mean, {**NONE, "tv": 0.5, "l1": 2.0})
    np.testing.assert_allclose(got, 0.5 * tv + 2.0 * l1, rtol=1e-5)
    np.testing.assert_allclose(penalties.cost(picture, mean, {**NONE, "l1": 1.0}), l1, rtol=1e-5)
