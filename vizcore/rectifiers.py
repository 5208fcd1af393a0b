"""A way out for units that are off everywhere: no gradient reaches a picture through a rectifier that is at 0."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.overrides import TorchFunctionMode

_RELU = frozenset((F.relu, F.relu_, torch.relu, torch.relu_, Tensor.relu, Tensor.relu_))
_BOUNDED = frozenset((F.relu6, F.hardtanh, F.hardtanh_))  # ReLU6 is a hardtanh from 0 to 6


class _Redirect(torch.autograd.Function):
    """A rectifier whose gradient, for a picture that would get none, goes to the inputs that it would raise."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, ceiling: float) -> Tensor:
        ctx.save_for_backward(x)
        ctx.ceiling = ceiling
        return x.clamp(0, ceiling)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None]:
        (x,) = ctx.saved_tensors
        (gradient,) = gradients
        plain = torch.where((x > 0) & (x < ctx.ceiling), gradient, 0)
        # The gradient is of a loss: where it is positive, a step would push the input further down.
        redirected = torch.where((x <= 0) & (gradient > 0), 0, gradient)
        passed = plain.flatten(1).any(1).view(-1, *[1] * (x.ndim - 1))
        return torch.where(passed, plain, redirected), None


class Redirected(TorchFunctionMode):
    """Within this context, rectifiers (ReLU, ReLU6) redirect the gradient (lucid: Olah et al. 2017).

    The forward pass is unchanged; so is the gradient of every picture that gets one.
    """

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Sequence[type],
        args: Sequence[Any] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        kwargs = kwargs or {}
        if func in _RELU:
            return _Redirect.apply(args[0], float("inf"))
        if func in _BOUNDED:
            low, high = (0.0, 6.0) if func is F.relu6 else _bounds(args, kwargs)
            if low == 0:
                return _Redirect.apply(args[0], float(high))
        return func(*args, **kwargs)


def _bounds(args: Sequence[Any], kwargs: Mapping[str, Any]) -> tuple[float, float]:
    named = {"min_val": -1.0, "max_val": 1.0, **dict(zip(("min_val", "max_val"), args[1:3], strict=False)), **kwargs}
    return float(named["min_val"]), float(named["max_val"])
