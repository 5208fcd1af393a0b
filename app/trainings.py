"""The addresses of a training's pictures: its filters as they grew, and what it mistook."""

from __future__ import annotations

from tornado.ioloop import IOLoop
from tornado.web import HTTPError, authenticated

from app.guard import Guarded
from vizcore.errors import VizcoreError


class Trained(Guarded):
    """``GET /training/ID/filters/N.png`` and ``…/mistakes/N.png``; a picture never changes."""

    @authenticated
    async def get(self, ident: str, kind: str, number: str) -> None:
        try:
            path = self.hub.trainer.file(ident, kind, int(number))
            data = await IOLoop.current().run_in_executor(None, path.read_bytes)
        except (VizcoreError, OSError):
            raise HTTPError(404, reason="No such picture") from None
        self.set_header("Content-Type", "image/png")
        self.set_header("Cache-Control", "private, max-age=600")
        self.finish(data)
