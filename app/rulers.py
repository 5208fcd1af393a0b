"""The addresses of what the ruler measured."""

from __future__ import annotations

from functools import partial

from tornado.ioloop import IOLoop
from tornado.web import HTTPError, authenticated

from app.guard import FOREVER, Guarded
from vizcore.rulertable import METHODS, REAL

FORMS = {"json": "application/json", "csv": "text/csv; charset=utf-8", "svg": "image/svg+xml"}


class Ruled(Guarded):
    """``GET /ruler/ID/METHOD.webp``: its pictures; ``/ruler/ID/score.json``, ``.csv``, ``.svg``: files to keep."""

    @authenticated
    async def get(self, ident: str, method: str | None = None, form: str | None = None) -> None:
        found = self.hub.rulers.get(ident)
        if found is None or (method and method not in found.tiles):
            raise HTTPError(404, reason="Not here any more")
        if method:
            self.set_header("Content-Type", "image/webp")
            self.set_header("Cache-Control", FOREVER)
            self.finish(found.tiles[method])
            return
        assert form is not None
        text = await IOLoop.current().run_in_executor(None, partial(found.text, form))
        self.set_header("Content-Type", FORMS[form])
        self.set_header("Content-Disposition", f'attachment; filename="vizcore-score.{form}"')
        self.set_header("Cache-Control", "no-store")
        self.finish(text)


PATTERN = rf"/ruler/([A-Za-z0-9_-]{{12}})/(?:({'|'.join((REAL, *METHODS))})\.webp|score\.({'|'.join(FORMS)}))"
