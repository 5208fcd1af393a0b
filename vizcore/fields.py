"""Receptive fields of whatever a network computes, found while it computes it.

Each tensor of a forward pass carries the interval of input pixels that its position ``i`` sees along an axis,
``[first + i * stride, last + i * stride]``.  A window of ``k`` positions, ``d`` apart, every ``s``, behind a padding of
``p`` turns it into (Araujo, Norris, Sim 2019, Computing receptive fields of convolutional neural networks)::

    first' = first - p * stride      last' = last + ((k - 1) * d - p) * stride      stride' = s * stride

and where branches meet, the interval is the hull of theirs.  This follows the operations themselves, so it needs no
trace of the code, and it is exact for any graph of them.  What mixes all positions sees the whole picture.

A concatenation has channels that see differently; they are followed one by one until something mixes them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.weak import WeakTensorKeyDictionary


@dataclass(frozen=True)
class View:
    """What positions see along one axis: position 0 sees the input's pixels ``first`` to ``last``."""

    stride: int = 1
    first: int = 0
    last: int = 0

    @property
    def extent(self) -> int:
        """How many pixels a position sees."""
        return self.last - self.first + 1

    def window(self, size: int, step: int, padding: int, dilation: int = 1) -> View:
        """Behind a convolution or pooling."""
        first = self.first - padding * self.stride
        return View(self.stride * step, first, self.last + ((size - 1) * dilation - padding) * self.stride)

    def join(self, other: View) -> View | None:
        """Behind a sum or concatenation; None if the two do not advance alike."""
        if self.stride != other.stride:
            return None
        return View(self.stride, min(self.first, other.first), max(self.last, other.last))


@dataclass(frozen=True)
class Field:
    """What a tensor sees: the views along height and width, None if all of the picture.

    ``axes`` says which of its axes these are; None if that is not known.
    """

    axes: tuple[int, int] | None = None
    views: tuple[View, View] | None = None


WHOLE = Field()
"""All of the picture, from axes that are not known."""


