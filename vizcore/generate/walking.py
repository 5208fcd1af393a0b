"""A run whose image is the code of a generator: the walk of :mod:`vizcore.generate.sampler` as an ascent.

::

    code ──decode──► picture ──fit, move──► network ──► objective ──► condition ┐
      ▲                │ encode                                                  │ by the code
      └── box, shrink ─┴───────► prior, noise ──────────────────────► step ◄─────┘

The score of a class is log p(class | picture); of anything else, what it is for other images.  Moves of the picture,
its noise and the penalties on its values act on what is decoded; what shrinks a picture shrinks the code.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np
import torch
from torch import Tensor

from vizcore import assets, objectives, penalties
from vizcore.aims import Aim
from vizcore.aims import tensor as picture_tensor
from vizcore.arithmetic import arithmetic
from vizcore.ascent import Ascent, Asking, Coming, Frame, Pass, in_bytes
from vizcore.errors import SpecError
from vizcore.generate import names
from vizcore.generate.condition import Eyes, Known, Verdict, judged
from vizcore.generate.generator import Generator, pixels_of
from vizcore.generate.sampler import Sample, Sampler
from vizcore.generate.spec import Walk, of_run
from vizcore.look.pictures import Picture, fit
from vizcore.optimizers import PlainAscent
from vizcore.spec import RunSpec
from vizcore.window import Window


class Walking(Ascent):
    """A walk in progress; its arguments are those of :func:`vizcore.ascent.ascend`.

    Raises:
        GeneratorError: there is no such generator, or its pictures do not fit the network.
        SpecError: a mask of another size, a picture that has no code.
    """

    def _begin(self) -> None:
        spec, network = self.spec, self._network
        generator = names.of_run(spec.generator, network, self.device)
        if spec.space == "pixels":
            generator = pixels_of(generator)
        self._eyes = Eyes(network, generator, spec.fit)
        self._aim = Aim(spec, network, self._objective, self.device, square=True, side=network.card.size)
        self.precision, self.alone = "fp32", True
        self._optimizer = PlainAscent()  # whose state is nothing
        self._scores = torch.zeros(len(spec.channels))
        walk = self._walk(0)
        start, known = painted(spec, generator, walk, self.device)
        self.sampler = Sampler(walk, generator, spec.channels, self._verdict, start=start, known=known)

    def _walk(self, step: int) -> Walk:
        return of_run({**vars(self.spec), **self.knobs.at(step)})

    def _check(self) -> None:
        with torch.no_grad():
            self._objective.check(self.cut(self._grey()))

    def _grey(self) -> Tensor:
        card = self._network.card
        return torch.zeros(1, card.channels, card.size, card.size, device=self.device)

    def _window(self, pad: int) -> Window | None:
        return None

    @property
    def note(self) -> str:
        """What is off and why."""
        return self.sampler.note

    def checkpoint(self) -> dict[str, np.ndarray]:
        state = {name: value.detach().cpu().numpy().copy() for name, value in self.sampler.state().items()}
        return {"step": np.array(self._step), "idle_since": self._idle_since.copy(), **state}

    def _restore(self, state: Mapping[str, np.ndarray]) -> None:
        shapes = {name: tuple(value.shape) for name, value in self.sampler.state().items()}
        shapes |= {"step": (), "idle_since": self._idle_since.shape}
        if any(name not in state or np.shape(state[name]) != shape for name, shape in shapes.items()):
            raise SpecError("The checkpoint is of another run.", "Start this run from its beginning.")
        if not np.isfinite(state["parameter"]).all():
            raise SpecError("The checkpoint has a code that is not finite.", "Go on from an earlier step.")
        self._step, self._idle_since = int(state["step"]), np.array(state["idle_since"])
        self.sampler.tune(self._walk(max(self._step - 1, 0)))  # a turn at this step is still to be noticed
        self.sampler.restore(self._step, {name: torch.from_numpy(np.array(value)) for name, value in state.items()})

    def asking(self) -> Asking[Coming | None]:
        """The next step; its pass through the network is nobody else's."""
        yield from ()
        begin = time.perf_counter()
        steps = int(self.knobs.at(self._step)["steps"])
        if self._open and self._step >= steps:
            return None
        with arithmetic(self.precision, self.device):
            if self._open:  # the run went on after its last frame: make up for the update
                self._move(*self._glance())
                steps = int(self.knobs.at(self._step)["steps"])
            step, self._open = self._step, self._step >= steps
            sample, gradient = self._glance()
        images = in_bytes(sample.pictures).cpu().numpy() if self._keep(step) else None
        scores, norms = self._scores.float().cpu().numpy(), _norms(gradient)
        if not self._open:
            self._move(sample, gradient)
        status = self._status(sample, step, scores, norms)
        frame = Frame(step, images, scores, norms, time.perf_counter() - begin, status)
        return lambda: frame

    def _glance(self) -> tuple[Sample, Tensor]:
        self.sampler.tune(self._walk(self._step))
        return self.sampler.look()

    def _move(self, sample: Sample, gradient: Tensor) -> None:
        self.sampler.move(sample, gradient)
        self._step += 1

    def _status(self, sample: Sample, step: int, scores: np.ndarray, norms: np.ndarray) -> tuple[str, ...]:
        if self._classes():  # one that is certain has no gradient any more, and is not dead
            told = tuple("ok" if fine else "nan" for fine in np.isfinite(scores) & np.isfinite(norms))
        else:
            told = self._judge(step, scores, norms)
        return tuple(own if own != "ok" else found for own, found in zip(sample.status, told, strict=True))

    def _classes(self) -> tuple[int, ...]:
        """The class of each row, if that is all that is aimed at."""
        ((weight, term), *more) = self._objective.terms
        if more or weight != 1 or term.kind != "class":
            return ()
        return term.numbers if len(term.numbers) > 1 else term.numbers * len(self.spec.channels)

    def _verdict(self, pictures: Tensor, gradient: str) -> Verdict:
        """What the objective says of the pictures of all rows, as they are moved."""
        knobs = self.knobs.at(self._step)
        rows = range(len(self.spec.channels))
        question = Pass(pictures, rows, knobs)
        activations = self.cut(self.moved(self._eyes.fitted(pictures), question))
        classes = self._classes()
        if classes:
            logits = activations[objectives.WHOLE]
            verdict = judged(logits.view(len(rows), -1, logits.shape[1]).mean(1), classes, gradient)
            assert verdict.log_probability is not None
            self._scores = verdict.log_probability
        else:
            found = self.scores(activations, question)
            verdict = Verdict(found, found.detach(), torch.full_like(found.detach(), torch.nan))
            self._scores = verdict.score.detach()
        cost = penalties.cost(pictures, self.mean, knobs)
        return verdict if cost is None else replace(verdict, score=verdict.score - cost)


