"""One ruler for pictures of the same units by different methods (protocol: Zimmermann et al. 2021; Fel et al. 2023).

::

    pixel, fourier, maco, paper3     vizcore.ascent, with the presets Raw, Crisp, MACO, Paper 3
    dgn-am, ppgn                     vizcore.generate
    real                             the real picture that excites the unit most, as what they are held against
"""

from __future__ import annotations

import time
from collections.abc import Generator as Steps
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from vizcore import spec
from vizcore.ascent import ascend
from vizcore.errors import SpecError
from vizcore.generate.condition import Classes, Eyes, Units
from vizcore.generate.generator import Generator
from vizcore.generate.sampler import Sampler
from vizcore.generate.spec import walk
from vizcore.layers import Cut
from vizcore.look.naturals import held_out
from vizcore.look.units import Unit, device, scorer
from vizcore.rulertable import METHODS, PRESETS, REAL, WALKS, Length
from vizcore.spec import build
from vizcore.zoo.load import Network

__all__ = ["METHODS", "PRESETS", "REAL", "WALKS", "Length", "Measured", "Order", "Ruler", "diversity", "radial_power"]

Pictures = NDArray[np.uint8]  # [N, H, W, C]

BATCH = 250
PAPER = 227  # px of the pictures that Yosinski et al. (2015) blurred by 1 px: on smaller ones that leaves nothing
SPECTRUM = 500  # real pictures whose spectrum is taken


@dataclass(frozen=True)
class Order:
    """What is to be compared.

    Args:
        layer: of the units; empty for classes.
        units: channels or classes.
        seeds: pictures of each.
        steps: of every method; its own number if 0.
    """

    layer: str
    units: tuple[int, ...]
    methods: tuple[str, ...]
    seeds: int = 3
    steps: int = 0


@dataclass(frozen=True)
class Measured:
    """The pictures of a method ``[units, seeds, H, W, C]``, and a length for each unit."""

    method: str
    pictures: Pictures
    lengths: list[Length]


Turns = Steps[tuple[int, int], None, Measured]
"""Yields (done, in all) after each bit of work; returns what was measured."""


