"""MACO keeps the magnitudes it was given, and CPPN paints what its formula says."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from scipy import stats

from tests.tiny import network, tiny_spec
from vizcore import assets, spectrum
from vizcore.ascent import ascend
from vizcore.cli import main
from vizcore.cppn import HIDDEN, LAYERS, Painter
from vizcore.errors import PictureError, SpecError
from vizcore.maco import Phases
from vizcore.spec import from_dict, to_dict
from vizcore.transforms import crop, noise, side_at

CPU = torch.device("cpu")
SHAPES = pytest.mark.parametrize("shape", [(3, 12, 18), (3, 13, 17), (3, 16, 16), (1, 12, 17)])


@pytest.fixture(autouse=True)
def own_assets(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VIZCORE_ASSETS", str(tmp_path / "assets"))


def phases(shape: tuple[int, int, int], rows: tuple[int, ...] = (3, 11), decorrelate: bool = True) -> Phases:
    return Phases(rows, shape, 0, "", decorrelate, CPU)


def numpy_buffer(phase: np.ndarray, magnitude: np.ndarray, height: int, width: int) -> np.ndarray:
    """The pictures' planes as sums of cosines, frequency by frequency; each pair ±k once, with the weight of two."""
    y, x = np.mgrid[:height, :width]
    planes = np.zeros((*phase.shape[:2], height, width))
    for ky in range(height):
        for kx in range(width // 2 + 1):
            wave = 2 * np.pi * (ky * y / height + kx * x / width)
            own = kx == 0 or (width % 2 == 0 and kx == width // 2)
            angle = phase[..., ky, kx]
            if own:
                angle = (angle - phase[..., -ky % height, kx]) / 2
            planes += ((1 if own else 2) * magnitude[:, ky, kx])[..., None, None] * np.cos(
                wave + angle[..., None, None]
            )
    return planes


@SHAPES
def test_the_buffer_is_the_formula(shape: tuple[int, int, int]) -> None:
    image = phases(shape)
    colours, height, width = shape
    magnitude = spectrum.magnitudes("", colours, height, width)
    planes = numpy_buffer(image.parameter.detach().double().numpy(), magnitude, height, width)
    logits = planes if colours == 1 else np.einsum("dc,nchw->ndhw", spectrum.COLOURS, planes)
    np.testing.assert_allclose(image.canvas().detach(), logits, atol=2e-5)
    np.testing.assert_allclose(image.render().detach(), 1 / (1 + np.exp(-logits)), atol=1e-5)
    assert (planes**2).mean((2, 3)).mean(1) == pytest.approx(1)  # the standardisation of the paper, by Parseval
    assert abs(planes.mean((2, 3))).max() < 1e-12


@SHAPES
def test_the_magnitude_stays_whatever_the_phases(shape: tuple[int, int, int]) -> None:
    """To 1e-5 of each magnitude: no step can change the spectrum."""
    image = phases(shape, decorrelate=False)
    colours, height, width = shape
    with torch.no_grad():
        image.parameter.mul_(7).add_(1.3)
    measured = np.abs(np.fft.rfft2(image.canvas().detach().double().numpy())) / (height * width)
    wanted = spectrum.magnitudes("", colours, height, width)
    error = np.abs(measured - wanted)[..., wanted > 0] / wanted[wanted > 0]
    assert error.max() < 1e-5


def test_a_run_keeps_the_magnitude_and_says_what_moved() -> None:
    spec = tiny_spec(preset="MACO", steps=6, crops=2, size=16)
    run = ascend(spec, network(), exact=True)
    frames = list(run)
    assert frames[-1].images is not None
    state = run.checkpoint()
    image = phases((3, 16, 16), spec.channels, decorrelate=False)
    assert not np.array_equal(state["parameter"], image.parameter.detach().numpy())
    with torch.no_grad():
        image.parameter.copy_(torch.from_numpy(state["parameter"]))
    measured = np.abs(np.fft.rfft2(image.canvas().detach().double().numpy())) / 256
    wanted = spectrum.magnitudes("", 3, 16, 16)
    np.testing.assert_allclose(
        measured[..., wanted > 0], np.broadcast_to(wanted, measured.shape)[..., wanted > 0], rtol=1e-5
    )
    assert state["transparency"].shape == (4, 16, 16)
    assert (state["transparency"] >= 0).all()
    assert state["transparency"].max() > 0


def test_a_run_goes_on_from_its_checkpoint_bit_for_bit() -> None:
    spec = tiny_spec(preset="MACO", steps=6, crops=2, noise=0.1)
    whole = list(ascend(spec, network(), exact=True))
    half = ascend(spec, network(), exact=True)
    for _ in range(3):
        next(half)
    rest = list(ascend(spec, network(), exact=True, state=half.checkpoint()))
    assert np.array_equal(rest[-1].images, whole[-1].images)
    assert np.array_equal(rest[-1].scores, whole[-1].scores)


@pytest.mark.parametrize("parameterization", ["maco", "cppn"])
def test_scores_rise(parameterization: str) -> None:
    spec = tiny_spec(
        parameterization=parameterization, policy="constant", start=0.5, steps=8, rate=0.02, jitter=0, scale=0,
        rotate=0, pad=0,
    )  # fmt: skip
    frames = list(ascend(spec, network()))
    assert (frames[-1].scores > frames[0].scores).all()


def test_penalties_do_not_break_what_cannot_be_bent() -> None:
    for name in ("maco", "cppn"):
        spec = tiny_spec(parameterization=name, blur=1.0, blur_every=1, small_norm=50, small_benefit=10, decay=0.1)
        assert all(np.isfinite(frame.scores).all() for frame in ascend(spec, network()))


# The table -----------------------------------------------------------------------------------------------------


def test_a_table_at_its_own_size_is_the_mean_magnitude() -> None:
    random = np.random.default_rng(0)
    pictures = random.integers(0, 256, (5, 16, 16, 3), np.uint8)
    table = spectrum.measure(pictures, 16)
    grey = pictures / 255 @ spectrum.GREY
    mean = np.abs(np.fft.rfft2(grey)).mean(0)
    frequency = np.hypot(np.fft.fftfreq(16)[:, None], np.fft.rfftfreq(16)[None])
    np.testing.assert_allclose(table[3], mean * frequency, rtol=1e-5)


def test_the_bundled_table_falls_as_photographs_do() -> None:
    """About 1 / frequency (Field 1987), grey and the first decorrelated colour far above the two others."""
    found = spectrum.magnitudes("", 3, 128, 128)
    low, high = found[0, 0, 4], found[0, 0, 32]
    assert 0.7 < np.log(low / high) / np.log(8) < 1.5
    power = (found**2).sum((1, 2))
    assert power[0] > power[1:].max()
    assert spectrum.magnitudes("", 1, 64, 96).shape == (1, 64, 49)


def test_a_table_of_a_folder_is_used_and_named_by_its_content(tmp_path: Path) -> None:
    folder = tmp_path / "pictures"
    folder.mkdir()
    stripes = np.zeros((64, 64, 3), np.uint8)
    stripes[::2] = 255
    Image.fromarray(stripes).save(folder / "a.png")
    name = spectrum.of_folder(folder, 64)
    assert spectrum.of_folder(folder, 64) == name
    found = spectrum.magnitudes(name, 1, 64, 64)
    assert np.unravel_index(found[0].argmax(), found[0].shape) == (32, 0)  # nothing but the stripes
    spec = tiny_spec(preset="MACO", spectrum=name, steps=1)
    assert from_dict(to_dict(spec)) == spec
    assert next(ascend(spec, network())).images is not None


def test_a_table_that_is_not_here_is_said(tmp_path: Path) -> None:
    for name in ("0" * 24, "../secret", "x"):
        with pytest.raises(SpecError, match="spectrum of this run is not on this machine"):
            ascend(tiny_spec(preset="MACO", spectrum=name), network())
    (tmp_path / "empty").mkdir()
    with pytest.raises(PictureError):
        spectrum.of_folder(tmp_path / "empty")
    name = assets.keep(b"no table", ".npz")
    with pytest.raises(SpecError, match="damaged"):
        spectrum.magnitudes(name, 3, 16, 16)


# Crops and noise -----------------------------------------------------------------------------------------------


def test_crops_are_parts_of_the_picture() -> None:
    """On a picture whose value is the column, a crop is a straight line whose span is the crop's side."""
    x = torch.linspace(-1, 1, 65)[:64] + 1 / 64  # the middles of 64 pixels that fill [-1, 1]
    picture = x.expand(2, 1, 64, 64)
    found = crop(picture, 0, 3, [0, 1], 40, 0.5)
    assert found.shape == (80, 1, 64, 64)
    inner = found[:, 0, 32, 1:-1].numpy()
    steps = np.diff(inner, axis=1)
    np.testing.assert_allclose(steps, np.broadcast_to(steps.mean(1, keepdims=True), steps.shape), atol=1e-5)
    sides = steps.mean(1) * 64 / 2
    assert 0.4 <= sides.min() < 0.43
    assert 0.57 < sides.max() <= 0.6
    assert torch.equal(crop(picture[1:], 0, 3, [1], 40, 0.5), found[40:])  # a row alone draws what it draws in a batch


def test_a_crop_of_everything_is_the_picture() -> None:
    picture = torch.rand(1, 3, 12, 12)
    assert torch.allclose(crop(picture, 0, 0, [0], 1, 2.0), picture, atol=1e-6)
    assert [side_at(step, 10, 50, 5) for step in (0, 5, 10, 20)] == [50, 27.5, 5, 5]


def test_noise_has_its_deviation_and_belongs_to_its_row() -> None:
    blank = torch.zeros(2, 3, 64, 64)
    found = noise(blank, 0, 5, [3, 4], 0.1)
    assert float(found.std()) == pytest.approx(0.1, rel=0.02)
    assert torch.equal(noise(blank[:1], 0, 5, [4], 0.1), found[1:])
    assert not torch.equal(noise(blank[:1], 0, 6, [4], 0.1), found[1:])


# CPPN ----------------------------------------------------------------------------------------------------------


def test_a_cppn_is_its_formula() -> None:
    image = Painter((3, 11), (3, 12, 18), 0.5, 0, CPU)
    weights = image.parameter.detach().double().numpy()[1]
    second, fourth = (stats.norm.expect(lambda z, power=power: np.arctan(z) ** power) for power in (2, 4))
    spread, mean2, spread2 = second**0.5, second, (fourth - second**2) ** 0.5
    y = (np.arange(12) - 5.5) / 9 * 3**0.5
    x = (np.arange(18) - 8.5) / 9 * 3**0.5
    h = np.stack([np.tile(x, 12), np.repeat(y, 18)], 1)
    at = 0
    for number, (fan, out) in enumerate([(2, HIDDEN), *[(2 * HIDDEN, HIDDEN)] * (LAYERS - 1), (2 * HIDDEN, 3)]):
        matrix, bias = weights[at : at + fan * out].reshape(fan, out), weights[at + fan * out : at + fan * out + out]
        at += fan * out + out
        h = h @ matrix + bias
        if number < LAYERS:
            h = np.arctan(h)
            h = np.concatenate([h / spread, (h * h - mean2) / spread2], 1)
    assert at == len(weights)
    np.testing.assert_allclose(image.canvas().detach()[1], h.T.reshape(3, 12, 18), atol=1e-4)


def test_a_cppn_shrinks_exactly_and_renders_with_gradient() -> None:
    image = Painter((3, 11), (3, 12, 18), 0.5, 0, CPU)
    before = image.canvas().detach().clone()
    image.shrink(0.3)
    torch.testing.assert_close(image.canvas(), 0.7 * before)
    (gradient,) = torch.autograd.grad(image.render().sum(), image.parameter)
    assert gradient.isfinite().all()
    assert gradient.abs().sum(1).min() > 0
    alone = Painter((11,), (3, 12, 18), 0.5, 0, CPU)
    assert torch.equal(alone.parameter, Painter((3, 11), (3, 12, 18), 0.5, 0, CPU).parameter[1:])


# The command ---------------------------------------------------------------------------------------------------


def test_render_maco_with_own_spectrum_and_transparency(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("VIZCORE_HOME", str(tmp_path / "home"))
    photos = tmp_path / "photos"
    photos.mkdir()
    Image.effect_mandelbrot((90, 90), (-2, -1, 1, 1), 50).save(photos / "1.png")
    args = ["render", "digits", "conv1", "--channels", "0-1", "--preset", "MACO", "--image", "maco", "--steps", "2",
            "--size", "32", "--threads", "1", "--json", "--out", str(tmp_path / "out")]  # fmt: skip
    assert main([*args, "--spectrum", str(photos), "--transparent"]) == 0, capsys.readouterr().out
    with Image.open(tmp_path / "out" / "conv1-0000-transparent.png") as picture:
        assert picture.mode == "LA"
        assert picture.getextrema()[1] == (0, 255) or picture.getextrema()[1][1] == 255
    capsys.readouterr()
    assert main([*args, "--spectrum", str(tmp_path / "none")]) == 2
    assert '"PictureError"' in capsys.readouterr().out
    assert main([*args[:-2], "--out", str(tmp_path / "x"), "--transparent", "--image", "cppn"]) == 2
    assert "Only MACO" in capsys.readouterr().out
