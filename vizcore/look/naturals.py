"""What real pictures say of a synthetic one: is it as exciting, does it hold, is it processed alike?"""

from __future__ import annotations

import io
from collections.abc import Callable, Generator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import combinations

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image, ImageFilter

from vizcore.layers import Cut, list_in_order
from vizcore.look.pictures import Picture, fit
from vizcore.look.ranks import centred
from vizcore.look.tally import Record
from vizcore.look.units import Unit, normalised, scorer
from vizcore.zoo.load import Network

LAYERS = 12  # of the path at most
_VALUES = 20_000  # of a layer that are ranked: evenly chosen ones


def relative(network: Network, picture: Picture, unit: Unit, record: Record) -> float | None:
    """The unit's activation on a picture, at the picture's own size, over the highest of all real pictures.

    None where no real picture excites the unit.  The record is of highest activations, so the unit should be one.
    """
    highest = float(record.values[unit.channel, 0])
    return _score(network, unit, picture) / highest if highest > 0 else None


def held_out(
    network: Network, picture: Picture, unit: Unit, seed: int = 0, pause: Callable[[], None] = lambda: None
) -> dict[str, float]:
    """The activation under transforms that no ascent has seen, as a share of the activation without; by their names.

    Shifts by 8 px, rotations by 10°, scales 0.9 and 1.1, JPEG of quality 75, noise of 0.05 and blur of 1 px; where a
    transform has several forms, their mean.  Empty where the unit is off.  ``pause`` is called before each pass.
    """

    def moved(form: Callable[[Picture], Picture]) -> float:
        pause()
        return _score(network, unit, form(picture))

    plain = _score(network, unit, picture)
    if plain <= 0:
        return {}
    noise = np.random.default_rng(seed).normal(0, 0.05 * 255, picture.shape)
    forms: Mapping[str, Sequence[Callable[[Picture], Picture]]] = {
        "shift 8 px": [partial(_shift, down=d, right=r) for d, r in ((8, 0), (-8, 0), (0, 8), (0, -8))],
        "rotate 10°": [partial(_turn, degrees=degrees) for degrees in (-10, 10)],
        "scale 0.9 and 1.1": [partial(_zoom, scale=scale) for scale in (0.9, 1.1)],
        "JPEG 75": [_jpeg],
        "noise 0.05": [lambda p: (p + noise).clip(0, 255).round().astype(np.uint8)],
        "blur 1 px": [lambda p: _filtered(p, ImageFilter.GaussianBlur(1))],
    }
    return {name: sum(moved(form) for form in several) / len(several) / plain for name, several in forms.items()}


@dataclass(frozen=True)
class Likeness:
    """How alike pictures are in one layer, by the rank correlation of their activations.

    Args:
        synthetic: of the synthetic picture and each real one, on average.
        natural: of each two real ones, on average.
    """

    layer: str
    synthetic: float
    natural: float


def path_similarity(
    network: Network, synthetic: Picture, naturals: Sequence[Picture], until: str = "", most: int = LAYERS
) -> list[Likeness]:
    """Is a synthetic picture processed along the path of real ones?  (Geirhos et al. 2024, arXiv:2306.04719)

    Args:
        naturals: two or more pictures that excite the same unit, or are of the same class.
        until: the unit's layer; the whole network if not given.
        most: evenly chosen layers, at most.
    """
    work = compare_paths(network, synthetic, naturals, until, most)
    while True:
        try:
            next(work)
        except StopIteration as end:
            found: list[Likeness] = end.value
            return found


def compare_paths(
    network: Network, synthetic: Picture, naturals: Sequence[Picture], until: str = "", most: int = LAYERS
) -> Generator[tuple[int, int], None, list[Likeness]]:
    """:func:`path_similarity` picture by picture; yields (pictures done, pictures in all)."""
    size = network.card.size
    layers = [layer for layer in list_in_order(network, size, until) if layer.kind in ("conv", "linear")]
    chosen = [layers[i].path for i in np.unique(np.linspace(0, len(layers) - 1, min(most, len(layers))).astype(int))]
    cut = Cut(network.module, chosen)
    rows: dict[str, list[NDArray[np.float64]]] = {path: [] for path in chosen}
    for number, picture in enumerate((synthetic, *naturals), 1):
        with torch.no_grad():
            seen = cut(normalised(network, fit(picture, size, network.card.channels)[None]))
        for path in chosen:
            flat = seen[path][0].flatten().float().cpu().numpy()
            rows[path].append(centred(flat[:: max(1, -(-flat.size // _VALUES))]))
        yield number, len(naturals) + 1
    result = []
    for path, (first, *others) in rows.items():
        own = [float(first @ other) for other in others]
        real = [float(a @ b) for a, b in combinations(others, 2)]
        result.append(Likeness(path, float(np.mean(own)), float(np.mean(real)) if real else 1.0))
    return result


def _score(network: Network, unit: Unit, picture: Picture) -> float:
    channels = network.card.channels
    if picture.shape[2] != channels:
        picture = fit(picture, min(picture.shape[:2]), channels)
    with torch.no_grad():
        return float(scorer(network, unit)(normalised(network, picture[None]))[0])


def _shift(picture: Picture, down: int, right: int) -> Picture:
    """Moved, with its border continued."""
    height, width = picture.shape[:2]
    rows, columns = np.arange(height) - down, np.arange(width) - right
    moved: Picture = picture[rows.clip(0, height - 1)][:, columns.clip(0, width - 1)]
    return moved


def _turn(picture: Picture, degrees: float) -> Picture:
    """Rotated about its centre, mirrored where the picture ends."""
    pad = max(picture.shape[:2]) // 4
    wide = np.pad(picture, ((pad, pad), (pad, pad), (0, 0)), mode="reflect")
    turned = _filtered(wide, lambda image: image.rotate(degrees, Image.Resampling.BICUBIC))
    return turned[pad:-pad, pad:-pad]


def _zoom(picture: Picture, scale: float) -> Picture:
    """Scaled about its centre; a smaller one is mirrored at its border."""
    height, width = picture.shape[:2]
    size = (max(1, round(width * scale)), max(1, round(height * scale)))
    scaled = _filtered(picture, lambda image: image.resize(size, Image.Resampling.BICUBIC))
    down, right = height - scaled.shape[0], width - scaled.shape[1]
    if down >= 0 and right >= 0:
        return np.pad(scaled, ((down // 2, down - down // 2), (right // 2, right - right // 2), (0, 0)), mode="reflect")
    top, left = -down // 2, -right // 2
    return scaled[top : top + height, left : left + width]


def _jpeg(picture: Picture) -> Picture:
    stream = io.BytesIO()
    _image(picture).save(stream, "JPEG", quality=75)
    with Image.open(stream) as image:
        return np.asarray(image).reshape(picture.shape)


def _filtered(picture: Picture, change: ImageFilter.Filter | Callable[[Image.Image], Image.Image]) -> Picture:
    image = _image(picture)
    image = image.filter(change) if isinstance(change, ImageFilter.Filter) else change(image)
    found = np.asarray(image)
    return found[:, :, None] if found.ndim == 2 else found


def _image(picture: Picture) -> Image.Image:
    return Image.fromarray(picture[:, :, 0] if picture.shape[2] == 1 else picture)
