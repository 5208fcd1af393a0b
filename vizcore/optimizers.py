"""How a gradient becomes a step: Adam or plain ascent, with a rate per row.

Every row of the batch has a picture, moments and (under the progress policy) a rate of its own.
All gradients here are of the loss, so steps go against them.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.optim.adam import adam


def rate_of(policy: str, step: int, steps: int, rate: float, desired: float, norms: Tensor) -> float | Tensor:
    """The rate of a step: one number, or one per row ``[N]`` under the progress policy.

    * ``constant``: the rate.
    * ``cosine``: falls from the rate to 0 along half a cosine over ``steps``.
    * ``progress``: the rate at which a linear score would rise by ``desired``, at most the rate (Yosinski et al. 2015).

    Args:
        norms: of the gradient of each row, ``[N]``.
    """
    if policy == "cosine":
        return rate * 0.5 * (1 + math.cos(math.pi * min(step / steps, 1)))
    if policy == "progress":
        return (desired / norms.square()).clamp(max=rate)
    return rate


class PlainAscent:
    """x ← x − rate · gradient."""

    def state(self) -> dict[str, Tensor]:
        """Nothing is remembered."""
        return {}

    def load(self, state: dict[str, Tensor]) -> None:
        """Nothing to take up."""

    @torch.no_grad()
    def update(self, x: Tensor, gradient: Tensor, rate: float | Tensor, step: int) -> None:
        """One step on ``x`` ``[N, ...]``, in place."""
        x.sub_(_rows(rate, x) * gradient)


class Adam:
    """Adam (Kingma & Ba 2015, algorithm 1), β = (0.9, 0.999), ε = 1e-8; the step number is its only clock.

    ``begin`` is the step at which its moments were 0: not the first one in a run that was forked from plain ascent.
    """

    BETA1, BETA2, EPSILON = 0.9, 0.999, 1e-8

    def __init__(self, x: Tensor, begin: int = 0) -> None:
        self.begin = begin
        self._m = torch.zeros_like(x, requires_grad=False)
        self._v = torch.zeros_like(x, requires_grad=False)

    def state(self) -> dict[str, Tensor]:
        """The two moments."""
        return {"adam_m": self._m, "adam_v": self._v}

    def load(self, state: dict[str, Tensor]) -> None:
        """Take up moments that :meth:`state` gave."""
        self._m.copy_(state["adam_m"])
        self._v.copy_(state["adam_v"])

    @torch.no_grad()
    def update(self, x: Tensor, gradient: Tensor, rate: float | Tensor, step: int) -> None:
        """Step number ``step`` (from ``begin``) on ``x`` ``[N, ...]``, in place."""
        step -= self.begin
        if isinstance(rate, float):
            self._in_one_pass(x, gradient, rate, step)
            return
        self._m.lerp_(gradient, 1 - self.BETA1)
        self._v.mul_(self.BETA2).addcmul_(gradient, gradient, value=1 - self.BETA2)
        unbias = 1 - self.BETA1 ** (step + 1)
        spread = self._v.sqrt().div_(math.sqrt(1 - self.BETA2 ** (step + 1))).add_(self.EPSILON)
        x.sub_(self._m / spread * (_rows(rate, x) / unbias))

    def _in_one_pass(self, x: Tensor, gradient: Tensor, rate: float, step: int) -> None:
        """The same by PyTorch's fused kernel, which reads and writes every number once; it has one rate for all."""
        count = torch.full((), float(step), device=x.device)  # of the steps before this one
        gradient = gradient.contiguous()  # the kernel reads all memory in one order, and convolutions give another
        adam(
            [x], [gradient], [self._m], [self._v], [], [count], fused=True, amsgrad=False, beta1=self.BETA1,
            beta2=self.BETA2, lr=rate, weight_decay=0.0, eps=self.EPSILON, maximize=False,
        )  # fmt: skip


def _rows(rate: float | Tensor, x: Tensor) -> float | Tensor:
    return rate.view(-1, *[1] * (x.ndim - 1)) if isinstance(rate, Tensor) else rate
