"""The engine's commands for many real pictures: which excite a channel most, what they say of a synthetic one.

A pass over them takes turns beside the runs; it is the pass of ``vizcore top``, from the same cache.  Folders are
listed, and pictures cut out, in threads of their own.
"""

from __future__ import annotations

import contextlib
import dataclasses
import io
import threading
from collections import OrderedDict
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
from PIL import Image

from vizcore.engine.answers import png
from vizcore.engine.beside import Beside
from vizcore.engine.protocol import Place
from vizcore.engine.turns import Pause, in_turns
from vizcore.engine.works import Work
from vizcore.errors import PictureError
from vizcore.history.codec import Pixels
from vizcore.layers import Views, find_views
from vizcore.look import deconvnet, display, naturals, store
from vizcore.look.collections import Collection, collect
from vizcore.look.patches import crop, field_of, patches
from vizcore.look.pictures import FORMATS, Picture, fit
from vizcore.look.tally import BINS, Tally
from vizcore.look.units import Unit
from vizcore.zoo.load import Network

TALLIES = 4  # layers over folders that are kept ready
FOLDERS = 4  # lists of pictures that are kept
FITTED = 64 * 2**20  # bytes of fitted pictures that are kept: the same one is among the nine of many channels
SIDE = 64  # px of a patch on a tile
GAP = 2
QUALITY = 88  # of a tile, WebP


@dataclasses.dataclass(frozen=True)
class Held:
    """A tally at hand, with what each channel sees."""

    tally: Tally
    views: list[Views | None]


