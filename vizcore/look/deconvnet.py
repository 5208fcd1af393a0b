"""A unit carried back to pixels: deconvnet, guided backpropagation, gradient, and the linear projection.

Going down, every operation but the rectifier is the transpose of its forward pass: transposed filters, unpooling to the
switches of max pooling, copies at sums.  Autograd does that exactly, so the methods differ only in what a rectifier
does with the signal g that comes from above, where its input was x::

    linear      g                       Feature-map projection: transposed weights alone
    gradient    g · 1[x > 0]            Simonyan, Vedaldi, Zisserman 2013 (arXiv:1312.6034)
    deconv      g · 1[g > 0]            Zeiler & Fergus 2014 (arXiv:1311.2901), section 2.1
    guided      g · 1[g > 0] · 1[x > 0] Springenberg et al. 2014 (arXiv:1412.6806)

Rectifiers are caught as functions, so modules, functional calls and calls in place are all seen.  For activations
other than ReLU the papers say nothing; ``gradient`` is exact, ``deconv`` acts on g alone as for ReLU, and ``guided``
takes the activation's own slope, at least 0, for 1[x > 0] (an extension).  A sigmoid over a map of one pixel is a gate
(squeeze and excitation) and counts as a constant.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from vizcore.errors import LayerError
from vizcore.layers import Cut
from vizcore.look.units import Unit
from vizcore.zoo.load import Network

Rule = Literal["linear", "gradient", "deconv", "guided"]
RULES: tuple[Rule, ...] = ("linear", "gradient", "deconv", "guided")
Seed = Literal["unit", "map"]

_RECTIFIERS: Mapping[Any, Callable[..., Tensor]] = {
    F.relu: torch.relu, F.relu_: torch.relu, torch.relu: torch.relu, torch.relu_: torch.relu,
    Tensor.relu: torch.relu, Tensor.relu_: torch.relu,
    F.relu6: F.relu6, F.hardtanh: F.hardtanh, F.hardtanh_: F.hardtanh,
    F.leaky_relu: F.leaky_relu, F.leaky_relu_: F.leaky_relu, F.rrelu: F.rrelu, F.rrelu_: F.rrelu,
    F.elu: F.elu, F.elu_: F.elu, F.selu: F.selu, F.selu_: F.selu, F.celu: F.celu, F.celu_: F.celu,
    torch.selu: F.selu, torch.selu_: F.selu, torch.celu: F.celu, torch.celu_: F.celu,
    F.prelu: F.prelu, torch.prelu: F.prelu, Tensor.prelu: F.prelu,
    F.gelu: F.gelu, F.silu: F.silu, F.mish: F.mish, F.hardswish: F.hardswish, F.softplus: F.softplus,
    F.tanh: torch.tanh, torch.tanh: torch.tanh, torch.tanh_: torch.tanh, Tensor.tanh: torch.tanh,
    Tensor.tanh_: torch.tanh,
}  # fmt: skip
"""Each activation function, and its form that changes nothing in place."""
_CLAMPS = frozenset(
    (torch.clamp, torch.clamp_, torch.clamp_min, torch.clamp_min_, Tensor.clamp, Tensor.clamp_, Tensor.clamp_min,
     Tensor.clamp_min_, torch.clip, Tensor.clip)
)  # fmt: skip
_SIGMOIDS = frozenset((F.sigmoid, torch.sigmoid, torch.sigmoid_, Tensor.sigmoid, Tensor.sigmoid_, F.hardsigmoid))
_UNDEFINED = (nn.MultiheadAttention, nn.LayerNorm)


@dataclass(frozen=True)
class Projection:
    """A unit carried back to the normalised pictures.

    Args:
        values: signed, ``[N, C, H, W]``, in the space of the network's normalised input.
        activation: of the unit, ``[N]``.
        intercepted: how many calls of rectifiers the rule acted on; at 0 it is the plain gradient.
        seed: what was sent down: 1 at the unit, or the whole map of activations.  The rules are homogeneous
            (Zeiler and Fergus send the activation itself, which only scales the result).
    """

    values: Tensor
    activation: Tensor
    intercepted: int
    seed: Seed


def project(network: Network, z: Tensor, unit: Unit, rule: Rule = "deconv", seed: Seed = "unit") -> Projection:
    """Carry ``unit`` back to each of the normalised pictures ``z`` ``[N, C, H, W]``.

    Args:
        seed: ``"unit"`` starts from one position (or the mean, as the unit says); ``"map"`` from all positions of the
            channel at once, each with its activation (a feature-map projection, with ``rule="linear"``).

    Raises:
        LayerError: there is no such unit, the rule is not defined for this network, or the pictures are too small.
    """
    reason = why_not(network.module, rule)
    if reason:
        raise LayerError(reason, "Choose saliency, integrated gradients or occlusion.")
    z = z.detach().requires_grad_()
    with torch.enable_grad(), Rectifiers(rule) as seen:
        output = Cut(network.module, [unit.layer])(z)[unit.layer]
    with torch.enable_grad():
        activation = unit.score(output)
        maps = unit.maps(output)
        total = (maps * maps.detach()).sum() if seed == "map" else activation.sum()
    if not total.requires_grad:  # a layer that does not depend on the picture
        raise LayerError(f"No signal reaches the picture from the layer {unit.layer}.", "Choose another layer.")
    (values,) = torch.autograd.grad(total, z)
    return Projection(values.detach(), activation.detach(), seen.calls, seed)


def why_not(module: nn.Module, rule: Rule) -> str:
    """Why a rule is not defined for a network; empty if it is."""
    if rule in ("deconv", "guided") and any(isinstance(part, _UNDEFINED) for part in module.modules()):
        name = {"deconv": "The deconvnet", "guided": "Guided backpropagation"}[rule]
        return f"{name} is defined for convolutions and rectifiers, not for layer norm and attention."
    return ""


class Rectifiers(TorchFunctionMode):
    """Within this context, activation functions compute what they always do, and pass gradients back by ``rule``.

    ``calls`` counts them.  The network itself is not touched.  What is not seen: rectifiers written by hand
    (``x * (x > 0)``), compiled code, and code that ignores what a call in place returns.
    """

    def __init__(self, rule: Rule) -> None:
        super().__init__()
        self.rule = rule
        self.calls = 0

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Sequence[type],
        args: Sequence[Any] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        values = dict(kwargs or {})
        function = _RECTIFIERS.get(func)
        if func in _CLAMPS and _lower(args, values) == 0:
            function = torch.clamp_min if "min" in func.__name__ else torch.clamp
        if func in _SIGMOIDS:
            x = args[0] if args else values["input"]
            if x.ndim == 4 and x.shape[2:] == (1, 1):
                gate = func(*args, **values)
                return gate if self.rule == "gradient" else gate.detach()
            function = F.hardsigmoid if func is F.hardsigmoid else torch.sigmoid
        if function is None:
            return func(*args, **values)
        values.pop("inplace", None)
        x, *rest = args if args else (values.pop("input"),)
        self.calls += 1
        if self.rule == "gradient":
            return function(x, *rest, **values)
        return _Ruled.apply(x, lambda t: function(t, *rest, **values), self.rule)


def _lower(args: Sequence[Any], kwargs: Mapping[str, Any]) -> float | None:
    low = args[1] if len(args) > 1 else kwargs.get("min")
    return float(low) if isinstance(low, (int, float)) else None


class _Ruled(torch.autograd.Function):
    """An activation whose backward pass is one of the rules."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, function: Callable[[Tensor], Tensor], rule: Rule) -> Tensor:
        ctx.function, ctx.rule = function, rule
        ctx.save_for_backward(x)
        return function(x)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None, None]:
        g = gradients[0]
        if ctx.rule == "linear":
            return g, None, None
        if ctx.rule == "deconv":
            return g.clamp(min=0), None, None
        (x,) = ctx.saved_tensors
        with torch.enable_grad():
            inside = x.detach().requires_grad_()
            (slope,) = torch.autograd.grad(ctx.function(inside).sum(), inside)
        return g.clamp(min=0) * slope.clamp(min=0), None, None
