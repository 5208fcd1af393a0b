"""The engine's commands for looking at a picture: maps, the strip of all layers, backward views.

A pass for maps is one turn between two steps of the runs; backward views, which may need hundreds of passes, have
turns like every other piece of work.
"""

from __future__ import annotations

import hashlib
from collections import OrderedDict
from collections.abc import Callable
from typing import Any

import numpy as np

from vizcore import assets
from vizcore.engine import answers
from vizcore.engine.beside import Beside
from vizcore.engine.turns import in_turns
from vizcore.engine.works import Work
from vizcore.look.activations import Looker, strip
from vizcore.look.attribution import METHODS, why_not
from vizcore.look.pictures import Picture, read
from vizcore.look.units import Unit
from vizcore.zoo.load import Network

PICTURES = 3  # decoded pictures that are kept: a page asks for several views of one
LOOKERS = 3  # layers that are kept ready
SMALL = 2**17  # bytes of a file that is decoded at once; larger ones in a thread beside the steps


class Looking(Beside):
    """What the engine has at hand for pages that look at pictures."""

    def __init__(self, *worker: Any) -> None:
        super().__init__(*worker)
        self._pictures: OrderedDict[bytes, Picture] = OrderedDict()
        self._lookers: OrderedDict[tuple[str, str | None, str], tuple[Network, Looker]] = OrderedDict()

    def handlers(self) -> dict[str, Callable[..., Any]]:
        """The commands by name."""
        return {
            "methods": self._methods, "maps": self._maps, "strip": self._strip, "project": self._project,
            "check": self._check, "column": self._column, "kernels": self._kernels, "carry": self._carry,
            "keep": self._keep, "inspect": self._inspect,
        }  # fmt: skip

    def _keep(self, number: int, data: bytes) -> dict[str, Any]:
        picture = read(data)
        return {"name": assets.keep_picture(picture), "height": picture.shape[0], "width": picture.shape[1]}

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
            return {**answers.packed(seen.values), "peaks": answers.finite(seen.peaks),
                    "classes": [list(one) for one in seen.classes], "seconds": seen.seconds}  # fmt: skip

        return self._with_both(number, data, model, arch, then)

    def _strip(self, number: int, data: bytes, model: str, arch: str | None) -> Any:
        def then(network: Network, picture: Picture) -> list[dict[str, Any]]:
            return [
                {**answers.packed(one.mean[None]), "layer": one.layer, "kind": one.kind, "channel": one.channel,
                 "peak": answers.finite(np.array(one.peak))}
                for one in strip(network, picture)
            ]  # fmt: skip

        return self._with_both(number, data, model, arch, then)

    def _project(
        self, number: int, data: bytes, model: str, arch: str | None, layer: str, channel: int, method: str,
        share: float, place: tuple[int, int] | None,
    ) -> Any:  # fmt: skip
        unit = Unit(layer, channel, *(place or ()))

        def then(network: Network, picture: Picture) -> object:
            return self._turns(number, lambda pause: answers.projected(network, picture, unit, method, share, pause))

        return self._with_both(number, data, model, arch, then)

    def _check(
        self, number: int, data: bytes, model: str, arch: str | None, layer: str, channel: int, method: str,
        place: tuple[int, int] | None,
    ) -> Any:  # fmt: skip
        unit, count = Unit(layer, channel, *(place or ())), [0]

        def found(points: int) -> None:
            count[0] = points

        def then(network: Network, picture: Picture) -> object:
            work = in_turns(lambda pause: answers.checked(network, picture, unit, method, pause, found))
            self._works.add(number, _counting(work, count))
            return self._waiting

        return self._with_both(number, data, model, arch, then)

    def _column(
        self, number: int, data: bytes, model: str, arch: str | None, method: str, depth: str, share: float
    ) -> Any:
        def then(network: Network, picture: Picture) -> object:
            return self._turns(number, lambda pause: answers.column(network, picture, method, depth, share, pause))

        return self._with_both(number, data, model, arch, then)

    def _kernels(self, number: int, model: str, arch: str | None, layer: str, first: int, skip: int) -> Any:
        return self._with_network(number, model, arch, lambda network: answers.kernels(network, layer, first, skip))

    def _inspect(self, number: int, model: str, arch: str | None) -> Any:
        def then(network: Network) -> object:
            return self._turns(number, lambda pause: answers.inspected(network, pause))

        return self._with_network(number, model, arch, then)

    def _carry(self, number: int, model: str, arch: str | None, layer: str, channel: int, data: bytes) -> Any:
        def then(network: Network, picture: Picture | None = None) -> object:
            return self._turns(number, lambda _: answers.carried(network, layer, channel, picture))

        if not data:
            return self._with_network(number, model, arch, then)
        return self._with_both(number, data, model, arch, then)

    def _turns(self, number: int, work: Callable[[Callable[[], None]], dict[str, Any]]) -> object:
        self._works.add(number, in_turns(work))
        return self._waiting

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

        return self._apart(
            "vizcore-picture", number, lambda: read(data),
            lambda picture: self._with_picture(number, name, picture, model, arch, then),
        )  # fmt: skip

    def _with_picture(
        self, number: int, name: bytes, picture: Picture, model: str, arch: str | None,
        then: Callable[[Network, Picture], Any],
    ) -> Any:  # fmt: skip
        self._pictures[name] = picture
        while len(self._pictures) > PICTURES:
            self._pictures.popitem(last=False)
        return self._with_network(number, model, arch, lambda network: then(network, picture))


def _counting(work: Work, count: list[int]) -> Work:
    """``work``, whose progress is what ``count`` holds."""
    try:
        while True:
            try:
                next(work)
            except StopIteration as end:
                return end.value
            yield count[0], 0
    finally:
        work.close()
