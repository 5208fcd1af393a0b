"""What is maximised: a score per picture, made from the activations of one or more layers.

Row ``i`` of a batch has an objective of its own (usually channel ``channels[i]``), and depends on picture ``i`` alone.
Objectives add and scale: ``channel("features.7", [3]) + 0.5 * neuron("features.7", [4])``.
"""

from __future__ import annotations

import dataclasses
import difflib
import functools
import math
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from vizcore.errors import LayerError, SpecError

if TYPE_CHECKING:
    from vizcore.zoo.card import Card

Activations = Mapping[str, Tensor]
Seen = Mapping[str, Activations]  # of the picture that is aimed at: "moved" with the present one, or "still"
AIMED = ("invert", "caricature", "guide")  # objectives that compare with a picture
POWER = 2  # of the cosine in a caricature, unless given
LEAST = 0.1  # of a cosine in a caricature (lucid's), so that a picture that is unlike is not lost
WHOLE = ""  # the path of the network itself, whose output are the logits


@dataclass(frozen=True)
class Term:
    """One kind of score.

    Args:
        kind: ``"channel"``, ``"neuron"``, ``"layer"``, ``"class"``, ``"direction"``, or one of :data:`AIMED`.
        layer: path of the layer; ``""`` is the output of the network.
        numbers: a channel, class or direction per row, or one for all rows; the power of a caricature.
        position: (y, x) of a neuron; the centre if none.
    """

    kind: str
    layer: str
    numbers: tuple[int, ...]
    position: tuple[int, int] | None = None

    def __call__(self, activations: Activations, seen: Seen | None = None) -> Tensor:
        maps = _maps(activations[self.layer])
        if self.kind not in AIMED:
            return _SCORES[self.kind](self, maps)
        found = (seen or {}).get("still" if self.kind == "guide" else "moved")
        if found is None:
            raise SpecError(f"The objective {self.kind} needs a picture.", "Give one with --picture.")
        return _COMPARISONS[self.kind](self, maps.float(), _maps(found[self.layer]).float())

    def rows(self, chosen: Sequence[int]) -> Term:
        """The term for a batch of these rows only."""
        if len(self.numbers) < 2:
            return self
        return dataclasses.replace(self, numbers=tuple(self.numbers[row] for row in chosen))

    def check(self, activations: Activations) -> None:
        """Raises :class:`LayerError` if the layer has no such channel or position."""
        _, channels, height, width = _maps(activations[self.layer]).shape
        where = f"Layer {self.layer!r}" if self.layer else "The network"
        what, one = ("classes", "class") if self.kind == "class" else ("channels", "channel")
        worst = max(self.numbers, default=0)
        if self.kind not in ("layer", "direction", *AIMED) and worst >= channels:
            raise LayerError(f"{where} has no {one} {worst}.", f"It has {channels} {what}: use 0 to {channels - 1}.")
        if self.position is not None and not (self.position[0] < height and self.position[1] < width):
            raise LayerError(
                f"{where} has no position {self.position[0]}, {self.position[1]} (row, column) at this size.",
                f"Use rows 0 to {height - 1} and columns 0 to {width - 1}.",
            )


@dataclass(frozen=True)
class Objective:
    """A weighted sum of terms; calling it gives the scores ``[N]`` in fp32."""

    terms: tuple[tuple[float, Term], ...]

    @property
    def layers(self) -> tuple[str, ...]:
        """The paths whose activations are needed, each once."""
        return tuple(dict.fromkeys(term.layer for _, term in self.terms))

    @property
    def aims(self) -> set[str]:
        """Which of its terms compare with a picture."""
        return {term.kind for _, term in self.terms if term.kind in AIMED}

    def __call__(self, activations: Activations, seen: Seen | None = None) -> Tensor:
        first, *rest = (
            term(activations, seen) if weight == 1 else weight * term(activations, seen) for weight, term in self.terms
        )
        return sum(rest, start=first)

    def check(self, activations: Activations) -> None:
        """Raises :class:`LayerError` if a term asks for a channel or position that its layer does not have."""
        for _, term in self.terms:
            term.check(activations)

    def rows(self, chosen: Sequence[int]) -> Objective:
        """The objective of a batch of these rows only."""
        return Objective(tuple((weight, term.rows(chosen)) for weight, term in self.terms))

    def at(self, position: tuple[int, int]) -> Objective:
        """The objective with its neurons in another place, (row, column)."""
        return Objective(tuple((weight, dataclasses.replace(term, position=position)) for weight, term in self.terms))

    def __add__(self, other: Objective) -> Objective:
        return Objective(self.terms + other.terms)

    def __mul__(self, factor: float) -> Objective:
        return Objective(tuple((weight * factor, term) for weight, term in self.terms))

    __rmul__ = __mul__

    def __neg__(self) -> Objective:
        return self * -1.0

    def __sub__(self, other: Objective) -> Objective:
        return self + -other


