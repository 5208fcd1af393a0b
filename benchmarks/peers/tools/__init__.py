"""One driver per tool.  Each has ``__init__(module, case, options)``, ``run(steps)`` and ``pictures()``.

``run`` goes on where the last call stopped, in the tool's own loop.  ``pictures`` are ``[N, H, W, 3]`` uint8.
Transforms are lucent's defaults in all tools that take any: a grey frame of 12 px, jitter 8, zoom 1 ± 0.1, turn ± 10°.
"""

from __future__ import annotations

import importlib
from typing import Any, Protocol

import numpy as np
import torch

from benchmarks.peers.cases import Case

PAD, JITTER, ZOOM, TURN = 12, 8, 0.1, 10

MODULES = {
    "vizcore": "vizcore_",
    "torch-lucent": "lucent_",
    "torch-dreams": "dreams",
    "horama": "horama_",
    "plain PyTorch": "plain",
}


class Tool(Protocol):
    """What the worker needs of a tool."""

    def run(self, steps: int) -> None:
        """Make this many steps of all rows."""
        ...

    def pictures(self) -> np.ndarray:
        """The pictures so far."""
        ...


def make(name: str, case: Case, options: dict[str, Any]) -> Tool:
    """The driver of a tool, ready for its first step."""
    made: Tool = importlib.import_module(f"benchmarks.peers.tools.{MODULES[name]}").make(case, options)
    return made


def network(case: Case) -> torch.nn.Module:
    """The whole network with the weights that all tools share, as a user of torchvision has it."""
    import torchvision
    from safetensors.torch import load_file

    options = {"aux_logits": False, "init_weights": False} if case.arch == "googlenet" else {}
    module: torch.nn.Module = torchvision.models.get_model(case.arch, weights=None, **options)
    state = {name: value for name, value in load_file(case.weights).items() if not name.startswith("aux")}
    module.load_state_dict(state)
    return module.eval()


def behind(net: torch.nn.Module, case: Case) -> torch.nn.Module:
    """The module that is called next after the target layer has been."""
    target, order = net.get_submodule(case.layer), list[torch.nn.Module]()
    hooks = [module.register_forward_hook(lambda *seen: order.append(seen[0])) for module in (target,)]
    hooks += [module.register_forward_pre_hook(lambda *seen: order.append(seen[0])) for module in net.modules()]
    with torch.no_grad():
        net(torch.zeros(1, 3, case.size, case.size))
    for hook in hooks:
        hook.remove()
    return order[len(order) - order[::-1].index(target)]


def to_bytes(pictures: torch.Tensor) -> np.ndarray:
    """``[N, H, W, 3]`` uint8 of pictures ``[N, 3, H, W]`` in [0, 1]."""
    return pictures.detach().mul(255).round().clamp(0, 255).to(torch.uint8).permute(0, 2, 3, 1).numpy()
