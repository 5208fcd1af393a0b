"""Which filter feeds which: where each input of a convolution comes from, found while the network computes.

Every tensor of a forward pass carries, for each of its channels, the convolutions' (or dense layers') channels that it
is made of.  Rectifiers, norms and poolings keep channels apart; a concatenation puts them one after the other; a sum
(a residual) has both; flattening repeats each for its positions.  What mixes channels in any other way is not known.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.weak import WeakTensorKeyDictionary

from vizcore.errors import LayerError
from vizcore.fields import APART, tensors
from vizcore.look.display import Values
from vizcore.zoo.load import Network

PICTURE = ""  # the layer of the picture's own channels
ADDED = 4  # summands that are named: the last ones of a long chain of residuals
Origin = tuple[str, int]
Origins = tuple[Origin, ...]
"""The channels that are added up in one; empty if that is not known."""

_SAME = APART | {"view", "_unsafe_view", "reshape", "mean", "squeeze", "upsample_nearest2d", "upsample_bilinear2d"}
_SUMS = frozenset(("add", "sub"))


@dataclass
class Wiring:
    """Where channels come from.

    Args:
        inputs: of each convolution and dense layer, what each of its inputs is made of.
        outputs: of each module, what each channel that it puts out is made of; of a convolution, itself.
    """

    inputs: dict[str, tuple[Origins, ...]] = field(default_factory=dict)
    outputs: dict[str, tuple[Origins, ...]] = field(default_factory=dict)


@dataclass(frozen=True)
class Source:
    """One input of a filter.

    Args:
        origins: the channels that it is made of.
        norm: of its weights (L2); ``total`` is their sum.
        kernel: the weights ``[H, W]``.
    """

    origins: Origins
    norm: float
    total: float
    kernel: Values


def trace(network: Network, size: int | None = None) -> Wiring:
    """Follow one forward pass; nothing is computed where the network can do that."""
    module, side = network.module, size or network.card.size
    state = {**dict(module.named_parameters()), **dict(module.named_buffers())}
    shape = (1, network.card.channels, side, side)
    try:
        hollow = {name: value.to("meta") for name, value in state.items()}
        x = torch.zeros(shape, device="meta")
        return _follow(module, x, lambda: torch.func.functional_call(module, hollow, (x,)))
    except Exception:  # code that looks at values
        x = torch.zeros(shape, device=next(iter(state.values()), torch.zeros(())).device)
        return _follow(module, x, lambda: module(x))


def kernels_of(network: Network, wiring: Wiring, layer: str, channel: int) -> list[tuple[Origin, list[Source]]]:
    """The convolutions or dense layers that make a channel of any layer, each with its inputs, the strongest first.

    Raises:
        LayerError: it is not known what makes it.
    """
    modules = dict(network.module.named_modules())
    outputs = wiring.outputs.get(layer, ())
    found = []
    for path, number in outputs[channel] if channel < len(outputs) else ():
        if path != PICTURE:
            found.append(((path, number), _sources(modules[path], wiring.inputs.get(path, ()), number)))
    if not found:
        raise LayerError("It is not known which weights make this filter.", "Choose a convolution or a dense layer.")
    return found


def _sources(part: nn.Module, inputs: Sequence[Origins], channel: int) -> list[Source]:
    weight: Values = part.weight[channel].detach().float().cpu().numpy()  # type: ignore[index]
    first = 0
    if isinstance(part, nn.Conv2d):
        first = channel // (part.out_channels // part.groups) * len(weight)
        rows = [[index] for index in range(len(weight))]
    else:  # of a flattened map many inputs are one channel
        weight = weight[:, None, None]
        grouped: dict[Any, list[int]] = {}
        for index in range(len(weight)):
            name = inputs[index] if index < len(inputs) else ()
            grouped.setdefault(name or index, []).append(index)
        rows = list(grouped.values())
    found = []
    for indices in rows:
        at = first + indices[0]
        kernel = weight[indices[0]] if len(indices) == 1 else _square(weight[indices])
        norm = float(np.linalg.norm(kernel.astype(np.float64)))
        origins = inputs[at] if at < len(inputs) else ()
        found.append(Source(origins, norm, float(kernel.sum(dtype=np.float64)), kernel))
    return sorted(found, key=lambda source: -source.norm)


def _square(kernel: Values) -> Values:
    """The weights of a flattened map ``[positions, 1, 1]`` as the map; in one row where it was not a square."""
    side = round(len(kernel) ** 0.5)
    return kernel.reshape((side, side) if side * side == len(kernel) else (1, len(kernel)))


class _Follower(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """While active, keeps the origins of each channel of every tensor ``[N, C, ...]``."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.known: Any = WeakTensorKeyDictionary()
        self.order: dict[str, int] = {PICTURE: 0}  # in which layers were come by

    def __torch_dispatch__(
        self, func: Any, types: Iterable[type], args: tuple[Any, ...] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        out = func(*args, **(kwargs or {}))
        inputs = [tensor for tensor in tensors((args, kwargs)) if tensor in self.known]
        if inputs:
            self._note(func._opname.rstrip("_"), args, inputs, tensors(out))
        return out

    def _note(self, name: str, args: Sequence[Any], inputs: list[torch.Tensor], outs: list[torch.Tensor]) -> None:
        out = outs[0] if outs else None
        if out is None or out.dim() < 2:
            return
        largest = max(inputs, key=lambda tensor: tensor.numel())  # a gate has less
        origins: tuple[Origins, ...] = self.known[largest]
        if name == "cat":
            if (args[1] if len(args) > 1 else 0) % out.dim() == 1:
                parts = tensors(args[0])
                blank: Origins = ()
                self.known[out] = tuple(o for part in parts for o in self.known.get(part, (blank,) * part.shape[1]))
        elif name in _SUMS and len(inputs) == 2 and len({len(self.known[one]) for one in inputs}) == 1:
            both = zip(*(self.known[one] for one in inputs), strict=True)
            # The last ones first: of a chain of residuals these are the nearest.
            self.known[out] = tuple(
                tuple(sorted({*a, *b}, key=lambda one: -self.order[one[0]])[:ADDED]) for a, b in both
            )
        elif name in ("split", "split_with_sizes", "chunk"):
            if len(args) < 3 or args[2] != 1:
                return
            at = 0
            for part in outs:
                self.known[part] = origins[at : at + part.shape[1]]
                at += part.shape[1]
        elif name == "slice" and len(args) > 1 and args[1] == 1:
            start, end, step = [*args[2:], None, None, None][:3]
            self.known[out] = origins[start:end:step]
        elif name in _SAME and out.shape[0] == largest.shape[0] and out.shape[1] % len(origins) == 0:
            repeats = out.shape[1] // len(origins)
            if repeats == 1 or out.dim() == 2:
                self.known[out] = tuple(one for one in origins for _ in range(repeats))


def _follow(module: nn.Module, x: torch.Tensor, forward: Any) -> Wiring:
    wiring, follower = Wiring(), _Follower()
    follower.known[x] = tuple(((PICTURE, channel),) for channel in range(x.shape[1]))

    def before(path: str, args: tuple[Any, ...]) -> None:
        if path not in wiring.inputs and args and isinstance(args[0], torch.Tensor):
            wiring.inputs[path] = follower.known.get(args[0], ())

    def after(path: str, part: nn.Module, output: Any) -> None:
        if not isinstance(output, torch.Tensor) or output.dim() not in (2, 4):
            return
        if isinstance(part, (nn.Conv2d, nn.Linear)):
            follower.order.setdefault(path, len(follower.order))
            follower.known[output] = tuple(((path, channel),) for channel in range(output.shape[1]))
        if path not in wiring.outputs and output in follower.known:
            wiring.outputs[path] = follower.known[output]

    handles = []
    try:
        for path, part in module.named_modules():
            if isinstance(part, (nn.Conv2d, nn.Linear)):
                handles.append(part.register_forward_pre_hook(lambda _m, args, path=path: before(path, args)))
            if path:
                handles.append(part.register_forward_hook(lambda m, _a, out, path=path: after(path, m, out)))
        with torch.no_grad(), follower:
            forward()
    finally:
        for handle in handles:
            handle.remove()
    return wiring
