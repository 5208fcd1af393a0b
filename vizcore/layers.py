"""The layers of a network: which there are, how large they are, what they see; and a network cut at one of them."""

from __future__ import annotations

import difflib
import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from vizcore.errors import LayerError, SpecError
from vizcore.fields import Field, Tracer, View
from vizcore.zoo.load import Network

_KINDS: tuple[tuple[str, tuple[type[nn.Module], ...]], ...] = (
    ("conv", (nn.modules.conv._ConvNd,)),
    ("linear", (nn.Linear, nn.Bilinear)),
    (
        "relu",
        (
            nn.ReLU, nn.ReLU6, nn.LeakyReLU, nn.PReLU, nn.RReLU, nn.ELU, nn.SELU, nn.CELU, nn.GELU, nn.SiLU, nn.Mish,
            nn.Hardswish, nn.Hardsigmoid, nn.Hardtanh, nn.Sigmoid, nn.Tanh, nn.Softplus,
        ),
    ),
    (
        "pool",
        (
            nn.MaxPool2d, nn.AvgPool2d, nn.LPPool2d, nn.FractionalMaxPool2d,
            nn.AdaptiveAvgPool2d, nn.AdaptiveMaxPool2d,
        ),
    ),
    (
        "norm",
        (
            nn.modules.batchnorm._BatchNorm, nn.LayerNorm, nn.GroupNorm, nn.LocalResponseNorm,
            nn.modules.instancenorm._InstanceNorm,
        ),
    ),
)  # fmt: skip
"""Kinds by class; any activation function is a "relu"."""


@dataclass(frozen=True)
class Layer:
    """A layer and its output ``[N, channels, height, width]`` (1 by 1 for vectors ``[N, channels]``).

    Position ``(y, x)`` of the output sees ``receptive_field`` pixels a side, from ``start + stride * y`` on, which may
    lie outside of the picture.  All three are None where each position sees the whole picture.  Where height and
    width differ (Inception's 1x7), the larger field is given, with its stride and start.
    """

    path: str
    kind: str
    channels: int
    height: int
    width: int
    receptive_field: int | None
    stride: int | None = None
    start: int | None = None


def list_layers(network: Network, size: int | None = None) -> list[Layer]:
    """All layers that put out one map, or one number, per channel, in natural order of their paths.

    A layer that is used more than once is described as it is at its first use.  Tokens of transformers and maps with
    channels last are left out: they are not filters.

    Args:
        size: height and width of the picture; the network's own if not given.

    Raises:
        SpecError: the network does not take pictures of this size.
    """
    return sorted(list_in_order(network, size), key=lambda layer: natural_key(layer.path))


def list_in_order(network: Network, size: int | None = None, until: str | None = None) -> list[Layer]:
    """As :func:`list_layers`, in the order in which a forward pass leaves them: a block comes after its parts.

    Args:
        until: leave out what comes after this layer.
    """
    return list(_trace(network, size or network.card.size, until or None).values())


def find_layer(network: Network, path: str, size: int | None = None) -> Layer:
    """One layer, for a picture of ``size``; nothing behind it is computed, so the picture may be too small for that.

    Raises:
        LayerError: there is no such layer, or it does not put out maps or numbers per channel.
        SpecError: the picture is too small for the layer.
    """
    if path not in dict(network.module.named_modules()) or not path:
        raise _no_layer(network.module, path)
    layers = _trace(network, size or network.card.size, path)
    if path not in layers:
        raise LayerError(
            f"The layer {path} has no channels to look at.", "Choose a convolution, a ReLU, a block or a linear layer."
        )
    return layers[path]


Views = tuple[View, View]


def find_views(network: Network, path: str, size: int | None = None) -> list[Views | None]:
    """What each channel of a layer sees along height and width; None for all of the picture.

    The branches of a concatenation see differently: a channel's own view may be smaller than the layer's.

    Raises:
        LayerError, SpecError: as :func:`find_layer`.
    """
    layer = find_layer(network, path, size)
    if layer.receptive_field is None:
        return [None] * layer.channels
    views: list[Views | None] = []
    _run(network, size or network.card.size, path, views)
    return views