class Tracer(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """While active, keeps the :class:`Field` of every tensor that comes from ``x`` ``[N, C, H, W]``."""

    def __init__(self, x: torch.Tensor) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self._fields: Any = WeakTensorKeyDictionary()
        self._channels: Any = WeakTensorKeyDictionary()  # a field for each channel, behind concatenations
        self._fields[x] = Field((2, 3), (View(), View()))

    def field(self, tensor: torch.Tensor) -> Field:
        """What ``tensor`` sees; all of the picture if nothing is known about it."""
        found: Field = self._fields.get(tensor, WHOLE)
        return found

    def channels(self, tensor: torch.Tensor) -> tuple[Field, ...]:
        """What each channel of ``tensor`` ``[N, C, ...]`` sees."""
        found: tuple[Field, ...] | None = self._channels.get(tensor)
        return (self.field(tensor),) * tensor.shape[1] if found is None else found

    def __torch_dispatch__(
        self, func: Any, types: Iterable[type], args: tuple[Any, ...] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        out = func(*args, **(kwargs or {}))
        inputs = [(value, self._fields[value]) for value in tensors((args, kwargs)) if value in self._fields]
        if inputs:
            for index, result in enumerate(tensors(out)):
                if index == 0 or func._opname in _MANY:
                    name = func._opname.rstrip("_")
                    self._fields[result] = _behind(name, args, inputs, result)
                    self._follow(name, args, [tensor for tensor, _ in inputs], result)
        return out

    def _follow(self, name: str, args: Sequence[Any], inputs: list[torch.Tensor], out: torch.Tensor) -> None:
        """Note what each channel of ``out`` sees, where that differs and is known."""
        if out.dim() != 4 or self._fields[out].axes != (2, 3):
            return
        if name == "cat" and (args[1] if len(args) > 1 else 0) % 4 == 1:
            self._channels[out] = tuple(field for tensor in tensors(args[0]) for field in self.channels(tensor))
        elif (
            name in APART
            and any(tensor in self._channels for tensor in inputs)
            and all(tensor.dim() == 4 and tensor.shape[1] == out.shape[1] for tensor in inputs)
        ):
            rows = list(zip(*(self.channels(tensor) for tensor in inputs), strict=True))
            known = {row: _behind(name, args, list(zip(inputs, row, strict=True)), out) for row in set(rows)}
            self._channels[out] = tuple(known[row] for row in rows)


def tensors(values: Any) -> list[torch.Tensor]:
    if isinstance(values, torch.Tensor):
        return [values]
    if isinstance(values, Mapping):
        values = values.values()
    elif not isinstance(values, (tuple, list)):
        return []
    return [tensor for value in values for tensor in tensors(value)]


def _behind(name: str, args: Sequence[Any], inputs: list[tuple[torch.Tensor, Field]], out: torch.Tensor) -> Field:
    """The field of ``out``, which the operation ``name`` made of ``inputs``."""
    tensor, field = inputs[0]
    rule = _RULES.get(name)
    if rule is not None:
        return rule(args, tensor, field, out)
    known = next((f.axes for t, f in inputs if f.axes and t.dim() == out.dim()), None)
    if name not in _POINTWISE or known is None:
        same = known is not None and out.shape == tensor.shape
        return Field(known if same else None, None)
    if any(out.shape[axis] != t.shape[axis] for t, f in inputs if f.axes == known for axis in known):
        return Field(known, None)
    views = None
    for t, f in inputs:
        if f.views is None or f.axes != known or t.dim() != out.dim():
            return Field(known, None)
        views = f.views if views is None else _join(views, f.views)
        if views is None:
            return Field(known, None)
    return Field(known, views)


def _join(left: tuple[View, View], right: tuple[View, View]) -> tuple[View, View] | None:
    y, x = (a.join(b) for a, b in zip(left, right, strict=True))
    return None if y is None or x is None else (y, x)


def _pair(values: Any, default: Any = None) -> tuple[int, int]:
    if isinstance(values, int):
        return values, values
    found = tuple(values) or tuple(default)
    return (found[0], found[0]) if len(found) == 1 else (found[0], found[1])


def _windowed(field: Field, size: Any, step: Any, padding: Any, dilation: Any = 1) -> Field:
    if field.axes != (2, 3) or field.views is None:
        return Field((2, 3), None)
    four = zip(field.views, _pair(size), _pair(step, _pair(size)), _pair(padding), _pair(dilation), strict=True)
    y, x = (view.window(k, s, p, d) for view, k, s, p, d in four)
    return Field((2, 3), (y, x))


def _convolution(args: Sequence[Any], tensor: torch.Tensor, field: Field, out: torch.Tensor) -> Field:
    weight, step, padding, dilation, transposed = args[1], args[3], args[4], args[5], args[6]
    if transposed or tensor.dim() != 4:
        return Field((2, 3), None)
    return _windowed(field, weight.shape[2:], step, padding, dilation)


def _max_pool(args: Sequence[Any], tensor: torch.Tensor, field: Field, out: torch.Tensor) -> Field:
    _, size, step, padding, dilation = (*args, *((), 0, 1)[len(args) - 2 :])[:5]
    return _windowed(field, size, step, padding, dilation)


def _avg_pool(args: Sequence[Any], tensor: torch.Tensor, field: Field, out: torch.Tensor) -> Field:
    _, size, step, padding = (*args, *((), 0)[len(args) - 2 :])[:4]
    return _windowed(field, size, step, padding)


def _adaptive(args: Sequence[Any], tensor: torch.Tensor, field: Field, out: torch.Tensor) -> Field:
    """An adaptive pooling is a plain one where the sizes divide; nothing, where they are equal."""
    before, after = tensor.shape[-2:], out.shape[-2:]
    if (tuple(after) == (1, 1) != tuple(before)) or any(b % a for b, a in zip(before, after, strict=True)):
        return Field((2, 3), None)
    size = tuple(b // a for b, a in zip(before, after, strict=True))
    return _windowed(field, size, size, 0)


def _pad(args: Sequence[Any], tensor: torch.Tensor, field: Field, out: torch.Tensor) -> Field:
    if field.axes != (2, 3) or field.views is None or len(args[1]) > 4:
        return Field(field.axes, None)
    left, top = args[1][0], args[1][2] if len(args[1]) == 4 else 0
    return Field((2, 3), (field.views[0].window(1, 1, top), field.views[1].window(1, 1, left)))


def _permute(args: Sequence[Any], tensor: torch.Tensor, field: Field, out: torch.Tensor) -> Field:
    if field.axes is None:
        return WHOLE
    order = [axis % tensor.dim() for axis in args[1]]
    return Field((order.index(field.axes[0]), order.index(field.axes[1])), field.views)


def _transpose(args: Sequence[Any], tensor: torch.Tensor, field: Field, out: torch.Tensor) -> Field:
    order = list(range(tensor.dim()))
    a, b = args[1] % tensor.dim(), args[2] % tensor.dim()
    order[a], order[b] = b, a
    return _permute((tensor, order), tensor, field, out)


def _reshape(args: Sequence[Any], tensor: torch.Tensor, field: Field, out: torch.Tensor) -> Field:
    """Height and width survive where they stay two neighbouring axes with as many numbers behind them."""
    if field.axes is None or field.axes[1] != field.axes[0] + 1:
        return WHOLE
    height, width = (tensor.shape[axis] for axis in field.axes)
    behind = tensor.shape[field.axes[1] + 1 :].numel()
    for axis in range(out.dim() - 1):
        if out.shape[axis : axis + 2] == (height, width) and out.shape[axis + 2 :].numel() == behind:
            return Field((axis, axis + 1), field.views)
    return WHOLE


def _matrix(args: Sequence[Any], tensor: torch.Tensor, field: Field, out: torch.Tensor) -> Field:
    """A linear layer acts on the last axis; height and width survive if they are others."""
    same = out.dim() == tensor.dim() and out.shape[:-1] == tensor.shape[:-1]
    if field.axes is None or not same or tensor.dim() - 1 in field.axes:
        return WHOLE
    return field


def _layer_norm(args: Sequence[Any], tensor: torch.Tensor, field: Field, out: torch.Tensor) -> Field:
    """It mixes the last axes; height and width survive if they are others."""
    mixed = range(tensor.dim() - len(args[1]), tensor.dim())
    return WHOLE if field.axes is None else Field(field.axes, None if set(mixed) & set(field.axes) else field.views)


def _select(args: Sequence[Any], tensor: torch.Tensor, field: Field, out: torch.Tensor) -> Field:
    """One index of an axis, which then is gone."""
    axis = args[1] % tensor.dim()
    if field.axes is None or axis in field.axes:
        return WHOLE
    return Field((field.axes[0] - (axis < field.axes[0]), field.axes[1] - (axis < field.axes[1])), field.views)


def _unsqueeze(args: Sequence[Any], tensor: torch.Tensor, field: Field, out: torch.Tensor) -> Field:
    axis = args[1] % out.dim()
    if field.axes is None:
        return WHOLE
    return Field((field.axes[0] + (axis <= field.axes[0]), field.axes[1] + (axis <= field.axes[1])), field.views)


Rule = Callable[[Sequence[Any], torch.Tensor, Field, torch.Tensor], Field]

_RULES: Mapping[str, Rule] = {
    "convolution": _convolution,
    "max_pool2d": _max_pool,
    "max_pool2d_with_indices": _max_pool,
    "avg_pool2d": _avg_pool,
    "adaptive_avg_pool2d": _adaptive,
    "_adaptive_avg_pool2d": _adaptive,
    "adaptive_max_pool2d": _adaptive,
    "constant_pad_nd": _pad,
    "permute": _permute,
    "transpose": _transpose,
    "view": _reshape,
    "_unsafe_view": _reshape,
    "reshape": _reshape,
    "linear": _matrix,
    "matmul": _matrix,
    "native_layer_norm": _layer_norm,
    "select": _select,
    "unsqueeze": _unsqueeze,
}
_MANY = ("split", "split_with_sizes", "chunk", "unbind")
_POOLS = ("max_pool2d", "max_pool2d_with_indices", "avg_pool2d", "adaptive_avg_pool2d", "_adaptive_avg_pool2d")
_POINTWISE = frozenset(
    (
        "relu", "relu6", "hardtanh", "hardswish", "hardsigmoid", "leaky_relu", "prelu", "_prelu_kernel",
        "elu", "gelu", "silu", "mish", "celu", "selu", "sigmoid", "tanh", "softplus", "threshold", "clamp",
        "clamp_min", "clamp_max", "abs", "neg", "exp", "log", "sqrt", "rsqrt", "pow", "square", "add", "sub",
        "mul", "div", "rsub", "maximum", "minimum", "where", "lerp", "addcmul", "cat", "stack", "split",
        "split_with_sizes", "chunk", "slice", "native_batch_norm", "cudnn_batch_norm", "miopen_batch_norm",
        "_native_batch_norm_legit_no_training", "_native_batch_norm_legit", "batch_norm", "dropout",
        "native_dropout", "clone", "contiguous", "_to_copy", "to", "detach", "alias", "copy", "lift_fresh",
        "channel_shuffle", "native_channel_shuffle",
    )
)  # fmt: skip
"""Operations that look at no other position.  Batch norm is one because it is only traced in evaluation mode."""
APART = (_POINTWISE - {"cat", "stack", "split", "split_with_sizes", "chunk", "slice", "channel_shuffle",
                        "native_channel_shuffle"}) | frozenset(_POOLS) | {"constant_pad_nd"}  # fmt: skip
"""Operations that leave channels apart."""