def channel(layer: str, numbers: Sequence[int]) -> Objective:
    """Mean activation of a channel over all positions."""
    return Objective(((1.0, Term("channel", layer, tuple(numbers))),))


def neuron(layer: str, numbers: Sequence[int], position: tuple[int, int] | None = None) -> Objective:
    """Activation of a channel at one position (y, x); in the centre if none is given."""
    return Objective(((1.0, Term("neuron", layer, tuple(numbers), position)),))


def layer(layer: str) -> Objective:
    """Mean square of all activations of a layer (DeepDream: Mordvintsev et al. 2015)."""
    return Objective(((1.0, Term("layer", layer, ())),))


def logit(numbers: Sequence[int]) -> Objective:
    """Score of a class before the softmax (Simonyan et al. 2013)."""
    return Objective(((1.0, Term("class", WHOLE, tuple(numbers))),))


def direction(layer: str, numbers: Sequence[int]) -> Objective:
    """Mean activation along a random unit vector over the channels, one for each number."""
    return Objective(((1.0, Term("direction", layer, tuple(numbers))),))


def _maps(activation: Tensor) -> Tensor:
    """``[N, C, H, W]`` of any activation: vectors ``[N, C]`` have one position, tokens ``[N, T, C]`` a column of T."""
    if activation.ndim == 4:
        return activation
    if activation.ndim == 3:
        return activation.transpose(1, 2).unsqueeze(-1)
    if activation.ndim == 2:
        return activation[:, :, None, None]
    raise LayerError("The layer has no channels to ascend.", "Choose a convolution, its activation or a dense layer.")


def _pick(maps: Tensor, numbers: tuple[int, ...]) -> Tensor:
    """The map ``[N, H, W]`` that belongs to each row."""
    if len(numbers) == 1:
        return maps[:, numbers[0]].float()
    return maps[_index(tuple(range(len(numbers))), maps.device), _index(numbers, maps.device)].float()


@functools.lru_cache(maxsize=64)
def _index(numbers: tuple[int, ...], device: torch.device) -> Tensor:
    return torch.tensor(numbers, device=device)


@functools.lru_cache(maxsize=64)
def _directions(numbers: tuple[int, ...], channels: int, device: torch.device) -> Tensor:
    drawn = np.stack([np.random.default_rng(number).standard_normal(channels) for number in numbers])
    return torch.tensor(drawn / np.linalg.norm(drawn, axis=1, keepdims=True), dtype=torch.float32, device=device)


def _channel(term: Term, maps: Tensor) -> Tensor:
    return _pick(maps, term.numbers).mean((1, 2))