class Patching(Beside):
    """What the engine has at hand of real pictures."""

    def __init__(self, *worker: Any) -> None:
        super().__init__(*worker)
        self._folders: OrderedDict[tuple[str, str], Collection] = OrderedDict()
        self._held: OrderedDict[Place, Held] = OrderedDict()
        self._fitted: OrderedDict[tuple[str, int, int, int], Picture] = OrderedDict()
        self._fitting = threading.Lock()
        self._aside = ThreadPoolExecutor(1, "vizcore-patches")  # one: the others' time is that of the runs

    def handlers(self) -> dict[str, Callable[..., Any]]:
        """The commands by name."""
        return {
            "known": self._known, "scan": self._scan, "scanned": self._scanned, "tile": self._tile, "top": self._top,
            "original": self._original,
        }  # fmt: skip

    # -- commands ------------------------------------------------------------------------------------------

    def _known(self, number: int, model: str, arch: str | None, layer: str) -> Any:
        if not layer:
            return store.known()
        return self._with_network(number, model, arch, lambda network: store.known(network.card, layer))

    def _scan(self, number: int, **place: Any) -> Any:
        def then(held: Held) -> object:
            self._works.add(number, _pass(held.tally), long=True)
            return self._waiting

        return self._with_tally(number, Place(**place), then, again=True)

    def _scanned(self, number: int, again: bool, **place: Any) -> Any:
        return self._with_tally(number, Place(**place), lambda held: summary(held), again=again)

    def _tile(self, number: int, channel: int, **place: Any) -> Any:
        def then(held: Held) -> object:
            held.tally.record.check(channel)
            self._do_aside(number, lambda: self._mosaic(held, channel))
            return self._waiting

        return self._with_tally(number, Place(**place), then)

    def _top(self, number: int, channel: int, **place: Any) -> Any:
        def then(held: Held) -> object:
            self._works.add(number, in_turns(lambda pause: _nine(held.tally, channel, pause)))
            return self._waiting

        return self._with_tally(number, Place(**place), then)

    def _original(self, number: int, source: str, only: str, name: str) -> Any:
        def act(collection: Collection) -> object:
            if name not in collection.names:
                raise PictureError(f"There is no picture {name[-60:]!r} here.", "Look through the pictures again.")
            self._do_aside(number, lambda: _file(collection, collection.names.index(name)))
            return self._waiting

        return self._with_folder(number, source, only, act)

    def compare(self, number: int, image: Pixels, place: Place, channel: int) -> Any:
        """What real pictures say of a synthetic one ``[H, W, C]``: the answer of the command ``natural``."""

        def then(held: Held) -> object:
            # It is asked for by whoever merely rests on a picture, so what somebody waits for does not wait for it.
            self._works.add(number, in_turns(lambda pause: self._say(held, image, channel, pause)), long=True)
            return self._waiting

        return self._with_tally(number, place, then)

    def with_naturals(
        self, number: int, place: Place, channels: Sequence[int], then: Callable[[dict[int, list[Picture]]], Any]
    ) -> Any:
        """``then`` with the pictures that excite each of ``channels`` most."""
        return self._with_tally(
            number, place,
            lambda held: then({channel: self._excite(held, channel) for channel in channels}),
        )  # fmt: skip

    # -- what they need ------------------------------------------------------------------------------------

    def _with_folder(
        self, number: int, source: str, only: str, then: Callable[[Collection], Any], again: bool = False
    ) -> Any:
        """``then`` with the list of pictures; ``again`` has the folder listed anew, in a thread."""
        known = self._folders.get((source, only))
        if known is not None and not again:
            self._folders.move_to_end((source, only))
            return then(known)

        def act() -> Collection:
            return collect(source, only)

        def take(found: Collection) -> Any:
            self._folders[source, only] = found
            self._folders.move_to_end((source, only))
            while len(self._folders) > FOLDERS:
                self._folders.popitem(last=False)
            return then(found)

        # A thread that ends, not the one for tiles: to list a large folder takes seconds.
        return self._apart("vizcore-folder", number, act, take)

    def _with_tally(self, number: int, place: Place, then: Callable[[Held], Any], again: bool = False) -> Any:
        def with_both(network: Network, collection: Collection) -> Any:
            held = self._held.get(place)
            if held is None or held.tally.network is not network or held.tally.collection is not collection:
                same = held is not None and held.tally.network is network
                if same and held is not None and held.tally.collection.fingerprint == collection.fingerprint:
                    self._folders[place.source, place.only] = held.tally.collection  # perhaps of a pass that goes on
                else:
                    held = Held(
                        Tally(network, collection, place.layer), find_views(network, place.layer)
                    )  # fmt: skip
                    self._held[place] = held
            assert held is not None
            self._held.move_to_end(place)
            while len(self._held) > TALLIES:
                self._held.popitem(last=False)
            return then(held)

        def with_collection(collection: Collection) -> Any:
            return self._with_network(number, place.model, place.arch, lambda network: with_both(network, collection))

        return self._with_folder(number, place.source, place.only, with_collection, again)

    def _do_aside(self, number: int, act: Callable[[], Any]) -> None:
        self._aside.submit(self._answer, number, act, lambda value: value)

    # -- pictures ------------------------------------------------------------------------------------------

    def _fit(self, tally: Tally, index: int) -> Picture | None:
        """A picture as the network sees it; None if it can be read no more.  From any thread."""
        channels = tally.network.card.channels
        key = tally.collection.fingerprint, index, tally.size, channels
        with self._fitting:
            found = self._fitted.get(key)
        if found is not None:
            return found
        try:
            found = fit(tally.collection.read(index), tally.size, channels)
        except PictureError:
            return None
        with self._fitting:
            self._fitted[key] = found
            while len(self._fitted) * found.nbytes > FITTED:  # all are about as large
                self._fitted.popitem(last=False)
        return found

    def _excite(self, held: Held, channel: int) -> list[Picture]:
        held.tally.record.check(channel)
        items = [int(item) for item in held.tally.record.items[channel] if item >= 0]
        return [found for item in items if (found := self._fit(held.tally, item)) is not None]

    def _mosaic(self, held: Held, channel: int) -> bytes:
        """The nine patches of a channel, 3 by 3, clear between them: WebP."""
        tally, record = held.tally, held.tally.record
        sheet = Image.new("RGBA", (3 * SIDE + 2 * GAP,) * 2)
        for place, item in enumerate(record.items[channel].tolist()[:9]):
            fitted = self._fit(tally, item) if item >= 0 else None
            if fitted is None:
                continue
            box = field_of(
                held.views[channel], int(record.ys[channel, place]), int(record.xs[channel, place]), tally.size
            )
            colour = np.repeat(fitted, 3, -1) if fitted.shape[2] == 1 else fitted
            patch = Image.fromarray(crop(colour, box, display.GREY)).resize((SIDE, SIDE), Image.Resampling.BICUBIC)
            sheet.paste(patch, (place % 3 * (SIDE + GAP), place // 3 * (SIDE + GAP)))
        stream = io.BytesIO()
        sheet.save(stream, "WEBP", quality=QUALITY, method=2)
        return stream.getvalue()

    def _say(self, held: Held, image: Pixels, channel: int, pause: Pause) -> dict[str, Any]:
        tally = held.tally
        record, unit = tally.record, Unit(tally.layer.path, channel)
        real = self._excite(held, channel)
        paths: list[naturals.Likeness] | None = None
        if len(real) > 1:
            work = naturals.compare_paths(tally.network, image, real, unit.layer)
            while paths is None:
                pause()
                try:
                    next(work)
                except StopIteration as end:
                    paths = end.value
        pause()
        share = naturals.relative(tally.network, image, unit, record)
        return {
            "done": record.done, "pictures": len(tally.collection), "highest": float(record.values[channel, 0]),
            "relative": share, "held_out": naturals.held_out(tally.network, image, unit, pause=pause),
            "paths": [dataclasses.asdict(path) for path in paths or ()],
        }  # fmt: skip


def _pass(tally: Tally) -> Work:
    """A pass over the pictures, from where the record is."""
    total = len(tally.collection)
    yield tally.record.done, total
    with contextlib.closing(tally.__iter__()) as going:
        for progress in going:
            yield progress.done, total
    return {"done": tally.record.done, "pictures": total, "skipped": tally.record.skipped}


def summary(held: Held) -> dict[str, Any]:
    """What is known of a layer, to be sent: arrays of :class:`Record` as little-endian bytes."""
    tally, record = held.tally, held.tally.record
    index, best = record.selectivity()
    widest = max((view.extent for views in held.views if views is not None for view in views), default=None)
    return {
        "layer": tally.layer.path, "channels": len(record.values), "size": tally.size,
        "map": [tally.layer.height, tally.layer.width],
        "field": None if widest is None or widest >= tally.size else widest,
        "pictures": len(tally.collection), "done": record.done, "skipped": record.skipped, "broken": record.broken,
        "classes": list(tally.classes) if len(tally.classes) > 1 else [],
        "highest": _sent(record.values[:, 0], "<f4"), "mean": _sent(record.sums / max(record.total, 1), "<f4"),
        "sparsity": _sent(record.sparsity, "<f4"), "selectivity": _sent(index, "<f4"), "best": _sent(best, "<i4"),
        "items": _sent(record.items, "<i4"), "places": record.items.shape[1],
    }  # fmt: skip


def _sent(values: Any, kind: str) -> bytes:
    array = np.asarray(values)
    if kind == "<f4":
        array = np.nan_to_num(array, neginf=0.0)
    return array.astype(kind).tobytes()


def _nine(tally: Tally, channel: int, pause: Pause) -> dict[str, Any]:
    """The patches of a channel, each with its projection and where it is from."""
    why = deconvnet.why_not(tally.network.module, "deconv")
    found = patches(tally, channel, None if why else "deconv", pause=pause)
    record = tally.record
    bins = record.histogram[channel]
    return {
        "channel": channel, "done": record.done, "why": why,
        "intercepted": found[0].intercepted if found else None,
        "histogram": bins.tolist(), "low": record.low, "high": record.high, "bins": BINS,
        "patches": [
            {
                "name": one.name, "label": one.label, "value": one.value, "reproduced": one.reproduced,
                "y": one.y, "x": one.x, "box": list(one.box), "pixels": png(one.pixels),
                "projection": None if one.projection is None else png(display.relevance(one.projection)),
            }
            for one in found
        ],
    }  # fmt: skip


def _file(collection: Collection, index: int) -> dict[str, Any]:
    """A picture's file as it is, if it is one that is looked at, with its media type."""
    data = collection.data(index)
    try:
        with Image.open(io.BytesIO(data), formats=FORMATS) as image:
            kind = Image.MIME[str(image.format)]
    except Exception:
        raise PictureError("The picture is damaged.", "Look through the pictures again.") from None
    return {"data": data, "type": kind}
