"""What the page Ascent may ask: one literal table."""

from __future__ import annotations

import secrets
from collections.abc import Callable
from typing import TYPE_CHECKING

from app import target
from app.intents import Fields, number, words
from app.permalink import Place, decode
from vizcore.lineage import SETTINGS
from vizcore.spec import PRESETS

if TYPE_CHECKING:
    from app.pages.ascent import Ascent


def _select(page: Ascent, fields: Fields) -> None:
    channel = number(fields, "channel")
    if channel is not None:
        page.select(channel)


def _pin(page: Ascent, fields: Fields) -> None:
    step, channel = number(fields, "step"), number(fields, "filter")
    if step is None:
        return
    if fields.get("on") is False:
        page.travels.unpin(step, channel)
    else:
        old = (number(fields, "instead"),) if "instead" in fields else ()
        page.travels.pin(step, channel, words(fields, "note"), old)


def _fork(page: Ascent, fields: Fields) -> None:
    step, channel = number(fields, "step"), number(fields, "channel")
    if step is not None:
        channels = None if channel is None else [channel]
        given = fields.get("settings")
        asked = given if isinstance(given, dict) else {}
        settings = {name: words(asked, name) for name in SETTINGS if words(asked, name)}
        page.travels.fork(
            step, channels, now=fields.get("now") is True, reseed=fields.get("reseed") is True, settings=settings
        )


def _recompute(page: Ascent, fields: Fields) -> None:
    step = number(fields, "step")
    if step is not None:
        page.travels.recompute(step)


def _sweep(page: Ascent, fields: Fields) -> None:
    axes = fields.get("axes")
    named = {str(name): values for name, values in axes.items()} if isinstance(axes, dict) and len(axes) <= 2 else {}
    seed = number(fields, "seed")
    page.sweeps.start(
        named, number(fields, "draws") or 0, secrets.randbelow(10_000) if seed is None else seed,
        number(fields, "steps"),
    )  # fmt: skip


def _place(fields: Fields) -> Place:
    return Place(words(fields, "run"), number(fields, "channel"), number(fields, "step"))


def _layer(page: Ascent, fields: Fields) -> None:
    pilot = page.pilot
    if words(fields, "path"):
        pilot.ask("layer", words(fields, "path"))
    elif fields.get("by") in (-1, 1) and pilot.wanted is not None and pilot.description is not None:
        pilot.ask("layer", target.neighbour(pilot.layer_wanted, pilot.description, fields["by"]))


def _preset(page: Ascent, fields: Fields) -> None:
    names = list(PRESETS)
    index = number(fields, "index")
    name = names[index] if index is not None and index < len(names) else words(fields, "name")
    if name in PRESETS:
        page.pilot.ask("preset", name)


def _set(page: Ascent, fields: Fields) -> None:
    name = words(fields, "name")
    control = page.controls.parameters.get(name)  # none for those of dreams
    if control is not None:
        value = control.meta.clamp(fields.get("value"))
        page.controls.show_values({name: value})
        page.pilot.set(name, value)


def _start(page: Ascent, fields: Fields) -> None:
    page.start(decode(words(fields, "address")) if fields.get("address") else page.address)


def _ask(name: str, key: str) -> Callable[[Ascent, Fields], None]:
    def act(page: Ascent, fields: Fields) -> None:
        if words(fields, key):
            page.pilot.ask(name, words(fields, key))

    return act


INTENTS: dict[str, Callable[[Ascent, Fields], None]] = {
    "toggle": lambda page, fields: page.pilot.toggle(),
    "pause": lambda page, fields: page.pilot.pause(),
    "resume": lambda page, fields: page.pilot.resume(),
    "step": lambda page, fields: page.pilot.step(),
    "restart": lambda page, fields: page.pilot.restart(),
    "newseed": lambda page, fields: page.pilot.restart(seed=secrets.randbelow(10_000)),
    "further": lambda page, fields: page.pilot.further(fields.get("by")),
    "select": _select,
    "scrub": lambda page, fields: page.scrub(number(fields, "step"), number(fields, "channel")),
    "live": lambda page, fields: page.scrub(None),
    "pin": _pin,
    "layer": _layer,
    "filters": _ask("filters", "text"),
    "model": _ask("model", "name"),
    "objective": _ask("objective", "text"),
    "dice": lambda page, fields: page.dice(),
    "preset": _preset,
    "open": lambda page, fields: page.session.open_elsewhere(_place(fields)) or page.open(_place(fields)),
    "fork": _fork,
    "recompute": _recompute,
    "compare": lambda page, fields: page.travels.compare(_place(fields) if words(fields, "run") else None),
    "set": _set,
    "sweep": _sweep,
    "sweepstop": lambda page, fields: page.sweeps.stop(),
    "sweepclose": lambda page, fields: page.sweeps.close(),
    "sweepuse": lambda page, fields: page.sweeps.use(words(fields, "run")),
    "undo": lambda page, fields: page.undo(),
    "start": _start,
}
"""What the page Ascent may ask."""
