"""What real pictures say of the shown one: which of them excite its filter, and how the two compare."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from concurrent.futures import Future
from typing import TYPE_CHECKING, Any

from app import publish, target
from app.evidence import Evidence
from app.pending import Pending
from vizcore.spec import RunSpec

if TYPE_CHECKING:
    from app.pages.ascent import Ascent

Layer = tuple[str, str | None, str]  # network, architecture, layer
BLANK = {"relative": None, "highest": None, "held_out": {}, "paths": []}


class Naturals:
    """Of the page Ascent; what it tells is in the page's state: ``real``, the pictures that were looked through by the
    shown layer, and ``natural``, the comparison of the picture that rests.

    Nothing is looked through unasked: that is what the page Patches is for.
    """

    def __init__(self, page: Ascent, clock: Callable[[], float] = time.monotonic) -> None:
        self._page = page
        self._pending = Pending(lambda _: None)  # nothing is known then
        self._layer: Layer | None = None  # of the shown run
        self._asked: Layer | None = None
        self._source: tuple[str, str] | None = None  # folder or zip, and text in the names
        self._compared = Evidence(self._compare, clock, BLANK, compared, give_up=True)

    def source(self, spec: RunSpec) -> tuple[str, str] | None:
        """What was looked through by the layer of ``spec``: folder or zip, and text in the names; None for nothing, or
        if it is not the shown one."""
        return self._source if self._asked is not None and self._asked == layer_of(spec) else None

    def again(self, *, anyhow: bool = True) -> None:
        """More may be known than before; not ``anyhow``: only if nothing is known."""
        if anyhow or self._source is None:
            self._asked = None

    def tick(self) -> None:
        """Ask what is known of the shown layer, and compare a picture that rests."""
        page, reader = self._page, self._page.pilot.reader
        self._pending.tick()
        self._layer = layer_of(reader.spec) if reader is not None else None
        if self._layer != self._asked:
            self._asked = wanted = self._layer
            self._source = None
            self._compared.clear()
            publish.put(page.state, "natural", "")
            publish.put(page.state, "real", "")
            if wanted is not None:
                model, arch, layer = wanted
                known = page.hub.engine.known(model, layer, arch)
                self._pending.add(known, lambda rows: self._take(wanted, rows))
        if self._compared.tick():
            publish.put(page.state, "natural", self._compared.state)

    def _take(self, layer: Layer, rows: list[Mapping[str, Any]]) -> None:
        if layer != self._asked:
            return
        sources = self._page.hub.sources
        known = next((row for row in rows if sources.name(row["source"])), None)
        told = {"model": layer[0], "layer": layer[2], "data": "", "only": "", "done": 0, "pictures": 0}
        if known is not None:
            self._source = known["source"], known["only"]
            told |= {name: known[name] for name in ("only", "done", "pictures")}
            told["data"] = sources.name(known["source"])
        publish.put(self._page.state, "real", told)

    def want(self, run: str, step: int, channel: int) -> None:
        """The page shows this picture, and goes on showing it."""
        if self._source is not None:
            self._compared.want(run, step, channel)

    def _compare(self, run: str, step: int, channel: int) -> Future[Any]:
        source, only = self._source or ("", "")
        answer: Future[Any] = self._page.hub.engine.natural(run, step, channel, source, only)
        return answer


def layer_of(spec: RunSpec) -> Layer | None:
    """Network, architecture and layer of a run whose pictures are of channels; None for any other."""
    return (spec.model, spec.arch, spec.layer) if spec.objective in target.PER_LAYER else None


def compared(answer: Mapping[str, Any]) -> dict[str, Any]:
    """The engine's comparison as the page reads it."""
    return {name: answer[name] for name in BLANK}
