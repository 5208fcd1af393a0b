"""Networks without their weights: the bundled architectures and torchvision's, by name."""

from __future__ import annotations

import difflib
import re
from collections.abc import Callable, Mapping
from functools import cache
from typing import Any

import torch
from torch import nn

from vizcore.errors import ModelError
from vizcore.zoo.card import Card
from vizcore.zoo.nets import ARCHITECTURES

_AUXILIARY = {"googlenet": ("aux1.", "aux2."), "inception_v3": ("AuxLogits.",)}
_FIXED_SIZE = ("vit_", "maxvit_")  # they take pictures of one size only
_REPRESENTATIVES = (
    "alexnet", "convnext_tiny", "densenet121", "efficientnet_b0", "efficientnet_v2_s", "googlenet", "inception_v3",
    "mnasnet1_0", "mobilenet_v2", "mobilenet_v3_small", "resnet18", "resnet50", "shufflenet_v2_x1_0", "squeezenet1_0",
    "swin_t", "vgg16", "vgg16_bn", "vit_b_16",
)  # fmt: skip
"""One or two of each family, which are compared first when weights do not fit."""


def torchvision_names() -> list[str]:
    """Every classification network of torchvision."""
    from torchvision import models

    return list(models.list_models(module=models))


def torchvision_weights(name: str) -> Any:
    """The weights that torchvision recommends for ``name``, with their ``url``, ``transforms`` and ``meta``."""
    from torchvision import models

    return models.get_model_weights(name).DEFAULT


def build(
    arch: str, options: Mapping[str, Any] | None = None, classes: int | None = None, *, quick: bool = False
) -> nn.Module:
    """A network with random weights.

    Args:
        arch: a bundled architecture (``digits``, ``small-resnet``) or a name of torchvision's.
        options: keyword arguments of a bundled architecture.
        classes: how many logits; the architecture's own number if not given.
        quick: spare GoogLeNet and Inception their slow random numbers, because weights are loaded next.

    Raises:
        ModelError: there is no such architecture, or it does not take the options.
    """
    values = dict(options or {})
    if arch in ARCHITECTURES:
        make: Callable[..., nn.Module] = ARCHITECTURES[arch]
        if classes is not None:
            values["classes"] = classes
    elif arch in torchvision_names():
        make = _torchvision_builder(arch)
        values = {} if classes is None else {"num_classes": classes}
        values |= _torchvision_options(arch, quick)
    else:
        raise unknown_architecture(arch)
    try:
        return make(**values)
    except (TypeError, ValueError) as error:
        raise ModelError(
            f"The architecture {arch} does not take its options: {error}.", "Check arch_options in its card."
        ) from None


def unknown_architecture(arch: str) -> ModelError:
    """The error for an architecture that does not exist, with the nearest names."""
    known = [*ARCHITECTURES, *torchvision_names()]
    near = difflib.get_close_matches(arch, known, 3, 0.5)
    hint = (
        f"Did you mean {' or '.join(near)}?" if near else f"Use {', '.join(ARCHITECTURES)} or a name of torchvision's."
    )
    return ModelError(f"There is no architecture {arch[:60]!r}.", hint)


def torchvision_card(name: str) -> Card:
    """The card of a torchvision network, from what comes with its recommended weights."""
    weights = torchvision_weights(name)
    preset = weights.transforms()
    meta = weights.meta
    facts: dict[str, Any] = {
        "data": "ImageNet (ILSVRC 2012)",
        "parameters": int(meta["num_params"]),
        "url": weights.url,
    }
    accuracy = meta.get("_metrics", {}).get("ImageNet-1K", {}).get("acc@1")
    if accuracy is not None:
        facts["accuracy"] = round(accuracy / 100, 5)
    facts["recipe"] = meta.get("recipe", "")
    if name.startswith(_FIXED_SIZE):
        facts["fixed_size"] = True
    return Card(
        name=name,
        title=_TITLES.get(name, name),
        arch=name,
        size=int(preset.crop_size[0]),
        mean=tuple(preset.mean),
        std=tuple(preset.std),
        classes=tuple(meta["categories"]),
        showcase_layer=_SHOWCASE.get(name, ""),
        source="torchvision",
        facts=facts,
    )


