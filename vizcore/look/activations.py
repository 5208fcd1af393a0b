"""What a layer makes of a picture: its maps, the classes, and all layers at a glance."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from vizcore.arithmetic import arithmetic, choose_precision, like
from vizcore.errors import LayerError
from vizcore.folding import fold
from vizcore.layers import Cut, Layer, find_layer, list_in_order
from vizcore.look.display import Values
from vizcore.look.pictures import Picture, fit
from vizcore.look.units import device, normalised, tensor
from vizcore.zoo.load import Network

STRIP = 24  # layers in a strip at most: more do not fit a page


@dataclass(frozen=True)
class Maps:
    """A layer's activation of one picture.

    Args:
        values: ``[C, H, W]``; a layer without positions has maps of one pixel.
        classes: the most probable ones, as (name, probability), or empty if not asked for.
        seconds: how long it took, from the fitted picture on.
    """

    values: Values
    classes: tuple[tuple[str, float], ...]
    seconds: float

    @property
    def peaks(self) -> Values:
        """The highest value of each map, ``[C]``."""
        peaks: Values = self.values.max((1, 2))
        return peaks

    def order(self) -> NDArray[np.int64]:
        """The channels by their highest response, the strongest first."""
        return np.argsort(-self.peaks, kind="stable")


class Looker:
    """A network that is kept ready to show one layer of picture after picture, as fast as the device can.

    It is frozen, computes nothing behind the layer (unless classes are asked for), has its batch norms folded into its
    convolutions, and runs in bf16 where that is faster (vizcore.arithmetic); the maps are then good to three digits,
    which is more than a screen shows.  Calls from several threads take turns.

    Args:
        network: shared with others; its values are never changed.
        layer: whose maps are wanted.
        size: of the pictures in pixels; the network's own if not given.
        classes: whether the whole network runs, so that the most probable classes are known.
        precision: ``"auto"``, ``"fp32"`` or ``"bf16"``.

    Raises:
        LayerError: there is no such layer, or it has no channels.
        SpecError: the pictures are too small for it.
    """

    def __init__(
        self, network: Network, layer: str, size: int | None = None, *, classes: bool = True, precision: str = "auto"
    ) -> None:
        self.layer: Layer = find_layer(network, layer, size)
        self.size = size or network.card.size
        self._network = network
        self._device = device(network)
        self.precision = choose_precision(precision, self._device, exact=False)
        self._paths = [layer, ""] if classes else [layer]
        like(network.module, self._device)
        blank = np.zeros((1, self.size, self.size, network.card.channels), np.uint8)
        with self._arithmetic():
            module = fold(
                network.module, self._paths, lambda m: Cut(m, self._paths)(self._take(blank)), self._half, stem=False
            )
        self._cut = Cut(module, self._paths)
        self._turn = threading.Lock()
        self.look(blank[0])

    def look(self, picture: Picture, top: int = 5) -> Maps:
        """The maps of a picture ``[H, W, 3]`` of any size (or of one that is fitted already), and ``top`` classes."""
        channels = self._network.card.channels
        if picture.shape != (self.size, self.size, channels):
            picture = fit(picture, self.size, channels)
        with self._turn, self._arithmetic():
            began = time.perf_counter()
            seen = self._cut(self._take(picture[None]))
            values = planes(seen[self.layer.path][0]).float().cpu().numpy()
            classes = best(self._network, seen[""][0], top) if "" in seen else ()
            return Maps(values, classes, time.perf_counter() - began)

    @property
    def _half(self) -> bool:
        return self.precision == "bf16"

    @contextlib.contextmanager
    def _arithmetic(self) -> Iterator[None]:
        with torch.no_grad(), arithmetic(self.precision, self._device):
            yield

    def _take(self, pictures: Picture) -> Tensor:
        x = normalised(self._network, pictures)
        return x if self._device.type == "mps" else x.contiguous(memory_format=torch.channels_last)


@dataclass(frozen=True)
class Glimpse:
    """One layer in a strip: its path and kind, the mean magnitude over its channels ``[H, W]``, and where it peaks."""

    layer: str
    kind: str
    mean: Values
    channel: int
    peak: float


def strip(network: Network, picture: Picture, size: int | None = None, most: int = STRIP) -> list[Glimpse]:
    """All layers at a glance, in the order of the forward pass, in one pass.

    Convolutions and linear layers; if there are more than ``most``, evenly chosen ones, with the first and the last.
    """
    found = [layer for layer in list_in_order(network, size) if layer.kind in ("conv", "linear")]
    if not found:
        raise LayerError("This network has no convolutions or linear layers.", "Choose another network.")
    index = np.unique(np.linspace(0, len(found) - 1, min(most, len(found))).round().astype(int))
    chosen = [found[i] for i in index]
    with torch.no_grad():
        seen = Cut(network.module, [layer.path for layer in chosen])(tensor(network, picture, size=size))
    glimpses = []
    for layer in chosen:
        values = planes(seen[layer.path][0]).float().cpu()
        peaks = values.flatten(1).amax(1)
        channel = int(peaks.argmax())
        mean = values.abs().mean(0).numpy()
        glimpses.append(Glimpse(layer.path, layer.kind, mean, channel, float(peaks[channel])))
    return glimpses


def classes_of(network: Network, picture: Picture, top: int = 5) -> tuple[tuple[str, float], ...]:
    """The most probable classes of a picture, as (name, probability)."""
    with torch.no_grad():
        return best(network, network.module(tensor(network, picture))[0], top)


def best(network: Network, logits: Tensor, top: int = 5) -> tuple[tuple[str, float], ...]:
    """The most probable classes, as (name, probability), by the scores ``[classes]``; none if they are no vector."""
    if logits.ndim != 1:
        return ()
    found = logits.float().softmax(0).topk(min(top, len(logits)))
    names = network.card.classes
    return tuple(
        (names[i] if i < len(names) else f"class {i}", float(p))
        for p, i in zip(found.values.tolist(), found.indices.tolist(), strict=True)
    )


def planes(activation: Tensor) -> Tensor:
    """A layer's activation of one picture as maps ``[C, H, W]``: a number per channel is a map of one pixel."""
    if activation.ndim not in (1, 3):
        raise LayerError(
            "This layer has no maps per channel.", "Choose a convolution, a ReLU, a block or a linear layer."
        )
    return activation if activation.ndim == 3 else activation[:, None, None]
