"""torch-dreams: ``Dreamer.render`` with its batched picture, its rate, and lucent's transforms by torchvision."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch_dreams import Dreamer
from torch_dreams.batched_image_param import BatchedAutoImageParam
from torch_dreams.batched_objective import BatchedObjective
from torchvision.transforms import Compose, Pad, RandomAffine

from benchmarks.peers import tools
from benchmarks.peers.cases import Case


def mean_of(channel: int) -> Callable[[list[torch.Tensor]], torch.Tensor]:
    return lambda outputs: -outputs[0][:, channel].mean()


class Dreams:
    def __init__(self, case: Case) -> None:
        np.random.seed(0), torch.manual_seed(0)
        self._net = tools.network(case)
        self._layer = self._net.get_submodule(case.layer)
        self._dreamer = Dreamer(self._net, quiet=True, device="cpu")
        shift = tools.JITTER / (case.size + 2 * tools.PAD)
        move = RandomAffine(tools.TURN, (shift, shift), (1 - tools.ZOOM, 1 + tools.ZOOM))
        self._dreamer.set_custom_transforms(Compose([Pad(tools.PAD), move]))  # 0 is grey, for it normalises first
        self._objective = BatchedObjective([mean_of(channel) for channel in case.channels])
        count = len(case.channels)
        self._image = BatchedAutoImageParam(count, case.size, case.size, device="cpu")

    def run(self, steps: int) -> None:
        self._image = self._dreamer.render([self._layer], self._image, iters=steps, custom_func=self._objective)

    def pictures(self) -> np.ndarray:
        rows = [row.postprocess(device="cpu") for row in self._image.image_params]
        return tools.to_bytes(torch.cat(rows))


def make(case: Case, options: dict[str, Any]) -> Dreams:
    return Dreams(case)
