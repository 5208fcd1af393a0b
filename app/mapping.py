"""The addresses of atlases: what is in one, and its pictures."""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import partial
from typing import Any

from tornado.ioloop import IOLoop
from tornado.web import HTTPError, authenticated

from app import publish
from app.atlases import ID
from app.guard import FOREVER, Guarded
from vizcore.atlas.manifest import ADDRESS
from vizcore.errors import VizcoreError


class Atlas(Guarded):
    """``/atlas/ID``: layers and filters, as JSON; ``/atlas/ID/unit?layer=&channel=``: what lies beside one of them.

    ``/atlas/ID/ADDRESS.png`` and ``.webp`` (small): a picture.
    """

    @authenticated
    async def get(self, ident: str, address: str = "", form: str = "", unit: str = "") -> None:
        atlases = self.hub.atlases
        work: Callable[[], Any] = partial(_told, atlases.about, ident)
        if address:
            work = partial(atlases.tile if form == "png" else atlases.thumbnail, ident, address)
        elif unit:
            layer, channel = (self.get_query_argument(name, "") for name in ("layer", "channel"))
            if not re.fullmatch(r"[0-9]{1,7}", channel):
                raise HTTPError(404, reason="Not in the atlas")
            work = partial(_told, atlases.unit, ident, layer, int(channel))
        try:
            answer = await IOLoop.current().run_in_executor(None, work)
        except VizcoreError:
            raise HTTPError(404, reason="Not in the atlas") from None
        if address:
            self.set_header("Content-Type", f"image/{form}")
            self.set_header("Cache-Control", FOREVER)  # the address is of the content
        else:
            self.set_header("Content-Type", "application/json")
            self.set_header("Cache-Control", "no-store")
        self.finish(answer)


def _told(ask: Callable[..., Any], *args: Any) -> str:
    """Megabytes, perhaps: not for the event loop."""
    return publish.text(ask(*args))


PATTERN = rf"/atlas/({ID})(?:/({ADDRESS})\.(png|webp)|/(unit))?"
