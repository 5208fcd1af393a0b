"""A copy of a frozen network that computes the same with less work.

In evaluation mode a batch norm is a scale and a shift per channel, so it goes into the weights of the convolution
before it (Jacob et al. 2018, section 3.2).  In bf16, weights that never change are rounded once and not at each step.
On a CPU the first convolution gets a cheaper gradient (:mod:`vizcore.stem`).
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_weights
from torch.overrides import TorchFunctionMode

from vizcore.stem import Stem, is_stem

# Subclasses may do other things with their weights, so types are compared for equality.
_NORM_BEHIND: dict[type, type] = {nn.Conv1d: nn.BatchNorm1d, nn.Conv2d: nn.BatchNorm2d, nn.Conv3d: nn.BatchNorm3d}
_NORMS = tuple(_NORM_BEHIND.values())
_ROUNDED = (*_NORM_BEHIND, nn.Linear)


def fold(
    module: nn.Module, keep: Collection[str], look: Callable[[nn.Module], object], half: bool, *, stem: bool = True
) -> nn.Module:
    """A copy of ``module`` with the same paths; weights that need no change are shared with it.

    A convolution and the batch norm behind it become one where nothing else sees what is between them.  The batch norm
    leaves an identity behind, with the same output.  A network that cannot be copied, or not be used so, is returned
    as it is.

    Args:
        keep: paths of layers that stay as they are.
        look: runs a network as far as it will be used; what it leaves out is not changed.
        half: round the weights of convolutions and linear layers to bf16, for use under autocast.
        stem: whether the first convolution may get its cheaper gradient; it then is no ``nn.Conv2d`` any more.
    """
    try:
        shared = {id(value): value for value in (*module.parameters(), *module.buffers())}
        folded = copy.deepcopy(module, shared)
        with torch.no_grad(), _Trace(folded) as trace:
            look(folded)
        for conv, norm in trace.pairs():
            if not {conv, norm} & {trace.parts[path] for path in keep}:
                _merge(conv, norm)
                folded.set_submodule(trace.paths[norm], nn.Identity())
        if half:
            for part in trace.outputs:
                _round(part)
        for part in trace.outputs:
            if (
                stem and is_stem(part) and part.weight.device.type == "cpu"
            ):  # libraries for GPUs have a way of their own
                folded.set_submodule(trace.paths[part], Stem(part))
        with torch.no_grad():
            look(folded)
    except torch.OutOfMemoryError:
        raise
    except Exception:  # a network may be any code: what was not made to be copied is used as it was given
        return module
    return folded


def _merge(conv: Any, norm: Any) -> None:
    conv.weight, conv.bias = fuse_conv_bn_weights(
        conv.weight, conv.bias, norm.running_mean, norm.running_var, norm.eps, norm.weight, norm.bias
    )


def _round(part: nn.Module) -> None:
    if type(part) in _ROUNDED:
        for name, value in list(part.named_parameters(recurse=False)):
            setattr(part, name, nn.Parameter(value.to(torch.bfloat16), requires_grad=False))


class _Trace(TorchFunctionMode):
    """Notes what convolutions put out and how often it is used, and what batch norms take in."""

    def __init__(self, module: nn.Module) -> None:
        super().__init__()
        self.parts = dict(module.named_modules())
        self.paths = {part: path for path, part in self.parts.items()}
        self.outputs: dict[nn.Module, list[Tensor]] = {}  # holding them keeps their ids from being given again
        self._inputs: dict[nn.Module, list[Tensor]] = {}
        self._uses: dict[int, int] = {}
        self._handles = [
            part.register_forward_hook(self._note) for part in self.paths if type(part) in (*_ROUNDED, *_NORMS)
        ]

    def __exit__(self, *error: Any) -> None:
        super().__exit__(*error)  # type: ignore[no-untyped-call]
        for handle in self._handles:
            handle.remove()

    def pairs(self) -> Iterator[tuple[nn.Module, nn.Module]]:
        """Each convolution whose output goes into a batch norm and nowhere else, and that batch norm."""
        makers = {id(outputs[0]): part for part, outputs in self.outputs.items() if len(outputs) == 1}
        for norm, inputs in self._inputs.items():
            conv = makers.get(id(inputs[0]))
            once = len(inputs) == 1 and self._uses.get(id(inputs[0])) == 1
            fixed = not norm.training and norm.running_mean is not None  # else it normalises by the batch
            if conv is not None and once and fixed and _NORM_BEHIND.get(type(conv)) is type(norm):
                yield conv, norm

    def _note(self, part: nn.Module, args: tuple[Any, ...], output: Any) -> None:
        if type(part) in _NORMS:
            self._inputs.setdefault(part, []).append(args[0])
        else:
            self.outputs.setdefault(part, []).append(output)
            self._uses[id(output)] = 0

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Sequence[type],
        args: Sequence[Any] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        out = func(*args, **(kwargs or {}))
        if next(_tensors([out]), None) is not None:  # questions such as dim() or shape are no use of the numbers
            for tensor in _tensors([*args, *(kwargs or {}).values()]):
                self._uses[id(tensor)] = self._uses.get(id(tensor), 0) + 1
        return out


def _tensors(values: Sequence[Any]) -> Iterator[Tensor]:
    for value in values:
        if isinstance(value, Tensor):
            yield value
        elif isinstance(value, (tuple, list)):
            yield from _tensors(value)
