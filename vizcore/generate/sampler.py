"""The walk: one sampler for DGN-AM and the PPGN family (Nguyen et al. 2016; 2017, equation 11).

Which it is depends on generator and weights alone: PPGN-x walks through pixels, DGN-AM has no prior and no noise,
PPGN-h asks a denoiser of codes, joint PPGN-h the generator and its encoder.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from vizcore.errors import SpecError
from vizcore.generate import spec as specs
from vizcore.generate.condition import Condition, Known
from vizcore.generate.generator import Generator
from vizcore.generate.spec import Walk
from vizcore.rng import START, stream

NOISE, RESET = 3, 4  # what is drawn at a step, beside what vizcore.rng names
RESET_EPS1 = (1e-6, 1e-2)  # of which ε1 is drawn at a reset, as in the published code


@dataclass(frozen=True)
class Sample:
    """One step of all chains: the codes *before* its update, and what was found of them.

    Args:
        codes: ``[N, *code_shape]``; ``pictures``: ``[N, C, H, W]`` in [0, 1].
        activation, probability: ``[N]``; NaN without a condition, and the probability of a hidden unit.
        status: per chain ``"ok"``, or ``"rolled back"`` where the last update gave no finite code.
        ends: whether the chains start anew behind this step (a reset) or it is the last one.
    """

    step: int
    codes: Tensor
    pictures: Tensor
    activation: Tensor
    probability: Tensor
    status: tuple[str, ...]
    ends: bool


class Sampler(Iterator[Sample]):
    """Chains of codes, all in one batch; iterate for samples 0 to ``steps``, and turn hot knobs between two.

    Args:
        chains: a number for each; equal (seed, number) walk alike in whatever company.
        condition: for the rows in their order; None walks by prior and noise alone.
        start: codes to start from, ``[N, *code_shape]``.
        known: what is known of the picture, weighed by ε4.

    Attributes:
        note: what is off and why, as one sentence; empty if nothing is.

    Raises:
        SpecError: codes, picture or mask of another shape.
    """

    def __init__(self, walk: Walk, generator: Generator, chains: Sequence[int], condition: Condition | None = None, *,
                 start: Tensor | None = None, known: Known | None = None) -> None:  # fmt: skip
        self.walk, self.generator, self.chains = walk, generator, tuple(chains)
        self.condition, self.known, self.note = condition, known, ""
        if known is not None:
            known.fits(generator)
        shape = (len(self.chains), *generator.code_shape)
        if start is not None and tuple(start.shape) != shape:
            raise SpecError(
                f"The codes to start from are {list(start.shape[1:])}, not {list(generator.code_shape)}.",
                "Use codes of this generator.",
            )
        self.codes = self._start() if start is None else start.detach().clone()
        if not bool(self.codes.isfinite().all()):
            raise SpecError("A code to start from has numbers that are not finite.", "Use another start.")
        self.step, self._since = 0, 0  # _since: the step at which the present leg began
        self._eps1: Tensor | None = None  # one per chain, behind a reset
        self._status = ("ok",) * len(self.chains)
        self._over = False

    def turn(self, name: str, value: object) -> None:
        """Turn a hot knob; it acts from the next update on."""
        self.tune(specs.turned(self.walk, name, value))

    def tune(self, walk: Walk) -> None:
        """Walk like this from the next update on; a new ε1 is that of all chains, whatever a reset drew."""
        if walk.eps1 != self.walk.eps1:
            self._eps1 = None
        self.walk = walk

    def __next__(self) -> Sample:
        if self._over or self.step > self.walk.steps:
            raise StopIteration
        sample, gradient = self.look()
        if sample.step >= self.walk.steps:
            self._over = True
        else:
            self.move(sample, gradient)
        return sample

    def look(self) -> tuple[Sample, Tensor]:
        """The present sample, and the gradient of its score by the code."""
        walk, code = self.walk, self.codes.detach().requires_grad_(True)
        picture = self.generator.decode(code)
        nothing = torch.full((len(code),), torch.nan)
        activation, probability = nothing, nothing
        score: Tensor | None = None
        if self.condition is not None:
            verdict = self.condition(picture, walk.gradient)
            activation, probability = verdict.activation, verdict.probability
            if walk.eps2:
                score = walk.eps2 * verdict.score
        if self.known is not None and walk.eps4:
            score = (0 if score is None else score) - walk.eps4 * self.known.error(picture)
        ends = self.step >= walk.steps or self._due()
        sample = Sample(self.step, self.codes, picture.detach(), activation, probability, self._status, ends)
        gradient = torch.zeros_like(self.codes) if score is None else torch.autograd.grad(score.sum(), code)[0]
        return sample, gradient

    def move(self, sample: Sample, gradient: Tensor) -> None:
        """Take the step that :meth:`look` found, or begin the next leg."""
        if self._due():
            self._restart()
        else:
            self._update(gradient, sample.pictures)
        self.step += 1

    def state(self) -> dict[str, Tensor]:
        """All that :meth:`restore` needs, beside what it is made of: a row for each chain, but for ``since``."""
        eps1 = torch.full((len(self.chains),), torch.nan) if self._eps1 is None else self._eps1
        rolled = torch.tensor([status != "ok" for status in self._status])
        return {"parameter": self.codes, "since": torch.tensor(self._since), "eps1": eps1, "rolled": rolled}

    def restore(self, step: int, state: Mapping[str, Tensor]) -> None:
        """Go on from ``step`` as it was."""
        self.codes = state["parameter"].to(self.codes)
        self.step, self._since = step, int(state["since"])
        self._eps1 = None if bool(state["eps1"].isnan().any()) else state["eps1"].to(self.codes)
        self._status = tuple("rolled back" if bool(value) else "ok" for value in state["rolled"])

    def _due(self) -> bool:
        return bool(self.walk.reset) and self.step - self._since >= self.walk.reset

    @torch.no_grad()
    def _update(self, gradient: Tensor, picture: Tensor) -> None:
        walk, before = self.walk, self.codes
        change, self.note = gradient, ""
        if walk.eps1:
            asked = walk.prior == "denoiser"
            prior = self.generator.denoise(before) if asked else self.generator.prior(before, picture)
            if prior is None:
                what = "has no denoiser" if asked else "has no encoder"
                self.note = f"{self.generator.name} {what}: the prior term is off."
            else:
                eps1 = walk.eps1 if self._eps1 is None else _rows(self._eps1, before)
                change = change + eps1 * (prior - before if asked else prior)
        if walk.eps3:
            change = change + walk.eps3 * self._noise(NOISE)
        if walk.normalize:
            rate = walk.rate + (walk.rate_end - walk.rate) * self.step / max(walk.steps - 1, 1)
            mean = change.abs().flatten(1).mean(1).clamp_min(1e-30)
            change = change * _rows(rate * self.generator.stats.scale / mean, change)
        code = self._boxed(self._boxed(before + change) * walk.keep)
        finite = code.isfinite().flatten(1).all(1)
        self.codes = torch.where(_rows(finite, code), code, before)
        self._status = tuple("ok" if fine else "rolled back" for fine in finite.tolist())

    def _boxed(self, code: Tensor) -> Tensor:
        if self.walk.box == "units":
            return self.generator.project(code)
        return code.clamp(self.walk.low, self.walk.high) if self.walk.box == "range" else code

    def _start(self) -> Tensor:
        generator, walk = self.generator, self.walk
        if walk.start == "codes":
            return generator.sample(len(self.chains), walk.seed, self.chains)
        return self._boxed(self._normal(START, 0) * generator.stats.scale)

    def _restart(self) -> None:
        """New codes and a new ε1, uniform in its range, for every chain."""
        self._since = self.step + 1
        low, high = RESET_EPS1
        seed = self.walk.seed
        draws = [low + (high - low) * float(stream(seed, chain, self.step, RESET).random()) for chain in self.chains]
        self._eps1 = torch.tensor(draws).to(self.codes)
        noise = self._normal(self.step, RESET + 1)
        if self.walk.start == "codes":
            self.codes = self.generator.drawn(noise)
        else:
            self.codes = self._boxed(noise * self.generator.stats.scale)

    def _noise(self, purpose: int) -> Tensor:
        return self._normal(self.step, purpose).to(self.codes)

    def _normal(self, step: int, purpose: int) -> Tensor:
        shape, seed = self.generator.code_shape, self.walk.seed
        rows = [stream(seed, chain, step, purpose).standard_normal(shape) for chain in self.chains]
        return torch.stack([torch.from_numpy(row) for row in rows]).to(self.generator.stats.mean)


def _rows(values: Tensor, like: Tensor) -> Tensor:
    return values.view(-1, *[1] * (like.ndim - 1))
