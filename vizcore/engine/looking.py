"""The engine's commands for looking at a picture: maps, the strip of all layers, backward views.

A pass for maps is one turn between two steps of the runs; backward views, which may need hundreds of passes, have
turns like every other piece of work.
"""

from __future__ import annotations

import hashlib
import io
import math
import threading
from collections import OrderedDict
from collections.abc import Callable
from typing import Any, Final

import numpy as np
from PIL import Image

from vizcore.engine.turns import in_turns
from vizcore.engine.works import Works
from vizcore.errors import VizcoreError
from vizcore.look import display
from vizcore.look.activations import Looker, strip
from vizcore.look.attribution import METHODS, attribute, why_not
from vizcore.look.pictures import Picture, read
from vizcore.look.units import Unit
from vizcore.zoo.load import Network

PICTURES = 3  # decoded pictures that are kept: a page asks for several views of one
LOOKERS = 3  # layers that are kept ready
SMALL = 2**17  # bytes of a file that is decoded at once; larger ones in a thread beside the steps
MOST = 2**18  # values of a layer that are sent
SIDE = 96  # px of a map at most: a page shows them no larger

WithNetwork = Callable[[int, str, str | None, Callable[[Network], Any]], Any]
Later = Callable[[int, Callable[[], Any]], None]


class Looking:
    """What the engine has at hand for pages that look at pictures.

    Args:
        with_network: the worker's way to a network.
        works: takes what needs many turns.
        later: has the worker answer a command from its main thread.
        explain: makes an error for people of any exception.
        waiting: what a command returns whose answer comes later.
    """

    def __init__(
        self,
        with_network: WithNetwork,
        works: Works,
        later: Later,
        explain: Callable[[Exception], VizcoreError],
        waiting: object,
    ) -> None:
        self._with_network = with_network
        self._works = works
        self._later = later
        self._explain = explain
        self._waiting: Final = waiting
        self._pictures: OrderedDict[bytes, Picture] = OrderedDict()
        self._lookers: OrderedDict[tuple[str, str | None, str], tuple[Network, Looker]] = OrderedDict()

    def handlers(self) -> dict[str, Callable[..., Any]]:
        """The commands by name."""
        return {"methods": self._methods, "maps": self._maps, "strip": self._strip, "project": self._project}

    def _methods(self, number: int, model: str, arch: str | None) -> Any:
        def then(network: Network) -> list[dict[str, str]]:
            return [
                {"name": name, "label": one.label, "help": one.help, "paper": one.paper, "why": why_not(network, name)}
                for name, one in METHODS.items()
            ]

        return self._with_network(number, model, arch, then)

    def _maps(self, number: int, data: bytes, model: str, arch: str | None, layer: str) -> Any:
        def then(network: Network, picture: Picture) -> dict[str, Any]:
            seen = self._looker(network, model, arch, layer).look(picture)
            return {**packed(seen.values), "peaks": _finite(seen.peaks), "classes": [list(one) for one in seen.classes],
                    "seconds": seen.seconds}  # fmt: skip

        return self._with_both(number, data, model, arch, then)

    def _strip(self, number: int, data: bytes, model: str, arch: str | None) -> Any:
        def then(network: Network, picture: Picture) -> list[dict[str, Any]]:
            return [
                {**packed(one.mean[None]), "layer": one.layer, "kind": one.kind, "channel": one.channel,
                 "peak": _finite(np.array(one.peak))}
                for one in strip(network, picture)
            ]  # fmt: skip

        return self._with_both(number, data, model, arch, then)

    def _project(
        self, number: int, data: bytes, model: str, arch: str | None, layer: str, channel: int, method: str,
        share: float,
    ) -> Any:  # fmt: skip
        def then(network: Network, picture: Picture) -> object:
            def work(pause: Callable[[], None]) -> dict[str, Any]:
                found = attribute(network, picture, Unit(layer, channel), method, pause=pause)
                original, heat, focus = display.panes(found.picture, found.values, share)
                signed = display.relevance(found.values)
                panes = {"original": original, "heat": heat, "focus": focus, "relevance": signed}
                return {
                    "panes": {name: png(pane) for name, pane in panes.items()}, "score": _finite(np.array(found.score)),
                    "seconds": found.seconds, "intercepted": found.intercepted, "note": found.note,
                    "facts": dict(found.facts),
                }  # fmt: skip

            self._works.add(number, in_turns(work))
            return self._waiting

        return self._with_both(number, data, model, arch, then)

    def _looker(self, network: Network, model: str, arch: str | None, layer: str) -> Looker:
        key = model, arch, layer
        held = self._lookers.get(key)
        if held is None or held[0] is not network:
            held = self._lookers[key] = network, Looker(network, layer)
        self._lookers.move_to_end(key)
        while len(self._lookers) > LOOKERS:
            self._lookers.popitem(last=False)
        return held[1]

    def _with_both(
        self, number: int, data: bytes, model: str, arch: str | None, then: Callable[[Network, Picture], Any]
    ) -> Any:
        """``then(network, picture)`` when both are there."""
        name = hashlib.sha256(data).digest()
        known = self._pictures.get(name)
        if known is not None:
            self._pictures.move_to_end(name)
            return self._with_network(number, model, arch, lambda network: then(network, known))
        if len(data) <= SMALL:
            return self._with_picture(number, name, read(data), model, arch, then)

        def decode() -> None:
            try:
                picture = read(data)
            except Exception as failure:
                error = self._explain(failure)

                def refuse() -> None:
                    raise error

                self._later(number, refuse)
            else:
                self._later(number, lambda: self._with_picture(number, name, picture, model, arch, then))

        threading.Thread(target=decode, name="vizcore-picture", daemon=True).start()
        return self._waiting

    def _with_picture(
        self, number: int, name: bytes, picture: Picture, model: str, arch: str | None,
        then: Callable[[Network, Picture], Any],
    ) -> Any:  # fmt: skip
        self._pictures[name] = picture
        while len(self._pictures) > PICTURES:
            self._pictures.popitem(last=False)
        return self._with_network(number, model, arch, lambda network: then(network, picture))


