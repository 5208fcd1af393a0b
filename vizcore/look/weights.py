"""The weights themselves, and what they make of pixels."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from vizcore.errors import LayerError
from vizcore.layers import list_in_order
from vizcore.look import display
from vizcore.look.deconvnet import Rule, project
from vizcore.look.display import Values
from vizcore.look.pictures import Picture
from vizcore.look.units import Unit, device, tensor
from vizcore.zoo.load import Network
from vizcore.zoo.plain import Middle

ALIKE = 0.95  # |cosine| from which two kernels count as near-duplicates (Zeiler & Fergus 2014 remove such by hand)


def first_layer(network: Network) -> str:
    """The first layer with weights, whose kernels are pictures; raises :class:`LayerError` if there is none."""
    for layer in list_in_order(network):
        if isinstance(network.module.get_submodule(layer.path), (nn.Conv2d, nn.Linear)):
            return layer.path
    raise LayerError("This network has no convolution and no linear layer.", "Choose another network.")


def kernels(network: Network, layer: str) -> Values:
    """The weights of a convolution ``[O, I, H, W]``, or of a linear layer ``[O, I, 1, 1]``.

    Rows of a linear layer that sees the pixels themselves come in the shape of the picture (a weight projection).

    Raises:
        LayerError: the layer is neither.
    """
    parts = dict(network.module.named_modules())
    if layer not in parts:
        raise LayerError(f"There is no layer {layer[:60]!r}.", "Choose a convolution or a linear layer.")
    part = parts[layer]
    if not isinstance(part, (nn.Conv2d, nn.Linear)):
        raise LayerError(
            f"The layer {layer[:60] or 'of the output'} has no kernels.", "Choose a convolution or a linear layer."
        )
    weight: Values = part.weight.detach().float().cpu().numpy()
    if weight.ndim == 4:
        return weight
    channels, size = network.card.channels, network.card.size
    middle = next((m for m in network.module.modules() if isinstance(m, Middle)), None)
    if middle is not None and layer == first_layer(network):
        return weight.reshape(-1, channels, middle.height, middle.width)
    if layer == first_layer(network) and weight.shape[1] == channels * size * size:
        return weight.reshape(-1, channels, size, size)
    return weight[:, :, None, None]


def are_pictures(values: Values, channels: int) -> bool:
    """Whether kernels can be shown in the colours of pictures: as many inputs as a picture has, and some extent."""
    return bool(values.shape[1] == channels and values.shape[2] * values.shape[3] > 1)


def pictures(values: Values, shared: bool = True) -> Picture:
    """Kernels ``[O, 1 or 3, H, W]`` as pictures ``[O, H, W, 3]``: grey, or black for one channel, is 0."""
    return display.signed(values, shared)


def matrix(values: Values, gap: int = 1) -> Picture:
    """Kernels ``[O, I, H, W]`` as one picture: a row per output, a column per input, blue below 0 and orange above.

    One scale for all.
    """
    outputs, inputs, height, width = values.shape
    cells = display.signed(values.reshape(outputs * inputs, 1, height, width))
    if height * width == 1:
        return cells.reshape(outputs, inputs, 3)
    sheet = np.full((outputs * (height + gap) - gap, inputs * (width + gap) - gap, 3), display.GREY, np.uint8)
    for i, cell in enumerate(cells):
        top, left = i // inputs * (height + gap), i % inputs * (width + gap)
        sheet[top : top + height, left : left + width] = cell
    return sheet


def projection(
    network: Network, layer: str, channel: int, picture: Picture | None = None, rule: Rule = "linear",
    size: int | None = None,
) -> Values:  # fmt: skip
    """A channel carried back to pixels through the transposed weights: ``[C, H, W]``, signed.

    With ``rule="linear"`` rectifiers are left out.  Without a picture this is the product of the weights (a weight
    projection), from the neuron in the middle of the map; it exists where nothing on the way depends on the picture.
    With one, poolings go back to its switches, and all of the channel's map is carried back, each position with its
    activation (a feature-map projection).

    Raises:
        LayerError: there is no such channel, or a picture is needed.
    """
    if picture is not None:
        z = tensor(network, picture, size=size)
        return _values(network, z, Unit(layer, channel), rule, "map")
    side = size or network.card.size
    shape = (1, network.card.channels, side, side)
    found = next((item for item in list_in_order(network, side, layer) if item.path == layer), None)
    positions = () if found is None or found.height * found.width == 1 else (found.height // 2, found.width // 2)
    unit = Unit(layer, channel, *positions)
    noise = torch.randn(shape, generator=torch.Generator().manual_seed(0)).to(device(network))
    plain = _values(network, torch.zeros_like(noise), unit, rule, "unit")
    if not np.allclose(plain, _values(network, noise, unit, rule, "unit"), rtol=1e-4, atol=1e-6 * abs(plain).max()):
        raise LayerError(
            "This projection depends on the picture, because there are maxima or gates on the way.", "Give a picture."
        )
    return plain


def alike(values: Values) -> list[tuple[int, int, float]]:
    """Pairs of kernels that are near-duplicates, or each other's negative: (channel, channel, cosine)."""
    flat = values.reshape(len(values), -1).astype(np.float64)
    norms = np.linalg.norm(flat, axis=1)
    cosine: NDArray[np.float64] = flat @ flat.T / np.maximum(np.outer(norms, norms), 1e-30)
    first, second = np.nonzero(np.triu(np.abs(cosine) > ALIKE, 1))
    return [(int(a), int(b), float(cosine[a, b])) for a, b in zip(first, second, strict=True)]


def _values(network: Network, z: torch.Tensor, unit: Unit, rule: Rule, seed: str) -> Values:
    found = project(network, z, unit, rule, "map" if seed == "map" else "unit")
    values: Values = found.values[0].float().cpu().numpy()
    return values
