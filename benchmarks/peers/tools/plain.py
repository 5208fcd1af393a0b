"""What a careful user writes in an afternoon: the whole frozen network, a hook, a Fourier picture, Adam."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torchvision.transforms.v2 import Normalize, Pad, RandomAffine

from benchmarks.peers import tools
from benchmarks.peers.cases import Case

COLOURS = torch.tensor([[0.26, 0.09, 0.02], [0.27, 0.00, -0.05], [0.27, -0.09, 0.03]])


class Plain:
    def __init__(self, case: Case) -> None:
        size, count = case.size, len(case.channels)
        self.net = tools.network(case).requires_grad_(False)
        self.net.get_submodule(case.layer).register_forward_hook(lambda *seen: setattr(self, "output", seen[2]))
        self.channels = torch.tensor(case.channels)
        frequency = torch.fft.fftfreq(size)[:, None].hypot(torch.fft.rfftfreq(size)[None])
        self.scale = 0.25 / frequency.clamp(min=1 / size)
        self.colours = COLOURS / COLOURS.norm(dim=0).max()
        self.parameter = (0.01 * torch.randn(count, 3, size, size // 2 + 1, 2)).requires_grad_()
        self.adam = torch.optim.Adam([self.parameter], lr=0.05)
        shift = tools.JITTER / (size + 2 * tools.PAD)
        self.pad = Pad(tools.PAD, fill=0.5)
        self.move = RandomAffine(tools.TURN, (shift, shift), (1 - tools.ZOOM, 1 + tools.ZOOM))
        self.normalize = Normalize([0.485, 0.456, 0.406], [0.229, 0.224, 0.225])

    def render(self) -> torch.Tensor:
        canvas = torch.fft.irfft2(self.scale * torch.view_as_complex(self.parameter), norm="ortho")
        return torch.einsum("kc,nchw->nkhw", self.colours, canvas).sigmoid()

    def run(self, steps: int) -> None:
        for _ in range(steps):
            moved = torch.stack([self.move(row) for row in self.pad(self.render())])
            self.net(self.normalize(moved))
            score = self.output[torch.arange(len(self.channels)), self.channels].mean((1, 2)).sum()
            self.adam.zero_grad()
            (-score).backward()
            self.adam.step()

    def pictures(self) -> np.ndarray:
        return tools.to_bytes(self.render())


def make(case: Case, options: dict[str, Any]) -> Plain:
    return Plain(case)
