"""Images render in [0, 1] with gradient, and their canvas is linear."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage

from tests.tiny import MEAN
from vizcore.images import Fourier, Image, Pixels, gaussian

CPU = torch.device("cpu")
ROWS = (3, 11)


def pixels(shape: tuple[int, int, int] = (3, 12, 18), start: float = 0.1, rows: tuple[int, ...] = ROWS) -> Pixels:
    return Pixels(rows, shape, start, 0, MEAN[: shape[0]], CPU)


def fourier(
    shape: tuple[int, int, int] = (3, 12, 18), start: float = 0.1, rows: tuple[int, ...] = ROWS, decay: float = 1.0,
    decorrelate: bool = True,
) -> Fourier:  # fmt: skip
    return Fourier(rows, shape, start, 0, decay, decorrelate, CPU)


BOTH = pytest.mark.parametrize("make", [pixels, fourier])


@BOTH
@pytest.mark.parametrize("shape", [(3, 12, 18), (3, 18, 12), (3, 16, 16), (1, 12, 18), (3, 13, 17)])
def test_renders_in_range_with_gradient(make: type[Image], shape: tuple[int, int, int]) -> None:
    for start in (0.0, 0.1, 1.0, 30.0):
        image = make(shape=shape, start=start)
        picture = image.render()
        assert picture.shape == (2, *shape)
        assert -1e-6 <= picture.min().item() <= picture.max().item() <= 1 + 1e-6
        (gradient,) = torch.autograd.grad(picture.sum(), image.parameter)
        assert gradient.isfinite().all()
        if start < 1:
            assert gradient.abs().amax(tuple(range(1, gradient.ndim))).min() > 0


@BOTH
def test_a_row_starts_from_its_channel_and_seed(make: type[Image]) -> None:
    both, alone = make().parameter.detach(), make(rows=(11,)).parameter.detach()
    assert torch.equal(both[1:], alone)
    assert not torch.equal(both[0], both[1])


@BOTH
def test_set_canvas_renders_what_was_set(make: type[Image]) -> None:
    image = make(start=0.05)
    before = image.render().detach()
    image.set_canvas(image.canvas().detach())
    torch.testing.assert_close(image.render(), before, atol=1e-6, rtol=0)
    wanted = 0.2 * torch.randn(2, 3, 12, 18, generator=torch.Generator().manual_seed(0))
    image.set_canvas(wanted)
    torch.testing.assert_close(image.canvas(), wanted, atol=1e-5, rtol=0)


@BOTH
def test_a_zero_canvas_is_grey(make: type[Image]) -> None:
    image = make()
    image.shrink(1.0)
    grey = torch.tensor(MEAN) if isinstance(image, Pixels) else torch.full((3,), 0.5)
    torch.testing.assert_close(image.render(), grey[None, :, None, None].expand(2, 3, 12, 18))


@BOTH
def test_shrinking_scales_the_canvas(make: type[Image]) -> None:
    image = make()
    before = image.canvas().detach().clone()
    image.shrink(0.3)
    torch.testing.assert_close(image.canvas(), 0.7 * before)


def test_pixels_are_kept_in_range_by_moving_them_not_by_losing_gradient() -> None:
    image = pixels(start=10.0)
    picture = image.render()
    (gradient,) = torch.autograd.grad(picture.sum(), image.parameter)
    assert (gradient == 1).all()
    assert ((picture < 1e-6) | (picture > 1 - 1e-6)).float().mean() > 0.5


def test_pixel_noise_has_the_deviation_it_says() -> None:
    assert float(pixels((3, 64, 64), 10 / 255).parameter.detach().std()) == pytest.approx(10 / 255, rel=0.02)


def test_fourier_is_lucids_formula() -> None:
    """scale = 1 / max(f, 1 / max(w, h)) ** decay * sqrt(w h), numpy's inverse FFT, / 4, colours, sigmoid."""
    image = fourier((3, 12, 18), decay=1.5)
    height, width = 12, 18
    coefficients = image.parameter.detach().double().numpy()
    frequency = np.sqrt(np.fft.fftfreq(height)[:, None] ** 2 + np.fft.rfftfreq(width)[None] ** 2)
    scale = np.sqrt(width * height) / np.maximum(frequency, 1 / max(width, height)) ** 1.5
    plain = np.fft.irfft2(scale * (coefficients[..., 0] + 1j * coefficients[..., 1]), s=(height, width)) / 4
    colours = np.array([[0.26, 0.09, 0.02], [0.27, 0.00, -0.05], [0.27, -0.09, 0.03]])
    colours /= np.linalg.norm(colours, axis=0).max()
    logits = np.einsum("nchw,dc->ndhw", plain, colours)
    np.testing.assert_allclose(image.render().detach(), 1 / (1 + np.exp(-logits)), atol=1e-5)


def test_grey_and_correlated_pictures_have_no_colour_matrix() -> None:
    grey = fourier((1, 12, 18))
    plain = fourier((1, 12, 18), decorrelate=False)
    torch.testing.assert_close(grey.canvas(), plain.canvas())


@settings(deadline=None, max_examples=30)
@given(size=st.integers(2, 40), sigma=st.floats(0.13, 6))
def test_the_gaussian_is_scipys(size: int, sigma: float) -> None:
    line = np.random.default_rng(size).standard_normal(size)
    expected = ndimage.gaussian_filter(line, sigma)
    np.testing.assert_allclose(gaussian(size, sigma, CPU).double().numpy() @ line, expected, atol=1e-5)


def test_pixels_blur_is_scipys() -> None:
    image = pixels()
    before = image.parameter.detach().numpy().copy()
    image.blur(0.8)
    expected = ndimage.gaussian_filter(before, (0, 0, 0.8, 0.8))
    np.testing.assert_allclose(image.parameter.detach(), expected, atol=1e-6)


def test_fourier_blur_is_scipys_periodic_one() -> None:
    image = fourier((3, 32, 48))
    before = image.canvas().detach().numpy().copy()
    image.blur(2.0)
    expected = ndimage.gaussian_filter(before, (0, 0, 2, 2), mode="wrap", truncate=8)
    np.testing.assert_allclose(image.canvas().detach(), expected, atol=1e-5)
