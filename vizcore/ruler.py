"""One ruler for pictures of the same units by different methods (protocol: Zimmermann et al. 2021; Fel et al. 2023).

::

    pixel, fourier, maco, paper3     vizcore.ascent, with the presets Raw, Crisp, MACO, Paper 3
    dgn-am, ppgn                     vizcore.generate
    real                             the real picture that excites the unit most, as what they are held against
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from vizcore.ascent import ascend
from vizcore.errors import SpecError
from vizcore.generate.condition import Classes, Eyes, Units
from vizcore.generate.generator import Generator
from vizcore.generate.sampler import Sampler
from vizcore.generate.spec import walk
from vizcore.look.naturals import held_out
from vizcore.look.units import Unit, scorer
from vizcore.spec import build
from vizcore.zoo.load import Network

Pictures = NDArray[np.uint8]  # [N, H, W, C]

PRESETS = {"pixel": "Raw", "fourier": "Crisp", "maco": "MACO", "paper3": "Paper 3"}
WALKS = {"dgn-am": "dgn-am", "ppgn": "ppgn"}
METHODS = (*PRESETS, *WALKS)
REAL = "real"
BATCH = 250


@dataclass(frozen=True)
class Length:
    """What the ruler says of the pictures of one method and unit, each the mean over seeds.

    Args:
        activation: over the highest of all real pictures.
        held_out: the activation under moves that no ascent made, as a share of that without; None where it is 0.
        transfer: the probability that another network gives the class; ``transferred``: the share that it takes for it.
        nearest: L2 distance to the nearest real picture, of pixels in [0, 1].
        spectrum: mean absolute difference of log radial power to that of real pictures.
        diversity: root mean square difference of two pictures; None for one seed.
        seconds: of computing, for each picture.
    """

    method: str
    unit: int
    activation: float
    held_out: float | None
    transfer: float | None
    transferred: float | None
    nearest: float
    spectrum: float
    diversity: float | None
    seconds: float


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


class Ruler:
    """Compares methods on a network with real pictures.

    Args:
        real: uint8 ``[K, C, S, S]`` of the network's size.
        generator: for dgn-am and ppgn.
        other: another network of the same classes.

    Raises:
        SpecError: an unknown method, or one that lacks its generator; pictures of another size.
    """

    def __init__(self, network: Network, order: Order, real: Tensor, generator: Generator | None = None,
                 other: Network | None = None, fit: str = "exact") -> None:  # fmt: skip
        unknown = next((name for name in order.methods if name not in METHODS), None)
        if unknown is not None or not order.methods:
            raise SpecError(f"There is no method {str(unknown)[:40]!r}.", f"Use {', '.join(METHODS)}.")
        if any(name in WALKS for name in order.methods) and generator is None:
            raise SpecError("dgn-am and ppgn need a generator.", "Add --generator NAME, or leave them out.")
        size = network.card.size
        if tuple(real.shape[1:]) != (network.card.channels, size, size):
            raise SpecError(
                f"The real pictures are {list(real.shape[1:])}, the network takes "
                f"{[network.card.channels, size, size]}.",
                "Use pictures of the network's data set.",
            )
        if other is not None and (order.layer or len(other.card.classes) != len(network.card.classes)):
            raise SpecError("Another network can only judge classes that are its own too.", "Leave out --transfer.")
        self.network, self.order, self.generator, self.other, self.fit = network, order, generator, other, fit
        self._eyes = Eyes(network, generator, fit) if generator is not None else None
        self._real = real
        self._flat = real.flatten(1).float() / 255
        self._power = radial_power(real.permute(0, 2, 3, 1).numpy()[:500]).mean(0)
        self._natural = self._activations()

    def measure(self) -> Iterator[tuple[str, Pictures, list[Length]]]:
        """Method by method, real pictures first: its pictures (unit by unit, seed by seed), and a length per unit."""
        best = self._natural.argmax(0).tolist()
        pictures = self._real[best].permute(0, 2, 3, 1).numpy()
        yield REAL, pictures, self.lengths(REAL, pictures[:, None], 0.0, best)
        for method in self.order.methods:
            began = time.perf_counter()
            made = self._walk(method) if method in WALKS else self._ascend(method)
            seconds = (time.perf_counter() - began) / (len(made) * made.shape[1])
            yield method, made.reshape(-1, *made.shape[2:]), self.lengths(method, made, seconds)

    def _ascend(self, method: str) -> Pictures:
        """``[units, seeds, H, W, C]``."""
        order, card = self.order, self.network.card
        values: dict[str, Any] = {"steps": order.steps} if order.steps else {}
        objective = "channel" if order.layer else "class"
        found = []
        for seed in range(order.seeds):
            spec = build(card.name, order.layer, order.units, PRESETS[method], objective=objective, size=card.size,
                         seed=seed, **values)  # fmt: skip
            *_, last = ascend(spec, self.network, keep=lambda step, end=spec.steps: step == end)  # type: ignore[misc]
            assert last.images is not None
            found.append(last.images)
        return np.stack(found, 1)

    def _walk(self, method: str) -> Pictures:
        order, eyes = self.order, self._eyes
        assert self.generator is not None
        assert eyes is not None
        rows = [unit for unit in order.units for _ in range(order.seeds)]
        condition = Units(eyes, order.layer, rows) if order.layer else Classes(eyes, rows)
        values = {"steps": order.steps} if order.steps else {}
        chains = [unit * 1000 + seed for unit in order.units for seed in range(order.seeds)]
        *_, last = Sampler(walk(WALKS[method], values), self.generator, chains, condition)
        pictures = last.pictures
        if tuple(pictures.shape[2:]) != (self.network.card.size,) * 2:
            mean, std = (torch.tensor(v)[:, None, None] for v in (self.network.card.mean, self.network.card.std))
            pictures = eyes(pictures) * std + mean
        made = (pictures * 255 + 0.5).clamp(0, 255).byte().permute(0, 2, 3, 1).numpy()
        return made.reshape(len(order.units), order.seeds, *made.shape[1:])

    def lengths(self, method: str, made: Pictures, seconds: float, own: Sequence[int] = ()) -> list[Length]:
        """What the ruler says of pictures from anywhere, unit by unit.

        Args:
            made: ``[units, seeds, H, W, C]`` of the network's size.
            own: for real pictures, their rows, which are not their own neighbours.
        """
        result = []
        for index, (unit, pictures) in enumerate(zip(self.order.units, made, strict=True)):
            x = torch.from_numpy(pictures.copy()).permute(0, 3, 1, 2).float() / 255
            activation = self._score(unit, x)
            highest = max(float(self._natural[:, index].max()), 1e-12)
            moved = [held_out(self.network, picture, self._unit(unit)) for picture in pictures]
            shares = [float(np.mean(list(one.values()))) for one in moved if one]
            far = torch.cdist(x.flatten(1), self._flat)
            if own:
                far[0, own[index]] = torch.inf
            away = np.abs(radial_power(pictures) - self._power).mean(1)
            transfer, right = self._transfer(unit, x)
            result.append(Length(
                method, unit, float(activation.mean()) / highest, float(np.mean(shares)) if shares else None, transfer,
                right, float(far.min(1).values.mean()), float(away.mean()), diversity(pictures), seconds,
            ))  # fmt: skip
        return result

    def _transfer(self, unit: int, x: Tensor) -> tuple[float | None, float | None]:
        if self.other is None:
            return None, None
        size = self.other.card.size
        if x.shape[2] != size:
            x = torch.nn.functional.interpolate(x, (size, size), mode="bilinear", antialias=True)
        with torch.no_grad():
            found = self.other.module(self.other.normalize(x)).softmax(1)
        return float(found[:, unit].mean()), float((found.argmax(1) == unit).float().mean())

    def _unit(self, unit: int) -> Unit:
        return Unit(self.order.layer, unit, reduce="mean")

    def _score(self, unit: int, x: Tensor) -> Tensor:
        with torch.no_grad():
            return scorer(self.network, self._unit(unit))(self.network.normalize(x)).float()

    def _activations(self) -> Tensor:
        """``[K, units]`` of the real pictures."""
        parts = [part.float() / 255 for part in torch.split(self._real, BATCH)]
        return torch.stack([torch.cat([self._score(unit, part) for part in parts]) for unit in self.order.units], 1)


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
