"""Which network is trained: a new one, or one that exists with a new head."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import nn

from vizcore.errors import ModelError, SpecError
from vizcore.train.data.parts import Dataset
from vizcore.zoo.architectures import build
from vizcore.zoo.card import Card
from vizcore.zoo.load import Network
from vizcore.zoo.nets import ARCHITECTURES


@dataclass(frozen=True)
class Design:
    """What is asked for.

    Args:
        arch: one of :data:`ARCHITECTURES` or a name of torchvision's; ignored with a network to start from.
        options: keyword arguments of the architecture; with a network to start from, those in which it is to differ.
        tune: with a network to start from: ``"all"`` weights change, those of the new ``"head"``, or those from the
            layer of this name on.
    """

    arch: str = "cnn"
    options: Mapping[str, Any] = field(default_factory=dict)
    tune: str = "all"


@dataclass(frozen=True)
class Made:
    """A network with its first weights, what a card says of it, and which of its parameters stay as they are."""

    module: nn.Module
    card: Card
    frozen: Callable[[str], bool] | None = None


def make(design: Design, dataset: Dataset, name: str, seed: int, start: Network | None = None) -> Made:
    """The network for a data set, with weights drawn from ``seed`` or taken over from ``start``.

    Raises:
        ModelError: an unknown architecture, or one that does not take the options.
        SpecError: the pictures do not fit, or there is no layer of the name in ``tune``.
    """
    arch = start.card.arch if start is not None else design.arch
    options = fitting(arch, design.options, dataset) if start is None or design.options else {}
    if start is not None:
        options = {**start.card.arch_options, **options}
    own = arch in ARCHITECTURES
    if own:
        options["classes"] = len(dataset.classes)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        module = build(arch, options if own else None, None if own else len(dataset.classes))
    mean, std = dataset.mean, dataset.std
    frozen, size = None, dataset.size
    if start is not None:
        mean, std = start.card.mean, start.card.std
        frozen = _take_over(module, start.module, design.tune, start.card.classes == dataset.classes)
        if start.card.facts.get("fixed_size") and size != start.card.size:
            raise SpecError(f"{arch} takes pictures of {start.card.size} px only.", f"Use --size {start.card.size}.")
    elif design.tune != "all":
        raise SpecError("There are no weights to keep.", "Name a network with --start, or leave out --tune.")
    _check(module, arch, dataset, len(mean))
    shown = showcase(module)
    card = Card(
        name=name,
        title=name,
        arch=arch,
        arch_options=options if own else {},
        channels=dataset.channels,
        size=size,
        mean=tuple(mean),
        std=tuple(std),
        classes=dataset.classes,
        showcase_layer=shown,
        showcase_channels=tuple(range(min(16, _width(module, shown)))),
        source="file",
        facts=dict(dataset.facts),
    )
    return Made(module, card, frozen)


def fitting(arch: str, options: Mapping[str, Any], dataset: Dataset) -> dict[str, Any]:
    """``options`` with what follows from the data set: channels, and the sides that dense layers need."""
    found = dict(options)
    if arch not in ARCHITECTURES:
        if found:
            raise SpecError(f"{arch} takes no options.", f"Use them with {' or '.join(ARCHITECTURES)}.")
        return found
    known = inspect.signature(ARCHITECTURES[arch]).parameters
    strange = next((key for key in found if key not in known), None)
    if strange is not None:
        raise SpecError(
            f"The architecture {arch} has no option {strange[:40]!r}.",
            f"It has {', '.join(key for key in known if key not in ('classes', 'channels', 'height', 'width'))}.",
        )
    if "channels" in known:
        found["channels"] = dataset.channels
    if "height" in known:
        from vizcore.train.data import efl

        found.setdefault("height", dataset.size)
        found.setdefault("width", efl.WIDTH if dataset.name == "efl" else dataset.size)
    return found


def showcase(module: nn.Module) -> str:
    """The layer to look at first: the convolution two thirds of the way, or the first hidden dense layer."""
    convolutions: list[str] = [name for name, part in module.named_modules() if isinstance(part, nn.Conv2d)]
    if convolutions:
        return convolutions[len(convolutions) * 2 // 3]
    dense: list[str] = [name for name, part in module.named_modules() if isinstance(part, nn.Linear)]
    return dense[0] if dense else ""


def _take_over(module: nn.Module, start: nn.Module, tune: str, same_classes: bool) -> Callable[[str], bool] | None:
    """Copy all weights that fit, but for the head unless it is for the same classes.

    Returns which parameters (or layers, ending in a dot) stay as they are.
    """
    own, theirs = module.state_dict(), start.state_dict()
    same = {key for key, value in own.items() if key in theirs and theirs[key].shape == value.shape}
    new = [key for key in own if key not in same]
    head = {key.rpartition(".")[0] for key in new} or {_last(module)}
    with torch.no_grad():
        for key in same:
            if same_classes or key.rpartition(".")[0] not in head:
                own[key].copy_(theirs[key])
    if tune == "all":
        return None
    names = [name for name, _ in module.named_parameters()]
    if tune == "head":
        return lambda name: name.rstrip(".").rpartition(".")[0] not in head and name.rstrip(".") not in head
    first = next((i for i, name in enumerate(names) if name.startswith(tune + ".")), None)
    if first is None:
        raise SpecError(f"There is no layer {tune[:60]!r} with weights.", "See vizcore layers; or use head or all.")
    trained = set(names[first:])
    layers = {name.rpartition(".")[0] for name in trained}
    return lambda name: name not in trained if not name.endswith(".") else name[:-1] not in layers


def _width(module: nn.Module, path: str) -> int:
    """The outputs of a convolution or dense layer."""
    return len(module.get_parameter(f"{path}.weight")) if path else 0


def _last(module: nn.Module) -> str:
    names: list[str] = [name for name, part in module.named_modules() if isinstance(part, (nn.Linear, nn.Conv2d))]
    return names[-1]


def _check(module: nn.Module, arch: str, dataset: Dataset, channels: int) -> None:
    """Pass pictures through, so that a wrong size is a sentence before the first epoch."""
    size = dataset.size
    if channels != dataset.channels:
        raise SpecError(
            f"The network takes pictures of {channels} channels, and these have {dataset.channels}.",
            f"Use --channels {channels}.",
        )
    module.eval()
    try:
        with torch.no_grad():
            out = module(torch.zeros(2, dataset.channels, size, size))
    except (RuntimeError, ValueError, IndexError) as error:
        text = str(error).splitlines()[0][:120]
        raise SpecError(
            f"{arch} does not take pictures of {size} px: {text}.", "Use a larger --size or fewer blocks."
        ) from None
    if not isinstance(out, torch.Tensor) or out.shape != (2, len(dataset.classes)):
        raise ModelError(f"{arch} does not give one number per class.", "Use another architecture.")