def _neuron(term: Term, maps: Tensor) -> Tensor:
    y, x = term.position or (maps.shape[2] // 2, maps.shape[3] // 2)
    return _pick(maps, term.numbers)[:, y, x]


def _layer(term: Term, maps: Tensor) -> Tensor:
    return maps.float().square().mean((1, 2, 3))


def _direction(term: Term, maps: Tensor) -> Tensor:
    vectors = _directions(term.numbers, maps.shape[1], maps.device)
    return (maps.float().mean((2, 3)) * vectors).sum(1)


def _invert(term: Term, maps: Tensor, aim: Tensor) -> Tensor:
    """Less the squared distance, as a share of the aim's square (Mahendran & Vedaldi 2015, eq. 3); 0 is reached."""
    return -(maps - aim).square().sum((1, 2, 3)) / aim.square().sum((1, 2, 3)).clamp_min(1e-12)


def _caricature(term: Term, maps: Tensor, aim: Tensor) -> Tensor:
    """How far along the aim, times a power of the cosine (Olah et al. 2018); the picture itself has 1."""
    dot, square = (maps * aim).sum((1, 2, 3)), aim.square().sum((1, 2, 3)).clamp_min(1e-12)
    cosine = dot / (square * maps.square().sum((1, 2, 3)).clamp_min(1e-12)).sqrt()
    return dot / square * cosine.clamp_min(LEAST) ** term.numbers[0]


def _guide(term: Term, maps: Tensor, aim: Tensor) -> Tensor:
    """Mean over positions of the largest dot product with a position of the guide (Mordvintsev et al. 2015).

    As a share of the guide's own mean square.
    """
    there = aim[0].flatten(1)  # [C, M]
    products = torch.einsum("nchw,cm->nhwm", maps, there)
    return products.amax(3).mean((1, 2)) / there.square().sum(0).mean().clamp_min(1e-12)


_COMPARISONS: dict[str, Callable[[Term, Tensor, Tensor], Tensor]] = {
    "invert": _invert,
    "caricature": _caricature,
    "guide": _guide,
}

_SCORES: dict[str, Callable[[Term, Tensor], Tensor]] = {
    "channel": _channel,
    "neuron": _neuron,
    "layer": _layer,
    "class": _channel,  # a logit is a channel of the output with a single position
    "direction": _direction,
}

# A sign, a weight with a star, a kind, arguments in brackets; only the kind is needed.
_TERM = re.compile(
    r"\s*(?P<sign>[+-])?\s*(?:(?P<weight>(?:\d+\.?\d*|\.\d+)(?:e[+-]?\d+)?)\s*\*\s*)?"
    r"(?P<kind>[a-z]+)\s*(?:\((?P<arguments>[^()]*)\))?\s*",
    re.ASCII,
)
_HINT = 'Write for example "channel", "-neuron(4, 7)" (row, column) or "channel + 0.5*class(3)".'


def parse(text: str, layer: str, channels: Sequence[int], card: Card | None = None) -> Objective:
    """The objective that ``text`` describes, for pictures of ``channels`` of ``layer``.

    ======================  =====================================================================
    ``channel``             mean of the row's own channel · ``channel(3)`` of channel 3 in every row
    ``neuron``              the row's own channel in the centre · ``neuron(y, x)`` · ``neuron(c, y, x)``
    ``layer``               mean square of the layer
    ``class``               logit of the row's own number · ``class(3)`` · ``class(golf ball)``
    ``direction``           along the random unit vector of the row's own number · ``direction(3)``
    ``invert``              as close as can be to what the layer sees in the run's picture
    ``caricature``          more of what the layer sees in the run's picture · ``caricature(4)``: as pure as cosine⁴
    ``guide``               what the layer sees anywhere in the run's picture
    ======================  =====================================================================

    A layer's path may come first: ``channel(features.3, 12)``.  Terms add up: ``channel - 0.5*layer``.

    Raises:
        SpecError: what is none of these.
    """
    total: Objective | None = None
    at = 0
    while at < len(text) or total is None:
        match = _TERM.match(text, at)
        if match is None or (total is not None and match["sign"] is None):
            raise SpecError(f"The objective {text[:60]!r} cannot be read from {text[at : at + 20]!r} on.", _HINT)
        weight = float(match["weight"] or 1) * (-1 if match["sign"] == "-" else 1)
        if not math.isfinite(weight):
            raise SpecError("A weight of the objective is not finite.", _HINT)
        arguments = [part.strip() for part in match["arguments"].split(",")] if match["arguments"] is not None else []
        term = weight * Objective(((1.0, _term(match["kind"], arguments, layer, tuple(channels), card)),))
        total = term if total is None else total + term
        at = match.end()
    return total


def _term(kind: str, arguments: list[str], layer: str, channels: tuple[int, ...], card: Card | None) -> Term:
    if kind not in (*_SCORES, *AIMED):
        near = difflib.get_close_matches(kind, (*_SCORES, *AIMED), 1, 0.5)
        hint = f"Did you mean {near[0]}?" if near else f"Use {', '.join((*_SCORES, *AIMED))}."
        raise SpecError(f"There is no objective {kind[:40]!r}.", hint)
    if kind == "class":
        return Term(kind, WHOLE, (_class(", ".join(arguments), card),) if arguments else channels)
    # The last numbers are channel and position; what is left over in front is a path (which may be a number too).
    most = {"channel": 1, "direction": 1, "neuron": 3, "caricature": 1}.get(kind, 0)
    numbers: list[int] = []
    while arguments and len(numbers) < most and re.fullmatch(r"\d{1,7}", arguments[-1], re.ASCII):
        numbers.insert(0, int(arguments.pop()))
    if len(arguments) > 1 or not all(arguments) or (kind == "neuron" and len(numbers) == 1):
        raise SpecError(f"The objective {kind} does not take these arguments.", _HINT)
    position = (numbers[-2], numbers[-1]) if kind == "neuron" and numbers else None
    path = arguments[0] if arguments else layer
    if kind == "caricature":
        return Term(kind, path, tuple(numbers) or (POWER,))
    own = tuple(numbers[:-2] if position else numbers) or channels
    return Term(kind, path, () if kind in ("layer", *AIMED) else own, position)


def _class(name: str, card: Card | None) -> int:
    if re.fullmatch(r"\d{1,7}", name, re.ASCII):
        return int(name)
    names = [known.lower() for known in card.classes] if card is not None else []
    if name.lower() in names:
        return names.index(name.lower())
    near = difflib.get_close_matches(name.lower(), names, 1, 0.5)
    raise SpecError(f"There is no class {name[:40]!r}.", f"Did you mean {near[0]}?" if near else "Give its number.")
