"""What a browser may ask: for the session and for each page a literal table from the name of an intent to what it does.

Everything in an intent comes from a browser: it is read as JSON, and each field is checked before use.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from app.exports import Wish
from vizcore.runs import is_id

if TYPE_CHECKING:
    from app.session import Session

log = logging.getLogger("vizcore.app")

LIMIT = 16_384  # characters of an intent
Fields = Mapping[str, Any]


def carry_out(session: Session, intent: str) -> None:
    """Do what the JSON text asks of the session or of a page; what is no intent is logged and nothing else."""
    if not intent or len(intent) > LIMIT:
        return
    try:
        fields = json.loads(intent)
        name = fields["do"]
        page = None if name in SESSION else session.pages[fields.get("page", "ascent")]
        act = SESSION[name] if page is None else page.intents[name]
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError):
        log.warning("the page asked for something unknown: %.80r", intent)
        return
    act(session if page is None else page, fields)


def number(fields: Fields, name: str) -> int | None:
    """A whole number from 0, or ``None``."""
    value = fields.get(name)
    return value if isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 2**31 else None


def words(fields: Fields, name: str) -> str:
    """A text of at most 4096 characters, empty for none."""
    value = fields.get(name)
    return value[:4096] if isinstance(value, str) else ""


def _hello(session: Session, fields: Fields) -> None:
    session.hello(
        viewing=fields.get("viewing") is not False,
        reduced=fields.get("reduced") is True,
        theme=words(fields, "theme") or "dark",
    )


def _dismiss(session: Session, fields: Fields) -> None:
    ident = number(fields, "id")
    if ident is not None:
        session.hush(ident)


def _export(session: Session, fields: Fields) -> None:
    wish = Wish(
        words(fields, "run"), words(fields, "form"), number(fields, "channel"), number(fields, "first") or 0,
        last if (last := number(fields, "last")) is not None else 2**31, number(fields, "fps") or 10,
        fields.get("loop") is not False,
    )  # fmt: skip
    if is_id(wish.run):
        session.bringing.export(wish)


SESSION: dict[str, Callable[[Session, Fields], None]] = {
    "hello": _hello,
    "viewing": lambda session, fields: session.view(fields.get("on") is not False),
    "page": lambda session, fields: session.go(words(fields, "name")),
    "theme": lambda session, fields: session.theme(words(fields, "name")),
    "dismiss": _dismiss,
    "export": _export,
    "opened": lambda session, fields: session.bringing.opened(words(fields, "token"), words(fields, "name")),
    "repeat": lambda session, fields: session.bringing.repeat(),
    "cancel": lambda session, fields: session.jobs.cancel(number(fields, "job") or 0),
}
"""What belongs to no page."""
