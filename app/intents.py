"""What the page may ask: one literal table from the name of an intent to what it does.

Everything in an intent comes from a browser: it is read as JSON, and each field is checked before use.
"""

from __future__ import annotations

import json
import logging
import secrets
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from app import target
from app.permalink import Address, decode
from vizcore.spec import PARAMS, PRESETS

if TYPE_CHECKING:
    from app.session import Page

log = logging.getLogger("vizcore.app")

LIMIT = 16_384  # characters of an intent
Fields = Mapping[str, Any]


def carry_out(page: Page, intent: str) -> None:
    """Do what the JSON text asks; what is no intent is logged and nothing else."""
    if not intent or len(intent) > LIMIT:
        return
    try:
        fields = json.loads(intent)
        act = INTENTS[fields["do"]]
    except (ValueError, TypeError, KeyError, RecursionError):
        log.warning("the page asked for something unknown: %.80r", intent)
        return
    act(page, fields)


def _number(fields: Fields, name: str) -> int | None:
    value = fields.get(name)
    return value if isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 2**31 else None


def _words(fields: Fields, name: str) -> str:
    value = fields.get(name)
    return value[:4096] if isinstance(value, str) else ""


def _hello(page: Page, fields: Fields) -> None:
    page.hello(
        viewing=fields.get("viewing") is not False,
        reduced=fields.get("reduced") is True,
        theme=_words(fields, "theme") or "dark",
    )


def _select(page: Page, fields: Fields) -> None:
    channel = _number(fields, "channel")
    if channel is not None:
        page.select(channel)


def _pin(page: Page, fields: Fields) -> None:
    step = _number(fields, "step")
    if step is not None:
        page.pin(step)


def _layer(page: Page, fields: Fields) -> None:
    pilot = page.pilot
    if _words(fields, "path"):
        pilot.ask("layer", _words(fields, "path"))
    elif fields.get("by") in (-1, 1) and pilot.wanted is not None and pilot.description is not None:
        pilot.ask("layer", target.neighbour(pilot.layer_wanted, pilot.description, fields["by"]))


def _preset(page: Page, fields: Fields) -> None:
    names = list(PRESETS)
    index = _number(fields, "index")
    name = names[index] if index is not None and index < len(names) else _words(fields, "name")
    if name in PRESETS:
        page.pilot.ask("preset", name)


def _set(page: Page, fields: Fields) -> None:
    name = _words(fields, "name")
    if name in PARAMS:
        value = page.controls.parameters[name].meta.clamp(fields.get("value"))
        page.controls.show_values({name: value})
        page.pilot.set(name, value)


def _start(page: Page, fields: Fields) -> None:
    address = decode(_words(fields, "address")) if fields.get("address") else page.address
    page.pilot.begin_address(address)


def _ask(name: str, key: str) -> Callable[[Page, Fields], None]:
    def act(page: Page, fields: Fields) -> None:
        if _words(fields, key):
            page.pilot.ask(name, _words(fields, key))

    return act


def _dismiss(page: Page, fields: Fields) -> None:
    ident = _number(fields, "id")
    if ident is not None:
        page.dismiss(ident)


INTENTS: dict[str, Callable[[Page, Fields], None]] = {
    "hello": _hello,
    "viewing": lambda page, fields: page.view(fields.get("on") is not False),
    "toggle": lambda page, fields: page.pilot.toggle(),
    "pause": lambda page, fields: page.pilot.pause(),
    "resume": lambda page, fields: page.pilot.resume(),
    "step": lambda page, fields: page.pilot.step(),
    "restart": lambda page, fields: page.pilot.restart(),
    "newseed": lambda page, fields: page.pilot.restart(seed=secrets.randbelow(10_000)),
    "further": lambda page, fields: page.pilot.further(fields.get("by")),
    "select": _select,
    "scrub": lambda page, fields: page.scrub(_number(fields, "step"), _number(fields, "channel")),
    "live": lambda page, fields: page.scrub(None),
    "pin": _pin,
    "layer": _layer,
    "filters": _ask("filters", "text"),
    "model": _ask("model", "name"),
    "objective": _ask("objective", "text"),
    "dice": lambda page, fields: page.dice(),
    "preset": _preset,
    "open": lambda page, fields: page.open(
        Address(run=_words(fields, "run"), step=_number(fields, "step"), filter=_number(fields, "channel"))
    ),
    "set": _set,
    "theme": lambda page, fields: page.curves.theme(_words(fields, "name")),
    "dismiss": _dismiss,
    "undo": lambda page, fields: page.undo(),
    "start": _start,
}
