"""Layer-wise relevance propagation by Captum, where it holds what it promises.

The relevance of all pixels must add up to the score.  That needs three things that Captum's defaults lack: biases must
not keep relevance (Montavon et al. 2019, *Layer-wise relevance propagation: an overview*), batch norms must be folded
into their convolutions, and layers that only reshape must have a rule.  Sums and rectifiers that a network computes
without modules are beyond Captum; the conservation test finds that.
"""

from __future__ import annotations

import copy
from typing import Any

import torch
from torch import Tensor, nn

from vizcore.errors import LayerError
from vizcore.folding import fold
from vizcore.layers import Cut
from vizcore.look.units import Unit

GAMMA = 0.25  # how much positive weights of convolutions are preferred (Montavon et al. 2019)
TOLERANCE = 0.05  # of conservation: |sum of relevance - score| / |score|

_KNOWN = (
    nn.Conv2d, nn.Linear, nn.MaxPool2d, nn.AvgPool2d, nn.AdaptiveAvgPool2d, nn.BatchNorm2d, nn.ReLU, nn.Dropout,
    nn.Flatten, nn.Identity,
)  # fmt: skip


def why_not(module: nn.Module) -> str:
    """Why a network has no rules, by its modules alone; empty if it has."""
    for part in module.modules():
        computes = next(part.children(), None) is None or next(part.parameters(recurse=False), None) is not None
        if computes and not isinstance(part, _KNOWN):
            return f"Relevance propagation has no rule for {type(part).__name__}, which this network has."
    return ""


def propagate(module: nn.Module, z: Tensor, unit: Unit) -> tuple[Tensor, float]:
    """Relevance ``[1, C, H, W]`` of a unit for a normalised picture, and the error of conservation as a share.

    Raises:
        LayerError: relevance is not conserved, or the network does not let it be computed.
    """
    part, score = _prepared(module, z, unit)
    try:
        from captum.attr import LRP

        values = LRP(part).attribute(z.detach().clone().requires_grad_()).detach()
        with torch.no_grad():
            values *= score / part(z)[0]  # Captum hands down the sum that _Score gives
    except Exception as error:  # Captum's own checks, and hooks that meet what they do not expect
        raise LayerError(
            f"Relevance cannot be handed down through this network ({type(error).__name__}).", "Choose another method."
        ) from error
    lost = abs(float(values.sum()) - score) / max(abs(score), 1e-12)
    if not lost < TOLERANCE:
        raise LayerError(
            f"Relevance propagation does not conserve relevance here ({lost:.0%} of the score is lost or made up), "
            "because the network adds or rectifies outside of its modules, or the score is near 0.",
            "Choose another method.",
        )
    return values, lost


class _Score(nn.Module):
    """A network up to a unit: the sum over the unit's map, weighted by each position's share ``[1, H, W]``."""

    def __init__(self, module: nn.Module, unit: Unit, share: Tensor) -> None:
        super().__init__()
        self.inner, self._unit, self._share = module, unit, share

    def forward(self, z: Tensor) -> Tensor:
        maps = self._unit.maps(Cut(self.inner, [self._unit.layer])(z)[self._unit.layer])
        return (maps * self._share).sum((1, 2))


def _prepared(module: nn.Module, z: Tensor, unit: Unit) -> tuple[nn.Module, float]:
    """A copy with folded batch norms and a rule for each layer, as a module that ends at the unit; and its score."""
    from captum.attr._utils.lrp_rules import EpsilonRule, GammaRule

    paths = [unit.layer]
    with torch.no_grad():
        output = Cut(module, paths)(z)[unit.layer]
        maps, score = unit.maps(output), float(unit.score(output)[0])
    share = torch.zeros_like(maps)
    if unit.y is not None and unit.x is not None:
        share[0, unit.y, unit.x] = 1
    elif unit.reduce == "mean":
        share = maps / maps.sum()
    else:
        share.view(-1)[int(maps.argmax())] = 1
    own = copy.deepcopy(fold(module, paths, lambda m: Cut(m, paths)(z), half=False, stem=False))
    part: Any
    for part in own.modules():
        if isinstance(part, (nn.Conv2d, nn.Linear)):
            part.rule = GammaRule(GAMMA if isinstance(part, nn.Conv2d) else 0.0, set_bias_to_zero=True)
        elif isinstance(part, (nn.Flatten, nn.Identity)):
            part.rule = EpsilonRule()  # the identity, in the shape of the input
        elif isinstance(part, nn.ReLU):
            part.inplace = False
    return _Score(own, unit, share), score