class Ruler:
    """Compares methods on a network with real pictures.

    Args:
        real: uint8 ``[K, C, S, S]`` of the network's size; without, activations are the network's own numbers, and
            there are no real pictures, neighbours and spectra.
        generator: for dgn-am and ppgn.
        other: another network of the same classes.

    Raises:
        SpecError: an unknown method, or one that lacks its generator; pictures of another size; another network's
            classes.
    """

    def __init__(self, network: Network, order: Order, real: Tensor | None, generator: Generator | None = None,
                 other: Network | None = None, fit: str = "exact") -> None:  # fmt: skip
        unknown = next((name for name in order.methods if name not in METHODS), None)
        if unknown is not None or not order.methods:
            raise SpecError(f"There is no method {str(unknown)[:40]!r}.", f"Use {', '.join(METHODS)}.")
        if any(name in WALKS for name in order.methods) and generator is None:
            raise SpecError("dgn-am and ppgn need a generator.", "Name one, or leave them out.")
        size = network.card.size
        if real is not None and tuple(real.shape[1:]) != (network.card.channels, size, size):
            raise SpecError(
                f"The real pictures are {list(real.shape[1:])}, the network takes "
                f"{[network.card.channels, size, size]}.",
                "Use pictures of the network's data set.",
            )
        if other is not None and (order.layer or len(other.card.classes) != len(network.card.classes)):
            raise SpecError("Another network can only judge classes that are its own too.", "Leave it out.")
        self.network, self.order, self.generator, self.other, self.fit = network, order, generator, other, fit
        self._eyes = Eyes(network, generator, fit) if generator is not None else None
        self._real = real
        self._power = None if real is None else radial_power(real[:SPECTRUM].permute(0, 2, 3, 1).numpy()).mean(0)
        self._natural: Tensor | None = None  # [K, units]

    def measure(self) -> Iterator[tuple[str, Pictures, list[Length]]]:
        """Method by method, real pictures first: its pictures (unit by unit, seed by seed), and a length per unit."""
        for method in self.order.methods if self._real is None else (REAL, *self.order.methods):
            turns = self.turns(method)
            while True:
                try:
                    next(turns)
                except StopIteration as end:
                    made = end.value.pictures
                    yield method, made.reshape(-1, *made.shape[2:]), end.value.lengths
                    break

    def turns(self, method: str) -> Turns:
        """One method, or :data:`REAL`, bit by bit, so that others can have their turns between."""
        order, real = self.order, self._real
        passes = 0 if real is None or self._natural is not None else -(-len(real) // BATCH)
        steps = 0 if method == REAL else self._steps(method) * order.seeds
        done, total = 0, passes + steps + len(order.units)
        for _ in self._look():
            done += 1
            yield done, total
        own: list[int] = []
        seconds = 0.0
        if method == REAL:
            assert real is not None
            assert self._natural is not None
            own = self._natural.argmax(0).tolist()
            made = real[own].permute(0, 2, 3, 1).numpy()[:, None]
        else:
            work = self._walk(method) if method in WALKS else self._ascend(method)
            while True:
                began = time.perf_counter()
                try:
                    seen = next(work)
                except StopIteration as end:
                    made = end.value
                    break
                finally:
                    seconds += time.perf_counter() - began
                yield done + min(seen, steps), total
            seconds /= len(made) * made.shape[1]
        found = []
        for index in range(len(order.units)):
            found.append(self._length(method, index, made[index], seconds, own))
            yield passes + steps + len(found), total
        return Measured(method, made, found)

    def _steps(self, method: str) -> int:
        if self.order.steps:
            return self.order.steps
        if method in WALKS:
            return walk(WALKS[method], {}).steps
        return int(spec.PRESETS[PRESETS[method]].get("steps", spec.PARAMS["steps"].default))

    def _ascend(self, method: str) -> Steps[int, None, Pictures]:
        """``[units, seeds, H, W, C]``; yields how many steps were made."""
        order, card = self.order, self.network.card
        values: dict[str, Any] = {"steps": order.steps} if order.steps else {}
        if method == "paper3":
            values["blur"] = min(card.size / PAPER, 1.0) * float(spec.PRESETS[PRESETS[method]]["blur"])
        objective = "channel" if order.layer else "class"
        found, done = [], 0
        for seed in range(order.seeds):
            plan = build(card.name, order.layer, order.units, PRESETS[method], objective=objective, size=card.size,
                         seed=seed, **values)  # fmt: skip
            images: Pictures | None = None
            keep = lambda step, end=plan.steps: step == end  # noqa: E731
            for frame in ascend(plan, self.network, device=device(self.network), keep=keep):
                images = frame.images
                done += 1
                yield done
            assert images is not None
            found.append(images)
        return np.stack(found, 1)

    def _walk(self, method: str) -> Steps[int, None, Pictures]:
        order, eyes = self.order, self._eyes
        assert self.generator is not None
        assert eyes is not None
        rows = [unit for unit in order.units for _ in range(order.seeds)]
        condition = Units(eyes, order.layer, rows) if order.layer else Classes(eyes, rows)
        values = {"steps": order.steps} if order.steps else {}
        chains = [unit * 1000 + seed for unit in order.units for seed in range(order.seeds)]
        pictures = torch.zeros(0)
        for step, sample in enumerate(Sampler(walk(WALKS[method], values), self.generator, chains, condition), 1):
            pictures = sample.pictures
            yield step * order.seeds
        if tuple(pictures.shape[2:]) != (self.network.card.size,) * 2:
            pictures = eyes.fitted(pictures)
        made = (pictures * 255 + 0.5).clamp(0, 255).byte().permute(0, 2, 3, 1).cpu().numpy()
        return made.reshape(len(order.units), order.seeds, *made.shape[1:])

    def lengths(self, method: str, made: Pictures, seconds: float) -> list[Length]:
        """What the ruler says of pictures ``[units, seeds, H, W, C]`` from anywhere, unit by unit."""
        for _ in self._look():
            pass
        return [self._length(method, index, made[index], seconds) for index in range(len(self.order.units))]

    def _length(self, method: str, index: int, pictures: Pictures, seconds: float, own: Sequence[int] = ()) -> Length:
        """``own``: for real pictures, their rows, which are not their own neighbours."""
        unit = self.order.units[index]
        x = torch.from_numpy(pictures.copy()).permute(0, 3, 1, 2).float() / 255
        activation = float(self._score(unit, x).mean())
        if self._natural is not None:
            activation /= max(float(self._natural[:, index].max()), 1e-12)
        moved = [held_out(self.network, picture, self._unit(unit)) for picture in pictures]
        shares = [float(np.mean(list(one.values()))) for one in moved if one]
        power = None if self._power is None else float(np.abs(radial_power(pictures) - self._power).mean(1).mean())
        return Length(
            method, unit, activation, float(np.mean(shares)) if shares else None, *self._transfer(unit, x),
            self._nearest(x, own[index] if own else None), power, diversity(pictures), seconds,
        )  # fmt: skip

    def _nearest(self, x: Tensor, own: int | None) -> float | None:
        if self._real is None:
            return None
        far = torch.cat([
            torch.cdist(x.flatten(1), part.flatten(1).float() / 255) for part in torch.split(self._real, BATCH)
        ], 1)  # fmt: skip
        if own is not None:
            far[0, own] = torch.inf
        return float(far.min(1).values.mean())

    def _transfer(self, unit: int, x: Tensor) -> tuple[float | None, float | None]:
        if self.other is None:
            return None, None
        size = self.other.card.size
        if x.shape[2] != size:
            x = torch.nn.functional.interpolate(x, (size, size), mode="bilinear", antialias=True)
        with torch.no_grad():
            found = self.other.module(self.other.normalize(x.to(device(self.other)))).softmax(1)
        return float(found[:, unit].mean()), float((found.argmax(1) == unit).float().mean())

    def _unit(self, unit: int) -> Unit:
        return Unit(self.order.layer, unit, reduce="mean")

    def _score(self, unit: int, x: Tensor) -> Tensor:
        with torch.no_grad():
            x = self.network.normalize(x.to(device(self.network)))
            return scorer(self.network, self._unit(unit))(x).float().cpu()

    def _look(self) -> Iterator[None]:
        """The activations of the real pictures, a batch at a time; nothing if they are known."""
        if self._real is None or self._natural is not None:
            return
        layer, units = self.order.layer, [self._unit(unit) for unit in self.order.units]
        cut = Cut(self.network.module, [layer])
        rows = []
        for part in torch.split(self._real, BATCH):
            with torch.no_grad():
                seen = cut(self.network.normalize(part.to(device(self.network)).float() / 255))[layer]
                rows.append(torch.stack([unit.score(seen) for unit in units], 1).float().cpu())
            yield
        self._natural = torch.cat(rows)


def radial_power(pictures: Pictures) -> NDArray[np.float64]:
    """Log power ``[N, S // 2]`` over rings of frequency, of the mean of the colours, whose own mean is taken off."""
    grey = pictures.astype(np.float64).mean(3) / 255
    grey -= grey.mean((1, 2), keepdims=True)
    power = np.abs(np.fft.fft2(grey)) ** 2
    height, width = grey.shape[1:]
    rings = np.hypot(np.fft.fftfreq(height)[:, None] * height, np.fft.fftfreq(width)[None] * width).round().astype(int)
    found = [power[:, rings == ring].mean(1) for ring in range(1, min(height, width) // 2 + 1)]
    log: NDArray[np.float64] = np.log(np.stack(found, 1) + 1e-3)
    return log


def diversity(pictures: Pictures) -> float | None:
    """Root mean square of what differs, of a range of 1, the mean over pairs; None for one picture."""
    plain = pictures.astype(np.float64) / 255
    found = [float(np.sqrt(np.square(a - b).mean())) for a, b in combinations(plain, 2)]
    return float(np.mean(found)) if found else None
