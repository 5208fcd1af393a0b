"""What went wrong, as a cause, a remedy and a button; and the one helper that makes text safe to show."""

from __future__ import annotations

import html
import itertools
import logging
import secrets
from collections.abc import Mapping
from typing import Any

from vizcore.errors import DownloadError, EngineError, StorageError, VizcoreError
from vizcore.spec import PARAMS, RunSpec

log = logging.getLogger("vizcore.app")

_ids = itertools.count(1)
_TITLES = {
    "SpecError": "This run cannot be",
    "ModelError": "This network cannot be had",
    "GeneratorError": "This generator does not serve",
    "DownloadError": "The weights did not arrive",
    "LayerError": "There is no such target",
    "HistoryError": "This run cannot be read",
    "StorageError": "Nothing can be stored",
    "ExportError": "Nothing was exported",
    "PictureError": "These pictures cannot be used",
    "TrainingError": "The training",
    "EngineError": "The engine has a problem",
}

# What makes grey pictures of the bundled network show something, and by how much: docs/decisions/presets.md.
_GREY = {
    "Paper 1": ("rate", 1e4),
    "Paper 2": ("rate", 1e5),
    "Paper 3": ("rate", 1e4),
    "Paper 4": ("small_contribution", 5 / 9),
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
    """What to know of a preset of the paper, with the change that helps small networks; None for other presets."""
    if spec.preset not in _GREY:
        return None
    name, factor = _GREY[spec.preset]
    value = PARAMS[name].clamp(factor * float(getattr(spec, name)))
    label = f"Raise the rate {factor:,.0f}-fold" if factor > 1 else f"Clip {value:g} %"
    hint = "If the pictures stay grey, " + ("raise the rate" if factor > 1 else "clip fewer pixels")
    if spec.policy == "progress":
        hint += ", or the desired progress where scores are in the hundreds"
    action = {"label": label, "do": "set", "name": name, "value": value}
    message = f"{spec.preset} has the paper's numbers, which are for another network."
    return notice("info", message, hint + ".", action=action)


def again(error: BaseException, **intent: Any) -> dict[str, Any] | None:
    """The button that tries ``intent`` again, where time or the user may have changed what stood in the way."""
    passing = isinstance(error, (DownloadError, EngineError, StorageError)) or not isinstance(error, VizcoreError)
    return {"label": "Try again", **intent} if passing else None


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
