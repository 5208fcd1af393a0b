"""What went wrong, as a cause, a remedy and a button; and the one helper that makes text safe to show."""

from __future__ import annotations

import html
import itertools
import logging
import secrets
from collections.abc import Mapping
from typing import Any

from vizcore.errors import VizcoreError
from vizcore.spec import PARAMS, RunSpec

log = logging.getLogger("vizcore.app")

_ids = itertools.count(1)
_TITLES = {
    "SpecError": "This run cannot be",
    "ModelError": "This network cannot be had",
    "DownloadError": "The weights did not arrive",
    "LayerError": "There is no such target",
    "HistoryError": "This run cannot be read",
    "StorageError": "Nothing can be stored",
    "ExportError": "Nothing was exported",
    "EngineError": "The engine has a problem",
}


def plain(text: object, limit: int = 200, *, markup: bool = True) -> str:
    """``text`` with no power over the page: HTML escaped, TeX delimiters taken out, control characters gone, cut.

    Every name that comes from a file, an address or a network passes through here before it reaches a
    Bokeh property that may hold HTML or TeX (titles, ``Div.text``).  ``markup=False`` is for properties that
    show text as it is (values and options of inputs), where an escape would be seen.
    """
    cleaned = "".join(c for c in str(text) if c.isprintable() and c not in "\u202a\u202b\u202c\u202d\u202e\u2066\u2067")
    for delimiter in ("$$", "\\(", "\\)", "\\[", "\\]"):
        cleaned = cleaned.replace(delimiter, "")
    short = cleaned if len(cleaned) <= limit else cleaned[: limit - 1] + "…"
    return html.escape(short, quote=True) if markup else short


def notice(
    kind: str, message: str, hint: str = "", *, title: str = "", action: Mapping[str, Any] | None = None
) -> dict[str, Any]:
    """A notice for the page, which shows it as text.

    Args:
        kind: ``"error"``, ``"info"`` or ``"hint"``.
        action: the button: ``label``, ``do`` and further fields of the intent.
    """
    return {
        "id": next(_ids),
        "kind": kind,
        "title": title,
        "message": message[:500],
        "hint": hint[:500],
        "action": dict(action) if action else None,
    }


def paper(spec: RunSpec) -> dict[str, Any] | None:
    """What to know of a preset of the paper, with the change that helps most networks; None for other presets."""
    name, factor, share = spec.preset, 1000, 50.0
    if not name.startswith("Paper"):
        return None
    message = f"{name} has the paper's numbers, which are for another network."
    if spec.small_contribution > share:  # its rate follows the gradient; what it clips away is the reason
        action = {"label": f"Clip {share:g} %", "do": "set", "name": "small_contribution", "value": share}
        return notice("info", message, "If the pictures stay grey, clip fewer pixels.", action=action)
    rate = min(factor * spec.rate, PARAMS["rate"].maximum)
    action = {"label": f"Raise the rate {factor}-fold", "do": "set", "name": "rate", "value": rate}
    return notice("info", message, "If the pictures stay grey, raise the rate.", action=action)


def from_error(error: BaseException, action: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """The notice for an exception; what nobody foresaw is logged under an id and shown without its inside."""
    if isinstance(error, VizcoreError):
        title = _TITLES.get(error.kind, "Something went wrong")
        return notice("error", error.message, error.hint, title=title, action=action)
    ident = secrets.token_hex(3)
    log.error("unforeseen error %s", ident, exc_info=error)
    return notice(
        "error",
        "Something went wrong that nobody foresaw.",
        f"Try again; the server's log has the details under {ident}.",
        title="Something went wrong",
        action=action,
    )
