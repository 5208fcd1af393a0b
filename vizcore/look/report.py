"""What can be seen to be wrong with a network's filters, as Zeiler and Fergus (2014, section 4.1) looked at AlexNet's.

They saw first-layer filters of only very high and very low frequencies, and aliasing behind a stride of 4, and made
kernels and stride smaller.  Each finding here names the filters that show it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from vizcore.layers import Cut, Layer, list_in_order
from vizcore.look import weights
from vizcore.look.units import device
from vizcore.zoo.load import Network

KINDS = ("dead filters", "near-duplicates", "aliasing", "spectral coverage", "receptive field")
PICTURES = 64  # made-up ones, if none are given
FAINT = 0.01  # of the median norm of its layer: a filter below it does nothing
ALIASED = 0.25  # of a filter's energy lies above what its stride can carry
BANDS = {"low": (0.0, 0.125), "middle": (0.125, 0.25), "high": (0.25, 0.71)}  # cycles per pixel, to the corner
COVERED = 0.1  # of all filters should have their peak in each band
_MOST = 2048  # filters of a layer that are compared in pairs
_GRID = 32  # positions of the spectrum along an axis
_BATCH, _LARGE = (32, 8), 96  # pictures that go through at once, and how many above this many px a side


@dataclass(frozen=True)
class Finding:
    """One thing to look at.

    Args:
        kind: one of :data:`KINDS`.
        layer: its path.
        text: one sentence with the numbers.
        filters: the channels that show it; empty where it is of the layer as a whole.
        values: a number for each filter (or each pair, in ``pairs``), whose meaning the text tells.
    """

    kind: str
    layer: str
    text: str
    filters: tuple[int, ...] = ()
    values: tuple[float, ...] = ()
    pairs: tuple[tuple[int, int], ...] = ()

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON values."""
        return {
            "kind": self.kind, "layer": self.layer, "text": self.text, "filters": list(self.filters),
            "values": [round(value, 4) for value in self.values], "pairs": [list(pair) for pair in self.pairs],
        }  # fmt: skip


@dataclass(frozen=True)
class Report:
    """What was found, and what was looked at."""

    findings: tuple[Finding, ...]
    layers: int
    filters: int
    pictures: int
    made_up: bool


def inspect(network: Network, images: torch.Tensor | None = None, pause: Callable[[], None] = lambda: None) -> Report:
    """Look for what is wrong with the filters of a network.

    Args:
        images: real pictures uint8 ``[N, C, H, W]``, to find filters that answer to none; noise with the spectrum
            of photographs if not given, with which a filter may look dead that is only choosy.
        pause: called between pieces of the work, for who has something else to do meanwhile.
    """
    layers = list_in_order(network)
    made_up = images is None
    shown = noise(network) if images is None else images
    findings = [
        *_dead(network, layers, shown, made_up, pause),
        *_duplicates(network, layers, pause),
        *_aliasing(network),
        *_coverage(network),
        *_fields(network, layers),
    ]
    own = [layer for layer in layers if _weighted(network, layer)]
    return Report(tuple(findings), len(own), sum(layer.channels for layer in own), len(shown), made_up)


def noise(network: Network, count: int = PICTURES, seed: int = 0) -> torch.Tensor:
    """Pictures uint8 ``[N, C, H, W]`` whose amplitudes fall with frequency as photographs' do (Field 1987)."""
    card, rng = network.card, np.random.default_rng(seed)
    side = card.size
    frequency = np.hypot(np.fft.fftfreq(side)[:, None], np.fft.rfftfreq(side)[None])
    frequency[0, 0] = 1
    white = rng.normal(size=(count, card.channels, side, side))
    shared = rng.normal(size=(count, 1, side, side))  # colours of a photograph go together
    coloured = np.fft.irfft2(np.fft.rfft2(white * 0.5 + shared) / frequency, (side, side))
    coloured = coloured / coloured.std((2, 3), keepdims=True) * rng.uniform(0.1, 0.35, (count, 1, 1, 1))
    pictures = 0.5 + coloured + rng.uniform(-0.2, 0.2, (count, 1, 1, 1))
    return torch.from_numpy((pictures.clip(0, 1) * 255).round().astype(np.uint8))


