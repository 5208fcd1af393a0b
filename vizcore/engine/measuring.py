"""The engine's command for the ruler: the pictures of one method, measured beside the runs.

Real pictures are read in a thread; the ruler with what it knows of them stays until other ones are asked for.
"""

from __future__ import annotations

import contextlib
import io
import math
import random
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image

from vizcore.engine.beside import Beside
from vizcore.engine.protocol import Comparison
from vizcore.engine.works import Work
from vizcore.errors import GeneratorError, LayerError, PictureError, SpecError
from vizcore.generate import names, shelf
from vizcore.layers import find_layer
from vizcore.look.collections import collect
from vizcore.look.units import device
from vizcore.ruler import METHODS, PRESETS, REAL, WALKS, Order, Ruler
from vizcore.train.data import NAMES, idx, open_dataset
from vizcore.zoo.card import Card
from vizcore.zoo.load import Network

ROOM = 96 * 2**20  # bytes of real pictures that are kept
SIDE = 96  # px of a tile at most; smaller pictures are enlarged by whole numbers
GAP = 2
QUALITY = 90  # of tiles, WebP
IMAGENET = 1000  # classes, which every source of networks spells in its own way


class Measuring(Beside):
    """The last ruler."""

    def __init__(self, *worker: Any) -> None:
        super().__init__(*worker)
        self._held: tuple[Comparison, Ruler, dict[str, Any]] | None = None

    def handlers(self) -> dict[str, Callable[..., Any]]:
        """The commands by name."""
        return {"measure": self._measure}

    def _measure(self, number: int, comparison: dict[str, Any], method: str) -> Any:
        wanted = Comparison(**comparison)
        if method not in (REAL, *METHODS):
            raise SpecError(f"There is no method {method[:40]!r}.", f"Use {', '.join(METHODS)}.")
        if method in WALKS and not wanted.generator:
            raise SpecError("DGN-AM and PPGN need a generator.", "Choose one, or leave them out.")
        if wanted.generator and not shelf.is_plain(wanted.generator):
            raise GeneratorError("A generator is named by its folder's name.", "Choose one from the list.")

        def then(network: Network) -> Any:
            held = self._held
            if held is not None and held[0] == wanted and held[1].network is network:
                return self._begin(number, held[1], method, held[2])
            if wanted.judge:
                return self._with_network(
                    number, wanted.judge, None, lambda judge: self._read(number, wanted, method, network, judge)
                )
            return self._read(number, wanted, method, network, None)

        return self._with_network(number, wanted.model, wanted.arch, then)

    def _begin(self, number: int, ruler: Ruler, method: str, facts: dict[str, Any]) -> object:
        self._works.add(number, _told(ruler, method, facts), long=True)
        return self._waiting

    def _read(self, number: int, wanted: Comparison, method: str, network: Network, judge: Network | None) -> object:
        """Read the real pictures, in a thread that ends."""
        check_judge(network.card, judge)

        def build(real: torch.Tensor | None, name: str) -> object:
            generator = names.of_run(wanted.generator, network, device(network)) if wanted.generator else None
            methods = METHODS if generator is not None else tuple(PRESETS)
            order = Order(wanted.layer, wanted.units, methods, wanted.seeds, wanted.steps)
            check_units(network, order)
            ruler = Ruler(network, order, real, generator, judge, wanted.fit)
            facts = {"real": 0 if real is None else len(real), "pictures": name}
            self._held = wanted, ruler, facts
            return self._begin(number, ruler, method, facts)

        if not wanted.source:
            return build(None, "")
        return self._apart(
            "vizcore-real",
            number,
            lambda: real_pictures(wanted.source, network.card, wanted.most),
            lambda found: build(*found),
        )


def check_judge(card: Card, judge: Network | None) -> None:
    """Raises :class:`SpecError` where another network's classes are not those of ``card``."""
    if judge is None:
        return
    own, other = card.classes, judge.card.classes
    if own != other and not len(own) == len(other) == IMAGENET:
        raise SpecError(
            f"{judge.card.name[:60]} has other classes than {card.name[:60]}, so it cannot judge.",
            "Choose a network of the same classes, or none.",
        )


