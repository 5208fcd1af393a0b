"""DeepDream: a picture is pushed towards what a layer already sees in it (Mordvintsev, Olah & Tyka 2015).

An ascent of one picture through *octaves*, sizes from small to large.  What was dreamt so far is scaled up and added to
the source at the next size::

    octave 0        1             2                       step  x ← x + rate · g / mean |g|,  kept in [0, 1]
    ┌───┐        ┌─────┐       ┌────────┐                 g     of the picture rolled by ± jitter px, so that no
    │   │ detail │     │ detail│        │ ─► zoom, …            seam stays where it was; above ``tile`` px in parts
    └───┘ ─────► └─────┘ ─────►│        │
                               └────────┘

The steps of a spec are shared evenly between its octaves; behind them comes the journey: ``zoom_frames`` times the
middle is enlarged by ``zoom`` % and dreamt on for ``zoom_steps``.  Frames have the size of their octave.
"""

from __future__ import annotations

from collections.abc import Mapping
from itertools import pairwise

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from vizcore import assets
from vizcore.aims import check_maps, scaled, tensor
from vizcore.arithmetic import arithmetic
from vizcore.ascent import Ascent, Asking, Look
from vizcore.dreamspec import octave_of, zooms_at
from vizcore.errors import SpecError
from vizcore.layers import find_layer
from vizcore.optimizers import PlainAscent
from vizcore.params import Value
from vizcore.rng import START, stream
from vizcore.spec import RunSpec

Shape = tuple[int, int]
LEAST = 16  # px of an octave's shorter side