def painted(
    spec: RunSpec, generator: Generator, walk: Walk, device: torch.device
) -> tuple[Tensor | None, Known | None]:
    """Codes to start from ``[N, *code_shape]``, and what is known of the picture; None where there is no picture.

    Raises:
        SpecError: a mask of another size, or without a picture; a generator that gives pictures no codes.
    """
    if not spec.source:
        if spec.mask:
            raise SpecError("A mask needs a picture.", "Give the picture of which a part is known.")
        return None, None
    mask = assets.picture(spec.mask) if spec.mask else None
    code, known = coded(assets.picture(spec.source), mask, generator, device)
    firsts = [channel % spec.chains == 0 for channel in spec.channels]
    return None if code is None else spread(code, generator, walk, spec.channels, firsts), known


def coded(
    picture: Picture, mask: Picture | None, generator: Generator, device: torch.device
) -> tuple[Tensor | None, Known | None]:
    """The code of a picture, ``[1, *code_shape]``, and what is known of it: all where the mask is light.

    Raises:
        SpecError: a mask of another size; a generator that gives pictures no codes, unless a part is known.
    """
    height, _ = generator.image_size
    image = picture_tensor(fit(picture, height, generator.channels), generator.channels, device)[0]
    known = None
    if mask is not None:
        known = Known(image, torch.from_numpy((mask.mean(2) > 127).astype(np.float32)).to(device))
        known.fits(generator)
        image = image * known.mask + 0.5 * (1 - known.mask)
    with torch.no_grad():
        code = generator.encode(image[None])
    if code is None:
        if known is not None:
            return None, known
        raise SpecError(f"{generator.name} has no encoder, so a picture has no code.", "Leave the picture out.")
    return generator.project(code), known


def spread(code: Tensor, generator: Generator, walk: Walk, chains: Sequence[int], firsts: Sequence[bool]) -> Tensor:
    """Where chains begin that walk from the code of a picture: ``[N, *code_shape]``.

    The first chain of a target begins at the code itself, as the published code has it, and the others beside it: a
    walk without noise is fixed by its start, and would be the same for all of them.

    Args:
        chains: the number of each, as the sampler has it; ``firsts``: whether it is the first of its target.
    """
    drawn = generator.sample(len(chains), walk.seed, tuple(chains)).to(code)
    away = torch.tensor([0.0 if first else walk.spread for first in firsts]).to(code).view(-1, *[1] * (code.ndim - 1))
    return generator.project(code + away * (drawn - generator.stats.mean.to(code)))


def _norms(gradient: Tensor) -> np.ndarray:
    return np.asarray(torch.linalg.vector_norm(gradient.flatten(1).float(), dim=1).cpu().numpy())