def check_units(network: Network, order: Order) -> None:
    """Raises :class:`LayerError` for a class or channel that the network has not."""
    count = find_layer(network, order.layer).channels if order.layer else len(network.card.classes)
    if max(order.units) >= count:
        what = "filter" if order.layer else "class"
        raise LayerError(f"There is no {what} {max(order.units)}.", f"Use 0 to {count - 1}.")


def real_pictures(source: str, card: Card, most: int) -> tuple[torch.Tensor, str]:
    """Some of the pictures of a folder, zip or data set, always the same: uint8 ``[K, C, S, S]``, and what they are.

    Of those that name a part ``test``, only that part, as the network may have learnt from the others.

    Raises:
        PictureError: there are none of this kind, or not one can be read.
        DownloadError: they could not be fetched.
    """
    most = min(most, max(1, ROOM // (card.channels * card.size**2)))
    if source in NAMES or (Path(source).is_dir() and idx.find(Path(source), "t10k-images-idx3-ubyte.gz")):
        own = source in ("efl", "mnist", "svhn")  # have one size
        if source in NAMES:
            data = open_dataset(source, None, None if own else card.size, None if own else card.channels)
        else:
            data = idx.dataset(Path(source))
        images = (data.test or data.any).images
        if tuple(images.shape[1:]) != (card.channels, card.size, card.size):
            raise PictureError(
                f"The pictures of {data.name} are of {images.shape[2]} px, {card.name[:60]} takes {card.size} px.",
                "Choose pictures of the network's data set, or a folder.",
            )
        rows = torch.randperm(len(images), generator=torch.Generator().manual_seed(0))[:most]
        return images[rows], data.name
    collection = collect(source)
    tests = [i for i, name in enumerate(collection.names) if "test" in name.lower().split("/")[:-1]]
    order = tests or list(range(len(collection)))
    random.Random(0).shuffle(order)
    found = [one for _, one in collection.load(order[:most], card.size, card.channels) if isinstance(one, np.ndarray)]
    if not found:
        raise PictureError("Not one of the pictures can be read.", "Choose others.")
    return torch.from_numpy(np.stack(found)).permute(0, 3, 1, 2).contiguous(), Path(source).name


def _told(ruler: Ruler, method: str, facts: dict[str, Any]) -> Work:
    """The work of a method; what it measured goes up as plain values."""
    with contextlib.closing(ruler.turns(method)) as turns:
        while True:
            try:
                yield next(turns)
            except StopIteration as end:
                data, side = tiles(end.value.pictures)
                lengths = [_finite(asdict(one)) for one in end.value.lengths]
                return {**facts, "lengths": lengths, "tiles": data, "side": side}


def _finite(values: dict[str, Any]) -> dict[str, Any]:
    return {key: None if isinstance(one, float) and not math.isfinite(one) else one for key, one in values.items()}


def tiles(pictures: np.ndarray) -> tuple[bytes, int]:
    """Pictures ``[units, seeds, H, W, C]`` side by side, clear between them, as WebP; and how large each is, in px."""
    units, seeds, size = pictures.shape[:3]
    side = size * (SIDE // size) if size <= SIDE else SIDE
    sheet = Image.new("RGBA", (units * (side + GAP) - GAP, seeds * (side + GAP) - GAP))
    how = Image.Resampling.NEAREST if size <= SIDE else Image.Resampling.BICUBIC
    for column, row in np.ndindex(units, seeds):
        one = pictures[column, row]
        colour = np.repeat(one, 3, 2) if one.shape[2] == 1 else one
        sheet.paste(Image.fromarray(colour).resize((side, side), how), (column * (side + GAP), row * (side + GAP)))
    stream = io.BytesIO()
    sheet.save(stream, "WEBP", quality=QUALITY, method=2)
    return stream.getvalue(), side