def adapt(arch: str, state: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """``state`` in the names of today's torchvision: without training's extra heads, DenseNet's old names renamed."""
    drop = _AUXILIARY.get(arch, ())
    found = {key: value for key, value in state.items() if not (drop and key.startswith(drop))}
    if arch.startswith("densenet"):
        # as torchvision's own reader of these files does: norm.1 became norm1 when dots were forbidden
        pattern = re.compile(
            r"^(.*denselayer\d+\.(?:norm|relu|conv))\.((?:[12])\.(?:weight|bias|running_mean|running_var))$"
        )
        found = {(m[1] + m[2] if (m := pattern.match(key)) else key): value for key, value in found.items()}
    return found


def nearest(state: Mapping[str, torch.Tensor]) -> str | None:
    """The architecture whose tensors agree best with ``state`` in name and shape, if half of them do.

    Compares one network of each family first, then the whole of the best family; on the meta device, in seconds.
    """
    families = [*ARCHITECTURES, *_REPRESENTATIVES]
    first = max(families, key=lambda name: _agreement(name, state))
    if first not in ARCHITECTURES:
        family = first.rstrip("0123456789_").split("_")[0].rstrip("0123456789")
        members = [name for name in torchvision_names() if name.startswith(family)]
        first = max(members, key=lambda name: _agreement(name, state))
    return first if _agreement(first, state) > 0.5 else None


def _agreement(name: str, state: Mapping[str, torch.Tensor]) -> float:
    own = _shapes(name)
    theirs = {key: tuple(value.shape) for key, value in adapt(name, state).items()}
    same = sum(theirs.get(key) == shape for key, shape in own.items())
    named = sum(key in theirs for key in own)
    return float(same + 0.2 * named) / (1.2 * max(len(own), len(theirs), 1))


@cache
def _shapes(name: str) -> dict[str, tuple[int, ...]]:
    """The names and shapes of an architecture's tensors; none for RegNet, which computes its widths with tensors."""
    try:
        with torch.device("meta"):
            return {key: tuple(value.shape) for key, value in build(name, quick=True).state_dict().items()}
    except (ModelError, NotImplementedError):
        return {}


def _torchvision_builder(name: str) -> Callable[..., nn.Module]:
    from torchvision import models

    builder = models.get_model_builder(name)
    return lambda **values: builder(weights=None, **values)


def _torchvision_options(name: str, quick: bool) -> dict[str, Any]:
    """What torchvision passes to a builder when it loads weights into it."""
    if name in _AUXILIARY:
        return {"aux_logits": False, "transform_input": True, "init_weights": not quick}
    if name == "vit_h_14":
        return {"image_size": 518}
    return {}


_TITLES = {
    "alexnet": "AlexNet", "googlenet": "GoogLeNet (Inception v1)", "inception_v3": "Inception v3",
    "resnet18": "ResNet-18", "resnet50": "ResNet-50", "squeezenet1_0": "SqueezeNet 1.0",
    "squeezenet1_1": "SqueezeNet 1.1", "vgg16": "VGG-16", "vgg19": "VGG-19",
}  # fmt: skip
_SHOWCASE = {
    "alexnet": "features.8", "googlenet": "inception4c", "inception_v3": "Mixed_6a", "resnet18": "layer3",
    "resnet50": "layer3", "squeezenet1_0": "features.7", "squeezenet1_1": "features.8", "vgg16": "features.19",
    "vgg19": "features.21", "densenet121": "features.denseblock3", "mobilenet_v2": "features.10",
}  # fmt: skip
