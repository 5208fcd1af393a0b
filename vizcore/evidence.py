"""Why a picture should be believed: what the whole network says of it, and where its layer responds."""

from __future__ import annotations

import io
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torch.nn import functional as F

from vizcore.history.codec import Pixels
from vizcore.layers import Cut
from vizcore.zoo.load import Network

MAPS = 16


def of(network: Network, image: Pixels, layer: str, channel: int) -> dict[str, Any]:
    """Top classes and feature maps of a picture, as plain values.

    Args:
        image: uint8 ``[H, W, C]``, as stored.
        layer: of the feature maps; empty (an objective on classes) gives none.
        channel: whose map comes first.
    """
    return {
        "classes": top_classes(network, image),
        "maps": feature_maps(network, image, layer, channel) if layer else [],
    }


def top_classes(network: Network, image: Pixels, k: int = 5) -> list[tuple[str, float]]:
    """The ``k`` most probable classes: name and softmax, at the size that the network was made for."""
    x = _tensor(network, image)
    size = (network.card.size, network.card.size)
    if x.shape[2:] != size:
        x = F.interpolate(x, size, mode="bilinear", align_corners=False, antialias=True)
    with torch.no_grad():
        logits = network.module(network.normalize(x.clamp(0, 1)))[0].float()
    best = logits.softmax(0).topk(min(k, len(logits)))
    names = network.card.classes
    return [
        (names[i] if i < len(names) else f"class {i}", float(p))
        for p, i in zip(best.values.tolist(), best.indices.tolist(), strict=True)
    ]


def feature_maps(network: Network, image: Pixels, layer: str, channel: int, count: int = MAPS) -> list[dict[str, Any]]:
    """The layer's maps of the picture at its own size: that of ``channel``, then those of the highest peaks.

    Each is ``{"channel", "png", "peak"}``: a grey PNG in which black is 0 (or less) and white the highest value of
    all that are given, so that they can be compared; ``peak`` is the map's own highest value.
    """
    with torch.no_grad():
        activation = Cut(network.module, [layer])(network.normalize(_tensor(network, image)))[layer][0].float().cpu()
    maps = _maps(activation)
    peaks = maps.flatten(1).amax(1)
    order = [channel, *(c for c in peaks.argsort(descending=True).tolist() if c != channel)][:count]
    order = [c for c in order if c < len(maps)]
    white = max(float(peaks[order].max()), 1e-12)
    return [
        {"channel": c, "png": _png((maps[c] / white).clamp(0, 1)), "peak": float(peaks[c])}
        for c in order
    ]  # fmt: skip


def _tensor(network: Network, image: Pixels) -> Tensor:
    """``[1, C, H, W]`` in [0, 1] where the network is."""
    device = next((p.device for p in network.module.parameters()), torch.device("cpu"))
    return torch.from_numpy(np.array(image)).to(device).permute(2, 0, 1)[None].float() / 255


def _maps(activation: Tensor) -> Tensor:
    """``[C, H, W]`` of one row's activation: a unit without positions is a map of one pixel, tokens are a line."""
    if activation.ndim == 3:
        return activation
    if activation.ndim == 2:  # tokens [T, C]
        return activation.T[:, None, :]
    return activation.reshape(-1, 1, 1)


def _png(grey: Tensor) -> bytes:
    stream = io.BytesIO()
    Image.fromarray((grey * 255 + 0.5).to(torch.uint8).numpy()).save(stream, "PNG")
    return stream.getvalue()
