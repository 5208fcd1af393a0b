"""torch-lucent: ``render_vis`` with its default transforms, optimizer and Fourier picture."""

from __future__ import annotations

import random
from typing import Any

import numpy as np
import torch
from lucent.optvis import objectives, param, render

from benchmarks.peers import tools
from benchmarks.peers.cases import Case


class Lucent:
    """torch-lucent at work.

    Args:
        canvas: size of the picture that is ascended; lucent enlarges what is below 224 px before the network.
        trimmed: without gradients of weights and without the layers behind the target: the same pictures, sooner.
            For pictures whose making is timed elsewhere.
    """

    def __init__(self, case: Case, canvas: int, trimmed: bool) -> None:
        random.seed(case.channels[0]), np.random.seed(case.channels[0]), torch.manual_seed(case.channels[0])
        self._net = tools.network(case)
        if trimmed:
            self._net.requires_grad_(False)
            tools.behind(self._net, case).register_forward_pre_hook(_stop)  # render_vis goes on after such an error
        layer = case.layer.replace(".", "_")
        self._objective = objectives.Objective.sum(
            [objectives.channel(layer, channel, batch=row) for row, channel in enumerate(case.channels)]
        )
        self._parameters, self._render = param.image(canvas, batch=len(case.channels))
        self._adam = torch.optim.Adam(self._parameters, lr=5e-2)  # lucent's default, kept from call to call

    def run(self, steps: int) -> None:
        render.render_vis(
            self._net, self._objective, lambda: (self._parameters, self._render), lambda parameters: self._adam,
            thresholds=(steps,), progress=False, show_image=False,
        )  # fmt: skip
        for module in self._net.modules():
            module._forward_hooks.clear()  # lucent leaves its hooks behind, and every call would add more

    def pictures(self) -> np.ndarray:
        return tools.to_bytes(self._render())


def _stop(*seen: object) -> None:
    raise RuntimeError("what is behind the target is not needed")


def make(case: Case, options: dict[str, Any]) -> Lucent:
    return Lucent(case, options.get("canvas", case.size), options.get("trimmed", False))
