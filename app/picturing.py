"""The addresses of what was found in folders of pictures: facts, tiles, patches, the pictures themselves."""

from __future__ import annotations

import asyncio
from concurrent.futures import Future
from typing import Any

from tornado.web import HTTPError, authenticated

from app import publish
from app.guard import Guarded
from app.looking import MAX_CHANNEL, pack, permitted
from vizcore.engine import Place
from vizcore.errors import LayerError, PictureError, VizcoreError

QUESTIONS = ("facts", "tile", "top", "original")
SOON = "private, max-age=600"  # the address of a tile says how many pictures had been looked through


class Patches(Guarded):
    """``GET /patches/QUESTION?model=&layer=&data=&only=``, for tiles and patches with ``channel``.

    ``facts`` and ``top`` are packed as in :mod:`app.looking`, ``tile`` is a picture, ``original`` (with ``name``) a
    picture's file.  Where what a person chose is at fault the answer is JSON with the error, under 200; for a tile,
    404.  Nothing is begun by these addresses: passes over pictures are asked for by the page's session.
    """

    async def prepare(self) -> None:
        await super().prepare()
        self._work: Future[Any] | None = None
        if self.request.headers.get("Sec-Fetch-Site", "same-origin") not in ("same-origin", "none"):
            raise HTTPError(403, reason="Not from this page")

    @authenticated
    async def get(self, what: str) -> None:
        self.set_header("Cache-Control", "no-store")
        try:
            self._work = await self._ask(what)
            answer = await asyncio.wrap_future(self._work)
        except asyncio.CancelledError:
            return  # given up: nobody reads an answer
        except VizcoreError as error:
            if what == "tile":
                raise HTTPError(404, reason="No such tile") from None
            self.set_header("Content-Type", "application/json")
            self.finish(publish.text(error.to_dict()))
            return
        if what == "tile":
            self.set_header("Content-Type", "image/webp")
            self.set_header("Cache-Control", SOON)
        elif what == "original":
            self.set_header("Content-Type", answer["type"])
            answer = answer["data"]
        else:
            self.set_header("Content-Type", "application/octet-stream")
            answer = pack(answer)
        self.finish(answer)

    def on_connection_close(self) -> None:
        """The page wants something else by now, or is gone."""
        if self._work is not None:
            self._work.cancel()

    async def _ask(self, what: str) -> Future[Any]:
        engine, source = self.hub.engine, self.hub.sources.find(self._text("data", 4096))
        only = self._text("only", 200)
        if what == "original":
            name = self._text("name", 4096)
            if not name:
                raise PictureError("No picture is named.", "Choose a patch.")
            found: Future[Any] = engine.original(source, only, name)
            return found
        model = await permitted(self.hub, self._text("model", 4096))
        layer = self._text("layer", 4096)
        if not layer:
            raise LayerError("No layer is chosen.", "Choose one.")
        place = Place(model, self.hub.arch(model), layer, source, only)
        if what == "facts":
            answer: Future[Any] = engine.scanned(place, again=self._text("again", 1) == "1")
        elif what == "tile":
            answer = engine.tile(place, self._channel())
        else:
            answer = engine.top(place, self._channel())
        return answer

    def _text(self, name: str, most: int) -> str:
        return self.get_query_argument(name, "")[:most]

    def _channel(self) -> int:
        text = self._text("channel", 10)
        if not (text.isascii() and text.isdecimal()) or int(text) >= MAX_CHANNEL:
            raise LayerError("There is no such filter.", "Choose one that the page shows.")
        return int(text)
