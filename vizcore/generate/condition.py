"""What a chain of codes walks towards: a class or a unit of a network that looks at the decoded picture.

log p(y = c | x) and its gradient are those of the paper; the published code drops the other classes from the softmax's
gradient, and DGN-AM takes the logit itself::

    paper       score = log softmax(logits)_c       gradient by the logits  e_c − p
    reference   score = (1 − p_c) · logit_c         p_c held fixed:         (1 − p_c) · e_c
    logit       score = logit_c                                             e_c
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

from vizcore import objectives
from vizcore.errors import GeneratorError, LayerError, SpecError
from vizcore.generate.generator import Generator, resized
from vizcore.layers import Cut, find_layer
from vizcore.zoo.load import Network

GRADIENTS = ("paper", "reference", "logit")
FITS = ("exact", "resize", "crop")


@dataclass(frozen=True)
class Verdict:
    """What the network says of pictures, each ``[N]``.

    Args:
        score: whose gradient is followed.
        activation: the logit, or the unit's mean activation.
        probability: of the class; NaN for a hidden unit.
        log_probability: its logarithm, which is not rounded to 0 so soon.
    """

    score: Tensor
    activation: Tensor
    probability: Tensor
    log_probability: Tensor | None = None


class Condition(Protocol):
    """Pictures ``[N, C, H, W]`` in [0, 1], of the rows of a batch, to a verdict; differentiable."""

    def __call__(self, pictures: Tensor, gradient: str) -> Verdict: ...


class Eyes:
    """A generator's pictures as a network takes them: fitted in size, normalised.

    Args:
        fit: ``exact`` refuses another size, ``resize`` scales, ``crop`` cuts the centre out.

    Raises:
        GeneratorError: grey where the network takes colour or the other way round, or a size that does not fit.
    """

    def __init__(self, network: Network, generator: Generator, fit: str = "exact") -> None:
        self.network, self.fit, size = network, fit, network.card.size
        kinds = {1: "grey", 3: "colour"}
        if generator.channels != network.card.channels:
            raise GeneratorError(
                f"{generator.name} paints {kinds[generator.channels]} pictures, {network.card.name} takes "
                f"{kinds[network.card.channels]} ones.",
                "Choose a generator for such pictures.",
            )
        height, width = generator.image_size
        if fit == "exact" and (height, width) != (size, size):
            raise GeneratorError(
                f"{generator.name} paints {height} × {width} px, {network.card.name} is for {size} px.",
                "Fit it by resize, or by crop if it is the larger one.",
            )
        if fit == "crop" and min(height, width) < size:
            raise GeneratorError(
                f"A picture of {height} × {width} px cannot be cropped to {size} px.", "Fit it by resize."
            )

    def __call__(self, pictures: Tensor) -> Tensor:
        return self.network.normalize(self.fitted(pictures))

    def fitted(self, pictures: Tensor) -> Tensor:
        """Pictures in [0, 1], of the network's size."""
        return fitted(pictures, self.network.card.size, self.fit)


def fitted(pictures: Tensor, size: int, fit: str) -> Tensor:
    """Pictures ``[N, C, H, W]`` as ``[N, C, size, size]``: their middle if ``fit`` is ``crop``, else scaled."""
    if fit == "crop":
        top, left = (pictures.shape[2] - size) // 2, (pictures.shape[3] - size) // 2
        return pictures[:, :, top : top + size, left : left + size]
    return resized(pictures, (size, size))


class Classes:
    """A class for each row (of the logits of ``network``)."""

    def __init__(self, eyes: Eyes, classes: Sequence[int]) -> None:
        self.eyes, self.numbers = eyes, tuple(classes)
        count = len(eyes.network.card.classes)
        for number in classes:
            if not 0 <= number < count:
                raise LayerError(f"The network has no class {number}.", f"It has {count}: use 0 to {count - 1}.")

    def __call__(self, pictures: Tensor, gradient: str) -> Verdict:
        return judged(self.eyes.network.module(self.eyes(pictures)), self.numbers, gradient)


def judged(logits: Tensor, numbers: Sequence[int], gradient: str) -> Verdict:
    """The verdict of logits ``[N, K]`` on a class for each row."""
    rows, columns = torch.arange(len(logits), device=logits.device), torch.tensor(numbers, device=logits.device)
    chosen, log = logits[rows, columns], logits.log_softmax(1)[rows, columns]
    probability = log.detach().exp()
    score = {"paper": log, "reference": (1 - probability) * chosen, "logit": chosen}[gradient]
    return Verdict(score, chosen.detach(), probability, log.detach())


class Units:
    """A channel of a layer for each row: the mean of its map, or one position; the same gradient for all kinds."""

    def __init__(
        self, eyes: Eyes, layer: str, channels: Sequence[int], position: tuple[int, int] | None = None
    ) -> None:
        self.eyes, self.layer = eyes, layer
        found = find_layer(eyes.network, layer)
        for channel in channels:
            if not 0 <= channel < found.channels:
                raise LayerError(
                    f"The layer {layer} has no filter {channel}.", f"Choose filters from 0 to {found.channels - 1}."
                )
        if position is not None and not (0 <= position[0] < found.height and 0 <= position[1] < found.width):
            raise LayerError(
                f"The layer {layer} has no position {position[0]}, {position[1]}.",
                f"Use rows 0 to {found.height - 1} and columns 0 to {found.width - 1}.",
            )
        self._cut = Cut(eyes.network.module, [layer])
        make = objectives.channel if position is None else objectives.neuron
        extra = () if position is None else (position,)
        self._objective = make(layer, tuple(channels), *extra)

    def __call__(self, pictures: Tensor, gradient: str) -> Verdict:
        score = self._objective(self._cut(self.eyes(pictures)))
        return Verdict(score, score.detach(), torch.full_like(score.detach(), torch.nan))


@dataclass(frozen=True)
class Known:
    """A picture of which a part is to stay, for inpainting.

    Args:
        picture: ``[C, H, W]`` in [0, 1].
        mask: ``[H, W]``, 1 where the picture is known.
    """

    picture: Tensor
    mask: Tensor

    def fits(self, generator: Generator) -> None:
        """Raises :class:`SpecError` if picture or mask are not of the generator's size."""
        height, width = generator.image_size
        if tuple(self.picture.shape) != (generator.channels, height, width):
            raise SpecError(
                f"The picture is {list(self.picture.shape)}, the generator paints "
                f"{[generator.channels, height, width]}.",
                "Fit it to the generator first.",
            )
        if tuple(self.mask.shape) != (height, width):
            raise SpecError(
                f"The mask is {self.mask.shape[1]} × {self.mask.shape[0]} px, the picture {width} × {height} px.",
                "Use a mask of the size of the generator's pictures.",
            )
        if not 0 < float(self.mask.mean()) < 1:
            raise SpecError("The mask keeps all of the picture, or nothing.", "White is kept, black is painted.")

    def error(self, pictures: Tensor) -> Tensor:
        """Half the squared distance of pictures ``[N, C, H, W]`` to what is known, ``[N]``; differentiable."""
        far = (pictures - self.picture.to(pictures)) * self.mask.to(pictures)
        return far.square().flatten(1).sum(1) / 2
