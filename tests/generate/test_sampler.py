"""The walk against transcriptions of the published code, closed forms, and what the papers promise."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from tests.generate.linear import BIAS, CODE, JUDGE, PAINT, READ, SIDE, Linear, network
from vizcore.errors import GeneratorError, LayerError, SpecError
from vizcore.generate.condition import Classes, Eyes, Known, Units
from vizcore.generate.generator import Generator, Pixels
from vizcore.generate.sampler import NOISE, Sampler
from vizcore.generate.spec import SHORT, VARIANTS, Walk, walk
from vizcore.rng import stream

TARGETS = [3, 1]
START = torch.tensor(np.random.default_rng(5).uniform(0, 2, (2, CODE)))


def classes(generator: Generator | None = None, targets: list[int] = TARGETS) -> Classes:
    return Classes(Eyes(network(), generator or Linear()), targets)


def sampler(values: Walk, **extra: Any) -> Sampler:
    return Sampler(values, Linear(), [7, 9], classes(), start=START, **extra)


def published_step(h: np.ndarray, target: int, eps: tuple[float, float, float], lr: float, noise: np.ndarray,
                   true_gradient: bool) -> np.ndarray:  # fmt: skip
    """One step of ppgn's sampler.py, in NumPy, for the linear generator, encoder and network."""
    x = 1 / (1 + np.exp(-PAINT @ h))
    logits = JUDGE @ x + BIAS
    p = np.exp(logits - logits.max())
    p /= p.sum()
    one_hot = np.eye(len(p))[target]
    g_x = JUDGE.T @ (one_hot - p if true_gradient else one_hot * (1 - p[target]))
    d_condition = PAINT.T @ (x * (1 - x) * g_x)
    d_prior = np.maximum(READ @ x, 0) - h
    d_h = eps[0] * d_prior + eps[1] * d_condition + eps[2] * noise
    return np.clip(h + lr / np.abs(d_h).mean() * d_h, 0, 30)


@pytest.mark.parametrize("gradient", ["paper", "reference"])
@pytest.mark.parametrize("eps", [(1e-5, 1.0, 1e-17), (0.3, 1.0, 0.2), (1.0, 0.0, 0.0)])
def test_a_step_is_that_of_the_published_code(gradient: str, eps: tuple[float, float, float]) -> None:
    values = walk("ppgn", {"eps1": eps[0], "eps2": eps[1], "eps3": eps[2], "rate": 0.4, "rate_end": 0.1, "steps": 4,
                           "gradient": gradient, "box": "range", "seed": 11})  # fmt: skip
    samples = list(sampler(values))
    expected = START.numpy().copy()
    for step in range(4):
        assert np.abs(samples[step].codes.numpy() - expected).max() < 1e-6
        rate = 0.4 + (0.1 - 0.4) * step / 3
        for row, chain in enumerate([7, 9]):
            noise = stream(11, chain, step, NOISE).standard_normal((CODE,))
            expected[row] = published_step(expected[row], TARGETS[row], eps, rate, noise, gradient == "paper")
    assert np.abs(samples[4].codes.numpy() - expected).max() < 1e-6


def test_without_prior_and_noise_it_is_dgn_am_with_its_two_normalised_steps() -> None:
    values = walk("dgn-am", {"rate": 0.3, "rate_end": 0.3, "steps": 3})
    generator, expected = Linear(), START.numpy().copy()
    upper = generator.stats.upper.numpy()
    samples = list(sampler(values))
    for step in range(3):
        assert np.abs(samples[step].codes.numpy() - expected).max() < 1e-9
        for row, target in enumerate(TARGETS):
            h = expected[row]
            x0 = 1 / (1 + np.exp(-PAINT @ h))
            g = JUDGE[target]
            x = x0 + 8.0 * g / np.abs(g).mean()
            g_h = PAINT.T @ (x0 * (1 - x0) * (x - x0))
            expected[row] = 0.99 * np.clip(h + 0.3 * g_h / np.abs(g_h).mean(), 0, upper)


def test_the_gradient_of_the_condition_is_that_of_finite_differences() -> None:
    generator, condition = Linear(), classes()
    for gradient in ("paper", "logit"):
        torch.autograd.gradcheck(
            lambda h, how=gradient: condition(generator.decode(h), how).score, START.clone().requires_grad_(True)
        )