def spectrum(kernels: NDArray[np.float32]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Energy of kernels ``[O, I, H, W]`` by frequency: ``[O, G, G]``, each summing to 1; and frequencies ``[G]``.

    The mean over space stays in: it is how strongly a filter answers to flat colour.
    """
    found = np.abs(np.fft.fft2(kernels.astype(np.float64), (_GRID, _GRID))) ** 2
    energy = found.sum(1)
    return energy / np.maximum(energy.sum((1, 2), keepdims=True), 1e-30), np.abs(np.fft.fftfreq(_GRID))


def _weighted(network: Network, layer: Layer) -> bool:
    return isinstance(network.module.get_submodule(layer.path), (nn.Conv2d, nn.Linear))


def _dead(
    network: Network, layers: list[Layer], images: torch.Tensor, made_up: bool, pause: Callable[[], None]
) -> Iterator[Finding]:
    """Filters without weights, and rectified ones that are off for all pictures."""
    for layer in layers:
        if _weighted(network, layer):
            values = weights.kernels(network, layer.path)
            norms = np.sqrt((values.astype(np.float64) ** 2).sum((1, 2, 3)))
            faint = np.nonzero(norms < FAINT * np.median(norms))[0]
            if len(faint):
                text = f"{_count(faint, layer)} have weights below {FAINT:.0%} of the layer's median norm."
                yield Finding("dead filters", layer.path, text, tuple(faint.tolist()), tuple(norms[faint].tolist()))
    rectified = [layer for layer in layers if layer.kind == "relu"]
    if not rectified:
        return
    highest: dict[str, torch.Tensor] = {}
    cut = Cut(network.module, [layer.path for layer in rectified])
    size = _BATCH[images.shape[-1] > _LARGE]
    for first in range(0, len(images), size):
        pause()
        with torch.no_grad():
            x = network.normalize(images[first : first + size].to(device(network)).float() / 255)
            for path, found in cut(x).items():
                top = found.flatten(2).amax(2).amax(0) if found.dim() > 2 else found.amax(0)
                highest[path] = torch.maximum(highest.get(path, top), top)
    what = "made-up" if made_up else "given"
    for layer in rectified:
        off = torch.nonzero(highest[layer.path] <= 0)[:, 0].tolist()
        if off:
            text = f"{_count(off, layer)} are off for all of {len(images)} {what} pictures."
            yield Finding("dead filters", layer.path, text, tuple(off))


def _duplicates(network: Network, layers: list[Layer], pause: Callable[[], None]) -> Iterator[Finding]:
    for layer in layers:
        if not _weighted(network, layer) or not 2 <= layer.channels <= _MOST:
            continue
        pause()
        values = weights.kernels(network, layer.path)
        if values[0].size < 4:
            continue  # vectors so short point alike by chance
        found = weights.alike(values)
        if found:
            members = sorted({channel for a, b, _ in found for channel in (a, b)})
            text = (
                f"{len(found)} pairs of filters have weights that are equal or opposite (|cosine| > {weights.ALIKE:g})."
            )
            yield Finding(
                "near-duplicates", layer.path, text, tuple(members), tuple(cosine for *_, cosine in found),
                tuple((a, b) for a, b, _ in found),
            )  # fmt: skip


def _first(network: Network) -> tuple[str, nn.Conv2d] | None:
    """The convolution that sees the pixels, with more than one weight a colour."""
    for name, part in network.module.named_modules():
        if isinstance(part, nn.Conv2d):
            return (name, part) if part.in_channels == network.card.channels and min(part.kernel_size) > 1 else None
    return None


def _aliasing(network: Network) -> Iterator[Finding]:
    first = _first(network)
    if first is None or max(first[1].stride) == 1:
        return
    name, part = first
    energy, frequency = spectrum(weights.kernels(network, name))
    limit = [0.5 / stride for stride in part.stride]
    above = (frequency[:, None] > limit[0]) | (frequency[None] > limit[1])
    share = energy[:, above].sum(1)
    bad = np.nonzero(share > ALIASED)[0]
    if len(bad):
        text = (
            f"{len(bad)} of {len(share)} filters have over {ALIASED:.0%} of their energy above {max(limit):.3g} cycles "
            f"a pixel, which a stride of {max(part.stride)} folds onto lower ones ({share.mean():.0%} in the mean)."
        )
        yield Finding("aliasing", name, text, tuple(bad.tolist()), tuple(share[bad].tolist()))


def _coverage(network: Network) -> Iterator[Finding]:
    """Bands that few first-layer filters have their peak in."""
    first = _first(network)
    if first is None:
        return
    name, _ = first
    energy, frequency = spectrum(weights.kernels(network, name))
    radius = np.hypot(frequency[:, None], frequency[None])
    peaks = radius.ravel()[energy.reshape(len(energy), -1).argmax(1)]
    bands = {band: (peaks >= low) & (peaks < high) for band, (low, high) in BANDS.items()}
    shares = {band: float(inside.mean()) for band, inside in bands.items()}
    thin = [band for band, share in shares.items() if share < COVERED]
    if thin:
        listed = ", ".join(f"{band} {share:.0%}" for band, share in shares.items())
        members = np.nonzero(np.any([bands[band] for band in thin], axis=0))[0]
        text = f"Few filters peak at {' and '.join(thin)} frequencies ({listed} of {len(peaks)} filters)."
        yield Finding("spectral coverage", name, text, tuple(members.tolist()), tuple(peaks[members].tolist()))


def _fields(network: Network, layers: list[Layer]) -> Iterator[Finding]:
    """Positions that see far less, or far more, than the picture."""
    size = network.card.size
    convolutions = [
        layer for layer in layers if layer.kind == "conv" and layer.receptive_field and layer.height * layer.width > 1
    ]
    if not convolutions:
        return
    last = convolutions[-1]
    seen = last.receptive_field or 0
    if seen < size / 2:
        text = (
            f"Its positions see {seen} of {size} px: no filter can know of the whole; what is larger is only averaged."
        )
        yield Finding("receptive field", last.path, text)
    beyond = [layer for layer in convolutions if (layer.receptive_field or 0) > 2 * size]
    if beyond:
        text = f"From here on positions see {beyond[0].receptive_field} px and more of {size}: most of it is padding."
        yield Finding("receptive field", beyond[0].path, text)


def _count(found: Any, layer: Layer) -> str:
    return f"{len(found)} of {layer.channels} filters"
