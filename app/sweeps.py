"""A sweep: one filter under many settings at once, live, ranked by a score."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from app import publish
from vizcore import sweep
from vizcore.errors import SpecError
from vizcore.history import RunReader
from vizcore.params import Param, Value
from vizcore.spec import PARAMS

if TYPE_CHECKING:
    from app.pages.ascent import Ascent

LOOK = 0.25  # seconds between two looks at the runs
AGAIN = 32  # steps after which a picture is judged anew
ENDED = ("done", "failed", "interrupted", "paused")
MOST = 12  # values on one axis
SCORES = ("activation", "held_out", "total_variation", "path_similarity", "path_natural")


@dataclass
class Tile:
    """One run of the sweep."""

    run: str
    values: dict[str, Value]
    reader: RunReader
    step: int | None = None
    state: str = "running"
    judged: int = -1  # step of the scores
    scores: dict[str, float] = field(default_factory=dict)


class Sweeps:
    """The sweep of one page; what it tells is in the page's state: ``sweep``.

    Its runs are watched like any shown run, so they rest when the page is hidden.
    """

    def __init__(self, page: Ascent, clock: Callable[[], float] = time.monotonic) -> None:
        self._page, self._clock = page, clock
        self._engine, self._library = page.hub.engine, page.hub.library
        self.tiles: list[Tile] = []
        self._channel = 0
        self._due = 0.0
        self._watching = False
        self._job = 0
        self._judging: tuple[Tile, int, Future[Any]] | None = None
        self._real: tuple[str, str] | None = None  # pictures that were looked through by the layer

    def start(self, axes: Mapping[str, Any], draws: int, seed: int, steps: int | None) -> None:
        """Begin: a grid over ``axes`` (name of a parameter to its values), or so many random draws.

        Raises:
            SpecError: a value out of range, too many runs.
        """
        wanted, channel = self._page.pilot.wanted, self._page.selected
        if wanted is None or channel is None:
            return
        points = (
            sweep.grid({name: numbers(name, text) for name, text in axes.items()}) if axes else sweep.draws(draws, seed)
        )
        spec = wanted.replace(channels=(channel,))
        if steps is not None:
            spec = spec.replace(steps=PARAMS["steps"].clamp(steps))
        self.close()
        self._channel = channel
        job = self._engine.sweep(spec, points, keep=False)
        self._job = self._page.session.jobs.add(job, f"Beginning {len(points)} runs", self._begun)

    def _begun(self, answer: Mapping[str, Any]) -> None:
        pairs = zip(answer["runs"], answer["values"], strict=True)
        self.tiles = [Tile(run, dict(values), self._library.open(run)) for run, values in pairs]
        self._real = self._page.naturals.source(self.tiles[0].reader.spec)
        self.watch(True)
        self._due = 0.0

    def watch(self, on: bool) -> None:
        """The tiles are seen, or not."""
        if on == self._watching:
            return
        self._watching = on
        for tile in self.tiles:
            act = self._engine.watch if on else self._engine.unwatch
            act(tile.run, self._page.pilot.viewer)

    def stop(self) -> None:
        """End what still runs; the pictures stay."""
        for tile in self.tiles:
            if tile.state not in ENDED:
                self._page.pilot.pending.add(self._engine.stop(tile.run))

    def close(self) -> None:
        """Done with it; its runs stay in the library."""
        self._page.session.jobs.cancel(self._job)
        self.stop()
        self.drop()
        publish.put(self._page.state, "sweep", "")

    def drop(self) -> None:
        """Let go of the files; no model is touched."""
        self.watch(False)
        for tile in self.tiles:
            tile.reader.close()
        self.tiles = []
        self._judging = None

    def use(self, run: str) -> None:
        """All filters begin anew with the settings of a tile."""
        found = next((tile for tile in self.tiles if tile.run == run), None)
        if found is not None:
            self._page.pilot.restart(**found.values)

    # -- live ----------------------------------------------------------------------------------------------

    def tick(self) -> None:
        """Look how far the runs are, and have their pictures judged, one at a time."""
        if not self.tiles or self._clock() < self._due:
            return
        self._due = self._clock() + LOOK
        for tile in self.tiles:
            if tile.state in ENDED and tile.step == tile.judged:
                continue
            live = self._engine.states.get(tile.run)
            tile.state = live.state if live is not None else tile.reader.state
            tile.step = tile.reader.latest()
        self._judge()
        publish.put(self._page.state, "sweep", self.told())

    def _judge(self) -> None:
        if self._judging is not None:
            tile, step, answer = self._judging
            if not answer.done():
                return
            self._judging = None
            tile.judged = step
            if answer.exception() is None:
                row = answer.result()[0]
                tile.scores = {name: float(row[name]) for name in SCORES if math.isfinite(row.get(name, math.nan))}
            elif self._real is not None:  # the real pictures are gone: the other scores do without
                self._real, tile.judged = None, -1
        behind = [
            tile for tile in self.tiles
            if tile.step is not None and tile.judged != tile.step
            and (tile.state in ENDED or tile.judged < 0 or tile.step - tile.judged >= AGAIN)
        ]  # fmt: skip
        if behind:
            tile = min(behind, key=lambda one: one.judged)
            step = tile.step or 0
            self._judging = tile, step, self._engine.judge(tile.run, step, *(self._real or ("", "")))

    def told(self) -> dict[str, Any]:
        """What the page shows."""
        tiles = [
            {
                "run": tile.run, "step": tile.step, "state": tile.state, "scores": tile.scores, "judged": tile.judged,
                "values": {name: publish.value_text(name, value) for name, value in tile.values.items()},
            }
            for tile in self.tiles
        ]  # fmt: skip
        steps = int(self.tiles[0].reader.spec.steps) if self.tiles else 0
        return {"channel": self._channel, "steps": steps, "tiles": tiles, "real": self._real is not None}


def numbers(name: str, text: object) -> list[Value]:
    """The values of one axis, from a text such as ``"0, 0.5, 1"``.

    Raises:
        SpecError: none, too many, or one that the parameter cannot have.
    """
    meta = PARAMS.get(name)
    if meta is None or not isinstance(text, str):
        raise SpecError("There is no such parameter.", "Choose one from the list.")
    found = [part.strip() for part in text.replace(";", ",").split(",") if part.strip()]
    if not 1 <= len(found) <= MOST:
        raise SpecError(f"{meta.label} needs 1 to {MOST} values.", f"Write for example {spread(meta)}.")
    return [meta.coerce(part) for part in found]


def spread(meta: Param, count: int = 4) -> str:
    """Values to begin with, over the range of a parameter."""
    if meta.kind == "bool":
        return "true, false"
    if meta.kind == "choice":
        return ", ".join(meta.choices)
    low, high = meta.minimum, meta.maximum
    if meta.log:
        least = math.log10(low if low > 0 else meta.step)
        chosen = [10 ** (least + (math.log10(high) - least) * i / (count - 1)) for i in range(count)]
        chosen = [0.0, *chosen[1:]] if low <= 0 else chosen
    else:
        chosen = [low + (high - low) * i / (count - 1) for i in range(count)]
    values = [round(value) if meta.kind == "int" else float(f"{value:.2g}") for value in chosen]
    return ", ".join(f"{value:g}" for value in dict.fromkeys(values))


def axes() -> list[dict[str, str]]:
    """The parameters that a sweep may have, for the page."""
    chosen = [
        meta for meta in PARAMS.values() if meta.name not in ("size", "steps", "precision") and meta.group != "dream"
    ]
    return [{"name": meta.name, "label": meta.label, "unit": meta.unit, "values": spread(meta)} for meta in chosen]