def test_the_prior_alone_makes_codes_likelier() -> None:
    generator = Linear()

    def distance(code: torch.Tensor) -> torch.Tensor:
        prior = generator.prior(code)
        assert prior is not None
        return prior.norm(dim=1)

    values = walk("joint", {"eps1": 1.0, "eps2": 0.0, "eps3": 0.0, "rate": 0.02, "rate_end": 0.02, "steps": 20})
    samples = list(sampler(values))
    far = torch.stack([distance(sample.codes) for sample in samples])
    assert bool((far[1:] < far[:-1]).all())


@pytest.mark.parametrize("name", list(SHORT))
def test_codes_never_leave_their_box(name: str) -> None:
    values = walk(name, {"rate": 5.0, "rate_end": 5.0, "eps3": 1.0, "steps": 20, "prior": "joint", "reset": 6})
    generator = Linear()
    for sample in sampler(values):
        assert bool((sample.codes >= generator.stats.lower).all())
        assert bool((sample.codes <= generator.stats.upper).all())


def test_equal_seeds_walk_alike_in_any_company() -> None:
    values = walk("joint", {"eps3": 0.5, "steps": 8, "reset": 3, "seed": 4})
    two = [sample.pictures for sample in Sampler(values, Linear(), [7, 9], classes())]
    again = [sample.pictures for sample in Sampler(values, Linear(), [7, 9], classes())]
    alone = [sample.pictures for sample in Sampler(values, Linear(), [9], classes(targets=[1]))]
    other = list(Sampler(walk("joint", {"eps3": 0.5, "steps": 8, "seed": 5}), Linear(), [7, 9], classes()))
    assert all(torch.equal(a, b) for a, b in zip(two, again, strict=True))
    assert all(torch.allclose(a[1:], b, atol=1e-12) for a, b in zip(two, alone, strict=True))
    assert not torch.allclose(two[-1], other[-1].pictures)


@pytest.mark.parametrize("name", ["dgn-am", "ppgn"])
def test_it_rises_towards_its_classes(name: str) -> None:
    samples = list(sampler(walk(name, {"rate": 0.1, "rate_end": 0.0, "steps": 60})))
    what = "activation" if name == "dgn-am" else "probability"
    first, sixth, last = (getattr(samples[step], what) for step in (0, 6, 60))
    assert bool((first < sixth).all())
    assert bool((sixth < last).all())


