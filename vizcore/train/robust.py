"""Adversarial training against L2 perturbations.

Robust networks give recognisable pictures (Engstrom et al. 2019, arXiv:1906.00945), which is why the network
that the page shows first is one.  The attack is projected gradient ascent on the loss (Madry et al. 2018, eq. 2.1).
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import nn
from torch.nn import functional as F


def _unit(x: torch.Tensor) -> torch.Tensor:
    norm = torch.linalg.vector_norm(x.flatten(1), dim=1).clamp_min(1e-12)
    return torch.div(x, norm[:, None, None, None])


def attack_l2(
    logits: Callable[[torch.Tensor], torch.Tensor],
    images: torch.Tensor,
    labels: torch.Tensor,
    epsilon: float,
    steps: int,
    rate: float,
    generator: torch.Generator | None = None,
) -> torch.Tensor:
    """Perturb ``images`` within an L2 ball so that the loss grows; returns the perturbed images.

    Args:
        logits: maps images ``[N, C, H, W]`` in [0, 1] to ``[N, K]``.
        labels: classes ``[N]``, or their shares ``[N, K]``.
        epsilon: radius of the ball, in the units of the images (a pixel's range is 1).
        steps: gradient steps; ``rate`` is the length of each as a fraction of ``epsilon``.
        generator: of the CPU; draws the random start inside the ball; without one the start is the clean image.
    """
    delta = torch.zeros_like(images)
    if generator is not None:
        noise = torch.randn(images.shape, generator=generator, dtype=images.dtype)
        delta = _unit(noise) * epsilon * torch.rand(len(images), 1, 1, 1, generator=generator)
        delta = delta.to(images.device)
    for _ in range(steps):
        delta = delta.detach().requires_grad_(True)
        loss = F.cross_entropy(logits((images + delta).clamp(0, 1)).float(), labels, reduction="sum")
        (gradient,) = torch.autograd.grad(loss, delta)
        with torch.no_grad():
            delta = delta + _unit(gradient) * (rate * epsilon)
            norm = delta.flatten(1).norm(dim=1).clamp_min(1e-12)
            delta = delta * (epsilon / norm).clamp_max(1.0)[:, None, None, None]
    return (images + delta).clamp(0, 1).detach()


class Average:
    """Exponential moving average of a network's parameters and buffers (Izmailov et al. 2018 in spirit)."""

    def __init__(self, network: nn.Module, decay: float) -> None:
        self.decay = decay
        self.state = {k: v.detach().clone() for k, v in network.state_dict().items()}

    @torch.no_grad()
    def update(self, network: nn.Module) -> None:
        for key, value in network.state_dict().items():
            if value.dtype.is_floating_point:
                self.state[key].lerp_(value, 1 - self.decay)
            else:
                self.state[key].copy_(value)