def check_channels_of(layer: Layer, channels: Iterable[int]) -> None:
    """Raise :class:`LayerError` if ``layer`` lacks one of ``channels``."""
    for channel in channels:
        if not 0 <= channel < layer.channels:
            raise LayerError(
                f"The layer {layer.path} has no filter {channel}.", f"Choose filters from 0 to {layer.channels - 1}."
            )


def search(layers: Sequence[Layer], text: str) -> list[Layer]:
    """The layers whose path or kind contains every word of ``text``, in their order; upper and lower case are equal."""
    words = text.lower().split()
    return [layer for layer in layers if all(word in f"{layer.path} {layer.kind}".lower() for word in words)]


def natural_key(path: str) -> list[tuple[int, int, str]]:
    """A key to sort by in which ``conv2`` comes before ``conv10``, and ``layer1`` before ``layer1.0``."""
    parts = re.findall(r"\d+|\D+", path)
    return [(0, int(part), "") if part.isdecimal() else (1, 0, part) for part in parts]


def kind_of(module: nn.Module) -> str:
    """``conv``, ``relu``, ``pool``, ``linear``, ``norm``, ``block`` (it has parts) or ``other``."""
    for kind, classes in _KINDS:
        if isinstance(module, classes):
            return kind
    return "block" if next(module.children(), None) is not None else "other"


class _Stop(BaseException):
    """Ends a forward pass; not an Exception, so that no network swallows it."""


class Cut:
    """A network that runs no further than the last of ``paths``.

    ``cut(x)`` gives the outputs of these layers by path; the empty path is the output of the whole network.  A layer
    that is used more than once counts at its first use.  Outputs are safe from operations in place behind the layer
    (a ReLU that overwrites its input), and gradients flow through them.  No hook stays on the network after a call.
    """

    def __init__(self, module: nn.Module, paths: Iterable[str]) -> None:
        self.module = module
        self.paths = tuple(dict.fromkeys(paths))
        if not self.paths:
            raise LayerError("No layer is chosen.", "Choose one.")
        modules = dict(module.named_modules())
        for path in self.paths:
            if path not in modules:
                raise _no_layer(module, path)
        self._targets = [(path, modules[path]) for path in self.paths]

    def __call__(self, x: torch.Tensor) -> dict[str, torch.Tensor]:
        """The outputs of the layers for a batch ``[N, C, H, W]``.

        Raises:
            LayerError: a layer is not used in this pass, or puts out no tensor.
        """
        seen: dict[str, torch.Tensor] = {}
        handles = []

        def capture(path: str, output: Any) -> None:
            if path in seen:
                return
            if not isinstance(output, torch.Tensor):
                raise LayerError(
                    f"The layer {path or 'of the output'} does not put out one tensor.", "Choose a layer inside it."
                )
            last = len(seen) == len(self._targets) - 1
            seen[path] = output if last else output.clone()  # the pass goes on and may overwrite it
            if last:
                raise _Stop

        try:
            for path, target in self._targets:
                handles.append(target.register_forward_hook(lambda _module, _args, out, path=path: capture(path, out)))
            self.module(x)
        except _Stop:
            return {path: seen[path] for path in self.paths}
        finally:
            for handle in handles:
                handle.remove()
        missing = next(path for path in self.paths if path not in seen)
        raise LayerError(
            f"The layer {missing} is not used when the network looks at a picture.", "Choose another layer."
        )


