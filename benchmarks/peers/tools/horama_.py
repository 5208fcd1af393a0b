"""horama: ``fourier``, which ascends one picture per call and moves it by crops and noise of its own.

It takes no other transforms; two crops of about the whole picture are asked for, of the case's size (of one crop it
loses an axis and stops).
"""

from __future__ import annotations

import contextlib
import io
from typing import Any

import numpy as np
import torch
from horama import fourier

from benchmarks.peers import tools
from benchmarks.peers.cases import Case


class Horama:
    """A step of N rows is N calls for one step each of one picture; a call begins anew."""

    def __init__(self, case: Case) -> None:
        torch.manual_seed(0)
        self._case = case
        self._net = tools.network(case)
        self._net.get_submodule(case.layer).register_forward_hook(lambda *seen: setattr(self, "_output", seen[2]))
        self._last: list[torch.Tensor] = []

    def run(self, steps: int) -> None:
        self._last = [self._ascend(channel, steps) for channel in self._case.channels]

    def _ascend(self, channel: int, steps: int) -> torch.Tensor:
        def objective(pictures: torch.Tensor) -> torch.Tensor:
            self._net(pictures)
            return self._output[:, channel].mean()

        with contextlib.redirect_stderr(io.StringIO()):  # its progress bar has no switch
            picture, _ = fourier(
                objective, total_steps=steps, image_size=self._case.size, model_input_size=self._case.size,
                crops_per_iteration=2, box_size=(0.9, 1.0), device="cpu",
            )  # fmt: skip
        return picture.detach()

    def pictures(self) -> np.ndarray:
        return tools.to_bytes(torch.stack(self._last) / 5 + 0.5)  # its values lie in [-2.5, 2.5]


def make(case: Case, options: dict[str, Any]) -> Horama:
    return Horama(case)