class Dream(Ascent):
    """A dream in progress: an ascent of one picture; its arguments are those of :func:`vizcore.ascent.ascend`.

    Raises:
        SpecError: the smallest octave is too small, tiles are smaller than what the layer sees, no such picture.
        LayerError: the layer has no maps.
        PictureError: the guide is too small.
    """

    def _begin(self) -> None:
        spec = self.spec
        self._source = self._start()
        self._shapes = shapes(spec, (self._source.shape[2], self._source.shape[3]))
        self._octave = 0
        self._optimizer = PlainAscent()  # whose state is nothing
        self.alone = True
        self._picture = self._base(0)

    def _start(self) -> Tensor:
        spec, colours = self.spec, self._network.card.channels
        if spec.source:
            return tensor(assets.picture(spec.source), colours, self.device)
        noise = stream(spec.seed, spec.channels[0], START).standard_normal((colours, spec.side, spec.side), np.float32)
        grey = torch.tensor(self._network.card.mean)[:, None, None]
        return (grey + spec.start * torch.from_numpy(noise)).clamp(0, 1)[None].to(self.device)

    def _base(self, octave: int) -> Tensor:
        return scaled(self._source, self._shapes[octave])

    def _check(self) -> None:
        spec = self.spec
        for path in self._objective.layers:
            check_maps(self._network, path)
            self._check_tile(path)
        try:
            with torch.no_grad():
                self._objective.check(self.cut(self._grey()))
        except RuntimeError as error:
            height, width = self._shapes[0]
            raise SpecError(
                f"The first octave, {width} × {height} px, is too small for layer {spec.layer!r}.",
                "Use fewer octaves, a smaller octave scale, or a larger size.",
            ) from error

    def _check_tile(self, path: str) -> None:
        """Tiles must show a position all that it sees; of what sees everything, all that the network was made for."""
        spec = self.spec
        if max(self._shapes[-1]) <= spec.tile:
            return
        need = find_layer(self._network, path).receptive_field or self._network.card.size
        if spec.tile < need:
            raise SpecError(
                f"Tiles of {spec.tile} px are smaller than what layer {path!r} sees, {need} px.",
                f"Use tiles of at least {need} px, or an earlier layer.",
            )

    def _grey(self) -> Tensor:
        return torch.zeros(1, self._network.card.channels, *self._shapes[0], device=self.device)

    def _tensors(self) -> dict[str, Tensor]:
        return {"parameter": self._picture}

    def _restore(self, state: Mapping[str, np.ndarray]) -> None:
        self._octave = octave_of(self.spec, int(np.asarray(state.get("step", 0))))
        self._picture = self._base(self._octave).clone()
        super()._restore(state)

    def _look(self, knobs: Mapping[str, Value]) -> Asking[Look]:
        """Score and gradient of the picture; its passes, one for each tile, are nobody else's."""
        yield from ()
        with arithmetic(self.precision, self.device):
            return self._tiled(knobs)

    def _tiled(self, knobs: Mapping[str, Value]) -> Look:
        picture = self._picture
        height, width = int(picture.shape[2]), int(picture.shape[3])
        down, right = self._roll(int(knobs["jitter"]), height, width)
        rolled = picture.roll((down, right), (2, 3))
        aim = None
        if self._aim.moves and self._aim.picture is not None:
            aim = scaled(self._aim.picture, (height, width)).roll((down, right), (2, 3))
        gradient, score = torch.empty_like(rolled), torch.zeros(1, device=self.device)
        for top, bottom in pairwise(edges(height, self.spec.tile)):
            for left, end in pairwise(edges(width, self.spec.tile)):
                part = rolled[:, :, top:bottom, left:end]
                there = aim[:, :, top:bottom, left:end] if aim is not None else None
                share = part.shape[2] * part.shape[3] / (height * width)
                slope, value = self._part(part, there)
                gradient[:, :, top:bottom, left:end] = share * slope
                score += share * value
        gradient = gradient.roll((-down, -right), (2, 3))
        norm = torch.linalg.vector_norm(gradient).view(1)
        return Look(picture, score, norm, [gradient], norm, gradient)

    def _part(self, part: Tensor, aim: Tensor | None) -> tuple[Tensor, Tensor]:
        part = part.detach().clone().requires_grad_()
        normalize = self._network.normalize
        seen = self._aim.seen(self.cut, (lambda _: normalize(aim)) if aim is not None else None)
        scores = self._objective(self.cut(normalize(part)), seen)
        return torch.autograd.grad(scores.sum(), part)[0], scores.detach()

    def _roll(self, jitter: int, height: int, width: int) -> Shape:
        """Down and right: by at most ``jitter`` px; by anything where there are tiles, whose seams would be seen."""
        u = stream(self.spec.seed, self.spec.channels[0], self._step).random(2)
        if max(height, width) > self.spec.tile:
            return int(u[0] * height), int(u[1] * width)
        return int(u[0] * (2 * jitter + 1)) - jitter, int(u[1] * (2 * jitter + 1)) - jitter

    def _update(self, look: Look, knobs: Mapping[str, Value]) -> None:
        gradient = look.gradients[0]
        size = gradient.abs().mean()
        if bool(size > 0) and bool(size.isfinite()):
            self._picture = (self._picture + float(knobs["rate"]) / size * gradient).clamp_(0, 1)
        self._step += 1
        octave = octave_of(self.spec, self._step)
        if octave != self._octave:
            detail = self._picture - self._base(self._octave)
            self._picture = (self._base(octave) + scaled(detail, self._shapes[octave])).clamp_(0, 1)
            self._octave = octave
        if zooms_at(self.spec, self._step):
            self._picture = nearer(self._picture, self.spec.zoom)


def shapes(spec: RunSpec, source: Shape) -> list[Shape]:
    """(height, width) of each octave: the last has ``side`` px on its longer side, in the form of the source.

    Raises:
        SpecError: the first would be below 16 px.
    """
    share = spec.side / max(source)
    found = [
        (round(source[0] * share / by), round(source[1] * share / by))
        for by in (spec.octave_scale**left for left in reversed(range(spec.octaves)))
    ]
    if min(found[0]) < LEAST:
        raise SpecError(
            f"The first octave would be {found[0][1]} × {found[0][0]} px.",
            "Use fewer octaves, a smaller octave scale, or a larger size.",
        )
    return found


def edges(length: int, tile: int) -> list[int]:
    """Where tiles begin and end: as few equal ones, to a pixel, as are at most ``tile`` px long."""
    count = -(-length // tile)
    return [round(length * number / count) for number in range(count + 1)]


def nearer(picture: Tensor, percent: float) -> Tensor:
    """The middle of ``picture`` ``[N, C, H, W]``, ``percent`` % larger."""
    theta = torch.zeros(len(picture), 2, 3, device=picture.device)
    theta[:, 0, 0] = theta[:, 1, 1] = 1 / (1 + percent / 100)
    grid = F.affine_grid(theta, list(picture.shape), align_corners=False)
    return F.grid_sample(picture, grid, mode="bilinear", padding_mode="border", align_corners=False)