def test_a_walk_with_pixels_and_a_denoiser_is_ppgn_x() -> None:
    denoiser = torch.nn.AvgPool2d(3, 1, 1, count_include_pad=False)
    pixels = Pixels((1, SIDE, SIDE), denoiser)
    pixels.stats = type(pixels.stats)(*(v.double() for v in vars(pixels.stats).values()))
    start = torch.rand(2, 1, SIDE, SIDE, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    values = walk("ppgn-x", {"eps1": 1.0, "eps2": 0.0, "eps3": 0.0, "normalize": False, "steps": 1})
    _, after = Sampler(values, pixels, [0, 1], start=start)
    assert torch.allclose(after.codes, denoiser(start))  # eps1 = 1 without noise: x ← R(x)


def test_a_denoiser_of_codes_is_asked_by_ppgn_h() -> None:
    class Halved(Linear):
        def denoise(self, code: torch.Tensor) -> torch.Tensor:
            return code / 2

    values = walk("ppgn-h", {"eps1": 0.5, "eps2": 0.0, "eps3": 0.0, "normalize": False, "steps": 1})
    _, after = Sampler(values, Halved(), [0, 1], start=START)
    assert torch.allclose(after.codes, 0.75 * START)


@pytest.mark.parametrize(("name", "missing"), [("ppgn", "encoder"), ("ppgn-h", "denoiser")])
def test_without_what_the_prior_needs_it_is_off_and_said_to_be(name: str, missing: str) -> None:
    chains = Sampler(walk(name, {"steps": 2}), Linear(encoder=False), [0], classes(targets=[0]))
    bare = Sampler(walk(name, {"steps": 2, "eps1": 0.0}), Linear(encoder=False), [0], classes(targets=[0]))
    found, plain = list(chains), list(bare)
    assert chains.note == f"linear has no {missing}: the prior term is off."
    assert torch.equal(found[-1].codes, plain[-1].codes)
    assert bare.note == ""


def test_a_code_that_is_not_finite_goes_back_to_the_last_that_was() -> None:
    class Torn(Linear):
        def encode(self, pictures: torch.Tensor) -> torch.Tensor:
            code = super().encode(pictures)
            assert code is not None
            code[0] = torch.nan
            return code

    samples = list(Sampler(walk("joint", {"steps": 3}), Torn(), [7, 9], classes(), start=START))
    assert [sample.status for sample in samples] == [("ok", "ok"), *[("rolled back", "ok")] * 3]
    assert torch.equal(samples[-1].codes[0], START[0])
    assert not torch.equal(samples[-1].codes[1], START[1])


def test_hot_knobs_turn_between_two_steps_and_others_do_not() -> None:
    chains = sampler(walk("ppgn", {"steps": 5}))
    next(chains)
    before = chains.codes.clone()
    chains.turn("rate", 0.0)
    chains.turn("rate_end", 0.0)
    next(chains)
    assert torch.equal(chains.codes, before)
    with pytest.raises(SpecError, match="mid-walk"):
        chains.turn("seed", 3)
    with pytest.raises(SpecError, match="out of range"):
        chains.turn("rate", float("nan"))


def test_a_reset_ends_a_leg_and_starts_another() -> None:
    samples = list(sampler(walk("joint", {"steps": 7, "reset": 3})))
    assert [sample.step for sample in samples if sample.ends] == [3, 7]
    assert not torch.allclose(samples[4].codes, samples[3].codes, atol=0.3)


def test_what_is_known_of_a_picture_stays() -> None:
    generator = Linear()
    picture = generator.decode(START[:1])[0]
    mask = torch.zeros(SIDE, SIDE)
    mask[:, :2] = 1
    known = Known(picture, mask)
    values = walk("ppgn", {"eps2": 0.0, "eps4": 1.0, "rate": 0.05, "rate_end": 0.001, "steps": 200})
    samples = list(Sampler(values, generator, [0], known=known))
    assert float(known.error(samples[-1].pictures)) < 0.1 * float(known.error(samples[0].pictures))
    x = samples[0].pictures.requires_grad_(True)
    (gradient,) = torch.autograd.grad(-known.error(x).sum(), x)
    assert torch.allclose(gradient, (picture - x) * mask)  # the published code's


def test_what_does_not_fit_is_refused_in_one_sentence() -> None:
    generator, net = Linear(), network()
    with pytest.raises(SpecError, match=r"codes to start from are \[5\]"):
        Sampler(walk("ppgn"), generator, [0], start=torch.zeros(1, 5))
    with pytest.raises(SpecError, match="not finite"):
        Sampler(walk("ppgn"), generator, [0], start=torch.full((1, CODE), torch.nan))
    for shape in ((3, 3), (SIDE, 5)):
        with pytest.raises(SpecError, match="mask"):
            Sampler(walk("ppgn"), generator, [0], known=Known(torch.zeros(1, SIDE, SIDE), torch.ones(shape)))
    with pytest.raises(GeneratorError, match="paints colour pictures"):
        Eyes(net, Pixels((3, SIDE, SIDE)))
    with pytest.raises(GeneratorError, match="8 × 8 px"):
        Eyes(net, Pixels((1, 8, 8)))
    with pytest.raises(GeneratorError, match="cropped"):
        Eyes(net, Pixels((1, 2, 2)), "crop")
    assert Eyes(net, Pixels((1, 8, 8)), "resize")(torch.zeros(1, 1, 8, 8)).shape == (1, 1, SIDE, SIDE)
    middle = torch.arange(36.0).view(1, 1, 6, 6)
    assert torch.equal(Eyes(net, Pixels((1, 6, 6)), "crop")(middle), middle[:, :, 1:5, 1:5])
    with pytest.raises(LayerError, match="no class 5"):
        classes(targets=[5])
    with pytest.raises(LayerError, match="no filter 9"):
        Units(Eyes(net, generator), "1", [9])
    with pytest.raises(SpecError, match="variant"):
        walk("nothing")
    with pytest.raises(SpecError, match="parameter"):
        walk("ppgn", {"speed": 1})
    with pytest.raises(SpecError, match="empty"):
        walk("ppgn", {"low": 3, "high": 1})


def test_every_variant_has_a_short_name() -> None:
    assert {SHORT[name] for name in SHORT} == set(VARIANTS)


def test_a_unit_is_ascended_as_it_is() -> None:
    net = network()
    units = Units(Eyes(net, Linear()), "1", [2, 4])
    verdict = units(Linear().decode(START), "paper")
    logits = net.module(Linear().decode(START))
    assert torch.allclose(verdict.score.double(), logits[[0, 1], [2, 4]], atol=1e-6)
    assert bool(verdict.probability.isnan().all())