def _trace(network: Network, size: int, until: str | None) -> dict[str, Layer]:
    """The layers that a picture of ``size`` goes through, up to ``until`` (to the end if None)."""
    try:
        return _run(network, size, until)
    except LayerError:
        raise
    except Exception as error:  # RuntimeError, AssertionError, ValueError ...: each network words it in its own way
        what = f"the layer {until} of {network.card.name}" if until else network.card.name
        least = _smallest(network, size, until)
        if least is None:
            text = str(error).splitlines()[0][:120] if str(error) else type(error).__name__
            raise SpecError(f"{what} cannot be run at {size} px: {text}", f"Try {network.card.size} px.") from error
        verb = "too small for" if least > size else "not a size for"
        raise SpecError(
            f"{size} px is {verb} {what}.", f"Use {'at least ' if least > size else ''}{least} px."
        ) from None


def _smallest(network: Network, failed: int, until: str | None) -> int | None:
    """The smallest size above ``failed`` that works, if the network's own does, by bisection: about seven passes."""

    def works(size: int) -> bool:
        try:
            _run(network, size, until)
        except Exception:
            return False
        return True

    low, high = failed, network.card.size
    if not works(high):
        return None
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if works(middle) else (middle, high)
    return high


def _run(network: Network, size: int, until: str | None, views: list[Views | None] | None = None) -> dict[str, Layer]:
    """Look at the layers on the meta device, where nothing is computed; if the network cannot do that, compute.

    ``views`` is filled with what each channel of the layer ``until`` sees.
    """
    module = network.module
    state = {**dict(module.named_parameters()), **dict(module.named_buffers())}
    shape = (1, network.card.channels, size, size)
    try:
        hollow = {name: value.to("meta") for name, value in state.items()}
        x = torch.zeros(shape, device="meta")
        return _pass(module, x, until, views, lambda: torch.func.functional_call(module, hollow, (x,)))
    except Exception:
        like = next(iter(state.values()), torch.zeros(()))
        x = torch.zeros(shape, device=like.device)
        return _pass(module, x, until, views, lambda: module(x))


def _pass(
    module: nn.Module, x: torch.Tensor, until: str | None, views: list[Views | None] | None,
    forward: Callable[[], object],
) -> dict[str, Layer]:  # fmt: skip
    """Run ``forward`` on ``x`` and describe the layers that it goes through, up to ``until``."""
    found: dict[str, Layer] = {}
    tracer = Tracer(x)

    def note(path: str, part: nn.Module, output: Any) -> None:
        if path not in found and isinstance(output, torch.Tensor):
            layer = _describe(path, part, output, tracer.field(output))
            if layer is not None:
                found[path] = layer
        if path == until:
            if views is not None:
                views[:] = [field.views for field in tracer.channels(output)]
            raise _Stop

    handles = []
    try:
        for path, part in module.named_modules():
            if path:
                hook = lambda part, _args, output, path=path: note(path, part, output)  # noqa: E731
                handles.append(part.register_forward_hook(hook))
        with torch.no_grad(), tracer:
            forward()
    except _Stop:
        pass
    finally:
        for handle in handles:
            handle.remove()
    return found


def _describe(path: str, module: nn.Module, output: torch.Tensor, field: Field) -> Layer | None:
    """The layer, or None where the output has no axis of channels in the second place."""
    if output.dim() == 2:
        return Layer(path, kind_of(module), output.shape[1], 1, 1, None)
    if output.dim() != 4 or field.axes != (2, 3):
        return None
    _, channels, height, width = output.shape
    if field.views is None:
        return Layer(path, kind_of(module), channels, height, width, None)
    view = max(field.views, key=lambda view: view.extent)
    return Layer(path, kind_of(module), channels, height, width, view.extent, view.stride, view.first)


def _no_layer(module: nn.Module, path: str) -> LayerError:
    names = [name for name, _ in module.named_modules() if name]
    near = difflib.get_close_matches(path, names, 3, 0.5)
    hint = f"Did you mean {' or '.join(near)}?" if near else "See vizcore layers for the names."
    return LayerError(f"There is no layer {path[:60]!r}.", hint)