def packed(values: display.Values) -> dict[str, Any]:
    """Maps ``[C, H, W]`` to be sent: ``values`` as float16 of ``shape``, to be multiplied by ``scale``.

    Maps that are larger than a page shows are pooled by ``pool``: of each block the value of the largest magnitude.
    """
    values = np.nan_to_num(values.astype(np.float32), posinf=3e38, neginf=-3e38)
    channels, height, width = values.shape
    pool = max(1, math.ceil(max(height, width) / SIDE))
    while channels * math.ceil(height / pool) * math.ceil(width / pool) > MOST and pool < max(height, width):
        pool += 1
    small = _pooled(values, pool)
    scale = float(np.abs(small).max(initial=0)) or 1.0
    return {
        "values": (small / scale).astype("<f2").tobytes(), "shape": list(small.shape), "scale": scale,
        "size": [height, width], "pool": pool,
    }  # fmt: skip


def _pooled(values: display.Values, pool: int) -> display.Values:
    if pool == 1:
        return values
    channels, height, width = values.shape
    rows, columns = math.ceil(height / pool), math.ceil(width / pool)
    padded = np.zeros((channels, rows * pool, columns * pool), np.float32)
    padded[:, :height, :width] = values
    blocks = padded.reshape(channels, rows, pool, columns, pool)
    high, low = blocks.max((2, 4)), blocks.min((2, 4))
    pooled: display.Values = np.where(-low > high, low, high)
    return pooled


def png(picture: Picture) -> bytes:
    """A picture ``[H, W, 3]`` as a PNG, written quickly."""
    stream = io.BytesIO()
    Image.fromarray(picture).save(stream, "PNG", compress_level=1)
    return stream.getvalue()


def _finite(values: Any) -> Any:
    return np.nan_to_num(values).tolist()
